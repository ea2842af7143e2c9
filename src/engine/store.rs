//! What peers may be served from: the cache, and segments that are still arriving.

use crate::sorted::SortedMap;

use crate::cache::Cache;
use crate::id::SegmentKey;
use crate::schedule::downloads::Downloads;
use crate::swarm::{SegmentStore, StoredSegment};
use crate::timeline::Timeline;
use crate::wire::Frame;

use super::finishing::Kept;
use super::guard::Guard;

/// A view of the engine's bytes for the upload side of the swarm.
pub(super) struct Store<'a> {
    pub(super) cache: &'a Cache,
    pub(super) downloads: &'a Downloads,
    pub(super) kept: &'a SortedMap<SegmentKey, Kept>,
    pub(super) timeline: &'a Timeline,
    /// Whether a segment may be forwarded before it is complete: not when a validator must see it first.
    pub(super) cut_through: bool,
    /// Whether only blocks that are known to be right are given away.
    pub(super) signed_only: bool,
    pub(super) guard: &'a Guard,
}

impl SegmentStore for Store<'_> {
    fn segment(&self, key: SegmentKey) -> Option<StoredSegment> {
        if let Some(entry) = self.cache.get(key) {
            let kept = self.kept.get(&key)?;
            return Some(StoredSegment {
                blob: entry.blob,
                resource_offset: kept.resource_offset,
                total_bytes: Some(entry.len),
                shareable: kept.provenance.verified,
            });
        }
        let download = self.downloads.get(key)?;
        let range = self.timeline.segment(key)?.byte_range;
        let known = !self.signed_only || self.guard.is_recorded(key, range);
        Some(StoredSegment {
            blob: download.blob,
            resource_offset: range.map_or(0, |range| range.start),
            total_bytes: download.total.bytes(),
            shareable: self.cut_through && known,
        })
    }

    fn evidence(&self, key: SegmentKey) -> Option<Frame> {
        let (entry, kept) = (self.cache.get(key)?, self.kept.get(&key)?);
        self.guard.evidence(key, entry.len, &kept.provenance)
    }

    fn contiguous_from(&self, key: SegmentKey, at: u64) -> u64 {
        match (self.cache.get(key), self.downloads.get(key)) {
            (Some(entry), _) => entry.len.saturating_sub(at),
            (None, Some(download)) if self.signed_only => download.known_end(at) - at,
            (None, Some(download)) => download.received.contiguous_end(at) - at,
            (None, None) => 0,
        }
    }
}
