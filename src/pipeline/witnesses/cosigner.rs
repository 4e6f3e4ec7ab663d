//! The task that keeps one witness up to date: the newest checkpoint, one at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::leaf::Event;
use crate::ledger::sqlite::StoredCheckpoint;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::{Note, SignatureLine};
use crate::log::tree::Hash;

use super::submission::{OwnTree, Submission, Unwitnessed};
use super::{Pipeline, Standing, Witness};
use crate::pipeline::checkpoints::{Published, told};
use crate::pipeline::tree::Tree;

/// Pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// Submits checkpoints to one witness.
pub struct Cosigner {
    pipeline: Pipeline,
    index: usize,
    /// Pause before the next attempt; zero after a success.
    pause: Duration,
}

impl Cosigner {
    pub(super) fn new(pipeline: Pipeline, index: usize) -> Self {
        Self { pipeline, index, pause: Duration::ZERO }
    }

    /// Works until `stopping` is true. Of the checkpoints that are made while one is under way the
    /// newest is the next.
    pub async fn run(&mut self, stopping: &mut watch::Receiver<bool>) {
        let mut shown = self.pipeline.published.subscribe();
        loop {
            drop(shown.borrow_and_update());
            // A witness that is slow keeps nobody from stopping: what it may still cosign of this
            // is asked for again.
            tokio::select! {
                () = self.submit() => {}
                () = told(stopping) => return,
            }
            let next = async {
                match self.pause.is_zero() {
                    true => drop(shown.changed().await),
                    false => tokio::time::sleep(self.pause).await,
                }
            };
            tokio::select! {
                () = next => {}
                () = told(stopping) => return,
            }
        }
    }

    /// Submits the newest checkpoint, if the witness has not cosigned it.
    pub async fn submit(&mut self) {
        let published = self.pipeline.published();
        let parts = Arc::clone(&self.pipeline.parts);
        let Some(standing) = parts.witnesses.all.get(self.index) else { return };
        if published.size <= standing.now().0 || self.pipeline.halted().is_some() {
            self.pause = Duration::ZERO;
            return;
        }
        let witness = Arc::clone(&standing.witness);
        let asked = match self.ask(&published, &witness, standing.now().0).await {
            Ok(line) => self.keep(&published, standing, line).await,
            Err(refused) => Err(refused),
        };
        match asked {
            Ok(()) => {
                self.pause = Duration::ZERO;
                standing.set(|now| now.1 = None);
            }
            // The newer one is there by now, or about to be.
            Err(Unwitnessed::Behind { .. }) => self.pause = PAUSE_MIN,
            Err(refused) => self.note(standing, &witness, &refused).await,
        }
    }

    async fn ask(
        &self,
        published: &Published,
        witness: &Arc<Witness>,
        cosigned: u64,
    ) -> Result<SignatureLine, Unwitnessed> {
        let (pipeline, witness) = (self.pipeline.clone(), Arc::clone(witness));
        let text = Arc::clone(&published.note);
        // Reads the ledger and waits for the network: on a thread that may block.
        let asked = tokio::task::spawn_blocking(move || {
            let own = |refused: &dyn std::fmt::Display| Unwitnessed::OwnLog(refused.to_string());
            let note = Note::parse(text.as_bytes()).map_err(|refused| own(&refused))?;
            let checkpoint = Checkpoint::parse(note.unverified_text().clone());
            let head = checkpoint.map_err(|refused| own(&refused))?.head();
            // The witness gets the log's signature; what others added means nothing to it.
            let log = pipeline.log_key();
            let ours = note.unverified_signatures().iter().find(|line| line.id() == log.id());
            let ours = ours.ok_or_else(|| own(&"the checkpoint is not signed"))?;
            let note = Note::new(note.unverified_text().clone(), ours.clone());
            let (witness, tree) = (witness.as_ref(), Recorded(&pipeline));
            Submission { witness, log, note: &note, head, cosigned, tree }.submit()
        });
        asked.await.unwrap_or_else(|_| Err(Unwitnessed::OwnLog("a thread has gone".to_owned())))
    }

    /// Puts a cosignature that was checked on the record, then shows it.
    async fn keep(
        &self,
        submitted: &Published,
        standing: &Standing,
        line: SignatureLine,
    ) -> Result<(), Unwitnessed> {
        let (pipeline, witnesses) = (&self.pipeline, &self.pipeline.parts.witnesses);
        let own = |refused: &dyn std::fmt::Display| Unwitnessed::OwnLog(refused.to_string());
        let _turn = witnesses.adding.lock().await;
        // Another witness may have cosigned the same checkpoint meanwhile.
        let (size, shown, best) = (submitted.size, pipeline.published(), pipeline.cosigned());
        let text = match (shown.size == size, best.size == size) {
            (true, _) => shown.note,
            (_, true) => best.note,
            _ => Arc::clone(&submitted.note),
        };
        let mut note = Note::parse(text.as_bytes()).map_err(|refused| own(&refused))?;
        note.add(line).map_err(|refused| own(&refused))?;
        let cosigned = StoredCheckpoint {
            size,
            made_at: pipeline.now(),
            note: note.to_string(),
            tiles: Vec::new(),
            cosigned_by: Some(standing.witness.key.to_string()),
        };
        let note: Arc<str> = cosigned.note.as_str().into();
        pipeline.parts.ledger.keep(cosigned).await.map_err(|refused| own(&refused))?;
        standing.set(|now| now.0 = now.0.max(size));
        witnesses.better(size, Arc::clone(&note));
        pipeline.published.send_if_modified(|shown| {
            let is_newest = shown.size == size;
            if is_newest {
                shown.note = note;
            }
            is_newest
        });
        pipeline.look_again();
        Ok(())
    }

    async fn note(&mut self, standing: &Standing, witness: &Witness, refused: &Unwitnessed) {
        let (name, reason) = (witness.name.clone(), refused.to_string());
        self.pause = self.pause.saturating_mul(2).clamp(PAUSE_MIN, PAUSE_MAX);
        if refused.contradicts() {
            self.pipeline.halt(format!("witness {name}: {reason}"));
            let event = Event::WitnessContradicts { witness: name, reason: reason.clone() };
            if let Err(failure) = self.pipeline.parts.ledger.record(event).await {
                tracing::error!(%failure, "what the witness has seen is not on the log");
            }
        } else {
            tracing::warn!(witness = name, reason, "a checkpoint was not cosigned");
        }
        standing.set(|now| now.1 = Some(reason.into()));
    }
}

/// Our tree as the ledger has it while the daemon runs.
struct Recorded<'a>(&'a Pipeline);

impl OwnTree for Recorded<'_> {
    fn leaves(&self) -> Result<u64, String> {
        self.0.parts.reader.log_size().map_err(|refused| refused.to_string())
    }

    fn published(&self) -> u64 {
        self.0.published.borrow().size
    }

    fn root(&self, size: u64) -> Result<Hash, String> {
        Tree::new(&self.0.parts.reader, size).root().map_err(|refused| refused.to_string())
    }

    fn consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, String> {
        let tree = Tree::new(&self.0.parts.reader, second);
        tree.consistency(first).map_err(|refused| refused.to_string())
    }
}
