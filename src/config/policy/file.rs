//! The policy file as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

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
    #[serde(default)]
    pub(super) operators: Vec<String>,
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
    pub(super) tiers: Option<Tiers>,
    pub(super) waiting: Option<Waiting>,
}

/// How much may wait for people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    pub(super) per_caller: Option<i64>,
    pub(super) per_debtor: Option<i64>,
    pub(super) share_percent: Option<i64>,
}

/// A list, or the word `nobody`.
pub(super) enum Tiers {
    Nobody,
    List(Vec<Tier>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tier {
    pub(super) name: String,
    pub(super) up_to: Option<String>,
    #[serde(default)]
    pub(super) within: Vec<Limit>,
    pub(super) approvals: Option<String>,
    #[serde(default)]
    pub(super) payer: bool,
    #[serde(default)]
    pub(super) groups: BTreeMap<String, i64>,
    pub(super) hardware: Option<String>,
    pub(super) expiry: Option<String>,
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

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) window: String,
    pub(super) time_zone: Option<String>,
    pub(super) per: Option<String>,
    pub(super) amount: Option<String>,
    pub(super) count: Option<i64>,
}

/// The window of a tier's sum that starts at the debtor's last touch.
const SINCE_TOUCH: &str = "since_touch";

impl Limit {
    pub(super) fn is_since_touch(&self) -> bool {
        self.window == SINCE_TOUCH
    }

    /// The same over the whole lifetime, if it is one since the last touch.
    pub(super) fn without_touch(&self) -> Self {
        match self.is_since_touch() {
            true => Self { window: "lifetime".to_owned(), ..self.clone() },
            false => self.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a list of limits or the word \"unlimited\"";
        let word = ListOr { word: "unlimited", expected, items: PhantomData };
        Ok(deserializer.deserialize_any(word)?.map_or(Self::Unlimited, Self::List))
    }
}

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a list of tiers or the word \"nobody\"";
        let word = ListOr { word: "nobody", expected, items: PhantomData };
        Ok(deserializer.deserialize_any(word)?.map_or(Self::Nobody, Self::List))
    }
}

/// Reads a list, or one word in its place (`None`).
struct ListOr<T> {
    word: &'static str,
    expected: &'static str,
    items: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListOr<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
        match word == self.word {
            true => Ok(None),
            false => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}
