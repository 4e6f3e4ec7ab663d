//! A growing tree: its right edge, and the tiles of hashes that become complete with it.

use super::tile::{NoTile, TILE_HEIGHT, TILE_WIDTH, Tile, TileKind};
use super::tree::{Frontier, FrontierError, Hash, NodeId, TreeFull, TreeHead};

/// A complete tile of 256 hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Level in tiles, 0 at the leaves.
    pub level: u32,
    /// Number within the level.
    pub number: u64,
    /// The hashes, 32 bytes each.
    pub hashes: Vec<u8>,
}

impl FullTile {
    /// Its name.
    ///
    /// # Errors
    /// [`NoTile`]: no tree has that level.
    pub fn name(&self) -> Result<Tile, NoTile> {
        Tile::new(TileKind::Hashes { level: self.level }, self.number, TILE_WIDTH)
    }
}

/// The right edge of the tree, and of each level of its tiles.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    frontier: Frontier,
    /// The hashes of the last tile of each level, as far as there are any.
    edges: Vec<Vec<Hash>>,
}

impl Growth {
    /// The growth of a tree that is known up to a head: `node` tells the hash of a complete
    /// subtree.
    ///
    /// # Errors
    /// What `node` answers; the inner error if the hashes do not give the root of the head, so
    /// that whatever is appended would contradict what was signed.
    pub fn restore<E>(
        head: TreeHead,
        mut node: impl FnMut(NodeId) -> Result<Hash, E>,
    ) -> Result<Result<Self, FrontierError>, E> {
        let subtrees: Result<_, E> = Frontier::subtrees_at(head.size).map(&mut node).collect();
        let frontier = match Frontier::restore(head, subtrees?) {
            Ok(frontier) => frontier,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut edges = Vec::new();
        // The nodes of tile level L are the subtrees of height 8 L.
        for height in (0..u64::BITS).step_by(usize::try_from(TILE_HEIGHT).unwrap_or(8)) {
            let nodes = head.size.checked_shr(height).unwrap_or(0);
            let first = nodes & !u64::from(TILE_WIDTH - 1);
            let edge = (first..nodes).map(|index| node(NodeId { level: height, index }));
            edges.push(edge.collect::<Result<_, E>>()?);
        }
        Ok(Ok(Self { frontier, edges }))
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The partial tiles at the right edge, as `c2sp.org/tlog-tiles` names them.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        (0_u32..).zip(&self.edges).filter_map(|(level, edge)| {
            let height = level.checked_mul(TILE_HEIGHT)?;
            let index = self.size().checked_shr(height).unwrap_or(0) >> TILE_HEIGHT;
            let width = u16::try_from(edge.len()).ok()?;
            let tile = Tile::new(TileKind::Hashes { level }, index, width).ok()?;
            Some((tile, edge.iter().flat_map(|hash| *hash.as_bytes()).collect()))
        })
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    /// Appends the hash of a leaf; `full` gets the tiles that are complete now.
    ///
    /// # Errors
    /// [`TreeFull`], with nothing changed.
    pub fn append(&mut self, leaf: Hash, full: &mut Vec<FullTile>) -> Result<(), TreeFull> {
        let edges = &mut self.edges;
        self.frontier.append(leaf, |node, hash| {
            if node.level.is_multiple_of(TILE_HEIGHT) {
                let level = node.level / TILE_HEIGHT;
                full.extend(place(edges, level, node.index, hash));
            }
        })
    }
}

/// Puts a hash at the end of its level's last tile; the tile, if that makes it complete.
fn place(edges: &mut Vec<Vec<Hash>>, level: u32, index: u64, hash: Hash) -> Option<FullTile> {
    let row = usize::try_from(level).ok()?;
    if edges.len() <= row {
        edges.resize_with(row.saturating_add(1), Vec::new);
    }
    let edge = edges.get_mut(row)?;
    edge.push(hash);
    if edge.len() < usize::from(TILE_WIDTH) {
        return None;
    }
    let hashes = edge.drain(..).flat_map(|hash| *hash.as_bytes()).collect();
    Some(FullTile { level, number: index >> TILE_HEIGHT, hashes })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;
    use crate::log::tile::Place;
    use crate::log::tree::tests::{grown, leaf};

    /// Tiles as a store has them, and leaves for what is to the right of them.
    struct Store {
        tiles: HashMap<(u32, u64), Vec<u8>>,
        leaves: Vec<Hash>,
    }

    impl Store {
        /// The hash of a subtree, from its leaves alone.
        fn node(&self, node: NodeId) -> Hash {
            match node.level {
                0 => self.leaves[usize::try_from(node.index).unwrap()],
                level => {
                    let half = |right| {
                        self.node(NodeId { level: level - 1, index: node.index * 2 + right })
                    };
                    Hash::of_node(&half(0), &half(1))
                }
            }
        }
    }

    #[test]
    fn a_tree_grows_alike_however_often_it_is_restored() {
        let mut store = Store { tiles: HashMap::new(), leaves: Vec::new() };
        let mut growth = Growth::default();
        for n in 0..70_000_u64 {
            // At places around the edges of tiles, and here and there.
            if n % 6_553 == 0 || [255, 256, 257, 511, 65_535, 65_536, 65_537].contains(&n) {
                let head = growth.head();
                let node = |node| Ok::<_, Infallible>(store.node(node));
                growth = Growth::restore(head, node).unwrap().unwrap();
                assert_eq!(growth.head(), head);
            }
            let leaf = Hash::of_leaf(&n.to_be_bytes());
            let mut full = Vec::new();
            growth.append(leaf, &mut full).unwrap();
            store.leaves.push(leaf);
            for tile in full {
                let kept = store.tiles.insert((tile.level, tile.number), tile.hashes);
                assert_eq!(kept, None, "each tile is complete once");
            }
        }
        assert_eq!(store.tiles.len(), 70_000 / 256 + 1);
        let place = Place::of(NodeId { level: 16, index: 0 }, 65_536 * 2).unwrap();
        let top: Vec<u8> =
            (0..256).flat_map(|index| *store.node(NodeId { level: 8, index }).as_bytes()).collect();
        assert_eq!(store.tiles[&(1, 0)], top, "{place:?}");
    }

    #[test]
    fn every_subtree_is_read_out_of_the_tile_where_it_is_looked_for() {
        let size = 66_000;
        let (frontier, nodes) = grown(size);
        let (mut growth, mut full) = (Growth::default(), Vec::new());
        (0..size).for_each(|index| growth.append(leaf(index), &mut full).unwrap());
        assert_eq!((growth.head(), growth.size()), (frontier.head(), size));
        let full = full.into_iter().map(|tile| (tile.name().unwrap(), tile.hashes));
        let tiles: HashMap<Tile, Vec<u8>> = full.chain(growth.partial()).collect();
        for path in ["tile/0/257.p/208", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"] {
            assert!(tiles.contains_key(&path.parse().unwrap()), "{path}");
        }
        assert_eq!(tiles.len(), 258 + 2 + 1);
        for (node, hash) in nodes {
            let place = Place::of(node, size).unwrap();
            assert_eq!(place.read(&tiles[&place.tile()]), Ok(hash), "{node:?}");
        }
        assert_eq!(Growth::default().partial().count(), 0);
    }

    #[test]
    fn hashes_of_another_tree_are_refused() {
        let mut growth = Growth::default();
        for n in 0..1_000_u64 {
            growth.append(Hash::of_leaf(&n.to_be_bytes()), &mut Vec::new()).unwrap();
        }
        let wrong = |node: NodeId| Ok::<_, Infallible>(Hash::of_leaf(&node.index.to_le_bytes()));
        let refused = Growth::restore(growth.head(), wrong).unwrap().unwrap_err();
        assert!(matches!(refused, FrontierError::Root { .. }));
    }
}
