//! `countersign log key`: the key of the log, for whoever is to verify or witness it.

use crate::config::deployment::Deployment;
use crate::hsm::Modules;

use super::super::output::{Exit, Failure, Output};
use super::super::serve::audit_of;
use super::super::{Deployed, tokens};

pub(super) fn run(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let id = &deployment.audit.key;
    let binding = deployment.keys.get(id);
    let token = binding.and_then(|binding| deployment.tokens.get(&binding.token));
    let (Some(binding), Some(token)) = (binding, token) else {
        return Err(Failure::broken(format!("no token has the key {id}")));
    };
    let settings = tokens::settings(&deployment, &binding.token, token);
    let reference = tokens::reference(id, binding);
    let found = Modules::default().survey(settings, &[reference]).map_err(Failure::broken)?.pop();
    let public = found.ok_or_else(|| Failure::broken("the token was not looked at"))?;
    let key = audit_of(&deployment, &public.map_err(Failure::broken)?)?.verifier.to_string();
    output.show(&serde_json::json!({ "key": key }), |_| key.clone())?;
    Ok(Exit::Done)
}
