use super::super::sidecar::Record;
use super::super::{block_digest, root, stream_id};
use super::*;

fn batch(number: u32, previous: Digest, sequences: std::ops::Range<u64>) -> SignedBatch {
    let blocks = |sequence: u64| vec![block_digest(&sequence.to_be_bytes())];
    let record = |sequence| Record {
        discontinuity: 0,
        sequence,
        resource_offset: 0,
        total_bytes: 100,
        root: root(&blocks(sequence)),
        sha256: [0; 32],
    };
    let batch = Batch {
        key_id: 1,
        stream: stream_id("film"),
        track: TrackId(1),
        generation_ms: 10,
        number,
        signed_ms: 1000,
        previous,
        records: sequences.clone().map(record).collect(),
    };
    let blocks = sequences.map(blocks).collect();
    SignedBatch { body: batch.body(), batch, signature: [0; 64], blocks }
}

fn rewrite(signed: &SignedBatch, change: impl FnOnce(&mut Batch)) -> SignedBatch {
    let mut batch = signed.batch.clone();
    change(&mut batch);
    SignedBatch { body: batch.body(), batch, ..signed.clone() }
}

fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(1), discontinuity: 0, sequence }
}

#[test]
fn a_chain_grows_and_does_not_change() {
    let mut records = Records::new(stream_id("film"));
    let first = batch(0, Digest([0; 16]), 0..2);
    assert_eq!(records.admit(&first, 0), Ok(()));
    assert_eq!(records.add(first.clone()), (vec![key(0), key(1)], false));
    assert_eq!(records.admit(&first, 0), Err(Refusal::Held));
    let second = batch(1, Batch::hash(&first.body), 2..4);
    assert_eq!(records.admit(&second, 0), Ok(()));
    assert_eq!(
        records.admit(&rewrite(&second, |batch| batch.previous = Digest([1; 16])), 0),
        Err(Refusal::Fork)
    );
    assert_eq!(records.admit(&rewrite(&first, |batch| batch.signed_ms += 1), 0), Err(Refusal::Fork));
    assert_eq!(records.admit(&second, 1001), Err(Refusal::Age));
    assert_eq!(records.admit(&second, 1000), Ok(()));
    assert_eq!(
        records.admit(&rewrite(&second, |batch| batch.stream = stream_id("x")), 0),
        Err(Refusal::Stream)
    );
    // A record again, with other bytes, in a later batch of the same chain: the first word counts.
    let mut again = batch(7, Digest([0; 16]), 0..1);
    again.blocks[0] = vec![Digest([9; 16])];
    assert_eq!(records.add(again), (Vec::new(), false));
    assert_eq!(records.get(key(0)).map(|known| known.blocks.clone()), Some(first.blocks[0].clone()));
}

#[test]
fn a_later_generation_replaces_and_an_earlier_one_is_refused() {
    let mut records = Records::new(stream_id("film"));
    let first = batch(5, Digest([0; 16]), 0..2);
    records.add(first.clone());
    let later = rewrite(&batch(0, Digest([0; 16]), 1..2), |batch| batch.generation_ms = 11);
    assert_eq!(records.admit(&later, 0), Ok(()));
    assert_eq!(records.add(later), (vec![key(1)], true));
    assert!(records.get(key(0)).is_none());
    assert_eq!(records.admit(&first, 0), Err(Refusal::Generation));
}

#[test]
fn the_digests_of_one_record_make_one_segment_known() {
    let mut records = Records::new(stream_id("film"));
    let mut part = batch(0, Digest([0; 16]), 0..2);
    part.blocks[0].clear();
    assert_eq!(records.admit(&part, 0), Ok(()));
    assert_eq!(records.add(part.clone()), (vec![key(1)], false));
    assert_eq!(records.admit(&part, 0), Err(Refusal::Held));
    let whole = batch(0, Digest([0; 16]), 0..2);
    assert_eq!(records.admit(&whole, 0), Ok(()));
    assert_eq!(records.add(whole), (vec![key(0)], false));
    part.blocks[1].clear();
    assert_eq!(records.admit(&part, 0), Err(Refusal::Blocks));
    assert_eq!(records.len(), 2);
}
