//! Carries out transfers from peers: requests, acceptances, arriving bytes, ends.

use crate::id::{LinkId, SegmentKey, TransferId};
use crate::integrity::{BLOCK_BYTES, block_count};
use crate::schedule::download::{PeerSource, Total};
use crate::swarm::{DataArrival, SwarmOut};
use crate::time::{Span, Time};
use crate::wire::HaveState;

use super::Engine;
use super::io::{Output, Placement};
use super::peering::{BUSY_PAUSE, FAILED_PAUSE};

/// What is asked for at once of a segment whose size nobody can guess.
const UNKNOWN_PIECE_BYTES: u64 = 1024 * 1024;
/// No piece is smaller than this, unless the segment ends.
const LEAST_PIECE_BYTES: u64 = 128 * 1024;
/// The next piece of a long segment is asked for when less than this is still to come of the last one.
const REFILL_BYTES: u64 = 512 * 1024;

impl Engine {
    /// Asks a peer for the next missing piece of a segment, as much of it as there is room for. Asks nothing when there
    /// is room for too little: room comes with the end of another transfer, after which there is a pass anyway.
    pub(super) fn start_transfer(&mut self, key: SegmentKey, link: LinkId) {
        let now = self.now;
        let Some(segment) = self.timeline.segment(key) else { return };
        let resource_offset = segment.byte_range.map_or(0, |range| range.start);
        let room = self.swarm.room(now, link);
        if room == 0 || !self.downloads.is_wanted(key) && self.needed_lacks_room() {
            return;
        }
        let likely =
            self.expected_bytes(key).map_or(UNKNOWN_PIECE_BYTES, |bytes| bytes.saturating_add(bytes / 4));
        let missing = match self.downloads.get(key) {
            Some(download) => {
                let least = download.received.end() + LEAST_PIECE_BYTES;
                download.unasked(download.total.bytes().unwrap_or(likely.max(least)))
            }
            None => {
                let certain = self.certain_bytes(key);
                Some((0, certain.unwrap_or(likely.max(LEAST_PIECE_BYTES))))
            }
        };
        let Some((at, end)) = missing else { return };
        let limits = &self.config.limits;
        let least = LEAST_PIECE_BYTES
            .min(limits.receive_bytes_per_peer)
            .min(limits.receive_bytes_total)
            .min(end - at);
        let liable = self.swarm.holder_state(link, key) != HaveState::FetchingP2p;
        let mut len = (end - at).min(room).min(u64::from(u32::MAX));
        if self.guard.is_signed() && len > BLOCK_BYTES && at + len < end {
            // Up to the end of a block.
            len = (at + len) / BLOCK_BYTES * BLOCK_BYTES - at;
        }
        let Ok(offset) = u32::try_from(at) else { return };
        if len < least || len == 0 {
            return;
        }
        if self.downloads.get(key).is_none() {
            self.restart(key);
        }
        // A stock peer sends from there to the end, whatever is wanted.
        #[cfg(feature = "interop")]
        let asked_bytes = if link.is_stock() { 0 } else { len as u32 };
        #[cfg(not(feature = "interop"))]
        let asked_bytes = len as u32;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        let asked = self.swarm.request(now, link, key, resource_offset, offset, asked_bytes, &mut out);
        let Some(transfer) = asked else {
            self.shunned.insert((key, link), now + BUSY_PAUSE);
            return self.drop_if_orphaned(key);
        };
        if let Some(download) = self.downloads.get_mut(key) {
            download.peers.push(PeerSource {
                link,
                transfer,
                at,
                end: at + len,
                received: 0,
                message_bytes: 0,
                liable,
                started: now,
                first_byte: None,
                last_progress: now,
            });
        }
        self.downloads.bind_transfer(link, transfer, key);
    }

    pub(super) fn transfer_accepted(&mut self, link: LinkId, transfer: TransferId, total_bytes: Option<u32>) {
        let Some(download) = self.downloads.of_transfer(link, transfer) else { return };
        let key = download.key;
        let Some(claimed) = total_bytes.map(u64::from) else { return };
        #[cfg(feature = "interop")]
        if link.is_stock()
            && let Some(download) = self.downloads.get_mut(key)
            && let [source] = download.peers.as_mut_slice()
        {
            source.end = claimed;
        }
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
        // A peer that did not know the length yet may have brought all of it before another one tells it.
        if self.downloads.get(key).is_some_and(|download| !download.verifying && download.is_whole()) {
            self.complete(key);
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
        #[cfg(feature = "interop")]
        if link.is_stock() {
            let arrival = self.stock_body(link, message_len);
            return self.place_arrival(link, arrival);
        }
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        let arrival = self.swarm.data(now, link, head, message_len, &mut out);
        self.place_arrival(link, arrival)
    }

    fn place_arrival(&mut self, link: LinkId, arrival: DataArrival) -> Placement {
        let now = self.now;
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
        let (liable, source_end) = (source.liable, source.end);
        source.received += bytes;
        source.message_bytes = source.message_bytes.max(bytes);
        source.last_progress = now;
        source.first_byte.get_or_insert(now);
        let source_left =
            source.end.min(download.total.bytes().unwrap_or(u64::MAX)).saturating_sub(source.next());
        // With signed records each block comes from one source: what runs over the end of a part belongs to another.
        let taken = if self.guard.is_signed() { bytes.min(source_end.saturating_sub(at)) } else { bytes };
        let Some((start, kept)) = download.accept(now, at, taken) else {
            self.totals.wasted_bytes += bytes;
            return Placement::Discard;
        };
        self.totals.wasted_bytes += bytes - kept;
        download.p2p_bytes += kept;
        if let Some(peer) = peer {
            download.brought(start, start + kept, peer, liable);
        }
        let placement = Placement::At {
            blob: download.blob,
            at: start,
            skip: skip + (start - at) as u32,
            len: kept as u32,
        };
        let whole = download.is_whole();
        let missing = download.missing_bytes();
        let more = download.total.bytes().is_none_or(|total| download.unasked(total).is_some());
        // Not before: viewers that announce what they only hope for come to wait for each other in a circle. And not at all
        // when all of it will be here within a tenth of a second, and announced.
        let rate = self.swarm.download_rate(link).unwrap_or(0);
        if missing.is_none_or(|missing| missing > rate / 10) {
            self.swarm.set_state(now, key, HaveState::FetchingP2p);
        }
        self.hash_complete(key, start, start + kept);
        self.bytes_arrived(key);
        if whole {
            self.complete(key);
        } else {
            if source_left == 0 && self.downloads.of_transfer(link, transfer).is_some() {
                // It has brought its part; a helper brings what lies behind.
                self.end_transfer_early(link, transfer);
            }
            if more && source_left < REFILL_BYTES && self.requests_open(key) < 2 {
                self.start_transfer(key, link);
                // What had to stand back for it may have its turn.
                self.dirty |= self.all_asked(key);
            }
        }
        placement
    }

    /// Whether peers could not yet be asked for all of a segment that the player waits for: what can wait would take
    /// the room for the rest of it.
    fn needed_lacks_room(&self) -> bool {
        self.downloads.iter().any(|download| {
            let unasked = download.total.bytes().is_some_and(|total| download.unasked(total).is_some());
            unasked && !download.peers.is_empty() && self.downloads.is_wanted(download.key)
        })
    }

    fn all_asked(&self, key: SegmentKey) -> bool {
        self.downloads.get(key).is_some_and(|download| {
            download.total.bytes().is_some_and(|total| download.unasked(total).is_none())
        })
    }

    fn requests_open(&self, key: SegmentKey) -> usize {
        self.downloads.get(key).map_or(0, |download| download.peers.len())
    }

    /// A transfer brings nothing more. With a pause its peer is not asked for the same segment for that long.
    pub(super) fn transfer_ended(&mut self, link: LinkId, transfer: TransferId, pause: Option<Span>) {
        let Some(key) = self.downloads.unbind_transfer(link, transfer) else { return };
        if let Some(pause) = pause {
            self.shunned.insert((key, link), self.now + pause);
        }
        if let Some(download) = self.downloads.get_mut(key) {
            download.peers.retain(|source| source.link != link || source.transfer != transfer);
        }
        self.drop_begun_blocks(key);
        self.dirty = true;
    }

    pub(super) fn end_transfer_early(&mut self, link: LinkId, transfer: TransferId) {
        let now = self.now;
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.cancel(now, link, transfer, &mut out);
        self.transfer_ended(link, transfer, None);
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
        self.drop_begun_blocks(key);
    }

    /// With signed records each block comes from one source, so that it is clear who sent a wrong one: what a transfer
    /// leaves behind of a block is forgotten.
    fn drop_begun_blocks(&mut self, key: SegmentKey) {
        let Some(download) = self.downloads.get_mut(key).filter(|download| !download.verifying) else {
            return;
        };
        if !self.guard.is_signed() || download.is_whole() || download.http.is_some() {
            return;
        }
        for index in 0..block_count(download.received.end()) {
            let (start, end) = download.block_range(index as usize);
            let begun = download.received.first_gap(start, end).is_some_and(|gap| gap != (start, end));
            let served = download.peers.iter().any(|source| source.at < end && start < source.end);
            if begun && !served {
                let before = download.received.len();
                download.forget(start, end);
                self.totals.wasted_bytes += before - download.received.len();
                let len = (end - start) as u32;
                self.outbox.push_back(Output::Clear { blob: download.blob, at: start, len });
            }
        }
    }

    /// A download without sources and without bytes is forgotten; one with bytes waits for its next source.
    pub(super) fn drop_if_orphaned(&mut self, key: SegmentKey) {
        let idle = self.downloads.get(key).is_some_and(|d| d.is_orphaned() && d.received.is_empty());
        if idle {
            self.abandon(key);
        }
    }
}
