//! Signed records: what `integrity.mode` "signed" holds blocks against.
//!
//! A batch of records comes with a playlist's sidecar or from a peer. It counts when its signature holds; what is there
//! already is then held against it, and what is not may come from peers. `unsigned.rs` stands in the place of this where
//! nobody signs: in the browser's usual engine.

use crate::config::IntegrityConfig;
use crate::id::{ByteRange, Digest, PeerId, SegmentKey, TrackId};
use crate::integrity::records::{Known, Records, Refusal};
use crate::integrity::sidecar::{self, SignedBatch};
use crate::integrity::{key_id, stream_id};
use crate::schedule::download::{Block, Download, Total};
use crate::sorted::SortedMap;
use crate::time::Time;
use crate::wire::{Frame, HaveState, MAX_PROOF_BLOCKS, MIN_MESSAGE_BYTES};

use super::guard::Guard;
use super::io::{FetchError, Output, RequestFailure};
use super::{Engine, Event};

/// How often the origin is asked again for bytes that are not the signed ones.
const ORIGIN_FAULTS: u8 = 2;
/// Why a peer is banned that sends records that nobody signed.
const FORGED: &str = "sent forged records";
/// Signed batches whose signatures are being checked; more are left for the next time they are told.
const MAX_CHECKS: usize = 8192;

/// What is held of signed records.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    keys: Vec<(u64, [u8; 32])>,
    max_age_ms: u64,
    records: Records,
    /// With the peer that sent it, if one did.
    checks: SortedMap<u32, (SignedBatch, Option<PeerId>)>,
    /// Signed batches by the segments they are about, for peers: place in the batch and the batch's bytes.
    proofs: SortedMap<SegmentKey, (u8, std::sync::Arc<[u8]>)>,
}

impl Signed {
    pub(super) fn new(options: &IntegrityConfig) -> Signed {
        Signed {
            keys: options.public_keys.0.iter().map(|key| (key_id(key), *key)).collect(),
            max_age_ms: options.max_age_ms,
            records: Records::new(stream_id(options.stream.as_deref().unwrap_or_default())),
            checks: SortedMap::new(),
            proofs: SortedMap::new(),
        }
    }
}

impl Guard {
    /// The earliest moment at which records of a live track may have been signed.
    fn oldest_ms(&self, now: Time, live: bool) -> u64 {
        let unix_ms = self.epoch_unix_ms.map(|epoch| epoch + now.as_millis());
        unix_ms.filter(|_| live).map_or(0, |unix_ms| unix_ms.saturating_sub(self.signed.max_age_ms))
    }

    /// Notes a batch whose signature is checked, once for each pinned key that may have signed it; gives the numbers and
    /// keys.
    fn check(&mut self, batch: SignedBatch, from: Option<PeerId>) -> Result<Vec<(u32, [u8; 32])>, Refusal> {
        let fitting =
            self.signed.keys.iter().filter(|(id, _)| *id == batch.batch.key_id).map(|(_, key)| *key);
        let keys: Vec<[u8; 32]> = fitting.collect();
        if keys.is_empty() {
            return Err(Refusal::Key);
        }
        let mut checks = Vec::with_capacity(keys.len());
        for key in keys {
            if self.signed.checks.len() < MAX_CHECKS {
                let number = self.number();
                self.signed.checks.insert(number, (batch.clone(), from));
                checks.push((number, key));
            }
        }
        Ok(checks)
    }

    /// Takes a checked batch out.
    fn checked(&mut self, check: u32) -> Option<(SignedBatch, Option<PeerId>)> {
        self.signed.checks.remove(&check)
    }

    /// The record of a segment, if its byte range is the one that the playlist gives.
    fn record(&self, key: SegmentKey, range: Option<ByteRange>) -> Option<&Known> {
        let fits = |known: &&Known| {
            let length_fits = range.is_none_or(|range| range.len() == u64::from(known.total_bytes));
            known.resource_offset == range.map_or(0, |range| range.start) && length_fits
        };
        self.signed.records.get(key).filter(fits)
    }

    /// Whether a segment with this byte range has a record.
    pub(super) fn is_recorded(&self, key: SegmentKey, range: Option<ByteRange>) -> bool {
        self.record(key, range).is_some()
    }

    /// The batch that a segment's record stands in with the digests of its blocks, if that fits into a message.
    pub(super) fn proof(&self, key: SegmentKey) -> Option<Frame> {
        let (record, batch) = self.signed.proofs.get(&key)?;
        let blocks = &self.signed.records.get(key)?.blocks;
        let bytes = 3 + blocks.len() * 16 + batch.len();
        (blocks.len() <= MAX_PROOF_BLOCKS && bytes <= MIN_MESSAGE_BYTES as usize).then(|| Frame::Proof {
            record: *record,
            blocks: blocks.clone(),
            batch: batch.to_vec(),
        })
    }
}

impl Engine {
    /// What is signed of a segment.
    fn record(&self, key: SegmentKey) -> Option<&Known> {
        self.guard.record(key, self.timeline.segment(key)?.byte_range)
    }

    /// Whether a segment may be fetched from peers and given to them.
    pub(super) fn may_share(&self, key: SegmentKey) -> bool {
        !self.guard.is_signed() || self.record(key).is_some()
    }

    /// The length of a segment as it was signed.
    pub(super) fn signed_bytes(&self, key: SegmentKey) -> Option<u64> {
        self.record(key).map(|known| known.total_bytes.into())
    }

    /// The digest of a segment's block as it was signed: `None` without a record, `Some(None)` when the record has no
    /// such block.
    pub(super) fn signed_block(&self, key: SegmentKey, index: usize) -> Option<Option<Digest>> {
        self.record(key).map(|known| known.blocks.get(index).copied())
    }

    /// A block is not what was signed.
    pub(super) fn wrong_block(&mut self, key: SegmentKey, index: usize) {
        let Some(download) = self.downloads.get_mut(key) else { return };
        let (start, end) = download.block_range(index);
        let overlapping = download.parts.iter().filter(|part| part.start < end && start < part.end);
        let mut liars: Vec<_> = overlapping.map(|part| part.peer).collect();
        liars.sort_unstable();
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
    pub(super) fn origin_fault(&mut self, key: SegmentKey) {
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.origin_faults += 1;
        let faults = download.origin_faults;
        if faults < ORIGIN_FAULTS {
            // All of it, since the rest of a bad answer is likely to be bad too, and would count as the second.
            self.cancel_http(key);
            self.cancel_transfers(key);
            self.restart(key);
            self.dirty = true;
            return;
        }
        let error = FetchError::Network("the origin's bytes are not the signed ones".to_owned());
        let wait = crate::time::Span::from_millis(self.config.loader.http_failed_segment_timeout);
        self.failed.insert(key, (self.now + wait, error));
        self.abandon(key);
        self.fail_wants(key, RequestFailure::Unsigned);
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
                    match self.check_batch(batch, None) {
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
    pub(super) fn proof_came(&mut self, peer: PeerId, record: u8, blocks: Vec<Digest>, batch: &[u8]) {
        if !self.guard.is_signed() {
            return;
        }
        // What a peer sends amiss is no news for the page: the record must come from somewhere else. Nobody passes on what he
        // has not checked himself.
        let Ok(mut signed) = sidecar::read_bare(batch) else {
            return self.ban(peer, FORGED);
        };
        // Whether its age matters is known only once the playlist is.
        if self.timeline.kind(signed.batch.track).is_none() {
            return;
        }
        let place = usize::from(record);
        let fits = signed.batch.records.get(place).is_some_and(|record| record.has_blocks(&blocks));
        if !fits {
            return self.ban(peer, FORGED);
        }
        signed.blocks = vec![Vec::new(); signed.batch.records.len()];
        signed.blocks[place] = blocks;
        let _ = self.check_batch(signed, Some(peer));
    }

    fn check_batch(&mut self, batch: SignedBatch, from: Option<PeerId>) -> Result<(), Refusal> {
        let oldest_ms = self.guard.oldest_ms(self.now, self.timeline.live(batch.batch.track));
        self.guard.signed.records.admit(&batch, oldest_ms)?;
        let (message, signature) = (batch.message(), batch.signature);
        for (check, public_key) in self.guard.check(batch, from)? {
            let message = message.clone();
            self.outbox.push_back(Output::CheckSignature { check, public_key, message, signature });
        }
        Ok(())
    }

    /// A signature was checked.
    pub(super) fn signature_checked(&mut self, check: u32, ok: bool) {
        let Some((batch, from)) = self.guard.checked(check) else { return };
        let oldest_ms = self.guard.oldest_ms(self.now, self.timeline.live(batch.batch.track));
        let admitted = self.guard.signed.records.admit(&batch, oldest_ms);
        let refusal = match admitted {
            _ if !ok => Refusal::Signature,
            Ok(()) => return self.records_came(batch),
            Err(why) => why,
        };
        match (refusal, from) {
            (Refusal::Signature, Some(peer)) => self.ban(peer, FORGED),
            // What a peer sends amiss is no news for the page, nor what is known.
            (_, Some(_)) | (Refusal::Held, None) => {}
            (why, None) => self.records_refused(why.to_string()),
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
        let (added, anew) = self.guard.signed.records.add(batch);
        if anew {
            self.guard.signed.proofs.retain(|key, _| key.track != track);
            self.forget_unsigned(track);
            self.abandon_unsigned(track);
        }
        self.guard.stats.records = self.guard.signed.records.len();
        for key in added {
            let place = places.iter().position(|known| *known == key).unwrap_or(0);
            self.guard.signed.proofs.insert(key, (place as u8, bare.clone()));
            self.record_came(key);
        }
        self.dirty = true;
    }

    /// Segments that were shared under records of an earlier chain are not shared any more.
    fn forget_unsigned(&mut self, track: TrackId) {
        let kept: Vec<SegmentKey> = self.cache.of_track(track).map(|(key, _)| key).collect();
        for key in kept {
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.provenance.verified = false;
            }
            self.swarm.set_state(self.now, key, HaveState::Gone);
            self.forget_uploads(key, false);
        }
    }

    /// What is on its way from peers was held against records that do not count any more.
    fn abandon_unsigned(&mut self, track: TrackId) {
        let from_peers = |download: &&Download| download.p2p_bytes > 0 || !download.peers.is_empty();
        let of_track = self.downloads.iter().filter(|download| download.key.track == track);
        let open: Vec<SegmentKey> = of_track.filter(from_peers).map(|download| download.key).collect();
        open.into_iter().for_each(|key| self.abandon(key));
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
            } else {
                self.forget_cached(key);
            }
            return;
        }
        let Some(download) = self.downloads.get_mut(key) else { return };
        let total = u64::from(known.total_bytes);
        if download.total.bytes().is_some_and(|bytes| bytes != total) {
            return self.abandon(key);
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
