//! Tokens that behave as their names say, signing with a software key where they sign at all.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

use crate::domain::key::{Algorithm, KeyId, PublicKey};
use crate::domain::notification::message::NotificationMessage;
use crate::hsm::token::{SigningDigest, Token, TokenError, TokenModule};
use crate::log::message::AuditMessage;

/// The audit keys of every double.
pub(super) const LOG: &str = "log";
pub(super) const LOG_P256: &str = "log-p256";

/// What a double does when it is asked to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Signs.
    Steady,
    /// Answers every signature with an error.
    Refusing,
    /// Returns a signature that lacks its last byte.
    WrongLength,
    /// Returns a signature with one bit flipped.
    BitFlipping,
    /// Returns 64 zeros.
    ZeroSignature,
    /// Fails the first signatures, as many as it says, and then signs.
    Vanishing(usize),
    /// Signs when its gate is opened, and not before.
    Hanging,
    /// Fails the first signature; later sessions have another key.
    KeySwapping,
}

/// A module with a settlement key and two audit keys, and a record of what it was asked.
pub(super) struct Double {
    name: String,
    behaviour: Behaviour,
    key: SigningKey,
    log_p256: SigningKey,
    log_ed25519: Ed25519KeyPair,
    /// Whether each thing that it was asked to sign was an audit message.
    pub(super) audits: Mutex<Vec<bool>>,
    /// Which of the things that it was asked to sign were notifications, from 1.
    pub(super) notified: Mutex<Vec<usize>>,
    /// While set, every call fails as if the device had been unplugged.
    pub(super) gone: AtomicBool,
    pub(super) opened: AtomicUsize,
    pub(super) reinitialised: AtomicUsize,
    pub(super) asked: AtomicUsize,
    /// Sessions open at this moment.
    sessions: AtomicUsize,
    /// Set if the module was started over while a session was open, or twice at once.
    pub(super) trampled: AtomicBool,
    reinitialising: AtomicBool,
    gate: (Mutex<bool>, Condvar),
}

impl Double {
    pub(super) fn new(name: &str, behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            behaviour,
            key: random_key(),
            log_p256: random_key(),
            log_ed25519: Ed25519KeyPair::generate().unwrap(),
            audits: Mutex::default(),
            notified: Mutex::default(),
            gone: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            reinitialised: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            trampled: AtomicBool::new(false),
            reinitialising: AtomicBool::new(false),
            gate: (Mutex::new(false), Condvar::new()),
        })
    }

    pub(super) fn public_key(&self) -> PublicKey {
        public_half(&self.key)
    }

    /// The public half of the audit key of this algorithm.
    pub(super) fn audit_key(&self, algorithm: Algorithm) -> PublicKey {
        match algorithm {
            Algorithm::Es256 => public_half(&self.log_p256),
            Algorithm::EdDsa => {
                let public = self.log_ed25519.public_key();
                PublicKey::from_bytes(algorithm, public.as_ref()).unwrap()
            }
        }
    }

    /// What comes of a right signature, the `before`th.
    fn misbehave(&self, before: usize, mut signature: Vec<u8>) -> Result<Vec<u8>, TokenError> {
        match self.behaviour {
            Behaviour::Steady => {}
            Behaviour::Refusing => return Err(device_error("C_Sign")),
            Behaviour::WrongLength => signature.truncate(63),
            Behaviour::BitFlipping => signature[40] ^= 1,
            Behaviour::ZeroSignature => signature.fill(0),
            Behaviour::Vanishing(fails) if before < fails => return Err(device_error("C_Sign")),
            Behaviour::KeySwapping if before < 1 => return Err(device_error("C_Sign")),
            Behaviour::Vanishing(_) | Behaviour::KeySwapping => {}
            Behaviour::Hanging => {
                let closed = self.gate.0.lock().unwrap();
                drop(self.gate.1.wait_while(closed, |open| !*open).unwrap());
            }
        }
        Ok(signature)
    }

    /// Notes what is asked for; tells how often it was asked before.
    fn asked_for(&self, audit: bool) -> Result<usize, TokenError> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        self.audits.lock().unwrap().push(audit);
        self.answer("C_Sign").map(|()| before)
    }

    pub(super) fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }

    fn answer(&self, function: &str) -> Result<(), TokenError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(device_error(function));
        }
        Ok(())
    }
}

/// The module as the pool takes it.
pub(super) struct Shared(pub(super) Arc<Double>);

impl TokenModule for Shared {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn open(&self) -> Result<Box<dyn Token>, TokenError> {
        let double = &self.0;
        double.answer("C_OpenSession")?;
        let before = double.opened.fetch_add(1, Ordering::SeqCst);
        double.sessions.fetch_add(1, Ordering::SeqCst);
        let swapped = double.behaviour == Behaviour::KeySwapping && before > 0;
        let key = if swapped { random_key() } else { double.key.clone() };
        Ok(Box::new(Session { double: double.clone(), key }))
    }

    fn reinitialise(&self) -> Result<(), TokenError> {
        let double = &self.0;
        let twice = double.reinitialising.swap(true, Ordering::SeqCst);
        if twice || double.sessions.load(Ordering::SeqCst) > 0 {
            double.trampled.store(true, Ordering::SeqCst);
        }
        double.reinitialised.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(150));
        double.reinitialising.store(false, Ordering::SeqCst);
        double.answer("C_Initialize")
    }
}

struct Session {
    double: Arc<Double>,
    key: SigningKey,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.double.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Token for Session {
    fn public_key(&mut self, key: &KeyId) -> Result<PublicKey, TokenError> {
        Ok(match key.as_str() {
            LOG => self.double.audit_key(Algorithm::EdDsa),
            LOG_P256 => self.double.audit_key(Algorithm::Es256),
            _ => public_half(&self.key),
        })
    }

    fn sign_digest(&mut self, _key: &KeyId, digest: &SigningDigest) -> Result<Vec<u8>, TokenError> {
        let before = self.double.asked_for(false)?;
        let signature: Signature = self.key.sign_prehash(digest.as_bytes()).unwrap();
        self.double.misbehave(before, signature.to_bytes().to_vec())
    }

    fn sign_audit(&mut self, key: &KeyId, message: &AuditMessage) -> Result<Vec<u8>, TokenError> {
        let before = self.double.asked_for(true)?;
        let bytes = message.to_bytes();
        let signature = match key.as_str() {
            LOG => self.double.log_ed25519.sign(&bytes).as_ref().to_vec(),
            LOG_P256 => {
                let key = &self.double.log_p256;
                let signature: Signature = key.sign_prehash(&Sha256::digest(&bytes)).unwrap();
                signature.to_bytes().to_vec()
            }
            _ => return Err(TokenError::UnknownKey(key.clone())),
        };
        self.double.misbehave(before, signature)
    }

    fn sign_notification(
        &mut self,
        _key: &KeyId,
        message: &NotificationMessage,
    ) -> Result<Vec<u8>, TokenError> {
        let before = self.double.asked_for(false)?;
        self.double.notified.lock().unwrap().push(before + 1);
        let digest = Sha256::digest(message.to_bytes());
        let signature: Signature = self.key.sign_prehash(&digest).unwrap();
        self.double.misbehave(before, signature.to_bytes().to_vec())
    }

    fn probe(&mut self) -> Result<(), TokenError> {
        self.double.answer("C_GetSessionInfo")
    }
}

fn device_error(function: &str) -> TokenError {
    TokenError::Call { function: function.to_owned(), code: "CKR_DEVICE_ERROR".to_owned() }
}

fn random_key() -> SigningKey {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).unwrap();
    SigningKey::from_slice(&bytes).unwrap()
}

fn public_half(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_sec1_point(false);
    PublicKey::from_bytes(Algorithm::Es256, point.as_bytes()).unwrap()
}
