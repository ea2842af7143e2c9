//! Makes records, signs them and keeps a playlist's sidecar.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use hlswarm::engine::SegmentInfo;
use hlswarm::id::{Digest, TrackId};
use hlswarm::integrity::sidecar::{self, Batch, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, Record, SignedBatch};
use hlswarm::integrity::{BLOCK_BYTES, block_digest, key_id, root, stream_id};
use sha2::{Digest as _, Sha256};

use crate::peertube::Hashes;
use crate::tree::{Media, Tree};

/// Who signs what.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    stream: Digest,
    generation_ms: u64,
    /// Hashes that segments must have, if any are given.
    expected: Option<Hashes>,
}

/// One track's chain while it is being signed.
#[derive(Clone, Debug, Default)]
struct Chain {
    signed: BTreeSet<(u32, u64)>,
    batches: Vec<SignedBatch>,
    next: u32,
    previous: Option<Digest>,
}

/// The sidecar of one playlist while it is being signed.
#[derive(Clone, Debug, Default)]
pub struct Sidecar {
    chains: Vec<(TrackId, Chain)>,
}

/// What a pass over a playlist did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Segments signed now.
    pub signed: usize,
    /// Segments whose files are not there yet.
    pub missing: usize,
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    // The one program of the project that stands in real time by its nature.
    #[allow(clippy::disallowed_methods, reason = "records are dated")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

/// `NAME.m3u8` has its records in `NAME.m3u8.hsig`.
pub fn sidecar_path(playlist: &Path) -> PathBuf {
    let mut name = playlist.as_os_str().to_owned();
    name.push(".hsig");
    name.into()
}

/// The record of a segment and the digests of its blocks.
///
/// # Errors
/// When the segment is empty or too long.
pub fn record_of(segment: &SegmentInfo, bytes: &[u8]) -> Result<(Record, Vec<Digest>), String> {
    let total_bytes = u32::try_from(bytes.len()).ok().filter(|len| (1..=MAX_RECORD_BYTES).contains(len));
    let total_bytes = total_bytes.ok_or_else(|| {
        format!("{}: {} bytes, 1 to {MAX_RECORD_BYTES} can be signed", segment.url, bytes.len())
    })?;
    let blocks: Vec<Digest> = bytes.chunks(BLOCK_BYTES as usize).map(block_digest).collect();
    let record = Record {
        discontinuity: segment.discontinuity,
        sequence: segment.sequence,
        resource_offset: segment.byte_range.map_or(0, |range| range.start),
        total_bytes,
        root: root(&blocks),
        sha256: Sha256::digest(bytes).into(),
    };
    Ok((record, blocks))
}

impl Signer {
    /// Signs with a key for a stream, in a chain that begins now.
    pub fn new(key: SigningKey, stream: &str, expected: Option<Hashes>) -> Signer {
        Signer { key, stream: stream_id(stream), generation_ms: now_ms(), expected }
    }

    /// Signs the segments of a playlist that are not signed yet, and writes its sidecar if there were any. A live
    /// playlist keeps the records of what it lists and of as much before. With `wait`, files that are not there
    /// yet are left for the next pass.
    ///
    /// # Errors
    /// Names the file that cannot be read or written, or the segment that is not what it should be.
    pub fn sign(
        &self,
        tree: &Tree,
        media: &Media,
        sidecar: &mut Sidecar,
        wait: bool,
    ) -> Result<Pass, String> {
        let mut pass = Pass::default();
        for track in &media.tracks {
            if !sidecar.chains.iter().any(|(known, _)| known == track) {
                sidecar.chains.push((*track, Chain::default()));
            }
        }
        let mut fresh = Vec::new();
        let known = |segment: &SegmentInfo, chain: &Chain| {
            chain.signed.contains(&(segment.discontinuity, segment.sequence))
        };
        for segment in &media.segments {
            if sidecar.chains.iter().all(|(_, chain)| known(segment, chain)) {
                continue;
            }
            if wait && !tree.segment_file(segment)?.exists() {
                pass.missing += 1;
                continue;
            }
            let bytes = tree.read_segment(segment)?;
            if let Some(expected) = &self.expected {
                expected.check(segment, &bytes)?;
            }
            fresh.push(record_of(segment, &bytes)?);
            pass.signed += 1;
        }
        if fresh.is_empty() && sidecar_path(&media.file).exists() {
            return Ok(pass);
        }
        for (track, chain) in &mut sidecar.chains {
            for records in fresh.chunks(MAX_BATCH_RECORDS) {
                self.extend(*track, chain, records);
            }
            if media.live {
                chain.keep(&media.segments);
            }
        }
        let batches: Vec<SignedBatch> =
            sidecar.chains.iter().flat_map(|(_, chain)| &chain.batches).cloned().collect();
        write_whole(&sidecar_path(&media.file), &sidecar::write(&batches))?;
        Ok(pass)
    }

    fn extend(&self, track: TrackId, chain: &mut Chain, records: &[(Record, Vec<Digest>)]) {
        let batch = Batch {
            key_id: key_id(self.key.verifying_key().as_bytes()),
            stream: self.stream,
            track,
            generation_ms: self.generation_ms,
            number: chain.next,
            signed_ms: now_ms(),
            previous: chain.previous.unwrap_or(Digest([0; 16])),
            records: records.iter().map(|(record, _)| record.clone()).collect(),
        };
        let blocks = records.iter().map(|(_, blocks)| blocks.clone()).collect();
        let mut signed = SignedBatch { body: batch.body(), batch, signature: [0; 64], blocks };
        signed.signature = self.key.sign(&signed.message()).to_bytes();
        chain.previous = Some(Batch::hash(&signed.body));
        chain.next += 1;
        chain.signed.extend(records.iter().map(|(record, _)| (record.discontinuity, record.sequence)));
        chain.batches.push(signed);
    }
}

impl Chain {
    /// Forgets batches that are about nothing but segments long gone from a live playlist.
    fn keep(&mut self, listed: &[SegmentInfo]) {
        let Some(first) = listed.first() else { return };
        let oldest = first.sequence.saturating_sub(listed.len() as u64);
        self.batches.retain(|signed| signed.batch.records.iter().any(|record| record.sequence >= oldest));
        self.signed.retain(|(_, sequence)| *sequence >= oldest);
    }
}

/// Readers see the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    fs::write(&draft, bytes)
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|error| format!("{}: {error}", path.display()))
}
