//! `countersign keys`: what is on the tokens, and a new key.

use clap::Subcommand;
use serde::Serialize;

use crate::config::deployment::Deployment;
use crate::domain::key::KeyId;
use crate::hsm::{KeyReference, Modules};

use super::output::{Exit, Failure, Output};
use super::{Deployed, tokens};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Show every configured key with the thumbprint of what is on its token.
    List(Deployed),
    /// Like list, and fail unless every key is there, well protected and the pinned one.
    Check(Deployed),
    /// Generate a configured key on its token. Nothing is ever overwritten.
    Generate {
        /// Name of the key in the deployment file.
        key: String,
        #[command(flatten)]
        deployed: Deployed,
    },
}

pub(super) fn run(command: &KeysCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        KeysCommand::List(deployed) => survey(deployed, output).map(|_| Exit::Done),
        KeysCommand::Check(deployed) => {
            let well = survey(deployed, output)?.iter().all(|key| key.state == State::Well);
            Ok(if well { Exit::Done } else { Exit::Failed })
        }
        KeysCommand::Generate { key, deployed } => generate(key, deployed, output),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Well,
    Unpinned,
    Wrong,
}

/// What was found of one key.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    key: String,
    token: String,
    algorithm: &'static str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Found {
    pub(super) fn name(&self) -> &str {
        &self.key
    }

    /// Whether the key can serve, and what was found.
    pub(super) fn verdict(&self) -> Result<String, String> {
        let thumbprint = self.thumbprint.clone().unwrap_or_default();
        match self.state {
            State::Well => Ok(format!("{thumbprint} on {}, {}", self.token, self.algorithm)),
            State::Unpinned => Err(format!(
                "is not pinned; put thumbprint = \"{thumbprint}\" under [keys.{}]",
                self.key
            )),
            State::Wrong => Err(self.problem.clone().unwrap_or_default()),
        }
    }
}

fn survey(deployed: &Deployed, output: &Output) -> Result<Vec<Found>, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let found = look_at_keys(&deployment);
    output.show(&found, |found| {
        found.iter().map(|f| told(f, output)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(found)
}

/// Looks at every key of every token; a token that cannot be used is told for each of its keys.
pub(super) fn look_at_keys(deployment: &Deployment) -> Vec<Found> {
    let modules = Modules::default();
    let mut all = Vec::new();
    for (name, token) in &deployment.tokens {
        let keys = tokens::keys_on(deployment, name);
        let found = |key: &KeyReference, state, thumbprint, problem| Found {
            key: key.id.to_string(),
            token: name.clone(),
            algorithm: key.algorithm.name(),
            state,
            thumbprint,
            problem,
        };
        match modules.survey(tokens::settings(deployment, name, token), &keys) {
            Err(refused) => all.extend(
                keys.iter().map(|key| found(key, State::Wrong, None, Some(refused.to_string()))),
            ),
            Ok(surveyed) => {
                all.extend(keys.iter().zip(surveyed).map(|(key, looked)| match looked {
                    Err(refused) => found(key, State::Wrong, None, Some(refused.to_string())),
                    Ok(public) => {
                        let pinned = key.thumbprint.is_some();
                        let state = if pinned { State::Well } else { State::Unpinned };
                        found(key, state, Some(public.kid().to_string()), None)
                    }
                }));
            }
        }
    }
    all
}

fn told(found: &Found, output: &Output) -> String {
    let Found { key, token, algorithm, thumbprint, problem, .. } = found;
    let name = output.strong(key);
    let thumbprint = thumbprint.as_deref().unwrap_or_default();
    match found.state {
        State::Well => {
            format!("{} {name} on {token}, {algorithm}: {thumbprint}", output.good("well    "))
        }
        State::Unpinned => format!(
            "{} {name} on {token}, {algorithm}: {thumbprint}; pin it under [keys.{key}] as \
             thumbprint = \"{thumbprint}\"",
            output.warning("unpinned")
        ),
        State::Wrong => format!(
            "{} {name} on {token}: {}",
            output.bad("wrong   "),
            problem.as_deref().unwrap_or_default()
        ),
    }
}

fn generate(key: &str, deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let binding = KeyId::parse("key", key).ok().and_then(|id| deployment.keys.get_key_value(&id));
    let Some((id, binding)) = binding else {
        let known: Vec<&str> = deployment.keys.keys().map(KeyId::as_str).collect();
        return Err(Failure::refused(format!(
            "found the key \"{key}\"; expected one of the deployment file: {known:?}"
        )));
    };
    if let Some(pinned) = &binding.thumbprint {
        return Err(Failure::refused(format!(
            "key {id} is pinned to {pinned} already; a new version of a key needs a rotation"
        )));
    }
    let token = deployment.tokens.get(&binding.token).ok_or_else(|| {
        Failure::broken(format!("there is no token \"{}\" in the deployment", binding.token))
    })?;
    let settings = tokens::settings(&deployment, &binding.token, token);
    let public = Modules::default()
        .generate(settings, &tokens::reference(id, binding))
        .map_err(Failure::broken)?;
    let thumbprint = public.kid().to_string();
    let made = serde_json::json!({
        "key": id.as_str(), "token": binding.token, "algorithm": public.algorithm().name(),
        "thumbprint": thumbprint,
    });
    output.show(&made, |_| {
        format!(
            "made {} on {}\npin it in {} under [keys.{id}]:\n  thumbprint = \"{thumbprint}\"",
            output.strong(key),
            binding.token,
            deployed.config.display(),
        )
    })?;
    Ok(Exit::Done)
}
