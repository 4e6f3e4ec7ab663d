//! The embedded ledger: one SQLite file, write-ahead log, every commit synced.
//!
//! One writing connection belongs to the writer; everybody else reads through
//! [`super::reader`]. After any failed write the handle is given up and the file opened again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use crate::domain::counted::Counted;
use crate::domain::counter::{Counter, CounterId};
use crate::domain::credit::Mark;
use crate::domain::ledger::{Erasure, Novelty, PaymentRecord, Waiting, WorkingSet};
use crate::domain::payment::PaymentId;
use crate::domain::policy::Policy;

use super::OpenError;
use super::lock::Lock;

mod archive;
pub(super) mod audit;
mod axes;
mod backup;
mod bindings;
pub(super) mod clock;
pub(super) mod closing;
mod connection;
pub(super) mod cosigned;
mod counters;
pub(super) mod deliveries;
mod guard;
pub(super) mod leaves;
mod load;
mod merger;
pub(super) mod open;
pub(super) mod payments;
mod scrub;
pub(super) mod snapshot;
pub(super) mod statements;
mod wal;

pub use archive::{ArchiveFile, ToArchive};
pub use audit::{PaymentWithLeaves, Spent, Standing};
pub use backup::backup;
pub use closing::{StoredArchive, Stub};
use connection::{anchor, begin, broken, connect};
use guard::FileId;
pub use guard::{check_absent, create};
pub use leaves::{StoredCheckpoint, StoredTile};
pub(super) use load::{Names, Registry};
use merger::Merger;
use scrub::Scrub;
use wal::Room;

/// Schema of this release, kept in `PRAGMA user_version`.
const SCHEMA: i64 = 3;
/// `PRAGMA application_id`: "Csgn".
const APPLICATION_ID: i64 = 0x4373_676e;

/// Most counters that stay in memory between batches.
const LIVE_MAX: usize = 20_000;
/// Most pages that a commit of one record writes, if it is alone in it: the room that is kept for
/// each outcome.
pub(super) const RECORD_PAGES: u64 = 16;

/// Why a store could not load or commit. The writer then opens it again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed: disk full, read-only, I/O error, corruption.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row is not what this release writes.
    #[error("the ledger holds a row that cannot be read: {0}")]
    Row(String),
    /// A conditional update found other numbers than memory has.
    #[error("the ledger and memory disagree about {0}; nothing was committed")]
    Disagreement(String),
    /// The disk is full: what is still free in the log is kept for outcomes.
    #[error("the disk is full and what is kept back is for the outcomes of earlier payments: {0}")]
    NoRoom(String),
    /// The file system failed.
    #[error("the write-ahead log: {0}")]
    Io(#[from] std::io::Error),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The ledger's file, opened for writing.
pub struct Store {
    path: PathBuf,
    /// Which file that was when it was opened.
    file: FileId,
    issuer: String,
    ledger_id: String,
    // Before the connection and the lock: it ends before either is let go.
    merger: Option<Merger>,
    connection: Option<Connection>,
    /// Never used again once it has read. As long as it is open SQLite keeps its index of the log,
    /// and nobody makes it anew from a log that holds commits whose sync failed: their payments
    /// would be told as signed, and gone when the power fails.
    anchor: Option<Connection>,
    _lock: Lock,
    room: Room,
    /// How many payments are in doubt or wait for people, and will have an outcome.
    open_count: u64,
    scrub: Scrub,
    mark: Mark,
    /// Number of leaves after the last commit.
    log_size: u64,
    counted: Arc<Counted>,
    /// What waits for people.
    waiting: Arc<Waiting>,
    /// Counters as they stand after the last commit.
    live: HashMap<CounterId, Counter>,
    /// What the rows of those counters say.
    stored: HashMap<CounterId, counters::Stored>,
    /// Payments in doubt, so that an outcome needs no read.
    open: HashMap<PaymentId, Arc<PaymentRecord>>,
}

impl Store {
    /// Opens the ledger of a daemon: takes the lock, checks the file, marks it in use.
    ///
    /// # Errors
    /// [`OpenError`], each case with its own message; nothing is repaired or created.
    pub fn open(path: &Path, issuer: &str) -> Result<Self, OpenError> {
        guard::check_file(path)?;
        let lock = Lock::take(&path.with_extension("lock"))?;
        guard::check_log(path)?;
        let is_marked = guard::is_marked(path);
        let connection = connect(path)?;
        guard::check_contents(path, &connection, issuer)?;
        let anchor = anchor(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        wal::make_durable(path, &connection).map_err(|refused| broken(path, refused))?;
        guard::mark_in_use(&connection, is_marked).map_err(sqlite)?;
        let mark = clock::mark(&connection).map_err(sqlite)?;
        let ledger_id = guard::meta(&connection, "ledger_id").map_err(sqlite)?;
        let unreadable = |refused: StoreError| OpenError::NotALedger {
            path: path.to_owned(),
            found: refused.to_string(),
        };
        let counted = axes::counted(&connection).map_err(unreadable)?;
        let log_size = leaves::size(&connection).map_err(unreadable)?;
        let open_count = open::count_open(&connection).map_err(unreadable)?.into();
        let waiting = open::waiting(&connection).map_err(unreadable)?;
        Ok(Self {
            path: path.to_owned(),
            file: guard::file_id(path)?,
            issuer: issuer.to_owned(),
            ledger_id,
            merger: Some(Merger::start(path)?),
            connection: Some(connection),
            anchor: Some(anchor),
            _lock: lock,
            room: Room::of(path),
            open_count,
            scrub: Scrub::default(),
            mark,
            log_size,
            counted: Arc::new(counted),
            waiting: Arc::new(waiting),
            live: HashMap::new(),
            stored: HashMap::new(),
            open: HashMap::new(),
        })
    }

    /// Whether [`Store::open`] would take the file, as far as that can be told beside a daemon that
    /// may be running: nothing is locked, marked or written.
    ///
    /// # Errors
    /// [`OpenError`] as `open` gives it.
    pub fn examine(path: &Path, issuer: &str) -> Result<(), OpenError> {
        guard::check_file(path)?;
        guard::check_log(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        guard::check_contents(path, &connection, issuer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identifier, 128 random bits in hexadecimal.
    pub fn ledger_id(&self) -> &str {
        &self.ledger_id
    }

    /// What the ledger remembers of its clock.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Number of leaves in the log.
    pub fn log_size(&self) -> u64 {
        self.log_size
    }

    /// Sees to it that the log has room for a batch of so many records and for the outcome of every
    /// payment that is in doubt after it, whatever happens to the disk meanwhile. While it has not,
    /// only outcomes may be committed.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if the disk is full; others if it fails.
    pub(super) fn keep_room(&mut self, batch: usize) -> Result<(), StoreError> {
        let batch = u64::try_from(batch).unwrap_or(u64::MAX);
        let records = self.open_count.saturating_add(batch).saturating_add(batch);
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        self.room.keep(connection, records.saturating_mul(RECORD_PAGES))
    }

    /// Makes everything that a batch changed durable, all or nothing.
    pub(super) fn commit(
        &mut self,
        mark: Mark,
        policy: &Policy,
        mut working: WorkingSet,
        checkpoints: &[StoredCheckpoint],
        erasures: &[(u64, Erasure)],
    ) -> Result<(), StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        begin(connection)?;
        for (record, novelty) in working.changed() {
            payments::store(connection, record, novelty)?;
        }
        for (claim, holder) in working.claimed() {
            payments::store_claim(connection, policy.duplicate_window, claim, holder)?;
        }
        for (id, counter) in &mut working.counters {
            let stored = self.stored.entry(id.clone()).or_default();
            counters::store(connection, policy, id, counter, stored)?;
        }
        statements::store(connection, &working)?;
        let log_size = leaves::append(connection, self.log_size, working.leaves())?;
        for checkpoint in checkpoints {
            leaves::store_checkpoint(connection, checkpoint)?;
        }
        let lapsed = closing::lapsed(mark.newest, policy.duplicate_window);
        for (leaf, erasure) in erasures {
            closing::close(connection, *leaf, lapsed, &erasure.payments)?;
        }
        clock::store(connection, &mark)?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        self.mark = mark;
        self.log_size = log_size;
        self.waiting = Arc::clone(&working.waiting);
        if erasures.iter().any(|(_, erasure)| erasure.is_last) {
            self.scrub.is_due();
        }
        for (record, novelty) in working.changed() {
            match (record.is_final(), novelty) {
                (true, Novelty::Known) => self.open_count = self.open_count.saturating_sub(1),
                (false, Novelty::New) => self.open_count = self.open_count.saturating_add(1),
                _ => {}
            }
            match record.is_final() {
                true => self.open.remove(&record.id),
                false => self.open.insert(record.id, Arc::clone(record)),
            };
        }
        if self.live.len() > LIVE_MAX {
            // Those that are in use come back with their next payment.
            self.live.clear();
            self.stored.retain(|id, _| working.counters.contains_key(id));
        }
        self.live.extend(working.counters.drain());
        Ok(())
    }

    /// Ends a batch that has changed nothing, without a record of it.
    pub(super) fn end_unchanged(&mut self) -> Result<(), StoreError> {
        let connection = self.connection()?;
        if !connection.is_autocommit() {
            connection.prepare_cached("ROLLBACK")?.execute([])?;
        }
        Ok(())
    }

    /// Keeps the log short, once those who waited for a commit have their answers.
    pub(super) fn tend(&mut self) -> Result<(), StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        self.merger.as_mut().ok_or(StoreError::Closed)?.after_commit(connection)?;
        self.scrub.after_commit(&self.path, connection, self.mark.newest)
    }

    /// Gives up the connection and all memory and opens the file again.
    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        self.live.clear();
        self.stored.clear();
        self.open.clear();
        self.merger = None;
        self.connection = None;
        let sqlite = |source| OpenError::Sqlite { path: self.path.clone(), source };
        // The file is not looked at other than through SQLite: closing a descriptor of ours would
        // give away the locks that readers of this process hold on it (POSIX fcntl).
        guard::check_presence(&self.path, self.file)?;
        wal::prove_writable(&self.path).map_err(|e| broken(&self.path, e.into()))?;
        let connection = connect(&self.path)?;
        guard::check_contents(&self.path, &connection, &self.issuer)?;
        let ledger_id = guard::meta(&connection, "ledger_id").map_err(sqlite)?;
        let found = clock::mark(&connection).map_err(sqlite)?;
        if ledger_id != self.ledger_id || found.newest < self.mark.newest {
            return Err(OpenError::Mismatch {
                what: "the ledger that was open before".to_owned(),
                recorded: format!("{ledger_id} up to {}", found.newest),
                configured: format!("{} up to {}", self.ledger_id, self.mark.newest),
                mend: "another file lies in its place; put the right one back",
            });
        }
        let unreadable = |refused: StoreError| self.unreadable(&refused);
        let log_size = leaves::size(&connection).map_err(unreadable)?;
        let open_count = open::count_open(&connection).map_err(unreadable)?;
        let waiting = open::waiting(&connection).map_err(unreadable)?;
        self.log_size = log_size;
        self.open_count = open_count.into();
        self.waiting = Arc::new(waiting);
        self.mark = found;
        self.merger = Some(Merger::start(&self.path)?);
        self.connection = Some(connection);
        Ok(())
    }

    fn unreadable(&self, refused: &StoreError) -> OpenError {
        OpenError::NotALedger { path: self.path.clone(), found: refused.to_string() }
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or(StoreError::Closed)
    }
}

fn none_if_no_rows<T>(refused: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    match refused {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        other => Err(other),
    }
}
