//! The engine's own clock values.
//!
//! The engine never reads a clock: every entry point is told `now`. A [`Time`] is the span since the shell started
//! the engine, on a monotonic clock. `std::time::Instant` is not used because it panics on wasm32, and
//! `std::time::Duration` not because its seconds and nanoseconds are two numbers wherever one would do.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// A length of time: microseconds, half a million years at most. Calculation saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest.
    pub const MAX: Span = Span(u64::MAX);

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Span {
        Span(s.saturating_mul(1_000_000))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Span {
        Span(ms.saturating_mul(1000))
    }

    /// A span of microseconds.
    pub const fn from_micros(us: u64) -> Span {
        Span(us)
    }

    /// A span of seconds with a fraction; what is negative or no number is zero.
    pub const fn from_secs_f64(s: f64) -> Span {
        Span((s * 1e6) as u64)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Seconds with their fraction.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whether it is [`Span::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What is left without `other`; zero when that is longer.
    pub const fn saturating_sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }

    /// A part or a multiple of it.
    pub const fn mul_f64(self, factor: f64) -> Span {
        Span((self.0 as f64 * factor) as u64)
    }
}

/// What a system clock or timer takes.
impl From<Span> for std::time::Duration {
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_micros(span.0)
    }
}

/// What a system clock or timer gives, without the nanoseconds.
impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Span {
        Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        self.saturating_sub(other)
    }
}

impl Mul<u32> for Span {
    type Output = Span;
    fn mul(self, times: u32) -> Span {
        Span(self.0.saturating_mul(u64::from(times)))
    }
}

impl Div<u32> for Span {
    type Output = Span;
    fn div(self, parts: u32) -> Span {
        Span(self.0 / u64::from(parts.max(1)))
    }
}

/// A moment: microseconds since the engine started, on the shell's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment the engine started.
    pub const ZERO: Time = Time(0);
    /// Later than everything.
    pub const MAX: Time = Time(u64::MAX);

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
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved back by `span`, not before the start.
    pub fn saturating_sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Time> for Time {
    type Output = Span;
    fn sub(self, earlier: Time) -> Span {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate() {
        let second = Span::from_secs(1);
        assert_eq!(second - Span::from_millis(1001), Span::ZERO);
        assert_eq!(Span::MAX + second, Span::MAX);
        assert_eq!(Span::from_secs(u64::MAX) * 2, Span::MAX);
        assert_eq!(Time::from_millis(5).since(Time::from_millis(6)), Span::ZERO);
        assert_eq!(Time::ZERO + Span::MAX + second, Time::from_micros(u64::MAX));
        for no_time in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Span::from_secs_f64(no_time), Span::ZERO);
        }
        assert_eq!(Span::from_secs_f64(f64::INFINITY), Span::MAX);
        assert_eq!(second / 0, second, "into no parts is into one");
    }

    #[test]
    fn spans_are_those_of_the_standard_library_to_the_microsecond() {
        use std::time::Duration;

        let span = Span::from_secs_f64(1.234_567);
        assert_eq!(Duration::from(span), Duration::from_micros(1_234_567));
        assert_eq!(Span::from(Duration::new(1, 234_567_999)), span);
        assert_eq!(Span::from(Duration::MAX), Span::MAX);
        assert_eq!((span.as_secs(), span.as_millis(), span.as_micros()), (1, 1234, 1_234_567));
        assert_eq!(span.as_secs_f64(), 1.234_567);
        assert_eq!(span.mul_f64(2.0), span * 2);
        assert_eq!(span / 2, Span::from_micros(617_283));
    }
}
