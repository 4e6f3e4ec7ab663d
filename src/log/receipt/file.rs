//! The JSON form of a receipt.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{ProvenLeaf, RECEIPT_BYTES_MAX, RECEIPT_SCHEMA, Receipt};
use crate::domain::leaf::Salt;
use crate::domain::payment::PaymentId;
use crate::domain::text::excerpt;
use crate::log::checkpoint::decimal;
use crate::log::tree::Hash;

/// Why a file is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More than [`RECEIPT_BYTES_MAX`].
    #[error("found {bytes} bytes; expected a receipt of at most {RECEIPT_BYTES_MAX}")]
    TooLong {
        /// Length of the file.
        bytes: usize,
    },
    /// Not JSON, or not the members of a receipt.
    #[error("not a receipt: {0}")]
    Form(String),
    /// Another schema.
    #[error("the schema is {found}; expected \"{RECEIPT_SCHEMA}\"")]
    Schema {
        /// What the file says.
        found: String,
    },
    /// A member that cannot be read.
    #[error("\"{member}\" is {found}; expected {expected}")]
    Member {
        /// Name of the member.
        member: &'static str,
        /// An excerpt of what the file says.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptFile {
    schema: String,
    payment: String,
    jws: String,
    salt: String,
    decision: LeafFile,
    outcome: LeafFile,
    checkpoint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafFile {
    position: String,
    leaf: String,
    proof: Vec<String>,
}

pub(super) fn write(receipt: &Receipt) -> String {
    let leaf = |proven: &ProvenLeaf| LeafFile {
        position: proven.position.to_string(),
        leaf: proven.leaf.clone(),
        proof: proven.proof.iter().map(ToString::to_string).collect(),
    };
    let file = ReceiptFile {
        schema: RECEIPT_SCHEMA.to_owned(),
        payment: receipt.payment.to_string(),
        jws: receipt.jws.clone(),
        salt: BASE64URL_NOPAD.encode(receipt.salt.as_bytes()),
        decision: leaf(&receipt.decision),
        outcome: leaf(&receipt.outcome),
        checkpoint: receipt.checkpoint.clone(),
    };
    // Texts and lists of texts always serialise.
    serde_json::to_string(&file).unwrap_or_default()
}

pub(super) fn read(json: &[u8]) -> Result<Receipt, FileError> {
    if json.len() > RECEIPT_BYTES_MAX {
        return Err(FileError::TooLong { bytes: json.len() });
    }
    let file: ReceiptFile =
        serde_json::from_slice(json).map_err(|refused| FileError::Form(refused.to_string()))?;
    if file.schema != RECEIPT_SCHEMA {
        return Err(FileError::Schema { found: excerpt(&file.schema) });
    }
    let payment = PaymentId::parse("payment", &file.payment)
        .map_err(|_| member("payment", &file.payment, "32 lower-case hexadecimal digits"))?;
    let salt = BASE64URL_NOPAD.decode(file.salt.as_bytes()).ok();
    let salt = salt.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let salt = salt.ok_or_else(|| member("salt", &file.salt, "16 bytes in base64url"))?;
    Ok(Receipt {
        payment,
        jws: file.jws,
        salt: Salt::from_bytes(salt),
        decision: proven(file.decision)?,
        outcome: proven(file.outcome)?,
        checkpoint: file.checkpoint,
    })
}

fn proven(file: LeafFile) -> Result<ProvenLeaf, FileError> {
    let position = decimal(&file.position)
        .ok_or_else(|| member("position", &file.position, "a decimal number"))?;
    let hash = |text: &String| {
        Hash::parse_base64(text).ok_or_else(|| member("proof", text, "hashes in base64"))
    };
    let proof = file.proof.iter().map(hash).collect::<Result<_, _>>()?;
    Ok(ProvenLeaf { position, leaf: file.leaf, proof })
}

fn member(member: &'static str, found: &str, expected: &'static str) -> FileError {
    FileError::Member { member, found: excerpt(found), expected }
}
