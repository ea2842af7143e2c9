//! One segment on its way: where its bytes come from and which have arrived.

use crate::id::{BlobId, ByteRange, Digest, FetchId, LinkId, PeerId, SegmentKey, TransferId};
use crate::integrity::{BLOCK_BYTES, block_count};
use crate::time::{Span, Time};

use super::ranges::RangeSet;
use super::throughput::{RateEstimate, span_for};

/// What is known of a segment's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Nothing.
    Unknown,
    /// A peer's word: good enough to know when its transfer ends, evidence of nothing.
    Claimed(u64),
    /// From the playlist's byte range or an HTTP response.
    Known(u64),
}

impl Total {
    /// The length, whoever said it.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Total::Unknown => None,
            Total::Claimed(bytes) | Total::Known(bytes) => Some(bytes),
        }
    }
}

/// An HTTP download of (the rest of) a segment.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// Its id.
    pub fetch: FetchId,
    /// Offset in the segment of the first byte that was asked for.
    pub base: u64,
    /// Offset in the segment of the next byte to arrive.
    pub next: u64,
    /// What was asked for with `Range`; see [`Output::Fetch`](crate::engine::Output::Fetch).
    pub range: Option<ByteRange>,
    /// Where it ends in the segment, when it is for a part from the inside; `u64::MAX` for the segment's end.
    pub stop: u64,
    /// Bytes at the beginning of the body that are not wanted: the server ignored `Range`.
    pub leave_out: u64,
    /// Whether the response head has arrived.
    pub opened: bool,
    /// When it was started.
    pub started: Time,
    /// When the last byte (or the head) arrived.
    pub last_progress: Time,
}

/// A transfer from a peer.
#[derive(Clone, Debug)]
pub struct PeerSource {
    /// The link.
    pub link: LinkId,
    /// The transfer on it.
    pub transfer: TransferId,
    /// First byte asked for.
    pub at: u64,
    /// One past the last byte asked for; the segment may end before.
    pub end: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes of its largest message so far: what is left of its part comes in whole messages.
    pub message_bytes: u64,
    /// Whether its peer vouches for what it sends: not while it is itself getting the segment from others.
    pub liable: bool,
    /// When it was started.
    pub started: Time,
    /// When the first byte arrived.
    pub first_byte: Option<Time>,
    /// When the last byte arrived, or the start.
    pub last_progress: Time,
}

impl PeerSource {
    /// Offset in the segment of the next byte to arrive.
    pub fn next(&self) -> u64 {
        self.at + self.received
    }

    /// The rate of this transfer in bits per second, once it can be told.
    pub fn bps(&self, now: Time) -> Option<u64> {
        let span = now.since(self.first_byte?);
        let mut rate = RateEstimate::default();
        // The first chunk marks the start of the measurement, so it takes a little more than one.
        (span >= Span::from_millis(20)).then(|| rate.record(self.received, span))?;
        rate.bps()
    }
}

/// Bytes that a peer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Who brought them.
    pub peer: PeerId,
    /// See [`PeerSource::liable`].
    pub liable: bool,
}

/// How far a block of a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Bytes are missing.
    Open,
    /// The shell is asked for its digest.
    Asked,
    /// It is there and has this digest; where the right one is known, this is it.
    Known(Digest),
}

/// How far a segment is whose bytes are all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// They are not all there.
    #[default]
    Arriving,
    /// The digests of some blocks are awaited.
    Digesting,
    /// What peers say of it is awaited, until then.
    Listening(Time),
    /// A part of it is fetched from the origin, to be compared.
    Checking,
    /// The page's validator is asked.
    Validating,
}

/// What peers brought of a segment and is doubted. The origin's bytes will tell who was wrong.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The digests of its blocks.
    pub blocks: Vec<Digest>,
    /// Its length.
    pub total_bytes: u64,
    /// Who brought what.
    pub parts: Vec<Part>,
}

/// One segment on its way.
#[derive(Clone, Debug)]
pub struct Download {
    /// Which segment.
    pub key: SegmentKey,
    /// Where its bytes are kept.
    pub blob: BlobId,
    /// Which bytes have arrived.
    pub received: RangeSet,
    /// Its length.
    pub total: Total,
    /// The HTTP download, if one runs.
    pub http: Option<HttpSource>,
    /// The transfers from peers.
    pub peers: Vec<PeerSource>,
    /// When its first source was asked.
    pub started: Time,
    /// When its first byte arrived.
    pub first_byte: Option<Time>,
    /// Bytes kept that came over HTTP.
    pub http_bytes: u64,
    /// Bytes kept that came from peers.
    pub p2p_bytes: u64,
    /// Who brought which bytes, to know whom to ban when they prove wrong. HTTP brought the rest.
    pub parts: Vec<Part>,
    /// Whether all bytes are there and it is being found out whether they are right.
    pub verifying: bool,
    /// How far that is.
    pub stage: Stage,
    /// How far each block is; as long as is known to be needed.
    pub blocks: Vec<Block>,
    /// Whether all bytes came in one HTTP response that said how many they would be.
    pub one_response: bool,
    /// How often the origin's own bytes were not the signed ones.
    pub origin_faults: u8,
    /// What peers brought before, if that is doubted.
    pub suspect: Option<Box<Suspect>>,
}

impl Download {
    /// A download without a source yet.
    pub fn new(now: Time, key: SegmentKey, blob: BlobId, known_bytes: Option<u64>) -> Download {
        Download {
            key,
            blob,
            received: RangeSet::default(),
            total: known_bytes.map_or(Total::Unknown, Total::Known),
            http: None,
            peers: Vec::new(),
            started: now,
            first_byte: None,
            http_bytes: 0,
            p2p_bytes: 0,
            parts: Vec::new(),
            verifying: false,
            stage: Stage::Arriving,
            blocks: Vec::new(),
            one_response: false,
            origin_faults: 0,
            suspect: None,
        }
    }

    /// Whether nothing brings bytes any more.
    pub fn is_orphaned(&self) -> bool {
        self.http.is_none() && self.peers.is_empty() && !self.verifying
    }

    /// Whether every byte is there, by the length that is known.
    pub fn is_whole(&self) -> bool {
        self.total.bytes().is_some_and(|total| self.received.contiguous_end(0) >= total)
    }

    /// Bytes still missing, if the length is known.
    pub fn missing_bytes(&self) -> Option<u64> {
        Some(self.total.bytes()?.saturating_sub(self.received.len()))
    }

    /// The first run of bytes before `end` that have neither arrived nor been asked of a peer.
    pub fn unasked(&self, end: u64) -> Option<(u64, u64)> {
        let mut from = 0;
        while let Some((start, gap_end)) = self.received.first_gap(from, end) {
            let mut at = start;
            while at < gap_end {
                let covering = self.peers.iter().find(|source| source.next() <= at && at < source.end);
                let Some(source) = covering else {
                    let next = self.peers.iter().map(PeerSource::next).filter(|next| *next > at).min();
                    return Some((at, next.map_or(gap_end, |next| next.min(gap_end))));
                };
                at = source.end;
            }
            from = gap_end;
        }
        None
    }

    /// How long until the last byte if the sources go on as they do: as long as the slowest needs for its part, and as
    /// it has been silent. `None` when a source is not measured, or some bytes are not asked of anybody.
    pub fn time_left(&self, now: Time, expected_bytes: Option<u64>) -> Option<Span> {
        let end = self.total.bytes().or(expected_bytes)?;
        if self.unasked(end).is_some() {
            return None;
        }
        let mut longest = Span::ZERO;
        for source in &self.peers {
            let left = source.end.min(end).saturating_sub(source.next());
            if left == 0 {
                continue;
            }
            // What was silent so long may be so once more.
            let silent_for = now.since(source.last_progress);
            longest = longest.max(silent_for).max(span_for(left.max(source.message_bytes), source.bps(now)?));
        }
        Some(longest)
    }

    /// Notes `len` bytes at `at` and returns the part that is new, as `(offset, length)`; bytes are kept only where
    /// they continue or fill a gap from their beginning on.
    pub fn accept(&mut self, now: Time, at: u64, len: u64) -> Option<(u64, u64)> {
        let limit = self.total.bytes().map_or(at + len, |total| total.min(at + len));
        let (start, end) = self.received.first_gap(at, limit)?;
        self.received.insert(start, end);
        self.first_byte.get_or_insert(now);
        Some((start, end - start))
    }

    /// Forgets all bytes: they go to another blob from now on. Sources are the caller's to stop.
    pub fn restart(&mut self, blob: BlobId, known_bytes: Option<u64>) {
        self.blob = blob;
        self.received = RangeSet::default();
        self.total = known_bytes.map_or(Total::Unknown, Total::Known);
        self.first_byte = None;
        self.http_bytes = 0;
        self.p2p_bytes = 0;
        self.parts.clear();
        self.verifying = false;
        self.stage = Stage::Arriving;
        self.blocks.clear();
        self.one_response = false;
    }

    /// Notes who brought `start..end`.
    pub fn brought(&mut self, start: u64, end: u64, peer: PeerId, liable: bool) {
        match self.parts.iter_mut().find(|part| part.end == start && part.peer == peer) {
            Some(part) if part.liable == liable => part.end = end,
            _ => self.parts.push(Part { start, end, peer, liable }),
        }
    }

    /// Everybody who brought anything, each once.
    pub fn suppliers(&self) -> Vec<PeerId> {
        let mut peers = Vec::new();
        for part in &self.parts {
            if !peers.contains(&part.peer) {
                peers.push(part.peer);
            }
        }
        peers
    }

    /// Offset and end of a block.
    pub fn block_range(&self, index: usize) -> (u64, u64) {
        let start = index as u64 * BLOCK_BYTES;
        (start, self.total.bytes().unwrap_or(u64::MAX).min(start + BLOCK_BYTES))
    }

    /// The blocks touching `start..end` that have become complete, as indices. They count as asked for from now on.
    pub fn take_complete_blocks(&mut self, start: u64, end: u64) -> Vec<usize> {
        let end = self.total.bytes().unwrap_or(self.received.end()).min(end);
        let (first, past) = (start / BLOCK_BYTES, block_count(end));
        let mut complete = Vec::new();
        for index in first..past {
            let index = index as usize;
            if self.blocks.len() <= index {
                self.blocks.resize(index + 1, Block::Open);
            }
            let (from, to) = self.block_range(index);
            if self.blocks.get(index) == Some(&Block::Open) && self.received.contiguous_end(from) >= to {
                self.blocks[index] = Block::Asked;
                complete.push(index);
            }
        }
        complete
    }

    /// The digests of all blocks, once they are known.
    pub fn digests(&self) -> Option<Vec<Digest>> {
        let count = block_count(self.total.bytes()?) as usize;
        let known = |index| match self.blocks.get(index) {
            Some(Block::Known(digest)) => Some(*digest),
            _ => None,
        };
        (0..count).map(known).collect()
    }

    /// The end of the run of known blocks that `at` lies in; `at` itself if its block is not known.
    pub fn known_end(&self, at: u64) -> u64 {
        let mut end = at;
        while let Some(Block::Known(_)) = self.blocks.get((end / BLOCK_BYTES) as usize) {
            let (_, past) = self.block_range((end / BLOCK_BYTES) as usize);
            if past <= end {
                break;
            }
            end = past;
        }
        end
    }

    /// Forgets `start..end`: other bytes must be got for them.
    pub fn forget(&mut self, start: u64, end: u64) {
        let before = self.received.len();
        self.received.remove(start, end);
        let mut gone = before - self.received.len();
        let mut kept = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (from, to) = (part.start.max(start), part.end.min(end));
            let overlap = to.saturating_sub(from);
            let of_peer = overlap.min(gone);
            gone -= of_peer;
            self.p2p_bytes = self.p2p_bytes.saturating_sub(of_peer);
            kept.extend([
                Part { end: part.end.min(start), ..*part },
                Part { start: part.start.max(end), ..*part },
            ]);
        }
        kept.retain(|part| part.start < part.end);
        self.parts = kept;
        self.http_bytes = self.http_bytes.saturating_sub(gone);
        let touched = start / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        for index in touched {
            if let Some(block) = self.blocks.get_mut(index as usize) {
                *block = Block::Open;
            }
        }
        self.verifying = false;
        self.stage = Stage::Arriving;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TrackId;

    fn download(received: &[(u64, u64)], asked: &[(u64, u64, u64)]) -> Download {
        let key = SegmentKey { track: TrackId(1), discontinuity: 0, sequence: 1 };
        let mut download = Download::new(Time::ZERO, key, BlobId(1), Some(100));
        for &(start, end) in received {
            download.received.insert(start, end);
        }
        download.peers = asked
            .iter()
            .zip(1..)
            .map(|(&(at, received, end), number)| PeerSource {
                link: LinkId(number),
                transfer: TransferId(number),
                at,
                end,
                received,
                message_bytes: 0,
                liable: true,
                started: Time::ZERO,
                first_byte: None,
                last_progress: Time::ZERO,
            })
            .collect();
        download
    }

    #[test]
    fn what_nobody_brings_is_found() {
        assert_eq!(download(&[], &[]).unasked(100), Some((0, 100)));
        assert_eq!(download(&[(0, 30)], &[(0, 30, 60)]).unasked(100), Some((60, 100)));
        assert_eq!(download(&[(0, 30)], &[(0, 30, 60), (60, 0, 100)]).unasked(100), None);
        assert_eq!(download(&[(0, 30), (60, 70)], &[(60, 10, 100)]).unasked(100), Some((30, 60)));
        assert_eq!(download(&[(0, 30)], &[(50, 0, 100)]).unasked(100), Some((30, 50)));
        assert_eq!(download(&[(0, 100)], &[]).unasked(100), None);
    }

    #[test]
    fn blocks_are_told_once_when_they_are_complete() {
        let key = SegmentKey { track: TrackId(1), discontinuity: 0, sequence: 1 };
        let total = 2 * BLOCK_BYTES + 5;
        let mut download = Download::new(Time::ZERO, key, BlobId(1), Some(total));
        download.accept(Time::ZERO, 10, total);
        assert_eq!(download.take_complete_blocks(10, total), [1, 2]);
        download.accept(Time::ZERO, 0, 10);
        assert_eq!(download.take_complete_blocks(0, 10), [0]);
        assert_eq!(download.take_complete_blocks(0, total), [0; 0]);
        assert_eq!(download.digests(), None);
        download.blocks.fill(Block::Known(Digest([7; 16])));
        assert_eq!(download.digests(), Some(vec![Digest([7; 16]); 3]));
        assert_eq!(download.known_end(0), total);
        assert_eq!(download.known_end(BLOCK_BYTES + 7), total);
    }

    #[test]
    fn forgotten_bytes_are_nobodys() {
        let mut download = download(&[], &[]);
        let (one, two) = (PeerId::from_latin1(&"1".repeat(20)), PeerId::from_latin1(&"2".repeat(20)));
        let (one, two) = (one.expect("an id"), two.expect("an id"));
        download.accept(Time::ZERO, 0, 100);
        download.brought(0, 40, one, true);
        download.brought(40, 60, one, true);
        download.brought(60, 80, two, false);
        (download.p2p_bytes, download.http_bytes) = (80, 20);
        download.forget(50, 90);
        assert_eq!(download.received.len(), 60);
        assert_eq!((download.p2p_bytes, download.http_bytes), (50, 10));
        assert_eq!(download.parts, [Part { start: 0, end: 50, peer: one, liable: true }]);
        assert_eq!(download.suppliers(), [one]);
    }

    #[test]
    fn only_new_bytes_are_accepted() {
        let mut download = download(&[(10, 20)], &[]);
        assert_eq!(download.accept(Time::ZERO, 0, 15), Some((0, 10)));
        assert_eq!(download.accept(Time::ZERO, 5, 10), None);
        assert_eq!(download.accept(Time::ZERO, 15, 10), Some((20, 5)));
        assert_eq!(download.accept(Time::ZERO, 90, 30), Some((90, 10)), "nothing beyond the end");
        assert!(!download.is_whole());
    }
}
