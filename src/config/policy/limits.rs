//! Limits as the policy file writes them.

use std::collections::BTreeSet;

use crate::domain::counter::{Axis, Scope, Span};
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::money::Currency;
use crate::domain::text::Malformed;
use crate::domain::time::{CalendarUnit, Zone};

use super::super::Problems;
use super::{duration, file};

/// The limits of one key.
pub(super) fn of_key(
    place: &str,
    key: &file::Key,
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Vec<Limit> {
    match &key.limits {
        None if key.currency.is_none() => Vec::new(),
        None => {
            let detail = "missing; list limits, or say limits = \"unlimited\"";
            problems.note(format!("{place}.limits"), detail);
            Vec::new()
        }
        Some(file::Limits::Unlimited) => Vec::new(),
        Some(file::Limits::List(listed)) => list(place, listed, scope, currency, problems),
    }
}

/// A list of limits, at least one, each with a name of its own.
pub(super) fn list(
    place: &str,
    listed: &[file::Limit],
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Vec<Limit> {
    if listed.is_empty() {
        let detail = "found none; list limits, or say limits = \"unlimited\"";
        problems.note(format!("{place}.limits"), detail);
    }
    let mut names = BTreeSet::new();
    let mut limits = Vec::new();
    for (index, limit) in listed.iter().enumerate() {
        let place = format!("{place}.limits[{index}]");
        if !names.insert(&limit.name) {
            problems.note(&place, format!("the name \"{}\" is taken", limit.name));
        }
        limits.extend(check(&place, limit, scope, currency, problems));
    }
    limits
}

fn check(
    place: &str,
    limit: &file::Limit,
    scope: &Scope,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Option<Limit> {
    if limit.name.is_empty() || limit.name.len() > 64 || !limit.name.is_ascii() {
        problems.note(format!("{place}.name"), "expected 1 to 64 ASCII characters");
    }
    let per = limit.per.as_deref().unwrap_or("key");
    let axis = problems.keep(Axis::parse(&format!("{place}.per"), per));
    let window = check_window(place, limit, problems);
    let (measure, cap) = check_cap(place, limit, currency, problems)?;
    if window == Some(Window::PerPayment) {
        if measure == Measure::Count {
            problems.note(place, "a payment is always one; count over a longer window");
        }
        if axis != Some(Axis::Key) || matches!(scope, Scope::Keys(_)) {
            problems.note(place, "a payment by itself is not added up; leave out per and sets");
        }
    }
    let (name, scope) = (limit.name.clone(), scope.clone());
    Some(Limit { name, scope, axis: axis?, window: window?, measure, cap })
}

fn check_window(place: &str, limit: &file::Limit, problems: &mut Problems) -> Option<Window> {
    let unit = match limit.window.as_str() {
        "day" => Some(CalendarUnit::Day),
        "month" => Some(CalendarUnit::Month),
        _ => None,
    };
    match (unit, &limit.time_zone) {
        (Some(unit), Some(zone)) => {
            let zone = problems.keep(Zone::parse(&format!("{place}.time_zone"), zone))?;
            return Some(Window::Sum(Span::Calendar(unit, zone)));
        }
        (Some(_), None) => {
            let detail = "missing; a calendar day or month needs one, such as \"Europe/Madrid\"";
            problems.note(format!("{place}.time_zone"), detail);
            return None;
        }
        (None, Some(_)) => {
            let detail = "only windows of a calendar \"day\" or \"month\" have one";
            problems.note(format!("{place}.time_zone"), detail);
        }
        (None, None) => {}
    }
    match limit.window.as_str() {
        "payment" => Some(Window::PerPayment),
        "lifetime" => Some(Window::Sum(Span::Lifetime)),
        text => {
            let read = duration(&format!("{place}.window"), text).map_err(|refused| {
                let others = "\"payment\", \"day\", \"month\" or \"lifetime\"";
                Malformed { detail: format!("{}, or {others}", refused.detail), ..refused }
            });
            problems.keep(read).map(|length| Window::Sum(Span::Rolling(length)))
        }
    }
}

fn check_cap(
    place: &str,
    limit: &file::Limit,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Option<(Measure, u64)> {
    let largest = u64::try_from(i64::MAX).unwrap_or(u64::MAX);
    match (&limit.amount, limit.count) {
        (Some(text), None) => {
            let place = format!("{place}.amount");
            match problems.keep(currency?.minor_units(&place, text))? {
                0 => {
                    let detail = "found zero; zero is not \"unlimited\" and nothing would pass";
                    problems.note(place, detail);
                    None
                }
                cap if cap > largest => {
                    problems.note(place, "expected less than 2^63 minor units");
                    None
                }
                cap => Some((Measure::Amount, cap)),
            }
        }
        (None, Some(count)) => match u64::try_from(count) {
            Ok(cap) if cap > 0 => Some((Measure::Count, cap)),
            _ => {
                let detail = format!("found {count}; expected a whole number above zero");
                problems.note(format!("{place}.count"), detail);
                None
            }
        },
        _ => {
            problems.note(place, "expected exactly one of amount = \"…\" and count = …");
            None
        }
    }
}
