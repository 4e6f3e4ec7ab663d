//! Tiers as the policy file writes them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::counter::{Axis, Scope, Span};
use crate::domain::credential::Hardware;
use crate::domain::limits::{Limit, Window};
use crate::domain::money::Currency;
use crate::domain::person::GroupId;
use crate::domain::policy::WaitingCaps;
use crate::domain::quorum::{Demand, SEATS_MAX};
use crate::domain::tier::{Asks, TIER_NAME_CHARS_MAX, Tier, Tiers};
use crate::domain::time::Duration;

use super::super::Problems;
use super::{duration, file, limits};

/// How long people have where the policy does not say.
const EXPIRY: Duration = Duration::from_seconds(24 * 3_600);

/// The tiers of one key.
pub(super) fn of_key(
    place: &str,
    key: &file::Key,
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Tiers {
    match &key.tiers {
        None if key.currency.is_none() => Tiers::Nobody,
        None => {
            let detail = "missing; list tiers, or say tiers = \"nobody\" if limits alone decide";
            problems.note(format!("{place}.tiers"), detail);
            Tiers::Nobody
        }
        Some(file::Tiers::Nobody) => Tiers::Nobody,
        Some(file::Tiers::List(listed)) => {
            let tiers = listed.iter().enumerate().filter_map(|(index, tier)| {
                check(&format!("{place}.tiers[{index}]"), tier, scope, currency, problems)
            });
            let tiers: Vec<Tier> = tiers.collect();
            if tiers.len() == listed.len() {
                check_steps(&format!("{place}.tiers"), &tiers, currency, problems);
            }
            Tiers::Stepped(tiers)
        }
    }
}

/// How much may wait for people.
pub(super) fn waiting(place: &str, key: &file::Key, problems: &mut Problems) -> WaitingCaps {
    let caps = WaitingCaps::default();
    let Some(file) = &key.waiting else { return caps };
    let mut read = |name: &str, found: Option<i64>, most: u32, otherwise: u32| match found {
        None => otherwise,
        Some(found) => match u32::try_from(found).ok().filter(|n| (1..=most).contains(n)) {
            Some(number) => number,
            None => {
                let detail = format!("found {found}; expected a whole number from 1 to {most}");
                problems.note(format!("{place}.waiting.{name}"), detail);
                otherwise
            }
        },
    };
    WaitingCaps {
        per_caller: read("per_caller", file.per_caller, 1_000, caps.per_caller),
        per_debtor: read("per_debtor", file.per_debtor, 100, caps.per_debtor),
        share_percent: read("share_percent", file.share_percent, 100, caps.share_percent),
    }
}

fn check(
    place: &str,
    tier: &file::Tier,
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Option<Tier> {
    if tier.name.is_empty() || tier.name.len() > TIER_NAME_CHARS_MAX || !tier.name.is_ascii() {
        problems.note(format!("{place}.name"), "expected 1 to 64 ASCII characters");
    }
    let up_to = match &tier.up_to {
        None => None,
        Some(text) => Some(problems.keep(currency?.minor_units(&format!("{place}.up_to"), text))?),
    };
    let within = match tier.within.as_slice() {
        [] => Vec::new(),
        listed => sums(place, listed, scope, currency, problems),
    };
    let asks = asks(place, tier, problems)?;
    let tier = Tier { name: tier.name.clone(), up_to, within, asks };
    check_twins(place, &tier, problems);
    Some(tier)
}

/// Sums are written as limits are, with one window more.
fn sums(
    place: &str,
    listed: &[file::Limit],
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Vec<Limit> {
    // Read as sums over the lifetime, which they are until the first touch.
    let written: Vec<file::Limit> = listed.iter().map(file::Limit::without_touch).collect();
    let mut read = limits::list(&format!("{place}.within"), &written, scope, currency, problems);
    for (index, (file, sum)) in listed.iter().zip(&mut read).enumerate() {
        let place = format!("{place}.within[{index}]");
        if file.is_since_touch() {
            if sum.axis != Axis::Debtor {
                problems.note(&place, "only a debtor touches: since_touch needs per = \"debtor\"");
            }
            sum.window = Window::Sum(Span::SinceTouch);
        }
        if sum.window == Window::PerPayment {
            problems.note(&place, "found window \"payment\"; a payment by itself has up_to");
        }
    }
    read
}

fn asks(place: &str, tier: &file::Tier, problems: &mut Problems) -> Option<Asks> {
    let people = tier.payer || !tier.groups.is_empty();
    let further = people || tier.hardware.is_some() || tier.expiry.is_some();
    match tier.approvals.as_deref() {
        Some(word @ ("nobody" | "deny")) if further => {
            let detail = format!(
                "says \"{word}\" and names people; leave out payer, groups, hardware and expiry"
            );
            problems.note(format!("{place}.approvals"), detail);
            None
        }
        Some("nobody") => Some(Asks::Nobody),
        Some("deny") => Some(Asks::Deny),
        Some(other) => {
            let detail = format!("found \"{other}\"; expected \"nobody\" or \"deny\"");
            problems.note(format!("{place}.approvals"), detail);
            None
        }
        None if people => Some(Asks::People(demand(place, tier, problems)?)),
        None => {
            let detail = "names nobody; say payer = true, groups = { … }, approvals = \"nobody\" \
                          or approvals = \"deny\"";
            problems.note(place, detail);
            None
        }
    }
}

fn demand(place: &str, tier: &file::Tier, problems: &mut Problems) -> Option<Demand> {
    let mut groups = BTreeMap::new();
    for (name, count) in &tier.groups {
        let place = format!("{place}.groups.{name}");
        let group = problems.keep(GroupId::parse(&place, name))?;
        match u32::try_from(*count).ok().filter(|n| (1..=SEATS_MAX).contains(n)) {
            Some(count) => drop(groups.insert(group, count)),
            None => {
                let detail =
                    format!("found {count}; expected a whole number from 1 to {SEATS_MAX}");
                problems.note(place, detail);
            }
        }
    }
    let hardware = tier.hardware.as_deref().unwrap_or(Hardware::Unproven.name());
    let hardware = problems.keep(Hardware::parse(&format!("{place}.hardware"), hardware))?;
    let expiry = match tier.expiry.as_deref() {
        None => EXPIRY,
        Some(text) => problems.keep(duration(&format!("{place}.expiry"), text))?,
    };
    let demand = Demand { payer: tier.payer, groups, hardware, expiry };
    if demand.seats() > SEATS_MAX {
        problems.note(place, format!("asks for {}; expected at most {SEATS_MAX}", demand.seats()));
    }
    Some(demand)
}

/// Debtors are a caller's claim: a sum over each of them alone would be walked around by inventing
/// more of them.
fn check_twins(place: &str, tier: &Tier, problems: &mut Problems) {
    let has = |axis| tier.within.iter().any(|sum| sum.axis == axis);
    if tier.asks != Asks::Nobody || !has(Axis::Debtor) {
        return;
    }
    for axis in [Axis::Caller, Axis::Creditor] {
        if !has(axis) {
            let name = axis.name();
            let detail = format!(
                "adds up per debtor and not per {name}; inventing debtors would walk around it: \
                 add a sum with per = \"{name}\", such as {{ name = \"…\", window = \"24h\", per = \
                 \"{name}\", amount = \"…\" }}"
            );
            problems.note(format!("{place}.within"), detail);
        }
    }
}

fn check_steps(place: &str, tiers: &[Tier], currency: Option<Currency>, problems: &mut Problems) {
    let mut names = BTreeSet::new();
    for (index, tier) in tiers.iter().enumerate() {
        if !names.insert(&tier.name) {
            problems
                .note(format!("{place}[{index}]"), format!("the name \"{}\" is taken", tier.name));
        }
    }
    let unbounded = |tier: &Tier| tier.up_to.is_none() && tier.within.is_empty();
    match tiers.split_last() {
        None => problems.note(place, "found none; list tiers, or say tiers = \"nobody\""),
        Some((last, before)) => {
            if !unbounded(last) {
                let detail = format!(
                    "the last tier, \"{}\", does not fit every payment; expected one without up_to \
                     and within, such as {{ name = \"above\", approvals = \"deny\" }}",
                    last.name
                );
                problems.note(place, detail);
            }
            if let Some(tier) = before.iter().find(|tier| unbounded(tier)) {
                let detail =
                    format!("\"{}\" fits every payment: none after it ever does", tier.name);
                problems.note(place, detail);
            }
        }
    }
    let shown = |most: u64| currency.map_or_else(String::new, |currency| currency.decimal(most));
    for pair in tiers.windows(2) {
        let [lower, upper] = pair else { continue };
        if let (Some(low), Some(high)) = (lower.up_to, upper.up_to)
            && high < low
        {
            let detail = format!(
                "\"{}\" goes up to {}, less than \"{}\" before it with {}; expected rising amounts",
                upper.name,
                shown(high),
                lower.name,
                shown(low)
            );
            problems.note(place, detail);
        }
        if upper.asks == Asks::Nobody && lower.asks != Asks::Nobody {
            let detail =
                format!("\"{}\" asks nobody after \"{}\" asked somebody", upper.name, lower.name);
            problems.note(place, detail);
        }
    }
}
