//! `countersign log verify`: every leaf, the tree, what was signed, and the ledger beside it.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use crate::ledger::reader::Standing;
use crate::log::checkpoint::Checkpoint;
use crate::log::growth::FullTile;
use crate::log::note::{Note, VerifierKey};
use crate::log::tile::{Tile, TileKind};
use crate::log::verify::{Fault, Finding, LogVerifier, Summary, cosigned, same_tile};

use super::super::output::{Exit, Failure, Output};
use super::super::receipt::{all_keys, witness_key};
use super::source::{Source, Whence, unread};

mod agreement;
mod archives;
mod told;

#[cfg(test)]
mod tests;

/// Leaves between two words about progress.
const TOLD_EVERY: u64 = 10_000;

/// Check that a log is whole, unchanged and signed, and that the ledger agrees with it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The log's key, name+id+base64; may be repeated, for witnesses and earlier keys too.
    #[arg(long = "key", value_name = "VKEY", required = true)]
    keys: Vec<VerifierKey>,
    /// The key of a witness that must have cosigned a checkpoint; may be repeated.
    #[arg(long = "witness", value_name = "VKEY", value_parser = witness_key)]
    witnesses: Vec<VerifierKey>,
    /// A checkpoint that somebody kept, which the log must contain; may be repeated. Without one
    /// nobody can tell whether a log was set back to an earlier state.
    #[arg(long = "checkpoint", value_name = "FILE")]
    kept: Vec<PathBuf>,
    /// A file that `countersign archive` wrote; its payments are compared as well. May be repeated.
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
    #[command(flatten)]
    whence: Whence,
}

pub(super) fn run(verify: &Verify, output: &Output) -> Result<Exit, Failure> {
    let source = Source::open(&verify.whence)?;
    let kept = verify.kept.iter().map(|path| {
        fs::read_to_string(path)
            .map_err(|e| Failure::broken(format!("cannot read {}: {e}", path.display())))
    });
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    let subject = Subject::of(&source)?;
    let keys = all_keys(&verify.keys, &verify.witnesses);
    let verifier = LogVerifier::new(&subject.notes, &kept, &keys).map_err(|e| fault(&e))?;
    let cosigned = cosigned(&subject.notes, &verify.witnesses).map_err(|e| fault(&e))?;
    subject.rows_tell_their_notes()?;
    let checked = Check { subject: &subject, source: &source, verifier, full: Vec::new() }
        .leaves(output)
        .inspect_err(|_| output.progress_is_over())?;
    let agreed = match (source.reader(), &subject.standing) {
        (Some(reader), Some(standing)) => Some(
            agreement::agree(reader, &source, standing, &checked, output)
                .inspect_err(|_| output.progress_is_over())?,
        ),
        _ => None,
    };
    let archived = archives::compare(&verify.archives, &source, &checked, output)
        .inspect_err(|_| output.progress_is_over())?;
    output.progress_is_over();
    output.show(&told::json(&checked, &cosigned, agreed.as_ref(), archived), |_| {
        told::text(&checked, &cosigned, agreed.as_ref(), archived, output)
    })?;
    Ok(Exit::Done)
}

/// The log does not hold.
fn fault(fault: &Fault) -> Failure {
    Failure::alarm(format!("the log does not hold: {fault}"))
}

/// What is checked: the log as it was at one instant.
struct Subject {
    size: u64,
    notes: Vec<String>,
    standing: Option<Standing>,
}

impl Subject {
    fn of(source: &Source) -> Result<Self, Failure> {
        match source {
            Source::Export(directory) => Ok(Self {
                size: directory.size(),
                notes: vec![directory.note().to_owned()],
                standing: None,
            }),
            Source::Ledger(reader) => {
                let standing = reader.standing().map_err(unread)?;
                let notes = standing.checkpoints.iter().map(|row| row.note.clone()).collect();
                Ok(Self { size: standing.leaves, notes, standing: Some(standing) })
            }
        }
    }

    /// Rows of checkpoints are looked up by their size.
    fn rows_tell_their_notes(&self) -> Result<(), Failure> {
        let rows = self.standing.iter().flat_map(|standing| &standing.checkpoints);
        for row in rows {
            let note = Note::parse(row.note.as_bytes()).map_err(Failure::alarm)?;
            let checkpoint = Checkpoint::parse(note.unverified_text().clone());
            let signed = checkpoint.map_err(Failure::alarm)?.head().size;
            if signed != row.size {
                return Err(Failure::alarm(format!(
                    "the ledger has a checkpoint of {} leaves whose note covers {signed}; expected \
                     the same: its row was changed",
                    row.size
                )));
            }
        }
        Ok(())
    }

    /// Leaves that the newest checkpoint of the log itself covers.
    fn signed(&self) -> u64 {
        let rows = self.standing.as_ref().map(|standing| &standing.checkpoints);
        rows.map_or(self.size, |rows| rows.last().map_or(0, |row| row.size))
    }
}

struct Check<'a> {
    subject: &'a Subject,
    source: &'a Source,
    verifier: LogVerifier,
    full: Vec<FullTile>,
}

impl Check<'_> {
    fn leaves(mut self, output: &Output) -> Result<Summary, Failure> {
        let (size, source) = (self.subject.size, self.source);
        source.walk(0, size, |position, text| {
            if position % TOLD_EVERY == 0 {
                output.bar(position, size, "leaves checked");
            }
            self.leaf(text)?;
            Ok(ControlFlow::Continue(()))
        })?;
        self.partial_tiles()?;
        self.verifier.finish().map_err(|e| fault(&e))
    }

    fn leaf(&mut self, text: &str) -> Result<(), Failure> {
        let checked = self.verifier.leaf(text.as_bytes(), &mut self.full);
        // A tile that differs tells which leaf it is; a root only that there is one.
        for full in std::mem::take(&mut self.full) {
            self.tile(&full.name().map_err(Failure::broken)?, &full.hashes)?;
        }
        match checked {
            Err(found) if matches!(*found.finding, Finding::Root { .. }) => {
                self.partial_tiles()?;
                Err(fault(&found))
            }
            other => other.map_err(|e| fault(&e)),
        }
    }

    /// Only exports have partial tiles, and only those of their checkpoint.
    fn partial_tiles(&self) -> Result<(), Failure> {
        let Source::Export(directory) = self.source else { return Ok(()) };
        if self.verifier.size() != directory.size() {
            return Ok(());
        }
        self.verifier.partial().try_for_each(|(tile, computed)| self.tile(&tile, &computed))
    }

    fn tile(&self, tile: &Tile, computed: &[u8]) -> Result<(), Failure> {
        let kept = match self.source {
            Source::Export(directory) => Some(directory.tile(tile)?.0),
            Source::Ledger(reader) => {
                let TileKind::Hashes { level } = tile.kind() else { return Ok(()) };
                reader.tile(level, tile.index()).map_err(Failure::broken)?
            }
        };
        match kept {
            // A full tile may stand in the place of a partial one.
            Some(kept) => same_tile(tile, kept.get(..computed.len()).unwrap_or(&kept), computed)
                .map_err(|e| fault(&e)),
            None if tile.is_within(self.subject.signed()) => Err(Failure::alarm(format!(
                "the log does not hold: {tile} is not there; expected it, since a checkpoint \
                 covers {} leaves",
                self.subject.signed()
            ))),
            None => Ok(()),
        }
    }
}
