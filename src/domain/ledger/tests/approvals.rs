//! Payments that wait for people: who is asked, whose word counts, what it takes to be authorised.

use super::circle::{credential_id, group, payer, person};

mod authorising;

use super::*;
use crate::domain::credential::{CredentialKind, Hardware};
use crate::domain::person::Approver;
use crate::domain::quorum::Demand;
use crate::domain::statement::{StatementDigest, Verdict};
use crate::domain::subject::Subject;
use crate::domain::tier::{Asks, Tier};

fn demand(payer: bool, groups: &[(&str, u32)], hardware: Hardware) -> Asks {
    let groups = groups.iter().map(|(name, count)| (group(name), *count)).collect();
    Asks::People(Demand { payer, groups, hardware, expiry: Duration::from_seconds(900) })
}

/// Up to 5.00: nobody, 20.00 or three payments since the last touch, 30.00 a day of the caller;
/// up to 15.00: the payer; up to 40.00: two of treasury; above: nobody may.
fn tiers() -> Tiers {
    let since = Window::Sum(Span::SinceTouch);
    let tier =
        |name: &str, up_to, asks| Tier { name: name.to_owned(), up_to, within: vec![], asks };
    let small = Tier {
        within: vec![
            per(Axis::Debtor, "since touch", since, Measure::Amount, 2_000),
            per(Axis::Debtor, "in a row", since, Measure::Count, 3),
            per(Axis::Caller, "caller", Window::Sum(DAY), Measure::Amount, 3_000),
        ],
        ..tier("small", Some(500), Asks::Nobody)
    };
    Tiers::Stepped(vec![
        small,
        tier("touch", Some(1_500), demand(true, &[], Hardware::DeviceBound)),
        tier("two", Some(4_000), demand(false, &[("treasury", 2)], Hardware::Unproven)),
        tier("above", None, Asks::Deny),
    ])
}

/// Ana, bo and cy are treasury, op too but runs the shop; user-1 has a token, user-2 has one that
/// is too new, user-3 was somebody else once too often, user-4 has none.
fn desk() -> Desk {
    let mut policy = policy();
    let key = policy.keys.get_mut(&key("settlement-eur")).unwrap();
    key.tiers = tiers();
    key.waiting = WaitingCaps { share_percent: 100, ..WaitingCaps::default() };
    let shop = policy.callers.get_mut(&caller("shop")).unwrap();
    shop.operators.insert(person("op"));
    let mut desk = Desk::with(policy);
    for name in ["ana", "bo", "cy", "op"] {
        desk.people.add(name, &["treasury"], Hardware::Attested);
    }
    desk.people.add("dan", &["support"], Hardware::Attested);
    desk.people.enrol("user-1", PayerStanding::Enrolled);
    desk.people.enrol("user-2", PayerStanding::CoolingOff(at(99)));
    desk.people.enrol("user-3", PayerStanding::Frozen);
    desk
}

impl Desk {
    fn ask(&mut self, id: &str, amount: &str, debtor: Option<&str>) -> Reservation {
        let debtor = debtor.map(str::to_owned);
        let asked = payment(|p| {
            (p.amount, p.debtor_id, p.end_to_end_id) = (amount.to_owned(), debtor, id.to_owned());
        });
        self.submit_as("shop", id, asked, at(0))
    }

    fn waiting(&mut self, id: &str, amount: &str) -> PaymentId {
        match self.ask(id, amount, Some("user-1")) {
            Reservation::Waiting(record) => record.id,
            other => panic!("expected a payment that waits, found {other:?}"),
        }
    }

    fn issue(
        &mut self,
        payment: PaymentId,
        approver: Approver,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<StatementDigest, NotTaken> {
        self.drawn += 1;
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&self.drawn.to_be_bytes());
        let subject = Subject::Payment(payment);
        let request = StatementRequest { subject, approver, verdict, nonce };
        issue(now, &self.policy, &self.people, &mut self.working, &request)
            .map(|(digest, _)| digest)
    }

    fn give(
        &mut self,
        digest: StatementDigest,
        token: &str,
        counter: u32,
        now: Timestamp,
    ) -> Result<Taken, NotTaken> {
        let given = evidence(digest, token, counter);
        approve(now, &self.policy, &self.people, &mut self.working, given).unwrap()
    }

    /// Has somebody approve, with the token of the same name.
    fn approved_by(&mut self, payment: PaymentId, name: &str) -> Taken {
        let who = match name.starts_with("user") {
            true => payer(name),
            false => Approver::Person(person(name)),
        };
        let digest = self.issue(payment, who, Verdict::Approve, at(1)).unwrap();
        self.give(digest, name, 0, at(1)).unwrap()
    }

    /// Authorises by everything on record, as a verifier that trusts all of it would.
    fn authorise(&mut self, payment: PaymentId, now: Timestamp) -> Authorisation {
        let verified = self.verified(payment);
        let (policy, people) = (&self.policy, &self.people);
        authorise(now, policy, people, &mut self.working, payment, &verified, &kid()).unwrap()
    }

    fn verified(&self, payment: PaymentId) -> Vec<VerifiedEvidence> {
        let rows = self.working.statements_on(Subject::Payment(payment));
        let given = rows.filter_map(|(digest, row)| Some((digest, row.evidence.as_ref()?)));
        given
            .map(|(digest, e)| {
                let (id, bytes) = (e.credential.clone(), e.bytes.clone());
                VerifiedEvidence::attest(*digest, e.kind, id, bytes, 0)
            })
            .collect()
    }

    fn state(&self, payment: PaymentId) -> &State {
        &self.working.payment(payment).unwrap().state
    }
}

fn evidence(digest: StatementDigest, token: &str, counter: u32) -> VerifiedEvidence {
    let bytes = [digest.as_bytes(), token.as_bytes()].concat();
    let (kind, id) = (CredentialKind::WebAuthn, credential_id(token));
    VerifiedEvidence::attest(digest, kind, id, bytes, counter)
}

#[test]
fn a_payment_falls_into_the_first_tier_that_it_fits() {
    let mut desk = desk();
    let told = |answer: Reservation| match answer {
        Reservation::Authorised(..) => "signed".to_owned(),
        Reservation::Waiting(record) => record.wait.as_ref().unwrap().tier.clone(),
        Reservation::Denied(record) => match &record.state {
            State::Denied(denial) => denial.rule().to_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    for (row, (amount, debtor, expected)) in [
        ("5.00", Some("user-1"), "signed"),
        ("5.01", Some("user-1"), "touch"),
        ("15.00", Some("user-2"), "payer_cooling_off"),
        ("15.00", Some("user-3"), "debtor_frozen"),
        ("0.01", Some("user-3"), "debtor_frozen"),
        ("15.00", Some("user-4"), "payer_not_enrolled"),
        ("15.01", Some("user-4"), "two"),
        ("40.01", Some("user-1"), "tier_denies"),
        ("1.00", None, "debtor_missing"),
        // The third in a row is the last; the waiting one counts too.
        ("1.00", Some("user-1"), "signed"),
        ("1.00", Some("user-1"), "touch"),
    ]
    .into_iter()
    .enumerate()
    {
        desk.policy.keys.get_mut(&key("settlement-eur")).unwrap().limits.truncate(1);
        assert_eq!(told(desk.ask(&format!("p{row}"), amount, debtor)), expected, "row {row}");
    }
}

#[test]
fn whose_word_is_refused_and_why() {
    let mut desk = desk();
    let two = desk.waiting("two", "20.00");
    let touch = desk.waiting("touch", "10.00");
    let by = |name: &str| Approver::Person(person(name));
    let nobody = PaymentId::from_bytes([9; 16]);
    for (payment, who, now, refused) in [
        (nobody, by("ana"), at(1), NotTaken::NotWaiting(Subject::Payment(nobody))),
        (two, by("ana"), at(900), NotTaken::NotWaiting(Subject::Payment(two))),
        (two, by("dan"), at(1), NotTaken::NotAsked(by("dan"))),
        (two, by("nobody"), at(1), NotTaken::NotAsked(by("nobody"))),
        (two, payer("user-1"), at(1), NotTaken::NotAsked(payer("user-1"))),
        (two, by("op"), at(1), NotTaken::Maker(by("op"))),
        (touch, by("ana"), at(1), NotTaken::NotAsked(by("ana"))),
        (touch, payer("user-2"), at(1), NotTaken::NotAsked(payer("user-2"))),
    ] {
        assert_eq!(desk.issue(payment, who, Verdict::Approve, now), Err(refused));
    }
    let ana = desk.issue(two, by("ana"), Verdict::Approve, at(1)).unwrap();
    let again = desk.issue(two, by("ana"), Verdict::Reject, at(1)).unwrap();
    let unknown = StatementDigest::from_bytes([3; 32]);
    let expired = NotTaken::StatementExpired(at(900));
    let of_bo = NotTaken::CredentialOfAnother { found: by("bo"), expected: by("ana") };
    desk.working.uses.insert(credential_id("ana"), 7);
    for (digest, token, counter, now, refused) in [
        (unknown, "ana", 8, at(1), NotTaken::UnknownStatement),
        (ana, "ana", 8, at(900), expired),
        (ana, "lost", 8, at(1), NotTaken::CredentialUnknown),
        (ana, "bo", 8, at(1), of_bo),
        (ana, "ana", 7, at(1), NotTaken::CounterNotRisen { found: 7, last: 7 }),
        (ana, "ana", 6, at(1), NotTaken::CounterNotRisen { found: 6, last: 7 }),
        (ana, "ana", 0, at(1), NotTaken::CounterNotRisen { found: 0, last: 7 }),
    ] {
        assert_eq!(desk.give(digest, token, counter, now), Err(refused));
    }
    assert!(matches!(desk.give(ana, "ana", 8, at(1)), Ok(Taken::Approved(_))));
    for (digest, counter, refused) in
        [(ana, 9, NotTaken::Replayed), (again, 9, NotTaken::GivenAlready(by("ana")))]
    {
        assert_eq!(desk.give(digest, "ana", counter, at(1)), Err(refused));
    }
    let after = desk.issue(two, by("ana"), Verdict::Reject, at(1));
    assert_eq!(after, Err(NotTaken::GivenAlready(by("ana"))));
    for _ in 0..8 {
        desk.issue(two, by("bo"), Verdict::Approve, at(2)).unwrap();
    }
    let ninth = desk.issue(two, by("bo"), Verdict::Approve, at(2));
    assert_eq!(ninth, Err(NotTaken::TooManyOpen));
}

#[test]
fn two_racing_assertions_with_one_counter_value_count_once() {
    let mut desk = desk();
    let (one, other) = (desk.waiting("one", "20.00"), desk.waiting("other", "20.00"));
    let ana = || Approver::Person(person("ana"));
    let first = desk.issue(one, ana(), Verdict::Approve, at(1)).unwrap();
    let second = desk.issue(other, ana(), Verdict::Approve, at(1)).unwrap();
    assert!(desk.give(first, "ana", 5, at(1)).is_ok());
    let refused = desk.give(second, "ana", 5, at(1));
    assert_eq!(refused, Err(NotTaken::CounterNotRisen { found: 5, last: 5 }));
}

#[test]
fn a_rejection_is_final_and_releases_the_hold() {
    let mut desk = desk();
    let payment = desk.waiting("p", "20.00");
    assert!(matches!(desk.approved_by(payment, "ana"), Taken::Approved(m) if !m.is_nothing()));
    let no = desk.issue(payment, Approver::Person(person("bo")), Verdict::Reject, at(1)).unwrap();
    assert!(matches!(desk.give(no, "bo", 0, at(1)), Ok(Taken::Rejected(_))));
    let reason = VoidReason::Rejected;
    assert_eq!(*desk.state(payment), State::Voided { reason, voided_at: at(1) });
    let id = CounterId::of_key(&key("settlement-eur"));
    assert_eq!(desk.working.counters[&id].pending(), Spend::default());
    let late = desk.issue(payment, Approver::Person(person("cy")), Verdict::Approve, at(1));
    assert_eq!(late, Err(NotTaken::NotWaiting(Subject::Payment(payment))));
    assert!(matches!(desk.authorise(payment, at(1)), Authorisation::NotWaiting));
    assert!(desk.working.waiting.is_empty());
}

#[test]
fn what_waits_is_capped_in_number_and_in_share() {
    let mut desk = desk();
    desk.policy.keys.get_mut(&key("settlement-eur")).unwrap().waiting =
        WaitingCaps { per_caller: 3, per_debtor: 2, share_percent: 25 };
    let rule = |answer: Reservation| match answer {
        Reservation::Waiting(_) => "waits".to_owned(),
        Reservation::Denied(record) => match &record.state {
            State::Denied(Denial::TooManyWaiting { per, .. }) => format!("too many of the {per}"),
            State::Denied(Denial::WaitingShare { per, limit, .. }) => format!("{per} of {limit}"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    desk.people.enrol("user-5", PayerStanding::Enrolled);
    desk.policy.keys.get_mut(&key("settlement-eur")).unwrap().limits.truncate(2);
    for (id, amount, debtor, expected) in [
        // A quarter of 100.00 is 25.00, and one that waits alone may be more.
        ("a", "30.00", "user-1", "waits"),
        ("b", "5.01", "user-1", "caller of daily"),
        ("c", "5.01", "user-5", "caller of daily"),
    ] {
        assert_eq!(rule(desk.ask(id, amount, Some(debtor))), expected, "{id}");
    }
    let first = desk.ids[0];
    assert!(void(at(1), &mut desk.working, first, VoidReason::Cancelled).unwrap().is_some());
    for (id, amount, debtor, expected) in [
        ("d", "6.00", "user-1", "waits"),
        ("e", "6.00", "user-1", "waits"),
        ("f", "6.00", "user-1", "too many of the debtor"),
        ("g", "6.00", "user-5", "waits"),
        ("h", "6.00", "user-5", "too many of the caller"),
    ] {
        assert_eq!(rule(desk.ask(id, amount, Some(debtor))), expected, "{id}");
    }
}

#[test]
fn each_reason_voids_only_what_it_may() {
    use VoidReason::{Cancelled, Expired, Officer, PolicyChanged, Rejected};
    for (waits, reason, now, voids) in [
        (true, Officer, at(1), true),
        (true, Cancelled, at(1), true),
        (true, Rejected, at(1), true),
        (true, PolicyChanged, at(1), true),
        (true, Expired, at(899), false),
        (true, Expired, at(900), true),
        (false, Officer, at(1), true),
        (false, Cancelled, at(1), false),
        (false, Rejected, at(1), false),
        (false, PolicyChanged, at(1), false),
        (false, Expired, at(9_999), false),
    ] {
        let mut desk = desk();
        let payment = match waits {
            true => desk.waiting("p", "20.00"),
            false => match desk.ask("p", "1.00", Some("user-1")) {
                Reservation::Authorised(record, _) => record.id,
                other => panic!("{other:?}"),
            },
        };
        let voided = void(now, &mut desk.working, payment, reason).unwrap();
        assert_eq!(voided.is_some(), voids, "{waits} {reason:?}");
    }
}
