//! What one peer is being sent, and how full its send buffer is.

use crate::config::LimitsConfig;
use crate::id::{LinkId, SegmentKey, TransferId};
use crate::time::{Span, Time};
use crate::wire::{DATA_HEAD_LEN, Frame, RefuseReason};

use super::api::{SegmentStore, SwarmOut};
use super::rate::RateMeter;
use super::upload::Upload;

/// A send buffer holds about this much time of the link's rate: what lies in it delays everything behind it, our
/// own requests too.
const BUFFER_TIME_MS: u64 = 500;
/// What is sent at first on a link that is not measured, in bytes.
const FIRST_BYTES: u64 = 128 * 1024;
/// Between two pings that ask whether the buffer has drained.
const PROBE_INTERVAL: Span = Span::from_millis(150);

/// Bytes that needed so much longer than a round trip had to wait for the line.
const QUEUED: Span = Span::from_millis(20);

/// Why sending on a link stopped for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing is there to send.
    Idle,
    /// The send buffer is full.
    Full,
    /// The allowance is used.
    Spent,
    /// One upload is finished.
    Finished { key: SegmentKey, bytes: u64 },
}

/// What the budget lets one link send at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes; what goes beyond is less than one message.
    pub(super) allowance: u64,
    /// Bytes a second that the link gets at most, under a bound on the rate.
    pub(super) rate: Option<u64>,
}

/// How much lies in a link's send buffer, as far as can be known: bytes are added as they are sent, and set right
/// when the shell tells that the buffer drained, or a pong that all before its ping arrived. The shell alone is not
/// enough: a buffer that was never above the low-water mark does not fall below it.
#[derive(Clone, Debug, Default)]
struct Buffer {
    bytes: u64,
    /// Since when nothing may be sent, or may soon be.
    full_since: Option<Time>,
    /// Bytes sent since the ping that is on its way.
    since_probe: Option<u64>,
    probed_at: Option<Time>,
    /// Bytes before that ping, unless the shell told in between that they drained.
    before_probe: Option<u64>,
    /// When the first of the bytes was sent that are not known to have drained.
    first_sent: Time,
    /// Bytes among them of which it is not known when they were sent.
    old: u64,
}

/// What a link is known to have sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// So many bytes went out.
    pub(super) bytes: u64,
    /// The first of them was handed to the link then.
    pub(super) since: Time,
    /// Whether they had to wait for the line.
    pub(super) queued: bool,
}

/// All uploads to one peer.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    /// In the order of the requests.
    queue: Vec<Upload>,
    buffer: Buffer,
    /// Largest payload of one data message.
    payload_bytes: u32,
    /// Whether it holds one of the upload slots.
    pub(super) slot: bool,
    /// The number of the peer's last request.
    pub(super) last_request: Option<TransferId>,
    sent_bytes: u64,
    meter: RateMeter,
}

impl Outbox {
    pub(super) fn new(payload_bytes: u32) -> Outbox {
        Outbox {
            queue: Vec::new(),
            buffer: Buffer::default(),
            payload_bytes,
            slot: false,
            last_request: None,
            sent_bytes: 0,
            meter: RateMeter::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that are still to be sent.
    pub(super) fn left_bytes(&self, store: &dyn SegmentStore) -> u64 {
        self.queue.iter().map(|upload| upload.left_bytes(store)).sum()
    }

    pub(super) fn serves(&self, key: SegmentKey) -> bool {
        self.queue.iter().any(|upload| upload.key == key)
    }

    pub(super) fn push(&mut self, upload: Upload) {
        self.queue.push(upload);
    }

    /// Segment bytes sent so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    pub(super) fn remove(&mut self, transfer: TransferId) -> Option<Upload> {
        let place = self.queue.iter().position(|upload| upload.transfer == transfer)?;
        Some(self.queue.remove(place))
    }

    /// Whether a slot would be of use now.
    pub(super) fn wants_slot(&self, limits: &LimitsConfig) -> bool {
        !self.slot && self.is_eager(limits)
    }

    fn high_water(&self, limits: &LimitsConfig) -> u64 {
        let measured = self.meter.bytes_per_second().map(|rate| rate.saturating_mul(BUFFER_TIME_MS) / 1000);
        let wanted = measured.unwrap_or(FIRST_BYTES).max(self.payload_bytes.into());
        wanted.min(limits.send_buffer_high_bytes)
    }

    fn is_full(&self, limits: &LimitsConfig) -> bool {
        self.buffer.bytes >= self.high_water(limits)
    }

    /// Bytes of a segment came: looks at the uploads that wait for them. Tells whether one can go on.
    pub(super) fn grew(&mut self, now: Time, key: SegmentKey, store: &dyn SegmentStore) -> bool {
        let mut ready = false;
        for upload in self.queue.iter_mut().filter(|upload| upload.key == key && upload.is_starved()) {
            upload.refresh(now, store);
            ready |= upload.is_ready();
        }
        ready
    }

    /// Sends what is there, in the order of the requests, until one upload is finished or the send buffer is full.
    /// An upload that waits for its bytes does not hold up those behind it.
    pub(super) fn send(
        &mut self,
        now: Time,
        link: LinkId,
        store: &dyn SegmentStore,
        pace: Pace,
        limits: &LimitsConfig,
        out: &mut SwarmOut<'_>,
    ) -> Stop {
        let high = self.high_water(limits);
        // A peer that reads more slowly than anybody gains from must not hold its upload for as long as it likes.
        let measured =
            self.meter.bytes_per_second().map(|rate| rate.max(limits.min_receive_bytes_per_second));
        let rate = measured.into_iter().chain(pace.rate).min();
        let enough = self.sent_bytes.saturating_add(pace.allowance);
        let mut place = 0;
        while let Some(upload) = self.queue.get_mut(place) {
            if !upload.is_ready() {
                upload.refresh(now, store);
            }
            if !upload.is_ready() {
                place += 1;
                continue;
            }
            if upload.is_outside() {
                let refuse = Frame::Refuse { transfer: upload.transfer, reason: RefuseReason::Absent };
                out.frame(link, &refuse);
                self.queue.remove(place);
                continue;
            }
            if self.buffer.bytes >= high {
                self.buffer.full_since.get_or_insert(now);
                return Stop::Full;
            }
            if self.sent_bytes >= enough {
                return Stop::Spent;
            }
            upload.begin(now, rate, limits);
            let payload = u64::from(upload.send(link, self.payload_bytes, out));
            self.sent_bytes += payload;
            let bytes = payload + DATA_HEAD_LEN as u64;
            if self.buffer.bytes == 0 {
                self.buffer.first_sent = now;
            }
            self.buffer.bytes += bytes;
            if let Some(since_probe) = &mut self.buffer.since_probe {
                *since_probe += bytes;
            }
            if upload.is_done() {
                let (key, bytes) = (upload.key, upload.sent);
                self.queue.remove(place);
                // Or the next request would have to wait until it is known what has left.
                if self.buffer.bytes * 2 > high {
                    self.buffer.full_since.get_or_insert(now);
                }
                return Stop::Finished { key, bytes };
            }
        }
        Stop::Idle
    }

    /// Whether a ping should ask if the buffer drained; if so it must be sent.
    pub(super) fn probe(&mut self, now: Time) -> bool {
        let due = self.probe_at().is_some_and(|at| at <= now);
        if due {
            self.buffer.since_probe = Some(0);
            self.buffer.before_probe = Some(self.buffer.bytes);
            self.buffer.probed_at = Some(now);
        }
        due
    }

    fn probe_at(&self) -> Option<Time> {
        let full = self.buffer.full_since.filter(|_| self.buffer.since_probe.is_none())?;
        Some(self.buffer.probed_at.map_or(full, |at| full.max(at + PROBE_INTERVAL)))
    }

    /// A pong came: everything before its ping has arrived.
    pub(super) fn probe_answered(&mut self, now: Time, rtt: Option<Span>) -> Option<Drained> {
        let since_probe = self.buffer.since_probe.take()?;
        let before = self.buffer.before_probe.take().zip(self.buffer.probed_at);
        self.buffer.bytes = self.buffer.bytes.min(since_probe);
        self.buffer.full_since = None;
        let (bytes, probed_at) = before?;
        // At least a quarter of the time was not the way back, whatever the round trip was before.
        let arrived = now.saturating_sub(rtt.unwrap_or_default().min((now.since(probed_at)) * 3 / 4));
        let queued = arrived.since(probed_at) >= QUEUED;
        let drained = self.drained_to(arrived, bytes, queued);
        self.buffer.first_sent = probed_at;
        self.buffer.old = 0;
        drained
    }

    /// The shell told that the buffer fell below the low-water mark.
    pub(super) fn drained(&mut self, now: Time, limits: &LimitsConfig) -> Option<Drained> {
        let bytes = self.buffer.bytes.saturating_sub(limits.send_buffer_low_bytes);
        let full = self.buffer.full_since.take().is_some() && bytes > 0;
        let drained = if full { self.drained_to(now, bytes, true) } else { None };
        self.buffer.before_probe = None;
        self.buffer.bytes = self.buffer.bytes.min(limits.send_buffer_low_bytes);
        self.buffer.first_sent = now;
        self.buffer.old = self.buffer.bytes;
        if let Some(since_probe) = &mut self.buffer.since_probe {
            *since_probe = (*since_probe).min(self.buffer.bytes);
        }
        drained
    }

    /// Learns from bytes that went out by `arrived`. They took at most the time since the first of them was sent, which
    /// may have been long before the last: the rate is at least what follows, and less only if the line made them wait.
    fn drained_to(&mut self, arrived: Time, bytes: u64, queued: bool) -> Option<Drained> {
        let bytes = bytes.saturating_sub(self.buffer.old);
        let since = self.buffer.first_sent;
        if bytes == 0 {
            return None;
        }
        let span = arrived.since(since);
        if queued || self.meter.is_below(bytes, span) {
            self.meter.sample(bytes, span);
        }
        Some(Drained { bytes, since, queued })
    }

    /// Whether there is something to send and room for it.
    pub(super) fn is_eager(&self, limits: &LimitsConfig) -> bool {
        !self.is_full(limits) && self.queue.iter().any(Upload::is_ready)
    }

    /// Takes note when there is something to send and no room for it, so that the buffer is watched.
    pub(super) fn watch(&mut self, now: Time, limits: &LimitsConfig) {
        if self.is_full(limits) && self.queue.iter().any(Upload::is_ready) {
            self.buffer.full_since.get_or_insert(now);
        }
    }

    /// Whether nothing drained for so long that the uploads are given up.
    pub(super) fn is_stalled(&self, now: Time, limits: &LimitsConfig) -> bool {
        self.stalls_at(limits).is_some_and(|at| at <= now)
    }

    fn stalls_at(&self, limits: &LimitsConfig) -> Option<Time> {
        self.buffer.full_since.map(|since| since + Span::from_millis(limits.send_stall_ms))
    }

    /// Uploads whose time is over: all of a stalled link, else those that passed their own limit.
    pub(super) fn take_overdue(&mut self, now: Time, limits: &LimitsConfig) -> Vec<Upload> {
        let stalled = self.is_stalled(now, limits);
        let mut overdue = Vec::new();
        let mut place = 0;
        while let Some(upload) = self.queue.get(place) {
            if stalled || upload.deadline().is_some_and(|at| at <= now) {
                overdue.push(self.queue.remove(place));
            } else {
                place += 1;
            }
        }
        overdue
    }

    /// All uploads of one segment, taken out.
    pub(super) fn take_key(&mut self, key: SegmentKey) -> Vec<Upload> {
        let mut taken = Vec::new();
        while let Some(place) = self.queue.iter().position(|upload| upload.key == key) {
            taken.push(self.queue.remove(place));
        }
        taken
    }

    /// All uploads, taken out.
    pub(super) fn take_all(&mut self) -> Vec<Upload> {
        std::mem::take(&mut self.queue)
    }

    /// When something is due here.
    pub(super) fn next_deadline(&self, limits: &LimitsConfig) -> Option<Time> {
        let stall = self.stalls_at(limits).filter(|_| !self.queue.is_empty());
        self.queue.iter().filter_map(Upload::deadline).chain(stall).chain(self.probe_at()).min()
    }
}
