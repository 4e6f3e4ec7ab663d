//! `countersign backup`: a copy of the ledger beside a daemon that goes on.

use std::path::PathBuf;

use clap::Args;

use crate::config::deployment::Deployment;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{self, Store};
use crate::pipeline::checkpoints::{Audit, Found};

use super::output::{Exit, Failure, Output, grouped};
use super::{Deployed, serve};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write; nothing is overwritten.
    file: PathBuf,
    #[command(flatten)]
    deployed: Deployed,
}

pub(super) fn run(asked: &Backup, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&asked.deployed.config).map_err(Failure::broken)?;
    let ledger = deployment.ledger();
    Store::examine(&ledger, &deployment.issuer).map_err(Failure::broken)?;
    sqlite::backup(&ledger, &asked.file).map_err(Failure::broken)?;
    let copy = Reader::open(&asked.file).map_err(Failure::broken)?;
    let leaves = copy.log_size().map_err(Failure::broken)?;
    let covered = Found::check(&copy, &audit(&deployment, &copy)?).map_err(Failure::broken)?.size();
    let made = serde_json::json!({
        "file": asked.file, "leaves": leaves.to_string(), "signed": covered.to_string(),
    });
    output.show(&made, |_| {
        format!(
            "copied  {} to {}\n  leaves  {}, the first {} signed by the newest checkpoint\n\n\
             A copy that is older than the token remembers is refused by `serve`: it is for\n\
             looking things up, and for the day on which nothing newer is left.",
            ledger.display(),
            output.strong(&asked.file.display().to_string()),
            grouped(leaves),
            grouped(covered),
        )
    })?;
    Ok(Exit::Done)
}

/// Who signed the heads of the log, as the ledger remembers it: no token is needed.
fn audit(deployment: &Deployment, copy: &Reader) -> Result<Audit, Failure> {
    let key = &deployment.audit.key;
    let versions = copy.key_versions().map_err(Failure::broken)?;
    let version = versions.iter().rev().find(|version| version.key == *key).ok_or_else(|| {
        Failure::broken(format!("the ledger has never seen the key {key}; start the daemon once"))
    })?;
    serve::audit_of(deployment, &version.public)
}
