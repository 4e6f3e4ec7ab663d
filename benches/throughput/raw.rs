//! What the token does by itself: `C_Sign` in a loop, in a process of its own, because SoftHSM
//! finds its tokens through the environment.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey,
};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;

use crate::support::Installation;
use crate::support::installation::{MODULE, PIN};

/// Signatures per second of so many sessions, each in its own thread.
pub(crate) fn rate(installation: &Installation, sessions: usize, seconds: Duration) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["raw", &sessions.to_string(), &seconds.as_secs_f64().to_string()])
        .envs(installation.environment())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// The loop itself; prints the rate.
pub(crate) fn child(sessions: usize, seconds: f64) {
    let pkcs11 = Pkcs11::new(MODULE).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let first = pkcs11.open_ro_session(slot).unwrap();
    first.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
    let (signed, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let elapsed = std::thread::scope(|scope| {
        for _ in 0..sessions {
            let session = pkcs11.open_ro_session(slot).unwrap();
            let private = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
            let key = session.find_objects(&private).unwrap()[0];
            let (signed, over) = (&signed, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    session.sign(&Mechanism::Ecdsa, key, &[7; 32]).unwrap();
                    signed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let started = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        over.store(true, Ordering::Relaxed);
        started.elapsed()
    });
    println!("{}", signed.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64());
}

/// What one software verification takes with the library that the daemon uses.
pub(crate) fn verification() -> Duration {
    const ROUNDS: u32 = 2_000;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let message = [7; 900];
    let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).unwrap();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        key.verify_sig(&message, signature.as_ref()).unwrap();
    }
    started.elapsed() / ROUNDS
}
