//! Statements that were issued, and the evidence that people gave for them.

use sha2::{Digest, Sha256};

use crate::domain::credential::{CredentialId, CredentialKind};
use crate::domain::statement::{Statement, StatementDigest};
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;

/// A statement on the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub statement: Statement,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// What was given for it; none while it is open.
    pub evidence: Option<Evidence>,
}

/// What a person's hardware made, kept verbatim: anybody can verify it later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How it was made.
    pub kind: CredentialKind,
    /// The credential that made it.
    pub credential: CredentialId,
    /// The bytes as they were received.
    pub bytes: Vec<u8>,
    /// When it was recorded.
    pub given_at: Timestamp,
    /// Position of its leaf in the log.
    pub leaf: u64,
}

impl Evidence {
    /// SHA-256 of the bytes: how the log names it.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }
}

/// Evidence that was verified against the public key of the credential that it names, over the
/// statement that it names. What remains to be seen is whether that credential is whose the
/// statement says, and whether it may approve.
///
/// Only `approvals` makes one, after it has verified the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvidence {
    statement: StatementDigest,
    kind: CredentialKind,
    credential: CredentialId,
    bytes: Vec<u8>,
    counter: u32,
}

impl VerifiedEvidence {
    /// What a verifier has verified. `counter` is the signature counter that the authenticator
    /// told; 0 where it counts none.
    pub fn attest(
        statement: StatementDigest,
        kind: CredentialKind,
        credential: CredentialId,
        bytes: Vec<u8>,
        counter: u32,
    ) -> Self {
        Self { statement, kind, credential, bytes, counter }
    }

    /// The statement that was signed.
    pub fn statement(&self) -> StatementDigest {
        self.statement
    }

    /// The credential that signed it.
    pub fn credential(&self) -> &CredentialId {
        &self.credential
    }

    /// The signature counter.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// Whether this is what the ledger holds, byte for byte.
    pub(super) fn is(&self, kept: &Evidence) -> bool {
        self.kind == kept.kind && self.credential == kept.credential && self.bytes == kept.bytes
    }

    pub(super) fn into_evidence(self, given_at: Timestamp, leaf: u64) -> Evidence {
        let Self { kind, credential, bytes, .. } = self;
        Evidence { kind, credential, bytes, given_at, leaf }
    }
}
