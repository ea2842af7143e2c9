use super::harness::{Node, Sent, accept, delta, id, key};
use crate::config::Config;
use crate::id::{LinkId, TransferId};
use crate::swarm::{DataArrival, SwarmNotice};
use crate::wire::{Frame, HaveState, RefuseReason};

const LINK: LinkId = LinkId(1);

#[test]
fn a_segment_is_asked_for_accepted_and_arrives() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(4), 0, 0).unwrap();
    let asked = Frame::Request { transfer, key: key(4), resource_offset: 0, at: 0, len: 0 };
    assert_eq!(node.frames_on(1), [asked]);
    node.say(1, &accept(transfer, 100_000));
    assert_eq!(
        node.give(1, transfer, 0, 60_000),
        DataArrival::Arrived { transfer, at: 0, len: 60_000, skip: 9 }
    );
    let view = node.swarm.transfer(LINK, transfer).unwrap();
    assert_eq!((view.received, view.next, view.remaining), (60_000, 60_000, Some(40_000)));
    node.give(1, transfer, 60_000, 40_000);
    let total_bytes = Some(100_000);
    assert_eq!(
        node.notices,
        [
            SwarmNotice::TransferAccepted { link: LINK, transfer, total_bytes },
            SwarmNotice::TransferDone { link: LINK, transfer }
        ]
    );
    assert_eq!(node.swarm.transfer(LINK, transfer), None);
    assert_eq!(node.swarm.stats().0[0].downloaded_bytes, 100_000);
}

#[test]
fn a_length_that_comes_late_ends_the_download() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(4), 0, 0).unwrap();
    node.say(1, &accept(transfer, 0));
    node.give(1, transfer, 0, 500);
    node.notices.clear();
    node.say(1, &accept(transfer, 500));
    let total_bytes = Some(500);
    assert_eq!(
        node.notices,
        [
            SwarmNotice::TransferAccepted { link: LINK, transfer, total_bytes },
            SwarmNotice::TransferDone { link: LINK, transfer }
        ]
    );
}

#[test]
fn a_part_ends_where_it_was_asked_to_end_or_where_the_segment_ends() {
    for (total, done_at) in [(0, 100), (1000, 100), (60, 60)] {
        let mut node = Node::linked();
        let transfer = node.request(1, key(4), 0, 100).unwrap();
        node.say(1, &accept(transfer, total));
        node.give(1, transfer, 0, done_at - 1);
        assert!(node.swarm.transfer(LINK, transfer).is_some());
        node.give(1, transfer, done_at - 1, 1);
        assert!(node.notices.contains(&SwarmNotice::TransferDone { link: LINK, transfer }), "total {total}");
    }
}

#[test]
fn refusals_are_handed_on() {
    let mut node = Node::linked();
    for reason in [RefuseReason::Busy, RefuseReason::Absent, RefuseReason::Aborted, RefuseReason::RateLimited]
    {
        let transfer = node.request(1, key(4), 0, 100).unwrap();
        node.say(1, &Frame::Refuse { transfer, reason });
        assert!(node.notices.contains(&SwarmNotice::TransferRefused { link: LINK, transfer, reason }));
    }
    let transfer = node.request(1, key(4), 0, 100).unwrap();
    node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::NotSharing });
    assert_eq!(node.request(1, key(4), 0, 100), None, "it will not share the next either");
}

#[test]
fn absent_corrects_what_is_known() {
    let mut node = Node::linked();
    node.say(1, &delta(&[(4, HaveState::Loaded)]));
    let transfer = node.request(1, key(4), 0, 100).unwrap();
    node.notices.clear();
    node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::Absent });
    assert_eq!(node.swarm.holder_state(LINK, key(4)), HaveState::Gone);
    assert!(node.notices.contains(&SwarmNotice::HaveChanged { link: LINK }));
}

#[test]
fn a_lost_link_fails_its_downloads() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(4), 0, 100).unwrap();
    node.down(1);
    assert_eq!(
        node.notices,
        [
            SwarmNotice::TransferFailed { link: LINK, transfer },
            SwarmNotice::PeerGone { link: LINK, peer: id(9) },
            SwarmNotice::LinkGone { link: LINK }
        ]
    );
    assert_eq!(
        node.sent_on(1).pop(),
        Some(Sent::Control(Frame::Request { transfer, key: key(4), resource_offset: 0, at: 0, len: 100 })),
        "nothing more is sent on it"
    );
}

#[test]
fn a_request_that_is_not_answered_fails_after_ten_seconds() {
    let mut node = Node::linked();
    let first = node.request(1, key(4), 0, 1_000_000).unwrap();
    let second = node.request(1, key(5), 0, 1000).unwrap();
    node.say(1, &accept(first, 0));
    // While the first arrives the second waits its turn.
    for part in 0..20 {
        node.wait(1000);
        node.give(1, first, part * 10_000, 10_000);
    }
    node.forget();
    node.cancel(1, first);
    node.wait(9999);
    assert_eq!(node.notices, []);
    node.wait(1);
    assert_eq!(node.notices, [SwarmNotice::TransferFailed { link: LINK, transfer: second }]);
    assert!(node.frames_on(1).contains(&Frame::Cancel { transfer: second }));
    assert!(node.is_open(1));
}

#[test]
fn a_download_below_the_least_rate_is_marked_and_then_fails() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(4), 0, 1_000_000).unwrap();
    node.say(1, &accept(transfer, 0));
    let slow = |node: &Node| node.swarm.peer_view(LINK).unwrap().slow;
    let mut at = 0;
    let mut second = |node: &mut Node, bytes| {
        node.give(1, transfer, at, bytes);
        at += bytes;
        node.wait(1000);
    };
    second(&mut node, 8192);
    assert!(!slow(&node));
    second(&mut node, 8191);
    assert!(slow(&node), "8 KiB in a second are needed");
    second(&mut node, 8192);
    assert!(!slow(&node));
    node.forget();
    second(&mut node, 8191);
    second(&mut node, 10);
    assert_eq!(node.notices, []);
    second(&mut node, 10);
    assert_eq!(node.notices, [SwarmNotice::TransferFailed { link: LINK, transfer }]);
    assert_eq!(node.frames_on(1), [Frame::Cancel { transfer }]);
    assert!(node.is_open(1));
}

#[test]
fn a_download_is_given_up_after_its_longest_time() {
    let mut config = Config::default();
    config.loader.p2p_segment_download_timeout = 5000;
    let mut node = Node::new(&config, id(5));
    node.link(1, 9);
    let transfer = node.request(1, key(4), 0, 1_000_000).unwrap();
    node.say(1, &accept(transfer, 0));
    for part in 0..9 {
        node.wait(500);
        node.give(1, transfer, part * 10_000, 10_000);
    }
    node.forget();
    node.wait(499);
    assert_eq!(node.notices, []);
    node.wait(1);
    assert_eq!(node.notices, [SwarmNotice::TransferFailed { link: LINK, transfer }]);
}

#[test]
fn the_rate_of_a_peer_is_measured() {
    let mut node = Node::linked();
    assert_eq!(node.swarm.peer_view(LINK).unwrap().download_rate, None);
    for round in 0..4 {
        let transfer = node.request(1, key(round), 0, 200_000).unwrap();
        node.wait(300);
        node.say(1, &accept(transfer, 200_000));
        for part in 0..4 {
            node.wait(100);
            node.give(1, transfer, part * 50_000, 50_000);
        }
        node.wait(5000);
    }
    // 200 kB in 0.4 s, whatever the wait for the accept.
    assert_eq!(node.swarm.peer_view(LINK).unwrap().download_rate, Some(500_000));
}

#[test]
fn the_round_trip_is_measured_at_once() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    node.say(1, &super::harness::hello(9));
    let ping = node.sent_on(1).into_iter().find_map(|sent| match sent {
        Sent::Control(Frame::Ping { nonce }) => Some(nonce),
        _ => None,
    });
    node.wait(80);
    node.say(1, &Frame::Pong { nonce: ping.unwrap() });
    assert_eq!(node.swarm.stats().0[0].rtt_ms, Some(80));
}

#[test]
fn a_cancelled_download_is_over() {
    let mut node = Node::linked();
    let transfer = node.request(1, key(4), 0, 1000).unwrap();
    node.forget();
    node.cancel(1, transfer);
    assert_eq!(node.frames_on(1), [Frame::Cancel { transfer }]);
    node.cancel(1, transfer);
    assert_eq!(node.frames_on(1), []);
    node.say(1, &accept(transfer, 1000));
    assert_eq!(node.give(1, transfer, 0, 1000), DataArrival::Ignored);
    assert_eq!(node.notices, []);
    assert!(node.is_open(1));
}

#[test]
fn nothing_is_asked_before_the_hello() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    assert_eq!(node.request(1, key(4), 0, 1000), None);
    assert_eq!(node.request(2, key(4), 0, 1000), None);
    assert_eq!(node.give(2, TransferId(0), 0, 10), DataArrival::Ignored);
    node.give(1, TransferId(0), 0, 10);
    node.assert_violation(1, "data before the hello");
}
