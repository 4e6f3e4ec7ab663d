//! Connections to the ledger's file: how they are opened and closed, and how a batch begins on one.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::OpenError;
use super::{Store, StoreError, guard, wal};

/// Most memory that the writing connection keeps pages in, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// A writing connection with durability switched on and read back.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A handle that is given up must leave the log behind: merging and deleting it would look
    // like a log that was lost. Only a clean close merges.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(sqlite)?;
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(sqlite)?;
    // What is deleted is overwritten: names and accounts that were erased must not be found.
    connection.pragma_update(None, "secure_delete", true).map_err(sqlite)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(sqlite)?;
    // Merging is the merger's.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(sqlite)?;
    let synchronous: i64 =
        connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" || synchronous != 2 {
        return Err(OpenError::Mismatch {
            what: "durability".to_owned(),
            recorded: format!("journal_mode {mode}, synchronous {synchronous}"),
            configured: "journal_mode wal, synchronous 2".to_owned(),
            mend: "use a file system on which SQLite can keep a write-ahead log",
        });
    }
    Ok(connection)
}

/// A connection that has read the log and is left alone from then on.
pub(super) fn anchor(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|anchor| guard::meta(&anchor, "in_use").map(|_| anchor))
        .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// Begins a batch's transaction, unless it has begun. What a batch loads and what it stores see
/// the same rows, and the file is locked once.
pub(super) fn begin(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    }
    Ok(())
}

impl Store {
    /// Closes the file cleanly: the log is merged and the mark taken away.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; the log is then kept, and nothing is lost.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.merger = None;
        let connection = self.connection.take().ok_or(StoreError::Closed)?;
        drop(self.anchor.take());
        // Merged before the mark is taken away: if the disk has no room for all of it, the ledger
        // stays as one in use, with its log.
        connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?;
        guard::mark(&connection, false)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        connection.close().map_err(|(_, refused)| refused)?;
        Ok(())
    }
}

pub(super) fn broken(path: &Path, refused: StoreError) -> OpenError {
    let path = path.to_owned();
    match refused {
        StoreError::Sqlite(source) => OpenError::Sqlite { path, source },
        StoreError::Io(source) => OpenError::Io { path: wal::log_of(&path), source },
        other => OpenError::NotALedger { path, found: other.to_string() },
    }
}
