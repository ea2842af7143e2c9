//! One request of a peer, from its acceptance to its last byte.

use crate::config::LimitsConfig;
use crate::engine::Output;
use crate::id::{BlobId, LinkId, SegmentKey, TransferId};
use crate::time::{Span, Time};
use crate::wire::{DataHead, Frame, encode_data_head};

use super::api::{SegmentStore, SwarmOut};

/// Bytes of a segment that is still arriving are forwarded in pieces of at least this size: a browser's fetch hands
/// over small ones, and each message costs both sides.
const LEAST_PIECE: u32 = 16 * 1024;
/// What a segment of unknown length is taken for when its time is estimated, in bytes.
const ASSUMED_BYTES: u32 = 1024 * 1024;
/// The rate that a link is taken for before it is measured, in bytes a second.
const ASSUMED_RATE: u64 = 64 * 1024;
/// No upload is dropped for being slow before it took this long.
const SHORTEST_CAP: Span = Span::from_secs(5);
/// An upload whose next bytes are not there is dropped after this long.
const STARVED: Span = Span::from_secs(30);

/// One request of a peer that is not over.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) transfer: TransferId,
    pub(super) key: SegmentKey,
    blob: BlobId,
    /// Offset in the segment of the next byte to send.
    next: u32,
    /// One past the last byte; `None` while that is the end of a segment of unknown length.
    end: Option<u32>,
    /// Length of the whole segment, once known.
    total: Option<u32>,
    /// Length of the whole segment as the peer was told, 0 for unknown; `None` before the accept.
    told: Option<u32>,
    /// One past the last byte that is there without a gap.
    ready_to: u32,
    pub(super) sent: u64,
    /// When it must be through with what it has begun to send.
    cap: Option<Time>,
    /// Since when its next bytes are missing.
    starved: Option<Time>,
}

impl Upload {
    pub(super) fn new(transfer: TransferId, key: SegmentKey, blob: BlobId, at: u32, len: u32) -> Upload {
        Upload {
            transfer,
            key,
            blob,
            next: at,
            end: (len > 0).then(|| at.saturating_add(len)),
            total: None,
            told: None,
            ready_to: at,
            sent: 0,
            cap: None,
            starved: None,
        }
    }

    /// Looks what is there by now.
    pub(super) fn refresh(&mut self, now: Time, store: &dyn SegmentStore) {
        if self.total.is_none() {
            let total = store.segment(self.key).and_then(|stored| stored.total_bytes);
            self.total = total.and_then(|total| u32::try_from(total).ok());
            if let Some(total) = self.total {
                self.end = Some(self.end.map_or(total, |end| end.min(total)));
            }
        }
        let there = u32::try_from(store.contiguous_from(self.key, self.next.into())).unwrap_or(u32::MAX);
        self.ready_to = self.next.saturating_add(there);
        if self.is_ready() {
            self.starved = None;
        } else {
            self.starved.get_or_insert(now);
            self.cap = None;
        }
    }

    /// Bytes that are still to be sent; a guess while the segment's length is not known.
    pub(super) fn left_bytes(&self, store: &dyn SegmentStore) -> u64 {
        let total = store.segment(self.key).and_then(|stored| stored.total_bytes);
        let end = self.end.map(u64::from).into_iter().chain(total).min();
        let next = u64::from(self.next);
        end.map_or(ASSUMED_BYTES.into(), |end| end.saturating_sub(next))
    }

    /// Whether there is something worth sending.
    pub(super) fn is_ready(&self) -> bool {
        match self.end {
            Some(end) if self.ready_to >= end => true,
            _ => self.ready_to.saturating_sub(self.next) >= LEAST_PIECE,
        }
    }

    /// Whether it was asked for from beyond the segment's end, or the segment turned out to be empty.
    pub(super) fn is_outside(&self) -> bool {
        self.total.is_some_and(|total| total == 0 || self.next > total)
    }

    pub(super) fn is_starved(&self) -> bool {
        self.starved.is_some()
    }

    /// Whether the last byte was sent.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Sends one message of at most `payload` bytes, after the accept if the peer was not told yet. Gives its bytes of the segment.
    pub(super) fn send(&mut self, link: LinkId, payload: u32, out: &mut SwarmOut<'_>) -> u32 {
        let total = self.total.unwrap_or(0);
        if self.told.is_none_or(|told| told != total) {
            self.told = Some(total);
            out.frame(link, &Frame::Accept { transfer: self.transfer, total_bytes: total });
        }
        let end = self.ready_to.min(self.end.unwrap_or(u32::MAX));
        let len = end.saturating_sub(self.next).min(payload);
        if len > 0 {
            let head = DataHead { transfer: self.transfer, at: self.next };
            out.outputs.push_back(Output::SendData {
                link,
                head: encode_data_head(head).to_vec(),
                blob: self.blob,
                at: self.next.into(),
                len,
            });
            self.next += len;
            self.sent += u64::from(len);
        }
        len
    }

    /// Sending begins, or goes on after it starved: from now on it has a factor of the expected time.
    pub(super) fn begin(&mut self, now: Time, rate: Option<u64>, limits: &LimitsConfig) {
        if self.cap.is_none() {
            let left = self.end.map_or(ASSUMED_BYTES, |end| end.saturating_sub(self.next));
            let rate = rate.unwrap_or(ASSUMED_RATE).max(1);
            let expected = Span::from_micros(u64::from(left) * 1_000_000 / rate);
            self.cap = Some(now + (expected * limits.upload_time_factor).max(SHORTEST_CAP));
        }
    }

    /// When it is given up if nothing changes.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.starved.map(|since| since + STARVED).or(self.cap)
    }
}
