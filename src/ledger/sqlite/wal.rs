//! The write-ahead log as a file: the room that is kept in it for outcomes, and what is done about
//! a sync that failed before we were started.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{StoreError, merger};

/// Size of the header of a write-ahead log, in bytes (SQLite file format, section 4.1).
pub(super) const HEADER_BYTES: u64 = 32;
const HEADER_LENGTH: usize = 32;
/// Size of a page of 4 KiB in the log, with its own header.
pub(super) const FRAME_BYTES: u64 = 24 + 4096;
/// Pages that the log grows by, so that it seldom has to: 4 MiB.
const STEP_PAGES: u64 = 1_024;
/// The shared index of the log has a block for each so many pages, and one less in the first
/// (SQLite, "WAL-mode file format", section 2).
const INDEX_PAGES: u64 = 4_096;
const INDEX_BYTES: u64 = 32 << 10;
/// Bytes that are written or copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The write-ahead log of a ledger.
pub(super) fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Writes the log over itself and syncs it. The page cache may hold commits whose sync failed: the
/// system shows them as if they were on the disk and will not write them again on its own, and
/// what is committed behind them would be lost with them when the power fails.
pub(super) fn make_durable(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let used = match used_pages(connection)? {
        0 => 0,
        pages => HEADER_BYTES + pages * FRAME_BYTES,
    };
    // SQLite takes no locks on this file: closing a descriptor of ours does not harm.
    let file = File::options().read(true).write(true).open(log_of(path))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < used {
        let rest = usize::try_from(used - at).unwrap_or(usize::MAX);
        let chunk = chunk.get_mut(..rest.min(CHUNK_BYTES)).unwrap_or_default();
        file.read_exact_at(chunk, at)?;
        file.write_all_at(chunk, at)?;
        at += bytes(chunk);
    }
    Ok(file.sync_all()?)
}

/// Writes the header of the log over itself and syncs it, to see whether that is possible. A commit
/// would use up room, again and again while a disk fails now and then.
pub(super) fn prove_writable(path: &Path) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(log_of(path))?;
    let mut header = vec![0; HEADER_LENGTH];
    file.read_exact_at(&mut header, 0)?;
    file.write_all_at(&header, 0)?;
    file.sync_all()
}

/// The room behind what is used of the log. It belongs to the file already, so that what is written
/// there needs no space that somebody else may have taken.
pub(super) struct Room {
    path: PathBuf,
    /// Pages that the log has room for, used ones included.
    pages: u64,
    /// The index of the log, which has to grow with it. Kept open: closing any descriptor of it
    /// would give away the locks that SQLite holds on it for this process (POSIX fcntl).
    index: Option<File>,
}

impl Room {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), pages: 0, index: None }
    }

    /// Makes sure that so many pages more can be committed.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if the disk is full, and [`StoreError::Io`] if it fails.
    pub(super) fn keep(&mut self, connection: &Connection, more: u64) -> Result<(), StoreError> {
        let needed = used_pages(connection)?.saturating_add(more);
        if needed <= self.pages {
            return Ok(());
        }
        match self.grow(needed) {
            Ok(()) => Ok(()),
            Err(full) if is_full(&full) => Err(StoreError::NoRoom(full.to_string())),
            Err(failed) => Err(StoreError::Io(failed)),
        }
    }

    fn grow(&mut self, needed: u64) -> std::io::Result<()> {
        let pages = needed.next_multiple_of(STEP_PAGES);
        let index = match self.index.take() {
            Some(index) => index,
            None => File::options().write(true).open(beside(&self.path, "-shm"))?,
        };
        let index = self.index.insert(index);
        fill(index, (pages / INDEX_PAGES + 2) * INDEX_BYTES)?;
        let log = File::options().write(true).open(log_of(&self.path))?;
        fill(&log, HEADER_BYTES + pages * FRAME_BYTES)?;
        log.sync_all()?;
        self.pages = pages;
        Ok(())
    }
}

/// Lengthens a file by zeros, written: a hole would be no room.
fn fill(file: &File, size: u64) -> std::io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES];
    let mut at = file.metadata()?.len();
    while at < size {
        let rest = usize::try_from(size - at).unwrap_or(usize::MAX);
        let zeros = zeros.get(..rest.min(CHUNK_BYTES)).unwrap_or_default();
        file.write_all_at(zeros, at)?;
        at += bytes(zeros);
    }
    Ok(())
}

fn is_full(failed: &std::io::Error) -> bool {
    matches!(
        failed.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// How many pages the log holds.
fn used_pages(connection: &Connection) -> Result<u64, StoreError> {
    u64::try_from(merger::pages(connection)?)
        .map_err(|_| StoreError::Row("there is no write-ahead log".to_owned()))
}

fn bytes(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}
