//! A thread that owns one session: takes jobs, has them signed, verifies what comes back, and
//! replaces the session after any error.
//!
//! What it never does: hand out a signature that does not verify with the pinned key, ask a token
//! for something nobody waits for any more, or try a third time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::key::{Algorithm, KeyId, Purpose, Signature};
use crate::domain::notification::message::NotificationMessage;
use crate::log::message::AuditMessage;
use crate::log::note::der_signature;

use super::pool::{PinnedKey, SignFailure, TokenState};
use super::token::{SigningDigest, Token, TokenError, TokenModule};

mod inbox;
mod recovery;

use inbox::Next;
pub(super) use inbox::{Inbox, Job};

/// How long a worker is idle before it asks whether its session still works.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// The owner of one session, or of none while the token is down.
pub(super) struct Worker {
    token: Arc<TokenState>,
    module: Arc<dyn TokenModule>,
    seat: usize,
    inbox: Inbox,
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
        inbox: Inbox,
        closing: Receiver<()>,
    ) -> Self {
        Self { token, module, seat, inbox, closing, session: None, pause: Duration::ZERO }
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

    /// Works until the queues are closed and empty.
    pub(super) fn run(&mut self) {
        while self.has_session() {
            match self.inbox.next(PROBE_AFTER) {
                Next::Job(job) => self.serve(job),
                Next::Nothing => self.probe(),
                Next::Closed => return,
            }
        }
    }

    /// Answers a job. For what was given up by its deadline the token is not asked: nobody would
    /// record it. Whoever is gone when the answer comes finds the payment in doubt.
    fn serve(&mut self, job: Job) {
        match job {
            Job::Payment { authorization, permit, reply } => {
                drop(permit);
                if !reply.is_closed() {
                    let answer = self.sign_payment(authorization);
                    self.token.count(answer.is_ok());
                    drop(reply.send(answer));
                }
            }
            Job::Audit { key, message, reply } => {
                if !reply.is_closed() {
                    let answer = self.sign_audit(&key, &message);
                    self.token.count(answer.is_ok());
                    drop(reply.send(answer));
                }
            }
            Job::Notification { key, message, reply } => {
                if !reply.is_closed() {
                    let answer = self.sign_notification(&key, &message);
                    self.token.count(answer.is_ok());
                    drop(reply.send(answer));
                }
            }
        }
    }

    fn refuse(&self, job: Job) {
        self.token.count(false);
        job.refuse(self.down(self.token.reason()));
    }

    fn sign_payment(&mut self, authorization: SigningAuthorization) -> Result<Signed, SignFailure> {
        let token = self.token.clone();
        let key = authorization.key();
        let pinned = pinned(&token, key, Purpose::Settlement)?;
        if authorization.kid() != pinned.public.kid() {
            return Err(SignFailure::KeyMismatch {
                authorised: authorization.kid().to_string(),
                pinned: pinned.public.kid().to_string(),
            });
        }
        let digest = SigningDigest::of(&authorization);
        let message = authorization.signing_input().to_ascii();
        let ask = |session: &mut dyn Token| session.sign_digest(key, &digest);
        let signature = self.signature(key, pinned, message.as_bytes(), ask)?;
        Ok(authorization.fulfilled(signature))
    }

    /// The signature as notes have it.
    fn sign_audit(&mut self, key: &KeyId, message: &AuditMessage) -> Result<Vec<u8>, SignFailure> {
        let token = self.token.clone();
        let pinned = pinned(&token, key, Purpose::Audit)?;
        let algorithm = pinned.public.algorithm();
        if let Some(reason) = message.refusal(algorithm) {
            return Err(SignFailure::NotAsked { reason });
        }
        let ask = |session: &mut dyn Token| session.sign_audit(key, message);
        let signature = self.signature(key, pinned, &message.to_bytes(), ask)?;
        Ok(match algorithm {
            Algorithm::Es256 => der_signature(&signature),
            Algorithm::EdDsa => signature.as_bytes().to_vec(),
        })
    }

    fn sign_notification(
        &mut self,
        key: &KeyId,
        message: &NotificationMessage,
    ) -> Result<Signature, SignFailure> {
        let token = self.token.clone();
        let pinned = pinned(&token, key, Purpose::Notification)?;
        if !message.is_for(&pinned.public) {
            let reason = "the message names another version of the key";
            return Err(SignFailure::NotAsked { reason });
        }
        let ask = |session: &mut dyn Token| session.sign_notification(key, message);
        self.signature(key, pinned, &message.to_bytes(), ask)
    }

    /// A verified signature over `message`, which is what `ask` asks for; after a failure once
    /// more, in a session that is opened for it.
    fn signature(
        &mut self,
        key: &KeyId,
        pinned: &PinnedKey,
        message: &[u8],
        ask: impl Fn(&mut dyn Token) -> Result<Vec<u8>, TokenError>,
    ) -> Result<Signature, SignFailure> {
        let token = self.token.clone();
        if token.condemned() {
            return Err(self.down(token.reason()));
        }
        if let Ok(signature) = self.attempt(key, pinned, message, &ask) {
            return Ok(signature);
        }
        if let Err(refused) = self.open() {
            token.note(&refused);
            return Err(self.down(refused.to_string()));
        }
        tracing::info!(token = token.name(), "session opened again");
        self.attempt(key, pinned, message, &ask).map_err(|refused| match refused {
            TokenError::BadSignature { .. } => SignFailure::WrongSignature {
                token: token.name().to_owned(),
                reason: refused.to_string(),
            },
            _ => self.down(refused.to_string()),
        })
    }

    /// Asks the token once and verifies its answer in software. Any error costs the session.
    fn attempt(
        &mut self,
        key: &KeyId,
        pinned: &PinnedKey,
        message: &[u8],
        ask: impl Fn(&mut dyn Token) -> Result<Vec<u8>, TokenError>,
    ) -> Result<Signature, TokenError> {
        let token = self.token.clone();
        let answer = match &mut self.session {
            None => Err(TokenError::SessionLost { state: "closed".to_owned() }),
            Some(session) => {
                let _call = token.begin_call(self.seat);
                ask(session.as_mut())
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

/// The pinned key, if it is for what it is to sign (P6).
fn pinned<'a>(
    token: &'a TokenState,
    key: &KeyId,
    asked: Purpose,
) -> Result<&'a PinnedKey, SignFailure> {
    match token.keys.get(key) {
        Some(pinned) if pinned.purpose == asked => Ok(pinned),
        Some(PinnedKey { purpose, .. }) => {
            Err(SignFailure::WrongPurpose { key: key.clone(), purpose: *purpose, asked })
        }
        None => Err(SignFailure::NotAsked { reason: "the token does not have the key" }),
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
