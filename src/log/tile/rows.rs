//! The hashes of a growing tree, laid out in tiles: what a log publishes, and what whoever checks
//! one compares with.

use super::{TILE_HEIGHT, Tile, TileKind};
use crate::log::tree::{Frontier, Hash, TreeFull, TreeHead};

/// The right edge of a tree, and of each level of its tiles. Its size does not depend on the
/// tree's: at most 255 hashes a level.
#[derive(Debug, Clone, Default)]
pub struct TileRows {
    frontier: Frontier,
    /// The hashes of the last tile of each level that is not full.
    edges: Vec<Vec<Hash>>,
}

impl TileRows {
    /// The rows of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    /// Appends the hash of a leaf; `full` is given each tile that is full now, with its bytes.
    ///
    /// # Errors
    /// [`TreeFull`], with nothing changed.
    pub fn append(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(Tile, Vec<u8>),
    ) -> Result<(), TreeFull> {
        let edges = &mut self.edges;
        self.frontier.append(leaf, |node, hash| {
            if !node.level.is_multiple_of(TILE_HEIGHT) {
                return;
            }
            let level = node.level / TILE_HEIGHT;
            let Ok(row) = usize::try_from(level) else { return };
            if edges.len() <= row {
                edges.resize_with(row.saturating_add(1), Vec::new);
            }
            let Some(edge) = edges.get_mut(row) else { return };
            edge.push(hash);
            let index = node.index.checked_shr(TILE_HEIGHT).unwrap_or(0);
            if let Some(tile) = tile(level, index, edge).filter(|tile| !tile.is_partial()) {
                full(tile, bytes(edge));
                edge.clear();
            }
        })
    }

    /// The partial tiles at the right edge, lowest level first, with their bytes.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        let size = self.frontier.size();
        (0..).zip(&self.edges).filter_map(move |(level, edge)| {
            let hashes = size.checked_shr(TILE_HEIGHT.saturating_mul(level)).unwrap_or(0);
            let index = hashes.checked_shr(TILE_HEIGHT).unwrap_or(0);
            Some((tile(level, index, edge)?, bytes(edge)))
        })
    }
}

fn tile(level: u32, index: u64, hashes: &[Hash]) -> Option<Tile> {
    let width = u16::try_from(hashes.len()).ok()?;
    Tile::new(TileKind::Hashes { level }, index, width).ok()
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::tile::Place;
    use crate::log::tree::NodeId;
    use crate::log::tree::tests::{grown, leaf};

    #[test]
    fn every_subtree_is_read_out_of_the_tile_where_it_is_looked_for() {
        let size = 66_000;
        let (frontier, nodes) = grown(size);
        let (mut rows, mut tiles) = (TileRows::new(), BTreeMap::new());
        for index in 0..size {
            let once = |tile, bytes| assert_eq!(tiles.insert(tile, bytes), None, "{tile}");
            rows.append(leaf(index), once).unwrap();
        }
        assert_eq!(rows.head(), frontier.head());
        tiles.extend(rows.partial());
        assert!(tiles.contains_key(&"tile/0/257.p/208".parse().unwrap()));
        assert!(tiles.contains_key(&"tile/1/000".parse().unwrap()));
        assert!(tiles.contains_key(&"tile/2/000.p/1".parse().unwrap()));
        for (node, hash) in nodes {
            let place = Place::of(node, size).unwrap();
            assert_eq!(place.read(&tiles[&place.tile()]), Ok(hash), "{node:?}");
        }
        assert_eq!(Place::of(NodeId { level: 17, index: 0 }, size), None);
    }

    #[test]
    fn a_tree_without_leaves_has_no_tiles() {
        assert_eq!(TileRows::new().partial().count(), 0);
        assert_eq!(TileRows::new().head(), TreeHead::EMPTY);
    }
}
