//! Anchors: two small objects on a token that remember how far the log was.
//!
//! A database restored from a backup is whole and wrong; the token was not restored with it. The
//! objects are written in turn, so that one of them is always whole, and every writing is read
//! back. What is in them, when they are written and what a disagreement means is decided elsewhere:
//! here they are bytes.

use super::token::TokenError;

/// Most bytes of an anchor; tokens have little room.
pub const ANCHOR_BYTES_MAX: usize = 1024;

/// Which of the two objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorSlot {
    /// `countersign-anchor-0`.
    Zero,
    /// `countersign-anchor-1`.
    One,
}

impl AnchorSlot {
    /// Both, in the order in which [`AnchorStore::read`] tells them.
    pub const BOTH: [Self; 2] = [Self::Zero, Self::One];

    /// The one to be written next.
    pub fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    /// `CKA_LABEL` of the object.
    pub fn label(self) -> &'static str {
        match self {
            Self::Zero => "countersign-anchor-0",
            Self::One => "countersign-anchor-1",
        }
    }
}

/// Where the anchors of one token are. Calls block, and take turns.
///
/// None of them repairs anything: what is missing stays missing, what is there twice stays so.
pub trait AnchorStore: Send + Sync {
    /// The configured name of the token, for messages and metrics.
    fn name(&self) -> &str;

    /// What the two objects hold, in the order of [`AnchorSlot::BOTH`]; `None` for one that is not
    /// there. A writing that was cut off may have left any bytes, or taken the object away.
    ///
    /// # Errors
    /// [`AnchorError::Duplicate`], [`AnchorError::Attribute`], [`AnchorError::Length`] or
    /// [`AnchorError::Token`].
    fn read(&self) -> Result<[Option<Vec<u8>>; 2], AnchorError>;

    /// Replaces the content of an object that is there, reads it back and compares.
    ///
    /// # Errors
    /// [`AnchorError`]; after one the object may hold the old bytes, the new ones or others.
    fn write(&self, slot: AnchorSlot, bytes: &[u8]) -> Result<(), AnchorError>;

    /// Makes an object that is not there, reads it back and compares. Only for setting up a ledger:
    /// a daemon that made what it misses would forget what the token remembers.
    ///
    /// # Errors
    /// [`AnchorError::Exists`] if it is there; otherwise as [`Self::write`].
    fn create(&self, slot: AnchorSlot, bytes: &[u8]) -> Result<(), AnchorError>;
}

/// Why anchors cannot be used. Each message says what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The token cannot be used; nothing is known about its anchors.
    #[error("the anchors on token {token} cannot be used: {source}")]
    Token {
        /// Name of the token.
        token: String,
        /// Why.
        source: Box<TokenError>,
    },
    /// There is no object to write to.
    #[error(
        "token {token} has no anchor {label:?}; check that this is the right token. Nothing is \
         made in its place: that would forget what the token remembers"
    )]
    Missing {
        /// Name of the token.
        token: String,
        /// `CKA_LABEL` looked for.
        label: &'static str,
    },
    /// An object is to be made where one is.
    #[error(
        "token {token} has an anchor {label:?} already; nothing is overwritten: use another token, \
         or delete the objects of a ledger that is no longer used"
    )]
    Exists {
        /// Name of the token.
        token: String,
        /// `CKA_LABEL` of the object.
        label: &'static str,
    },
    /// Several objects have the label, and none of them is trusted.
    #[error(
        "token {token} has {count} data objects {label:?}; expected one: find out who made the \
         others, and remove them"
    )]
    Duplicate {
        /// Name of the token.
        token: String,
        /// `CKA_LABEL` looked for.
        label: &'static str,
        /// How many there are.
        count: usize,
    },
    /// An object was not made by us: others can read or write it.
    #[error(
        "anchor {label:?} on token {token}: {attribute} is {found}; expected {expected}: find out \
         who made the object, and remove it"
    )]
    Attribute {
        /// Name of the token.
        token: String,
        /// `CKA_LABEL` of the object.
        label: &'static str,
        /// The attribute, such as `CKA_PRIVATE`.
        attribute: &'static str,
        /// What the token says; `absent` if nothing.
        found: String,
        /// What it must say.
        expected: String,
    },
    /// More bytes than an anchor may have, or none.
    #[error("an anchor of {bytes} bytes; expected 1 to {ANCHOR_BYTES_MAX}")]
    Length {
        /// How many bytes.
        bytes: usize,
    },
    /// What was read back is not what was written.
    #[error(
        "token {token} took an anchor {label:?} and returns {found}; expected the {written} bytes \
         that were written: check the token, it forgets"
    )]
    NotKept {
        /// Name of the token.
        token: String,
        /// `CKA_LABEL` of the object.
        label: &'static str,
        /// What it returned.
        found: String,
        /// How many bytes were written.
        written: usize,
    },
}

impl AnchorError {
    /// Whether a person must act: the rest recovers by itself when the token does.
    pub fn waits_for_a_person(&self) -> bool {
        match self {
            Self::Token { source, .. } => source.waits_for_a_person(),
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Duplicate { .. }
            | Self::Attribute { .. }
            | Self::Length { .. }
            | Self::NotKept { .. } => true,
        }
    }
}

/// Whether bytes can be an anchor.
pub(in crate::hsm) fn check_length(bytes: &[u8]) -> Result<(), AnchorError> {
    match bytes.len() {
        1..=ANCHOR_BYTES_MAX => Ok(()),
        bytes => Err(AnchorError::Length { bytes }),
    }
}
