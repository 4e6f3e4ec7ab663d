//! What a worker is asked for: jobs of the three queues of its token, audit messages first and
//! notifications last.

use std::time::Duration;

use crossbeam_channel::{Receiver, never, select_biased};
use tokio::sync::oneshot;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::key::{KeyId, Signature};
use crate::domain::notification::message::NotificationMessage;
use crate::hsm::pool::{Permit, SignFailure};
use crate::log::message::AuditMessage;

/// One signature to be made. These three are all that a token is ever asked to sign (P6).
pub(in crate::hsm) enum Job {
    /// A payment, by a settlement key.
    Payment {
        authorization: SigningAuthorization,
        permit: Permit,
        reply: oneshot::Sender<Result<Signed, SignFailure>>,
    },
    /// The head of a log, by an audit key.
    Audit {
        key: KeyId,
        message: AuditMessage,
        reply: oneshot::Sender<Result<Vec<u8>, SignFailure>>,
    },
    /// A request that tells an event, by a notification key.
    Notification {
        key: KeyId,
        message: NotificationMessage,
        reply: oneshot::Sender<Result<Signature, SignFailure>>,
    },
}

impl Job {
    /// Answers without a signature. Whoever is gone does not mind.
    pub(in crate::hsm) fn refuse(self, failure: SignFailure) {
        match self {
            Self::Payment { reply, .. } => drop(reply.send(Err(failure))),
            Self::Audit { reply, .. } => drop(reply.send(Err(failure))),
            Self::Notification { reply, .. } => drop(reply.send(Err(failure))),
        }
    }
}

/// What [`Inbox::next`] found.
pub(super) enum Next {
    /// A job.
    Job(Job),
    /// None within the time.
    Nothing,
    /// There will be none any more.
    Closed,
}

/// Which queue.
#[derive(Debug, Clone, Copy)]
pub(super) enum Queue {
    Audit,
    Payments,
    Notifications,
}

/// The receiving ends of the queues; every worker of a token has its own.
pub(in crate::hsm) struct Inbox {
    /// `None` once it was found closed and empty, and so for the next.
    audit: Option<Receiver<Job>>,
    payments: Option<Receiver<Job>>,
    notifications: Option<Receiver<Job>>,
}

/// A receiver of each queue.
pub(super) struct Receivers {
    pub(super) audit: Receiver<Job>,
    pub(super) payments: Receiver<Job>,
    pub(super) notifications: Receiver<Job>,
}

impl Inbox {
    pub(in crate::hsm) fn new(
        audit: Receiver<Job>,
        payments: Receiver<Job>,
        notifications: Receiver<Job>,
    ) -> Self {
        let (audit, payments) = (Some(audit), Some(payments));
        Self { audit, payments, notifications: Some(notifications) }
    }

    /// The next job: an audit message if there is one, a notification if there is nothing else.
    /// Whoever waits for a payment never waits for somebody to be told of another.
    pub(super) fn next(&mut self, wait: Duration) -> Next {
        loop {
            let Receivers { audit, payments, notifications } = self.unless(false);
            let (queue, job) = select_biased! {
                recv(audit) -> job => (Queue::Audit, job),
                recv(payments) -> job => (Queue::Payments, job),
                recv(notifications) -> job => (Queue::Notifications, job),
                default(wait) => return Next::Nothing,
            };
            match job {
                Ok(job) => return Next::Job(job),
                Err(_) if !self.close(queue) => return Next::Closed,
                Err(_) => {}
            }
        }
    }

    /// All receivers, for a `select!`; such that nothing ever comes, if others are to take it.
    pub(super) fn unless(&self, others: bool) -> Receivers {
        let open = |queue: &Option<Receiver<Job>>| match queue {
            Some(queue) if !others => queue.clone(),
            _ => never(),
        };
        Receivers {
            audit: open(&self.audit),
            payments: open(&self.payments),
            notifications: open(&self.notifications),
        }
    }

    /// Forgets a queue that was closed; tells whether another one is open.
    pub(super) fn close(&mut self, queue: Queue) -> bool {
        match queue {
            Queue::Audit => self.audit = None,
            Queue::Payments => self.payments = None,
            Queue::Notifications => self.notifications = None,
        }
        [&self.audit, &self.payments, &self.notifications].into_iter().any(Option::is_some)
    }
}
