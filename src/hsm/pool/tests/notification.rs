//! Notifications: signed after everything else, by notification keys and no others.

use super::*;
use crate::domain::key::Signature;
use crate::domain::notification::message::NotificationMessage;
use crate::domain::notification::target::Target;
use crate::domain::notification::tests::denied;

type Told = Receiver<Result<Signature, SignFailure>>;

fn message(public: &PublicKey) -> NotificationMessage {
    let target = Target::parse("url", "https://shop.example/").unwrap();
    NotificationMessage::new(&denied(7), &target, Timestamp::from_unix_ms(0), public)
}

/// A token whose key `gold` is for notifications.
fn for_notifications(behaviour: Behaviour) -> (Arc<Double>, Hsm) {
    let double = Double::new("gold", behaviour);
    let mut plan = plan(&double, 1, 8);
    plan.keys[0].purpose = Purpose::Notification;
    let hsm = start(vec![plan]);
    (double, hsm)
}

fn ask(hsm: &Hsm, double: &Double, name: &str) -> Told {
    hsm.sign_notification(&key(name), message(&double.public_key()))
}

fn failure(answer: Told) -> String {
    answer.blocking_recv().unwrap().unwrap_err().to_string()
}

#[test]
fn a_notification_is_signed_over_its_signature_base() {
    let (double, hsm) = for_notifications(Behaviour::Steady);
    let signature = ask(&hsm, &double, "gold").blocking_recv().unwrap().unwrap();
    let public = double.public_key();
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
    aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, public.as_bytes())
        .verify(&message(&public).to_bytes(), signature.as_bytes())
        .unwrap();
}

#[test]
fn only_a_notification_key_signs_one_and_it_signs_nothing_else() {
    let (double, hsm) = one(Behaviour::Steady);
    let refused = failure(ask(&hsm, &double, "gold"));
    assert_eq!(refused, "key gold is for settlement; it does not sign for notification");
    let refused = failure(ask(&hsm, &double, LOG));
    assert_eq!(refused, "key log is for audit; it does not sign for notification");
    assert!(failure(ask(&hsm, &double, "tin")).contains("no token has the key"));
    assert_eq!(double.asked.load(Ordering::SeqCst), 0, "the token was asked");

    let (double, hsm) = for_notifications(Behaviour::Steady);
    assert!(hsm.permit(&key("gold")).is_err());
    let other = hsm.sign_notification(&key("gold"), message(&double.audit_key(Algorithm::Es256)));
    assert!(failure(other).contains("another version of the key"));
    assert_eq!(double.asked.load(Ordering::SeqCst), 0, "the token was asked");
}

#[test]
fn a_bad_answer_is_asked_for_once_more_and_never_handed_out() {
    for behaviour in [Behaviour::Refusing, Behaviour::BitFlipping, Behaviour::ZeroSignature] {
        let (double, hsm) = for_notifications(behaviour);
        failure(ask(&hsm, &double, "gold"));
        assert_eq!(double.asked.load(Ordering::SeqCst), 2, "{behaviour:?}");
    }
}

#[test]
fn payments_come_before_notifications() {
    let double = Double::new("gold", Behaviour::Hanging);
    let mut plan = plan(&double, 1, 8);
    // The double signs notifications with the key of payments: two names for it here.
    let public = double.public_key();
    let purpose = Purpose::Notification;
    plan.keys.push(PlannedKey { id: key("notify"), purpose, public: public.clone() });
    let hsm = start(vec![plan]);
    let first = submit(&hsm, &double, 1);
    wait_until("asked", || double.asked.load(Ordering::SeqCst) == 1);
    let told = ask(&hsm, &double, "notify");
    let second = submit(&hsm, &double, 2);
    double.open_gate();
    first.blocking_recv().unwrap().unwrap();
    second.blocking_recv().unwrap().unwrap();
    told.blocking_recv().unwrap().unwrap();
    assert_eq!(*double.notified.lock().unwrap(), [3], "the third that was asked for");
}
