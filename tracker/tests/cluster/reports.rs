//! Reports of bad data, and who is kept out, wherever those concerned are connected.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::common::{SWARM, announce, peer};
use crate::rig::{Client, Cluster};

const EVE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 7);

fn report(by: &str) -> Value {
    json!({"action": "report", "info_hash": SWARM, "peer_id": peer(by), "to_peer_id": peer("eve")})
}

/// Whether an announce is taken.
fn is_in(cluster: &mut Cluster, client: Client, name: &str) -> bool {
    cluster.send(client, &announce(name, 0));
    cluster.pass(20);
    cluster.take(client).iter().all(|message| message.get("failure reason").is_none())
}

/// Eve at the first of two processes with two workers each, introduced to a member at every node but her own, and to a
/// second one at the last: each of another neighbourhood.
fn with_eve() -> (Cluster, Client, Vec<(Client, String)>) {
    let mut cluster = Cluster::new(2, 2, 1);
    let eve = cluster.connect_from(0, EVE);
    let places = [1, 2, 3, 3];
    let members: Vec<(Client, String)> = places
        .into_iter()
        .enumerate()
        .map(|(number, node)| (cluster.join(node, &format!("m{number}")), format!("m{number}")))
        .collect();
    cluster.pass(500);
    cluster.send(eve, &announce("eve", 10));
    cluster.pass(200);
    for (member, name) in &members {
        assert_eq!(cluster.answer_all(*member, name), 1, "{name} was not offered to");
    }
    cluster.pass(200);
    (cluster, eve, members)
}

fn bans(cluster: &Cluster) -> u64 {
    cluster.nodes.iter().map(|node| node.registry.counters().bans).sum()
}

#[test]
fn reports_from_all_nodes_count_and_the_ban_holds_at_all_of_them() {
    let (mut cluster, eve, members) = with_eve();
    for (member, name) in &members[..2] {
        cluster.send(*member, &report(name));
        cluster.pass(200);
        assert!(is_in(&mut cluster, eve, "eve"), "two voices are too few");
    }
    // Eve is at another node as well by now, under another name.
    let other = cluster.connect_from(3, EVE);
    assert!(is_in(&mut cluster, other, "evelyn"));
    cluster.send(members[2].0, &report("m2"));
    cluster.pass(200);
    assert_eq!(bans(&cluster), 1);
    assert_eq!(cluster.size(2, SWARM), (0, 4), "she is out everywhere at once");
    assert!(!is_in(&mut cluster, eve, "eve"));
    assert!(!is_in(&mut cluster, other, "evelyn"));
    for node in 0..4 {
        let again = cluster.connect_from(node, EVE);
        assert!(!is_in(&mut cluster, again, "eve again"), "node {node}");
        let neighbour = cluster.connect_from(node, Ipv4Addr::new(192, 168, 7, 8));
        assert!(is_in(&mut cluster, neighbour, &format!("nina {node}")), "node {node}");
    }
    cluster.pass(601_000);
    let later = cluster.connect_from(2, EVE);
    assert!(is_in(&mut cluster, later, "eve again"), "not for ever");
}

#[test]
fn one_voice_repeated_stays_one_wherever_it_comes_from() {
    let (mut cluster, eve, members) = with_eve();
    for _ in 0..5 {
        for (member, name) in &members[2..3] {
            cluster.send(*member, &report(name));
        }
        cluster.pass(200);
    }
    // Who was not introduced has none.
    for number in 0..5 {
        let name = format!("liar {number}");
        let liar = cluster.join(3, &name);
        cluster.send(liar, &report(&name));
    }
    cluster.pass(200);
    assert!(is_in(&mut cluster, eve, "eve"));
    assert_eq!(bans(&cluster), 0);
}

#[test]
fn who_has_gone_is_kept_out_at_another_node() {
    let (mut cluster, eve, members) = with_eve();
    cluster.disconnect(eve);
    for (member, name) in &members {
        cluster.send(*member, &report(name));
    }
    cluster.pass(200);
    let again = cluster.connect_from(2, EVE);
    assert!(!is_in(&mut cluster, again, "evelyn"));
}
