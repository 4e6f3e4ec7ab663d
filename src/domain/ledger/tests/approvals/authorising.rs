//! What it takes to be authorised, after the last approval.

use super::*;

/// What happens between the last approval and the authorising, and what comes of it.
type BeforeAuthorise = (&'static str, fn(&mut Desk), &'static str);
const BEFORE_AUTHORISE: [BeforeAuthorise; 9] = [
    ("nothing", |_| {}, "authorised"),
    ("bo left treasury", |d| drop(d.people.groups.remove(&person("bo"))), "missing"),
    (
        "bo's token was removed",
        |d| drop(d.people.credentials.remove(&credential_id("bo"))),
        "missing",
    ),
    (
        "bo's token became somebody else's",
        |d| d.people.give(Approver::Person(person("dan")), "bo", Hardware::Attested),
        "missing",
    ),
    (
        "another policy asks for the same",
        |d| d.policy.version = "sha256:other".to_owned(),
        "authorised",
    ),
    (
        "another policy asks for more",
        |d| {
            d.policy.version = "sha256:other".to_owned();
            asks(d, 2, demand(false, &[("treasury", 3)], Hardware::Unproven));
        },
        "voided",
    ),
    (
        "another policy denies the tier",
        |d| {
            d.policy.version = "sha256:other".to_owned();
            asks(d, 2, Asks::Deny);
        },
        "voided",
    ),
    (
        "another policy denies the creditor",
        |d| {
            d.policy.version = "sha256:other".to_owned();
            let key = d.policy.keys.get_mut(&key("settlement-eur")).unwrap();
            let bakery = payment(|_| {}).creditor().account().clone();
            key.creditors.deny.insert(bakery);
        },
        "voided",
    ),
    (
        "another policy asks nobody any more",
        |d| {
            d.policy.version = "sha256:other".to_owned();
            d.policy.keys.get_mut(&key("settlement-eur")).unwrap().tiers = Tiers::Nobody;
        },
        "authorised",
    ),
];

#[test]
fn the_quorum_is_looked_at_again_when_the_payment_is_authorised() {
    for (what, change, expected) in BEFORE_AUTHORISE {
        let mut desk = desk();
        let payment = desk.waiting("p", "20.00");
        desk.approved_by(payment, "ana");
        let met = desk.approved_by(payment, "bo");
        assert!(matches!(met, Taken::Approved(missing) if missing.is_nothing()));
        assert_eq!(*desk.state(payment), State::Waiting { approved: true });
        change(&mut desk);
        let found = match desk.authorise(payment, at(2)) {
            Authorisation::Authorised(..) => "authorised",
            Authorisation::Missing(_) => "missing",
            Authorisation::Voided(_) => "voided",
            Authorisation::NotWaiting => "not waiting",
            Authorisation::EvidenceChanged => "changed",
        };
        assert_eq!(found, expected, "{what}");
        let held = desk.working.counters[&CounterId::of_key(&key("settlement-eur"))].pending();
        let voided = expected == "voided";
        assert_eq!(
            held,
            Spend { amount: 2_000 * u64::from(!voided), count: u64::from(!voided) },
            "{what}"
        );
    }
}

fn asks(desk: &mut Desk, tier: usize, asks: Asks) {
    let key = desk.policy.keys.get_mut(&key("settlement-eur")).unwrap();
    let Tiers::Stepped(tiers) = &mut key.tiers else { unreachable!() };
    tiers[tier].asks = asks;
}

#[test]
fn evidence_that_was_not_verified_byte_for_byte_authorises_nothing() {
    type Change = fn(&mut Vec<VerifiedEvidence>);
    let rows: [(&str, Change); 4] = [
        ("one less than is on record", |verified| drop(verified.pop())),
        ("other bytes", |verified| {
            let one = verified.pop().unwrap();
            let (digest, id) = (one.statement(), one.credential().clone());
            let kind = CredentialKind::WebAuthn;
            verified.push(VerifiedEvidence::attest(digest, kind, id, b"other".to_vec(), 0));
        }),
        ("another credential", |verified| {
            let one = verified.pop().unwrap();
            verified.push(evidence(one.statement(), "cy", 0));
        }),
        ("another statement", |verified| {
            verified.pop();
            verified.push(evidence(StatementDigest::from_bytes([1; 32]), "bo", 0));
        }),
    ];
    for (what, change) in rows {
        let mut desk = desk();
        let payment = desk.waiting("p", "20.00");
        desk.approved_by(payment, "ana");
        desk.approved_by(payment, "bo");
        let mut verified = desk.verified(payment);
        change(&mut verified);
        let (policy, people) = (&desk.policy, &desk.people);
        let found = authorise(at(2), policy, people, &mut desk.working, payment, &verified, &kid())
            .unwrap();
        assert!(matches!(found, Authorisation::EvidenceChanged), "{what}: {found:?}");
    }
}

#[test]
fn the_header_names_the_statements_and_the_touch_starts_the_sums_over() {
    let mut desk = desk();
    for id in ["a", "b", "c"] {
        let signed = desk.ask(id, "5.00", Some("user-1"));
        let Reservation::Authorised(_, permission) = signed else { panic!("{signed:?}") };
        let signed = permission.fulfilled(Signature::from_bytes([1; 64]));
        post(at(0), &mut desk.working, &signed).unwrap();
    }
    let payment = desk.waiting("d", "5.00");
    let taken = desk.approved_by(payment, "user-1");
    assert!(matches!(taken, Taken::Approved(missing) if missing.is_nothing()));
    let found = desk.authorise(payment, at(2));
    let Authorisation::Authorised(record, permission) = found else { panic!("{found:?}") };
    let digest = desk.working.statements_on(Subject::Payment(payment)).next().unwrap().0;
    let header = permission.signing_input().protected();
    assert!(header.contains(&format!(r#""approvals":["{digest}"]"#)), "{header}");
    assert_eq!(permission.signing_input().order(), &record.wait.as_ref().unwrap().order);
    let signed = permission.fulfilled(Signature::from_bytes([1; 64]));
    assert!(matches!(post(at(3), &mut desk.working, &signed), Ok(Posting::Posted(_))));
    assert!(matches!(desk.ask("e", "5.00", Some("user-1")), Reservation::Authorised(..)));
}
