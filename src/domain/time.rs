//! Instants, durations and the slots in which spending is counted. Nothing in here reads a clock.

use std::fmt;

use super::text::{Malformed, excerpt};

mod zone;

pub use zone::{CalendarUnit, Zone};

/// An instant in UTC, in milliseconds since 1970-01-01, between the years 1970 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that the calendar knows in every time zone: 9999-12-30T21:59:59.999Z.
    pub const MAX: Self = Self(253_402_207_199_999);

    /// An instant from milliseconds since 1970-01-01T00:00:00Z, held to the range of the type.
    pub fn from_unix_ms(ms: i64) -> Self {
        Self(ms.clamp(0, Self::MAX.0))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn unix_s(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads RFC 3339 in UTC: `2026-12-01T12:00:00Z`, with none or three decimals of a second.
    ///
    /// # Errors
    /// [`Malformed`] with rule `timestamp`: an offset, another separator, a date that does not
    /// exist, a leap second.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let refuse = || {
            let detail = format!(
                "found {}; expected UTC in the form \"2026-12-01T12:00:00Z\", with none or three \
                 decimals",
                excerpt(text)
            );
            Malformed::new(field, "timestamp", detail)
        };
        let read: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        let instant = Self(read.as_millisecond());
        let in_range = (0..=Self::MAX.0).contains(&instant.0);
        let spellings = [instant.to_string(), instant.whole_seconds()];
        let known = in_range && spellings.iter().any(|spelling| spelling == text);
        known.then_some(instant).ok_or_else(refuse)
    }

    /// This instant moved forward; saturates at [`Timestamp::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_add(duration.ms()))
    }

    /// This instant moved back; saturates at 1970.
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_sub(duration.ms()))
    }

    fn whole_seconds(self) -> String {
        self.to_string().replacen(".000Z", "Z", 1)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with exactly three decimals: one instant has one spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of time in whole seconds, one second to 100 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

impl Duration {
    const UNITS: [(&'static str, i64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    const MAX_S: i64 = 36_525 * 86_400;

    /// Reads a number and one unit: `90s`, `15m`, `24h`, `400d`.
    ///
    /// # Errors
    /// [`Malformed`] with rule `duration`: no unit, zero, a sign, more than 100 years.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        Self::UNITS
            .iter()
            .find_map(|(unit, unit_s)| {
                let number = text.strip_suffix(unit)?;
                let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
                let seconds = number.parse::<i64>().ok()?.checked_mul(*unit_s)?;
                (plain && (1..=Self::MAX_S).contains(&seconds)).then_some(Self(seconds))
            })
            .ok_or_else(|| {
                let detail = format!(
                    "found {}; expected a whole number above zero and a unit: 90s, 15m, 24h, 400d",
                    excerpt(text)
                );
                Malformed::new(field, "duration", detail)
            })
    }

    /// A span of whole seconds, held to the range of the type.
    pub const fn from_seconds(seconds: i64) -> Self {
        match seconds {
            ..1 => Self(1),
            1..=Self::MAX_S => Self(seconds),
            _ => Self(Self::MAX_S),
        }
    }

    /// Whole seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }

    fn ms(self) -> i64 {
        self.0.saturating_mul(1000)
    }
}

impl fmt::Display for Duration {
    /// The shortest spelling that [`Duration::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = Self::UNITS.iter().find(|(_, unit_s)| self.0.checked_rem(*unit_s) == Some(0));
        match exact {
            Some((unit, unit_s)) => write!(f, "{}{unit}", self.0.div_euclid(*unit_s)),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Width of the slots in which spending is counted.
///
/// A slot counts whole against the payer as long as any part of it is inside the window, so a
/// narrow slot frees money sooner and costs more rows. Quarter hours are the base: midnight of
/// every time zone is an edge of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotWidth {
    /// One second, for windows below fifteen minutes.
    Second,
    /// One minute, for windows below six hours.
    Minute,
    /// Fifteen minutes, for all longer windows; always kept.
    Quarter,
}

impl SlotWidth {
    /// The width that suits a rolling window of this length.
    pub fn for_window(window: Duration) -> Self {
        match window.seconds() {
            ..900 => Self::Second,
            900..21_600 => Self::Minute,
            _ => Self::Quarter,
        }
    }

    /// Seconds from one edge to the next.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Quarter => 900,
        }
    }

    /// The slot that contains an instant.
    pub fn slot_at(self, instant: Timestamp) -> Slot {
        let width = self.seconds();
        Slot(instant.unix_s().div_euclid(width).saturating_mul(width))
    }
}

/// A slot, named by its first second since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(i64);

impl Slot {
    /// The slot whose first second is `start_s`; for values read back from the ledger.
    pub fn from_start_s(start_s: i64) -> Self {
        Self(start_s)
    }

    /// First second of the slot.
    pub fn start_s(self) -> i64 {
        self.0
    }

    /// The last instant of the slot.
    pub fn last(self, width: SlotWidth) -> Timestamp {
        Timestamp::from_unix_ms(self.end(width).unix_ms().saturating_sub(1))
    }

    /// The slot before this one.
    pub fn before(self, width: SlotWidth) -> Self {
        Self(self.0.saturating_sub(width.seconds()))
    }

    /// The first instant after the slot.
    pub fn end(self, width: SlotWidth) -> Timestamp {
        Timestamp::from_unix_ms(self.0.saturating_add(width.seconds()).saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_has_one_spelling() {
        for (text, printed) in [
            ("2026-12-01T12:00:00Z", "2026-12-01T12:00:00.000Z"),
            ("2026-12-01T12:00:00.5Z", ""),
            ("2026-12-01T12:00:00.500Z", "2026-12-01T12:00:00.500Z"),
            ("2026-02-29T12:00:00Z", ""),
            ("2026-12-01T12:00:00+01:00", ""),
            ("2026-12-01T12:00:00+00:00", ""),
            ("2026-12-01 12:00:00Z", ""),
            ("2026-12-01t12:00:00z", ""),
            ("2026-12-01T12:00:60Z", ""),
            ("2026-12-01T12:00:00", ""),
            ("2026-12-01", ""),
            ("+012026-12-01T12:00:00Z", ""),
            ("1969-12-31T23:59:59Z", ""),
            ("2026-12-01T12:00:00.1234Z", ""),
            ("1764590400", ""),
        ] {
            match Timestamp::parse("expires_at", text) {
                Ok(instant) => assert_eq!(instant.to_string(), printed, "{text}"),
                Err(refused) => {
                    assert_eq!((refused.rule, printed), ("timestamp", ""), "{text}");
                }
            }
        }
    }

    #[test]
    fn every_instant_of_the_range_can_be_written() {
        for instant in [Timestamp::from_unix_ms(i64::MIN), Timestamp::from_unix_ms(i64::MAX)] {
            let text = instant.to_string();
            assert_eq!(Timestamp::parse("at", &text).unwrap(), instant, "{text}");
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("400d", 34_560_000)] {
            assert_eq!(Duration::parse("window", text).unwrap().seconds(), seconds);
        }
        for text in ["", "h", "0h", "-1h", "+1h", "01h", "1.5h", "24", "24 h", "1w", "99999999d"] {
            assert_eq!(Duration::parse("window", text).unwrap_err().rule, "duration", "{text}");
        }
        assert_eq!(Duration::parse("window", "1440m").unwrap().to_string(), "1d");
        assert_eq!(Duration::parse("window", "90m").unwrap().to_string(), "90m");
    }

    #[test]
    fn a_slot_contains_its_first_second_and_not_the_next_slots() {
        for (ms, slot_s) in [(0, 0), (899_999, 0), (900_000, 900), (1_799_999, 900)] {
            let slot = SlotWidth::Quarter.slot_at(Timestamp::from_unix_ms(ms));
            assert_eq!(slot.start_s(), slot_s);
        }
    }
}
