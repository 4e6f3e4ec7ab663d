//! What a change of policy does: tighten, or loosen.
//!
//! Tightening is a closed list, so that whoever may only tighten can do nothing else: a lower cap,
//! a longer window at the same cap, a new limit, a caller removed, a creditor denied, an allowed
//! creditor removed. Everything else is loosening, also where it looks harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::counter::Span;
use super::limits::{Limit, Measure, Window};
use super::money::Currency;
use super::policy::{Creditors, KeyPolicy, Policy};

/// What one change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is on the closed list.
    Tightens,
    /// It is not.
    Loosens,
}

/// One change between two policies, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does.
    pub effect: Effect,
    /// Where and what, such as `keys.settlement-eur: limit "day": cap 250.00 becomes 200.00`.
    pub what: String,
}

/// Every change from one policy to another; none if they say the same.
pub fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut found = Changes(Vec::new());
    found.unless_same("duplicate_window", &old.duplicate_window, &new.duplicate_window);
    found.callers(old, new);
    for (id, key) in &old.keys {
        match new.keys.get(id) {
            None => found.loosens(format!("keys.{id}: removed")),
            Some(next) => found.key(&format!("keys.{id}"), key, next),
        }
    }
    for id in new.keys.keys().filter(|id| !old.keys.contains_key(id)) {
        found.loosens(format!("keys.{id}: new"));
    }
    found.0
}

/// Whether every change tightens, so that it may act at once.
pub fn only_tightens(changes: &[Change]) -> bool {
    changes.iter().all(|change| change.effect == Effect::Tightens)
}

struct Changes(Vec<Change>);

impl Changes {
    fn tightens(&mut self, what: String) {
        self.0.push(Change { effect: Effect::Tightens, what });
    }

    fn loosens(&mut self, what: String) {
        self.0.push(Change { effect: Effect::Loosens, what });
    }

    fn unless_same<T: PartialEq + Display>(&mut self, place: &str, old: &T, new: &T) {
        if old != new {
            self.loosens(format!("{place}: {old} becomes {new}"));
        }
    }

    fn callers(&mut self, old: &Policy, new: &Policy) {
        for (id, caller) in &old.callers {
            match new.callers.get(id) {
                None => self.tightens(format!("callers.{id}: removed")),
                Some(next) if next != caller => self.loosens(format!("callers.{id}: changed")),
                Some(_) => {}
            }
        }
        for id in new.callers.keys().filter(|id| !old.callers.contains_key(id)) {
            self.loosens(format!("callers.{id}: new"));
        }
    }

    fn key(&mut self, place: &str, old: &KeyPolicy, new: &KeyPolicy) {
        self.unless_same(&format!("{place}: purpose"), &old.purpose.name(), &new.purpose.name());
        let code = |key: &KeyPolicy| key.currency.map(Currency::code).unwrap_or_default();
        self.unless_same(&format!("{place}: currency"), &code(old), &code(new));
        self.unless_same(&format!("{place}: validity"), &old.validity, &new.validity);
        if old.anchored_from != new.anchored_from {
            self.loosens(format!("{place}: anchored_from changed"));
        }
        let (removed, added) = differences(&old.callers, &new.callers);
        removed.for_each(|id| self.tightens(format!("{place}: caller {id} removed")));
        added.for_each(|id| self.loosens(format!("{place}: caller {id} added")));
        self.creditors(place, &old.creditors, &new.creditors);
        self.limits(place, old, new);
    }

    fn creditors(&mut self, place: &str, old: &Creditors, new: &Creditors) {
        let (removed, added) = differences(&old.deny, &new.deny);
        removed.for_each(|who| self.loosens(format!("{place}: creditor {who} no longer denied")));
        added.for_each(|who| self.tightens(format!("{place}: creditor {who} denied")));
        match (&old.allow, &new.allow) {
            (Some(old), Some(new)) => {
                let (old, new) = (old.keys().collect(), new.keys().collect());
                let (removed, added) = differences(&old, &new);
                removed.for_each(|a| self.tightens(format!("{place}: creditor {a} unlisted")));
                added.for_each(|a| self.loosens(format!("{place}: creditor {a} listed")));
            }
            (None, None) => {}
            (None, Some(_)) => self.loosens(format!("{place}: creditors_allowed is new")),
            (Some(_), None) => self.loosens(format!("{place}: creditors_allowed is gone")),
        }
        if old.cooling_off != new.cooling_off {
            self.loosens(format!("{place}: creditor_cooling_off changed"));
        }
    }

    fn limits(&mut self, place: &str, old: &KeyPolicy, new: &KeyPolicy) {
        let by_name = |key: &KeyPolicy| -> BTreeMap<String, Limit> {
            key.limits.iter().map(|limit| (limit.name.clone(), limit.clone())).collect()
        };
        let (before, after) = (by_name(old), by_name(new));
        for (name, limit) in &before {
            let place = format!("{place}: limit \"{name}\"");
            match after.get(name) {
                None => self.loosens(format!("{place} removed")),
                Some(next) => self.limit(&place, limit, next, new.currency),
            }
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            self.tightens(format!("{place}: limit \"{name}\" is new"));
        }
    }

    fn limit(&mut self, place: &str, old: &Limit, new: &Limit, currency: Option<Currency>) {
        let counts = |limit: &Limit| (limit.scope.clone(), limit.axis, limit.measure);
        if counts(old) != counts(new) {
            return self.loosens(format!("{place} counts something else"));
        }
        if old.window != new.window {
            let what = format!("{place}: window {} becomes {}", old.window, new.window);
            match is_longer(new.window, old.window) {
                true => self.tightens(what),
                false => self.loosens(what),
            }
        }
        if old.cap != new.cap {
            let shown = |cap| match (old.measure, currency) {
                (Measure::Amount, Some(currency)) => currency.decimal(cap),
                _ => cap.to_string(),
            };
            let what = format!("{place}: cap {} becomes {}", shown(old.cap), shown(new.cap));
            match new.cap < old.cap {
                true => self.tightens(what),
                false => self.loosens(what),
            }
        }
    }
}

/// Whether everything that the one window counts is counted by the other too, at any time.
fn is_longer(new: Window, old: Window) -> bool {
    match (new, old) {
        (Window::Sum(Span::Lifetime), Window::Sum(_)) => true,
        (Window::Sum(Span::Rolling(new)), Window::Sum(Span::Rolling(old))) => new > old,
        _ => false,
    }
}

/// What only the one has, and what only the other has.
fn differences<'a, T: Ord>(
    old: &'a BTreeSet<T>,
    new: &'a BTreeSet<T>,
) -> (impl Iterator<Item = &'a T>, impl Iterator<Item = &'a T>) {
    (old.difference(new), new.difference(old))
}
