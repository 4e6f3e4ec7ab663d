//! The body of `add-checkpoint`: the size that the witness knows, a consistency proof, the note.

use std::fmt;

use crate::domain::text::excerpt;
use crate::log::checkpoint::{Checkpoint, CheckpointError, decimal};
use crate::log::note::{Note, NoteError};
use crate::log::tree::Hash;

use super::WITNESS_BYTES_MAX;

/// Most lines of a consistency proof, as the specification says.
pub const PROOF_LINES_MAX: usize = 63;
/// Between the proof and the checkpoint, with the newline before it.
const BLANK_LINE: &str = "\n\n";
/// Before the old size.
const OLD_PREFIX: &str = "old ";

/// Why a request is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// More than [`WITNESS_BYTES_MAX`].
    #[error("the request has {bytes} bytes; at most {WITNESS_BYTES_MAX} are read")]
    TooLong {
        /// Length of what was given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the request is not UTF-8")]
    NotUtf8,
    /// No empty line.
    #[error("the request has no empty line; expected one between proof and checkpoint")]
    NoBlankLine,
    /// The first line is something else.
    #[error("the first line is {found}; expected \"old \" and a tree size without leading zeros")]
    OldLine {
        /// The line, shortened.
        found: String,
    },
    /// More than [`PROOF_LINES_MAX`].
    #[error("the proof has more than {PROOF_LINES_MAX} lines")]
    LongProof,
    /// A line of the proof that is no hash.
    #[error("line {number} of the proof is not a hash: 32 bytes in base64")]
    ProofLine {
        /// Which line, counted from 1.
        number: usize,
    },
    /// What follows the empty line is no note.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The text of the note is no checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A tree larger than any that can be remembered.
    #[error("the tree has {size} leaves; at most 2^63 - 1 can be counted")]
    Large {
        /// Size of the tree.
        size: u64,
    },
}

/// A request of the right form. Nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
    /// `None`: no leaves, and another root than that of a tree without leaves. The specification
    /// wants that refused only after origin and signature.
    checkpoint: Option<Checkpoint>,
}

impl AddCheckpoint {
    /// A request for a note whose text is a checkpoint. The proof is empty if `old` is 0.
    ///
    /// # Errors
    /// [`RequestError`]: what no witness would read.
    pub fn new(old: u64, proof: Vec<Hash>, note: Note) -> Result<Self, RequestError> {
        if proof.len() > PROOF_LINES_MAX {
            return Err(RequestError::LongProof);
        }
        let checkpoint = match Checkpoint::parse(note.unverified_text().clone()) {
            Ok(checkpoint) => Some(checkpoint),
            Err(CheckpointError::EmptyRoot) => None,
            Err(refused) => return Err(refused.into()),
        };
        let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.head().size);
        match i64::try_from(size) {
            Ok(_) => Ok(Self { old, proof, note, checkpoint }),
            Err(_) => Err(RequestError::Large { size }),
        }
    }

    /// Reads a request. One request has one spelling: what is read prints as the same bytes.
    ///
    /// # Errors
    /// [`RequestError`]: the first thing that is not as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > WITNESS_BYTES_MAX {
            return Err(RequestError::TooLong { bytes: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| RequestError::NotUtf8)?;
        let (lines, note) = text.split_once(BLANK_LINE).ok_or(RequestError::NoBlankLine)?;
        let mut lines = lines.split('\n');
        let first = lines.next().unwrap_or_default();
        let old = first.strip_prefix(OLD_PREFIX).and_then(decimal);
        let old = old.ok_or_else(|| RequestError::OldLine { found: excerpt(first) })?;
        if lines.clone().nth(PROOF_LINES_MAX).is_some() {
            return Err(RequestError::LongProof);
        }
        let hash =
            |(number, line)| Hash::parse_base64(line).ok_or(RequestError::ProofLine { number });
        let proof = (1..).zip(lines).map(hash).collect::<Result<_, _>>()?;
        Self::new(old, proof, Note::parse(note.as_bytes())?)
    }

    /// The log that the checkpoint says to be of: the first line.
    pub fn origin(&self) -> &str {
        let text = self.note.unverified_text().as_str();
        text.split('\n').next().unwrap_or_default()
    }

    /// Size of the tree that the witness is said to know.
    pub fn old(&self) -> u64 {
        self.old
    }

    /// The consistency proof from there on.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The note, whoever signed it.
    pub fn note(&self) -> &Note {
        &self.note
    }

    pub(super) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{OLD_PREFIX}{}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}
