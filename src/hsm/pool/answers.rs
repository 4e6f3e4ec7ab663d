//! What the pool answers: why there is no place, why there is no signature, how a token is.

use crate::domain::key::{KeyId, Purpose};

/// Why there is no place in a queue. Nothing was reserved yet, so the caller may come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// As many signatures as may wait are waiting.
    #[error("as many signatures as may wait for the token are waiting; come again later")]
    Overloaded,
    /// The token does not work at the moment.
    #[error("token {token} is down: {reason}")]
    Down {
        /// Name of the token.
        token: String,
        /// Why.
        reason: String,
    },
    /// No token has that key, or it is for something else than payments.
    #[error("no token has a settlement key {0}")]
    UnknownKey(KeyId),
}

/// Why there is no signature. A payment is in doubt then, for its authorization is used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignFailure {
    /// The token was not asked: the daemon is stopping, or the permit was for another token.
    #[error("the token was not asked: {reason}")]
    NotAsked {
        /// Why.
        reason: &'static str,
    },
    /// The key is for something else (P6). The token was not asked.
    #[error("key {key} is for {}; it does not sign for {}", purpose.name(), asked.name())]
    WrongPurpose {
        /// The key.
        key: KeyId,
        /// What it is for.
        purpose: Purpose,
        /// What it was to sign for.
        asked: Purpose,
    },
    /// The token failed twice, or is down.
    #[error("token {token} is down: {reason}")]
    TokenDown {
        /// Name of the token.
        token: String,
        /// Why.
        reason: String,
    },
    /// The token returned something that is no signature by the pinned key, twice.
    #[error("token {token} returned a wrong signature twice: {reason}")]
    WrongSignature {
        /// Name of the token.
        token: String,
        /// What it returned.
        reason: String,
    },
    /// The authorization names another version of the key than the one on the token.
    #[error("the payment was authorised for the key {authorised}; the token has {pinned}")]
    KeyMismatch {
        /// Thumbprint in the authorization.
        authorised: String,
        /// Thumbprint of the pinned key.
        pinned: String,
    },
}

/// The state of one token, for readiness and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// Its name.
    pub name: String,
    /// Whether a session works; told by a signature or a probe of the last second or two.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Places taken in its queue.
    pub waiting: usize,
    /// Sessions whose call lasts longer than the deadline.
    pub stuck: usize,
    /// Signatures made and verified since the start.
    pub signed: u64,
    /// Signatures that failed since the start.
    pub failed: u64,
}
