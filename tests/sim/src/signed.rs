//! The signed records of the simulated stream, one batch for each segment as `hlswarm-sign --watch` makes them.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hlswarm::config::{Config, IntegrityMode};
use hlswarm::id::Digest;
use hlswarm::integrity::sidecar::{Batch, Record, SignedBatch, write};
use hlswarm::integrity::{key_id, root, stream_id};

use crate::digests::blocks_of;
use crate::media::{Catalog, Place};

/// What true clocks show at the simulation's start, in milliseconds since 1970.
pub(crate) const EPOCH_UNIX_MS: u64 = 1_700_000_000_000;

/// What the stream is called.
pub(crate) const STREAM: &str = "simulated";

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// The public key, as options give it.
pub(crate) fn public_key() -> String {
    signer().verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a signature holds.
pub(crate) fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_bytes(public_key);
    key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// The records of every segment, by rendition and index.
#[derive(Debug)]
pub(crate) struct Signed(Vec<Vec<SignedBatch>>);

impl Signed {
    pub(crate) fn new(config: &Config, catalog: &Catalog) -> Option<Signed> {
        if config.integrity.mode != IntegrityMode::Signed {
            return None;
        }
        let key = signer();
        let numbering = catalog.numbering_at(0);
        let chains = (0..catalog.renditions.len() as u8).map(|rendition| {
            let mut previous = Digest([0; 16]);
            let count = catalog.count(rendition);
            let batches = (0..count).map(|index| {
                let place = Place { rendition, index };
                let (content, segment) = (catalog.content(place), catalog.key(place, numbering));
                let blocks = blocks_of(content);
                let record = Record {
                    discontinuity: segment.discontinuity,
                    sequence: segment.sequence,
                    resource_offset: content.start.into(),
                    total_bytes: content.len,
                    root: root(&blocks),
                    sha256: [0; 32],
                };
                let batch = Batch {
                    key_id: key_id(key.verifying_key().as_bytes()),
                    stream: stream_id(STREAM),
                    track: segment.track,
                    generation_ms: EPOCH_UNIX_MS,
                    number: index,
                    signed_ms: EPOCH_UNIX_MS + catalog.available_us(index) / 1000,
                    previous,
                    records: vec![record],
                };
                let mut signed =
                    SignedBatch { body: batch.body(), batch, signature: [0; 64], blocks: vec![blocks] };
                signed.signature = key.sign(&signed.message()).to_bytes();
                previous = Batch::hash(&signed.body);
                signed
            });
            batches.collect()
        });
        Some(Signed(chains.collect()))
    }

    /// The sidecar of a rendition's playlist with the given window.
    pub(crate) fn sidecar(&self, rendition: u8, (first, end): (u32, u32)) -> Vec<u8> {
        write(&self.0[rendition as usize][first as usize..end as usize])
    }
}
