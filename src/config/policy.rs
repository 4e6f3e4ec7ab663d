//! The policy file: callers, keys, limits. Every key is documented in `hsm-config/policy.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, CertificateIdentity, Namespace};
use crate::domain::counter::Scope;
use crate::domain::key::{KeyId, Purpose};
use crate::domain::money::Currency;
use crate::domain::party::Account;
use crate::domain::person::PersonId;
use crate::domain::policy::{Caller, Creditors, KeyPolicy, Listed, Policy};
use crate::domain::text::Malformed;
use crate::domain::time::Duration;

use super::{ConfigError, Problems, parse, read};

mod file;
mod limits;
mod sets;
mod tiers;

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
            let id = id?;
            let checked = check_key(&place, &id, key, &callers, problems)?;
            Some((id, checked))
        })
        .collect();
    let keys = sets::joined(&file.sets, keys, problems);
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
        let namespace = caller
            .debtors
            .as_deref()
            .map(|text| problems.keep(Namespace::parse(&format!("callers.{name}.debtors"), text)));
        let namespace = namespace.flatten().unwrap_or_else(|| Namespace::of(&id));
        let place = format!("callers.{name}.operators");
        let operators = caller.operators.iter();
        let operators = operators.filter_map(|who| problems.keep(PersonId::parse(&place, who)));
        let operators = operators.collect();
        let (repeats, auditor) = (caller.repeats_end_to_end_ids, caller.auditor);
        let caller =
            Caller { certificates, repeats_end_to_end_ids: repeats, auditor, namespace, operators };
        checked.insert(id, caller);
    }
    checked
}

fn check_key(
    place: &str,
    id: &KeyId,
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
    if signs_for_the_daemon(purpose) {
        signs_nothing_for_callers(place, key, problems);
    }
    let validity = key.validity.as_deref().unwrap_or("24h");
    let validity = problems.keep(duration(&format!("{place}.validity"), validity));
    let allowed = allowed_callers(place, purpose, key, callers, problems);
    let scope = Scope::Key(id.clone());
    let limits = limits::of_key(place, key, &scope, currency, problems);
    let tiers = tiers::of_key(place, key, &scope, currency, problems);
    let waiting = tiers::waiting(place, key, problems);
    let creditors = check_creditors(place, key, problems);
    let anchored_from = key.anchored_from.as_deref().zip(currency).and_then(|(text, currency)| {
        problems.keep(currency.minor_units(&format!("{place}.anchored_from"), text))
    });
    let validity = validity?;
    let purpose = purpose?;
    let callers = allowed;
    Some(KeyPolicy {
        purpose,
        currency,
        callers,
        validity,
        anchored_from,
        creditors,
        limits,
        tiers,
        waiting,
    })
}

/// Whether keys of a purpose sign what the daemon itself says: its log, its notifications.
fn signs_for_the_daemon(purpose: Option<Purpose>) -> bool {
    matches!(purpose, Some(Purpose::Audit | Purpose::Notification))
}

/// Such a key signs no payments: what the policy could say about them would only be misunderstood.
fn signs_nothing_for_callers(place: &str, key: &file::Key, problems: &mut Problems) {
    for (name, is_there) in [
        ("currency", key.currency.is_some()),
        ("callers", key.callers.as_ref().is_some_and(|callers| !callers.is_empty())),
        ("validity", key.validity.is_some()),
        ("anchored_from", key.anchored_from.is_some()),
        ("limits", key.limits.is_some()),
        ("tiers", key.tiers.is_some()),
        ("waiting", key.waiting.is_some()),
        ("creditors_allowed", key.creditors_allowed.is_some()),
        ("creditors_denied", !key.creditors_denied.is_empty()),
        ("creditor_cooling_off", key.creditor_cooling_off.is_some()),
    ] {
        if is_there {
            let detail = "a key of this purpose signs no payments; expected none: remove it";
            problems.note(format!("{place}.{name}"), detail);
        }
    }
}

fn allowed_callers(
    place: &str,
    purpose: Option<Purpose>,
    key: &file::Key,
    callers: &BTreeMap<CallerId, Caller>,
    problems: &mut Problems,
) -> BTreeSet<CallerId> {
    if key.callers.is_none() && !signs_for_the_daemon(purpose) {
        problems.note(format!("{place}.callers"), "missing; say who may use the key");
    }
    let mut allowed = BTreeSet::new();
    for name in key.callers.iter().flatten() {
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
    allowed
}

fn check_creditors(place: &str, key: &file::Key, problems: &mut Problems) -> Creditors {
    let mut accounts = |name: &str, listed: &[String]| {
        let place = format!("{place}.{name}");
        let mut accounts = BTreeSet::new();
        for text in listed {
            let Some(account) = problems.keep(Account::parse(&place, text)) else { continue };
            if !accounts.insert(account) {
                problems.note(&place, format!("names \"{text}\" twice"));
            }
        }
        accounts
    };
    let allow = key.creditors_allowed.as_deref().map(|listed| {
        let accounts = accounts("creditors_allowed", listed);
        accounts.into_iter().map(|account| (account, Listed::Never)).collect()
    });
    let deny = accounts("creditors_denied", &key.creditors_denied);
    let wait = format!("{place}.creditor_cooling_off");
    let cooling_off = key.creditor_cooling_off.as_deref();
    let cooling_off = cooling_off.and_then(|text| problems.keep(duration(&wait, text)));
    if cooling_off.is_some() && allow.is_none() {
        problems.note(wait, "needs creditors_allowed: it starts when an account is listed there");
    }
    Creditors { allow, deny, cooling_off }
}

#[cfg(test)]
mod comparison;
#[cfg(test)]
mod tests;
