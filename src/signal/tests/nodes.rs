//! A tracker of several nodes: one is used at a time, and another when it fails.

use rand::SeedableRng;

use super::*;
use crate::engine::{Event, Output, TrackerState};
use crate::random::ChaCha8Rng;
use crate::time::Time;

const A: &str = "wss://a.example/";
const B: &str = "wss://b.example/";
const C: &str = "wss://c.example/";

/// A viewer of one tracker whose nodes behave as given.
fn rig(seed: u64, nodes: &[(&str, Tracker)]) -> Rig {
    let mut rig = Rig::with(vec![Tracker::of_size(1)], "mmm", |config| {
        config.loader.tracker_announce = vec![nodes.iter().map(|(url, _)| (*url).to_owned()).collect()];
    });
    rig.rng = ChaCha8Rng::seed_from_u64(seed);
    rig.nodes = nodes.iter().map(|(url, tracker)| ((*url).to_owned(), tracker.clone())).collect();
    rig
}

/// When which node was opened.
fn opens(rig: &Rig) -> Vec<(Time, String)> {
    let opens = rig.log.iter().filter_map(|(at, output)| match output {
        Output::OpenTracker { url, .. } => Some((*at, url.clone())),
        _ => None,
    });
    opens.collect()
}

fn good() -> Tracker {
    Tracker::of_size(4)
}

#[test]
fn one_node_is_used_at_a_time_and_viewers_spread_over_all() {
    let mut first = std::collections::BTreeMap::new();
    for seed in 0..90 {
        let mut rig = rig(seed, &[(A, good()), (B, good()), (C, good())]);
        rig.start();
        rig.run(60_000);
        assert_eq!(opens(&rig).len(), 1);
        let stats = rig.signal.stats();
        assert_eq!((stats.len(), stats[0].state), (1, TrackerState::Connected));
        assert_eq!(stats[0].url, opens(&rig)[0].1);
        *first.entry(stats[0].url.clone()).or_insert(0) += 1;
    }
    assert!(first.len() == 3 && first.values().all(|viewers| *viewers >= 15), "{first:?}");
}

#[test]
fn when_a_node_dies_its_viewers_go_elsewhere_within_five_seconds_and_not_in_step() {
    let mut waits = Vec::new();
    for seed in 0..60 {
        let mut rig = rig(seed, &[(A, good()), (B, good())]);
        rig.start();
        rig.run(40_000);
        let (used, other) = if opens(&rig)[0].1 == A { (A, B) } else { (B, A) };
        rig.nodes.insert(used.to_owned(), Tracker::Dead);
        let died = rig.now;
        rig.down(0);
        rig.run(5_000);
        let (at, url) = opens(&rig)[1].clone();
        assert_eq!(url, other);
        waits.push(at.since(died).as_millis());
        assert_eq!(rig.signal.stats()[0].url, other);
        assert_eq!(rig.signal.stats()[0].state, TrackerState::Connected);
        let there = rig.announces(0).into_iter().find(|(at, _)| *at > died).expect("it announces there");
        assert_eq!(there.1["event"], "started");
    }
    let early = waits.iter().filter(|wait| **wait < 500).count();
    let late = waits.iter().filter(|wait| **wait > 1000).count();
    assert!(early >= 10 && late >= 10, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 1500), "{waits:?}");
}

#[test]
fn a_node_that_hangs_is_left_within_five_seconds_of_the_announce_that_it_does_not_answer() {
    for seed in 0..20 {
        let mut rig = rig(seed, &[(A, good()), (B, good())]);
        rig.start();
        rig.run(1_000);
        let used = opens(&rig)[0].1.clone();
        rig.nodes.insert(used.clone(), Tracker::Mute);
        rig.run(40_000);
        let (at, url) = opens(&rig)[1].clone();
        assert_ne!(url, used);
        let asked = rig.announces(0).iter().rev().find(|(sent, _)| *sent < at).unwrap().0;
        assert!(at.since(asked).as_millis() <= 4_600, "{asked} {at}");
        assert_eq!(rig.signal.stats()[0].state, TrackerState::Connected);
    }
}

#[test]
fn a_node_that_does_not_open_is_left_after_three_seconds() {
    let mut rig = rig(1, &[(A, Tracker::Blackhole), (B, Tracker::Blackhole), (C, good())]);
    rig.start();
    rig.run(10_000);
    assert_eq!(rig.signal.stats()[0].url, C);
    assert_eq!(rig.signal.stats()[0].state, TrackerState::Connected);
    let closed = rig.events().into_iter().filter_map(|event| match event {
        Event::TrackerClosed { url, reason, .. } => Some((url, reason)),
        _ => None,
    });
    for (url, reason) in closed {
        assert!(url != C && reason == "could not be opened in time", "{url}: {reason}");
    }
}

#[test]
fn when_all_nodes_are_away_each_is_tried_and_none_is_hammered() {
    for seed in 0..20 {
        let mut rig = rig(seed, &[(A, Tracker::Dead), (B, Tracker::Dead), (C, Tracker::Dead)]);
        rig.start();
        rig.run(3_100);
        let first: std::collections::BTreeSet<String> =
            opens(&rig).into_iter().take(3).map(|(_, url)| url).collect();
        assert_eq!(first.len(), 3, "each once before any again");
        rig.run(300_000);
        // A round takes at most 3 s and the wait after it grows to 10 s.
        let attempts = opens(&rig).len();
        assert!((60..=140).contains(&attempts), "{attempts} in five minutes");
        rig.nodes.insert(B.to_owned(), good());
        rig.run(65_000);
        assert_eq!(rig.signal.stats()[0].state, TrackerState::Connected);
        assert_eq!(rig.signal.stats()[0].url, B);
    }
}

#[test]
fn other_trackers_are_used_beside_it() {
    let mut rig = Rig::with(vec![good(), good()], "mmm", |config| {
        config.loader.tracker_announce = vec![vec![A.to_owned(), B.to_owned()], vec![C.to_owned()]];
    });
    rig.start();
    rig.run(1_000);
    assert_eq!(opens(&rig).len(), 2);
    assert_eq!(
        rig.signal.stats().iter().filter(|tracker| tracker.state == TrackerState::Connected).count(),
        2
    );
}
