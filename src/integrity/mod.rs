//! Whether bytes are a segment's: digests of blocks, signed records, and what peers say of digests.
//!
//! A segment is looked at in blocks of [`BLOCK_BYTES`]. Its *root* is the SHA-256 over the digests of its blocks, in
//! order. [`sidecar`] reads and writes the signed records that bind a root to one segment of one stream, [`records`]
//! holds those that a viewer has authenticated; [`claims`] holds what peers say where nothing is signed.
//! `docs/integrity.md` describes what each mode prevents and what it only contains.
//!
//! Nothing here sees a segment's bytes: a shell hashes them and says the digest.

pub mod claims;
#[cfg(feature = "signed")]
pub mod records;
#[cfg(feature = "signed")]
pub mod sidecar;
pub mod standing;

use crate::id::Digest;
use crate::sha256::sha256;

/// Bytes of a block. The last block of a segment is shorter, unless it fits.
pub const BLOCK_BYTES: u64 = 64 * 1024;

/// How many blocks a segment of `total_bytes` has.
pub const fn block_count(total_bytes: u64) -> u64 {
    total_bytes.div_ceil(BLOCK_BYTES)
}

/// The digest of a block's bytes, for shells that have no better way.
pub fn block_digest(bytes: &[u8]) -> Digest {
    shorten(sha256(bytes))
}

/// The root over a segment's blocks.
pub fn root(blocks: &[Digest]) -> [u8; 32] {
    let digests: Vec<u8> = blocks.iter().flat_map(|block| block.0).collect();
    sha256(&digests)
}

/// What identifies a whole segment among peers: the first half of its root.
pub fn segment_digest(blocks: &[Digest]) -> Digest {
    shorten(root(blocks))
}

/// The first half of a SHA-256.
pub fn shorten(hash: [u8; 32]) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Digest(half)
}

/// A stream's id in signed records: what the signer and the page call the stream, hashed.
pub fn stream_id(name: &str) -> Digest {
    shorten(sha256(format!("hlswarm-stream-1:{name}").as_bytes()))
}

/// A public key's id in signed records: the first eight bytes of its SHA-256.
pub fn key_id(public_key: &[u8; 32]) -> u64 {
    let hash = sha256(public_key);
    let mut head = [0; 8];
    head.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(head)
}
