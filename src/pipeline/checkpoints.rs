//! Checkpoints: once a second under traffic, and at the end, the head of the log is signed by the
//! audit key and put on the record, with the tiles that became complete.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::domain::key::KeyId;
use crate::hsm::SignFailure;
use crate::ledger::LedgerFailure;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{StoreError, StoredCheckpoint, StoredTile};
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::growth::{FullTile, Growth};
use crate::log::message::AuditMessage;
use crate::log::note::{Note, NoteError, VerifierKey};
use crate::log::tree::{FrontierError, Hash, TreeFull, TreeHead};

use super::tree::Tree;
use super::{Pipeline, Refusal};

/// Pause between two checkpoints: at most a second with what making one takes.
const EVERY: Duration = Duration::from_millis(900);
/// Most leaves that are read at a time.
const CHUNK: u32 = 4_096;

/// Who signs the heads of the log, and under which name.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The key.
    pub key: KeyId,
    /// What verifies it: name, algorithm and public half.
    pub verifier: VerifierKey,
}

/// The newest checkpoint that is on the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Number of leaves that it covers.
    pub size: u64,
    /// The signed note; empty before the first.
    pub note: Arc<str>,
    /// Why there is no newer one, although there should be.
    pub trouble: Option<Arc<str>>,
}

/// Why the log on the record is refused at start. Nothing is repaired.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// It cannot be read.
    #[error("the log cannot be read: {0}; restore the ledger from a backup")]
    Unreadable(#[from] StoreError),
    /// The newest checkpoint is not one that the audit key signed.
    #[error(
        "the newest checkpoint of the log is not signed by the audit key {verifier}: {reason}; \
         put the key or the ledger back that belong together, or restore the ledger from a backup"
    )]
    Foreign {
        /// The key that should have signed.
        verifier: String,
        /// What is wrong.
        reason: String,
    },
    /// Leaves are missing at the end.
    #[error(
        "the log was signed with {signed} leaves and has {found}: its end was cut off; restore the \
         ledger from a backup"
    )]
    Cut {
        /// Leaves when the checkpoint was signed.
        signed: u64,
        /// Leaves now.
        found: u64,
    },
    /// Leaves or tiles are not those that were signed.
    #[error("the log is not the one that was signed: {0}; restore the ledger from a backup")]
    Changed(FrontierError),
}

/// Why a checkpoint was not made this time.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Ledger(#[from] LedgerFailure),
    #[error("{0}")]
    Signing(#[from] SignFailure),
    #[error("the audit key's worker has gone")]
    NoWorker,
    #[error("the audit key did not sign in time")]
    Late,
    #[error("{0}")]
    Note(#[from] NoteError),
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("{0}")]
    Full(#[from] TreeFull),
}

/// The log as it was found at start, checked against its newest checkpoint.
pub struct Found {
    growth: Growth,
    published: Published,
}

impl Found {
    /// Checks the log on the record.
    ///
    /// # Errors
    /// [`LogFault`].
    pub fn check(reader: &Reader, audit: &Audit) -> Result<Self, LogFault> {
        let Some(stored) = reader.newest_checkpoint()? else {
            return Ok(Self { growth: Growth::default(), published: Published::default() });
        };
        let head = verified(&stored, audit)?;
        let found = reader.log_size()?;
        if found < head.size {
            return Err(LogFault::Cut { signed: head.size, found });
        }
        let tree = Tree::new(reader, head.size);
        let growth = Growth::restore(head, |node| tree.node(node))?.map_err(LogFault::Changed)?;
        let published = Published { size: head.size, note: stored.note.into(), trouble: None };
        Ok(Self { growth, published })
    }

    /// Number of leaves that the newest checkpoint covers.
    pub fn size(&self) -> u64 {
        self.published.size
    }

    /// The newest checkpoint, a signed note; empty if there is none.
    pub fn note(&self) -> &str {
        &self.published.note
    }

    /// Splits what was found into the part that grows and the part that is shown.
    pub(super) fn part(self) -> (Growth, watch::Sender<Published>) {
        (self.growth, watch::Sender::new(self.published))
    }
}

fn verified(stored: &StoredCheckpoint, audit: &Audit) -> Result<TreeHead, LogFault> {
    let verifier = &audit.verifier;
    let foreign = |reason: String| LogFault::Foreign { verifier: verifier.to_string(), reason };
    let note = Note::parse(stored.note.as_bytes()).map_err(|e| foreign(e.to_string()))?;
    let signed = note.verify(std::slice::from_ref(verifier)).map_err(|e| foreign(e.to_string()))?;
    let checkpoint = Checkpoint::parse(signed.text.clone()).map_err(|e| foreign(e.to_string()))?;
    match checkpoint.origin() == verifier.name().as_str() && checkpoint.head().size == stored.size {
        true => Ok(checkpoint.head()),
        false => Err(foreign(format!("it is of the log {}", checkpoint.origin()))),
    }
}

/// Resolves when it is time to stop. A closed channel means the same as its signal.
pub(super) async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Signs the head of the log whenever it has grown.
pub struct Checkpointer {
    pipeline: Pipeline,
    growth: Growth,
}

impl Checkpointer {
    pub(super) fn new(pipeline: Pipeline, growth: Growth) -> Self {
        Self { pipeline, growth }
    }

    /// Works until `stopping` is true.
    pub async fn run(&mut self, stopping: &mut watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.make().await,
                () = told(stopping) => return,
            }
        }
    }

    /// Makes a checkpoint if there are leaves that none covers. What goes wrong is told in
    /// readiness, and tried again the next time.
    pub async fn make(&mut self) {
        // Another daemon may be signing heads of its own with the same key: one is too many.
        if self.pipeline.halted().is_some() {
            return;
        }
        let shown = Arc::clone(&self.pipeline.published);
        match self.try_make().await {
            Ok(None) => {}
            Ok(Some(published)) => drop(shown.send_replace(published)),
            Err(missed) => {
                tracing::error!(%missed, "no checkpoint was made");
                shown.send_modify(|shown| shown.trouble = Some(missed.to_string().into()));
            }
        }
    }

    async fn try_make(&mut self) -> Result<Option<Published>, Missed> {
        let size = self.pipeline.parts.ledger.log_size();
        if size <= self.growth.head().size {
            return Ok(None);
        }
        let mut grown = self.growth.clone();
        let mut tiles = Vec::new();
        while grown.head().size < size {
            for hash in self.hashes(grown.head().size, size).await? {
                grown.append(hash, &mut tiles)?;
            }
        }
        let note = self.signed(grown.head()).await?;
        let made_at = self.pipeline.now();
        let checkpoint = StoredCheckpoint {
            size,
            made_at,
            note: note.to_string(),
            tiles: stored(tiles),
            cosigned_by: None,
        };
        let note: Arc<str> = checkpoint.note.as_str().into();
        self.pipeline.parts.ledger.keep(checkpoint).await?;
        self.growth = grown;
        Ok(Some(Published { size, note, trouble: None }))
    }

    /// Hashes of the next leaves.
    async fn hashes(&self, from: u64, to: u64) -> Result<Vec<Hash>, Missed> {
        let most = u32::try_from(to.saturating_sub(from)).map_or(CHUNK, |left| left.min(CHUNK));
        let hashes = self.pipeline.read(move |parts| {
            let leaves = parts.reader.leaves(from, most)?;
            if leaves.is_empty() {
                return Err(StoreError::Row(format!("leaf {from} of the log is missing")));
            }
            Ok(leaves.iter().map(|leaf| Hash::of_leaf(leaf.as_str().as_bytes())).collect())
        });
        hashes.await.map_err(Missed::Refused)
    }

    async fn signed(&self, head: TreeHead) -> Result<Note, Missed> {
        let parts = &self.pipeline.parts;
        let verifier = &parts.audit.verifier;
        let checkpoint = Checkpoint::new(verifier.name().as_str(), head, &[])?;
        let text = checkpoint.text().clone();
        let message = AuditMessage::Checkpoint(checkpoint);
        let answer = parts.hsm.sign_audit(&parts.audit.key, message);
        let signature = match tokio::time::timeout(parts.signing_wait, answer).await {
            Ok(answer) => answer.map_err(|_| Missed::NoWorker)??,
            Err(_) => return Err(Missed::Late),
        };
        let line = verifier.prepare(&text, self.pipeline.now()).signed(&signature)?;
        Ok(Note::new(text, line))
    }
}

fn stored(tiles: Vec<FullTile>) -> Vec<StoredTile> {
    let stored = |FullTile { level, number, hashes }| StoredTile { level, number, hashes };
    tiles.into_iter().map(stored).collect()
}
