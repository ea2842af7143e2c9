//! What the engine holds to know whether bytes are a segment's.

use crate::config::{Config, IntegrityMode};
use crate::id::{BlobId, Digest, FetchId, SegmentKey};
use crate::integrity::claims::Claims;
use crate::integrity::records::{Known, Records};
use crate::integrity::sidecar::SignedBatch;
use crate::integrity::standing::Standing;
use crate::integrity::{key_id, segment_digest, stream_id};
use crate::sorted::SortedMap;
use crate::time::Time;
use crate::wire::{Claim, Frame, MAX_PROOF_BLOCKS, MIN_MESSAGE_BYTES};

use super::event::IntegrityStats;
use super::finishing::Provenance;

/// Signed batches whose signatures are being checked; more are left for the next time they are told.
const MAX_CHECKS: usize = 8192;
/// Parts of segments that are fetched from the origin at a time, to be compared.
pub(super) const MAX_SPOTS: usize = 4;
/// What may be fetched for comparing before anything has come from peers, in bytes.
const FIRST_SPOT_BYTES: u64 = 512 * 1024;
/// Of so many bytes from peers, one may be fetched for comparing.
const SPOT_SHARE: u64 = 66;

/// Why the shell was asked for a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A block of a segment on its way.
    Block { key: SegmentKey, blob: BlobId, index: usize },
    /// What we have of a part that is compared.
    Ours(FetchId),
    /// What the origin has of it.
    Theirs(FetchId),
}

/// A part of a segment that is fetched from the origin, to be compared.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) key: SegmentKey,
    /// Where the origin's bytes are put.
    pub(super) scratch: BlobId,
    /// Offset in the segment.
    pub(super) at: u64,
    pub(super) len: u32,
    pub(super) received: u32,
    pub(super) done: bool,
    pub(super) until: Time,
    pub(super) ours: Option<Digest>,
    pub(super) theirs: Option<Digest>,
}

/// Everything that tells right bytes from wrong ones.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) mode: IntegrityMode,
    keys: Vec<(u64, [u8; 32])>,
    max_age_ms: u64,
    /// The moment at which the engine's clock was zero, in milliseconds since 1970.
    pub(super) epoch_unix_ms: Option<u64>,
    pub(super) records: Records,
    checks: SortedMap<u32, SignedBatch>,
    /// Signed batches by the segments they are about, for peers: place in the batch and the batch's bytes.
    pub(super) proofs: SortedMap<SegmentKey, (u8, std::sync::Arc<[u8]>)>,
    pub(super) claims: Claims,
    pub(super) standing: Standing,
    pub(super) asks: SortedMap<u32, Ask>,
    pub(super) spots: SortedMap<FetchId, Spot>,
    /// What is known of segments that the page's validator is asked about.
    pub(super) passed: SortedMap<SegmentKey, Provenance>,
    next_number: u32,
    pub(super) stats: IntegrityStats,
}

impl Guard {
    pub(super) fn new(config: &Config) -> Guard {
        let options = &config.integrity;
        // Without trackers nobody will be met, and nothing be had from anybody.
        let alone = config.loader.tracker_announce.is_empty();
        let mode = if alone { IntegrityMode::Off } else { options.mode };
        Guard {
            mode,
            keys: options.public_keys.0.iter().map(|key| (key_id(key), *key)).collect(),
            max_age_ms: options.max_age_ms,
            epoch_unix_ms: None,
            records: Records::new(stream_id(options.stream.as_deref().unwrap_or_default())),
            checks: SortedMap::new(),
            proofs: SortedMap::new(),
            claims: Claims::default(),
            standing: Standing::default(),
            asks: SortedMap::new(),
            spots: SortedMap::new(),
            passed: SortedMap::new(),
            next_number: 0,
            stats: IntegrityStats { mode, ..IntegrityStats::default() },
        }
    }

    pub(super) fn is_signed(&self) -> bool {
        self.mode == IntegrityMode::Signed
    }

    pub(super) fn is_auto(&self) -> bool {
        self.mode == IntegrityMode::Auto
    }

    /// Whether blocks are hashed.
    pub(super) fn hashes(&self) -> bool {
        self.mode != IntegrityMode::Off
    }

    fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// Notes a question for a digest and gives its number.
    pub(super) fn ask(&mut self, ask: Ask) -> u32 {
        let number = self.number();
        self.asks.insert(number, ask);
        number
    }

    /// The earliest moment at which records of a live track may have been signed.
    pub(super) fn oldest_ms(&self, now: Time, live: bool) -> u64 {
        let unix_ms = self.epoch_unix_ms.map(|epoch| epoch + now.as_millis());
        unix_ms.filter(|_| live).map_or(0, |unix_ms| unix_ms.saturating_sub(self.max_age_ms))
    }

    /// Notes a batch whose signature is checked, once for each pinned key that may have signed it; gives the numbers and
    /// keys.
    pub(super) fn check(&mut self, batch: SignedBatch) -> Vec<(u32, [u8; 32])> {
        let fitting = self.keys.iter().filter(|(id, _)| *id == batch.batch.key_id).map(|(_, key)| *key);
        let keys: Vec<[u8; 32]> = fitting.collect();
        let mut checks = Vec::with_capacity(keys.len());
        for key in keys {
            if self.checks.len() < MAX_CHECKS {
                let number = self.number();
                self.checks.insert(number, batch.clone());
                checks.push((number, key));
            }
        }
        checks
    }

    /// Takes a checked batch out.
    pub(super) fn checked(&mut self, check: u32) -> Option<SignedBatch> {
        self.checks.remove(&check)
    }

    /// The record of a segment, if its byte range is the one that the playlist gives.
    pub(super) fn record(&self, key: SegmentKey, resource_offset: u64) -> Option<&Known> {
        self.records.get(key).filter(|known| known.resource_offset == resource_offset)
    }

    /// What peers are told of a segment that we have: our word on its digest, or the batch that its record stands in with
    /// the digests of its blocks, if that fits into a message.
    pub(super) fn evidence(&self, key: SegmentKey, len: u64, provenance: &Provenance) -> Option<Frame> {
        match self.mode {
            IntegrityMode::Auto if provenance.verified => Some(Frame::Claim(Claim {
                key,
                total_bytes: u32::try_from(len).ok()?,
                digest: segment_digest(&provenance.digests),
                origin: provenance.origin,
            })),
            IntegrityMode::Signed => {
                let (record, batch) = self.proofs.get(&key)?;
                let blocks = &self.records.get(key)?.blocks;
                let bytes = 3 + blocks.len() * 16 + batch.len();
                (blocks.len() <= MAX_PROOF_BLOCKS && bytes <= MIN_MESSAGE_BYTES as usize)
                    .then(|| Frame::Proof { record: *record, blocks: blocks.clone(), batch: batch.to_vec() })
            }
            _ => None,
        }
    }

    /// Whether `bytes` more may be fetched for comparing.
    pub(super) fn can_afford(&self, bytes: u64, p2p_bytes: u64) -> bool {
        self.spots.len() < MAX_SPOTS
            && self.stats.check_bytes + bytes <= FIRST_SPOT_BYTES + p2p_bytes / SPOT_SHARE
    }
}
