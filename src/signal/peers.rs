//! Peers that are not to be linked: banned ones, and those to which a link could not be made a while ago.

use crate::sorted::SortedMap;

use crate::id::PeerId;
use crate::time::{Span, Time};

/// Bans that are remembered. More would only serve somebody who makes up peers.
const MAX_BANNED: usize = 1024;
/// Cool-downs that are remembered.
const MAX_COOLING: usize = 256;
/// The first cool-down. It doubles with each failure in a row.
const FIRST_COOL_DOWN: Span = Span::from_secs(15);
/// The longest cool-down.
const MAX_COOL_DOWN: Span = Span::from_secs(600);

/// What is remembered of peers beyond the life of a link.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerBook {
    banned: SortedMap<PeerId, u64>,
    bans: u64,
    cooling: SortedMap<PeerId, Cooling>,
}

#[derive(Clone, Copy, Debug)]
struct Cooling {
    failures: u32,
    until: Time,
}

impl PeerBook {
    /// Never again in this session.
    pub(super) fn ban(&mut self, peer: PeerId) {
        if self.banned.len() >= MAX_BANNED
            && !self.banned.contains_key(&peer)
            && let Some((&oldest, _)) = self.banned.iter().min_by_key(|(_, number)| **number)
        {
            self.banned.remove(&oldest);
        }
        self.bans += 1;
        self.banned.insert(peer, self.bans);
    }

    /// A link to the peer could not be made.
    pub(super) fn failed(&mut self, now: Time, peer: PeerId) {
        let failures = self.cooling.get(&peer).map_or(0, |cooling| cooling.failures);
        let wait = (FIRST_COOL_DOWN * (1 << failures.min(10))).min(MAX_COOL_DOWN);
        self.put(peer, Cooling { failures: failures.saturating_add(1), until: now + wait });
    }

    /// Leave the peer alone for a while.
    pub(super) fn avoid(&mut self, now: Time, peer: PeerId, span: Span) {
        let old = self.cooling.get(&peer).copied().unwrap_or(Cooling { failures: 0, until: now });
        self.put(peer, Cooling { until: old.until.max(now + span), ..old });
    }

    /// A link to the peer is open: what was before is forgotten.
    pub(super) fn succeeded(&mut self, peer: PeerId) {
        self.cooling.remove(&peer);
    }

    /// Whether a link to the peer may be made.
    pub(super) fn allows(&self, now: Time, peer: PeerId) -> bool {
        !self.banned.contains_key(&peer) && self.cooling.get(&peer).is_none_or(|cooling| cooling.until <= now)
    }

    /// Peers that are left alone now because a link failed.
    pub(super) fn cooling(&self, now: Time) -> usize {
        self.cooling.values().filter(|cooling| cooling.until > now).count()
    }

    fn put(&mut self, peer: PeerId, cooling: Cooling) {
        if self.cooling.len() >= MAX_COOLING
            && !self.cooling.contains_key(&peer)
            && let Some((&first, _)) = self.cooling.iter().min_by_key(|(_, cooling)| cooling.until)
        {
            self.cooling.remove(&first);
        }
        self.cooling.insert(peer, cooling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id20;

    fn peer(number: u32) -> PeerId {
        let mut id = [b'x'; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        Id20(id)
    }

    #[test]
    fn cool_downs_double_and_end() {
        let mut book = PeerBook::default();
        let now = Time::from_millis(1000);
        let mut last = Span::ZERO;
        for _ in 0..3 {
            book.failed(now, peer(1));
            let wait = if last.is_zero() { FIRST_COOL_DOWN } else { last * 2 };
            assert!(!book.allows((now + wait).saturating_sub(Span::from_millis(1)), peer(1)));
            assert!(book.allows(now + wait, peer(1)));
            last = wait;
        }
        for _ in 0..40 {
            book.failed(now, peer(1));
        }
        assert!(book.allows(now + MAX_COOL_DOWN, peer(1)));
        assert_eq!(book.cooling(now), 1);
        book.succeeded(peer(1));
        assert!(book.allows(now, peer(1)));
        assert_eq!(book.cooling(now), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut book = PeerBook::default();
        for number in 0..5000 {
            book.ban(peer(number));
            book.failed(Time::from_millis(u64::from(number)), peer(number));
        }
        assert_eq!(book.banned.len(), MAX_BANNED);
        assert_eq!(book.cooling.len(), MAX_COOLING);
        assert!(!book.allows(Time::from_millis(9_000_000), peer(4999)));
        assert!(book.allows(Time::from_millis(9_000_000), peer(1)));
    }
}
