//! Segment bytes on the JavaScript heap, as runs of chunks.

use js_sys::Uint8Array;

use crate::id::BlobId;
use crate::sorted::SortedMap;

/// All blobs of one engine.
#[derive(Default)]
pub struct Blobs(SortedMap<BlobId, Chunks>);

/// The chunks of one blob by offset. The engine never places overlapping bytes.
type Chunks = SortedMap<u64, Uint8Array>;

impl Blobs {
    /// Starts an empty blob.
    pub fn create(&mut self, blob: BlobId) {
        self.0.insert(blob, Chunks::default());
    }

    /// Forgets a blob.
    pub fn remove(&mut self, blob: BlobId) {
        self.0.remove(&blob);
    }

    /// Keeps `bytes` as the part of `blob` that begins at `at`. A view is kept, not a copy, unless most of the
    /// memory behind it would be kept for nothing.
    pub fn write(&mut self, blob: BlobId, at: u64, bytes: Uint8Array) {
        let Some(chunks) = self.0.get_mut(&blob) else { return };
        let wasteful = u64::from(bytes.length()) * 2 < u64::from(bytes.buffer().byte_length());
        let bytes = if wasteful { bytes.slice(0, bytes.length()) } else { bytes };
        chunks.insert(at, bytes);
    }

    /// Copies `blob[at..at + len]` to `target` at `offset`; false when not all of it is there.
    pub fn copy_to(&self, blob: BlobId, at: u64, len: u64, target: &Uint8Array, offset: u32) -> bool {
        let Some(chunks) = self.0.get(&blob) else { return false };
        let first = chunks.range(..=at).next_back().map_or(at, |(&start, _)| start);
        let end = at.saturating_add(len);
        let mut next = at;
        for (&start, chunk) in chunks.range(first..end) {
            let chunk_end = start + u64::from(chunk.length());
            if chunk_end <= next {
                continue;
            }
            if start > next {
                return false;
            }
            let stop = chunk_end.min(end);
            let part = match (u32::try_from(next - start), u32::try_from(stop - start)) {
                (Ok(0), Ok(stop)) if stop == chunk.length() => chunk.clone(),
                (Ok(from), Ok(stop)) => chunk.subarray(from, stop),
                _ => return false,
            };
            let Ok(place) = u32::try_from(next - at) else { return false };
            target.set(&part, offset + place);
            next = stop;
        }
        next >= end
    }

    /// Forgets `blob[at..at + len]`.
    pub fn clear_part(&mut self, blob: BlobId, at: u64, len: u64) {
        let Some(chunks) = self.0.get_mut(&blob) else { return };
        let end = at.saturating_add(len);
        let mut kept = Vec::new();
        chunks.retain(|&start, chunk| {
            let past = start + u64::from(chunk.length());
            let touched = start < end && at < past;
            if touched && start < at {
                kept.push((start, chunk.subarray(0, (at - start) as u32)));
            }
            if touched && end < past {
                kept.push((end, chunk.subarray((end - start) as u32, chunk.length())));
            }
            !touched
        });
        for (start, chunk) in kept {
            chunks.insert(start, chunk);
        }
    }

    /// A copy of `blob[at..at + len]`; `None` when not all of it is there.
    pub fn part(&self, blob: BlobId, at: u64, len: u32) -> Option<Uint8Array> {
        let copy = Uint8Array::new_with_length(len);
        self.copy_to(blob, at, len.into(), &copy, 0).then_some(copy)
    }

    /// A copy of the first `len` bytes of a blob; `None` when not all of them are there.
    pub fn assemble(&self, blob: BlobId, len: u64) -> Option<Uint8Array> {
        let copy = Uint8Array::new_with_length(u32::try_from(len).ok()?);
        self.copy_to(blob, 0, len, &copy, 0).then_some(copy)
    }

    /// Bytes held in a blob.
    pub fn len(&self, blob: BlobId) -> u64 {
        self.0.get(&blob).map_or(0, |chunks| chunks.values().map(|chunk| u64::from(chunk.length())).sum())
    }

    /// Forgets all blobs.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
