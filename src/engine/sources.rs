//! Which peer a segment, or a part of it, is asked of.

use crate::config::Coordination;
use crate::id::{LinkId, SegmentKey};
use crate::integrity::BLOCK_BYTES;
use crate::schedule::election::{self, Sight};
use crate::schedule::policy::{PARTS_OF_SLOT, PREFETCH_SEGMENTS, PeerSpan};
use crate::schedule::throughput::span_for;
use crate::swarm::is_strong;
use crate::time::Span;
use crate::wire::HaveState;

use super::Engine;
use super::io::TrackKind;
use super::peering::BUSY_PAUSE;
use super::queue::Queued;

/// One peer that needs longer than this for the rest of its part gets help.
const WORTH_HELP: Span = Span::from_millis(600);
/// A peer that is getting a segment from peers itself counts as so much slower than its rate.
const RELAYED: Span = Span::from_millis(150);
/// A peer that brings nothing for this long is left for another that may.
const SILENT: Span = Span::from_millis(700);
/// No part is smaller than this.
const LEAST_PART_BYTES: u64 = 64 * 1024;
/// Who wants a segment so few segments earlier than this will want this one soon, or does already: viewers tell four times a
/// second at most where they are.
const SOON: u64 = PREFETCH_SEGMENTS as u64 + 5;
/// Peers that one segment is fetched from at a time.
const MOST_SOURCES: usize = 4;

impl Engine {
    /// Gives a running download from peers more sources: for bytes that nobody brings, and where one peer alone is
    /// slow. A helper begins where it and the slow peer will meet at the end of their parts, by their rates.
    pub(super) fn find_helpers(&mut self, queued: &Queued) {
        let key = queued.key;
        let Some(download) = self.downloads.get(key) else { return };
        let sources: Vec<LinkId> = download.peers.iter().map(|source| source.link).collect();
        let silent = download.peers.iter().find(|source| self.now.since(source.last_progress) >= SILENT);
        if let Some((link, transfer)) = silent.map(|source| (source.link, source.transfer))
            && let Some((other, _)) = self.best_peer(queued, false, &sources)
        {
            self.end_transfer_early(link, transfer);
            self.shunned.insert((key, link), self.now + BUSY_PAUSE);
            self.start_transfer(key, other);
            return;
        }
        let Some(total) = download.total.bytes() else { return };
        if download.unasked(total).is_some() {
            if let Some((link, _)) = self.best_peer(queued, false, &[]) {
                self.start_transfer(key, link);
            }
            return;
        }
        if queued.ahead_of_want > 0 || sources.len() >= MOST_SOURCES {
            return;
        }
        let slowest = download
            .peers
            .iter()
            .filter_map(|source| {
                let left = source.end.min(total).saturating_sub(source.next());
                let rate = source.bps(self.now).filter(|_| left > 0)?;
                let span = span_for(left.max(source.message_bytes), rate);
                Some((span, left, rate, source.transfer, source.link))
            })
            .max();
        let Some((span, left, rate, transfer, link)) = slowest else { return };
        if span < WORTH_HELP {
            return;
        }
        let Some((helper, _)) = self.best_peer(queued, true, &sources) else {
            return;
        };
        if left < LEAST_PART_BYTES * 2 {
            // Too little to share: the helper brings all of it, if it is surely faster.
            let rate = self.swarm.download_rate(helper).unwrap_or(0);
            if span_for(LEAST_PART_BYTES * 2, rate.saturating_mul(8)) * 2 < span {
                self.end_transfer_early(link, transfer);
                self.start_transfer(key, helper);
            }
            return;
        }
        let helper_rate =
            self.swarm.download_rate(helper).map_or(rate, |bytes| bytes.saturating_mul(8)).max(1);
        let own_part = left.saturating_mul(rate) / rate.saturating_add(helper_rate).max(1);
        let own_part = own_part.max(LEAST_PART_BYTES);
        if left.saturating_sub(own_part) < LEAST_PART_BYTES * 2 {
            return;
        }
        if let Some(download) = self.downloads.get_mut(key)
            && let Some(source) = download.peers.iter_mut().find(|s| s.link == link && s.transfer == transfer)
        {
            // Up to the end of a block, which one peer alone is to answer for.
            source.end = (source.next() + own_part).next_multiple_of(BLOCK_BYTES);
        }
        self.start_transfer(key, helper);
    }

    /// The peer that would bring a segment soonest.
    pub(super) fn best_peer(
        &self,
        queued: &Queued,
        complete_only: bool,
        except: &[LinkId],
    ) -> Option<(LinkId, PeerSpan)> {
        let key = queued.key;
        // What is asked for offline is sent, and given up, when the network is back: then it only takes the line's room.
        if !self.online || !self.may_share(key) {
            return None;
        }
        let mut best: Option<((Span, u64), LinkId, PeerSpan)> = None;
        for (link, state) in self.swarm.holders(key) {
            if state == HaveState::Gone || complete_only && state != HaveState::Loaded {
                continue;
            }
            if except.contains(&link) {
                continue;
            }
            let Some(peer) = self.swarm.peer_view(link) else { continue };
            #[cfg(feature = "interop")]
            if !self.stock_peer_free(link, state, peer.outstanding) {
                continue;
            }
            // A peer that waits for our own bytes of it would wait for us while we wait for it.
            let waits_for_us = state != HaveState::Loaded && self.swarm.serves(link, key);
            if self.shunned.contains_key(&(key, link)) || waits_for_us {
                continue;
            }
            let share = peer.outstanding as u64 + 1;
            let span = match (peer.download_rate, queued.expected_bytes) {
                (Some(rate), Some(bytes)) => PeerSpan::About(
                    span_for(bytes.saturating_mul(share), rate.saturating_mul(8))
                        + peer.rtt.unwrap_or_default(),
                ),
                _ => PeerSpan::Unknown,
            };
            let serves = u32::from(peer.interest.map_or(1, |interest| interest.serves)).clamp(1, 8);
            let guess = match span {
                PeerSpan::About(span) => span,
                PeerSpan::Unknown => queued.duration / serves * share as u32,
            };
            let guess = if state == HaveState::FetchingP2p { guess + RELAYED } else { guess };
            // Spread equal choices over the peers, differently on each viewer.
            let tie = election::score(&peer.peer, &key) ^ election::score(&self.own, &key);
            let rank = (guess, tie);
            if best.as_ref().is_none_or(|(known, ..)| rank < *known) {
                best = Some((rank, link, span));
            }
        }
        best.map(|(_, link, span)| (link, span))
    }

    /// Whether so many of the swarm are connected that those out of sight are likely out of reach.
    pub(super) fn swarm_in_sight(&self) -> bool {
        self.signal.swarm_size().unwrap_or(0) as usize <= (self.swarm.ready_count() + 1) * 2
    }

    /// How many [`PARTS_OF_SLOT`] we leave a segment that nobody has to those who are before us in the order.
    pub(super) fn election_slot(&self, key: SegmentKey, swarm_in_sight: bool) -> u32 {
        let own = election::score(&self.own, &key);
        // Players tell where their main track is; separate audio is numbered alike as a rule.
        let kind = self.timeline.kind(key.track);
        let own_strong = is_strong(self.swarm.serves_at_a_time());
        let mut sight = Sight::default();
        for peer in self.swarm.peers() {
            let Some(interest) = peer.interest else { continue };
            let interested = (interest.track == key.track || kind == Some(TrackKind::Audio))
                && interest.playing_sequence <= key.sequence
                && key.sequence <= interest.wanted_sequence.saturating_add(SOON);
            if interested {
                let strong = is_strong(interest.serves);
                sight.in_sight += 1;
                sight.strong += u32::from(strong);
                let ahead = (!strong, election::score(&peer.peer, &key)) < (!own_strong, own);
                sight.ahead += u32::from(ahead);
            }
        }
        let seen = sight.in_sight + 1;
        let by_sight = self.config.loader.coordination == Coordination::Neighbourhood;
        // To leave those a turn who are out of reach is to wait for nobody.
        sight.swarm = if by_sight || swarm_in_sight {
            seen
        } else {
            let swarm = self.signal.swarm_size().unwrap_or(0);
            let ready = self.swarm.ready_count() as u64;
            ((u64::from(swarm) * u64::from(seen) / (ready + 1)) as u32).max(seen)
        };
        // Players ask in a rhythm. Were all turns as far apart, two could come in step with it, segment after segment, so that
        // each begins before it hears of the other.
        let parts = PARTS_OF_SLOT + own as u32 % (PARTS_OF_SLOT / 2);
        election::slot(own, own_strong, &sight) * parts
    }
}
