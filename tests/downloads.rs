//! What becomes of a segment on its way: sources, continuations, failures, sharing.

mod rig;

use hlswarm::engine::{Event, FetchError, Input, Placement, SegmentSource, TimelineUpdate, TrackKind};
use hlswarm::id::{ByteRange, RequestId, SegmentKey, TrackId, TransferId};
use hlswarm::wire::{Frame, HaveState, RefuseReason};
use rig::{Asked, Remote, Rig, SEGMENT_BYTES, key, quiet, segment};
use serde_json::json;

fn loaded(rig: &Rig) -> Vec<(u64, SegmentSource)> {
    rig.events
        .iter()
        .filter_map(|event| match event {
            Event::SegmentLoaded { key, source, .. } => Some((key.sequence, *source)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_segment_comes_from_a_peer() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
    assert_eq!(loaded(&rig), [(3, SegmentSource::P2p)]);
    assert!(rig.fetches.is_empty());
    assert_eq!(rig.engine.stats().p2p_bytes, SEGMENT_BYTES);
    // A second request is answered from the cache.
    rig.want(3);
    assert_eq!(rig.delivered.len(), 2);
}

#[test]
fn a_segment_larger_than_expected_comes_in_pieces() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    let total = 290_000;
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let mut served = Vec::new();
    while let Some(asked) = rig.asked.first().copied() {
        rig.asked.remove(0);
        served.push((asked.at, asked.len));
        rig.serve(peers[0], asked, total, u64::from(asked.len));
    }
    assert!(served.len() > 1, "{served:?}");
    assert_eq!(rig.delivered, [(RequestId(1), total)]);
}

#[test]
fn a_segment_that_found_no_room_is_asked_for_as_soon_as_there_is_some() {
    let mut options = quiet();
    options["limits"] = json!({ "receiveBytesPerPeer": 131_072 });
    let (mut rig, peers) = Rig::connected(options, 1);
    rig.has(peers[0], [3, 4, 5]);
    rig.playhead(0, 12_000);
    for sequence in 3..6 {
        rig.want(sequence);
    }
    for sequence in 3..6 {
        let asked = rig.take_asked();
        assert_eq!(asked.iter().map(|asked| asked.sequence).collect::<Vec<_>>(), [sequence]);
        rig.serve(peers[0], asked[0], SEGMENT_BYTES, SEGMENT_BYTES);
    }
    assert_eq!(loaded(&rig), [3, 4, 5].map(|sequence| (sequence, SegmentSource::P2p)));
    assert!(rig.fetches.is_empty());
    assert_eq!(rig.engine.stats().p2p_bytes, 3 * SEGMENT_BYTES, "nothing came twice");
}

#[test]
fn a_length_that_is_told_after_the_last_byte_completes_a_segment() {
    let (mut rig, peers) = Rig::connected(quiet(), 2);
    rig.has_state(peers[0], [3], HaveState::FetchingP2p);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    // A peer that fetches from an origin without `Content-Length` forwards what it has and cannot tell how much there is.
    rig.say(peers[0], &Frame::Accept { transfer: asked.transfer, total_bytes: 0 });
    for at in (0..SEGMENT_BYTES).step_by(40_000) {
        rig.send_data(peers[0], asked.transfer, at as u32, (SEGMENT_BYTES - at).min(40_000) as u32);
    }
    assert!(rig.delivered.is_empty(), "more may come");
    rig.has(peers[1], [3]);
    rig.advance(2_000);
    let second = rig.take_asked().into_iter().find(|asked| asked.link == peers[1].link);
    let second = second.expect("somebody else is asked for what may lie behind");
    rig.say(peers[1], &Frame::Accept { transfer: second.transfer, total_bytes: SEGMENT_BYTES as u32 });
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
}

#[test]
fn a_claim_that_cannot_be_true_is_not_followed() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    // Three times bitrate and duration is the most that is believed.
    rig.say(peers[0], &Frame::Accept { transfer: asked.transfer, total_bytes: 4 * SEGMENT_BYTES as u32 });
    let placed = rig.send_data(peers[0], asked.transfer, 0, 60_000);
    assert_eq!(placed, Placement::Discard);
    rig.advance(10_000);
    let fetch = rig.take_fetches().pop().expect("HTTP takes over");
    assert_eq!(fetch.range, None);
    rig.serve_http(&fetch);
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
}

#[test]
fn a_continuation_of_another_length_starts_over() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES - 1000, 40_000);
    rig.advance(11_500);
    let fetch = rig.take_fetches().pop().expect("HTTP takes over");
    assert_eq!(fetch.range, Some(ByteRange { start: 40_000, end: u64::MAX }));
    // The origin's segment is longer than the peer said: nothing of the peer's may stay.
    rig.open(&fetch, 206, Some(SEGMENT_BYTES - 40_000));
    let whole = rig.take_fetches().pop().expect("a new download");
    assert!(rig.cancelled.contains(&fetch.id));
    assert_eq!(whole.range, None);
    rig.serve_http(&whole);
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
    assert_eq!(loaded(&rig), [(3, SegmentSource::Http)]);
}

#[test]
fn a_server_without_range_is_read_from_the_beginning() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, 40_000);
    rig.advance(11_500);
    let fetch = rig.take_fetches().pop().expect("HTTP takes over");
    rig.open(&fetch, 200, Some(SEGMENT_BYTES));
    rig.body(&fetch, SEGMENT_BYTES);
    rig.input(Input::FetchDone { fetch: fetch.id });
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
    assert_eq!(loaded(&rig), [(3, SegmentSource::Mixed)]);
}

#[test]
fn a_byte_range_is_cut_out_of_a_whole_resource() {
    let mut rig = Rig::new(json!({}));
    let mut ranged = segment(0);
    ranged.byte_range = Some(ByteRange { start: 50_000, end: 50_000 + SEGMENT_BYTES });
    rig.playlist(vec![ranged], false);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.open(&fetch, 200, Some(100_000_000));
    rig.body(&fetch, 50_000 + SEGMENT_BYTES + 32_000);
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
    assert!(rig.cancelled.contains(&fetch.id), "the rest of the film is not read");
}

#[test]
fn a_truncated_body_is_never_kept_or_shared() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.open(&fetch, 200, Some(SEGMENT_BYTES));
    rig.body(&fetch, SEGMENT_BYTES - 1);
    rig.input(Input::FetchDone { fetch: fetch.id });
    assert_eq!(rig.failed, [RequestId(1)]);
    assert_eq!(rig.engine.stats().cache.segments, 0);
    rig.say(
        peers[0],
        &Frame::Request { transfer: TransferId(1), key: key(0), resource_offset: 0, at: 0, len: 0 },
    );
    assert!(rig.sent.iter().any(|(_, frame)| matches!(frame, Frame::Refuse { .. })));
    assert!(rig.blobs.is_empty(), "its bytes are dropped");
}

#[test]
fn an_empty_body_is_a_failure() {
    let mut rig = Rig::new(quiet());
    rig.want(0);
    let fetch = rig.take_fetches().pop().or_else(|| {
        rig.advance(5_000);
        rig.take_fetches().pop()
    });
    let fetch = fetch.expect("needed now");
    rig.open(&fetch, 200, Some(0));
    rig.input(Input::FetchDone { fetch: fetch.id });
    assert_eq!(rig.failed.len(), 1);
}

#[test]
fn bytes_are_forwarded_while_they_arrive() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.open(&fetch, 200, Some(SEGMENT_BYTES));
    rig.say(
        peers[0],
        &Frame::Request { transfer: TransferId(1), key: key(0), resource_offset: 0, at: 0, len: 0 },
    );
    rig.body(&fetch, 60_000);
    let early: u32 = rig.data.iter().map(|(_, _, len)| *len).sum();
    assert!(early >= 32_000, "{early} bytes before the segment is complete");
    rig.body(&fetch, SEGMENT_BYTES - 60_000);
    rig.input(Input::FetchDone { fetch: fetch.id });
    assert_eq!(rig.data.iter().map(|(_, _, len)| u64::from(*len)).sum::<u64>(), SEGMENT_BYTES);
}

#[test]
fn another_byte_range_is_refused() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.fill([0]);
    rig.say(
        peers[0],
        &Frame::Request { transfer: TransferId(1), key: key(0), resource_offset: 77, at: 0, len: 0 },
    );
    let refused =
        rig.sent.iter().any(|(_, f)| matches!(f, Frame::Refuse { reason: RefuseReason::Absent, .. }));
    assert!(refused);
    assert!(rig.data.is_empty());
}

#[test]
fn a_peer_that_leaves_is_replaced_by_another() {
    let (mut rig, peers) = Rig::connected(quiet(), 2);
    rig.has(peers[0], [5]);
    rig.has(peers[1], [5]);
    rig.playhead(0, 20_000);
    rig.want(5);
    let first = rig.take_asked()[0];
    let (leaver, stayer) =
        if first.link == peers[0].link { (peers[0], peers[1]) } else { (peers[1], peers[0]) };
    rig.serve(leaver, first, SEGMENT_BYTES, 60_000);
    rig.say(leaver, &Frame::Goodbye { reason: hlswarm::wire::GoodbyeReason::Leaving });
    let second = rig.take_asked()[0];
    assert_eq!((second.link, second.at), (stayer.link, 60_000), "it goes on where the other stopped");
    rig.serve(stayer, second, SEGMENT_BYTES, SEGMENT_BYTES);
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
    assert!(rig.fetches.is_empty());
}

#[test]
fn peers_help_when_the_origin_fails() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.playhead(0, 0);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.has(peers[0], [0]);
    rig.fail_fetch(&fetch, FetchError::Status(503));
    assert!(rig.failed.is_empty());
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert_eq!(rig.delivered.len(), 1);
}

#[test]
fn the_player_hears_of_a_failure_and_may_try_again_at_once() {
    let (mut rig, _) = Rig::connected(quiet(), 1);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.fail_fetch(&fetch, FetchError::Status(404));
    assert_eq!(rig.failed, [RequestId(1)]);
    rig.want(0);
    assert_eq!(rig.take_fetches().len(), 1);
}

#[test]
fn a_hanging_origin_gives_way_to_a_peer() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.has(peers[0], [0]);
    rig.advance(3_500);
    assert!(rig.cancelled.contains(&fetch.id));
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert_eq!(rig.delivered.len(), 1);
}

#[test]
fn the_validator_has_the_last_word() {
    let mut rig = Rig::with(quiet(), true);
    rig.tracker_up(2);
    let peer = rig.connect_peer();
    rig.has(peer, [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert!(rig.delivered.is_empty());
    let blob = rig.verify[0];
    rig.input(Input::Verified { blob, ok: false });
    assert!(rig.closed.contains(&peer.link), "the peer is banned");
    let fetch = rig.take_fetches().pop().expect("HTTP fetches it anew");
    assert_eq!(fetch.range, None);
    rig.serve_http(&fetch);
    let blob = rig.verify[1];
    rig.input(Input::Verified { blob, ok: true });
    assert_eq!(rig.delivered, [(RequestId(1), SEGMENT_BYTES)]);
}

#[test]
fn a_segment_refused_from_the_origin_fails() {
    let mut rig = Rig::with(quiet(), true);
    rig.tracker_up(1);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.serve_http(&fetch);
    let blob = rig.verify[0];
    rig.input(Input::Verified { blob, ok: false });
    assert_eq!(rig.failed.len(), 1);
    assert_eq!(rig.engine.stats().cache.segments, 0);
}

#[test]
fn a_new_numbering_voids_what_was_kept() {
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(1);
    rig.playlist((1000..1010).map(segment).collect(), true);
    rig.want(1005);
    let fetch = rig.take_fetches().pop().expect("needed now");
    rig.serve_http(&fetch);
    assert_eq!(rig.engine.stats().cache.segments, 1);
    rig.want(1006);
    rig.playlist((0..10).map(segment).collect(), true);
    assert_eq!(rig.engine.stats().cache.segments, 0);
    assert_eq!(rig.failed.len(), 1, "an open request is not left hanging");
    assert!(rig.blobs.is_empty());
}

#[test]
fn a_rendition_switch_stops_what_nobody_waits_for() {
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(1);
    let other = TrackId::from_name("main high.m3u8");
    let update = TimelineUpdate {
        track: other,
        kind: TrackKind::Main,
        live: false,
        bitrate_bps: Some(1_000_000),
        segments: (0..60).map(segment).collect(),
    };
    rig.input(Input::Timeline(update));
    let request = rig.want(0);
    let first = rig.take_fetches().pop().expect("needed now");
    rig.open(&first, 200, Some(SEGMENT_BYTES));
    rig.input(Input::Cancel { request });
    let key = SegmentKey { track: other, discontinuity: 0, sequence: 0 };
    rig.input(Input::Want { request: RequestId(99), key });
    assert_eq!(rig.cancelled, [first.id]);
    let second = rig.take_fetches().pop().expect("the other rendition");
    rig.serve_http(&second);
    assert_eq!(rig.delivered, [(RequestId(99), SEGMENT_BYTES)]);
}

#[test]
fn shutdown_leaves_nothing_behind() {
    let (mut rig, peers) = Rig::connected(json!({}), 2);
    rig.fill([0, 1]);
    rig.has(peers[0], [9]);
    rig.want(9);
    rig.input(Input::Shutdown);
    assert!(rig.blobs.is_empty());
    assert!(peers.iter().all(|peer| rig.closed.contains(&peer.link)));
    assert!(rig.sent.iter().any(|(_, frame)| matches!(frame, Frame::Goodbye { .. })));
    assert!(rig.tracker_texts.iter().any(|text| text.contains("\"stopped\"")));
    assert_eq!(rig.failed.len(), 1);
    rig.want(10);
    assert_eq!(rig.failed.len(), 2, "later requests are turned away");
}

#[test]
fn switching_peers_off_goes_on_over_http() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(peers[0], asked, SEGMENT_BYTES, 40_000);
    rig.input(Input::UseP2p { enabled: false });
    assert!(rig.closed.contains(&peers[0].link));
    let fetch = rig.take_fetches().pop().expect("HTTP goes on at once");
    rig.serve_http(&fetch);
    assert_eq!(rig.delivered.len(), 1);
}

#[test]
fn a_fetch_in_flight_is_announced_and_not_repeated() {
    let (mut rig, peers) = Rig::connected(json!({}), 1);
    rig.has_state(peers[0], [7], HaveState::FetchingHttp);
    rig.playhead(0, 28_000);
    rig.want(7);
    assert!(!rig.fetched_sequences().contains(&7));
    let asked = rig.asked.iter().find(|asked| asked.sequence == 7).copied();
    assert!(asked.is_some(), "we attach to the download in flight");
    // Ours are announced as well.
    rig.want(20);
    rig.advance(200);
    assert_eq!(rig.told(20, HaveState::FetchingHttp), rig.fetched_sequences().contains(&20));
}

#[test]
fn what_a_peer_brings_in_a_moment_is_not_announced_as_coming() {
    // The second has nothing, and would be told.
    let (mut rig, peers) = Rig::connected(quiet(), 2);
    rig.playhead(0, 12_000);
    // Nothing is known of the peer yet; then it is known to be fast, and then as slow as it has become.
    for (sequence, pause_ms, expected) in [(3, 1, true), (4, 1, false), (5, 4_000, true), (6, 4_000, true)] {
        rig.has(peers[0], [sequence]);
        rig.want(sequence);
        let asked = rig.take_asked()[0];
        rig.say(peers[0], &Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 });
        for at in (0..SEGMENT_BYTES as u32).step_by(20_000) {
            rig.send_data(peers[0], asked.transfer, at, 20_000);
            rig.advance(pause_ms);
        }
        assert_eq!(rig.told(sequence, HaveState::FetchingP2p), expected, "segment {sequence}");
        rig.take_fetches();
    }
}

/// How it stands when a second peer is asked to help a slow one.
struct Helped {
    slow: Remote,
    other: Remote,
    first: Asked,
    help: Asked,
    /// Up to where the slow peer has sent.
    at: u32,
}

/// Two peers have segment 5 and the one that is asked first sends it slowly, until the other is asked as well.
fn slow_until_helped(rig: &mut Rig, peers: &[Remote], total: u64) -> Helped {
    rig.has(peers[0], [5]);
    rig.has(peers[1], [5]);
    rig.playhead(0, 20_000);
    rig.want(5);
    let first = rig.take_asked()[0];
    let (slow, other) = if first.link == peers[0].link { (peers[0], peers[1]) } else { (peers[1], peers[0]) };
    rig.say(slow, &Frame::Accept { transfer: first.transfer, total_bytes: total as u32 });
    let mut at = 0;
    while rig.asked.is_empty() && at < 600_000 {
        rig.send_data(slow, first.transfer, at, 20_000);
        at += 20_000;
        rig.advance(100);
    }
    let help = rig.take_asked()[0];
    Helped { slow, other, first, help, at }
}

#[test]
fn a_slow_peer_gets_help() {
    let (mut rig, peers) = Rig::connected(quiet(), 2);
    // Large segments, so that helping is worth it.
    let total = 2_000_000u64;
    let mut segments: Vec<_> = (0..60).map(segment).collect();
    for segment in &mut segments {
        segment.byte_range = Some(ByteRange { start: 0, end: total });
    }
    rig.playlist(segments, false);
    let Helped { slow, other, first, help, mut at } = slow_until_helped(&mut rig, &peers, total);
    assert_eq!(help.link, other.link);
    assert!(help.at > at && u64::from(help.at + help.len) == total, "{help:?} while the first is at {at}");
    rig.serve(other, help, total, u64::from(help.len));
    while rig.delivered.is_empty() && u64::from(at) < total {
        rig.send_data(slow, first.transfer, at, 20_000);
        at += 20_000;
        rig.advance(10);
        for again in rig.take_asked() {
            assert_eq!(again.link, other.link);
            rig.serve(other, again, total, u64::from(again.len));
        }
    }
    assert_eq!(rig.delivered, [(RequestId(1), total)]);
    assert!(at <= help.at + 40_000, "the slow peer is stopped where the helper began: {at}");
    assert!(
        rig.sent.iter().any(|(_, f)| matches!(f, Frame::Cancel { transfer } if *transfer == first.transfer))
    );
}

#[test]
fn http_fills_the_gap_between_peers() {
    let (mut rig, peers) = Rig::connected(quiet(), 2);
    let total = 2_000_000u64;
    let bitrate_bps = Some(total * 2);
    let segments: Vec<_> = (0..60).map(segment).collect();
    rig.input(Input::Timeline(TimelineUpdate {
        track: rig::track(),
        kind: TrackKind::Main,
        live: false,
        bitrate_bps,
        segments,
    }));
    let Helped { other, help, at, .. } = slow_until_helped(&mut rig, &peers, total);
    rig.serve(other, help, total, u64::from(help.len));
    // The slow peer stalls for good.
    rig.take_fetches();
    rig.advance(20_000);
    let fetch = rig.fetches.iter().find(|fetch| fetch.sequence == 5).cloned().expect("HTTP takes over");
    assert_eq!(fetch.range, Some(ByteRange { start: u64::from(at), end: u64::MAX }));
    rig.open(&fetch, 206, Some(total - u64::from(at)));
    rig.body(&fetch, u64::from(help.at - at) + 64_000);
    assert_eq!(rig.delivered, [(RequestId(1), total)]);
    assert!(rig.cancelled.contains(&fetch.id), "what the helper brought is not fetched again");
}
