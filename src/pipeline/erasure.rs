//! Erasing what tells of people once it is older than `retention`: in small slices through the one
//! writer, again and again.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::domain::ledger::{Closing, Erasure};
use crate::domain::time::{self, Timestamp};

use super::Pipeline;

/// Pause between two passes. What has become due in between is erased that much later.
const EVERY: Duration = Duration::from_secs(600);
/// Payments that are erased in one commit.
const SLICE: usize = 64;
/// Pause between two slices, so that payments do not wait for many of them.
const SLICE_PAUSE: Duration = Duration::from_millis(20);

impl Pipeline {
    /// Erases payments that were final for so long, for as long as it is polled: at once, and then
    /// every ten minutes.
    pub async fn erase_when_due(&self, retention: time::Duration) {
        loop {
            let before = self.now().minus(retention);
            match self.erase(before).await {
                Ok(0) => {}
                Ok(payments) => tracing::info!(payments, %before, "payments were erased"),
                Err(refused) => {
                    tracing::warn!(%refused, "payments that are due are not erased yet")
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Erases the payments that were final before an instant, and tells how many they were.
    async fn erase(&self, before: Timestamp) -> Result<usize, super::Refusal> {
        let mut erased: usize = 0;
        loop {
            // A daemon that may not be the only one changes nothing.
            self.check_not_halted()?;
            let payments = self.read(move |parts| slice(parts, before)).await?;
            let is_last = payments.len() < SLICE;
            erased = erased.saturating_add(payments.len());
            // Also a pass that finds nothing sees to the files once: an earlier one may have been
            // broken off.
            self.parts.ledger.erase(Erasure { before, payments, is_last }).await?;
            if is_last {
                return Ok(erased);
            }
            tokio::time::sleep(SLICE_PAUSE).await;
        }
    }
}

fn slice(
    parts: &super::Parts,
    before: Timestamp,
) -> Result<Vec<Closing>, crate::ledger::sqlite::StoreError> {
    let mut payments = Vec::with_capacity(SLICE);
    parts.reader.due(before, |payment| {
        payments.push(payment);
        match payments.len() < SLICE {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(payments)
}
