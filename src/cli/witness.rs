//! `countersign witness`: a witness for the logs of other machines.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::witness::{TOKEN, Witness};
use crate::domain::key::{KeyId, PublicKey};
use crate::hsm::{KeyReference, Modules};
use crate::log::note::VerifierKey;
use crate::witness::LOGS_MAX;
use crate::witness::state::State;

use super::output::{Exit, Failure, Output};
use super::tokens;

mod serve;

#[derive(Debug, Subcommand)]
pub(super) enum WitnessCommand {
    /// Generate the key of a witness on its token, and create its state, once.
    Init(Configured),
    /// Print the key that verifies its cosignatures.
    Key(Configured),
    /// Watch logs and cosign what only grows, until SIGTERM or SIGINT.
    Serve(Configured),
}

/// Which witness a command is about.
#[derive(Debug, Args)]
pub(super) struct Configured {
    /// The file of the witness.
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERSIGN_WITNESS_CONFIG",
        default_value = "witness.toml"
    )]
    config: PathBuf,
}

impl Configured {
    fn load(&self) -> Result<Witness, Failure> {
        Witness::load(&self.config, LOGS_MAX).map_err(Failure::broken)
    }
}

pub(super) fn run(command: &WitnessCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        WitnessCommand::Init(configured) => init(configured, output),
        WitnessCommand::Key(configured) => key(&configured.load()?, output),
        WitnessCommand::Serve(configured) => serve::run(configured, output),
    }
}

/// Where the key lies on its token.
fn reference(config: &Witness) -> Result<KeyReference, Failure> {
    let id = KeyId::parse("key", TOKEN).map_err(|refused| Failure::broken(refused.detail))?;
    Ok(tokens::reference(&id, &config.key))
}

fn verifier(config: &Witness, public: &PublicKey) -> Result<VerifierKey, Failure> {
    match public {
        PublicKey::Ed25519(key) => {
            Ok(VerifierKey::cosignature_v1(config.name.clone(), *key.as_bytes()))
        }
        PublicKey::P256(_) => Err(Failure::broken(
            "the key on the token is P-256; cosignatures are made with Ed25519 only",
        )),
    }
}

fn init(configured: &Configured, output: &Output) -> Result<Exit, Failure> {
    let config = configured.load()?;
    if let Some(pinned) = &config.key.thumbprint {
        return Err(Failure::refused(format!(
            "the key is pinned to {pinned} already, so the witness was made before; a new witness \
             needs a configuration, a key and a state of its own"
        )));
    }
    // First: a wrong PIN leaves its marker there.
    State::make_place(&config.state_dir).map_err(Failure::broken)?;
    let settings = tokens::settings_in(&config.state_dir, TOKEN, &config.token);
    let public =
        Modules::default().generate(settings, &reference(&config)?).map_err(Failure::broken)?;
    let verifier = verifier(&config, &public)?;
    State::create(&config.state_dir, &verifier).map_err(Failure::broken)?;
    let (thumbprint, key) = (public.kid().to_string(), verifier.to_string());
    let made = serde_json::json!({ "thumbprint": thumbprint, "key": key });
    output.show(&made, |_| {
        format!(
            "made the key and the state of {}\npin the key in {} under [key]:\n  thumbprint = \
             \"{thumbprint}\"\nwhoever trusts this witness knows it as\n  {key}",
            output.strong(config.name.as_str()),
            configured.config.display(),
        )
    })?;
    Ok(Exit::Done)
}

fn key(config: &Witness, output: &Output) -> Result<Exit, Failure> {
    let settings = tokens::settings_in(&config.state_dir, TOKEN, &config.token);
    let surveyed = Modules::default().survey(settings, &[reference(config)?]);
    let found = surveyed.map_err(Failure::broken)?.pop();
    let found = found.ok_or_else(|| Failure::broken("the token was not looked at"))?;
    let key = verifier(config, &found.map_err(Failure::broken)?)?.to_string();
    output.show(&serde_json::json!({ "key": key }), |_| key.clone())?;
    Ok(Exit::Done)
}
