//! What is checked before a ledger is used, and how one is made. Refuses rather than repairs.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::super::OpenError;
use super::{APPLICATION_ID, SCHEMA, clock, connect};
use crate::domain::credit::{Base, Mark, Reading};

/// Size of the header of a write-ahead log, in bytes (SQLite file format, section 4.1).
const LOG_HEADER_BYTES: u64 = 32;
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
    connection.execute_batch(include_str!("schema.sql")).map_err(sqlite)?;
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
    // A log of no more than its header says nothing: whoever reads the file leaves an empty one.
    if std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > LOG_HEADER_BYTES) {
        return Ok(());
    }
    let uri = immutable_uri(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let in_use = Connection::open_with_flags(uri, flags)
        .and_then(|connection| meta(&connection, "in_use"))
        .map_err(|refused| OpenError::NotALedger {
            path: path.to_owned(),
            found: refused.to_string(),
        })?;
    match in_use.as_str() {
        "no" => Ok(()),
        _ => Err(OpenError::InUseWithoutLog(path.to_owned())),
    }
}

/// Sets the mark and merges it into the main file, where a copy without log would show it.
pub(super) fn mark_in_use(connection: &Connection, in_use: bool) -> rusqlite::Result<()> {
    let value = if in_use { "yes" } else { "no" };
    connection.execute("UPDATE meta SET value = ?1 WHERE name = 'in_use'", [value])?;
    connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))
}

/// The write-ahead log of a ledger.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// The file as an SQLite URI that promises that nobody writes to it.
fn immutable_uri(path: &Path) -> String {
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
