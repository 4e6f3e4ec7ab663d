//! Whether a witness cosigns: the checks of `add-checkpoint`, in the order of the specification.

use crate::log::checkpoint::Checkpoint;
use crate::log::note::{NoteError, VerifierKey};
use crate::log::proof::{ProofError, verify_consistency};
use crate::log::tree::{Hash, TreeHead};

use super::AddCheckpoint;

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The log is not one of those that it watches.
    #[error("this witness does not know the log {origin}")]
    UnknownOrigin {
        /// The first line of the checkpoint.
        origin: String,
    },
    /// The log has not signed, or not this.
    #[error("the checkpoint: {0}; expected the signature of the log's key")]
    Signature(#[from] NoteError),
    /// The tree is smaller than what it is said to continue.
    #[error("the old size is {old}, the checkpoint has {size} leaves; expected no fewer")]
    OldExceeds {
        /// The old size.
        old: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The last head that was cosigned is another one than the client thinks.
    #[error("the old size is {old}; the tree that was last cosigned has {seen} leaves")]
    Conflict {
        /// The old size.
        old: u64,
        /// Size of the tree that was last cosigned; 0 if none was.
        seen: u64,
    },
    /// No leaves, and another root than nothing has.
    #[error("the tree has no leaves, but its root is not the hash of nothing")]
    FalseEmpty,
    /// Another tree of the size that was cosigned before.
    #[error(
        "this is another tree of {size} leaves than the one that was cosigned: its root is \
         {found}, not {seen}; the log has forked"
    )]
    OtherRoot {
        /// Size of both.
        size: u64,
        /// The root that was cosigned.
        seen: Hash,
        /// The root of the checkpoint.
        found: Hash,
    },
    /// A proof where there is nothing to prove.
    #[error("the old size is 0 and the proof has {lines} lines; expected none")]
    NeedlessProof {
        /// How many.
        lines: usize,
    },
    /// The proof does not lead from the head that was cosigned to the new one.
    #[error(
        "the tree does not continue the one of {seen} leaves that was cosigned: {error}; the log \
         has forked, or the proof is wrong"
    )]
    Proof {
        /// Size of the tree that was cosigned.
        seen: u64,
        /// What does not fit.
        error: ProofError,
    },
}

impl Refusal {
    /// The HTTP status that the specification has for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownOrigin { .. } => 404,
            Self::Signature(_) => 403,
            Self::OldExceeds { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::FalseEmpty
            | Self::OtherRoot { .. }
            | Self::NeedlessProof { .. }
            | Self::Proof { .. } => 422,
        }
    }
}

/// The checkpoint, if a witness may cosign it that trusts `keys` for its origin (`None`: it does
/// not know the log) and last cosigned `seen` ([`TreeHead::EMPTY`] if nothing).
///
/// # Errors
/// [`Refusal`]: the first check that fails.
pub fn judge<'a>(
    keys: Option<&[VerifierKey]>,
    seen: &TreeHead,
    request: &'a AddCheckpoint,
) -> Result<&'a Checkpoint, Refusal> {
    let origin = || request.origin().to_owned();
    let keys = keys.ok_or_else(|| Refusal::UnknownOrigin { origin: origin() })?;
    request.note().verify(keys)?;
    let (old, size) = (request.old(), request.checkpoint().map_or(0, |found| found.head().size));
    if old > size {
        return Err(Refusal::OldExceeds { old, size });
    }
    if old != seen.size {
        return Err(Refusal::Conflict { old, seen: seen.size });
    }
    let checkpoint = request.checkpoint().ok_or(Refusal::FalseEmpty)?;
    let head = checkpoint.head();
    if old == size && head.root != seen.root {
        return Err(Refusal::OtherRoot { size, seen: seen.root, found: head.root });
    }
    if old > 0 {
        let verified = verify_consistency(seen, &head, request.proof());
        return match verified {
            Ok(()) => Ok(checkpoint),
            Err(error) => Err(Refusal::Proof { seen: old, error }),
        };
    }
    match request.proof().len() {
        0 => Ok(checkpoint),
        lines => Err(Refusal::NeedlessProof { lines }),
    }
}
