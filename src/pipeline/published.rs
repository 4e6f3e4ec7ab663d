//! The log as everybody may read it, up to the newest checkpoint.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ledger::PaymentRecord;
use crate::log::note::VerifierKey;
use crate::log::tile::Tile;
use crate::log::tree::Hash;

use super::checkpoints::Published;
use super::tree::Tree;
use super::{Pipeline, Refusal};

/// Longest that somebody waits for a checkpoint that covers a leaf.
const COVER_WAIT: Duration = Duration::from_secs(5);

/// That a payment's leaves are in the log.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The signed note of the checkpoint that the proofs lead to.
    pub note: Arc<str>,
    /// The leaf of the first decision, its text and its proof.
    pub decision: (String, Vec<Hash>),
    /// The same of the outcome.
    pub outcome: Option<(String, Vec<Hash>)>,
}

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

    /// The proofs of a payment's leaves; waits for a checkpoint that covers them. `None` if none
    /// was made in time.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn proven(&self, record: &PaymentRecord) -> Result<Option<Proven>, Refusal> {
        let (decision, outcome) = (record.leaf, record.outcome_leaf);
        let last = outcome.unwrap_or(decision);
        let mut shown = self.published.subscribe();
        let covering = shown.wait_for(|published| published.size > last);
        let published = match tokio::time::timeout(COVER_WAIT, covering).await {
            Ok(Ok(published)) => published.clone(),
            _ => return Ok(None),
        };
        let size = published.size;
        let read = self.read(move |parts| {
            let tree = Tree::new(&parts.reader, size);
            let decision = tree.proven(decision)?;
            let outcome = outcome.map(|position| tree.proven(position)).transpose()?;
            Ok((decision, outcome))
        });
        let (decision, outcome) = read.await?;
        Ok(Some(Proven { note: published.note, decision, outcome }))
    }
}
