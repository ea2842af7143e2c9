//! Members at different workers and processes meet.

use hlswarm_tracker::registry::Region;
use serde_json::{Value, json};

use crate::common::{SWARM, announce, answer, peer, with};
use crate::rig::{Client, Cluster};

fn offers(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message.get("offer").is_some()).collect()
}

fn trickling(name: &str, offers: usize) -> Value {
    with(announce(name, offers), "trickle", json!(true))
}

/// An announce goes through, then its offers come to Anna; gives those.
fn offered(cluster: &mut Cluster, anna: Client, from: Client, message: &Value) -> Vec<Value> {
    cluster.send(from, message);
    cluster.pass(20);
    cluster.take(anna).into_iter().filter(|message| message.get("offer").is_some()).collect()
}

fn meet(processes: u64, workers: usize, a: usize, b: usize) {
    let mut cluster = Cluster::new(processes, workers, 1);
    let anna = cluster.connect(a);
    cluster.send(anna, &trickling("anna", 0));
    cluster.pass(500);
    cluster.take(anna);
    let ben = cluster.connect(b);
    let offer = offered(&mut cluster, anna, ben, &trickling("ben", 3)).remove(0);
    let reply = cluster.take(ben).remove(0);
    assert_eq!((&reply["incomplete"], &reply["complete"]), (&json!(2), &json!(0)));
    let number = offer["offer_id"].as_str().unwrap().trim_start_matches("ben-").to_owned();
    assert_eq!(
        offer,
        json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("ben"), "offer_id": offer["offer_id"],
               "offer": {"type": "offer", "sdp": format!("sdp {number}\r\n")}})
    );
    cluster.send(anna, &answer("anna", &offer));
    cluster.pass(20);
    assert_eq!(
        cluster.take(ben),
        [
            json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("anna"), "offer_id": offer["offer_id"],
                "answer": {"type": "answer", "sdp": "answer\r\n"}})
        ]
    );
    for (from, to, me, other) in [(anna, ben, "anna", "ben"), (ben, anna, "ben", "anna")] {
        let candidates = json!({"action": "announce", "info_hash": SWARM, "peer_id": peer(me),
                                "to_peer_id": peer(other), "offer_id": offer["offer_id"], "candidates": ["c1", "c2"]});
        cluster.send(from, &candidates);
        cluster.pass(20);
        let got = cluster.take(to);
        assert_eq!(got.len(), 1, "{me}: {got:?}");
        assert_eq!((&got[0]["candidates"], &got[0]["peer_id"]), (&json!(["c1", "c2"]), &json!(peer(me))));
        assert!(got[0].get("to_peer_id").is_none());
    }
}

#[test]
fn members_of_two_processes_meet() {
    meet(2, 1, 0, 1);
}

#[test]
fn members_of_two_workers_meet() {
    meet(1, 3, 0, 2);
}

#[test]
fn members_of_any_worker_of_two_processes_meet() {
    for (a, b) in [(0, 3), (1, 2), (4, 1), (5, 0)] {
        meet(2, 3, a, b);
    }
}

#[test]
fn the_size_is_that_of_all_nodes() {
    let mut cluster = Cluster::new(3, 2, 1);
    for node in 0..6 {
        let client = cluster.join(node, &format!("leecher-{node}"));
        cluster.send(client, &announce(&format!("leecher-{node}"), 0));
        let seeder = cluster.connect(node);
        cluster.send(seeder, &with(announce(&format!("seeder-{node}"), 0), "left", json!(0)));
    }
    cluster.pass(500);
    for node in 0..6 {
        assert_eq!(cluster.size(node, SWARM), (6, 6), "node {node}");
    }
}

#[test]
fn a_member_that_leaves_is_told() {
    let mut cluster = Cluster::new(2, 1, 1);
    let anna = cluster.join(0, "anna");
    let ben = cluster.join(0, "ben");
    cluster.pass(500);
    assert_eq!(cluster.size(1, SWARM), (0, 2));
    cluster.disconnect(anna);
    cluster.pass(500);
    assert_eq!(cluster.size(1, SWARM), (0, 1));
    cluster.send(ben, &with(announce("ben", 0), "event", json!("stopped")));
    cluster.pass(500);
    assert_eq!(cluster.size(1, SWARM), (0, 0));
}

/// Where the offers of one who announces again and again go: members at its node, at other workers, elsewhere.
fn spread(processes: u64, workers: usize, members_per_node: usize) -> (usize, usize, usize) {
    let mut cluster = Cluster::new(processes, workers, 3);
    let nodes = cluster.nodes.len();
    let mut others = Vec::new();
    for node in 0..nodes {
        for number in 0..members_per_node {
            others.push(cluster.join(node, &format!("m{node}-{number}")));
        }
    }
    cluster.pass(500);
    let anna = cluster.connect(0);
    let mut counts = (0, 0, 0);
    for _ in 0..20 {
        cluster.send(anna, &announce("anna", 10));
        cluster.pass(6_000);
        for client in &others {
            let got = offers(&cluster.take(*client)).len();
            match client.node {
                0 => counts.0 += got,
                node if node < workers => counts.1 += got,
                _ => counts.2 += got,
            }
        }
    }
    counts
}

#[test]
fn local_members_come_first_and_one_offer_in_five_goes_away() {
    let (here, _, away) = spread(3, 1, 20);
    assert_eq!(here + away, 200, "every offer finds a member");
    assert!((30..=50).contains(&away), "{away} of 200 went to other processes");
}

#[test]
fn what_local_members_cannot_take_goes_away() {
    let (here, _, away) = spread(3, 1, 3);
    assert_eq!((here, away), (60, 120), "3 here, 6 elsewhere, in each of 20 rounds");
}

#[test]
fn workers_of_one_process_are_equally_near() {
    let (here, workers, away) = spread(1, 4, 20);
    assert_eq!((here + workers, away), (200, 0));
    assert!((25..=75).contains(&here), "{here} of 200 stayed at the worker, a quarter is its share");
}

#[test]
fn an_offer_to_a_process_is_for_the_members_of_all_its_workers() {
    let mut cluster = Cluster::new(2, 3, 5);
    let others: Vec<Client> = (3..6).map(|node| cluster.join(node, &format!("m{node}"))).collect();
    cluster.pass(500);
    let anna = cluster.connect(0);
    cluster.send(anna, &announce("anna", 10));
    cluster.pass(100);
    for client in others {
        assert_eq!(offers(&cluster.take(client)).len(), 1, "{client:?}");
    }
}

#[test]
fn seeders_are_not_offered_to_seeders_elsewhere() {
    let mut cluster = Cluster::new(2, 1, 1);
    let seeder = cluster.connect(0);
    cluster.send(seeder, &with(announce("seeder", 0), "left", json!(0)));
    cluster.pass(500);
    cluster.take(seeder);
    let other = cluster.connect(1);
    cluster.send(other, &with(announce("other", 5), "left", json!(0)));
    cluster.pass(500);
    assert!(cluster.take(seeder).is_empty());
    let leecher = cluster.connect(1);
    cluster.send(leecher, &announce("leecher", 5));
    cluster.pass(500);
    assert_eq!(offers(&cluster.take(seeder)).len(), 1);
}

#[test]
fn a_peer_on_two_nodes_is_not_offered_to_itself() {
    let mut cluster = Cluster::new(2, 1, 1);
    let first = cluster.join(0, "anna");
    let second = cluster.join(1, "anna");
    let ben = cluster.join(1, "ben");
    cluster.pass(500);
    let got = offered(&mut cluster, ben, first, &announce("anna", 5));
    assert_eq!(got.len(), 1);
    assert!(cluster.take(second).is_empty(), "it is Anna as well");
    // Each of its connections is a member: the answer reaches the one that made the offer.
    cluster.take(first);
    cluster.send(ben, &answer("ben", &got[0]));
    cluster.pass(20);
    assert_eq!(cluster.take(first).len(), 1);
    assert!(cluster.take(second).is_empty());
}

#[test]
fn a_receiver_keeps_its_budget_whoever_offers() {
    let mut cluster = Cluster::new(2, 1, 1);
    let anna = cluster.join(0, "anna");
    cluster.pass(500);
    for number in 0..100 {
        let client = cluster.connect(1);
        cluster.send(client, &announce(&format!("m{number}"), 1));
        cluster.disconnect(client);
    }
    cluster.pass(1_000);
    let got = offers(&cluster.take(anna)).len();
    // Its burst of 60, and 5 a second.
    assert!((60..=70).contains(&got), "{got}");
}

#[test]
fn members_of_the_same_network_meet_across_nodes_too() {
    let mut cluster = Cluster::new(2, 2, 1);
    let home = Region { asn: 64_500, country: 0 };
    let mut near = 0;
    let neighbour = cluster.connect(2);
    cluster.nodes[2].registry.set_region(neighbour.conn, home);
    cluster.send(neighbour, &announce("neighbour", 0));
    for number in 0..40 {
        cluster.join(2, &format!("m{number}"));
    }
    cluster.pass(500);
    cluster.take(neighbour);
    let anna = cluster.connect(0);
    cluster.nodes[0].registry.set_region(anna.conn, home);
    for _ in 0..10 {
        cluster.send(anna, &announce("anna", 5));
        cluster.pass(6_000);
        near += offers(&cluster.take(neighbour)).len();
    }
    // Two of five offers go to those nearby, of whom there is one; by chance it would be one offer in eight announces.
    assert_eq!(near, 10);
}
