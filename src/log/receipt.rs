//! Receipts: one payment that anybody can check offline, with public keys alone.
//!
//! A receipt holds the signed payment, the two leaves that the log has on it, why they are in the
//! log, and the salt that lets whoever holds the receipt see that these leaves are about this very
//! payment. It proves nothing to those who cannot name the keys: they come from elsewhere.

use crate::domain::leaf::Salt;
use crate::domain::payment::PaymentId;

use super::tree::Hash;

mod file;
mod jwks;
mod jws;
mod verify;

#[cfg(test)]
mod tests;

pub use file::FileError;
pub use jwks::{KeySetError, public_keys};
pub use jws::JwsError;
pub use verify::{ReceiptError, Verified, Which, verify};

/// Schema of receipts, its first version.
pub const RECEIPT_SCHEMA: &str = "countersign/receipt/1";
/// Longest receipt that is read, in bytes: two leaves, two proofs and a note fit many times.
pub const RECEIPT_BYTES_MAX: usize = 1024 * 1024;

/// A leaf, where it stands in the log, and the way from there to the root of the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLeaf {
    /// Position in the log, counted from 0.
    pub position: u64,
    /// The leaf's exact text.
    pub leaf: String,
    /// Inclusion proof in the tree of the checkpoint (RFC 6962 section 2.1.1), lowest hash first.
    pub proof: Vec<Hash>,
}

/// A receipt. Nothing of it is verified by holding it; see [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The payment.
    pub payment: PaymentId,
    /// The compact JWS.
    pub jws: String,
    /// What hides the personal fields of this payment in the log.
    pub salt: Salt,
    /// The leaf that accepted it.
    pub decision: ProvenLeaf,
    /// The leaf that tells its signature.
    pub outcome: ProvenLeaf,
    /// A signed checkpoint of the log, a note.
    pub checkpoint: String,
}

impl Receipt {
    /// Puts a receipt together; both proofs must be made for the tree of the checkpoint.
    pub fn new(
        payment: PaymentId,
        jws: String,
        salt: Salt,
        decision: ProvenLeaf,
        outcome: ProvenLeaf,
        checkpoint: String,
    ) -> Self {
        Self { payment, jws, salt, decision, outcome, checkpoint }
    }

    /// The file: JSON in one line, without a newline at its end.
    pub fn to_json(&self) -> String {
        file::write(self)
    }

    /// Reads a file. White space between its members and their order mean nothing.
    ///
    /// # Errors
    /// [`FileError`]: not the form of a receipt. Whether it is true is not known afterwards.
    pub fn parse(json: &[u8]) -> Result<Self, FileError> {
        file::read(json)
    }
}
