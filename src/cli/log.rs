//! `countersign log`: what an auditor does with the log of every decision.

use clap::Subcommand;

use super::Deployed;
use super::output::{Exit, Failure, Output};

pub(super) mod directory;
mod export;
mod filter;
mod key;
mod line;
mod show;
pub(super) mod source;
mod tail;
mod verify;

#[cfg(test)]
pub(super) mod tests;

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Check that a log is whole, unchanged and signed, and that the ledger agrees with it.
    Verify(verify::Verify),
    /// Show decisions, all or those that fit.
    Show(Box<show::Show>),
    /// Show the newest decisions, and each that follows.
    Tail(tail::Tail),
    /// Print the key that verifies the log, from its token.
    Key(Deployed),
    /// Write the log as C2SP tiles that other software can verify.
    Export(export::Export),
}

pub(super) fn run(command: &LogCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        LogCommand::Verify(verify) => verify::run(verify, output),
        LogCommand::Show(show) => show::run(show, output),
        LogCommand::Tail(tail) => tail::run(tail, output),
        LogCommand::Key(deployed) => key::run(deployed, output),
        LogCommand::Export(export) => export::run(export, output),
    }
}
