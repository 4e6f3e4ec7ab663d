//! One checkpoint, submitted to one witness: what is asked, and what its answers mean.
//!
//! Our checkpoints are on the record before anybody sees them. So a witness that has seen more than
//! our newest one tells that our ledger was set back; one that does not accept a proof which our
//! own tree gives, that there are two logs.

use crate::log::checkpoint::Checkpoint;
use crate::log::note::{Note, SignatureLine, VerifierKey};
use crate::log::tree::{Hash, TreeHead};
use crate::log::witness::{AddCheckpoint, Answer, AnswerError, cosignature, origin_hash};

use super::{Witness, WitnessReply};

/// Most requests for one checkpoint: the first may be answered with the size that the witness
/// knows, and that one is asked with then.
const ROUNDS_MAX: usize = 3;

/// What we know of our own tree.
pub(super) trait OwnTree {
    /// Number of leaves on the record.
    fn leaves(&self) -> Result<u64, String>;
    /// Number of leaves that the newest checkpoint covers.
    fn published(&self) -> u64;
    /// Root of the first leaves.
    fn root(&self, size: u64) -> Result<Hash, String>;
    /// Consistency proof from the first leaves to more of them.
    fn consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, String>;
}

/// Why there is no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwitnessed {
    /// No answer.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that is not the protocol's.
    #[error("its answer is not believed: {0}")]
    Answer(#[from] AnswerError),
    /// A refusal.
    #[error("it answers {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In its own words, or ours.
        detail: String,
    },
    /// It keeps saying that it knows another size.
    #[error("it answers again and again that it knows another size, the last time {seen}")]
    Restless {
        /// The size it said.
        seen: u64,
    },
    /// It has seen a newer checkpoint of ours, which is submitted next.
    #[error("it has seen {seen} leaves already")]
    Behind {
        /// The size it said.
        seen: u64,
    },
    /// It has forgotten what it cosigned.
    #[error(
        "it has cosigned {cosigned} leaves and says now that it has seen {seen}: it was set back, \
         and could vouch for a fork; give it a new key and state"
    )]
    Forgot {
        /// What it cosigned before.
        cosigned: u64,
        /// What it says now.
        seen: u64,
    },
    /// Our ledger is older than what it has seen.
    #[error(
        "it has seen {seen} leaves of this log, and our newest checkpoint covers {ours}{shown}. \
         The ledger was restored from a backup, rolled back or made anew, and what was signed \
         since is not in it; put back a copy with at least that many leaves"
    )]
    RolledBack {
        /// Leaves that it has seen.
        seen: u64,
        /// Leaves that our newest checkpoint covers.
        ours: u64,
        /// Whether it shows what it has seen.
        shown: Shown,
    },
    /// There are two logs under our name.
    #[error(
        "the tree of {seen} leaves that it has cosigned is not the beginning of our log{shown}. \
         Another copy of this ledger has been in use; find that copy, and put it back"
    )]
    Forked {
        /// Leaves of the tree that it cosigned.
        seen: u64,
        /// Whether it shows what it has seen.
        shown: Shown,
    },
    /// Our own ledger cannot be read.
    #[error("the log cannot be read: {0}")]
    OwnLog(String),
}

impl Unwitnessed {
    /// Whether it tells that our own log was set back or forked.
    pub fn contradicts(&self) -> bool {
        matches!(self, Self::RolledBack { .. } | Self::Forked { .. })
    }
}

/// What a witness shows for what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A checkpoint of that tree, signed by our own audit key: it cannot have made that up.
    Signed {
        /// Its size.
        size: u64,
    },
    /// Nothing.
    Nothing,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed { size } => {
                write!(f, " (it shows a checkpoint of {size} leaves, signed by our audit key)")
            }
            Self::Nothing => f.write_str(" (it shows no checkpoint that proves it)"),
        }
    }
}

/// A checkpoint of ours for a witness.
pub(super) struct Submission<'a, T> {
    pub(super) witness: &'a Witness,
    /// The log's key, named like the log.
    pub(super) log: &'a VerifierKey,
    pub(super) note: &'a Note,
    pub(super) head: TreeHead,
    /// Leaves that the witness has cosigned for us.
    pub(super) cosigned: u64,
    pub(super) tree: T,
}

impl<T: OwnTree> Submission<'_, T> {
    /// Has the checkpoint cosigned. Blocks.
    pub(super) fn submit(&self) -> Result<SignatureLine, Unwitnessed> {
        let mut old = self.cosigned.min(self.head.size);
        for _ in 0..ROUNDS_MAX {
            let proof = match old {
                0 => Vec::new(),
                _ => self.tree.consistency(old, self.head.size).map_err(Unwitnessed::OwnLog)?,
            };
            let request = AddCheckpoint::new(old, proof, self.note.clone())
                .map_err(|refused| Unwitnessed::OwnLog(refused.to_string()))?;
            let reply = self.witness.line.add_checkpoint(&request.to_string());
            let WitnessReply { status, media_type, body } =
                reply.map_err(Unwitnessed::Unreachable)?;
            match Answer::parse(status, &media_type, &body)? {
                Answer::Cosigned(lines) => {
                    return Ok(cosignature(self.note, lines, &self.witness.key)?);
                }
                Answer::Conflict { seen } if seen != old => old = self.other_size(seen)?,
                Answer::Conflict { seen } => return Err(Unwitnessed::Restless { seen }),
                Answer::Refused { status: 422, detail } if old > 0 => {
                    return Err(self.not_continued(old, detail));
                }
                Answer::Refused { status, detail } => {
                    return Err(Unwitnessed::Refused { status, detail });
                }
            }
        }
        Err(Unwitnessed::Restless { seen: old })
    }

    /// The witness knows another size: it is asked again from there, or there is more to it.
    fn other_size(&self, seen: u64) -> Result<u64, Unwitnessed> {
        if seen < self.cosigned {
            return Err(Unwitnessed::Forgot { cosigned: self.cosigned, seen });
        }
        if seen <= self.head.size {
            return Ok(seen);
        }
        // A newer checkpoint of ours may have reached it by another way meanwhile.
        let ours = self.tree.published();
        match self.newest_there()? {
            Some((head, true)) if head.size >= seen => Err(Unwitnessed::Behind { seen }),
            Some((TreeHead { size, .. }, false)) => {
                Err(Unwitnessed::RolledBack { seen, ours, shown: Shown::Signed { size } })
            }
            _ if seen <= ours => Err(Unwitnessed::Behind { seen }),
            _ => Err(Unwitnessed::RolledBack { seen, ours, shown: Shown::Nothing }),
        }
    }

    /// The witness does not accept a proof that our own tree gives.
    fn not_continued(&self, old: u64, detail: String) -> Unwitnessed {
        match self.newest_there() {
            Err(refused) => refused,
            // It has seen our log and nothing else: the witness is wrong, not we.
            Ok(Some((head, true))) if head.size >= old => {
                Unwitnessed::Refused { status: 422, detail }
            }
            Ok(Some((TreeHead { size, .. }, false))) => {
                Unwitnessed::Forked { seen: old, shown: Shown::Signed { size } }
            }
            Ok(_) => Unwitnessed::Forked { seen: old, shown: Shown::Nothing },
        }
    }

    /// The head that the witness shows as our newest, if our key has signed it, and whether it is
    /// one of our own tree.
    fn newest_there(&self) -> Result<Option<(TreeHead, bool)>, Unwitnessed> {
        let origin = self.log.name().as_str();
        let Ok(reply) = self.witness.line.newest(&origin_hash(origin)) else { return Ok(None) };
        let Some(head) = (reply.status == 200).then(|| self.signed_by_us(&reply.body)).flatten()
        else {
            return Ok(None);
        };
        let leaves = self.tree.leaves().map_err(Unwitnessed::OwnLog)?;
        let is_ours = head.size <= leaves
            && self.tree.root(head.size).map_err(Unwitnessed::OwnLog)? == head.root;
        Ok(Some((head, is_ours)))
    }

    fn signed_by_us(&self, note: &[u8]) -> Option<TreeHead> {
        let note = Note::parse(note).ok()?;
        let signed = note.verify(std::slice::from_ref(self.log)).ok()?;
        let checkpoint = Checkpoint::parse(signed.text.clone()).ok()?;
        (checkpoint.origin() == self.log.name().as_str()).then(|| checkpoint.head())
    }
}
