//! The ledger: one writer owns all spending state and makes decisions durable in batches.
//!
//! Requests queue over a bounded channel. The writer takes what has gathered, lets
//! [`crate::domain::ledger`] decide each in order, writes the batch in one commit, syncs, and only
//! then answers. Nothing that is answered can be lost, and nothing that is not committed is
//! answered (P1).
//!
//! What this module is not: it decides nothing. Rules live in the domain, rows live in
//! [`sqlite`], and whoever only reads uses [`reader`] on connections of its own.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::domain::authorization::Signed;
use crate::domain::credit::{ClockFault, Reading, credit};
use crate::domain::key::Kid;
use crate::domain::leaf::Event;
use crate::domain::ledger::{
    Authorisation, Erasure, NotTaken, PaymentRecord, Posting, Reservation, Resumption,
    StatementRequest, Submission, Taken, VerifiedEvidence, VoidReason,
};
use crate::domain::payment::PaymentId;
use crate::domain::statement::{Statement, StatementDigest};
use crate::domain::time::Timestamp;

mod asked;
mod health;
mod lock;
mod outcomes;
pub mod reader;
mod rules;

pub mod sqlite;
mod stored;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use outcomes::Outcome;
pub use rules::Rules;
pub use sqlite::deliveries::{DeadLetter, Letters, Progress, Telling};

/// Most requests that may wait for the writer.
const QUEUE_MAX: usize = 8_192;

/// Why the ledger could not answer. These are failures, not decisions: no id is used up, and a
/// retry under the same id finds out what was recorded, if anything was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerFailure {
    /// Too many requests wait already.
    #[error("the ledger has too many requests waiting")]
    Overloaded,
    /// The batch could not be made durable, or the file cannot be used.
    #[error("the ledger is not writable: {0}")]
    Storage(String),
    /// The clock is behind what the ledger has already recorded.
    #[error("{0}")]
    Clock(String),
    /// The writer has stopped, or gave the batch up.
    #[error("the ledger gave no answer; a retry under the same idempotency key finds out more")]
    NoAnswer,
}

/// Why a ledger was not opened. Start-up refuses rather than repairs.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error(
        "there is no ledger at {}; `countersign init` creates one, `serve` never does",
        .0.display()
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a ledger at {} already; nothing ever overwrites one", .0.display())]
    Exists(PathBuf),
    /// There is none, but its write-ahead log is there.
    #[error(
        "there is no ledger at {}, but its log {}-wal is there: the ledger was lost; put it back \
         beside its log or restore a backup, and never make a new one there", .0.display(),
        .0.display()
    )]
    LogOfLost(PathBuf),
    /// Another daemon has it.
    #[error("another countersign holds {}; stop it first", .0.display())]
    Locked(PathBuf),
    /// The file is not a ledger.
    #[error("{} is no countersign ledger: {found}; restore it from a backup", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The file was written by a later release.
    #[error(
        "{} has schema {found}, this release knows {known}; run the newer release",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file was in use when it was copied or when its log was deleted.
    #[error(
        "{} was in use and its write-ahead log is gone, so the latest payments are missing; \
         put {}-wal back beside it or restore a backup", .0.display(), .0.display()
    )]
    InUseWithoutLog(PathBuf),
    /// Another file lies where the ledger lay when it was opened.
    #[error(
        "another file lies at {} than the ledger that was open before; move the right one back, \
         or start again to have this one examined", .0.display()
    )]
    Swapped(PathBuf),
    /// The clock cannot be credited.
    #[error(transparent)]
    Clock(ClockFault),
    /// A file that is to be written is there already.
    #[error("there is a file at {} already; archives go to new files", .0.display())]
    FileExists(PathBuf),
    /// The file is no archive.
    #[error("{} is no archive of a countersign ledger: {found}", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The archive was written, but the ledger did not give up its rows.
    #[error(
        "nothing was moved, the ledger has all of its payments: {found}; delete {}, mend that and \
         run it again", file.display()
    )]
    NotArchived {
        /// The file that was written.
        file: PathBuf,
        /// What hindered the ledger.
        found: String,
    },
    /// The configuration and the ledger disagree.
    #[error("{what}: the ledger has {recorded}, the configuration has {configured}; {mend}")]
    Mismatch {
        /// What disagrees.
        what: String,
        /// What the ledger recorded.
        recorded: String,
        /// What the configuration or this release says.
        configured: String,
        /// What to do.
        mend: &'static str,
    },
    /// The data base failed.
    #[error("the ledger at {} cannot be opened: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file system failed.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A statement that was issued, with its digest; or why not.
pub type Issued = Result<(StatementDigest, Statement), NotTaken>;

type Reply<T> = oneshot::Sender<Result<T, LedgerFailure>>;

enum Command {
    Reserve(Box<Submission>, Reply<Reservation>),
    Post(Signed, Reply<Posting>),
    Resume(PaymentId, Kid, Reply<Resumption>),
    Void(PaymentId, VoidReason, Reply<Option<Arc<PaymentRecord>>>),
    Issue(Box<StatementRequest>, Reply<Issued>),
    Approve(Box<VerifiedEvidence>, Reply<Result<Taken, NotTaken>>),
    Authorise(PaymentId, Vec<VerifiedEvidence>, Kid, Reply<Authorisation>),
    Record(Event, Reply<()>),
    Checkpoint(Box<sqlite::StoredCheckpoint>, Reply<()>),
    Erase(Box<Erasure>, Reply<()>),
    Tell(Box<Telling>, Reply<()>),
    Probe(Reply<()>),
}

/// A handle on the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Command>,
    outcomes: Arc<outcomes::Outcomes>,
    health: Arc<health::Health>,
}

/// The writer's thread, to be joined at the end.
pub struct WriterThread(std::thread::JoinHandle<()>);

impl Ledger {
    /// Starts the writer on an opened store. The events of `first` come before any decision, in its
    /// commit.
    ///
    /// # Errors
    /// [`OpenError::Io`] if no thread can be started.
    pub fn start(
        store: sqlite::Store,
        rules: Rules,
        clock: Clock,
        first: Vec<Event>,
    ) -> Result<(Self, WriterThread), OpenError> {
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let outcomes = Arc::new(outcomes::Outcomes::default());
        let health = Arc::new(health::Health::new(store.mark().clone(), store.log_size()));
        let path = store.path().to_owned();
        let writer = writer::Writer::new(
            store,
            rules,
            clock,
            commands,
            Arc::clone(&outcomes),
            Arc::clone(&health),
            first,
        );
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path, source })?;
        Ok((Self { queue, outcomes, health }, WriterThread(thread)))
    }

    /// Decides a submission and makes the decision durable.
    ///
    /// # Errors
    /// [`LedgerFailure`]; nothing was answered and a retry is safe.
    pub async fn reserve(&self, submission: Submission) -> Result<Reservation, LedgerFailure> {
        self.ask(|reply| Command::Reserve(Box::new(submission), reply)).await
    }

    /// Records an outcome, if its attempt is still the current one.
    ///
    /// # Errors
    /// [`LedgerFailure`]; the payment stays in doubt and the signature must be dropped.
    pub async fn post(&self, signed: Signed) -> Result<Posting, LedgerFailure> {
        self.ask_patiently(|reply| Command::Post(signed, reply)).await
    }

    /// Starts another attempt at a payment in doubt.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn resume(&self, id: PaymentId, kid: Kid) -> Result<Resumption, LedgerFailure> {
        self.ask(|reply| Command::Resume(id, kid, reply)).await
    }

    /// Gives up a payment in doubt; `None` if it is final or unknown.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn void(
        &self,
        id: PaymentId,
        reason: VoidReason,
    ) -> Result<Option<Arc<PaymentRecord>>, LedgerFailure> {
        self.ask(|reply| Command::Void(id, reason, reply)).await
    }

    /// Puts an event that concerns no payment on the log.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn record(&self, event: Event) -> Result<(), LedgerFailure> {
        self.ask_patiently(|reply| Command::Record(event, reply)).await
    }

    /// Keeps a checkpoint and the tiles that became complete with it.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn keep(&self, checkpoint: sqlite::StoredCheckpoint) -> Result<(), LedgerFailure> {
        self.ask_patiently(|reply| Command::Checkpoint(Box::new(checkpoint), reply)).await
    }

    /// Erases payments, in one commit with the leaf that says so.
    ///
    /// # Errors
    /// [`LedgerFailure`]; nothing was erased, or a retry would find nothing left to erase.
    pub async fn erase(&self, erasure: Erasure) -> Result<(), LedgerFailure> {
        self.ask_patiently(|reply| Command::Erase(Box::new(erasure), reply)).await
    }

    /// Keeps what was told to whom.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn tell(&self, telling: Telling) -> Result<(), LedgerFailure> {
        self.ask_patiently(|reply| Command::Tell(Box::new(telling), reply)).await
    }

    /// Tells when the log has grown: the number of leaves after the last commit.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.health.growth()
    }

    /// Number of leaves in the log after the last commit.
    pub fn log_size(&self) -> u64 {
        self.health.log_size()
    }

    /// Commits an empty batch: whether the ledger can be written right now.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn probe(&self) -> Result<(), LedgerFailure> {
        self.ask(Command::Probe).await
    }

    /// Resolves when a payment becomes final. Subscribe first, then read the payment: in that
    /// order no outcome is missed.
    pub fn outcome_of(&self, id: PaymentId) -> Outcome {
        self.outcomes.subscribe(id)
    }

    /// Why the ledger does not accept payments at the moment, if so.
    pub fn trouble(&self) -> Option<String> {
        self.health.trouble()
    }

    /// The instant that a reading of the clocks is credited with; the newest record's if it is not
    /// to be believed.
    pub fn credited(&self, reading: &Reading) -> Timestamp {
        let mark = self.health.mark();
        credit(&mark, reading).map_or(mark.newest, |(now, _)| now)
    }

    /// Batches committed and commands in them since start.
    pub fn work_done(&self) -> (u64, u64) {
        self.health.work_done()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, LedgerFailure> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(command(reply)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => LedgerFailure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => LedgerFailure::NoAnswer,
        })?;
        answer.await.map_err(|_| LedgerFailure::NoAnswer)?
    }

    /// Waits for a place in the queue: what was admitted must not fail for want of one.
    async fn ask_patiently<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, LedgerFailure> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(command(reply)).await.map_err(|_| LedgerFailure::NoAnswer)?;
        answer.await.map_err(|_| LedgerFailure::NoAnswer)?
    }
}

impl WriterThread {
    /// Waits until the writer has finished; it does once every [`Ledger`] handle is gone.
    pub fn join(self) {
        // A panic of the writer was reported when it happened; there is nobody left to answer.
        drop(self.0.join());
    }
}
