//! Who may be met, and what may be told of us.

use serde_json::json;

use super::*;
use crate::engine::{Event, Output};
use crate::id::TrackerId;

const RELAY: &str = "a=candidate:1 1 udp 1 203.0.113.9 61000 typ relay raddr 0.0.0.0 rport 0\r\n";
const HOST: &str = "a=candidate:1 1 udp 2 192.168.1.5 50000 typ host\r\n";
const SERVER_REFLEXIVE: &str = "a=candidate:1 1 udp 1 198.51.100.7 50000 typ srflx raddr 0.0.0.0 rport 0\r\n";

fn relayed_only() -> Rig {
    let mut rig = Rig::with(vec![Tracker::of_size(20)], "mmm", |config| config.loader.relay_only = true);
    rig.offer_ms = None;
    rig.answer_ms = None;
    rig
}

#[test]
fn a_swarm_that_is_too_small_is_announced_to_and_no_link_is_made() {
    let mut rig = Rig::with(vec![Tracker::of_size(4)], "mmm", |config| config.loader.min_swarm_size = 5);
    rig.start();
    rig.run(5_000);
    assert_eq!(rig.announces(0).len(), 1, "it is counted");
    assert_eq!(rig.announces(0)[0].1["offers"], json!([]));
    rig.offer_from(0, "aaa", "x");
    assert!(rig.accepted().is_empty());
    assert_eq!(rig.created(), 0);
    // It grows.
    rig.trackers = vec![Tracker::of_size(5)];
    rig.run(30_000);
    assert!(rig.created() > 0);
    assert!(!rig.offers_sent(0).is_empty());
    rig.offer_from(0, "aaa", "y");
    assert_eq!(rig.accepted().len(), 1);
}

#[test]
fn in_relay_only_mode_an_offer_that_tells_an_address_never_leaves() {
    for (candidate, leaves) in [(RELAY, true), (HOST, false), (SERVER_REFLEXIVE, false)] {
        let mut rig = relayed_only();
        rig.start();
        rig.run(50);
        for link in rig.created_links() {
            let sdp = format!("v=0\r\nc=IN IP4 0.0.0.0\r\n{candidate}");
            rig.call(|s, now, rng, out| s.offer_ready(now, rng, link, sdp, out));
        }
        rig.run(5_000);
        let told = rig.sent(0).iter().any(|(_, message)| message.to_string().contains("typ"));
        assert_eq!(told, leaves, "{candidate}");
        let complaint = rig.events().into_iter().find_map(|event| match event {
            Event::Error { message, .. } => Some(message),
            _ => None,
        });
        assert_eq!(complaint.is_some(), !leaves, "{complaint:?}");
        assert!(complaint.is_none_or(|message| message.contains("loader.relayOnly")));
    }
}

#[test]
fn in_relay_only_mode_an_answer_that_tells_an_address_never_leaves() {
    for (candidate, leaves) in [(RELAY, true), (HOST, false), (SERVER_REFLEXIVE, false)] {
        let mut rig = relayed_only();
        rig.start();
        rig.run(500);
        rig.offer_from(0, "aaa", "x");
        let link = rig.accepted()[0];
        let sdp = format!("v=0\r\n{candidate}");
        rig.call(|s, now, rng, out| s.answer_ready(now, rng, link, sdp, out));
        rig.run(500);
        assert_eq!(
            rig.sent(0).iter().any(|(_, message)| message["answer"].is_object()),
            leaves,
            "{candidate}"
        );
        assert_eq!(rig.closed().contains(&link), !leaves);
    }
}

#[test]
fn in_relay_only_mode_only_relays_are_trickled() {
    let mut rig = relayed_only();
    rig.start();
    rig.run(500);
    rig.offer_from(0, "aaa", "x");
    let link = rig.accepted()[0];
    rig.call(|s, now, rng, out| s.answer_ready(now, rng, link, "v=0\r\n".to_owned(), out));
    let init = |line: &str| json!({ "candidate": line.trim_start_matches("a=").trim_end() }).to_string();
    let found = [RELAY, HOST, SERVER_REFLEXIVE].map(init).to_vec();
    let relay = found[0].clone();
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, found, out));
    rig.run(500);
    let sent: Vec<_> = rig.sent(0).into_iter().filter(|(_, m)| m["candidates"].is_array()).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["candidates"], json!([relay]));
    assert_eq!(rig.count(|o| matches!(o, Output::CloseTracker { tracker: TrackerId(0) })), 0);
}
