//! The judgement of one payment: an ordered list of checks. The order is part of the interface:
//! the first check that fails names the denial.

use crate::domain::caller::CallerId;
use crate::domain::counter::{Axis, Counter, CounterId, Miscount, Span, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::Purpose;
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::payment::Payment;
use crate::domain::policy::{KeyPolicy, Policy};
use crate::domain::time::Timestamp;

use super::working_set::{Claim, WorkingSet};

/// Most minor units that one key signs in the life of a ledger: 2^62.
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
const CHECKS: [(&str, CheckFn); 6] = [
    ("caller", caller_allowed),
    ("purpose", purpose_is_settlement),
    ("currency", currency_of_key),
    ("expiry", expiry_within_validity),
    ("end_to_end_id", end_to_end_id_unused),
    ("limits", limits_hold),
];

/// The first denial, if there is one.
pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let Some(key) = case.policy.keys.get(case.payment.key()) else {
        return Ok(Err(Denial::KeyUnknown));
    };
    for (_, check) in CHECKS {
        if let Err(denial) = check(case, key)? {
            return Ok(Err(denial));
        }
    }
    Ok(Ok(()))
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
    let Some(key) = policy.keys.get(payment.key()) else {
        return Ok(vec![Check { name: "key", answer: Err(Denial::KeyUnknown) }]);
    };
    let mut done = vec![Check { name: "key", answer: Ok(()) }];
    for (name, check) in CHECKS {
        let answer = check(&case, key)?;
        let failed = answer.is_err();
        done.push(Check { name, answer });
        if failed {
            break;
        }
    }
    Ok(done)
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

fn expiry_within_validity(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let latest = case.now.plus(key.validity);
    Ok(match case.payment.expires_at() {
        Some(at) if at <= case.now => Err(Denial::Expired { decided_at: case.now.to_string() }),
        Some(at) if at > latest => Err(Denial::ExpiryTooFar { latest: latest.to_string() }),
        _ => Ok(()),
    })
}

fn end_to_end_id_unused(case: &Case<'_>, _: &KeyPolicy) -> Verdict {
    let Some(claim) = claim_of(case) else { return Ok(Ok(())) };
    Ok(match case.working.holder(&claim) {
        Some(holder) if holder.accepted_at.plus(case.policy.duplicate_window) > case.now => {
            Err(Denial::DuplicateEndToEndId {
                earlier_payment: holder.payment.to_string(),
                accepted_at: holder.accepted_at.to_string(),
            })
        }
        _ => Ok(()),
    })
}

fn limits_hold(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let of_key = CounterId::of_key(case.payment.key());
    let asked = Spend::one(case.payment.amount().minor_units());
    let none = Counter::default();
    for limit in &key.limits {
        let counter = match limit.counter(&of_key) {
            Some(id) => case.working.counters.get(&id).ok_or(Miscount)?,
            None => &none,
        };
        if let Err(breach) = limit.admit(counter, asked)? {
            return Ok(Err(Denial::LimitExceeded(breach)));
        }
    }
    countable(case, asked)
}

/// Sums must fit the ledger's columns, also where the policy says `unlimited`: one payment that
/// did not fit would fail the whole batch again and again.
fn countable(case: &Case<'_>, asked: Spend) -> Verdict {
    let counter = case.working.counters.get(&CounterId::of_key(case.payment.key()));
    let ledger = Limit {
        name: "ledger".to_owned(),
        axis: Axis::Key,
        window: Window::Sum(Span::Lifetime),
        measure: Measure::Amount,
        cap: COUNTED_MAX,
    };
    Ok(ledger.admit(counter.ok_or(Miscount)?, asked)?.map_err(Denial::LimitExceeded))
}

/// The claim that a payment makes on its end-to-end id; `None` if it makes none.
pub(super) fn claim_of(case: &Case<'_>) -> Option<Claim> {
    let id = case.payment.end_to_end_id();
    let caller = case.policy.callers.get(case.caller);
    let free = id.is_not_provided() || caller.is_some_and(|caller| caller.repeats_end_to_end_ids);
    (!free).then(|| Claim::of(case.payment.key(), case.payment.creditor().account(), id))
}
