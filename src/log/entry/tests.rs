//! Every leaf that the domain writes is read; nothing else is.

use proptest::prelude::*;

use super::*;
use crate::domain::canonical::Value;
use crate::domain::leaf::{Archived, Event, Leaf, Unserved};

fn at() -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000)
}

fn events() -> Vec<Event> {
    let (token, reason) = ("softhsm".to_owned(), "gone \"away\"\u{1}\n".to_owned());
    let unserved = Unserved {
        caller: String::new(),
        minute: at(),
        refusals: vec![("overload", 3), ("content_type", 1)],
    };
    vec![
        Event::Started { release: "0.1.0".to_owned(), policy: "v1".to_owned(), leaves: 7 },
        Event::Stopped,
        Event::ClockRefused { reason: reason.clone() },
        Event::TokenDown { token: token.clone(), reason },
        Event::TokenUp { token: token.clone() },
        Event::AnchorGone { token: token.clone() },
        Event::WitnessContradicts { witness: token, reason: "more leaves".to_owned() },
        Event::Unserved(unserved),
        Event::Erased { payments: 64, before: at(), first: 3, last: 190 },
        Event::Archived(Archived {
            archive: 2,
            sha256: "0a".repeat(32),
            payments: 1_000,
            before: at(),
            first: 0,
            last: 2_001,
        }),
    ]
}

/// A leaf of a payment, as the domain writes it.
pub(in crate::log) const DENIED: &str = concat!(
    r#"{"amount":"12.34","at":"2027-01-15T08:00:00.000Z","caller":"shop","#,
    r#""creditor_account":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","#,
    r#""creditor_name":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","currency":"EUR","#,
    r#""denial":{"asked":"1234","rule":"limit_exceeded"},"#,
    r#""end_to_end_id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","#,
    r#""expires_at":"2027-01-16T08:00:00.000Z","#,
    r#""idempotency_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","key":"settlement-eur","#,
    r#""kind":"denied","namespace":"shop","payment":"000102030405060708090a0b0c0d0e0f","#,
    r#""schema":"countersign/leaf/1"}"#
);

#[test]
fn every_event_is_read_back() {
    for event in events() {
        // Whoever adds an event adds it to `events` and to `Kind`.
        match event {
            Event::Started { .. }
            | Event::Stopped
            | Event::ClockRefused { .. }
            | Event::TokenDown { .. }
            | Event::TokenUp { .. }
            | Event::AnchorGone { .. }
            | Event::WitnessContradicts { .. }
            | Event::Erased { .. }
            | Event::Archived(_)
            | Event::Unserved(_) => {}
        }
        let leaf = Leaf::of_event(at(), &event);
        let entry = Entry::parse(leaf.as_str().as_bytes()).unwrap();
        assert_eq!((entry.kind().name(), entry.at()), (event.kind(), at()), "{}", leaf.as_str());
        assert_eq!(entry.payment(), None);
    }
    let leaf = Leaf::of_event(at(), &events()[3]);
    let entry = Entry::parse(leaf.as_str().as_bytes()).unwrap();
    assert_eq!(entry.text("reason"), Some("gone \"away\"\u{1}\n"));
    let leaf = Leaf::of_event(at(), &events()[7]);
    let entry = Entry::parse(leaf.as_str().as_bytes()).unwrap();
    assert_eq!(entry.text_in("refusals", "overload"), Some("3"));
    assert_eq!(entry.object("refusals").len(), 2);
}

#[test]
fn the_leaf_of_a_payment_tells_who_and_how_much() {
    let entry = Entry::parse(DENIED.as_bytes()).unwrap();
    let payment = entry.payment().unwrap();
    assert_eq!(payment.id.to_string(), "000102030405060708090a0b0c0d0e0f");
    assert_eq!((payment.caller, payment.key), ("shop", "settlement-eur"));
    assert_eq!((payment.amount.minor_units(), payment.currency.code()), (1234, "EUR"));
    assert_eq!(entry.text_in("denial", "rule"), Some("limit_exceeded"));
}

#[test]
fn every_other_spelling_is_refused_with_its_reason() {
    for (old, new, told) in [
        ("{\"amount", " {\"amount", "expected an object at byte 0"),
        (":\"12.34", ": \"12.34", "expected a string at byte 10"),
        ("shop\",\"cred", "shop\" ,\"cred", "a comma or the end of the object"),
        ("/1\"}", "/1\"} ", "expected the end"),
        ("/1\"}", "/1\"", "a comma or the end of the object"),
        ("/1\"}", "/1", "a string that ends"),
        ("\"amount\":\"12.34\"", "\"amount\":12.34", "a string"),
        ("\"caller\":\"shop\"", "\"caller\":\"\\u0073hop\"", "the shortest escape"),
        ("\"caller\":\"shop\"", "\"caller\":\"\\/shop\"", "the shortest escape"),
        ("\"caller\":\"shop\"", "\"caller\":\"\\u000A\"", "the shortest escape"),
        ("\"caller\":\"shop\"", "\"caller\":\"a\nb\"", "the shortest escape"),
        ("\"caller\":\"shop\"", "\"aaller\":\"shop\"", "in ascending order"),
        ("\"caller\":\"shop\"", "\"amount\":\"12.34\"", "in ascending order"),
        ("\"caller\":\"shop\"", "\"b\\u0001\":\"shop\"", "in ascending order"),
        ("\"caller\":\"shop\"", "\"caller\":\"Shop\"", "\"caller\" is \"Shop\"; expected"),
        ("\"caller\":\"shop\"", "\"caller\":{}", "\"caller\" is an object; expected"),
        ("\"caller\":\"shop\",", "", "\"caller\" is missing"),
        ("\"caller\":\"shop\"", "\"bonus\":\"1\",\"caller\":\"shop\"", "has the member \"bonus\""),
        ("leaf/1", "leaf/2", "its schema is \"countersign/leaf/2\""),
        ("\"denied\"", "\"waived\"", "its kind is \"waived\"; expected one of accepted, denied"),
        ("\"denied\"", "\"signed\"", "no leaf of kind \"signed\" has it"),
        ("12.34", "12.3", "\"amount\" is \"12.3\"; expected a decimal amount"),
        ("12.34", "0.00", "\"amount\" is \"0.00\""),
        ("EUR", "EUX", "\"currency\" is \"EUX\""),
        ("08:00:00.000Z\",\"caller", "08:00:00Z\",\"caller", "\"at\" is"),
        ("0e0f", "0E0F", "\"payment\" is"),
        ("AAA\",\"creditor_name", "AA\",\"creditor_name", "\"creditor_account\" is"),
        ("{\"asked\":\"1234\",\"rule\":\"limit_exceeded\"}", "\"no\"", "an object with a rule"),
        ("{\"asked\":\"1234\",\"rule\":\"limit_exceeded\"}", "{}", "an object with a rule"),
    ] {
        let changed = DENIED.replacen(old, new, 1);
        assert_ne!(changed, DENIED, "{old}");
        let refused = Entry::parse(changed.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(told), "{old} -> {new}: {refused}");
    }
    let long = format!("{DENIED}{}", " ".repeat(LEAF_BYTES_MAX));
    assert!(matches!(Entry::parse(long.as_bytes()), Err(EntryError::TooLong { .. })));
    assert_eq!(Entry::parse(&[0xff]), Err(EntryError::NotUtf8));
}

proptest! {
    #[test]
    fn texts_survive_and_have_one_spelling(text: String) {
        let object = Value::object([("a", Some(Value::text(&text)))]).to_canonical();
        prop_assert_eq!(canonical::parse(&object).unwrap(), [("a", Member::Text(text.into()))]);
    }

    #[test]
    fn whatever_is_read_is_what_the_domain_writes(text in r#"\{"a":"[ -~]{0,12}"\}"#) {
        if let Ok(read) = canonical::parse(&text) {
            let [("a", Member::Text(value))] = read.as_slice() else { panic!("{read:?}") };
            let written = Value::object([("a", Some(Value::text(value)))]).to_canonical();
            prop_assert_eq!(written, text);
        }
    }
}
