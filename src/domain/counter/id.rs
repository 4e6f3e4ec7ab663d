//! Which counter: over which keys, over which axis, of whom.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, Namespace};
use crate::domain::key::KeyId;
use crate::domain::party::{Account, DebtorId};
use crate::domain::payment::Payment;
use crate::domain::text::{Malformed, excerpt};

/// Over what spending is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Everything that the keys sign.
    Key,
    /// What one caller has them sign.
    Caller,
    /// What is paid in the name of one debtor.
    Debtor,
    /// What is paid in the names of all debtors of a namespace who are not enrolled, together:
    /// inventing debtors does not widen it.
    UnknownDebtor,
    /// What is paid to one creditor account.
    Creditor,
}

impl Axis {
    /// All axes.
    pub const ALL: [Self; 5] =
        [Self::Key, Self::Caller, Self::Debtor, Self::UnknownDebtor, Self::Creditor];

    /// The word used in policies and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Caller => "caller",
            Self::Debtor => "debtor",
            Self::UnknownDebtor => "unknown_debtor",
            Self::Creditor => "creditor",
        }
    }

    /// Reads the word used in policies and in the ledger.
    ///
    /// # Errors
    /// [`Malformed`] with rule `axis`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|axis| axis.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "axis", detail)
        })
    }

    /// Whether a payment without a debtor cannot be added up over it.
    pub fn needs_debtor(self) -> bool {
        matches!(self, Self::Debtor | Self::UnknownDebtor)
    }
}

/// Several keys of one currency that are added up together. Named by its members: with other
/// members it is another set, with sums of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySet(BTreeSet<KeyId>);

impl KeySet {
    /// The set of these keys.
    pub fn new(keys: impl IntoIterator<Item = KeyId>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// The keys.
    pub fn keys(&self) -> &BTreeSet<KeyId> {
        &self.0
    }
}

/// Whose spending is added up: of one key, or of a set of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One key.
    Key(KeyId),
    /// Several keys together.
    Keys(KeySet),
}

impl Scope {
    /// Whether payments of a key are added up in it.
    pub fn includes(&self, key: &KeyId) -> bool {
        match self {
            Self::Key(only) => only == key,
            Self::Keys(set) => set.0.contains(key),
        }
    }

    /// Reads what [`Scope`] displays.
    pub fn from_name(name: &str) -> Option<Self> {
        let key = |name| KeyId::parse("scope", name).ok();
        match name.split_once('+') {
            None => key(name).map(Self::Key),
            Some(_) => {
                let names = name.strip_suffix('+').unwrap_or(name).split('+');
                names.map(key).collect::<Option<_>>().map(KeySet).map(Self::Keys)
            }
        }
    }
}

impl fmt::Display for Scope {
    /// The name that the ledger keeps: the keys with `+` between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Keys(set) => {
                let names: Vec<&str> = set.0.iter().map(KeyId::as_str).collect();
                // A set of one is not the key itself: its limits are its own.
                f.write_str(&names.join("+"))?;
                f.write_str(if names.len() == 1 { "+" } else { "" })
            }
        }
    }
}

/// Which counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    /// Whose spending is added up.
    pub scope: Scope,
    /// Over what.
    pub axis: Axis,
    /// Of whom: empty on the key axis, the name of the caller or namespace, a digest of the debtor
    /// or creditor account, so that counters hold no personal data.
    pub subject: String,
}

/// Who takes part in a payment, as the axes see it.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    /// Who asks.
    pub caller: &'a CallerId,
    /// Whose debtors the caller names.
    pub namespace: &'a Namespace,
    /// Who pays.
    pub debtor: Option<&'a DebtorId>,
    /// Who is paid; a payment always says so, a question about limits may not.
    pub creditor: Option<&'a Account>,
    /// Whether the debtor is known: enrolled, and past the cooling-off.
    pub known: bool,
}

impl<'a> Parties<'a> {
    /// The parties of a payment; `known` says whether its debtor is enrolled.
    pub fn of(
        caller: &'a CallerId,
        namespace: &'a Namespace,
        payment: &'a Payment,
        known: bool,
    ) -> Self {
        let creditor = Some(payment.creditor().account());
        Self { caller, namespace, debtor: payment.debtor(), creditor, known }
    }
}

impl CounterId {
    /// The counter of these parties; `None` if they do not name the one that the axis is about.
    pub fn of(scope: &Scope, axis: Axis, parties: &Parties<'_>) -> Option<Self> {
        let Parties { caller, namespace, debtor, creditor, known } = parties;
        let subject = match axis {
            Axis::Key => String::new(),
            Axis::Caller => caller.to_string(),
            Axis::UnknownDebtor => debtor.filter(|_| !known).map(|_| namespace.to_string())?,
            Axis::Debtor => digest(&[namespace.as_str(), debtor.as_ref()?.as_str()]),
            Axis::Creditor => digest(&[&creditor.as_ref()?.to_string()]),
        };
        Some(Self { scope: scope.clone(), axis, subject })
    }

    /// The counter over everything that a key signs.
    #[cfg(test)]
    pub(in crate::domain) fn of_key(key: &KeyId) -> Self {
        Self { scope: Scope::Key(key.clone()), axis: Axis::Key, subject: String::new() }
    }
}

/// 128 bits of SHA-256, in hexadecimal.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_scope_is_read_back() {
        let key = |name: &str| KeyId::parse("key", name).unwrap();
        for scope in [
            Scope::Key(key("a")),
            Scope::Keys(KeySet::new([key("a")])),
            Scope::Keys(KeySet::new([key("b"), key("a")])),
            Scope::Keys(KeySet::new([key("a"), key("a-b"), key("a_b")])),
        ] {
            assert_eq!(Scope::from_name(&scope.to_string()), Some(scope));
        }
        assert_eq!(Scope::from_name("a+A"), None);
    }
}
