//! Hashing what arrives, and holding it against signed records.
//!
//! Every block is hashed as soon as it is complete. With signed records a block counts only when its digest is the signed
//! one: before that it is neither delivered nor forwarded, and a wrong one costs its sender the link and is fetched again,
//! alone. Without, the digests say in the end what segment this is; `settling` takes it from there.

use crate::id::{BlobId, Digest, SegmentKey};
use crate::integrity::BLOCK_BYTES;
use crate::integrity::records::{Known, Refusal};
use crate::integrity::sidecar::{self, SignedBatch};
use crate::schedule::download::{Block, Stage, Total};
use crate::wire::HaveState;

use super::finishing::Provenance;
use super::guard::Ask;
use super::io::{FetchError, Output, RequestFailure};
use super::{Engine, Event};

/// How often the origin is asked again for bytes that are not the signed ones.
const ORIGIN_FAULTS: u8 = 2;

impl Engine {
    /// What is signed of a segment.
    pub(super) fn record(&self, key: SegmentKey) -> Option<&Known> {
        let range = self.timeline.segment(key)?.byte_range;
        let known = self.guard.record(key, range.map_or(0, |range| range.start))?;
        let fits = range.is_none_or(|range| range.len() == u64::from(known.total_bytes));
        fits.then_some(known)
    }

    /// Whether a segment may be fetched from peers and given to them.
    pub(super) fn may_share(&self, key: SegmentKey) -> bool {
        !self.guard.is_signed() || self.record(key).is_some()
    }

    /// What is known of a segment's length before anything has come.
    pub(super) fn certain_bytes(&self, key: SegmentKey) -> Option<u64> {
        let range = self.timeline.segment(key)?.byte_range;
        let signed = || self.record(key).map(|known| known.total_bytes.into());
        range.map(crate::id::ByteRange::len).or_else(signed)
    }

    /// Has the blocks hashed that `start..end` completed.
    pub(super) fn hash_complete(&mut self, key: SegmentKey, start: u64, end: u64) {
        if !self.guard.hashes() {
            return;
        }
        let Some(download) = self.downloads.get_mut(key) else { return };
        for index in download.take_complete_blocks(start, end) {
            let (at, past) = download.block_range(index);
            let blob = download.blob;
            let ask = self.guard.ask(Ask::Block { key, blob, index });
            self.outbox.push_back(Output::Digest { ask, blob, at, len: (past - at) as u32 });
        }
    }

    /// All bytes of a segment are there: waits for the digests, or goes on.
    pub(super) fn hash_whole(&mut self, key: SegmentKey) {
        self.hash_complete(key, 0, u64::MAX);
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.verifying = true;
        download.stage = Stage::Digesting;
        if let Some(digests) = download.digests() {
            self.hashed(key, digests);
        }
    }

    /// An answer of the shell.
    pub(super) fn digested(&mut self, ask: u32, digest: Option<Digest>) {
        let Some(ask) = self.guard.asks.remove(&ask) else { return };
        match (ask, digest) {
            (Ask::Block { key, blob, index }, Some(digest)) => self.block_digested(key, blob, index, digest),
            (Ask::Ours(fetch), digest) => self.spot_digested(fetch, digest, true),
            (Ask::Theirs(fetch), digest) => self.spot_digested(fetch, digest, false),
            (Ask::Block { .. }, None) => {}
        }
    }

    fn block_digested(&mut self, key: SegmentKey, blob: BlobId, index: usize, digest: Digest) {
        let signed = self.record(key).map(|known| known.blocks.get(index).copied());
        let Some(download) = self.downloads.get_mut(key).filter(|download| download.blob == blob) else {
            return;
        };
        let Some(block) = download.blocks.get_mut(index).filter(|block| **block == Block::Asked) else {
            return;
        };
        if self.guard.is_signed() && signed.is_some_and(|signed| signed != Some(digest)) {
            return self.wrong_block(key, index);
        }
        *block = Block::Known(digest);
        let digests = if download.stage == Stage::Digesting { download.digests() } else { None };
        if self.guard.is_signed() {
            self.guard.stats.verified_bytes += if signed.is_some() { BLOCK_BYTES } else { 0 };
            self.bytes_arrived(key);
        }
        if let Some(digests) = digests {
            self.hashed(key, digests);
        }
    }

    /// All blocks of a complete segment have their digests.
    fn hashed(&mut self, key: SegmentKey, digests: Vec<Digest>) {
        if self.guard.is_auto() {
            return self.settle(key, digests);
        }
        let signed_bytes = self.record(key).map(|known| u64::from(known.total_bytes));
        let Some(download) = self.downloads.get_mut(key) else { return };
        if signed_bytes.is_some_and(|bytes| download.total != Total::Known(bytes)) {
            return self.origin_fault(key);
        }
        let provenance = Provenance { digests, origin: 0, verified: signed_bytes.is_some() };
        self.pass(key, provenance);
    }

    /// A block is not what was signed.
    fn wrong_block(&mut self, key: SegmentKey, index: usize) {
        let Some(download) = self.downloads.get_mut(key) else { return };
        let (start, end) = download.block_range(index);
        let overlapping = download.parts.iter().filter(|part| part.start < end && start < part.end);
        let mut liars: Vec<_> = overlapping.map(|part| part.peer).collect();
        liars.dedup();
        download.forget(start, end);
        self.totals.wasted_bytes += end - start;
        self.guard.stats.refused_bytes += end - start;
        self.outbox.push_back(Output::Clear { blob: download.blob, at: start, len: (end - start) as u32 });
        self.dirty = true;
        self.tell_refused(key, &liars);
        if liars.is_empty() {
            return self.origin_fault(key);
        }
        let sure = liars.len() == 1;
        for peer in liars {
            if sure || self.guard.standing.struck(peer) {
                self.ban(peer, "sent bytes that are not the signed ones");
            }
        }
    }

    /// The origin's own bytes are not the signed ones: once is bad luck.
    fn origin_fault(&mut self, key: SegmentKey) {
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.origin_faults += 1;
        let faults = download.origin_faults;
        if faults < ORIGIN_FAULTS {
            if download.received.is_empty() || download.is_whole() {
                self.cancel_http(key);
                self.restart(key);
            }
            self.dirty = true;
            return;
        }
        let error = FetchError::Network("the origin's bytes are not the signed ones".to_owned());
        let wait = std::time::Duration::from_millis(self.config.loader.http_failed_segment_timeout);
        self.failed.insert(key, (self.now + wait, error));
        self.abandon(key);
        self.fail_wants(key, RequestFailure::Unsigned);
    }

    /// Tells the page that bytes were not a segment's.
    pub(super) fn tell_refused(&mut self, key: SegmentKey, peers: &[crate::id::PeerId]) {
        self.guard.stats.refused_segments += 1;
        self.outbox.push_back(Output::Event(Event::SegmentRefused { key, peers: peers.to_vec() }));
    }

    /// A playlist's sidecar came.
    pub(super) fn sidecar(&mut self, bytes: &[u8]) {
        if !self.guard.is_signed() {
            return;
        }
        match sidecar::read(bytes) {
            Ok(batches) => {
                let mut refusal = None;
                for batch in batches {
                    match self.check_batch(batch) {
                        Ok(()) | Err(Refusal::Held) => {}
                        Err(why) => refusal = Some(why),
                    }
                }
                if let Some(why) = refusal {
                    self.records_refused(why.to_string());
                }
            }
            Err(error) => self.records_refused(error.to_string()),
        }
    }

    /// A peer sent signed records.
    pub(super) fn proof_came(&mut self, record: u8, blocks: Vec<Digest>, batch: &[u8]) {
        if !self.guard.is_signed() {
            return;
        }
        // What a peer sends amiss is no news for the page: the record must come from somewhere else.
        let Ok(mut signed) = sidecar::read_bare(batch) else { return };
        let place = usize::from(record);
        let fits = signed.batch.records.get(place).is_some_and(|record| record.has_blocks(&blocks));
        if fits {
            signed.blocks = vec![Vec::new(); signed.batch.records.len()];
            signed.blocks[place] = blocks;
            let _ = self.check_batch(signed);
        }
    }

    fn check_batch(&mut self, batch: SignedBatch) -> Result<(), Refusal> {
        let oldest_ms = self.guard.oldest_ms(self.now, self.timeline.live(batch.batch.track));
        self.guard.records.admit(&batch, oldest_ms)?;
        let (message, signature) = (batch.message(), batch.signature);
        let checks = self.guard.check(batch);
        if checks.is_empty() {
            return Err(Refusal::Key);
        }
        for (check, public_key) in checks {
            let message = message.clone();
            self.outbox.push_back(Output::CheckSignature { check, public_key, message, signature });
        }
        Ok(())
    }

    /// A signature was checked.
    pub(super) fn signature_checked(&mut self, check: u32, ok: bool) {
        let Some(batch) = self.guard.checked(check) else { return };
        let oldest_ms = self.guard.oldest_ms(self.now, self.timeline.live(batch.batch.track));
        let admitted = self.guard.records.admit(&batch, oldest_ms);
        match admitted {
            _ if !ok => self.records_refused(Refusal::Signature.to_string()),
            Err(Refusal::Held) => {}
            Err(why) => self.records_refused(why.to_string()),
            Ok(()) => self.records_came(batch),
        }
    }

    fn records_refused(&mut self, why: String) {
        self.outbox.push_back(Output::Event(Event::RecordsRefused { reason: why }));
    }

    /// Authentic records: what is there already is held against them, what is not may now come from peers.
    fn records_came(&mut self, batch: SignedBatch) {
        let track = batch.batch.track;
        let mut bare = Vec::new();
        batch.write(&mut bare, false);
        let bare: std::sync::Arc<[u8]> = bare.into();
        let places: Vec<SegmentKey> = batch.batch.records.iter().map(|record| record.key(track)).collect();
        let (added, anew) = self.guard.records.add(batch);
        if anew {
            self.guard.proofs.retain(|key, _| key.track != track);
            self.forget_unsigned(track);
        }
        self.guard.stats.records = self.guard.records.len();
        for key in added {
            let place = places.iter().position(|known| *known == key).unwrap_or(0);
            self.guard.proofs.insert(key, (place as u8, bare.clone()));
            self.record_came(key);
        }
        self.dirty = true;
    }

    /// Segments that were shared under records of an earlier chain are not shared any more.
    fn forget_unsigned(&mut self, track: crate::id::TrackId) {
        let kept: Vec<SegmentKey> = self.cache.of_track(track).map(|(key, _)| key).collect();
        for key in kept {
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.provenance.verified = false;
            }
            self.swarm.set_state(self.now, key, HaveState::Gone);
            self.forget_uploads(key, false);
        }
    }

    fn record_came(&mut self, key: SegmentKey) {
        let Some(known) = self.record(key).cloned() else { return };
        if let Some(kept) = self.kept.get_mut(&key)
            && self.cache.get(key).is_some()
        {
            if kept.provenance.digests == known.blocks {
                kept.provenance.verified = true;
                self.swarm.set_state(self.now, key, HaveState::Loaded);
                self.tell_evidence(key);
            }
            return;
        }
        let Some(download) = self.downloads.get_mut(key) else { return };
        let total = u64::from(known.total_bytes);
        if download.total.bytes().is_some_and(|bytes| bytes != total) {
            if download.http.is_none() {
                self.abandon(key);
            }
            return;
        }
        download.total = Total::Known(total);
        let wrong = |(index, block): (usize, &Block)| match block {
            Block::Known(digest) => known.blocks.get(index) != Some(digest),
            _ => false,
        };
        let wrong: Vec<usize> = download
            .blocks
            .iter()
            .enumerate()
            .filter(|found| wrong(*found))
            .map(|(index, _)| index)
            .collect();
        for index in wrong {
            self.wrong_block(key, index);
        }
        self.hash_complete(key, 0, u64::MAX);
        self.bytes_arrived(key);
    }
}
