//! The only place that reads a clock. Everything else is told what time it is.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::credit::Reading;
use crate::domain::time::Timestamp;

/// Where Linux tells which boot this is: a random identifier, drawn anew each time.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A source of the current time, passed in at start.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Clock {
    /// The clocks of the system.
    ///
    /// Where the system does not tell its boot, every start of the process counts as another one,
    /// which credits less and never more.
    pub fn system() -> Self {
        let unknown = || format!("process {} at {}", std::process::id(), wall());
        let boot = std::fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned());
        let boot = boot.ok().filter(|text| !text.is_empty()).unwrap_or_else(unknown);
        Self::from_fn(move || Reading {
            wall: wall(),
            boot: boot.clone(),
            since_boot_ms: since_boot_ms(),
        })
    }

    /// Clocks that tests set.
    pub fn from_fn(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// All clocks at this instant.
    pub fn read(&self) -> Reading {
        (self.0)()
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.read().wall
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

fn since_boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// The monotonic clock, for deadlines and latencies only; it says nothing about the date.
pub fn monotonic() -> Instant {
    Instant::now()
}
