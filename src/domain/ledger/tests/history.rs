//! Random histories against a naive model that keeps every payment in a list and sums it: no cap
//! is ever exceeded, nothing is denied that the sums would admit, every id has one answer.
//!
//! Interleavings, retries, crashes that lose answers, late results, voids, clock steps and policy
//! changes are all moves of one dice. A failure prints the seed that replays it.

use std::collections::HashMap;

use super::*;
use crate::domain::time::{CalendarUnit, SlotWidth, Zone};

/// Moves of `make test` and of `make soak`.
const MOVES: u32 = 1_000_000;
const MOVES_SOAK: u32 = 200_000_000;
/// Moves of one history, so that its list stays short.
const MOVES_PER_HISTORY: u32 = 400;

/// A small generator (splitmix64), so that a printed seed replays a history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let length = u64::try_from(from.len()).unwrap();
        &from[usize::try_from(self.roll(length)).unwrap()]
    }

    fn seconds(&mut self, most: u64) -> i64 {
        i64::try_from(self.roll(most)).unwrap()
    }
}

/// What the model knows of one payment.
struct Entry {
    key: KeyId,
    caller: CallerId,
    debtor: String,
    creditor: String,
    amount: u64,
    state: Known,
    /// Once it is admitted.
    id: Option<PaymentId>,
    /// The authorization in force, unless a crash has lost it.
    authorization: Option<SigningAuthorization>,
}

#[derive(Clone, Copy, PartialEq)]
enum Known {
    Held,
    Posted(Timestamp),
    Gone,
}

/// The model: every payment in a list.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    by_id: HashMap<(CallerId, String), PaymentId>,
    /// Authorizations whose results nobody waits for any more.
    lost: Vec<SigningAuthorization>,
}

impl Model {
    /// The first limit that a payment would break, by adding up the whole list.
    fn broken(&self, limits: &[Limit], now: Timestamp, asked: &Entry) -> Option<String> {
        let broken = |limit: &&Limit| {
            let mut used = limit.measure.of(Spend::one(asked.amount));
            if let Window::Sum(span) = limit.window {
                let of_it = self.entries.iter().filter(|entry| adds_up(limit, entry, asked));
                let counts = |entry: &&Entry| match entry.state {
                    Known::Held => true,
                    Known::Posted(at) => inside(span, at, now),
                    Known::Gone => false,
                };
                let sum = of_it.filter(counts).map(|e| limit.measure.of(Spend::one(e.amount)));
                used += sum.sum::<u64>();
            }
            used > limit.cap
        };
        limits.iter().find(broken).map(|limit| limit.name.clone())
    }

    fn held(&self, dice: &mut Dice) -> Option<usize> {
        let held: Vec<usize> =
            (0..self.entries.len()).filter(|i| self.entries[*i].state == Known::Held).collect();
        (!held.is_empty()).then(|| *dice.pick(&held))
    }
}

fn adds_up(limit: &Limit, entry: &Entry, asked: &Entry) -> bool {
    limit.scope.includes(&entry.key)
        && match limit.axis {
            Axis::Key => true,
            Axis::Caller | Axis::UnknownDebtor => entry.caller == asked.caller,
            Axis::Debtor => (&entry.caller, &entry.debtor) == (&asked.caller, &asked.debtor),
            Axis::Creditor => entry.creditor == asked.creditor,
        }
}

fn inside(span: Span, posted: Timestamp, now: Timestamp) -> bool {
    match span {
        Span::Lifetime => true,
        Span::SinceTouch => unreachable!("no limit is since a touch"),
        Span::Rolling(window) => {
            let width = SlotWidth::for_window(window);
            width.slot_at(posted) >= width.slot_at(now.minus(window))
        }
        Span::Calendar(unit, zone) => {
            // Another way to say it than the code has: the same local day, or month.
            let zone = jiff::tz::TimeZone::get(&zone.to_string()).unwrap();
            let local = |instant: Timestamp| {
                let instant = jiff::Timestamp::from_millisecond(instant.unix_ms()).unwrap();
                let date = zone.to_datetime(instant).date();
                match unit {
                    CalendarUnit::Day => (date.year(), date.month(), date.day()),
                    CalendarUnit::Month => (date.year(), date.month(), 0),
                }
            };
            local(posted) >= local(now)
        }
    }
}

/// Windows that a changed policy may ask for anew, because quarter hours tell their past exactly.
fn wide_windows() -> Vec<Window> {
    let zone = |name| Zone::parse("zone", name).unwrap();
    vec![
        Window::PerPayment,
        Window::Sum(DAY),
        Window::Sum(Span::Rolling(Duration::from_seconds(6 * 3_600))),
        Window::Sum(Span::Rolling(Duration::from_seconds(30 * 86_400))),
        Window::Sum(Span::Lifetime),
        Window::Sum(Span::Calendar(CalendarUnit::Day, zone("Europe/Madrid"))),
        Window::Sum(Span::Calendar(CalendarUnit::Month, zone("Asia/Kathmandu"))),
    ]
}

fn narrow_windows() -> impl Iterator<Item = Window> {
    let rolling = |seconds| Window::Sum(Span::Rolling(Duration::from_seconds(seconds)));
    [1, 30, 300, 1_200, 7_200].into_iter().map(rolling)
}

/// A policy over two keys with random limits over these windows.
fn random_policy(dice: &mut Dice, windows: &[Window]) -> Policy {
    let mut policy = policy();
    let settlement = policy.keys[&key("settlement-eur")].clone();
    for name in ["settlement-eur", "reserve-eur"] {
        let count = 1 + dice.roll(4);
        let limits = (0..count).map(|n| random_limit(dice, windows, name, n)).collect();
        let validity = Duration::from_seconds(43_200);
        policy.keys.insert(key(name), KeyPolicy { limits, validity, ..settlement.clone() });
    }
    policy
}

fn random_limit(dice: &mut Dice, windows: &[Window], key_name: &str, number: u64) -> Limit {
    let (name, amount) = (format!("{key_name} {number}"), 3_000 + dice.roll(20_000));
    let window = *dice.pick(windows);
    let single = Scope::Key(key(key_name));
    if window == Window::PerPayment {
        let (axis, measure) = (Axis::Key, Measure::Amount);
        return Limit { name, scope: single, axis, window, measure, cap: amount };
    }
    let both = KeySet::new([key("settlement-eur"), key("reserve-eur")]);
    let scope = if dice.roll(4) == 0 { Scope::Keys(both) } else { single };
    let axis = *dice.pick(&Axis::ALL);
    let (measure, cap) = match dice.roll(3) {
        0 => (Measure::Count, 2 + dice.roll(9)),
        _ => (Measure::Amount, amount),
    };
    Limit { name, scope, axis, window, measure, cap }
}

#[test]
fn random_histories_agree_with_a_naive_model() {
    let soak = std::env::var_os("COUNTERSIGN_SOAK").is_some();
    let moves = if soak { MOVES_SOAK } else { MOVES };
    let given = std::env::var("COUNTERSIGN_SEED").ok().map(|text| text.parse().unwrap());
    let seed: u64 = given.unwrap_or(20_261_124);
    let histories = u64::from(moves / MOVES_PER_HISTORY);
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for history in (half..histories).step_by(2) {
                    let seed = seed.wrapping_add(history);
                    let run = std::panic::catch_unwind(|| run_history(Dice(seed)));
                    assert!(run.is_ok(), "COUNTERSIGN_SEED={seed} replays it as the first history");
                }
            });
        }
    });
}

/// One history. Policies change only where their windows tell the past exactly.
fn run_history(mut dice: Dice) {
    let policies_change = dice.roll(2) == 0;
    let mut windows = wide_windows();
    if !policies_change {
        windows.extend(narrow_windows());
    }
    let mut desk = Desk::with(random_policy(&mut dice, &windows));
    let mut model = Model::default();
    let (mut now_s, mut newest) = (0, at(0));
    for _ in 0..MOVES_PER_HISTORY {
        now_s += match dice.roll(12) {
            0 => dice.seconds(90_000),
            // A clock that steps back: the shell holds it at the newest record.
            1 => -dice.seconds(3_000),
            _ => dice.seconds(700),
        };
        let now = newest.max(at(now_s));
        newest = now;
        match dice.roll(20) {
            0..=10 => submit(&mut dice, &mut desk, &mut model, now),
            11..=14 => settle(&mut dice, &mut desk, &mut model, now),
            15 => give_up(&mut dice, &mut desk, &mut model, now),
            16 => crash(&mut dice, &mut model),
            17 | 18 => resume_one(&mut dice, &mut desk, &mut model, now),
            _ if policies_change => {
                desk.policy = random_policy(&mut dice, &windows);
                assert_eq!(desk.working.advance(now), []);
                desk.recount(now);
            }
            _ => deliver_late(&mut desk, &mut model, now),
        }
    }
}

fn submit(dice: &mut Dice, desk: &mut Desk, model: &mut Model, now: Timestamp) {
    let who = *dice.pick(&["shop", "free"]);
    let id = format!("id-{}", dice.roll(300));
    let entry = Entry {
        key: key(dice.pick::<&str>(&["settlement-eur", "reserve-eur"])),
        caller: caller(who),
        debtor: (*dice.pick(&["ann", "ben", "cem"])).into(),
        creditor: (*dice.pick(&["BAKERY", "CINEMA", "MARKET"])).into(),
        amount: 1 + dice.roll(4_000),
        state: Known::Held,
        id: None,
        authorization: None,
    };
    let asked = payment(|p| {
        p.key = entry.key.to_string();
        p.amount = format!("{}.{:02}", entry.amount / 100, entry.amount % 100);
        let merchant = ("merchant".into(), entry.creditor.clone());
        p.creditor_account = AccountFields { iban: None, other: Some(merchant) };
        p.debtor_id = Some(entry.debtor.clone());
    });
    let name = (caller(who), id.clone());
    let known = model.by_id.get(&name).copied();
    let broken = model.broken(&desk.policy.keys[&entry.key].limits, now, &entry);
    match (desk.submit_as(who, &id, asked, now), known) {
        (Reservation::Known(record), Some(first)) => assert_eq!(record.id, first),
        (Reservation::Conflict { payment, .. }, Some(first)) => assert_eq!(payment, first),
        (Reservation::Denied(record), None) => {
            let State::Denied(Denial::LimitExceeded(breach)) = &record.state else {
                panic!("{:?}", record.state)
            };
            assert_eq!(Some(&breach.limit), broken.as_ref(), "the first broken limit is named");
            model.by_id.insert(name, record.id);
        }
        (Reservation::Authorised(record, authorization), None) => {
            assert_eq!(broken, None, "admitted {}", entry.amount);
            model.by_id.insert(name, record.id);
            let (id, authorization) = (Some(record.id), Some(authorization));
            model.entries.push(Entry { id, authorization, ..entry });
        }
        (other, known) => panic!("{other:?} for {known:?}"),
    }
}

fn settle(dice: &mut Dice, desk: &mut Desk, model: &mut Model, now: Timestamp) {
    let Some(index) = model.held(dice) else { return };
    let Some(authorization) = model.entries[index].authorization.take() else { return };
    assert_eq!(desk.working.advance(now), []);
    let lapsed = desk.working.payment(authorization.payment()).unwrap().expires_at <= now;
    let posting = post(now, &mut desk.working, &signed(authorization)).unwrap();
    assert_eq!(matches!(posting, Posting::Dropped), lapsed);
    if !lapsed {
        model.entries[index].state = Known::Posted(now);
    }
}

fn give_up(dice: &mut Dice, desk: &mut Desk, model: &mut Model, now: Timestamp) {
    let Some(index) = model.held(dice) else { return };
    let entry = &mut model.entries[index];
    let id = entry.id.unwrap();
    assert!(void(now, &mut desk.working, id, VoidReason::Officer).unwrap().is_some());
    entry.state = Known::Gone;
    model.lost.extend(entry.authorization.take());
}

/// The process dies: who was being signed is in doubt, and what comes back later is late.
fn crash(dice: &mut Dice, model: &mut Model) {
    if dice.roll(3) == 0 {
        let open = model.entries.iter_mut().filter_map(|entry| entry.authorization.take());
        model.lost.extend(open);
    }
}

fn resume_one(dice: &mut Dice, desk: &mut Desk, model: &mut Model, now: Timestamp) {
    if model.lost.is_empty() {
        return;
    }
    let id = dice.pick(&model.lost).payment();
    if let Resumption::Again(authorization) = resume(now, &mut desk.working, id, &kid()) {
        let entry = model.entries.iter_mut().find(|entry| entry.id == Some(id)).unwrap();
        assert!(entry.state == Known::Held, "what is final is never attempted again");
        model.lost.extend(entry.authorization.replace(authorization));
    }
}

/// Results of attempts that are no longer current change nothing.
fn deliver_late(desk: &mut Desk, model: &mut Model, now: Timestamp) {
    assert_eq!(desk.working.advance(now), []);
    for authorization in std::mem::take(&mut model.lost) {
        let record = desk.working.payment(authorization.payment()).unwrap();
        let in_force = match record.state {
            State::Authorised { attempt, .. } => attempt == authorization.attempt(),
            _ => false,
        };
        if in_force {
            // Nobody took it up meanwhile: it is still the current attempt, and stays lost.
            model.lost.push(authorization);
            continue;
        }
        let posting = post(now, &mut desk.working, &signed(authorization)).unwrap();
        assert_eq!(posting, Posting::Dropped);
    }
}
