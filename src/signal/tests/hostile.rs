//! Trackers that mean harm.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::engine::{Event, Output};

#[test]
fn nonsense_is_told_a_few_times_and_ignored() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(1000);
    let nested = "[".repeat(30_000);
    let long = format!("\"{}\"", "x".repeat(70_000));
    for text in ["", "null", "[]", "{}", "{\"action\":1}", "\u{0}", &nested, &long] {
        for _ in 0..20 {
            rig.text(0, text);
        }
    }
    let errors = rig.events().into_iter().filter(|e| matches!(e, Event::TrackerError { .. })).count();
    assert!((1..=5).contains(&errors), "{errors}");
    assert_eq!(rig.signal.swarm_size(), Some(5));
    assert_eq!(rig.opens(0).len(), 1);
}

#[test]
fn messages_of_unknown_or_closed_trackers_are_ignored() {
    let mut rig = Rig::new(vec![Tracker::of_size(5), Tracker::Blackhole]);
    rig.start();
    rig.run(1000);
    rig.offer_from(1, "aaa", "x");
    rig.offer_from(77, "aaa", "x");
    rig.down(77);
    rig.call(|s, now, rng, out| s.tracker_up(now, rng, crate::id::TrackerId(77), out));
    assert!(rig.accepted().is_empty());
}

#[test]
fn another_swarms_messages_are_ignored() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(1000);
    let swarm = crate::id::SwarmId::from_name("other").0.to_latin1();
    let offer = json!({ "type": "offer", "sdp": "v=0" });
    let from = peer("aaa").to_latin1();
    rig.text(0, &json!({ "action": "announce", "info_hash": swarm, "peer_id": from, "offer": offer, "offer_id": "x" }).to_string());
    rig.text(
        0,
        &json!({ "action": "announce", "info_hash": swarm, "complete": 900, "incomplete": 1 }).to_string(),
    );
    assert!(rig.accepted().is_empty());
    assert_eq!(rig.signal.swarm_size(), Some(5));
}

#[test]
fn a_flood_of_offers_is_taken_at_a_bounded_rate() {
    let mut rig = Rig::with(vec![Tracker::of_size(5)], "mmm", |c| {
        c.limits.max_pending_peers = 100;
        c.limits.max_peers = 500;
    });
    rig.start();
    rig.run(1000);
    rig.clear();
    for number in 0..400 {
        rig.offer_from(0, &format!("a{number}"), "x");
    }
    assert_eq!(rig.accepted().len(), 20);
    rig.run(1000);
    for number in 400..480 {
        rig.offer_from(0, &format!("a{number}"), "x");
    }
    assert_eq!(rig.accepted().len(), 25);
}

#[test]
fn invented_replies_and_failures_change_little() {
    let mut rig = Rig::new(vec![Tracker::of_size(5)]);
    rig.start();
    rig.run(1000);
    for _ in 0..100 {
        rig.text(
            0,
            &json!({ "action": "announce", "interval": 1, "complete": u32::MAX, "incomplete": u64::MAX })
                .to_string(),
        );
        rig.text(0, &json!({ "action": "announce", "failure reason": "x".repeat(10_000) }).to_string());
        rig.run(100);
    }
    assert_eq!(rig.signal.swarm_size(), Some(u32::MAX));
    rig.clear();
    rig.run(60_000);
    assert!(rig.announces(0).len() <= 12, "{}", rig.announces(0).len());
    assert!(rig.created() <= 60, "{}", rig.created());
}

#[test]
fn memory_stays_bounded_under_a_long_flood() {
    let mut rig = Rig::new(vec![Tracker::of_size(50)]);
    rig.start();
    for round in 0..600 {
        for number in 0..20 {
            rig.offer_from(0, &format!("{round}-{number}"), "x");
        }
        for (id, _) in rig.offers_sent(0) {
            rig.answer_from(0, &format!("{round}-"), &id);
            rig.candidates_from(0, &format!("{round}-"), &id, &["a"; 20]);
        }
        rig.run(500);
        rig.clear();
        let links = rig.signal.links.count(|_| true);
        assert!(links <= 8 + 10 + 20, "{links} links");
        assert!(rig.signal.batches.len() <= links);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Text(u8, String),
    Offer(u8, u8),
    Answer(u8, u8, u8),
    Candidates(u8, u8, u8),
    Up(u8),
    Fail(u8),
    Closed(u8),
    Down(u8),
    Demand(u8),
    Ban(u8),
    Network(bool),
    Run(u16),
    Sleep(u32),
    StopStart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..12u8;
    prop::collection::vec(
        prop_oneof![
            (0..3u8, "\\PC{0,40}").prop_map(|(t, s)| Step::Text(t, s)),
            (0..3u8, id.clone()).prop_map(|(t, p)| Step::Offer(t, p)),
            (0..3u8, id.clone(), 0..20u8).prop_map(|(t, p, o)| Step::Answer(t, p, o)),
            (0..3u8, id.clone(), 0..20u8).prop_map(|(t, p, o)| Step::Candidates(t, p, o)),
            (0..40u8).prop_map(Step::Up),
            (0..40u8).prop_map(Step::Fail),
            (0..40u8).prop_map(Step::Closed),
            (0..3u8).prop_map(Step::Down),
            (0..40u8).prop_map(Step::Demand),
            id.prop_map(Step::Ban),
            any::<bool>().prop_map(Step::Network),
            (0..20_000u16).prop_map(Step::Run),
            (0..2_000_000u32).prop_map(Step::Sleep),
            Just(Step::StopStart),
        ],
        1..120,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order: no panic, no idle spinning (the rig checks both), no message to a closed
    /// tracker, one link per peer, no link named after it was closed.
    #[test]
    fn any_sequence_keeps_the_promises(steps in steps()) {
        let mut rig = Rig::new(vec![Tracker::of_size(9), Tracker::Dead, Tracker::of_size(1)]);
        rig.start();
        for step in steps {
            match step {
                Step::Text(tracker, text) => rig.text(tracker.into(), &text),
                Step::Offer(tracker, name) => rig.offer_from(tracker.into(), &format!("p{name}"), "o"),
                Step::Answer(tracker, name, number) => {
                    let id = rig.offer_ids(tracker.into()).get(usize::from(number)).cloned().unwrap_or_default();
                    rig.answer_from(tracker.into(), &format!("p{name}"), &id);
                }
                Step::Candidates(tracker, name, number) => {
                    let id = rig.offer_ids(tracker.into()).get(usize::from(number)).cloned().unwrap_or("o".into());
                    rig.candidates_from(tracker.into(), &format!("p{name}"), &id, &["{}"]);
                }
                Step::Up(link) => drop(rig.up(crate::id::LinkId(link.into()))),
                Step::Fail(link) => rig.fail(crate::id::LinkId(link.into())),
                Step::Closed(link) => rig.call(|s, now, _, _| s.link_closed(now, crate::id::LinkId(link.into()))),
                Step::Down(tracker) => rig.down(tracker.into()),
                Step::Demand(links) => rig.call(|s, now, _, _| s.set_demand(now, links.into())),
                Step::Ban(name) => rig.call(|s, now, rng, out| s.ban(now, rng, peer(&format!("p{name}")), out)),
                Step::Network(online) => rig.call(|s, now, rng, out| s.network(now, rng, online, out)),
                Step::Run(ms) => rig.run(ms.into()),
                Step::Sleep(ms) => rig.sleep(ms.into()),
                Step::StopStart => {
                    rig.call(|s, now, rng, out| s.stop(now, rng, out));
                    rig.start();
                }
            }
            let mut peers: Vec<_> = rig.signal.links.iter().filter_map(|(_, link)| link.peer()).collect();
            let links = peers.len();
            peers.sort_unstable();
            peers.dedup();
            prop_assert_eq!(peers.len(), links, "two links to one peer");
        }
        let mut closed = std::collections::BTreeSet::new();
        for (_, output) in &rig.log {
            let named = match output {
                Output::CreateOffer { link } | Output::AcceptOffer { link, .. } => {
                    closed.remove(link);
                    None
                }
                Output::AcceptAnswer { link, .. } | Output::AddCandidates { link, .. } => Some(link),
                Output::CloseLink { link } => {
                    prop_assert!(closed.insert(*link), "closed twice");
                    None
                }
                _ => None,
            };
            prop_assert!(named.is_none_or(|link| !closed.contains(link)), "named after it was closed");
        }
    }
}
