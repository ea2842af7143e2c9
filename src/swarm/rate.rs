//! How fast bytes flow on a link, and how much they were lately.

use crate::time::{Span, Time};

const SAMPLE: Span = Span::from_secs(1);
const SHORTEST_SAMPLE_US: u64 = 1000;

/// Bytes a second while something is under way: an exponentially weighted mean (weight 3/10) over windows of one
/// second, or shorter ones when the work ends before.
#[derive(Clone, Debug, Default)]
pub(super) struct RateMeter {
    estimate: Option<u64>,
    since: Option<Time>,
    bytes: u64,
}

impl RateMeter {
    /// Work begins; harmless when it is under way.
    pub(super) fn start(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// Bytes flowed.
    pub(super) fn add(&mut self, now: Time, bytes: u64) {
        let since = *self.since.get_or_insert(now);
        self.bytes += bytes;
        if now.since(since) >= SAMPLE {
            self.fold(now, since);
            self.since = Some(now);
        }
    }

    /// Work ends. A window in which nothing flowed says nothing.
    pub(super) fn stop(&mut self, now: Time) {
        if let Some(since) = self.since.take() {
            self.fold(now, since);
        }
    }

    /// Takes in one finished window.
    pub(super) fn sample(&mut self, bytes: u64, span: Span) {
        let rate = bytes_per_second(bytes, span);
        self.estimate = Some(match self.estimate {
            None => rate,
            Some(old) => (old.saturating_mul(7).saturating_add(rate.saturating_mul(3))) / 10,
        });
    }

    /// Whether a window shows a higher rate than is known.
    pub(super) fn is_below(&self, bytes: u64, span: Span) -> bool {
        self.estimate.is_none_or(|known| known < bytes_per_second(bytes, span))
    }

    fn fold(&mut self, now: Time, since: Time) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.sample(bytes, now.since(since));
        }
    }

    /// Bytes a second; `None` before the first sample.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.estimate
    }
}

fn bytes_per_second(bytes: u64, span: Span) -> u64 {
    let micros = span.as_micros().max(SHORTEST_SAMPLE_US);
    bytes.saturating_mul(1_000_000) / micros
}

/// What a line can do that several links share: at least what they were seen to send together while they sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineRate {
    estimate: Option<u64>,
    /// Until when the links' time is counted.
    until: Time,
    busy: Span,
    bytes: u64,
    queued: bool,
}

/// The line's rate is taken over so much time of sending.
const LINE_WINDOW: Span = Span::from_millis(250);

impl LineRate {
    /// `bytes` of one link went out between `since` and `now`; `queued` tells that they had to wait for the line.
    pub(super) fn add(&mut self, now: Time, bytes: u64, since: Time, queued: bool) {
        // Better at a pause, when no link has half of its bytes on the way.
        let pause = since >= self.until && self.busy >= LINE_WINDOW;
        if pause || self.busy >= LINE_WINDOW * 2 {
            self.fold();
        }
        self.busy += now.since(self.until.max(since));
        self.until = now;
        self.bytes += bytes;
        self.queued |= queued;
    }

    fn fold(&mut self) {
        let sample = bytes_per_second(self.bytes, self.busy);
        // Slower only little by little: the other ends' lines may have been the slow ones.
        self.estimate = Some(match self.estimate {
            Some(known) if sample < known && self.queued => known - (known - sample) / 8,
            Some(known) => known.max(sample),
            None => sample,
        });
        *self = LineRate { estimate: self.estimate, until: self.until, ..LineRate::default() };
    }

    /// Bytes a second; `None` before anything was seen.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.estimate
    }
}

const HALF_LIFE_US: u64 = 60_000_000;

/// Bytes that count half as much with each minute that passes: what a peer was good for lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    bytes: u64,
    at: Time,
}

impl Recent {
    pub(super) fn add(&mut self, now: Time, bytes: u64) {
        let halvings = now.since(self.at).as_micros() / HALF_LIFE_US;
        if halvings > 0 {
            self.bytes = self.bytes.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
            self.at = now;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn bytes(mut self, now: Time) -> u64 {
        self.add(now, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_bytes_over_busy_time_only() {
        let mut meter = RateMeter::default();
        meter.start(Time::ZERO);
        meter.add(Time::from_millis(250), 100_000);
        meter.stop(Time::from_millis(500));
        assert_eq!(meter.bytes_per_second(), Some(200_000));
        // A minute of idleness, then the same pace again.
        meter.start(Time::from_millis(60_000));
        meter.add(Time::from_millis(61_000), 200_000);
        assert_eq!(meter.bytes_per_second(), Some(200_000));
    }

    #[test]
    fn moves_towards_a_new_rate() {
        let mut meter = RateMeter::default();
        meter.sample(1000, Span::from_secs(1));
        meter.sample(2000, Span::from_secs(1));
        assert_eq!(meter.bytes_per_second(), Some(1300));
    }

    #[test]
    fn an_instant_is_not_infinitely_fast_and_nothing_is_not_slow() {
        let mut meter = RateMeter::default();
        meter.start(Time::ZERO);
        meter.stop(Time::from_millis(900));
        assert_eq!(meter.bytes_per_second(), None);
        meter.add(Time::from_millis(1000), 5000);
        meter.stop(Time::from_millis(1000));
        assert_eq!(meter.bytes_per_second(), Some(5_000_000));
    }

    #[test]
    fn links_that_send_together_show_the_line() {
        let mut line = LineRate::default();
        let at = Time::from_millis;
        // Two links send at once, three times, with long pauses.
        for begin in [0, 10_000, 20_000] {
            line.add(at(begin + 300), 150_000, at(begin), true);
            line.add(at(begin + 300), 150_000, at(begin), true);
        }
        assert_eq!(line.bytes_per_second(), Some(1_000_000));
        // Half as fast without a queue says nothing, with one it counts a little.
        line.add(at(31_000), 500_000, at(30_000), false);
        line.add(at(41_000), 500_000, at(40_000), true);
        assert_eq!(line.bytes_per_second(), Some(1_000_000));
        line.add(at(51_000), 2_000_000, at(50_000), false);
        assert_eq!(line.bytes_per_second(), Some(937_500));
        line.add(at(61_000), 1000, at(60_999), false);
        assert_eq!(line.bytes_per_second(), Some(2_000_000));
    }

    #[test]
    fn recent_bytes_halve_each_minute() {
        let mut recent = Recent::default();
        recent.add(Time::ZERO, 1024);
        assert_eq!(recent.bytes(Time::from_millis(59_999)), 1024);
        assert_eq!(recent.bytes(Time::from_millis(60_000)), 512);
        assert_eq!(recent.bytes(Time::from_millis(600_000)), 1);
        assert_eq!(recent.bytes(Time::from_millis(600_000_000)), 0);
    }
}
