//! What an audit key may be asked to sign: heads of logs, and nothing else (P6).
//!
//! This is the second typed thing that a token signs, beside payments. Nobody outside gets from
//! bytes to a signature: a message is made of a [`Checkpoint`], and its bytes follow from that.

use super::checkpoint::Checkpoint;
use super::note::cosigned;
use crate::domain::key::Algorithm;
use crate::domain::time::Timestamp;

/// A message for an audit key. The set is closed.
///
/// The two forms cannot be taken for each other: the second line of a checkpoint is a number, that
/// of a cosignature starts with `time`. Neither can pass for a payment's signing input, which is a
/// single line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditMessage {
    /// The head of our own log (`c2sp.org/tlog-checkpoint`): origin, size and root.
    Checkpoint(Checkpoint),
    /// A witness's word that it saw a checkpoint (`c2sp.org/tlog-cosignature`, cosignature/v1).
    Cosignature {
        /// What it saw, extension lines included.
        checkpoint: Checkpoint,
        /// When, in seconds since 1970.
        time_s: u64,
    },
}

impl AuditMessage {
    /// A cosignature of now, as [`VerifierKey::prepare`](super::note::VerifierKey::prepare) of a
    /// witness's key writes it.
    pub fn cosignature(checkpoint: Checkpoint, now: Timestamp) -> Self {
        Self::Cosignature { checkpoint, time_s: now.unix_s().unsigned_abs() }
    }

    /// Why a key of this algorithm does not sign the message, if it does not.
    pub fn refusal(&self, algorithm: Algorithm) -> Option<&'static str> {
        match self {
            // Extension lines are free text; our log has no use for any, so none is signed.
            Self::Checkpoint(checkpoint) if !checkpoint.extensions().is_empty() => {
                Some("a checkpoint of our own log has no extension lines")
            }
            Self::Cosignature { .. } if algorithm != Algorithm::EdDsa => {
                Some("cosignature/v1 is made with Ed25519 only")
            }
            Self::Checkpoint(_) | Self::Cosignature { .. } => None,
        }
    }

    /// The bytes that the signature is over; for the HSM workers.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.text().as_str().to_owned().into_bytes(),
            Self::Cosignature { checkpoint, time_s } => {
                cosigned(checkpoint.text(), *time_s).into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::{NoteKeyName, VerifierKey};
    use crate::log::tree::{Hash, TreeHead};

    fn checkpoint(extensions: &[&str]) -> Checkpoint {
        let head = TreeHead { size: 0, root: Hash::EMPTY_ROOT };
        Checkpoint::new("pay.test.example/log", head, extensions).unwrap()
    }

    #[test]
    fn the_bytes_are_those_that_verifiers_expect() {
        let name = NoteKeyName::parse("pay.test.example/log").unwrap();
        let log = VerifierKey::ed25519(name.clone(), [7; 32]);
        let witness = VerifierKey::cosignature_v1(name, [7; 32]);
        let now = Timestamp::from_unix_ms(1_700_000_000_999);
        let ours = AuditMessage::Checkpoint(checkpoint(&[]));
        assert_eq!(ours.to_bytes(), log.prepare(checkpoint(&[]).text(), now).message());
        let seen = checkpoint(&["extension"]);
        let theirs = AuditMessage::cosignature(seen.clone(), now);
        assert_eq!(theirs.to_bytes(), witness.prepare(seen.text(), now).message());
        assert!(theirs.to_bytes().starts_with(b"cosignature/v1\ntime 1700000000\npay.test"));
    }

    #[test]
    fn what_no_verifier_would_take_is_refused() {
        let ours = |extensions| AuditMessage::Checkpoint(checkpoint(extensions));
        let theirs = AuditMessage::cosignature(checkpoint(&["a"]), Timestamp::from_unix_ms(0));
        for algorithm in Algorithm::ALL {
            assert_eq!(ours(&[]).refusal(algorithm), None);
            assert!(ours(&["a"]).refusal(algorithm).unwrap().contains("no extension lines"));
        }
        assert_eq!(theirs.refusal(Algorithm::EdDsa), None);
        assert!(theirs.refusal(Algorithm::Es256).unwrap().contains("Ed25519 only"));
    }
}
