//! What is checked before a ledger is used, and how one is made. Refuses rather than repairs.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::super::OpenError;
use super::wal::{HEADER_BYTES, log_of};
use super::{APPLICATION_ID, SCHEMA, clock, connect};
use crate::domain::credit::{Base, Mark, Reading};

/// First bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether a ledger may be created: there is neither one nor the log of one.
///
/// # Errors
/// [`OpenError::Exists`] or [`OpenError::LogOfLost`].
pub fn check_absent(path: &Path) -> Result<(), OpenError> {
    if path.exists() {
        return Err(OpenError::Exists(path.to_owned()));
    }
    // SQLite would replay the log of a lost ledger into the new one.
    if log_of(path).exists() {
        return Err(OpenError::LogOfLost(path.to_owned()));
    }
    Ok(())
}

/// Creates an empty ledger, durable when this returns. Never overwrites one.
///
/// # Errors
/// [`OpenError::Exists`], [`OpenError::Io`] or [`OpenError::Sqlite`].
pub fn create(
    path: &Path,
    issuer: &str,
    ledger_id: &str,
    reading: &Reading,
) -> Result<(), OpenError> {
    let now = reading.wall;
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    check_absent(path)?;
    // Made under another name and moved, so that a crash leaves no half ledger behind.
    let draft = path.with_extension("draft");
    drop(std::fs::remove_file(&draft));
    File::options().create_new(true).write(true).mode(0o600).open(&draft).map_err(io)?;
    let connection =
        Connection::open_with_flags(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    connection.execute_batch("PRAGMA synchronous = FULL; BEGIN").map_err(sqlite)?;
    for part in [
        include_str!("schema.sql"),
        include_str!("statements.sql"),
        include_str!("cosigned.sql"),
        include_str!("closing.sql"),
        include_str!("deliveries.sql"),
    ] {
        connection.execute_batch(part).map_err(sqlite)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    connection.pragma_update(None, "user_version", SCHEMA).map_err(sqlite)?;
    for (name, value) in [
        ("issuer", issuer),
        ("ledger_id", ledger_id),
        ("created_at", &now.to_string()),
        ("in_use", "no"),
    ] {
        let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
        connection.execute(insert, params![name, value]).map_err(sqlite)?;
    }
    connection
        .execute("INSERT INTO clock (only, newest_unix_ms) VALUES (1, ?1)", [now.unix_ms()])
        .map_err(sqlite)?;
    let base = Some(Base { reading: reading.clone(), before: now });
    clock::store(&connection, &Mark { newest: now, base }).map_err(sqlite)?;
    connection.execute_batch("COMMIT").map_err(sqlite)?;
    connection.close().map_err(|(_, source)| sqlite(source))?;
    std::fs::rename(&draft, path).map_err(io)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    // The first connection switches the file to its write-ahead log for good.
    connect(path).map(drop)
}

/// Checks the file before SQLite may touch it.
pub(super) fn check_file(path: &Path) -> Result<(), OpenError> {
    let mut start = [0_u8; 16];
    let read = match File::open(path) {
        Ok(mut file) => file.read_exact(&mut start),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
    };
    if read.is_err() || start != *MAGIC {
        let found = "its first bytes are not those of an SQLite file".to_owned();
        return Err(OpenError::NotALedger { path: path.to_owned(), found });
    }
    Ok(())
}

/// Checks application, schema, mark and issuer.
pub(super) fn check_contents(
    path: &Path,
    connection: &Connection,
    issuer: &str,
) -> Result<(), OpenError> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let not_a_ledger = |found: String| OpenError::NotALedger { path: path.to_owned(), found };
    let application =
        number("PRAGMA application_id").map_err(|refused| not_a_ledger(refused.to_string()))?;
    if application != APPLICATION_ID {
        return Err(not_a_ledger(format!("its application id is {application:#x}")));
    }
    let schema = number("PRAGMA user_version").map_err(|e| not_a_ledger(e.to_string()))?;
    if schema > SCHEMA {
        let path = path.to_owned();
        return Err(OpenError::NewerSchema { path, found: schema, known: SCHEMA });
    }
    if schema < SCHEMA {
        return Err(not_a_ledger(format!("its schema is {schema}")));
    }
    let recorded = meta(connection, "issuer").map_err(|e| not_a_ledger(e.to_string()))?;
    if recorded != issuer {
        return Err(OpenError::Mismatch {
            what: "the issuer".to_owned(),
            recorded,
            configured: issuer.to_owned(),
            mend: "put the recorded issuer back, or make a new ledger for a new installation",
        });
    }
    Ok(())
}

/// Refuses a ledger that was in use when its write-ahead log disappeared. Must run before a
/// connection is opened, because opening one creates an empty log.
pub(super) fn check_log(path: &Path) -> Result<(), OpenError> {
    if has_log(path) {
        return Ok(());
    }
    let in_use = mark_in_file(path).map_err(|refused| OpenError::NotALedger {
        path: path.to_owned(),
        found: refused.to_string(),
    })?;
    match in_use.as_str() {
        "no" => Ok(()),
        _ => Err(OpenError::InUseWithoutLog(path.to_owned())),
    }
}

/// Device and number of a file: what a name cannot tell.
pub(super) type FileId = (u64, u64);

pub(super) fn file_id(path: &Path) -> Result<FileId, OpenError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino())),
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {
            Err(OpenError::Missing(path.to_owned()))
        }
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Whether the file and the log that a daemon has in use still lie in their places. SQLite goes by
/// names: it would take another file together with this one's log.
pub(super) fn check_presence(path: &Path, expected: FileId) -> Result<(), OpenError> {
    if file_id(path)? != expected {
        return Err(OpenError::Swapped(path.to_owned()));
    }
    has_log(path).then_some(()).ok_or_else(|| OpenError::InUseWithoutLog(path.to_owned()))
}

/// A log of no more than its header says nothing: whoever reads the file leaves an empty one.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > HEADER_BYTES)
}

/// What the mark says to whoever has the file without its log.
fn mark_in_file(path: &Path) -> rusqlite::Result<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(immutable_uri(path), flags)
        .and_then(|connection| meta(&connection, "in_use"))
}

/// Whether nobody takes the file without its log: it says that it is in use, or it was half merged
/// when the disk failed. Must run before a connection is opened, because the descriptor that is
/// closed here gives away every lock that this process has on the file (POSIX fcntl).
pub(super) fn is_marked(path: &Path) -> bool {
    match mark_in_file(path) {
        Ok(mark) => mark == "yes",
        Err(refused) => refused.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
    }
}

/// Marks the ledger as in use and merges the mark into the main file, where a copy without log
/// shows it; unless it stands there already, since a full disk might refuse the merger.
pub(super) fn mark_in_use(connection: &Connection, is_marked: bool) -> rusqlite::Result<()> {
    if meta(connection, "in_use")? != "yes" {
        mark(connection, true)?;
    }
    match is_marked {
        true => Ok(()),
        false => connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())),
    }
}

/// Sets the mark.
pub(super) fn mark(connection: &Connection, in_use: bool) -> rusqlite::Result<()> {
    let value = if in_use { "yes" } else { "no" };
    connection.execute("UPDATE meta SET value = ?1 WHERE name = 'in_use'", [value]).map(drop)
}

/// The file as an SQLite URI that promises that nobody writes to it.
pub(super) fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}
