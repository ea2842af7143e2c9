//! Who may be a peer: room, bans, peers to leave alone for a while, and turnover.

use crate::sorted::{SortedMap, SortedSet};

use crate::random::ChaCha8Rng;

use crate::config::LimitsConfig;
use crate::engine::CloseReason;
use crate::id::PeerId;
use crate::time::{Span, Time};

/// A peer that has no room for us, or for whom we have none, is left alone this long.
const AVOID_FULL: Span = Span::from_secs(30);
/// A peer that broke the protocol, or thinks that we did, is left alone this long.
const AVOID_VIOLATION: Span = Span::from_secs(300);
/// A peer of another version or swarm is left alone this long.
const AVOID_INCOMPATIBLE: Span = Span::from_secs(600);
/// A peer has this long to show what it is good for before it can be replaced.
pub(super) const PROBATION: Span = Span::from_secs(30);
/// How long one extra link may be sought at each turnover.
const TURNOVER_WINDOW: Span = Span::from_secs(30);
const MAX_AVOIDED: usize = 256;
const MAX_BANNED: usize = 4096;

/// Whom to let in.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    banned: SortedSet<PeerId>,
    avoided: SortedMap<PeerId, Time>,
    replaced_at: Option<Time>,
    turnover_at: Option<Time>,
    turnover_until: Option<Time>,
}

impl Admission {
    pub(super) fn new() -> Admission {
        Admission {
            banned: SortedSet::new(),
            avoided: SortedMap::new(),
            replaced_at: None,
            turnover_at: None,
            turnover_until: None,
        }
    }

    /// Bans a peer for good. When very many are banned, the list stays as it is: ids cost an attacker nothing.
    pub(super) fn ban(&mut self, peer: PeerId) {
        if self.banned.len() < MAX_BANNED {
            self.banned.insert(peer);
        }
    }

    pub(super) fn is_banned(&self, peer: PeerId) -> bool {
        self.banned.contains(&peer)
    }

    /// Remembers how a link ended.
    pub(super) fn ended(&mut self, now: Time, peer: PeerId, reason: &CloseReason) {
        let span = match reason {
            CloseReason::Replaced => AVOID_FULL,
            CloseReason::Violation(_) => AVOID_VIOLATION,
            CloseReason::Incompatible(_) => AVOID_INCOMPATIBLE,
            CloseReason::Left
            | CloseReason::ConnectionLost(_)
            | CloseReason::Timeout(_)
            | CloseReason::Duplicate
            | CloseReason::Shutdown => return,
        };
        self.avoided.retain(|_, until| *until > now);
        if self.avoided.len() >= MAX_AVOIDED {
            let first = self.avoided.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer);
            first.and_then(|first| self.avoided.remove(&first));
        }
        self.avoided.insert(peer, now + span);
    }

    pub(super) fn is_avoided(&self, now: Time, peer: PeerId) -> bool {
        self.is_banned(peer) || self.avoided.get(&peer).is_some_and(|until| *until > now)
    }

    /// Whether the worst peer may be replaced by now.
    pub(super) fn may_replace(&self, now: Time, limits: &LimitsConfig) -> bool {
        let pause = Span::from_millis(limits.replace_worst_peer_ms);
        self.replaced_at.is_none_or(|at| now.since(at) >= pause)
    }

    pub(super) fn replaced(&mut self, now: Time) {
        self.replaced_at = Some(now);
        self.turnover_until = None;
    }

    /// How many links to seek of our own accord. The rest of `max_peers` is kept for those who seek us: in a swarm
    /// where everybody fills all places, nobody new gets in.
    pub(super) fn target(limits: &LimitsConfig) -> usize {
        (limits.max_peers * 2).div_ceil(3)
    }

    /// Whether one link beyond the target is sought, so that the swarm does not settle into closed circles.
    pub(super) fn turnover(&self, now: Time) -> bool {
        self.turnover_until.is_some_and(|until| until > now)
    }

    /// Opens the search for one extra link now and then.
    pub(super) fn tick(&mut self, now: Time, rng: &mut ChaCha8Rng, limits: &LimitsConfig, ready: usize) {
        let due = self.turnover_at.is_some_and(|at| at <= now);
        if due && ready >= Admission::target(limits) {
            self.turnover_until = Some(now + TURNOVER_WINDOW);
        }
        if ready == 0 {
            self.turnover_at = None;
        } else if due || self.turnover_at.is_none() {
            let pause = limits.replace_worst_peer_ms;
            self.turnover_at = Some(now + Span::from_millis(pause + rng.below(pause)));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.turnover_at
    }
}
