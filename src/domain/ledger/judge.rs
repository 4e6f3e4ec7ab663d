//! The judgement of one payment: an ordered list of checks. The order is part of the interface:
//! the first check that fails names the denial.

use crate::domain::caller::CallerId;
use crate::domain::counter::{Counter, CounterId, Miscount, Parties, Span, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::Purpose;
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::payment::Payment;
use crate::domain::policy::{KeyPolicy, Listed, Policy};
use crate::domain::time::Timestamp;

use super::working_set::{Claim, ClaimHolder, WorkingSet};

/// Most minor units that are added up in one counter in the life of a ledger: 2^62.
const COUNTED_MAX: u64 = 4_611_686_018_427_387_904;

/// What is judged, and against what.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    pub(super) working: &'a WorkingSet,
    pub(super) caller: &'a CallerId,
    pub(super) payment: &'a Payment,
}

/// One check and its answer, for people who ask why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Name of the check.
    pub name: &'static str,
    /// The denial if it failed; `Ok` if it passed.
    pub answer: Result<(), Denial>,
}

/// A fault of the ledger outside, the answer inside.
type Verdict = Result<Result<(), Denial>, Miscount>;
type CheckFn = fn(&Case<'_>, &KeyPolicy) -> Verdict;

/// All checks, in order of precedence.
const CHECKS: [(&str, CheckFn); 8] = [
    ("caller", caller_allowed),
    ("purpose", purpose_is_settlement),
    ("currency", currency_of_key),
    ("debtor", debtor_named),
    ("expiry", expiry_within_validity),
    ("creditor", creditor_may_be_paid),
    ("end_to_end_id", end_to_end_id_unused),
    ("limits", limits_hold),
];

/// The first denial, if there is one.
pub(super) fn judge(case: &Case<'_>) -> Verdict {
    walk(case, |_, _| {})
}

/// Every check up to and including the one that decides, for `policy explain`.
///
/// # Errors
/// [`Miscount`] if the counters of the working set are inconsistent.
pub fn checks(
    now: Timestamp,
    policy: &Policy,
    working: &WorkingSet,
    caller: &CallerId,
    payment: &Payment,
) -> Result<Vec<Check>, Miscount> {
    let case = Case { now, policy, working, caller, payment };
    let mut done = Vec::new();
    walk(&case, |name, answer| done.push(Check { name, answer: answer.clone() }))?.ok();
    Ok(done)
}

/// Makes one check after the other, until one fails, and shows each to `seen`.
fn walk(case: &Case<'_>, mut seen: impl FnMut(&'static str, &Result<(), Denial>)) -> Verdict {
    let key = case.policy.keys.get(case.payment.key()).ok_or(Denial::KeyUnknown);
    seen("key", &key.as_ref().map(|_| ()).map_err(Clone::clone));
    let key = match key {
        Ok(key) => key,
        Err(denial) => return Ok(Err(denial)),
    };
    for (name, check) in CHECKS {
        let answer = check(case, key)?;
        seen(name, &answer);
        if answer.is_err() {
            return Ok(answer);
        }
    }
    Ok(Ok(()))
}

fn caller_allowed(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    Ok(key.callers.contains(case.caller).then_some(()).ok_or(Denial::CallerNotAllowed))
}

fn purpose_is_settlement(_: &Case<'_>, key: &KeyPolicy) -> Verdict {
    Ok(match key.purpose {
        Purpose::Settlement => Ok(()),
        other => Err(Denial::KeyPurpose { purpose: other.name().to_owned() }),
    })
}

fn currency_of_key(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let expected = key.currency.map(|currency| currency.code()).unwrap_or_default();
    Ok(if case.payment.currency().code() == expected {
        Ok(())
    } else {
        Err(Denial::KeyCurrency { expected: expected.to_owned() })
    })
}

fn debtor_named(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let named = case.payment.debtor().is_some() || !key.needs_debtor();
    Ok(named.then_some(()).ok_or(Denial::DebtorMissing))
}

fn creditor_may_be_paid(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let (lists, account) = (&key.creditors, case.payment.creditor().account());
    if lists.deny.contains(account) {
        return Ok(Err(Denial::CreditorDenied));
    }
    let Some(allow) = &lists.allow else { return Ok(Ok(())) };
    let Some(listed) = allow.get(account) else { return Ok(Err(Denial::CreditorNotAllowed)) };
    let until = lists.cooling_off.map(|wait| match listed {
        Listed::At(instant) => Some(instant.plus(wait)),
        Listed::Never => None,
    });
    Ok(match until {
        None => Ok(()),
        Some(Some(until)) if until <= case.now => Ok(()),
        Some(until) => Err(Denial::CreditorCoolingOff {
            until: until.map(|until| until.to_string()).unwrap_or_default(),
        }),
    })
}

fn expiry_within_validity(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let latest = case.now.plus(key.validity);
    Ok(match case.payment.expires_at() {
        Some(at) if at <= case.now => Err(Denial::Expired { decided_at: case.now.to_string() }),
        Some(at) if at > latest => Err(Denial::ExpiryTooFar { latest: latest.to_string() }),
        _ => Ok(()),
    })
}

fn end_to_end_id_unused(case: &Case<'_>, _: &KeyPolicy) -> Verdict {
    let caller = case.policy.callers.get(case.caller);
    let free = caller.is_some_and(|caller| caller.repeats_end_to_end_ids);
    Ok(match claim_of(case).and_then(|claim| held(case, &claim)) {
        Some(holder) if !free => Err(Denial::DuplicateEndToEndId {
            earlier_payment: holder.payment.to_string(),
            accepted_at: holder.accepted_at.to_string(),
        }),
        _ => Ok(()),
    })
}

/// Who holds a claim that has not lapsed.
fn held(case: &Case<'_>, claim: &Claim) -> Option<ClaimHolder> {
    let lapses = |holder: &ClaimHolder| holder.accepted_at.plus(case.policy.duplicate_window);
    case.working.holder(claim).filter(|holder| lapses(holder) > case.now)
}

fn limits_hold(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let namespace = case.policy.namespace_of(case.caller);
    let parties = Parties::of(case.caller, &namespace, case.payment);
    let asked = Spend::one(case.payment.amount().minor_units());
    let none = Counter::default();
    for limit in &key.limits {
        let counter = match limit.counter(&parties) {
            Some(id) => case.working.counters.get(&id).ok_or(Miscount)?,
            None => &none,
        };
        if let Err(breach) = limit.admit(counter, asked)? {
            return Ok(Err(Denial::LimitExceeded(breach)));
        }
    }
    for id in case.working.counted.counters_of(case.payment.key(), &parties) {
        let counter = case.working.counters.get(&id).ok_or(Miscount)?;
        if let Err(breach) = countable(id).admit(counter, asked)? {
            return Ok(Err(Denial::LimitExceeded(breach)));
        }
    }
    Ok(Ok(()))
}

/// Sums must fit the ledger's columns, also where the policy says `unlimited`: a payment that did
/// not fit could never be stored.
fn countable(counter: CounterId) -> Limit {
    Limit {
        name: "ledger".to_owned(),
        scope: counter.scope,
        axis: counter.axis,
        window: Window::Sum(Span::Lifetime),
        measure: Measure::Amount,
        cap: COUNTED_MAX,
    }
}

/// The claim that a payment makes on its end-to-end id; `None` for ISO 20022's `NOTPROVIDED`.
fn claim_of(case: &Case<'_>) -> Option<Claim> {
    let id = case.payment.end_to_end_id();
    let account = case.payment.creditor().account();
    (!id.is_not_provided()).then(|| Claim::of(case.payment.key(), account, id))
}

/// The claim that a payment takes when it is admitted. A caller that may repeat end-to-end ids
/// takes those that nobody holds, so that others do not pay what it has paid.
pub(super) fn claim_to_take(case: &Case<'_>) -> Option<Claim> {
    claim_of(case).filter(|claim| held(case, claim).is_none())
}
