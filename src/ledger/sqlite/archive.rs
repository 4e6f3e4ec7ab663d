//! Archives: files that payments are moved to, whole, once no limit looks back to them.
//!
//! An archive is an SQLite file with the table `payment` of the ledger and a header. It is written,
//! synced and read back before the ledger gives up a single row, and the commit that does puts the
//! digest of the file on the log. A payment is in the ledger, in the synced archive, or in both.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rusqlite::{Connection, OpenFlags, params};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use crate::domain::credit::{Mark, Reading, credit};
use crate::domain::leaf::{Archived, Event, Leaf};
use crate::domain::ledger::{Closing, PaymentRecord};
use crate::domain::time::{Duration, Timestamp};

use super::super::OpenError;
use super::closing::{archives, close, lapsed};
use super::leaves::{position, stored_position};
use super::{Store, StoreError, begin, broken, clock, guard, leaves, payments};

/// `PRAGMA application_id` of an archive: "Csga".
const APPLICATION_ID: i64 = 0x4373_6761;
/// Schema of archives, their first version.
const SCHEMA: i64 = 1;
/// Payments that are read at a time.
const CHUNK: usize = 1_000;
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 16;
/// Which payments of the ledger are moved: `?1` is the instant, `?2` the most. Those that people
/// were asked about stay, with what they signed, until they are erased.
const DUE: &str = "SELECT * FROM ledger.payment WHERE rowid < coalesce((SELECT rowid FROM \
    ledger.payment WHERE accepted_at > ?1 ORDER BY rowid LIMIT 1), 9223372036854775807) \
    AND state IN ('denied', 'posted', 'voided') AND coalesce(outcome_at, accepted_at) <= ?1 \
    AND tier IS NULL \
    ORDER BY rowid LIMIT ?2";

/// What is to be archived.
#[derive(Debug, Clone)]
pub struct ToArchive {
    /// The file to write; nothing is overwritten.
    pub file: PathBuf,
    /// Payments that have been final for so long.
    pub archive_after: Duration,
    /// How long end-to-end ids stay taken.
    pub duplicate_window: Duration,
    /// Most payments.
    pub most: u32,
}

/// An archive, open for reading. Nothing is ever written to it.
pub struct ArchiveFile {
    path: PathBuf,
    connection: Connection,
    /// Identifier of the ledger that it is of.
    pub ledger_id: String,
    /// Its number in that ledger.
    pub number: u64,
    /// How many payments it holds.
    pub payments: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl Store {
    /// Moves payments that have been final for long to a new file; `None` if none are due. To be
    /// called before the writer starts.
    ///
    /// # Errors
    /// [`OpenError`]; the ledger is then as it was, and a file that was written is told.
    pub fn archive(
        &mut self,
        reading: &Reading,
        asked: &ToArchive,
    ) -> Result<Option<Archived>, OpenError> {
        let (now, mark) = credit(&self.mark, reading).map_err(OpenError::Clock)?;
        let before = now.minus(asked.archive_after);
        let number = self.next_archive().map_err(|refused| broken(&self.path, refused))?;
        if write(self, asked, number, before)? == 0 {
            return Ok(None);
        }
        let file = ArchiveFile::open(&asked.file)?;
        let moved = self.give_up(&file, asked, before, &mark).map_err(|refused| {
            OpenError::NotArchived { file: asked.file.clone(), found: refused.to_string() }
        })?;
        self.mark = mark;
        Ok(Some(moved))
    }

    fn next_archive(&mut self) -> Result<u64, StoreError> {
        let known = archives(self.connection()?)?;
        Ok(known.last().map_or(1, |last| last.number.saturating_add(1)))
    }

    /// One commit: the rows go, the stubs and the leaf with the digest of the file come.
    fn give_up(
        &mut self,
        file: &ArchiveFile,
        asked: &ToArchive,
        before: Timestamp,
        mark: &Mark,
    ) -> Result<Archived, StoreError> {
        let now = mark.newest;
        let (first, last) = file.range()?;
        let moved = Archived {
            archive: file.number,
            sha256: file.sha256.clone(),
            payments: file.payments,
            before,
            first,
            last,
        };
        let leaf = Leaf::of_event(now, &Event::Archived(moved.clone()));
        let (place, lapsed) = (self.log_size, lapsed(now, asked.duplicate_window));
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        begin(connection)?;
        let log_size = leaves::append(connection, place, std::slice::from_ref(&leaf))?;
        let (mut after, mut closed) = (0, 0_u64);
        loop {
            let chunk = file.history(after, CHUNK)?;
            let Some((row, _)) = chunk.last() else { break };
            after = *row;
            for (_, record) in &chunk {
                let closing = Closing::of(record, before)
                    .ok_or_else(|| StoreError::Row(format!("payment {} is not due", record.id)))?;
                close(connection, place, lapsed, std::slice::from_ref(&closing))?;
                closed = closed.saturating_add(1);
            }
        }
        if closed != file.payments {
            return Err(StoreError::Row(format!("it holds {closed} of {}", file.payments)));
        }
        let insert = "INSERT INTO archive (number, leaf, file, payments, made_at) \
                      VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.execute(
            insert,
            params![
                stored_position(file.number)?,
                stored_position(place)?,
                file.path.to_string_lossy(),
                stored_position(file.payments)?,
                now.unix_ms(),
            ],
        )?;
        clock::store(connection, mark)?;
        connection.execute_batch("COMMIT")?;
        self.log_size = log_size;
        Ok(moved)
    }
}

/// Writes the file under another name, syncs it and gives it its own; how many payments it has.
fn write(
    store: &Store,
    asked: &ToArchive,
    number: u64,
    before: Timestamp,
) -> Result<u64, OpenError> {
    let file = &asked.file;
    let io = |source| OpenError::Io { path: file.clone(), source };
    if file.exists() {
        return Err(OpenError::FileExists(file.clone()));
    }
    let draft = file.with_extension("draft");
    drop(std::fs::remove_file(&draft));
    File::options().create_new(true).write(true).mode(0o600).open(&draft).map_err(io)?;
    let written = fill(&draft, store, asked, number, before)
        .map_err(|refused| broken(&draft, refused))
        .and_then(|payments| {
            if payments > 0 {
                File::open(&draft).and_then(|draft| draft.sync_all()).map_err(io)?;
                renameat_with(CWD, &draft, CWD, file, RenameFlags::NOREPLACE)
                    .map_err(|refused| io(refused.into()))?;
                let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = directory.unwrap_or(Path::new("."));
                File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
            }
            Ok(payments)
        });
    drop(std::fs::remove_file(&draft));
    written
}

fn fill(
    draft: &Path,
    store: &Store,
    asked: &ToArchive,
    number: u64,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(draft, flags)?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA)?;
    connection.execute("ATTACH ?1 AS ledger", [store.path.to_string_lossy()])?;
    let table = "SELECT sql FROM ledger.sqlite_master WHERE type = 'table' AND name = 'payment'";
    let table: String = connection.query_row(table, [], |row| row.get(0))?;
    connection
        .execute_batch("BEGIN; CREATE TABLE header (ledger_id TEXT, number INTEGER) STRICT")?;
    connection.execute_batch(&table)?;
    let copy = format!("INSERT INTO main.payment {DUE}");
    let payments = connection.execute(&copy, params![before.unix_ms(), asked.most])?;
    let header = "INSERT INTO header (ledger_id, number) VALUES (?1, ?2)";
    connection.execute(header, params![store.ledger_id, stored_position(number)?])?;
    connection.execute_batch("COMMIT; DETACH ledger")?;
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Row(found));
    }
    connection.close().map_err(|(_, refused)| refused)?;
    Ok(u64::try_from(payments).unwrap_or(u64::MAX))
}

impl ArchiveFile {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`OpenError::NotAnArchive`] if it is none, [`OpenError::Io`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let none = |found: String| OpenError::NotAnArchive { path: path.to_owned(), found };
        let sha256 = digest(path).map_err(io)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let opened = Connection::open_with_flags(guard::immutable_uri(path), flags);
        let connection = opened.map_err(|refused| none(refused.to_string()))?;
        let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let kind = number("PRAGMA application_id").map_err(|refused| none(refused.to_string()))?;
        if kind != APPLICATION_ID {
            return Err(none(format!("its application id is {kind:#x}")));
        }
        let schema = number("PRAGMA user_version").map_err(|refused| none(refused.to_string()))?;
        if schema != SCHEMA {
            return Err(none(format!("its schema is {schema}; this release knows {SCHEMA}")));
        }
        let header = "SELECT ledger_id, number, (SELECT count(*) FROM payment) FROM header";
        let header = connection.query_row(header, [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        let (ledger_id, number, payments) = header.map_err(|refused| none(refused.to_string()))?;
        let number = position(number).map_err(|refused| none(refused.to_string()))?;
        let payments = position(payments).map_err(|refused| none(refused.to_string()))?;
        Ok(Self { path: path.to_owned(), connection, ledger_id, number, payments, sha256 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Payments in the order in which they were decided upon, after the row of one of them; 0 for
    /// the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(
        &self,
        after: i64,
        most: usize,
    ) -> Result<Vec<(i64, PaymentRecord)>, StoreError> {
        payments::history(&self.connection, after, most)
    }

    /// Positions of the first and the last decision on its payments.
    fn range(&self) -> Result<(u64, u64), StoreError> {
        let select = "SELECT coalesce(min(leaf), 0), coalesce(max(leaf), 0) FROM payment";
        let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (first, last) = self.connection.query_row(select, [], found)?;
        Ok((position(first)?, position(last)?))
    }
}

/// SHA-256 of a file, in hexadecimal.
fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            read => hash.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}
