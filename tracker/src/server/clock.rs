//! The one clock of the process: monotonic, from its start. Only tokens know the time of day.

use std::time::{Duration, Instant, SystemTime};

use hlswarm::time::Time;

/// Reads the time since it was made. Copies agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

#[allow(clippy::disallowed_methods, reason = "the registry is told the time; this is who tells it")]
impl Clock {
    pub(super) fn new() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> Time {
        Time::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The time of day, since 1970.
    pub(super) fn since_1970() -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
