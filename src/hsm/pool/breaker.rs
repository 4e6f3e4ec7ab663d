//! What is known about one token: which of its sessions work, how long their calls have lasted,
//! why it is down. Shared by its workers and by those who ask; every question is cheap.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};

use crate::domain::key::{Algorithm, KeyId, PublicKey, Purpose, Signature};
use crate::hsm::token::TokenError;

use super::{PlannedKey, TokenPlan, TokenStatus};

/// A public key that signatures are verified against, parsed once, and what its signatures are for.
pub(in crate::hsm) struct PinnedKey {
    pub(in crate::hsm) public: PublicKey,
    pub(in crate::hsm) purpose: Purpose,
    verifier: ParsedPublicKey,
}

impl PinnedKey {
    fn new(PlannedKey { id, purpose, public }: &PlannedKey) -> Result<Self, TokenError> {
        let (public, purpose) = (public.clone(), *purpose);
        let (key, found) = (id.clone(), public.algorithm());
        if (purpose, found) == (Purpose::Settlement, Algorithm::EdDsa) {
            let expected = Algorithm::Es256;
            return Err(TokenError::WrongAlgorithm { key, purpose, found, expected });
        }
        let verifier = match found {
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes()),
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, public.as_bytes()),
        };
        let verifier = verifier.map_err(|_| TokenError::BadSignature {
            key,
            found: "a public key that the verifier refuses".to_owned(),
        })?;
        Ok(Self { public, purpose, verifier })
    }

    /// The signature in `bytes`, if it has 64 of them and is one over `message`.
    pub(in crate::hsm) fn verified(
        &self,
        message: &[u8],
        bytes: &[u8],
    ) -> Result<Signature, String> {
        let signature: [u8; 64] = bytes.try_into().map_err(|_| format!("{} bytes", bytes.len()))?;
        match self.verifier.verify_sig(message, &signature) {
            Ok(()) => Ok(Signature::from_bytes(signature)),
            Err(_) => Err("64 bytes that do not verify".to_owned()),
        }
    }
}

/// One session's place: whether it is open, and since when its current call lasts.
#[derive(Default)]
struct Seat {
    open: AtomicBool,
    /// Milliseconds since the start, plus one; 0 between calls.
    called_at: AtomicU64,
}

/// The shared state of one token.
pub(in crate::hsm) struct TokenState {
    name: String,
    pub(in crate::hsm) keys: BTreeMap<KeyId, PinnedKey>,
    deadline: Duration,
    places_max: usize,
    places: AtomicUsize,
    seats: Vec<Seat>,
    /// The last trouble; it says why the token is down, while it is.
    trouble: Mutex<String>,
    /// Down for good: a person must act.
    condemned: AtomicBool,
    /// Held by the one worker that starts the module over.
    turn: Mutex<()>,
    signed: AtomicU64,
    failed: AtomicU64,
    monotonic: fn() -> Instant,
    started: Instant,
}

impl TokenState {
    pub(super) fn new(plan: &TokenPlan, monotonic: fn() -> Instant) -> Result<Self, TokenError> {
        let keys = plan.keys.iter().map(|key| Ok((key.id.clone(), PinnedKey::new(key)?)));
        Ok(Self {
            name: plan.module.name().to_owned(),
            keys: keys.collect::<Result<_, TokenError>>()?,
            deadline: plan.deadline,
            places_max: plan.queue.max(1),
            places: AtomicUsize::new(0),
            seats: (0..plan.sessions.max(1)).map(|_| Seat::default()).collect(),
            trouble: Mutex::new(String::new()),
            condemned: AtomicBool::new(false),
            turn: Mutex::new(()),
            signed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            monotonic,
            started: monotonic(),
        })
    }

    pub(in crate::hsm) fn name(&self) -> &str {
        &self.name
    }

    /// What a key of the token is for.
    pub(super) fn purpose(&self, key: &KeyId) -> Option<Purpose> {
        self.keys.get(key).map(|pinned| pinned.purpose)
    }

    pub(super) fn take_place(&self) -> bool {
        let step = |taken| (taken < self.places_max).then_some(taken + 1);
        self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    pub(super) fn give_back(&self) {
        self.places.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a session is open that is not stuck in a call, and nobody is waited for.
    pub(in crate::hsm) fn usable(&self) -> bool {
        let elapsed_ms = self.elapsed_ms();
        !self.condemned()
            && self.seats.iter().any(|seat| seat.is_open() && !self.is_stuck(seat, elapsed_ms))
    }

    /// Why the token is not usable.
    pub(in crate::hsm) fn reason(&self) -> String {
        if !self.condemned() && self.any_open() {
            let seconds = self.deadline.as_secs_f64();
            return format!("every session is stuck in a call for more than {seconds} s");
        }
        self.lock_trouble().clone()
    }

    pub(super) fn status(&self) -> TokenStatus {
        let (up, elapsed_ms) = (self.usable(), self.elapsed_ms());
        TokenStatus {
            name: self.name.clone(),
            up,
            reason: (!up).then(|| self.reason()),
            waiting: self.places.load(Ordering::Relaxed),
            stuck: self.seats.iter().filter(|seat| self.is_stuck(seat, elapsed_ms)).count(),
            signed: self.signed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    pub(in crate::hsm) fn condemned(&self) -> bool {
        self.condemned.load(Ordering::Acquire)
    }

    /// Notes why a session is gone or cannot be had. The first reason to wait for a person stays.
    pub(in crate::hsm) fn note(&self, trouble: &TokenError) {
        let mut last = self.lock_trouble();
        if self.condemned() {
            return;
        }
        *last = trouble.to_string();
        if trouble.waits_for_a_person() {
            self.condemned.store(true, Ordering::Release);
            tracing::error!(token = self.name, reason = %last, "token waits for a person");
        }
    }

    /// Whether any session is open, stuck or not.
    pub(in crate::hsm) fn any_open(&self) -> bool {
        self.seats.iter().any(Seat::is_open)
    }

    pub(in crate::hsm) fn set_open(&self, seat: usize, open: bool) {
        let before = self.any_open();
        if let Some(seat) = self.seats.get(seat) {
            seat.open.store(open, Ordering::SeqCst);
        }
        match (before, self.any_open()) {
            (false, true) => tracing::info!(token = self.name, "token up"),
            (true, false) => match self.lock_trouble().as_str() {
                "" => tracing::info!(token = self.name, "token closed"),
                reason => tracing::warn!(token = self.name, reason, "token down"),
            },
            _ => {}
        }
    }

    /// The right to start the module over, unless another worker is doing so.
    pub(in crate::hsm) fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Marks the beginning of a call into the token; its end is the drop of what is returned.
    pub(in crate::hsm) fn begin_call(&self, seat: usize) -> Call<'_> {
        let seat = self.seats.get(seat);
        if let Some(seat) = seat {
            seat.called_at.store(self.elapsed_ms().saturating_add(1), Ordering::Release);
        }
        Call(seat)
    }

    pub(in crate::hsm) fn count(&self, signed: bool) {
        let counter = if signed { &self.signed } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn is_stuck(&self, seat: &Seat, elapsed_ms: u64) -> bool {
        let called_at = seat.called_at.load(Ordering::Acquire);
        let lasted_ms = elapsed_ms.saturating_sub(called_at.saturating_sub(1));
        called_at != 0 && u128::from(lasted_ms) > self.deadline.as_millis()
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = (self.monotonic)().saturating_duration_since(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn lock_trouble(&self) -> MutexGuard<'_, String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }
}

/// A call into the token, in progress.
pub(in crate::hsm) struct Call<'a>(Option<&'a Seat>);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.0 {
            seat.called_at.store(0, Ordering::Release);
        }
    }
}
