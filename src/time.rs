//! The engine's own clock values.
//!
//! The engine never reads a clock: every entry point is told `now`. A [`Time`] is the span since the shell started
//! the engine, on a monotonic clock. `std::time::Instant` is not used because it panics on wasm32.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment: microseconds since the engine started, on the shell's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment the engine started.
    pub const ZERO: Time = Time(0);

    /// A moment given in whole milliseconds since the start.
    pub const fn from_millis(ms: u64) -> Time {
        Time(ms.saturating_mul(1000))
    }

    /// A moment given in microseconds since the start.
    pub const fn from_micros(us: u64) -> Time {
        Time(us)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the start, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The span from `earlier` to `self`; zero when `earlier` is not earlier.
    #[inline(never)]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved back by `span`, not before the start.
    pub fn saturating_sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(micros(span)))
    }
}

// Out of line, as is `since`: they are called from everywhere, and calculate in 64 bits.
#[inline(never)]
const fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros() as u64)
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(micros(span)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}

/// Why the engine wants to be woken. Named so that a log of wake-ups explains itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A segment reaches the moment at which its source must be reconsidered.
    Segment,
    /// The draw of random or elected HTTP downloads is due.
    HttpDraw,
    /// A download, upload or handshake with a peer has a time limit.
    Peer,
    /// A tracker announce, reconnect or offer expiry is due.
    Tracker,
    /// A cached segment expires.
    Cache,
}

/// The next moment at which the engine must be given [`Tick`](crate::engine::Input::Tick). It stays right when
/// it fires late: browsers clamp the timers of background tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When to wake.
    pub at: Time,
    /// What for.
    pub why: Wake,
}

impl Deadline {
    /// A deadline at `at` because of `why`.
    pub const fn new(at: Time, why: Wake) -> Deadline {
        Deadline { at, why }
    }

    /// The earlier of two optional deadlines.
    pub fn earliest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
