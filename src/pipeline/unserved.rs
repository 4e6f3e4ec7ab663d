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
pub struct Tally(Mutex<BTreeMap<String, Causes>>);

type Causes = BTreeMap<Cause, u64>;

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
    fn take(&self) -> BTreeMap<String, Causes> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pipeline {
    /// Where refusals without a decision are counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Puts what was counted on the log. What the ledger does not take is counted again.
    pub async fn record_unserved(&self) {
        let now = self.now().unix_ms();
        let minute = Timestamp::from_unix_ms(now - now.rem_euclid(MINUTE_MS));
        for (caller, causes) in self.tally.take() {
            let refusals = causes.iter().map(|(cause, count)| (cause.name(), *count)).collect();
            let event = Event::Unserved(Unserved { caller: caller.clone(), minute, refusals });
            if let Err(failure) = self.parts.ledger.record(event).await {
                tracing::warn!(%failure, "refusals of a minute are not on the log yet");
                causes.iter().for_each(|(cause, count)| self.tally.count(&caller, *cause, *count));
            }
        }
    }
}
