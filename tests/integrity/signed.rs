//! Signed records.

use super::*;

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
    // The second has nothing, and would be told.
    let (mut rig, peers) = Rig::connected(signed(), 2);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    rig.advance(11_000);
    assert!(rig.take_asked().is_empty());
    serve_origin(&mut rig);
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    rig.advance(1_000);
    assert!(!rig.told(3, HaveState::Loaded), "an unsigned segment was offered");
    give_records(&mut rig, &[3]);
    rig.advance(1_000);
    assert!(rig.told(3, HaveState::Loaded), "it is what was signed, and is offered now");
    assert!(rig.sent.iter().any(|(_, frame)| matches!(frame, Frame::Proof { .. })), "with its record");
}

#[test]
fn records_come_from_peers_too() {
    let (mut rig, peers) = Rig::connected(signed(), 4);
    rig.has(peers[3], [3]);
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
    let amiss = [proof(&forged, 1, 3), proof(&bare, 0, 3), proof(&bare, 7, 3)];
    for (liar, frame) in peers.iter().zip(amiss) {
        rig.say(*liar, &frame);
        assert!(rig.take_asked().is_empty(), "asked on the strength of {frame:?}");
        assert!(is_banned(&rig, *liar), "{frame:?}");
    }
    assert_eq!(refused_records(&rig), [""; 0], "that is between the peers");
    rig.say(peers[3], &proof(&bare, 1, 3));
    let asked = rig.take_asked()[0];
    rig.serve(peers[3], asked, SEGMENT_BYTES, SEGMENT_BYTES);
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

/// The player wants a segment, and the origin has other bytes for it than were signed.
fn bad_origin() -> Rig {
    let mut rig = Rig::new(signed());
    give_records(&mut rig, &[3]);
    rig.forged.insert((None, 3), vec![7; SEGMENT_BYTES as usize]);
    rig.playhead(0, 2_000);
    rig.want(3);
    rig
}

#[test]
fn what_the_origin_serves_must_be_signed_too() {
    let mut rig = bad_origin();
    for _ in 0..10 {
        serve_origin(&mut rig);
        rig.advance(500);
    }
    assert!(rig.delivered.is_empty());
    assert_eq!(rig.failed.len(), 1, "the player is told");
    assert_eq!(rig.wrong, [0; 0]);
}

#[test]
fn what_is_on_its_way_when_its_records_are_replaced_is_not_believed() {
    let (mut rig, peer) = one_peer(signed());
    let asked = rig.take_asked()[0];
    let mut bytes = content(3);
    bytes[90_000] ^= 1;
    rig.forged.insert((Some(peer.link), 3), bytes);
    rig.serve(peer, asked, SEGMENT_BYTES, 70_000);
    let mut later = batch(&[9], 0, Digest([0; 16]));
    later.generation_ms += 1;
    rig.input(Input::Sidecar { bytes: sidecar::write(&[sign(later)]) });
    rig.send_data(peer, asked.transfer, 70_000, 30_000);
    assert!(rig.delivered.is_empty(), "nothing speaks for what the peer sent");
    rig.advance(12_000);
    serve_origin(&mut rig);
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(!is_banned(&rig, peer), "the records changed, and the peer did not");
}

#[test]
fn a_segment_that_leaves_the_playlist_while_it_arrives_is_not_believed() {
    let (mut rig, peers) = Rig::connected(signed(), 1);
    rig.playlist((0..20).map(rig::segment).collect(), true);
    give_records(&mut rig, &[3]);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.forged.insert((Some(peers[0].link), 3), vec![9; SEGMENT_BYTES as usize]);
    // Its discontinuity is another now, and its record is one of another segment.
    let renumbered = |sequence| hlswarm::engine::SegmentInfo { discontinuity: 1, ..rig::segment(sequence) };
    rig.playlist((0..21).map(renumbered).collect(), true);
    rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert!(rig.delivered.is_empty() && rig.data.is_empty());
    assert_eq!(rig.wrong, [0; 0]);
}

#[test]
fn what_came_before_its_record_and_differs_is_neither_forwarded_nor_kept() {
    // The origin serves a longer segment than was signed, and the record comes when a part of it is there.
    let (mut rig, peers) = Rig::connected(signed(), 1);
    rig.playhead(0, 2_000);
    rig.want(3);
    rig.advance(5_000);
    let fetch = rig.take_fetches().remove(0);
    rig.forged.insert((None, 3), vec![7; SEGMENT_BYTES as usize + 500]);
    rig.open(&fetch, 200, Some(SEGMENT_BYTES + 500));
    rig.body(&fetch, 70_000);
    give_records(&mut rig, &[3]);
    assert!(rig.cancelled.contains(&fetch.id), "it cannot become what was signed");
    let request = Frame::Request {
        transfer: hlswarm::id::TransferId(1),
        key: key(3),
        resource_offset: 0,
        at: 0,
        len: 0,
    };
    rig.say(peers[0], &request);
    assert!(rig.data.is_empty(), "forwarded what is not signed");
    rig.forged.clear();
    serve_origin(&mut rig);
    assert_eq!(rig.delivered.len(), 1);
    assert_eq!(rig.wrong, [0; 0]);
    // And one that was complete: what was played cannot be taken back, but it is not played again.
    rig.forged.insert((None, 4), vec![7; SEGMENT_BYTES as usize]);
    rig.want(4);
    rig.advance(5_000);
    serve_origin(&mut rig);
    assert_eq!(std::mem::take(&mut rig.wrong), [4], "nobody could know");
    rig.forged.clear();
    let second = batch(&[4], 1, Batch::hash(&batch(&[3], 0, Digest([0; 16])).body()));
    rig.input(Input::Sidecar { bytes: sidecar::write(&[sign(second)]) });
    rig.want(4);
    rig.advance(5_000);
    serve_origin(&mut rig);
    assert_eq!(rig.delivered.len(), 3);
    assert_eq!(rig.wrong, [0; 0]);
}

#[test]
fn a_bad_answer_of_the_origin_is_asked_for_once_more_however_many_blocks_are_bad() {
    let mut rig = bad_origin();
    rig.advance(5_000);
    let first = rig.take_fetches().remove(0);
    rig.serve_http(&first);
    assert!(rig.failed.is_empty(), "both of its blocks are one bad answer");
    rig.forged.clear();
    rig.advance(2_000);
    serve_origin(&mut rig);
    assert_eq!((rig.delivered.len(), rig.failed.len()), (1, 0));
    assert_eq!(rig.wrong, [0; 0]);
}

#[test]
fn a_byte_range_is_signed_with_its_place_in_the_resource() {
    let range =
        |sequence: u64| ByteRange { start: sequence * SEGMENT_BYTES, end: (sequence + 1) * SEGMENT_BYTES };
    let ranged = |sequence| hlswarm::engine::SegmentInfo {
        url: "http://origin/film.mp4".into(),
        byte_range: Some(range(sequence)),
        ..rig::segment(sequence)
    };
    // The record of the same number, length and bytes at another place of the file says nothing of this one.
    for (offset, shared) in [(range(3).start, true), (range(4).start, false), (0, false)] {
        let (mut rig, peers) = Rig::connected(signed(), 1);
        rig.playlist((0..60).map(ranged).collect(), false);
        let mut batch = batch(&[3], 0, Digest([0; 16]));
        batch.records[0].resource_offset = offset;
        rig.input(Input::Sidecar { bytes: sidecar::write(&[sign(batch)]) });
        rig.has(peers[0], [3]);
        rig.playhead(0, 12_000);
        rig.want(3);
        let asked = rig.take_asked();
        assert_eq!(asked.len(), usize::from(shared), "a record at {offset}");
        if let Some(asked) = asked.first() {
            rig.serve(peers[0], *asked, SEGMENT_BYTES, SEGMENT_BYTES);
            assert_eq!(sources(&rig), [(3, SegmentSource::P2p)]);
            assert_eq!(rig.wrong, [0; 0]);
        }
    }
}

#[test]
fn records_of_a_track_that_is_not_loaded_are_not_taken_from_peers() {
    // Whether they are too old can be told only once it is known that the track is live.
    let (mut rig, peers) = Rig::connected(signed(), 1);
    let mut other = batch(&[3], 0, Digest([0; 16]));
    other.track = hlswarm::id::TrackId(9);
    let mut bare = Vec::new();
    sign(other).write(&mut bare, false);
    rig.say(peers[0], &Frame::Proof { record: 0, blocks: blocks_of(&content(3)), batch: bare });
    assert_eq!(rig.engine.stats().integrity.records, 0);
}

#[test]
fn either_of_two_keys_signs() {
    let old = SigningKey::from_bytes(&[41; 32]);
    let hex = |key: &SigningKey| -> String {
        key.verifying_key().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut options = signed();
    options["integrity"]["publicKeys"] = json!([hex(&old), hex(&signer())]);
    let mut rig = Rig::new(options);
    let mut first = batch(&[3], 0, Digest([0; 16]));
    first.key_id = key_id(old.verifying_key().as_bytes());
    let previous = Batch::hash(&first.body());
    let mut first = sign(first);
    first.signature = old.sign(&first.message()).to_bytes();
    let second = sign(batch(&[4], 1, previous));
    rig.input(Input::Sidecar { bytes: sidecar::write(&[first, second]) });
    assert_eq!(refused_records(&rig), [""; 0]);
    assert_eq!(rig.engine.stats().integrity.records, 2, "a chain goes on under the next key");
}
