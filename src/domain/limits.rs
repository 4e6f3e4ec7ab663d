//! Limits: caps on one payment and on running sums, and what it means to break one.

use serde::{Deserialize, Serialize};

use super::counter::{Axis, Counter, CounterId, Miscount, Parties, Scope, Span, Spend};
use super::time::{Duration, Timestamp};

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Minor units of the key's currency.
    Amount,
    /// Number of payments.
    Count,
}

impl Measure {
    /// The word used in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Count => "count",
        }
    }

    /// The measured part of a spend.
    pub fn of(self, spend: Spend) -> u64 {
        match self {
            Self::Amount => spend.amount,
            Self::Count => spend.count,
        }
    }
}

/// Over what a limit applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Each payment by itself.
    PerPayment,
    /// The running sum of a span.
    Sum(Span),
}

impl Window {
    /// How far it looks back at most; `None` if it reads no payments, or needs none one by one.
    pub fn longest(self) -> Option<Duration> {
        match self {
            Self::PerPayment | Self::Sum(Span::Lifetime | Span::SinceTouch) => None,
            Self::Sum(Span::Rolling(window)) => Some(window),
            Self::Sum(Span::Calendar(unit, _)) => Some(unit.longest()),
        }
    }
}

impl std::fmt::Display for Window {
    /// As the policy writes it: `payment`, `24h`, `lifetime`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerPayment => f.write_str("payment"),
            Self::Sum(Span::Lifetime) => f.write_str("lifetime"),
            Self::Sum(Span::SinceTouch) => f.write_str("since_touch"),
            Self::Sum(Span::Rolling(window)) => write!(f, "{window}"),
            Self::Sum(Span::Calendar(unit, zone)) => write!(f, "{} in {zone}", unit.name()),
        }
    }
}

/// One limit of a key. All limits of a key must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Name in the policy, shown in denials.
    pub name: String,
    /// Of which keys it adds up.
    pub scope: Scope,
    /// Over what it adds up; the key axis for limits per payment.
    pub axis: Axis,
    /// Over which time.
    pub window: Window,
    /// What it counts.
    pub measure: Measure,
    /// The most that may be open or posted, above zero.
    pub cap: u64,
}

/// The numbers of a limit that would be exceeded. Amounts are minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Name of the limit in the policy.
    pub limit: String,
    /// Over what it adds up: the name of the axis.
    pub per: String,
    /// What it counts.
    pub measure: Measure,
    /// The cap in force.
    pub cap: u64,
    /// Posted within the window.
    pub posted: u64,
    /// Held by payments that are open or in doubt.
    pub pending: u64,
    /// What this payment asked for.
    pub asked: u64,
    /// When time alone would make room, in milliseconds since 1970; absent if it never does.
    pub frees_at_unix_ms: Option<i64>,
}

/// How a limit stands at an instant. Amounts are minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Posted within the window.
    pub posted: u64,
    /// Held by payments that are open or in doubt.
    pub pending: u64,
    /// What is left under the cap.
    pub free: u64,
    /// When time alone makes the next room; `None` if it never does.
    pub next_release: Option<Timestamp>,
}

impl Breach {
    /// What is left under the cap.
    pub fn free(&self) -> u64 {
        self.cap.saturating_sub(self.posted).saturating_sub(self.pending)
    }

    /// When time alone would make room.
    pub fn frees_at(&self) -> Option<Timestamp> {
        self.frees_at_unix_ms.map(Timestamp::from_unix_ms)
    }
}

impl Limit {
    /// The counter that this limit reads for these parties; `None` for limits per payment, and
    /// where the axis needs a debtor and there is none.
    pub fn counter(&self, parties: &Parties<'_>) -> Option<CounterId> {
        match self.window {
            Window::PerPayment => None,
            Window::Sum(_) => CounterId::of(&self.scope, self.axis, parties),
        }
    }

    /// How the limit stands, given the counter already advanced to now.
    pub fn standing(&self, counter: &Counter) -> Standing {
        let Window::Sum(span) = self.window else {
            return Standing { posted: 0, pending: 0, free: self.cap, next_release: None };
        };
        let posted = self.measure.of(counter.posted(span));
        let pending = self.measure.of(counter.pending());
        let free = self.cap.saturating_sub(posted).saturating_sub(pending);
        Standing { posted, pending, free, next_release: counter.next_release(span) }
    }

    /// Whether one more payment fits, given the counter already advanced to now.
    ///
    /// # Errors
    /// The outer error is a fault of the ledger, the inner one the broken limit with its numbers.
    pub fn admit(&self, counter: &Counter, asked: Spend) -> Result<Result<(), Breach>, Miscount> {
        let asked = self.measure.of(asked);
        let (posted, pending, span) = match self.window {
            Window::PerPayment => (0, 0, None),
            Window::Sum(span) => {
                let posted = self.measure.of(counter.posted(span));
                (posted, self.measure.of(counter.pending()), Some(span))
            }
        };
        let used = posted.checked_add(pending).ok_or(Miscount)?;
        if used.checked_add(asked).is_some_and(|total| total <= self.cap) {
            return Ok(Ok(()));
        }
        let frees_at =
            span.and_then(|span| counter.frees_at(span, self.cap, asked, |s| self.measure.of(s)));
        Ok(Err(Breach {
            limit: self.name.clone(),
            per: self.axis.name().to_owned(),
            measure: self.measure,
            cap: self.cap,
            posted,
            pending,
            asked,
            frees_at_unix_ms: frees_at.map(Timestamp::unix_ms),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Duration;

    fn limit(window: Window, measure: Measure, cap: u64) -> Limit {
        let scope = Scope::Key(crate::domain::key::KeyId::parse("key", "k").unwrap());
        Limit { name: "limit".to_owned(), scope, axis: Axis::Key, window, measure, cap }
    }

    #[test]
    fn open_holds_and_posted_amounts_count_together() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let day = Span::Rolling(Duration::from_seconds(86_400));
        let mut counter = Counter::empty([day], now);
        for amount in [40, 30] {
            counter.hold(Spend::one(amount)).unwrap();
        }
        counter.post(Spend::one(40), now).unwrap();
        let sum = Window::Sum(day);
        for (window, measure, cap, asked, free) in [
            (sum, Measure::Amount, 100, 30, None),
            (sum, Measure::Amount, 100, 31, Some(30)),
            (sum, Measure::Amount, 69, 1, Some(0)),
            (sum, Measure::Amount, 100, u64::MAX, Some(30)),
            (sum, Measure::Count, 3, 1_000_000, None),
            (sum, Measure::Count, 2, 1, Some(0)),
            (Window::PerPayment, Measure::Amount, 100, 100, None),
            (Window::PerPayment, Measure::Amount, 100, 101, Some(100)),
        ] {
            let answer = limit(window, measure, cap).admit(&counter, Spend::one(asked)).unwrap();
            assert_eq!(answer.as_ref().err().map(Breach::free), free, "{cap} {asked} {answer:?}");
        }
    }

    #[test]
    fn a_breach_tells_when_time_makes_room() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let hour = Span::Rolling(Duration::from_seconds(3_600));
        let mut counter = Counter::empty([hour], now);
        counter.hold(Spend::one(80)).unwrap();
        counter.post(Spend::one(80), now).unwrap();
        counter.hold(Spend::one(10)).unwrap();
        let cap = limit(Window::Sum(hour), Measure::Amount, 100);
        let breach = |asked| cap.admit(&counter, Spend::one(asked)).unwrap().unwrap_err();
        assert_eq!(breach(20).frees_at(), Some(now.plus(Duration::from_seconds(3_660))));
        assert_eq!(breach(95).frees_at(), None, "the hold alone leaves too little");
        assert_eq!(breach(101).frees_at(), None, "more than the cap never fits");
    }
}
