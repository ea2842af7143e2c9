//! The signed records of a playlist, as bytes. `docs/integrity.md` has the format, `tests/vectors/sidecar.json` golden bytes.
//!
//! A sidecar is a list of batches. A batch has at most [`MAX_BATCH_RECORDS`] records and one Ed25519 signature; the digests of
//! the records' blocks follow it unsigned, because the signed roots vouch for them.

use std::fmt;

use crate::id::{Digest, SegmentKey, TrackId};
use crate::sha256::sha256;

use super::{block_count, root, shorten};

/// The first bytes of a sidecar: name and version.
pub const MAGIC: [u8; 5] = *b"HLSI\x01";
/// Before a batch's body when it is signed, so that a signature for one purpose is none for another.
pub const SIGNING_CONTEXT: &[u8] = b"hlswarm-integrity-1\0";
/// Most records in a batch: one batch fits the smallest message that every peer takes.
pub const MAX_BATCH_RECORDS: usize = 16;
/// Longest segment that a record may be about, in bytes.
pub const MAX_RECORD_BYTES: u32 = 1 << 30;
/// Longest sidecar that is read, in bytes: some 30,000 segments of 2 MB.
pub const MAX_SIDECAR_BYTES: usize = 32 * 1024 * 1024;

const HEAD_BYTES: usize = 8 + 16 + 8 + 8 + 4 + 8 + 16 + 1;
const RECORD_BYTES: usize = 4 + 8 + 8 + 4 + 32 + 32;

/// What is signed of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Discontinuity sequence number.
    pub discontinuity: u32,
    /// Media sequence number.
    pub sequence: u64,
    /// First byte of the segment's byte range in its resource; 0 without one.
    pub resource_offset: u64,
    /// Length in bytes.
    pub total_bytes: u32,
    /// SHA-256 over the digests of the blocks.
    pub root: [u8; 32],
    /// SHA-256 of the whole segment, for those who look at it without blocks.
    pub sha256: [u8; 32],
}

/// Records that were signed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which key signed: [`key_id`](super::key_id).
    pub key_id: u64,
    /// Which stream: [`stream_id`](super::stream_id).
    pub stream: Digest,
    /// Which track.
    pub track: TrackId,
    /// When the signer began this chain, in milliseconds since 1970. A chain with a later beginning takes the place of
    /// an earlier one: after a restart of a live stream the same numbers mean other segments.
    pub generation_ms: u64,
    /// The batch's number in its chain, from 0.
    pub number: u32,
    /// When it was signed, in milliseconds since 1970.
    pub signed_ms: u64,
    /// [`Batch::hash`] of the batch before; zeros in the first.
    pub previous: Digest,
    /// The records.
    pub records: Vec<Record>,
}

/// A batch with its signature and the digests of its records' blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBatch {
    /// The batch.
    pub batch: Batch,
    /// The bytes that were signed, without [`SIGNING_CONTEXT`].
    pub body: Vec<u8>,
    /// Ed25519 signature (RFC 8032) over [`SIGNING_CONTEXT`] and the body.
    pub signature: [u8; 64],
    /// The digests of each record's blocks, in the order of the records. Empty where they are not given; where they
    /// are, they have been checked against the root.
    pub blocks: Vec<Vec<Digest>>,
}

impl Record {
    /// The segment that it is about.
    pub fn key(&self, track: TrackId) -> SegmentKey {
        SegmentKey { track, discontinuity: self.discontinuity, sequence: self.sequence }
    }

    /// Whether these are the digests of its blocks.
    pub fn has_blocks(&self, blocks: &[Digest]) -> bool {
        blocks.len() as u64 == block_count(self.total_bytes.into()) && root(blocks) == self.root
    }
}

impl Batch {
    /// The bytes to sign after [`SIGNING_CONTEXT`]. At most [`MAX_BATCH_RECORDS`] records are taken.
    pub fn body(&self) -> Vec<u8> {
        let records = self.records.get(..MAX_BATCH_RECORDS).unwrap_or(&self.records);
        let mut out = Vec::with_capacity(HEAD_BYTES + records.len() * RECORD_BYTES);
        out.extend(self.key_id.to_be_bytes());
        out.extend(self.stream.0);
        out.extend(self.track.0.to_be_bytes());
        out.extend(self.generation_ms.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.signed_ms.to_be_bytes());
        out.extend(self.previous.0);
        out.push(records.len() as u8);
        for record in records {
            out.extend(record.discontinuity.to_be_bytes());
            out.extend(record.sequence.to_be_bytes());
            out.extend(record.resource_offset.to_be_bytes());
            out.extend(record.total_bytes.to_be_bytes());
            out.extend(record.root);
            out.extend(record.sha256);
        }
        out
    }

    /// What the next batch of the chain names as its predecessor.
    pub fn hash(body: &[u8]) -> Digest {
        shorten(sha256(body))
    }
}

impl SignedBatch {
    /// What must be signed.
    pub fn message(&self) -> Vec<u8> {
        [SIGNING_CONTEXT, &self.body].concat()
    }

    /// Appends the batch as it stands in a sidecar, with or without the digests of the blocks.
    pub fn write(&self, out: &mut Vec<u8>, with_blocks: bool) {
        out.extend((self.body.len() as u16).to_be_bytes());
        out.extend(&self.body);
        out.extend(self.signature);
        if with_blocks {
            self.blocks.iter().flatten().for_each(|block| out.extend(block.0));
        }
    }
}

/// Why bytes are no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarError {
    /// Longer than [`MAX_SIDECAR_BYTES`].
    TooLong(usize),
    /// Does not begin with [`MAGIC`]: something else, or another version.
    NotASidecar,
    /// Ends in the middle of a batch that begins at this byte.
    Truncated(usize),
    /// A batch, beginning at this byte, holds what no batch may hold.
    Malformed(usize, &'static str),
}

impl fmt::Display for SidecarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SidecarError::TooLong(len) => {
                write!(f, "sidecar: {len} bytes where at most {MAX_SIDECAR_BYTES} are allowed")
            }
            SidecarError::NotASidecar => f.write_str("sidecar: does not begin as a sidecar of version 1"),
            SidecarError::Truncated(at) => write!(f, "sidecar: ends within the batch at byte {at}"),
            SidecarError::Malformed(at, what) => write!(f, "sidecar: the batch at byte {at} has {what}"),
        }
    }
}

impl std::error::Error for SidecarError {}

/// Reads a sidecar. Signatures are not looked at; the digests of the blocks are held against the roots.
///
/// # Errors
/// Says where the first thing is that is wrong, and what.
pub fn read(bytes: &[u8]) -> Result<Vec<SignedBatch>, SidecarError> {
    if bytes.len() > MAX_SIDECAR_BYTES {
        return Err(SidecarError::TooLong(bytes.len()));
    }
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else { return Err(SidecarError::NotASidecar) };
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        batches.push(read_batch(&mut rest, at, true)?);
    }
    Ok(batches)
}

/// Reads one batch without the digests of its blocks, as peers send it.
///
/// # Errors
/// As [`read`].
pub fn read_bare(mut bytes: &[u8]) -> Result<SignedBatch, SidecarError> {
    let batch = read_batch(&mut bytes, 0, false)?;
    if bytes.is_empty() { Ok(batch) } else { Err(SidecarError::Malformed(0, "bytes after its end")) }
}

/// A whole sidecar.
pub fn write(batches: &[SignedBatch]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    batches.iter().for_each(|batch| batch.write(&mut out, true));
    out
}

fn read_batch(rest: &mut &[u8], at: usize, with_blocks: bool) -> Result<SignedBatch, SidecarError> {
    let mut reader = Reader { rest, at };
    let body_len = u16::from_be_bytes(reader.array()?);
    let body = reader.take(body_len.into())?;
    let signature = reader.array()?;
    let batch = read_body(body, at)?;
    let mut blocks = Vec::new();
    for record in batch.records.iter().filter(|_| with_blocks) {
        let mut digests = Vec::new();
        for _ in 0..block_count(record.total_bytes.into()) {
            digests.push(Digest(reader.array()?));
        }
        if root(&digests) != record.root {
            return Err(SidecarError::Malformed(at, "block digests that do not make its root"));
        }
        blocks.push(digests);
    }
    Ok(SignedBatch { batch, body: body.to_vec(), signature, blocks })
}

fn read_body(mut body: &[u8], at: usize) -> Result<Batch, SidecarError> {
    let mut reader = Reader { rest: &mut body, at };
    let key_id = u64::from_be_bytes(reader.array()?);
    let stream = Digest(reader.array()?);
    let track = TrackId(u64::from_be_bytes(reader.array()?));
    let generation_ms = u64::from_be_bytes(reader.array()?);
    let number = u32::from_be_bytes(reader.array()?);
    let signed_ms = u64::from_be_bytes(reader.array()?);
    let previous = Digest(reader.array()?);
    let [count] = reader.array()?;
    if count == 0 || usize::from(count) > MAX_BATCH_RECORDS {
        return Err(SidecarError::Malformed(at, "no records, or too many"));
    }
    let mut records = Vec::with_capacity(count.into());
    for _ in 0..count {
        let record = Record {
            discontinuity: u32::from_be_bytes(reader.array()?),
            sequence: u64::from_be_bytes(reader.array()?),
            resource_offset: u64::from_be_bytes(reader.array()?),
            total_bytes: u32::from_be_bytes(reader.array()?),
            root: reader.array()?,
            sha256: reader.array()?,
        };
        if record.total_bytes == 0 || record.total_bytes > MAX_RECORD_BYTES {
            return Err(SidecarError::Malformed(at, "a segment of no or too many bytes"));
        }
        records.push(record);
    }
    if reader.rest.is_empty() {
        Ok(Batch { key_id, stream, track, generation_ms, number, signed_ms, previous, records })
    } else {
        Err(SidecarError::Malformed(at, "bytes after its last record"))
    }
}

struct Reader<'a, 'b> {
    rest: &'b mut &'a [u8],
    /// Where the batch begins, for errors.
    at: usize,
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], SidecarError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(SidecarError::Truncated(self.at))?;
        *self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SidecarError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

#[cfg(test)]
mod tests;
