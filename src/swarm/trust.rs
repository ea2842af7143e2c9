//! How far one peer's word is taken.

use crate::config::LimitsConfig;
use crate::time::{Span, Time};

/// The longest that a peer is ignored at a time.
const LONGEST: Span = Span::from_secs(3600);

/// Segments that a peer announced and then did not have.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    absents: Vec<Time>,
    allowed: usize,
    window: Span,
    penalty: Span,
    ignored_until: Option<Time>,
}

impl Trust {
    pub(super) fn new(limits: &LimitsConfig) -> Trust {
        Trust {
            absents: Vec::new(),
            allowed: limits.absents_before_ignore as usize,
            window: Span::from_millis(limits.absent_window_ms),
            penalty: Span::from_millis(limits.ignore_ms),
            ignored_until: None,
        }
    }

    /// An announced segment was not there. Tells whether the peer is ignored from now on because of it.
    pub(super) fn absent(&mut self, now: Time) -> bool {
        let window = self.window;
        self.absents.retain(|at| now.since(*at) <= window);
        self.absents.push(now);
        if self.absents.len() < self.allowed {
            return false;
        }
        self.absents.clear();
        self.ignored_until = Some(now + self.penalty);
        self.penalty = (self.penalty * 2).min(LONGEST);
        true
    }

    /// Until when the peer is ignored, if it is.
    pub(super) fn ignored_until(&self, now: Time) -> Option<Time> {
        self.ignored_until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn the_third_absent_in_a_minute_counts_and_the_penalty_doubles() {
        let mut trust = Trust::new(&LimitsConfig::default());
        assert!(!trust.absent(at(0)));
        assert!(!trust.absent(at(60)));
        assert!(trust.absent(at(60)));
        assert_eq!(trust.ignored_until(at(119)), Some(at(120)));
        assert_eq!(trust.ignored_until(at(120)), None);
        for _ in 0..2 {
            assert!(!trust.absent(at(200)));
        }
        assert!(trust.absent(at(200)));
        assert_eq!(trust.ignored_until(at(200)), Some(at(320)));
    }

    #[test]
    fn absents_far_apart_are_forgiven() {
        let mut trust = Trust::new(&LimitsConfig::default());
        for round in 0..50 {
            assert!(!trust.absent(at(31 * round)), "round {round}");
        }
    }
}
