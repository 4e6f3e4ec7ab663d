//! Credited time: how far the ledger believes the wall clock.
//!
//! Windows must not open twice because a clock was set back, nor early because it was set forward.
//! Within one boot of the machine its boot clock, which nobody can set, bounds what is credited;
//! across boots, and in the first quarter of an hour of one, at most a day after the last record
//! is. A wall clock outside of that stops signing until it is right
//! again, or until a person credits more.

use super::time::Timestamp;

/// How far the wall clock may fall behind the newest record without stopping, in milliseconds.
pub const STEP_BACK_MS_MAX: i64 = 2_000;
/// How far the wall clock may run ahead of the boot clock, besides drift, in milliseconds.
const AHEAD_MS_MAX: i64 = 2_000;
/// Drift between the two that is no error, in millionths: what NTP may slew.
const DRIFT_PPM_MAX: i64 = 500;
/// Most time that is credited across boots, in milliseconds: 24 hours.
const ACROSS_BOOTS_MS_MAX: i64 = 86_400_000;
/// How long after a boot the wall clock may still be put right, in milliseconds: a machine starts
/// with a clock that nobody has compared with anything.
const SETTLING_MS_MAX: i64 = 900_000;

/// One look at the clocks of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// Which boot of which machine this is.
    pub boot: String,
    /// Milliseconds since that boot, suspended time included.
    pub since_boot_ms: i64,
}

/// What the ledger remembers of its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The newest instant at which anything was recorded.
    pub newest: Timestamp,
    /// The boot in which the ledger was last used.
    pub base: Option<Base>,
}

/// Where the clocks stood in a boot when they agreed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The reading.
    pub reading: Reading,
    /// The newest record when the ledger was first used in this boot.
    pub before: Timestamp,
}

/// Why no time is credited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The wall clock is behind the newest record.
    #[error(
        "the clock says {wall}, but the ledger has recorded {newest}; signing stops until the \
         clock is right again"
    )]
    Behind {
        /// What the clock says.
        wall: Timestamp,
        /// The newest record.
        newest: Timestamp,
    },
    /// The wall clock is ahead of what the boot clock allows.
    #[error(
        "the clock says {wall}, but no more than {latest} can be credited ({bound}); signing stops \
         until the clock is right again, or until `countersign clock credit` says that it is"
    )]
    Ahead {
        /// What the clock says.
        wall: Timestamp,
        /// The latest instant that is credited.
        latest: Timestamp,
        /// What bounds it.
        bound: &'static str,
    },
}

/// The instant that a batch is decided at, and the mark that goes on the record with it.
///
/// # Errors
/// [`ClockFault`] if the wall clock is not to be believed.
pub fn credit(mark: &Mark, reading: &Reading) -> Result<(Timestamp, Mark), ClockFault> {
    let Reading { wall, boot, since_boot_ms } = reading;
    let newest = mark.newest;
    if newest.unix_ms().saturating_sub(wall.unix_ms()) > STEP_BACK_MS_MAX {
        return Err(ClockFault::Behind { wall: *wall, newest });
    }
    let same_boot = mark.base.as_ref().filter(|base| base.reading.boot == *boot);
    let before = same_boot.map_or(newest, |base| base.before);
    let settling = *since_boot_ms < SETTLING_MS_MAX;
    let (latest, bound, base) = match same_boot.filter(|_| !settling) {
        Some(base) => {
            let (expected, drift_ms) = expected(&base.reading, *since_boot_ms);
            let apart_ms = wall.unix_ms().saturating_sub(expected).saturating_abs();
            let base = match apart_ms <= drift_ms {
                // The clocks agree: drift that was not used is not kept for a step.
                true => Base { reading: reading.clone(), before },
                false => base.clone(),
            };
            let latest = expected.saturating_add(drift_ms).saturating_add(AHEAD_MS_MAX);
            (latest, "by the boot clock", base)
        }
        None => {
            let latest = before.unix_ms().saturating_add(ACROSS_BOOTS_MS_MAX);
            let base = Base { reading: reading.clone(), before };
            (latest, "24 hours since the last record, across boots", base)
        }
    };
    if wall.unix_ms() > latest {
        let latest = Timestamp::from_unix_ms(latest);
        return Err(ClockFault::Ahead { wall: *wall, latest, bound });
    }
    let now = newest.max(*wall);
    Ok((now, Mark { newest: now, base: Some(base) }))
}

/// What the wall clock should say, in milliseconds since 1970, and how far it may have drifted.
fn expected(base: &Reading, since_boot_ms: i64) -> (i64, i64) {
    let elapsed_ms = since_boot_ms.saturating_sub(base.since_boot_ms).max(0);
    let drift_ms = elapsed_ms.saturating_mul(DRIFT_PPM_MAX).div_euclid(1_000_000);
    (base.wall.unix_ms().saturating_add(elapsed_ms), drift_ms)
}

/// The mark after a person has said that a reading is right.
///
/// # Errors
/// [`ClockFault::Behind`]: nobody can credit time that the ledger is past already.
pub fn credited_by_hand(mark: &Mark, reading: &Reading) -> Result<Mark, ClockFault> {
    let (wall, newest) = (reading.wall, mark.newest);
    if wall < newest {
        return Err(ClockFault::Behind { wall, newest });
    }
    Ok(Mark { newest, base: Some(Base { reading: reading.clone(), before: wall }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1000)
    }

    fn reading(wall_s: i64, boot: &str, since_boot_s: i64) -> Reading {
        let since_boot_ms = since_boot_s * 1000;
        Reading { wall: at(wall_s), boot: boot.to_owned(), since_boot_ms }
    }

    /// A ledger that was last used at second 0, one hour into boot `a`, where it began.
    fn mark() -> Mark {
        Mark { newest: at(0), base: Some(Base { reading: reading(0, "a", HOUR), before: at(0) }) }
    }

    #[test]
    fn the_wall_clock_is_believed_within_what_the_boot_clock_allows() {
        for (wall, boot, since_boot, credited) in [
            (10, "a", HOUR + 10, Ok(10)),
            (12, "a", HOUR + 10, Ok(12)),
            (13, "a", HOUR + 10, Err("by the boot clock")),
            (-2, "a", HOUR + 10, Ok(0)),
            (-3, "a", HOUR + 10, Err("behind")),
            // A week without the daemon, within one boot: the boot clock vouches for it.
            (7 * 24 * HOUR, "a", HOUR + 7 * 24 * HOUR, Ok(7 * 24 * HOUR)),
            // What NTP may slew in a week is no error, an hour is.
            (7 * 24 * HOUR + 300, "a", HOUR + 7 * 24 * HOUR, Ok(7 * 24 * HOUR + 300)),
            (7 * 24 * HOUR + HOUR, "a", HOUR + 7 * 24 * HOUR, Err("by the boot clock")),
            // Another boot: a day at most, whatever its own clock says.
            (24 * HOUR, "b", 5, Ok(24 * HOUR)),
            (24 * HOUR + 1, "b", 5, Err("24 hours")),
            (24 * HOUR + 1, "b", 48 * HOUR, Err("24 hours")),
            (-3, "b", 5, Err("behind")),
        ] {
            let found = credit(&mark(), &reading(wall, boot, since_boot));
            match (found, credited) {
                (Ok((now, mark)), Ok(seconds)) => {
                    assert_eq!((now, mark.newest), (at(seconds), at(seconds)), "{wall} {boot}");
                    assert_eq!(mark.base.unwrap().reading.boot, boot);
                }
                (Err(ClockFault::Behind { .. }), Err("behind")) => {}
                (Err(fault @ ClockFault::Ahead { .. }), Err(bound)) => {
                    assert!(fault.to_string().contains(bound), "{wall} {boot}: {fault}");
                }
                (found, expected) => panic!("{wall} {boot}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn many_small_steps_ahead_do_not_add_up() {
        let (mut mark, mut wall, mut boot) = (mark(), 0, HOUR);
        let mut refused = 0;
        for _ in 0..1_000 {
            (wall, boot) = (wall + 3, boot + 1);
            match credit(&mark, &reading(wall, "a", boot)) {
                Ok((_, next)) => mark = next,
                Err(_) => {
                    refused += 1;
                    wall -= 3;
                }
            }
            assert!(mark.newest <= at(boot - HOUR + 3), "{:?} at {boot}", mark.newest);
        }
        assert!(refused > 500);
    }

    #[test]
    fn reboots_do_not_add_up_faster_than_a_day_each() {
        let mark = mark();
        let (_, mark) = credit(&mark, &reading(24 * HOUR, "b", 5)).unwrap();
        assert!(credit(&mark, &reading(48 * HOUR, "b", 65)).is_err(), "same boot");
        assert!(credit(&mark, &reading(25 * HOUR - 5, "b", HOUR)).is_ok(), "an hour has passed");
        assert!(credit(&mark, &reading(48 * HOUR, "c", 5)).is_ok());
    }

    #[test]
    fn a_clock_is_put_right_soon_after_a_boot_and_not_later() {
        let (_, mark) = credit(&mark(), &reading(60, "b", 20)).unwrap();
        let (now, mark) = credit(&mark, &reading(60 + 40, "b", 30)).unwrap();
        assert_eq!(now, at(100), "NTP stepped by half a minute");
        let (_, mark) = credit(&mark, &reading(100 + 2_000, "b", 2_030)).unwrap();
        assert!(credit(&mark, &reading(2_100 + 40, "b", 2_040)).is_err());
    }

    #[test]
    fn drift_that_was_not_used_is_not_kept_for_a_step() {
        let mut mark = mark();
        for hour in 1..=1_000 {
            (_, mark) = credit(&mark, &reading(hour * HOUR, "a", HOUR + hour * HOUR)).unwrap();
        }
        let ahead = |seconds| reading(1_000 * HOUR + seconds, "a", 1_001 * HOUR);
        assert!(credit(&mark, &ahead(2)).is_ok() && credit(&mark, &ahead(4)).is_err());
    }

    #[test]
    fn a_person_credits_what_the_clocks_cannot_show() {
        let late = reading(30 * 24 * HOUR, "b", 5);
        assert!(credit(&mark(), &late).is_err());
        let credited = credited_by_hand(&mark(), &late).unwrap();
        let (now, _) = credit(&credited, &late).unwrap();
        assert_eq!(now, at(30 * 24 * HOUR));
        assert!(credited_by_hand(&mark(), &reading(-1, "b", 5)).is_err());
    }
}
