//! Without signed records: what peers brought is believed when what others say of it agrees, or when a part of it equals
//! the origin's.
//!
//! The truth about a segment is learnt only from HTTP. Whoever fetched one wholly over HTTP announces its digest; whoever
//! accepted one passes that on. What is contradicted, or differs from the origin in the part looked at, is fetched whole,
//! and the origin's bytes tell who was wrong: those who vouched for it are banned; those who only passed on what was still
//! arriving, or what they had themselves believed, when it happens again.

use crate::config::IntegrityMode;
use crate::id::{ByteRange, Digest, FetchId, LinkId, PeerId, SegmentKey};
use crate::integrity::claims::{Voice, Weight, check_probability, origin_of, weigh};
use crate::integrity::{BLOCK_BYTES, block_count, segment_digest};
use crate::schedule::download::{Stage, Suspect, Total};
use crate::swarm::SwarmOut;
use crate::time::{Span, Time};
use crate::timeline::Segment;
use crate::wire::Claim;

use super::Engine;
use super::finishing::Provenance;
use super::guard::{Ask, Spot};
use super::io::{HttpHead, Output, Placement};

/// What is fetched from the origin to be compared: this part of the segment, so that a wrong place is as likely to be found in
/// a small one as in a large one.
const SPOT_PART: u64 = 48;
/// Bytes that it is at least, in a segment that has so many, and at most.
const SPOT_BYTES: (u64, u64) = (4 * 1024, 16 * 1024);
/// How long it may take.
const SPOT_LIMIT: Span = Span::from_secs(3);
/// How long a complete segment waits for what peers say of it: whoever forwarded it is complete a moment earlier.
const LISTEN_FOR: Span = Span::from_millis(250);

/// How far ahead of our playlist a live segment is heard of.
const CLAIMS_AHEAD: u64 = 16;

fn spot_bytes(total: u64) -> u64 {
    (total / SPOT_PART).clamp(SPOT_BYTES.0, SPOT_BYTES.1).min(total)
}

impl Engine {
    /// All blocks of a complete segment are hashed: decides whether it is believed.
    pub(super) fn settle(&mut self, key: SegmentKey, digests: Vec<Digest>) {
        let Some(download) = self.downloads.get_mut(key) else { return };
        let Some(total) = download.total.bytes() else { return };
        let digest = segment_digest(&digests);
        if download.p2p_bytes == 0 {
            let origin = if download.one_response { origin_of(self.own) } else { 0 };
            self.learn_truth(key, total, &digests, origin != 0);
            return self.pass(key, Provenance { digests, origin, verified: true });
        }
        let listened = matches!(download.stage, Stage::Listening(_));
        let mixed = download.http_bytes > 0;
        let voices = self.guard.claims.voices(key);
        let weight = weigh(voices, total, digest, |peer| self.guard.standing.of(peer));
        if weight == Weight::Contradicted || mixed && listened && weight == Weight::Unheard {
            return self.dispute(key);
        }
        if weight == Weight::Unheard && !listened {
            let until = self.now + LISTEN_FOR;
            download.stage = Stage::Listening(until);
            self.plan_again_at(until);
            return;
        }
        let roll = self.rng.unit();
        let must = matches!(weight, Weight::Unheard | Weight::Alone(0) | Weight::Agreed(0));
        let affordable = self.guard.can_afford(spot_bytes(total), self.totals.p2p_bytes);
        if roll < check_probability(weight) && (must || affordable) {
            return self.check_spot(key);
        }
        self.believe(key, digests);
    }

    /// Looks at a segment again whose digests are all known.
    fn settle_again(&mut self, key: SegmentKey) {
        if let Some(digests) = self.downloads.get(key).and_then(|download| download.digests()) {
            self.settle(key, digests);
        }
    }

    /// Takes what peers brought for the segment.
    fn believe(&mut self, key: SegmentKey, digests: Vec<Digest>) {
        let voices = self.guard.claims.voices(key);
        let own = voices.iter().find(|voice| voice.is_own());
        let origin = own.or_else(|| voices.iter().find(|voice| voice.origin != 0));
        let origin = origin.map_or(0, |voice| voice.origin);
        self.pass(key, Provenance { digests, origin, verified: true });
    }

    /// Segments that have listened long enough.
    pub(super) fn settle_due(&mut self) {
        let now = self.now;
        let due: Vec<SegmentKey> = self
            .downloads
            .iter()
            .filter(|download| matches!(download.stage, Stage::Listening(until) if until <= now))
            .map(|download| download.key)
            .collect();
        due.into_iter().for_each(|key| self.settle_again(key));
        let waiting = self.downloads.iter().filter_map(|download| match download.stage {
            Stage::Listening(until) => Some(until),
            _ => None,
        });
        if let Some(until) = waiting.min() {
            self.plan_again_at(until);
        }
        let late: Vec<FetchId> =
            self.guard.spots.iter().filter(|(_, spot)| spot.until <= now).map(|(fetch, _)| *fetch).collect();
        for fetch in late {
            if self.guard.spots.get(&fetch).is_some_and(|spot| !spot.done) {
                self.outbox.push_back(Output::CancelFetch { fetch });
            }
            self.spot_failed(fetch);
        }
        if let Some(until) = self.guard.spots.values().map(|spot| spot.until).min() {
            self.plan_again_at(until);
        }
    }

    /// A peer says what a segment's digest is.
    pub(super) fn claim_came(&mut self, link: LinkId, claim: Claim) {
        let Some(peer) = self.swarm.peer_id(link).filter(|_| self.guard.is_auto()) else { return };
        let Claim { key, total_bytes, digest, origin } = claim;
        if !self.may_exist(key) {
            return;
        }
        let voice = Voice { link, peer, total_bytes, digest, origin };
        if !self.guard.claims.hear(key, voice) {
            return;
        }
        if let (Some(kept), Some(entry)) = (self.kept.get(&key), self.cache.get(key)) {
            // What we fetched ourselves settles it at once. That it is right says nothing: it may repeat our own word.
            let wrong =
                entry.len != u64::from(total_bytes) || segment_digest(&kept.provenance.digests) != digest;
            if kept.provenance.origin == origin_of(self.own) && wrong {
                self.voice_was_wrong(voice);
            }
            return;
        }
        if self.downloads.get(key).is_some_and(|download| matches!(download.stage, Stage::Listening(_))) {
            self.settle_again(key);
        }
    }

    /// Whether a segment is in a playlist, or may be in the next ones. What is said of others would only push out what is said
    /// of these.
    fn may_exist(&self, key: SegmentKey) -> bool {
        let comes = |last: &Segment| {
            let ahead = key.sequence.wrapping_sub(last.key.sequence) <= CLAIMS_AHEAD;
            ahead && key.discontinuity.wrapping_sub(last.key.discontinuity) <= 1
        };
        self.timeline.segment(key).is_some() || self.timeline.last(key.track).is_some_and(comes)
    }

    fn voice_was_wrong(&mut self, voice: Voice) {
        self.accuse(voice.peer, voice.is_own(), "announced a wrong digest");
    }

    /// A peer was wrong; `surely` when it could know.
    fn accuse(&mut self, peer: PeerId, surely: bool, why: &str) {
        if self.guard.forgiving_until <= self.now && (surely || self.guard.standing.struck(peer)) {
            self.ban(peer, why);
        }
    }

    /// The origin's bytes are here: holds against them what was said and brought. Unless the response told their length, so
    /// that it is `sure`, they may have been cut off.
    fn learn_truth(&mut self, key: SegmentKey, total: u64, digests: &[Digest], sure: bool) {
        let digest = segment_digest(digests);
        for voice in self.guard.claims.voices(key).to_vec() {
            let same_length = u64::from(voice.total_bytes) == total;
            if same_length && voice.digest == digest {
                self.guard.standing.proved(voice.peer);
            } else if same_length || sure {
                self.voice_was_wrong(voice);
            }
        }
        let Some(suspect) = self.downloads.get_mut(key).and_then(|download| download.suspect.take()) else {
            return;
        };
        let other_length = suspect.total_bytes != total;
        if other_length && !sure {
            return;
        }
        let mut wrong: Vec<PeerId> = Vec::new();
        for part in &suspect.parts {
            let (mut differs, mut surely) = (false, false);
            for index in part.start / BLOCK_BYTES..block_count(part.end) {
                let place = index as usize;
                if other_length || suspect.blocks.get(place) != digests.get(place) {
                    // Of a block that others brought a part of, it may be theirs that is wrong.
                    let start = index * BLOCK_BYTES;
                    let alone = part.start <= start && total.min(start + BLOCK_BYTES) <= part.end;
                    differs = true;
                    surely |= part.liable && (other_length || alone);
                }
            }
            let again = wrong.contains(&part.peer);
            if differs && !again {
                wrong.push(part.peer);
            }
            if surely || differs && !again {
                self.accuse(part.peer, surely, "sent wrong bytes");
            }
        }
        if !wrong.is_empty() {
            self.tell_refused(key, &wrong);
        }
    }

    /// What peers brought is doubted: the origin decides.
    fn dispute(&mut self, key: SegmentKey) {
        let Some(download) = self.downloads.get(key) else { return };
        let suspect = download.digests().map(|blocks| {
            let total_bytes = download.total.bytes().unwrap_or(0);
            Box::new(Suspect { blocks, total_bytes, parts: download.parts.clone() })
        });
        self.guard.stats.disputes += 1;
        self.guard.stats.refused_bytes += download.p2p_bytes;
        self.fall_back(key, "the origin has the last word", 0);
        self.restart(key);
        if let Some(download) = self.downloads.get_mut(key) {
            download.suspect = suspect;
        }
        self.start_http(key);
    }

    /// Fetches a part of what peers brought from the origin, to compare.
    fn check_spot(&mut self, key: SegmentKey) {
        let Some(download) = self.downloads.get(key) else { return };
        let Some(total) = download.total.bytes() else { return };
        if !self.takes_ranges() {
            return self.unchecked(key);
        }
        // Any byte that a peer brought is as likely to be looked at as any other.
        let brought: u64 = download.parts.iter().map(|part| part.end - part.start).sum();
        let mut nth = self.rng.below(brought);
        let mut at = 0;
        for part in &download.parts {
            let len = part.end - part.start;
            at = part.start + nth.min(len);
            if nth < len {
                break;
            }
            nth -= len;
        }
        let len = spot_bytes(total);
        let at = at.saturating_sub(len / 2).min(total - len);
        let length_known = matches!(download.total, Total::Known(_));
        self.guard.stats.checks += 1;
        if let Some(download) = self.downloads.get_mut(key) {
            download.stage = Stage::Checking;
        }
        let at_end = !length_known && at + len == total;
        self.fetch_spot(key, at, len, at_end);
        if !length_known && !at_end {
            self.fetch_spot(key, total - 1, 1, true);
        }
    }

    /// Fetches one part. At the end of a segment whose length nobody but peers has told, one byte more is asked for than
    /// should be there: a segment that was cut short, or grew, is right in every byte that can be looked at.
    fn fetch_spot(&mut self, key: SegmentKey, at: u64, len: u64, at_end: bool) {
        let Some(segment) = self.timeline.segment(key) else { return };
        let (url, offset) = (segment.url.to_string(), segment.byte_range.map_or(0, |range| range.start));
        let Some(blob) = self.downloads.get(key).map(|download| download.blob) else { return };
        let fetch = self.new_fetch();
        let scratch = self.new_blob();
        let until = self.now + SPOT_LIMIT;
        let range = ByteRange { start: offset + at, end: offset + at + len + u64::from(at_end) };
        let len = len as u32;
        let spot = Spot { key, scratch, at, len, received: 0, done: false, until, ours: None, theirs: None };
        self.guard.spots.insert(fetch, spot);
        self.outbox.push_back(Output::Fetch { fetch, key, url, range: Some(range) });
        self.plan_again_at(until);
        let ask = self.guard.ask(Ask::Ours(fetch));
        self.outbox.push_back(Output::Digest { ask, blob, at, len });
    }

    /// The head of a part's response. Tells whether the fetch was for a part.
    pub(super) fn spot_opened(&mut self, fetch: FetchId, head: &HttpHead) -> bool {
        let Some(spot) = self.guard.spots.get(&fetch) else { return false };
        let (key, at, len) = (spot.key, spot.at, u64::from(spot.len));
        let offset = self.timeline.segment(key).and_then(|s| s.byte_range).map_or(0, |range| range.start);
        let starts_right = head.content_range.is_none_or(|range| range.start == offset + at);
        if head.status != 206 || !starts_right {
            // Whoever gives everything instead would have us fetch each segment twice.
            if head.status == 200 {
                self.no_ranges_until = Time::MAX;
            }
            self.outbox.push_back(Output::CancelFetch { fetch });
            self.spot_failed(fetch);
        } else if head.body_bytes.is_some_and(|bytes| bytes != len) {
            self.spot_wrong(fetch);
        }
        true
    }

    /// Where bytes of a part belong. `None` when the fetch is not for a part.
    pub(super) fn place_spot(&mut self, fetch: FetchId, len: u32) -> Option<Placement> {
        let spot = self.guard.spots.get_mut(&fetch)?;
        let kept = len.min(spot.len.saturating_sub(spot.received));
        let at = u64::from(spot.received);
        spot.received = spot.received.saturating_add(len);
        self.totals.http_bytes += u64::from(len);
        self.guard.stats.check_bytes += u64::from(len);
        Some(if kept == 0 {
            Placement::Discard
        } else {
            Placement::At { blob: spot.scratch, at, skip: 0, len: kept }
        })
    }

    /// The end of a part's body. Tells whether the fetch was for a part.
    pub(super) fn spot_done(&mut self, fetch: FetchId) -> bool {
        let Some(spot) = self.guard.spots.get_mut(&fetch) else { return false };
        spot.done = true;
        let (blob, len, received) = (spot.scratch, spot.len, spot.received);
        if received != len {
            self.spot_wrong(fetch);
            return true;
        }
        let ask = self.guard.ask(Ask::Theirs(fetch));
        self.outbox.push_back(Output::Digest { ask, blob, at: 0, len });
        true
    }

    pub(super) fn spot_digested(&mut self, fetch: FetchId, digest: Option<Digest>, ours: bool) {
        let Some(spot) = self.guard.spots.get_mut(&fetch) else { return };
        let Some(digest) = digest else { return self.spot_failed(fetch) };
        *(if ours { &mut spot.ours } else { &mut spot.theirs }) = Some(digest);
        let (Some(ours), Some(theirs)) = (spot.ours, spot.theirs) else { return };
        let key = spot.key;
        if ours != theirs {
            return self.spot_wrong(fetch);
        }
        self.end_spot(fetch);
        if self.guard.spots.values().any(|spot| spot.key == key) {
            return;
        }
        let Some(download) = self.downloads.get(key).filter(|download| download.stage == Stage::Checking)
        else {
            return;
        };
        let (Some(digests), suppliers) = (download.digests(), download.suppliers()) else { return };
        let digest = segment_digest(&digests);
        let voices = self.guard.claims.voices(key);
        // Somebody may have spoken up meanwhile.
        if voices.iter().any(|voice| voice.digest != digest) {
            return self.dispute(key);
        }
        let silent = suppliers.into_iter().filter(|peer| voices.iter().all(|voice| voice.peer != *peer));
        let right: Vec<PeerId> = silent.chain(voices.iter().map(|voice| voice.peer)).collect();
        right.into_iter().for_each(|peer| self.guard.standing.proved(peer));
        self.believe(key, digests);
    }

    /// A part is not what peers brought.
    pub(super) fn spot_wrong(&mut self, fetch: FetchId) {
        let Some(key) = self.guard.spots.get(&fetch).map(|spot| spot.key) else { return };
        self.drop_spots(key);
        if self.downloads.get(key).is_some_and(|download| download.stage == Stage::Checking) {
            self.dispute(key);
        }
    }

    /// A part could not be had.
    pub(super) fn spot_failed(&mut self, fetch: FetchId) {
        let Some(spot) = self.guard.spots.get_mut(&fetch) else { return };
        spot.done = true;
        let key = spot.key;
        self.drop_spots(key);
        if self.downloads.get(key).is_some_and(|download| download.stage == Stage::Checking) {
            self.unchecked(key);
        }
    }

    /// No part of a segment can be had from the origin: what somebody vouches for who has proved true is taken, and anything
    /// else is fetched whole.
    fn unchecked(&mut self, key: SegmentKey) {
        let Some(digests) = self.downloads.get(key).and_then(|download| download.digests()) else { return };
        let digest = segment_digest(&digests);
        let voices = self.guard.claims.voices(key);
        let proved = voices.iter().any(|voice| self.guard.standing.of(voice.peer) > 0);
        if proved && voices.iter().all(|voice| voice.digest == digest) {
            self.believe(key, digests);
        } else {
            self.dispute(key);
        }
    }

    fn end_spot(&mut self, fetch: FetchId) {
        if let Some(spot) = self.guard.spots.remove(&fetch) {
            self.outbox.push_back(Output::DropBlob { blob: spot.scratch });
        }
    }

    /// Stops comparing parts of a segment.
    pub(super) fn drop_spots(&mut self, key: SegmentKey) {
        let of_key = self.guard.spots.iter().filter(|(_, spot)| spot.key == key).map(|(fetch, _)| *fetch);
        let running: Vec<FetchId> = of_key.collect();
        for fetch in running {
            if self.guard.spots.get(&fetch).is_some_and(|spot| !spot.done) {
                self.outbox.push_back(Output::CancelFetch { fetch });
            }
            self.end_spot(fetch);
        }
    }

    /// Tells all peers what we know of a segment. A signed record is told only by those who fetched from the origin: they
    /// may have been quicker than the playlists of others.
    pub(super) fn tell_evidence(&mut self, key: SegmentKey) {
        let (Some(kept), Some(entry)) = (self.kept.get(&key), self.cache.get(key)) else { return };
        if self.guard.is_signed() && !kept.came_from_origin() {
            return;
        }
        if let Some(evidence) = self.guard.evidence(key, entry.len, &kept.provenance) {
            let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
            self.swarm.tell_all(self.now, &evidence, &mut out);
        }
    }

    /// Whether bytes of peers may be continued over HTTP: every block is held against its record, or somebody has said
    /// what the whole must be.
    pub(super) fn may_splice(&self, key: SegmentKey) -> bool {
        match self.guard.mode {
            IntegrityMode::Off => true,
            IntegrityMode::Signed => self.signed_bytes(key).is_some(),
            IntegrityMode::Auto => {
                let total = self.downloads.get(key).and_then(|download| download.total.bytes());
                self.guard.claims.voices(key).iter().any(|voice| Some(voice.total_bytes.into()) == total)
            }
        }
    }
}
