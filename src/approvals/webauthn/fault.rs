//! Why evidence was refused: the true reason for the log, and the one text for everybody else.

/// Evidence was refused. It prints the same text whatever the reason, so that whoever tries
/// forgeries learns nothing from the answers; [`Refused::fault`] is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the security key's answer was not accepted; reload the page and try again with the key that \
     is enrolled for you (the reason is in the log of the daemon)"
)]
pub struct Refused(Box<Fault>);

impl Refused {
    /// The true reason. For the log only.
    pub fn fault(&self) -> &Fault {
        &self.0
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self(Box::new(fault))
    }
}

/// The first check that evidence failed. Texts that came with the evidence are escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The JSON of the browser is not what section 5.1 describes.
    #[error("the answer of the browser: {0}")]
    Wire(String),
    /// `clientDataJSON` is not a JSON object with the members of section 5.8.1.
    #[error("clientDataJSON: {0}")]
    ClientData(String),
    /// A ceremony of the other kind.
    #[error("type: found {found}; expected \"{expected}\"")]
    Type {
        /// Escaped and cut.
        found: String,
        /// `webauthn.get` or `webauthn.create`.
        expected: &'static str,
    },
    /// The person signed something else: another statement, an older one, or none.
    #[error("challenge: found {found}; expected {expected}, the digest of this statement")]
    Challenge {
        /// Escaped and cut.
        found: String,
        /// Base64url.
        expected: String,
    },
    /// A page that is not ours asked for the touch.
    #[error("origin: found {found}; expected one of {expected}")]
    Origin {
        /// Escaped and cut.
        found: String,
        /// The configured origins.
        expected: String,
    },
    /// The page was framed by a page of another origin.
    #[error("crossOrigin: found true; expected false, since approvals are never framed")]
    CrossOrigin,
    /// The page was framed by a page of another origin.
    #[error("topOrigin: found {found}; expected none, since approvals are never framed")]
    TopOrigin {
        /// Escaped and cut.
        found: String,
    },
    /// The authenticator data is not what section 6.1 describes.
    #[error("authenticator data: {0}")]
    AuthenticatorData(String),
    /// The touch was for another relying party.
    #[error("rpIdHash: found {found}; expected the SHA-256 of the relying party id {expected}")]
    RpIdHash {
        /// Hexadecimal.
        found: String,
        /// The configured id.
        expected: String,
    },
    /// Nobody touched the key.
    #[error("flags: UP is not set; expected proof that somebody touched the key")]
    UserPresence,
    /// The key did not ask for PIN or biometry.
    #[error("flags: UV is not set; expected the key to verify its user by PIN or biometry")]
    UserVerification,
    /// Backed up, though it cannot be.
    #[error("flags: BS is set and BE is not; expected no backup of what cannot be backed up")]
    BackupState,
    /// A credential does not change from one kind to the other.
    #[error("flags: BE is {found}; expected {enrolled}, as at enrolment")]
    BackupEligibility {
        /// In this assertion.
        found: bool,
        /// At enrolment.
        enrolled: bool,
    },
    /// A credential that can be copied, where hardware is demanded.
    #[error("flags: BE is set; expected a credential that cannot leave its hardware")]
    NotHardware,
    /// A credential of somebody else, or of nobody.
    #[error("credential: found {found}; expected {expected}")]
    Credential {
        /// Base64url.
        found: String,
        /// Base64url.
        expected: String,
    },
    /// A credential of somebody else.
    #[error("userHandle: found {found}; expected {expected}")]
    UserHandle {
        /// Base64url.
        found: String,
        /// Base64url.
        expected: String,
    },
    /// The signature is not one by this key over these bytes.
    #[error("signature: found {found} bytes that do not verify; expected {expected}")]
    Signature {
        /// Bytes.
        found: usize,
        /// What would verify.
        expected: &'static str,
    },
    /// A copy of the key may exist, or an old assertion came again.
    #[error("signature counter: found {found}; expected more than {stored}: a copy or a replay")]
    Counter {
        /// In this assertion.
        found: u32,
        /// The last one known.
        stored: u32,
    },
    /// No trusted attestation, where one is demanded.
    #[error("attestation: found {found}; expected one that leads to a pinned root")]
    NotAttested {
        /// What there is.
        found: &'static str,
    },
    /// An attestation under a root or of a model that is no longer trusted.
    #[error("attestation: found {found}; expected a root that is pinned and a model on the list")]
    NoLongerTrusted {
        /// Model and root.
        found: String,
    },
    /// CBOR that CTAP2 would not write.
    #[error("{place}: {fault}")]
    Cbor {
        /// What was read.
        place: &'static str,
        /// What was found and expected.
        fault: String,
    },
    /// A public key that is none, or in another form than section 6.5.1.1 allows.
    #[error("credential public key: {0}")]
    PublicKey(String),
    /// A credential that is enrolled already.
    #[error("credential: found {found}, which is enrolled already; expected a new one")]
    AlreadyEnrolled {
        /// Base64url.
        found: String,
    },
    /// An attestation that is not read.
    #[error("attestation format: found {found}; expected \"none\" or \"packed\"")]
    Format {
        /// Escaped and cut.
        found: String,
    },
    /// An attestation statement that is not what section 8.2 or 8.7 describes.
    #[error("attestation statement: {0}")]
    Statement(String),
    /// An attestation certificate that breaks section 8.2.1.
    #[error("attestation certificate: {0}")]
    Certificate(String),
    /// No path from the attestation certificate to a pinned root.
    #[error("attestation certificate: {found}; expected a valid chain to one of {pinned} roots")]
    Chain {
        /// What the last root tried said.
        found: String,
        /// How many roots are pinned.
        pinned: usize,
    },
    /// A model that is not on the list.
    #[error("model: found AAGUID {found}; expected one of the list of allowed models")]
    Model {
        /// As UUIDs are written.
        found: String,
    },
}

impl Fault {
    /// A stable name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wire(_) => "wire",
            Self::ClientData(_) => "client_data",
            Self::Type { .. } => "type",
            Self::Challenge { .. } => "challenge",
            Self::Origin { .. } => "origin",
            Self::CrossOrigin => "cross_origin",
            Self::TopOrigin { .. } => "top_origin",
            Self::AuthenticatorData(_) => "authenticator_data",
            Self::RpIdHash { .. } => "rp_id_hash",
            Self::UserPresence => "user_presence",
            Self::UserVerification => "user_verification",
            Self::BackupState => "backup_state",
            Self::BackupEligibility { .. } => "backup_eligibility",
            Self::NotHardware => "not_hardware",
            Self::Credential { .. } => "credential",
            Self::UserHandle { .. } => "user_handle",
            Self::Signature { .. } => "signature",
            Self::Counter { .. } => "counter",
            Self::NotAttested { .. } => "not_attested",
            Self::NoLongerTrusted { .. } => "no_longer_trusted",
            Self::Cbor { .. } => "cbor",
            Self::PublicKey(_) => "public_key",
            Self::AlreadyEnrolled { .. } => "already_enrolled",
            Self::Format { .. } => "format",
            Self::Statement(_) => "statement",
            Self::Certificate(_) => "certificate",
            Self::Chain { .. } => "chain",
            Self::Model { .. } => "model",
        }
    }
}
