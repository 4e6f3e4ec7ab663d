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
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::closing::ClosedPayment;
use super::judge::{Case, claim_to_take, judge};
use super::record::{PaymentRecord, State};
use super::working_set::{Claim, ClaimHolder, WorkingSet};

/// The rule that admits payments which need nobody; tiers will have names of their own.
const RULE_WITHIN_LIMITS: &str = "within_limits";

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
    let case = Case { now, policy, working, caller, payment };
    match (judge(&case)?, signing_kid.clone()) {
        (Err(denial), _) => Ok(deny(now, policy, working, submission, denial)),
        (Ok(()), None) => Ok(Reservation::NoSigner),
        (Ok(()), Some(kid)) => {
            let claim = claim_to_take(&case);
            authorise(now, policy, working, submission, kid, claim)
        }
    }
}

fn deny(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: Submission,
    denial: Denial,
) -> Reservation {
    let expires_at = submission.payment.expires_at().unwrap_or(now);
    let namespace = policy.namespace_of(&submission.caller);
    let record = record(now, submission, namespace, expires_at, State::Denied(denial));
    Reservation::Denied(working.decide(record))
}

fn authorise(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    submission: Submission,
    kid: Kid,
    claim: Option<Claim>,
) -> Result<Reservation, Miscount> {
    let key = submission.payment.key().clone();
    let validity = policy.keys.get(&key).ok_or(Miscount)?.validity;
    let expires_at = submission.payment.expires_at().unwrap_or_else(|| now.plus(validity));
    let spend = Spend::one(submission.payment.amount().minor_units());
    let namespace = policy.namespace_of(&submission.caller);
    // The one step that can fail comes first, so that a failure leaves nothing half done.
    working.change_counters(
        &key,
        &Parties::of(&submission.caller, &namespace, &submission.payment),
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
        policy_rule: RULE_WITHIN_LIMITS,
    };
    let order = Order::new(&submission.payment, &terms);
    let signing_input = SigningInput::freeze(order, &kid, now);
    let (id, attempt) = (submission.fresh_id, Attempt::FIRST);
    let authorization =
        SigningAuthorization::issue(id, attempt, key, kid.clone(), signing_input.clone());
    let state = State::Authorised { attempt, kid, signing_input };
    let record = working.decide(record(now, submission, namespace, expires_at, state));
    Ok(Reservation::Authorised(record, authorization))
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
        accepted_at: now,
        expires_at,
        salt: submission.salt,
        leaf: 0,
        outcome_leaf: None,
        state,
    }
}
