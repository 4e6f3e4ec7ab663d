//! People: those who approve with hardware of their own, and the groups that tiers name.

use std::fmt;

use super::caller::Namespace;
use super::party::DebtorId;
use super::text::{Malformed, identifier};

/// Longest name of a person or group, in characters.
pub const PERSON_ID_CHARS_MAX: usize = 64;

/// The name of a person in the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(String);

impl PersonId {
    /// A name of 1 to 64 lower-case letters, digits, hyphens, dots and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        name(field, text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a group of people: `treasury`. `officers` is the group that governs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(String);

impl GroupId {
    /// The name of the group that governs: who is in it, who else is in the registry.
    pub const OFFICERS: &'static str = "officers";

    /// A name of 1 to 64 lower-case letters, digits, hyphens, dots and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        name(field, text).map(Self)
    }

    /// The group that governs.
    pub fn officers() -> Self {
        Self(Self::OFFICERS.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who gives evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approver {
    /// Somebody in the registry.
    Person(PersonId),
    /// The debtor of a payment in person, enrolled under a caller's claim.
    Payer(PayerId),
}

impl Approver {
    /// Reads what [`Approver`] displays.
    ///
    /// # Errors
    /// [`Malformed`] with rule `approver` or those of the name within.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        match text.split_once(':') {
            Some(("person", name)) => PersonId::parse(field, name).map(Self::Person),
            Some(("payer", rest)) => {
                let (namespace, debtor) = rest.split_once('/').unwrap_or((rest, ""));
                let namespace = Namespace::parse(field, namespace)?;
                let debtor = DebtorId::parse(field, debtor)?;
                Ok(Self::Payer(PayerId { namespace, debtor }))
            }
            _ => Err(Malformed::new(
                field,
                "approver",
                "expected person:NAME or payer:NAMESPACE/DEBTOR",
            )),
        }
    }
}

impl fmt::Display for Approver {
    /// `person:ana`, or `payer:shop/user-4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => write!(f, "person:{person}"),
            Self::Payer(payer) => write!(f, "payer:{payer}"),
        }
    }
}

/// A debtor in the namespace of those who name it: who pays, as a person with a token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayerId {
    /// Whose debtor it is.
    pub namespace: Namespace,
    /// The debtor.
    pub debtor: DebtorId,
}

impl fmt::Display for PayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.debtor.as_str())
    }
}

fn name(field: &str, text: &str) -> Result<String, Malformed> {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
    let expected = "lower-case letters, digits, - . and _";
    identifier(field, text, PERSON_ID_CHARS_MAX, allowed, expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvers_are_read_back() {
        for text in ["person:ana", "person:j.smith-2", "payer:shop/user-4711"] {
            assert_eq!(Approver::parse("a", text).unwrap().to_string(), text);
        }
        for (text, rule) in [
            ("ana", "approver"),
            ("person:", "empty"),
            ("person:Ana", "characters"),
            ("payer:shop", "empty"),
            ("payer:/user", "empty"),
            ("group:treasury", "approver"),
        ] {
            assert_eq!(Approver::parse("a", text).unwrap_err().rule, rule, "{text}");
        }
    }
}
