//! `countersign witness serve`.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

use crate::clock::{self, Clock};
use crate::config::witness::{TOKEN, Witness};
use crate::domain::key::Purpose;
use crate::hsm::pool::public_keys;
use crate::hsm::{Hsm, Modules, TokenModule, TokenPlan};
use crate::http::listener::{Listener, Security};
use crate::http::{tls, witness as routes};
use crate::witness::state::State;
use crate::witness::{self, Parts};

use super::super::output::{Exit, Failure, Output};
use super::super::serve::{StopSignals, announce, bound};
use super::super::tokens;
use super::{Configured, reference, verifier};

/// Longest that the token's threads may take to close their sessions.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest that a writing of the state may take at the end.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(configured: &Configured, output: &Output) -> Result<Exit, Failure> {
    let config = configured.load()?;
    crate::telemetry::init(config.log).map_err(Failure::broken)?;
    if config.key.thumbprint.is_none() {
        return Err(Failure::broken(
            "key.thumbprint is missing; `countersign witness init` makes the key and prints it",
        ));
    }
    let (witness, hsm) = build(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .build()
        .map_err(Failure::broken)?;
    let served = runtime.block_on(serve(&config, witness, output));
    if !hsm.shutdown(TOKEN_WAIT_MAX) {
        tracing::warn!("a token session is stuck and was left behind");
    }
    runtime.shutdown_timeout(WRITE_WAIT_MAX);
    tracing::info!("stopped");
    served.map(|()| Exit::Done)
}

/// The witness with its token and its state, both of which must be those that belong together.
fn build(config: &Witness) -> Result<(witness::Witness, Hsm), Failure> {
    let reference = reference(config)?;
    let settings = tokens::settings_in(&config.state_dir, TOKEN, &config.token);
    let module = Modules::default().load(settings, vec![reference.clone()]);
    let module: Arc<dyn TokenModule> = Arc::new(module.map_err(Failure::broken)?);
    let purpose = [(reference.id.clone(), Purpose::Audit)];
    let keys = public_keys(module.as_ref(), purpose).map_err(Failure::broken)?;
    let public = keys.first().map(|key| key.public.clone());
    let public = public.ok_or_else(|| Failure::broken("the token was not looked at"))?;
    let verifier = verifier(config, &public)?;
    let state = State::open(&config.state_dir, &verifier).map_err(Failure::broken)?;
    let deadline = Duration::from_secs(config.token.deadline.seconds().unsigned_abs());
    let plan = TokenPlan {
        module,
        sessions: config.token.sessions,
        queue: config.token.queue,
        deadline,
        keys,
    };
    let hsm = Hsm::start(vec![plan], clock::monotonic).map_err(Failure::broken)?;
    tracing::info!(key = %verifier, logs = config.logs.len(), "everything is checked");
    let parts = Parts {
        verifier,
        key: reference.id,
        hsm: hsm.clone(),
        clock: Clock::system(),
        logs: config.logs.clone(),
        signing_wait: deadline.saturating_mul(2),
    };
    Ok((witness::Witness::new(parts, state).map_err(Failure::broken)?, hsm))
}

async fn serve(
    config: &Witness,
    witness: witness::Witness,
    output: &Output,
) -> Result<(), Failure> {
    let security = match &config.identity {
        None => Security::Plain,
        Some(identity) => {
            let tls = tls::public(identity, tls::provider()).map_err(Failure::broken)?;
            Security::Tls(TlsAcceptor::from(Arc::new(tls)))
        }
    };
    let listener = Listener {
        name: "listener",
        socket: bound("listener", config.listen).await?,
        security,
        routes: routes::routes(witness),
        connections_max: config.connections_max,
    };
    // Before anybody is told that we are ready: whoever is may tell us to stop.
    let told_to_stop = StopSignals::new()?;
    announce(std::slice::from_ref(&listener), output)?;
    listener.serve(told_to_stop.either()).await;
    Ok(())
}
