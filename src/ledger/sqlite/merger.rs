//! Merges the write-ahead log into the main file beside the writer, so that no payment waits for
//! it: a thread with a connection of its own, which writes no content.
//!
//! SQLite would merge inside one commit out of many, and everybody in that batch would wait for
//! hundreds of pages and a sync of the main file. A merge on another connection (`PASSIVE`) hinders
//! nobody, but the log starts over only when all of it is merged, which under load never happens by
//! itself. Every [`LOG_PAGES_MAX`] pages the writer therefore merges the short rest in person.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::super::OpenError;
use super::{StoreError, connect};

/// Pages of 4 KiB that are worth a merge.
const MERGE_PAGES: i64 = 1_000;
/// Pages after which the log has to start over: 64 MiB on disk.
const LOG_PAGES_MAX: i64 = 16_000;
/// Commits between two looks at the length of the log.
const LOOK_EVERY: u32 = 16;

/// The writer's handle on the thread; dropping it ends the thread.
pub(super) struct Merger {
    wake: Option<SyncSender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    commits: u32,
}

#[derive(Default)]
struct Shared {
    busy: AtomicBool,
    failure: Mutex<Option<rusqlite::Error>>,
}

/// Pages in the log, and how many of them the main file has.
struct Log {
    pages: i64,
    merged: i64,
}

impl Merger {
    /// Starts the thread on a connection of its own.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`] and [`OpenError::Io`].
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let connection = connect(path)?;
        let (wake, asked) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("ledger-merger".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(&connection, &asked, &shared)
            })
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { wake: Some(wake), shared, thread: Some(thread), commits: 0 })
    }

    /// Sees to the log after a commit on the writer's connection.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] where a merge failed, here or on the thread since the last call.
    pub(super) fn after_commit(&mut self, writer: &Connection) -> Result<(), StoreError> {
        let failure = &self.shared.failure;
        if let Some(failed) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failed.into());
        }
        self.commits = self.commits.wrapping_add(1);
        if !self.commits.is_multiple_of(LOOK_EVERY) || self.shared.busy.load(Ordering::Acquire) {
            return Ok(());
        }
        let log = checkpoint(writer, "NOOP")?;
        if log.pages > LOG_PAGES_MAX && log.pages - log.merged < 2 * MERGE_PAGES {
            checkpoint(writer, "PASSIVE")?;
        } else if log.pages - log.merged > MERGE_PAGES
            && let Some(wake) = &self.wake
        {
            self.shared.busy.store(true, Ordering::Release);
            // Full or closed: the thread is about to merge, or gone with its failure told.
            let _ = wake.try_send(());
        }
        Ok(())
    }
}

impl Drop for Merger {
    /// Waits for the merge that is under way: the file must not be opened or left meanwhile.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(connection: &Connection, asked: &Receiver<()>, shared: &Shared) {
    while asked.recv().is_ok() {
        let merged = checkpoint(connection, "PASSIVE");
        if let Err(failed) = merged {
            // After a failed write or sync nothing is tried again on this handle.
            *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
            return;
        }
        shared.busy.store(false, Ordering::Release);
    }
}

/// Merges what is in the log now.
pub(super) fn merge(connection: &Connection) -> Result<(), StoreError> {
    checkpoint(connection, "PASSIVE")?;
    Ok(())
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Log> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    connection
        .prepare_cached(&pragma)?
        .query_row([], |row| Ok(Log { pages: row.get(1)?, merged: row.get(2)? }))
}
