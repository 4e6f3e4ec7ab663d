//! The policy file: callers, keys, limits. Every key is documented in `hsm-config/policy.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, CertificateIdentity};
use crate::domain::counter::{Axis, Span};
use crate::domain::key::{KeyId, Purpose};
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::money::Currency;
use crate::domain::policy::{Caller, KeyPolicy, Policy};
use crate::domain::text::Malformed;
use crate::domain::time::Duration;

use super::{ConfigError, Problems, parse, read};

mod file;

/// The schema that this release reads.
const SCHEMA: &str = "countersign/policy/1";
/// Longest window, validity and duplicate window.
const LONGEST: Duration = Duration::from_seconds(400 * 86_400);

/// Reads and checks the policy file.
///
/// # Errors
/// [`ConfigError`] with every problem of the file.
pub fn load(path: &Path) -> Result<Policy, ConfigError> {
    from_text(path, &read(path)?)
}

/// Checks the text of a policy; `path` is for messages.
///
/// # Errors
/// [`ConfigError`] with every problem of the text.
pub fn from_text(path: &Path, text: &str) -> Result<Policy, ConfigError> {
    let file: file::Policy = parse(path, text)?;
    let mut problems = Problems::default();
    let version = format!("sha256:{:x}", HexDigest(Sha256::digest(text).into()));
    let policy = check(file, version, &mut problems);
    problems.or_else(path, policy)
}

struct HexDigest([u8; 32]);

impl std::fmt::LowerHex for HexDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn check(file: file::Policy, version: String, problems: &mut Problems) -> Option<Policy> {
    if file.schema != SCHEMA {
        problems.note("schema", format!("found \"{}\"; expected \"{SCHEMA}\"", file.schema));
    }
    let duplicate_window = problems.keep(duration("duplicate_window", &file.duplicate_window));
    let callers = check_callers(&file.callers, problems);
    let keys: BTreeMap<KeyId, KeyPolicy> = file
        .keys
        .iter()
        .filter_map(|(name, key)| {
            let place = format!("keys.{name}");
            let id = problems.keep(KeyId::parse(&place, name));
            Some((id?, check_key(&place, key, &callers, problems)?))
        })
        .collect();
    Some(Policy { version, duplicate_window: duplicate_window?, callers, keys })
}

fn duration(place: &str, text: &str) -> Result<Duration, Malformed> {
    let read = Duration::parse(place, text)?;
    if read > LONGEST {
        let detail = format!("found {read}; expected at most {LONGEST}");
        return Err(Malformed::new(place, "duration", detail));
    }
    Ok(read)
}

fn check_callers(
    callers: &BTreeMap<String, file::Caller>,
    problems: &mut Problems,
) -> BTreeMap<CallerId, Caller> {
    let mut owners: BTreeMap<CertificateIdentity, CallerId> = BTreeMap::new();
    let mut checked = BTreeMap::new();
    for (name, caller) in callers {
        let place = format!("callers.{name}");
        let Some(id) = problems.keep(CallerId::parse(&place, name)) else { continue };
        let place = format!("{place}.certificates");
        if caller.certificates.is_empty() {
            problems.note(&place, "found none; expected at least one certificate");
        }
        let mut certificates = BTreeSet::new();
        for text in &caller.certificates {
            let Some(identity) = problems.keep(CertificateIdentity::parse(&place, text)) else {
                continue;
            };
            if let Some(owner) = owners.insert(identity.clone(), id.clone()) {
                let detail = format!(
                    "{identity} belongs to callers.{owner} too; one certificate, one caller"
                );
                problems.note(&place, detail);
            }
            certificates.insert(identity);
        }
        let repeats_end_to_end_ids = caller.repeats_end_to_end_ids;
        checked.insert(id, Caller { certificates, repeats_end_to_end_ids });
    }
    checked
}

fn check_key(
    place: &str,
    key: &file::Key,
    callers: &BTreeMap<CallerId, Caller>,
    problems: &mut Problems,
) -> Option<KeyPolicy> {
    let purpose = problems.keep(Purpose::parse(&format!("{place}.purpose"), &key.purpose));
    let currency = key
        .currency
        .as_deref()
        .and_then(|code| problems.keep(Currency::parse(&format!("{place}.currency"), code)));
    if purpose == Some(Purpose::Settlement) && key.currency.is_none() {
        problems.note(format!("{place}.currency"), "missing; a settlement key has one currency");
    }
    let validity = key.validity.as_deref().unwrap_or("24h");
    let validity = problems.keep(duration(&format!("{place}.validity"), validity));
    let mut allowed = BTreeSet::new();
    for name in &key.callers {
        match CallerId::parse("", name).ok().filter(|id| callers.contains_key(id)) {
            Some(id) if !allowed.insert(id.clone()) => {
                problems.note(format!("{place}.callers"), format!("names \"{name}\" twice"));
            }
            Some(_) => {}
            None => {
                let detail = format!("found \"{name}\"; expected the name of a caller above");
                problems.note(format!("{place}.callers"), detail);
            }
        }
    }
    let limits = check_limits(place, key, currency, problems);
    Some(KeyPolicy { purpose: purpose?, currency, callers: allowed, validity: validity?, limits })
}

fn check_limits(
    place: &str,
    key: &file::Key,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Vec<Limit> {
    let listed = match &key.limits {
        None if key.currency.is_none() => return Vec::new(),
        None => {
            let detail = "missing; list limits, or say limits = \"unlimited\"";
            problems.note(format!("{place}.limits"), detail);
            return Vec::new();
        }
        Some(file::Limits::Unlimited) => return Vec::new(),
        Some(file::Limits::List(listed)) => listed,
    };
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
        limits.extend(check_limit(&place, limit, currency, problems));
    }
    limits
}

fn check_limit(
    place: &str,
    limit: &file::Limit,
    currency: Option<Currency>,
    problems: &mut Problems,
) -> Option<Limit> {
    if limit.name.is_empty() || limit.name.len() > 64 || !limit.name.is_ascii() {
        problems.note(format!("{place}.name"), "expected 1 to 64 ASCII characters");
    }
    if limit.per.as_deref().is_some_and(|per| per != "key") {
        let detail = "this release adds up per \"key\" only; leave it out";
        problems.note(format!("{place}.per"), detail);
    }
    let window = match limit.window.as_str() {
        "payment" => Some(Window::PerPayment),
        "lifetime" => Some(Window::Sum(Span::Lifetime)),
        text => {
            let place = format!("{place}.window");
            let read = duration(&place, text).map_err(|mut refused| {
                refused.detail = format!("{}, or \"payment\", or \"lifetime\"", refused.detail);
                refused
            });
            problems.keep(read).map(|length| Window::Sum(Span::Rolling(length)))
        }
    };
    let (measure, cap) = check_cap(place, limit, currency, problems)?;
    if window == Some(Window::PerPayment) && measure == Measure::Count {
        problems.note(place, "a payment is always one; count over a longer window");
    }
    Some(Limit { name: limit.name.clone(), axis: Axis::Key, window: window?, measure, cap })
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

#[cfg(test)]
mod tests;
