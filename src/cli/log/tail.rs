//! `countersign log tail`: the newest decisions, and each that follows.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;

use super::super::output::{Exit, Failure, Output};
use super::filter::{Filter, Sieve};
use super::line::{Format, Printer};
use super::source::{Source, Whence, read};

/// Pause between two looks at the ledger.
const PAUSE: Duration = Duration::from_millis(250);

/// Follow decisions.
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// How many leaves are looked at before the first new one.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 10)]
    lines: u64,
    #[command(flatten)]
    filter: Filter,
    /// How to print them; jsonl with --json, else a table.
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    whence: Whence,
}

pub(super) fn run(tail: &Tail, output: &Output) -> Result<Exit, Failure> {
    let source = Source::open(&tail.whence)?;
    if source.reader().is_none() {
        return Err(Failure::refused(
            "found --export: an export does not grow; `countersign log show` shows it",
        ));
    }
    let otherwise = if output.is_json() { Format::Jsonl } else { Format::Table };
    let mut printer = Printer::new(tail.format.unwrap_or(otherwise), output);
    let mut next = source.size()?.saturating_sub(tail.lines);
    let mut sieve = Sieve::new(&tail.filter, &source, next)?;
    loop {
        let size = source.size()?;
        if size < next {
            let message = format!(
                "the log has {size} leaves and had {next}: it was cut off or replaced while it \
                 was followed; run `countersign log verify`"
            );
            return Err(Failure::alarm(message));
        }
        let mut is_read = true;
        source.walk(next, size, |position, text| {
            let entry = read(position, text)?;
            is_read = !sieve.takes(&entry)? || printer.leaf(position, text, &entry)?;
            Ok(if is_read { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        next = size;
        if !is_read || !printer.flush() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(PAUSE);
    }
}
