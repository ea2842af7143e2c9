//! What is asked of one peer, and what comes of it.

use crate::config::LimitsConfig;
use crate::id::{SegmentKey, TransferId};
use crate::time::{Span, Time};
use crate::wire::DataHead;

use super::api::{Close, DataArrival, TransferView};
use super::rate::RateMeter;

/// Windows in a row below the least rate after which a download fails. One alone may be a lost packet or a pause of
/// the peer's own source.
const SLOW_WINDOWS: u32 = 3;
/// A request that is neither accepted nor refused fails when nothing came on the link for this long.
const ACCEPT_TIMEOUT: Span = Span::from_secs(10);
/// Until a peer tells how long a segment is, a request to its end counts as this many bytes.
const UNKNOWN_BYTES: u64 = 1024 * 1024;
/// Ended downloads whose late bytes are still recognised.
const MAX_ENDED: usize = 64;

/// One download that is not over.
#[derive(Clone, Debug)]
struct Download {
    transfer: TransferId,
    key: SegmentKey,
    requested: Time,
    accepted: Option<Time>,
    /// Offset in the segment of the next byte.
    next: u32,
    received: u32,
    /// One past the last byte; `None` while that is the end of a segment of unknown length.
    end: Option<u32>,
    /// Length of the whole segment by the peer's account.
    total: Option<u32>,
}

impl Download {
    fn remaining(&self) -> Option<u32> {
        self.end.map(|end| end.saturating_sub(self.next))
    }

    fn counted_bytes(&self) -> u64 {
        self.remaining().map_or(UNKNOWN_BYTES, u64::from)
    }
}

/// A download that was given up: the peer may have sent this much before it knew.
#[derive(Clone, Copy, Debug)]
struct Ended {
    transfer: TransferId,
    bytes: u64,
}

/// What a data frame means.
pub(super) struct Arrival {
    pub(super) arrival: DataArrival,
    /// The download that is complete with it.
    pub(super) done: Option<TransferId>,
    /// Bytes that count for the segment.
    pub(super) bytes: u32,
}

/// All downloads from one peer.
#[derive(Clone, Debug)]
pub(super) struct Downloads {
    /// In the order of their requests.
    open: Vec<Download>,
    ended: Vec<Ended>,
    next_transfer: TransferId,
    unrequested: u64,
    /// When something came that a request had asked for.
    progress: Time,
    window: Option<Window>,
    slow_windows: u32,
    pub(super) meter: RateMeter,
}

/// The running window of the least rate.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Time,
    bytes: u64,
}

impl Downloads {
    pub(super) fn new(first: TransferId) -> Downloads {
        Downloads {
            open: Vec::new(),
            ended: Vec::new(),
            next_transfer: first,
            unrequested: 0,
            progress: Time::ZERO,
            window: None,
            slow_windows: 0,
            meter: RateMeter::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow_windows > 0
    }

    /// Bytes asked for that have not arrived.
    pub(super) fn outstanding_bytes(&self) -> u64 {
        self.open.iter().map(Download::counted_bytes).sum()
    }

    /// How many bytes a request counts as.
    pub(super) fn request_bytes(len: u32) -> u64 {
        if len == 0 { UNKNOWN_BYTES } else { len.into() }
    }

    pub(super) fn open(&mut self, now: Time, key: SegmentKey, at: u32, len: u32) -> TransferId {
        let transfer = self.next_transfer;
        self.next_transfer = TransferId(transfer.0.wrapping_add(1));
        let end = (len > 0).then(|| at.saturating_add(len));
        let download = Download {
            transfer,
            key,
            requested: now,
            accepted: None,
            next: at,
            received: 0,
            end,
            total: None,
        };
        self.open.push(download);
        transfer
    }

    pub(super) fn view(&self, transfer: TransferId) -> Option<TransferView> {
        let download = self.open.iter().find(|download| download.transfer == transfer)?;
        Some(TransferView {
            key: download.key,
            requested: download.requested,
            accepted: download.accepted,
            next: download.next,
            received: download.received,
            remaining: download.remaining(),
        })
    }

    /// Every download that is not over.
    pub(super) fn transfers(&self) -> impl Iterator<Item = TransferId> + '_ {
        self.open.iter().map(|download| download.transfer)
    }

    fn place(&self, transfer: TransferId) -> Option<usize> {
        self.open.iter().position(|download| download.transfer == transfer)
    }

    /// Gives a download up; its late bytes are thrown away. Tells whether it was open.
    pub(super) fn give_up(&mut self, now: Time, transfer: TransferId, limits: &LimitsConfig) -> bool {
        let Some(download) = self.remove(now, transfer) else { return false };
        if self.ended.len() >= MAX_ENDED {
            self.ended.remove(0);
        }
        // All that was asked for may be on its way already: the cancel waits behind our own data.
        let bytes = download.remaining().map_or(limits.max_segment_bytes, u64::from);
        self.ended.push(Ended { transfer, bytes });
        true
    }

    /// The peer refused: no byte may follow. Gives the segment and whether it had been accepted.
    pub(super) fn refused(&mut self, now: Time, transfer: TransferId) -> Option<(SegmentKey, bool)> {
        self.ended.retain(|ended| ended.transfer != transfer);
        self.remove(now, transfer).map(|download| (download.key, download.accepted.is_some()))
    }

    fn remove(&mut self, now: Time, transfer: TransferId) -> Option<Download> {
        let place = self.place(transfer)?;
        let download = self.open.remove(place);
        if self.open.iter().all(|download| download.accepted.is_none()) {
            self.meter.stop(now);
            self.window = None;
            self.slow_windows = 0;
        }
        Some(download)
    }

    /// The peer accepted. Gives the segment's length by its account, or nothing if the download is not open.
    pub(super) fn accepted(
        &mut self,
        now: Time,
        transfer: TransferId,
        total_bytes: u32,
        limits: &LimitsConfig,
    ) -> Result<Option<Option<u32>>, Close> {
        let Some(place) = self.place(transfer) else { return Ok(None) };
        self.progress = now;
        let Some(download) = self.open.get_mut(place) else { return Ok(None) };
        if u64::from(total_bytes) > limits.max_segment_bytes {
            return Err(Close::violation(format!(
                "accept: a segment of {total_bytes} bytes where {} are allowed",
                limits.max_segment_bytes
            )));
        }
        if let Some(known) = download.total.filter(|known| *known != total_bytes) {
            return Err(Close::violation(format!(
                "accept: the segment had {known} bytes before and {total_bytes} now"
            )));
        }
        if total_bytes > 0 {
            if total_bytes < download.next {
                return Err(Close::violation(format!(
                    "accept: the segment ends at {total_bytes}, and the transfer is at {}",
                    download.next
                )));
            }
            download.total = Some(total_bytes);
            download.end = Some(download.end.map_or(total_bytes, |end| end.min(total_bytes)));
        }
        if download.accepted.is_none() {
            download.accepted = Some(now);
            self.meter.start(now);
            self.window.get_or_insert(Window { since: now, bytes: 0 });
        }
        let total = download.total;
        Ok(Some(total))
    }

    /// Ends a download all of whose bytes are there.
    pub(super) fn take_done(&mut self, now: Time, transfer: TransferId) -> bool {
        let place = self.place(transfer);
        let done =
            place.and_then(|place| self.open.get(place)).is_some_and(|open| open.remaining() == Some(0));
        done && self.remove(now, transfer).is_some()
    }

    /// Checks a data frame against the download that it names.
    pub(super) fn data(
        &mut self,
        now: Time,
        head: DataHead,
        skip: u32,
        len: u32,
        limits: &LimitsConfig,
    ) -> Result<Arrival, Close> {
        let DataHead { transfer, at } = head;
        let ignored = Arrival { arrival: DataArrival::Ignored, done: None, bytes: 0 };
        let Some(place) = self.place(transfer) else {
            self.stray(transfer, len, limits)?;
            return Ok(ignored);
        };
        let Some(download) = self.open.get_mut(place) else { return Ok(ignored) };
        if download.accepted.is_none() {
            return Err(Close::violation(format!("data for transfer {} before its accept", transfer.0)));
        }
        if at != download.next {
            let next = download.next;
            return Err(Close::violation(format!(
                "data for transfer {} at {at} where {next} was next",
                transfer.0
            )));
        }
        let hard_end = u32::try_from(limits.max_segment_bytes).unwrap_or(u32::MAX);
        let room = download.end.unwrap_or(hard_end).saturating_sub(at);
        let kept = len.min(room);
        download.next = at.saturating_add(kept);
        download.received = download.received.saturating_add(kept);
        self.progress = now;
        self.meter.add(now, kept.into());
        if let Some(window) = &mut self.window {
            window.bytes += u64::from(kept);
        }
        let done = self.take_done(now, transfer).then_some(transfer);
        if len > kept {
            self.unrequested(len - kept, limits)?;
        }
        let arrival = if kept == 0 {
            DataArrival::Ignored
        } else {
            DataArrival::Arrived { transfer, at, len: kept, skip }
        };
        Ok(Arrival { arrival, done, bytes: kept })
    }

    /// Bytes of no open download: late ones of one that was given up, or not asked for at all.
    fn stray(&mut self, transfer: TransferId, len: u32, limits: &LimitsConfig) -> Result<(), Close> {
        let ended = self.ended.iter_mut().find(|ended| ended.transfer == transfer);
        let covered = ended.map_or(0, |ended| {
            let covered = ended.bytes.min(len.into());
            ended.bytes -= covered;
            covered as u32
        });
        self.unrequested(len - covered, limits)
    }

    fn unrequested(&mut self, len: u32, limits: &LimitsConfig) -> Result<(), Close> {
        self.unrequested += u64::from(len);
        if self.unrequested > limits.unrequested_bytes {
            return Err(Close::violation(format!(
                "sent {} bytes that were not asked for, {} are tolerated",
                self.unrequested, limits.unrequested_bytes
            )));
        }
        Ok(())
    }

    /// Downloads that took too long, in the order of their requests.
    pub(super) fn overdue(&mut self, now: Time, longest: Span, limits: &LimitsConfig) -> Vec<TransferId> {
        let too_slow = self.close_window(now, limits);
        let progress = self.progress;
        let overdue = |download: &&Download| match download.accepted {
            Some(_) if too_slow => true,
            None if now >= download.requested.max(progress) + ACCEPT_TIMEOUT => true,
            _ => now.since(download.requested) >= longest,
        };
        self.open.iter().filter(overdue).map(|download| download.transfer).collect()
    }

    /// Ends the window of the least rate when it is due. Tells whether so many were slow that downloads fail.
    fn close_window(&mut self, now: Time, limits: &LimitsConfig) -> bool {
        let Some(window) = self.window else { return false };
        let length = Span::from_millis(limits.min_receive_window_ms);
        if now.since(window.since) < length {
            return false;
        }
        let least = limits.min_receive_bytes_per_second.saturating_mul(limits.min_receive_window_ms) / 1000;
        self.window = Some(Window { since: now, bytes: 0 });
        self.slow_windows = if window.bytes < least { self.slow_windows + 1 } else { 0 };
        self.slow_windows >= SLOW_WINDOWS
    }

    /// When [`Downloads::overdue`] may have something to say.
    pub(super) fn next_deadline(&self, longest: Span, limits: &LimitsConfig) -> Option<Time> {
        let of = |download: &Download| match download.accepted {
            None => {
                let accept = download.requested.max(self.progress) + ACCEPT_TIMEOUT;
                accept.min(download.requested + longest)
            }
            Some(_) => download.requested + longest,
        };
        let window = self.window.map(|window| window.since + Span::from_millis(limits.min_receive_window_ms));
        self.open.iter().map(of).chain(window).min()
    }
}
