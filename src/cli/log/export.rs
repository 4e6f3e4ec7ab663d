//! `countersign log export`: the log as files that any client of C2SP tlog-tiles reads.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::ledger::sqlite::StoredCheckpoint;
use crate::log::checkpoint::Checkpoint;
use crate::log::growth::Growth;
use crate::log::note::Note;
use crate::log::tile::{TILE_WIDTH, Tile, TileKind, bundle};
use crate::log::tree::{Hash, TreeHead};

use super::super::output::{Exit, Failure, Output};
use super::directory::{CHECKPOINT, Directory};
use super::source::{Source, Whence};

/// Leaves between two words about progress.
const TOLD_EVERY: u64 = 10_000;

/// Write checkpoint, leaves and tiles of the log to a directory.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// A new directory, or an earlier export of the same log.
    pub(super) directory: PathBuf,
    #[command(flatten)]
    pub(super) whence: Whence,
}

pub(super) fn run(export: &Export, output: &Output) -> Result<Exit, Failure> {
    let source = Source::open(&export.whence)?;
    let total = source.size()?;
    let (note, checkpoint) = newest(&source)?;
    let head = checkpoint.head();
    let directory = Target::prepare(&export.directory, &checkpoint)?;
    write_tiles(&source, head, &directory, output)?;
    // Last, so that nobody ever finds a checkpoint whose tiles are not there.
    directory.replace(CHECKPOINT, note.as_bytes())?;
    directory.sync()?;
    let beyond = total.saturating_sub(head.size);
    let told = serde_json::json!({
        "directory": export.directory.display().to_string(),
        "origin": checkpoint.origin(),
        "leaves": head.size.to_string(),
        "root": head.root.to_string(),
        "not_covered": beyond.to_string(),
    });
    output.show(&told, |_| {
        let line = |name: &str, value: &str| format!("  {}  {value}", output.faint(name));
        let mut lines = vec![
            format!(
                "{}  {} leaves",
                output.good("exported"),
                output.strong(&head.size.to_string())
            ),
            line("log      ", checkpoint.origin()),
            line("root     ", &head.root.to_string()),
            line("directory", &export.directory.display().to_string()),
        ];
        if beyond > 0 {
            lines.push(line(
                "later    ",
                &format!("{beyond} leaves; no checkpoint covers them yet"),
            ));
        }
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}

/// The newest checkpoint of a log.
fn newest(source: &Source) -> Result<(String, Checkpoint), Failure> {
    let note = match source {
        Source::Export(directory) => directory.note().to_owned(),
        Source::Ledger(reader) => match reader.newest_checkpoint().map_err(Failure::broken)? {
            Some(StoredCheckpoint { note, .. }) => note,
            None => {
                return Err(Failure::broken(
                    "found no checkpoint in the ledger; the daemon makes the first one within a \
                     second of its first decision",
                ));
            }
        },
    };
    let parsed = Note::parse(note.as_bytes()).map_err(Failure::broken)?;
    let checkpoint = Checkpoint::parse(parsed.unverified_text().clone());
    Ok((note, checkpoint.map_err(Failure::broken)?))
}

fn write_tiles(
    source: &Source,
    head: TreeHead,
    directory: &Target,
    output: &Output,
) -> Result<(), Failure> {
    let (mut growth, mut full, mut entries) = (Growth::default(), Vec::new(), Vec::new());
    source.walk(0, head.size, |position, text| {
        entries.push(text.to_owned());
        growth.append(Hash::of_leaf(text.as_bytes()), &mut full).map_err(Failure::broken)?;
        for tile in full.drain(..) {
            directory.write(&tile.name().map_err(Failure::broken)?, &tile.hashes)?;
        }
        if entries.len() == usize::from(TILE_WIDTH) {
            directory.write_entries(position / u64::from(TILE_WIDTH), &entries)?;
            entries.clear();
        }
        if position % TOLD_EVERY == 0 {
            output.bar(position, head.size, "leaves");
        }
        Ok(ControlFlow::Continue(()))
    })?;
    output.progress_is_over();
    for (tile, bytes) in growth.partial() {
        directory.write(&tile, &bytes)?;
    }
    if !entries.is_empty() {
        directory.write_entries(head.size / u64::from(TILE_WIDTH), &entries)?;
    }
    match growth.head() {
        found if found == head => Ok(()),
        found => Err(Failure::alarm(format!(
            "the first {} leaves give the root {}; the newest checkpoint says {}: leaves were \
                 changed after they were signed; `countersign log verify` tells which",
            head.size, found.root, head.root
        ))),
    }
}

/// Where an export is written to.
struct Target(PathBuf);

impl Target {
    /// A directory that is new or empty, or holds an earlier export of the same log: its tiles
    /// will be the same, and more.
    fn prepare(path: &Path, checkpoint: &Checkpoint) -> Result<Self, Failure> {
        let failed = |e| Failure::broken(format!("cannot use {}: {e}", path.display()));
        fs::create_dir_all(path).map_err(failed)?;
        let target = Self(path.to_owned());
        if path.join(CHECKPOINT).exists() {
            let (_, earlier) = newest(&Source::Export(Directory::open(path)?))?;
            if earlier.origin() != checkpoint.origin() {
                return Err(Failure::refused(format!(
                    "found an export of the log {} in {}; expected {}, or an empty directory",
                    earlier.origin(),
                    path.display(),
                    checkpoint.origin()
                )));
            }
            if earlier.head().size > checkpoint.head().size {
                return Err(Failure::refused(format!(
                    "found an export of {} leaves in {}, but the log has {} under its newest \
                     checkpoint: it was rolled back, or is older than the export",
                    earlier.head().size,
                    path.display(),
                    checkpoint.head().size
                )));
            }
            return Ok(target);
        }
        let is_empty = fs::read_dir(path).map_err(failed)?.next().is_none();
        // What was broken off before the checkpoint was written may be gone on with.
        if is_empty || path.join("tile").is_dir() {
            return Ok(target);
        }
        Err(Failure::refused(format!(
            "found other files in {}; expected an empty directory or an earlier export",
            path.display()
        )))
    }

    fn write_entries(&self, index: u64, entries: &[String]) -> Result<(), Failure> {
        let width = u16::try_from(entries.len()).map_err(Failure::broken)?;
        let tile = Tile::new(TileKind::Entries, index, width).map_err(Failure::broken)?;
        self.write(&tile, &bundle::encode(entries).map_err(Failure::broken)?)
    }

    /// Writes a tile. One that is there already never changes, or the log is not the same.
    fn write(&self, tile: &Tile, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(tile.to_string());
        match fs::read(&path) {
            Ok(found) if found == bytes => return Ok(()),
            // Half a file is what a power cut leaves.
            Ok(found) if !bytes.starts_with(&found) => {
                return Err(Failure::alarm(format!(
                    "found other hashes or leaves in {}: the earlier export and this log \
                         contradict each other; keep both, and verify each",
                    path.display()
                )));
            }
            _ => {}
        }
        self.replace(&tile.to_string(), bytes)
    }

    /// Puts a file into its place at once, whole.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name);
        let failed = |e| Failure::broken(format!("cannot write {}: {e}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        fs::rename(&fresh, &path).map_err(failed)
    }

    /// One sync for all files: thousands of small ones would take minutes.
    fn sync(&self) -> Result<(), Failure> {
        let failed = |e| Failure::broken(format!("cannot sync {}: {e}", self.0.display()));
        let directory = fs::File::open(&self.0).map_err(failed)?;
        rustix::fs::syncfs(&directory).map_err(|e| failed(e.into()))
    }
}
