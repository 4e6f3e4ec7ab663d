//! What was signed: heads that the tree must have had on its way.

use std::collections::BTreeMap;

use super::{Fault, Finding};
use crate::log::checkpoint::Checkpoint;
use crate::log::growth::Growth;
use crate::log::note::{Note, SignatureKind, VerifierKey};
use crate::log::tree::Hash;

/// Heads by size, the smallest first.
#[derive(Debug)]
pub(super) struct Checkpoints {
    origin: String,
    to_come: BTreeMap<u64, Vec<Hash>>,
    /// The largest that was reached and fits.
    fits: u64,
    newest: u64,
    count: u64,
}

impl Checkpoints {
    /// Reads and verifies notes; those in `made` must grow.
    pub(super) fn read(
        made: &[String],
        kept: &[String],
        keys: &[VerifierKey],
    ) -> Result<Self, Fault> {
        let mut read =
            Self { origin: String::new(), to_come: BTreeMap::new(), fits: 0, newest: 0, count: 0 };
        let mut before = None;
        for (number, note) in (1..).zip(made.iter().chain(kept)) {
            let checkpoint = verified(number, note, keys)?;
            let size = checkpoint.head().size;
            match before {
                Some(before) if number <= made.len() && size <= before => {
                    return Err(Fault::of_log(Finding::Shrunk { number, size, before }));
                }
                _ => before = Some(size),
            }
            if read.count == 0 {
                checkpoint.origin().clone_into(&mut read.origin);
            } else if checkpoint.origin() != read.origin {
                let (found, expected) = (checkpoint.origin().to_owned(), read.origin);
                return Err(Fault::of_log(Finding::Origin { number, found, expected }));
            }
            read.to_come.entry(size).or_default().push(checkpoint.head().root);
            read.newest = read.newest.max(size);
            read.count = read.count.saturating_add(1);
        }
        // That of the empty tree says nothing; its root was held to the hash of nothing.
        read.to_come.remove(&0);
        match made.is_empty() {
            true => Err(Fault::of_log(Finding::NoCheckpoint)),
            false => Ok(read),
        }
    }

    /// The tree has grown by a leaf.
    pub(super) fn reached(&mut self, growth: &Growth) -> Result<(), Fault> {
        let size = growth.size();
        let Some(entry) = self.to_come.first_entry().filter(|entry| *entry.key() == size) else {
            return Ok(());
        };
        let (found, since) = (growth.head().root, self.fits);
        if let Some(&expected) = entry.remove().iter().find(|root| **root != found) {
            return Err(Fault::of_log(Finding::Root { size, found, expected, since }));
        }
        self.fits = size;
        Ok(())
    }

    /// There are no more leaves.
    pub(super) fn all_reached(&self, leaves: u64) -> Result<(), Fault> {
        match self.to_come.last_key_value() {
            None => Ok(()),
            Some((&size, _)) => Err(Fault::of_log(Finding::Truncated { leaves, size })),
        }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// A checkpoint that the log itself has signed with a given key.
fn verified(number: usize, note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, Fault> {
    let refused = |error| Fault::of_log(Finding::Note { number, error });
    let note = Note::parse(note.as_bytes()).map_err(refused)?;
    let signed = note.verify(keys).map_err(refused)?;
    let by_log = |kind| kind != SignatureKind::CosignatureV1;
    if !signed.signatures.iter().any(|by| by_log(by.key.kind())) {
        return Err(Fault::of_log(Finding::NotByLog { number }));
    }
    Checkpoint::parse(signed.text.clone())
        .map_err(|error| Fault::of_log(Finding::Checkpoint { number, error }))
}
