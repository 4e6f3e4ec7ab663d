//! Heads of logs: signed as notes have them, before payments, by audit keys and no others.

use super::*;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::{NoteKeyName, VerifierKey};
use crate::log::tree::{Hash, TreeHead};

type AuditAnswer = Receiver<Result<Vec<u8>, SignFailure>>;

const ORIGIN: &str = "pay.test.example/log";

fn checkpoint() -> Checkpoint {
    let head = TreeHead { size: 0, root: Hash::EMPTY_ROOT };
    Checkpoint::new(ORIGIN, head, &[]).unwrap()
}

fn ask(hsm: &Hsm, name: &str) -> AuditAnswer {
    hsm.sign_audit(&key(name), AuditMessage::Checkpoint(checkpoint()))
}

fn failure(answer: AuditAnswer) -> SignFailure {
    answer.blocking_recv().unwrap().unwrap_err()
}

fn name() -> NoteKeyName {
    NoteKeyName::parse(ORIGIN).unwrap()
}

#[test]
fn a_checkpoint_is_signed_as_notes_have_it() {
    let (double, hsm) = one(Behaviour::Steady);
    for (id, algorithm) in [(LOG, Algorithm::EdDsa), (LOG_P256, Algorithm::Es256)] {
        let signature = ask(&hsm, id).blocking_recv().unwrap().unwrap();
        let verifier = VerifierKey::of_log(name(), &double.audit_key(algorithm));
        let note = verifier.prepare(checkpoint().text(), Timestamp::from_unix_ms(0));
        note.signed(&signature).unwrap();
        // DER begins with a sequence; Ed25519 is 64 bytes and no more.
        assert_eq!(signature.len() == 64, algorithm == Algorithm::EdDsa, "{signature:02x?}");
    }
    assert_eq!((hsm.status()[0].signed, hsm.status()[0].failed), (2, 0));
}

#[test]
fn a_cosignature_is_of_the_time_that_it_names_and_of_ed25519() {
    let (double, hsm) = one(Behaviour::Steady);
    let now = Timestamp::from_unix_ms(1_700_000_000_000);
    let message = AuditMessage::cosignature(checkpoint(), now);
    let answer = hsm.sign_audit(&key(LOG), message.clone());
    let signature = answer.blocking_recv().unwrap().unwrap();
    let public = double.audit_key(Algorithm::EdDsa);
    let public = public.as_bytes().try_into().unwrap();
    let verifier = VerifierKey::cosignature_v1(name(), public);
    verifier.prepare(checkpoint().text(), now).signed(&signature).unwrap();
    let refused = failure(hsm.sign_audit(&key(LOG_P256), message));
    assert!(refused.to_string().contains("Ed25519 only"), "{refused}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn one_key_signs_for_one_purpose() {
    let (double, hsm) = one(Behaviour::Steady);
    let refused = failure(ask(&hsm, "gold"));
    assert_eq!(refused.to_string(), "key gold is for settlement; it does not sign for audit");
    for (log, algorithm) in [(LOG, Algorithm::EdDsa), (LOG_P256, Algorithm::Es256)] {
        assert_eq!(hsm.permit(&key(log)).err(), Some(Unavailable::UnknownKey(key(log))));
        // A permit of the same token does not help either.
        let permit = hsm.permit(&key("gold")).unwrap();
        let answer = hsm.sign(authorization(log, &double.audit_key(algorithm), 1), permit);
        let refused = answer.blocking_recv().unwrap().unwrap_err();
        let expected = format!("key {log} is for audit; it does not sign for settlement");
        assert_eq!(refused.to_string(), expected);
    }
    let unknown = failure(ask(&hsm, "tin"));
    assert!(matches!(unknown, SignFailure::NotAsked { .. }), "{unknown}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 0, "the token was asked");
    assert_eq!(hsm.status()[0].waiting, 0);
}

#[test]
fn keys_of_other_purposes_sign_nothing() {
    for purpose in [Purpose::UserAuthentication, Purpose::Notification] {
        let double = Double::new("gold", Behaviour::Steady);
        let mut plan = plan(&double, 1, 8);
        plan.keys.iter_mut().for_each(|key| key.purpose = purpose);
        let hsm = start(vec![plan]);
        assert!(hsm.permit(&key("gold")).is_err());
        for id in ["gold", LOG, LOG_P256] {
            let refused = failure(ask(&hsm, id));
            assert!(matches!(refused, SignFailure::WrongPurpose { .. }), "{refused}");
        }
        assert_eq!(double.asked.load(Ordering::SeqCst), 0, "the token was asked");
    }
}

#[test]
fn a_settlement_key_of_ed25519_stops_the_start() {
    let double = Double::new("gold", Behaviour::Steady);
    let mut plan = plan(&double, 1, 8);
    plan.keys[1].purpose = Purpose::Settlement;
    let refused = Hsm::start(vec![plan], Instant::now).err().unwrap();
    let told = "key log: it is for settlement and signs with EdDSA; expected ES256";
    assert_eq!(refused.to_string(), told);
}

#[test]
fn a_bad_answer_is_asked_for_once_more_and_never_handed_out() {
    for behaviour in [
        Behaviour::Refusing,
        Behaviour::WrongLength,
        Behaviour::BitFlipping,
        Behaviour::ZeroSignature,
        Behaviour::Vanishing(2),
    ] {
        for log in [LOG, LOG_P256] {
            let (double, hsm) = one(behaviour);
            let refused = failure(ask(&hsm, log));
            let asked = double.asked.load(Ordering::SeqCst);
            assert_eq!(asked, 2, "{behaviour:?}, {log}: {refused}");
        }
    }
    let (double, hsm) = one(Behaviour::Vanishing(1));
    ask(&hsm, LOG).blocking_recv().unwrap().unwrap();
    assert_eq!(double.opened.load(Ordering::SeqCst), 2);
}

#[test]
fn audit_messages_come_before_payments_and_are_bounded_by_themselves() {
    let (double, hsm) = one(Behaviour::Hanging);
    let first = submit(&hsm, &double, 1);
    wait_until("asked", || double.asked.load(Ordering::SeqCst) == 1);
    // Every place is taken by payments; audit messages have places of their own.
    let payments: Vec<Answer> = (2..10).map(|number| submit(&hsm, &double, number)).collect();
    assert_eq!(hsm.permit(&key("gold")).err(), Some(Unavailable::Overloaded));
    let audits: Vec<AuditAnswer> = (0..AUDIT_QUEUE_MAX).map(|_| ask(&hsm, LOG)).collect();
    let refused = failure(ask(&hsm, LOG));
    assert!(refused.to_string().contains("as many as may wait"), "{refused}");
    double.open_gate();
    first.blocking_recv().unwrap().unwrap();
    assert!(payments.into_iter().all(|answer| answer.blocking_recv().unwrap().is_ok()));
    assert!(audits.into_iter().all(|answer| answer.blocking_recv().unwrap().is_ok()));
    let expected = [vec![false], vec![true; AUDIT_QUEUE_MAX], vec![false; 8]].concat();
    assert_eq!(*double.audits.lock().unwrap(), expected);
}

#[test]
fn a_token_that_is_down_or_stopped_answers_at_once() {
    let (double, hsm) = one(Behaviour::Steady);
    double.gone.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = failure(ask(&hsm, LOG));
        assert!(matches!(refused, SignFailure::TokenDown { .. }), "{refused}");
    }
    double.gone.store(false, Ordering::SeqCst);
    wait_until("signing again", || ask(&hsm, LOG).blocking_recv().unwrap().is_ok());
    assert!(hsm.shutdown(Duration::from_secs(5)));
    let refused = failure(ask(&hsm, LOG));
    assert!(refused.to_string().contains("stopping"), "{refused}");
}

#[test]
fn a_stop_finishes_the_audit_messages_that_wait() {
    let (double, hsm) = one(Behaviour::Hanging);
    let waiting: Vec<AuditAnswer> = (0..3).map(|_| ask(&hsm, LOG)).collect();
    assert!(!hsm.shutdown(Duration::from_millis(50)), "hanging threads do not end");
    double.open_gate();
    assert!(hsm.shutdown(Duration::from_secs(5)));
    assert!(waiting.into_iter().all(|answer| answer.blocking_recv().unwrap().is_ok()));
}
