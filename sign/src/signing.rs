//! Makes records, signs them and keeps a playlist's sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use hlswarm::engine::SegmentInfo;
use hlswarm::id::{ByteRange, Digest, TrackId};
use hlswarm::integrity::sidecar::{self, Batch, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, Record, SignedBatch};
use hlswarm::integrity::{BLOCK_BYTES, block_digest, key_id, root, stream_id};
use sha2::{Digest as _, Sha256};

use crate::peertube::Hashes;
use crate::tree::{Media, Stamp, Tree};

/// How many segments a live playlist may be behind itself, as players take it; further back it began anew.
const MAX_LAG: u64 = 3;

/// Who signs what.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    stream: Digest,
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

/// What a segment was signed as, to notice when its number comes to mean another one.
#[derive(Clone, Debug)]
struct Source {
    file: PathBuf,
    range: Option<ByteRange>,
    stamp: Stamp,
    root: [u8; 32],
}

/// The sidecar of one playlist while it is being signed.
#[derive(Clone, Debug, Default)]
pub struct Sidecar {
    chains: Vec<(TrackId, Chain)>,
    sources: BTreeMap<(u32, u64), Source>,
    generation_ms: u64,
}

/// What a pass over a playlist did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Segments signed now.
    pub signed: usize,
    /// Segments whose files, or whose hashes where some are expected, are not there yet.
    pub missing: usize,
    /// Whether segments that were signed are others now, so that a new chain was begun.
    pub began_anew: bool,
    /// What is wrong with segments that were left for the next pass, for people.
    pub problems: Vec<String>,
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
    /// Signs with a key for a stream.
    pub fn new(key: SigningKey, stream: &str, expected: Option<Hashes>) -> Signer {
        Signer { key, stream: stream_id(stream), expected }
    }

    /// Takes other hashes that segments must have.
    pub fn expect(&mut self, expected: Hashes) {
        self.expected = Some(expected);
    }

    /// Signs the segments of a playlist that are not signed yet, and writes its sidecar if there were any. A live
    /// playlist keeps the records of what it lists and of as much before. When what was signed is something else now, as
    /// after the restart of a packager, a new chain begins, whose generation is the time but later than any before, that of
    /// the file included. With `wait`, segments that are not there yet, or wrong, are left for the next pass.
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
        let path = sidecar_path(&media.file);
        if sidecar.generation_ms == 0 || sidecar.is_outdated(tree, media) {
            pass.began_anew = sidecar.generation_ms > 0;
            let before = sidecar.generation_ms.max(generation_in(&path));
            *sidecar = Sidecar { generation_ms: now_ms().max(before + 1), ..Sidecar::default() };
        }
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
            let unlisted = self.expected.as_ref().is_some_and(|expected| !expected.lists(segment));
            let stamp = tree.stamp(segment).filter(|stamp| stamp.bytes > 0);
            if wait && (stamp.is_none() || unlisted) {
                pass.missing += 1;
                continue;
            }
            match self.record(tree, segment) {
                Ok(record) => {
                    if let Some(stamp) = stamp {
                        let file = tree.segment_file(segment)?;
                        let source = Source { file, range: segment.byte_range, stamp, root: record.0.root };
                        sidecar.sources.insert((segment.discontinuity, segment.sequence), source);
                    }
                    fresh.push(record);
                }
                Err(why) if wait => pass.problems.push(why),
                Err(why) => return Err(why),
            }
        }
        pass.signed = fresh.len();
        if fresh.is_empty() && path.exists() && !pass.began_anew {
            return Ok(pass);
        }
        let generation_ms = sidecar.generation_ms;
        for (track, chain) in &mut sidecar.chains {
            for records in fresh.chunks(MAX_BATCH_RECORDS) {
                self.extend(*track, chain, records, generation_ms);
            }
            if media.live {
                chain.keep(&media.segments);
            }
        }
        let batches: Vec<SignedBatch> =
            sidecar.chains.iter().flat_map(|(_, chain)| &chain.batches).cloned().collect();
        let signed =
            |place: &(u32, u64)| sidecar.chains.iter().any(|(_, chain)| chain.signed.contains(place));
        sidecar.sources.retain(|place, _| signed(place));
        write_whole(&path, &sidecar::write(&batches))?;
        Ok(pass)
    }

    fn record(&self, tree: &Tree, segment: &SegmentInfo) -> Result<(Record, Vec<Digest>), String> {
        let bytes = tree.read_segment(segment)?;
        if let Some(expected) = &self.expected {
            expected.check(segment, &bytes)?;
        }
        record_of(segment, &bytes)
    }

    fn extend(
        &self,
        track: TrackId,
        chain: &mut Chain,
        records: &[(Record, Vec<Digest>)],
        generation_ms: u64,
    ) {
        let batch = Batch {
            key_id: key_id(self.key.verifying_key().as_bytes()),
            stream: self.stream,
            track,
            generation_ms,
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

impl Sidecar {
    /// Whether what was signed is something else now.
    fn is_outdated(&mut self, tree: &Tree, media: &Media) -> bool {
        let newest = self.sources.keys().map(|(_, sequence)| *sequence).max();
        if let (Some(newest), Some(last)) = (newest, media.segments.last())
            && media.live
            && last.sequence + MAX_LAG < newest
        {
            return true;
        }
        media.segments.iter().any(|segment| {
            let source = self.sources.get_mut(&(segment.discontinuity, segment.sequence));
            source.is_some_and(|source| source.is_another(tree, segment))
        })
    }
}

impl Source {
    fn is_another(&mut self, tree: &Tree, segment: &SegmentInfo) -> bool {
        let Ok(file) = tree.segment_file(segment) else { return false };
        if file != self.file || segment.byte_range != self.range {
            return true;
        }
        // A file that is gone, as it may be at the beginning of the window, is no other.
        let Some(stamp) = tree.stamp(segment).filter(|stamp| *stamp != self.stamp) else { return false };
        if self.range.is_some() {
            // A file that segments are added to; one that was begun anew is shorter at first.
            return std::mem::replace(&mut self.stamp, stamp).bytes > stamp.bytes;
        }
        let Ok((record, _)) = tree.read_segment(segment).and_then(|bytes| record_of(segment, &bytes)) else {
            return false;
        };
        self.stamp = stamp;
        record.root != self.root
    }
}

/// The latest generation in a sidecar that was written before; 0 without one.
fn generation_in(path: &Path) -> u64 {
    let batches = fs::read(path).ok().and_then(|bytes| sidecar::read(&bytes).ok()).unwrap_or_default();
    batches.iter().map(|signed| signed.batch.generation_ms).max().unwrap_or(0)
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
