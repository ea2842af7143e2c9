//! Every option of `limits` that bounds a peer, set to something else than its default: the bound moves with it.
//!
//! What the bounds are for, and where their edges are, is tested by subject in the files beside this one.

use super::harness::{Node, Sent, accept, delta, hello, id, key, not_here, refuse, request};
use crate::config::{Config, LimitsConfig};
use crate::id::{LinkId, TransferId};
use crate::swarm::SwarmNotice;
use crate::wire::{DATA_HEAD_LEN, Frame, HaveState, RefuseReason};

/// A node with changed limits, linked to peer 9 over link 1.
fn with(change: impl FnOnce(&mut LimitsConfig)) -> Node {
    let mut node = alone(change);
    node.link(1, 9);
    node
}

fn alone(change: impl FnOnce(&mut LimitsConfig)) -> Node {
    let mut config = Config::default();
    change(&mut config.limits);
    Node::new(&config, id(5))
}

/// Milliseconds until `over`, looked at in steps.
fn until(node: &mut Node, step_ms: u64, over: impl Fn(&Node) -> bool) -> u64 {
    let begun = node.now;
    while !over(node) {
        assert!(node.now.since(begun).as_secs() < 600, "never over");
        node.wait(step_ms);
    }
    node.now.since(begun).as_millis()
}

#[test]
fn hello_timeout_ms() {
    for ms in [1000, 4000] {
        let mut node = alone(|limits| limits.hello_timeout_ms = ms);
        node.up(1, Some(id(9)), false);
        assert_eq!(until(&mut node, 100, |node| node.swarm.pending_count() == 0), ms);
    }
}

#[test]
fn ping_interval_ms_and_missed_pings_before_close() {
    for (interval, missed) in [(1000, 2), (1000, 5), (3000, 2)] {
        let mut node = with(|limits| {
            limits.ping_interval_ms = interval;
            limits.missed_pings_before_close = missed;
        });
        let silent = until(&mut node, 100, |node| !node.is_open(1));
        assert_eq!(silent, interval * u64::from(missed + 1), "{missed} pings, one each {interval} ms");
    }
}

#[test]
fn replace_worst_peer_ms() {
    for ms in [2000, 5000] {
        let mut node = alone(|limits| {
            limits.max_peers = 2;
            limits.replace_worst_peer_ms = ms;
        });
        node.link(1, 11);
        node.link(2, 12);
        // Past their probation.
        for _ in 0..31 {
            node.wait(1000);
            (1..=2).for_each(|link| node.say(link, &Frame::Ping { nonce: 0 }));
        }
        node.up(3, Some(id(13)), false);
        node.say(3, &hello(13));
        assert!(node.is_open(3), "the first may come at once");
        let before = until(&mut node, 100, |node| node.swarm.admits(node.now, id(14)));
        assert_eq!(before, ms);
    }
}

#[test]
fn max_control_message_bytes() {
    let mut node = with(|limits| limits.max_control_message_bytes = 8192);
    node.say_bytes(1, &vec![0x90; 8192]);
    assert!(node.is_open(1));
    node.say_bytes(1, &vec![0x90; 8193]);
    node.assert_violation(1, "control message of 8193 bytes where 8192 are allowed");
}

#[test]
fn unrequested_bytes() {
    let mut node = with(|limits| limits.unrequested_bytes = 100_000);
    node.give(1, TransferId(1), 0, 60_000);
    node.give(1, TransferId(1), 0, 40_000);
    assert!(node.is_open(1));
    node.give(1, TransferId(1), 0, 1);
    node.assert_violation(1, "sent 100001 bytes that were not asked for");
}

#[test]
fn absents_before_ignore_absent_window_ms_and_ignore_ms() {
    let ignored = |allowed: u32, window_ms: u64, pause_ms: u64| {
        let mut node = with(|limits| {
            limits.absents_before_ignore = allowed;
            limits.absent_window_ms = window_ms;
            limits.ignore_ms = 7000;
        });
        node.say(1, &delta(&[(1, HaveState::Loaded), (2, HaveState::Loaded)]));
        for sequence in 1..=2 {
            node.wait(pause_ms);
            let transfer = node.request(1, key(sequence), 0, 100).unwrap();
            node.say(1, &Frame::Refuse { transfer, reason: RefuseReason::Absent });
        }
        let until = node.swarm.peer_view(LinkId(1)).unwrap().ignored_until;
        until.map(|until| until.since(node.now).as_millis())
    };
    assert_eq!(ignored(2, 2000, 1500), Some(7000));
    assert_eq!(ignored(3, 2000, 1500), None, "two of three");
    assert_eq!(ignored(2, 1000, 1500), None, "the first is forgotten");
}

#[test]
fn have_window() {
    for (window, remembered) in [(64, false), (256, true)] {
        let mut node = with(|limits| limits.have_window = window);
        node.say(1, &delta(&[(10, HaveState::Loaded)]));
        node.say(1, &delta(&[(200, HaveState::Loaded)]));
        let first = node.swarm.holder_state(LinkId(1), key(10));
        assert_eq!(first == HaveState::Loaded, remembered, "a window of {window}");
    }
}

#[test]
fn have_updates_per_second_and_burst() {
    let mut node = with(|limits| {
        limits.have_updates_per_second = 2;
        limits.have_updates_burst = 5;
    });
    let known = |node: &mut Node, sequence| {
        node.say(1, &delta(&[(sequence, HaveState::Loaded)]));
        node.swarm.holder_state(LinkId(1), key(sequence)) == HaveState::Loaded
    };
    assert_eq!((0..8).filter(|&sequence| known(&mut node, sequence)).count(), 5);
    node.wait(2000);
    assert_eq!((10..18).filter(|&sequence| known(&mut node, sequence)).count(), 4);
}

#[test]
fn requests_per_second_and_burst() {
    let mut node = with(|limits| {
        limits.requests_per_second = 3;
        limits.requests_burst = 6;
    });
    let mut transfer = 0;
    let mut taken = |node: &mut Node, count: u32| {
        let asked = transfer..transfer + count;
        transfer += count;
        asked
            .filter(|&transfer| {
                node.say(1, &request(transfer, key(1)));
                node.frames_on(1) == not_here(transfer, 1, RefuseReason::Absent)
            })
            .count()
    };
    assert_eq!(taken(&mut node, 10), 6);
    node.wait(1000);
    assert_eq!(taken(&mut node, 10), 3);
}

#[test]
fn rejects_before_close() {
    let mut node = with(|limits| {
        limits.requests_burst = 1;
        limits.requests_per_second = 1;
        limits.rejects_before_close = 4;
    });
    for transfer in 0..5 {
        node.say(1, &request(transfer, key(1)));
    }
    assert!(node.is_open(1), "one is taken and four are tolerated");
    node.say(1, &request(5, key(1)));
    node.assert_violation(1, "more than 4 requests had to be refused");
}

#[test]
fn requests_outstanding_and_per_peer() {
    let mut node = with(|limits| {
        limits.requests_outstanding_per_peer = 2;
        limits.requests_outstanding = 3;
    })
    .with_places_for_all();
    node.link(2, 10);
    node.store.put(key(1), Some(1_000_000), 0);
    for transfer in 1..=2 {
        node.say(1, &request(transfer, key(1)));
    }
    assert_eq!(node.frames_on(1), []);
    node.say(1, &request(3, key(1)));
    assert_eq!(node.frames_on(1), [refuse(3, RefuseReason::RateLimited)]);
    node.say(2, &request(1, key(1)));
    node.say(2, &request(2, key(1)));
    assert_eq!(node.frames_on(2), [refuse(2, RefuseReason::Busy)]);
    // And so for what we ask.
    assert!(node.request(1, key(5), 0, 100).is_some() && node.request(1, key(5), 100, 100).is_some());
    assert_eq!(node.request(1, key(5), 200, 100), None);
}

#[test]
fn receive_bytes_per_peer_and_total() {
    let mut node = with(|limits| {
        limits.receive_bytes_per_peer = 100_000;
        limits.receive_bytes_total = 150_000;
    });
    node.link(2, 10);
    assert!(node.request(1, key(1), 0, 60_000).is_some());
    assert_eq!(node.request(1, key(2), 0, 40_001), None);
    assert!(node.request(1, key(2), 0, 40_000).is_some());
    assert_eq!(node.request(2, key(3), 0, 50_001), None);
    assert!(node.request(2, key(3), 0, 50_000).is_some());
}

#[test]
fn min_receive_bytes_per_second_and_window_ms() {
    for (least, window_ms, slow) in [(1000, 1000, true), (100, 1000, false), (1000, 4000, false)] {
        let mut node = with(|limits| {
            limits.min_receive_bytes_per_second = least;
            limits.min_receive_window_ms = window_ms;
        });
        let transfer = node.request(1, key(4), 0, 1_000_000).unwrap();
        node.say(1, &accept(transfer, 0));
        node.give(1, transfer, 0, 500);
        node.wait(1500);
        assert_eq!(node.swarm.peer_view(LinkId(1)).unwrap().slow, slow, "{least} in {window_ms} ms");
    }
}

#[test]
fn send_stall_ms() {
    for ms in [1000, 9000] {
        let mut node = with(|limits| limits.send_stall_ms = ms);
        node.store.put(key(1), Some(4_000_000), 4_000_000);
        node.say(1, &request(1, key(1)));
        node.forget();
        node.wait(ms - 1);
        assert_eq!(node.frames_on(1), []);
        node.wait(1);
        assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::Busy)]);
    }
}

#[test]
fn send_buffer_high_bytes() {
    let mut node = with(|limits| {
        limits.send_buffer_low_bytes = 20_000;
        limits.send_buffer_high_bytes = 70_000;
    });
    node.store.put(key(1), Some(4_000_000), 4_000_000);
    node.say(1, &request(1, key(1)));
    let sent: u64 = node.data_on(1).values().sum();
    assert!(sent <= 70_000 + 65_535, "{sent}: at most one message beyond");
}

#[test]
fn send_buffer_low_bytes() {
    // A link that tells that it has drained has no more than this unsent: the rest of the buffer is free.
    for (low, messages) in [(0, 2), (10_000, 1)] {
        let mut node = with(|limits| {
            limits.send_buffer_low_bytes = low;
            limits.send_buffer_high_bytes = 70_000;
        });
        node.store.put(key(1), Some(4_000_000), 4_000_000);
        node.say(1, &request(1, key(1)));
        node.forget();
        node.writable(1);
        let sent = node.sent_on(1).into_iter().filter(|sent| matches!(sent, Sent::Data { .. })).count();
        assert_eq!(sent, messages, "sendBufferLowBytes {low}");
    }
}

#[test]
fn upload_time_factor() {
    // A mebibyte at the 64 KiB a second of which nothing better is known; nothing says that any of it has left.
    for (factor, seconds) in [(1, 16), (2, 32)] {
        let mut node = with(|limits| {
            limits.upload_time_factor = factor;
            limits.send_stall_ms = 600_000;
            limits.ping_interval_ms = 600_000;
        });
        node.store.put(key(1), Some(1024 * 1024), 1024 * 1024);
        node.say(1, &request(1, key(1)));
        node.forget();
        node.wait(seconds * 1000 - 1);
        assert_eq!(node.frames_on(1), []);
        node.wait(1);
        assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::Busy)], "uploadTimeFactor {factor}");
    }
}

#[test]
fn max_data_message_bytes() {
    for most in [4096, 9000] {
        let payload = most - DATA_HEAD_LEN as u32;
        let mut node = with(|limits| limits.max_data_message_bytes = most);
        node.store.put(key(1), Some(100_000), 100_000);
        node.say(1, &request(1, key(1)));
        let sent = node.sent_on(1).into_iter().filter_map(|sent| match sent {
            Sent::Data { len, .. } => Some(len),
            _ => None,
        });
        assert_eq!(sent.max(), Some(payload), "sent");
        let transfer = node.request(1, key(2), 0, 0).unwrap();
        node.say(1, &accept(transfer, 100_000));
        node.give(1, transfer, 0, payload);
        assert!(node.is_open(1), "taken");
        node.give(1, transfer, payload, payload + 1);
        assert!(!node.is_open(1), "too long");
    }
}

#[test]
fn upload_slots() {
    for (slots, served) in [(1, 1), (2, 2)] {
        let mut node = alone(|limits| limits.upload_slots = slots).with_places_for_all();
        node.store.put(key(1), Some(4_000_000), 4_000_000);
        for link in 1..=3 {
            node.link(link, link as u8 + 10);
        }
        for link in 1..=3 {
            node.say(link, &request(1, key(1)));
        }
        let being_served = (1..=3).filter(|link| !node.data_on(*link).is_empty()).count();
        assert_eq!(being_served, served);
    }
}

#[test]
fn max_peers_and_max_pending_peers() {
    let mut node = alone(|limits| {
        limits.max_peers = 2;
        limits.max_pending_peers = 1;
    });
    node.up(1, Some(id(11)), false);
    assert!(!node.swarm.admits(node.now, id(12)), "one is pending");
    node.say(1, &hello(11));
    node.link(2, 12);
    assert!(!node.swarm.admits(node.now, id(13)), "two are there, and new");
    assert!(!node.notices.contains(&SwarmNotice::LinkGone { link: LinkId(1) }));
}
