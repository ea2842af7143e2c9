//! What the engine holds to know whether bytes are a segment's.

use crate::config::{Config, IntegrityMode};
use crate::id::{BlobId, Digest, FetchId, SegmentKey};
use crate::integrity::claims::Claims;
use crate::integrity::segment_digest;
use crate::integrity::standing::Standing;
use crate::sorted::SortedMap;
use crate::time::Time;
use crate::wire::{Claim, Frame};

use super::event::IntegrityStats;
use super::finishing::Provenance;
#[cfg(feature = "signed")]
use super::signed::Signed;

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
    /// The moment at which the engine's clock was zero, in milliseconds since 1970.
    pub(super) epoch_unix_ms: Option<u64>,
    #[cfg(feature = "signed")]
    pub(super) signed: Signed,
    pub(super) claims: Claims,
    pub(super) standing: Standing,
    pub(super) asks: SortedMap<u32, Ask>,
    pub(super) spots: SortedMap<FetchId, Spot>,
    /// What is known of segments that the page's validator is asked about.
    pub(super) passed: SortedMap<SegmentKey, Provenance>,
    /// Until when others may still speak of what the numbers of a track meant before.
    pub(super) forgiving_until: Time,
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
            epoch_unix_ms: None,
            #[cfg(feature = "signed")]
            signed: Signed::new(options),
            claims: Claims::default(),
            standing: Standing::default(),
            asks: SortedMap::new(),
            spots: SortedMap::new(),
            passed: SortedMap::new(),
            forgiving_until: Time::ZERO,
            next_number: 0,
            stats: IntegrityStats { mode, ..IntegrityStats::default() },
        }
    }

    pub(super) fn is_signed(&self) -> bool {
        cfg!(feature = "signed") && self.mode == IntegrityMode::Signed
    }

    pub(super) fn is_auto(&self) -> bool {
        self.mode == IntegrityMode::Auto
    }

    /// Whether blocks are hashed.
    pub(super) fn hashes(&self) -> bool {
        self.mode != IntegrityMode::Off
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// Notes a question for a digest and gives its number.
    pub(super) fn ask(&mut self, ask: Ask) -> u32 {
        let number = self.number();
        self.asks.insert(number, ask);
        number
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
            #[cfg(feature = "signed")]
            IntegrityMode::Signed => self.proof(key),
            _ => None,
        }
    }

    /// Whether `bytes` more may be fetched for comparing.
    pub(super) fn can_afford(&self, bytes: u64, p2p_bytes: u64) -> bool {
        self.spots.len() < MAX_SPOTS
            && self.stats.check_bytes + bytes <= FIRST_SPOT_BYTES + p2p_bytes / SPOT_SHARE
    }
}
