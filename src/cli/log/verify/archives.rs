//! Archives against the log: each is the file whose digest is on it, and each of its payments has
//! its leaves, byte for byte.

use std::path::PathBuf;

use crate::ledger::sqlite::ArchiveFile;
use crate::log::verify::{Closed, LeavesOf, Summary, agrees};

use super::super::super::output::{Failure, Output};
use super::super::source::{Source, unread};
use super::fault;

/// Payments that are read at a time.
const CHUNK: usize = 1_000;

/// Compares archives with a log that holds by itself; how many payments they have.
pub(super) fn compare(
    files: &[PathBuf],
    source: &Source,
    log: &Summary,
    output: &Output,
) -> Result<u64, Failure> {
    let mut compared: u64 = 0;
    for path in files {
        let file = ArchiveFile::open(path).map_err(Failure::broken)?;
        let closing = closing_of(&file, log)?;
        let mut after = 0;
        loop {
            output.bar(compared, file.payments, "archived payments compared");
            let chunk = file.history(after, CHUNK).map_err(unread)?;
            let Some((row, _)) = chunk.last() else { break };
            after = *row;
            for (_, record) in &chunk {
                let outcome = match record.outcome_leaf {
                    Some(position) => source.leaf(position, log.head.size)?,
                    None => None,
                };
                let decision = source.leaf(record.leaf, log.head.size)?;
                agrees(record, &LeavesOf { decision, outcome }, log.head.size)
                    .map_err(|e| fault(&e))?;
                if let Some(reader) = source.reader() {
                    let stub = reader.stub(record.id).map_err(unread)?;
                    if stub.as_ref().map(|stub| stub.closing) != Some(closing) {
                        return Err(Failure::alarm(format!(
                            "{}: payment {} is in it, but not closed by leaf {closing} in the \
                             ledger; expected that: the ledger was changed",
                            path.display(),
                            record.id
                        )));
                    }
                }
                compared = compared.saturating_add(1);
            }
        }
    }
    Ok(compared)
}

/// Position of the leaf that has the digest of this file.
fn closing_of(file: &ArchiveFile, log: &Summary) -> Result<u64, Failure> {
    let found = log.closings.iter().find_map(|(position, closed)| {
        let archive = closed.archive.as_ref().filter(|archive| archive.number == file.number)?;
        Some((*position, closed, archive))
    });
    let path = file.path().display();
    match found {
        Some((position, Closed { payments, .. }, archive))
            if archive.sha256 == file.sha256 && *payments == file.payments =>
        {
            Ok(position)
        }
        Some((position, Closed { payments, .. }, archive)) => Err(Failure::alarm(format!(
            "{path}: it has {} payments and SHA-256 {}; expected {payments} and {}, which leaf \
             {position} has for archive {}: the file was changed, or is of another ledger",
            file.payments, file.sha256, archive.sha256, file.number
        ))),
        None => Err(Failure::alarm(format!(
            "{path}: the log knows of no archive {}; expected its digest on it: the file is of \
             another ledger, or its rows were never given up and it can be deleted",
            file.number
        ))),
    }
}
