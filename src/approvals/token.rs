//! Evidence of a key in a token that a program drives: a smart card, a PIV slot, any PKCS#11 token.
//!
//! It is the signature itself, 64 bytes, over the schema's name, a zero byte and the statement: the
//! bytes that the statement's digest is of. So a token that hashes by itself and one that is handed
//! the SHA-256 make the same.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::key::Algorithm;
use crate::domain::statement::{STATEMENT_SCHEMA, Statement};

/// Length of a signature: r and s of P-256, or that of Ed25519.
pub const SIGNATURE_BYTES: usize = 64;

/// Why a signature of a token is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The credential is of another kind.
    #[error("the credential is of kind {found}; expected token")]
    Kind {
        /// Its kind.
        found: &'static str,
    },
    /// Another length.
    #[error("found {found} bytes; expected the {SIGNATURE_BYTES} of r and s, or of Ed25519")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The signature is not one of this key over this statement.
    #[error("the signature does not verify with the enrolled key over this statement")]
    Signature,
}

/// What a token signs: ES256 over SHA-256 of these bytes, EdDSA over the bytes themselves.
pub fn message(statement: &Statement) -> Vec<u8> {
    [STATEMENT_SCHEMA.as_bytes(), &[0], &statement.to_bytes()].concat()
}

/// Whether the credential's key made this evidence for this statement.
///
/// # Errors
/// [`Fault`], in the order of its variants.
pub fn verify(
    credential: &Credential,
    statement: &Statement,
    evidence: &[u8],
) -> Result<(), Fault> {
    if credential.kind != CredentialKind::Token {
        return Err(Fault::Kind { found: credential.kind.name() });
    }
    if evidence.len() != SIGNATURE_BYTES {
        return Err(Fault::Length { found: evidence.len() });
    }
    let (key, message) = (credential.key.as_bytes(), message(statement));
    let verified = match credential.key.algorithm() {
        Algorithm::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(&message, evidence)
        }
        Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, key).verify(&message, evidence),
    };
    verified.map_err(|_| Fault::Signature)
}

#[cfg(test)]
pub(crate) mod tests;
