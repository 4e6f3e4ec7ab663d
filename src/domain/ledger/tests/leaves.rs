//! Every decision is a leaf, in the commit of that decision.

use super::*;
use crate::domain::leaf::{Archived, Event, LEAF_BYTES_MAX, Leaf, Salt, Unserved};

fn members(leaf: &Leaf) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(leaf.as_str()).unwrap()
}

fn kinds(desk: &Desk) -> Vec<String> {
    let kind = |leaf| members(leaf)["kind"].as_str().unwrap().to_owned();
    desk.working.leaves().iter().map(kind).collect()
}

#[test]
fn each_decision_appends_one_leaf_and_knows_where() {
    let mut desk = Desk::new();
    desk.working.log_size = 1_000;
    let lost = desk.authorised("a", "1.00");
    let paid = desk.authorised("b", "2.00");
    let Reservation::Denied(denied) = desk.submit("c", "99.00") else { panic!("not denied") };
    let Reservation::Known(_) = desk.submit("c", "99.00") else { panic!("not known") };
    let (lost, id) = (lost.payment(), paid.payment());
    let Resumption::Again(again) = resume(at(1), &mut desk.working, id, &kid()) else {
        panic!("not resumed");
    };
    assert_eq!(post(at(1), &mut desk.working, &signed(paid)).unwrap(), Posting::Dropped);
    let Posting::Posted(posted) = post(at(2), &mut desk.working, &signed(again)).unwrap() else {
        panic!("not posted");
    };
    let voided = void(at(3), &mut desk.working, lost, VoidReason::Officer).unwrap().unwrap();

    // Neither a retry nor an attempt nor a dropped signature decides anything.
    assert_eq!(kinds(&desk), ["accepted", "accepted", "denied", "signed", "voided"]);
    let positions = [&denied, &posted, &voided].map(|record| (record.leaf, record.outcome_leaf));
    assert_eq!(positions, [(1_002, None), (1_001, Some(1_003)), (1_000, Some(1_004))]);
}

#[test]
fn a_leaf_hides_what_tells_of_people_and_proves_it_to_who_has_the_salt() {
    let mut desk = Desk::new();
    let told = payment(|p| {
        p.amount = "1.00".to_owned();
        p.creditor_name = "Bäckerei Sol".to_owned();
        p.debtor_id = Some("user-4711".to_owned());
        p.remittance_information = Some("2 x croissant".to_owned());
    });
    let Reservation::Authorised(record, authorization) =
        desk.submit_as("shop", "ORDER-OF-ANNA", told, at(0))
    else {
        panic!("not authorised");
    };
    post(at(1), &mut desk.working, &signed(authorization)).unwrap();
    for leaf in desk.working.leaves() {
        assert!(leaf.as_str().len() <= LEAF_BYTES_MAX);
        for personal in ["Sol", "ES91", "4711", "INV", "croissant", "ANNA"] {
            assert!(!leaf.as_str().contains(personal), "{personal} in {}", leaf.as_str());
        }
    }
    let leaf = members(&desk.working.leaves()[0]);
    for (name, value) in [
        ("creditor_name", "Bäckerei Sol"),
        ("creditor_account", &record.payment.creditor().account().to_string()),
        ("debtor", "user-4711"),
        ("end_to_end_id", record.payment.end_to_end_id().as_str()),
        ("remittance_information", "2 x croissant"),
        ("idempotency_key", "ORDER-OF-ANNA"),
    ] {
        assert_eq!(leaf[name], record.salt.digest(name, value.as_bytes()), "{name}");
        assert_ne!(leaf[name], Salt::from_bytes([8; 16]).digest(name, value.as_bytes()));
    }
    for (name, value) in [
        ("schema", "countersign/leaf/1"),
        ("caller", "shop"),
        ("key", "settlement-eur"),
        ("amount", "1.00"),
        ("currency", "EUR"),
    ] {
        assert_eq!(leaf[name], value);
    }
}

#[test]
fn a_denial_is_told_with_its_numbers() {
    let mut desk = Desk::new();
    desk.submit("a", "99.00");
    let leaf = members(&desk.working.leaves()[0]);
    let expected = serde_json::json!({
        "rule": "limit_exceeded", "limit": "single", "per": "key", "measure": "amount",
        "cap": "5000", "posted": "0", "pending": "0", "asked": "9900",
    });
    assert_eq!(leaf["denial"], expected);
}

#[test]
fn an_event_keeps_its_bound_whatever_others_wrote() {
    let reason = "\u{7}".repeat(10_000);
    let refusals = vec![("malformed", u64::MAX), ("overload", 7)];
    for event in [
        Event::Started { release: "1.2.3".into(), policy: "sha256:ab".into(), leaves: 7 },
        Event::Stopped,
        Event::ClockRefused { reason: reason.clone() },
        Event::TokenDown { token: "softhsm".into(), reason },
        Event::TokenUp { token: "softhsm".into() },
        Event::AnchorGone { token: "softhsm".into() },
        Event::WitnessContradicts { witness: "second".into(), reason: "more leaves".into() },
        Event::Unserved(Unserved { caller: "shop".into(), minute: at(0), refusals }),
        Event::Erased { payments: u64::MAX, before: at(0), first: 0, last: u64::MAX },
        Event::Archived(Archived {
            archive: u64::MAX,
            sha256: "f".repeat(64),
            payments: u64::MAX,
            before: at(0),
            first: 0,
            last: u64::MAX,
        }),
    ] {
        let leaf = Leaf::of_event(at(0), &event);
        assert!(leaf.as_str().len() <= LEAF_BYTES_MAX, "{}", leaf.as_str().len());
        assert_eq!(members(&leaf)["kind"], event.kind());
    }
}
