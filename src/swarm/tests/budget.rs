//! The bounds on uploads, as peers see them.

use std::collections::BTreeMap;

use super::harness::{Node, Sent, accept, delta, hello_with, id, key, refuse, request, sharing};
use crate::config::Config;
use crate::engine::UploadState;
use crate::id::{LinkId, TransferId};
use crate::wire::{Capabilities, Frame, HaveState, RefuseReason};

fn node(edit: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::default();
    config.loader.upload_ratio = 0.0;
    edit(&mut config);
    Node::new(&config, id(5)).with_places_for_all()
}

/// Lets the buffers of all links drain all the time and answers their pings; gives the payload sent on each until `ms`.
fn send_for(node: &mut Node, links: std::ops::RangeInclusive<u32>, ms: u64) -> BTreeMap<u32, u64> {
    let mut sent = BTreeMap::new();
    for _ in 0..ms / 10 {
        node.wait(10);
        for link in links.clone() {
            sent.entry(link).or_insert(0);
            for message in node.sent_on(link) {
                match message {
                    Sent::Data { len, .. } => *sent.entry(link).or_default() += u64::from(len),
                    Sent::Control(Frame::Ping { nonce }) => node.say(link, &Frame::Pong { nonce }),
                    _ => {}
                }
            }
        }
    }
    sent
}

#[test]
fn the_rate_is_kept_and_the_peers_take_turns() {
    let mut node = node(|config| config.loader.upload_bytes_per_second = 1_000_000);
    for link in 1..=3 {
        node.link(link, 10 + link as u8);
        node.store.put(key(link.into()), Some(8_000_000), 8_000_000);
        node.say(link, &request(1, key(link.into())));
    }
    let sent = send_for(&mut node, 1..=3, 6_000);
    let total: u64 = sent.values().sum();
    assert!((5_800_000..=6_400_000).contains(&total), "{total} bytes in 6 s at 1 MB/s");
    for (link, bytes) in &sent {
        assert!(*bytes > total / 4, "link {link} got {bytes} of {total}: {sent:?}");
    }
}

#[test]
fn an_upload_under_a_low_rate_is_not_taken_for_slow() {
    let mut node = node(|config| config.loader.upload_bytes_per_second = 50_000);
    node.link(1, 9);
    node.store.put(key(1), Some(1_000_000), 1_000_000);
    node.say(1, &request(1, key(1)));
    let first = node.frames_on(1);
    assert_eq!(first, [accept(TransferId(1), 1_000_000)]);
    let sent = send_for(&mut node, 1..=1, 22_000);
    assert!(sent[&1] > 900_000, "{sent:?}");
    assert!(!node.frames_on(1).contains(&refuse(1, RefuseReason::Busy)));
}

#[test]
fn few_are_served_at_a_time_when_the_rate_is_low() {
    let mut node = node(|config| config.loader.upload_bytes_per_second = 300_000);
    node.swarm.set_upload_goal(150_000);
    for link in 1..=3 {
        node.link(link, 10 + link as u8);
        node.store.put(key(link.into()), Some(8_000_000), 8_000_000);
        node.say(link, &request(1, key(link.into())));
    }
    assert_eq!(node.frames_on(3), [refuse(1, RefuseReason::Busy)]);
    // The second waits for its turn.
    assert_eq!(node.frames_on(2), []);
    assert!(send_for(&mut node, 1..=2, 1_000).values().all(|bytes| *bytes > 100_000));
}

#[test]
fn the_total_ends_it_for_all_and_peers_are_told() {
    let mut node = node(|config| config.loader.upload_bytes_total = 1_500_000);
    for link in 1..=2 {
        node.link(link, 10 + link as u8);
    }
    node.store.put(key(1), Some(1_000_000), 1_000_000);
    node.say(1, &request(1, key(1)));
    let accepted = Sent::Control(accept(TransferId(1), 1_000_000));
    assert!(node.sent.iter().any(|(_, sent)| *sent == accepted));
    // Another one fits no more beside the first, which is under way and goes on to its end.
    node.say(2, &request(1, key(1)));
    assert_eq!(node.frames_on(2), [refuse(1, RefuseReason::Busy)]);
    assert_eq!(node.swarm.upload_state(), UploadState::On, "the first may be given up");
    send_for(&mut node, 1..=1, 2_000);
    assert_eq!(node.swarm.stats().1, 1_000_000);
    assert_eq!(node.swarm.upload_left_bytes(), Some(500_000));
    node.say(2, &request(2, key(1)));
    assert_eq!(node.frames_on(2), [refuse(2, RefuseReason::Busy), sharing(false)]);
    assert_eq!(node.swarm.upload_state(), UploadState::Spent);
    node.say(2, &request(3, key(1)));
    assert_eq!(node.frames_on(2), [refuse(3, RefuseReason::NotSharing)]);
    // Who comes later learns it from the hello.
    node.up(3, Some(id(13)), false);
    let [Frame::Hello { capabilities, .. }] = node.frames_on(3)[..] else { panic!("a hello") };
    assert!(!capabilities.contains(Capabilities::UPLOADS));
}

#[test]
fn the_total_is_never_passed_even_by_a_segment_of_unknown_length() {
    let mut node = node(|config| config.loader.upload_bytes_total = 2_000_000);
    node.link(1, 9);
    node.store.put(key(1), None, 8_000_000);
    node.say(1, &request(1, key(1)));
    let sent = send_for(&mut node, 1..=1, 2_000);
    assert!(sent[&1] <= 2_000_000 + 65_526, "{sent:?}");
}

#[test]
fn the_ratio_lets_go_on_when_something_was_received() {
    let mut node = node(|config| {
        config.loader.upload_ratio = 1.0;
        config.loader.upload_ratio_floor_bytes = 1_200_000;
    });
    node.link(1, 9);
    node.store.put(key(1), Some(1_000_000), 1_000_000);
    node.say(1, &request(1, key(1)));
    let sent = send_for(&mut node, 1..=1, 500);
    assert_eq!(sent[&1], 1_000_000);
    node.say(1, &request(2, key(1)));
    assert_eq!(node.frames_on(1), [refuse(2, RefuseReason::Busy)], "it is no more than a pause");
    node.with(|swarm, _, _, _, _| swarm.set_received(800_000));
    node.say(1, &request(3, key(1)));
    assert_eq!(send_for(&mut node, 1..=1, 500)[&1], 1_000_000);
}

#[test]
fn who_had_more_than_a_fair_part_waits_for_the_others() {
    let mut node = node(|config| config.loader.upload_bytes_total = 1_000_000);
    for link in 1..=2 {
        node.link(link, 10 + link as u8);
    }
    node.store.put(key(1), Some(600_000), 600_000);
    node.say(1, &request(1, key(1)));
    send_for(&mut node, 1..=1, 500);
    node.forget();
    node.say(1, &request(2, key(1)));
    assert_eq!(node.frames_on(1), [refuse(2, RefuseReason::Busy)]);
    node.store.put(key(2), Some(300_000), 300_000);
    node.say(2, &request(1, key(2)));
    assert_eq!(node.frames_on(2), [accept(TransferId(1), 300_000)]);
}

#[test]
fn hidden_pages_serve_fewer() {
    let mut node = node(|config| config.limits.hidden_upload_slots = 1);
    for link in 1..=3 {
        node.link(link, 10 + link as u8);
        node.store.put(key(link.into()), Some(8_000_000), 8_000_000);
    }
    node.with(|swarm, now, _, _, out| swarm.set_hidden(now, true, out));
    assert_eq!(node.swarm.upload_state(), UploadState::Reduced);
    for link in 1..=2 {
        node.say(link, &request(1, key(link.into())));
    }
    assert_eq!(node.frames_on(1), [accept(TransferId(1), 8_000_000)]);
    assert_eq!(node.frames_on(2), [refuse(1, RefuseReason::Busy)]);
    node.with(|swarm, now, _, _, out| swarm.set_hidden(now, false, out));
    node.say(3, &request(1, key(3)));
    assert_eq!(node.frames_on(3), [accept(TransferId(1), 8_000_000)]);
}

#[test]
fn a_peer_that_ceases_to_serve_is_not_asked_until_it_begins_again() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), false);
    node.say(1, &hello_with(9, Capabilities::CUT_THROUGH));
    node.say(1, &delta(&[(1, HaveState::Loaded)]));
    let link = LinkId(1);
    assert_eq!(node.swarm.holder_state(link, key(1)), HaveState::Gone);
    for (on, state) in [(true, HaveState::Loaded), (false, HaveState::Gone), (true, HaveState::Loaded)] {
        node.say(1, &sharing(on));
        assert_eq!(node.swarm.holder_state(link, key(1)), state);
        assert_eq!(node.request(1, key(1), 0, 0).is_some(), on);
    }
    // What makes no sense changes nothing.
    for body in [vec![], vec![2], vec![0, 0]] {
        node.say(1, &Frame::Extension { kind: crate::wire::SHARING, body });
        assert_eq!(node.swarm.holder_state(link, key(1)), HaveState::Loaded);
    }
}
