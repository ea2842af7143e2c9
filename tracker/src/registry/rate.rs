//! Token buckets.

use hlswarm::time::{Span, Time};

/// How fast something may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Sustained, per second. Zero or less: no limit.
    pub per_second: f64,
    /// How many may happen at once after a quiet time; at least one.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Rate = Rate { per_second: 0.0, burst: 1 };

    fn micros_per_token(self) -> u64 {
        // A rate below one per 30 years is not worth a distinction; the cast saturates.
        (1e6 / self.per_second) as u64
    }
}

/// One token bucket in eight bytes: the moment at which it would be full again (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// Takes a token, or says how long until there is one.
    pub fn take(&mut self, now: Time, rate: Rate) -> Result<(), Span> {
        if rate.per_second <= 0.0 {
            return Ok(());
        }
        let step = rate.micros_per_token();
        let depth = step.saturating_mul(u64::from(rate.burst.max(1)));
        let full_at = self.full_at.max(now) + Span::from_micros(step);
        let over = full_at.since(now).saturating_sub(Span::from_micros(depth));
        if over > Span::ZERO {
            return Err(over);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Takes as many of `tokens` as there are, and says how many that is.
    pub fn take_up_to(&mut self, now: Time, rate: Rate, tokens: usize) -> usize {
        (0..tokens).take_while(|_| self.take(now, rate).is_ok()).count()
    }

    /// Gives a token back that turned out not to be needed.
    pub fn give_back(&mut self, rate: Rate) {
        if rate.per_second > 0.0 {
            self.full_at = self.full_at.saturating_sub(Span::from_micros(rate.micros_per_token()));
        }
    }

    /// Takes `tokens` in any case, and says how long until the debt is paid: zero if there is none.
    pub fn charge(&mut self, now: Time, rate: Rate, tokens: u64) -> Span {
        if rate.per_second <= 0.0 {
            return Span::ZERO;
        }
        let cost = Span::from_secs_f64(tokens as f64 / rate.per_second);
        let depth = Span::from_secs_f64(f64::from(rate.burst) / rate.per_second);
        self.full_at = self.full_at.max(now) + cost;
        self.full_at.since(now).saturating_sub(depth)
    }

    /// Whether a token is there.
    pub fn has(&self, now: Time, rate: Rate) -> bool {
        let mut copy = *self;
        copy.take(now, rate).is_ok()
    }

    /// Whether the bucket is full, so that forgetting it changes nothing.
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3 };

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let start = Time::from_millis(10_000);
        for _ in 0..3 {
            assert_eq!(bucket.take(start, RATE), Ok(()));
        }
        assert_eq!(bucket.take(start, RATE), Err(Span::from_millis(500)));
        assert!(!bucket.has(Time::from_millis(10_499), RATE));
        assert!(bucket.has(Time::from_millis(10_500), RATE));
        assert_eq!(bucket.take(Time::from_millis(10_500), RATE), Ok(()));
        assert!(bucket.take(Time::from_millis(10_500), RATE).is_err());
        assert!(!bucket.is_full(Time::from_millis(11_999)));
        assert!(bucket.is_full(Time::from_millis(12_000)));
    }

    #[test]
    fn a_charge_may_go_into_debt() {
        let mut bucket = Bucket::default();
        let start = Time::from_millis(10_000);
        assert_eq!(bucket.charge(start, RATE, 3), Span::ZERO);
        assert_eq!(bucket.charge(start, RATE, 2), Span::from_secs(1));
        assert_eq!(bucket.charge(Time::from_millis(11_000), RATE, 0), Span::ZERO);
        assert_eq!(bucket.charge(start, Rate::UNLIMITED, 1 << 40), Span::ZERO);
    }

    #[test]
    fn as_many_as_there_are_and_what_is_not_needed_back() {
        let mut bucket = Bucket::default();
        let start = Time::from_millis(10_000);
        assert_eq!(bucket.take_up_to(start, RATE, 2), 2);
        assert_eq!(bucket.take_up_to(start, RATE, 2), 1);
        bucket.give_back(RATE);
        assert_eq!(bucket.take_up_to(start, RATE, 2), 1);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..10_000).all(|_| bucket.take(Time::ZERO, Rate::UNLIMITED).is_ok()));
    }
}
