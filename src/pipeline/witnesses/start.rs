//! Before anything is signed: what the witnesses have seen of this log.
//!
//! The only thing that finds a ledger that was restored together with its token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use crate::domain::time::Timestamp;
use crate::hsm::Hsm;
use crate::ledger::reader::Reader;
use crate::log::checkpoint::Checkpoint;
use crate::log::message::AuditMessage;
use crate::log::note::{Note, VerifierKey};
use crate::log::tree::{Hash, TreeHead};
use crate::log::witness::{AddCheckpoint, Answer, cosignature};
use crate::pipeline::checkpoints::Audit;
use crate::pipeline::tree::Tree;

use super::submission::{OwnTree, Shown, Submission, Unwitnessed};
use super::{Witness, Witnesses};

/// Pause between looks at whether the token has signed.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks before it is given up: ten seconds.
const LOOKS_MAX: u32 = 1_000;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum Contradicted {
    /// A witness has seen another log under our name, or more of it.
    #[error("witness {witness}: {found}")]
    Witness {
        /// Its name.
        witness: String,
        /// What it has seen.
        found: Unwitnessed,
    },
    /// A witness that must be asked cannot.
    #[error(
        "witness {witness}: {found}; it must be asked before anything is signed: have it started, \
         or set required_at_start = false for it"
    )]
    Unasked {
        /// Its name.
        witness: String,
        /// What came back.
        found: Unwitnessed,
    },
    /// What would be shown to them cannot be read.
    #[error("the newest checkpoint cannot be shown to witnesses: {0}")]
    OwnLog(String),
}

/// The checkpoint of a log without leaves: what a new ledger has to show. Blocks.
///
/// # Errors
/// [`Contradicted::OwnLog`] if the token does not sign it.
pub fn empty(hsm: &Hsm, audit: &Audit) -> Result<String, Contradicted> {
    let own = |refused: &dyn std::fmt::Display| Contradicted::OwnLog(refused.to_string());
    let checkpoint = Checkpoint::new(audit.verifier.name().as_str(), TreeHead::EMPTY, &[])
        .map_err(|refused| own(&refused))?;
    let text = checkpoint.text().clone();
    let mut answer = hsm.sign_audit(&audit.key, AuditMessage::Checkpoint(checkpoint));
    for _ in 0..LOOKS_MAX {
        let signature = match answer.try_recv() {
            Ok(signature) => signature.map_err(|failure| own(&failure))?,
            Err(TryRecvError::Closed) => return Err(own(&"the audit key's worker has gone")),
            Err(TryRecvError::Empty) => {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
        };
        // A checkpoint carries no time.
        let unsigned = audit.verifier.prepare(&text, Timestamp::from_unix_ms(0));
        let line = unsigned.signed(&signature).map_err(|refused| own(&refused))?;
        return Ok(Note::new(text, line).to_string());
    }
    Err(own(&"the audit key did not sign in time"))
}

/// How many leaves of this log a witness has seen. Changes nothing there. Blocks.
///
/// # Errors
/// [`Unwitnessed`].
pub fn seen(witness: &Witness, note: &str) -> Result<u64, Unwitnessed> {
    let own = |refused: &dyn std::fmt::Display| Unwitnessed::OwnLog(refused.to_string());
    let note = Note::parse(note.as_bytes()).map_err(|refused| own(&refused))?;
    let checkpoint = Checkpoint::parse(note.unverified_text().clone());
    let size = checkpoint.map_err(|refused| own(&refused))?.head().size;
    // As if it had seen this very checkpoint: if it has not, it tells what it has seen.
    let request = AddCheckpoint::new(size, Vec::new(), note.clone());
    let request = request.map_err(|refused| own(&refused))?.to_string();
    let reply = witness.line.add_checkpoint(&request).map_err(Unwitnessed::Unreachable)?;
    match Answer::parse(reply.status, &reply.media_type, &reply.body)? {
        Answer::Cosigned(lines) => Ok(cosignature(&note, lines, &witness.key).map(|_| size)?),
        Answer::Conflict { seen } => Ok(seen),
        Answer::Refused { status: 422, .. } if size > 0 => {
            Err(Unwitnessed::Forked { seen: size, shown: Shown::Nothing })
        }
        Answer::Refused { status, detail } => Err(Unwitnessed::Refused { status, detail }),
    }
}

/// Asks all witnesses at once, each within its own time. `note` is our newest checkpoint, or that
/// of the empty tree where there is none. Blocks.
///
/// # Errors
/// [`Contradicted`]: nothing may be signed with this ledger.
pub fn ask(
    witnesses: &Witnesses,
    reader: &Reader,
    log: &VerifierKey,
    note: &str,
) -> Result<(), Contradicted> {
    let own = |refused: &dyn std::fmt::Display| Contradicted::OwnLog(refused.to_string());
    let read = Note::parse(note.as_bytes()).map_err(|refused| own(&refused))?;
    let signed = read.verify(std::slice::from_ref(log)).map_err(|refused| own(&refused))?;
    let head = Checkpoint::parse(signed.text.clone()).map_err(|refused| own(&refused))?.head();
    let ours = read.unverified_signatures().iter().find(|line| line.id() == log.id());
    let ours = ours.ok_or_else(|| own(&"it is not signed"))?;
    let note = &Note::new(read.unverified_text().clone(), ours.clone());
    let answers: Vec<(&Arc<Witness>, Result<(), Unwitnessed>)> = std::thread::scope(|scope| {
        let asking = witnesses.each().map(|(witness, cosigned)| {
            let tree = Found { reader, published: head.size };
            let asked = scope.spawn(move || {
                Submission { witness, log, note, head, cosigned, tree }.submit().map(drop)
            });
            (witness, asked)
        });
        let asking: Vec<_> = asking.collect();
        let answer = |(witness, asked): (_, std::thread::ScopedJoinHandle<'_, _>)| {
            let gone = || Err(Unwitnessed::OwnLog("a thread has gone".to_owned()));
            (witness, asked.join().unwrap_or_else(|_| gone()))
        };
        asking.into_iter().map(answer).collect()
    });
    for (witness, answer) in answers {
        judged(witness, answer)?;
    }
    Ok(())
}

fn judged(witness: &Witness, answer: Result<(), Unwitnessed>) -> Result<(), Contradicted> {
    let name = witness.name.clone();
    match answer {
        Ok(()) | Err(Unwitnessed::Behind { .. }) => {
            tracing::info!(witness = name, "the witness has seen this log and no other");
            Ok(())
        }
        Err(found) if found.contradicts() => Err(Contradicted::Witness { witness: name, found }),
        Err(found) if witness.required_at_start => {
            Err(Contradicted::Unasked { witness: name, found })
        }
        Err(found) => {
            tracing::warn!(witness = name, %found, "the witness was not asked before the start");
            Ok(())
        }
    }
}

/// Our tree as it was found.
struct Found<'a> {
    reader: &'a Reader,
    published: u64,
}

impl OwnTree for Found<'_> {
    fn leaves(&self) -> Result<u64, String> {
        self.reader.log_size().map_err(|refused| refused.to_string())
    }

    fn published(&self) -> u64 {
        self.published
    }

    fn root(&self, size: u64) -> Result<Hash, String> {
        Tree::new(self.reader, size).root().map_err(|refused| refused.to_string())
    }

    fn consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, String> {
        Tree::new(self.reader, second).consistency(first).map_err(|refused| refused.to_string())
    }
}
