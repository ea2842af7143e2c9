//! One track's segments.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::TrackKind;
use crate::id::{ByteRange, SegmentKey, TrackId};

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub key: SegmentKey,
    /// Start on the player's timeline, in milliseconds, as of the last update.
    pub start_ms: i64,
    /// Duration in milliseconds.
    pub duration_ms: u32,
    /// Where to fetch it, as of the last update.
    pub url: Arc<str>,
    /// Which part of the resource it is; `None` for all of it.
    pub byte_range: Option<ByteRange>,
}

#[derive(Clone, Debug)]
pub(super) struct Track {
    pub id: TrackId,
    pub kind: TrackKind,
    pub live: bool,
    pub bitrate_bps: Option<u64>,
    /// In playlist order, which is that of rising media sequence numbers.
    pub segments: VecDeque<Segment>,
    /// How many of them, from the front, the playlist does not list any more.
    pub past: usize,
    /// When it was updated last, as a count of updates.
    pub updated: u64,
}

impl Track {
    pub fn new(id: TrackId, kind: TrackKind) -> Track {
        Track { id, kind, live: false, bitrate_bps: None, segments: VecDeque::new(), past: 0, updated: 0 }
    }

    /// The place of a key. Numbers are consecutive as a rule, so the first guess is right.
    pub fn index(&self, key: SegmentKey) -> Option<usize> {
        let first = self.segments.front()?.key.sequence;
        let guess = usize::try_from(key.sequence.checked_sub(first)?).unwrap_or(usize::MAX);
        let found =
            |index: usize| self.segments.get(index).filter(|segment| segment.key == key).map(|_| index);
        found(guess).or_else(|| {
            let index = self.segments.partition_point(|segment| segment.key.sequence < key.sequence);
            found(index)
        })
    }

    /// Bitrate times duration.
    pub fn typical_bytes(&self, segment: &Segment) -> Option<u64> {
        Some(self.bitrate_bps?.saturating_mul(u64::from(segment.duration_ms)) / 8000)
    }
}
