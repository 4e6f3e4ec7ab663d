//! `countersign serve`: checks everything, then runs until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::config::policy;
use crate::http::listener::Listener;
use crate::pipeline::Pipeline;
use crate::pipeline::anchors::Anchorer;
use crate::pipeline::checkpoints::Checkpointer;
use crate::pipeline::witnesses::Cosigner;

use super::output::{Exit, Failure, Output};
use super::{Deployed, agreement};

mod assembly;
mod chores;
mod couriers;
mod witnesses;

use assembly::{Daemon, Services};
pub(super) use assembly::{audit_of, bound};
use couriers::Couriers;

/// Longest that payments being signed may take to finish at the end.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest that the end of the log may take to be signed and anchored.
const RECORD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest that the tokens' threads may take to close their sessions.
const TOKENS_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest that reads in progress may take at the end.
const READS_WAIT_MAX: Duration = Duration::from_secs(2);

pub(super) fn run(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    crate::telemetry::init(deployment.log).map_err(Failure::broken)?;
    let policy = policy::load(&deployment.policy).map_err(Failure::broken)?;
    let problems = agreement::check(&deployment, &policy);
    if !problems.0.is_empty() {
        return Err(Failure::broken(format!(
            "{} and {} disagree:\n{problems}",
            deployed.config.display(),
            deployment.policy.display()
        )));
    }
    let daemon = assembly::build(&deployment, policy, Clock::system())?;
    let Daemon { services, checkpointer, anchorer, hsm, writer } = daemon;
    let cosigners = services.pipeline.cosigners();
    let record = Record { checkpointer, anchorer, cosigners };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .build()
        .map_err(Failure::broken)?;
    let served = runtime.block_on(serve(&deployment, services, record, output));
    if !hsm.shutdown(TOKENS_WAIT_MAX) {
        tracing::warn!("a token session is stuck and was left behind");
    }
    runtime.shutdown_timeout(READS_WAIT_MAX);
    writer.join();
    tracing::info!("stopped");
    served.map(|()| Exit::Done)
}

/// Serves all listeners until a signal, then lets what is being signed finish.
async fn serve(
    deployment: &Deployment,
    mut services: Services,
    mut record: Record,
    output: &Output,
) -> Result<(), Failure> {
    let pipeline = services.pipeline.clone();
    let callers = Arc::clone(&services.callers);
    let (stop, stopping) = watch::channel(false);
    let routes = std::mem::take(&mut services.routes);
    let (couriers, board) = Couriers::of(routes, &pipeline).await?;
    let listeners = services.listen(deployment, stopping.clone(), board).await?;
    // Before anybody is told that we are ready: whoever is may tell us to stop.
    let told_to_stop = StopSignals::new()?;
    // Puts the start on the log. What hinders it is told in readiness.
    drop(pipeline.ledger().probe().await);
    announce(&listeners, output)?;

    let couriers = couriers.go(&stopping);
    let mut chores = chores::start(&pipeline, &callers, &deployment.keeping);
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let mut stopping = stopping.clone();
        serving.spawn(listener.serve(async move {
            // A closed channel means the same as its signal.
            drop(stopping.wait_for(|stop| *stop).await);
        }));
    }
    let (log, until) = (pipeline.clone(), stopping.clone());
    let recording = tokio::spawn(async move {
        record.keep(&log, until).await;
        record
    });
    told_to_stop.either().await;
    tracing::info!("stopping: no new connections, requests in progress finish");
    stop.send_replace(true);
    while serving.join_next().await.is_some() {}
    chores.shutdown().await;
    couriers.come_back().await;
    if tokio::time::timeout(IDLE_WAIT_MAX, pipeline.idle()).await.is_err() {
        tracing::warn!("payments are in doubt at the end; they are signed again at the next start");
    }
    chores::count_strangers(&pipeline, &callers);
    pipeline.record_stop().await;
    let ending = async {
        if let Ok(mut record) = recording.await {
            record.finish(&pipeline).await;
        }
    };
    if tokio::time::timeout(RECORD_WAIT_MAX, ending).await.is_err() {
        tracing::warn!("the end of the log is not signed: a token hangs; the next start signs it");
    }
    Ok(())
}

/// What signs the heads of the log, has the tokens remember them and the witnesses cosign them.
struct Record {
    checkpointer: Checkpointer,
    anchorer: Anchorer,
    cosigners: Vec<Cosigner>,
}

impl Record {
    /// Works until `stopping` is true.
    async fn keep(&mut self, pipeline: &Pipeline, stopping: watch::Receiver<bool>) {
        let (mut one, mut other) = (stopping.clone(), stopping.clone());
        tokio::join!(
            self.checkpointer.run(&mut one),
            self.anchorer.run(pipeline, &mut other),
            witnesses::keep(&mut self.cosigners, &stopping),
        );
    }

    /// Signs and anchors the end, and has it cosigned by those who answer.
    async fn finish(&mut self, pipeline: &Pipeline) {
        self.checkpointer.make().await;
        let cosigned = witnesses::finish(&mut self.cosigners);
        tokio::join!(self.anchorer.write(pipeline), cosigned);
    }
}

/// One line that scripts wait for: everything listens now, and where.
pub(super) fn announce(listeners: &[Listener], output: &Output) -> Result<(), Failure> {
    let mut places = Vec::new();
    for listener in listeners {
        places.push((listener.name, listener.address().map_err(Failure::broken)?));
    }
    if output.is_json() {
        let ready: serde_json::Map<_, _> =
            places.iter().map(|(name, at)| ((*name).to_owned(), at.to_string().into())).collect();
        output.line(&serde_json::json!({ "ready": ready }).to_string());
    } else {
        let places: Vec<String> =
            places.iter().map(|(name, address)| format!("{name}={address}")).collect();
        output.line(&format!("ready {}", places.join(" ")));
    }
    Ok(())
}

/// SIGTERM and SIGINT, caught from the moment that this is made.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn new() -> Result<Self, Failure> {
        let caught = |kind| signal(kind).map_err(Failure::broken);
        let terminate = caught(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: caught(SignalKind::interrupt())? })
    }

    pub(super) async fn either(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
