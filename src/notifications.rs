//! Telling: events of the log on their way to gateways and people.
//!
//! A *route* is one addressee of one caller's events. It reads the log from where it came to, in
//! order, tells each event until it is taken or given up, and keeps how far it came beside the log.
//! So an event is told at least once, under the same id each time, and neither a crash nor an
//! addressee that is gone for days loses one. What is given up is a *dead letter*, for a person.
//!
//! This room decides nothing, holds nobody up (routes know nothing of each other, and payments
//! nothing of routes), and tells nothing but what is durable.
//!
//! - [`courier`]: one route at work. [`board`]: how the routes stand.
//! - [`webhook`], [`mail`]: the two channels.

pub mod board;
pub mod courier;
pub mod mail;
pub mod webhook;

use crate::domain::notification::Event;
use crate::domain::time::Timestamp;

use mail::{Mailbox, Notice};
use webhook::Webhook;

/// Over what somebody is told. The set is closed.
pub enum Channel {
    /// A signed request to a gateway.
    Webhook(Webhook),
    /// A mail to a person, or to a list of them.
    Mail(Mailbox),
}

impl Channel {
    /// The word in figures and listings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }

    /// Tells an event, once. It may have arrived also where this fails.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn tell(&self, event: &Event, now: Timestamp) -> Result<(), Missed> {
        match self {
            Self::Webhook(webhook) => webhook.tell(event, now).await,
            Self::Mail(mailbox) => {
                let id = event.id().to_string();
                mailbox.tell(&Notice::Happened(event), &id, now).await
            }
        }
    }
}

/// Why an addressee was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// We could not ask: no fault of the addressee's, and no attempt.
    #[error("nothing was sent: {0}")]
    NotSent(String),
    /// It did not take it, this time.
    #[error("{reason}")]
    Failed {
        /// What happened.
        reason: String,
        /// Seconds after which it asked to be tried again.
        retry_after_s: Option<u32>,
    },
    /// It will never take it.
    #[error("{0}")]
    Refused(String),
}

impl Missed {
    fn failed(reason: impl ToString) -> Self {
        Self::Failed { reason: reason.to_string(), retry_after_s: None }
    }
}

/// Runs what blocks, on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Missed> + Send + 'static,
) -> Result<T, Missed> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|broken| Err(Missed::NotSent(broken.to_string())))
}
