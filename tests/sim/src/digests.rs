//! Digests of bytes that are never made: equal for equal runs, and for nothing else.

use hlswarm::id::Digest;
use hlswarm::integrity::{BLOCK_BYTES, block_digest};

use crate::blobs::Payload;
use crate::media::Run;

/// The digest of a piece of a blob.
pub(crate) fn digest_of(payload: &Payload) -> Digest {
    let mut words = Vec::new();
    for run in payload.runs() {
        words.extend([run.resource, run.start, run.len].iter().flat_map(|word| word.to_be_bytes()));
    }
    block_digest(&words)
}

/// The digests of a segment's blocks.
pub(crate) fn blocks_of(content: Run) -> Vec<Digest> {
    let block = BLOCK_BYTES as u32;
    let starts = (0..content.len).step_by(block as usize);
    let pieces =
        starts.map(|at| Run { start: content.start + at, len: block.min(content.len - at), ..content });
    pieces.map(|piece| digest_of(&Payload::One(piece))).collect()
}
