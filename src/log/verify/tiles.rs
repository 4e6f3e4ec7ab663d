//! Tiles that somebody kept, against those that the leaves give.

use super::{Fault, Finding};
use crate::log::tile::{Tile, TileKind};
use crate::log::tree::Hash;

/// Whether a tile is the one that the leaves give. At the lowest level a difference shows which
/// leaf was changed.
///
/// # Errors
/// [`Fault`]: the first hash that differs.
pub fn same_tile(tile: &Tile, kept: &[u8], computed: &[u8]) -> Result<(), Fault> {
    if kept == computed {
        return Ok(());
    }
    let path = tile.to_string();
    if kept.len() != computed.len() {
        let (found, expected) = (kept.len(), computed.len());
        return Err(Fault::of_log(Finding::TileLength { tile: path, found, expected }));
    }
    let (kept, _) = kept.as_chunks::<{ Hash::BYTES }>();
    let (computed, _) = computed.as_chunks::<{ Hash::BYTES }>();
    let differs = kept.iter().zip(computed).enumerate().find(|(_, (kept, made))| kept != made);
    let Some((at, (kept, computed))) = differs else { return Ok(()) };
    let (kept, computed) = (Hash::from_bytes(*kept), Hash::from_bytes(*computed));
    Err(match tile.kind() {
        TileKind::Hashes { level: 0 } => {
            let position = tile.start().unwrap_or(0);
            let position = position.saturating_add(u64::try_from(at).unwrap_or(0));
            Fault::at(position, Finding::LeafHash { found: computed, expected: kept, tile: path })
        }
        _ => Fault::of_log(Finding::Tile { tile: path, at, found: kept, expected: computed }),
    })
}
