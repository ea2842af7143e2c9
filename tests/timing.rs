//! When a segment is fetched, from whom while time is short, and what has to wait for it.

mod rig;

use hlswarm::engine::Input;
use hlswarm::id::RequestId;
use hlswarm::wire::{Frame, RefuseReason};
use rig::{Asked, Rig, SEGMENT_BYTES, quiet};
use serde_json::json;

#[test]
fn nothing_is_fetched_before_a_new_peer_has_said_what_it_has() {
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(2);
    rig.playhead(0, 12_000);
    rig.want(3);
    let peer = rig.connect_silent_peer();
    rig.advance(100);
    assert!(rig.fetches.is_empty(), "{:?}", rig.fetched_sequences());
    rig.has(peer, [3]);
    assert_eq!(rig.take_asked().len(), 1);
    assert!(rig.fetches.is_empty(), "{:?}", rig.fetched_sequences());
}

#[test]
fn a_player_that_starts_far_into_the_stream_does_not_wait_for_company() {
    // As at the live edge: nothing is buffered, and the position is still zero.
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(2);
    rig.playhead(0, 0);
    rig.want(7);
    assert_eq!(rig.fetched_sequences(), [7]);
}

#[test]
fn a_peer_that_says_nothing_is_not_waited_for() {
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(2);
    rig.playhead(0, 12_000);
    rig.want(3);
    rig.connect_silent_peer();
    rig.advance(600);
    assert!(rig.fetches.is_empty(), "whoever is new lets others fetch first: {:?}", rig.fetched_sequences());
    rig.advance(1100);
    assert!(rig.fetched_sequences().contains(&3));
}

#[test]
fn who_has_enough_to_play_fetches_nothing_ahead() {
    for (buffered_ms, asked) in [(12_000, 3), (28_000, 1)] {
        let (mut rig, peers) = Rig::connected(json!({}), 1);
        let next = u64::from(buffered_ms) / 4000;
        rig.playhead(0, buffered_ms);
        rig.has(peers[0], [next, next + 1, next + 2, next + 3]);
        rig.want(next);
        assert_eq!(rig.take_asked().len(), asked, "with {buffered_ms} ms to play");
    }
}

#[test]
fn a_busy_peer_is_asked_again_though_nothing_else_happens() {
    let (mut rig, peers) = Rig::connected(json!({}), 1);
    rig.playhead(0, 28_000);
    rig.has(peers[0], [7]);
    rig.want(7);
    let asked = rig.take_asked();
    let [Asked { transfer, .. }] = asked[..] else { panic!("{asked:?}") };
    rig.say(peers[0], &Frame::Refuse { transfer, reason: RefuseReason::Busy });
    rig.advance(600);
    assert!(rig.take_asked().is_empty(), "not at once");
    rig.advance(600);
    assert_eq!(rig.take_asked().len(), 1);
}

#[test]
fn who_falls_silent_shortly_before_the_time_of_need_is_not_waited_for() {
    let mut rig = Rig::new(json!({}));
    rig.tracker_up(2);
    // So that it is known how quick HTTP is.
    rig.playhead(0, 0);
    rig.want(0);
    let first = rig.take_fetches().pop().expect("needed now");
    rig.serve_http(&first);
    let peer = rig.connect_peer();
    rig.has(peer, [1]);
    rig.playhead(0, 4_000);
    rig.want(1);
    let asked = rig.take_asked()[0];
    rig.say(peer, &Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 });
    let piece = (SEGMENT_BYTES / 31) as u32;
    for at in 0..30 {
        rig.send_data(peer, asked.transfer, at * piece, piece);
        rig.advance(100);
    }
    assert!(rig.fetches.is_empty(), "it will make it: {:?}", rig.fetched_sequences());
    rig.advance(600);
    assert_eq!(rig.fetched_sequences(), [1], "0.4 s are left, and nothing came for longer than that");
}

#[test]
fn the_line_is_left_to_what_is_late() {
    // HTTP is taken to need 1.3 s for a segment of 4 s; with the same again beside it, 7.2 s are short and 12 s are not.
    for (buffered_ms, ahead) in [(0, vec![]), (4_000, vec![]), (12_000, vec![4, 5])] {
        let (mut rig, peers) = Rig::connected(quiet(), 1);
        rig.has(peers[0], 3..20);
        let wanted = u64::from(buffered_ms) / 4000;
        rig.has(peers[0], wanted..wanted + 1);
        rig.playhead(0, buffered_ms);
        rig.want(wanted);
        rig.advance(100);
        let asked = rig.asked.iter().map(|asked| asked.sequence).filter(|asked| *asked != wanted);
        assert_eq!(asked.collect::<Vec<_>>(), ahead, "{buffered_ms} ms in the buffer");
    }
}

#[test]
fn what_comes_ahead_stops_while_http_brings_something_in_the_last_moment() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], 3..6);
    rig.playhead(0, 12_000);
    rig.want(3);
    rig.advance(100);
    let asked = rig.take_asked();
    assert_eq!(asked.iter().map(|asked| asked.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    for ahead in &asked[1..] {
        rig.say(peers[0], &Frame::Accept { transfer: ahead.transfer, total_bytes: SEGMENT_BYTES as u32 });
    }
    let mut at = 0;
    while rig.fetches.is_empty() && at < 90_000 {
        for ahead in &asked[1..] {
            rig.send_data(peers[0], ahead.transfer, at, 500);
        }
        at += 500;
        rig.advance(100);
    }
    assert_eq!(rig.fetched_sequences(), [3]);
    rig.advance(1_000);
    let cancelled =
        |asked: &Asked| rig.sent.contains(&(asked.link, Frame::Cancel { transfer: asked.transfer }));
    assert!(asked.iter().all(cancelled), "{:?}", rig.sent);
    assert!(rig.asked.is_empty(), "{:?}", rig.asked);
    let fetch = rig.take_fetches().remove(0);
    rig.serve_http(&fetch);
    assert_eq!(rig.delivered.len(), 1);
    rig.playhead(0, 16_000);
    rig.want(4);
    rig.advance(100);
    assert_eq!(rig.take_asked().first().map(|asked| (asked.sequence, asked.at)), Some((4, at)));
}

#[test]
fn nothing_is_asked_of_peers_while_the_network_is_gone() {
    let (mut rig, peers) = Rig::connected(quiet(), 1);
    rig.has(peers[0], 3..20);
    rig.input(Input::Network { online: false, metered: false });
    rig.playhead(0, 12_000);
    rig.want(3);
    rig.advance(1000);
    assert!(rig.asked.is_empty());
    rig.input(Input::Network { online: true, metered: false });
    rig.advance(1000);
    assert_eq!(rig.asked.first().map(|asked| asked.sequence), Some(3));
}

#[test]
fn what_can_wait_leaves_room_for_the_rest_of_what_the_player_needs() {
    let mut options = quiet();
    options["limits"] = json!({ "receiveBytesPerPeer": 262_144 });
    let (mut rig, peers) = Rig::connected(options, 1);
    let total = 290_000;
    rig.has(peers[0], [3, 4]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let mut order = Vec::new();
    while let Some(asked) = rig.asked.first().copied() {
        rig.asked.remove(0);
        order.push(asked.sequence);
        rig.serve(peers[0], asked, total, u64::from(asked.len));
    }
    // How long they are was known only after the first piece of each was asked for.
    let last_of_needed = order.iter().rposition(|sequence| *sequence == 3).expect("asked for");
    assert!(order[2..=last_of_needed].iter().all(|sequence| *sequence == 3), "{order:?}");
    assert!(order[last_of_needed..].contains(&4), "{order:?}");
    assert_eq!(rig.delivered, [(RequestId(1), total)]);
}
