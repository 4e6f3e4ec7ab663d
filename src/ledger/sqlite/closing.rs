//! Rows of payments that are closed, and the rows that they leave.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::counter::{Axis, CounterId, Scope, Spend};
use crate::domain::key::KeyId;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::{ClosedPayment, Closing, PastShare, RequestDigest, WorkingSet};
use crate::domain::payment::PaymentId;
use crate::domain::subject::Subject;
use crate::domain::time::{Duration, Slot, Timestamp};

use super::leaves::{position, stored_position};
use super::{StoreError, payments};

/// Payments that are read at a time.
const CHUNK: usize = 256;
/// A stub with the leaves that stand where it says.
const SELECT: &str = "SELECT closed.id, closed.leaf, closed.outcome_leaf, closed.closing, \
    decision.body, outcome.body, closing.body FROM closed \
    LEFT JOIN leaf AS decision ON decision.position = closed.leaf \
    LEFT JOIN leaf AS outcome ON outcome.position = closed.outcome_leaf \
    LEFT JOIN leaf AS closing ON closing.position = closed.closing";

/// What is left of a payment, and what the log has where it says that its leaves are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// Identifier.
    pub id: PaymentId,
    /// Position of the decision.
    pub leaf: u64,
    /// Position of the outcome.
    pub outcome_leaf: Option<u64>,
    /// Position of the leaf that says what became of its row.
    pub closing: u64,
    /// At the position of the decision.
    pub decision: Option<Leaf>,
    /// At the position of the outcome.
    pub outcome: Option<Leaf>,
    /// At the position of the closing.
    pub closed_by: Option<Leaf>,
}

/// An archive on the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredArchive {
    /// Its number, from 1.
    pub number: u64,
    /// Position of its leaf.
    pub leaf: u64,
    /// Where it was written to.
    pub file: String,
    /// How many payments it holds.
    pub payments: u64,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Loads what is left of the payment that a submission repeats, if its row is gone.
pub(super) fn load_request(
    connection: &Connection,
    caller: &CallerId,
    key: &IdempotencyKey,
    working: &mut WorkingSet,
) -> Result<(), StoreError> {
    if working.payment_of(caller, key).is_some() || working.closed_of(caller, key).is_some() {
        return Ok(());
    }
    let select = format!("{SELECT} WHERE closed.request = ?1");
    let digest = RequestDigest::of(caller, key);
    if let Some(stub) = one(connection, &select, digest.as_bytes())? {
        working.load_closed(caller.clone(), key.clone(), whole(stub)?);
    }
    Ok(())
}

/// What is left of a payment.
pub(crate) fn by_id(
    connection: &Connection,
    id: PaymentId,
) -> Result<Option<ClosedPayment>, StoreError> {
    stub_by_id(connection, id)?.map(whole).transpose()
}

/// The stub of a payment.
pub(crate) fn stub_by_id(
    connection: &Connection,
    id: PaymentId,
) -> Result<Option<Stub>, StoreError> {
    one(connection, &format!("{SELECT} WHERE closed.id = ?1"), &id.to_bytes())
}

fn one(connection: &Connection, select: &str, name: &[u8; 16]) -> Result<Option<Stub>, StoreError> {
    let mut statement = connection.prepare_cached(select)?;
    let found = statement.query_row([name.as_slice()], |row| Ok(stub(row))).optional()?;
    found.transpose()
}

fn whole(stub: Stub) -> Result<ClosedPayment, StoreError> {
    let gone = || StoreError::Row(format!("a leaf of the closed payment {} is missing", stub.id));
    let outcome = match (stub.outcome_leaf, stub.outcome) {
        (None, _) => None,
        (Some(_), outcome) => Some(outcome.ok_or_else(gone)?),
    };
    let decision = stub.decision.ok_or_else(gone)?;
    let closing = stub.closed_by.ok_or_else(gone)?;
    Ok(ClosedPayment { id: stub.id, decision, outcome, closing })
}

fn stub(row: &Row<'_>) -> Result<Stub, StoreError> {
    let leaf = |column| -> Result<Option<Leaf>, StoreError> {
        Ok(row.get::<_, Option<String>>(column)?.map(Leaf::from_stored))
    };
    Ok(Stub {
        id: PaymentId::from_bytes(row.get(0)?),
        leaf: position(row.get(1)?)?,
        outcome_leaf: row.get::<_, Option<i64>>(2)?.map(position).transpose()?,
        closing: position(row.get(3)?)?,
        decision: leaf(4)?,
        outcome: leaf(5)?,
        closed_by: leaf(6)?,
    })
}

/// Stubs in the order of their decisions, from a position on.
pub(crate) fn stubs(
    connection: &Connection,
    from: u64,
    most: usize,
) -> Result<Vec<Stub>, StoreError> {
    let select = format!("{SELECT} WHERE closed.leaf >= ?1 ORDER BY closed.leaf LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![stored_position(from)?, most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stub(row)?);
    }
    Ok(found)
}

/// Goes through the payments that were final before an instant, oldest first, until `each` breaks.
/// What was accepted later is not read.
pub(crate) fn due(
    connection: &Connection,
    before: Timestamp,
    mut each: impl FnMut(Closing) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let chunk = payments::history(connection, after, CHUNK)?;
        if chunk.is_empty() {
            return Ok(());
        }
        for (row, record) in chunk {
            after = row;
            if record.accepted_at > before {
                return Ok(());
            }
            if let Some(closing) = Closing::of(&record, before)
                && each(closing)?.is_break()
            {
                return Ok(());
            }
        }
    }
}

/// Takes the rows of payments and leaves a stub of each. `closing` is the position of the leaf
/// that says so, which goes into the same commit.
pub(super) fn close(
    connection: &Connection,
    closing: u64,
    lapsed: Timestamp,
    payments: &[Closing],
) -> Result<(), StoreError> {
    let closing = stored_position(closing)?;
    let delete = "DELETE FROM payment WHERE id = ?1 AND leaf = ?2 \
                  AND state IN ('denied', 'posted', 'voided')";
    let insert = "INSERT INTO closed (leaf, id, request, outcome_leaf, closing) \
                  VALUES (?1, ?2, ?3, ?4, ?5)";
    let forget = "DELETE FROM claim WHERE digest = ?1 AND payment = ?2 AND accepted_at <= ?3";
    let forget_statements = "DELETE FROM statement WHERE subject = ?1";
    for payment in payments {
        let id = payment.id.to_bytes();
        let leaf = stored_position(payment.leaf)?;
        if connection.prepare_cached(delete)?.execute(params![id.as_slice(), leaf])? != 1 {
            return Err(StoreError::Disagreement(format!("the end of payment {}", payment.id)));
        }
        connection.prepare_cached(insert)?.execute(params![
            leaf,
            id.as_slice(),
            payment.request.as_bytes().as_slice(),
            payment.outcome_leaf.map(stored_position).transpose()?,
            closing,
        ])?;
        payment.shares.iter().try_for_each(|share| add(connection, share))?;
        // What people signed repeats what the payment said.
        let subject = Subject::Payment(payment.id).to_string();
        connection.prepare_cached(forget_statements)?.execute([subject])?;
        // A claim that still stands keeps the end-to-end id from being paid again.
        let claim = payment.claim.as_bytes().as_slice();
        connection.prepare_cached(forget)?.execute(params![
            claim,
            id.as_slice(),
            lapsed.unix_ms()
        ])?;
    }
    Ok(())
}

fn add(connection: &Connection, share: &PastShare) -> Result<(), StoreError> {
    // A sum beyond 63 bits would become a floating-point number, which the table refuses.
    let upsert = "INSERT INTO past (key, axis, subject, slot, amount, count) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
                  amount = amount + excluded.amount, count = count + excluded.count";
    connection.prepare_cached(upsert)?.execute(params![
        share.key.as_str(),
        share.axis.name(),
        share.subject,
        share.slot.start_s(),
        stored_position(share.spend.amount)?,
        stored_position(share.spend.count)?,
    ])?;
    Ok(())
}

/// What closed payments add to an axis, by counter and slot, in the order of counters.
pub(super) fn past(
    connection: &Connection,
    scope: &Scope,
    axis: Axis,
    mut each: impl FnMut(&CounterId, Slot, Spend) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let select = "SELECT key, subject, slot, amount, count FROM past WHERE axis = ?1 \
                  ORDER BY subject, slot";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([axis.name()])?;
    while let Some(row) = rows.next()? {
        let key = KeyId::parse("key", &row.get::<_, String>(0)?);
        let key = key.map_err(|e| StoreError::Row(e.to_string()))?;
        if !scope.includes(&key) {
            continue;
        }
        let id = CounterId { scope: scope.clone(), axis, subject: row.get(1)? };
        let spend = Spend { amount: position(row.get(3)?)?, count: position(row.get(4)?)? };
        each(&id, Slot::from_start_s(row.get(2)?), spend)?;
    }
    Ok(())
}

/// When claims that are lapsed now were taken.
pub(super) fn lapsed(now: Timestamp, duplicate_window: Duration) -> Timestamp {
    now.minus(duplicate_window)
}

/// Archives on the record, oldest first.
pub(crate) fn archives(connection: &Connection) -> Result<Vec<StoredArchive>, StoreError> {
    let select = "SELECT number, leaf, file, payments, made_at FROM archive ORDER BY number";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(StoredArchive {
            number: position(row.get(0)?)?,
            leaf: position(row.get(1)?)?,
            file: row.get(2)?,
            payments: position(row.get(3)?)?,
            made_at: Timestamp::from_unix_ms(row.get(4)?),
        });
    }
    Ok(found)
}

/// How many payments have given up their rows.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreError> {
    let select = "SELECT count(*) FROM closed";
    position(connection.prepare_cached(select)?.query_row([], |row| row.get(0))?)
}
