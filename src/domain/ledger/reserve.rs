//! Reserve: the first step of a payment. For payments that need nobody it authorises as well, so
//! that both are one commit.

use std::sync::Arc;

use crate::domain::authorization::{Attempt, SigningAuthorization};
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::counter::{Miscount, Parties, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::Kid;
use crate::domain::leaf::Salt;
use crate::domain::order::{Order, OrderTerms, SigningInput};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::people::People;
use crate::domain::policy::Policy;
use crate::domain::quorum::Demand;
use crate::domain::tier::Asks;
use crate::domain::time::Timestamp;

use super::closing::ClosedPayment;
use super::judge::{Admission, Case, claim_to_take, judge};
use super::record::{PaymentRecord, State, Wait};
use super::working_set::{Claim, ClaimHolder, WorkingSet};

/// A caller's request to have a payment signed.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who asks.
    pub caller: CallerId,
    /// The caller's name for the payment.
    pub idempotency_key: IdempotencyKey,
    /// What is to be signed.
    pub payment: Payment,
    /// Identifier for the payment if it is a new one: 128 random bits.
    pub fresh_id: PaymentId,
    /// What is to hide its personal fields in the log: 128 random bits.
    pub salt: Salt,
    /// Who issues the order.
    pub issuer: String,
    /// The version of the key that would sign now; `None` while its token cannot take a
    /// signature. A known payment is answered all the same.
    pub signing_kid: Option<Kid>,
}

/// What became of a submission. Nothing of it may leave the process before the commit.
#[derive(Debug)]
pub enum Reservation {
    /// The same payment was submitted before: here is what became of it so far.
    Known(Arc<PaymentRecord>),
    /// The idempotency key was used by a payment whose row is gone: what was signed then cannot be
    /// told any more, and nothing is ever signed again.
    Closed(Arc<ClosedPayment>),
    /// The idempotency key belongs to another payment.
    Conflict {
        /// That payment.
        payment: PaymentId,
        /// The first field that differs.
        field: &'static str,
    },
    /// Denied, and on the record.
    Denied(Arc<PaymentRecord>),
    /// Held, and waits for people.
    Waiting(Arc<PaymentRecord>),
    /// Held and authorised.
    Authorised(Arc<PaymentRecord>, SigningAuthorization),
    /// It would have been admitted, but nothing can sign now. Leaves no trace.
    NoSigner,
}

/// Decides a submission.
///
/// # Errors
/// [`Miscount`] if the working set is inconsistent; it is then unchanged.
pub fn reserve(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &mut WorkingSet,
    submission: Submission,
) -> Result<Reservation, Miscount> {
    if let Some(known) = working.payment_of(&submission.caller, &submission.idempotency_key) {
        return Ok(match known.payment.first_difference(&submission.payment) {
            None => Reservation::Known(Arc::clone(known)),
            Some(field) => Reservation::Conflict { payment: known.id, field },
        });
    }
    if let Some(closed) = working.closed_of(&submission.caller, &submission.idempotency_key) {
        return Ok(Reservation::Closed(Arc::clone(closed)));
    }
    let Submission { caller, payment, signing_kid, .. } = &submission;
    let case = Case { now, policy, people, working, caller, payment, again: None };
    let (judged, known_debtor) = (judge(&case)?, case.known_debtor());
    let Admission { rule, asks } = match judged {
        Ok(admission) => admission,
        Err(denial) => return Ok(deny(now, policy, working, submission, known_debtor, denial)),
    };
    let admitted = Admitted { rule, known_debtor, claim: claim_to_take(&case) };
    match (asks, signing_kid.clone()) {
        (Asks::People(demand), _) => wait(now, policy, working, submission, admitted, demand),
        (_, None) => Ok(Reservation::NoSigner),
        (_, Some(kid)) => authorise(now, policy, working, submission, admitted, kid),
    }
}

/// What was found out about a payment that is admitted.
struct Admitted {
    rule: String,
    known_debtor: bool,
    claim: Option<Claim>,
}

fn deny(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: Submission,
    known_debtor: bool,
    denial: Denial,
) -> Reservation {
    let expires_at = submission.payment.expires_at().unwrap_or(now);
    let namespace = policy.namespace_of(&submission.caller);
    let mut record = record(now, submission, namespace, expires_at, State::Denied(denial));
    record.known_debtor = known_debtor;
    Reservation::Denied(working.decide(record))
}

/// Holds a payment that waits for people.
fn wait(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: Submission,
    admitted: Admitted,
    demand: Demand,
) -> Result<Reservation, Miscount> {
    let tier = admitted.rule.clone();
    let Held { order, namespace, expires_at, known_debtor } =
        hold(now, policy, working, &submission, admitted)?;
    let deadline = expires_at.min(now.plus(demand.expiry));
    let policy_version = policy.version.clone();
    let wait = Wait { order, policy_version, tier, demand, deadline };
    let state = State::Waiting { approved: false };
    let mut record = record(now, submission, namespace, expires_at, state);
    (record.known_debtor, record.wait) = (known_debtor, Some(Arc::new(wait)));
    Ok(Reservation::Waiting(working.decide(record)))
}

fn authorise(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: Submission,
    admitted: Admitted,
    kid: Kid,
) -> Result<Reservation, Miscount> {
    let Held { order, namespace, expires_at, known_debtor } =
        hold(now, policy, working, &submission, admitted)?;
    let signing_input = SigningInput::freeze(order, &kid, now);
    let (id, attempt) = (submission.fresh_id, Attempt::FIRST);
    let key = submission.payment.key().clone();
    let authorization =
        SigningAuthorization::issue(id, attempt, key, kid.clone(), signing_input.clone());
    let state = State::Authorised { attempt, kid, signing_input };
    let mut record = record(now, submission, namespace, expires_at, state);
    record.known_debtor = known_debtor;
    Ok(Reservation::Authorised(working.decide(record), authorization))
}

/// What a payment is made of that was held.
struct Held {
    order: Order,
    namespace: Namespace,
    expires_at: Timestamp,
    known_debtor: bool,
}

/// Holds the amount, takes the end-to-end id, and makes the order.
fn hold(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: &Submission,
    admitted: Admitted,
) -> Result<Held, Miscount> {
    let Admitted { rule, known_debtor, claim } = admitted;
    let key = submission.payment.key();
    let validity = policy.keys.get(key).ok_or(Miscount)?.validity;
    let expires_at = submission.payment.expires_at().unwrap_or_else(|| now.plus(validity));
    let spend = Spend::one(submission.payment.amount().minor_units());
    let namespace = policy.namespace_of(&submission.caller);
    // The one step that can fail comes first, so that a failure leaves nothing half done.
    working.change_counters(
        key,
        &Parties::of(&submission.caller, &namespace, &submission.payment, known_debtor),
        |counter| counter.can_hold(spend),
        |counter| counter.hold(spend),
    )?;
    if let Some(claim) = claim {
        working.take_claim(claim, ClaimHolder { payment: submission.fresh_id, accepted_at: now });
    }
    let terms = OrderTerms {
        id: submission.fresh_id,
        issuer: &submission.issuer,
        accepted_at: now,
        expires_at,
        policy_version: &policy.version,
        policy_rule: &rule,
    };
    let order = Order::new(&submission.payment, &terms);
    Ok(Held { order, namespace, expires_at, known_debtor })
}

fn record(
    now: Timestamp,
    submission: Submission,
    namespace: Namespace,
    expires_at: Timestamp,
    state: State,
) -> PaymentRecord {
    PaymentRecord {
        id: submission.fresh_id,
        caller: submission.caller,
        idempotency_key: submission.idempotency_key,
        namespace,
        payment: submission.payment,
        known_debtor: false,
        touched: false,
        accepted_at: now,
        expires_at,
        salt: submission.salt,
        leaf: 0,
        outcome_leaf: None,
        wait: None,
        state,
    }
}
