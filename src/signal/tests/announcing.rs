//! Sessions with trackers and the offers that go with their announces.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::engine::{Event, LinkCloseCause, Output, TrackerState};
use crate::id::{LinkId, TrackerId};
use crate::time::Time;

#[test]
fn offers_are_made_while_the_tracker_opens_and_go_out_at_once() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.start();
    assert!(matches!(rig.log[0].1, Output::OpenTracker { tracker: TrackerId(0), .. }));
    assert_eq!(rig.created(), 5, "before the socket is open");
    rig.run(60);
    let announces = rig.announces(0);
    // Open after 30 ms, the offers ready after 40 ms: the first leaves with `started`.
    assert_eq!(announces[0].0, Time::from_millis(1040));
    assert_eq!(announces[0].1["event"], "started");
    assert_eq!(announces[0].1["trickle"], true);
    assert_eq!(announces[0].1["left"], json!(null));
    assert_eq!(announces[0].1["numwant"], announces[0].1["offers"].as_array().unwrap().len());
    // The others, all made within the same millisecond, follow together.
    assert_eq!(announces.len(), 2);
    assert_eq!(announces[1].1["event"], json!(null));
    assert_eq!(rig.offer_ids(0).len(), 5);
    let distinct: BTreeSet<_> = rig.offer_ids(0).into_iter().collect();
    assert_eq!(distinct.len(), 5);
}

#[test]
fn the_token_goes_with_every_announce_and_a_new_one_is_tried_at_once() {
    let refusing = vec![Tracker::Good(json!({ "failure reason": "token expired 1 s ago" }))];
    let mut rig = Rig::with(refusing, "mmm", |config| {
        config.loader.tracker_token = Some("first".to_owned());
    });
    rig.start();
    rig.run(300_000);
    let announces = rig.announces(0);
    assert!(announces.len() > 2 && announces.iter().all(|(_, announce)| announce["token"] == "first"));
    // Long after a refusal: the next try is minutes away.
    rig.run(30_000);
    rig.clear();
    rig.call(|s, now, _, _| s.set_token(now, "second".to_owned()));
    let set = rig.now;
    rig.run(1);
    let announces = rig.announces(0);
    assert_eq!((announces[0].0, &announces[0].1["token"]), (set, &json!("second")));
    // A tracker that refused nothing is not asked sooner for it.
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(300_000);
    rig.clear();
    rig.call(|s, now, _, _| s.set_token(now, "second".to_owned()));
    rig.run(1);
    assert!(rig.announces(0).is_empty());
    rig.run(300_000);
    assert!(rig.announces(0).iter().all(|(_, announce)| announce["token"] == "second"));
}

#[test]
fn a_large_swarm_gets_the_rest_of_the_offers_as_soon_as_its_size_is_known() {
    let mut rig = Rig::with(vec![Tracker::of_size(50)], "mmm", |_| {});
    rig.start();
    rig.call(|s, now, _, _| s.set_demand(now, 30));
    rig.run(1000);
    assert_eq!(rig.signal.swarm_size(), Some(50));
    assert_eq!(rig.offer_ids(0).len(), 15, "5 at first, then as many as one announce may have");
    assert!(rig.announces(0).len() <= 3);
}

#[test]
fn peer_requests_per_announce_bounds_each_announce_and_zero_means_never_to_offer() {
    for most in [0, 1, 3] {
        let mut rig =
            Rig::with(vec![Tracker::of_size(50)], "mmm", |c| c.loader.peer_requests_per_announce = most);
        rig.call(|s, now, _, _| s.set_demand(now, 30));
        rig.start();
        rig.run(300_000);
        let counts: Vec<_> =
            rig.announces(0).iter().map(|(_, a)| a["offers"].as_array().unwrap().len()).collect();
        assert!(counts.iter().all(|&count| count <= most), "{counts:?}");
        assert_eq!(counts.iter().max(), Some(&most));
    }
}

#[test]
fn fifty_offers_per_announce_go_in_messages_that_trackers_take() {
    let mut rig = Rig::with(vec![Tracker::of_size(500)], "mmm", |c| c.loader.peer_requests_per_announce = 50);
    rig.call(|s, now, _, _| s.set_demand(now, 100));
    rig.start();
    rig.run(1000);
    // The admission limit of 30 links bounds them. The rig checks that no message has more than 10.
    assert!((25..=50).contains(&rig.offer_ids(0).len()), "{}", rig.offer_ids(0).len());
}

#[test]
fn large_descriptions_are_spread_over_messages() {
    let mut rig = Rig::new(vec![Tracker::of_size(50)]);
    rig.offer_ms = None;
    rig.call(|s, now, _, _| s.set_demand(now, 30));
    rig.start();
    rig.run(35);
    rig.offer_ms = None;
    for link in 0..5 {
        let sdp = "\n".repeat(8 * 1024);
        rig.call(|s, now, rng, out| s.offer_ready(now, rng, LinkId(link), sdp, out));
    }
    // The rig checks the size of each message.
    let offers: usize = rig.announces(0).iter().map(|(_, a)| a["offers"].as_array().unwrap().len()).sum();
    assert_eq!(offers, 5);
}

#[test]
fn slow_offers_do_not_delay_the_first_announce_and_follow_it() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.offer_ms = Some(2000);
    rig.start();
    rig.run(1000);
    let announces = rig.announces(0);
    assert_eq!(announces.len(), 1);
    assert_eq!(announces[0].0, Time::from_millis(1000 + 30 + 150));
    assert_eq!(announces[0].1["offers"], json!([]));
    assert_eq!(rig.signal.swarm_size(), Some(20), "known although there is no offer yet");
    rig.run(3500);
    assert_eq!(rig.offer_ids(0).len(), 10);
    let first = rig.announces(0)[1].clone();
    assert_eq!(first.0, Time::from_millis(3000));
}

#[test]
fn offers_that_are_ready_do_not_wait_for_those_that_hang() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.offer_ms = None;
    rig.start();
    rig.run(35);
    for link in 0..4 {
        rig.call(|s, now, rng, out| s.offer_ready(now, rng, LinkId(link), format!("v=0 offer {link}"), out));
        rig.run(5);
    }
    assert_eq!(rig.offer_ids(0).len(), 1, "the first at once");
    rig.run(400);
    assert_eq!(rig.offer_ids(0).len(), 4, "the others after waiting a little for the fifth");
    assert_eq!(rig.announces(0).len(), 2);
}

#[test]
fn a_browser_without_webrtc_is_not_asked_again_and_again() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.offer_ms = None;
    rig.start();
    for _ in 0..600 {
        for link in rig.created_links() {
            let cause = LinkCloseCause::BadDescription("no RTCPeerConnection".to_owned());
            rig.call(|s, now, rng, out| s.link_failed(now, rng, link, cause, out));
        }
        rig.run(1000);
    }
    assert!(rig.created() <= 20, "{} offers in ten minutes", rig.created());
    let errors = rig.events().into_iter().filter(|event| matches!(event, Event::Error { .. })).count();
    assert_eq!(errors, 1);
    assert!(rig.announces(0).len() >= 5, "it goes on announcing: others may offer");
}

#[test]
fn no_demand_means_no_offers_but_presence() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.call(|s, now, _, _| s.set_demand(now, 0));
    rig.start();
    rig.run(1000);
    assert_eq!(rig.created(), 0);
    assert_eq!(rig.announces(0).len(), 1);
    assert_eq!(rig.announces(0)[0].0, Time::from_millis(1030));
}

#[test]
fn alone_it_keeps_its_offers_until_they_are_old_and_makes_no_more() {
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(10_000);
    assert_eq!(rig.created(), 5);
    assert_eq!(rig.closed().len(), 0);
    rig.run(3_600_000);
    assert_eq!(rig.created(), 5, "nobody came in an hour");
    assert_eq!(rig.closed().len(), 5);
    let announces = rig.announces(0);
    assert!((30..=40).contains(&announces.len()), "{} announces in an hour", announces.len());
    assert!(rig.ticks < 100, "{} wake-ups in an hour", rig.ticks);
}

#[test]
fn an_offer_that_reached_nobody_is_sent_again_instead_of_a_new_one() {
    let mut rig = Rig::new(vec![Tracker::of_size(1), Tracker::Dead]);
    rig.start();
    rig.run(1000);
    let before = rig.created();
    // The second tracker comes up and has peers: it gets the offers that the first could not hand out.
    rig.trackers[1] = Tracker::of_size(6);
    rig.run(3000);
    assert!(rig.offer_ids(1).len() >= 5);
    assert_eq!(
        rig.created(),
        before + rig.offer_ids(1).len() - before,
        "all that were there were used first"
    );
    // An answer to the old name of an offer is not taken.
    let old = rig.offer_ids(0)[0].clone();
    rig.answer_from(0, "aaa", &old);
    assert!(rig.connecting().is_empty());
}

#[test]
fn offers_beyond_the_number_of_receivers_return_to_the_pool_once_all_receivers_answered() {
    let mut rig = Rig::new(vec![Tracker::of_size(3)]);
    rig.start();
    // One announce for all offers.
    rig.offer_ms = Some(10);
    rig.run(200);
    let first = rig.announces(0)[0].1["offers"].as_array().unwrap().len();
    let ids = rig.offer_ids(0);
    assert!(first >= 1 && ids.len() == 5);
    let last = ids.len() - 1;
    rig.answer_from(0, "aaa", &ids[last]);
    rig.answer_from(0, "bbb", &ids[last - 1]);
    rig.run(100);
    assert_eq!(rig.signal.pending_links(), 2);
    // All but the two of the second announce, and the one of the first, are free again and reusable.
    let free = rig.signal.links.count(|l| matches!(l.stage, crate::signal::links::Stage::Ready { .. }));
    assert_eq!(free, ids.len() - 2 - first);
}

#[test]
fn unanswered_offers_expire_and_are_renewed_while_links_are_short() {
    let mut rig = Rig::new(vec![Tracker::of_size(10)]);
    rig.start();
    rig.run(500);
    let first: Vec<_> = rig.offers_sent(0).into_iter().map(|(_, link)| link).collect();
    assert!((9..=10).contains(&first.len()), "{} offers for nine others", first.len());
    rig.run(54_000);
    assert!(rig.offers_sent(0).len() > first.len(), "renewed before the tracker's interval of 120 s");
    rig.run(2000);
    for link in &first {
        assert!(rig.closed().contains(link), "{link:?} is open after 56 s");
    }
    // Nobody answers for an hour: the pace drops to that of the interval.
    rig.clear();
    rig.run(3_600_000);
    assert!(rig.announces(0).len() <= 3 * 36, "{} announces", rig.announces(0).len());
    assert!(rig.created() <= 500, "{} offers", rig.created());
    assert!(rig.ticks < 1500, "{} wake-ups", rig.ticks);
}

#[test]
fn the_trackers_minimum_interval_is_kept_and_its_interval_bounded() {
    let reply = json!({ "interval": 60, "min interval": 40, "complete": 2, "incomplete": 100 });
    let mut rig = Rig::new(vec![Tracker::Good(reply)]);
    rig.call(|s, now, _, _| s.set_demand(now, 30));
    rig.start();
    rig.run(600_000);
    let times: Vec<_> = rig.announces(0).iter().map(|(at, _)| *at).collect();
    // The first moment is one announce in parts.
    let later: Vec<_> = times.iter().filter(|at| at.as_millis() > 5000).collect();
    for pair in later.windows(2) {
        assert!(pair[1].since(*pair[0]).as_secs() >= 39 || pair[1].since(*pair[0]).as_millis() < 1000);
        assert!(pair[1].since(*pair[0]).as_secs() <= 60);
    }
    assert_eq!(rig.signal.swarm_size(), Some(102));

    for (interval, most, least) in [(json!(0.001), 400, 50), (json!(1e18), 8, 3), (json!("soon"), 11, 7)] {
        let reply = json!({ "interval": interval, "min interval": interval, "complete": 0, "incomplete": 1 });
        let mut rig = Rig::new(vec![Tracker::Good(reply)]);
        rig.start();
        rig.run(600_000);
        let count = rig.announces(0).len();
        assert!((least..=most).contains(&count), "{count} announces in ten minutes at {interval}");
    }
}

#[test]
fn completion_is_told_once() {
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(1000);
    rig.call(|s, now, _, _| s.set_complete(now, true));
    rig.run(300_000);
    let told: Vec<_> = rig.announces(0).into_iter().filter(|(_, a)| a["event"] == "completed").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, Time::from_millis(2000));
    assert_eq!(rig.announces(0).last().unwrap().1["left"], 0);
    // It lets go of a segment, and has it again: the tracker counts it as what it is.
    for (complete, left) in [(false, 1), (true, 0)] {
        rig.call(|s, now, _, _| s.set_complete(now, complete));
        rig.run(300_000);
        assert_eq!(rig.announces(0).last().unwrap().1["left"], left);
    }
    assert_eq!(rig.announces(0).iter().filter(|(_, a)| a["event"] == "completed").count(), 1);
}

#[test]
fn stopping_takes_leave_and_starting_again_works() {
    let mut rig = Rig::new(vec![Tracker::of_size(10), Tracker::Blackhole]);
    rig.start();
    rig.run(1000);
    let open = rig.offers_sent(0).len();
    rig.offer_from(0, "aaa", "o1");
    rig.run(100);
    rig.clear();
    rig.call(|s, now, rng, out| s.stop(now, rng, out));
    let sent = rig.sent(0);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["event"], "stopped");
    assert_eq!(rig.count(|o| matches!(o, Output::CloseTracker { .. })), 2);
    assert!(rig.closed().len() > open, "the offers and the link being made");
    assert_eq!(rig.signal.next_deadline(), None);
    assert_eq!(rig.signal.swarm_size(), None);
    assert!(rig.signal.stats().iter().all(|tracker| tracker.state == TrackerState::Idle));
    rig.run(600_000);
    assert_eq!(rig.ticks, 0);
    rig.clear();
    rig.start();
    rig.run(1000);
    assert_eq!(rig.announces(0)[0].1["event"], "started");
    assert!(!rig.offers_sent(0).is_empty());
}

#[test]
fn the_same_tracker_twice_is_one_session() {
    let mut rig = Rig::with(vec![Tracker::of_size(1), Tracker::of_size(1)], "mmm", |c| {
        c.loader.tracker_announce[1] = c.loader.tracker_announce[0].clone();
    });
    rig.start();
    assert_eq!(rig.count(|o| matches!(o, Output::OpenTracker { .. })), 1);
    assert_eq!(rig.signal.stats().len(), 1);
}

#[test]
fn one_dead_one_blackholed_and_one_good_tracker_still_find_peers_at_once() {
    let mut rig = Rig::new(vec![Tracker::Dead, Tracker::Blackhole, Tracker::of_size(4)]);
    rig.start();
    rig.run(500);
    let ids = rig.offer_ids(2);
    assert!(ids.len() >= 3, "{ids:?}");
    for (name, id) in ["aaa", "bbb", "zzz"].iter().zip(&ids) {
        rig.answer_from(2, name, id);
    }
    assert_eq!(rig.connecting().len(), 3);
    assert!(rig.created() <= 9, "{} connections for three peers", rig.created());
    assert_eq!(rig.signal.swarm_size(), Some(4));
}

#[test]
fn several_good_trackers_are_used_in_parallel_without_a_second_link_to_a_peer() {
    let mut rig = Rig::new(vec![Tracker::of_size(3), Tracker::of_size(8)]);
    rig.start();
    rig.run(500);
    assert_eq!(rig.signal.swarm_size(), Some(8));
    let (first, second) = (rig.offer_ids(0), rig.offer_ids(1));
    assert!(!first.is_empty() && !second.is_empty());
    assert!(first.iter().all(|id| !second.contains(id)), "an offer goes to one tracker only");
    rig.answer_from(0, "aaa", &first[0]);
    rig.answer_from(1, "aaa", &second[0]);
    assert_eq!(rig.connecting().len(), 1);
    rig.offer_from(1, "aaa", "again");
    assert_eq!(rig.accepted().len(), 0);
}
