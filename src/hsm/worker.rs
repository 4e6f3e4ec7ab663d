//! A thread that owns one session: takes jobs, has them signed, verifies what comes back, and
//! replaces the session after any error.
//!
//! What it never does: hand out a signature that does not verify with the pinned key, ask a token
//! for something nobody waits for any more, or try a third time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::key::{KeyId, Signature};

use super::pool::{Permit, PinnedKey, SignFailure, TokenState};
use super::token::{SigningDigest, Token, TokenError, TokenModule};

mod recovery;

/// How long a worker is idle before it asks whether its session still works.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// One signature to be made.
pub(super) struct Job {
    pub(super) authorization: SigningAuthorization,
    pub(super) permit: Permit,
    pub(super) reply: oneshot::Sender<Result<Signed, SignFailure>>,
}

/// The owner of one session, or of none while the token is down.
pub(super) struct Worker {
    token: Arc<TokenState>,
    module: Arc<dyn TokenModule>,
    seat: usize,
    jobs: Receiver<Job>,
    closing: Receiver<()>,
    session: Option<Box<dyn Token>>,
    /// Pause before the next attempt to open a session; zero after a success.
    pause: Duration,
}

impl Worker {
    pub(super) fn new(
        token: Arc<TokenState>,
        module: Arc<dyn TokenModule>,
        seat: usize,
        jobs: Receiver<Job>,
        closing: Receiver<()>,
    ) -> Self {
        Self { token, module, seat, jobs, closing, session: None, pause: Duration::ZERO }
    }

    pub(super) fn thread_name(&self) -> String {
        format!("hsm-{}-{}", self.token.name(), self.seat)
    }

    pub(super) fn token_name(&self) -> String {
        self.token.name().to_owned()
    }

    /// Opens the session with which the daemon starts.
    pub(super) fn open_first(&mut self) -> Result<(), TokenError> {
        self.open()
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(&mut self) {
        while self.has_session() {
            match self.jobs.recv_timeout(PROBE_AFTER) {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve(&mut self, job: Job) {
        let Job { authorization, permit, reply } = job;
        drop(permit);
        if reply.is_closed() {
            // Given up by its deadline: the token is not asked for what nobody would record.
            return;
        }
        let answer = self.sign(authorization);
        self.token.count(answer.is_ok());
        // Whoever is gone finds the payment in doubt.
        drop(reply.send(answer));
    }

    fn refuse(&self, job: Job) {
        self.token.count(false);
        drop(job.reply.send(Err(self.down(self.token.reason()))));
    }

    fn sign(&mut self, authorization: SigningAuthorization) -> Result<Signed, SignFailure> {
        let token = self.token.clone();
        let key = authorization.key();
        let Some(pinned) = token.keys.get(key) else {
            return Err(SignFailure::NotAsked { reason: "the token does not have the key" });
        };
        if authorization.kid() != pinned.public.kid() {
            return Err(SignFailure::KeyMismatch {
                authorised: authorization.kid().to_string(),
                pinned: pinned.public.kid().to_string(),
            });
        }
        let digest = SigningDigest::of(&authorization);
        let message = authorization.signing_input().to_ascii();
        if token.condemned() {
            return Err(self.down(token.reason()));
        }
        if let Ok(signature) = self.attempt(key, pinned, &digest, message.as_bytes()) {
            return Ok(authorization.fulfilled(signature));
        }
        if let Err(refused) = self.open() {
            token.note(&refused);
            return Err(self.down(refused.to_string()));
        }
        tracing::info!(token = token.name(), "session opened again");
        match self.attempt(key, pinned, &digest, message.as_bytes()) {
            Ok(signature) => Ok(authorization.fulfilled(signature)),
            Err(refused @ TokenError::BadSignature { .. }) => Err(SignFailure::WrongSignature {
                token: token.name().to_owned(),
                reason: refused.to_string(),
            }),
            Err(refused) => Err(self.down(refused.to_string())),
        }
    }

    /// Asks the token once and verifies its answer in software. Any error costs the session.
    fn attempt(
        &mut self,
        key: &KeyId,
        pinned: &PinnedKey,
        digest: &SigningDigest,
        message: &[u8],
    ) -> Result<Signature, TokenError> {
        let token = self.token.clone();
        let answer = match &mut self.session {
            None => Err(TokenError::SessionLost { state: "closed".to_owned() }),
            Some(session) => {
                let _call = token.begin_call(self.seat);
                session.sign_digest(key, digest)
            }
        };
        let verified = answer.and_then(|bytes| {
            let bad = |found| TokenError::BadSignature { key: key.clone(), found };
            pinned.verified(message, &bytes).map_err(bad)
        });
        match &verified {
            Ok(_) => self.pause = Duration::ZERO,
            Err(refused) => self.discard(refused),
        }
        verified
    }

    /// Makes readiness true knowledge on an idle token.
    fn probe(&mut self) {
        let token = self.token.clone();
        let Some(session) = &mut self.session else {
            return;
        };
        let call = token.begin_call(self.seat);
        let answer = session.probe();
        drop(call);
        match answer {
            Ok(()) => self.pause = Duration::ZERO,
            Err(refused) => {
                self.discard(&refused);
                if let Err(refused) = self.open() {
                    token.note(&refused);
                }
            }
        }
    }

    fn discard(&mut self, refused: &TokenError) {
        tracing::warn!(token = self.token.name(), reason = %refused, "session discarded");
        self.token.note(refused);
        self.close();
    }

    /// Closes the session. Only then is it told as gone, for the module must not be started over
    /// while a call is in progress.
    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            let token = self.token.clone();
            let _call = token.begin_call(self.seat);
            drop(session);
            token.set_open(self.seat, false);
        }
    }

    fn down(&self, reason: String) -> SignFailure {
        SignFailure::TokenDown { token: self.token.name().to_owned(), reason }
    }
}

impl Drop for Worker {
    /// Also after a panic: a session without a thread must not pass for an open one.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = "left by a worker that panicked (restart the daemon)".to_owned();
            self.token.note(&TokenError::SessionLost { state });
        }
        self.close();
    }
}
