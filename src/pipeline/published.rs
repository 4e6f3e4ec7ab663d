//! The log as everybody may read it, up to the newest checkpoint.

use std::time::Duration;

use crate::domain::ledger::PaymentRecord;
use crate::log::note::VerifierKey;
use crate::log::receipt::Receipt;
use crate::log::tile::Tile;

use super::checkpoints::Published;
use super::tree::Tree;
use super::witnesses::Cosigned;
use super::{Pipeline, Refusal};

/// Longest that somebody waits for a checkpoint that covers a leaf.
const COVER_WAIT: Duration = Duration::from_secs(5);
/// Longest that somebody waits beyond that for a witness to cosign it.
const COSIGN_WAIT: Duration = Duration::from_secs(2);

impl Pipeline {
    /// The newest checkpoint.
    pub fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// The key that verifies checkpoints.
    pub fn log_key(&self) -> &VerifierKey {
        &self.parts.audit.verifier
    }

    /// The bytes of a tile or an entry bundle; `None` for one that the newest checkpoint does not
    /// cover.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, Refusal> {
        let size = self.published.borrow().size;
        self.read(move |parts| Tree::new(&parts.reader, size).tile(&tile)).await
    }

    /// The receipt of a signed payment; waits for a checkpoint that covers it, and a little for a
    /// witness that works: one that is cosigned is preferred. `None` if it is not signed, its
    /// signature may not leave yet, or no checkpoint was made in time.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn receipt(&self, record: &PaymentRecord) -> Result<Option<Receipt>, Refusal> {
        let (Some(jws), Some(outcome)) = (record.compact_jws(), record.outcome_leaf) else {
            return Ok(None);
        };
        if !self.released(record, COVER_WAIT).await {
            return Ok(None);
        }
        let mut shown = self.published.subscribe();
        let covering = shown.wait_for(|published| published.size > outcome);
        let published = match tokio::time::timeout(COVER_WAIT, covering).await {
            Ok(Ok(published)) => published.clone(),
            _ => return Ok(None),
        };
        let (size, note) = match self.cosigned_over(outcome).await {
            Some(cosigned) => (cosigned.size, cosigned.note),
            None => (published.size, published.note),
        };
        let decision = record.leaf;
        let proven = self.read(move |parts| {
            let tree = Tree::new(&parts.reader, size);
            Ok((tree.proven(decision)?, tree.proven(outcome)?))
        });
        let (decision, outcome) = proven.await?;
        let note = note.to_string();
        Ok(Some(Receipt::new(record.id, jws, record.salt, decision, outcome, note)))
    }

    /// A checkpoint that covers a leaf and that a witness has cosigned, or does soon.
    async fn cosigned_over(&self, leaf: u64) -> Option<Cosigned> {
        let works = self.witnesses().iter().any(|witness| witness.trouble.is_none());
        let mut best = self.parts.witnesses.best();
        let covering = best.wait_for(|cosigned| cosigned.size > leaf);
        // A wait of nothing asks once.
        let wait = if works { COSIGN_WAIT } else { Duration::ZERO };
        let covering = tokio::time::timeout(wait, covering).await;
        covering.ok()?.ok().map(|cosigned| cosigned.clone())
    }
}
