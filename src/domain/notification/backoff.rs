//! When a delivery that failed is tried again, and when it is given up.

use crate::domain::time::{Duration, Timestamp};

/// Pause after the first failure, in milliseconds.
const FIRST_MS: i64 = 1_000;
/// Longest pause between two attempts, in milliseconds: an hour.
const LONGEST_MS: i64 = 3_600_000;
/// Most attempts at one event, whatever its age.
pub const ATTEMPTS_MAX: u32 = 200;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, not before this instant.
    Again(Timestamp),
    /// None: the event goes to the dead letters.
    GivenUp,
}

/// What follows the failure of attempt number `attempts` (from 1) at an event that happened at
/// `since`.
///
/// The pause doubles from a second to an hour; between half of it and all of it is waited, as
/// `random` says (0 to `u32::MAX`), so that those who failed together do not come back together. A
/// longer `Retry-After` of the other side is honoured, up to the longest pause. An event is given
/// up with the first failure after `give_up_after`, or with the last of [`ATTEMPTS_MAX`].
pub fn after_failure(
    now: Timestamp,
    since: Timestamp,
    attempts: u32,
    give_up_after: Duration,
    retry_after_s: Option<u32>,
    random: u32,
) -> Next {
    if attempts >= ATTEMPTS_MAX || since.plus(give_up_after) <= now {
        return Next::GivenUp;
    }
    let doublings = attempts.saturating_sub(1).min(31);
    let full = FIRST_MS.saturating_mul(1_i64 << doublings).min(LONGEST_MS);
    let half = full / 2;
    // Of the other half the share that was drawn: below 2^22 * 2^32.
    let share = half.saturating_mul(i64::from(random)).checked_div(i64::from(u32::MAX));
    let drawn = share.unwrap_or(half);
    let asked = retry_after_s.map_or(0, |seconds| i64::from(seconds).saturating_mul(1_000));
    let pause = half.saturating_add(drawn).max(asked.min(LONGEST_MS));
    Next::Again(Timestamp::from_unix_ms(now.unix_ms().saturating_add(pause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_seconds(3 * 86_400);

    #[test]
    fn pauses_double_up_to_an_hour_and_are_spread_over_their_second_half() {
        let (least, most) = (0, u32::MAX);
        for (attempts, retry_after_s, random, pause_ms) in [
            (1, None, least, 500),
            (1, None, most, 1_000),
            (2, None, least, 1_000),
            (2, None, most, 2_000),
            (2, None, most / 2, 1_499),
            (5, None, most, 16_000),
            (12, None, most, 2_048_000),
            (13, None, most, 3_600_000),
            (13, None, least, 1_800_000),
            (60, None, most, 3_600_000),
            (ATTEMPTS_MAX - 1, None, most, 3_600_000),
            (1, Some(0), least, 500),
            (1, Some(7), least, 7_000),
            (1, Some(3_600), most, 3_600_000),
            (1, Some(3_601), most, 3_600_000),
            (1, Some(u32::MAX), most, 3_600_000),
            (13, Some(1), most, 3_600_000),
        ] {
            let now = Timestamp::from_unix_ms(5_000);
            let next = after_failure(now, now, attempts, DAYS, retry_after_s, random);
            let due = Timestamp::from_unix_ms(5_000 + pause_ms);
            assert_eq!(next, Next::Again(due), "{attempts} {retry_after_s:?} {random}");
        }
    }

    #[test]
    fn an_event_is_given_up_by_age_or_number_of_attempts() {
        let since = Timestamp::from_unix_ms(1_000);
        for (age_ms, attempts, given_up) in [
            (0, 1, false),
            (DAYS.seconds() * 1_000 - 1, 90, false),
            (DAYS.seconds() * 1_000, 1, true),
            (DAYS.seconds() * 1_000 + 1, 90, true),
            (0, ATTEMPTS_MAX - 1, false),
            (0, ATTEMPTS_MAX, true),
        ] {
            let now = Timestamp::from_unix_ms(1_000 + age_ms);
            let next = after_failure(now, since, attempts, DAYS, None, 0);
            assert_eq!(next == Next::GivenUp, given_up, "{age_ms} ms, {attempts} attempts");
        }
    }
}
