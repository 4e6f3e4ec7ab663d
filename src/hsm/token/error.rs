//! Every way in which a token cannot be used, and which of them wait for a person.

use std::path::PathBuf;

use crate::domain::key::{Algorithm, KeyId, Kid, Purpose};
use crate::hsm::pin::PinError;

/// Why a token cannot be used. Each message says what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A call was answered with an error: device, session or module trouble.
    #[error("{function} answered {code}; the session is discarded and opened again")]
    Call {
        /// The PKCS#11 function, such as `C_Sign`.
        function: String,
        /// What it returned, such as `CKR_DEVICE_ERROR`.
        code: String,
    },
    /// The session answers but is no longer logged in.
    #[error("the session is in state {state}; expected one that is logged in as user")]
    SessionLost {
        /// What `C_GetSessionInfo` told.
        state: String,
    },
    /// A call took longer than it may.
    #[error("{function} did not answer within {seconds} s; check the token and its module")]
    Timeout {
        /// The PKCS#11 function.
        function: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The module's file is not there.
    #[error("there is no PKCS#11 module at {}; check `module` of the token", .0.display())]
    ModuleMissing(PathBuf),
    /// The module's file cannot be used.
    #[error("{} cannot be loaded as a PKCS#11 module: {reason}", path.display())]
    ModuleRefused {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// No token, or more than one, has the configured label and serial number.
    #[error(
        "{count} tokens match {wanted}; expected exactly one; found {found:?}; check `label` \
         and `serial` of the token, and where the module looks (SoftHSM: SOFTHSM2_CONF)"
    )]
    TokenMissing {
        /// Label and serial number that are configured.
        wanted: String,
        /// How many match.
        count: usize,
        /// Labels and serial numbers of the tokens that are there.
        found: Vec<String>,
    },
    /// The PIN cannot be read, or trying it is refused by its marker.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The token refused the PIN. No further attempt is made until a person has been there.
    #[error("token {token} refused the PIN ({code}); {remedy}")]
    WrongPin {
        /// Name of the token.
        token: String,
        /// What `C_Login` returned.
        code: String,
        /// What to do: it names the marker file.
        remedy: String,
    },
    /// The token has locked its user PIN, or one wrong attempt would.
    #[error(
        "the user PIN of token {token} {state}; no attempt was made: a person must log in or \
         reset it with the security officer's PIN"
    )]
    PinLocked {
        /// Name of the token.
        token: String,
        /// `is locked` or `has one attempt left`.
        state: &'static str,
    },
    /// An object of a key is not on the token.
    #[error(
        "key {key}: the token has no {class} of type {key_type} with label {label:?} and id \
         {object_id}; check `label`, `id` and `algorithm`, or generate the key"
    )]
    KeyMissing {
        /// The key.
        key: KeyId,
        /// `CKO_PRIVATE_KEY` or `CKO_PUBLIC_KEY`.
        class: &'static str,
        /// `EC` or `EC_EDWARDS`.
        key_type: &'static str,
        /// `CKA_LABEL` looked for.
        label: String,
        /// `CKA_ID` looked for, in hexadecimal.
        object_id: String,
    },
    /// Several objects answer to a key's description, and none of them is trusted.
    #[error(
        "key {key}: the token has {count} objects {class} with its label and id; expected \
         exactly one; remove the others"
    )]
    KeyDuplicate {
        /// The key.
        key: KeyId,
        /// `CKO_PRIVATE_KEY` or `CKO_PUBLIC_KEY`.
        class: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A key is to be generated where something is already.
    #[error(
        "key {key}: {count} objects on the token have its label {label:?} or its id \
         {object_id} already; nothing is overwritten: choose another label and id"
    )]
    KeyExists {
        /// The key.
        key: KeyId,
        /// `CKA_LABEL` asked for.
        label: String,
        /// `CKA_ID` asked for, in hexadecimal.
        object_id: String,
        /// How many objects there are.
        count: usize,
    },
    /// The token cannot make keys of the algorithm, or cannot sign with them.
    #[error("key {key}: the token has no {algorithm} ({told}); {}", without(*algorithm))]
    NoAlgorithm {
        /// The key.
        key: KeyId,
        /// What was asked for.
        algorithm: Algorithm,
        /// What the token returned.
        told: String,
    },
    /// A key signs with something that its purpose does not allow.
    #[error("key {key}: it is for {} and signs with {found}; expected {expected}", purpose.name())]
    WrongAlgorithm {
        /// The key.
        key: KeyId,
        /// What it is for.
        purpose: Purpose,
        /// What it signs with.
        found: Algorithm,
        /// What its purpose takes.
        expected: Algorithm,
    },
    /// An attribute would let the key leave the hardware or serve another purpose (P5, P6).
    #[error(
        "key {key}: {attribute} is {found}; expected {expected}; the key is refused: generate \
         one with `countersign keys generate`"
    )]
    Attribute {
        /// The key.
        key: KeyId,
        /// The attribute, such as `CKA_EXTRACTABLE`.
        attribute: &'static str,
        /// What the token says; `absent` if nothing.
        found: String,
        /// What it must say.
        expected: String,
    },
    /// The key on the token is another one than the configuration pins.
    #[error(
        "key {key}: the token has the key {found}; expected the pinned {expected}; check that \
         this is the right token"
    )]
    PinnedKeyMismatch {
        /// The key.
        key: KeyId,
        /// The pin.
        expected: Kid,
        /// Thumbprint of what the token has.
        found: Kid,
    },
    /// A key without a pin was asked to serve.
    #[error("key {0} has no `thumbprint`; `countersign keys list` tells the one to pin")]
    Unpinned(KeyId),
    /// The token returned something that is no signature by the pinned key.
    #[error(
        "key {key}: the token returned {found}; expected a signature of 64 bytes that \
         verifies with the pinned key"
    )]
    BadSignature {
        /// The key.
        key: KeyId,
        /// What it returned.
        found: String,
    },
    /// The session does not know the key.
    #[error("key {0} is not among the keys of this token")]
    UnknownKey(KeyId),
    /// The operating system refused a thread.
    #[error("cannot start a thread for token {token}: {source}")]
    Thread {
        /// Name of the token.
        token: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl TokenError {
    /// Whether the token stays down until a person has acted and started the daemon again.
    ///
    /// The rest recovers by itself once the cause is gone: opening is tried again and again, and
    /// costs no PIN attempt. An absent key is among the rest, since a token that is inserted late
    /// or replaced for a moment looks like that.
    pub fn waits_for_a_person(&self) -> bool {
        match self {
            Self::WrongPin { .. }
            | Self::PinLocked { .. }
            | Self::KeyDuplicate { .. }
            | Self::KeyExists { .. }
            | Self::NoAlgorithm { .. }
            | Self::WrongAlgorithm { .. }
            | Self::Attribute { .. }
            | Self::PinnedKeyMismatch { .. }
            | Self::Unpinned(_)
            | Self::UnknownKey(_) => true,
            Self::Pin(refused) => refused.waits_for_a_person(),
            Self::Call { .. }
            | Self::SessionLost { .. }
            | Self::Timeout { .. }
            | Self::ModuleMissing(_)
            | Self::ModuleRefused { .. }
            | Self::TokenMissing { .. }
            | Self::KeyMissing { .. }
            | Self::BadSignature { .. }
            | Self::Thread { .. } => false,
        }
    }
}

/// What to do without an algorithm.
fn without(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "it cannot sign payments: take another token",
        Algorithm::EdDsa => {
            "say algorithm = \"ES256\": the log is then signed with P-256, note type 0x02"
        }
    }
}
