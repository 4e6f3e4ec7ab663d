//! Which tier a payment falls into, and whether those whom it asks for are there.

use crate::domain::counter::{Miscount, Parties, Spend};
use crate::domain::denial::Denial;
use crate::domain::people::PayerStanding;
use crate::domain::policy::KeyPolicy;
use crate::domain::quorum::{Approval, Demand};
use crate::domain::tier::{Asks, Misfit, Tier};
use crate::domain::{credential::Hardware, person::Approver};

use super::{Admission, Case, RULE_WITHIN_LIMITS};

/// The first tier that the payment fits; each that it does not fit is shown to `passed_over`.
pub(super) fn of(
    case: &Case<'_>,
    key: &KeyPolicy,
    mut passed_over: impl FnMut(&Tier, Misfit),
) -> Result<Admission, Miscount> {
    let namespace = case.namespace();
    let parties = Parties::of(case.caller, &namespace, case.payment, case.known_debtor());
    let asked = Spend::one(case.payment.amount().minor_units());
    for tier in key.tiers.steps() {
        match tier.fits(asked, &parties, |id| case.working.counters.get(id))? {
            Ok(()) => return Ok(Admission { rule: tier.name.clone(), asks: tier.asks.clone() }),
            Err(misfit) => passed_over(tier, misfit),
        }
    }
    // The last tier fits everything, so there is none at all: the policy says "nobody".
    match key.tiers.steps() {
        [] => Ok(Admission { rule: RULE_WITHIN_LIMITS.to_owned(), asks: Asks::Nobody }),
        _ => Err(Miscount),
    }
}

/// Whether those who are asked for could approve at all: what nobody can ever approve is not held.
pub(super) fn reachable(case: &Case<'_>, tier: &str, demand: &Demand) -> Result<(), Denial> {
    let tier = tier.to_owned();
    if demand.payer {
        let standing = case.payer().map(|payer| case.people.payer(&payer, case.now));
        match standing {
            Some(PayerStanding::Enrolled) => {}
            Some(PayerStanding::CoolingOff(until)) => {
                return Err(Denial::PayerCoolingOff { tier, until: until.to_string() });
            }
            _ => return Err(Denial::PayerNotEnrolled { tier }),
        }
    }
    let operators = case.policy.callers.get(case.caller).map(|caller| &caller.operators);
    let everybody = demand.groups.keys().flat_map(|group| case.people.members(group));
    let able = everybody.filter(|person| operators.is_none_or(|makers| !makers.contains(person)));
    let approvals = able.map(|person| Approval {
        groups: case.people.groups_of(&person),
        approver: Approver::Person(person),
        hardware: Hardware::Attested,
    });
    let missing = demand.missing(&approvals.collect::<Vec<_>>());
    match missing.groups.into_iter().next() {
        None => Ok(()),
        Some((group, missing)) => {
            Err(Denial::TooFewPeople { tier, group: group.to_string(), missing })
        }
    }
}
