//! One segment on its way: where its bytes come from and which have arrived.

use std::time::Duration;

use crate::id::{BlobId, ByteRange, FetchId, LinkId, PeerId, SegmentKey, TransferId};
use crate::time::Time;

use super::policy::IDLE_LIMIT;
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
        (span >= Duration::from_millis(20)).then(|| rate.record(self.received, span))?;
        rate.bps()
    }
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
    /// Who sent any of the bytes, to know whom to ban when they prove wrong.
    pub suppliers: Vec<PeerId>,
    /// Whether all bytes are there and the page's validator is being asked.
    pub verifying: bool,
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
            suppliers: Vec::new(),
            verifying: false,
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

    /// How long until the last byte if the sources go on as they do: as long as the slowest needs for its part. `None`
    /// when a source is not measured or has been silent for [`IDLE_LIMIT`], or some bytes are not asked of anybody.
    pub fn time_left(&self, now: Time, expected_bytes: Option<u64>) -> Option<Duration> {
        let end = self.total.bytes().or(expected_bytes)?;
        if self.unasked(end).is_some() {
            return None;
        }
        let mut longest = Duration::ZERO;
        for source in &self.peers {
            let left = source.end.min(end).saturating_sub(source.next());
            if left == 0 {
                continue;
            }
            if now.since(source.last_progress) >= IDLE_LIMIT {
                return None;
            }
            longest = longest.max(span_for(left.max(source.message_bytes), source.bps(now)?));
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
        self.suppliers.clear();
        self.verifying = false;
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
    fn only_new_bytes_are_accepted() {
        let mut download = download(&[(10, 20)], &[]);
        assert_eq!(download.accept(Time::ZERO, 0, 15), Some((0, 10)));
        assert_eq!(download.accept(Time::ZERO, 5, 10), None);
        assert_eq!(download.accept(Time::ZERO, 15, 10), Some((20, 5)));
        assert_eq!(download.accept(Time::ZERO, 90, 30), Some((90, 10)), "nothing beyond the end");
        assert!(!download.is_whole());
    }
}
