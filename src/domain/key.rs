//! Keys as the domain sees them: names, purposes, public halves, signatures.

use std::fmt;

use super::text::{Malformed, excerpt, identifier};

mod algorithm;
mod public;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use public::{Ed25519PublicKey, Jwk, Kid, P256PublicKey, PublicKey};

/// Longest name of a key, in characters.
pub const KEY_ID_CHARS_MAX: usize = 64;

/// The name of a key, as callers and policies use it: `settlement-eur`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// A name of 1 to 64 lower-case letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
        let expected = "lower-case letters, digits, - and _";
        identifier(field, text, KEY_ID_CHARS_MAX, allowed, expected).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key is for. One key has one purpose (P6); the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Signs payments.
    Settlement,
    /// Signs authentication assertions about users.
    UserAuthentication,
    /// Signs checkpoints of the log.
    Audit,
    /// Signs notifications to callers.
    Notification,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 4] =
        [Self::Settlement, Self::UserAuthentication, Self::Audit, Self::Notification];

    /// The name used in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settlement => "settlement",
            Self::UserAuthentication => "user-authentication",
            Self::Audit => "audit",
            Self::Notification => "notification",
        }
    }

    /// Reads the name used in policies.
    ///
    /// # Errors
    /// [`Malformed`] with rule `purpose`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "purpose", detail)
        })
    }
}

/// A signature as JOSE writes it: r and s of ECDSA on P-256, 32 bytes each (RFC 7518 section 3.4),
/// or the 64 bytes of Ed25519 (RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature of exactly 64 bytes; whether it verifies is not this type's promise.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}
