//! Counters: what is held, posted, released, and when.

use super::*;
use crate::domain::time::Duration;

const DAY: Span = Span::Rolling(Duration::from_seconds(86_400));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1000)
}

fn counter() -> Counter {
    Counter::empty([DAY], at(0))
}

#[test]
fn a_hold_counts_until_it_is_released_or_posted() {
    let mut c = counter();
    c.hold(Spend::one(500)).unwrap();
    assert_eq!(c.used(DAY).unwrap(), Spend::one(500));
    c.post(Spend::one(500), at(10)).unwrap();
    assert_eq!((c.pending(), c.posted(DAY)), (Spend::default(), Spend::one(500)));
    c.hold(Spend::one(70)).unwrap();
    c.release(Spend::one(70)).unwrap();
    assert_eq!(c.used(DAY).unwrap(), Spend::one(500));
}

#[test]
fn what_is_not_held_cannot_be_released_or_posted() {
    let mut c = counter();
    assert_eq!(c.release(Spend::one(1)), Err(Miscount));
    assert_eq!(c.post(Spend::one(1), at(0)), Err(Miscount));
    c.hold(Spend::one(5)).unwrap();
    assert_eq!(c.release(Spend::one(6)), Err(Miscount));
    assert_eq!(c.hold(Spend::one(u64::MAX)), Err(Miscount));
}

#[test]
fn a_slot_leaves_the_window_whole_and_never_early() {
    let mut c = counter();
    c.hold(Spend::one(100)).unwrap();
    c.post(Spend::one(100), at(0)).unwrap();
    let slot_end = 900 - at(0).unix_s().rem_euclid(900);
    for (elapsed, counted) in
        [(86_399, true), (86_400, true), (86_400 + slot_end - 1, true), (86_400 + slot_end, false)]
    {
        let mut later = c.clone();
        later.advance(at(elapsed)).unwrap();
        assert_eq!(later.posted(DAY).count == 1, counted, "after {elapsed} s");
        assert_eq!(later.posted(Span::Lifetime), Spend::one(100));
    }
    let frees = c.frees_at(DAY, 100, 100, |spend| spend.amount).unwrap();
    assert_eq!(frees, at(86_400 + slot_end));
}

#[test]
fn an_instant_in_the_past_brings_nothing_back() {
    let mut c = counter();
    c.hold(Spend::one(100)).unwrap();
    c.post(Spend::one(100), at(0)).unwrap();
    c.advance(at(200_000)).unwrap();
    c.advance(at(0)).unwrap();
    assert_eq!(c.posted(DAY), Spend::default());
}

#[test]
fn a_new_span_counts_what_was_spent_before_it_was_asked_for() {
    let minute = Span::Rolling(Duration::from_seconds(60));
    let week = Span::Rolling(Duration::from_seconds(7 * 86_400));
    let mut c = counter();
    c.hold(Spend::one(100)).unwrap();
    c.post(Spend::one(100), at(0)).unwrap();
    c.keep_spans(&[minute, week], at(30)).unwrap();
    for span in [minute, week] {
        assert_eq!(c.posted(span), Spend::one(100), "{span:?}");
    }
    c.advance(at(30 + 62)).unwrap();
    assert_eq!((c.posted(minute), c.posted(week)), (Spend::default(), Spend::one(100)));
}

#[test]
fn a_new_span_leaves_the_sums_of_others_exact() {
    let rolling = |seconds| Span::Rolling(Duration::from_seconds(seconds));
    for (kept, added) in [(60, 600), (3_600, 18_000), (600, 60), (10, 800), (18_000, 900)] {
        let mut c = Counter::empty([rolling(kept)], at(0));
        let mut twin = c.clone();
        let spend = |c: &mut Counter, second| {
            c.advance(at(second)).unwrap();
            c.hold(Spend::one(7)).unwrap();
            c.post(Spend::one(7), at(second)).unwrap();
        };
        for second in (0..30_000).step_by(97) {
            spend(&mut c, second);
            spend(&mut twin, second);
        }
        let true_sum = (0..30_000).step_by(97).filter(|s| *s >= 30_000 - added).count();
        c.keep_spans(&[rolling(added)], at(30_000)).unwrap();
        assert!(c.posted(rolling(added)).count >= u64::try_from(true_sum).unwrap());
        for second in (30_000..60_000).step_by(89) {
            spend(&mut c, second);
            spend(&mut twin, second);
            assert_eq!(c.posted(rolling(kept)), twin.posted(rolling(kept)), "{kept} {added}");
        }
        assert_eq!(c.slots.keys().filter(|(w, _)| *w == SlotWidth::Quarter).count(), 67);
    }
}

proptest::proptest! {
    /// Spans come and go at any time; no sum is ever below the truth, none ever miscounts.
    #[test]
    fn sums_are_never_loose_whatever_spans_are_added(
        steps: Vec<(u16, u16, Option<u16>)>,
    ) {
        let mut c = Counter::empty([DAY], at(0));
        let (mut now_s, mut history, mut spans) = (0_i64, Vec::new(), vec![DAY]);
        for (wait_s, amount, added) in steps {
            now_s += i64::from(wait_s);
            if let Some(window_s) = added {
                let span = Span::Rolling(Duration::from_seconds(i64::from(window_s)));
                c.advance(at(now_s)).unwrap();
                c.keep_spans(&[span], at(now_s)).unwrap();
                spans.push(span);
            }
            c.advance(at(now_s)).unwrap();
            c.hold(Spend::one(amount.into())).unwrap();
            c.post(Spend::one(amount.into()), at(now_s)).unwrap();
            history.push((now_s, u64::from(amount)));
            for span in &spans {
                let Span::Rolling(window) = span else { continue };
                let inside = |s: &i64| at(*s) > at(now_s).minus(*window);
                let recent = history.iter().filter(|(s, _)| inside(s));
                let naive: u64 = recent.map(|(_, amount)| amount).sum();
                assert!(c.posted(*span).amount >= naive, "{span:?}");
            }
        }
    }

    /// Against a list of everything that was ever posted.
    #[test]
    fn running_sums_equal_a_naive_sum(steps: Vec<(u16, u16)>, window_s in 1_i64..100_000) {
        let window = Duration::from_seconds(window_s);
        let span = Span::Rolling(window);
        let width = SlotWidth::for_window(window);
        let mut c = Counter::empty([span], at(0));
        let (mut now_s, mut history) = (0_i64, Vec::new());
        for (wait_s, amount) in steps {
            now_s += i64::from(wait_s);
            c.advance(at(now_s)).unwrap();
            c.hold(Spend::one(amount.into())).unwrap();
            c.post(Spend::one(amount.into()), at(now_s)).unwrap();
            history.push((now_s, u64::from(amount)));
            let first = width.slot_at(at(now_s).minus(window));
            let naive: u64 = history
                .iter()
                .filter(|(s, _)| width.slot_at(at(*s)) >= first)
                .map(|(_, amount)| amount)
                .sum();
            assert_eq!(c.posted(span).amount, naive);
        }
    }
}
