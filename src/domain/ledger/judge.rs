//! The judgement of one payment: an ordered list of checks. The order is part of the interface:
//! the first check that fails names the denial.

use crate::domain::caller::{CallerId, Namespace};
use crate::domain::counter::{Counter, CounterId, Miscount, Parties, Span, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::Purpose;
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::payment::Payment;
use crate::domain::people::{PayerStanding, People};
use crate::domain::person::PayerId;
use crate::domain::policy::{KeyPolicy, Listed, Policy};
use crate::domain::tier::{Asks, Misfit};
use crate::domain::time::Timestamp;

use super::record::PaymentRecord;
use super::waiting::Hold;
use super::working_set::{Claim, ClaimHolder, WorkingSet};

/// Most minor units that are added up in one counter in the life of a ledger: 2^62.
const COUNTED_MAX: u64 = 4_611_686_018_427_387_904;

/// What is judged, and against what.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    pub(super) working: &'a WorkingSet,
    pub(super) people: &'a dyn People,
    pub(super) caller: &'a CallerId,
    pub(super) payment: &'a Payment,
    /// The record of the payment itself, where it is judged again.
    pub(super) again: Option<&'a PaymentRecord>,
}

impl<'a> Case<'a> {
    /// The debtor as a person.
    pub(super) fn payer(&self) -> Option<PayerId> {
        let namespace = self.namespace();
        self.payment.debtor().map(|debtor| PayerId { namespace, debtor: debtor.clone() })
    }

    /// Whose debtors the caller names: as it was when the payment was first judged.
    pub(super) fn namespace(&self) -> Namespace {
        let now = || self.policy.namespace_of(self.caller);
        self.again.map_or_else(now, |record| record.namespace.clone())
    }

    /// What it would hold of what may wait for people.
    pub(super) fn hold(&self) -> Hold {
        Hold {
            key: self.payment.key().clone(),
            caller: self.caller.clone(),
            payer: self.payer(),
            amount: self.payment.amount().minor_units(),
        }
    }

    /// Whether the debtor is known: as it was when the payment was first judged.
    pub(super) fn known_debtor(&self) -> bool {
        let standing = || self.payer().map(|payer| self.people.payer(&payer, self.now));
        let now = || standing() == Some(PayerStanding::Enrolled);
        self.again.map_or_else(now, |record| record.known_debtor)
    }
}

/// Under which rule a payment is admitted, and who must approve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Name of the tier, or `within_limits`.
    pub rule: String,
    /// What it asks for; never [`Asks::Deny`].
    pub asks: Asks,
}

/// The rule that admits payments of keys whose policy asks nobody.
const RULE_WITHIN_LIMITS: &str = "within_limits";

mod tier;

/// One check and its answer, for people who ask why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Name of the check.
    pub name: &'static str,
    /// The denial if it failed; `Ok` if it passed.
    pub answer: Result<(), Denial>,
}

/// What would happen to a payment, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every check up to and including the one that decides.
    pub checks: Vec<Check>,
    /// Tiers that it does not fit, with the reasons, up to its own.
    pub passed_over: Vec<(String, Misfit)>,
    /// What admits it, if anything does.
    pub admission: Option<Admission>,
}

/// A fault of the ledger outside, the answer inside.
type Verdict = Result<Result<(), Denial>, Miscount>;
type CheckFn = fn(&Case<'_>, &KeyPolicy) -> Verdict;

/// All checks that come before the tier, in order of precedence.
const CHECKS: [(&str, CheckFn); 8] = [
    ("caller", caller_allowed),
    ("purpose", purpose_is_settlement),
    ("currency", currency_of_key),
    ("debtor", debtor_named_and_free),
    ("expiry", expiry_within_validity),
    ("creditor", creditor_may_be_paid),
    ("end_to_end_id", end_to_end_id_unused),
    ("limits", limits_hold),
];

/// The first denial, or what admits the payment.
pub(super) fn judge(case: &Case<'_>) -> Result<Result<Admission, Denial>, Miscount> {
    let (key, admission) = match admitted(case)? {
        Ok(admitted) => admitted,
        Err(denial) => return Ok(Err(denial)),
    };
    let Asks::People(demand) = &admission.asks else { return Ok(Ok(admission)) };
    let may_wait = tier::reachable(case, &admission.rule, demand)
        .and_then(|()| case.working.waiting.admit(key, &case.hold()));
    Ok(may_wait.map(|()| admission))
}

/// The same, whoever may be there to approve.
pub(super) fn admission(case: &Case<'_>) -> Result<Result<Admission, Denial>, Miscount> {
    Ok(admitted(case)?.map(|(_, admission)| admission))
}

fn admitted<'a>(case: &Case<'a>) -> Result<Result<(&'a KeyPolicy, Admission), Denial>, Miscount> {
    let key = match walk(case, |_, _| {})? {
        Ok(key) => key,
        Err(denial) => return Ok(Err(denial)),
    };
    let Admission { rule, asks } = tier::of(case, key, |_, _| {})?;
    Ok(match asks {
        Asks::Deny => Err(Denial::TierDenies { tier: rule }),
        asks => Ok((key, Admission { rule, asks })),
    })
}

/// Whether a payment that was admitted would pass every check before the tier again.
pub(super) fn checks_again(case: &Case<'_>) -> Result<bool, Miscount> {
    Ok(walk(case, |_, _| {})?.is_ok())
}

/// What its tier would ask for now; `None` if it would be denied before.
pub(super) fn tier_again(case: &Case<'_>) -> Result<Option<Asks>, Miscount> {
    match walk(case, |_, _| {})? {
        Ok(key) => Ok(Some(tier::of(case, key, |_, _| {})?.asks)),
        Err(_) => Ok(None),
    }
}

/// Everything that would be looked at, for `policy explain` and dry runs.
///
/// # Errors
/// [`Miscount`] if the counters of the working set are inconsistent.
pub fn explain(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &WorkingSet,
    caller: &CallerId,
    payment: &Payment,
) -> Result<Explanation, Miscount> {
    let case = Case { now, policy, people, working, caller, payment, again: None };
    let (mut checks, mut passed_over) = (Vec::new(), Vec::new());
    let key = walk(&case, |name, answer| checks.push(Check { name, answer: answer.clone() }))?;
    let Ok(key) = key else { return Ok(Explanation { checks, passed_over, admission: None }) };
    tier::of(&case, key, |tier, misfit| passed_over.push((tier.name.clone(), misfit)))?;
    let judged = judge(&case)?;
    let answer = judged.as_ref().map(|_| ()).map_err(Clone::clone);
    checks.push(Check { name: "tier", answer });
    Ok(Explanation { checks, passed_over, admission: judged.ok() })
}

/// Makes one check after the other, until one fails, and shows each to `seen`.
fn walk<'a>(
    case: &Case<'a>,
    mut seen: impl FnMut(&'static str, &Result<(), Denial>),
) -> Result<Result<&'a KeyPolicy, Denial>, Miscount> {
    let key = case.policy.keys.get(case.payment.key()).ok_or(Denial::KeyUnknown);
    seen("key", &key.as_ref().map(|_| ()).map_err(Clone::clone));
    let key = match key {
        Ok(key) => key,
        Err(denial) => return Ok(Err(denial)),
    };
    for (name, check) in CHECKS {
        let answer = check(case, key)?;
        seen(name, &answer);
        if let Err(denial) = answer {
            return Ok(Err(denial));
        }
    }
    Ok(Ok(key))
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

fn debtor_named_and_free(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    Ok(match case.payer() {
        None if key.needs_debtor() => Err(Denial::DebtorMissing),
        Some(payer) if case.people.payer(&payer, case.now) == PayerStanding::Frozen => {
            Err(Denial::DebtorFrozen)
        }
        _ => Ok(()),
    })
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

/// Who else holds a claim that has not lapsed.
fn held(case: &Case<'_>, claim: &Claim) -> Option<ClaimHolder> {
    let lapses = |holder: &ClaimHolder| holder.accepted_at.plus(case.policy.duplicate_window);
    let others = |holder: &ClaimHolder| case.again.is_none_or(|own| own.id != holder.payment);
    case.working.holder(claim).filter(others).filter(|holder| lapses(holder) > case.now)
}

fn limits_hold(case: &Case<'_>, key: &KeyPolicy) -> Verdict {
    let namespace = case.namespace();
    let parties = Parties::of(case.caller, &namespace, case.payment, case.known_debtor());
    let asked = Spend::one(case.payment.amount().minor_units());
    let none = Counter::default();
    for limit in &key.limits {
        let counter = match (limit.window, limit.counter(&parties)) {
            (_, Some(id)) => case.working.counters.get(&id).ok_or(Miscount)?,
            (Window::PerPayment, None) => &none,
            // A sum over somebody else, such as unknown debtors where this one is known.
            (Window::Sum(_), None) => continue,
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
