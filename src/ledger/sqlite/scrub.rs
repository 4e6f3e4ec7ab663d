//! Forgetting: what was deleted also leaves the file and its write-ahead log.
//!
//! SQLite overwrites deleted rows with zeros (`secure_delete`), but the log still has the pages as
//! they were, until it is written over. Once all of it is merged it is begun anew by a commit, and
//! what lies behind that commit, which nothing reads any more, is overwritten.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::domain::time::Timestamp;

use super::wal::{FRAME_BYTES, HEADER_BYTES, log_of};
use super::{StoreError, merger};

/// Commits between two attempts, where somebody reads for long.
const ATTEMPT_EVERY: u32 = 256;
/// Longest that other statements of the writer wait for a lock: the default of rusqlite.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Bytes that are written at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Whether there is something to forget.
#[derive(Default)]
pub(super) struct Scrub {
    due: bool,
    commits: u32,
}

impl Scrub {
    /// Something was deleted for good.
    pub(super) fn is_due(&mut self) {
        (self.due, self.commits) = (true, 0);
    }

    /// Forgets it, if there is something and nobody reads what is to be overwritten.
    pub(super) fn after_commit(
        &mut self,
        path: &Path,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.due {
            return Ok(());
        }
        let is_turn = self.commits.is_multiple_of(ATTEMPT_EVERY);
        self.commits = self.commits.wrapping_add(1);
        self.due = !(is_turn && scrub(path, connection, now)?);
        Ok(())
    }
}

/// Overwrites what the log held before now; `false` if somebody still reads it.
fn scrub(path: &Path, connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let restart = "PRAGMA wal_checkpoint(RESTART)";
    // Payments do not wait for somebody who reads.
    connection.busy_timeout(Duration::ZERO)?;
    let is_busy = connection.query_row(restart, [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY_WAIT)?;
    let is_busy = is_busy?;
    let before = merger::pages(connection)?;
    if is_busy != 0 {
        return Ok(false);
    }
    let upsert = "INSERT INTO meta (name, value) VALUES ('forgotten_at', ?1) \
                  ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(upsert, params![now.to_string()])?;
    let used = merger::pages(connection)?;
    // It was not begun anew: a reader came between.
    if used <= 0 || (before > 0 && used >= before) {
        return Ok(false);
    }
    let used = u64::try_from(used).unwrap_or(u64::MAX).saturating_mul(FRAME_BYTES);
    overwrite(path, used.saturating_add(HEADER_BYTES))?;
    Ok(true)
}

/// Its length stays: room is kept in it.
fn overwrite(path: &Path, from: u64) -> std::io::Result<()> {
    // SQLite takes no locks on this file: closing a descriptor of ours does not harm.
    let file = File::options().write(true).open(log_of(path))?;
    let (mut at, end) = (from, file.metadata()?.len());
    let zeros = vec![0; CHUNK_BYTES];
    while at < end {
        let rest = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let zeros = zeros.get(..rest.min(CHUNK_BYTES)).unwrap_or_default();
        file.write_all_at(zeros, at)?;
        at = at.saturating_add(u64::try_from(zeros.len()).unwrap_or(u64::MAX));
    }
    file.sync_all()
}
