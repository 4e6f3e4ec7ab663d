//! The trust story of one payment: reserve, authorise, sign, post.
//!
//! [`Pipeline::pay`] runs detached from whoever asked: a client that hangs up changes nothing, and
//! a retry finds the answer. What this module is not: it decides nothing (the domain does), keeps
//! nothing (the ledger does) and signs nothing (the token does). It only puts the steps in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::domain::authorization::SigningAuthorization;
use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::key::{KeyId, Kid};
use crate::domain::leaf::Salt;
use crate::domain::ledger::{PaymentRecord, Posting, Reservation, Resumption, State, Submission};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::people::People;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::hsm::{Hsm, Permit, TokenStatus, Unavailable};
use crate::ledger::Ledger;
use crate::ledger::reader::{KeyVersion, Reader};

pub mod anchors;
mod asked;
pub mod checkpoints;
mod erasure;
pub mod events;
mod in_flight;
mod incidents;
pub mod published;
mod questions;
mod refusal;
pub mod release;
pub mod remains;
mod tree;
pub mod unserved;
pub mod witnesses;

pub use asked::Cancelled;
use checkpoints::{Audit, Checkpointer, Found, Published};
use in_flight::InFlight;
pub use refusal::Refusal;
use remains::Remains;
use witnesses::Witnesses;

/// Longest that a submission waits for its signature before it is told to come back.
const SUBMISSION_WAIT: Duration = Duration::from_secs(10);
/// Pause between looks at what is in doubt.
const RESUME_EVERY: Duration = Duration::from_millis(500);
/// Most reads of the ledger at a time, each on a thread and a connection of its own.
const READS_MAX: usize = 16;
/// Most payments in doubt that are taken up again at a time, per key.
const RESUME_MAX: u32 = 256;

/// Everything that a pipeline works with.
pub struct Parts {
    /// Who issues the orders.
    pub issuer: String,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Who is who.
    pub people: Arc<dyn People>,
    /// The writer of decisions.
    pub ledger: Ledger,
    /// The reader of what was decided.
    pub reader: Reader,
    /// The tokens.
    pub hsm: Hsm,
    /// The key version that signs under each name.
    pub kids: BTreeMap<KeyId, Kid>,
    /// Every key version on the record, oldest first; it grows at start alone.
    pub key_versions: Vec<KeyVersion>,
    /// The clock.
    pub clock: Clock,
    /// Who signs the heads of the log.
    pub audit: Audit,
    /// Who cosigns them.
    pub witnesses: Witnesses,
    /// Longest that a signature may take before its attempt is given up.
    pub signing_wait: Duration,
}

/// A handle on the pipeline; cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    parts: Arc<Parts>,
    in_flight: Arc<InFlight>,
    reads: Arc<Semaphore>,
    published: Arc<watch::Sender<Published>>,
    tally: Arc<unserved::Tally>,
    release: Arc<release::Release>,
}

impl Pipeline {
    /// A pipeline over these parts, and what signs the log that was found.
    pub fn new(parts: Parts, log: Found) -> (Self, Checkpointer) {
        let (growth, published) = log.part();
        let pipeline = Self {
            parts: Arc::new(parts),
            in_flight: Arc::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            published: Arc::new(published),
            tally: Arc::default(),
            release: Arc::default(),
        };
        (pipeline.clone(), Checkpointer::new(pipeline, growth))
    }

    /// Has a payment signed, or finds out what became of it. The payment's story goes on when the
    /// future of this function is dropped.
    ///
    /// # Errors
    /// [`Refusal`] where there is no decision; decisions, denials too, are records.
    pub async fn pay(
        &self,
        caller: CallerId,
        idempotency_key: IdempotencyKey,
        payment: Payment,
    ) -> Result<Arc<PaymentRecord>, Refusal> {
        let (fresh_id, salt) = (PaymentId::from_bytes(random()?), Salt::from_bytes(random()?));
        let signing_now = self.in_flight.enter(fresh_id);
        let submission = Submission {
            caller,
            idempotency_key,
            payment,
            fresh_id,
            salt,
            issuer: self.parts.issuer.clone(),
            signing_kid: None,
        };
        let story = self.clone();
        let told = tokio::spawn(async move { story.tell(submission, signing_now).await });
        told.await.unwrap_or(Err(Refusal::Abandoned))
    }

    /// The story itself.
    async fn tell(
        self,
        mut submission: Submission,
        signing_now: in_flight::Entry,
    ) -> Result<Arc<PaymentRecord>, Refusal> {
        // A place at the token first: what is admitted must be able to be signed. Whoever may not
        // use the key gets none, so that denials do not keep others waiting.
        self.check_not_halted()?;
        let key = submission.payment.key();
        let place = match self.parts.policy.keys.get(key) {
            Some(policy) if policy.callers.contains(&submission.caller) => {
                self.parts.hsm.permit(key)
            }
            _ => Err(Unavailable::UnknownKey(key.clone())),
        };
        if place.is_ok() {
            submission.signing_kid = self.parts.kids.get(key).cloned();
        }
        match self.parts.ledger.reserve(submission).await? {
            Reservation::Denied(record) | Reservation::Waiting(record) => Ok(record),
            Reservation::Closed(closed) => Err(Refusal::Closed(Remains::of(&closed)?.into())),
            Reservation::Conflict { payment, field } => Err(Refusal::Conflict { payment, field }),
            Reservation::Known(record) => {
                // Whoever only waits keeps neither a place at the token nor others from signing.
                drop((place, signing_now));
                match record.state {
                    // People take longer than a request may.
                    State::Waiting { .. } => Ok(record),
                    _ => self.settled(record, SUBMISSION_WAIT).await,
                }
            }
            Reservation::NoSigner => Err(place.err().map_or(Refusal::Abandoned, Refusal::from)),
            Reservation::Authorised(record, authorization) => {
                let posted = self.sign_and_post(authorization, place?).await;
                drop(signing_now);
                match posted {
                    Some(posted) => Ok(posted),
                    None => self.settled(record, SUBMISSION_WAIT).await,
                }
            }
        }
    }

    /// Redeems an authorization. `None` leaves the payment in doubt: it counts, and is signed
    /// again from the same bytes when the token and the ledger can.
    async fn sign_and_post(
        &self,
        authorization: SigningAuthorization,
        place: Permit,
    ) -> Option<Arc<PaymentRecord>> {
        let payment = authorization.payment();
        if let Err(halted) = self.check_not_halted() {
            return in_doubt(payment, &halted);
        }
        let answer = self.parts.hsm.sign(authorization, place);
        let signed = match tokio::time::timeout(self.parts.signing_wait, answer).await {
            Ok(Ok(Ok(signed))) => signed,
            Ok(Ok(Err(failure))) => return in_doubt(payment, &failure),
            Ok(Err(_)) => return in_doubt(payment, &"the worker has gone"),
            Err(_) => return in_doubt(payment, &"the token did not answer in time"),
        };
        // A signature that arrives after a halt is not recorded: the payment stays in doubt.
        if let Err(halted) = self.check_not_halted() {
            return in_doubt(payment, &halted);
        }
        match self.parts.ledger.post(signed).await {
            Ok(Posting::Posted(record)) => Some(record),
            Ok(Posting::Dropped) => in_doubt(payment, &"another attempt has taken over"),
            Err(failure) => in_doubt(payment, &failure),
        }
    }

    /// Signs what is in doubt again, for as long as it is polled: at start, and whenever a token
    /// or the ledger comes back.
    pub async fn resume_in_doubt(&self) {
        loop {
            let kids = self.parts.kids.iter().filter(|_| self.halted().is_none());
            for (key, kid) in kids {
                let (now, kid_) = (self.now(), kid.clone());
                let found = self.read(move |parts| parts.reader.in_doubt(now, &kid_, RESUME_MAX));
                for payment in found.await.unwrap_or_default() {
                    self.resume(payment, key, kid).await;
                }
            }
            tokio::time::sleep(RESUME_EVERY).await;
        }
    }

    async fn resume(&self, payment: PaymentId, key: &KeyId, kid: &Kid) {
        let Some(signing_now) = self.in_flight.try_enter(payment) else { return };
        let Ok(place) = self.parts.hsm.permit(key) else { return };
        let resumed = self.parts.ledger.resume(payment, kid.clone()).await;
        let Ok(Resumption::Again(authorization)) = resumed else { return };
        tracing::info!(%payment, attempt = authorization.attempt().number(), "signing again");
        let story = self.clone();
        tokio::spawn(async move {
            let _signing_now = signing_now;
            story.sign_and_post(authorization, place).await
        });
    }

    /// A payment of a caller; waits for its outcome, at most this long. `None` if the caller has
    /// no such payment: somebody else's is as unknown as one that does not exist.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn payment(
        &self,
        caller: &CallerId,
        id: PaymentId,
        wait: Duration,
    ) -> Result<Option<Arc<PaymentRecord>>, Refusal> {
        match self.read(move |parts| parts.reader.payment(id)).await? {
            Some(record) if record.caller == *caller => {
                self.settled(Arc::new(record), wait).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The record once it is final, or as it stands when the wait is over.
    async fn settled(
        &self,
        record: Arc<PaymentRecord>,
        wait: Duration,
    ) -> Result<Arc<PaymentRecord>, Refusal> {
        if record.is_final() {
            return Ok(record);
        }
        let id = record.id;
        // Subscribed before it is read again: no outcome is missed in between.
        let mut outcome = self.parts.ledger.outcome_of(id);
        let read = || self.read(move |parts| parts.reader.payment(id));
        let newer = read().await?.map_or(record, Arc::new);
        // What has lapsed is not signed any more: there is nothing to wait for.
        if newer.is_final() || wait.is_zero() || newer.expires_at <= self.now() {
            return Ok(newer);
        }
        // Signed or not: the record is read again, since an outcome may be durable that nobody
        // could be told of.
        drop(tokio::time::timeout(wait, outcome.settled()).await);
        Ok(read().await?.map_or(newer, Arc::new))
    }

    /// Every key version on the record, oldest first.
    pub fn key_versions(&self) -> &[KeyVersion] {
        &self.parts.key_versions
    }

    /// The current instant, as the ledger credits it.
    pub fn now(&self) -> Timestamp {
        self.parts.ledger.credited(&self.parts.clock.read())
    }

    /// How many payments are in doubt, expired ones included.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn count_in_doubt(&self) -> Result<u32, Refusal> {
        self.read(|parts| parts.reader.count_in_doubt()).await
    }

    /// The version that signs under a name.
    pub fn kid(&self, key: &KeyId) -> Option<&Kid> {
        self.parts.kids.get(key)
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.parts.policy
    }

    /// The state of every token.
    pub fn tokens(&self) -> Vec<TokenStatus> {
        self.parts.hsm.status()
    }

    /// The ledger, for probes and figures.
    pub fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    /// Resolves when no payment is being signed any more.
    pub async fn idle(&self) {
        self.in_flight.empty().await;
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Parts) -> Result<T, crate::ledger::sqlite::StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let parts = Arc::clone(&self.parts);
        let _turn = self.reads.acquire().await.map_err(|_| Refusal::Abandoned)?;
        match tokio::task::spawn_blocking(move || read(&parts)).await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => Err(Refusal::Abandoned),
        }
    }
}

fn in_doubt<T>(payment: PaymentId, why: &dyn std::fmt::Display) -> Option<T> {
    tracing::warn!(%payment, %why, "a payment is in doubt; it will be signed again");
    None
}

fn random() -> Result<[u8; 16], Refusal> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|refused| Refusal::Randomness(refused.to_string()))?;
    Ok(random)
}
