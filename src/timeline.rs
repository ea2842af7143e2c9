//! Which segments exist: tracks, the live window, stable keys.
//!
//! A [`Timeline`] takes each playlist as the player loaded it and keeps one ordered list of segments per track. A key
//! means the same segment over all refreshes: start times and URLs may drift or rotate and are updated in place. Only
//! when a live playlist jumps back, so that its numbers begin to mean other segments, is a track cleared.
//!
//! Segments that slid out of a live window are remembered for about one window's length: players and peers that are
//! a refresh behind still name them.
//!
//! Queries allocate nothing.

mod merge;
mod name;
mod track;

pub use merge::MAX_SEQUENCE;
pub use name::{NamedPlaylist, track_name, track_names};
pub use track::Segment;

use crate::sorted::SortedMap;

use crate::config::LimitsConfig;
use crate::engine::{TimelineUpdate, TrackKind};
use crate::id::{SegmentKey, TrackId};

use track::Track;

/// Least bytes that [`Timeline::expected_bytes`] grants where the length is unknown: a very short segment is mostly
/// container overhead.
const LEAST_CLAIM_BYTES: u64 = 64 * 1024;

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineChange {
    /// Segments that are not known any more, or whose key now means other bytes. Handle these before `added`: a key may
    /// be in both.
    pub removed: Vec<SegmentKey>,
    /// Segments that are new.
    pub added: Vec<SegmentKey>,
    /// Segments whose key now means other bytes, because their byte range changed: what is kept of them is void. They
    /// are in both lists above. A reset voids the whole track and does not list them.
    pub replaced: Vec<SegmentKey>,
    /// The track began anew: whatever is known or kept of its former segments is void.
    pub reset: bool,
    /// The track was live and has ended.
    pub ended: bool,
    /// Entries of the update that were left out: more than the limit, or numbered out of order.
    pub refused: usize,
}

/// Every segment that the player's playlists list.
#[derive(Clone, Debug)]
pub struct Timeline {
    tracks: SortedMap<TrackId, Track>,
    updates: u64,
    max_tracks: usize,
    max_track_segments: usize,
    max_segment_bytes: u64,
    claim_factor: u64,
}

impl Timeline {
    /// An empty timeline under these limits.
    pub fn new(limits: &LimitsConfig) -> Timeline {
        Timeline {
            tracks: SortedMap::new(),
            updates: 0,
            max_tracks: limits.max_tracks,
            max_track_segments: limits.max_track_segments,
            max_segment_bytes: limits.max_segment_bytes,
            claim_factor: u64::from(limits.claim_factor),
        }
    }

    /// Takes a playlist as it stands now.
    ///
    /// When there are more tracks than the limit, the one that was updated longest ago is dropped.
    pub fn update(&mut self, update: TimelineUpdate) -> TimelineChange {
        let mut change = TimelineChange::default();
        let TimelineUpdate { track: id, kind, live, bitrate_bps, mut segments } = update;
        change.refused = merge::keep_fitting(&mut segments, live, self.max_track_segments);
        self.updates += 1;
        let track = self.tracks.entry(id).or_insert_with(|| Track::new(id, kind));
        track.updated = self.updates;
        track.kind = kind;
        track.bitrate_bps = bitrate_bps;
        merge::merge(track, live, segments, &mut change);
        if self.tracks.len() > self.max_tracks {
            let oldest = self.tracks.iter().min_by_key(|(_, track)| track.updated).map(|(id, _)| *id);
            if let Some(dropped) = oldest.and_then(|id| self.tracks.remove(&id)) {
                change.removed.extend(dropped.segments.iter().map(|segment| segment.key));
            }
        }
        change
    }

    /// The segment of a key.
    pub fn segment(&self, key: SegmentKey) -> Option<&Segment> {
        let (track, index) = self.locate(key)?;
        track.segments.get(index)
    }

    /// The segment of a track with this media sequence number.
    pub fn by_sequence(&self, track: TrackId, sequence: u64) -> Option<SegmentKey> {
        let segments = &self.tracks.get(&track)?.segments;
        let index = segments.binary_search_by_key(&sequence, |segment| segment.key.sequence).ok()?;
        segments.get(index).map(|segment| segment.key)
    }

    /// Whether the playlist, as it stood at the last update, lists the segment. A known segment that is not listed slid
    /// out of a live window.
    pub fn is_listed(&self, key: SegmentKey) -> bool {
        self.locate(key).is_some_and(|(track, index)| index >= track.past)
    }

    /// The segment that plays at a position: the last one that starts at or before it. Before the first segment that
    /// is the first, after the end it is the last. `None` when the track is unknown or empty.
    pub fn at_position(&self, track: TrackId, position_ms: i64) -> Option<SegmentKey> {
        let segments = &self.tracks.get(&track)?.segments;
        let after = segments.partition_point(|segment| segment.start_ms <= position_ms);
        segments.get(after.saturating_sub(1)).map(|segment| segment.key)
    }

    /// The segment after this one.
    pub fn next(&self, key: SegmentKey) -> Option<SegmentKey> {
        let (track, index) = self.locate(key)?;
        track.segments.get(index + 1).map(|segment| segment.key)
    }

    /// This segment and those after it, at most `count` in all. Empty when the key is unknown.
    pub fn forward(&self, key: SegmentKey, count: usize) -> impl Iterator<Item = &Segment> {
        self.locate(key).into_iter().flat_map(|(track, index)| track.segments.range(index..)).take(count)
    }

    /// How many segments after `from` the segment `to` comes, in playlist order and across discontinuities: 0 for the
    /// same one. `None` when it comes before, or either is unknown.
    pub fn distance(&self, from: SegmentKey, to: SegmentKey) -> Option<u32> {
        if from.track != to.track {
            return None;
        }
        let (track, from) = self.locate(from)?;
        let to = track.index(to)?;
        to.checked_sub(from).and_then(|distance| u32::try_from(distance).ok())
    }

    /// The most bytes that anybody's claim about a segment may say: the length of its byte range, which is exact; else
    /// `limits.claimFactor` times bitrate and duration; never more than `limits.maxSegmentBytes`. `None` when the key is
    /// unknown.
    pub fn expected_bytes(&self, key: SegmentKey) -> Option<u64> {
        let (track, index) = self.locate(key)?;
        let segment = track.segments.get(index)?;
        let bound = match (segment.byte_range, track.typical_bytes(segment)) {
            (Some(range), _) => range.len(),
            (None, Some(typical)) => typical.saturating_mul(self.claim_factor).max(LEAST_CLAIM_BYTES),
            (None, None) => u64::MAX,
        };
        Some(bound.min(self.max_segment_bytes))
    }

    /// The bytes that a segment probably has: the length of its byte range, else bitrate times duration. `None` when
    /// neither is known.
    pub fn typical_bytes(&self, key: SegmentKey) -> Option<u64> {
        let (track, index) = self.locate(key)?;
        let segment = track.segments.get(index)?;
        segment.byte_range.map(|range| range.len()).or_else(|| track.typical_bytes(segment))
    }

    /// Whether a track may still grow or move; `false` for an unknown one.
    pub fn live(&self, track: TrackId) -> bool {
        self.tracks.get(&track).is_some_and(|track| track.live)
    }

    /// What a track is played as.
    pub fn kind(&self, track: TrackId) -> Option<TrackKind> {
        self.tracks.get(&track).map(|track| track.kind)
    }

    /// Average bits per second of a track, if the manifest says.
    pub fn bitrate_bps(&self, track: TrackId) -> Option<u64> {
        self.tracks.get(&track)?.bitrate_bps
    }

    /// The first segment that the playlist lists.
    pub fn first(&self, track: TrackId) -> Option<&Segment> {
        let track = self.tracks.get(&track)?;
        track.segments.get(track.past)
    }

    /// The last segment that the playlist lists.
    pub fn last(&self, track: TrackId) -> Option<&Segment> {
        self.tracks.get(&track)?.segments.back()
    }

    /// The segments that the playlist lists, in order.
    pub fn listed(&self, track: TrackId) -> impl Iterator<Item = &Segment> {
        self.tracks.get(&track).into_iter().flat_map(|track| track.segments.range(track.past..))
    }

    /// Every track, in the order of their ids.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.tracks.keys().copied()
    }

    fn locate(&self, key: SegmentKey) -> Option<(&Track, usize)> {
        let track = self.tracks.get(&key.track)?;
        Some((track, track.index(key)?))
    }
}

#[cfg(test)]
mod tests;
