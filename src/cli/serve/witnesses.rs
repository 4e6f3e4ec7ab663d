//! Witnesses of the log: who they are, what they are asked before the start, and what keeps them up
//! to date.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::deployment::Deployment;
use crate::hsm::Hsm;
use crate::http::witness::WitnessClient;
use crate::ledger::reader::Reader;
use crate::pipeline::checkpoints::{Audit, Found};
use crate::pipeline::witnesses::{Cosigner, Witnesses, start};

use super::super::output::Failure;

/// Longest that the end of the log may take to be cosigned.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// The witnesses of the deployment, each asked what it has seen of this log.
pub(super) fn asked(
    deployment: &Deployment,
    reader: &Reader,
    audit: &Audit,
    log: &Found,
    hsm: &Hsm,
) -> Result<Witnesses, Failure> {
    let witnesses = deployment.witnesses.iter().map(WitnessClient::witness);
    let witnesses: Vec<_> = witnesses.collect::<Result<_, _>>().map_err(Failure::broken)?;
    let is_watched = !witnesses.is_empty();
    let witnesses = Witnesses::load(witnesses, reader, audit).map_err(Failure::broken)?;
    if is_watched {
        let note = match log.note() {
            "" => start::empty(hsm, audit).map_err(Failure::broken)?,
            note => note.to_owned(),
        };
        start::ask(&witnesses, reader, &audit.verifier, &note).map_err(Failure::broken)?;
    }
    Ok(witnesses)
}

/// Works until `stopping` is true; each witness is slow or down on its own.
pub(super) async fn keep(cosigners: &mut Vec<Cosigner>, stopping: &watch::Receiver<bool>) {
    let mut working = JoinSet::new();
    for mut cosigner in cosigners.drain(..) {
        let mut stopping = stopping.clone();
        working.spawn(async move {
            cosigner.run(&mut stopping).await;
            cosigner
        });
    }
    while let Some(ended) = working.join_next().await {
        cosigners.extend(ended);
    }
}

/// Has the end of the log cosigned by those who answer soon.
pub(super) async fn finish(cosigners: &mut Vec<Cosigner>) {
    let mut working = JoinSet::new();
    for mut cosigner in cosigners.drain(..) {
        working.spawn(async move { cosigner.submit().await });
    }
    if tokio::time::timeout(END_WAIT_MAX, working.join_all()).await.is_err() {
        tracing::warn!("the end of the log is not cosigned; the next start submits it");
    }
}
