//! Authorise: the second step of a payment that waited for people. Everything is looked at again.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::authorization::{Attempt, SigningAuthorization};
use crate::domain::counter::Miscount;
use crate::domain::key::Kid;
use crate::domain::order::SigningInput;
use crate::domain::payment::PaymentId;
use crate::domain::people::People;
use crate::domain::policy::Policy;
use crate::domain::quorum::{Demand, Missing};
use crate::domain::statement::{StatementDigest, Verdict};
use crate::domain::subject::Subject;
use crate::domain::tier::Asks;
use crate::domain::time::Timestamp;

use super::approve::counted;
use super::evidence::{StatementRow, VerifiedEvidence};
use super::judge::{Case, checks_again, tier_again};
use super::record::{PaymentRecord, State, VoidReason, Wait};
use super::settle::void;
use super::working_set::WorkingSet;

/// What became of a payment whose approvals were verified again.
#[derive(Debug)]
pub enum Authorisation {
    /// It may be signed.
    Authorised(Arc<PaymentRecord>, SigningAuthorization),
    /// Approvals are missing.
    Missing(Missing),
    /// It was voided: the policy in force denies it, or asks for more than it has.
    Voided(Arc<PaymentRecord>),
    /// It is unknown, does not wait, or it is too late.
    NotWaiting,
    /// Evidence on the record is not what was verified: somebody changed it, or more arrived
    /// meanwhile.
    EvidenceChanged,
}

/// Authorises a payment by evidence that was read from the ledger and verified again (P3).
///
/// # Errors
/// [`Miscount`] if the working set is inconsistent; it is then unchanged.
pub fn authorise(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &mut WorkingSet,
    payment: PaymentId,
    verified: &[VerifiedEvidence],
    kid: &Kid,
) -> Result<Authorisation, Miscount> {
    let Some(record) = working.payment(payment).cloned() else {
        return Ok(Authorisation::NotWaiting);
    };
    let wait = match (&record.state, &record.wait) {
        (State::Waiting { .. }, Some(wait)) if wait.deadline > now => Arc::clone(wait),
        _ => return Ok(Authorisation::NotWaiting),
    };
    let Some(approvals) = sound(working, &record, &wait, verified) else {
        return Ok(Authorisation::EvidenceChanged);
    };
    let given: Vec<_> = approvals.iter().filter_map(|(_, row)| counted(now, people, row)).collect();
    let Some(demand) = demand_in_force(now, policy, people, working, &record, &wait)? else {
        let voided = void(now, working, payment, VoidReason::PolicyChanged)?;
        return Ok(voided.map_or(Authorisation::NotWaiting, Authorisation::Voided));
    };
    let missing = demand.missing(&given);
    if !missing.is_nothing() {
        // Under the policy that admitted it more approvals may come; under another they were
        // counted against what it no longer is.
        if policy.version == wait.policy_version {
            return Ok(Authorisation::Missing(missing));
        }
        let voided = void(now, working, payment, VoidReason::PolicyChanged)?;
        return Ok(voided.map_or(Authorisation::NotWaiting, Authorisation::Voided));
    }
    let digests: Vec<StatementDigest> = approvals.iter().map(|(digest, _)| *digest).collect();
    let record = PaymentRecord { touched: demand.payer, ..PaymentRecord::clone(&record) };
    Ok(freeze(now, working, record, &wait, digests, kid))
}

/// The approvals on record, if what was verified is all of them, byte for byte, and each is about
/// this very order.
fn sound(
    working: &WorkingSet,
    record: &PaymentRecord,
    wait: &Wait,
    verified: &[VerifiedEvidence],
) -> Option<Vec<(StatementDigest, StatementRow)>> {
    let order = wait.order.digest();
    let mut approvals = Vec::new();
    for (digest, row) in working.statements_on(Subject::Payment(record.id)) {
        let Some(evidence) = &row.evidence else { continue };
        let seen = verified.iter().any(|one| one.statement() == *digest && one.is(evidence));
        let about = row.statement.subject_digest == order && row.statement.digest() == *digest;
        if !seen || !about {
            return None;
        }
        if row.statement.verdict == Verdict::Approve {
            approvals.push((*digest, row.clone()));
        }
    }
    Some(approvals)
}

/// What must be met now: what the payment was told, or under another policy what that one asks for.
/// `None` if the policy in force denies it.
fn demand_in_force(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &mut WorkingSet,
    record: &PaymentRecord,
    wait: &Wait,
) -> Result<Option<Demand>, Miscount> {
    let parties = record.parties();
    let key = record.payment.key();
    let spend = record.spend();
    // Judged with its own hold left out, as if it were asked for now.
    working.change_counters(key, &parties, |c| c.can_settle(spend), |c| c.release(spend))?;
    let case = Case {
        now,
        policy,
        people,
        working,
        caller: &record.caller,
        payment: &record.payment,
        again: Some(record),
    };
    let judged = match policy.version == wait.policy_version {
        true => checks_again(&case).map(|passed| passed.then(|| wait.demand.clone())),
        false => tier_again(&case).map(|asks| match asks {
            Some(Asks::People(demand)) => Some(demand),
            // It asked somebody once; now it asks nobody, and what was given is more than that.
            Some(Asks::Nobody) => Some(Demand::nobody()),
            Some(Asks::Deny) | None => None,
        }),
    };
    working.change_counters(key, &parties, |c| c.can_hold(spend), |c| c.hold(spend))?;
    judged
}

fn freeze(
    now: Timestamp,
    working: &mut WorkingSet,
    record: PaymentRecord,
    wait: &Wait,
    approvals: Vec<StatementDigest>,
    kid: &Kid,
) -> Authorisation {
    let approvals: BTreeSet<StatementDigest> = approvals.into_iter().collect();
    let input = SigningInput::freeze_approved(wait.order.clone(), kid, now, &approvals);
    let (id, attempt) = (record.id, Attempt::FIRST);
    let key = record.payment.key().clone();
    let permission = SigningAuthorization::issue(id, attempt, key, kid.clone(), input.clone());
    let state = State::Authorised { attempt, kid: kid.clone(), signing_input: input };
    let record = working.decide(PaymentRecord { state, ..record });
    Authorisation::Authorised(record, permission)
}
