//! Evidence of either kind, verified against the statement and the credential that it names.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::domain::credential::{Credential, CredentialId, CredentialKind, Hardware};
use crate::domain::ledger::VerifiedEvidence;
use crate::domain::person::Approver;
use crate::domain::statement::Statement;

use super::token;
use super::webauthn::{
    Aaguid, Assertion, Attestation, Attestors, Expected, Fingerprint, HardwareDemand, Refused,
    RelyingParty, UserHandle, UserVerification, verify,
};

/// Domain tag of user handles.
const HANDLE: &[u8] = b"countersign/handle/1\0";

/// Why evidence proves nothing: the true reason, for the log. Outwardly all say the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// Its form is not that of its kind.
    #[error("the evidence cannot be read: {0}")]
    Form(String),
    /// The credential makes evidence of another kind.
    #[error("the credential makes {expected} evidence; found {found}")]
    Kind {
        /// What was given.
        found: &'static str,
        /// What the credential makes.
        expected: &'static str,
    },
    /// The installation names no relying party, so that no assertion can be one of its own.
    #[error("this installation has no [console] table with a relying party; it takes no WebAuthn")]
    NoRelyingParty,
    /// The assertion does not hold.
    #[error("{0}")]
    WebAuthn(String),
    /// The signature does not hold.
    #[error(transparent)]
    Token(#[from] token::Fault),
}

impl From<Refused> for Unproven {
    fn from(refused: Refused) -> Self {
        Self::WebAuthn(format!("{}: {}", refused.fault().name(), refused.fault()))
    }
}

/// Evidence as it was received. Read, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// An assertion of a browser.
    WebAuthn(Box<Assertion>),
    /// A signature of a token that a program drives.
    Token {
        /// The credential that it says to be of.
        credential: CredentialId,
        /// The signature.
        signature: Vec<u8>,
    },
}

impl Given {
    /// Reads the JSON of an assertion, as `PublicKeyCredential.toJSON()` makes it.
    ///
    /// # Errors
    /// [`Unproven::WebAuthn`].
    pub fn assertion(json: &[u8]) -> Result<Self, Unproven> {
        Ok(Self::WebAuthn(Box::new(Assertion::parse(json)?)))
    }

    /// Reads what [`Given::to_bytes`] made.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn from_stored(
        kind: CredentialKind,
        credential: &CredentialId,
        bytes: &[u8],
    ) -> Result<Self, Unproven> {
        match kind {
            CredentialKind::WebAuthn => Self::assertion(bytes),
            CredentialKind::Token => {
                Ok(Self::Token { credential: credential.clone(), signature: bytes.to_vec() })
            }
        }
    }

    /// How it was made.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::WebAuthn(_) => CredentialKind::WebAuthn,
            Self::Token { .. } => CredentialKind::Token,
        }
    }

    /// The credential that it says to be of.
    pub fn credential(&self) -> &CredentialId {
        match self {
            Self::WebAuthn(assertion) => assertion.credential_id(),
            Self::Token { credential, .. } => credential,
        }
    }

    /// The bytes that are kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::WebAuthn(assertion) => assertion.to_canonical().into_bytes(),
            Self::Token { signature, .. } => signature.clone(),
        }
    }
}

/// What evidence is held to.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    party: Option<RelyingParty>,
    attestors: Option<Attestors>,
}

impl Verifier {
    /// A verifier for an installation: its relying party, and the makers of tokens that it trusts.
    pub fn new(party: Option<RelyingParty>, attestors: Option<Attestors>) -> Self {
        Self { party, attestors }
    }

    /// The relying party, if the installation has one.
    pub fn party(&self) -> Option<&RelyingParty> {
        self.party.as_ref()
    }

    /// Verifies evidence for a statement, by a credential of whom the statement names. `last` is
    /// the last signature counter known of it; 0 where evidence on record is verified again.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn verify(
        &self,
        statement: &Statement,
        credential: &Credential,
        last: u32,
        given: &Given,
    ) -> Result<VerifiedEvidence, Unproven> {
        if given.kind() != credential.kind {
            let (found, expected) = (given.kind().name(), credential.kind.name());
            return Err(Unproven::Kind { found, expected });
        }
        let counter = match given {
            Given::WebAuthn(assertion) => self.assertion(statement, credential, last, assertion)?,
            Given::Token { signature, .. } => {
                token::verify(credential, statement, signature)?;
                0
            }
        };
        let (kind, id) = (credential.kind, credential.id.clone());
        let digest = statement.digest();
        Ok(VerifiedEvidence::attest(digest, kind, id, given.to_bytes(), counter))
    }

    fn assertion(
        &self,
        statement: &Statement,
        credential: &Credential,
        last: u32,
        assertion: &Assertion,
    ) -> Result<u32, Unproven> {
        let party = self.party.as_ref().ok_or(Unproven::NoRelyingParty)?;
        let enrolled = enrolled(credential, &statement.approver)?;
        let hardware = match (credential.hardware, &self.attestors) {
            (Hardware::Unproven, _) => HardwareDemand::Any,
            (Hardware::Attested, Some(attestors)) => HardwareDemand::Attested(attestors),
            (Hardware::DeviceBound | Hardware::Attested, _) => HardwareDemand::Hardware,
        };
        let digest = statement.digest();
        let expected = Expected {
            challenge: digest.as_bytes(),
            credential: &enrolled,
            counter: last,
            user_verification: UserVerification::Required,
            hardware,
        };
        Ok(verify(party, &expected, assertion)?.counter())
    }
}

/// What an authenticator calls somebody: nothing that says who it is.
pub fn user_handle(approver: &Approver) -> Result<UserHandle, Unproven> {
    let mut hash = Sha256::new();
    hash.update(HANDLE);
    hash.update(approver.to_string());
    UserHandle::from_bytes(&hash.finalize()).map_err(|e| Unproven::Form(e.to_string()))
}

/// What the registry knows about a device, in one text: model and root.
pub fn device_text(attestation: &Attestation) -> String {
    match attestation {
        Attestation::None => String::new(),
        Attestation::Attested { aaguid, root } => format!("{aaguid} {root}"),
    }
}

/// A credential of the registry, as assertions are judged by.
fn enrolled(
    credential: &Credential,
    approver: &Approver,
) -> Result<super::webauthn::Credential, Unproven> {
    let form = |e: crate::domain::text::Malformed| Unproven::Form(e.to_string());
    let attestation = match credential.device.split_once(' ') {
        Some((aaguid, root)) => Attestation::Attested {
            aaguid: Aaguid::parse("device", aaguid).map_err(form)?,
            root: Fingerprint::parse("device", root).map_err(form)?,
        },
        None => Attestation::None,
    };
    Ok(super::webauthn::Credential {
        id: credential.id.clone(),
        key: credential.key.clone(),
        user_handle: user_handle(approver)?,
        counter: 0,
        backup_eligible: credential.hardware == Hardware::Unproven,
        user_verified: true,
        attestation,
        transports: Vec::new(),
    })
}

/// The evidence in base64url, as receipts and answers show it.
pub fn shown(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
