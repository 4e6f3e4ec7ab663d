//! What a worker is asked for: jobs of the two queues of its token, audit messages first.

use std::time::Duration;

use crossbeam_channel::{Receiver, never, select_biased};
use tokio::sync::oneshot;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::key::KeyId;
use crate::hsm::pool::{Permit, SignFailure};
use crate::log::message::AuditMessage;

/// One signature to be made. These two are all that a token is ever asked to sign (P6).
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
}

impl Job {
    /// Answers without a signature. Whoever is gone does not mind.
    pub(in crate::hsm) fn refuse(self, failure: SignFailure) {
        match self {
            Self::Payment { reply, .. } => drop(reply.send(Err(failure))),
            Self::Audit { reply, .. } => drop(reply.send(Err(failure))),
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
}

/// The receiving ends of both queues; every worker of a token has its own.
pub(in crate::hsm) struct Inbox {
    /// `None` once it was found closed and empty, and so for the next.
    audit: Option<Receiver<Job>>,
    payments: Option<Receiver<Job>>,
}

impl Inbox {
    pub(in crate::hsm) fn new(audit: Receiver<Job>, payments: Receiver<Job>) -> Self {
        Self { audit: Some(audit), payments: Some(payments) }
    }

    /// The next job, an audit message if there is one.
    pub(super) fn next(&mut self, wait: Duration) -> Next {
        loop {
            let (audit, payments) = self.unless(false);
            let (queue, job) = select_biased! {
                recv(audit) -> job => (Queue::Audit, job),
                recv(payments) -> job => (Queue::Payments, job),
                default(wait) => return Next::Nothing,
            };
            match job {
                Ok(job) => return Next::Job(job),
                Err(_) if !self.close(queue) => return Next::Closed,
                Err(_) => {}
            }
        }
    }

    /// Both receivers, for a `select!`; such that nothing ever comes, if others are to take it.
    pub(super) fn unless(&self, others: bool) -> (Receiver<Job>, Receiver<Job>) {
        let open = |queue: &Option<Receiver<Job>>| match queue {
            Some(queue) if !others => queue.clone(),
            _ => never(),
        };
        (open(&self.audit), open(&self.payments))
    }

    /// Forgets a queue that was closed; tells whether the other one is open.
    pub(super) fn close(&mut self, queue: Queue) -> bool {
        match queue {
            Queue::Audit => self.audit = None,
            Queue::Payments => self.payments = None,
        }
        self.audit.is_some() || self.payments.is_some()
    }
}
