//! Carries out what concerns peers: tracker and link inputs, transfers, arriving frames.

use crate::id::{LinkId, PeerId, SegmentKey};
use crate::random::ChaCha8Rng;
use crate::swarm::{Swarm, SwarmNotice, SwarmOut};
use crate::time::Span;
use crate::wire::{GoodbyeReason, RefuseReason};

use super::io::{Input, Output};
use super::store::Store;
use super::{Engine, Event, Totals};

/// A peer that refused a segment because it was busy is asked again after this long.
pub(super) const BUSY_PAUSE: Span = Span::from_millis(700);
/// A peer that failed to bring a segment is not asked for the same one again for this long.
pub(super) const FAILED_PAUSE: Span = Span::from_secs(10);
impl Engine {
    /// The swarm with what its calls need, as separate borrows.
    pub(super) fn swarm_parts(&mut self) -> (&mut Swarm, Store<'_>, SwarmOut<'_>) {
        let (swarm, _, store, out) = self.swarm_parts_and_rng();
        (swarm, store, out)
    }

    fn swarm_parts_and_rng(&mut self) -> (&mut Swarm, &mut ChaCha8Rng, Store<'_>, SwarmOut<'_>) {
        let store = Store {
            cache: &self.cache,
            downloads: &self.downloads,
            kept: &self.kept,
            timeline: &self.timeline,
            cut_through: !self.has_validator,
            signed_only: self.guard.is_signed(),
            guard: &self.guard,
        };
        let out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        (&mut self.swarm, &mut self.rng, store, out)
    }

    pub(super) fn start_signal(&mut self) {
        self.signal.set_demand(self.now, self.swarm.wanted_links());
        self.signal.start(self.now, &mut self.rng, &mut self.outbox);
    }

    /// Allows or forbids to serve peers.
    pub(super) fn allow_sharing(&mut self, sharing: bool) {
        let now = self.now;
        let (swarm, _, mut out) = self.swarm_parts();
        swarm.set_sharing(now, sharing, &mut out);
    }

    pub(super) fn hide(&mut self, hidden: bool) {
        let now = self.now;
        let (swarm, _, mut out) = self.swarm_parts();
        swarm.set_hidden(now, hidden, &mut out);
    }

    /// Segment bytes were received: the ratio of uploads is measured by them.
    pub(super) fn count_received(&mut self) {
        let Totals { http_bytes, p2p_bytes, carried_bytes, .. } = self.totals;
        self.swarm.set_received(http_bytes + p2p_bytes + carried_bytes);
    }

    pub(super) fn signal_network(&mut self, online: bool) {
        self.signal.network(self.now, &mut self.rng, online, &mut self.outbox);
    }

    /// Leaves all peers and trackers. Downloads from peers fall back to HTTP.
    pub(super) fn stop_peering(&mut self, reason: GoodbyeReason) {
        let now = self.now;
        let (swarm, _, mut out) = self.swarm_parts();
        swarm.close_all(now, reason, &mut out);
        self.signal.stop(now, &mut self.rng, &mut self.outbox);
        self.take_notices();
    }

    pub(super) fn peering_input(&mut self, input: Input) {
        let now = self.now;
        match input {
            Input::TrackerUp { tracker } => {
                self.signal.tracker_up(now, &mut self.rng, tracker, &mut self.outbox);
            }
            Input::TrackerDown { tracker, why } => {
                self.signal.tracker_down(now, &mut self.rng, tracker, why, &mut self.outbox);
                self.dirty = true;
            }
            Input::TrackerText { tracker, text } => {
                let size = self.signal.swarm_size();
                let swarm = &self.swarm;
                let admits = |peer| swarm.admits(now, peer);
                self.signal.tracker_text(now, &mut self.rng, tracker, &text, &admits, &mut self.outbox);
                self.dirty |= self.signal.swarm_size() != size;
            }
            Input::OfferReady { link, sdp } => {
                self.signal.offer_ready(now, &mut self.rng, link, sdp, &mut self.outbox);
            }
            Input::AnswerReady { link, sdp } => {
                self.signal.answer_ready(now, &mut self.rng, link, sdp, &mut self.outbox);
            }
            Input::LocalCandidates { link, candidates } => {
                self.signal.local_candidates(now, &mut self.rng, link, candidates, &mut self.outbox);
            }
            Input::LinkUp { link, max_message_bytes } => self.link_up(link, max_message_bytes),
            Input::LinkDown { link, cause } => {
                let (swarm, _, mut out) = self.swarm_parts();
                swarm.link_down(now, link, &cause, &mut out);
                self.signal.link_failed(now, &mut self.rng, link, cause, &mut self.outbox);
            }
            Input::LinkWritable { link } => {
                let (swarm, store, mut out) = self.swarm_parts();
                swarm.link_writable(now, link, &store, &mut out);
            }
            Input::Control { link, frame } => {
                let (swarm, store, mut out) = self.swarm_parts();
                swarm.control(now, link, &frame, &store, &mut out);
            }
            _ => {}
        }
        self.take_notices();
    }

    fn link_up(&mut self, link: LinkId, max_message_bytes: u32) {
        let now = self.now;
        let initiator = self.signal.is_initiator(link);
        let Some(peer) = self.signal.link_up(now, link) else {
            // Given up in the meantime, or open before its offer was answered, which only a broken shell would tell.
            self.signal.link_closed(now, link);
            self.outbox.push_back(Output::CloseLink { link });
            return;
        };
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.link_up(now, &mut self.rng, link, Some(peer), initiator, max_message_bytes, &mut out);
    }

    /// Lets the peers and the trackers do what is due.
    pub(super) fn tick_peering(&mut self) {
        let now = self.now;
        if self.swarm.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            let (swarm, rng, store, mut out) = self.swarm_parts_and_rng();
            swarm.tick(now, rng, &store, &mut out);
            self.take_notices();
            // Now and then the swarm wants one link more, without anything else having happened.
            self.signal.set_demand(now, self.swarm.wanted_links());
        }
        if self.signal.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            self.signal.tick(now, &mut self.rng, &mut self.outbox);
        }
    }

    /// Acts on what the swarm noticed.
    pub(super) fn take_notices(&mut self) {
        while !self.notices.is_empty() {
            for notice in std::mem::take(&mut self.notices) {
                self.take_notice(notice);
            }
        }
    }

    fn take_notice(&mut self, notice: SwarmNotice) {
        match notice {
            SwarmNotice::PeerReady { .. } => {
                if self.swarm.ready_count() == 1 {
                    self.company_since = self.now;
                }
                self.dirty = true;
                self.signal.set_demand(self.now, self.swarm.wanted_links());
            }
            SwarmNotice::Claimed { link, claim } => self.claim_came(link, claim),
            #[cfg(feature = "signed")]
            SwarmNotice::Proved { link, record, blocks, batch } => {
                if let Some(peer) = self.swarm.peer_id(link) {
                    self.proof_came(peer, record, blocks, &batch);
                }
            }
            #[cfg(feature = "interop")]
            SwarmNotice::LinkGone { link } if link.is_stock() => {
                self.stock_link_gone(link);
                self.signal.set_demand(self.now, self.swarm.wanted_links());
            }
            SwarmNotice::LinkGone { link } => {
                self.guard.claims.forget_link(link);
                self.signal.link_closed(self.now, link);
                self.signal.set_demand(self.now, self.swarm.wanted_links());
            }
            SwarmNotice::PeerGone { .. } => {
                if self.swarm.ready_count() == 0 {
                    self.company_since = self.now;
                }
                self.dirty = true;
            }
            SwarmNotice::TransferAccepted { link, transfer, total_bytes } => {
                self.transfer_accepted(link, transfer, total_bytes);
            }
            SwarmNotice::TransferRefused { link, transfer, reason } => {
                let pause = if reason == RefuseReason::Busy { BUSY_PAUSE } else { FAILED_PAUSE };
                self.transfer_ended(link, transfer, Some(pause));
            }
            SwarmNotice::TransferFailed { link, transfer } => {
                self.transfer_ended(link, transfer, Some(FAILED_PAUSE));
            }
            // Most of what peers tell concerns segments that are here or on their way already.
            SwarmNotice::HaveChanged { .. } | SwarmNotice::InterestChanged { .. } => {
                self.dirty |= self.is_short;
            }
            SwarmNotice::TransferDone { link, transfer } => self.transfer_ended(link, transfer, None),
        }
    }

    /// Says that HTTP takes over from peers.
    pub(super) fn fall_back(&mut self, key: SegmentKey, reason: &str, kept_bytes: u64) {
        self.outbox.push_back(Output::Event(Event::Fallback { key, reason: reason.to_owned(), kept_bytes }));
    }

    /// Never deals with a peer again.
    pub(super) fn ban(&mut self, peer: PeerId, why: &str) {
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.ban(now, peer, why, &mut out);
        self.signal.ban(now, &mut self.rng, peer, &mut self.outbox);
        #[cfg(feature = "interop")]
        self.ban_in_stock_swarms(peer);
        self.take_notices();
    }

    /// Bytes of a segment arrived: uploads that wait for them go on.
    pub(super) fn bytes_arrived(&mut self, key: SegmentKey) {
        self.count_received();
        let now = self.now;
        let (swarm, store, mut out) = self.swarm_parts();
        swarm.blob_grew(now, key, &store, &mut out);
    }

    /// Bytes of a segment are gone: uploads of it end.
    pub(super) fn forget_uploads(&mut self, key: SegmentKey, aborted: bool) {
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.blob_gone(now, key, aborted, &mut out);
    }
}
