//! Checking a whole log, leaf by leaf: what an auditor does who trusts nobody.
//!
//! The leaves may come from anywhere, one at a time; of each only what later ones can contradict is
//! kept: the right edge of the tree, payments without an outcome, identifiers, sums. The first
//! thing that does not hold ends the check, and says where it stands.

use std::collections::BTreeMap;

use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

use super::entry::{Entry, Kind};
use super::growth::{FullTile, Growth};
use super::note::VerifierKey;
use super::tile::Tile;
use super::tree::{Hash, TreeHead};

mod checkpoints;
mod closings;
mod fault;
mod ledger;
mod payments;
mod tiles;
mod witnesses;

#[cfg(test)]
mod tests;

use checkpoints::Checkpoints;
pub use closings::{Closed, Closings, LoggedArchive, stub_agrees};
pub use fault::{Fault, Finding};
pub use ledger::{LeavesOf, agrees};
use payments::Payments;
pub use payments::Sums;
pub use tiles::same_tile;
pub use witnesses::{Cosigned, cosigned};

/// Checks a log while its leaves come in.
#[derive(Debug)]
pub struct LogVerifier {
    growth: Growth,
    checkpoints: Checkpoints,
    payments: Payments,
    kinds: BTreeMap<Kind, u64>,
    closings: Closings,
    first: Option<Timestamp>,
    newest: Timestamp,
}

/// What a log that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The log's name for itself.
    pub origin: String,
    /// The tree of all leaves.
    pub head: TreeHead,
    /// Leaves that the newest checkpoint covers. Those after it are not signed yet.
    pub signed: u64,
    /// How many checkpoints were verified.
    pub checkpoints: u64,
    /// Leaves by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Payments that gave up their rows, by the position of the leaf that says so.
    pub closings: Closings,
    /// Payments by key and currency.
    pub sums: BTreeMap<(String, Currency), Sums>,
    /// When the first leaf and the last one were decided.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl LogVerifier {
    /// Takes the checkpoints of a log in the order in which they were made, and others that
    /// somebody kept elsewhere, in any order: the log must contain them all.
    ///
    /// # Errors
    /// [`Fault`]: a note that no given key has signed, another origin, a log that shrank.
    pub fn new(made: &[String], kept: &[String], keys: &[VerifierKey]) -> Result<Self, Fault> {
        let checkpoints = Checkpoints::read(made, kept, keys)?;
        Ok(Self {
            growth: Growth::default(),
            checkpoints,
            payments: Payments::default(),
            kinds: BTreeMap::new(),
            closings: Closings::new(),
            first: None,
            newest: Timestamp::from_unix_ms(0),
        })
    }

    /// How many leaves have been checked.
    pub fn size(&self) -> u64 {
        self.growth.size()
    }

    /// Checks the next leaf; `full` gets the tiles that are complete now, also if the tree that
    /// ends with it is refused: they may tell more precisely what is wrong.
    ///
    /// # Errors
    /// [`Fault`]: the leaf, or the tree that ends with it, is not what was signed.
    pub fn leaf(&mut self, bytes: &[u8], full: &mut Vec<FullTile>) -> Result<(), Fault> {
        let position = self.growth.size();
        let at = |finding| Fault::at(position, finding);
        let entry = Entry::parse(bytes).map_err(|refused| at(Finding::Entry(refused)))?;
        let (found, before) = (entry.at(), self.newest);
        if found < before {
            return Err(at(Finding::TimeBack { found, before }));
        }
        self.newest = found;
        self.first.get_or_insert(found);
        self.payments.take(&entry).map_err(at)?;
        closings::take(&mut self.closings, position, &entry);
        let count = self.kinds.entry(entry.kind()).or_default();
        *count = count.saturating_add(1);
        let appended = self.growth.append(Hash::of_leaf(bytes), full);
        appended.map_err(|_| at(Finding::Full))?;
        self.checkpoints.reached(&self.growth)
    }

    /// The partial tiles of the leaves so far.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        self.growth.partial()
    }

    /// Ends the check: nothing that was signed may be missing.
    ///
    /// # Errors
    /// [`Fault`]: a checkpoint covers more leaves than there were.
    pub fn finish(self) -> Result<Summary, Fault> {
        let head = self.growth.head();
        self.checkpoints.all_reached(head.size)?;
        Ok(Summary {
            origin: self.checkpoints.origin().to_owned(),
            head,
            signed: self.checkpoints.newest(),
            checkpoints: self.checkpoints.count(),
            kinds: self.kinds,
            closings: self.closings,
            sums: self.payments.into_sums(),
            span: self.first.map(|first| (first, self.newest)),
        })
    }
}
