//! `countersign reconcile`: what a bank or rail executed, beside what was signed.
//!
//! A payment that was executed and never signed here is the alarm that this command exists for:
//! somebody else has used the key, or the rail pays without one.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use crate::domain::ledger::PaymentRecord;
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;
use crate::log::entry::Kind;

use super::log::source::{Source, Whence, instant, read, unread};
use super::output::{Exit, Failure, Output};

mod comparison;
mod executed;
#[cfg(test)]
mod tests;
mod told;

use comparison::{Comparison, Recorded, Signed, Standing};
use executed::Executed;

/// Leaves between two words about progress.
const TOLD_EVERY: u64 = 10_000;

/// Compare what was executed with what was signed.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// What was executed: payment ids or JWS, one a line, or CSV or JSON lines with such a column.
    /// - for standard input.
    file: PathBuf,
    /// Name of the column; payment, `payment_id`, `id` and `jws` are found without it.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// First instant or day that the file covers, UTC: what was signed before it and is not in the
    /// file is not missed.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<Timestamp>,
    /// First instant or day that the file does not cover any more, UTC.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<Timestamp>,
    #[command(flatten)]
    whence: Whence,
}

pub(super) fn run(reconcile: &Reconcile, output: &Output) -> Result<Exit, Failure> {
    let executed = executed::load(&reconcile.file, reconcile.column.as_deref())?;
    let source = Source::open(&reconcile.whence)?;
    let comparison = compare(reconcile, &executed, &source, output)?;
    output.show(&told::json(&comparison), |_| told::text(&comparison, &executed, output))?;
    Ok(comparison.exit())
}

fn compare(
    reconcile: &Reconcile,
    executed: &Executed,
    source: &Source,
    output: &Output,
) -> Result<Comparison, Failure> {
    let covers = |at: Timestamp| {
        reconcile.since.is_none_or(|since| since <= at)
            && reconcile.until.is_none_or(|until| at < until)
    };
    let size = source.size()?;
    let (mut standing, mut missed) = (HashMap::new(), Vec::new());
    source.walk(0, size, |position, text| {
        if position % TOLD_EVERY == 0 {
            output.bar(position, size, "leaves");
        }
        let entry = read(position, text)?;
        let Some(of) = entry.payment() else { return Ok(ControlFlow::Continue(())) };
        if executed.names(of.id) {
            standing.insert(of.id, Standing::new(position, &entry, &of));
        } else if entry.kind() == Kind::Signed && covers(entry.at()) {
            missed.push(Signed::new(position, &entry, &of));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    output.progress_is_over();
    let recorded = |id: PaymentId| {
        let row = source.row(id)?;
        if let Some(jws) = row.as_ref().and_then(PaymentRecord::compact_jws) {
            return Ok(Recorded::Jws(jws));
        }
        let stub = source.reader().map(|reader| reader.stub(id)).transpose();
        let is_closed = row.is_none() && stub.map_err(unread)?.flatten().is_some();
        Ok(if is_closed { Recorded::Closed } else { Recorded::Nothing })
    };
    Comparison::new(executed, &standing, missed, source.reader().is_some(), recorded)
}
