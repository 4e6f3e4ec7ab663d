//! `countersign init`: creates the ledger, and its anchors on the tokens. Nothing else ever does.

use std::os::unix::fs::DirBuilderExt;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::hsm::Modules;
use crate::ledger::sqlite;
use crate::pipeline::anchors;

use super::output::{Exit, Failure, Output};
use super::{Deployed, tokens};

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
    sqlite::check_absent(&path).map_err(Failure::broken)?;
    // The anchors first: a ledger without them is refused, anchors without one can be taken again.
    let anchored = anchor(&deployment, &ledger_id)?;
    sqlite::create(&path, &deployment.issuer, &ledger_id, &Clock::system().read())
        .map_err(Failure::broken)?;
    let made = serde_json::json!({ "ledger": path, "ledger_id": ledger_id, "anchored": anchored });
    output.show(&made, |_| {
        let tokens = if anchored.is_empty() { "no token".to_owned() } else { anchored.join(", ") };
        format!(
            "made {} for {}, anchored on {tokens}",
            path.display(),
            output.strong(&deployment.issuer)
        )
    })?;
    Ok(Exit::Done)
}

/// Makes the anchors on every token that keeps some.
fn anchor(deployment: &Deployment, ledger_id: &str) -> Result<Vec<String>, Failure> {
    let modules = Modules::default();
    let mut anchored = Vec::new();
    for (name, token) in deployment.tokens.iter().filter(|(_, token)| token.anchors) {
        let settings = tokens::settings(deployment, name, token);
        let module = modules.load(settings, Vec::new()).map_err(Failure::broken)?;
        anchors::create(&module.anchors(), ledger_id).map_err(Failure::broken)?;
        anchored.push(name.clone());
    }
    Ok(anchored)
}
