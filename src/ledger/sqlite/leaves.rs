//! Rows of the log: leaves, tiles, checkpoints.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::leaf::Leaf;
use crate::domain::time::Timestamp;

use super::{StoreError, cosigned};

/// Most checkpoints that are kept; the newest, and with it every proof, always is.
const CHECKPOINTS_KEPT: i64 = 10_000;

/// A complete tile of hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTile {
    /// Level in tiles, 0 at the leaves.
    pub level: u32,
    /// Number within the level.
    pub number: u64,
    /// 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

/// A checkpoint on the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Number of leaves that it covers.
    pub size: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The signed note.
    pub note: String,
    /// Tiles that became complete with it; not read back.
    pub tiles: Vec<StoredTile>,
    /// The witness whose newest cosigned checkpoint this is, by its key; then only the note is
    /// written. Not read back.
    pub cosigned_by: Option<String>,
}

/// Number of leaves.
pub(crate) fn size(connection: &Connection) -> Result<u64, StoreError> {
    let select = "SELECT coalesce(max(position) + 1, 0) FROM leaf";
    position(connection.prepare_cached(select)?.query_row([], |row| row.get(0))?)
}

/// Appends leaves; one that stands there already is a disagreement, and nothing is committed.
pub(super) fn append(
    connection: &Connection,
    first: u64,
    leaves: &[Leaf],
) -> Result<u64, StoreError> {
    let insert = "INSERT INTO leaf (position, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(insert)?;
    let mut next = first;
    for leaf in leaves {
        if statement.execute(params![stored_position(next)?, leaf.as_str()])? != 1 {
            return Err(StoreError::Disagreement(format!("leaf {next} of the log")));
        }
        next = next.saturating_add(1);
    }
    Ok(next)
}

/// Leaves from a position on, at most so many.
pub(crate) fn read(connection: &Connection, from: u64, most: u32) -> Result<Vec<Leaf>, StoreError> {
    let select = "SELECT position, body FROM leaf WHERE position >= ?1 ORDER BY position LIMIT ?2";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![stored_position(from)?, most])?;
    let mut leaves = Vec::new();
    let mut expected = from;
    while let Some(row) = rows.next()? {
        if position(row.get(0)?)? != expected {
            return Err(StoreError::Row(format!("leaf {expected} of the log is missing")));
        }
        leaves.push(Leaf::from_stored(row.get(1)?));
        expected = expected.saturating_add(1);
    }
    Ok(leaves)
}

/// One complete tile of hashes.
pub(crate) fn tile(
    connection: &Connection,
    level: u32,
    number: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let select = "SELECT hashes FROM tile WHERE level = ?1 AND number = ?2";
    let number = stored_position(number)?;
    Ok(connection
        .prepare_cached(select)?
        .query_row(params![level, number], |row| row.get(0))
        .optional()?)
}

/// The newest checkpoint.
pub(crate) fn newest_checkpoint(
    connection: &Connection,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    Ok(checkpoints(connection, 1)?.pop())
}

/// The newest checkpoints, newest first.
pub(crate) fn checkpoints(
    connection: &Connection,
    most: u32,
) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let select = "SELECT size, made_at, note FROM checkpoint ORDER BY size DESC LIMIT ?1";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (size, made_at, note) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let made_at = Timestamp::from_unix_ms(made_at);
        let (size, tiles) = (position(size)?, Vec::new());
        found.push(StoredCheckpoint { size, made_at, note, tiles, cosigned_by: None });
    }
    Ok(found)
}

/// Writes a checkpoint and the tiles that became complete with it, or what a witness added to it.
pub(super) fn store_checkpoint(
    connection: &Connection,
    checkpoint: &StoredCheckpoint,
) -> Result<(), StoreError> {
    if let Some(witness) = &checkpoint.cosigned_by {
        return cosigned::store(connection, witness, checkpoint);
    }
    let insert = "INSERT INTO tile (level, number, hashes) VALUES (?1, ?2, ?3) \
                  ON CONFLICT DO UPDATE SET hashes = excluded.hashes \
                  WHERE hashes = excluded.hashes";
    let mut statement = connection.prepare_cached(insert)?;
    for tile in &checkpoint.tiles {
        let number = stored_position(tile.number)?;
        if statement.execute(params![tile.level, number, tile.hashes])? != 1 {
            let what = format!("tile {} of level {} of the log", tile.number, tile.level);
            return Err(StoreError::Disagreement(what));
        }
    }
    let upsert = "INSERT INTO checkpoint (size, made_at, note) VALUES (?1, ?2, ?3) \
                  ON CONFLICT DO UPDATE SET made_at = excluded.made_at, note = excluded.note";
    let size = stored_position(checkpoint.size)?;
    connection.prepare_cached(upsert)?.execute(params![
        size,
        checkpoint.made_at.unix_ms(),
        checkpoint.note
    ])?;
    let forget = "DELETE FROM checkpoint WHERE size < (SELECT size FROM checkpoint \
                  ORDER BY size DESC LIMIT 1 OFFSET ?1)";
    connection.prepare_cached(forget)?.execute([CHECKPOINTS_KEPT])?;
    Ok(())
}

pub(super) fn position(found: i64) -> Result<u64, StoreError> {
    u64::try_from(found).map_err(|_| StoreError::Row(format!("found the position {found}")))
}

pub(super) fn stored_position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position)
        .map_err(|_| StoreError::Row(format!("position {position} exceeds 63 bits")))
}
