//! `[keys.*]` and `[audit]`: which keys there are, and which of them signs the log.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::super::Problems;
use super::super::{Audit, KeyBinding, TokenSettings};
use crate::domain::key::{Algorithm, KeyId, Kid};
use crate::domain::time::Duration;

/// The interval of anchors where the file gives none.
const ANCHOR_INTERVAL: &str = "1s";
/// Longest interval of anchors: what a restored backup may forget.
const ANCHOR_INTERVAL_MAX: Duration = Duration::from_seconds(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    token: String,
    label: String,
    id: String,
    algorithm: String,
    thumbprint: Option<String>,
    #[serde(default)]
    waive: Vec<String>,
}

/// All keys of the file.
pub(super) fn check(
    keys: BTreeMap<String, Key>,
    tokens: &BTreeMap<String, TokenSettings>,
    problems: &mut Problems,
) -> BTreeMap<KeyId, KeyBinding> {
    let keys: BTreeMap<_, _> = keys
        .into_iter()
        .filter_map(|(name, key)| {
            let place = format!("keys.{name}");
            let id = problems.keep(KeyId::parse(&place, &name))?;
            Some((id, key.check(&place, tokens, problems)))
        })
        .collect();
    same_object_twice(&keys, problems);
    keys
}

fn same_object_twice(keys: &BTreeMap<KeyId, KeyBinding>, problems: &mut Problems) {
    for (id, key) in keys {
        let twin = keys.iter().find(|(other, k)| {
            *other < id && (&k.token, &k.object_id) == (&key.token, &key.object_id)
        });
        if let Some((other, _)) = twin {
            let detail = format!("names the same object as keys.{other}; one key, one purpose");
            problems.note(format!("keys.{id}"), detail);
        }
    }
}

impl Key {
    fn check(
        self,
        place: &str,
        tokens: &BTreeMap<String, TokenSettings>,
        problems: &mut Problems,
    ) -> KeyBinding {
        if !tokens.contains_key(&self.token) {
            let known: Vec<&str> = tokens.keys().map(String::as_str).collect();
            let detail = format!("found \"{}\"; expected one of {known:?}", self.token);
            problems.note(format!("{place}.token"), detail);
        }
        let algorithm = Algorithm::parse(&format!("{place}.algorithm"), &self.algorithm);
        for waived in self.waive.iter().filter(|attribute| *attribute != "decrypt") {
            let detail =
                format!("found \"{waived}\"; only \"decrypt\" can be waived, nothing else");
            problems.note(format!("{place}.waive"), detail);
        }
        let thumbprint = self
            .thumbprint
            .as_deref()
            .and_then(|text| problems.keep(Kid::parse(&format!("{place}.thumbprint"), text)));
        let object_id = object_id(place, &self.id, problems);
        KeyBinding {
            token: self.token,
            label: self.label,
            object_id,
            algorithm: problems.keep(algorithm).unwrap_or(Algorithm::Es256),
            thumbprint,
            waive_decrypt: self.waive.iter().any(|attribute| attribute == "decrypt"),
        }
    }
}

/// `CKA_ID`, empty if it has been noted that there is none.
pub(in crate::config) fn object_id(place: &str, text: &str, problems: &mut Problems) -> Vec<u8> {
    let id = hexadecimal(text).filter(|id| !id.is_empty() && id.len() <= 32);
    if id.is_none() {
        let detail = format!("found \"{text}\"; expected CKA_ID as hexadecimal");
        problems.note(format!("{place}.id"), detail);
    }
    id.unwrap_or_default()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditTable {
    key: String,
    anchor_interval: Option<String>,
}

/// The table, which must be there: without an audit key no decision could be put on the record
/// that others check (P7). `None` has been noted.
pub(super) fn check_audit(
    table: Option<AuditTable>,
    keys: &BTreeMap<KeyId, KeyBinding>,
    problems: &mut Problems,
) -> Option<Audit> {
    let Some(AuditTable { key, anchor_interval }) = table else {
        problems.note(
            "audit",
            "missing; the log of decisions needs a key of its own: add [audit] with \
             key = \"audit\", a key of that name under [keys], and say purpose = \"audit\" for it \
             in the policy",
        );
        return None;
    };
    let known = KeyId::parse("audit.key", &key).ok().filter(|id| keys.contains_key(id));
    if known.is_none() {
        let names: Vec<&str> = keys.keys().map(KeyId::as_str).collect();
        problems.note("audit.key", format!("found \"{key}\"; expected one of {names:?}"));
    }
    let place = "audit.anchor_interval";
    let text = anchor_interval.as_deref().unwrap_or(ANCHOR_INTERVAL);
    let anchor_interval = problems.keep(Duration::parse(place, text))?;
    if anchor_interval > ANCHOR_INTERVAL_MAX {
        let detail = format!("found {anchor_interval}; expected 1s to {ANCHOR_INTERVAL_MAX}");
        problems.note(place, detail);
    }
    Some(Audit { key: known?, anchor_interval })
}
