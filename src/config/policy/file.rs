//! The policy file as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) schema: String,
    pub(super) duplicate_window: String,
    pub(super) callers: BTreeMap<String, Caller>,
    pub(super) keys: BTreeMap<String, Key>,
    #[serde(default)]
    pub(super) sets: BTreeMap<String, Set>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) certificates: Vec<String>,
    #[serde(default)]
    pub(super) repeats_end_to_end_ids: bool,
    #[serde(default)]
    pub(super) auditor: bool,
    pub(super) debtors: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) purpose: String,
    pub(super) currency: Option<String>,
    pub(super) callers: Option<Vec<String>>,
    pub(super) validity: Option<String>,
    pub(super) anchored_from: Option<String>,
    pub(super) creditors_allowed: Option<Vec<String>>,
    #[serde(default)]
    pub(super) creditors_denied: Vec<String>,
    pub(super) creditor_cooling_off: Option<String>,
    pub(super) limits: Option<Limits>,
}

/// Several keys and the limits that they have together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    pub(super) keys: Vec<String>,
    pub(super) limits: Vec<Limit>,
}

/// A list, or the word `unlimited`. Never a number.
pub(super) enum Limits {
    Unlimited,
    List(Vec<Limit>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) window: String,
    pub(super) time_zone: Option<String>,
    pub(super) per: Option<String>,
    pub(super) amount: Option<String>,
    pub(super) count: Option<i64>,
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrWord;

        impl<'de> Visitor<'de> for ListOrWord {
            type Value = Limits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of limits or the word \"unlimited\"")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Limits, E> {
                match word {
                    "unlimited" => Ok(Limits::Unlimited),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Limits, A::Error> {
                let mut limits = Vec::new();
                while let Some(limit) = list.next_element()? {
                    limits.push(limit);
                }
                Ok(Limits::List(limits))
            }
        }

        deserializer.deserialize_any(ListOrWord)
    }
}
