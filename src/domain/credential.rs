//! Credentials: the public half of what a person's token signs with.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::key::PublicKey;
use super::text::{Malformed, excerpt};

/// Longest identifier of a credential, in bytes (WebAuthn section 4, credential id).
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

/// How a credential is named by whoever holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// An identifier of 1 to 1023 bytes.
    ///
    /// # Errors
    /// [`Malformed`] with rule `length`.
    pub fn from_bytes(field: &str, bytes: Vec<u8>) -> Result<Self, Malformed> {
        match bytes.len() {
            1..=CREDENTIAL_ID_BYTES_MAX => Ok(Self(bytes)),
            found => {
                let detail = format!("found {found} bytes; expected 1 to 1023");
                Err(Malformed::new(field, "length", detail))
            }
        }
    }

    /// Reads base64url without padding.
    ///
    /// # Errors
    /// [`Malformed`] with rule `base64url` or `length`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| {
            let detail = format!("found {}; expected base64url without padding", excerpt(text));
            Malformed::new(field, "base64url", detail)
        })?;
        Self::from_bytes(field, bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

/// How evidence is made with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// An assertion of the Web Authentication API.
    WebAuthn,
    /// A signature over the statement's bytes by a key in a token that a program drives: a smart
    /// card, a PIV slot, any PKCS#11 token.
    Token,
}

impl CredentialKind {
    /// The word used on the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebAuthn => "webauthn",
            Self::Token => "token",
        }
    }

    /// Reads the word used on the record.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::WebAuthn, Self::Token].into_iter().find(|kind| kind.name() == name)
    }
}

/// What is known about where a private key lies, weakest first. A tier may demand one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hardware {
    /// Nothing: it may be synced to a cloud.
    Unproven,
    /// The authenticator says that it does not leave the device (BE = 0), and nobody vouches.
    DeviceBound,
    /// Its maker vouches for the device: the attestation's chain ends at a pinned root.
    Attested,
}

impl Hardware {
    /// All, weakest first.
    pub const ALL: [Self; 3] = [Self::Unproven, Self::DeviceBound, Self::Attested];

    /// The word used in policies and on the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unproven => "any",
            Self::DeviceBound => "device_bound",
            Self::Attested => "attested",
        }
    }

    /// Reads the word used in policies and on the record.
    ///
    /// # Errors
    /// [`Malformed`] with rule `hardware`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|hardware| hardware.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "hardware", detail)
        })
    }
}

/// What a person's evidence is verified against. Signature counters are not part of it: they
/// change with each use and live in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its identifier: the one that the authenticator gave, or the `kid` of a token's key.
    pub id: CredentialId,
    /// How evidence is made with it.
    pub kind: CredentialKind,
    /// The public key.
    pub key: PublicKey,
    /// What is known about where the private key lies.
    pub hardware: Hardware,
    /// What the maker's attestation names the device, such as an AAGUID; empty without one.
    pub device: String,
}

impl Credential {
    /// SHA-256 of identifier and public key: how leaves and operations name it.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.kind.name().as_bytes(), self.id.as_bytes(), self.key.as_bytes()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}
