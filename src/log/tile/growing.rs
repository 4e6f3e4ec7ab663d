//! Tiles of a tree that grows: what becomes complete, and what is left at the right edge.

use super::{TILE_HEIGHT, TILE_WIDTH, Tile, TileKind};
use crate::log::tree::{Hash, NodeId};

/// The tiles at the right edge of a tree, one for every eighth level.
#[derive(Debug, Clone, Default)]
pub struct GrowingTiles {
    levels: Vec<Edge>,
}

/// The last tile of a level, while it has fewer than 256 hashes.
#[derive(Debug, Clone, Default)]
struct Edge {
    index: u64,
    hashes: Vec<u8>,
}

impl GrowingTiles {
    /// The tiles of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a subtree that has become complete, as [`crate::log::tree::Frontier::append`] tells
    /// them. Returns the tile that it fills, if it does.
    pub fn add(&mut self, node: NodeId, hash: &Hash) -> Option<(Tile, Vec<u8>)> {
        if !node.level.is_multiple_of(TILE_HEIGHT) {
            return None;
        }
        let level = node.level / TILE_HEIGHT;
        let at = usize::try_from(level).ok()?;
        if self.levels.len() <= at {
            self.levels.resize_with(at.saturating_add(1), Edge::default);
        }
        let edge = self.levels.get_mut(at)?;
        edge.index = node.index / u64::from(TILE_WIDTH);
        edge.hashes.extend_from_slice(hash.as_bytes());
        if edge.hashes.len() < Hash::BYTES.saturating_mul(TILE_WIDTH.into()) {
            return None;
        }
        let tile = Tile::new(TileKind::Hashes { level }, edge.index, TILE_WIDTH).ok()?;
        Some((tile, std::mem::take(&mut edge.hashes)))
    }

    /// The partial tiles of the tree as it is now.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, &[u8])> {
        (0..).zip(&self.levels).filter_map(|(level, edge)| {
            let width = u16::try_from(edge.hashes.len() / Hash::BYTES).ok()?;
            let tile = Tile::new(TileKind::Hashes { level }, edge.index, width).ok()?;
            Some((tile, edge.hashes.as_slice()))
        })
    }
}
