//! The witness protocol (`c2sp.org/tlog-witness`): what a log asks of a witness, what that answers,
//! and how it judges.
//!
//! A witness remembers one head of each log and puts its name to a newer one only if that proves to
//! be a continuation. So nobody who trusts the witness can be shown two histories of one log.
//!
//! Pure, as everything in `log`: who stores the head, sends the bytes and makes the signature is
//! somebody else. Not here: `sign-subtree`, and ML-DSA cosignatures.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

mod answer;
mod judge;
mod request;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerError, SIZE_MEDIA_TYPE, cosignature};
pub use judge::{Refusal, judge};
pub use request::{AddCheckpoint, PROOF_LINES_MAX, RequestError};

/// Most bytes of a request or an answer that are read: a proof of 63 hashes and a note with many
/// signatures fit several times.
pub const WITNESS_BYTES_MAX: usize = 65_536;

/// How the path of a log's newest checkpoint at a witness names the log: SHA-256 of its origin in
/// lower-case hexadecimal ("Monitor Retrieval Mechanism").
pub fn origin_hash(origin: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(origin))
}
