use super::harness::{Node, Sent, delta, hello, id, key};
use crate::id::{Digest, LinkId, SegmentKey, TrackId};
use crate::swarm::SwarmNotice;
use crate::wire::{Claim, Frame, HaveEntry, HaveState, Interest, bitmap};

const LOADED: HaveState = HaveState::Loaded;

/// The segments of a bitmap whose first bit stands for `first`.
fn sequences(first: u64, loaded: &[u8]) -> Vec<u64> {
    bitmap::ones(loaded).map(|bit| first + bit as u64).collect()
}

#[test]
fn the_first_change_goes_out_at_once_and_the_next_are_gathered() {
    let mut node = Node::linked();
    node.link(2, 10);
    node.set(key(1), LOADED);
    node.wait(0);
    for link in [1, 2] {
        assert_eq!(node.frames_on(link), [delta(&[(1, LOADED)])]);
    }
    for sequence in 2..5 {
        node.set(key(sequence), LOADED);
        node.wait(30);
    }
    assert_eq!(node.frames_on(1), []);
    node.wait(10);
    assert_eq!(node.frames_on(1), [delta(&[(2, LOADED), (3, LOADED), (4, LOADED)])]);
}

#[test]
fn what_is_taken_back_in_time_is_never_said() {
    let mut node = Node::linked();
    node.set(key(1), LOADED);
    node.wait(0);
    node.forget();
    node.set(key(2), LOADED);
    node.set(key(2), HaveState::Gone);
    node.set(key(1), LOADED);
    node.wait(1000);
    assert_eq!(node.frames_on(1), []);
}

#[test]
fn a_new_peer_is_told_everything() {
    let mut node = Node::default();
    for sequence in [100, 103, 1000] {
        node.set(key(sequence), LOADED);
    }
    let other = SegmentKey { track: TrackId(8), discontinuity: 2, sequence: 5 };
    node.set(other, LOADED);
    node.set(key(1001), HaveState::FetchingHttp);
    let interest = Interest { track: TrackId(7), playing_sequence: 100, wanted_sequence: 110, serves: 2 };
    node.with(|swarm, now, _, _, _| swarm.set_interest(now, interest));
    node.wait(1000);
    node.up(1, Some(id(9)), true);
    node.say(1, &hello(9));
    let frames = node.frames_on(1);
    let [_, first, second, marks, Frame::Interest(told)] = &frames[..] else { panic!("{frames:?}") };
    let Frame::Have { track: TrackId(7), discontinuity: 0, first_sequence, loaded } = first else {
        panic!("{first:?}")
    };
    assert_eq!(sequences(*first_sequence, loaded), [100, 103, 1000]);
    assert!(matches!(second, Frame::Have { track: TrackId(8), discontinuity: 2, first_sequence: 0, .. }));
    assert_eq!(*marks, delta(&[(1001, HaveState::FetchingHttp)]));
    assert_eq!(*told, interest);
}

#[test]
fn fetching_is_repeated_until_it_is_over() {
    let mut node = Node::linked();
    node.set(key(1), HaveState::FetchingHttp);
    node.wait(0);
    assert_eq!(node.frames_on(1), [delta(&[(1, HaveState::FetchingHttp)])]);
    for _ in 0..3 {
        node.wait(3999);
        assert_eq!(node.frames_on(1), []);
        node.wait(1);
        assert_eq!(node.frames_on(1), [delta(&[(1, HaveState::FetchingHttp)])]);
    }
    node.set(key(1), LOADED);
    node.wait(100);
    assert_eq!(node.frames_on(1), [delta(&[(1, LOADED)])]);
    node.wait(10_000);
    assert_eq!(node.frames_on(1), []);
}

fn claim(sequence: u64) -> Frame {
    Frame::Claim(Claim { key: key(sequence), total_bytes: 9, digest: Digest([1; 16]), origin: 0 })
}

#[test]
fn a_claim_says_that_the_segment_is_there_and_nothing_says_so_again() {
    let mut node = Node::linked();
    node.set(key(1), HaveState::FetchingHttp);
    node.wait(0);
    node.forget();
    node.set(key(1), LOADED);
    node.with(|swarm, now, _, _, out| swarm.tell_all(now, &claim(1), out));
    node.wait(10_000);
    assert_eq!(node.frames_on(1), [claim(1)]);
    node.up(2, Some(id(8)), true);
    node.say(2, &hello(8));
    let frames = node.frames_on(2);
    let [_, Frame::Have { first_sequence, loaded, .. }] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(sequences(*first_sequence, loaded), [1]);
    node.set(key(1), HaveState::Gone);
    node.wait(0);
    assert_eq!(node.frames_on(1), [delta(&[(1, HaveState::Gone)])]);
}

#[test]
fn who_has_a_segment_is_not_told_who_gets_it() {
    let mut node = Node::linked();
    node.link(2, 10);
    node.say(1, &claim(4));
    node.set(key(4), HaveState::FetchingP2p);
    node.wait(0);
    assert_eq!(node.frames_on(1), []);
    assert_eq!(node.frames_on(2), [delta(&[(4, HaveState::FetchingP2p)])]);
    node.set(key(4), LOADED);
    node.with(|swarm, now, _, _, out| swarm.tell_all(now, &claim(4), out));
    assert_eq!((node.frames_on(1), node.frames_on(2)), (vec![], vec![claim(4)]));
    // It dropped it: from now on it may want it.
    node.say(1, &delta(&[(4, HaveState::Gone)]));
    node.set(key(4), HaveState::Gone);
    node.wait(4000);
    assert_eq!(node.frames_on(1), [delta(&[(4, HaveState::Gone)])]);
}

#[test]
fn a_player_is_not_told_of_what_it_played_until_it_goes_back() {
    let mut node = Node::linked();
    let interest = |playing_sequence, wanted_sequence| {
        Frame::Interest(Interest { track: TrackId(7), playing_sequence, wanted_sequence, serves: 2 })
    };
    node.say(1, &interest(10, 15));
    node.set(key(9), LOADED);
    node.wait(0);
    assert_eq!(node.frames_on(1), []);
    node.set(key(10), LOADED);
    node.wait(100);
    assert_eq!(node.frames_on(1), [delta(&[(10, LOADED)])]);
    let of_another = SegmentKey { track: TrackId(8), ..key(9) };
    node.set(of_another, LOADED);
    node.wait(100);
    let entries = vec![HaveEntry { key: of_another, state: LOADED }];
    assert_eq!(node.frames_on(1), [Frame::HaveDelta { entries }]);
    node.say(1, &interest(11, 16));
    assert_eq!(node.frames_on(1), []);
    node.say(1, &interest(3, 5));
    let frames = node.frames_on(1);
    let [Frame::Have { first_sequence, loaded, .. }, Frame::Have { track: TrackId(8), .. }] = &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!(sequences(*first_sequence, loaded), [9, 10]);
}

#[test]
fn what_was_dropped_is_told_with_the_next_change_or_after_a_while() {
    let mut node = Node::linked();
    let (fetching, gone) = (HaveState::FetchingP2p, HaveState::Gone);
    node.set(key(1), LOADED);
    node.set(key(2), LOADED);
    node.wait(0);
    node.forget();
    node.set(key(1), gone);
    node.wait(3999);
    assert_eq!(node.frames_on(1), []);
    node.set(key(3), LOADED);
    node.wait(0);
    assert_eq!(node.frames_on(1), [delta(&[(1, gone), (3, LOADED)])]);
    node.set(key(2), gone);
    node.wait(3999);
    assert_eq!(node.frames_on(1), []);
    node.wait(1);
    assert_eq!(node.frames_on(1), [delta(&[(2, gone)])]);
    node.set(key(3), fetching);
    node.wait(100);
    node.forget();
    node.set(key(3), gone);
    node.wait(100);
    assert_eq!(node.frames_on(1), [delta(&[(3, gone)])], "others wait for what is being fetched");
}

#[test]
fn who_claims_a_segment_has_it() {
    let mut node = Node::linked();
    node.say(1, &delta(&[(4, HaveState::FetchingHttp)]));
    node.forget();
    node.say(1, &claim(4));
    node.say(1, &claim(4));
    let link = LinkId(1);
    let Frame::Claim(heard) = claim(4) else { unreachable!() };
    let claimed = SwarmNotice::Claimed { link, claim: heard };
    assert_eq!(node.notices, [claimed.clone(), SwarmNotice::HaveChanged { link }, claimed]);
    assert_eq!(node.swarm.holder_state(link, key(4)), LOADED);
    node.wait(11_000);
    assert_eq!(node.swarm.holder_state(link, key(4)), LOADED);
}

#[test]
fn a_large_change_is_told_as_a_bitmap() {
    let mut node = Node::linked();
    for sequence in 0..500 {
        node.set(key(sequence), LOADED);
    }
    node.set(key(700), HaveState::FetchingP2p);
    node.wait(0);
    let frames = node.frames_on(1);
    let [Frame::Have { first_sequence: 0, loaded, .. }, marks] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(bitmap::count(loaded), 500);
    assert_eq!(*marks, delta(&[(700, HaveState::FetchingP2p)]));
}

#[test]
fn we_never_announce_faster_than_others_take_it() {
    let mut node = Node::linked();
    let mut listener = Node::linked();
    for sequence in 0..3000 {
        node.set(key(sequence), if sequence % 3 == 0 { HaveState::FetchingHttp } else { LOADED });
        node.wait(11);
        listener.now = node.now;
        for frame in node.frames_on(1) {
            listener.say(1, &frame);
        }
    }
    node.wait(200);
    listener.now = node.now;
    for frame in node.frames_on(1) {
        listener.say(1, &frame);
    }
    assert!(listener.is_open(1));
    assert_eq!(listener.swarm.holder_state(LinkId(1), key(2999)), LOADED);
    assert_eq!(listener.swarm.holder_state(LinkId(1), key(2000)), LOADED);
}

#[test]
fn holders_are_found_in_the_order_of_links() {
    let mut node = Node::default();
    for link in [3, 1, 2] {
        node.link(link, link as u8 + 10);
    }
    node.say(3, &delta(&[(4, LOADED)]));
    node.say(1, &delta(&[(4, HaveState::FetchingHttp), (5, LOADED)]));
    let holders: Vec<(LinkId, HaveState)> = node.swarm.holders(key(4)).collect();
    assert_eq!(holders, [(LinkId(1), HaveState::FetchingHttp), (LinkId(3), LOADED)]);
    assert_eq!(node.swarm.availability(key(4)), 1);
    let links: Vec<u32> = node.swarm.peers().map(|view| view.link.0).collect();
    assert_eq!(links, [1, 2, 3]);
    assert_eq!(node.swarm.stats().0.iter().map(|peer| peer.segments).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn a_mark_that_is_not_repeated_expires_and_is_reported() {
    let mut node = Node::linked();
    node.say(1, &delta(&[(4, HaveState::FetchingHttp)]));
    node.forget();
    node.wait(9999);
    assert_eq!(node.swarm.holder_state(LinkId(1), key(4)), HaveState::FetchingHttp);
    node.wait(1);
    assert_eq!(node.notices, [SwarmNotice::HaveChanged { link: LinkId(1) }]);
    assert_eq!(node.swarm.holder_state(LinkId(1), key(4)), HaveState::Gone);
}

#[test]
fn only_changes_are_reported() {
    let mut node = Node::linked();
    let interest = Interest { track: TrackId(7), playing_sequence: 1, wanted_sequence: 2, serves: 2 };
    for _ in 0..2 {
        node.say(1, &delta(&[(4, LOADED)]));
        node.say(1, &Frame::Interest(interest));
    }
    let link = LinkId(1);
    assert_eq!(node.notices, [SwarmNotice::HaveChanged { link }, SwarmNotice::InterestChanged { link }]);
    assert_eq!(node.swarm.peer_view(link).unwrap().interest, Some(interest));
}

#[test]
fn interest_is_told_a_few_times_a_second_at_most() {
    let mut node = Node::linked();
    for step in 0..100_u64 {
        let interest =
            Interest { track: TrackId(7), playing_sequence: step, wanted_sequence: 4 * step, serves: 2 };
        node.with(|swarm, now, _, _, _| swarm.set_interest(now, interest));
        node.wait(10);
    }
    let told: Vec<u64> = node
        .sent_on(1)
        .into_iter()
        .filter_map(|sent| match sent {
            Sent::Control(Frame::Interest(interest)) => Some(interest.playing_sequence),
            _ => None,
        })
        .collect();
    assert_eq!(told, [0, 24, 49, 74, 99][..told.len()]);
    assert!(told.len() >= 4);
}

#[test]
fn a_player_that_goes_on_is_told_when_it_went_far_or_has_for_a_while() {
    let mut node = Node::linked();
    let mut tell = |playing_sequence, wanted_sequence, serves, wait_ms| {
        let interest = Interest { track: TrackId(7), playing_sequence, wanted_sequence, serves };
        node.with(|swarm, now, _, _, _| swarm.set_interest(now, interest));
        node.wait(wait_ms);
        let sent = node.sent_on(1).into_iter();
        let told = sent.filter_map(|sent| match sent {
            Sent::Control(Frame::Interest(interest)) => Some(interest.playing_sequence),
            _ => None,
        });
        told.collect::<Vec<u64>>()
    };
    assert_eq!(tell(1, 9, 2, 1000), [1]);
    assert!(tell(2, 10, 2, 3000).is_empty(), "a step");
    assert!(tell(3, 12, 2, 3500).is_empty(), "and another");
    assert_eq!(tell(3, 12, 2, 1000), [3], "after a while");
    assert_eq!(tell(4, 16, 2, 100), [4], "four at once");
    assert_eq!(tell(5, 15, 2, 300), [5], "one back");
    assert_eq!(tell(6, 15, 4, 300), [6], "more places for uploads");
}
