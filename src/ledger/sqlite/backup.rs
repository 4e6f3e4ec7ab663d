//! A copy of a ledger that may be in use: whole, closed, and checked before it has its name.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::OpenError;
use super::guard;

/// Writes a copy of the ledger as it stands at one instant. The daemon goes on meanwhile.
///
/// # Errors
/// [`OpenError::Exists`] if something has that name; [`OpenError::NotALedger`] if the copy is not
/// sound, which then is removed; [`OpenError::Sqlite`] and [`OpenError::Io`].
pub fn backup(ledger: &Path, to: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: ledger.to_owned(), source };
    let io = |source| OpenError::Io { path: to.to_owned(), source };
    if to.exists() {
        return Err(OpenError::Exists(to.to_owned()));
    }
    let draft = to.with_extension("draft");
    drop(std::fs::remove_file(&draft));
    // Made by us, so that nobody else can read it; SQLite writes into an empty file.
    File::options().create_new(true).write(true).mode(0o600).open(&draft).map_err(io)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(ledger, flags).map_err(sqlite)?;
    let name = draft.to_string_lossy();
    source.execute("VACUUM INTO ?1", [name.as_ref()]).map_err(sqlite)?;
    let closed = close(&draft).and_then(|()| {
        File::open(&draft).and_then(|file| file.sync_all()).map_err(io)?;
        std::fs::rename(&draft, to).map_err(io)?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
    });
    if closed.is_err() {
        drop(std::fs::remove_file(&draft));
    }
    closed
}

/// Takes the mark of use from the copy, and has SQLite look at every page of it.
fn close(copy: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: copy.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(sqlite)?;
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(sqlite)?;
    guard::mark(&connection, false).map_err(sqlite)?;
    let found: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(sqlite)?;
    match found.as_str() {
        "ok" => connection.close().map_err(|(_, source)| sqlite(source)),
        _ => Err(OpenError::NotALedger { path: copy.to_owned(), found }),
    }
}
