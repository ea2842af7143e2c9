//! Bounds on what a peer sends, at their edges.

use super::harness::{KIB, Node, accept, delta, id, key};
use crate::config::Config;
use crate::id::{LinkId, TransferId};
use crate::swarm::{DataArrival, SwarmNotice};
use crate::wire::{Frame, HaveState, Interest, RefuseReason};

fn with(change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::default();
    change(&mut config);
    let mut node = Node::new(&config, id(5));
    node.link(1, 9);
    node
}

/// A download that the peer has accepted.
fn download(node: &mut Node, sequence: u64, len: u32) -> TransferId {
    let transfer = node.request(1, key(sequence), 0, len).expect("room for a download");
    node.say(1, &accept(transfer, 0));
    transfer
}

#[test]
fn a_malformed_frame_closes() {
    for (bytes, why) in [
        (&[][..], "empty"),
        (&[0x33], "unknown frame type 0x33"),
        (&[8, 0, 0], "ping: 3 bytes where 5 are needed"),
        (&[8, 0, 0, 0, 0, 0], "after its end"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "data frame"),
    ] {
        let mut node = Node::linked();
        node.say_bytes(1, bytes);
        node.assert_violation(1, why);
    }
}

#[test]
fn one_violation_disturbs_nobody_else() {
    let mut node = Node::linked();
    node.link(2, 10);
    let transfer = node.request(1, key(1), 0, 100).unwrap();
    node.say_bytes(1, &[0x33]);
    assert_eq!(
        node.notices,
        [
            SwarmNotice::TransferFailed { link: LinkId(1), transfer },
            SwarmNotice::PeerGone { link: LinkId(1), peer: id(9) },
            SwarmNotice::LinkGone { link: LinkId(1) }
        ]
    );
    assert!(node.is_open(2));
    assert!(!node.swarm.admits(node.now, id(9)), "a peer that broke the protocol is left alone for a while");
    node.wait(300_000);
    assert!(node.swarm.admits(node.now, id(9)));
}

#[test]
fn a_control_message_has_at_most_four_kibibytes() {
    let mut extension = vec![0x90; 4096];
    let mut node = Node::linked();
    node.say_bytes(1, &extension);
    assert!(node.is_open(1));
    extension.push(0);
    node.say_bytes(1, &extension);
    node.assert_violation(1, "control message of 4097 bytes where 4096 are allowed");
}

#[test]
fn a_data_message_is_no_longer_than_we_said_we_take() {
    let mut node = with(|config| config.loader.web_rtc_max_message_size = 20_000);
    let transfer = download(&mut node, 1, 1_000_000);
    let len = 20_000 - 9;
    assert_eq!(node.give(1, transfer, 0, len), DataArrival::Arrived { transfer, at: 0, len, skip: 9 });
    assert_eq!(node.give(1, transfer, len, len + 1), DataArrival::Ignored);
    node.assert_violation(1, "data message of 20001 bytes where 20000 are allowed");
    // However large a message the page allows, 64 KiB is the end.
    let mut node = with(|config| config.loader.web_rtc_max_message_size = 262_144);
    let transfer = download(&mut node, 1, 1_000_000);
    assert!(matches!(node.give(1, transfer, 0, 65_536 - 9), DataArrival::Arrived { .. }));
    node.give(1, transfer, 65_536 - 9, 65_536 - 8);
    node.assert_violation(1, "data message of 65537 bytes");
}

#[test]
fn data_comes_with_payload_and_a_whole_head() {
    let mut node = Node::linked();
    let transfer = download(&mut node, 1, 1000);
    node.give(1, transfer, 0, 0);
    node.assert_violation(1, "data without payload");
    let mut node = Node::linked();
    node.with(|swarm, now, _, _, out| swarm.data(now, LinkId(1), &[0, 1], 2, out));
    node.assert_violation(1, "data: 2 bytes where");
}

#[test]
fn unrequested_data_is_counted_and_too_much_closes() {
    let mut node = Node::linked();
    for _ in 0..4 {
        assert_eq!(node.give(1, TransferId(1), 0, 60 * KIB), DataArrival::Ignored);
    }
    assert_eq!(node.give(1, TransferId(1), 0, 16 * KIB), DataArrival::Ignored);
    assert!(node.is_open(1), "256 KiB are tolerated");
    node.give(1, TransferId(1), 0, 1);
    node.assert_violation(1, "sent 262145 bytes that were not asked for");
}

#[test]
fn data_beyond_what_was_asked_for_counts_as_unrequested() {
    let mut node = Node::linked();
    let transfer = download(&mut node, 1, 100);
    let arrived = node.give(1, transfer, 0, 60 * KIB);
    assert_eq!(arrived, DataArrival::Arrived { transfer, at: 0, len: 100, skip: 9 });
    assert!(node.notices.contains(&SwarmNotice::TransferDone { link: LinkId(1), transfer }));
    for _ in 0..3 {
        node.give(1, transfer, 100, 60 * KIB);
    }
    assert!(node.is_open(1));
    node.give(1, transfer, 100, 16 * KIB + 101);
    node.assert_violation(1, "not asked for");
}

#[test]
fn late_data_of_a_cancelled_download_is_forgiven_once() {
    let mut node = Node::linked();
    let transfer = download(&mut node, 1, 1_000_000);
    node.cancel(1, transfer);
    let mut at = 0;
    while at < 1_000_000 {
        assert_eq!(node.give(1, transfer, at, 50_000), DataArrival::Ignored);
        at += 50_000;
    }
    for _ in 0..4 {
        node.give(1, transfer, 0, 60 * KIB);
    }
    assert!(node.is_open(1));
    node.give(1, transfer, 0, 16 * KIB + 1);
    node.assert_violation(1, "not asked for");
}

#[test]
fn data_comes_after_its_accept_and_in_order() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(1), 0, 1000).unwrap();
    node.give(1, transfer, 0, 10);
    node.assert_violation(1, "before its accept");
    for at in [9, 11] {
        let mut node = Node::linked();
        let transfer = download(&mut node, 1, 1000);
        node.give(1, transfer, 0, 10);
        node.give(1, transfer, at, 10);
        node.assert_violation(1, &format!("at {at} where 10 was next"));
    }
}

#[test]
fn a_claimed_length_is_bounded_and_does_not_change() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(1), 0, 0).unwrap();
    node.say(1, &accept(transfer, 16 * KIB * KIB));
    assert!(node.is_open(1));
    node.say(1, &accept(transfer, 16 * KIB * KIB - 1));
    node.assert_violation(1, "16777216 bytes before and 16777215 now");
    let mut node = Node::linked();
    let transfer = node.request(1, key(1), 0, 0).unwrap();
    node.say(1, &accept(transfer, 16 * KIB * KIB + 1));
    node.assert_violation(1, "a segment of 16777217 bytes where 16777216 are allowed");
    // Without a claim the bound holds for the bytes themselves.
    let mut node = with(|config| config.limits.max_segment_bytes = 100 * u64::from(KIB));
    let transfer = download(&mut node, 1, 0);
    node.give(1, transfer, 0, 60 * KIB);
    let cut = node.give(1, transfer, 60 * KIB, 60 * KIB);
    assert_eq!(cut, DataArrival::Arrived { transfer, at: 60 * KIB, len: 40 * KIB, skip: 9 });
    let mut node = Node::linked();
    let transfer = node.request(1, key(1), 500, 0).unwrap();
    node.say(1, &accept(transfer, 499));
    node.assert_violation(1, "ends at 499");
}

#[test]
fn two_mebibytes_are_in_flight_from_one_peer_and_thirty_two_in_all() {
    const MIB: u32 = KIB * KIB;
    let mut node = Node::linked();
    assert!(node.request(1, key(1), 0, MIB).is_some());
    assert_eq!(node.request(1, key(2), 0, MIB + 1), None);
    let full = node.request(1, key(2), 0, MIB).unwrap();
    assert_eq!(node.request(1, key(3), 0, 1), None);
    // What has arrived is not in flight any more.
    node.say(1, &accept(full, 0));
    node.give(1, full, 0, 1000);
    assert!(node.request(1, key(3), 0, 1000).is_some());

    let mut node = Node::default();
    for link in 1..=17 {
        node.link(link, link as u8 + 10);
    }
    for link in 1..=16 {
        assert!(node.request(link, key(1), 0, 2 * MIB).is_some());
    }
    assert_eq!(node.request(17, key(1), 0, 1), None);
    node.down(1);
    assert!(node.request(17, key(1), 0, 2 * MIB).is_some());
}

#[test]
fn one_segment_larger_than_the_share_of_a_peer_can_still_be_had() {
    let mut node = Node::linked();
    assert!(node.request(1, key(1), 0, 10 * KIB * KIB).is_some());
    assert_eq!(node.request(1, key(2), 0, 1), None);
}

#[test]
fn three_absents_after_have_and_the_peer_is_ignored_for_a_minute() {
    let mut node = Node::linked();
    let announced: Vec<(u64, HaveState)> = (1..=10).map(|sequence| (sequence, HaveState::Loaded)).collect();
    node.say(1, &delta(&announced));
    let ask_in_vain = |node: &mut Node, sequence| {
        let transfer = node.request(1, key(sequence), 0, 100).unwrap();
        node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::Absent });
        node.swarm.peer_view(LinkId(1)).unwrap().ignored_until
    };
    assert_eq!(ask_in_vain(&mut node, 1), None);
    // The same segment again, or one that was never announced, is no further lie.
    assert_eq!(ask_in_vain(&mut node, 1), None);
    assert_eq!(ask_in_vain(&mut node, 50), None);
    assert_eq!(ask_in_vain(&mut node, 51), None);
    assert_eq!(ask_in_vain(&mut node, 2), None);
    node.wait(1000);
    let until = ask_in_vain(&mut node, 3);
    assert_eq!(until.map(|until| until.as_millis()), Some(61_000));
    assert_eq!(node.request(1, key(4), 0, 100), None);
    assert_eq!(node.swarm.holder_state(LinkId(1), key(4)), HaveState::Gone);
    assert_eq!(node.swarm.availability(key(4)), 0);
    node.say(1, &Frame::Ping { nonce: 0 });
    for _ in 0..6 {
        node.wait(10_000);
        node.say(1, &Frame::Ping { nonce: 0 });
    }
    assert_eq!(node.swarm.holder_state(LinkId(1), key(4)), HaveState::Loaded);
    ask_in_vain(&mut node, 4);
    ask_in_vain(&mut node, 5);
    let until = ask_in_vain(&mut node, 6);
    assert_eq!(until.map(|until| until.as_millis()), Some(61_000 + 120_000));
}

#[test]
fn availability_floods_are_ignored_and_then_closed() {
    let mut node = Node::linked();
    for sequence in 0..50 {
        node.say(1, &delta(&[(sequence, HaveState::Loaded)]));
    }
    assert_eq!(node.swarm.holder_state(LinkId(1), key(49)), HaveState::Loaded);
    for sequence in 50..100 {
        node.say(1, &delta(&[(sequence, HaveState::Loaded)]));
    }
    assert_eq!(node.swarm.holder_state(LinkId(1), key(50)), HaveState::Gone);
    assert!(node.is_open(1), "fifty are ignored");
    node.say(1, &delta(&[(100, HaveState::Loaded)]));
    node.assert_violation(1, "announcements");
}

#[test]
fn ten_announcements_a_second_are_taken_for_ever() {
    let mut node = Node::linked();
    for sequence in 0..2000 {
        node.wait(100);
        node.say(1, &delta(&[(sequence, HaveState::Loaded)]));
        assert_eq!(node.swarm.holder_state(LinkId(1), key(sequence)), HaveState::Loaded);
    }
}

#[test]
fn small_frames_are_bounded_too() {
    let interest =
        |n: u32| Interest { track: key(0).track, playing_sequence: n.into(), wanted_sequence: 9, serves: 1 };
    type Chat = fn(u32, Interest) -> Frame;
    let kinds: [Chat; 5] = [
        |nonce, _| Frame::Ping { nonce },
        |nonce, _| Frame::Pong { nonce },
        |_, interest| Frame::Interest(interest),
        |_, _| Frame::Extension { kind: 0x90, body: vec![1] },
        |n, _| accept(TransferId(n), 5),
    ];
    for chat in kinds {
        let mut node = Node::linked();
        for n in 0..150 {
            node.say(1, &chat(n, interest(n)));
        }
        assert!(node.is_open(1));
        node.say(1, &chat(0, interest(0)));
        node.assert_violation(1, "small frames");
    }
}
