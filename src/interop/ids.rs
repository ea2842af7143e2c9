//! What stock viewers call the segments.

use crate::id::{SegmentKey, TrackId};
use crate::timeline::Timeline;

/// How the segments of one track are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// By media sequence number.
    Sequence,
    /// By place in the playlist.
    Index {
        /// Media sequence number of place 0.
        first: u64,
        /// Places in the playlist.
        count: u64,
    },
}

/// Segment keys to ids on the stock wire and back, for one track.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// Which segments there are.
    pub timeline: &'a Timeline,
    /// Of which track.
    pub track: TrackId,
    /// How they are counted.
    pub numbering: Numbering,
}

impl Ids<'_> {
    /// What stock viewers call a segment; `None` for one of another track or outside of the playlist.
    pub fn id(&self, key: SegmentKey) -> Option<u64> {
        if key.track != self.track {
            return None;
        }
        match self.numbering {
            Numbering::Sequence => Some(key.sequence),
            Numbering::Index { first, count } => {
                key.sequence.checked_sub(first).filter(|index| *index < count)
            }
        }
    }

    /// The segment that stock viewers call so, if it is known.
    pub fn key(&self, id: u64) -> Option<SegmentKey> {
        let sequence = match self.numbering {
            Numbering::Sequence => id,
            Numbering::Index { first, count } => first.checked_add(id).filter(|_| id < count)?,
        };
        self.timeline.by_sequence(self.track, sequence)
    }

    /// Whether a peer that names such a segment counts as we do. One that saw the stream live goes on with sequence
    /// numbers when it has become a recording, and what it calls 7 is not the eighth segment of the playlist.
    pub fn fits(&self, id: u64) -> bool {
        match self.numbering {
            Numbering::Sequence => true,
            Numbering::Index { count, .. } => id < count,
        }
    }
}
