//! Token buckets: so many a second on average, so many at once.

use crate::time::Time;

const MICROS_PER_TOKEN: i64 = 1_000_000;

/// Fills at a steady rate up to its burst. Integer arithmetic only: equal on every platform.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    per_second: i64,
    full: i64,
    /// In millionths of a token; negative after [`TokenBucket::spend`] without cover.
    level: i64,
    at: Time,
}

impl TokenBucket {
    pub(super) fn new(now: Time, per_second: u32, burst: u32) -> TokenBucket {
        let full = i64::from(burst) * MICROS_PER_TOKEN;
        TokenBucket { per_second: per_second.into(), full, level: full, at: now }
    }

    fn refill(&mut self, now: Time) {
        let micros = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(micros.saturating_mul(self.per_second)).min(self.full);
        self.at = self.at.max(now);
    }

    /// Whether there is a token to take.
    pub(super) fn has(&mut self, now: Time) -> bool {
        self.refill(now);
        self.level >= MICROS_PER_TOKEN
    }

    /// Takes one token if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let covered = self.has(now);
        if covered {
            self.level -= MICROS_PER_TOKEN;
        }
        covered
    }

    /// Takes one token even if there is none: later takers wait for it. The debt is at most one burst.
    pub(super) fn spend(&mut self, now: Time) {
        self.refill(now);
        self.level = (self.level - MICROS_PER_TOKEN).max(-self.full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, now: Time) -> usize {
        (0..1000).take_while(|_| bucket.take(now)).count()
    }

    #[test]
    fn gives_the_burst_at_once_and_the_rate_after_that() {
        let mut bucket = TokenBucket::new(Time::ZERO, 10, 50);
        assert_eq!(taken(&mut bucket, Time::ZERO), 50);
        assert_eq!(taken(&mut bucket, Time::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, Time::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, Time::from_millis(1100)), 10);
        assert_eq!(taken(&mut bucket, Time::from_millis(3_600_000)), 50);
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let mut bucket = TokenBucket::new(Time::from_millis(5000), 10, 1);
        assert!(bucket.take(Time::from_millis(5000)));
        assert!(!bucket.take(Time::ZERO));
        assert!(!bucket.take(Time::from_millis(5099)));
        assert!(bucket.take(Time::from_millis(5100)));
    }

    #[test]
    fn debt_is_paid_before_anything_is_given() {
        let mut bucket = TokenBucket::new(Time::ZERO, 10, 2);
        for _ in 0..10 {
            bucket.spend(Time::ZERO);
        }
        assert!(!bucket.take(Time::from_millis(299)));
        assert!(bucket.take(Time::from_millis(300)));
    }
}
