//! How long to wait before a tracker is tried again, and how often something may happen.

use crate::random::ChaCha8Rng;

use crate::time::{Span, Time};

/// First wait, before jitter.
const FIRST: Span = Span::from_secs(1);
/// Longest wait, before jitter, while an outage is short: a tracker that comes back finds all its viewers within
/// fifteen seconds.
const SHORT_OUTAGE_CAP: Span = Span::from_secs(10);
/// From here on an outage is long.
const LONG_OUTAGE_AFTER: Span = Span::from_secs(300);
/// The wait in a long outage, before jitter: at most sixty seconds with it.
const LONG_OUTAGE_WAIT: Span = Span::from_secs(40);

/// The waits between attempts at one tracker: 1 s, doubling to 10 s, and 40 s once it has been away for five minutes,
/// each times a random factor of 0.5 to 1.5 so that viewers do not come back in step.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    down_since: Option<Time>,
}

impl Backoff {
    /// The tracker proved healthy: the next failure counts as the first.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// Counts a failure and gives the wait that follows it.
    pub(super) fn next_wait(&mut self, now: Time, rng: &mut ChaCha8Rng) -> Span {
        let down_since = *self.down_since.get_or_insert(now);
        let base = if now.since(down_since) >= LONG_OUTAGE_AFTER {
            LONG_OUTAGE_WAIT
        } else {
            (FIRST * (1 << self.failures.min(10))).min(SHORT_OUTAGE_CAP)
        };
        self.failures = self.failures.saturating_add(1);
        base.mul_f64(rng.between(0.5, 1.5))
    }
}

/// At most `burst` at once, refilled evenly.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    burst: u32,
    every: Span,
    tokens: u32,
    refilled: Time,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gains one in each `every`.
    pub(super) const fn new(burst: u32, every: Span) -> Bucket {
        Bucket { burst, every, tokens: burst, refilled: Time::ZERO }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let gained = now.since(self.refilled).as_micros() / self.every.as_micros().max(1);
        let missing = self.burst - self.tokens;
        if gained >= u64::from(missing) {
            self.tokens = self.burst;
            self.refilled = now;
        } else {
            // Less than `missing`, so it fits.
            let gained = gained as u32;
            self.tokens += gained;
            self.refilled = self.refilled + self.every * gained;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_that_brings_viewers_back_within_fifteen_seconds() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            let first = backoff.next_wait(Time::ZERO, &mut rng);
            assert!((500..1500).contains(&first.as_millis()), "{first:?}");
            let mut now = Time::ZERO + first;
            while now < Time::from_millis(280_000) {
                let wait = backoff.next_wait(now, &mut rng);
                assert!(wait <= Span::from_secs(15), "{wait:?} at {now}");
                now = now + wait;
            }
            let wait = backoff.next_wait(Time::from_millis(400_000), &mut rng);
            assert!((20..=60).contains(&wait.as_secs()), "{wait:?}");
        }
    }

    #[test]
    fn viewers_do_not_come_back_in_step() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let waits: Vec<_> =
            (0..1000).map(|_| Backoff::default().next_wait(Time::ZERO, &mut rng).as_millis()).collect();
        for from in (500..1500).step_by(100) {
            let share = waits.iter().filter(|&&wait| (from..from + 100).contains(&wait)).count();
            assert!((50..150).contains(&share), "{share} of 1000 between {from} and {} ms", from + 100);
        }
    }

    #[test]
    fn a_success_starts_over() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut backoff = Backoff::default();
        for _ in 0..8 {
            backoff.next_wait(Time::ZERO, &mut rng);
        }
        backoff.reset();
        assert!(backoff.next_wait(Time::from_millis(900_000), &mut rng) < Span::from_millis(1500));
    }

    #[test]
    fn a_bucket_holds_its_burst_and_refills_evenly() {
        let mut bucket = Bucket::new(3, Span::from_millis(100));
        let now = Time::from_millis(5000);
        assert_eq!((0..10).filter(|_| bucket.take(now)).count(), 3);
        assert!(!bucket.take(Time::from_millis(5099)));
        assert!(bucket.take(Time::from_millis(5100)));
        assert!(!bucket.take(Time::from_millis(5199)));
        assert_eq!((0..10).filter(|_| bucket.take(Time::from_millis(60_000))).count(), 3);
        // A clock that stands still or a bucket that was never used does not overflow.
        assert_eq!((0..10).filter(|_| Bucket::new(2, Span::ZERO).take(Time::ZERO)).count(), 10);
    }
}
