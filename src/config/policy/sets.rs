//! Sets of keys that have limits together.

use std::collections::BTreeMap;

use crate::domain::counter::{KeySet, Scope};
use crate::domain::key::KeyId;
use crate::domain::policy::KeyPolicy;

use super::super::Problems;
use super::{file, limits};

/// The keys, each with the limits of its sets after its own.
pub(super) fn joined(
    sets: &BTreeMap<String, file::Set>,
    mut keys: BTreeMap<KeyId, KeyPolicy>,
    problems: &mut Problems,
) -> BTreeMap<KeyId, KeyPolicy> {
    for (name, set) in sets {
        let place = format!("sets.{name}");
        let mut members = Vec::new();
        for text in &set.keys {
            match KeyId::parse("", text).ok().filter(|id| keys.contains_key(id)) {
                Some(id) if members.contains(&id) => {
                    problems.note(format!("{place}.keys"), format!("names \"{text}\" twice"));
                }
                Some(id) => members.push(id),
                None => {
                    let detail = format!("found \"{text}\"; expected the name of a key");
                    problems.note(format!("{place}.keys"), detail);
                }
            }
        }
        let currencies: Vec<_> =
            members.iter().filter_map(|id| keys.get(id)).map(|key| key.currency).collect();
        let Some(Some(currency)) = currencies.first().copied() else {
            problems.note(format!("{place}.keys"), "expected at least one settlement key");
            continue;
        };
        if currencies.iter().any(|other| *other != Some(currency)) {
            problems.note(format!("{place}.keys"), "expected keys of one currency");
        }
        let scope = Scope::Keys(KeySet::new(members.iter().cloned()));
        let limits = limits::list(&place, &set.limits, &scope, Some(currency), problems);
        for id in &members {
            let Some(key) = keys.get_mut(id) else { continue };
            for limit in &limits {
                if key.limits.iter().any(|own| own.name == limit.name) {
                    let detail = format!("key {id} has a limit \"{}\" already", limit.name);
                    problems.note(format!("{place}.limits"), detail);
                }
                key.limits.push(limit.clone());
            }
        }
    }
    keys
}
