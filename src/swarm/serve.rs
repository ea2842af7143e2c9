//! Uploads: what peers ask for, and whose turn it is.

use crate::engine::Event;
use crate::id::{LinkId, SegmentKey, TransferId};
use crate::time::Time;
use crate::wire::{Frame, HaveEntry, HaveState, RefuseReason};

use super::Swarm;
use super::api::{Close, SegmentStore, SwarmOut};
use super::outbox::{Drained, Stop};
use super::upload::Upload;

/// How many peers are served at a time before anything is known of the uplink.
pub(super) const FIRST_PLACES: usize = 2;
/// A viewer that can serve so many at a time is strong: what it has spreads quickly.
const STRONG_PLACES: u8 = 4;

/// Whether a viewer that can serve `places` others at a time spreads quickly what it has.
pub fn is_strong(places: u8) -> bool {
    places >= STRONG_PLACES
}

/// A peer's request.
pub(super) struct Request {
    pub(super) transfer: TransferId,
    pub(super) key: SegmentKey,
    pub(super) resource_offset: u64,
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Swarm {
    pub(super) fn requested(
        &mut self,
        now: Time,
        link: LinkId,
        request: &Request,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let outstanding: usize = self.links.iter().map(|peer| peer.outbox.len()).sum();
        let under_way: u64 = self.links.iter().map(|peer| peer.outbox.left_bytes(store)).sum();
        let (shares, ready) = (self.shares(), self.ready_count());
        let Some(place) = self.place(link) else { return Ok(()) };
        let Some(peer) = self.links.get_mut(place) else { return Ok(()) };
        let transfer = request.transfer;
        let last = peer.outbox.last_request.replace(transfer);
        if let Some(last) = last.filter(|last| last.0.wrapping_add(1) != transfer.0) {
            return Err(Close::violation(format!("request {} after request {}", transfer.0, last.0)));
        }
        let too_fast = !peer.requests.take(now);
        if too_fast || peer.outbox.len() >= self.limits.requests_outstanding_per_peer {
            out.frame(link, &Frame::Refuse { transfer, reason: RefuseReason::RateLimited });
            return peer.reject(now, &self.limits);
        }
        if !shares {
            out.frame(link, &Frame::Refuse { transfer, reason: RefuseReason::NotSharing });
            return peer.reject(now, &self.limits);
        }
        let stuck = peer.outbox.is_stalled(now, &self.limits);
        let idle = peer.outbox.len() == 0;
        let strong = peer.interest.is_some_and(|interest| is_strong(interest.serves));
        let (sent, gave) = (peer.uploaded_bytes, peer.downloaded_bytes);
        let unfair = self.budget.is_unfair(sent, gave, ready);
        let full = outstanding >= self.limits.requests_outstanding || idle && self.is_crowded(strong);
        let reason = if stuck || unfair || full {
            Err(RefuseReason::Busy)
        } else {
            find(request, store).and_then(|upload| {
                // Under the ratio there is room again when something was received.
                let fits = self.budget.admits(upload.left_bytes(store), under_way);
                if fits { Ok(upload) } else { Err(RefuseReason::Busy) }
            })
        };
        match reason {
            Ok(upload) => {
                if let Some(evidence) = store.evidence(request.key).filter(|_| request.at == 0) {
                    out.frame(link, &evidence);
                }
                self.queue(now, link, upload, store, out);
                Ok(())
            }
            Err(reason) => {
                if reason == RefuseReason::Absent {
                    say_gone(link, request.key, out);
                }
                out.frame(link, &Frame::Refuse { transfer, reason });
                self.review_sharing(out);
                Ok(())
            }
        }
    }

    /// Whether as many peers are served as get a useful share of the uplink each. One more would slow down all, while
    /// it can have the segment sooner from one of those who are getting it now. Some places are kept for peers that
    /// can pass a segment on to many.
    fn is_crowded(&self, strong: bool) -> bool {
        let served = self.links.iter().filter(|peer| peer.outbox.len() > 0).count();
        let kept = if strong { 0 } else { self.places / 3 };
        let slots = if self.hidden { self.slots() } else { usize::MAX };
        served >= (self.places - kept).min(slots).min(self.paced_places())
    }

    /// How many peers can be served at a time, each fast enough; 0 while nobody is served.
    pub fn serves_at_a_time(&self) -> u8 {
        let places = self.places.min(self.slots()).min(self.paced_places());
        if self.shares() { u8::try_from(places).unwrap_or(u8::MAX) } else { 0 }
    }

    /// How fast each upload should be, in bytes a second: faster than the stream plays, so that a segment passes
    /// through several viewers within its own duration.
    pub fn set_upload_goal(&mut self, bytes_per_second: u64) {
        self.upload_goal = bytes_per_second;
    }

    /// Bytes of a link went out: learns what the uplink can do, and how many it can serve.
    pub(super) fn learn_uplink(&mut self, now: Time, drained: Option<Drained>) {
        let Some(drained) = drained else { return };
        self.uplink.add(now, drained.bytes, drained.since, drained.queued);
        let rate = self.uplink.bytes_per_second();
        if let Some(places) = rate.and_then(|rate| rate.checked_div(self.upload_goal)) {
            let places = usize::try_from(places).unwrap_or(usize::MAX);
            self.places = places.clamp(1, self.limits.upload_slots.max(1));
        }
    }

    fn queue(
        &mut self,
        now: Time,
        link: LinkId,
        mut upload: Upload,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        upload.refresh(now, store);
        if let Some(peer) = self.peer_mut(link) {
            peer.outbox.push(upload);
        }
        self.go_on(now, link, store, out);
    }

    pub(super) fn cancelled(
        &mut self,
        now: Time,
        link: LinkId,
        transfer: TransferId,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let Some(place) = self.place(link) else { return Ok(()) };
        let Some(peer) = self.links.get_mut(place) else { return Ok(()) };
        if !peer.requests.take(now) {
            peer.reject(now, &self.limits)?;
        }
        peer.outbox.remove(transfer);
        self.go_on(now, link, store, out);
        Ok(())
    }

    /// The send buffer of a link fell below its low-water mark.
    pub fn link_writable(
        &mut self,
        now: Time,
        link: LinkId,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        self.see(now);
        let Some(place) = self.place(link) else { return };
        if let Some(peer) = self.links.get_mut(place) {
            let drained = peer.outbox.drained(now, &self.limits);
            self.learn_uplink(now, drained);
        }
        self.go_on(now, link, store, out);
        self.plan_link(link);
    }

    /// Bytes of a segment arrived, or its length became known: uploads that wait for them go on.
    pub fn blob_grew(
        &mut self,
        now: Time,
        key: SegmentKey,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        self.see(now);
        let mut ready = Vec::new();
        for peer in &mut self.links {
            if peer.outbox.grew(now, key, store) {
                ready.push(peer.link);
            }
        }
        for link in ready {
            self.go_on(now, link, store, out);
            self.plan_link(link);
        }
    }

    /// A segment's bytes are gone, or may not be shared any more: uploads of it end. `aborted` tells that they never
    /// became complete.
    pub fn blob_gone(&mut self, now: Time, key: SegmentKey, aborted: bool, out: &mut SwarmOut<'_>) {
        self.see(now);
        if !self.links.iter().any(|peer| peer.outbox.serves(key)) {
            return;
        }
        let reason = if aborted { RefuseReason::Aborted } else { RefuseReason::Absent };
        for peer in &mut self.links {
            for upload in peer.outbox.take_key(key) {
                say_gone(peer.link, key, out);
                out.frame(peer.link, &Frame::Refuse { transfer: upload.transfer, reason });
            }
        }
        self.wake_at(now);
    }

    pub(super) fn refuse_all_uploads(&mut self, out: &mut SwarmOut<'_>) {
        for peer in &mut self.links {
            for upload in peer.outbox.take_all() {
                let reason = RefuseReason::NotSharing;
                out.frame(peer.link, &Frame::Refuse { transfer: upload.transfer, reason });
            }
            peer.outbox.slot = false;
        }
        self.slots_used = 0;
    }

    /// A link's uploads may go on, and with them those who wait for its slot.
    pub(super) fn go_on(
        &mut self,
        now: Time,
        link: LinkId,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        if self.budget.is_paced() {
            return self.serve_all(now, store, out);
        }
        if self.peer(link).is_some_and(|peer| peer.outbox.slot) {
            self.serve(now, link, store, out);
        } else if let Some(place) = self.place(link)
            && let Some(peer) = self.links.get_mut(place)
        {
            peer.outbox.watch(now, &self.limits);
            peer.probe(now, out);
        }
        self.fill_slots(now, store, out);
        self.review_sharing(out);
    }

    /// Goes on with all uploads.
    pub(super) fn serve_all(&mut self, now: Time, store: &dyn SegmentStore, out: &mut SwarmOut<'_>) {
        if self.budget.is_paced() {
            self.serve_in_turns(now, store, out);
            return self.review_sharing(out);
        }
        let mut place = 0;
        while let Some(peer) = self.links.get(place) {
            if peer.outbox.slot {
                self.serve(now, peer.link, store, out);
            }
            place += 1;
        }
        self.fill_slots(now, store, out);
        self.review_sharing(out);
    }

    /// Gives free slots to the links that wait, in turn.
    pub(super) fn fill_slots(&mut self, now: Time, store: &dyn SegmentStore, out: &mut SwarmOut<'_>) {
        while self.slots_used < self.slots() {
            let Some(link) = self.next_in_turn() else { return };
            self.slots_used += 1;
            self.served = link;
            if let Some(peer) = self.peer_mut(link) {
                peer.outbox.slot = true;
            }
            self.serve(now, link, store, out);
            self.plan_link(link);
        }
    }

    /// The next link after the one served last that has use for a slot.
    fn next_in_turn(&self) -> Option<LinkId> {
        let after = self.links.partition_point(|peer| peer.link <= self.served);
        let (first, last) = self.links.split_at_checked(after)?;
        let wants = |peer: &&super::peer::Peer| peer.outbox.wants_slot(&self.limits);
        last.iter().chain(first).find(wants).map(|peer| peer.link)
    }

    /// Sends on a link that holds a slot until its buffer is full, the budget ends it, there is nothing to send, or
    /// somebody else has waited for the slot while one upload was served. Under a bound on the rate it is one message.
    pub(super) fn serve(
        &mut self,
        now: Time,
        link: LinkId,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        let Some(place) = self.place(link) else { return };
        loop {
            if !self.budget.may_send(now) {
                return;
            }
            let pace = self.pace();
            let Some(peer) = self.links.get_mut(place) else { return };
            let before = peer.outbox.sent_bytes();
            let stop = peer.outbox.send(now, link, store, pace, &self.limits, out);
            let sent = peer.outbox.sent_bytes() - before;
            self.budget.spend(now, sent);
            peer.uploaded_bytes += sent;
            peer.worth.add(now, sent);
            self.uploaded_bytes += sent;
            match stop {
                Stop::Full => {
                    peer.probe(now, out);
                    return;
                }
                Stop::Spent => return,
                Stop::Idle => {
                    peer.outbox.slot = false;
                    self.slots_used -= 1;
                    return;
                }
                Stop::Finished { key, bytes } => {
                    let id = peer.id;
                    peer.probe(now, out);
                    out.event_if(id.map(|peer| Event::Uploaded { peer, key, bytes }));
                    if self.next_in_turn().is_some() {
                        if let Some(peer) = self.links.get_mut(place) {
                            peer.outbox.slot = false;
                            self.slots_used -= 1;
                        }
                        return;
                    }
                }
            }
        }
    }
}

/// Said before a refusal, which would look like a broken promise to who was not told yet.
fn say_gone(link: LinkId, key: SegmentKey, out: &mut SwarmOut<'_>) {
    out.frame(link, &Frame::HaveDelta { entries: vec![HaveEntry { key, state: HaveState::Gone }] });
}

/// Looks whether a request can be served, now or as the segment arrives.
fn find(request: &Request, store: &dyn SegmentStore) -> Result<Upload, RefuseReason> {
    let &Request { transfer, key, resource_offset, at, len } = request;
    let stored = store.segment(key).filter(|stored| stored.shareable).ok_or(RefuseReason::Absent)?;
    // An empty segment cannot be told from one of unknown length.
    let outside = stored.total_bytes.is_some_and(|total| total == 0 || u64::from(at) > total);
    if outside || stored.resource_offset != resource_offset {
        return Err(RefuseReason::Absent);
    }
    Ok(Upload::new(transfer, key, stored.blob, at, len))
}
