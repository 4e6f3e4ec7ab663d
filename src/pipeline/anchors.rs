//! Anchoring: each token that can remember is told the newest checkpoint, so that a ledger which
//! was rolled back, or a second daemon, is found out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::domain::leaf::Event;
use crate::hsm::anchor::{AnchorError, AnchorSlot, AnchorStore};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::StoreError;
use crate::log::anchor::{self, Anchor, AnchorFault, Newest, Other};
use crate::log::tree::TreeHead;

use super::Pipeline;
use super::checkpoints::{Audit, told};
use super::tree::Tree;

/// Longest that anything waits for a token to remember.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Why an anchor lets nothing be signed.
#[derive(Debug, thiserror::Error)]
pub enum Unanchored {
    /// The token's objects cannot be used.
    #[error(transparent)]
    Store(#[from] AnchorError),
    /// What they say does not fit.
    #[error("token {token}: {fault}")]
    Fault {
        /// Name of the token.
        token: String,
        /// What does not fit.
        fault: AnchorFault,
    },
    /// The ledger cannot be read.
    #[error("the log cannot be read: {0}; restore the ledger from a backup")]
    Unreadable(#[from] StoreError),
}

impl Unanchored {
    /// Whether a person must act.
    fn waits_for_a_person(&self) -> bool {
        match self {
            Self::Store(error) => error.waits_for_a_person(),
            Self::Fault { .. } => true,
            Self::Unreadable(_) => false,
        }
    }
}

/// The two objects of one token, and what this daemon wrote last.
struct Line {
    remembered: u64,
    /// Whether the other object was not there at start.
    gone: bool,
    store: Arc<dyn AnchorStore>,
    last: Anchor,
    slot: AnchorSlot,
}

impl Line {
    /// Reads the anchor of a token, judges the ledger by it, and raises the epoch.
    fn start(
        store: Arc<dyn AnchorStore>,
        reader: &Reader,
        audit: &Audit,
        ledger: &str,
    ) -> Result<Self, Unanchored> {
        let (token, leaves) = (store.name().to_owned(), reader.log_size()?);
        let fault = |fault| Unanchored::Fault { token: token.clone(), fault };
        let Newest { anchor: found, place, other } =
            anchor::newest(store.read()?).map_err(&fault)?;
        let ours = |head: TreeHead| Ok(Tree::new(reader, head.size).root()? == head.root);
        let judged = anchor::judge::<StoreError>(&found, &audit.verifier, ledger, leaves, ours)?;
        judged.map_err(&fault)?;
        let remembered = found.head(&audit.verifier).map_err(&fault)?.size;
        let (last, slot) = (found.of_start(), slot_of(place).other());
        let gone = other == Other::Gone;
        match gone {
            true => store.create(slot, &last.to_bytes())?,
            false => store.write(slot, &last.to_bytes())?,
        }
        Ok(Self { remembered, gone, store, last, slot })
    }

    /// Writes the next anchor, if nobody else has written since the last.
    fn write(&mut self, checkpoint: &str) -> Result<(), Unanchored> {
        let fault = |fault| Unanchored::Fault { token: self.store.name().to_owned(), fault };
        let found = anchor::newest(self.store.read()?).map_err(fault)?;
        if found.other == Other::Gone {
            return Err(fault(AnchorFault::Deleted));
        }
        anchor::uncontested(&self.last, &found.anchor).map_err(fault)?;
        let (next, slot) = (self.last.next(checkpoint), self.slot.other());
        self.store.write(slot, &next.to_bytes())?;
        (self.last, self.slot) = (next, slot);
        Ok(())
    }
}

fn slot_of(place: usize) -> AnchorSlot {
    if place == 0 { AnchorSlot::Zero } else { AnchorSlot::One }
}

/// Makes the anchors of a new ledger on a token. Those of an attempt that was broken off are taken.
///
/// # Errors
/// [`Unanchored`]: the token belongs to a ledger that was in use.
pub fn create(store: &dyn AnchorStore, ledger: &str) -> Result<(), Unanchored> {
    let first = Anchor::first(ledger).to_bytes();
    let objects = store.read()?;
    for object in &objects {
        anchor::is_free(object.as_deref(), ledger)
            .map_err(|fault| Unanchored::Fault { token: store.name().to_owned(), fault })?;
    }
    for (slot, object) in AnchorSlot::BOTH.into_iter().zip(objects) {
        match object {
            None => store.create(slot, &first)?,
            Some(_) => store.write(slot, &first)?,
        }
    }
    Ok(())
}

/// Keeps the anchors of all tokens.
pub struct Anchorer {
    lines: Vec<Arc<Mutex<Line>>>,
    every: Duration,
    /// Leaves that a token remembered at start.
    remembered: u64,
    incidents: Vec<Event>,
}

impl Anchorer {
    /// Judges the ledger by the anchors of its tokens and raises their epochs.
    ///
    /// # Errors
    /// [`Unanchored`]: nothing may be signed with this ledger.
    pub fn start(
        stores: Vec<Arc<dyn AnchorStore>>,
        reader: &Reader,
        audit: &Audit,
        ledger: &str,
        every: Duration,
    ) -> Result<Self, Unanchored> {
        let lines = stores.into_iter().map(|store| Line::start(store, reader, audit, ledger));
        let lines: Vec<Line> = lines.collect::<Result<_, _>>()?;
        let remembered = lines.iter().map(|line| line.remembered).max().unwrap_or(0);
        let incidents = lines.iter().filter(|line| line.gone);
        let incidents = incidents
            .map(|line| Event::AnchorGone { token: line.store.name().to_owned() })
            .collect();
        let lines = lines.into_iter().map(|line| Arc::new(Mutex::new(line))).collect();
        Ok(Self { lines, every, remembered, incidents })
    }

    /// What is to be put on the log about the anchors that were found.
    pub fn incidents(&self) -> &[Event] {
        &self.incidents
    }

    /// Works until `stopping` is true.
    pub async fn run(&mut self, pipeline: &Pipeline, stopping: &mut watch::Receiver<bool>) {
        pipeline.anchored_up_to(self.remembered);
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.write(pipeline).await,
                () = told(stopping) => return,
            }
        }
    }

    /// Anchors the newest checkpoint, if it is newer than what is anchored.
    pub async fn write(&mut self, pipeline: &Pipeline) {
        let published = pipeline.published();
        if published.size <= pipeline.anchored() || self.lines.is_empty() {
            return;
        }
        let writings = self.lines.iter().map(|line| {
            let (line, note) = (Arc::clone(line), Arc::clone(&published.note));
            // The token may be slow, or hang: its calls block a thread of their own, one at a time.
            let writing = tokio::task::spawn_blocking(move || match line.try_lock() {
                Ok(mut line) => Some(line.write(&note)),
                Err(_) => None,
            });
            tokio::time::timeout(WRITE_WAIT_MAX, writing)
        });
        let mut anchored = false;
        for writing in writings.collect::<Vec<_>>() {
            match writing.await {
                Ok(Ok(Some(Ok(())))) => anchored = true,
                Ok(Ok(Some(Err(refused)))) if refused.waits_for_a_person() => {
                    pipeline.halt(&refused);
                }
                Ok(Ok(Some(Err(refused)))) => {
                    tracing::warn!(%refused, "a checkpoint was not anchored");
                }
                Ok(Ok(None)) | Err(_) => {
                    tracing::warn!("a checkpoint was not anchored: the token did not answer yet");
                }
                Ok(Err(_)) => pipeline.halt("an anchor was left half written inside"),
            }
        }
        if anchored {
            pipeline.anchored_up_to(published.size);
        }
    }
}
