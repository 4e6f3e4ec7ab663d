//! Tokens that sign, refuse, hang, vanish and lie, and what their pool makes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::Receiver;

use super::doubles::{Behaviour, Double, LOG, LOG_P256, Shared};
use super::*;
use crate::domain::authorization::Attempt;
use crate::domain::key::{Algorithm, KeyId, PublicKey, Purpose};
use crate::domain::order::{Order, SigningInput};
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;

mod audit;
mod bounds;
mod notification;

const DEADLINE: Duration = Duration::from_millis(200);

fn key(name: &str) -> KeyId {
    KeyId::parse("key", name).unwrap()
}

/// A plan for a double; the settlement key is named as the token.
fn plan(double: &Arc<Double>, sessions: usize, queue: usize) -> TokenPlan {
    let module = Arc::new(Shared(double.clone()));
    let planned = |id: &str, purpose, public| PlannedKey { id: key(id), purpose, public };
    let keys = vec![
        planned(module.name(), Purpose::Settlement, double.public_key()),
        planned(LOG, Purpose::Audit, double.audit_key(Algorithm::EdDsa)),
        planned(LOG_P256, Purpose::Audit, double.audit_key(Algorithm::Es256)),
    ];
    TokenPlan { module, sessions, queue, deadline: DEADLINE, keys }
}

fn start(plans: Vec<TokenPlan>) -> Hsm {
    Hsm::start(plans, Instant::now).unwrap()
}

fn one(behaviour: Behaviour) -> (Arc<Double>, Hsm) {
    let double = Double::new("gold", behaviour);
    let hsm = start(vec![plan(&double, 1, 8)]);
    (double, hsm)
}

fn input(public: &PublicKey, number: u8) -> SigningInput {
    let order = Order::from_stored(vec![b'{', number, b'}']);
    SigningInput::freeze(order, public.kid(), Timestamp::from_unix_ms(0))
}

fn authorization(token: &str, public: &PublicKey, number: u8) -> SigningAuthorization {
    let payment = PaymentId::from_bytes([number; 16]);
    let input = input(public, number);
    SigningAuthorization::for_tests(
        payment,
        Attempt::FIRST,
        key(token),
        public.kid().clone(),
        input,
    )
}

type Answer = Receiver<Result<Signed, SignFailure>>;

fn submit(hsm: &Hsm, double: &Double, number: u8) -> Answer {
    let permit = hsm.permit(&key("gold")).unwrap();
    hsm.sign(authorization("gold", &double.public_key(), number), permit)
}

fn sign(hsm: &Hsm, double: &Double, number: u8) -> Result<Signed, SignFailure> {
    submit(hsm, double, number).blocking_recv().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("after 8 s: not {what}");
}

#[test]
fn a_steady_token_signs_what_was_authorised() {
    let (double, hsm) = one(Behaviour::Steady);
    let signed = sign(&hsm, &double, 7).unwrap();
    assert_eq!(
        (signed.payment(), signed.attempt()),
        (PaymentId::from_bytes([7; 16]), Attempt::FIRST)
    );
    let verifier = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
        double.public_key().as_bytes().to_vec(),
    );
    let message = input(&double.public_key(), 7).to_ascii();
    verifier.verify(message.as_bytes(), signed.signature().as_bytes()).unwrap();
    let status = hsm.status().remove(0);
    assert_eq!((status.up, status.reason, status.stuck), (true, None, 0));
    assert_eq!((status.signed, status.failed, status.waiting), (1, 0, 0));
}

#[test]
fn a_bad_answer_is_asked_for_once_more_and_never_handed_out() {
    for (behaviour, failure) in [
        (Behaviour::Refusing, "CKR_DEVICE_ERROR"),
        (Behaviour::WrongLength, "63 bytes"),
        (Behaviour::BitFlipping, "64 bytes that do not verify"),
        (Behaviour::ZeroSignature, "64 bytes that do not verify"),
        (Behaviour::Vanishing(2), "CKR_DEVICE_ERROR"),
    ] {
        let (double, hsm) = one(behaviour);
        let failed = sign(&hsm, &double, 1).unwrap_err();
        assert!(failed.to_string().contains(failure), "{behaviour:?}: {failed}");
        let wrong = matches!(failed, SignFailure::WrongSignature { .. });
        assert_eq!(wrong, failure.contains("bytes"), "{behaviour:?}: {failed}");
        assert_eq!(double.asked.load(Ordering::SeqCst), 2, "{behaviour:?}");
        wait_until("open again", || hsm.status()[0].up);
    }
}

#[test]
fn a_lost_session_is_replaced_and_the_payment_signed() {
    let (double, hsm) = one(Behaviour::Vanishing(1));
    sign(&hsm, &double, 1).unwrap();
    assert_eq!(double.opened.load(Ordering::SeqCst), 2);
    assert_eq!(double.reinitialised.load(Ordering::SeqCst), 0);
    let status = hsm.status().remove(0);
    assert_eq!((status.up, status.signed, status.failed), (true, 1, 0));
}

#[test]
fn a_token_that_is_gone_is_down_until_it_is_back() {
    let double = Double::new("gold", Behaviour::Steady);
    let hsm = start(vec![plan(&double, 3, 8)]);
    wait_until("all open", || double.opened.load(Ordering::SeqCst) == 3);
    double.gone.store(true, Ordering::SeqCst);
    // Idle sessions find out by themselves, all at about the same time.
    wait_until("down", || !hsm.status()[0].up);
    let Err(Unavailable::Down { token, reason }) = hsm.permit(&key("gold")) else {
        panic!("a place on a token that is down");
    };
    assert!(token == "gold" && reason.contains("CKR_DEVICE_ERROR"), "{token} {reason}");
    wait_until("started over again", || double.reinitialised.load(Ordering::SeqCst) >= 2);
    double.gone.store(false, Ordering::SeqCst);
    wait_until("up", || hsm.status()[0].up);
    sign(&hsm, &double, 1).unwrap();
    assert!(!double.trampled.load(Ordering::SeqCst), "started over beside an open session");
}

#[test]
fn jobs_that_wait_for_a_token_that_goes_down_are_answered_at_once() {
    let double = Double::new("gold", Behaviour::Steady);
    let hsm = start(vec![plan(&double, 1, 8)]);
    let permits: Vec<Permit> = (0..8).map(|_| hsm.permit(&key("gold")).unwrap()).collect();
    double.gone.store(true, Ordering::SeqCst);
    for permit in permits {
        let answer = hsm.sign(authorization("gold", &double.public_key(), 1), permit);
        let failed = answer.blocking_recv().unwrap().unwrap_err();
        assert!(matches!(failed, SignFailure::TokenDown { .. }), "{failed}");
    }
    assert_eq!(hsm.status()[0].failed, 8);
}

#[test]
fn a_hanging_token_is_down_and_its_neighbour_is_not() {
    let double = Double::new("gold", Behaviour::Hanging);
    let neighbour = Double::new("silver", Behaviour::Steady);
    let hsm = start(vec![plan(&double, 1, 8), plan(&neighbour, 1, 8)]);
    let hung = submit(&hsm, &double, 1);
    wait_until("stuck", || hsm.status()[0].stuck == 1);
    let status = hsm.status();
    assert!(!status[0].up && status[1].up, "{status:?}");
    assert!(status[0].reason.clone().unwrap().contains("stuck in a call"), "{status:?}");
    assert!(matches!(hsm.permit(&key("gold")), Err(Unavailable::Down { .. })));
    let permit = hsm.permit(&key("silver")).unwrap();
    let other = hsm.sign(authorization("silver", &neighbour.public_key(), 2), permit);
    other.blocking_recv().unwrap().unwrap();
    double.open_gate();
    hung.blocking_recv().unwrap().unwrap();
    wait_until("up", || hsm.status()[0].up);
    assert_eq!(double.reinitialised.load(Ordering::SeqCst), 0);
}

#[test]
fn what_nobody_waits_for_is_not_signed() {
    let (double, hsm) = one(Behaviour::Hanging);
    let first = submit(&hsm, &double, 1);
    wait_until("asked", || double.asked.load(Ordering::SeqCst) == 1);
    drop(submit(&hsm, &double, 2));
    let third = submit(&hsm, &double, 3);
    double.open_gate();
    first.blocking_recv().unwrap().unwrap();
    third.blocking_recv().unwrap().unwrap();
    assert_eq!(double.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn another_key_after_a_reconnect_waits_for_a_person() {
    let (double, hsm) = one(Behaviour::KeySwapping);
    let failed = sign(&hsm, &double, 1).unwrap_err();
    assert!(failed.to_string().contains(double.public_key().kid().as_str()), "{failed}");
    std::thread::sleep(Duration::from_millis(300));
    let status = hsm.status().remove(0);
    assert!(!status.up && status.reason.unwrap().contains("expected the pinned"));
    assert!(matches!(hsm.permit(&key("gold")), Err(Unavailable::Down { .. })));
    assert_eq!(double.asked.load(Ordering::SeqCst), 1);
    assert_eq!(double.opened.load(Ordering::SeqCst), 2, "not tried again");
}
