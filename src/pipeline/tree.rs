//! The log's tree as the ledger holds it: complete tiles as rows, the rest made from leaves.

use crate::domain::leaf::Leaf;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::StoreError;
use crate::log::proof::{self, BuildError};
use crate::log::receipt::ProvenLeaf;
use crate::log::tile::{Place, TILE_HEIGHT, TILE_WIDTH, Tile, TileKind, bundle};
use crate::log::tree::{Hash, NodeId};

/// The tree of the first `size` leaves, whose complete tiles are on the record.
pub(super) struct Tree<'a> {
    reader: &'a Reader,
    size: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(reader: &'a Reader, size: u64) -> Self {
        Self { reader, size }
    }

    /// The bytes of a tile or an entry bundle; `None` for one that reaches beyond the tree.
    pub(super) fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, StoreError> {
        if !tile.is_within(self.size) {
            return Ok(None);
        }
        match tile.kind() {
            TileKind::Hashes { level } => self.hashes(level, tile.index(), tile.width()).map(Some),
            TileKind::Entries => {
                let leaves = self.leaves(tile.index(), tile.width())?;
                let entries: Vec<&str> = leaves.iter().map(Leaf::as_str).collect();
                bundle::encode(&entries).map(Some).map_err(|e| StoreError::Row(e.to_string()))
            }
        }
    }

    /// The hash of a complete subtree.
    pub(super) fn node(&self, node: NodeId) -> Result<Hash, StoreError> {
        let missing = || StoreError::Row(format!("the log has no subtree {node:?}"));
        let place = Place::of(node, self.size).ok_or_else(missing)?;
        let tile = self.tile(&place.tile())?.ok_or_else(missing)?;
        place.read(&tile).map_err(|refused| StoreError::Row(refused.to_string()))
    }

    /// The root.
    pub(super) fn root(&self) -> Result<Hash, StoreError> {
        proof::root_at(self.size, |node| self.node(node))
    }

    /// The proof that a leaf is in the tree.
    pub(super) fn inclusion(&self, position: u64) -> Result<Vec<Hash>, StoreError> {
        proof::inclusion(position, self.size, |node| self.node(node)).map_err(unproven)
    }

    /// The proof that the tree begins with the first `first` leaves of it, at least one.
    pub(super) fn consistency(&self, first: u64) -> Result<Vec<Hash>, StoreError> {
        proof::consistency(first, self.size, |node| self.node(node)).map_err(unproven)
    }

    /// A leaf with the proof that it is in the tree.
    pub(super) fn proven(&self, position: u64) -> Result<ProvenLeaf, StoreError> {
        let leaf = self.reader.leaves(position, 1)?.pop();
        let leaf = leaf.ok_or_else(|| StoreError::Row(format!("leaf {position} is missing")))?;
        let (leaf, proof) = (leaf.as_str().to_owned(), self.inclusion(position)?);
        Ok(ProvenLeaf { position, leaf, proof })
    }

    fn hashes(&self, level: u32, number: u64, width: u16) -> Result<Vec<u8>, StoreError> {
        if let Some(mut stored) = self.reader.tile(level, number)? {
            stored.truncate(usize::from(width).saturating_mul(Hash::BYTES));
            return Ok(stored);
        }
        let Some(below) = level.checked_sub(1) else {
            let leaves = self.leaves(number, width)?;
            let hashes = leaves.iter().map(|leaf| Hash::of_leaf(leaf.as_str().as_bytes()));
            return Ok(hashes.flat_map(|hash| *hash.as_bytes()).collect());
        };
        let first = number.saturating_mul(u64::from(TILE_WIDTH));
        let mut hashes = Vec::with_capacity(usize::from(width).saturating_mul(Hash::BYTES));
        for child in first..first.saturating_add(u64::from(width)) {
            let stored = self.reader.tile(below, child)?.ok_or_else(|| {
                StoreError::Row(format!("tile {child} of level {below} of the log is missing"))
            })?;
            hashes.extend_from_slice(root_of(&stored)?.as_bytes());
        }
        Ok(hashes)
    }

    fn leaves(&self, number: u64, width: u16) -> Result<Vec<Leaf>, StoreError> {
        let first = number.saturating_mul(u64::from(TILE_WIDTH));
        let leaves = self.reader.leaves(first, u32::from(width))?;
        match leaves.len() == usize::from(width) {
            true => Ok(leaves),
            false => Err(StoreError::Row(format!("leaves after {first} of the log are missing"))),
        }
    }
}

fn unproven(refused: BuildError<StoreError>) -> StoreError {
    match refused {
        BuildError::Node(source) => source,
        other => StoreError::Row(other.to_string()),
    }
}

/// The hash over a complete tile.
fn root_of(tile: &[u8]) -> Result<Hash, StoreError> {
    let wrong = || StoreError::Row("a tile of the log is not whole".to_owned());
    let mut hashes: Vec<Hash> = tile
        .chunks(Hash::BYTES)
        .map(|chunk| chunk.try_into().map(Hash::from_bytes))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    for _ in 0..TILE_HEIGHT {
        let pairs = hashes.chunks(2).map(|pair| match pair {
            [left, right] => Ok(Hash::of_node(left, right)),
            _ => Err(wrong()),
        });
        hashes = pairs.collect::<Result<_, _>>()?;
    }
    match hashes.as_slice() {
        [root] => Ok(*root),
        _ => Err(wrong()),
    }
}
