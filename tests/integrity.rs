//! Whether bytes are a segment's: signed records, what peers say, spot checks, and the eight kinds of corrupt segment.

mod rig;

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

// What arrives corrupt, in both modes.

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

// Signed records.

#[test]
fn signed_blocks_are_forwarded_before_the_segment_is_whole_and_never_before_they_are_checked() {
    let (mut rig, peers) = Rig::connected(signed(), 2);
    give_records(&mut rig, &[3]);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.say(
        peers[1],
        &Frame::Request {
            transfer: hlswarm::id::TransferId(1),
            key: key(3),
            resource_offset: 0,
            at: 0,
            len: 0,
        },
    );
    rig.serve(peers[0], asked, SEGMENT_BYTES, 60_000);
    assert!(rig.data.is_empty(), "60,000 bytes are no whole block");
    rig.send_data(peers[0], asked.transfer, 60_000, 30_000);
    let sent = |rig: &Rig| rig.data.iter().map(|(_, _, len)| u64::from(*len)).sum::<u64>();
    assert!((60_000..=BLOCK_BYTES).contains(&sent(&rig)), "{}", sent(&rig));
    rig.send_data(peers[0], asked.transfer, 90_000, 10_000);
    assert_eq!(sent(&rig), SEGMENT_BYTES);
    assert_eq!(rig.delivered.len(), 1);
    assert_eq!(rig.wrong, [0; 0]);
}

#[test]
fn a_wrong_block_alone_is_fetched_again() {
    let (mut rig, peer) = one_peer(signed());
    let mut bytes = content(3);
    bytes[5] ^= 1;
    rig.forged.insert((Some(peer.link), 3), bytes);
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert!(is_banned(&rig, peer));
    rig.advance(9_000);
    let fetches = serve_origin(&mut rig);
    let wanted: u64 = fetches.iter().filter_map(|fetch| fetch.range).map(ByteRange::len).sum();
    assert!(fetches.iter().all(|fetch| fetch.range.is_some()), "{fetches:?}");
    assert!(wanted <= SEGMENT_BYTES, "{fetches:?}");
    assert_eq!(rig.delivered.len(), 1);
    assert_eq!(rig.wrong, [0; 0]);
    assert_eq!(rig.engine.stats().integrity.refused_segments, 1);
}

#[test]
fn without_a_record_nothing_is_shared_and_http_plays_on() {
    let (mut rig, peers) = Rig::connected(signed(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    rig.advance(11_000);
    assert!(rig.take_asked().is_empty());
    serve_origin(&mut rig);
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    rig.advance(1_000);
    let said = |rig: &Rig| {
        rig.sent.iter().any(|(_, frame)| match frame {
            Frame::HaveDelta { entries } => {
                entries.iter().any(|entry| entry.key == key(3) && entry.state == HaveState::Loaded)
            }
            _ => false,
        })
    };
    assert!(!said(&rig), "an unsigned segment was offered");
    give_records(&mut rig, &[3]);
    rig.advance(1_000);
    assert!(said(&rig), "it is what was signed, and is offered now");
    assert!(rig.sent.iter().any(|(_, frame)| matches!(frame, Frame::Proof { .. })), "with its record");
}

#[test]
fn records_come_from_peers_too() {
    let (mut rig, peers) = Rig::connected(signed(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let signed = sign(batch(&[2, 3], 0, Digest([0; 16])));
    let mut bare = Vec::new();
    signed.write(&mut bare, false);
    let mut forged = bare.clone();
    forged[80] ^= 1;
    let proof = |batch: &Vec<u8>, record, sequence| Frame::Proof {
        record,
        blocks: blocks_of(&content(sequence)),
        batch: batch.clone(),
    };
    for frame in [proof(&forged, 1, 3), proof(&bare, 0, 3), proof(&bare, 7, 3)] {
        rig.say(peers[0], &frame);
        assert!(rig.take_asked().is_empty(), "asked on the strength of {frame:?}");
    }
    rig.say(peers[0], &proof(&bare, 1, 3));
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert_eq!(sources(&rig), [(3, SegmentSource::P2p)]);
    assert_eq!(rig.engine.stats().integrity.records, 1);
}

/// Changes a batch of records after it was signed for.
type Spoil = fn(&mut Batch);

#[test]
fn records_of_another_stream_key_or_chain_are_refused() {
    let cases: [(&str, Spoil, &str); 4] = [
        ("stream", |batch| batch.stream = stream_id("news"), "another stream"),
        ("key", |batch| batch.key_id = 7, "none of integrity.publicKeys"),
        ("chain", |batch| batch.generation_ms = 999_999, "a later chain"),
        ("fork", |batch| batch.signed_ms += 1, "contradict"),
    ];
    for (name, change, expected) in cases {
        let mut rig = Rig::new(signed());
        give_records(&mut rig, &[3]);
        let first = batch(&[3], 0, Digest([0; 16]));
        let mut batch = match name {
            "fork" => first,
            _ => batch(&[4], 1, Batch::hash(&first.body())),
        };
        change(&mut batch);
        rig.input(Input::Sidecar { bytes: sidecar::write(&[sign(batch)]) });
        assert!(refused_records(&rig).concat().contains(expected), "{name}: {:?}", refused_records(&rig));
        assert_eq!(rig.engine.stats().integrity.records, 1, "{name}");
    }
    let mut rig = Rig::new(signed());
    let mut wrong = sign(batch(&[3], 0, Digest([0; 16])));
    wrong.signature[0] ^= 1;
    rig.input(Input::Sidecar { bytes: sidecar::write(&[wrong]) });
    assert!(refused_records(&rig).concat().contains("signature is wrong"));
    rig.input(Input::Sidecar { bytes: vec![1, 2, 3] });
    assert!(refused_records(&rig).concat().contains("does not begin as a sidecar"));
}

#[test]
fn a_record_is_good_for_its_own_segment_only() {
    // Replayed for another sequence number, discontinuity or byte range it is no record of that segment.
    let mut rig = Rig::new(signed());
    give_records(&mut rig, &[3]);
    let records = hlswarm::integrity::records::Records::new(stream_id("film"));
    assert!(records.get(key(3)).is_none());
    for other in [
        SegmentKey { sequence: 4, ..key(3) },
        SegmentKey { discontinuity: 1, ..key(3) },
        SegmentKey { track: hlswarm::id::TrackId(9), ..key(3) },
    ] {
        let mut records = records.clone();
        records.add(sign(batch(&[3], 0, Digest([0; 16]))));
        assert!(records.get(key(3)).is_some());
        assert!(records.get(other).is_none(), "{other}");
    }
}

#[test]
fn a_new_chain_takes_the_place_of_the_old_one() {
    let mut rig = Rig::new(signed());
    give_records(&mut rig, &[3, 4]);
    let mut later = batch(&[9], 0, Digest([0; 16]));
    later.generation_ms += 1;
    rig.input(Input::Sidecar { bytes: sidecar::write(&[sign(later)]) });
    assert_eq!(rig.engine.stats().integrity.records, 1);
    give_records(&mut rig, &[3, 4]);
    assert_eq!(rig.engine.stats().integrity.records, 1, "rolled back");
}

#[test]
fn old_records_of_a_live_stream_are_refused() {
    let day_ms = 86_400_000;
    for (max_age_ms, age_ms, known) in [
        (None, day_ms, 1),
        (None, day_ms + 1, 0),
        (Some(7_200_000), 7_200_000, 1),
        (Some(7_200_000), 7_200_001, 0),
    ] {
        let mut options = signed();
        if let Some(max_age_ms) = max_age_ms {
            options["integrity"]["maxAgeMs"] = json!(max_age_ms);
        }
        let unix_ms = 1_000_000 + age_ms;
        let mut rig = Rig::new(options);
        rig.playlist((0..20).map(rig::segment).collect(), true);
        rig.input(Input::Clock { unix_ms });
        give_records(&mut rig, &[3]);
        assert_eq!(rig.engine.stats().integrity.records, known);
    }
}

#[test]
fn what_the_origin_serves_must_be_signed_too() {
    let mut rig = Rig::new(signed());
    give_records(&mut rig, &[3]);
    rig.forged.insert((None, 3), vec![7; SEGMENT_BYTES as usize]);
    rig.playhead(0, 2_000);
    rig.want(3);
    for _ in 0..10 {
        serve_origin(&mut rig);
        rig.advance(500);
    }
    assert!(rig.delivered.is_empty());
    assert_eq!(rig.failed.len(), 1, "the player is told");
    assert_eq!(rig.wrong, [0; 0]);
}

// Without signatures.

#[test]
fn a_new_peer_is_checked_against_the_origin() {
    let (mut rig, peer) = one_peer(auto());
    own_claim(&mut rig, peer, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert!(rig.delivered.is_empty(), "played before it was checked");
    let fetches = serve_origin(&mut rig);
    assert!(!fetches.is_empty() && fetches.iter().all(is_spot), "{fetches:?}");
    assert_eq!(sources(&rig), [(3, SegmentSource::P2p)]);
    assert_eq!(rig.wrong, [0; 0]);
    let stats = rig.engine.stats().integrity;
    assert_eq!((stats.checks, stats.disputes), (1, 0));
    assert!(rig.blobs.len() == 1, "what was fetched to compare is gone");
}

#[test]
fn a_peer_that_proved_true_is_checked_less_and_less() {
    let (mut rig, peers) = Rig::connected(auto(), 1);
    for sequence in 3..43 {
        rig.has(peers[0], [sequence]);
        own_claim(&mut rig, peers[0], sequence, &content(sequence));
        rig.playhead(sequence as i64 * 4_000 - 12_000, 12_000);
        rig.want(sequence);
        let asked = rig.take_asked()[0];
        rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
        let fetches = serve_origin(&mut rig);
        assert!(fetches.iter().all(is_spot), "{fetches:?}");
        rig.advance(200);
    }
    assert_eq!(rig.delivered.len(), 40);
    let checks = rig.engine.stats().integrity.checks;
    assert!((6..24).contains(&checks), "{checks} checks of 40 segments");
}

#[test]
fn a_lie_is_seen_by_whoever_knows_better() {
    // Two peers have the segment. One sends it with one bit wrong, and says so; the other says what it is.
    let (mut rig, peers) = Rig::connected(auto(), 2);
    let (liar, honest) = (peers[0], peers[1]);
    rig.has(liar, [3]);
    let mut bytes = content(3);
    bytes[77_777] ^= 4;
    rig.forged.insert((Some(liar.link), 3), bytes.clone());
    rig.playhead(0, 12_000);
    rig.want(3);
    own_claim(&mut rig, liar, 3, &bytes);
    own_claim(&mut rig, honest, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(liar, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    let fetches = serve_origin(&mut rig);
    assert!(fetches.iter().all(|fetch| fetch.range.is_none()), "fetched whole: {fetches:?}");
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(is_banned(&rig, liar), "the liar is gone");
    assert!(!is_banned(&rig, honest), "whoever told the truth stays");
}

#[test]
fn whoever_passed_on_what_was_still_arriving_is_not_banned_at_once() {
    let (mut rig, peers) = Rig::connected(auto(), 2);
    let (relay, honest) = (peers[0], peers[1]);
    for sequence in 3..6 {
        let entry = hlswarm::wire::HaveEntry { key: key(sequence), state: HaveState::FetchingP2p };
        rig.say(relay, &Frame::HaveDelta { entries: vec![entry] });
        rig.forged.insert((Some(relay.link), sequence), vec![9; SEGMENT_BYTES as usize]);
        rig.playhead(sequence as i64 * 4_000 - 12_000, 12_000);
        rig.want(sequence);
        own_claim(&mut rig, honest, sequence, &content(sequence));
        let asked = rig.take_asked()[0];
        rig.serve(relay, asked, SEGMENT_BYTES, SEGMENT_BYTES);
        serve_origin(&mut rig);
        assert_eq!(is_banned(&rig, relay), sequence == 5, "after segment {sequence}");
        rig.advance(100);
    }
    assert_eq!(rig.wrong, [0; 0]);
    assert!(!is_banned(&rig, honest));
}

#[test]
fn what_we_fetched_ourselves_convicts_later_liars_and_is_announced() {
    let (mut rig, peers) = Rig::connected(auto(), 2);
    rig.playhead(0, 2_000);
    rig.want(3);
    rig.advance(5_000);
    serve_origin(&mut rig);
    let own = |rig: &Rig| origin_of(rig.engine.peer_id());
    let told = rig.sent.iter().filter_map(|(link, frame)| match frame {
        Frame::Claim(claim) if claim.key == key(3) => Some((*link, claim.origin, claim.digest)),
        _ => None,
    });
    let digest = segment_digest(&blocks_of(&content(3)));
    let expected: Vec<_> = peers.iter().map(|peer| (peer.link, own(&rig), digest)).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    own_claim(&mut rig, peers[0], 3, &content(3));
    own_claim(&mut rig, peers[1], 3, &content(4));
    assert!(!is_banned(&rig, peers[0]));
    assert!(is_banned(&rig, peers[1]));
}

#[test]
fn bytes_of_peers_and_of_http_are_joined_only_where_the_whole_is_known() {
    for known in [false, true] {
        let (mut rig, peer) = one_peer(auto());
        if known {
            own_claim(&mut rig, peer, 3, &content(3));
        }
        let asked = rig.take_asked()[0];
        // A poisoned beginning, and then nothing more: the rest would come over HTTP.
        rig.forged.insert((Some(peer.link), 3), vec![9; SEGMENT_BYTES as usize]);
        rig.serve(peer, asked, SEGMENT_BYTES, 70_000);
        rig.say(peer, &Frame::Refuse { transfer: asked.transfer, reason: RefuseReason::Aborted });
        rig.playhead(9_000, 3_000);
        rig.advance(3_000);
        let ranged = rig.fetches.iter().any(|fetch| fetch.range.is_some());
        assert_eq!(ranged, known, "{:?}", rig.fetches);
        for _ in 0..5 {
            serve_origin(&mut rig);
            rig.advance(500);
        }
        assert_eq!(rig.delivered.len(), 1, "{known}");
        assert_eq!(rig.wrong, [0; 0], "{known}");
    }
}

#[test]
fn an_origin_that_knows_no_ranges_is_not_asked_for_parts() {
    let (mut rig, peers) = Rig::connected(auto(), 1);
    let peer = peers[0];
    let mut asked_for = 0;
    for sequence in 3..9 {
        rig.has(peer, [sequence]);
        own_claim(&mut rig, peer, sequence, &content(sequence));
        rig.playhead(sequence as i64 * 4_000 - 12_000, 12_000);
        rig.want(sequence);
        let asked = rig.take_asked()[0];
        rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
        for fetch in rig.take_fetches() {
            assert!(fetch.range.is_some());
            asked_for += 1;
            if !rig.cancelled.contains(&fetch.id) {
                rig.open(&fetch, 200, Some(SEGMENT_BYTES));
            }
        }
    }
    assert!(asked_for <= 2, "{asked_for}");
    assert_eq!(rig.delivered.len(), 6);
}

#[test]
fn a_check_that_hangs_is_given_up() {
    let (mut rig, peer) = one_peer(auto());
    own_claim(&mut rig, peer, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    let fetch = rig.take_fetches().remove(0);
    rig.advance(3_100);
    assert!(rig.cancelled.contains(&fetch.id));
    assert_eq!(sources(&rig), [(3, SegmentSource::P2p)], "somebody vouches for it");
}
