//! Where the hash of a subtree lies: in which tile, and which part of it.

use super::{TILE_HEIGHT, TILE_WIDTH, Tile, TileKind};
use crate::log::tree::{Hash, NodeId};

/// Why the bytes of a tile are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not whole hashes, or more than a tile has.
    #[error("the tile has {bytes} bytes; expected 1 to {TILE_WIDTH} hashes of 32 bytes")]
    Length {
        /// Bytes that were given.
        bytes: usize,
    },
    /// Fewer hashes than the tile's width.
    #[error("the tile has {found} hashes; expected {expected}")]
    TooNarrow {
        /// Hashes that were given.
        found: usize,
        /// Width of the tile.
        expected: u16,
    },
}

/// The part of a tile from which the hash of a subtree is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    tile: Tile,
    first: usize,
    count: usize,
}

impl Place {
    /// Where the hash of a complete subtree lies in a tree of `size` leaves. `None` if the subtree
    /// is not complete there.
    ///
    /// The tile is named as wide as it is in that tree; the log must serve it if it has published
    /// a checkpoint of that size.
    pub fn of(node: NodeId, size: u64) -> Option<Self> {
        if !node.is_complete_in(size) {
            return None;
        }
        let (level, above) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
        // A subtree `above` levels over the hashes of the tile is made from 2^above of them.
        let count = 1_usize.checked_shl(above)?;
        let index = node.index.checked_shr(TILE_HEIGHT.checked_sub(above)?)?;
        // The eight low bits are right even if the high ones are shifted out.
        let first = node.index.checked_shl(above)? & 0xff;
        let tile = Tile::at(TileKind::Hashes { level }, index, size)?;
        Some(Self { tile, first: usize::try_from(first).ok()?, count })
    }

    /// The tile to fetch.
    pub fn tile(&self) -> Tile {
        self.tile
    }

    /// Reads the hash out of the bytes of the tile, or of a wider one at the same index: a log may
    /// have dropped the partial tile once the full one was there.
    ///
    /// # Errors
    /// [`TileError`]: bytes that cannot be this tile.
    pub fn read(&self, bytes: &[u8]) -> Result<Hash, TileError> {
        let (hashes, rest) = bytes.as_chunks();
        if !rest.is_empty() || hashes.is_empty() || hashes.len() > usize::from(TILE_WIDTH) {
            return Err(TileError::Length { bytes: bytes.len() });
        }
        let expected = self.tile.width();
        let narrow = TileError::TooNarrow { found: hashes.len(), expected };
        if hashes.len() < usize::from(expected) {
            return Err(narrow);
        }
        let part = self.first..self.first.saturating_add(self.count);
        let part = hashes.get(part).ok_or(narrow)?;
        Ok(joined(part.iter().copied().map(Hash::from_bytes).collect()))
    }
}

/// The hash over a power of two of hashes.
fn joined(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks();
        hashes = pairs.iter().map(|[left, right]| Hash::of_node(left, right)).collect();
    }
    hashes.first().copied().unwrap_or(Hash::EMPTY_ROOT)
}
