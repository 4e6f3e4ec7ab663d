//! Rows of what witnesses have cosigned.

use rusqlite::{Connection, params};

use super::StoreError;
use super::leaves::{StoredCheckpoint, position, stored_position};

/// The newest checkpoint that a witness has cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCosigned {
    /// Its verifier key.
    pub witness: String,
    /// Number of leaves.
    pub size: u64,
    /// The note, with its cosignature.
    pub note: String,
}

/// All of them, by witness.
pub(crate) fn all(connection: &Connection) -> Result<Vec<StoredCosigned>, StoreError> {
    let select = "SELECT witness, size, note FROM cosigned ORDER BY witness";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (witness, size, note) = (row.get(0)?, position(row.get(1)?)?, row.get(2)?);
        found.push(StoredCosigned { witness, size, note });
    }
    Ok(found)
}

/// Adds a cosignature to a checkpoint that is there, and remembers it as the witness's newest. A
/// witness never goes back.
pub(super) fn store(
    connection: &Connection,
    witness: &str,
    checkpoint: &StoredCheckpoint,
) -> Result<(), StoreError> {
    let size = stored_position(checkpoint.size)?;
    let update = "UPDATE checkpoint SET note = ?2 WHERE size = ?1";
    connection.prepare_cached(update)?.execute(params![size, checkpoint.note])?;
    let upsert = "INSERT INTO cosigned (witness, size, note) VALUES (?1, ?2, ?3) \
                  ON CONFLICT DO UPDATE SET size = excluded.size, note = excluded.note \
                  WHERE excluded.size >= size";
    connection.prepare_cached(upsert)?.execute(params![witness, size, checkpoint.note])?;
    Ok(())
}
