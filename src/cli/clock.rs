//! `countersign clock`: what the ledger believes of the clock, and a person who knows better.

use clap::Subcommand;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::domain::credit::credit;
use crate::domain::time::Timestamp;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Store;

use super::Deployed;
use super::output::{Exit, Failure, Output};

/// How far the typed instant may be from the clock, in milliseconds.
const TYPED_APART_MS_MAX: i64 = 300_000;

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show what the clock says and whether the ledger credits it.
    Show(Deployed),
    /// Have the ledger believe the clock from now on; the daemon must be stopped. Windows open up
    /// to that instant, so look at another clock first and type what it says.
    Credit {
        /// What another clock says now, RFC 3339 in UTC, within five minutes.
        instant: String,
        #[command(flatten)]
        deployed: Deployed,
    },
}

pub(super) fn run(command: &ClockCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        ClockCommand::Show(deployed) => show(deployed, output),
        ClockCommand::Credit { instant, deployed } => credit_by_hand(instant, deployed, output),
    }
}

fn show(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let ledger = deployment.ledger();
    Store::examine(&ledger, &deployment.issuer).map_err(Failure::broken)?;
    let mark = Reader::open(&ledger).map_err(Failure::broken)?.mark().map_err(Failure::broken)?;
    let reading = Clock::system().read();
    let fault = credit(&mark, &reading).err().map(|fault| fault.to_string());
    let told = serde_json::json!({
        "clock": reading.wall.to_string(),
        "newest_record": mark.newest.to_string(),
        "credited": fault.is_none(),
        "fault": fault,
    });
    output.show(&told, |_| {
        let verdict = match &fault {
            None => output.good("credited"),
            Some(fault) => output.bad(fault),
        };
        format!("clock   {}\nrecord  {}\n{verdict}", reading.wall, mark.newest)
    })?;
    Ok(if fault.is_none() { Exit::Done } else { Exit::Failed })
}

fn credit_by_hand(instant: &str, deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let typed = Timestamp::parse("instant", instant).map_err(Failure::refused)?;
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let reading = Clock::system().read();
    let apart_ms = typed.unix_ms().saturating_sub(reading.wall.unix_ms()).saturating_abs();
    if apart_ms > TYPED_APART_MS_MAX {
        return Err(Failure::refused(format!(
            "found {typed}, but the clock says {}; expected them within five minutes: set the \
             clock right first",
            reading.wall
        )));
    }
    let mut store =
        Store::open(&deployment.ledger(), &deployment.issuer).map_err(Failure::broken)?;
    let before = store.mark().newest;
    store.credit_by_hand(&reading).map_err(Failure::broken)?;
    store.close().map_err(Failure::broken)?;
    let told = serde_json::json!({
        "newest_record": before.to_string(), "credited": reading.wall.to_string(),
    });
    output.show(&told, |_| {
        format!(
            "credited {} after the newest record of {before}",
            output.strong(&reading.wall.to_string())
        )
    })?;
    Ok(Exit::Done)
}
