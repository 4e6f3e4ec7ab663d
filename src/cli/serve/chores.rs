//! What the daemon does beside answering: until it stops, again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::deployment::Keeping;
use crate::http::callers::CallerVerifier;
use crate::pipeline::Pipeline;
use crate::pipeline::unserved::Cause;

/// Pause between looks at the revocation list.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Pause between leaves about what was refused without a decision.
const UNSERVED_EVERY: Duration = Duration::from_secs(60);

/// Starts them; they end when the set is dropped.
pub(super) fn start(
    pipeline: &Pipeline,
    callers: &Arc<CallerVerifier>,
    keeping: &Keeping,
) -> JoinSet<()> {
    let mut chores = JoinSet::new();
    let resuming = pipeline.clone();
    chores.spawn(async move { resuming.resume_in_doubt().await });
    let waiting = pipeline.clone();
    chores.spawn(async move { waiting.tend_waiting().await });
    let watching = pipeline.clone();
    chores.spawn(async move { watching.record_tokens().await });
    if let Some(retention) = keeping.retention {
        let erasing = pipeline.clone();
        chores.spawn(async move { erasing.erase_when_due(retention).await });
    }
    let refreshed = Arc::clone(callers);
    chores.spawn(async move {
        loop {
            tokio::time::sleep(REFRESH_EVERY).await;
            let callers = Arc::clone(&refreshed);
            drop(tokio::task::spawn_blocking(move || callers.refresh()).await);
        }
    });
    let (counting, turned_away) = (pipeline.clone(), Arc::clone(callers));
    chores.spawn(async move {
        loop {
            tokio::time::sleep(UNSERVED_EVERY).await;
            count_strangers(&counting, &turned_away);
            counting.record_unserved().await;
        }
    });
    chores
}

/// Counts the connections that showed no caller.
pub(super) fn count_strangers(pipeline: &Pipeline, callers: &CallerVerifier) {
    pipeline.tally().count("", Cause::Unauthenticated, callers.take_turned_away());
}
