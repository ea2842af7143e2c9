//! What a stock peer asks of us.

use crate::id::TransferId;
use crate::swarm::SegmentStore;
use crate::time::{Span, Time};
use crate::wire::{DataHead, Frame, RefuseReason, decode_data_head};

use super::command::{Command, Subject};
use super::gateway::{Effect, Gateway};
use super::ids::Ids;

/// A stock peer has no word for "busy", and a segment that is said to be absent it no longer expects of us but asks for
/// the next one at once. So a request that cannot be served now is tried again after this long ...
const RETRY: Span = Span::from_millis(250);
/// ... and so often: a stock peer waits two seconds. Then the segment is absent, and after a second it is there again.
const TRIES: u32 = 5;
const BUSY: Span = Span::from_secs(1);
/// A stock peer does not know how many requests we take. They are passed on no faster than this; with a cancel for each
/// that is within `limits.requestsPerSecond`.
const SPACING: Span = Span::from_millis(110);

/// A request that waits to be passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    about: Subject,
    from: u64,
    at: Time,
    tries: u32,
}

/// A request of the peer that our side is serving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serving {
    transfer: TransferId,
    about: Subject,
    from: u32,
    tries: u32,
    /// Bytes that are still to be sent; `None` before our side accepted.
    left: Option<u32>,
}

impl Gateway {
    /// The peer asks for a segment. A stock peer waits for one at a time: what it asked for before is over.
    pub(super) fn requested(
        &mut self,
        now: Time,
        about: Subject,
        from: u64,
        ids: &Ids<'_>,
        store: &dyn SegmentStore,
    ) -> Vec<Effect> {
        let mut effects = self.end_serving();
        if now < self.passed_at + SPACING {
            self.waiting = Some(Waiting { about, from, at: self.passed_at + SPACING, tries: 0 });
        } else {
            effects.extend(self.pass_on(now, Waiting { about, from, at: now, tries: 0 }, ids, store));
        }
        effects
    }

    /// When a request that waits is due.
    pub fn retry_due(&self) -> Option<Time> {
        self.waiting.map(|waiting| waiting.at)
    }

    /// Passes a request on that has waited, if it is due.
    pub fn retry(&mut self, now: Time, ids: &Ids<'_>, store: &dyn SegmentStore) -> Vec<Effect> {
        match self.waiting.take_if(|waiting| waiting.at <= now) {
            Some(waiting) => self.pass_on(now, waiting, ids, store),
            None => Vec::new(),
        }
    }

    fn pass_on(
        &mut self,
        now: Time,
        Waiting { about, from, tries, .. }: Waiting,
        ids: &Ids<'_>,
        store: &dyn SegmentStore,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let whole = ids.key(about.segment).and_then(|key| {
            let stored = store.segment(key).filter(|stored| stored.shareable)?;
            let total = stored.total_bytes.filter(|total| store.contiguous_from(key, 0) >= *total)?;
            Some((key, stored.resource_offset, u32::try_from(from).ok().filter(|_| from < total)?))
        });
        // No word for "I have only the beginning" either.
        let Some((key, resource_offset, from)) = whole else {
            effects.extend(self.send(&Command::Absent(about)));
            // Counts for the rate at which the peer may talk.
            effects.push(Effect::frame(&Frame::Extension { kind: 0xff, body: Vec::new() }));
            return effects;
        };
        let transfer = self.next_transfer;
        self.next_transfer = TransferId(transfer.0.wrapping_add(1));
        self.passed_at = now;
        self.serving = Some(Serving { transfer, about, from, tries, left: None });
        effects.push(Effect::frame(&Frame::Request { transfer, key, resource_offset, at: from, len: 0 }));
        effects
    }

    /// The peer no longer wants a segment.
    pub(super) fn cancelled(&mut self, about: Subject) -> Vec<Effect> {
        if self.serving.is_some_and(|serving| serving.about.request == about.request) {
            return self.end_serving();
        }
        self.waiting.take_if(|waiting| waiting.about.request == about.request);
        vec![Effect::frame(&Frame::Extension { kind: 0xff, body: Vec::new() })]
    }

    fn end_serving(&mut self) -> Vec<Effect> {
        self.waiting = None;
        let over = self.serving.take();
        over.map(|serving| Effect::frame(&Frame::Cancel { transfer: serving.transfer })).into_iter().collect()
    }

    /// Our side begins to serve.
    pub(super) fn accepted(&mut self, transfer: TransferId, total_bytes: u32) -> Vec<Effect> {
        let Some(serving) = self.serving.as_mut().filter(|serving| serving.transfer == transfer) else {
            return Vec::new();
        };
        let bytes = total_bytes.saturating_sub(serving.from);
        serving.left = Some(bytes);
        let Subject { segment, request } = serving.about;
        self.send(&Command::Data { segment, request, bytes: bytes.into() })
    }

    /// Our side will not serve, or not any further.
    pub(super) fn refused(&mut self, now: Time, transfer: TransferId, reason: RefuseReason) -> Vec<Effect> {
        let Some(serving) = self.serving.filter(|serving| serving.transfer == transfer) else {
            return Vec::new();
        };
        self.serving = None;
        if matches!(reason, RefuseReason::Busy | RefuseReason::RateLimited) {
            let Serving { about, from, tries, left, .. } = serving;
            if tries < TRIES && left.is_none() {
                let from = from.into();
                self.waiting = Some(Waiting { about, from, at: now + RETRY, tries: tries + 1 });
                return Vec::new();
            }
            self.announce_again_at(now + BUSY);
        }
        self.send(&Command::Absent(serving.about))
    }

    /// Our side sends bytes. Gives whether they go out, and what goes out after them.
    pub fn outgoing_body(&mut self, head: &[u8], len: u32) -> (bool, Vec<Effect>) {
        let Ok(DataHead { transfer, .. }) = decode_data_head(head) else { return (false, Vec::new()) };
        let Some(serving) = self.serving.as_mut().filter(|serving| serving.transfer == transfer) else {
            return (false, Vec::new());
        };
        let Some(left) = &mut serving.left else { return (false, Vec::new()) };
        *left = left.saturating_sub(len);
        self.unsent = true;
        if *left > 0 {
            return (true, Vec::new());
        }
        let about = serving.about;
        self.serving = None;
        (true, self.send(&Command::Completed(about)))
    }
}
