//! Merges the write-ahead log into the main file beside the writer, so that no payment waits for
//! it: a thread with a connection of its own, which writes no content.
//!
//! SQLite would merge inside one commit out of many, and everybody in that batch would wait for
//! hundreds of pages and a sync of the main file. A merge on another connection (`PASSIVE`) hinders
//! nobody, but the log starts over only when all of it is merged, which under load never happens by
//! itself. Past a length the writer therefore merges the short rest in person, and any rest where
//! the thread does not keep up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::super::OpenError;
use super::{StoreError, connect};

/// When the log is merged, in pages of 4 KiB.
#[derive(Clone, Copy)]
struct Lengths {
    /// So many pages are worth a merge.
    merge_pages: i64,
    /// After so many the log has to start over.
    log_pages_max: i64,
}

/// 64 MiB on disk.
const LENGTHS: Lengths = Lengths { merge_pages: 1_000, log_pages_max: 16_000 };
/// Commits between two looks at the length of the log.
const LOOK_EVERY: u32 = 16;

/// The writer's handle on the thread; dropping it ends the thread.
pub(super) struct Merger {
    wake: Option<SyncSender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    commits: u32,
    lengths: Lengths,
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
        Self::with_lengths(path, LENGTHS)
    }

    fn with_lengths(path: &Path, lengths: Lengths) -> Result<Self, OpenError> {
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
        Ok(Self { wake: Some(wake), shared, thread: Some(thread), commits: 0, lengths })
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
        let Lengths { merge_pages, log_pages_max } = self.lengths;
        let log = checkpoint(writer, "NOOP")?;
        let rest = log.pages.saturating_sub(log.merged);
        let short = rest < merge_pages.saturating_mul(2);
        let far_too_long = log.pages > log_pages_max.saturating_mul(2);
        if log.pages > log_pages_max && (short || far_too_long) {
            checkpoint(writer, "PASSIVE")?;
        } else if rest > merge_pages
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

/// How many pages the log holds, merged or not; negative if there is none.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<i64> {
    checkpoint(connection, "NOOP").map(|log| log.pages)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_load_the_log_starts_over_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some.sqlite3");
        let created = Connection::open(&path).unwrap();
        created.execute_batch("CREATE TABLE page (n INTEGER, filling BLOB)").unwrap();
        drop(created);
        let writer = connect(&path).unwrap();
        let lengths = Lengths { merge_pages: 20, log_pages_max: 200 };
        let mut merger = Merger::with_lengths(&path, lengths).unwrap();
        let (mut longest, mut starts, mut before) = (0, 0, 0);
        for n in 0..100_000 {
            writer.execute("INSERT INTO page VALUES (?1, zeroblob(3000))", [n]).unwrap();
            merger.after_commit(&writer).unwrap();
            let pages = checkpoint(&writer, "NOOP").unwrap().pages;
            starts += u32::from(pages < before);
            longest = longest.max(pages);
            before = pages;
            if starts == 5 {
                break;
            }
        }
        assert_eq!(starts, 5, "the log grew to {longest} pages");
        assert!(longest < 10_000, "the log grew to {longest} pages");
        drop(merger);
        let count = "SELECT count(*), max(n) + 1 FROM page";
        let (rows, last): (i64, i64) = connect(&path)
            .unwrap()
            .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(rows, last, "nothing is lost");
    }
}
