//! Bounds on requests, theirs and ours.

use super::harness::{Node, id, key, not_here, refuse, request};
use crate::config::Config;
use crate::id::TransferId;
use crate::wire::{Frame, RefuseReason};

#[test]
fn one_peer_has_sixteen_requests_outstanding() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(1_000_000), 0);
    for transfer in 1..=16 {
        node.say(1, &request(transfer, key(1)));
    }
    assert_eq!(node.frames_on(1), []);
    node.say(1, &request(17, key(1)));
    assert_eq!(node.frames_on(1), [refuse(17, RefuseReason::RateLimited)]);
}

#[test]
fn all_peers_have_sixty_four_requests_outstanding() {
    let mut node = Node::default().with_places_for_all();
    node.store.put(key(1), Some(1_000_000), 0);
    for link in 1..=5 {
        node.link(link, link as u8 + 10);
    }
    for link in 1..=4 {
        for transfer in 1..=16 {
            node.say(link, &request(transfer, key(1)));
        }
        assert_eq!(node.frames_on(link), []);
    }
    node.say(5, &request(1, key(1)));
    assert_eq!(node.frames_on(5), [refuse(1, RefuseReason::Busy)]);
}

#[test]
fn forty_requests_come_at_once_and_twenty_a_second() {
    let mut node = Node::linked();
    for transfer in 0..40 {
        node.say(1, &request(transfer, key(1)));
        assert_eq!(node.frames_on(1), not_here(transfer, 1, RefuseReason::Absent));
    }
    node.say(1, &request(40, key(1)));
    assert_eq!(node.frames_on(1), [refuse(40, RefuseReason::RateLimited)]);
    node.wait(50);
    node.say(1, &request(41, key(1)));
    assert_eq!(node.frames_on(1), not_here(41, 1, RefuseReason::Absent));
}

#[test]
fn more_than_fifty_rejects_close() {
    let mut node = Node::linked();
    for transfer in 0..90 {
        node.say(1, &request(transfer, key(1)));
    }
    assert!(node.is_open(1), "fifty are tolerated");
    node.say(1, &request(90, key(1)));
    node.assert_violation(1, "more than 50 requests had to be refused");
}

#[test]
fn a_cancel_storm_closes() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(1_000_000), 0);
    // A request and its cancel: two tokens each time.
    for transfer in 0..20 {
        node.say(1, &request(transfer, key(1)));
        node.say(1, &Frame::Cancel { transfer: TransferId(transfer) });
    }
    assert_eq!(node.frames_on(1), []);
    node.say(1, &request(20, key(1)));
    assert_eq!(node.frames_on(1), [refuse(20, RefuseReason::RateLimited)]);
    for _ in 0..49 {
        node.say(1, &Frame::Cancel { transfer: TransferId(7) });
    }
    assert!(node.is_open(1));
    node.say(1, &Frame::Cancel { transfer: TransferId(7) });
    node.assert_violation(1, "had to be refused");
}

#[test]
fn requests_are_numbered_without_gaps() {
    for (first, second, fits) in
        [(7, 8, true), (u32::MAX, 0, true), (7, 7, false), (7, 9, false), (7, 6, false)]
    {
        let mut node = Node::linked();
        node.say(1, &request(first, key(1)));
        node.say(1, &request(second, key(1)));
        assert_eq!(node.is_open(1), fits, "{first} then {second}");
    }
}

#[test]
fn our_own_requests_start_anywhere_and_count_up() {
    let mut starts = Vec::new();
    for own in 5..8 {
        let mut node = Node::new(&Config::default(), id(own));
        node.link(1, 9);
        let first = node.request(1, key(1), 0, 100).unwrap();
        let second = node.request(1, key(1), 100, 100).unwrap();
        assert_eq!(second.0, first.0.wrapping_add(1));
        starts.push(first);
    }
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts.len(), 3);
}

#[test]
fn we_keep_to_the_bounds_of_others() {
    let mut node = Node::linked();
    for part in 0..16 {
        assert!(node.request(1, key(1), part * 100, 100).is_some());
    }
    assert_eq!(node.request(1, key(1), 1600, 100), None, "sixteen are outstanding");
    let mut node = Node::linked();
    let mut asked = 0;
    while let Some(transfer) = node.request(1, key(1), 0, 100) {
        node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::Busy });
        asked += 1;
    }
    assert_eq!(asked, 36, "a little less than the other side takes");
    // Cancels are always sent, and paid for before the next request.
    let mut node = Node::linked();
    for _ in 0..10 {
        let transfer = node.request(1, key(1), 0, 100).unwrap();
        node.cancel(1, transfer);
    }
    let left = (0..100).take_while(|_| match node.request(1, key(1), 0, 100) {
        Some(transfer) => {
            node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::Busy });
            true
        }
        None => false,
    });
    assert_eq!(left.count(), 16);
}
