//! Candidates that travel after the descriptions.

use serde_json::json;

use super::*;
use crate::engine::Output;

#[test]
fn candidates_wait_for_the_answer_and_leave_together() {
    let (mut rig, offers) = negotiating::announced("-", 20);
    let (id, link) = offers[0].clone();
    let found = |n: u32| vec![format!("{{\"candidate\":\"candidate:{n}\"}}")];
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, found(1), out));
    rig.run(500);
    assert!(rig.sent(0).iter().all(|(_, m)| m["candidates"].is_null()), "nobody to send them to yet");
    rig.answer_from(0, "aaa", &id);
    rig.run(50);
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, found(2), out));
    rig.run(50);
    let sent: Vec<_> = rig.sent(0).into_iter().filter(|(_, m)| m["candidates"].is_array()).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["candidates"], json!([found(1)[0], found(2)[0]]));
    assert_eq!(sent[0].1["to_peer_id"], peer("aaa").to_latin1());
    assert_eq!(sent[0].1["offer_id"], id);
    // Theirs.
    rig.candidates_from(0, "bbb", &id, &["not the other end"]);
    rig.candidates_from(1, "aaa", &id, &["not the tracker"]);
    rig.candidates_from(0, "aaa", "other", &["not the offer"]);
    assert_eq!(rig.count(|o| matches!(o, Output::AddCandidates { .. })), 0);
    rig.candidates_from(0, "aaa", &id, &["{}"]);
    assert!(
        rig.log.iter().any(|(_, output)| {
            *output == Output::AddCandidates { link, candidates: vec!["{}".to_owned()] }
        })
    );
    // What another session of the tracker says is about other offers.
    let number = rig.signal.sessions[0].number;
    rig.signal.sessions[0].number += 1;
    rig.candidates_from(0, "aaa", &id, &["{}"]);
    rig.signal.sessions[0].number = number;
    assert_eq!(rig.count(|o| matches!(o, Output::AddCandidates { .. })), 1);
    // At most twenty each way.
    for _ in 0..30 {
        rig.candidates_from(0, "aaa", &id, &["a", "b", "c"]);
        rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, found(3), out));
        rig.run(100);
    }
    let added: usize = rig
        .log
        .iter()
        .map(|(_, o)| if let Output::AddCandidates { candidates, .. } = o { candidates.len() } else { 0 })
        .sum();
    assert_eq!(added, 20);
    let sent: usize = rig.sent(0).iter().filter_map(|(_, m)| Some(m["candidates"].as_array()?.len())).sum();
    assert_eq!(sent, 20);
}

#[test]
fn the_answering_side_trickles_after_its_answer() {
    let (mut rig, _) = negotiating::announced("mmm", 20);
    rig.clear();
    rig.offer_from(0, "aaa", "x");
    let link = rig.accepted()[0];
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, vec!["{}".to_owned()], out));
    rig.run(300);
    let kinds: Vec<_> = rig
        .sent(0)
        .iter()
        .filter_map(|(_, m)| {
            let kind = [("answer", m["answer"].is_object()), ("candidates", m["candidates"].is_array())];
            kind.into_iter().find(|(_, is)| *is).map(|(kind, _)| kind)
        })
        .collect();
    assert_eq!(kinds, ["answer", "candidates"]);
}

#[test]
fn no_candidates_for_trackers_or_peers_that_do_not_know_them() {
    let reply = json!({ "interval": 120, "complete": 0, "incomplete": 20 });
    let mut rig = Rig::new(vec![Tracker::Good(reply)]);
    rig.start();
    rig.run(500);
    rig.offer_from(0, "aaa", "x");
    let link = rig.accepted()[0];
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, vec!["{}".to_owned()], out));
    rig.run(1000);
    assert!(rig.sent(0).iter().all(|(_, m)| m["candidates"].is_null()));

    // A stock client in the same swarm.
    let (mut rig, _) = negotiating::announced("mmm", 20);
    let text = json!({
        "action": "announce", "info_hash": rig.swarm.0.to_latin1(), "peer_id": "-PM0203-abcdefghijkl",
        "offer": { "type": "offer", "sdp": "v=0" }, "offer_id": "x",
    });
    rig.text(0, &text.to_string());
    let link = rig.accepted()[0];
    rig.call(|s, now, rng, out| s.local_candidates(now, rng, link, vec!["{}".to_owned()], out));
    rig.run(1000);
    assert!(rig.sent(0).iter().any(|(_, m)| m["answer"].is_object()));
    assert!(rig.sent(0).iter().all(|(_, m)| m["candidates"].is_null()));
}
