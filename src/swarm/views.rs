//! What the engine may see of the peers.

use crate::engine::{PeerStats, UploadState};
use crate::id::{LinkId, PeerId, SegmentKey};
use crate::time::Time;
use crate::wire::HaveState;

use super::Swarm;
use super::admission::Admission;
use super::api::PeerView;
use super::peer::Peer;

impl Swarm {
    /// The ready peers, in the order of their links.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.links.iter().filter_map(|peer| peer.view(self.clock))
    }

    /// One ready peer.
    pub fn peer_view(&self, link: LinkId) -> Option<PeerView<'_>> {
        self.peer(link)?.view(self.clock)
    }

    /// The id of the peer at a link, ready or not.
    pub fn peer_id(&self, link: LinkId) -> Option<PeerId> {
        self.peer(link)?.id
    }

    /// Bytes a second that a peer delivers while it delivers; `None` before the first measurement.
    pub fn download_rate(&self, link: LinkId) -> Option<u64> {
        self.peer(link)?.down.meter.bytes_per_second()
    }

    /// Whether a peer waits for bytes of a segment from us.
    pub fn serves(&self, link: LinkId, key: SegmentKey) -> bool {
        self.peer(link).is_some_and(|peer| peer.outbox.serves(key))
    }

    /// What a ready peer says of a segment. Peers that serve nobody or are ignored have nothing.
    pub fn holder_state(&self, link: LinkId, key: SegmentKey) -> HaveState {
        self.peer(link).map_or(HaveState::Gone, |peer| peer.state(key, self.clock))
    }

    /// The ready peers that have a segment or are getting it, in the order of their links.
    pub fn holders(&self, key: SegmentKey) -> impl Iterator<Item = (LinkId, HaveState)> {
        self.links
            .iter()
            .map(move |peer| (peer.link, peer.state(key, self.clock)))
            .filter(|(_, state)| *state != HaveState::Gone)
    }

    /// How many ready peers have a segment complete.
    pub fn availability(&self, key: SegmentKey) -> usize {
        self.holders(key).filter(|(_, state)| *state == HaveState::Loaded).count()
    }

    /// Peers past their handshake.
    pub fn ready_count(&self) -> usize {
        self.links.iter().filter(|peer| peer.is_ready()).count()
    }

    /// Links that are open and not in use yet.
    pub fn pending_count(&self) -> usize {
        self.links.len() - self.ready_count()
    }

    /// How many more links to seek, not counting those that are being made. Two thirds of `limits.maxPeers` are
    /// sought; the rest is for those who seek us. Now and then it is one more.
    pub fn wanted_links(&self) -> usize {
        let missing = Admission::target(&self.limits).saturating_sub(self.links.len());
        missing.max(usize::from(self.admission.turnover(self.clock)))
    }

    /// Whether to make a link to a peer that the tracker told of: it is not ourselves, banned, to be left alone for a
    /// while or here and answering, and there is room for it or the worst peer would make room.
    pub fn admits(&self, now: Time, peer: PeerId) -> bool {
        let same = |open: &&Peer| open.id.or(open.expected) == Some(peer);
        let here = self.links.iter().filter(same).any(|open| !open.pulse.is_late(now));
        let places = self.limits.max_peers
            + usize::from(self.admission.may_replace(now, &self.limits) && self.worst(now).is_some());
        peer != self.own
            && !here
            && !self.admission.is_avoided(now, peer)
            && self.pending_count() < self.limits.max_pending_peers
            && self.links.len() < places
    }

    /// Whether peers are served at the moment, and if not why.
    pub fn upload_state(&self) -> UploadState {
        if self.consume_only || self.limits.upload_slots == 0 {
            UploadState::Off
        } else if !self.sharing {
            UploadState::Metered
        } else if self.budget.is_spent() || self.budget.left() == Some(0) {
            UploadState::Spent
        } else if self.hidden {
            UploadState::Reduced
        } else {
            UploadState::On
        }
    }

    /// Bytes that may still be sent to peers; `None` without a bound.
    pub fn upload_left_bytes(&self) -> Option<u64> {
        self.budget.left()
    }

    /// Each ready peer for the page, and the segment bytes sent to all peers so far, gone ones included.
    pub fn stats(&self) -> (Vec<PeerStats>, u64) {
        let peers = self.links.iter().filter(|peer| peer.is_ready()).filter_map(|peer| {
            Some(PeerStats {
                peer: peer.id?,
                downloaded_bytes: peer.downloaded_bytes,
                uploaded_bytes: peer.uploaded_bytes,
                rtt_ms: peer.pulse.rtt().map(|rtt| u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX)),
                segments: peer.have.loaded_count(),
            })
        });
        (peers.collect(), self.uploaded_bytes)
    }
}
