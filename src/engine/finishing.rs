//! Carries out the player's requests and the ends of downloads: deliver, keep, drop.

use crate::id::{BlobId, Digest, RequestId, SegmentKey};
use crate::schedule::download::Stage;
use crate::schedule::downloads::Want;
use crate::time::{Span, Time};
use crate::wire::HaveState;

use super::io::{DeliveryTiming, Output, Playhead, RequestFailure, TimelineUpdate};
use super::{Engine, Event, SegmentSource};

/// Uploads should run at this many times the rate at which the stream plays.
const UPLOAD_GOAL: u64 = 2;

/// How long others may take to notice that a track was numbered anew.
const RENUMBERED: Span = Span::from_secs(60);

/// How it is known that bytes are the segment's.
#[derive(Clone, Debug, Default)]
pub(super) struct Provenance {
    /// The digests of its blocks; none where nothing is hashed.
    pub(super) digests: Vec<Digest>,
    /// Whose fetch from the origin it goes back to, see [`Claim::origin`](crate::wire::Claim::origin).
    pub(super) origin: u64,
    /// Whether it may be given to peers.
    pub(super) verified: bool,
}

/// What is remembered of a cached segment, to answer the player honestly later.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    first_byte: Span,
    total: Span,
    finished: Time,
    http_bytes: u64,
    p2p_bytes: u64,
    /// First byte of the segment in its resource.
    pub(super) resource_offset: u64,
    pub(super) provenance: Provenance,
}

impl Kept {
    /// Whether all of it came over HTTP.
    pub(super) fn came_from_origin(&self) -> bool {
        self.p2p_bytes == 0
    }

    fn timing(&self, now: Time) -> DeliveryTiming {
        DeliveryTiming {
            first_byte: self.first_byte,
            total: self.total,
            age: now.since(self.finished),
            http_bytes: self.http_bytes,
            p2p_bytes: self.p2p_bytes,
        }
    }

    fn source(&self) -> SegmentSource {
        match (self.http_bytes, self.p2p_bytes) {
            (_, 0) => SegmentSource::Http,
            (0, _) => SegmentSource::P2p,
            _ => SegmentSource::Mixed,
        }
    }
}

impl Engine {
    pub(super) fn timeline_updated(&mut self, update: TimelineUpdate) {
        let track = update.track;
        let change = self.timeline.update(update);
        if change.reset {
            self.forget_track(track);
        }
        // A segment that only slid out of the window is still good to share.
        for key in &change.replaced {
            self.abandon(*key);
            self.forget_cached(*key);
            self.guard.claims.forget(|said| said == *key);
        }
        self.dirty = true;
    }

    pub(super) fn playhead_moved(&mut self, playhead: Playhead) {
        self.player.moved(self.now, playhead);
        self.dirty = true;
    }

    pub(super) fn want(&mut self, request: RequestId, key: SegmentKey) {
        let Some(kind) = self.timeline.kind(key.track).filter(|_| self.timeline.segment(key).is_some())
        else {
            self.outbox.push_back(Output::Fail { request, why: RequestFailure::UnknownSegment });
            return;
        };
        self.player.asked(kind, key);
        self.review_completeness();
        self.dirty = true;
        if let (Some(entry), Some(kept)) = (self.cache.get(key).copied(), self.kept.get(&key)) {
            self.cache.touch(self.now, key);
            let timing = kept.timing(self.now);
            self.outbox.push_back(Output::Deliver { request, blob: entry.blob, len: entry.len, timing });
            return;
        }
        // The player's own retry policy has decided that it is time to try again.
        self.failed.remove(&key);
        self.downloads.add_want(request, Want { key, since: self.now });
    }

    pub(super) fn cancel_want(&mut self, request: RequestId) {
        if self.downloads.remove_want(request).is_some() {
            self.dirty = true;
        }
    }

    /// All bytes of a segment are there: ask the validator, or take them as they are.
    pub(super) fn complete(&mut self, key: SegmentKey) {
        self.dirty = true;
        self.cancel_http(key);
        self.cancel_transfers(key);
        if self.guard.hashes() {
            self.hash_whole(key);
        } else {
            self.pass(key, Provenance { verified: true, ..Provenance::default() });
        }
    }

    /// A segment is believed: ask the validator, or take it.
    pub(super) fn pass(&mut self, key: SegmentKey, provenance: Provenance) {
        self.dirty = true;
        if !self.has_validator {
            return self.finish(key, provenance);
        }
        let Some(segment) = self.timeline.segment(key) else { return self.abandon(key) };
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.verifying = true;
        download.stage = Stage::Validating;
        self.guard.passed.insert(key, provenance);
        self.outbox.push_back(Output::Verify {
            blob: download.blob,
            key,
            url: segment.url.to_string(),
            byte_range: segment.byte_range,
            from_peers: download.p2p_bytes > 0,
        });
    }

    pub(super) fn verified(&mut self, blob: BlobId, ok: bool) {
        let asked = |stage| stage == Stage::Validating;
        let found = self.downloads.iter().find(|download| download.blob == blob && asked(download.stage));
        let Some(download) = found else { return };
        let key = download.key;
        let provenance = self.guard.passed.remove(&key).unwrap_or_default();
        if ok {
            return self.finish(key, provenance);
        }
        let suspects = download.suppliers();
        if download.p2p_bytes == 0 {
            self.abandon(key);
            return self.fail_wants(key, RequestFailure::Refused);
        }
        for peer in suspects {
            self.ban(peer, "sent a segment that the page's validator refused");
        }
        self.fall_back(key, "the page's validator refused what peers sent", 0);
        self.restart(key);
        self.start_http(key);
    }

    fn finish(&mut self, key: SegmentKey, provenance: Provenance) {
        let Some(download) = self.downloads.remove(key) else { return };
        let len = download.received.contiguous_end(0);
        let first = download.first_byte.unwrap_or(self.now);
        let kept = Kept {
            first_byte: first.since(download.started),
            total: self.now.since(download.started),
            finished: self.now,
            http_bytes: download.http_bytes,
            p2p_bytes: download.p2p_bytes,
            resource_offset: self
                .timeline
                .segment(key)
                .and_then(|s| s.byte_range)
                .map_or(0, |range| range.start),
            provenance,
        };
        self.missing_since.remove(&key);
        self.failed.remove(&key);
        if let Some(segment) = self.timeline.segment(key) {
            let played = Span::from_millis(u64::from(segment.duration_ms));
            let rate = self.media_rates.entry(key.track).or_default();
            rate.record(len, played);
            if let Some(bps) = rate.bps() {
                self.swarm.set_upload_goal(bps / 8 * UPLOAD_GOAL);
            }
        }
        self.outbox.push_back(Output::Event(Event::SegmentLoaded {
            key,
            source: kept.source(),
            http_bytes: kept.http_bytes,
            p2p_bytes: kept.p2p_bytes,
            duration_ms: kept.total.as_millis(),
        }));
        for request in self.downloads.take_wants(key) {
            let timing = kept.timing(self.now);
            self.outbox.push_back(Output::Deliver { request, blob: download.blob, len, timing });
        }
        self.keep(key, download.blob, len, kept);
    }

    /// Puts a finished segment into the cache, or drops it when it can never fit.
    fn keep(&mut self, key: SegmentKey, blob: BlobId, len: u64, kept: Kept) {
        if len > self.config.limits.max_segment_bytes || len > self.config.loader.cache_bytes {
            self.swarm.set_state(self.now, key, HaveState::Gone);
            self.forget_uploads(key, true);
            self.outbox.push_back(Output::DropBlob { blob });
            return;
        }
        let locked = self.queue_keys();
        let evicted = self.cache.insert(self.now, key, blob, len, |key| locked.contains(&key));
        let shared = kept.provenance.verified;
        self.kept.insert(key, kept);
        if shared {
            self.swarm.set_state(self.now, key, HaveState::Loaded);
            self.tell_evidence(key);
            self.bytes_arrived(key);
        } else {
            self.swarm.set_state(self.now, key, HaveState::Gone);
        }
        for gone in evicted {
            self.evict(gone.key, gone.blob);
        }
        self.review_completeness();
    }

    /// Who keeps every segment of the tracks that it plays, of a stream that has an end, needs nobody: the tracker offers
    /// it to others, and not to its like.
    fn review_completeness(&mut self) {
        let mut played = self.player.focuses().map(|key| key.track).peekable();
        let complete = played.peek().is_some()
            && played.all(|track| {
                let mut listed = self.timeline.listed(track);
                !self.timeline.live(track) && listed.all(|segment| self.cache.get(segment.key).is_some())
            });
        self.signal.set_complete(self.now, complete);
    }

    pub(super) fn expire_cache(&mut self) {
        if self.cache.next_expiry().is_none_or(|at| at > self.now) {
            return;
        }
        for gone in self.cache.expire(self.now) {
            self.evict(gone.key, gone.blob);
        }
    }

    /// Drops a cached segment whose key means other bytes now.
    pub(super) fn forget_cached(&mut self, key: SegmentKey) {
        if let Some(blob) = self.cache.remove(key) {
            self.evict(key, blob);
        }
    }

    fn evict(&mut self, key: SegmentKey, blob: BlobId) {
        // The same segment may have been fetched again under another blob in the meantime.
        if self.cache.get(key).is_none() {
            self.kept.remove(&key);
            self.swarm.set_state(self.now, key, HaveState::Gone);
            self.forget_uploads(key, false);
            self.outbox.push_back(Output::Event(Event::SegmentEvicted { key }));
        }
        self.outbox.push_back(Output::DropBlob { blob });
    }

    /// Ends a download without a result and forgets its bytes. The player's requests for it stay open.
    pub(super) fn abandon(&mut self, key: SegmentKey) {
        self.drop_spots(key);
        self.guard.passed.remove(&key);
        self.cancel_http(key);
        self.cancel_transfers(key);
        let Some(download) = self.downloads.remove(key) else { return };
        self.totals.wasted_bytes += download.received.len();
        self.swarm.set_state(self.now, key, HaveState::Gone);
        self.forget_uploads(key, true);
        self.outbox.push_back(Output::DropBlob { blob: download.blob });
        self.dirty = true;
    }

    /// Tells the player that a segment could not be had.
    pub(super) fn fail_wants(&mut self, key: SegmentKey, why: RequestFailure) {
        let requests = self.downloads.take_wants(key);
        if requests.is_empty() {
            return;
        }
        let message = match &why {
            RequestFailure::Http(error) => error.to_string(),
            RequestFailure::Refused => "the page's validator refused what the origin served".to_owned(),
            #[cfg(feature = "signed")]
            RequestFailure::Unsigned => "the origin's bytes are not the signed ones".to_owned(),
            RequestFailure::UnknownSegment => "the segment is in no playlist".to_owned(),
            RequestFailure::Shutdown => "hlswarm was shut down".to_owned(),
        };
        self.outbox.push_back(Output::Event(Event::SegmentFailed { key, message }));
        for request in requests {
            self.outbox.push_back(Output::Fail { request, why: why.clone() });
        }
    }

    /// Forgets all that is known of a track whose segments were numbered anew: the same key now means other bytes.
    fn forget_track(&mut self, track: crate::id::TrackId) {
        self.player.forget_track(track);
        self.media_rates.remove(&track);
        self.guard.claims.forget(|said| said.track == track);
        self.guard.forgiving_until = self.now + RENUMBERED;
        self.failed.retain(|key, _| key.track != track);
        self.missing_since.retain(|key, _| key.track != track);
        let open: Vec<SegmentKey> =
            self.downloads.iter().map(|download| download.key).filter(|key| key.track == track).collect();
        for key in open {
            self.abandon(key);
        }
        let wanted: Vec<SegmentKey> =
            self.downloads.wants().map(|(_, want)| want.key).filter(|key| key.track == track).collect();
        for key in wanted {
            self.fail_wants(key, RequestFailure::UnknownSegment);
        }
        let kept: Vec<SegmentKey> = self.cache.of_track(track).map(|(key, _)| key).collect();
        for key in kept {
            self.forget_cached(key);
        }
    }

    pub(super) fn drop_everything(&mut self) {
        let open: Vec<SegmentKey> = self.downloads.iter().map(|download| download.key).collect();
        for key in open {
            self.abandon(key);
        }
        let wanted: Vec<SegmentKey> = self.downloads.wants().map(|(_, want)| want.key).collect();
        for key in wanted {
            self.fail_wants(key, RequestFailure::Shutdown);
        }
        let kept: Vec<SegmentKey> = self.cache.iter().map(|(key, _)| key).collect();
        for key in kept {
            if let Some(blob) = self.cache.remove(key) {
                self.outbox.push_back(Output::DropBlob { blob });
            }
        }
        self.kept.clear();
    }
}
