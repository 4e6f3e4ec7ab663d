//! An export as a directory: a checkpoint, and tiles of leaves and hashes (`c2sp.org/tlog-tiles`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::log::checkpoint::Checkpoint;
use crate::log::note::{NOTE_BYTES_MAX, Note};
use crate::log::tile::{TILE_WIDTH, Tile, TileKind, bundle};
use crate::log::tree::TreeHead;

use super::super::output::Failure;

/// Name of the checkpoint.
pub(in crate::cli) const CHECKPOINT: &str = "checkpoint";

/// An export that is open for reading.
pub(in crate::cli) struct Directory {
    path: PathBuf,
    note: String,
    head: TreeHead,
}

impl Directory {
    /// Reads the checkpoint. Who signed it is not looked at.
    pub(in crate::cli) fn open(path: &Path) -> Result<Self, Failure> {
        let file = path.join(CHECKPOINT);
        let wrong = |reason: &dyn std::fmt::Display| {
            Failure::broken(format!(
                "{}: {reason}; expected a directory that `countersign log export` wrote",
                file.display()
            ))
        };
        let length = fs::metadata(&file).map_err(|e| wrong(&e))?.len();
        if usize::try_from(length).is_ok_and(|length| length > NOTE_BYTES_MAX) {
            return Err(wrong(&format!("found {length} bytes, too many for a checkpoint")));
        }
        let note = fs::read(&file).map_err(|e| wrong(&e))?;
        let note = Note::parse(&note).map_err(|e| wrong(&e))?;
        let checkpoint =
            Checkpoint::parse(note.unverified_text().clone()).map_err(|e| wrong(&e))?;
        Ok(Self { path: path.to_owned(), note: note.to_string(), head: checkpoint.head() })
    }

    /// Number of leaves that the checkpoint covers.
    pub(in crate::cli) fn size(&self) -> u64 {
        self.head.size
    }

    /// The signed note.
    pub(in crate::cli) fn note(&self) -> &str {
        &self.note
    }

    /// The leaves from a position to the end of their bundle.
    pub(in crate::cli) fn leaves(&self, from: u64) -> Result<Vec<String>, Failure> {
        let width = u64::from(TILE_WIDTH);
        let Some(tile) = Tile::at(TileKind::Entries, from / width, self.head.size) else {
            return Ok(Vec::new());
        };
        let (bytes, name) = self.tile(&tile)?;
        let wrong = |what: String| {
            Failure::alarm(format!(
                "{}: {what}; export the log again",
                self.path.join(name.to_string()).display()
            ))
        };
        let entries = bundle::decode(&bytes, name.width()).map_err(|e| wrong(e.to_string()))?;
        let wanted = entries.get(..tile.width().into()).unwrap_or_default();
        let skipped = usize::try_from(from % width).unwrap_or(usize::MAX);
        let read = |entry: &&[u8]| {
            let text = str::from_utf8(entry).map_err(|_| wrong("a leaf is not UTF-8".to_owned()));
            text.map(str::to_owned)
        };
        wanted.iter().skip(skipped).map(read).collect()
    }

    /// The bytes of a tile, or of the full one at its place: a partial one may have been dropped
    /// once the full one was there.
    pub(in crate::cli) fn tile(&self, tile: &Tile) -> Result<(Vec<u8>, Tile), Failure> {
        let full = Tile::new(tile.kind(), tile.index(), TILE_WIDTH).unwrap_or(*tile);
        for name in [*tile, full] {
            let path = self.path.join(name.to_string());
            match fs::read(&path) {
                Ok(bytes) => return Ok((bytes, name)),
                Err(absent) if absent.kind() == ErrorKind::NotFound => {}
                Err(failed) => {
                    return Err(Failure::broken(format!(
                        "cannot read {}: {failed}",
                        path.display()
                    )));
                }
            }
        }
        Err(Failure::alarm(format!(
            "found no {} although the checkpoint covers {} leaves; export the log again",
            self.path.join(tile.to_string()).display(),
            self.head.size
        )))
    }
}
