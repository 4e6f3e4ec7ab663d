//! Entries: what a leaf says, read back and held to the schema.
//!
//! [`crate::domain::leaf`] writes leaves; this is the reader of those who trust nobody. A leaf that
//! the writer could not have made is refused, so that one decision has one spelling in the log.

use std::borrow::Cow;
use std::fmt;

use crate::domain::leaf::{LEAF_BYTES_MAX, LEAF_SCHEMA};
use crate::domain::money::{Amount, Currency};
use crate::domain::payment::PaymentId;
use crate::domain::text::excerpt;
use crate::domain::time::Timestamp;

mod canonical;
mod schema;

#[cfg(test)]
pub(in crate::log) mod tests;

pub use canonical::{Member, NotCanonical};
pub use schema::Kind;

/// Why a leaf is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// More than [`LEAF_BYTES_MAX`].
    #[error("it has {bytes} bytes; expected at most {LEAF_BYTES_MAX}")]
    TooLong {
        /// Length of what was given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("it is not UTF-8; expected canonical JSON")]
    NotUtf8,
    /// Not canonical JSON of texts.
    #[error("it is not canonical JSON (RFC 8785): {0}")]
    NotCanonical(#[from] NotCanonical),
    /// Another schema, or none.
    #[error("its schema is {found}; expected \"{LEAF_SCHEMA}\"")]
    Schema {
        /// What it says.
        found: String,
    },
    /// A kind that this release does not know.
    #[error("its kind is {found}; expected one of {}", Kind::names())]
    Kind {
        /// What it says.
        found: String,
    },
    /// A member that every leaf of its kind has is not there.
    #[error("\"{member}\" is missing; every leaf of kind \"{kind}\" has it")]
    Missing {
        /// Kind of the leaf.
        kind: Kind,
        /// Name of the member.
        member: &'static str,
    },
    /// A member that no leaf of its kind has.
    #[error("it has the member {member}; no leaf of kind \"{kind}\" has it")]
    Unknown {
        /// Kind of the leaf.
        kind: Kind,
        /// Name of the member.
        member: String,
    },
    /// A member of another form.
    #[error("\"{member}\" is {found}; expected {expected}")]
    Form {
        /// Name of the member.
        member: &'static str,
        /// An excerpt of what it says.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// What leaves of kinds `accepted`, `denied`, `signed` and `voided` say of their payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfPayment<'a> {
    /// Identifier.
    pub id: PaymentId,
    /// Who asked.
    pub caller: &'a str,
    /// Name of the key.
    pub key: &'a str,
    /// Amount, in minor units of the currency.
    pub amount: Amount,
    /// Currency.
    pub currency: Currency,
}

/// A leaf that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    kind: Kind,
    at: Timestamp,
    members: Vec<(&'a str, Member<'a>)>,
}

impl<'a> Entry<'a> {
    /// Reads the bytes of a leaf.
    ///
    /// # Errors
    /// [`EntryError`]: the first thing that no leaf of this release has.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| EntryError::NotUtf8)?;
        let members = canonical::parse(text)?;
        let found = |name| excerpt(text_of(&members, name).unwrap_or_default());
        if text_of(&members, "schema") != Some(LEAF_SCHEMA) {
            return Err(EntryError::Schema { found: found("schema") });
        }
        let kind = text_of(&members, "kind").and_then(Kind::parse);
        let kind = kind.ok_or_else(|| EntryError::Kind { found: found("kind") })?;
        schema::check(kind, &members)?;
        // The schema has read it before; the end of time is never reached.
        let at = text_of(&members, "at").and_then(schema::instant).unwrap_or(Timestamp::MAX);
        Ok(Self { kind, at, members })
    }

    /// What was decided or happened.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.members, name)
    }

    /// A text inside a member that is an object, such as the rule of a denial.
    pub fn text_in(&self, name: &str, inner: &str) -> Option<&str> {
        let (_, member) = self.members.iter().find(|(known, _)| *known == name)?;
        let Member::Object(texts) = member else { return None };
        texts.iter().find(|(known, _)| *known == inner).map(|(_, text)| text.as_ref())
    }

    /// The texts inside a member that is an object.
    pub fn object(&self, name: &str) -> &[(&'a str, Cow<'a, str>)] {
        match self.members.iter().find(|(known, _)| *known == name) {
            Some((_, Member::Object(texts))) => texts,
            _ => &[],
        }
    }

    /// The first member in which it differs from another, with what both say; `None` if they say
    /// the same.
    pub fn first_difference(&self, other: &Entry<'_>) -> Option<(String, [String; 2])> {
        let told = |member: Option<&Member<'_>>| match member {
            None => "nothing".to_owned(),
            Some(Member::Text(text)) => excerpt(text),
            Some(object @ Member::Object(_)) => excerpt(&format!("{object:?}")),
        };
        let names = self.members.iter().chain(&other.members).map(|(name, _)| *name);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.into_iter().find_map(|name| {
            let ours = self.members.iter().find(|(known, _)| *known == name);
            let theirs = other.members.iter().find(|(known, _)| *known == name);
            let (ours, theirs) = (ours.map(|(_, m)| m), theirs.map(|(_, m)| m));
            (ours != theirs).then(|| (name.to_owned(), [told(ours), told(theirs)]))
        })
    }

    /// What it says of its payment, if it is about one.
    pub fn payment(&self) -> Option<OfPayment<'_>> {
        if !self.kind.is_of_payment() {
            return None;
        }
        let currency = Currency::parse("currency", self.text("currency")?).ok()?;
        Some(OfPayment {
            id: PaymentId::parse("payment", self.text("payment")?).ok()?,
            caller: self.text("caller")?,
            key: self.text("key")?,
            amount: Amount::parse("amount", self.text("amount")?, currency).ok()?,
            currency,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn text_of<'a>(members: &'a [(&str, Member<'_>)], name: &str) -> Option<&'a str> {
    match members.iter().find(|(known, _)| *known == name) {
        Some((_, Member::Text(text))) => Some(text),
        _ => None,
    }
}
