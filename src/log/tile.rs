//! Tiles and entry bundles: a tree as files that never change (`c2sp.org/tlog-tiles`).
//!
//! A tile holds up to 256 hashes that stand side by side at every eighth level. Everything between
//! is hashed from them, so a proof needs a tile for eight levels.

use std::fmt;
use std::str::FromStr;

use super::checkpoint::decimal;

pub mod bundle;
mod place;

#[cfg(test)]
mod tests;

pub use place::{Place, TileError};

/// Hashes or entries in a full tile.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree from one level of tiles to the next.
pub const TILE_HEIGHT: u32 = 8;
/// Highest level of tiles that has a path. Trees of 64-bit sizes end at level 7.
pub const TILE_LEVEL_MAX: u32 = 63;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of subtrees of 256^level leaves.
    Hashes {
        /// Level of the tile, 0 to [`TILE_LEVEL_MAX`].
        level: u32,
    },
    /// The entries themselves, see [`bundle`].
    Entries,
}

impl TileKind {
    /// Hashes or entries of this kind in a tree of `size` leaves.
    fn count_in(self, size: u64) -> u64 {
        let level = match self {
            Self::Hashes { level } => level,
            Self::Entries => 0,
        };
        size.checked_shr(level.saturating_mul(TILE_HEIGHT)).unwrap_or(0)
    }
}

/// Not the path of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile, such as tile/0/x001/234.p/5 or tile/entries/000")]
pub struct NoTile;

/// The name of a tile or entry bundle, full or partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl Tile {
    /// Names a tile of 1 to 256 hashes or entries.
    ///
    /// # Errors
    /// [`NoTile`]: no such width or level.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, NoTile> {
        let has_level = !matches!(kind, TileKind::Hashes { level: 64.. });
        let is_tile = has_level && (1..=TILE_WIDTH).contains(&width);
        is_tile.then_some(Self { kind, index, width }).ok_or(NoTile)
    }

    /// The tile at this place as wide as it is in a tree of `size` leaves; `None` if it is empty.
    pub fn at(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(TILE_WIDTH.into())?;
        let width = kind.count_in(size).checked_sub(before)?.min(TILE_WIDTH.into());
        Self::new(kind, index, u16::try_from(width).ok()?).ok()
    }

    /// Hashes or entries.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Position among the tiles of this kind, from the left, counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it has fewer than 256.
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }

    /// Whether all that it has is there in a tree of `size` leaves.
    pub fn is_within(&self, size: u64) -> bool {
        Self::at(self.kind, self.index, size).is_some_and(|tile| self.width <= tile.width)
    }

    /// Position of its first hash or entry among all of its kind; `None` if no tree is so large.
    pub fn start(&self) -> Option<u64> {
        self.index.checked_mul(TILE_WIDTH.into())
    }
}

impl fmt::Display for Tile {
    /// The path below the prefix of the log, without a leading slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => write!(f, "tile/entries/")?,
        }
        let (mut groups, mut rest) = (vec![self.index % 1000], self.index / 1000);
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (position, group) in groups.iter().enumerate().rev() {
            // An x marks a folder, so that no file is called like one.
            let (mark, slash) = if position > 0 { ("x", "/") } else { ("", "") };
            write!(f, "{mark}{group:03}{slash}")?;
        }
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for Tile {
    type Err = NoTile;

    /// Reads a path as [`fmt::Display`] writes it. One tile has one path.
    fn from_str(path: &str) -> Result<Self, NoTile> {
        let tile = parse(path).ok_or(NoTile)?;
        // What reads as the same number in other digits is another path.
        if tile.to_string() == path { Ok(tile) } else { Err(NoTile) }
    }
}

fn parse(path: &str) -> Option<Tile> {
    let (kind, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes { level: u32::try_from(decimal(level)?).ok()? },
    };
    let (index, width) = match place.split_once(".p/") {
        Some((index, width)) => (index, u16::try_from(decimal(width)?).ok()?),
        None => (place, TILE_WIDTH),
    };
    let index = index.split('/').try_fold(0_u64, |index, element| {
        let group: u64 = element.trim_start_matches('x').parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    });
    Tile::new(kind, index?, width).ok()
}
