//! The threads that own sessions, as the rest of the daemon sees them: places in a bounded queue,
//! signatures, and what each token's state is.
//!
//! Nothing here waits: a place is there or it is not, and an answer comes over a channel. A token
//! whose sessions all fail or hang is *down* and refuses places until a session works again; the
//! other tokens are not affected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::key::{KeyId, PublicKey, Purpose, Signature};
use crate::domain::notification::message::NotificationMessage;
use crate::log::message::AuditMessage;

use super::token::{TokenError, TokenModule};
use super::worker::{Inbox, Job, Worker};

mod answers;
mod breaker;
#[cfg(test)]
mod doubles;
#[cfg(test)]
mod tests;

pub use answers::{SignFailure, TokenStatus, Unavailable};
pub(in crate::hsm) use breaker::{PinnedKey, TokenState};

/// Most audit messages that wait for one token. They have a queue of their own, which workers look
/// at first: payments do not crowd them out, and there are never more than a few a second.
const AUDIT_QUEUE_MAX: usize = 8;
/// Most notifications that wait for one token. Each of those who tell waits for its own.
const NOTIFICATION_QUEUE_MAX: usize = 64;
/// Longest that the first session of a token may take to open, in seconds.
const START_SECONDS_MAX: u64 = 30;

/// How one token is to be worked with.
pub struct TokenPlan {
    /// Where sessions come from.
    pub module: Arc<dyn TokenModule>,
    /// Sessions, each with a thread of its own; at least one.
    pub sessions: usize,
    /// Most signatures that wait, those being signed not counted; at least one.
    pub queue: usize,
    /// A call that lasts longer counts as stuck.
    pub deadline: Duration,
    /// The keys that sign, with the public halves that signatures are verified against; see
    /// [`public_keys`]. A key belongs to one plan.
    pub keys: Vec<PlannedKey>,
}

/// A key that signs.
#[derive(Debug, Clone)]
pub struct PlannedKey {
    /// Its name.
    pub id: KeyId,
    /// What it signs: a settlement key payments, an audit key audit messages, a notification key
    /// notifications, others nothing yet.
    pub purpose: Purpose,
    /// What its signatures are verified against.
    pub public: PublicKey,
}

/// The public halves of keys, read from a session that compared them with their pins.
///
/// # Errors
/// Any [`TokenError`] of opening a session.
pub fn public_keys(
    module: &dyn TokenModule,
    keys: impl IntoIterator<Item = (KeyId, Purpose)>,
) -> Result<Vec<PlannedKey>, TokenError> {
    let mut session = module.open()?;
    keys.into_iter()
        .map(|(id, purpose)| {
            let public = session.public_key(&id)?;
            Ok(PlannedKey { id, purpose, public })
        })
        .collect()
}

/// A place in the queue of one token, given back when it is dropped or a worker takes the job.
pub struct Permit(Arc<TokenState>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Every token of the daemon. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Hsm(Arc<Inner>);

struct Inner {
    lines: Vec<Line>,
    line_of_key: BTreeMap<KeyId, usize>,
    /// Disconnected when the threads are to end; nothing is ever sent.
    closing: Mutex<Option<Sender<()>>>,
    /// Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

/// The queues of one token.
struct Line {
    state: Arc<TokenState>,
    queues: RwLock<Option<Queues>>,
}

/// Where jobs are put.
struct Queues {
    payments: Sender<Job>,
    audit: Sender<Job>,
    notifications: Sender<Job>,
}

/// What every thread is given: how it learns to end, and tells that it has.
#[derive(Clone)]
struct Lifeline {
    closing: Receiver<()>,
    ended: Sender<()>,
}

impl Hsm {
    /// Starts the threads. The first session of every token is open when this returns, so that the
    /// daemon does not start with a token that it would refuse; further sessions open meanwhile.
    ///
    /// `monotonic` tells the time for deadlines.
    ///
    /// # Errors
    /// The first [`TokenError`] of any token.
    pub fn start(plans: Vec<TokenPlan>, monotonic: fn() -> Instant) -> Result<Self, TokenError> {
        let (closer, closing) = bounded(0);
        let (alive, ended) = bounded(0);
        let lifeline = Lifeline { closing, ended: alive };
        let mut lines = Vec::with_capacity(plans.len());
        let mut line_of_key = BTreeMap::new();
        for plan in plans {
            line_of_key.extend(plan.keys.iter().map(|key| (key.id.clone(), lines.len())));
            lines.push(Line::start(plan, &lifeline, monotonic)?);
        }
        let closing = Mutex::new(Some(closer));
        Ok(Self(Arc::new(Inner { lines, line_of_key, closing, ended })))
    }

    /// Takes a place in the queue of the key's token, before the ledger reserves anything.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn permit(&self, key: &KeyId) -> Result<Permit, Unavailable> {
        let settles = |line: &&Line| line.state.purpose(key) == Some(Purpose::Settlement);
        let line = self.line(key).filter(settles);
        let line = line.ok_or_else(|| Unavailable::UnknownKey(key.clone()))?;
        if !line.state.usable() {
            let (token, reason) = (line.state.name().to_owned(), line.state.reason());
            return Err(Unavailable::Down { token, reason });
        }
        if !line.state.take_place() {
            return Err(Unavailable::Overloaded);
        }
        Ok(Permit(line.state.clone()))
    }

    /// Has one payment signed. A receiver that is dropped before a worker takes the job means that
    /// the token is not asked; a closed channel means a failure like any other.
    pub fn sign(
        &self,
        authorization: SigningAuthorization,
        permit: Permit,
    ) -> oneshot::Receiver<Result<Signed, SignFailure>> {
        let (reply, answer) = oneshot::channel();
        let line = self.line(authorization.key());
        let Some(line) = line.filter(|line| Arc::ptr_eq(&line.state, &permit.0)) else {
            refuse(reply, "the permit is for another token");
            return answer;
        };
        // It cannot be full: it has as many places as there are permits.
        line.put(Job::Payment { authorization, permit, reply }, |queues| &queues.payments);
        answer
    }

    /// Has an audit key sign the head of a log. What comes back has been verified against the
    /// pinned key and is as notes have it: 64 bytes of Ed25519, or P-256 in DER.
    ///
    /// It takes no permit and waits for no payment but those that are being signed.
    pub fn sign_audit(
        &self,
        key: &KeyId,
        message: AuditMessage,
    ) -> oneshot::Receiver<Result<Vec<u8>, SignFailure>> {
        let (reply, answer) = oneshot::channel();
        match self.line(key) {
            None => refuse(reply, "no token has the key"),
            Some(line) => {
                let job = Job::Audit { key: key.clone(), message, reply };
                line.put(job, |queues| &queues.audit);
            }
        }
        answer
    }

    /// Has a notification key sign a request that tells an event. What comes back has been verified
    /// against the pinned key. Payments and heads of the log come first.
    pub fn sign_notification(
        &self,
        key: &KeyId,
        message: NotificationMessage,
    ) -> oneshot::Receiver<Result<Signature, SignFailure>> {
        let (reply, answer) = oneshot::channel();
        match self.line(key) {
            None => refuse(reply, "no token has the key"),
            Some(line) => {
                let job = Job::Notification { key: key.clone(), message, reply };
                line.put(job, |queues| &queues.notifications);
            }
        }
        answer
    }

    /// The state of every token, in the order of the plans.
    pub fn status(&self) -> Vec<TokenStatus> {
        self.0.lines.iter().map(|line| line.state.status()).collect()
    }

    /// Takes no more jobs, lets the workers finish those that wait, and waits at most `wait` for
    /// the threads to close their sessions. Tells whether they all have; a stuck one has not.
    pub fn shutdown(&self, wait: Duration) -> bool {
        for line in &self.0.lines {
            *line.queues.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        *self.0.closing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    fn line(&self, key: &KeyId) -> Option<&Line> {
        self.0.lines.get(*self.0.line_of_key.get(key)?)
    }
}

fn refuse<T>(reply: oneshot::Sender<Result<T, SignFailure>>, reason: &'static str) {
    // Whoever is gone does not mind.
    drop(reply.send(Err(SignFailure::NotAsked { reason })));
}

impl Line {
    fn start(
        plan: TokenPlan,
        lifeline: &Lifeline,
        monotonic: fn() -> Instant,
    ) -> Result<Self, TokenError> {
        let (payments, payment_jobs) = bounded(plan.queue.max(1));
        let (audit, audit_jobs) = bounded(AUDIT_QUEUE_MAX);
        let (notifications, notification_jobs) = bounded(NOTIFICATION_QUEUE_MAX);
        let state = Arc::new(TokenState::new(&plan, monotonic)?);
        let worker = |seat| {
            let closing = lifeline.closing.clone();
            let (audit, payments) = (audit_jobs.clone(), payment_jobs.clone());
            let inbox = Inbox::new(audit, payments, notification_jobs.clone());
            Worker::new(state.clone(), plan.module.clone(), seat, inbox, closing)
        };
        let (tell, opened) = bounded(1);
        spawn(worker(0), lifeline, Some(tell))?;
        match opened.recv_timeout(Duration::from_secs(START_SECONDS_MAX)) {
            Ok(first) => first?,
            Err(_) => {
                let function = "C_OpenSession";
                return Err(TokenError::Timeout { function, seconds: START_SECONDS_MAX });
            }
        }
        for seat in 1..plan.sessions {
            spawn(worker(seat), lifeline, None)?;
        }
        Ok(Self { state, queues: RwLock::new(Some(Queues { payments, audit, notifications })) })
    }

    /// Puts a job into one of the queues, or answers it at once.
    fn put(&self, job: Job, queue: impl FnOnce(&Queues) -> &Sender<Job>) {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let (job, reason) = match queues.as_ref().map(queue) {
            None => (job, "the daemon is stopping"),
            Some(queue) => match queue.try_send(job) {
                Ok(()) => return,
                Err(TrySendError::Full(job)) => (job, "as many as may wait are waiting"),
                Err(TrySendError::Disconnected(job)) => (job, "its threads have ended"),
            },
        };
        job.refuse(SignFailure::NotAsked { reason });
    }
}

/// Starts a thread; the first of a token tells whether its session could be opened.
fn spawn(
    mut worker: Worker,
    lifeline: &Lifeline,
    tell: Option<Sender<Result<(), TokenError>>>,
) -> Result<(), TokenError> {
    let (name, token) = (worker.thread_name(), worker.token_name());
    let ended = lifeline.ended.clone();
    let body = move || {
        let usable = match tell {
            None => true,
            Some(tell) => {
                let first = worker.open_first();
                let usable = first.is_ok();
                tell.send(first).is_ok() && usable
            }
        };
        if usable {
            worker.run();
        }
        // Sessions are closed before the end is told.
        drop(worker);
        drop(ended);
    };
    let spawned = std::thread::Builder::new().name(name).spawn(body);
    spawned.map(drop).map_err(|source| TokenError::Thread { token, source })
}
