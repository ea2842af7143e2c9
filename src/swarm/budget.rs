//! How much may be sent to peers: at what rate, in all, and in proportion to what was received.

use crate::config::LoaderConfig;
use crate::time::{Span, Time};

const MICROS: i64 = 1_000_000;

/// The bounds on uploads and what has been sent under them. What is taken on is reserved, so that no upload is cut off
/// half-way. The rate holds to within one message.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    /// Bytes a second; 0 for no bound.
    rate: u64,
    /// Bytes in all; 0 for no bound.
    total: u64,
    /// Sent over received; 0 for no bound.
    ratio: f64,
    /// Sent beyond the ratio.
    floor: u64,
    sent: u64,
    received: u64,
    /// What may be sent now under `rate`, in millionths of a byte; a message that goes beyond it is paid off first.
    level: i64,
    at: Time,
    /// Whether the total has no room for what was asked last: it never will have again.
    spent: bool,
}

impl Budget {
    pub(super) fn new(options: &LoaderConfig) -> Budget {
        Budget {
            rate: options.upload_bytes_per_second,
            total: options.upload_bytes_total,
            ratio: options.upload_ratio,
            floor: options.upload_ratio_floor_bytes,
            sent: 0,
            received: 0,
            level: 1,
            at: Time::ZERO,
            spent: false,
        }
    }

    /// Bytes were sent.
    pub(super) fn spend(&mut self, now: Time, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
        self.refill(now);
        if self.rate > 0 {
            self.level = self.level.saturating_sub(micro_bytes(bytes));
        }
    }

    /// So much was received in all.
    pub(super) fn received(&mut self, bytes: u64) {
        self.received = bytes;
    }

    /// Counts bytes that others sent for the same page before.
    pub(super) fn carry(&mut self, sent: u64) {
        self.sent = self.sent.saturating_add(sent);
        self.spent |= self.total_left() == Some(0);
    }

    /// Whether an upload of so many bytes fits beside those that are under way.
    pub(super) fn admits(&mut self, bytes: u64, under_way: u64) -> bool {
        let needed = bytes.saturating_add(under_way);
        // What is reserved may yet be given up.
        self.spent |= self.total_left().is_some_and(|left| left < bytes);
        self.left().is_none_or(|left| left >= needed)
    }

    /// Whether the total is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Bytes that may still be sent; `None` without a bound.
    pub(super) fn left(&self) -> Option<u64> {
        self.allowed().map(|allowed| allowed.saturating_sub(self.sent))
    }

    /// The same by the total alone.
    pub(super) fn total_left(&self) -> Option<u64> {
        (self.total > 0).then(|| self.total.saturating_sub(self.sent))
    }

    fn allowed(&self) -> Option<u64> {
        let total = (self.total > 0).then_some(self.total);
        let earned = (self.received as f64 * self.ratio) as u64;
        let by_ratio = (self.ratio > 0.0).then(|| earned.saturating_add(self.floor));
        total.into_iter().chain(by_ratio).min()
    }

    /// Whether a peer that was sent `sent` bytes and gave `gave` would now take what is meant for others: most of the
    /// budget is used, and it had more than an equal part of it beyond what it gave.
    pub(super) fn is_unfair(&self, sent: u64, gave: u64, peers: usize) -> bool {
        let Some(allowed) = self.allowed() else { return false };
        let part = allowed / peers.max(1) as u64;
        self.sent >= allowed / 2 && sent.saturating_sub(gave) > part
    }

    /// Whether the rate is bounded.
    pub(super) fn is_paced(&self) -> bool {
        self.rate > 0
    }

    /// Bytes a second that each of so many uploads at a time gets at most.
    pub(super) fn pace(&self, uploads: usize) -> Option<u64> {
        self.is_paced().then(|| self.rate / uploads.max(1) as u64)
    }

    /// Whether a message may be sent now.
    pub(super) fn may_send(&mut self, now: Time) -> bool {
        self.refill(now);
        self.rate == 0 || self.level > 0
    }

    /// When [`Budget::may_send`] holds again, if the rate is what it waits for.
    pub(super) fn next_at(&self) -> Option<Time> {
        let missing = u64::try_from(1_i64.saturating_sub(self.level)).unwrap_or(0);
        (self.rate > 0 && missing > 0).then(|| self.at + Span::from_micros(missing.div_ceil(self.rate)))
    }

    fn refill(&mut self, now: Time) {
        let micros = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        let rate = i64::try_from(self.rate).unwrap_or(i64::MAX);
        // A quarter of a second's worth is saved up: a burst of more would delay what else the uplink carries.
        let full = rate.saturating_mul(MICROS / 4).max(1);
        self.level = self.level.saturating_add(micros.saturating_mul(rate)).min(full);
        self.at = self.at.max(now);
    }
}

fn micro_bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(edit: impl FnOnce(&mut LoaderConfig)) -> Budget {
        let mut options = LoaderConfig { upload_ratio: 0.0, ..LoaderConfig::default() };
        edit(&mut options);
        Budget::new(&options)
    }

    /// Sends messages of 1000 bytes whenever that is allowed; gives the bytes sent until `ms`.
    fn send_until(budget: &mut Budget, ms: u64) -> u64 {
        let before = budget.sent;
        for at in 0..ms {
            while budget.may_send(Time::from_millis(at)) {
                budget.spend(Time::from_millis(at), 1000);
            }
        }
        budget.sent - before
    }

    #[test]
    fn without_bounds_everything_may_be_sent() {
        let mut free = budget(|_| ());
        free.spend(Time::ZERO, u64::MAX / 2);
        assert!(free.may_send(Time::ZERO));
        assert_eq!((free.left(), free.next_at(), free.pace(3)), (None, None, None));
        assert!(!free.is_unfair(u64::MAX, 0, 1));
    }

    #[test]
    fn the_rate_holds_on_average_and_tells_when_to_go_on() {
        let mut paced = budget(|options| options.upload_bytes_per_second = 100_000);
        let sent = send_until(&mut paced, 10_000);
        assert!((990_000..=1_001_000).contains(&sent), "{sent}");
        let next = paced.next_at().expect("it waits for the rate");
        assert!(!paced.may_send(Time::from_micros(next.as_micros() - 1)));
        assert!(paced.may_send(next));
        // After a long pause no more than a quarter of a second's worth comes at once.
        let mut burst = 0;
        while paced.may_send(Time::from_millis(100_000)) {
            paced.spend(Time::from_millis(100_000), 1000);
            burst += 1000;
        }
        assert!((25_000..=26_000).contains(&burst), "{burst}");
    }

    #[test]
    fn the_total_is_the_end() {
        let mut bounded = budget(|options| options.upload_bytes_total = 10_000);
        assert!(bounded.admits(4_000, 0));
        assert!(bounded.admits(6_000, 4_000));
        assert!(!bounded.is_spent());
        bounded.spend(Time::ZERO, 4_000);
        assert!(!bounded.admits(1, 6_000));
        bounded.received(u64::MAX);
        assert_eq!(bounded.left(), Some(6_000), "for what is under way");
        assert!(!bounded.is_spent(), "which may be given up");
        bounded.spend(Time::ZERO, 6_000);
        assert!(!bounded.admits(1, 0));
        assert!(bounded.is_spent());
    }

    #[test]
    fn what_was_sent_before_counts() {
        let mut bounded = budget(|options| options.upload_bytes_total = 10_000);
        bounded.carry(9_000);
        assert!(bounded.admits(1_000, 0));
        assert!(!bounded.admits(1_001, 0));
        bounded.carry(1_000);
        assert!(bounded.is_spent());
    }

    #[test]
    fn the_ratio_grows_with_what_is_received() {
        let mut bounded = budget(|options| {
            options.upload_ratio = 0.5;
            options.upload_ratio_floor_bytes = 10_000;
        });
        bounded.received(20_000);
        assert!(bounded.admits(20_000, 0));
        assert!(!bounded.admits(20_000, 1));
        bounded.spend(Time::ZERO, 20_000);
        assert_eq!(bounded.left(), Some(0));
        bounded.received(40_000);
        assert!(bounded.admits(10_000, 0));
        assert!(!bounded.is_spent());
    }

    #[test]
    fn the_second_half_is_divided_fairly() {
        let mut shared = budget(|options| options.upload_bytes_total = 1_000_000);
        shared.spend(Time::ZERO, 400_000);
        assert!(!shared.is_unfair(400_000, 0, 4), "there is plenty");
        shared.spend(Time::ZERO, 100_000);
        assert!(shared.is_unfair(250_001, 0, 4));
        assert!(!shared.is_unfair(250_000, 0, 4));
        assert!(!shared.is_unfair(500_000, 250_000, 4), "it gave as well");
    }
}
