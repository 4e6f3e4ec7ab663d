//! Spending, counted: what is posted in which slot, what is held, and the running sums that
//! limits compare with their caps.
//!
//! A counter belongs to a key and a dimension, never to the text of a limit: changing a policy
//! cannot reset one. Everything is checked arithmetic; an impossible state is an error, not a
//! saturated number.

use std::collections::BTreeMap;

use super::key::KeyId;
use super::time::{Duration, Slot, SlotWidth, Timestamp};

/// An amount in minor units together with a number of payments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spend {
    /// Minor units.
    pub amount: u64,
    /// Payments.
    pub count: u64,
}

impl Spend {
    /// One payment of this many minor units.
    pub fn one(amount: u64) -> Self {
        Self { amount, count: 1 }
    }

    /// The sum, or [`Miscount`] if it does not fit.
    pub fn plus(self, other: Self) -> Result<Self, Miscount> {
        let amount = self.amount.checked_add(other.amount);
        let count = self.count.checked_add(other.count);
        amount.zip(count).map(|(amount, count)| Self { amount, count }).ok_or(Miscount)
    }

    /// The difference, or [`Miscount`] if it would be negative.
    pub fn minus(self, other: Self) -> Result<Self, Miscount> {
        let amount = self.amount.checked_sub(other.amount);
        let count = self.count.checked_sub(other.count);
        amount.zip(count).map(|(amount, count)| Self { amount, count }).ok_or(Miscount)
    }
}

/// Sums that cannot be: a hold released twice, a counter that disagrees with its slots, 64 bits
/// exceeded. The ledger stops rather than guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counters of the ledger are inconsistent")]
pub struct Miscount;

/// Over what spending is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Everything that the key signs.
    Key,
    /// What one caller has it sign.
    Caller,
    /// What is paid in the name of one debtor of one caller.
    Debtor,
    /// What is paid to one creditor account.
    Creditor,
}

impl Axis {
    /// The word used in policies and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Caller => "caller",
            Self::Debtor => "debtor",
            Self::Creditor => "creditor",
        }
    }
}

/// Which counter: of which key, over which axis, of whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    /// The key that signs.
    pub key: KeyId,
    /// What is added up.
    pub axis: Axis,
    /// The caller, debtor or creditor; empty on the key axis.
    pub subject: String,
}

impl CounterId {
    /// The counter over everything that a key signs.
    pub fn of_key(key: &KeyId) -> Self {
        Self { key: key.clone(), axis: Axis::Key, subject: String::new() }
    }
}

/// A stretch of time over which a running sum is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// Since the ledger was created. Kept for every counter.
    Lifetime,
    /// The time before now, as long as said, slots counted whole.
    Rolling(Duration),
}

impl Span {
    /// The name that the ledger keeps: `lifetime`, or `rolling:` and seconds.
    pub fn name(self) -> String {
        match self {
            Self::Lifetime => "lifetime".to_owned(),
            Self::Rolling(window) => format!("rolling:{}", window.seconds()),
        }
    }

    /// Reads the name that the ledger keeps.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "lifetime" => Some(Self::Lifetime),
            Some(("rolling", seconds)) => {
                seconds.parse().ok().map(|s| Self::Rolling(Duration::from_seconds(s)))
            }
            _ => None,
        }
    }

    /// First slot that still counts at an instant, and the width of the slots; `None` if all do.
    fn first_slot(self, now: Timestamp) -> Option<(SlotWidth, Slot)> {
        match self {
            Self::Lifetime => None,
            Self::Rolling(window) => {
                let width = SlotWidth::for_window(window);
                Some((width, width.slot_at(now.minus(window))))
            }
        }
    }
}

/// One running sum: everything posted in the slots from `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningSum {
    /// First slot that is counted.
    pub from: Slot,
    /// What is posted in the counted slots.
    pub posted: Spend,
}

/// What is held and posted on one counter, with the slots that its spans still need.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    pending: Spend,
    sums: BTreeMap<Span, RunningSum>,
    slots: BTreeMap<(SlotWidth, Slot), Spend>,
    fresh: BTreeMap<(SlotWidth, Slot), Spend>,
}

impl Counter {
    /// A counter on which nothing was ever counted, with the spans that a policy asks for.
    pub fn empty(spans: impl IntoIterator<Item = Span>, now: Timestamp) -> Self {
        let zero = |span: Span| {
            let from = span.first_slot(now).map_or(Slot::from_start_s(0), |(_, slot)| slot);
            (span, RunningSum { from, posted: Spend::default() })
        };
        let sums = spans.into_iter().chain([Span::Lifetime]).map(zero).collect();
        Self { sums, ..Self::default() }
    }

    /// A counter from the rows of the ledger.
    pub fn from_rows(
        pending: Spend,
        sums: BTreeMap<Span, RunningSum>,
        slots: BTreeMap<(SlotWidth, Slot), Spend>,
    ) -> Self {
        Self { pending, sums, slots, fresh: BTreeMap::new() }
    }

    /// Adds spans that were not kept so far, counted from the quarter-hour slots.
    ///
    /// # Errors
    /// [`Miscount`] if a sum does not fit.
    pub fn keep_spans(&mut self, spans: &[Span], now: Timestamp) -> Result<(), Miscount> {
        // Short ones first: what they count exactly, longer ones need not guess.
        let mut spans = spans.to_vec();
        spans.sort_unstable();
        spans.into_iter().try_for_each(|span| self.keep_span(span, now))
    }

    /// Narrow slots have no history beyond the spans that are kept. What the quarter hours know
    /// about the rest of the window is counted as if it were spent at the last moment that no
    /// other sum of this width counts, so a new short limit starts strict and never loose, and
    /// the others stay exact.
    fn keep_span(&mut self, span: Span, now: Timestamp) -> Result<(), Miscount> {
        let Some((width, from)) = span.first_slot(now) else { return Ok(()) };
        let Span::Rolling(window) = span else { return Ok(()) };
        if self.sums.contains_key(&span) {
            return Ok(());
        }
        let known = self.slots.range((width, from)..).filter(|((w, _), _)| *w == width);
        let known = known.try_fold_spend()?;
        let posted = match self.oldest_counted(width) {
            _ if width == SlotWidth::Quarter => known,
            Some(oldest) if oldest <= from => known,
            oldest => {
                let first = SlotWidth::Quarter.slot_at(now.minus(window));
                let quarters = self.slots.range((SlotWidth::Quarter, first)..);
                let all = quarters.filter(|((w, _), _)| *w == SlotWidth::Quarter);
                let unknown = all.try_fold_spend()?.minus(known).unwrap_or_default();
                let last = oldest.map_or(width.slot_at(now), |oldest| oldest.before(width));
                self.note(width, last, unknown)?;
                known.plus(unknown)?
            }
        };
        self.sums.insert(span, RunningSum { from, posted });
        Ok(())
    }

    /// Moves every running sum to an instant: slots that have left a window no longer count.
    /// An instant before the last one changes nothing.
    ///
    /// # Errors
    /// [`Miscount`] if a sum disagrees with its slots.
    pub fn advance(&mut self, now: Timestamp) -> Result<(), Miscount> {
        for (span, sum) in &mut self.sums {
            let Some((width, from)) = span.first_slot(now) else { continue };
            if from <= sum.from {
                continue;
            }
            let left = self.slots.range((width, sum.from)..(width, from)).try_fold_spend()?;
            *sum = RunningSum { from, posted: sum.posted.minus(left)? };
        }
        self.forget_narrow_slots();
        Ok(())
    }

    /// What is held: open and in-doubt payments count in every window, whatever their age.
    pub fn pending(&self) -> Spend {
        self.pending
    }

    /// What is posted within a span; zero for a span that is not kept.
    pub fn posted(&self, span: Span) -> Spend {
        self.sums.get(&span).map(|sum| sum.posted).unwrap_or_default()
    }

    /// Holds and posted spending within a span.
    ///
    /// # Errors
    /// [`Miscount`] if the sum does not fit.
    pub fn used(&self, span: Span) -> Result<Spend, Miscount> {
        self.pending.plus(self.posted(span))
    }

    /// All running sums, for the back end to store.
    pub fn sums(&self) -> &BTreeMap<Span, RunningSum> {
        &self.sums
    }

    /// Holds one payment.
    ///
    /// # Errors
    /// [`Miscount`] if the sum does not fit.
    pub fn hold(&mut self, spend: Spend) -> Result<(), Miscount> {
        self.pending = self.pending.plus(spend)?;
        Ok(())
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// [`Miscount`] if less than that is held.
    pub fn release(&mut self, spend: Spend) -> Result<(), Miscount> {
        self.pending = self.pending.minus(spend)?;
        Ok(())
    }

    /// Turns a hold into posted spending of this instant, or changes nothing.
    ///
    /// # Errors
    /// [`Miscount`] if less than that is held or a sum does not fit.
    pub fn post(&mut self, spend: Spend, now: Timestamp) -> Result<(), Miscount> {
        let pending = self.pending.minus(spend)?;
        let mut sums = self.sums.clone();
        for sum in sums.values_mut() {
            sum.posted = sum.posted.plus(spend)?;
        }
        // A slot is part of the lifetime's sum, so it fits because that one does.
        for width in self.widths() {
            self.note(width, width.slot_at(now), spend)?;
        }
        (self.pending, self.sums) = (pending, sums);
        Ok(())
    }

    /// The earliest instant at which `room` would be free under `cap`, if nothing else is spent;
    /// `None` if the passing of time alone never frees it.
    pub fn frees_at(
        &self,
        span: Span,
        cap: u64,
        room: u64,
        measure: impl Fn(Spend) -> u64,
    ) -> Option<Timestamp> {
        let Span::Rolling(window) = span else { return None };
        let width = SlotWidth::for_window(window);
        let sum = self.sums.get(&span)?;
        let mut used = measure(self.used(span).ok()?);
        let slots = self.slots.range((width, sum.from)..).filter(|((w, _), _)| *w == width);
        for ((_, slot), spend) in slots {
            used = used.checked_sub(measure(*spend))?;
            if used.checked_add(room)? <= cap {
                return Some(slot.end(width).plus(window));
            }
        }
        None
    }

    /// When the oldest posted spending that a span still counts leaves it; `None` if nothing does.
    pub fn next_release(&self, span: Span) -> Option<Timestamp> {
        let Span::Rolling(window) = span else { return None };
        let width = SlotWidth::for_window(window);
        let from = self.sums.get(&span)?.from;
        let counted = self.slots.range((width, from)..).filter(|((w, _), _)| *w == width);
        let oldest = counted.map(|((_, slot), _)| *slot).next()?;
        Some(oldest.end(width).plus(window))
    }

    /// Takes what was posted since the last call, slot by slot, for the back end to add up.
    pub fn take_fresh(&mut self) -> BTreeMap<(SlotWidth, Slot), Spend> {
        std::mem::take(&mut self.fresh)
    }

    fn note(&mut self, width: SlotWidth, slot: Slot, spend: Spend) -> Result<(), Miscount> {
        for slots in [&mut self.slots, &mut self.fresh] {
            let entry = slots.entry((width, slot)).or_default();
            *entry = entry.plus(spend)?;
        }
        Ok(())
    }

    /// Quarter hours always, others where a span needs them.
    fn widths(&self) -> Vec<SlotWidth> {
        let needed = |width: &SlotWidth| {
            *width == SlotWidth::Quarter
                || self.sums.keys().any(|span| match span {
                    Span::Lifetime => false,
                    Span::Rolling(window) => SlotWidth::for_window(*window) == *width,
                })
        };
        let all = [SlotWidth::Second, SlotWidth::Minute, SlotWidth::Quarter];
        all.into_iter().filter(needed).collect()
    }

    /// Drops narrow slots that no span counts any more from memory.
    fn forget_narrow_slots(&mut self) {
        for width in [SlotWidth::Second, SlotWidth::Minute] {
            let oldest = self.oldest_counted(width);
            self.slots.retain(|(w, slot), _| *w != width || oldest.is_some_and(|o| *slot >= o));
        }
    }

    /// The oldest slot of this width that a span still counts.
    pub fn oldest_counted(&self, width: SlotWidth) -> Option<Slot> {
        let of_width = |span: &Span| match span {
            Span::Lifetime => false,
            Span::Rolling(window) => SlotWidth::for_window(*window) == width,
        };
        self.sums.iter().filter(|(span, _)| of_width(span)).map(|(_, sum)| sum.from).min()
    }
}

/// Adding up the spend of an iterator of slots.
trait TryFoldSpend {
    fn try_fold_spend(self) -> Result<Spend, Miscount>;
}

impl<'a, I: Iterator<Item = (&'a (SlotWidth, Slot), &'a Spend)>> TryFoldSpend for I {
    fn try_fold_spend(mut self) -> Result<Spend, Miscount> {
        self.try_fold(Spend::default(), |sum, (_, spend)| sum.plus(*spend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (elapsed, counted) in [
            (86_399, true),
            (86_400, true),
            (86_400 + slot_end - 1, true),
            (86_400 + slot_end, false),
        ] {
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
}
