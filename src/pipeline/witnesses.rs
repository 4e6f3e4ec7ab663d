//! Witnesses: each new checkpoint is submitted to every witness, whose cosignature is checked, put
//! on the record and published. A witness that is down delays cosigning and nothing else, unless
//! it is one that signing waits for; one that has seen another log than ours stops signing.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::ledger::reader::{Reader, StoredCosigned};
use crate::ledger::sqlite::StoreError;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::{Note, VerifierKey};

use super::Pipeline;
use super::checkpoints::Audit;

mod cosigner;
pub mod start;
mod submission;
#[cfg(test)]
mod tests;

pub use cosigner::Cosigner;
pub use submission::Unwitnessed;

/// What came back over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessReply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if there is none.
    pub media_type: String,
    /// The body, bounded.
    pub body: Vec<u8>,
}

/// The way to a witness. Calls block, within a bound.
pub trait WitnessLine: Send + Sync {
    /// `POST add-checkpoint`.
    ///
    /// # Errors
    /// Why there is no answer.
    fn add_checkpoint(&self, request: &str) -> Result<WitnessReply, String>;

    /// `GET <origin hash>/checkpoint`: what it last cosigned of a log.
    ///
    /// # Errors
    /// Why there is no answer.
    fn newest(&self, origin_hash: &str) -> Result<WitnessReply, String>;
}

/// A witness of the configuration.
#[derive(Clone)]
pub struct Witness {
    /// Its name with us.
    pub name: String,
    /// What verifies its cosignatures.
    pub key: VerifierKey,
    /// Whether the daemon refuses to start while it cannot be asked.
    pub required_at_start: bool,
    /// Whether signatures wait until it has cosigned their leaf.
    pub signing_waits: bool,
    /// The way there.
    pub line: Arc<dyn WitnessLine>,
}

/// How it stands with a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessStatus {
    /// Its name.
    pub name: String,
    /// Leaves that it has cosigned.
    pub cosigned: u64,
    /// Why it has not cosigned the newest checkpoint, if it was asked and did not.
    pub trouble: Option<Arc<str>>,
    /// Whether signatures wait for it.
    pub signing_waits: bool,
}

/// The newest checkpoint that a witness has cosigned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cosigned {
    /// Number of leaves that it covers; 0 if none was cosigned.
    pub size: u64,
    /// The note, with the cosignatures.
    pub note: Arc<str>,
}

/// Why what is on the record of witnesses is refused at start.
#[derive(Debug, thiserror::Error)]
pub enum CosignedFault {
    /// It cannot be read.
    #[error("what witnesses cosigned cannot be read: {0}; restore the ledger from a backup")]
    Unreadable(#[from] StoreError),
    /// It is not what a witness and the log signed.
    #[error(
        "the checkpoint that the witness {witness} cosigned is not what it and the log signed: \
         {reason}; restore the ledger from a backup"
    )]
    Foreign {
        /// The witness's name.
        witness: String,
        /// What does not fit.
        reason: String,
    },
}

/// All witnesses, and what they have cosigned.
#[derive(Default)]
pub struct Witnesses {
    all: Vec<Standing>,
    best: watch::Sender<Cosigned>,
    /// Held while cosignatures are added to a note, so that none is lost.
    adding: tokio::sync::Mutex<()>,
}

struct Standing {
    witness: Arc<Witness>,
    now: Mutex<(u64, Option<Arc<str>>)>,
}

impl Standing {
    fn now(&self) -> (u64, Option<Arc<str>>) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut (u64, Option<Arc<str>>))) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Witnesses {
    /// Reads what each witness of the configuration has cosigned.
    ///
    /// # Errors
    /// [`CosignedFault`].
    pub fn load(
        witnesses: Vec<Witness>,
        reader: &Reader,
        audit: &Audit,
    ) -> Result<Self, CosignedFault> {
        let stored = reader.cosigned()?;
        let mut loaded = Self::default();
        for witness in witnesses {
            let key = witness.key.to_string();
            let row = stored.iter().find(|row| row.witness == key);
            if let Some(row) = row {
                check(row, &witness, audit).map_err(|reason| {
                    let witness = witness.name.clone();
                    CosignedFault::Foreign { witness, reason }
                })?;
                loaded.better(row.size, row.note.as_str().into());
            }
            let now = Mutex::new((row.map_or(0, |row| row.size), None));
            loaded.all.push(Standing { witness: Arc::new(witness), now });
        }
        Ok(loaded)
    }

    /// Every witness with the number of leaves that it has cosigned.
    pub fn each(&self) -> impl Iterator<Item = (&Arc<Witness>, u64)> {
        self.all.iter().map(|standing| (&standing.witness, standing.now().0))
    }

    /// Whether those that signing waits for have all cosigned a leaf.
    pub(super) fn let_leave(&self, leaf: u64) -> bool {
        let waits = self.all.iter().filter(|standing| standing.witness.signing_waits);
        waits.map(|standing| standing.now().0).all(|cosigned| leaf < cosigned)
    }

    /// Leaves that some witness has cosigned.
    pub(super) fn covered(&self) -> u64 {
        self.best.borrow().size
    }

    /// The newest checkpoint that some witness has cosigned, and each that follows.
    pub(super) fn best(&self) -> watch::Receiver<Cosigned> {
        self.best.subscribe()
    }

    fn better(&self, size: u64, note: Arc<str>) {
        self.best.send_if_modified(|best| {
            let is_better = size > 0 && size >= best.size;
            if is_better {
                *best = Cosigned { size, note };
            }
            is_better
        });
    }
}

/// A row that the log and its witness have signed.
fn check(row: &StoredCosigned, witness: &Witness, audit: &Audit) -> Result<(), String> {
    let note = Note::parse(row.note.as_bytes()).map_err(|refused| refused.to_string())?;
    for key in [&witness.key, &audit.verifier] {
        note.verify(std::slice::from_ref(key)).map_err(|refused| format!("{key}: {refused}"))?;
    }
    let checkpoint = Checkpoint::parse(note.unverified_text().clone());
    let checkpoint = checkpoint.map_err(|refused| refused.to_string())?;
    let (found, size) = (checkpoint.head().size, row.size);
    match checkpoint.origin() == audit.verifier.name().as_str() && found == size {
        true => Ok(()),
        false => Err(format!("it is of {} leaves of {}", found, checkpoint.origin())),
    }
}

impl Pipeline {
    /// How it stands with each witness.
    pub fn witnesses(&self) -> Vec<WitnessStatus> {
        let all = self.parts.witnesses.all.iter();
        let status = all.map(|standing| {
            let (cosigned, trouble) = standing.now();
            let Witness { name, signing_waits, .. } = standing.witness.as_ref();
            WitnessStatus { name: name.clone(), cosigned, trouble, signing_waits: *signing_waits }
        });
        status.collect()
    }

    /// The newest checkpoint that some witness has cosigned; its size is 0 if there is none.
    pub fn cosigned(&self) -> Cosigned {
        self.parts.witnesses.best.borrow().clone()
    }

    /// What submits checkpoints, one for each witness.
    pub fn cosigners(&self) -> Vec<Cosigner> {
        let all = 0..self.parts.witnesses.all.len();
        all.map(|index| Cosigner::new(self.clone(), index)).collect()
    }
}
