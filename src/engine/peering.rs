//! Carries out what concerns peers: tracker and link inputs, transfers, arriving frames.

use std::time::Duration;

use crate::id::{LinkId, PeerId, SegmentKey, TransferId};
use crate::schedule::download::{PeerSource, Total};
use crate::swarm::{DataArrival, Swarm, SwarmNotice, SwarmOut};
use crate::time::Time;
use crate::wire::{GoodbyeReason, HaveState, RefuseReason};

use super::io::{Input, Output, Placement};
use super::store::Store;
use super::{Engine, Event};

/// A peer that refused a segment because it was busy is asked again after this long.
const BUSY_PAUSE: Duration = Duration::from_millis(700);
/// A peer that failed to bring a segment is not asked for the same one again for this long.
const FAILED_PAUSE: Duration = Duration::from_secs(10);
/// What is asked for at once of a segment whose size nobody can guess.
const UNKNOWN_PIECE_BYTES: u64 = 1024 * 1024;
/// No piece is smaller than this, unless the segment ends.
const LEAST_PIECE_BYTES: u64 = 128 * 1024;
/// The next piece of a long segment is asked for when less than this is still to come of the last one.
const REFILL_BYTES: u64 = 512 * 1024;

impl Engine {
    /// The swarm with what its calls need, as separate borrows.
    fn swarm_parts(&mut self) -> (&mut Swarm, Store<'_>, SwarmOut<'_>) {
        let store = Store {
            cache: &self.cache,
            downloads: &self.downloads,
            kept: &self.kept,
            timeline: &self.timeline,
            cut_through: !self.has_validator,
        };
        let out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        (&mut self.swarm, store, out)
    }

    pub(super) fn start_signal(&mut self) {
        self.signal.set_demand(self.now, self.swarm.wanted_links());
        self.signal.start(self.now, &mut self.rng, &mut self.outbox);
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
            // Given up in the meantime.
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
            let store = Store {
                cache: &self.cache,
                downloads: &self.downloads,
                kept: &self.kept,
                timeline: &self.timeline,
                cut_through: !self.has_validator,
            };
            let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
            self.swarm.tick(now, &mut self.rng, &store, &mut out);
            self.take_notices();
            // Now and then the swarm wants one link more, without anything else having happened.
            self.signal.set_demand(now, self.swarm.wanted_links());
        }
        if self.signal.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            self.signal.tick(now, &mut self.rng, &mut self.outbox);
        }
    }

    /// Acts on what the swarm noticed.
    fn take_notices(&mut self) {
        while !self.notices.is_empty() {
            for notice in std::mem::take(&mut self.notices) {
                self.take_notice(notice);
            }
        }
    }

    fn take_notice(&mut self, notice: SwarmNotice) {
        match notice {
            SwarmNotice::PeerReady { .. } => {
                self.dirty = true;
                self.signal.set_demand(self.now, self.swarm.wanted_links());
            }
            SwarmNotice::LinkGone { link } => {
                self.signal.link_closed(self.now, link);
                self.signal.set_demand(self.now, self.swarm.wanted_links());
            }
            SwarmNotice::PeerGone { .. } => {
                if self.swarm.ready_count() == 0 {
                    self.lonely_since = self.now;
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
            SwarmNotice::HaveChanged { .. } => self.dirty = true,
            SwarmNotice::TransferDone { link, transfer } => self.transfer_ended(link, transfer, None),
            SwarmNotice::InterestChanged { .. } => {}
        }
    }

    /// Asks a peer for the next missing piece of a segment.
    pub(super) fn start_transfer(&mut self, key: SegmentKey, link: LinkId) {
        let now = self.now;
        let Some(segment) = self.timeline.segment(key) else { return };
        let resource_offset = segment.byte_range.map_or(0, |range| range.start);
        if self.downloads.get(key).is_none() {
            self.restart(key);
        }
        let expected = self.expected_bytes(key);
        let Some(download) = self.downloads.get(key) else { return };
        let at = download.unrequested_from();
        let download_total = download.total.bytes();
        let asked: u64 = self
            .downloads
            .iter()
            .flat_map(|download| &download.peers)
            .map(|peer| peer.end.saturating_sub(peer.at + peer.received))
            .sum();
        let limits = &self.config.limits;
        let room = limits.receive_bytes_total.saturating_sub(asked).min(limits.receive_bytes_per_peer);
        let likely = expected.map_or(UNKNOWN_PIECE_BYTES, |bytes| bytes + bytes / 4).saturating_sub(at);
        let upper = download_total.unwrap_or(at + likely.max(LEAST_PIECE_BYTES));
        let len = upper.saturating_sub(at).min(room).min(u64::from(u32::MAX));
        let Ok(offset) = u32::try_from(at) else { return };
        if len == 0 {
            return;
        }
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        let asked = self.swarm.request(now, link, key, resource_offset, offset, len as u32, &mut out);
        let Some(transfer) = asked else {
            self.shunned.insert((key, link), now + BUSY_PAUSE);
            self.drop_if_orphaned(key);
            return;
        };
        if let Some(download) = self.downloads.get_mut(key) {
            download.peers.push(PeerSource {
                link,
                transfer,
                at,
                end: at + len,
                received: 0,
                started: now,
                first_byte: None,
                last_progress: now,
            });
        }
        self.downloads.bind_transfer(link, transfer, key);
        self.swarm.set_state(now, key, HaveState::FetchingP2p);
    }

    fn transfer_accepted(&mut self, link: LinkId, transfer: TransferId, total_bytes: Option<u32>) {
        let Some(download) = self.downloads.of_transfer(link, transfer) else { return };
        let key = download.key;
        let Some(claimed) = total_bytes.map(u64::from) else { return };
        let allowed = self.timeline.expected_bytes(key).unwrap_or(self.config.limits.max_segment_bytes);
        let Some(download) = self.downloads.get_mut(key) else { return };
        match download.total {
            _ if claimed > allowed => self.give_up_transfer(link, transfer),
            Total::Unknown => download.total = Total::Claimed(claimed),
            Total::Known(bytes) if bytes != claimed => self.give_up_transfer(link, transfer),
            Total::Claimed(bytes) if bytes != claimed => {
                // One of the two is wrong and nothing tells which: trust neither.
                self.cancel_transfers(key);
                self.restart(key);
                self.shunned.insert((key, link), self.now + FAILED_PAUSE);
                self.drop_if_orphaned(key);
                self.dirty = true;
            }
            Total::Known(_) | Total::Claimed(_) => {}
        }
    }

    /// Where the payload of a data message belongs. `head` is the first bytes (at most 16) of the message,
    /// `message_len` the length of all of it.
    pub fn place_frame(&mut self, now: Time, link: LinkId, head: &[u8], message_len: u32) -> Placement {
        self.now = self.now.max(now);
        let placement = self.place_frame_now(link, head, message_len);
        self.take_notices();
        placement
    }

    fn place_frame_now(&mut self, link: LinkId, head: &[u8], message_len: u32) -> Placement {
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        let arrival = self.swarm.data(now, link, head, message_len, &mut out);
        let DataArrival::Arrived { transfer, at, len, skip } = arrival else { return Placement::Discard };
        let (at, bytes) = (u64::from(at), u64::from(len));
        self.totals.p2p_bytes += bytes;
        let peer = self.swarm.peer_id(link);
        let Some(download) = self.downloads.of_transfer(link, transfer) else {
            self.totals.wasted_bytes += bytes;
            return Placement::Discard;
        };
        let key = download.key;
        let Some(source) = download.peers.iter_mut().find(|s| s.link == link && s.transfer == transfer)
        else {
            return Placement::Discard;
        };
        source.received += bytes;
        source.last_progress = now;
        source.first_byte.get_or_insert(now);
        let source_left = source
            .end
            .min(download.total.bytes().unwrap_or(u64::MAX))
            .saturating_sub(source.at + source.received);
        let Some((start, kept)) = download.accept(now, at, bytes) else {
            self.totals.wasted_bytes += bytes;
            return Placement::Discard;
        };
        self.totals.wasted_bytes += bytes - kept;
        download.p2p_bytes += kept;
        if let Some(peer) = peer.filter(|peer| !download.suppliers.contains(peer)) {
            download.suppliers.push(peer);
        }
        let placement = Placement::At {
            blob: download.blob,
            at: start,
            skip: skip + (start - at) as u32,
            len: kept as u32,
        };
        let whole = download.is_whole();
        let more = download.total.bytes().is_none_or(|total| download.unrequested_from() < total);
        self.bytes_arrived(key);
        if whole {
            self.complete(key);
        } else {
            if more && source_left < REFILL_BYTES && self.requests_open(key) < 2 {
                self.start_transfer(key, link);
            }
        }
        placement
    }

    fn requests_open(&self, key: SegmentKey) -> usize {
        self.downloads.get(key).map_or(0, |download| download.peers.len())
    }

    /// A transfer brings nothing more. With a pause its peer is not asked for the same segment for that long.
    fn transfer_ended(&mut self, link: LinkId, transfer: TransferId, pause: Option<Duration>) {
        let Some(key) = self.downloads.unbind_transfer(link, transfer) else { return };
        if let Some(pause) = pause {
            self.shunned.insert((key, link), self.now + pause);
        }
        if let Some(download) = self.downloads.get_mut(key) {
            download.peers.retain(|source| source.link != link || source.transfer != transfer);
        }
        self.dirty = true;
    }

    /// Cancels a transfer and does not ask that peer for that segment again for a while.
    pub(super) fn give_up_transfer(&mut self, link: LinkId, transfer: TransferId) {
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.cancel(now, link, transfer, &mut out);
        self.transfer_ended(link, transfer, Some(FAILED_PAUSE));
    }

    /// Cancels all transfers of a segment.
    pub(super) fn cancel_transfers(&mut self, key: SegmentKey) {
        let now = self.now;
        let Some(download) = self.downloads.get_mut(key) else { return };
        for source in std::mem::take(&mut download.peers) {
            self.downloads.unbind_transfer(source.link, source.transfer);
            let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
            self.swarm.cancel(now, source.link, source.transfer, &mut out);
        }
    }

    /// A download without sources and without bytes is forgotten; one with bytes waits for its next source.
    pub(super) fn drop_if_orphaned(&mut self, key: SegmentKey) {
        let idle = self.downloads.get(key).is_some_and(|d| d.is_orphaned() && d.received.is_empty());
        if idle {
            self.abandon(key);
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
        self.take_notices();
    }

    /// Bytes of a segment arrived: uploads that wait for them go on.
    pub(super) fn bytes_arrived(&mut self, key: SegmentKey) {
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
