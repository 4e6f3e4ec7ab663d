//! Spending, counted: what is posted in which slot, what is held, and the running sums that
//! limits compare with their caps.
//!
//! A counter belongs to a key and a dimension, never to the text of a limit: changing a policy
//! cannot reset one. Everything is checked arithmetic; an impossible state is an error, not a
//! saturated number.

use std::collections::BTreeMap;

use super::time::{Slot, SlotWidth, Timestamp};

mod id;
mod span;
#[cfg(test)]
mod tests;

pub use id::{Axis, CounterId, KeySet, Parties, Scope};
pub use span::Span;

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
            let width = span.width().unwrap_or(SlotWidth::Quarter);
            (span, RunningSum { from: span.first_slot(width, now), posted: Spend::default() })
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

    /// This counter as a back end would load it for other spans: their sums from the rows where
    /// they were kept, else from the slots.
    #[cfg(test)]
    pub(in crate::domain) fn reloaded(&self, spans: &[Span], now: Timestamp) -> Self {
        let kept = |span: &Span| *span == Span::Lifetime || spans.contains(span);
        let sums = self.sums.iter().filter(|(span, _)| kept(span)).map(|(s, sum)| (*s, *sum));
        let mut counter = Self::from_rows(self.pending, sums.collect(), self.slots.clone());
        counter.keep_spans(spans, now).unwrap_or_default();
        counter
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
        if span == Span::SinceTouch && !self.sums.contains_key(&span) {
            let sum =
                RunningSum { from: Slot::from_start_s(0), posted: self.posted(Span::Lifetime) };
            self.sums.insert(span, sum);
        }
        let Some(width) = span.width().filter(|_| !self.sums.contains_key(&span)) else {
            return Ok(());
        };
        let from = span.first_slot(width, now);
        let known = self.slots.range((width, from)..).filter(|((w, _), _)| *w == width);
        let known = known.try_fold_spend()?;
        let posted = match self.oldest_counted(width) {
            _ if width == SlotWidth::Quarter => known,
            Some(oldest) if oldest <= from => known,
            oldest => {
                let first = span.first_slot(SlotWidth::Quarter, now);
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
            let Some(width) = span.width() else { continue };
            let from = span.first_slot(width, now);
            if from <= sum.from {
                continue;
            }
            let left = self.slots.range((width, sum.from)..(width, from)).try_fold_spend()?;
            *sum = RunningSum { from, posted: sum.posted.minus(left)? };
        }
        self.forget_narrow_slots();
        Ok(())
    }

    /// Whether nothing is held or was ever posted: names that anybody made up leave no counters.
    pub fn is_untouched(&self) -> bool {
        self.used(Span::Lifetime) == Ok(Spend::default())
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

    /// Whether [`Counter::hold`] would succeed.
    ///
    /// # Errors
    /// [`Miscount`] if the sum does not fit.
    pub fn can_hold(&self, spend: Spend) -> Result<(), Miscount> {
        self.used(Span::Lifetime)?.plus(spend).map(drop)
    }

    /// Whether [`Counter::release`] and [`Counter::post`] would succeed.
    ///
    /// # Errors
    /// [`Miscount`] if less than that is held.
    pub fn can_settle(&self, spend: Spend) -> Result<(), Miscount> {
        self.pending.minus(spend).map(drop)
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

    /// Turns a hold into posted spending of this instant.
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

    /// The debtor's token was touched: what is counted since then starts over.
    pub fn touch(&mut self) {
        if let Some(sum) = self.sums.get_mut(&Span::SinceTouch) {
            sum.posted = Spend::default();
        }
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
        let width = span.width()?;
        let sum = self.sums.get(&span)?;
        let mut used = measure(self.used(span).ok()?);
        let slots = self.slots.range((width, sum.from)..).filter(|((w, _), _)| *w == width);
        for ((_, slot), spend) in slots {
            used = used.checked_sub(measure(*spend))?;
            if used.checked_add(room)? <= cap {
                return Some(span.leaves_at(width, *slot));
            }
        }
        None
    }

    /// When the oldest posted spending that a span still counts leaves it; `None` if nothing does.
    pub fn next_release(&self, span: Span) -> Option<Timestamp> {
        let width = span.width()?;
        let from = self.sums.get(&span)?.from;
        let counted = self.slots.range((width, from)..).filter(|((w, _), _)| *w == width);
        let oldest = counted.map(|((_, slot), _)| *slot).next()?;
        Some(span.leaves_at(width, oldest))
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
                || self.sums.keys().any(|span| span.width() == Some(*width))
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
        let of_width = self.sums.iter().filter(|(span, _)| span.width() == Some(width));
        of_width.map(|(_, sum)| sum.from).min()
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
