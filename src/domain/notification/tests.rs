//! Events made of records, and what they say.

use super::*;
use crate::domain::authorization::Attempt;
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::denial::Denial;
use crate::domain::key::{Algorithm, Kid, PublicKey, Signature};
use crate::domain::leaf::Salt;
use crate::domain::ledger::VoidReason;
use crate::domain::order::{Order, OrderTerms, SigningInput};
use crate::domain::payment::{AccountFields, Payment, PaymentFields};

/// The public half of a key of no importance.
pub(crate) fn p256() -> PublicKey {
    let point = ::p256::SecretKey::from_slice(&[1; 32]).unwrap().public_key();
    let point = ::p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&point, false);
    PublicKey::from_bytes(Algorithm::Es256, point.as_bytes()).unwrap()
}

fn payment() -> Payment {
    Payment::parse(&PaymentFields {
        key: "settlement-eur".to_owned(),
        amount: "12.30".to_owned(),
        currency: "EUR".to_owned(),
        creditor_name: "Bakery Sol".to_owned(),
        creditor_account: AccountFields {
            iban: Some("ES9121000418450200051332".to_owned()),
            other: None,
        },
        end_to_end_id: "INV-7".to_owned(),
        debtor_id: Some("user-4711".to_owned()),
        remittance_information: Some("2 x croissant".to_owned()),
        ..PaymentFields::default()
    })
    .unwrap()
}

fn record(leaf: u64, outcome_leaf: Option<u64>, state: State) -> Arc<PaymentRecord> {
    let caller = CallerId::parse("caller", "shop").unwrap();
    Arc::new(PaymentRecord {
        id: PaymentId::from_bytes([0xab; 16]),
        namespace: Namespace::of(&caller),
        caller,
        idempotency_key: IdempotencyKey::parse("id", "K-7").unwrap(),
        payment: payment(),
        known_debtor: false,
        touched: false,
        wait: None,
        accepted_at: instant(),
        expires_at: instant(),
        salt: Salt::from_bytes([1; 16]),
        leaf,
        outcome_leaf,
        state,
    })
}

fn instant() -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000)
}

/// A denial on the record, with its event at this position.
pub(crate) fn denied(position: u64) -> Event {
    let record = record(position, None, State::Denied(Denial::CreditorDenied));
    Event::of_leaf(position, "denied", instant(), record).unwrap()
}

/// A payment that is signed, with its event at this position.
pub(crate) fn signed(position: u64) -> Event {
    let kid = Kid::parse("kid", &"A".repeat(43)).unwrap();
    let terms = OrderTerms {
        id: PaymentId::from_bytes([0xab; 16]),
        issuer: "https://pay.example",
        accepted_at: instant(),
        expires_at: instant(),
        policy_version: "sha256:test",
        policy_rule: "tier zero",
    };
    let signing_input = SigningInput::freeze(Order::new(&payment(), &terms), &kid, instant());
    let signature = Signature::from_bytes([7; 64]);
    let state = State::Posted { kid, signing_input, signature, posted_at: instant() };
    let record = record(position - 1, Some(position), state);
    Event::of_leaf(position, "signed", instant(), record).unwrap()
}

#[test]
fn a_body_says_what_the_gateway_needs_and_nothing_about_people() {
    let head = concat!(
        r#"{"amount":"12.30","at":"2023-11-14T22:13:20.000Z","caller":"shop","#,
        r#""currency":"EUR","end_to_end_id":"INV-7","id":""#
    );
    let id = "abababababababababababababababab";
    let (key, schema) = (
        format!(r#"-{id}","idempotency_key":"K-7","key":"settlement-eur","kind":""#),
        r#""schema":"countersign/event/1"}"#,
    );
    let voided = State::Voided { reason: VoidReason::Officer, voided_at: instant() };
    let voided = Event::of_leaf(9, "voided", instant(), record(8, Some(9), voided)).unwrap();
    for (event, position, kind, more) in [
        (denied(4711), 4711, "payment.denied", r#""rule":"creditor_denied","#),
        (signed(1), 1, "payment.signed", ""),
        (voided, 9, "payment.voided", r#""reason":"officer","#),
    ] {
        let tail = format!(r#"{kind}","payment_id":"{id}",{more}{schema}"#);
        let body = event.to_body();
        assert_eq!(body, format!("{head}{position}{key}{tail}"));
        for personal in ["Bakery", "ES91", "user-4711", "croissant"] {
            assert!(!body.contains(personal), "{body}");
        }
    }
}

#[test]
fn leaves_that_nobody_is_told_of_make_no_event() {
    let kid = Kid::parse("kid", &"A".repeat(43)).unwrap();
    let Event { record: signed, .. } = signed(3);
    let State::Posted { signing_input, .. } = &signed.state else { unreachable!() };
    let signing_input = signing_input.clone();
    let open = State::Authorised { attempt: Attempt::FIRST, kid, signing_input };
    assert_eq!(Event::of_leaf(2, "accepted", instant(), record(2, None, open)), None);
    for kind in ["accepted", "started", "token_down", "unserved", "", "SIGNED"] {
        assert_eq!(EventKind::of_leaf(kind), None, "{kind}");
    }
    for kind in EventKind::ALL {
        assert_eq!(EventKind::parse("events", kind.name()).unwrap(), kind);
    }
    assert_eq!(EventKind::parse("events", "payment.paid").unwrap_err().rule, "event");
}

#[test]
fn an_id_has_one_spelling() {
    let id = denied(4711).id();
    assert_eq!(id.to_string(), "4711-abababababababababababababababab");
    assert_eq!(EventId::parse("id", &id.to_string()).unwrap(), id);
    for text in [
        "",
        "4711",
        "4711-",
        "-abababababababababababababababab",
        "04711-abababababababababababababababab",
        "+1-abababababababababababababababab",
        "1-ABABABABABABABABABABABABABABABAB",
        "1-abababababababababababababababab ",
        "18446744073709551616-abababababababababababababababab",
    ] {
        assert_eq!(EventId::parse("id", text).unwrap_err().rule, "event_id", "{text}");
    }
}
