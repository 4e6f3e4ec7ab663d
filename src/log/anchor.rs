//! Anchors: what a token remembers of the log, so that a ledger that was rolled back is found out.
//!
//! An anchor names the ledger, the daemon's epoch and a checkpoint. Two objects on the token hold
//! anchors in turn: while one is being written the other is whole. A digest at the end tells a
//! torn one. This module is *not* protection against somebody who can write to the token: it finds
//! a ledger that is older than its token, and a second daemon on the same token.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Note, NoteError, VerifierKey};
use super::tree::TreeHead;

/// Schema of anchors, its first version.
const ANCHOR_SCHEMA: &str = "countersign/anchor/1";
/// Characters of the digest at the end: SHA-256 in hexadecimal.
const DIGEST_CHARS: usize = 64;

/// What one object on the token holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    schema: String,
    /// The ledger's identifier.
    pub ledger: String,
    /// Raised by each start of a daemon.
    pub epoch: u64,
    /// Raised by each writing; the higher one of two is the newer.
    pub turn: u64,
    /// The signed note of the newest checkpoint; empty while there is none.
    pub checkpoint: String,
}

/// What was found in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// It is not there.
    Missing,
    /// It is no anchor: its writing was cut off.
    Torn,
    /// It is whole.
    Whole(Anchor),
}

/// Why the anchors of a token do not let a ledger be used. All wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorFault {
    /// Neither object is there.
    #[error(
        "the token has no anchors; `countersign init` makes them with the ledger. If they were \
         deleted, nobody can tell any more whether the ledger was rolled back: restore the token \
         from its own backup, or set up a new installation"
    )]
    None,
    /// An object went away while its only writer was running.
    #[error(
        "one of the two anchors on the token was deleted while the daemon was running, which no \
         crash does; find out who did it, then start the daemon again"
    )]
    Deleted,
    /// Neither object is whole.
    #[error(
        "both anchors on the token are torn or gone, which no single crash does; find out who did \
         it, and restore the token from its own backup"
    )]
    Torn,
    /// The token belongs to another ledger.
    #[error(
        "the token is anchored to the ledger {anchored}; this is the ledger {found}: two ledgers \
         on one token would each allow what the other has spent. Put the anchored ledger back, or \
         use another token"
    )]
    OtherLedger {
        /// The ledger that the anchor names.
        anchored: String,
        /// The ledger that is to be used.
        found: String,
    },
    /// The ledger has fewer leaves than the token remembers.
    #[error(
        "the ledger is older than its token remembers: it has {found} leaves, {anchored} were \
         anchored. It was restored from a backup or rolled back, and what was spent since is not \
         in it; put back a copy with at least that many leaves"
    )]
    RolledBack {
        /// Leaves at the anchor.
        anchored: u64,
        /// Leaves in the ledger.
        found: u64,
    },
    /// The log is not the one that was anchored.
    #[error(
        "the log differs from the one that was anchored at {size} leaves: another copy of this \
         ledger has been in use. Find that copy, and put it back"
    )]
    Forked {
        /// Leaves at the anchor.
        size: u64,
    },
    /// The anchored checkpoint is not signed by the audit key.
    #[error(
        "the anchored checkpoint does not verify with the audit key: {0}; put back the audit key \
         that signed it, or find out who wrote to the token"
    )]
    Foreign(String),
    /// Another daemon has written since.
    #[error(
        "another daemon uses this token: the anchor has epoch {found_epoch}, turn {found_turn}; \
         this daemon wrote epoch {epoch}, turn {turn}. Stop one of \
         them, then start the other again"
    )]
    Contested {
        /// Our epoch.
        epoch: u64,
        /// Our last turn.
        turn: u64,
        /// The epoch found.
        found_epoch: u64,
        /// The turn found.
        found_turn: u64,
    },
}

impl Anchor {
    /// The first anchor of a new ledger.
    pub fn first(ledger: &str) -> Self {
        let (schema, ledger) = (ANCHOR_SCHEMA.to_owned(), ledger.to_owned());
        Self { schema, ledger, epoch: 0, turn: 0, checkpoint: String::new() }
    }

    /// The next one of the same daemon.
    pub fn next(&self, checkpoint: &str) -> Self {
        let (turn, checkpoint) = (self.turn.saturating_add(1), checkpoint.to_owned());
        Self { turn, checkpoint, ..self.clone() }
    }

    /// The first one of a daemon that starts.
    pub fn of_start(&self) -> Self {
        Self { epoch: self.epoch.saturating_add(1), ..self.next(&self.checkpoint) }
    }

    /// The bytes for the object: JSON, and its digest in a line of its own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n{}\n", digest(&json)).into_bytes()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (json, told) = text.strip_suffix('\n')?.split_once('\n')?;
        let whole = told.len() == DIGEST_CHARS && told == digest(json);
        let anchor: Self = whole.then(|| serde_json::from_str(json).ok())??;
        (anchor.schema == ANCHOR_SCHEMA).then_some(anchor)
    }

    /// The head that is anchored, if the audit key signed it.
    ///
    /// # Errors
    /// [`AnchorFault::Foreign`].
    pub fn head(&self, key: &VerifierKey) -> Result<TreeHead, AnchorFault> {
        if self.checkpoint.is_empty() {
            return Ok(TreeHead::EMPTY);
        }
        let foreign = |refused: NoteError| AnchorFault::Foreign(refused.to_string());
        let note = Note::parse(self.checkpoint.as_bytes()).map_err(foreign)?;
        let signed = note.verify(std::slice::from_ref(key)).map_err(foreign)?;
        let refused = |refused: CheckpointError| AnchorFault::Foreign(refused.to_string());
        let checkpoint = Checkpoint::parse(signed.text.clone()).map_err(refused)?;
        Ok(checkpoint.head())
    }
}

/// The anchor in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// What it says.
    pub anchor: Anchor,
    /// Which of the two objects holds it.
    pub place: usize,
    /// What became of the other.
    pub other: Other,
}

/// What became of the object that does not hold the anchor in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// It holds the anchor before.
    Whole,
    /// Its writing was cut off.
    Torn,
    /// It is not there. A crash in the middle of a writing does that on tokens that write a new
    /// file; so does somebody who deletes it. Either way the one that is left may be the older.
    Gone,
}

/// The newer one of what two objects hold.
///
/// # Errors
/// [`AnchorFault::None`] or [`AnchorFault::Torn`].
pub fn newest(objects: [Option<Vec<u8>>; 2]) -> Result<Newest, AnchorFault> {
    let found = objects.map(|object| match object {
        None => Found::Missing,
        Some(bytes) => Anchor::parse(&bytes).map_or(Found::Torn, Found::Whole),
    });
    match found {
        [Found::Missing, Found::Missing] => Err(AnchorFault::None),
        [Found::Whole(one), Found::Whole(other)] => match other.turn > one.turn {
            true => Ok(Newest { anchor: other, place: 1, other: Other::Whole }),
            false => Ok(Newest { anchor: one, place: 0, other: Other::Whole }),
        },
        [Found::Whole(anchor), other] => Ok(Newest { anchor, place: 0, other: other.left() }),
        [other, Found::Whole(anchor)] => Ok(Newest { anchor, place: 1, other: other.left() }),
        [Found::Missing | Found::Torn, Found::Missing | Found::Torn] => Err(AnchorFault::Torn),
    }
}

impl Found {
    fn left(&self) -> Other {
        match self {
            Self::Missing => Other::Gone,
            Self::Torn => Other::Torn,
            Self::Whole(_) => Other::Whole,
        }
    }
}

/// Whether a new ledger may take an object: it is not there, or belongs to a ledger with which no
/// daemon ever started.
///
/// # Errors
/// [`AnchorFault::OtherLedger`] or [`AnchorFault::Torn`].
pub fn is_free(object: Option<&[u8]>, ledger: &str) -> Result<(), AnchorFault> {
    let Some(bytes) = object else { return Ok(()) };
    let anchor = Anchor::parse(bytes).ok_or(AnchorFault::Torn)?;
    match anchor.epoch {
        0 => Ok(()),
        _ => Err(AnchorFault::OtherLedger { anchored: anchor.ledger, found: ledger.to_owned() }),
    }
}

/// Whether a ledger may be used with an anchor. `root_at` tells the root of its first leaves.
///
/// # Errors
/// What `root_at` answers, or the inner [`AnchorFault`].
pub fn judge<E>(
    anchor: &Anchor,
    key: &VerifierKey,
    ledger: &str,
    leaves: u64,
    root_at: impl FnOnce(TreeHead) -> Result<bool, E>,
) -> Result<Result<(), AnchorFault>, E> {
    if anchor.ledger != ledger {
        let (anchored, found) = (anchor.ledger.clone(), ledger.to_owned());
        return Ok(Err(AnchorFault::OtherLedger { anchored, found }));
    }
    let head = match anchor.head(key) {
        Ok(head) => head,
        Err(fault) => return Ok(Err(fault)),
    };
    if head.size > leaves {
        let anchored = head.size;
        return Ok(Err(AnchorFault::RolledBack { anchored, found: leaves }));
    }
    if head.size > 0 && !root_at(head)? {
        return Ok(Err(AnchorFault::Forked { size: head.size }));
    }
    Ok(Ok(()))
}

/// Whether the token still holds what this daemon wrote last.
///
/// # Errors
/// [`AnchorFault::Contested`].
pub fn uncontested(mine: &Anchor, found: &Anchor) -> Result<(), AnchorFault> {
    let (epoch, turn) = (mine.epoch, mine.turn);
    let (found_epoch, found_turn) = (found.epoch, found.turn);
    match found == mine {
        true => Ok(()),
        false => Err(AnchorFault::Contested { epoch, turn, found_epoch, found_turn }),
    }
}

fn digest(json: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(json))
}

#[cfg(test)]
mod tests;
