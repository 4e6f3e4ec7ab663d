//! When a signature may leave: none is made or recorded after a halt; above `anchored_from` it
//! waits until a token remembers its leaf or a witness has cosigned it; and where signing waits for
//! a witness, until that one has.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::ledger::{PaymentRecord, State};

use super::{Pipeline, Refusal};

/// What holds signatures back.
#[derive(Default)]
pub(super) struct Release {
    halted: OnceLock<Arc<str>>,
    anchored: watch::Sender<u64>,
}

impl Pipeline {
    /// Stops signing until the daemon is started again; the first reason is the one that is told.
    pub fn halt(&self, reason: impl std::fmt::Display) {
        let reason: Arc<str> = reason.to_string().into();
        if self.release.halted.set(Arc::clone(&reason)).is_ok() {
            tracing::error!(%reason, "nothing is signed any more until a person has looked");
        }
    }

    /// Why nothing is signed any more.
    pub fn halted(&self) -> Option<&Arc<str>> {
        self.release.halted.get()
    }

    pub(super) fn check_not_halted(&self) -> Result<(), Refusal> {
        self.halted().map_or(Ok(()), |reason| Err(Refusal::Halted(Arc::clone(reason))))
    }

    /// Number of leaves that a token remembers.
    pub fn anchored(&self) -> u64 {
        *self.release.anchored.borrow()
    }

    /// Has everybody look again who waits for a signature to be released.
    pub(super) fn look_again(&self) {
        self.release.anchored.send_modify(|_| {});
    }

    pub(super) fn anchored_up_to(&self, size: u64) {
        self.release.anchored.send_replace(size);
    }

    /// Whether the signature of a payment may leave now.
    pub fn is_released(&self, record: &PaymentRecord) -> bool {
        if !matches!(record.state, State::Posted { .. }) {
            return true;
        }
        let key = self.parts.policy.keys.get(record.payment.key());
        let bound = key.and_then(|key| key.anchored_from);
        let small = bound.is_none_or(|from| record.payment.amount().minor_units() < from);
        let Some(leaf) = record.outcome_leaf else { return false };
        let witnesses = &self.parts.witnesses;
        let covered = small || leaf < self.anchored() || leaf < witnesses.covered();
        covered && witnesses.let_leave(leaf)
    }

    /// Waits until the signature of a payment may leave, at most this long.
    pub async fn released(&self, record: &PaymentRecord, wait: Duration) -> bool {
        let mut anchored = self.release.anchored.subscribe();
        let released = async {
            while !self.is_released(record) {
                if anchored.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        // A wait of nothing asks once.
        tokio::time::timeout(wait, released).await.unwrap_or(false) || self.is_released(record)
    }
}
