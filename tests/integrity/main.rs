//! Whether bytes are a segment's: signed records, what peers say, spot checks, and the eight kinds of corrupt segment.

mod auto;
#[path = "../rig/mod.rs"]
mod rig;
mod signed;

use ed25519_dalek::{Signer, SigningKey};
use hlswarm::engine::{Event, Input, SegmentSource};
use hlswarm::id::{ByteRange, Digest, SegmentKey};
use hlswarm::integrity::claims::origin_of;
use hlswarm::integrity::sidecar::{self, Batch, Record, SignedBatch};
use hlswarm::integrity::{BLOCK_BYTES, block_digest, key_id, root, segment_digest, stream_id};
use hlswarm::wire::{Claim, Frame, HaveState, RefuseReason};
use rig::{Fetch, Remote, Rig, SEGMENT_BYTES, content, key, track};
use serde_json::json;

fn auto() -> serde_json::Value {
    json!({
        "loader": { "coordination": "random", "httpDownloadProbability": 0, "httpDownloadRanges": true },
        "integrity": { "mode": "auto" },
    })
}

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn signed() -> serde_json::Value {
    let public: String =
        signer().verifying_key().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "loader": { "coordination": "random", "httpDownloadProbability": 0 },
        "integrity": { "mode": "signed", "publicKeys": [public], "stream": "film" },
    })
}

fn blocks_of(bytes: &[u8]) -> Vec<Digest> {
    bytes.chunks(BLOCK_BYTES as usize).map(block_digest).collect()
}

/// A batch about these segments, as it is signed.
fn batch(sequences: &[u64], number: u32, previous: Digest) -> Batch {
    let record = |sequence: &u64| Record {
        discontinuity: 0,
        sequence: *sequence,
        resource_offset: 0,
        total_bytes: SEGMENT_BYTES as u32,
        root: root(&blocks_of(&content(*sequence))),
        sha256: [0; 32],
    };
    Batch {
        key_id: key_id(signer().verifying_key().as_bytes()),
        stream: stream_id("film"),
        track: track(),
        generation_ms: 1_000_000,
        number,
        signed_ms: 1_000_000,
        previous,
        records: sequences.iter().map(record).collect(),
    }
}

fn sign(batch: Batch) -> SignedBatch {
    let blocks = batch.records.iter().map(|record| blocks_of(&content(record.sequence))).collect();
    let mut signed = SignedBatch { body: batch.body(), batch, signature: [0; 64], blocks };
    signed.signature = signer().sign(&signed.message()).to_bytes();
    signed
}

fn give_records(rig: &mut Rig, sequences: &[u64]) {
    let batch = sign(batch(sequences, 0, Digest([0; 16])));
    rig.input(Input::Sidecar { bytes: sidecar::write(&[batch]) });
}

fn refused_records(rig: &Rig) -> Vec<String> {
    let reason = |event: &Event| match event {
        Event::RecordsRefused { reason } => Some(reason.clone()),
        _ => None,
    };
    rig.events.iter().filter_map(reason).collect()
}

/// A peer says what a segment's digest is.
fn claim(rig: &mut Rig, remote: Remote, sequence: u64, bytes: &[u8], origin: u64) {
    let digest = segment_digest(&blocks_of(bytes));
    let claim = Claim { key: key(sequence), total_bytes: bytes.len() as u32, digest, origin };
    rig.say(remote, &Frame::Claim(claim));
}

fn own_claim(rig: &mut Rig, remote: Remote, sequence: u64, bytes: &[u8]) {
    claim(rig, remote, sequence, bytes, origin_of(remote.peer));
}

fn is_spot(fetch: &Fetch) -> bool {
    fetch.range.is_some_and(|range| range.len() <= 4_097)
}

/// Lets the origin serve whatever is asked of it, until nothing more is.
fn serve_origin(rig: &mut Rig) -> Vec<Fetch> {
    let mut served = Vec::new();
    for _ in 0..20 {
        for fetch in rig.take_fetches() {
            if !rig.cancelled.contains(&fetch.id) {
                rig.serve_http(&fetch);
                served.push(fetch);
            }
        }
    }
    served
}

fn is_banned(rig: &Rig, remote: Remote) -> bool {
    rig.closed.contains(&remote.link)
}

fn sources(rig: &Rig) -> Vec<(u64, SegmentSource)> {
    let loaded = |event: &Event| match event {
        Event::SegmentLoaded { key, source, .. } => Some((key.sequence, *source)),
        _ => None,
    };
    rig.events.iter().filter_map(loaded).collect()
}

/// One peer that has segment 3, which the player wants.
fn one_peer(options: serde_json::Value) -> (Rig, Remote) {
    let (mut rig, peers) = Rig::connected(options, 1);
    if rig.engine.stats().integrity.mode == hlswarm::config::IntegrityMode::Signed {
        give_records(&mut rig, &[3, 4]);
    }
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    (rig, peers[0])
}

/// A peer has a segment, speaks for it and brings it, as soon as the player wants it.
fn brings(rig: &mut Rig, peer: Remote, sequence: u64) {
    rig.has(peer, [sequence]);
    own_claim(rig, peer, sequence, &content(sequence));
    rig.playhead(sequence as i64 * 4_000 - 12_000, 12_000);
    rig.want(sequence);
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
}

/// The eight kinds of corrupt segment: what the peer says the length is, and what it sends.
fn corrupt_kinds() -> Vec<(&'static str, u64, Vec<u8>)> {
    let true_bytes = content(3);
    let mut one_bit = true_bytes.clone();
    one_bit[77_777] ^= 4;
    let len = SEGMENT_BYTES as usize;
    vec![
        ("same size", SEGMENT_BYTES, vec![0xee; len]),
        ("shorter", SEGMENT_BYTES - 5_000, true_bytes[..len - 5_000].to_vec()),
        ("longer", SEGMENT_BYTES + 188, [&true_bytes[..], &[0; 188]].concat()),
        ("one bit", SEGMENT_BYTES, one_bit),
        ("another segment", SEGMENT_BYTES, content(4)),
        ("another rendition", SEGMENT_BYTES / 2, content(1003)[..len / 2].to_vec()),
        ("truncated", SEGMENT_BYTES, true_bytes[..len / 2].to_vec()),
        ("empty", 0, Vec::new()),
    ]
}

fn play_corrupt(options: &serde_json::Value, kind: &str, total: u64, bytes: Vec<u8>) -> (Rig, Remote) {
    let (mut rig, peer) = one_peer(options.clone());
    let sent = bytes.len() as u64;
    if sent > 0 {
        own_claim(&mut rig, peer, 3, &bytes);
    }
    rig.forged.insert((Some(peer.link), 3), bytes);
    for _ in 0..10 {
        for asked in rig.take_asked() {
            if !rig.closed.contains(&peer.link) {
                let left = sent.saturating_sub(asked.at.into()).min(asked.len.into());
                rig.serve(peer, asked, total, left);
            }
        }
        serve_origin(&mut rig);
        rig.advance(2_000);
    }
    assert_eq!(rig.wrong, [0; 0], "{kind}: wrong bytes were played");
    assert_eq!(rig.delivered.len(), 1, "{kind}: the segment was not played");
    (rig, peer)
}

#[test]
fn no_corrupt_segment_is_played_when_records_are_signed() {
    for (kind, total, bytes) in corrupt_kinds() {
        let forged_block = !content(3).starts_with(&bytes[..bytes.len().min(BLOCK_BYTES as usize)]);
        let (rig, peer) = play_corrupt(&signed(), kind, total, bytes);
        // Whoever sent a whole block that is wrong is gone; whoever only says nothing useful is left alone.
        if forged_block && total == SEGMENT_BYTES {
            assert!(is_banned(&rig, peer), "{kind}: the liar was not banned");
        }
    }
}

#[test]
fn no_corrupt_segment_of_a_new_peer_is_played_without_signatures() {
    for (kind, total, bytes) in corrupt_kinds() {
        if kind == "one bit" {
            // A spot check sees one bit only when it looks there: `a_lie_is_seen_by_whoever_knows_better` has it.
            continue;
        }
        play_corrupt(&auto(), kind, total, bytes);
    }
}
