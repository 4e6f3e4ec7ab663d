//! Stretches of time over which running sums are kept.

use crate::domain::time::{CalendarUnit, Duration, Slot, SlotWidth, Timestamp, Zone};

/// A stretch of time over which a running sum is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// Since the ledger was created. Kept for every counter.
    Lifetime,
    /// Since the debtor's token was last touched for a payment. Starts with all that was ever
    /// posted: whoever was never seen to touch is asked once.
    SinceTouch,
    /// The time before now, as long as said, slots counted whole.
    Rolling(Duration),
    /// The day or month that it is now in a time zone. What is open when it ends is carried into
    /// the next one.
    Calendar(CalendarUnit, Zone),
}

impl Span {
    /// The name that the ledger keeps: `lifetime`, `since_touch`, `rolling:` and seconds, or `day:`
    /// or `month:` and a time zone.
    pub fn name(self) -> String {
        match self {
            Self::Lifetime => "lifetime".to_owned(),
            Self::SinceTouch => "since_touch".to_owned(),
            Self::Rolling(window) => format!("rolling:{}", window.seconds()),
            Self::Calendar(unit, zone) => format!("{}:{zone}", unit.name()),
        }
    }

    /// Reads the name that the ledger keeps.
    pub fn from_name(name: &str) -> Option<Self> {
        let zone = |unit, zone| Some(Self::Calendar(unit, Zone::parse("span", zone).ok()?));
        match name.split_once(':') {
            None if name == "lifetime" => Some(Self::Lifetime),
            None if name == "since_touch" => Some(Self::SinceTouch),
            Some(("rolling", seconds)) => {
                seconds.parse().ok().map(|s| Self::Rolling(Duration::from_seconds(s)))
            }
            Some(("day", name)) => zone(CalendarUnit::Day, name),
            Some(("month", name)) => zone(CalendarUnit::Month, name),
            _ => None,
        }
    }

    /// The width of the slots that this span adds up; `None` if it needs none.
    pub(super) fn width(self) -> Option<SlotWidth> {
        match self {
            Self::Lifetime | Self::SinceTouch => None,
            Self::Rolling(window) => Some(SlotWidth::for_window(window)),
            Self::Calendar(..) => Some(SlotWidth::Quarter),
        }
    }

    /// First slot that counts at an instant, in slots of this width.
    pub(super) fn first_slot(self, width: SlotWidth, now: Timestamp) -> Slot {
        match self {
            Self::Lifetime | Self::SinceTouch => Slot::from_start_s(0),
            Self::Rolling(window) => width.slot_at(now.minus(window)),
            Self::Calendar(unit, zone) => width.slot_at(zone.start_of(unit, now)),
        }
    }

    /// The oldest quarter hour that a sum of this span needs at an instant; `None` if it needs
    /// none.
    pub fn oldest_quarter(self, now: Timestamp) -> Option<Slot> {
        self.width().map(|_| self.first_slot(SlotWidth::Quarter, now))
    }

    /// When what is posted in a slot stops counting.
    pub(super) fn leaves_at(self, width: SlotWidth, slot: Slot) -> Timestamp {
        let end = slot.end(width);
        match self {
            Self::Lifetime | Self::SinceTouch => Timestamp::MAX,
            Self::Rolling(window) => end.plus(window),
            Self::Calendar(unit, zone) => zone.end_of(unit, slot.last(width)),
        }
    }
}
