//! A witness of our own: watches logs from another machine and cosigns what only grows.
//!
//! It remembers one head per log and signs with an Ed25519 key on a token, as everything here does.
//! What it never does: cosign before its state is durable, go back to an earlier head, or take up
//! work without a state. Two witnesses with one key would each cosign half of a fork, so a state
//! that is lost takes the key with it. Not here: HTTP (the listener has it), and the rules
//! ([`crate::log::witness`] has them).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::Clock;
use crate::domain::key::KeyId;
use crate::hsm::{Hsm, SignFailure};
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::message::AuditMessage;
use crate::log::note::{Note, NoteError, SignatureLine, VerifierKey};
use crate::log::tree::TreeHead;
use crate::log::witness::{AddCheckpoint, Refusal, RequestError, judge, origin_hash};

pub mod state;

use state::{State, StateError};

/// Most logs that one witness watches.
pub const LOGS_MAX: usize = 256;

/// Everything that a witness works with.
pub struct Parts {
    /// Its name and public key.
    pub verifier: VerifierKey,
    /// The key on its token.
    pub key: KeyId,
    /// The token.
    pub hsm: Hsm,
    /// The clock that its cosignatures tell.
    pub clock: Clock,
    /// The logs that it watches, by origin, with the keys that sign for each.
    pub logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Longest that the token may take.
    pub signing_wait: Duration,
}

/// A witness at work; cheap to clone.
#[derive(Clone)]
pub struct Witness {
    parts: Arc<Parts>,
    state: Arc<Mutex<State>>,
}

/// Why nothing was cosigned.
#[derive(Debug, thiserror::Error)]
pub enum NotCosigned {
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(#[from] RequestError),
    /// The rules say no.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The state is not durable. Nothing was signed that anybody has seen.
    #[error("the witness cannot remember: {0}")]
    State(#[from] StateError),
    /// The token did not sign.
    #[error("the witness cannot sign: {0}")]
    Signing(String),
}

impl Witness {
    /// A witness over a state that is its own.
    ///
    /// # Errors
    /// [`StateError::Unlike`]: a head in the state is not what its log and this witness signed.
    pub fn new(parts: Parts, state: State) -> Result<Self, StateError> {
        for (origin, note) in state.notes() {
            remembered(&parts, origin, note).map_err(|reason| StateError::Unlike {
                origin: origin.clone(),
                reason: reason.to_string(),
            })?;
        }
        Ok(Self { parts: Arc::new(parts), state: Arc::new(Mutex::new(state)) })
    }

    /// Cosigns a checkpoint that continues what was cosigned before. The answer is a line for the
    /// note; it is durable before it is returned.
    ///
    /// # Errors
    /// [`NotCosigned`].
    pub async fn add_checkpoint(&self, body: &[u8]) -> Result<SignatureLine, NotCosigned> {
        let request = AddCheckpoint::parse(body)?;
        let origin = request.origin();
        let keys = self.parts.logs.get(origin).map(Vec::as_slice);
        // One at a time: the head that is judged by must still be the newest when it is replaced.
        let state = Arc::clone(&self.state).lock_owned().await;
        let checkpoint = judge(keys, &self.seen(&state, origin), &request);
        let checkpoint = checkpoint.inspect_err(|refused| tell(refused, &request))?;
        let line = self.sign(checkpoint).await?;
        let size = checkpoint.head().size;
        self.remember(state, origin, by(request.note(), keys, &line)).await?;
        tracing::debug!(origin, size, "cosigned");
        Ok(line)
    }

    /// The newest checkpoint that was cosigned, by the hash of the log's origin.
    pub async fn newest(&self, hash: &str) -> Option<String> {
        let state = self.state.lock().await;
        let found = state.notes().find(|(origin, _)| origin_hash(origin) == hash);
        found.map(|(_, note)| note.clone())
    }

    /// Why it cannot cosign at the moment, if it cannot.
    pub async fn trouble(&self) -> Option<String> {
        if let Some(token) = self.parts.hsm.status().into_iter().find(|token| !token.up) {
            return Some(format!("token {}: {}", token.name, token.reason.unwrap_or_default()));
        }
        self.state.lock().await.trouble().map(str::to_owned)
    }

    /// The head that was last cosigned. Everything in the state was read back at start.
    fn seen(&self, state: &State, origin: &str) -> TreeHead {
        let note = state.note(origin).map(|note| remembered(&self.parts, origin, note));
        note.and_then(Result::ok).unwrap_or(TreeHead::EMPTY)
    }

    async fn sign(&self, checkpoint: &Checkpoint) -> Result<SignatureLine, NotCosigned> {
        let Parts { verifier, key, hsm, clock, signing_wait, .. } = self.parts.as_ref();
        let failed = |failure: &dyn std::fmt::Display| NotCosigned::Signing(failure.to_string());
        let now = clock.now();
        let message = AuditMessage::cosignature(checkpoint.clone(), now);
        let answer = hsm.sign_audit(key, message);
        let signature: Result<Vec<u8>, SignFailure> =
            match tokio::time::timeout(*signing_wait, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => return Err(failed(&"the worker of the token has gone")),
                Err(_) => return Err(failed(&"the token did not answer in time")),
            };
        let signature = signature.map_err(|failure| failed(&failure))?;
        verifier.prepare(checkpoint.text(), now).signed(&signature).map_err(|bad| failed(&bad))
    }

    /// Writes, on a thread that may block, whether or not anybody still waits for it.
    async fn remember(
        &self,
        mut state: OwnedMutexGuard<State>,
        origin: &str,
        note: Note,
    ) -> Result<(), NotCosigned> {
        let (origin, note) = (origin.to_owned(), note.to_string());
        let written = tokio::task::spawn_blocking(move || state.put(&origin, note)).await;
        written.unwrap_or(Err(StateError::Interrupted)).map_err(NotCosigned::State)
    }
}

/// Only who holds the key of a log gets as far as a proof that fails: that note may be evidence.
/// Everything else anybody could have logged.
fn tell(refused: &Refusal, request: &AddCheckpoint) {
    let origin = request.origin();
    match refused.status() {
        422 => tracing::warn!(origin, %refused, note = %request.note(), "not cosigned"),
        _ => tracing::debug!(origin, %refused, "not cosigned"),
    }
}

/// The note with the signatures of the log and the witness: what others added is theirs to keep.
fn by(note: &Note, keys: Option<&[VerifierKey]>, ours: &SignatureLine) -> Note {
    let is_known = |line: &&SignatureLine| {
        keys.unwrap_or_default()
            .iter()
            .any(|key| key.name() == line.name() && key.id() == line.id())
    };
    let mut kept = Note::new(note.unverified_text().clone(), ours.clone());
    for line in note.unverified_signatures().iter().filter(is_known) {
        // Of the log's own keys there are few: that is within the bounds of a note.
        drop(kept.add(line.clone()));
    }
    kept
}

/// Why a head that is remembered is not believed.
#[derive(Debug, thiserror::Error)]
enum Unlike {
    #[error("{0}")]
    Note(#[from] NoteError),
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("it is of the log {0}")]
    Origin(String),
}

fn remembered(parts: &Parts, origin: &str, note: &str) -> Result<TreeHead, Unlike> {
    let note = Note::parse(note.as_bytes())?;
    let signed = note.verify(std::slice::from_ref(&parts.verifier))?;
    let checkpoint = Checkpoint::parse(signed.text.clone())?;
    match checkpoint.origin() == origin {
        true => Ok(checkpoint.head()),
        false => Err(Unlike::Origin(checkpoint.origin().to_owned())),
    }
}
