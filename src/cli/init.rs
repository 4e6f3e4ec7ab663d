//! `countersign init`: creates the ledger. Nothing else ever does.

use std::os::unix::fs::DirBuilderExt;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::ledger::sqlite;

use super::Deployed;
use super::output::{Exit, Failure, Output};

pub(super) fn run(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let directory = &deployment.state_dir;
    if !directory.exists() {
        std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(|refused| {
            Failure::broken(format!(
                "cannot create {}: {refused}; create its parent, or name another state_dir",
                directory.display()
            ))
        })?;
    }
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(Failure::broken)?;
    let ledger_id = format!("{:032x}", u128::from_be_bytes(random));
    let path = deployment.ledger();
    sqlite::create(&path, &deployment.issuer, &ledger_id, &Clock::system().read())
        .map_err(Failure::broken)?;
    let made = serde_json::json!({ "ledger": path, "ledger_id": ledger_id });
    output.show(&made, |_| {
        format!("made {} for {}", path.display(), output.strong(&deployment.issuer))
    })?;
    Ok(Exit::Done)
}
