//! Digests of bytes that are never made: equal for equal runs, and for nothing else.

use hlswarm::id::Digest;
use hlswarm::integrity::BLOCK_BYTES;

use crate::blobs::Payload;
use crate::draw::{For, bits};
use crate::media::Run;

/// The digest of a piece of a blob. No cryptography: nobody here looks for collisions, and each block is hashed on its
/// way to each viewer.
pub(crate) fn digest_of(payload: &Payload) -> Digest {
    let mut halves = [0, 1].map(|half| bits(half, For::Digest, &[]));
    for run in payload.runs() {
        let words = [run.resource, run.start, run.len].map(u64::from);
        halves = halves.map(|half| bits(half, For::Digest, &words));
    }
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&halves[0].to_be_bytes());
    digest[8..].copy_from_slice(&halves[1].to_be_bytes());
    Digest(digest)
}

/// The digests of a segment's blocks.
pub(crate) fn blocks_of(content: Run) -> Vec<Digest> {
    let block = BLOCK_BYTES as u32;
    let starts = (0..content.len).step_by(block as usize);
    let pieces =
        starts.map(|at| Run { start: content.start + at, len: block.min(content.len - at), ..content });
    pieces.map(|piece| digest_of(&Payload::One(piece))).collect()
}
