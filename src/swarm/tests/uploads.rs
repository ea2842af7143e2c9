use super::harness::{KIB, Node, Sent, accept, hello, id, key, not_here, refuse, request, sharing};
use crate::config::Config;
use crate::engine::Event;
use crate::id::{LinkId, TransferId};
use crate::wire::{DataHead, Frame, HaveState, RefuseReason};

/// What was sent on link 1 since the last look: payload bytes, the last ping, and the other frames.
fn take_sent(node: &mut Node) -> (u64, Option<u32>, Vec<Frame>) {
    let (mut bytes, mut ping, mut frames) = (0, None, Vec::new());
    for sent in node.sent_on(1) {
        match sent {
            Sent::Data { len, .. } => bytes += u64::from(len),
            Sent::Control(Frame::Ping { nonce }) => ping = Some(nonce),
            Sent::Control(frame) => frames.push(frame),
            Sent::Close => panic!("closed"),
        }
    }
    (bytes, ping, frames)
}

fn with_slots(slots: usize) -> Node {
    let mut config = Config::default();
    config.limits.upload_slots = slots;
    Node::new(&config, id(5)).with_places_for_all()
}

#[test]
fn a_segment_is_accepted_and_sent_in_order() {
    let mut node = Node::linked();
    node.store.put(key(4), Some(100_000), 100_000);
    node.say(1, &request(77, key(4)));
    let sent = node.sent_on(1);
    let transfer = TransferId(77);
    assert_eq!(sent[0], Sent::Control(accept(TransferId(77), 100_000)));
    let Some((Sent::Control(Frame::Ping { .. }), messages)) = sent[1..].split_last() else {
        panic!("{sent:?}")
    };
    let mut next = 0;
    for message in messages {
        let Sent::Data { head, len, .. } = message else { panic!("{message:?}") };
        assert_eq!(*head, DataHead { transfer, at: next });
        assert!(len + 9 <= 65_535);
        next += len;
    }
    assert_eq!(next, 100_000);
    assert_eq!(node.swarm.stats().1, 100_000);
    assert_eq!(node.events, [Event::Uploaded { peer: id(9), key: key(4), bytes: 100_000 }]);
}

#[test]
fn what_has_left_is_asked_after_an_upload_and_not_before_the_next() {
    let mut node = Node::linked();
    let mut pings = 0;
    for sequence in 1..=20 {
        node.store.put(key(sequence), Some(120_000), 120_000);
        node.say(1, &request(sequence as u32, key(sequence)));
        let (bytes, ping, _) = take_sent(&mut node);
        assert_eq!(bytes, 120_000, "request {sequence}");
        if let Some(nonce) = ping {
            pings += 1;
            node.wait(30);
            node.say(1, &Frame::Pong { nonce });
        }
        node.wait(500);
    }
    assert!((2..20).contains(&pings), "{pings}");
}

#[test]
fn a_part_is_sent_as_asked_and_cut_at_the_end() {
    let mut node = Node::linked();
    node.store.put(key(4), Some(1000), 1000);
    let part = |transfer, at, len| Frame::Request {
        transfer: TransferId(transfer),
        key: key(4),
        resource_offset: 0,
        at,
        len,
    };
    node.say(1, &part(1, 100, 50));
    assert_eq!(node.data_on(1), [(TransferId(1), 50)].into());
    node.say(1, &part(2, 900, 500));
    assert_eq!(node.data_on(1), [(TransferId(2), 100)].into());
    node.say(1, &part(3, 1000, 0));
    assert_eq!(node.frames_on(1), [accept(TransferId(3), 1000)]);
    node.say(1, &part(4, 1001, 0));
    assert_eq!(node.frames_on(1), not_here(4, 4, RefuseReason::Absent));
}

#[test]
fn messages_are_as_small_as_the_smallest_side_wants() {
    for (ours, theirs, transport, largest) in [
        (65_535, 65_535, 262_144, 65_535),
        (20_000, 65_535, 262_144, 20_000),
        (65_535, 3000, 262_144, 3000),
        (65_535, 65_535, 16_384, 16_384),
        (262_144, 262_144, 262_144, 65_536),
    ] {
        let mut config = Config::default();
        config.loader.web_rtc_max_message_size = ours;
        let mut node = Node::new(&config, id(5));
        node.with(|swarm, now, rng, _, out| {
            swarm.link_up(now, rng, LinkId(1), Some(id(9)), true, transport, out);
        });
        let mut greeting = hello(9);
        if let Frame::Hello { max_message_bytes, .. } = &mut greeting {
            *max_message_bytes = theirs;
        }
        node.say(1, &greeting);
        node.forget();
        node.store.put(key(1), Some(100_000), 100_000);
        node.say(1, &request(1, key(1)));
        let lens = node.sent_on(1).into_iter().filter_map(|sent| match sent {
            Sent::Data { len, .. } => Some(len + 9),
            _ => None,
        });
        assert_eq!(lens.max(), Some(largest), "{ours} {theirs} {transport}");
    }
}

#[test]
fn sending_stops_at_a_full_buffer_and_goes_on_when_it_drained() {
    let mut node = Node::linked();
    let total: u64 = 4 * 1024 * 1024;
    node.store.put(key(1), Some(total), total);
    node.say(1, &request(1, key(1)));
    let high = 512 * 1024;
    let mut sent = node.data_on(1)[&TransferId(1)];
    assert!(sent >= 128 * 1024 && sent <= high, "{sent}");
    let mut rounds = 0;
    while sent < total {
        // Silence changes nothing, for less than the stall.
        node.wait(20);
        assert_eq!(node.data_on(1), [].into());
        node.writable(1);
        let more = node.data_on(1).remove(&TransferId(1)).unwrap_or(0);
        assert!(more > 0 && more <= high, "{more}");
        sent += more;
        rounds += 1;
    }
    assert_eq!(sent, total);
    assert!(rounds >= 8);
}

#[test]
fn a_pong_tells_that_the_buffer_drained_when_the_shell_can_not() {
    // Each part is far below the low-water mark, so that the shell never sees the buffer fall below it.
    let mut node = Node::linked();
    node.store.put(key(1), Some(1024 * 1024), 1024 * 1024);
    let mut served = 0;
    for part in 0..100_u32 {
        let (transfer, at) = (TransferId(part), part * 10_000);
        node.say(1, &Frame::Request { transfer, key: key(1), resource_offset: 0, at, len: 10_000 });
        node.wait(60);
        let sent = node.sent_on(1);
        for message in sent {
            match message {
                Sent::Data { len, .. } => served += len,
                Sent::Control(Frame::Ping { nonce }) => node.say(1, &Frame::Pong { nonce }),
                _ => {}
            }
        }
    }
    served += node.data_on(1).values().sum::<u64>() as u32;
    assert_eq!(served, 1_000_000);
}

#[test]
fn a_slow_link_gets_a_short_buffer() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(4 * 1024 * 1024), 4 * 1024 * 1024);
    node.say(1, &request(1, key(1)));
    let mut most = 0;
    for round in 0..20 {
        let (bytes, ping, _) = take_sent(&mut node);
        if round > 8 {
            most = most.max(bytes);
        }
        // A hundred bytes a millisecond.
        node.wait((bytes / 100).max(1));
        if let Some(nonce) = ping {
            node.say(1, &Frame::Pong { nonce });
        }
    }
    assert!(most > 0 && most <= 128 * 1024, "{most} bytes lie in the buffer of a link of 100 kB/s");
}

#[test]
fn without_drain_for_five_seconds_the_uploads_are_dropped() {
    let mut node = with_slots(1);
    node.link(1, 9);
    node.link(2, 10);
    node.store.put(key(1), Some(4_000_000), 4_000_000);
    node.say(1, &request(1, key(1)));
    node.say(2, &request(1, key(1)));
    node.forget();
    node.wait(4999);
    assert_eq!(node.frames_on(1), []);
    assert_eq!(node.data_on(2), [].into(), "the only slot is taken");
    node.wait(1);
    assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::Busy)]);
    assert!(!node.data_on(2).is_empty(), "the slot is free for the next");
    node.say(1, &request(2, key(1)));
    assert_eq!(node.frames_on(1), [refuse(2, RefuseReason::Busy)]);
    node.writable(1);
    node.say(1, &request(3, key(1)));
    assert_eq!(node.frames_on(1), []);
    assert!(node.is_open(1));
}

#[test]
fn slots_go_round_between_links_and_in_order_within_one() {
    let mut node = with_slots(1);
    for link in 1..=3 {
        node.link(link, link as u8 + 10);
    }
    for sequence in 0..6 {
        node.store.put(key(sequence), Some(100_000), 100_000);
    }
    // The slot is taken by a segment that is larger than the buffer.
    node.store.put(key(9), Some(300_000), 300_000);
    node.say(1, &request(1, key(9)));
    for link in 1..=3 {
        let first = if link == 1 { 2 } else { 1 };
        node.say(link, &request(first, key(1)));
        node.say(link, &request(first + 1, key(2)));
    }
    let mut order = Vec::new();
    for _ in 0..40 {
        node.wait(10);
        for link in 1..=3 {
            node.writable(link);
        }
        for (link, sent) in node.sent.drain(..) {
            if let Sent::Control(Frame::Accept { transfer, .. }) = sent {
                order.push((link.0, transfer.0));
            }
        }
    }
    assert_eq!(order, [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2), (1, 3)]);
}

#[test]
fn an_upload_goes_on_as_its_segment_arrives() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(200_000), 0);
    node.say(1, &request(1, key(1)));
    assert_eq!(node.sent_on(1), []);
    node.grow(key(1), 10_000);
    assert_eq!(node.sent_on(1), [], "too small a piece to be worth a message");
    node.grow(key(1), 30_000);
    let sent = node.sent_on(1);
    assert_eq!(sent[0], Sent::Control(accept(TransferId(1), 200_000)));
    assert!(matches!(sent[1], Sent::Data { len: 30_000, .. }));
    node.grow(key(1), 195_000);
    node.grow(key(1), 200_000);
    node.writable(1);
    assert_eq!(node.data_on(1), [(TransferId(1), 170_000)].into());
    assert_eq!(node.events, [Event::Uploaded { peer: id(9), key: key(1), bytes: 200_000 }]);
}

#[test]
fn the_length_is_told_when_it_becomes_known() {
    let mut node = Node::linked();
    node.store.put(key(1), None, 50_000);
    node.say(1, &request(1, key(1)));
    let sent = node.sent_on(1);
    assert_eq!(sent[0], Sent::Control(accept(TransferId(1), 0)));
    assert!(matches!(sent[1], Sent::Data { len: 50_000, .. }));
    node.store.put(key(1), Some(50_000), 50_000);
    node.grow(key(1), 50_000);
    assert_eq!(node.sent_on(1), [Sent::Control(accept(TransferId(1), 50_000))]);
    assert_eq!(node.events.len(), 1, "and it is finished");
}

#[test]
fn an_empty_segment_is_refused() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(0), 0);
    node.say(1, &request(1, key(1)));
    assert_eq!(node.frames_on(1), not_here(1, 1, RefuseReason::Absent));
    node.store.put(key(1), None, 0);
    node.say(1, &request(2, key(1)));
    assert_eq!(node.frames_on(1), []);
    node.store.put(key(1), Some(0), 0);
    node.grow(key(1), 0);
    assert_eq!(node.frames_on(1), [refuse(2, RefuseReason::Absent)]);
}

#[test]
fn a_waiting_upload_holds_up_nobody_else_who_has_a_place() {
    let mut node = with_slots(2);
    node.link(1, 9);
    node.link(2, 10);
    node.store.put(key(1), Some(200_000), 0);
    node.store.put(key(2), Some(1000), 1000);
    node.say(1, &request(1, key(1)));
    node.say(1, &request(2, key(2)));
    assert_eq!(node.data_on(1), [(TransferId(2), 1000)].into());
    node.say(2, &request(1, key(2)));
    assert_eq!(node.data_on(2), [(TransferId(1), 1000)].into());
}

#[test]
fn a_download_of_ours_that_fails_ends_the_uploads_that_follow_it() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(200_000), 30_000);
    node.say(1, &request(1, key(1)));
    node.forget();
    node.gone(key(1), true);
    assert_eq!(node.frames_on(1), not_here(1, 1, RefuseReason::Aborted));
    node.store.put(key(1), Some(200_000), 30_000);
    node.say(1, &request(2, key(1)));
    node.forget();
    node.gone(key(1), false);
    assert_eq!(node.frames_on(1), not_here(2, 1, RefuseReason::Absent));
}

#[test]
fn an_upload_that_starves_is_given_up() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(200_000), 0);
    node.say(1, &request(1, key(1)));
    node.wait(29_999);
    assert_eq!(node.frames_on(1), []);
    node.wait(1);
    assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::Busy)]);
}

#[test]
fn what_is_not_there_or_not_to_be_shared_is_refused() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(1000), 1000);
    node.store.segments.get_mut(&key(1)).unwrap().resource_offset = 500;
    node.store.put(key(2), Some(1000), 1000);
    node.store.segments.get_mut(&key(2)).unwrap().shareable = false;
    for (transfer, sequence) in [(1, 1), (2, 2), (3, 3)] {
        node.say(1, &request(transfer, key(sequence)));
        assert_eq!(node.frames_on(1), not_here(transfer, sequence, RefuseReason::Absent));
    }
    let at_its_place =
        Frame::Request { transfer: TransferId(4), key: key(1), resource_offset: 500, at: 0, len: 0 };
    node.say(1, &at_its_place);
    assert_eq!(node.frames_on(1), [accept(TransferId(4), 1000)]);
}

#[test]
fn gone_is_told_before_absent() {
    let mut node = Node::linked();
    node.set(key(1), HaveState::Loaded);
    node.wait(0);
    node.forget();
    node.set(key(1), HaveState::Gone);
    node.say(1, &request(1, key(1)));
    assert_eq!(node.frames_on(1), not_here(1, 1, RefuseReason::Absent));
}

#[test]
fn who_only_consumes_refuses_and_so_does_who_may_not_share_now() {
    let mut config = Config::default();
    config.loader.consume_only = true;
    let mut node = Node::new(&config, id(5));
    node.link(1, 9);
    node.store.put(key(1), Some(1000), 1000);
    node.say(1, &request(1, key(1)));
    assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::NotSharing)]);

    let mut node = Node::linked();
    node.store.put(key(1), Some(1_000_000), 1_000_000);
    node.say(1, &request(1, key(1)));
    node.forget();
    node.with(|swarm, now, _, _, out| swarm.set_sharing(now, false, out));
    assert_eq!(node.frames_on(1), [refuse(1, RefuseReason::NotSharing), sharing(false)]);
    node.say(1, &request(2, key(1)));
    assert_eq!(node.frames_on(1), [refuse(2, RefuseReason::NotSharing)]);
    node.with(|swarm, now, _, _, out| swarm.set_sharing(now, true, out));
    assert_eq!(node.frames_on(1), [sharing(true)]);
    node.writable(1);
    node.say(1, &request(3, key(1)));
    assert_eq!(node.frames_on(1), [accept(TransferId(3), 1_000_000)]);
}

#[test]
fn a_cancelled_upload_stops() {
    let mut node = Node::linked();
    node.store.put(key(1), Some(4_000_000), 4_000_000);
    node.say(1, &request(1, key(1)));
    node.say(1, &Frame::Cancel { transfer: TransferId(1) });
    node.forget();
    node.writable(1);
    node.wait(1000);
    assert_eq!(node.data_on(1), [].into());
    node.say(1, &Frame::Cancel { transfer: TransferId(99) });
    assert!(node.is_open(1));
}

#[test]
fn an_upload_gets_three_times_its_expected_time() {
    let mut node = Node::linked();
    // The link is measured at 100 kB/s.
    node.store.put(key(1), Some(2_000_000), 2_000_000);
    node.say(1, &request(1, key(1)));
    for _ in 0..40 {
        let (bytes, ping, _) = take_sent(&mut node);
        node.wait((bytes / 100).max(1));
        if let Some(nonce) = ping {
            node.say(1, &Frame::Pong { nonce });
        }
    }
    assert_eq!(node.events.len(), 1, "the first is through");
    // 400 kB should take 4 s. Now each pong takes 4.5 s, just short of a stall.
    node.store.put(key(2), Some(400_000), 400_000);
    node.say(1, &request(2, key(2)));
    let begun = node.now;
    let refused = loop {
        let (_, ping, frames) = take_sent(&mut node);
        if frames.contains(&refuse(2, RefuseReason::Busy)) {
            break node.now;
        }
        assert!(node.now.since(begun).as_secs() < 60, "never dropped");
        node.wait(4500);
        if let Some(nonce) = ping {
            node.say(1, &Frame::Pong { nonce });
        }
    };
    let took = refused.since(begun).as_millis();
    assert!((9000..=18_000).contains(&took), "{took} ms");
}

#[test]
fn a_peer_that_reads_as_slowly_as_it_can_is_dropped_in_bounded_time() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), false);
    let mut greeting = hello(9);
    if let Frame::Hello { max_message_bytes, .. } = &mut greeting {
        // Small messages, so that it never looks stalled.
        *max_message_bytes = 2048;
    }
    node.say(1, &greeting);
    node.store.put(key(1), Some(400_000), 400_000);
    node.forget();
    let mut longest = 0;
    for transfer in 1..=8 {
        node.say(1, &request(transfer, key(1)));
        let begun = node.now;
        let refused = loop {
            let (_, ping, frames) = take_sent(&mut node);
            if frames.contains(&refuse(transfer, RefuseReason::Busy)) {
                break node.now;
            }
            assert!(node.now.since(begun).as_secs() < 600, "upload {transfer} was never dropped");
            // Just short of a stall.
            node.wait(4500);
            if let Some(nonce) = ping {
                node.say(1, &Frame::Pong { nonce });
            }
        };
        longest = longest.max(refused.since(begun).as_secs());
    }
    // Thrice the 48.8 s that 400 kB take at 8 KiB/s, where its own rate would give it a quarter of an hour.
    assert!((140..=151).contains(&longest), "{longest} s");
}

#[test]
fn how_many_are_served_at_a_time_is_learnt_from_how_fast_it_goes() {
    let served = |node: &mut Node, links: std::ops::RangeInclusive<u32>| {
        let mut served = 0;
        for link in links {
            node.say(link, &request(1, key(1)));
            served += usize::from(!node.frames_on(link).contains(&refuse(1, RefuseReason::Busy)));
            assert!(node.is_open(link), "to be refused is no fault");
        }
        served
    };
    let new = || {
        let mut node = Node::default();
        node.store.put(key(1), Some(4_000_000), 4_000_000);
        node.store.put(key(2), Some(1000), 1000);
        for link in 1..=8 {
            node.link(link, link as u8 + 10);
        }
        node
    };
    assert_eq!(served(&mut new(), 1..=8), 2, "nothing is known of the uplink");

    // Link 8 is sent a segment, and each ping is answered after a while: that shows what the uplink can do.
    let upload = |answer_after_ms: u64| {
        let mut node = new();
        node.swarm.set_upload_goal(1_000_000);
        node.store.put(key(3), Some(4_000_000), 4_000_000);
        node.say(8, &request(1, key(3)));
        for _ in 0..1000 {
            node.wait(10);
            if node.events.iter().any(|event| matches!(event, Event::Uploaded { .. })) {
                return node;
            }
            for message in node.sent_on(8) {
                if let Sent::Control(Frame::Ping { nonce }) = message {
                    node.wait(answer_after_ms);
                    node.say(8, &Frame::Pong { nonce });
                }
            }
        }
        panic!("{:?}", node.events);
    };
    let fast = served(&mut upload(20), 1..=7);
    assert!(fast >= 3, "{fast} places with several times the goal");
    assert_eq!(served(&mut upload(500), 1..=7), 1, "slower than the goal");
}

#[test]
fn a_trickle_does_not_look_like_a_fast_uplink() {
    let mut node = Node::linked();
    node.swarm.set_upload_goal(100_000);
    let piece = 64 * u64::from(KIB);
    node.store.put(key(4), Some(32 * piece), 0);
    node.say(1, &request(77, key(4)));
    for pieces in 1..=32 {
        node.grow(key(4), pieces * piece);
        node.wait(500);
        for message in node.sent_on(1) {
            if let Sent::Control(Frame::Ping { nonce }) = message {
                node.say(1, &Frame::Pong { nonce });
            }
        }
    }
    // 128 KiB a second were seen to go out. That the last ping was answered at once says nothing of the bytes before.
    assert!(node.swarm.serves_at_a_time() <= 2, "{}", node.swarm.serves_at_a_time());
}

#[test]
fn a_segment_that_arrives_slowly_is_forwarded_to_its_end() {
    let mut node = Node::linked();
    let piece = 64 * u64::from(KIB);
    node.store.put(key(4), Some(32 * piece), 0);
    node.say(1, &request(77, key(4)));
    let mut next = 0;
    for pieces in 1..=32 {
        node.grow(key(4), pieces * piece);
        node.wait(200);
        // The send buffer never rises above its low-water mark, so that the shell has nothing to tell: only pongs do.
        for message in node.sent_on(1) {
            match message {
                Sent::Control(Frame::Ping { nonce }) => node.say(1, &Frame::Pong { nonce }),
                Sent::Data { len, .. } => next += u64::from(len),
                _ => {}
            }
        }
    }
    node.wait(500);
    next += node
        .sent_on(1)
        .iter()
        .map(|message| match message {
            Sent::Data { len, .. } => u64::from(*len),
            _ => 0,
        })
        .sum::<u64>();
    assert_eq!(next, 32 * piece);
}
