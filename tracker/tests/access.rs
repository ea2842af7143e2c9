//! Who may join: access tokens, and keeping out who sends bad data.

mod common;

use std::net::IpAddr;

use common::{Done, OTHER_SWARM, SWARM, Tracker, announce, answer, peer, with};
use hlswarm::id::{Id20, SwarmId};
use hlswarm::time::Span;
use hlswarm_tracker::registry::Secrets;
use hlswarm_tracker::{ConnId, Limits};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the web server";
const NOW_S: u64 = 1_800_000_000;

fn swarm_id(text: &str) -> SwarmId {
    SwarmId(Id20::from_latin1(text).unwrap())
}

fn secrets(list: &[&str]) -> Secrets {
    Secrets::new(list.iter().map(|secret| secret.as_bytes().to_vec()).collect()).unwrap()
}

/// A tracker that asks for tokens, four connections by each.
fn guarded() -> Tracker {
    let mut tracker = Tracker::new();
    tracker.registry.set_tokens(secrets(&[SECRET]), 4);
    tracker.registry.set_unix_time(tracker.now, Span::from_secs(NOW_S));
    tracker
}

fn token(swarm: &str, seconds: u64, nonce: &str) -> String {
    secrets(&[SECRET]).mint(Some(swarm_id(swarm)), NOW_S + seconds, nonce).unwrap()
}

fn is_member(done: &Done, conn: ConnId) -> bool {
    done.only(conn)["interval"].is_u64()
}

#[test]
fn only_who_has_a_token_for_the_swarm_joins_it() {
    let mut tracker = guarded();
    let anna = tracker.connect();
    let reason = tracker.send(anna, &announce("anna", 0)).failure(anna);
    assert_eq!(reason, "token is missing; this tracker serves only those who have one");
    let good = token(SWARM, 60, "nonce-01");
    for (given, reason) in [
        (json!("nonsense"), "token is malformed; allowed is 1.EXPIRY.SCOPE.NONCE.MAC"),
        (json!(good.replace("1800000060", "1900000060")), "token is not one of this tracker's"),
        (json!(token(OTHER_SWARM, 60, "nonce-01")), "token is for another info_hash"),
        (json!(7), "token is missing; this tracker serves only those who have one"),
    ] {
        assert_eq!(tracker.send(anna, &with(announce("anna", 0), "token", given)).failure(anna), reason);
    }
    assert_eq!(tracker.registry.sizes().members, 0);
    assert!(is_member(&tracker.send(anna, &with(announce("anna", 0), "token", json!(good))), anna));
    // The size of a swarm is its members' business, too.
    let scrape = json!({"action": "scrape", "info_hash": SWARM});
    assert_eq!(tracker.send(anna, &scrape).only(anna)["files"][SWARM]["incomplete"], 1);
    let eve = tracker.connect();
    assert!(tracker.send(eve, &scrape).failure(eve).starts_with("token is missing"));
    assert!(is_member(&tracker.send(anna, &with(announce("anna", 0), "event", json!("stopped"))), anna));
}

#[test]
fn a_token_ends_and_another_goes_on() {
    let mut tracker = guarded();
    let anna = tracker.connect();
    let first = with(announce("anna", 0), "token", json!(token(SWARM, 60, "nonce-01")));
    assert!(is_member(&tracker.send(anna, &first), anna));
    tracker.pass(Span::from_secs(59));
    assert!(is_member(&tracker.send(anna, &first), anna));
    tracker.pass(Span::from_secs(21));
    assert_eq!(tracker.send(anna, &first).failure(anna), "token expired 20 s ago");
    assert_eq!(tracker.registry.sizes().members, 1, "who is there has until its age to bring another");
    let second = with(announce("anna", 0), "token", json!(token(SWARM, 3600, "nonce-02")));
    assert!(is_member(&tracker.send(anna, &second), anna));
    // The time of day may be set while the tracker runs.
    tracker.registry.set_unix_time(tracker.now, Span::from_secs(NOW_S + 7200));
    assert!(tracker.send(anna, &second).failure(anna).starts_with("token expired "));
}

#[test]
fn a_token_ends_with_its_second_whenever_the_tracker_began() {
    let mut tracker = guarded();
    let anna = tracker.connect();
    tracker.registry.set_unix_time(tracker.now, Span::from_secs(NOW_S) + Span::from_millis(900));
    let brief = with(announce("anna", 0), "token", json!(token(SWARM, 1, "nonce-01")));
    assert!(is_member(&tracker.send(anna, &brief), anna));
    tracker.pass(Span::from_millis(150));
    assert_eq!(tracker.send(anna, &brief).failure(anna), "token expired 0 s ago");
}

#[test]
fn a_token_in_the_url_serves_clients_that_know_nothing_of_it() {
    let mut tracker = guarded();
    let anna = tracker.connect();
    tracker.registry.set_token(anna, &token(SWARM, 60, "nonce-01"));
    assert!(is_member(&tracker.send(anna, &announce("anna", 0)), anna));
    // One in the message goes before it, so that it can be renewed.
    tracker.pass(Span::from_secs(90));
    assert!(tracker.send(anna, &announce("anna", 0)).failure(anna).starts_with("token expired"));
    let renewed = with(announce("anna", 0), "token", json!(token(SWARM, 3600, "nonce-02")));
    assert!(is_member(&tracker.send(anna, &renewed), anna));
}

#[test]
fn a_token_is_good_for_a_few_connections() {
    let mut tracker = guarded();
    let message = |name: &str| with(announce(name, 0), "token", json!(token(SWARM, 60, "nonce-01")));
    let conns: Vec<ConnId> = (0..5).map(|_| tracker.connect()).collect();
    for (number, conn) in conns[..4].iter().enumerate() {
        assert!(is_member(&tracker.send(*conn, &message(&format!("p{number}"))), *conn));
    }
    let reason = tracker.send(conns[4], &message("p4")).failure(conns[4]);
    assert_eq!(reason, "token is used by 4 connections, as many as are allowed");
    assert!(is_member(&tracker.send(conns[0], &message("p0")), conns[0]), "who has it keeps it");
    // Leaving, closing and another token each make room.
    tracker.send(conns[0], &with(message("p0"), "event", json!("stopped")));
    assert!(is_member(&tracker.send(conns[4], &message("p4")), conns[4]));
    tracker.registry.disconnect(conns[1]);
    assert!(is_member(&tracker.send(conns[0], &message("p0")), conns[0]));
    let other = with(announce("p2", 0), "token", json!(token(SWARM, 60, "nonce-02")));
    assert!(is_member(&tracker.send(conns[2], &other), conns[2]));
    let late = tracker.connect();
    assert!(is_member(&tracker.send(late, &message("late")), late));
    assert!(tracker.send(conns[2], &message("p2")).failure(conns[2]).starts_with("token is used"));
}

#[test]
fn secrets_follow_each_other_and_may_be_given_up() {
    let mut tracker = guarded();
    let anna = tracker.connect();
    let old = with(announce("anna", 0), "token", json!(token(SWARM, 60, "nonce-01")));
    tracker.registry.set_tokens(secrets(&["the secret from now on", SECRET]), 4);
    assert!(is_member(&tracker.send(anna, &old), anna));
    tracker.registry.set_tokens(secrets(&["the secret from now on"]), 4);
    assert_eq!(tracker.send(anna, &old).failure(anna), "token is not one of this tracker's");
    tracker.registry.set_tokens(Secrets::default(), 4);
    assert!(is_member(&tracker.send(anna, &announce("anna", 0)), anna));
}

// Reports.

/// A connection from a neighbourhood of its own.
fn connect_from(tracker: &mut Tracker, net: usize, host: usize) -> ConnId {
    let ip: IpAddr = format!("198.51.{net}.{host}").parse().unwrap();
    tracker.connect_from(ip)
}

fn join(tracker: &mut Tracker, name: &str, net: usize, host: usize) -> ConnId {
    let conn = connect_from(tracker, net, host);
    let reply = tracker.send(conn, &with(announce(name, 0), "trickle", json!(true))).only(conn);
    assert_eq!(reply["reports"], true, "{reply}");
    conn
}

/// The tracker introduces `a` to `b`: `a` offers, `b` answers. Nobody else may be there who takes offers.
fn introduce(tracker: &mut Tracker, (a, a_name): (ConnId, &str), (b, b_name): (ConnId, &str)) {
    // Enough offers for everybody; only the one to `b` is answered.
    let done = tracker.send(a, &announce(a_name, 10));
    let offer =
        done.to(b).into_iter().find(|message| message.get("offer").is_some()).expect("an offer for b");
    assert_eq!(tracker.send(b, &answer(b_name, &offer)).to(a).len(), 1);
}

fn report(by: &str, of: &str) -> Value {
    json!({"action": "report", "info_hash": SWARM, "peer_id": peer(by), "to_peer_id": peer(of)})
}

fn is_in(tracker: &mut Tracker, conn: ConnId, name: &str) -> bool {
    let reply = tracker.send(conn, &announce(name, 0)).only(conn);
    reply.get("failure reason").is_none()
}

/// A tracker with Eve and honest members, each from a neighbourhood of its own and introduced to her.
fn with_eve(members: usize) -> (Tracker, ConnId, Vec<ConnId>) {
    let limits = Limits { min_interval: Span::ZERO, ..Limits::default() };
    let mut tracker = Tracker::with(limits);
    let eve = join(&mut tracker, "eve", 200, 1);
    let mut conns = Vec::new();
    for number in 0..members {
        let name = format!("m{number}");
        let conn = join(&mut tracker, &name, number, 1);
        // One after the other, so that offers find Eve.
        introduce(&mut tracker, (conn, &name), (eve, "eve"));
        tracker.send(conn, &with(announce(&name, 0), "event", json!("stopped")));
        conns.push(conn);
    }
    for (number, conn) in conns.iter().enumerate() {
        tracker.send(*conn, &announce(&format!("m{number}"), 0));
    }
    (tracker, eve, conns)
}

#[test]
fn who_is_reported_by_several_neighbourhoods_is_kept_out_for_a_while() {
    let (mut tracker, eve, members) = with_eve(4);
    for (number, member) in members.iter().enumerate().take(2) {
        assert!(tracker.send(*member, &report(&format!("m{number}"), "eve")).sends.is_empty());
        assert!(is_in(&mut tracker, eve, "eve"), "{number} reports");
    }
    tracker.send(members[2], &report("m2", "eve"));
    assert_eq!(tracker.registry.counters().bans, 1);
    assert_eq!(tracker.registry.sizes().members, 4, "she is out at once");
    let reason = tracker.send(eve, &announce("eve", 5)).failure(eve);
    assert_eq!(reason, "other members reported bad data from here, try again in 601 s");
    // Neither a new connection nor a new name helps, and nobody else is kept out.
    let again = connect_from(&mut tracker, 200, 1);
    assert!(!is_in(&mut tracker, again, "evelyn"));
    let neighbour = connect_from(&mut tracker, 200, 2);
    assert!(is_in(&mut tracker, neighbour, "nina"));
    let elsewhere = with(announce("eve", 0), "info_hash", json!(OTHER_SWARM));
    assert!(is_member(&tracker.send(eve, &elsewhere), eve), "other swarms are not concerned");
    tracker.pass(Span::from_secs(600));
    assert!(is_in(&mut tracker, eve, "eve"));
}

#[test]
fn liars_ban_nobody_innocent() {
    // Who was never introduced has no voice.
    let (mut tracker, eve, members) = with_eve(2);
    for number in 0..20 {
        let name = format!("liar{number}");
        let liar = join(&mut tracker, &name, 100 + number, 1);
        tracker.send(liar, &report(&name, "eve"));
    }
    assert_eq!(tracker.registry.counters().reports_ignored, 20);
    // Nor has one more than one, in its own name or another's.
    for _ in 0..5 {
        tracker.send(members[0], &report("m0", "eve"));
        tracker.send(members[0], &report("m1", "eve"));
    }
    tracker.send(members[1], &report("m1", "eve"));
    assert!(is_in(&mut tracker, eve, "eve"));

    // Many connections of one neighbourhood are one voice.
    let (mut tracker, eve, _) = with_eve(0);
    for number in 1..=6 {
        let name = format!("liar{number}");
        let liar = join(&mut tracker, &name, 77, number);
        introduce(&mut tracker, (liar, &name), (eve, "eve"));
        tracker.send(liar, &report(&name, "eve"));
        tracker.send(liar, &with(announce(&name, 0), "event", json!("stopped")));
    }
    assert!(is_in(&mut tracker, eve, "eve"));

    // A few among many partners are too few: of 20 neighbourhoods, a quarter must speak.
    let (mut tracker, eve, members) = with_eve(20);
    for (number, liar) in members.iter().enumerate().take(4) {
        tracker.send(*liar, &report(&format!("m{number}"), "eve"));
        assert!(is_in(&mut tracker, eve, "eve"));
    }
    tracker.send(members[4], &report("m4", "eve"));
    assert!(!is_in(&mut tracker, eve, "eve"));
}

#[test]
fn old_reports_do_not_count() {
    let (mut tracker, eve, members) = with_eve(3);
    tracker.send(members[0], &report("m0", "eve"));
    tracker.send(members[1], &report("m1", "eve"));
    for _ in 0..6 {
        // Everybody stays.
        tracker.pass(Span::from_secs(100));
        for (number, conn) in members.iter().enumerate() {
            tracker.send(*conn, &announce(&format!("m{number}"), 0));
        }
        tracker.send(eve, &announce("eve", 0));
    }
    tracker.send(members[2], &report("m2", "eve"));
    assert!(is_in(&mut tracker, eve, "eve"));
}

#[test]
fn behind_a_shared_address_only_the_connection_is_kept_out() {
    let (mut tracker, eve, members) = with_eve(3);
    let others: Vec<ConnId> =
        (0..4).map(|number| join(&mut tracker, &format!("nat{number}"), 200, 1)).collect();
    for (number, conn) in members.iter().enumerate() {
        tracker.send(*conn, &report(&format!("m{number}"), "eve"));
    }
    assert!(!is_in(&mut tracker, eve, "eve"));
    for (number, conn) in others.into_iter().enumerate() {
        assert!(is_in(&mut tracker, conn, &format!("nat{number}")));
    }
}

#[test]
fn a_peer_that_has_gone_is_kept_out_when_it_comes_back() {
    let (mut tracker, eve, members) = with_eve(3);
    tracker.registry.disconnect(eve);
    for (number, conn) in members.iter().enumerate() {
        tracker.send(*conn, &report(&format!("m{number}"), "eve"));
    }
    let again = connect_from(&mut tracker, 200, 1);
    assert!(!is_in(&mut tracker, again, "evelyn"));
}

#[test]
fn reports_can_be_switched_off_and_odd_ones_are_refused() {
    let mut tracker = Tracker::with(Limits { reports_to_ban: 0, ..Limits::default() });
    let anna = tracker.connect();
    let reply = tracker.send(anna, &with(announce("anna", 0), "trickle", json!(true))).only(anna);
    assert!(reply.get("reports").is_none());
    assert!(tracker.send(anna, &report("anna", "eve")).sends.is_empty());
    let odd = with(report("anna", "eve"), "to_peer_id", json!("short"));
    let done = tracker.send(anna, &odd);
    assert!(done.failure(anna).starts_with("to_peer_id is \"short\""));
    assert_eq!(done.only(anna)["action"], "report");
    let ben = tracker.connect();
    let plain = tracker.send(ben, &announce("ben", 0)).only(ben);
    assert!(plain.get("reports").is_none(), "stock clients see nothing of it");
}
