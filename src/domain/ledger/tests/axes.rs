//! Limits over callers, debtors, creditors, sets of keys and calendar days, and lists of creditors:
//! one line per payment.

use super::*;
use crate::domain::party::Account;
use crate::domain::policy::Listed;
use crate::domain::time::{CalendarUnit, Zone};

/// A payment of a row: who asks, of which key, for whom, to whom, how much.
struct Asked(&'static str, &'static str, Option<&'static str>, &'static str, &'static str);

impl Asked {
    fn payment(&self) -> Payment {
        let Self(_, key, debtor, creditor, amount) = *self;
        payment(|p| {
            p.key = key.into();
            p.debtor_id = debtor.map(str::to_owned);
            let merchant = ("merchant".into(), creditor.into());
            p.creditor_account = AccountFields { iban: None, other: Some(merchant) };
            p.amount = amount.into();
        })
    }
}

/// `settlement-eur` and `reserve-eur` with these limits each.
fn with_limits(limits: &[Limit]) -> Policy {
    let mut policy = policy();
    let settlement = policy.keys[&key("settlement-eur")].clone();
    for name in ["settlement-eur", "reserve-eur"] {
        let scoped = limits.iter().map(|limit| match &limit.scope {
            Scope::Key(_) => Limit { scope: Scope::Key(key(name)), ..limit.clone() },
            Scope::Keys(_) => limit.clone(),
        });
        let limits = scoped.collect();
        policy.keys.insert(key(name), KeyPolicy { limits, ..settlement.clone() });
    }
    policy
}

/// The rule and limit that deny each payment; empty if it is admitted and posted.
fn decisions(desk: &mut Desk, rows: &[Asked], now: Timestamp) -> Vec<String> {
    let decided = |asked: &Asked| {
        let id = format!("id-{}", desk.drawn);
        match desk.submit_as(asked.0, &id, asked.payment(), now) {
            Reservation::Authorised(_, authorization) => {
                post(now, &mut desk.working, &signed(authorization)).unwrap();
                String::new()
            }
            Reservation::Denied(record) => match &record.state {
                State::Denied(Denial::LimitExceeded(breach)) => breach.limit.clone(),
                State::Denied(denial) => denial.rule().to_owned(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    rows.iter().map(decided).collect()
}

fn daily(axis: Axis, cap: u64) -> Limit {
    per(axis, axis.name(), Window::Sum(DAY), Measure::Amount, cap)
}

const EUR: &str = "settlement-eur";
const RES: &str = "reserve-eur";

#[test]
fn each_axis_adds_up_those_who_share_it_and_nobody_else() {
    let table: [(Axis, [(Asked, bool); 5]); 4] = [
        (
            Axis::Caller,
            [
                (Asked("shop", EUR, None, "A", "9.00"), true),
                (Asked("shop", EUR, None, "B", "2.00"), false),
                (Asked("free", EUR, None, "A", "9.00"), true),
                (Asked("shop", RES, None, "A", "9.00"), true),
                (Asked("shop", EUR, None, "A", "1.00"), true),
            ],
        ),
        (
            Axis::Creditor,
            [
                (Asked("shop", EUR, None, "A", "9.00"), true),
                (Asked("free", EUR, None, "a", "2.00"), false),
                (Asked("shop", EUR, None, "B", "9.00"), true),
                (Asked("shop", RES, None, "A", "9.00"), true),
                (Asked("free", EUR, None, "A", "1.00"), true),
            ],
        ),
        (
            Axis::Debtor,
            [
                (Asked("shop", EUR, Some("ann"), "A", "9.00"), true),
                (Asked("shop", EUR, Some("ann"), "B", "2.00"), false),
                (Asked("shop", EUR, Some("ben"), "A", "9.00"), true),
                (Asked("free", EUR, Some("ann"), "A", "9.00"), true),
                (Asked("shop", EUR, Some("ann"), "A", "1.00"), true),
            ],
        ),
        // Debtors that nobody has enrolled share one limit, whatever they are called.
        (
            Axis::UnknownDebtor,
            [
                (Asked("shop", EUR, Some("ann"), "A", "9.00"), true),
                (Asked("shop", EUR, Some("ben"), "B", "2.00"), false),
                (Asked("shop", EUR, Some("ann"), "A", "1.00"), true),
                (Asked("free", EUR, Some("ann"), "A", "9.00"), true),
                (Asked("shop", RES, Some("cem"), "A", "9.00"), true),
            ],
        ),
    ];
    for (axis, rows) in table {
        let mut desk = Desk::with(with_limits(&[daily(axis, 1_000)]));
        for (row, (asked, admitted)) in rows.into_iter().enumerate() {
            let now = at(i64::try_from(row).unwrap());
            let expected = if admitted { "" } else { axis.name() };
            assert_eq!(decisions(&mut desk, &[asked], now), [expected], "{axis:?} {row}");
        }
    }
}

#[test]
fn callers_that_share_a_namespace_share_its_debtors() {
    let mut policy = with_limits(&[daily(Axis::Debtor, 1_000)]);
    let shared = Namespace::parse("debtors", "members").unwrap();
    for who in ["shop", "free"] {
        policy.callers.get_mut(&caller(who)).unwrap().namespace = shared.clone();
    }
    let mut desk = Desk::with(policy);
    let rows = [
        Asked("shop", EUR, Some("ann"), "A", "9.00"),
        Asked("free", EUR, Some("ann"), "A", "2.00"),
        Asked("free", EUR, Some("ben"), "A", "2.00"),
    ];
    assert_eq!(decisions(&mut desk, &rows, at(0)), ["", "debtor", ""]);
}

#[test]
fn a_set_adds_up_its_keys_and_its_limits_come_after_the_keys_own() {
    let both = Scope::Keys(KeySet::new([key(EUR), key(RES)]));
    let set = Limit { scope: both, name: "together".into(), ..daily(Axis::Key, 1_500) };
    let mut desk = Desk::with(with_limits(&[daily(Axis::Key, 1_000), set]));
    let rows = [
        Asked("shop", EUR, None, "A", "9.00"),
        Asked("shop", EUR, None, "A", "9.00"),
        Asked("shop", RES, None, "A", "7.00"),
        Asked("shop", RES, None, "A", "6.00"),
        Asked("shop", EUR, None, "A", "0.01"),
    ];
    let decided = decisions(&mut desk, &rows, at(0));
    assert_eq!(decided, ["", "key", "together", "", "together"]);
}

#[test]
fn a_key_with_limits_over_debtors_needs_one() {
    for axis in [Axis::Debtor, Axis::UnknownDebtor] {
        let mut desk = Desk::with(with_limits(&[daily(axis, 1_000)]));
        let rows =
            [Asked("shop", EUR, None, "A", "1.00"), Asked("shop", EUR, Some("ann"), "A", "1.00")];
        assert_eq!(decisions(&mut desk, &rows, at(0)), ["debtor_missing", ""]);
    }
}

#[test]
fn a_calendar_day_ends_at_local_midnight_and_carries_what_is_open() {
    let madrid = Zone::parse("zone", "Europe/Madrid").unwrap();
    let day = Window::Sum(Span::Calendar(CalendarUnit::Day, madrid));
    let limit = per(Axis::Key, "day", day, Measure::Amount, 1_000);
    let mut desk = Desk::with(with_limits(&[limit]));
    let instant = |text| Timestamp::parse("at", text).unwrap();
    let pay = |amount| Asked("shop", EUR, None, "A", amount);
    // Clocks go back in the night of 25 October 2026: that day has 25 hours.
    for (text, amount, denied) in [
        ("2026-10-24T21:59:59Z", "9.00", ""),
        ("2026-10-24T21:59:59.900Z", "1.01", "day"),
        ("2026-10-24T22:00:00Z", "10.00", ""),
        ("2026-10-25T22:59:59Z", "0.01", "day"),
        ("2026-10-25T23:00:00Z", "8.00", ""),
    ] {
        assert_eq!(decisions(&mut desk, &[pay(amount)], instant(text)), [denied], "{text}");
    }
    let open =
        desk.submit_as("shop", "open", pay("2.00").payment(), instant("2026-10-26T22:59:00Z"));
    assert!(matches!(open, Reservation::Authorised(..)));
    let next = instant("2026-10-26T23:00:00Z");
    assert_eq!(decisions(&mut desk, &[pay("8.01"), pay("8.00")], next), ["day", ""]);
}

#[test]
fn a_breach_of_a_calendar_day_tells_when_the_next_begins() {
    let madrid = Zone::parse("zone", "Europe/Madrid").unwrap();
    let month = Window::Sum(Span::Calendar(CalendarUnit::Month, madrid));
    let limit = per(Axis::Creditor, "month", month, Measure::Count, 1);
    let mut desk = Desk::with(with_limits(&[limit]));
    let now = Timestamp::parse("at", "2026-11-24T12:00:00Z").unwrap();
    decisions(&mut desk, &[Asked("shop", EUR, None, "A", "1.00")], now);
    let asked = Asked("shop", EUR, None, "A", "1.00").payment();
    let Reservation::Denied(record) = desk.submit_as("shop", "more", asked, now) else { panic!() };
    let State::Denied(Denial::LimitExceeded(breach)) = &record.state else { panic!() };
    let begins = Timestamp::parse("at", "2026-11-30T23:00:00Z").unwrap();
    assert_eq!((breach.per.as_str(), breach.frees_at()), ("creditor", Some(begins)));
}

#[test]
fn creditors_are_denied_unlisted_or_too_new_in_this_order() {
    let account = |id: &str| Account::parse("account", &format!("merchant:{id}")).unwrap();
    let mut policy = with_limits(&[daily(Axis::Key, 1_000)]);
    let wait = Duration::from_seconds(3_600);
    policy.keys.get_mut(&key(EUR)).unwrap().creditors = Creditors {
        allow: Some(BTreeMap::from([
            (account("OLD"), Listed::At(at(0))),
            (account("NEW"), Listed::At(at(5_000))),
            (account("UNSEEN"), Listed::Never),
            (account("BAD"), Listed::At(at(0))),
        ])),
        deny: BTreeSet::from([account("BAD")]),
        cooling_off: Some(wait),
    };
    let mut desk = Desk::with(policy);
    for (second, creditor, rule) in [
        (5_001, "BAD", "creditor_denied"),
        (5_001, "OTHER", "creditor_not_allowed"),
        (5_001, "UNSEEN", "creditor_cooling_off"),
        (5_001, "NEW", "creditor_cooling_off"),
        (8_599, "NEW", "creditor_cooling_off"),
        (8_600, "NEW", ""),
        (8_600, "old", ""),
    ] {
        let asked = Asked("shop", EUR, None, creditor, "1.00");
        assert_eq!(decisions(&mut desk, &[asked], at(second)), [rule], "{creditor} {second}");
    }
    let elsewhere = Asked("shop", RES, None, "OTHER", "1.00");
    assert_eq!(decisions(&mut desk, &[elsewhere], at(8_600)), [""], "lists are the key's own");
}
