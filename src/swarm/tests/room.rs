//! How many peers, which ones, and for how long.

use super::harness::{Node, Sent, accept, hello, id, key};
use crate::engine::{CloseReason, Event};
use crate::wire::{Frame, GoodbyeReason};

#[test]
fn a_silent_peer_is_closed_after_three_pings() {
    let mut node = Node::linked();
    node.wait(79_999);
    assert!(node.is_open(1));
    node.wait(1);
    assert!(!node.is_open(1));
    let reason = CloseReason::Timeout("3 pings were not answered".to_owned());
    assert_eq!(node.events, [Event::PeerClosed { peer: id(9), reason }]);
}

#[test]
fn thirty_peers_and_eight_on_their_way() {
    let mut node = Node::default();
    for link in 1..=30 {
        node.link(link, link as u8 + 10);
    }
    node.up(31, Some(id(100)), false);
    node.say(31, &hello(100));
    assert!(
        node.sent_on(31)
            .ends_with(&[Sent::Control(Frame::Goodbye { reason: GoodbyeReason::Replaced }), Sent::Close])
    );
    assert_eq!(node.swarm.ready_count(), 30);

    let mut node = Node::default();
    for link in 1..=8 {
        node.up(link, Some(id(link as u8 + 10)), false);
    }
    assert!(!node.swarm.admits(node.now, id(100)));
    node.forget();
    node.up(9, Some(id(100)), false);
    assert_eq!(
        node.sent_on(9),
        [Sent::Control(Frame::Goodbye { reason: GoodbyeReason::Replaced }), Sent::Close]
    );
    node.say(1, &hello(11));
    node.up(10, Some(id(101)), false);
    assert_eq!(node.swarm.pending_count(), 8);
}

#[test]
fn two_thirds_of_the_places_are_sought() {
    let mut node = Node::default();
    assert_eq!(node.swarm.wanted_links(), 20);
    for link in 1..=20 {
        node.link(link, link as u8 + 10);
    }
    assert_eq!(node.swarm.wanted_links(), 0);
    assert!(node.swarm.admits(node.now, id(100)), "the rest is for others");
    node.down(3);
    assert_eq!(node.swarm.wanted_links(), 1);
}

/// Thirty peers that answer pings for so long.
fn full_house(ms: u64) -> Node {
    let mut node = Node::default();
    for link in 1..=30 {
        node.link(link, link as u8 + 10);
    }
    for _ in 0..ms / 1000 {
        node.wait(1000);
        for link in 1..=30 {
            node.say(link, &Frame::Ping { nonce: 0 });
        }
    }
    node.forget();
    node
}

#[test]
fn the_worst_peer_makes_room_once_a_minute() {
    let mut node = full_house(30_000);
    // All but the peers of links 7 and 8 were of use.
    for link in (1..=30).filter(|link| ![7, 8].contains(link)) {
        let transfer = node.request(link, key(1), 0, 1000).unwrap();
        node.say(link, &accept(transfer, 0));
        node.give(link, transfer, 0, 1000);
    }
    node.forget();
    assert!(node.swarm.admits(node.now, id(100)));
    node.up(31, Some(id(100)), false);
    node.say(31, &hello(100));
    assert!(node.is_open(31) && !node.is_open(7));
    assert_eq!(
        node.sent_on(7),
        [Sent::Control(Frame::Goodbye { reason: GoodbyeReason::Replaced }), Sent::Close]
    );
    assert!(!node.swarm.admits(node.now, id(101)));
    node.up(32, Some(id(101)), false);
    node.say(32, &hello(101));
    assert!(!node.is_open(32) && node.is_open(8));
    for _ in 0..60 {
        node.wait(1000);
        for link in 1..=31 {
            node.say(link, &Frame::Ping { nonce: 0 });
        }
    }
    node.up(33, Some(id(102)), false);
    node.say(33, &hello(102));
    assert!(node.is_open(33) && !node.is_open(8));
}

#[test]
fn nobody_is_replaced_on_probation_or_while_something_is_under_way() {
    let mut node = full_house(29_000);
    node.up(31, Some(id(100)), false);
    node.say(31, &hello(100));
    assert!(!node.is_open(31), "all are new");
    let mut node = full_house(30_000);
    for link in 1..=30 {
        node.request(link, key(1), 0, 1000).unwrap();
    }
    node.up(31, Some(id(100)), false);
    node.say(31, &hello(100));
    assert!(!node.is_open(31), "all are in use");
}

#[test]
fn now_and_then_one_more_link_is_sought_in_exchange_for_the_worst() {
    let mut node = Node::default();
    for link in 1..=20 {
        node.link(link, link as u8 + 10);
    }
    let mut seconds = 0;
    while node.swarm.wanted_links() == 0 {
        node.wait(1000);
        seconds += 1;
        for link in 1..=20 {
            node.say(link, &Frame::Ping { nonce: 0 });
        }
        assert!(seconds <= 121, "never sought");
    }
    assert!(seconds >= 60);
    node.up(21, Some(id(100)), true);
    node.say(21, &hello(100));
    assert!(node.is_open(21));
    assert_eq!((node.swarm.ready_count(), node.swarm.wanted_links()), (20, 0));
}
