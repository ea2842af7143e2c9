use super::harness::{Node, Sent, hello, hello_with, id, key, swarm_id};
use crate::config::Config;
use crate::engine::{CloseReason, Event};
use crate::id::{LinkId, SwarmId};
use crate::swarm::SwarmNotice;
use crate::wire::{Capabilities, Frame, GoodbyeReason, HaveState, WAKE};

fn goodbye(reason: GoodbyeReason) -> Sent {
    Sent::Control(Frame::Goodbye { reason })
}

#[test]
fn both_sides_say_hello_and_are_ready() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    let expected = Frame::Hello {
        min_version: 1,
        max_version: 1,
        capabilities: Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
        swarm: swarm_id(),
        peer: id(5),
        max_message_bytes: 65_535,
    };
    assert_eq!(node.frames_on(1), [expected]);
    assert_eq!((node.swarm.ready_count(), node.swarm.pending_count()), (0, 1));
    node.say(1, &hello(9));
    assert_eq!(node.notices, [SwarmNotice::PeerReady { link: LinkId(1) }]);
    assert_eq!(node.events, [Event::PeerConnected { peer: id(9) }]);
    assert_eq!((node.swarm.ready_count(), node.swarm.pending_count()), (1, 0));
    let view = node.swarm.peer_view(LinkId(1)).unwrap();
    assert!(view.uploads && view.cut_through && view.peer == id(9));
}

#[test]
fn a_viewer_that_only_consumes_says_so_and_announces_nothing() {
    let mut config = Config::default();
    config.loader.consume_only = true;
    let mut node = Node::new(&config, id(5));
    node.up(1, Some(id(9)), true);
    let Some(Frame::Hello { capabilities, .. }) = node.frames_on(1).pop() else { panic!("no hello") };
    assert_eq!(capabilities, Capabilities::default());
    node.say(1, &hello(9));
    node.set(key(1), HaveState::Loaded);
    node.wait(1000);
    assert_eq!(node.frames_on(1), []);
}

#[test]
fn a_peer_without_hello_is_closed_after_ten_seconds() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    node.wait(9999);
    assert_eq!(node.swarm.pending_count(), 1);
    node.wait(1);
    assert_eq!(node.swarm.pending_count(), 0);
    assert!(node.sent_on(1).ends_with(&[Sent::Close]));
    let reason = CloseReason::Timeout("no hello within 10000 ms".to_owned());
    assert_eq!(node.events, [Event::PeerClosed { peer: id(9), reason }]);
    assert_eq!(node.notices, [SwarmNotice::LinkGone { link: LinkId(1) }]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let with = |change: fn(&mut Frame)| {
        let mut frame = hello(9);
        change(&mut frame);
        let mut node = Node::default();
        node.up(1, Some(id(9)), true);
        node.say(1, &frame);
        assert!(!node.is_open(1));
        let sent = node.sent_on(1);
        let Some(Event::PeerClosed { reason, .. }) = node.events.pop() else { panic!("no event") };
        (sent.get(1).cloned(), reason)
    };
    let incompatible =
        |what: &str| (Some(goodbye(GoodbyeReason::Incompatible)), CloseReason::Incompatible(what.to_owned()));
    let ours = swarm_id().0;
    let other = SwarmId::from_name("other").0;
    assert_eq!(
        with(|hello| if let Frame::Hello { swarm, .. } = hello {
            *swarm = SwarmId::from_name("other")
        }),
        incompatible(&format!("hello: swarm {other}, ours is {ours}"))
    );
    assert_eq!(
        with(|hello| if let Frame::Hello { min_version, max_version, .. } = hello {
            (*min_version, *max_version) = (2, 3);
        }),
        incompatible("hello: speaks versions 2 to 3, we speak 1 to 1")
    );
    let (said, reason) = with(|hello| {
        if let Frame::Hello { peer, .. } = hello {
            *peer = id(8)
        }
    });
    assert_eq!(said, Some(goodbye(GoodbyeReason::Violation)));
    assert!(matches!(reason, CloseReason::Violation(why) if why.contains("the tracker told")));
}

#[test]
fn we_do_not_talk_to_ourselves() {
    let mut node = Node::default();
    node.up(1, None, true);
    node.say(1, &hello(5));
    assert_eq!(node.sent_on(1)[1..], [goodbye(GoodbyeReason::Incompatible), Sent::Close]);
    node.up(2, Some(id(5)), true);
    assert_eq!(node.sent_on(2), [goodbye(GoodbyeReason::Incompatible), Sent::Close]);
    assert!(!node.swarm.admits(node.now, id(5)));
}

#[test]
fn the_hello_comes_first_and_once() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    node.say(1, &Frame::Ping { nonce: 1 });
    node.assert_violation(1, "first frame is not a hello");
    let mut node = Node::linked();
    node.say(1, &hello(8));
    node.assert_violation(1, "second hello");
}

#[test]
fn wakes_and_repeated_hellos_are_bounded_like_all_small_frames() {
    let wake = Frame::Extension { kind: WAKE, body: Vec::new() };
    for (greeted, frame) in [(false, wake), (true, hello(9))] {
        let mut node = if greeted { Node::linked() } else { Node::default() };
        if !greeted {
            node.up(1, Some(id(9)), true);
        }
        node.sent_on(1);
        (0..200).for_each(|_| node.say(1, &frame));
        let sent = node.sent_on(1);
        assert!(sent.len() <= 102, "{} answers", sent.len());
        assert!(sent.contains(&Sent::Close), "the flood goes on: {frame:?}");
    }
}

#[test]
fn a_wake_asks_for_the_hello_again_until_one_has_come() {
    let wake = |body| Frame::Extension { kind: WAKE, body };
    let is_hello = |sent: &Sent| matches!(sent, Sent::Control(Frame::Hello { .. }));
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    let first = node.sent_on(1);
    node.say(1, &wake(Vec::new()));
    let again = node.sent_on(1);
    assert!(is_hello(&again[0]));
    assert_eq!(again, first[..1], "the same words");
    node.say(1, &hello(9));
    node.say(1, &hello(9));
    node.say(1, &wake(Vec::new()));
    assert!(!node.sent_on(1).iter().any(is_hello), "greeted already");
    node.up(2, Some(id(7)), true);
    node.say(2, &wake(vec![0]));
    node.assert_violation(2, "first frame is not a hello");
}

#[test]
fn of_two_links_the_one_made_by_the_smaller_id_stays() {
    // We are 5. The other made link 1, we made link 2.
    for (other, kept, dropped) in [(9, 2, 1), (3, 1, 2)] {
        for order in [[1, 2], [2, 1]] {
            let mut node = Node::default();
            node.up(1, Some(id(other)), false);
            node.up(2, Some(id(other)), true);
            for link in order {
                node.say(link, &hello(other));
            }
            assert!(node.is_open(kept) && !node.is_open(dropped), "peer {other}, order {order:?}");
            assert!(node.sent_on(dropped).ends_with(&[goodbye(GoodbyeReason::Duplicate), Sent::Close]));
            assert_eq!(node.swarm.ready_count(), 1);
        }
    }
}

#[test]
fn of_two_links_made_by_one_side_that_side_closes_one() {
    // We made both: we close the newer.
    let mut node = Node::default();
    node.up(1, Some(id(9)), true);
    node.up(2, Some(id(9)), true);
    node.say(1, &hello(9));
    node.say(2, &hello(9));
    assert!(node.is_open(1) && !node.is_open(2));
    assert!(node.sent_on(2).ends_with(&[goodbye(GoodbyeReason::Duplicate), Sent::Close]));

    // They made both: the newer stays hidden until they have closed one.
    let mut node = Node::linked();
    node.up(2, Some(id(9)), false);
    node.say(2, &hello(9));
    assert_eq!(node.swarm.peers().count(), 1);
    node.say(1, &Frame::Goodbye { reason: GoodbyeReason::Duplicate });
    assert!(node.is_open(2));
    let expected = [
        SwarmNotice::PeerGone { link: LinkId(1), peer: id(9) },
        SwarmNotice::LinkGone { link: LinkId(1) },
        SwarmNotice::PeerReady { link: LinkId(2) },
    ];
    assert_eq!(node.notices, expected);

    // They close none: the newer goes.
    let mut node = Node::linked();
    node.up(2, Some(id(9)), false);
    node.say(2, &hello(9));
    node.wait(10_000);
    assert!(node.is_open(1));
    assert_eq!(node.swarm.pending_count(), 0);
}

#[test]
fn a_dead_link_gives_way_to_a_new_one_and_a_living_one_does_not() {
    for alive in [false, true] {
        // Link 1 was made by the smaller id, 3, and so would win.
        let mut node = Node::default();
        node.link(1, 3);
        node.wait(2000);
        node.forget();
        node.up(2, Some(id(3)), true);
        node.say(2, &hello(3));
        assert_eq!((node.swarm.ready_count(), node.swarm.pending_count()), (1, 1));
        let Some(Sent::Control(Frame::Ping { nonce })) = node.sent_on(1).pop() else { panic!("no ping") };
        if alive {
            node.wait(4000);
            node.say(1, &Frame::Pong { nonce });
            assert!(node.is_open(1) && !node.is_open(2));
            assert_eq!(node.swarm.pending_count(), 0);
        } else {
            node.wait(5000);
            assert!(!node.is_open(1) && node.is_open(2));
        }
    }
}

#[test]
fn a_goodbye_closes_and_is_reported() {
    for (said, told) in [
        (GoodbyeReason::Leaving, CloseReason::Left),
        (GoodbyeReason::Replaced, CloseReason::Replaced),
        (GoodbyeReason::Duplicate, CloseReason::Duplicate),
    ] {
        let mut node = Node::linked();
        node.say(1, &Frame::Goodbye { reason: said });
        assert_eq!(node.sent_on(1), [Sent::Close]);
        assert_eq!(node.events, [Event::PeerClosed { peer: id(9), reason: told }]);
        assert_eq!(
            node.notices,
            [
                SwarmNotice::PeerGone { link: LinkId(1), peer: id(9) },
                SwarmNotice::LinkGone { link: LinkId(1) }
            ]
        );
    }
}

#[test]
fn a_peer_that_had_no_room_is_left_alone_for_a_while() {
    let mut node = Node::linked();
    node.say(1, &Frame::Goodbye { reason: GoodbyeReason::Replaced });
    assert!(!node.swarm.admits(node.now, id(9)));
    node.wait(29_999);
    assert!(!node.swarm.admits(node.now, id(9)));
    node.wait(1);
    assert!(node.swarm.admits(node.now, id(9)));
}

#[test]
fn leaving_says_goodbye_to_all() {
    let mut node = Node::linked();
    node.link(2, 10);
    node.with(|swarm, now, _, _, out| swarm.close_all(now, GoodbyeReason::Leaving, out));
    for link in [1, 2] {
        assert_eq!(node.sent_on(link), [goodbye(GoodbyeReason::Leaving), Sent::Close]);
    }
    assert_eq!(node.swarm.ready_count() + node.swarm.pending_count(), 0);
    assert_eq!(node.events.len(), 2);
}

#[test]
fn a_banned_peer_is_closed_and_never_taken_again() {
    let mut node = Node::linked();
    node.with(|swarm, now, _, _, out| swarm.ban(now, id(9), "a block did not match its digest", out));
    node.assert_violation(1, "a block did not match its digest");
    node.wait(100_000_000);
    assert!(!node.swarm.admits(node.now, id(9)));
    node.up(2, Some(id(9)), false);
    assert_eq!(node.sent_on(2), [goodbye(GoodbyeReason::Violation), Sent::Close]);
    node.up(3, None, false);
    node.say(3, &hello(9));
    assert!(!node.is_open(3));
}

#[test]
fn a_peer_that_only_consumes_is_never_asked() {
    let mut node = Node::default();
    node.up(1, Some(id(9)), false);
    node.say(1, &hello_with(9, Capabilities::default()));
    node.say(1, &super::harness::delta(&[(4, HaveState::Loaded)]));
    assert_eq!(node.swarm.holder_state(LinkId(1), key(4)), HaveState::Gone);
    assert_eq!(node.request(1, key(4), 0, 100), None);
}
