//! The index of kept segments and its budget. The bytes are the shell's; this says which blob holds which segment and
//! which must go.
//!
//! Four things make a segment go: nobody used it for `loader.cachedSegmentExpiration`; there are more than
//! `loader.cachedSegmentsCount`; they have more than `loader.cacheBytes`; another blob takes its place. Count and bytes
//! take the least recently used first and spare *locked* segments, those in the player's current queue. The count may
//! therefore be passed by locked segments, the bytes never.

use crate::sorted::{SortedMap, SortedSet};
use std::ops::Bound;

use crate::config::LoaderConfig;
use crate::id::{BlobId, SegmentKey, TrackId};
use crate::time::{Span, Time};

/// One kept segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Where its bytes are.
    pub blob: BlobId,
    /// How many they are.
    pub len: u64,
    /// When it was stored, played or shared last.
    pub last_use: Time,
}

/// A segment that went. Its blob is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Which segment.
    pub key: SegmentKey,
    /// Where its bytes are.
    pub blob: BlobId,
    /// Why.
    pub why: EvictCause,
}

/// Why a segment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictCause {
    /// Not used for `loader.cachedSegmentExpiration`.
    Expired,
    /// More than `loader.cachedSegmentsCount`.
    Count,
    /// More than `loader.cacheBytes`.
    Bytes,
    /// Another blob of the same segment took its place: the segment is still there.
    Replaced,
}

/// Which segments are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    entries: SortedMap<SegmentKey, Cached>,
    /// The same, least recently used first.
    by_use: SortedSet<(Time, SegmentKey)>,
    bytes: u64,
    budget_bytes: u64,
    max_count: usize,
    expiration: Span,
}

impl Cache {
    /// An empty cache with the budget of these options.
    pub fn new(config: &LoaderConfig) -> Cache {
        Cache {
            entries: SortedMap::new(),
            by_use: SortedSet::new(),
            bytes: 0,
            budget_bytes: config.cache_bytes,
            max_count: config.cached_segments_count,
            expiration: Span::from_millis(config.cached_segment_expiration),
        }
    }

    /// Keeps a complete segment and gives what had to go for it, in the order in which it went.
    ///
    /// The new segment itself goes at once when locked segments leave no room for it: ask [`Cache::has_room`] before
    /// fetching what nobody has asked for.
    pub fn insert(
        &mut self,
        now: Time,
        key: SegmentKey,
        blob: BlobId,
        len: u64,
        locked: impl Fn(SegmentKey) -> bool,
    ) -> Vec<Evicted> {
        let mut evicted = Vec::new();
        if let Some(former) = self.take(key)
            && former.blob != blob
        {
            evicted.push(Evicted { key, blob: former.blob, why: EvictCause::Replaced });
        }
        if self.bytes.saturating_add(len) > self.budget_bytes && !self.has_room(len, &locked) {
            evicted.push(Evicted { key, blob, why: EvictCause::Bytes });
            return evicted;
        }
        self.entries.insert(key, Cached { blob, len, last_use: now });
        self.by_use.insert((now, key));
        self.bytes = self.bytes.saturating_add(len);
        self.fit(&locked, &mut evicted);
        evicted
    }

    /// Whether a segment of `len` bytes would be kept, beside those that are locked.
    pub fn has_room(&self, len: u64, locked: impl Fn(SegmentKey) -> bool) -> bool {
        let spared = self.entries.iter().filter(|(key, _)| locked(**key));
        spared.map(|(_, entry)| entry.len).fold(len, u64::saturating_add) <= self.budget_bytes
    }

    /// The kept segment of a key. Does not count as use.
    pub fn get(&self, key: SegmentKey) -> Option<&Cached> {
        self.entries.get(&key)
    }

    /// Notes that a segment was played or shared.
    pub fn touch(&mut self, now: Time, key: SegmentKey) {
        if let Some(entry) = self.entries.get_mut(&key)
            && entry.last_use < now
        {
            self.by_use.remove(&(entry.last_use, key));
            self.by_use.insert((now, key));
            entry.last_use = now;
        }
    }

    /// Takes a segment out, e.g. because its key means other bytes now.
    pub fn remove(&mut self, key: SegmentKey) -> Option<BlobId> {
        self.take(key).map(|entry| entry.blob)
    }

    /// When the next segment expires.
    pub fn next_expiry(&self) -> Option<Time> {
        self.by_use.first().map(|(last_use, _)| *last_use + self.expiration)
    }

    /// Takes out what has expired, longest unused first.
    pub fn expire(&mut self, now: Time) -> Vec<Evicted> {
        let mut evicted = Vec::new();
        while let Some((last_use, key)) = self.by_use.first().copied()
            && last_use + self.expiration <= now
        {
            self.evict(key, EvictCause::Expired, &mut evicted);
        }
        evicted
    }

    /// Every kept segment, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (SegmentKey, &Cached)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    /// The kept segments of one track, in the order of keys.
    pub fn of_track(&self, track: TrackId) -> impl Iterator<Item = (SegmentKey, &Cached)> {
        let first = SegmentKey { track, discontinuity: 0, sequence: 0 };
        let last = SegmentKey { track, discontinuity: u32::MAX, sequence: u64::MAX };
        self.entries.range(first..=last).map(|(key, entry)| (*key, entry))
    }

    /// How many segments are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes may be kept.
    pub const fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    fn fit(&mut self, locked: &impl Fn(SegmentKey) -> bool, evicted: &mut Vec<Evicted>) {
        let mut from = Bound::Unbounded;
        loop {
            let why = if self.bytes > self.budget_bytes {
                EvictCause::Bytes
            } else if self.entries.len() > self.max_count {
                EvictCause::Count
            } else {
                return;
            };
            let oldest = self.by_use.range((from, Bound::Unbounded)).find(|(_, key)| !locked(*key)).copied();
            let Some(oldest) = oldest else { return };
            self.evict(oldest.1, why, evicted);
            from = Bound::Excluded(oldest);
        }
    }

    fn evict(&mut self, key: SegmentKey, why: EvictCause, evicted: &mut Vec<Evicted>) {
        if let Some(entry) = self.take(key) {
            evicted.push(Evicted { key, blob: entry.blob, why });
        }
    }

    fn take(&mut self, key: SegmentKey) -> Option<Cached> {
        let entry = self.entries.remove(&key)?;
        self.by_use.remove(&(entry.last_use, key));
        self.bytes = self.bytes.saturating_sub(entry.len);
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
