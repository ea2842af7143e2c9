//! Whether a peer is alive, and how far away.

use crate::time::{Span, Time};

/// Pings on one link. A ping is missed when nothing at all is heard until the next one is due: behind a full send
/// buffer a pong may come late from a peer that is well.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    interval: Span,
    allowed: u32,
    last_heard: Time,
    next_at: Time,
    /// Pings since something was heard.
    unanswered: u32,
    nonce: u32,
    /// The pings that may still be answered, and what each is for.
    asked: Vec<Asked>,
    rtt: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    nonce: u32,
    at: Time,
    what_for: PingKind,
}

/// What a ping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PingKind {
    /// To hear whether the peer is there and how long it takes.
    Alive,
    /// To learn that everything sent before it has arrived.
    Drained,
}

/// What a timer of a pulse asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send this ping.
    Ping(u32),
    /// The peer is gone.
    Dead,
}

/// More pings than this are never waited for: one that was dropped is answered in vain.
const MAX_ASKED: usize = 4;

/// A ping that is not answered after this long is late.
const LATE: Span = Span::from_secs(3);

impl Pulse {
    pub(super) fn new(now: Time, interval: Span, allowed: u32, first_nonce: u32) -> Pulse {
        Pulse {
            interval,
            allowed,
            last_heard: now,
            next_at: now + interval,
            unanswered: 0,
            nonce: first_nonce,
            asked: Vec::new(),
            rtt: None,
        }
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.last_heard = now;
        self.unanswered = 0;
    }

    /// How long nothing was heard.
    pub(super) fn silence(&self, now: Time) -> Span {
        now.since(self.last_heard)
    }

    /// Whether it left a ping unanswered that a living peer would have answered by now.
    pub(super) fn is_late(&self, now: Time) -> bool {
        self.unanswered > 0 && now + self.interval >= self.next_at + LATE
    }

    /// The nonce of a new ping.
    pub(super) fn ask(&mut self, now: Time, what_for: PingKind) -> u32 {
        self.nonce = self.nonce.wrapping_add(1);
        if self.asked.len() >= MAX_ASKED {
            self.asked.remove(0);
        }
        self.asked.push(Asked { nonce: self.nonce, at: now, what_for });
        self.nonce
    }

    /// An answer came: what its ping was for. `None` if nobody asked.
    pub(super) fn answered(&mut self, now: Time, nonce: u32) -> Option<PingKind> {
        let place = self.asked.iter().position(|asked| asked.nonce == nonce)?;
        let asked = self.asked.remove(place);
        let sample = now.since(asked.at);
        // What takes no time was answered on this side of the network.
        if asked.what_for == PingKind::Alive && !sample.is_zero() {
            self.rtt = Some(self.rtt.map_or(sample, |old| (old * 7 + sample) / 8));
        }
        Some(asked.what_for)
    }

    /// At most one ping is sent, and so missed, per call: after a long sleep the peer gets its chance to answer.
    pub(super) fn tick(&mut self, now: Time) -> Option<Beat> {
        if now < self.next_at {
            return None;
        }
        if self.unanswered >= self.allowed {
            return Some(Beat::Dead);
        }
        self.unanswered += 1;
        self.next_at = now + self.interval;
        Some(Beat::Ping(self.ask(now, PingKind::Alive)))
    }

    pub(super) fn next_at(&self) -> Time {
        self.next_at
    }

    pub(super) fn rtt(&self) -> Option<Span> {
        self.rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Span = Span::from_secs(20);

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn three_missed_pings_are_the_end() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, 3, 0);
        for round in 1..=3 {
            assert!(matches!(pulse.tick(at(20 * round)), Some(Beat::Ping(_))), "round {round}");
        }
        assert_eq!(pulse.tick(at(79)), None);
        assert_eq!(pulse.tick(at(80)), Some(Beat::Dead));
    }

    #[test]
    fn any_message_counts_as_life() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, 3, 0);
        for round in 1..=30 {
            assert!(matches!(pulse.tick(at(20 * round)), Some(Beat::Ping(_))));
            pulse.heard(at(20 * round + 1));
        }
    }

    #[test]
    fn a_peer_is_late_when_a_ping_was_not_answered_in_time() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, 3, 0);
        assert!(!pulse.is_late(at(19)));
        pulse.tick(at(20));
        assert!(!pulse.is_late(at(22)));
        assert!(pulse.is_late(at(23)));
        pulse.heard(at(24));
        assert!(!pulse.is_late(at(39)));
    }

    #[test]
    fn a_sleep_of_half_an_hour_counts_once() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, 3, 0);
        assert!(matches!(pulse.tick(at(1800)), Some(Beat::Ping(_))));
        assert_eq!(pulse.unanswered, 1);
    }

    #[test]
    fn round_trips_are_averaged_and_strange_pongs_say_nothing() {
        let mut pulse = Pulse::new(Time::ZERO, INTERVAL, 3, u32::MAX);
        let nonce = pulse.ask(at(1), PingKind::Alive);
        assert_eq!(nonce, 0);
        assert_eq!(pulse.answered(at(2), nonce), Some(PingKind::Alive));
        assert_eq!(pulse.answered(at(2), nonce), None);
        assert_eq!(pulse.rtt(), Some(Span::from_secs(1)));
        let nonce = pulse.ask(at(3), PingKind::Alive);
        pulse.answered(at(5), nonce);
        assert_eq!(pulse.rtt(), Some(Span::from_millis(1125)));
        let nonce = pulse.ask(at(5), PingKind::Alive);
        assert_eq!(pulse.answered(at(5), nonce), Some(PingKind::Alive));
        assert_eq!(pulse.rtt(), Some(Span::from_millis(1125)), "no network is that fast");
        let nonce = pulse.ask(at(5), PingKind::Drained);
        assert_eq!(pulse.answered(at(9), nonce), Some(PingKind::Drained));
        assert_eq!(pulse.rtt(), Some(Span::from_millis(1125)));
    }
}
