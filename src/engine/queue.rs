//! What the player wants and will want next, and what others are told of it.

use crate::sorted::SortedSet;
use crate::time::Span;

use crate::config::Coordination;
use crate::id::{ByteRange, SegmentKey, TrackId};
use crate::schedule::policy::PREFETCH_SEGMENTS;
use crate::schedule::throughput::RateEstimate;
use crate::wire::Interest;

use super::Engine;
use super::io::TrackKind;

/// A segment in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) key: SegmentKey,
    pub(super) priority: u32,
    pub(super) ahead_of_want: u32,
    pub(super) need_in: Span,
    pub(super) duration: Span,
    pub(super) expected_bytes: Option<u64>,
    /// How many peers say that they have it or are getting it.
    pub(super) holders: usize,
}

impl Engine {
    /// Where the player plays, or will as soon as it can: with nothing to play at its position, that is where the
    /// first segment begins that it waits for. A live stream starts so, with the position still at zero.
    fn position_ms(&self) -> Option<i64> {
        let position_ms = self.player.position_ms(self.now)?;
        if !self.player.is_dry(self.now) {
            return Some(position_ms);
        }
        let starts = self.downloads.wants().filter_map(|(_, want)| self.timeline.segment(want.key));
        let awaited_ms = starts.map(|segment| segment.start_ms).min();
        Some(awaited_ms.map_or(position_ms, |start_ms| start_ms.max(position_ms)))
    }

    /// The segment at the playhead, on a track.
    fn playing(&self, position_ms: Option<i64>, track: TrackId) -> Option<SegmentKey> {
        self.timeline.at_position(track, position_ms?)
    }

    /// Where the queue of each track begins: the first open request, or what comes after the last one.
    fn queue_heads(&self) -> Vec<(SegmentKey, bool)> {
        let mut heads = Vec::new();
        for focus in self.player.focuses() {
            let open =
                self.downloads.wants().map(|(_, want)| want.key).filter(|key| key.track == focus.track);
            match open.min_by_key(|key| self.timeline.segment(*key).map(|segment| segment.start_ms)) {
                Some(key) => heads.push((key, true)),
                None => heads.extend(self.timeline.next(focus).map(|key| (key, false))),
            }
        }
        heads
    }

    /// The keys of the queue: what the cache must not drop.
    pub(super) fn queue_keys(&self) -> SortedSet<SegmentKey> {
        let count = self.config.segments.forward_segment_count;
        let heads = self.queue_heads();
        heads
            .iter()
            .flat_map(|(head, _)| self.timeline.forward(*head, count).map(|segment| segment.key))
            .collect()
    }

    /// The queue: `forwardSegmentCount` segments of each track that the player loads, as far as they are not cached.
    pub(super) fn queue(&self) -> Vec<Queued> {
        let count = match self.config.loader.coordination {
            // Under coordination nothing further ahead is looked at.
            Coordination::Elected | Coordination::Neighbourhood => {
                self.config.segments.forward_segment_count.min(PREFETCH_SEGMENTS as usize + 2)
            }
            Coordination::Random => self.config.segments.forward_segment_count,
        };
        let position_ms = self.position_ms();
        let need_in = |start_ms| self.player.need_in(position_ms?, start_ms);
        let mut queue = Vec::new();
        for (head, wanted) in self.queue_heads() {
            let playing = self.playing(position_ms, head.track);
            let base = playing.and_then(|playing| self.timeline.distance(playing, head)).unwrap_or(0);
            let mut need_without_playhead = Span::ZERO;
            for (index, segment) in (0u32..).zip(self.timeline.forward(head, count)) {
                let duration = Span::from_millis(u64::from(segment.duration_ms));
                let need_in = need_in(segment.start_ms).unwrap_or(need_without_playhead);
                need_without_playhead += duration;
                let key = segment.key;
                if self.cache.get(key).is_some() {
                    continue;
                }
                let ahead_of_want =
                    if self.downloads.is_wanted(key) { 0 } else { index + u32::from(!wanted) };
                let expected_bytes = self.expected_bytes(key);
                let holders = self.swarm.holders(key).count();
                let priority = base + index;
                queue.push(Queued {
                    key,
                    priority,
                    ahead_of_want,
                    need_in,
                    duration,
                    expected_bytes,
                    holders,
                });
            }
        }
        self.queue_other_wants(position_ms, &mut queue);
        queue
    }

    /// An open request is served wherever it lies: beside the track that the player went over to, or far ahead.
    fn queue_other_wants(&self, position_ms: Option<i64>, queue: &mut Vec<Queued>) {
        for (_, want) in self.downloads.wants() {
            let key = want.key;
            if queue.iter().any(|queued| queued.key == key) {
                continue;
            }
            let Some(segment) = self.timeline.segment(key) else { continue };
            let playing = self.playing(position_ms, key.track);
            let need_in = position_ms.and_then(|at| self.player.need_in(at, segment.start_ms));
            queue.push(Queued {
                key,
                priority: playing.and_then(|playing| self.timeline.distance(playing, key)).unwrap_or(0),
                ahead_of_want: 0,
                need_in: need_in.unwrap_or(Span::ZERO),
                duration: Span::from_millis(u64::from(segment.duration_ms)),
                expected_bytes: self.expected_bytes(key),
                holders: self.swarm.holders(key).count(),
            });
        }
    }

    /// A guess of a segment's size: its byte range, else what others of the track had, else bitrate x duration.
    pub(super) fn expected_bytes(&self, key: SegmentKey) -> Option<u64> {
        let segment = self.timeline.segment(key)?;
        if let Some(range) = segment.byte_range {
            return Some(ByteRange::len(range));
        }
        match self.media_rates.get(&key.track).and_then(RateEstimate::bps) {
            Some(bps) => Some(bps.saturating_mul(segment.duration_ms.into()) / 8000),
            None => self.timeline.typical_bytes(key),
        }
    }

    pub(super) fn tell_interest(&mut self) {
        let position_ms = self.position_ms();
        for (head, _) in self.queue_heads() {
            if self.timeline.kind(head.track) != Some(TrackKind::Main) {
                continue;
            }
            let playing = self.playing(position_ms, head.track).unwrap_or(head);
            let wanted =
                if self.downloads.is_wanted(head) { head.sequence.saturating_add(1) } else { head.sequence };
            self.swarm.set_interest(
                self.now,
                Interest {
                    track: head.track,
                    playing_sequence: playing.sequence.min(head.sequence),
                    wanted_sequence: wanted,
                    serves: self.swarm.serves_at_a_time(),
                },
            );
        }
    }
}
