//! What is wrong with a log, and where.

use std::fmt;

use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;
use crate::log::checkpoint::CheckpointError;
use crate::log::entry::{EntryError, Kind};
use crate::log::note::NoteError;
use crate::log::tree::Hash;

/// The first thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Position of the leaf where it was found; `None` if it is about no leaf in particular.
    pub position: Option<u64>,
    /// What it is.
    pub finding: Box<Finding>,
}

impl Fault {
    pub(super) fn at(position: u64, finding: Finding) -> Self {
        Self { position: Some(position), finding: Box::new(finding) }
    }

    pub(super) fn of_log(finding: Finding) -> Self {
        Self { position: None, finding: Box::new(finding) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "leaf {position}: {}", self.finding),
            None => write!(f, "{}", self.finding),
        }
    }
}

impl std::error::Error for Fault {}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A leaf that the daemon could not have written.
    #[error("{0}")]
    Entry(#[from] EntryError),
    /// A witness that was asked for has cosigned no checkpoint.
    #[error("no checkpoint is cosigned by the witness {witness}")]
    NotCosigned {
        /// Its key.
        witness: String,
    },
    /// A leaf that is older than the one before it.
    #[error(
        "it is of {found}, but the leaf before it is of {before}; expected times that never \
             go back: leaves were inserted or swapped"
    )]
    TimeBack {
        /// Time of the leaf.
        found: Timestamp,
        /// Time of the leaf before it.
        before: Timestamp,
    },
    /// A payment that was decided upon before.
    #[error(
        "payment {payment} is {kind} here, but was decided upon before; expected one decision \
             a payment"
    )]
    DecidedTwice {
        /// The payment.
        payment: PaymentId,
        /// What this leaf says.
        kind: Kind,
    },
    /// An outcome of a payment that nobody accepted.
    #[error(
        "payment {payment} is {kind} here, but no leaf before it accepts it; expected its \
             \"accepted\" leaf first"
    )]
    NotAccepted {
        /// The payment.
        payment: PaymentId,
        /// What this leaf says.
        kind: Kind,
    },
    /// An outcome of a payment that was denied or has one.
    #[error(
        "payment {payment} is {kind} here, but was denied or had its outcome before; expected \
             one outcome, of an accepted payment"
    )]
    SettledTwice {
        /// The payment.
        payment: PaymentId,
        /// What this leaf says.
        kind: Kind,
    },
    /// An outcome that is about another payment than was accepted.
    #[error(
        "the outcome of payment {payment} says {member} {found}; expected {expected}, as the \
             leaf {accepted} accepted it"
    )]
    OutcomeDiffers {
        /// The payment.
        payment: PaymentId,
        /// Name of the member.
        member: &'static str,
        /// What the outcome says.
        found: String,
        /// What was accepted.
        expected: String,
        /// Position of the leaf that accepted it.
        accepted: u64,
    },
    /// Sums that no ledger could hold.
    #[error("the sum of key {key} exceeds 64 bits here; no ledger could have admitted that")]
    SumTooLarge {
        /// Name of the key.
        key: String,
    },
    /// More leaves than can be counted.
    #[error("the log has more leaves than can be counted")]
    Full,
    /// There is nothing to hold the leaves to.
    #[error(
        "the log has no checkpoint: nothing of it is signed; expected one signed by a given \
             key"
    )]
    NoCheckpoint,
    /// A checkpoint that cannot be read or that no given key has signed.
    #[error("checkpoint {number}: {error}")]
    Note {
        /// Which one, counted from 1.
        number: usize,
        /// What does not fit.
        error: NoteError,
    },
    /// A checkpoint that only witnesses have signed.
    #[error("checkpoint {number} is cosigned by witnesses only; expected the signature of the log")]
    NotByLog {
        /// Which one, counted from 1.
        number: usize,
    },
    /// A note that is no checkpoint.
    #[error("checkpoint {number}: {error}")]
    Checkpoint {
        /// Which one, counted from 1.
        number: usize,
        /// What does not fit.
        error: CheckpointError,
    },
    /// A checkpoint of another log.
    #[error("checkpoint {number} is of the log {found}; expected {expected}, as those before it")]
    Origin {
        /// Which one, counted from 1.
        number: usize,
        /// Its origin.
        found: String,
        /// The origin of the others.
        expected: String,
    },
    /// A checkpoint of a lower size than the one before it.
    #[error(
        "checkpoint {number} covers {size} leaves, but the one made before it {before}; \
             expected a log that only grows: it was set back"
    )]
    Shrunk {
        /// Which one, counted from 1.
        number: usize,
        /// Leaves that it covers.
        size: u64,
        /// Leaves that the one before it covers.
        before: u64,
    },
    /// Leaves that were signed are not there.
    #[error("the log ends after {leaves} leaves, but a signed checkpoint covers {size}: the last \
             {} are missing", size.saturating_sub(*leaves))]
    Truncated {
        /// Leaves that were found.
        leaves: u64,
        /// Leaves that were signed.
        size: u64,
    },
    /// Other leaves were signed.
    #[error(
        "the first {size} leaves give the root {found}; expected {expected}, which was signed: \
             a leaf from {since} on was edited, inserted, deleted or swapped"
    )]
    Root {
        /// Number of leaves.
        size: u64,
        /// Root that the leaves give.
        found: Hash,
        /// Root that was signed.
        expected: Hash,
        /// Leaves that the last checkpoint which fits covers.
        since: u64,
    },
    /// A leaf that a tile has another hash for.
    #[error("its hash is {found}; expected {expected}, which stands in {tile}")]
    LeafHash {
        /// Hash of the leaf.
        found: Hash,
        /// Hash in the tile.
        expected: Hash,
        /// Path of the tile.
        tile: String,
    },
    /// A tile that does not follow from the leaves.
    #[error("{tile} has the hash {found} at {at}; expected {expected}, which the leaves give")]
    Tile {
        /// Path of the tile.
        tile: String,
        /// Which hash, counted from 0.
        at: usize,
        /// Hash in the tile.
        found: Hash,
        /// Hash that the leaves give.
        expected: Hash,
    },
    /// A tile of another length.
    #[error("{tile} has {found} bytes; expected {expected}")]
    TileLength {
        /// Path of the tile.
        tile: String,
        /// Its bytes.
        found: usize,
        /// Bytes of such a tile.
        expected: usize,
    },
    /// A leaf that the ledger's payment contradicts.
    #[error(
        "payment {payment} of the ledger has its {what} here, but the leaf {found}; expected \
         {expected}"
    )]
    Ledger {
        /// The payment.
        payment: PaymentId,
        /// Which leaf of it.
        what: &'static str,
        /// What was found.
        found: String,
        /// What the row of the payment gives.
        expected: String,
    },
    /// A payment of the ledger whose state and whose leaves cannot be together.
    #[error("payment {payment} of the ledger {} and names {found}; expected the leaf of an outcome \
             exactly where there is one: its row was changed",
            if *is_settled { "has its outcome" } else { "has no outcome" })]
    LedgerState {
        /// The payment.
        payment: PaymentId,
        /// Whether its row says that it was signed or voided.
        is_settled: bool,
        /// What its row names.
        found: String,
    },
}
