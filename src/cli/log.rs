//! `countersign log`: what an auditor does with the log of every decision.

use clap::Subcommand;

use super::output::{Exit, Failure, Output};

pub(super) mod directory;
mod export;
mod filter;
mod line;
mod show;
pub(super) mod source;
mod tail;
#[cfg(test)]
pub(super) mod tests;

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Show decisions, all or those that fit.
    Show(Box<show::Show>),
    /// Show the newest decisions, and each that follows.
    Tail(tail::Tail),
    /// Write the log as C2SP tiles that other software can verify.
    Export(export::Export),
}

pub(super) fn run(command: &LogCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        LogCommand::Show(show) => show::run(show, output),
        LogCommand::Tail(tail) => tail::run(tail, output),
        LogCommand::Export(export) => export::run(export, output),
    }
}
