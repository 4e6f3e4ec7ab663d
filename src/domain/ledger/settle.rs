//! What follows a reservation: post the outcome, attempt again, or void.

use std::sync::Arc;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::counter::Miscount;
use crate::domain::key::Kid;
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;

use super::record::{PaymentRecord, State, VoidReason};
use super::working_set::WorkingSet;

/// What became of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posting {
    /// The signature is the payment's, once the batch is committed.
    Posted(Arc<PaymentRecord>),
    /// The attempt was no longer the current one, or the payment had lapsed: the signature is
    /// dropped and never leaves.
    Dropped,
}

/// Records the outcome of an attempt, if that attempt is still the current one and the payment has
/// not lapsed: whoever was told that it would not be signed any more must not find it signed.
///
/// # Errors
/// [`Miscount`] if the hold is not there.
pub fn post(
    now: Timestamp,
    working: &mut WorkingSet,
    signed: &Signed,
) -> Result<Posting, Miscount> {
    let Some(known) = working.payment(signed.payment()) else { return Ok(Posting::Dropped) };
    let mut record = PaymentRecord::clone(known);
    match record.state {
        State::Authorised { attempt, kid, signing_input }
            if attempt == signed.attempt() && now < record.expires_at =>
        {
            let signature = *signed.signature();
            record.state = State::Posted { kid, signing_input, signature, posted_at: now };
        }
        _ => return Ok(Posting::Dropped),
    }
    let spend = record.spend();
    working.change_counters(
        record.payment.key(),
        &record.parties(),
        |counter| counter.can_settle(spend),
        |counter| counter.post(spend, now),
    )?;
    if record.touched {
        working.touch(record.payment.key(), &record.parties());
    }
    Ok(Posting::Posted(working.decide(record)))
}

/// What became of the wish to attempt a payment in doubt again.
#[derive(Debug)]
pub enum Resumption {
    /// A new attempt, with the same frozen bytes under the same key version.
    Again(SigningAuthorization),
    /// It is final, unknown, expired, or its key version is not the one that signs now.
    NotNow,
}

/// Starts a new attempt to sign a payment that is in doubt; results of earlier ones are dropped
/// from then on.
pub fn resume(
    now: Timestamp,
    working: &mut WorkingSet,
    payment: PaymentId,
    signing_kid: &Kid,
) -> Resumption {
    let Some(known) = working.payment(payment) else { return Resumption::NotNow };
    let mut record = PaymentRecord::clone(known);
    let State::Authorised { attempt, kid, signing_input } = record.state else {
        return Resumption::NotNow;
    };
    let Some(attempt) = attempt.next() else { return Resumption::NotNow };
    if record.expires_at <= now || kid != *signing_kid {
        return Resumption::NotNow;
    }
    let key = record.payment.key().clone();
    let again =
        SigningAuthorization::issue(payment, attempt, key, kid.clone(), signing_input.clone());
    record.state = State::Authorised { attempt, kid, signing_input };
    working.store(Arc::new(record));
    Resumption::Again(again)
}

/// Gives up a payment and releases its hold. `None` if it is final or unknown, or not to be given
/// up for that reason: one that is in doubt may have been signed, so that only an officer gives it
/// up, and one that waits has expired only when it is too late.
///
/// # Errors
/// [`Miscount`] if the hold is not there.
pub fn void(
    now: Timestamp,
    working: &mut WorkingSet,
    payment: PaymentId,
    reason: VoidReason,
) -> Result<Option<Arc<PaymentRecord>>, Miscount> {
    let Some(known) = working.payment(payment).filter(|known| may_void(now, known, reason)) else {
        return Ok(None);
    };
    let mut record = PaymentRecord::clone(known);
    let spend = record.spend();
    working.change_counters(
        record.payment.key(),
        &record.parties(),
        |counter| counter.can_settle(spend),
        |counter| counter.release(spend),
    )?;
    record.state = State::Voided { reason, voided_at: now };
    Ok(Some(working.decide(record)))
}

fn may_void(now: Timestamp, record: &PaymentRecord, reason: VoidReason) -> bool {
    let waits = matches!(record.state, State::Waiting { .. });
    match reason {
        VoidReason::Officer => !record.is_final(),
        VoidReason::Expired => {
            waits && record.wait.as_ref().is_none_or(|wait| wait.deadline <= now)
        }
        VoidReason::Cancelled | VoidReason::Rejected | VoidReason::PolicyChanged => waits,
    }
}
