//! Trackers that fail, networks that go, devices that sleep.

use serde_json::json;

use super::*;
use crate::engine::{Event, Output, TrackerState};
use crate::signal::links::Stage;
use crate::time::Time;

fn tracker_events(rig: &Rig) -> Vec<&'static str> {
    let names = rig.events().into_iter().filter_map(|event| match event {
        Event::TrackerConnected { .. } => Some("connected"),
        Event::TrackerClosed { .. } => Some("closed"),
        Event::TrackerError { .. } => Some("error"),
        _ => None,
    });
    names.collect()
}

#[test]
fn the_size_is_unknown_until_a_tracker_replies() {
    let mut rig = Rig::new(vec![Tracker::Mute, Tracker::of_size(7), Tracker::of_size(3)]);
    rig.start();
    assert_eq!(rig.signal.swarm_size(), None);
    rig.run(40);
    assert_eq!(rig.signal.swarm_size(), None);
    rig.run(1000);
    assert_eq!(rig.signal.swarm_size(), Some(7), "the largest");
    let states: Vec<_> = rig.signal.stats().iter().map(|tracker| tracker.state).collect();
    assert_eq!(states, [TrackerState::Connecting, TrackerState::Connected, TrackerState::Connected]);
    assert_eq!(rig.signal.stats()[1].incomplete, 7);
    // A tracker that went away is believed for a while: its viewers are still there.
    rig.trackers[1] = Tracker::Dead;
    rig.down(1);
    assert_eq!(rig.signal.swarm_size(), Some(7));
    assert_eq!(rig.signal.stats()[1].state, TrackerState::Waiting);
    assert_eq!(rig.signal.stats()[1].incomplete, 0);
    rig.run(290_000);
    assert_eq!(rig.signal.swarm_size(), Some(7));
    rig.run(60_000);
    assert_eq!(rig.signal.swarm_size(), Some(3));
}

#[test]
fn the_size_follows_a_swarm_that_grows() {
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(1000);
    // While the swarm is young, the tracker is asked after 10, 20, 40, 80 s and then at its interval.
    rig.trackers[0] = Tracker::of_size(200);
    rig.run(10_000);
    assert_eq!(rig.signal.swarm_size(), Some(200));
    rig.trackers[0] = Tracker::of_size(1);
    rig.run(600_000);
    assert_eq!(rig.signal.swarm_size(), Some(1));
    // Much later others come. Their offers are the first sign of it.
    rig.clear();
    rig.run(20_000);
    let quiet = rig.announces(0).len();
    rig.trackers[0] = Tracker::of_size(200);
    rig.offer_from(0, "aaa", "x");
    assert_eq!(rig.signal.swarm_size(), Some(2), "no less than we know of");
    rig.run(11_000);
    assert_eq!(rig.signal.swarm_size(), Some(200));
    assert!(rig.announces(0).len() > quiet);
    // Offers in a swarm whose size is known are no reason to ask.
    let known = rig.announces(0).len();
    rig.call(|s, now, _, _| s.set_demand(now, 0));
    rig.run(1000);
    for number in 0..50 {
        rig.offer_from(0, &format!("b{number}"), "x");
    }
    rig.run(5000);
    assert_eq!(rig.announces(0).len(), known);
}

#[test]
fn a_blackholed_tracker_is_given_up_and_tried_again() {
    let mut rig = Rig::new(vec![Tracker::Blackhole]);
    rig.start();
    rig.run(9_900);
    assert!(tracker_events(&rig).is_empty());
    rig.run(200);
    assert_eq!(rig.count(|o| matches!(o, Output::CloseTracker { .. })), 1);
    assert_eq!(tracker_events(&rig), ["closed"]);
    rig.run(1600);
    assert_eq!(rig.opens(0).len(), 2);
    assert_eq!(rig.created(), 5, "attempts after the first make no offers");
}

#[test]
fn a_tracker_that_opens_and_says_nothing_is_given_up() {
    let mut rig = Rig::new(vec![Tracker::Mute]);
    rig.start();
    rig.run(20_000);
    assert_eq!(tracker_events(&rig)[0], "closed");
    assert!(rig.opens(0).len() >= 2);
    // The offers it was given are over.
    assert!(rig.closed().len() >= 5);
}

#[test]
fn a_tracker_that_goes_mute_is_noticed_at_the_next_announce() {
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(1000);
    rig.trackers[0] = Tracker::Mute;
    rig.run(140_000);
    assert!(tracker_events(&rig).contains(&"closed"));
    assert!(rig.opens(0).len() >= 2);
}

#[test]
fn after_a_restart_viewers_are_back_within_fifteen_seconds_and_not_in_step() {
    for down_s in [0, 3, 20, 120] {
        let mut back = Vec::new();
        for seed in 0..100 {
            let mut rig = Rig::new(vec![Tracker::of_size(4)]);
            rig.rng = rand::SeedableRng::seed_from_u64(seed);
            rig.start();
            rig.run(60_000);
            rig.trackers[0] = Tracker::Dead;
            rig.down(0);
            rig.run(down_s * 1000);
            rig.clear();
            rig.trackers[0] = Tracker::of_size(4);
            rig.run(30_000);
            let (at, announce) = rig.announces(0)[0].clone();
            assert_eq!(announce["event"], "started");
            back.push(at.since(Time::from_millis(61_000 + down_s * 1000)).as_millis());
        }
        back.sort_unstable();
        assert!(back[94] <= 15_000, "95 of 100 back after {} ms", back[94]);
        assert!(back[90] - back[10] >= 500, "from {} to {} ms", back[10], back[90]);
    }
}

#[test]
fn a_long_outage_costs_an_attempt_a_minute_at_most_twice() {
    let mut rig = Rig::new(vec![Tracker::Dead]);
    rig.start();
    rig.run(600_000);
    rig.clear();
    rig.run(3_600_000);
    let attempts = rig.opens(0).len();
    assert!((60..=130).contains(&attempts), "{attempts} attempts in an hour");
    assert_eq!(rig.created(), 0);
}

#[test]
fn a_tracker_that_closes_at_once_each_time_is_not_hammered() {
    let mut rig = Rig::new(vec![Tracker::of_size(3)]);
    rig.start();
    for _ in 0..600 {
        rig.run(500);
        if rig.signal.sessions[0].opened().is_some() {
            rig.down(0);
        }
    }
    assert!(rig.opens(0).len() <= 60, "{} attempts in five minutes", rig.opens(0).len());
}

#[test]
fn offers_die_with_the_session_and_open_links_live_on() {
    let mut rig = Rig::new(vec![Tracker::of_size(10)]);
    rig.start();
    rig.run(500);
    let offers = rig.offers_sent(0);
    rig.answer_from(0, "aaa", &offers[0].0);
    rig.answer_from(0, "bbb", &offers[1].0);
    rig.up(offers[0].1);
    rig.offer_from(0, "ccc", "x");
    let theirs = rig.accepted()[0];
    rig.clear();
    rig.down(0);
    let closed = rig.closed();
    assert!(
        !closed.contains(&offers[0].1) && !closed.contains(&offers[1].1),
        "both descriptions were exchanged"
    );
    assert!(closed.contains(&offers[2].1));
    assert!(closed.contains(&theirs), "our answer could not leave any more");
    // An answer made in vain is not sent to the next session.
    rig.run(3000);
    assert!(rig.sent(0).iter().all(|(_, message)| message["answer"].is_null()));
    // Nor does an old offer's answer count there.
    rig.answer_from(0, "ddd", &offers[3].0);
    assert!(rig.connecting().is_empty());
}

#[test]
fn a_refused_announce_is_told_and_repeated_with_growing_waits() {
    let mut rig = Rig::new(vec![Tracker::Good(json!({ "failure reason": "info_hash is not allowed" }))]);
    rig.start();
    rig.run(1000);
    let free = rig.signal.links.count(|link| matches!(link.stage, Stage::Ready { .. }));
    assert_eq!(free, 5, "a refused offer went to nobody");
    rig.run(600_000);
    let announces = rig.announces(0).len();
    assert!((5..=20).contains(&announces), "{announces} announces in ten minutes");
    assert!(rig.announces(0).iter().all(|(_, a)| a["event"] == "started" || a["offers"] != json!([])));
    assert_eq!(rig.opens(0).len(), 1, "the socket stays");
    assert_eq!(rig.signal.stats()[0].state, TrackerState::Connecting);
    assert_eq!(rig.signal.swarm_size(), None);
    let told = rig.events().into_iter().any(|event| {
        matches!(event, Event::TrackerError { url, message }
            if url == "wss://tracker0.example/" && message == "info_hash is not allowed")
    });
    assert!(told);
    // It changes its mind.
    rig.trackers[0] = Tracker::of_size(4);
    rig.run(130_000);
    assert_eq!(rig.signal.swarm_size(), Some(4));
    assert!(rig.connecting().is_empty());
}

#[test]
fn a_warning_is_told_and_otherwise_a_reply_like_any_other() {
    let reply = json!({ "interval": 120, "complete": 1, "incomplete": 2, "warning message": "be nice" });
    let mut rig = Rig::new(vec![Tracker::Good(reply)]);
    rig.start();
    rig.run(1000);
    assert_eq!(rig.signal.swarm_size(), Some(3));
    assert!(tracker_events(&rig).contains(&"error"));
}

#[test]
fn coming_online_reconnects_at_once_with_new_offers() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(30_000);
    let open_offers = rig.offers_sent(0).len();
    rig.clear();
    rig.call(|s, now, rng, out| s.network(now, rng, false, out));
    assert!(rig.closed().len() >= open_offers, "their addresses are gone");
    rig.trackers[0] = Tracker::Dead;
    rig.down(0);
    rig.run(10_000);
    rig.call(|s, now, rng, out| s.tick(now, rng, out));
    assert_eq!(rig.opens(0).len(), 0, "no attempts without a network");
    rig.trackers[0] = Tracker::of_size(5);
    let online = rig.now;
    rig.call(|s, now, rng, out| s.network(now, rng, true, out));
    rig.run(1000);
    assert_eq!(rig.opens(0), [online]);
    let announces = rig.announces(0);
    assert!(announces[0].0.since(online).as_millis() < 200);
    assert!(!rig.offers_sent(0).is_empty());
}

#[test]
fn an_open_socket_is_not_trusted_after_the_network_changed() {
    let mut rig = Rig::new(vec![Tracker::of_size(1)]);
    rig.start();
    rig.run(30_000);
    rig.clear();
    rig.trackers[0] = Tracker::Mute;
    rig.call(|s, now, rng, out| s.network(now, rng, false, out));
    rig.call(|s, now, rng, out| s.network(now, rng, true, out));
    assert_eq!(rig.announces(0).len(), 1, "asks at once");
    rig.run(7000);
    assert_eq!(rig.opens(0).len(), 1, "and reconnects when there is no reply");
}

#[test]
fn after_sleep_all_offers_are_stale_and_the_trackers_are_asked_at_once() {
    let mut rig = Rig::new(vec![Tracker::of_size(5), Tracker::Dead]);
    rig.start();
    rig.run(3_000);
    let before: Vec<_> = rig.offers_sent(0).into_iter().map(|(_, link)| link).collect();
    let answered = rig.offers_sent(0)[0].clone();
    rig.answer_from(0, "aaa", &answered.0);
    rig.up(answered.1);
    rig.offer_from(0, "bbb", "x");
    let making = rig.accepted()[0];
    rig.clear();
    rig.sleep(1_800_000);
    let woke = rig.now;
    rig.run(1000);
    for link in before.iter().filter(|link| **link != answered.1) {
        assert!(rig.closed().contains(link));
    }
    assert!(!rig.closed().contains(&answered.1), "what is open is the swarm's");
    assert!(rig.closed().contains(&making));
    let blamed = rig.events().into_iter().any(|event| matches!(event, Event::PeerClosed { .. }));
    assert!(!blamed, "nobody is blamed for our sleep");
    assert!(rig.announces(0)[0].0.since(woke).as_millis() < 500);
    assert!(!rig.offers_sent(0).is_empty());
    assert!(rig.opens(1)[0].since(woke).as_millis() < 100);
    assert_eq!(rig.opens(0).len(), 0);
    assert_eq!(rig.signal.swarm_size(), Some(5));
}

#[test]
fn a_tick_that_comes_late_or_too_often_does_no_harm() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(500);
    for _ in 0..2000 {
        rig.call(|s, now, rng, out| s.tick(now, rng, out));
    }
    assert!(rig.announces(0).len() <= 3);
    // Clamped timers: one wake-up a minute, for an hour.
    rig.clear();
    for _ in 0..60 {
        rig.sleep(60_000);
        rig.run(0);
        rig.run(200);
    }
    let announces = rig.announces(0).len();
    assert!((20..=130).contains(&announces), "{announces} announces in an hour");
    assert_eq!(rig.opens(0).len(), 0);
}

#[test]
fn after_sleep_a_dead_socket_is_noticed_within_seconds() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(3_000);
    rig.trackers[0] = Tracker::Mute;
    rig.clear();
    rig.sleep(1_800_000);
    let woke = rig.now;
    rig.run(7_500);
    assert!(rig.opens(0)[0].since(woke).as_millis() <= 7_000);
}

#[test]
fn waits_start_over_after_sleep_and_after_a_healthy_session() {
    let mut rig = Rig::new(vec![Tracker::Dead]);
    rig.start();
    rig.run(600_000);
    rig.clear();
    rig.sleep(1_800_000);
    rig.run(20_000);
    assert!(rig.opens(0).len() >= 4, "{} attempts in the first 20 s", rig.opens(0).len());

    let mut rig = Rig::new(vec![Tracker::of_size(4)]);
    rig.start();
    for _ in 0..8 {
        rig.run(60_000);
        rig.clear();
        let down = rig.now;
        rig.down(0);
        rig.run(5000);
        assert!(rig.opens(0)[0].since(down).as_millis() <= 1500);
    }
}

#[test]
fn the_first_announce_of_a_new_session_has_offers() {
    let mut rig = Rig::new(vec![Tracker::of_size(4)]);
    rig.start();
    rig.run(60_000);
    rig.clear();
    rig.down(0);
    rig.run(3000);
    assert_eq!(rig.announces(0)[0].1["event"], "started");
    assert_ne!(rig.announces(0)[0].1["offers"], json!([]));
}
