//! What was refused before there was anything to decide: counted by caller, and put on the log as
//! one leaf a minute, so that noise is on the record and cannot fill the disk (P7).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::leaf::{Event, Unserved};
use crate::domain::time::Timestamp;

use super::Pipeline;

/// Length of a minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// Why a request was refused without a decision. The set is closed, so that nobody can make up
/// names for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No certificate of a caller, or one that no longer holds.
    Unauthenticated,
    /// The request could not be read.
    Malformed,
    /// The idempotency key belongs to another payment.
    Conflict,
    /// Nothing there, or nothing that the caller may see.
    NotFound,
    /// Too much at a time.
    Overload,
    /// We failed.
    Unavailable,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Overload => "overload",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Counts since the last leaf. Callers are those of the policy, and one more for those who are
/// none: the tally is bounded.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<String, BTreeMap<Cause, u64>>>);

impl Tally {
    /// Counts refusals; an empty caller is one who could not prove to be any.
    pub fn count(&self, caller: &str, cause: Cause, times: u64) {
        if times == 0 {
            return;
        }
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let causes = match tally.get_mut(caller) {
            Some(causes) => causes,
            None => tally.entry(caller.to_owned()).or_default(),
        };
        let count = causes.entry(cause).or_default();
        *count = count.saturating_add(times);
    }

    /// Takes everything that was counted.
    fn take(&self, now: Timestamp) -> Vec<Unserved> {
        let tally = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let minute = Timestamp::from_unix_ms(now.unix_ms() - now.unix_ms().rem_euclid(MINUTE_MS));
        let leaf = |(caller, causes): (String, BTreeMap<Cause, u64>)| {
            let refusals = causes.into_iter().map(|(cause, count)| (cause.name(), count));
            Unserved { caller, minute, refusals: refusals.collect() }
        };
        tally.into_iter().map(leaf).collect()
    }
}

impl Pipeline {
    /// Where refusals without a decision are counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Puts what was counted on the log. What the ledger does not take is counted again.
    pub async fn record_unserved(&self) {
        for unserved in self.tally.take(self.now()) {
            let event = Event::Unserved(unserved.clone());
            if let Err(failure) = self.parts.ledger.record(event).await {
                tracing::warn!(%failure, "refusals of a minute are not on the log yet");
                self.count_again(&unserved);
            }
        }
    }

    fn count_again(&self, unserved: &Unserved) {
        let causes = [
            Cause::Unauthenticated,
            Cause::Malformed,
            Cause::Conflict,
            Cause::NotFound,
            Cause::Overload,
            Cause::Unavailable,
        ];
        for (name, count) in &unserved.refusals {
            if let Some(cause) = causes.into_iter().find(|cause| cause.name() == *name) {
                self.tally.count(&unserved.caller, cause, *count);
            }
        }
    }
}
