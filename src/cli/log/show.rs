//! `countersign log show`: decisions, all or those that fit.

use std::ops::ControlFlow;

use clap::Args;

use super::super::output::{Exit, Failure, Output};
use super::filter::{Filter, Sieve};
use super::line::{Format, Printer};
use super::source::{Source, Whence, read};

/// Show decisions.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    filter: Filter,
    /// How to print them; jsonl with --json, else a table.
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    whence: Whence,
}

pub(super) fn run(show: &Show, output: &Output) -> Result<Exit, Failure> {
    let source = Source::open(&show.whence)?;
    let size = source.size()?;
    let otherwise = if output.is_json() { Format::Jsonl } else { Format::Table };
    let format = show.format.unwrap_or(otherwise);
    let mut printer = Printer::new(format, output);
    let first = match show.filter.since {
        Some(since) => source.first_since(since, size)?,
        None => 0,
    };
    let mut sieve = Sieve::new(&show.filter, &source, first)?;
    source.walk(first, size, |position, text| {
        let entry = read(position, text)?;
        // Times never decrease: nothing that follows is older.
        if show.filter.until.is_some_and(|until| until <= entry.at()) {
            return Ok(ControlFlow::Break(()));
        }
        let reads_on = !sieve.takes(&entry)? || printer.leaf(position, text, &entry)?;
        Ok(if reads_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    printer.flush();
    if format == Format::Table {
        let told = match printer.printed() {
            0 => format!("none of {size} leaves fits"),
            1 => format!("1 of {size} leaves"),
            printed => format!("{printed} of {size} leaves"),
        };
        output.line(&output.faint(&told));
    }
    Ok(Exit::Done)
}
