//! Events that concern no payment.

use super::REASON_CHARS_MAX;
use crate::domain::canonical::Value;
use crate::domain::time::Timestamp;

/// What happened to the daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is ready to decide.
    Started {
        /// Release of the daemon.
        release: String,
        /// Version of the policy in force.
        policy: String,
        /// Head of the log that it found: number of leaves.
        leaves: u64,
    },
    /// It was told to stop, and decides nothing more.
    Stopped,
    /// The clock was not believed for a while; nothing was decided meanwhile.
    ClockRefused {
        /// Why, as readiness told it.
        reason: String,
    },
    /// A token stopped answering.
    TokenDown {
        /// Its name.
        token: String,
        /// What it answered.
        reason: String,
    },
    /// A token answers again.
    TokenUp {
        /// Its name.
        token: String,
    },
    /// One of the two anchors of a token was not there at start, as after a crash in the middle of
    /// a writing, or because somebody deleted it. It was made anew.
    AnchorGone {
        /// The token's name.
        token: String,
    },
    /// A witness has seen another log under our name, or more of it than we have. Nothing is
    /// signed any more.
    WitnessContradicts {
        /// Its name.
        witness: String,
        /// What it has seen.
        reason: String,
    },
    /// Payments were erased: their leaves, identifiers and sums are left.
    Erased {
        /// How many.
        payments: u64,
        /// They were final since before this instant.
        before: Timestamp,
        /// Position of the first decision on one of them.
        first: u64,
        /// Position of the last decision on one of them.
        last: u64,
    },
    /// Payments were moved to an archive: their leaves, identifiers and sums are left.
    Archived(Archived),
    /// What a caller was refused within a minute without a decision.
    Unserved(Unserved),
}

/// Payments that were moved to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Number of the archive, from 1.
    pub archive: u64,
    /// SHA-256 of the file, as `sha256sum` prints it.
    pub sha256: String,
    /// How many payments it holds.
    pub payments: u64,
    /// They were final since before this instant.
    pub before: Timestamp,
    /// Position of the first decision on one of them.
    pub first: u64,
    /// Position of the last decision on one of them.
    pub last: u64,
}

/// Requests of one caller within one minute that were refused before there was anything to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The caller; empty for those who could not prove to be one.
    pub caller: String,
    /// The minute's first instant.
    pub minute: Timestamp,
    /// How many there were, by the name of the refusal.
    pub refusals: Vec<(&'static str, u64)>,
}

impl Event {
    /// The leaf's `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped => "stopped",
            Self::ClockRefused { .. } => "clock_refused",
            Self::TokenDown { .. } => "token_down",
            Self::TokenUp { .. } => "token_up",
            Self::AnchorGone { .. } => "anchor_gone",
            Self::WitnessContradicts { .. } => "witness_contradicts",
            Self::Erased { .. } => "erased",
            Self::Archived(_) => "archived",
            Self::Unserved(_) => "unserved",
        }
    }

    pub(super) fn members(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Started { release, policy, leaves } => vec![
                ("release", Value::text(release)),
                ("policy", Value::text(policy)),
                ("leaves", Value::text(leaves)),
            ],
            Self::Stopped => Vec::new(),
            Self::ClockRefused { reason } => vec![("reason", shortened(reason))],
            Self::TokenDown { token, reason } => {
                vec![("token", Value::text(token)), ("reason", shortened(reason))]
            }
            Self::TokenUp { token } | Self::AnchorGone { token } => {
                vec![("token", Value::text(token))]
            }
            Self::WitnessContradicts { witness, reason } => {
                vec![("witness", Value::text(witness)), ("reason", shortened(reason))]
            }
            Self::Erased { payments, before, first, last } => vec![
                ("payments", Value::text(payments)),
                ("before", Value::text(before)),
                ("first", Value::text(first)),
                ("last", Value::text(last)),
            ],
            Self::Archived(moved) => vec![
                ("archive", Value::text(moved.archive)),
                ("sha256", Value::text(&moved.sha256)),
                ("payments", Value::text(moved.payments)),
                ("before", Value::text(moved.before)),
                ("first", Value::text(moved.first)),
                ("last", Value::text(moved.last)),
            ],
            Self::Unserved(Unserved { caller, minute, refusals }) => {
                let refusals = refusals.iter().map(|(name, count)| (*name, Value::text(count)));
                vec![
                    ("caller", Value::text(caller)),
                    ("minute", Value::text(minute)),
                    ("refusals", Value::Object(refusals.collect())),
                ]
            }
        }
    }
}

/// What others wrote, so that no leaf grows past its bound.
fn shortened(text: &str) -> Value {
    Value::Text(text.chars().take(REASON_CHARS_MAX).collect())
}
