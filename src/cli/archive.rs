//! `countersign archive`: payments that no limit looks back to leave the ledger for a file.

use std::path::PathBuf;

use clap::Args;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::config::policy;
use crate::ledger::sqlite::{Store, ToArchive};

use super::output::{Exit, Failure, Output, grouped};
use super::{Deployed, agreement};

/// Most payments in one archive, unless something else is asked for: about 150 MB.
const MOST: u32 = 100_000;

/// Move payments that are older than `archive_after` out of the ledger, into a new file.
#[derive(Debug, Args)]
pub(super) struct Archive {
    /// The file to write; nothing is overwritten.
    file: PathBuf,
    /// Most payments that it takes, oldest first; run it again with another file for more.
    #[arg(long, value_name = "N", default_value_t = MOST, value_parser = at_least_one())]
    most: u32,
    #[command(flatten)]
    deployed: Deployed,
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

pub(super) fn run(asked: &Archive, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&asked.deployed.config).map_err(Failure::broken)?;
    let policy = policy::load(&deployment.policy).map_err(Failure::broken)?;
    let Some(archive_after) = deployment.keeping.archive_after else {
        return Err(Failure::refused(
            "the deployment file has no ledger.archive_after; say there after how long payments \
             may leave the ledger",
        ));
    };
    let problems = agreement::check(&deployment, &policy);
    if !problems.0.is_empty() {
        return Err(Failure::broken(format!("deployment and policy disagree:\n{problems}")));
    }
    let to_archive = ToArchive {
        file: asked.file.clone(),
        archive_after,
        duplicate_window: policy.duplicate_window,
        most: asked.most,
    };
    let mut store =
        Store::open(&deployment.ledger(), &deployment.issuer).map_err(Failure::broken)?;
    let moved = store.archive(&Clock::system().read(), &to_archive);
    // A ledger that could not be closed is one in use, and nothing is lost.
    let closed = store.close();
    let moved = moved.map_err(Failure::broken)?;
    closed.map_err(Failure::broken)?;
    let Some(moved) = moved else {
        output.show(&serde_json::json!({ "payments": "0" }), |_| {
            format!("nothing is older than {archive_after}; no file was written")
        })?;
        return Ok(Exit::Done);
    };
    let told = serde_json::json!({
        "file": asked.file,
        "archive": moved.archive.to_string(),
        "payments": moved.payments.to_string(),
        "before": moved.before.to_string(),
        "sha256": moved.sha256,
    });
    output.show(&told, |_| {
        format!(
            "archived  {} payments, final before {}, to {}\n  archive  {}\n  sha256   {}\n\n\
             The digest is on the log. `countersign log verify --archive {}` checks the file;\n\
             what it says of people is in it until you delete it.",
            grouped(moved.payments),
            moved.before,
            output.strong(&asked.file.display().to_string()),
            moved.archive,
            moved.sha256,
            asked.file.display(),
        )
    })?;
    Ok(Exit::Done)
}
