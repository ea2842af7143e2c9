//! What breaks: frames are lost, repeated, late; nodes end, fall silent, come back; somebody lies.

use hlswarm_tracker::cluster::{Body, Frame};
use rand::RngExt;
use serde_json::{Value, json};

use crate::common::{SWARM, announce, answer, peer, with};
use crate::rig::{Client, Cluster, FINE, STORM};

fn offers(messages: &[Value]) -> usize {
    messages.iter().filter(|message| message.get("offer").is_some()).count()
}

/// A swarm of twenty characters.
fn swarm(number: usize) -> String {
    format!("swarm-{number:014}")
}

#[test]
fn however_bad_the_bus_was_all_agree_soon_after() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, 2, seed);
        cluster.weather = STORM;
        let mut members: Vec<(Client, usize)> = Vec::new();
        for step in 0..300 {
            if members.len() < 10 || cluster.rng.random_bool(0.55) {
                let (node, which) = (cluster.rng.random_range(0..6), cluster.rng.random_range(0..8));
                let client = cluster.connect(node);
                let left = usize::from(cluster.rng.random_bool(0.7));
                let message = with(announce(&format!("m{step}"), 3), "info_hash", json!(swarm(which)));
                cluster.send(client, &with(message, "left", json!(left)));
                members.push((client, which));
            } else {
                let place = cluster.rng.random_range(0..members.len());
                let (client, _) = members.swap_remove(place);
                cluster.disconnect(client);
            }
            let span = cluster.rng.random_range(0..120);
            cluster.pass(span);
        }
        cluster.weather = FINE;
        // Small changes are told within 5 s; what is missing is noticed and asked for within 2 s.
        cluster.pass(8_000);
        for which in 0..8 {
            let everybody = members.iter().filter(|(_, its)| *its == which).count() as u64;
            let told: Vec<(u64, u64)> = (0..6).map(|node| cluster.size(node, &swarm(which))).collect();
            assert!(
                told.iter().all(|size| *size == told[0] && size.0 + size.1 == everybody),
                "seed {seed}, swarm {which} has {everybody} members: {told:?}"
            );
        }
    }
}

#[test]
fn a_node_that_starts_late_learns_everything() {
    let mut cluster = Cluster::new(2, 1, 1);
    // More than fit one frame, so that shards are told in parts.
    for client in 0..9 {
        let conn = cluster.connect(0);
        for number in client * 500..(client + 1) * 500 {
            cluster.send(conn, &with(announce("anna", 0), "info_hash", json!(swarm(number))));
        }
    }
    cluster.pass(1_000);
    cluster.start(3, 1, true);
    cluster.pass(2_500);
    let known =
        (0..4500).filter(|number| cluster.size(2, &swarm(*number)) == cluster.size(0, &swarm(*number)));
    assert_eq!(known.count(), 4500);
    let (_, sizes) = cluster.nodes[2].registry.cluster().unwrap();
    assert_eq!((sizes.processes, sizes.workers), (2, 0));
    assert_eq!((sizes.swarms_here, sizes.members_away), (0, 4500));
}

#[test]
fn a_node_that_falls_silent_is_forgotten_after_three_seconds() {
    let mut cluster = Cluster::new(3, 2, 1);
    for node in 0..6 {
        cluster.join(node, &format!("m{node}"));
    }
    cluster.pass(500);
    cluster.kill(0);
    cluster.pass(2_000);
    assert_eq!(cluster.size(2, SWARM).1, 6, "it may just be slow");
    cluster.pass(2_500);
    for node in 2..6 {
        assert_eq!(cluster.size(node, SWARM).1, 4, "node {node}");
        let (counters, sizes) = cluster.nodes[node].registry.cluster().unwrap();
        assert_eq!((counters.lost, sizes.processes, sizes.workers), (1, 1, 1));
    }
    // Its successor has another name and starts from nothing.
    cluster.start(4, 2, true);
    cluster.join(6, "new");
    cluster.pass(3_000);
    assert_eq!(cluster.size(2, SWARM).1, 5);
    assert_eq!(cluster.size(7, SWARM).1, 5);
}

#[test]
fn the_parts_of_a_divided_cluster_go_on_and_grow_together_again() {
    let mut cluster = Cluster::new(3, 1, 1);
    let members: Vec<Client> = (0..3).map(|node| cluster.join(node, &format!("m{node}"))).collect();
    cluster.pass(500);
    cluster.set_cut(0, 1, true);
    cluster.set_cut(0, 2, true);
    cluster.pass(5_000);
    assert_eq!((0..3).map(|node| cluster.size(node, SWARM).1).collect::<Vec<_>>(), [1, 2, 2]);
    // Meanwhile each part lives.
    let late = cluster.connect(1);
    cluster.send(late, &announce("late", 5));
    cluster.pass(100);
    assert_eq!(members.iter().map(|client| offers(&cluster.take(*client))).collect::<Vec<_>>(), [0, 1, 1]);
    cluster.set_cut(0, 1, false);
    cluster.set_cut(0, 2, false);
    cluster.pass(3_000);
    assert_eq!((0..3).map(|node| cluster.size(node, SWARM).1).collect::<Vec<_>>(), [4, 4, 4]);
}

#[test]
fn who_says_goodbye_gets_nothing_more_and_answers_still_pass() {
    let mut cluster = Cluster::new(2, 2, 1);
    let anna = cluster.join(0, "anna");
    cluster.pass(500);
    let ben = cluster.connect(2);
    cluster.send(ben, &announce("ben", 1));
    cluster.pass(50);
    let offer = cluster.take(anna).remove(0);
    for node in 0..2 {
        cluster.act(node, |registry, _, _, out| registry.leave_cluster(out));
    }
    cluster.pass(50);
    assert_eq!(cluster.size(2, SWARM).1, 1, "at once, not after three seconds");
    let carl = cluster.connect(2);
    cluster.send(carl, &announce("carl", 5));
    cluster.pass(5_000);
    assert!(cluster.take(anna).is_empty());
    cluster.take(ben);
    cluster.send(anna, &answer("anna", &offer));
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1);
}

#[test]
fn late_words_of_one_who_is_gone_bring_nobody_back() {
    let mut cluster = Cluster::new(2, 1, 1);
    cluster.weather.delay_ms = (60, 60);
    cluster.join(0, "anna");
    let mut late = Vec::new();
    for _ in 0..40 {
        cluster.pass(50);
        late.extend(cluster.flying.values().filter(|(to, _)| *to == 1).map(|(_, bytes)| bytes.clone()));
    }
    assert!(late.iter().any(|bytes| matches!(Frame::parse(bytes).unwrap().body, Body::Presence(_))));
    assert!(late.iter().any(|bytes| matches!(Frame::parse(bytes).unwrap().body, Body::Changes(_))));
    cluster.act(0, |registry, _, _, out| registry.leave_cluster(out));
    cluster.kill(0);
    cluster.pass(200);
    assert_eq!(cluster.size(1, SWARM).1, 0);
    for bytes in late {
        cluster.fly(0, 1, bytes);
    }
    cluster.pass(200);
    assert_eq!(cluster.size(1, SWARM).1, 0);
    assert_eq!(cluster.nodes[1].registry.cluster().unwrap().1.processes, 0);
}

#[test]
fn repeated_and_late_records_change_nothing() {
    let mut cluster = Cluster::new(2, 1, 1);
    let anna = cluster.join(0, "anna");
    let mut heard: Vec<Vec<u8>> = Vec::new();
    let mut collect = |cluster: &mut Cluster| {
        for _ in 0..100 {
            cluster.pass(10);
            heard.extend(cluster.flying.values().filter(|(to, _)| *to == 1).map(|(_, bytes)| bytes.clone()));
        }
    };
    cluster.weather.delay_ms = (15, 15);
    collect(&mut cluster);
    cluster.join(0, "ben");
    collect(&mut cluster);
    cluster.disconnect(anna);
    collect(&mut cluster);
    assert_eq!(cluster.size(1, SWARM).1, 1);
    let stale = cluster.nodes[1].registry.cluster().unwrap().0.stale;
    for bytes in heard.into_iter().rev() {
        cluster.fly(0, 1, bytes);
    }
    cluster.pass(100);
    assert_eq!(cluster.size(1, SWARM).1, 1, "there were one, two, one; the last word counts");
    assert!(cluster.nodes[1].registry.cluster().unwrap().0.stale > stale);
}

/// Two members at different processes, and the offer of the second as the first got it.
fn offered(cluster: &mut Cluster) -> (Client, Client, Value) {
    let anna = cluster.join(0, "anna");
    cluster.pass(500);
    let ben = cluster.connect(1);
    cluster.send(ben, &announce("ben", 1));
    cluster.pass(50);
    cluster.take(ben);
    let offer = cluster.take(anna).remove(0);
    (anna, ben, offer)
}

/// The frames that reach a node while Anna answers.
fn answer_frames(cluster: &mut Cluster, anna: Client, offer: &Value, to: usize) -> Vec<Vec<u8>> {
    cluster.send(anna, &answer("anna", offer));
    cluster.flying.values().filter(|(target, _)| *target == to).map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn an_answer_counts_once_however_often_it_arrives() {
    let mut cluster = Cluster::new(2, 1, 1);
    let (anna, ben, offer) = offered(&mut cluster);
    let frames = answer_frames(&mut cluster, anna, &offer, 1);
    for bytes in frames.iter().cycle().take(frames.len() * 3) {
        cluster.fly(0, 1, bytes.clone());
    }
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1);
    assert!(cluster.nodes[1].registry.cluster().unwrap().0.answers_in_dropped >= 3);
    cluster.send(anna, &answer("anna", &offer));
    cluster.pass(50);
    assert!(cluster.take(ben).is_empty(), "nor does it count when it is sent again");
}

#[test]
fn an_offer_that_arrives_twice_is_answered_once() {
    let mut cluster = Cluster::new(2, 1, 1);
    let members = [cluster.join(0, "anna"), cluster.join(0, "bert")];
    cluster.pass(500);
    members.iter().for_each(|client| drop(cluster.take(*client)));
    cluster.weather.repeated_percent = 100;
    let ben = cluster.connect(1);
    cluster.send(ben, &announce("ben", 1));
    cluster.pass(50);
    cluster.weather = FINE;
    cluster.take(ben);
    let answered: usize =
        members.iter().zip(["anna", "bert"]).map(|(client, name)| cluster.answer_all(*client, name)).sum();
    assert_eq!(answered, 2, "both got it");
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1);
}

#[test]
fn an_answer_from_a_process_that_was_not_given_the_offer_is_dropped() {
    let mut cluster = Cluster::new(3, 1, 1);
    let (anna, ben, offer) = offered(&mut cluster);
    let mut frames = answer_frames(&mut cluster, anna, &offer, 1);
    let frame = frames.remove(0);
    cluster.flying.clear();
    // The sender stands in bytes 2 to 10.
    let mut forged = frame.clone();
    forged[2..10].copy_from_slice(&(3u64 << 8 | 1).to_be_bytes());
    cluster.fly(2, 1, forged);
    cluster.pass(50);
    assert!(cluster.take(ben).is_empty());
    cluster.fly(0, 1, frame);
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1, "the right one still counts");
}

#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    let mut cluster = Cluster::new(2, 1, 1);
    let (anna, ben, offer) = offered(&mut cluster);
    let frame = answer_frames(&mut cluster, anna, &offer, 1).remove(0);
    cluster.flying.clear();
    cluster.pass(119_000);
    cluster.send(ben, &announce("ben", 0));
    cluster.take(ben);
    cluster.pass(2_000);
    cluster.fly(0, 1, frame);
    cluster.pass(50);
    assert!(cluster.take(ben).is_empty());
}

#[test]
fn candidates_pass_only_along_answered_offers() {
    let mut cluster = Cluster::new(2, 1, 1);
    let trickling = |name: &str, offers| with(announce(name, offers), "trickle", json!(true));
    let anna = cluster.connect(0);
    cluster.send(anna, &trickling("anna", 0));
    cluster.pass(500);
    let ben = cluster.connect(1);
    cluster.send(ben, &trickling("ben", 1));
    cluster.pass(50);
    let offer = cluster.take(anna).into_iter().find(|message| message.get("offer").is_some()).unwrap();
    let candidates = json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("anna"),
                            "to_peer_id": peer("ben"), "offer_id": offer["offer_id"], "candidates": ["c"]});
    cluster.take(ben);
    cluster.send(anna, &candidates);
    cluster.pass(50);
    assert!(cluster.take(ben).is_empty(), "not before the answer");
    cluster.send(anna, &answer("anna", &offer));
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1);
    cluster.send(anna, &candidates);
    let frames: Vec<Vec<u8>> = cluster.flying.values().map(|(_, bytes)| bytes.clone()).collect();
    cluster.pass(50);
    assert_eq!(cluster.take(ben).len(), 1);
    // The same words from another connection at the same process.
    for mut forged in frames {
        forged[18 + 15] ^= 1;
        cluster.fly(0, 1, forged);
    }
    cluster.pass(50);
    assert!(cluster.take(ben).is_empty());
}

#[test]
fn frames_of_strangers_are_counted_and_ignored() {
    let mut cluster = Cluster::new(2, 1, 1);
    let anna = cluster.join(0, "anna");
    cluster.weather.delay_ms = (15, 15);
    let mut presence = Vec::new();
    while presence.is_empty() {
        cluster.pass(10);
        let flying = cluster.flying.values().filter(|(to, _)| *to == 1).map(|(_, bytes)| bytes.clone());
        presence
            .extend(flying.filter(|bytes| matches!(Frame::parse(bytes).unwrap().body, Body::Presence(_))));
    }
    let good = presence.remove(0);
    let before = cluster.nodes[1].registry.cluster().unwrap().0.frames_refused;
    let mut others = Vec::new();
    for (at, value) in [(0, 9), (1, 200), (2, 0x80), (9, 7)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        others.push(bytes);
    }
    others.push(Vec::new());
    others.push(b"hello".to_vec());
    for bytes in others {
        cluster.fly(0, 1, bytes);
    }
    cluster.pass(100);
    let (counters, sizes) = cluster.nodes[1].registry.cluster().unwrap();
    // All but the one whose sender is a process that nobody knows: that one is a node until it is silent.
    assert_eq!(counters.frames_refused, before + 5);
    assert_eq!(sizes.processes, 2);
    assert_eq!(cluster.size(1, SWARM).1, 1);
    cluster.disconnect(anna);
}

#[test]
fn broken_frames_reach_nobody_as_nonsense() {
    let mut cluster = Cluster::new(2, 2, 9);
    let trickling = |name: &str, offers| with(announce(name, offers), "trickle", json!(true));
    let anna = cluster.connect(0);
    cluster.send(anna, &trickling("anna", 2));
    cluster.weather.delay_ms = (15, 15);
    cluster.pass(500);
    let ben = cluster.connect(2);
    let mut heard: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut collect = |cluster: &mut Cluster| {
        for _ in 0..20 {
            heard.extend(cluster.flying.values().cloned());
            cluster.pass(10);
        }
    };
    cluster.send(ben, &trickling("ben", 2));
    collect(&mut cluster);
    cluster.answer_all(anna, "anna");
    collect(&mut cluster);
    assert!(heard.iter().any(|(_, bytes)| matches!(Frame::parse(bytes).unwrap().body, Body::Answer(_))));
    for _ in 0..6_000 {
        let (to, bytes) = &heard[cluster.rng.random_range(0..heard.len())];
        let mut broken = bytes.clone();
        for _ in 0..cluster.rng.random_range(1..4) {
            let at = cluster.rng.random_range(1..broken.len());
            broken[at] = cluster.rng.random();
        }
        // Whatever is sent in consequence is JSON for clients and can be read by others: the rig checks both.
        cluster.act(*to, |registry, now, rng, out| registry.hear(now, rng, &broken, out));
    }
    for (node, client) in [(0, anna), (2, ben)] {
        assert_eq!(cluster.nodes[node].registry.sizes().members, 1);
        assert!(cluster.nodes[node].registry.cluster().unwrap().0.frames_refused > 200);
        // It is served as before.
        cluster.take(client);
        cluster.send(client, &announce(if node == 0 { "anna" } else { "ben" }, 0));
        assert!(cluster.take(client).iter().any(|message| message["interval"].is_u64()));
    }
}
