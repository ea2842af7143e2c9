use ed25519_dalek::{Signature, VerifyingKey};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::integrity::{block_digest, key_id, stream_id};

fn record(sequence: u64, total_bytes: u32) -> (Record, Vec<Digest>) {
    let blocks: Vec<Digest> = (0..block_count(total_bytes.into()))
        .map(|block| block_digest(&[sequence as u8, block as u8]))
        .collect();
    let record = Record {
        discontinuity: 3,
        sequence,
        resource_offset: 0,
        total_bytes,
        root: root(&blocks),
        sha256: [7; 32],
    };
    (record, blocks)
}

fn signed(number: u32, lengths: &[u32]) -> SignedBatch {
    let made: Vec<_> = (0..).zip(lengths).map(|(sequence, len)| record(sequence, *len)).collect();
    let (records, blocks) = made.into_iter().unzip();
    let batch = Batch {
        key_id: 1,
        stream: stream_id("film"),
        track: TrackId(2),
        generation_ms: 3,
        number,
        signed_ms: 4,
        previous: Digest([5; 16]),
        records,
    };
    SignedBatch { body: batch.body(), batch, signature: [6; 64], blocks }
}

#[test]
fn what_is_written_is_read() {
    let batches = [signed(0, &[1, 65_536, 65_537]), signed(1, &[1_000_000; MAX_BATCH_RECORDS])];
    assert_eq!(read(&write(&batches)).as_deref(), Ok(&batches[..]));
    assert_eq!(read(&MAGIC), Ok(Vec::new()));
    let mut bare = Vec::new();
    batches[0].write(&mut bare, false);
    assert_eq!(read_bare(&bare), Ok(SignedBatch { blocks: Vec::new(), ..batches[0].clone() }));
    bare.push(0);
    assert_eq!(read_bare(&bare), Err(SidecarError::Malformed(0, "bytes after its end")));
}

#[test]
fn a_full_batch_fits_the_smallest_message() {
    let full = signed(0, &[1; MAX_BATCH_RECORDS]);
    let mut bare = Vec::new();
    full.write(&mut bare, false);
    assert_eq!(full.body.len(), 1477);
    // `wire::MIN_MESSAGE_BYTES`, less the digests of a segment of 1.9 MB.
    assert!(bare.len() <= 2048 - 3 - 30 * 16, "{}", bare.len());
}

#[test]
fn every_shorter_sidecar_is_refused() {
    let bytes = write(&[signed(0, &[100_000, 5])]);
    for len in 0..bytes.len() {
        let cut = read(&bytes[..len]);
        assert!(cut.is_err() || len == MAGIC.len(), "{len}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let errors = [
        (b"HLSI\x02".to_vec(), "sidecar: does not begin as a sidecar of version 1"),
        (b"#EXTM3U\n".to_vec(), "sidecar: does not begin as a sidecar of version 1"),
        ([&MAGIC[..], &[0, 9]].concat(), "sidecar: ends within the batch at byte 5"),
        (write(&[signed(0, &[])]), "sidecar: the batch at byte 5 has no records, or too many"),
        (write(&[signed(0, &[0])]), "sidecar: the batch at byte 5 has a segment of no or too many bytes"),
        (vec![0; MAX_SIDECAR_BYTES + 1], "sidecar: 33554433 bytes where at most 33554432 are allowed"),
    ];
    for (bytes, expected) in errors {
        assert_eq!(read(&bytes).unwrap_err().to_string(), expected);
    }
    let mut other = signed(0, &[70_000]);
    other.blocks[0].swap(0, 1);
    let error = read(&write(&[other])).unwrap_err().to_string();
    assert_eq!(error, "sidecar: the batch at byte 5 has block digests that do not make its root");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    public_key: String,
    key_id: String,
    stream: String,
    stream_id: String,
    /// What each segment holds: this byte, so many times.
    segments: Vec<(u8, usize)>,
    hex: String,
}

fn from_hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_vector_is_read_and_its_signature_holds() {
    let vector: Vector = serde_json::from_str(include_str!("../../../tests/vectors/sidecar.json")).unwrap();
    let public: [u8; 32] = from_hex(&vector.public_key).try_into().unwrap();
    assert_eq!(format!("{:016x}", key_id(&public)), vector.key_id);
    assert_eq!(format!("{:?}", stream_id(&vector.stream)), vector.stream_id);
    let bytes = from_hex(&vector.hex);
    let batches = read(&bytes).unwrap();
    assert_eq!(write(&batches), bytes);
    let batch = &batches[0];
    let key = VerifyingKey::from_bytes(&public).unwrap();
    key.verify_strict(&batch.message(), &Signature::from_bytes(&batch.signature)).unwrap();
    for ((record, blocks), (byte, len)) in batch.batch.records.iter().zip(&batch.blocks).zip(vector.segments)
    {
        let content = vec![byte; len];
        let expected: Vec<Digest> = content.chunks(65_536).map(block_digest).collect();
        assert_eq!(blocks, &expected);
        assert_eq!(record.total_bytes as usize, len);
        assert_eq!(record.sha256, sha256(&content));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_sidecar_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let bytes = if magic { [&MAGIC[..], &bytes].concat() } else { bytes };
        if let Ok(batches) = read(&bytes) {
            prop_assert_eq!(write(&batches), bytes);
        }
    }

    #[test]
    fn a_damaged_sidecar_is_another_or_an_error(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let batches = [signed(0, &[100_000, 5])];
        let mut bytes = write(&batches);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_ne!(read(&bytes), Ok(batches.to_vec()));
    }
}
