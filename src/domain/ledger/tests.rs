//! The ledger's rules as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::domain::authorization::{Signed, SigningAuthorization};
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::counted::Counted;
use crate::domain::counter::{Axis, Counter, CounterId, KeySet, Parties, Scope, Span, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::{KeyId, Kid, Purpose, Signature};
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::money::Currency;
use crate::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use crate::domain::people::{PayerStanding, People};
use crate::domain::person::PayerId;
use crate::domain::policy::{Caller, Creditors, KeyPolicy, Policy, WaitingCaps};
use crate::domain::tier::Tiers;
use crate::domain::time::{Duration, Timestamp};

mod approvals;
mod axes;
mod circle;
mod closing;
mod desk;
mod history;
mod leaves;

use circle::Circle;
use desk::Desk;

const DAY: Span = Span::Rolling(Duration::from_seconds(86_400));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1000)
}

fn caller(name: &str) -> CallerId {
    CallerId::parse("caller", name).unwrap()
}

fn key(name: &str) -> KeyId {
    KeyId::parse("key", name).unwrap()
}

fn kid() -> Kid {
    Kid::parse("kid", &"A".repeat(43)).unwrap()
}

fn limit(name: &str, window: Window, measure: Measure, cap: u64) -> Limit {
    per(Axis::Key, name, window, measure, cap)
}

fn per(axis: Axis, name: &str, window: Window, measure: Measure, cap: u64) -> Limit {
    let scope = Scope::Key(key("settlement-eur"));
    Limit { name: name.to_owned(), scope, axis, window, measure, cap }
}

/// `settlement-eur`: 50.00 a payment, 100.00 and five payments a day; `audit` signs no payments.
fn policy() -> Policy {
    let settlement = KeyPolicy {
        purpose: Purpose::Settlement,
        currency: Some(Currency::parse("currency", "EUR").unwrap()),
        callers: BTreeSet::from([caller("shop"), caller("free")]),
        validity: Duration::from_seconds(3_600),
        anchored_from: None,
        creditors: Creditors::default(),
        limits: vec![
            limit("single", Window::PerPayment, Measure::Amount, 5_000),
            limit("daily", Window::Sum(DAY), Measure::Amount, 10_000),
            limit("daily count", Window::Sum(DAY), Measure::Count, 5),
        ],
        tiers: Tiers::Nobody,
        waiting: WaitingCaps::default(),
    };
    let audit = KeyPolicy {
        purpose: Purpose::Audit,
        currency: None,
        limits: Vec::new(),
        ..settlement.clone()
    };
    let plain = |name: &str, repeats| {
        let namespace = Namespace::of(&caller(name));
        let (certificates, operators) = (BTreeSet::new(), BTreeSet::new());
        let repeats_end_to_end_ids = repeats;
        let auditor = false;
        let caller_ =
            Caller { certificates, repeats_end_to_end_ids, auditor, namespace, operators };
        (caller(name), caller_)
    };
    Policy {
        version: "sha256:test".to_owned(),
        duplicate_window: Duration::parse("duplicate_window", "400d").unwrap(),
        callers: BTreeMap::from([
            plain("shop", false),
            plain("free", true),
            plain("stranger", false),
        ]),
        keys: BTreeMap::from([(key("settlement-eur"), settlement), (key("audit"), audit)]),
    }
}

fn fields() -> PaymentFields {
    PaymentFields {
        key: "settlement-eur".to_owned(),
        amount: "12.34".to_owned(),
        currency: "EUR".to_owned(),
        creditor_name: "Bakery Sol".to_owned(),
        creditor_account: AccountFields {
            iban: Some("ES9121000418450200051332".to_owned()),
            other: None,
        },
        end_to_end_id: "NOTPROVIDED".to_owned(),
        ..PaymentFields::default()
    }
}

fn payment(change: impl FnOnce(&mut PaymentFields)) -> Payment {
    let mut changed = fields();
    change(&mut changed);
    Payment::parse(&changed).unwrap()
}

fn signed(authorization: SigningAuthorization) -> Signed {
    authorization.fulfilled(Signature::from_bytes([7; 64]))
}

/// Each row breaks its own rule and every rule below it, so the table is the precedence.
#[test]
fn denials_in_order_of_precedence() {
    type Change = fn(&mut PaymentFields);
    let worst: Change = |p| {
        p.key = "unknown".into();
        p.currency = "USD".into();
        p.expires_at = Some("2020-01-01T00:00:00Z".into());
        p.end_to_end_id = "TAKEN".into();
        p.amount = "99.00".into();
    };
    let rows: [(&str, &str, Change); 9] = [
        ("stranger", "key_not_allowed", |_| {}),
        ("stranger", "key_not_allowed", |p| p.key = "audit".into()),
        ("shop", "key_purpose", |p| p.key = "audit".into()),
        ("shop", "key_currency", |p| p.key = "settlement-eur".into()),
        ("shop", "expired", |p| {
            p.key = "settlement-eur".into();
            p.currency = "EUR".into();
        }),
        ("shop", "expiry_too_far", |p| {
            p.key = "settlement-eur".into();
            p.currency = "EUR".into();
            p.expires_at = Some("2099-01-01T00:00:00Z".into());
        }),
        ("shop", "duplicate_end_to_end_id", |p| {
            p.key = "settlement-eur".into();
            p.currency = "EUR".into();
            p.expires_at = None;
        }),
        ("shop", "limit_exceeded", |p| {
            p.key = "settlement-eur".into();
            p.currency = "EUR".into();
            p.expires_at = None;
            p.end_to_end_id = "NEW".into();
        }),
        ("shop", "none", |p| {
            p.key = "settlement-eur".into();
            p.currency = "EUR".into();
            p.expires_at = None;
            p.end_to_end_id = "NEW".into();
            p.amount = "50.00".into();
        }),
    ];
    let mut desk = Desk::new();
    let taken = payment(|p| p.end_to_end_id = "TAKEN".into());
    desk.submit_as("shop", "first", taken, at(0));
    for (row, (who, rule, change)) in rows.into_iter().enumerate() {
        let asked = payment(|p| {
            worst(p);
            change(p);
        });
        let found = match desk.submit_as(who, &format!("row-{row}"), asked, at(1)) {
            Reservation::Denied(record) => match record.state.clone() {
                State::Denied(denial) => denial.rule(),
                other => panic!("row {row}: {other:?}"),
            },
            Reservation::Authorised(..) => "none",
            other => panic!("row {row}: {other:?}"),
        };
        assert_eq!(found, rule, "row {row}");
    }
}

#[test]
fn limits_are_named_in_the_order_of_the_policy_with_their_numbers() {
    let mut desk = Desk::new();
    for (id, amount, broken) in [
        ("a", "50.01", Some(("single", 5_000, 0, 5_001))),
        ("b", "50.00", None),
        ("c", "49.00", None),
        ("d", "1.01", Some(("daily", 10_000, 9_900, 101))),
        ("e", "0.10", None),
        ("f", "0.10", None),
        ("g", "0.10", None),
        ("h", "0.10", Some(("daily count", 5, 5, 1))),
        ("i", "1.00", Some(("daily", 10_000, 9_930, 100))),
    ] {
        let found = match desk.submit(id, amount) {
            Reservation::Denied(record) => match record.state.clone() {
                State::Denied(Denial::LimitExceeded(breach)) => Some(breach),
                other => panic!("{id}: {other:?}"),
            },
            Reservation::Authorised(..) => None,
            other => panic!("{id}: {other:?}"),
        };
        let found = found.as_ref().map(|b| (b.limit.as_str(), b.cap, b.pending, b.asked));
        assert_eq!(found, broken, "{id}");
    }
}

#[test]
fn one_idempotency_key_is_one_payment() {
    let mut desk = Desk::new();
    let authorization = desk.authorised("id", "10.00");
    assert!(matches!(desk.submit("id", "10.00"), Reservation::Known(known) if !known.is_final()));
    let Reservation::Conflict { field, payment: first } = desk.submit("id", "10.01") else {
        panic!("expected a conflict");
    };
    assert_eq!((field, first), ("amount", authorization.payment()));
    assert_eq!(desk.counter().pending(), Spend::one(1_000), "a retry holds nothing");

    post(at(2), &mut desk.working, &signed(authorization)).unwrap();
    let Reservation::Known(known) = desk.submit("id", "10.00") else { panic!("expected known") };
    let jws = known.compact_jws().unwrap();
    let Reservation::Known(again) = desk.submit("id", "10.00") else { panic!("expected known") };
    assert_eq!(again.compact_jws().unwrap(), jws);
    let other = desk.submit_as("free", "id", payment(|p| p.amount = "10.00".into()), at(0));
    assert!(matches!(other, Reservation::Authorised(..)), "another caller's id is another id");
}

#[test]
fn a_denial_is_final_for_its_id() {
    let mut desk = Desk::new();
    let Reservation::Denied(first) = desk.submit("id", "99.00") else { panic!("expected denial") };
    desk.policy.keys.get_mut(&key("settlement-eur")).unwrap().limits.clear();
    let Reservation::Known(again) = desk.submit("id", "99.00") else { panic!("expected known") };
    assert_eq!(first, again);
}

#[test]
fn without_a_signer_nothing_is_decided_in_favour_and_nothing_left_behind() {
    let mut desk = Desk::new();
    let submission = |amount: &str| Submission {
        caller: caller("shop"),
        idempotency_key: IdempotencyKey::parse("id", amount).unwrap(),
        payment: payment(|p| p.amount = amount.into()),
        fresh_id: PaymentId::from_bytes([9; 16]),
        salt: crate::domain::leaf::Salt::from_bytes([7; 16]),
        issuer: String::new(),
        signing_kid: None,
    };
    desk.load(&caller("shop"), &submission("1.00").payment, at(0));
    let answer =
        reserve(at(0), &desk.policy, &desk.people, &mut desk.working, submission("1.00")).unwrap();
    assert!(matches!(answer, Reservation::NoSigner));
    assert_eq!((desk.working.changed().count(), desk.counter().pending().count), (0, 0));
    let answer =
        reserve(at(0), &desk.policy, &desk.people, &mut desk.working, submission("99.00")).unwrap();
    assert!(matches!(answer, Reservation::Denied(_)), "a denial needs no signer");
}

#[test]
fn end_to_end_ids_are_taken_per_key_and_creditor_account() {
    let mut desk = Desk::new();
    let with = |id: &str, iban: &str| {
        payment(|p| {
            p.amount = "0.01".into();
            p.end_to_end_id = id.into();
            p.creditor_account.iban = Some(iban.into());
        })
    };
    let (here, there) = ("ES9121000418450200051332", "DE89370400440532013000");
    desk.policy.keys.get_mut(&key("settlement-eur")).unwrap().limits.clear();
    for (step, (who, id, iban, days, admitted)) in [
        ("shop", "INV-1", here, 0, true),
        ("shop", "INV-1", here, 0, false),
        ("shop", "INV-1", there, 0, true),
        ("shop", "INV-2", here, 0, true),
        ("shop", "inv-1", here, 0, true),
        ("free", "INV-1", here, 0, true),
        // Who may repeat takes what nobody holds: others do not pay it again.
        ("free", "INV-3", here, 0, true),
        ("free", "INV-3", here, 0, true),
        ("shop", "INV-3", here, 0, false),
        ("shop", "NOTPROVIDED", here, 0, true),
        ("shop", "NOTPROVIDED", here, 0, true),
        ("shop", "INV-1", here, 399, false),
        ("shop", "INV-1", here, 400, true),
        ("shop", "INV-1", here, 401, false),
    ]
    .into_iter()
    .enumerate()
    {
        let now = at(days * 86_400);
        let answer = desk.submit_as(who, &format!("step-{step}"), with(id, iban), now);
        assert_eq!(matches!(answer, Reservation::Authorised(..)), admitted, "step {step}");
    }
}

#[test]
fn what_has_lapsed_is_not_signed_any_more_and_goes_on_counting() {
    let mut desk = Desk::new();
    let authorization = desk.authorised("a", "10.00");
    let late = post(at(3_600), &mut desk.working, &signed(authorization)).unwrap();
    assert_eq!(late, Posting::Dropped);
    assert_eq!(desk.counter().pending(), Spend::one(1_000));
}

#[test]
fn only_the_current_attempt_counts() {
    let mut desk = Desk::new();
    let first = desk.authorised("id", "10.00");
    let id = first.payment();
    let Resumption::Again(second) = resume(at(5), &mut desk.working, id, &kid()) else {
        panic!("expected a second attempt");
    };
    assert_eq!(first.signing_input(), second.signing_input(), "the bytes stay frozen");
    let late = post(at(6), &mut desk.working, &signed(first)).unwrap();
    assert_eq!(late, Posting::Dropped);
    assert!(matches!(post(at(7), &mut desk.working, &signed(second)), Ok(Posting::Posted(_))));
    assert!(matches!(resume(at(8), &mut desk.working, id, &kid()), Resumption::NotNow));
    assert_eq!(desk.counter().used(DAY).unwrap(), Spend::one(1_000));
}

#[test]
fn payments_in_doubt_count_until_they_are_resolved() {
    let mut desk = Desk::new();
    let lost = desk.authorised("id", "10.00");
    let id = lost.payment();
    let other_kid = Kid::parse("kid", &format!("B{}", "A".repeat(42))).unwrap();
    for (now, kid, why) in
        [(at(1), other_kid, "another key version"), (at(3_600), kid(), "expired")]
    {
        let answer = resume(now, &mut desk.working, id, &kid);
        assert!(matches!(answer, Resumption::NotNow), "{why}");
    }
    assert_eq!(desk.working.advance(at(30 * 86_400)), []);
    assert_eq!(desk.counter().used(DAY).unwrap(), Spend::one(1_000), "whatever its age");

    let voided = void(at(9), &mut desk.working, id, VoidReason::Officer).unwrap().unwrap();
    assert!(voided.is_final() && voided.compact_jws().is_none());
    assert_eq!(desk.counter().used(DAY).unwrap(), Spend::default());
    assert_eq!(void(at(9), &mut desk.working, id, VoidReason::Officer).unwrap(), None);
    assert_eq!(post(at(10), &mut desk.working, &signed(lost)).unwrap(), Posting::Dropped);
}
