//! What a token is to the rest of the daemon: sessions that tell public keys and sign payments,
//! checkpoints and notifications, and every way in which that fails.
//!
//! Not here: PKCS#11 itself, threads, retries. A session is used by one thread at a time and knows
//! nothing about its neighbours.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::authorization::SigningAuthorization;
use crate::domain::key::{Algorithm, KeyId, Kid, PublicKey};
use crate::domain::notification::message::NotificationMessage;
use crate::log::message::AuditMessage;

mod error;

pub use error::TokenError;

/// SHA-256 of an authorised signing input: with [`AuditMessage`] and [`NotificationMessage`] the
/// only thing that a token is asked to sign.
///
/// It cannot be made from bytes, only from an authorization, and only inside this module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigningDigest([u8; 32]);

impl SigningDigest {
    /// The digest of the frozen bytes, as ES256 signs them (RFC 7515 section 5.1).
    pub(in crate::hsm) fn of(authorization: &SigningAuthorization) -> Self {
        Self(Sha256::digest(authorization.signing_input().to_ascii()).into())
    }

    /// The 32 bytes for `CKM_ECDSA`.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SigningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningDigest")
    }
}

/// Where a key lies on its token, and which key it must be.
#[derive(Debug, Clone)]
pub struct KeyReference {
    /// The name in policies and requests.
    pub id: KeyId,
    /// `CKA_LABEL` of both halves.
    pub label: String,
    /// `CKA_ID` of both halves.
    pub object_id: Vec<u8>,
    /// What it signs with: tells the type of the key (`CKA_KEY_TYPE`) and its curve.
    pub algorithm: Algorithm,
    /// The pin. `None` only while a key is generated or surveyed: a key without one never signs.
    pub thumbprint: Option<Kid>,
    /// Whether `CKA_DECRYPT` may be true or absent: some modules report it for every key.
    pub waive_decrypt: bool,
}

/// One open session in which every configured key was found, checked and compared with its pin.
///
/// After any error the session is good for nothing but being dropped.
pub trait Token: Send {
    /// The public half of a key, as it was read when the session was opened.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`].
    fn public_key(&mut self, key: &KeyId) -> Result<PublicKey, TokenError>;

    /// Signs (`C_SignInit`, `C_Sign` with `CKM_ECDSA`) and returns the bytes just as the token
    /// gave them; the caller checks length and signature.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`], or [`TokenError::Call`] with what the token answered.
    fn sign_digest(&mut self, key: &KeyId, digest: &SigningDigest) -> Result<Vec<u8>, TokenError>;

    /// Signs the message of an audit key: `CKM_EDDSA` over its bytes, or `CKM_ECDSA` over their
    /// SHA-256. Returns what the token gave, just as [`Self::sign_digest`] does.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`], or [`TokenError::Call`] with what the token answered.
    fn sign_audit(&mut self, key: &KeyId, message: &AuditMessage) -> Result<Vec<u8>, TokenError>;

    /// Signs the message of a notification key, as [`Self::sign_audit`] does.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`], or [`TokenError::Call`] with what the token answered.
    fn sign_notification(
        &mut self,
        key: &KeyId,
        message: &NotificationMessage,
    ) -> Result<Vec<u8>, TokenError>;

    /// Asks whether session and token still answer (`C_GetSessionInfo`, `C_GetTokenInfo`), without
    /// signing.
    ///
    /// # Errors
    /// [`TokenError::Call`], or [`TokenError::SessionLost`] if it is no longer logged in.
    fn probe(&mut self) -> Result<(), TokenError>;
}

/// A source of sessions on one token. Implementations order concurrent calls themselves.
pub trait TokenModule: Send + Sync {
    /// The configured name of the token, for messages and metrics.
    fn name(&self) -> &str;

    /// Opens a session (`C_OpenSession`), finds every key again, checks its attributes and compares
    /// its public half with the pin.
    ///
    /// # Errors
    /// Any [`TokenError`]; the first key that is not right decides.
    fn open(&self) -> Result<Box<dyn Token>, TokenError>;

    /// Starts over (`C_Finalize`, `C_Initialize`, one `C_Login`), called when no session of this
    /// token is open any more.
    ///
    /// # Errors
    /// Any [`TokenError`] of initialising and logging in.
    fn reinitialise(&self) -> Result<(), TokenError>;
}
