//! Sampling for log lines that clients can cause.

use std::collections::BTreeMap;

use hlswarm::time::Time;

use crate::registry::{Bucket, Rate};

/// Lets a few lines of each kind through and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Gate {
    kinds: BTreeMap<&'static str, (Bucket, u64)>,
}

impl Gate {
    /// Whether a line of this kind may be written now, and how many were not since the last one.
    pub(super) fn pass(&mut self, now: Time, kind: &'static str, lines_per_second: f64) -> Option<u64> {
        let rate = Rate { per_second: lines_per_second, burst: (lines_per_second.ceil() as u32).max(1) };
        let (bucket, held_back) = self.kinds.entry(kind).or_default();
        match bucket.take(now, rate) {
            Ok(()) => Some(std::mem::take(held_back)),
            Err(_) => {
                *held_back += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let mut gate = Gate::default();
        let passed = (0..100).filter(|_| gate.pass(Time::ZERO, "flood", 5.0).is_some()).count();
        assert_eq!(passed, 5);
        assert_eq!(gate.pass(Time::ZERO, "rare", 5.0), Some(0));
        assert_eq!(gate.pass(Time::from_millis(1000), "flood", 5.0), Some(95));
    }
}
