//! Rows of payments and claims.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::authorization::Attempt;
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::key::{Kid, Signature};
use crate::domain::leaf::Salt;
use crate::domain::ledger::{
    Claim, ClaimHolder, Novelty, PaymentRecord, State, Submission, VoidReason, Wait, WorkingSet,
};
use crate::domain::order::{Order, SigningInput};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::quorum::Demand;
use crate::domain::time::{Duration, Timestamp};

use super::super::stored::{payment_of_order, payment_of_request, signing_input};
use super::leaves::{position, stored_position};
use super::{StoreError, closing};

pub(super) const COLUMNS: &str = "id, caller, idempotency_key, namespace, state, accepted_at, \
    expires_at, request, denial, order_bytes, protected, kid, attempt, signature, outcome_at, \
    void_reason, salt, leaf, outcome_leaf, known_debtor, tier, demand, policy_version, deadline, \
    approved, touched";

/// Loads the payment that a submission repeats, if any, and who holds its end-to-end id.
pub(super) fn load_submission(
    connection: &Connection,
    submission: &Submission,
    working: &mut WorkingSet,
) -> Result<(), StoreError> {
    if working.payment_of(&submission.caller, &submission.idempotency_key).is_none() {
        let select =
            format!("SELECT {COLUMNS} FROM payment WHERE caller = ?1 AND idempotency_key = ?2");
        let found = connection
            .prepare_cached(&select)?
            .query_row([submission.caller.as_str(), submission.idempotency_key.as_str()], |row| {
                Ok(record(row))
            })
            .optional()?;
        if let Some(record) = found {
            working.load_payment(Arc::new(record?));
        }
    }
    closing::load_request(connection, &submission.caller, &submission.idempotency_key, working)?;
    load_claim(connection, &submission.payment, working)
}

/// Loads who holds the end-to-end id of a payment, if anybody does.
pub(super) fn load_claim(
    connection: &Connection,
    payment: &Payment,
    working: &mut WorkingSet,
) -> Result<(), StoreError> {
    let claim = Claim::of(payment.key(), payment.creditor().account(), payment.end_to_end_id());
    if payment.end_to_end_id().is_not_provided() || working.holder(&claim).is_some() {
        return Ok(());
    }
    if let Some(holder) = holder(connection, &claim)? {
        working.load_claim(claim, holder);
    }
    Ok(())
}

fn holder(connection: &Connection, claim: &Claim) -> Result<Option<ClaimHolder>, StoreError> {
    let select = "SELECT payment, accepted_at FROM claim WHERE digest = ?1";
    let holder = connection
        .prepare_cached(select)?
        .query_row([claim.as_bytes().as_slice()], |row| {
            let payment = PaymentId::from_bytes(row.get(0)?);
            let accepted_at = Timestamp::from_unix_ms(row.get(1)?);
            Ok(ClaimHolder { payment, accepted_at })
        })
        .optional()?;
    Ok(holder)
}

/// Reads one payment.
pub(crate) fn by_id(
    connection: &Connection,
    id: PaymentId,
) -> Result<Option<PaymentRecord>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM payment WHERE id = ?1");
    let found = connection
        .prepare_cached(&select)?
        .query_row([id.to_bytes().as_slice()], |row| Ok(record(row)))
        .optional()?;
    found.transpose()
}

/// Payments in the order in which they were decided upon, after the row of one of them.
pub(crate) fn history(
    connection: &Connection,
    after: i64,
    most: usize,
) -> Result<Vec<(i64, PaymentRecord)>, StoreError> {
    let select =
        format!("SELECT rowid, {COLUMNS} FROM payment WHERE rowid > ?1 ORDER BY rowid LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query([after, most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get("rowid")?, record(row)?));
    }
    Ok(found)
}

pub(super) fn record(row: &Row<'_>) -> Result<PaymentRecord, StoreError> {
    let wrong = |what: &str| StoreError::Row(what.to_owned());
    let text = |column| row.get::<_, String>(column).map_err(StoreError::from);
    let instant = |column| row.get(column).map(Timestamp::from_unix_ms).map_err(StoreError::from);
    let id = PaymentId::from_bytes(row.get("id")?);
    let order = row.get::<_, Option<Vec<u8>>>("order_bytes")?.map(Order::from_stored);
    let payment = match &order {
        Some(order) => payment_of_order(id, order).map_err(StoreError::Row)?,
        None => payment_of_request(&row.get::<_, Vec<u8>>("request")?).map_err(StoreError::Row)?,
    };
    let wait = wait(row, order.as_ref())?.map(Arc::new);
    let signing_input = || -> Result<(Kid, SigningInput), StoreError> {
        let order = order.ok_or_else(|| wrong("a payment has no order"))?;
        let kid = Kid::parse("kid", &text("kid")?).map_err(|e| wrong(&e.to_string()))?;
        let input = signing_input(order, text("protected")?, &kid).map_err(StoreError::Row)?;
        Ok((kid, input))
    };
    let state = match text("state")?.as_str() {
        "denied" => {
            let denial = serde_json::from_str(&text("denial")?);
            State::Denied(denial.map_err(|e| wrong(&e.to_string()))?)
        }
        "waiting" => State::Waiting { approved: row.get("approved")? },
        "authorised" => {
            let (kid, signing_input) = signing_input()?;
            let attempt = Attempt::from_stored(row.get("attempt")?);
            State::Authorised { attempt, kid, signing_input }
        }
        "posted" => {
            let (kid, signing_input) = signing_input()?;
            let signature = Signature::from_bytes(row.get("signature")?);
            State::Posted { kid, signing_input, signature, posted_at: instant("outcome_at")? }
        }
        "voided" => {
            let reason = VoidReason::from_name(&text("void_reason")?);
            let reason = reason.ok_or_else(|| wrong("unknown reason of a void"))?;
            State::Voided { reason, voided_at: instant("outcome_at")? }
        }
        other => return Err(wrong(&format!("unknown state {other}"))),
    };
    let parsed = |e: crate::domain::text::Malformed| StoreError::Row(e.to_string());
    Ok(PaymentRecord {
        id,
        caller: CallerId::parse("caller", &text("caller")?).map_err(parsed)?,
        idempotency_key: IdempotencyKey::parse("idempotency_key", &text("idempotency_key")?)
            .map_err(parsed)?,
        namespace: Namespace::parse("namespace", &text("namespace")?).map_err(parsed)?,
        payment,
        known_debtor: row.get("known_debtor")?,
        touched: row.get("touched")?,
        accepted_at: instant("accepted_at")?,
        expires_at: instant("expires_at")?,
        salt: Salt::from_bytes(row.get("salt")?),
        leaf: position(row.get("leaf")?)?,
        outcome_leaf: row.get::<_, Option<i64>>("outcome_leaf")?.map(position).transpose()?,
        wait,
        state,
    })
}

fn wait(row: &Row<'_>, order: Option<&Order>) -> Result<Option<Wait>, StoreError> {
    let Some(tier) = row.get("tier")? else { return Ok(None) };
    let order = order.ok_or_else(|| StoreError::Row("a payment that waits has no order".into()))?;
    let demand: String = row.get("demand")?;
    Ok(Some(Wait {
        order: order.clone(),
        policy_version: row.get("policy_version")?,
        tier,
        demand: Demand::from_canonical(&demand).map_err(StoreError::Row)?,
        deadline: Timestamp::from_unix_ms(row.get("deadline")?),
    }))
}

/// Writes a new payment or the next state of a known one.
pub(super) fn store(
    connection: &Connection,
    record: &PaymentRecord,
    novelty: Novelty,
) -> Result<(), StoreError> {
    let changed = match novelty {
        Novelty::New => insert(connection, record)?,
        Novelty::Known => update(connection, record)?,
    };
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::Disagreement(format!("the state of payment {}", record.id))),
    }
}

fn insert(connection: &Connection, record: &PaymentRecord) -> Result<usize, StoreError> {
    let (request, denial) = match &record.state {
        State::Denied(denial) => {
            let request = record.payment.to_canonical().to_canonical().into_bytes();
            let denial =
                serde_json::to_string(denial).map_err(|e| StoreError::Row(e.to_string()))?;
            (Some(request), Some(denial))
        }
        _ => (None, None),
    };
    let columns = Columns::of(&record.state);
    let wait = record.wait.as_deref();
    let order = columns.signing_input.map(SigningInput::order).or(wait.map(|wait| &wait.order));
    let insert = "INSERT INTO payment (id, caller, idempotency_key, state, accepted_at, \
                  expires_at, request, denial, order_bytes, protected, kid, attempt, signature, \
                  outcome_at, void_reason, namespace, salt, leaf, known_debtor, tier, demand, \
                  policy_version, deadline) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                  ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
    Ok(connection.prepare_cached(insert)?.execute(params![
        record.id.to_bytes().as_slice(),
        record.caller.as_str(),
        record.idempotency_key.as_str(),
        columns.state,
        record.accepted_at.unix_ms(),
        record.expires_at.unix_ms(),
        request,
        denial,
        order.map(Order::as_bytes),
        columns.signing_input.map(SigningInput::protected),
        columns.kid.map(Kid::as_str),
        columns.attempt.map(Attempt::number),
        columns.signature.map(|signature| signature.as_bytes().as_slice()),
        columns.outcome_at.map(Timestamp::unix_ms),
        columns.reason.map(VoidReason::name),
        record.namespace.as_str(),
        record.salt.as_bytes().as_slice(),
        stored_position(record.leaf)?,
        record.known_debtor,
        wait.map(|wait| wait.tier.as_str()),
        wait.map(|wait| wait.demand.to_value().to_canonical()),
        wait.map(|wait| wait.policy_version.as_str()),
        wait.map(|wait| wait.deadline.unix_ms()),
    ])?)
}

/// Only payments that wait or are in doubt change, and only their state: the frozen bytes stay as
/// they are.
fn update(connection: &Connection, record: &PaymentRecord) -> Result<usize, StoreError> {
    let columns = Columns::of(&record.state);
    let update = "UPDATE payment SET state = ?2, attempt = coalesce(?3, attempt), signature = ?4, \
                  outcome_at = ?5, void_reason = ?6, outcome_leaf = ?7, \
                  protected = coalesce(protected, ?8), kid = coalesce(kid, ?9), \
                  approved = max(approved, ?10), touched = ?11 \
                  WHERE id = ?1 AND (state = 'authorised' OR state = 'waiting' AND ?2 <> 'posted')";
    Ok(connection.prepare_cached(update)?.execute(params![
        record.id.to_bytes().as_slice(),
        columns.state,
        columns.attempt.map(Attempt::number),
        columns.signature.map(|signature| signature.as_bytes().as_slice()),
        columns.outcome_at.map(Timestamp::unix_ms),
        columns.reason.map(VoidReason::name),
        record.outcome_leaf.map(stored_position).transpose()?,
        columns.signing_input.map(SigningInput::protected),
        columns.kid.map(Kid::as_str),
        matches!(record.state, State::Waiting { approved: true }),
        record.touched,
    ])?)
}

/// The columns in which the states differ.
#[derive(Default)]
struct Columns<'a> {
    state: &'static str,
    kid: Option<&'a Kid>,
    signing_input: Option<&'a SigningInput>,
    attempt: Option<Attempt>,
    signature: Option<&'a Signature>,
    outcome_at: Option<Timestamp>,
    reason: Option<VoidReason>,
}

impl<'a> Columns<'a> {
    fn of(state: &'a State) -> Self {
        match state {
            State::Denied(_) => Self { state: "denied", ..Self::default() },
            State::Waiting { .. } => Self { state: "waiting", ..Self::default() },
            State::Authorised { attempt, kid, signing_input } => Self {
                state: "authorised",
                kid: Some(kid),
                signing_input: Some(signing_input),
                attempt: Some(*attempt),
                ..Self::default()
            },
            State::Posted { kid, signing_input, signature, posted_at } => Self {
                state: "posted",
                kid: Some(kid),
                signing_input: Some(signing_input),
                signature: Some(signature),
                outcome_at: Some(*posted_at),
                ..Self::default()
            },
            State::Voided { reason, voided_at } => Self {
                state: "voided",
                outcome_at: Some(*voided_at),
                reason: Some(*reason),
                ..Self::default()
            },
        }
    }
}

/// Takes a claim, unless somebody holds it within the window.
pub(super) fn store_claim(
    connection: &Connection,
    window: Duration,
    claim: &Claim,
    holder: &ClaimHolder,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO claim (digest, payment, accepted_at) VALUES (?1, ?2, ?3) \
                  ON CONFLICT (digest) DO UPDATE \
                  SET payment = excluded.payment, accepted_at = excluded.accepted_at \
                  WHERE claim.accepted_at <= ?4";
    let lapsed = holder.accepted_at.minus(window).unix_ms();
    let taken = connection.prepare_cached(upsert)?.execute(params![
        claim.as_bytes().as_slice(),
        holder.payment.to_bytes().as_slice(),
        holder.accepted_at.unix_ms(),
        lapsed,
    ])?;
    match taken {
        1 => Ok(()),
        _ => Err(StoreError::Disagreement("who holds an end-to-end id".to_owned())),
    }
}
