//! The links that are being made or are open, from the first offer to the end, and who is at their other end.

use crate::sorted::SortedMap;

use crate::id::{LinkId, PeerId, TrackerId};
use crate::time::{Span, Time};

use super::message::{MAX_CANDIDATE_BYTES, MAX_TRICKLED_CANDIDATES};

/// Candidates that are found one after the other leave together.
const TRICKLE_WAIT: Span = Span::from_millis(75);

/// By which tracker session, and under which name there, a link is negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) tracker: TrackerId,
    /// Which of the sessions with that tracker: what was said in one means nothing in the next.
    pub(super) session: u32,
    pub(super) offer_id: String,
}

/// How far a link is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// The shell makes an offer.
    Creating,
    /// An offer that no peer has seen.
    Ready { sdp: String },
    /// An offer that a tracker has been given, in the announce numbered `batch`.
    Offered { sdp: String, route: Route, batch: u32 },
    /// The shell makes an answer to the offer of `peer`.
    Answering { route: Route, peer: PeerId },
    /// Both descriptions are exchanged; the transport connects.
    Connecting { route: Route, peer: PeerId, ours: bool },
    /// The data channel is open.
    Up { peer: PeerId },
}

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    /// When the shell was asked to make it.
    pub(super) created: Time,
    /// When it came to its stage.
    pub(super) since: Time,
    pub(super) trickle: Trickle,
}

impl Link {
    /// The peer at the other end, once it is known.
    pub(super) fn peer(&self) -> Option<PeerId> {
        match self.stage {
            Stage::Creating | Stage::Ready { .. } | Stage::Offered { .. } => None,
            Stage::Answering { peer, .. } | Stage::Connecting { peer, .. } | Stage::Up { peer } => Some(peer),
        }
    }

    /// How it is negotiated, while it is.
    pub(super) fn route(&self) -> Option<&Route> {
        match &self.stage {
            Stage::Creating | Stage::Ready { .. } | Stage::Up { .. } => None,
            Stage::Offered { route, .. }
            | Stage::Answering { route, .. }
            | Stage::Connecting { route, .. } => Some(route),
        }
    }

    /// Whether the other end is known and the channel is not open yet.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Answering { .. } | Stage::Connecting { .. })
    }

    /// Whether this is an offer of ours that nobody has answered.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.stage, Stage::Creating | Stage::Ready { .. } | Stage::Offered { .. })
    }
}

/// Candidates of one link that travel after its descriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Trickle {
    held: Vec<String>,
    sent: usize,
    received: usize,
    /// When the held ones leave; `None` while the other end is unknown or nothing is held.
    pub(super) flush_at: Option<Time>,
}

impl Trickle {
    /// Keeps candidates of ours, within the bounds that the tracker holds us to.
    pub(super) fn hold(&mut self, candidates: Vec<String>) {
        let room = MAX_TRICKLED_CANDIDATES.saturating_sub(self.sent + self.held.len());
        let fit = candidates.into_iter().filter(|text| !text.is_empty() && text.len() <= MAX_CANDIDATE_BYTES);
        self.held.extend(fit.take(room));
    }

    /// The other end is known: what is held may leave, with what is found in the next moment.
    pub(super) fn schedule(&mut self, now: Time) {
        if !self.held.is_empty() && self.flush_at.is_none() {
            self.flush_at = Some(now + TRICKLE_WAIT);
        }
    }

    /// Takes what is to be sent now.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.flush_at = None;
        self.sent += self.held.len();
        std::mem::take(&mut self.held)
    }

    /// Cuts candidates of the other end down to what one link may be given.
    pub(super) fn admit(&mut self, mut candidates: Vec<String>) -> Vec<String> {
        candidates.truncate(MAX_TRICKLED_CANDIDATES.saturating_sub(self.received));
        self.received += candidates.len();
        candidates
    }
}

/// All links, and the one link of each peer that has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    all: SortedMap<LinkId, Link>,
    peers: SortedMap<PeerId, LinkId>,
    next: u32,
}

impl Links {
    /// Starts a link under a fresh id.
    pub(super) fn insert(&mut self, now: Time, stage: Stage) -> LinkId {
        let mut id = LinkId(self.next);
        while self.all.contains_key(&id) {
            id = LinkId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        let link = Link { stage, created: now, since: now, trickle: Trickle::default() };
        if let Some(peer) = link.peer() {
            self.peers.insert(peer, id);
        }
        self.all.insert(id, link);
        id
    }

    /// Takes a link out.
    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.all.remove(&id)?;
        if let Some(peer) = link.peer()
            && self.peers.get(&peer) == Some(&id)
        {
            self.peers.remove(&peer);
            // A dead link may be left of the same peer, or a new one beside it.
            let other = self.iter().find(|(_, other)| other.peer() == Some(peer)).map(|(id, _)| id);
            if let Some(other) = other {
                self.peers.insert(peer, other);
            }
        }
        Some(link)
    }

    /// Brings a link to another stage.
    pub(super) fn advance(&mut self, now: Time, id: LinkId, stage: Stage) {
        if let Some(link) = self.all.get_mut(&id) {
            link.stage = stage;
            link.since = now;
            if let Some(peer) = link.peer() {
                self.peers.insert(peer, id);
            }
        }
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.all.get(&id)
    }

    pub(super) fn trickle(&mut self, id: LinkId) -> Option<&mut Trickle> {
        self.all.get_mut(&id).map(|link| &mut link.trickle)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.all.iter().map(|(&id, link)| (id, link))
    }

    /// The ids of the links that `pick` picks.
    pub(super) fn ids(&self, pick: impl Fn(&Link) -> bool) -> Vec<LinkId> {
        self.iter().filter(|(_, link)| pick(link)).map(|(id, _)| id).collect()
    }

    pub(super) fn count(&self, pick: impl Fn(&Link) -> bool) -> usize {
        self.all.values().filter(|link| pick(link)).count()
    }

    /// The link of a peer.
    pub(super) fn of_peer(&self, peer: PeerId) -> Option<(LinkId, &Link)> {
        let id = *self.peers.get(&peer)?;
        Some((id, self.all.get(&id)?))
    }

    /// Peers that have a link, open or being made.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The link negotiated under `offer_id` in one session of a tracker.
    pub(super) fn by_route(&self, tracker: TrackerId, session: u32, offer_id: &str) -> Vec<LinkId> {
        self.ids(|link| {
            link.route().is_some_and(|route| {
                route.tracker == tracker && route.session == session && route.offer_id == offer_id
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id20;

    #[test]
    fn ids_skip_those_in_use_when_they_wrap() {
        let mut links = Links { next: u32::MAX, ..Links::default() };
        assert_eq!(links.insert(Time::ZERO, Stage::Creating), LinkId(u32::MAX));
        assert_eq!(links.insert(Time::ZERO, Stage::Creating), LinkId(0));
        links.next = u32::MAX;
        assert_eq!(links.insert(Time::ZERO, Stage::Creating), LinkId(1));
    }

    #[test]
    fn a_peer_keeps_its_link_when_another_of_its_links_goes() {
        let mut links = Links::default();
        let peer = Id20([7; 20]);
        let first = links.insert(Time::ZERO, Stage::Up { peer });
        let second = links.insert(Time::ZERO, Stage::Up { peer });
        links.remove(first);
        assert_eq!(links.of_peer(peer).map(|(id, _)| id), Some(second));
        let third = links.insert(Time::ZERO, Stage::Up { peer });
        links.remove(third);
        assert_eq!(links.of_peer(peer).map(|(id, _)| id), Some(second));
        links.remove(second);
        assert!(links.of_peer(peer).is_none());
    }

    #[test]
    fn trickled_candidates_are_bounded_both_ways() {
        let mut trickle = Trickle::default();
        trickle.hold(vec!["x".repeat(MAX_CANDIDATE_BYTES + 1), String::new()]);
        trickle.schedule(Time::ZERO);
        assert_eq!(trickle.flush_at, None);
        trickle.hold(vec!["x".repeat(MAX_CANDIDATE_BYTES); 15]);
        trickle.schedule(Time::ZERO);
        assert_eq!(trickle.take().len(), 15);
        trickle.hold(vec!["x".to_owned(); 15]);
        assert_eq!(trickle.take().len(), MAX_TRICKLED_CANDIDATES - 15);
        assert_eq!(trickle.admit(vec!["x".to_owned(); 15]).len(), 15);
        assert_eq!(trickle.admit(vec!["x".to_owned(); 15]).len(), MAX_TRICKLED_CANDIDATES - 15);
        assert!(trickle.admit(vec!["x".to_owned()]).is_empty());
    }
}
