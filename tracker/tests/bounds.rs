//! Every bound for clients at its edge.

mod common;

use hlswarm::time::Span;
use std::net::IpAddr;

use common::{OTHER_SWARM, SWARM, Tracker, announce, answer, peer, with};
use hlswarm_tracker::registry::{Denied, Rate};
use hlswarm_tracker::{CloseReason, Limits, SendKind};
use serde_json::{Value, json};

fn swarm(number: usize) -> Value {
    json!(format!("swarm{number:015}"))
}

#[test]
fn an_offer_id_has_at_most_64_characters_however_it_is_written() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let id = "\u{1}漢".repeat(32);
    let message =
        with(announce("ben", 1), "offers", json!([{"offer": {"type": "offer", "sdp": "x"}, "offer_id": id}]));
    assert_eq!(tracker.send(ben, &message).only(anna)["offer_id"], id);
    let longer = message.to_string().replace("\"offer_id\":\"", "\"offer_id\":\"\\u0041");
    assert!(tracker.say(ben, &longer).failure(ben).starts_with("offer_id is "));
}

#[test]
fn a_description_is_bounded_at_the_edge() {
    let line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    for (sdp, taken) in [
        ("s".repeat(8192), true),
        ("s".repeat(8193), false),
        // Escapes count as what they stand for.
        ("\n".repeat(8192), true),
        ("\n".repeat(8193), false),
        (line.repeat(20), true),
        (line.repeat(21), false),
        ("\u{1}".repeat(8192), true),
    ] {
        let mut tracker = Tracker::new();
        let anna = tracker.join("anna");
        let ben = tracker.connect();
        let offers = json!([{"offer": {"type": "offer", "sdp": sdp}, "offer_id": "1"}]);
        let done = tracker.send(ben, &with(announce("ben", 0), "offers", offers));
        assert_eq!(done.to(anna).len(), usize::from(taken), "{sdp:.30} {}", sdp.len());
        assert_eq!(
            done.only(ben).get("warning message").is_some(),
            !taken,
            "the client is told and stays a member"
        );
        // The same bound holds for answers.
        let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
        let mut reply = answer("anna", &offer);
        reply["answer"]["sdp"] = json!(sdp);
        let done = tracker.send(anna, &reply);
        if taken {
            assert_eq!(done.only(ben)["answer"]["sdp"], sdp);
        } else {
            assert!(done.failure(anna).starts_with("sdp "));
        }
    }
}

#[test]
fn ten_offers_of_an_announce_are_used() {
    let mut tracker = Tracker::new();
    for n in 0..20 {
        tracker.join(&format!("peer{n}"));
    }
    let anna = tracker.connect();
    assert_eq!(tracker.send(anna, &announce("anna", 10)).of_kind(SendKind::Offer), 10);
    let done = tracker.send(anna, &announce("anna", 11));
    assert_eq!(done.of_kind(SendKind::Offer), 10);
    assert_eq!(done.only(anna)["warning message"], "offers has 11 entries, at most 10 are used");
}

#[test]
fn offers_are_passed_on_only_so_often() {
    let mut tracker = Tracker::new();
    let ben = tracker.join("ben");
    let anna = tracker.connect();
    let mut offers = 0;
    for _ in 0..8 {
        offers += tracker.send(anna, &announce("anna", 1)).to(ben).len();
    }
    assert_eq!(offers, 6, "the burst");
    let done = tracker.send(anna, &announce("anna", 1));
    assert!(done.only(anna)["interval"].is_u64(), "answered all the same");
    tracker.pass(Span::from_millis(4_999));
    assert!(tracker.send(anna, &announce("anna", 1)).to(ben).is_empty());
    tracker.pass(Span::from_millis(1));
    assert_eq!(tracker.send(anna, &announce("anna", 1)).to(ben).len(), 1);
}

#[test]
fn a_member_is_forgotten_at_its_age_and_not_before() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    tracker.pass(Span::from_secs(100));
    tracker.send(anna, &announce("anna", 0));
    tracker.pass(Span::from_secs(179));
    assert_eq!(tracker.registry.sizes().members, 1);
    tracker.pass(Span::from_secs(1));
    assert_eq!((tracker.registry.sizes().members, tracker.registry.sizes().swarms), (0, 0));
    assert_eq!(tracker.registry.sizes().connections, 1, "the connection stays");
    assert_eq!(tracker.send(anna, &announce("anna", 0)).only(anna)["incomplete"], 1);
}

#[test]
fn an_offer_is_answered_within_its_age_or_never() {
    for (span, answers) in [(119_999, 1), (120_000, 0)] {
        let mut tracker = Tracker::new();
        let anna = tracker.join("anna");
        let ben = tracker.connect();
        let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
        tracker.now = tracker.now + Span::from_millis(span);
        assert_eq!(tracker.send(anna, &answer("anna", &offer)).sends.len(), answers);
    }
}

#[test]
fn the_oldest_pending_offer_makes_room() {
    let mut tracker = Tracker::with(Limits { pending_offers: 3, ..Limits::default() });
    let anna = tracker.join("anna");
    // Seeders, so that Anna is the only one who takes their offers.
    let offers: Vec<_> = (0..4)
        .map(|n| {
            let conn = tracker.connect();
            let message = with(announce(&format!("p{n}"), 1), "left", json!(0));
            (conn, tracker.send(conn, &message).only(anna))
        })
        .collect();
    let answers: Vec<usize> = offers
        .iter()
        .map(|(conn, offer)| tracker.send(anna, &answer("anna", offer)).to(*conn).len())
        .collect();
    assert_eq!(answers, [0, 1, 1, 1]);
}

#[test]
fn a_connection_is_in_eight_swarms() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    for number in 0..8 {
        assert!(
            tracker.send(anna, &with(announce("anna", 0), "info_hash", swarm(number))).only(anna)["interval"]
                .is_u64()
        );
    }
    let reason = tracker.send(anna, &with(announce("anna", 0), "info_hash", swarm(8))).failure(anna);
    assert_eq!(reason, "info_hash: this connection is in 8 swarms, as many as are allowed");
    // Leaving one makes room.
    tracker.send(anna, &with(with(announce("anna", 0), "info_hash", swarm(0)), "event", json!("stopped")));
    assert!(
        tracker.send(anna, &with(announce("anna", 0), "info_hash", swarm(8))).only(anna)["interval"].is_u64()
    );
}

#[test]
fn two_hundred_thousand_swarms_on_one_connection_stay_eight() {
    let mut tracker = Tracker::with(Limits { messages_per_connection: Rate::UNLIMITED, ..Limits::default() });
    let anna = tracker.connect();
    let mut closed = false;
    for number in 0..200_000 {
        closed |=
            !tracker.send(anna, &with(announce("anna", 0), "info_hash", swarm(number))).closes.is_empty();
    }
    assert_eq!(tracker.registry.sizes().swarms, 8);
    assert!(closed, "so many refusals are abuse");
}

#[test]
fn the_number_of_swarms_is_bounded() {
    let mut tracker = Tracker::with(Limits { swarms: 1, ..Limits::default() });
    let (anna, ben) = (tracker.join("anna"), tracker.join("ben"));
    let elsewhere = with(announce("ben", 0), "info_hash", json!(OTHER_SWARM));
    assert_eq!(tracker.send(ben, &elsewhere).failure(ben), "the tracker is full, try again later");
    tracker.registry.disconnect(anna);
    tracker.send(ben, &with(announce("ben", 0), "event", json!("stopped")));
    assert!(tracker.send(ben, &elsewhere).only(ben)["interval"].is_u64());
}

#[test]
fn connections_are_bounded_per_address_and_in_all() {
    let mut tracker = Tracker::with(Limits { connections: 130, ..Limits::default() });
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let first = tracker.connect_from(v4);
    for _ in 1..64 {
        tracker.connect_from(v4);
    }
    assert_eq!(tracker.registry.connect(tracker.now, v4), Err(Denied::Address));
    assert_eq!(
        tracker.registry.connect(tracker.now, "::ffff:192.0.2.1".parse().unwrap()),
        Err(Denied::Address)
    );
    tracker.registry.disconnect(first);
    tracker.connect_from(v4);
    // IPv6 addresses count by /64.
    for n in 0..64 {
        tracker.connect_from(format!("2001:db8:0:1::{n:x}").parse().unwrap());
    }
    assert_eq!(
        tracker.registry.connect(tracker.now, "2001:db8:0:1:ffff::".parse().unwrap()),
        Err(Denied::Address)
    );
    tracker.connect_from("2001:db8:0:2::".parse().unwrap());
    tracker.connect_from("2001:db8:0:3::".parse().unwrap());
    assert_eq!(tracker.registry.connect(tracker.now, "192.0.2.9".parse().unwrap()), Err(Denied::Full));
}

#[test]
fn a_scrape_names_at_most_64_swarms() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let scrape =
        |count: usize| json!({"action": "scrape", "info_hash": (0..count).map(swarm).collect::<Vec<_>>()});
    assert_eq!(tracker.send(anna, &scrape(64)).only(anna)["files"].as_object().unwrap().len(), 64);
    let reason = tracker.send(anna, &scrape(65)).failure(anna);
    assert_eq!(reason, "info_hash has 65 swarms, at most 64 are allowed in a scrape");
}

#[test]
fn messages_come_so_fast_and_a_flood_is_closed() {
    let limits = Limits {
        messages_per_connection: Rate { per_second: 10.0, burst: 20 },
        refusals_per_connection: Rate { per_second: 1.0, burst: 30 },
        ..Limits::default()
    };
    let mut tracker = Tracker::with(limits);
    let anna = tracker.connect();
    for _ in 0..20 {
        assert!(tracker.send(anna, &announce("anna", 0)).only(anna)["interval"].is_u64());
    }
    for _ in 0..30 {
        let done = tracker.send(anna, &announce("anna", 0));
        assert_eq!(done.failure(anna), "too many messages from this connection, try again in 1 s");
        assert!(done.closes.is_empty());
    }
    let done = tracker.send(anna, &announce("anna", 0));
    assert_eq!(done.closes, [(anna, CloseReason::Flood)]);
    assert!(tracker.send(anna, &announce("anna", 0)).sends.is_empty(), "nothing is heard after that");
    let ben = tracker.connect();
    assert!(
        tracker.send(ben, &announce("ben", 0)).only(ben)["interval"].is_u64(),
        "others are not disturbed"
    );
}

#[test]
fn announces_are_bounded_per_address_and_per_address_and_swarm() {
    let limits = Limits {
        announces_per_ip: Rate { per_second: 1.0, burst: 6 },
        announces_per_ip_and_swarm: Rate { per_second: 1.0, burst: 4 },
        ..Limits::default()
    };
    let mut tracker = Tracker::with(limits);
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let all: Vec<_> = (0..8).map(|_| tracker.connect_from(ip)).collect();
    for (n, conn) in all[..4].iter().enumerate() {
        assert!(tracker.send(*conn, &announce(&format!("p{n}"), 0)).only(*conn)["interval"].is_u64());
    }
    let reason = tracker.send(all[4], &announce("p4", 0)).failure(all[4]);
    assert_eq!(reason, "too many messages from this address and swarm, try again in 1 s");
    let elsewhere = |name: &str| with(announce(name, 0), "info_hash", json!(OTHER_SWARM));
    assert!(tracker.send(all[5], &elsewhere("p5")).only(all[5])["interval"].is_u64());
    let reason = tracker.send(all[6], &elsewhere("p6")).failure(all[6]);
    assert_eq!(reason, "too many messages from this address, try again in 1 s");
    let other = tracker.connect();
    assert!(tracker.send(other, &announce("other", 0)).only(other)["interval"].is_u64());
    tracker.pass(Span::from_secs(2));
    assert!(tracker.send(all[7], &announce("p7", 0)).only(all[7])["interval"].is_u64());
}

#[test]
fn nobody_is_buried_in_offers() {
    let limits = Limits { received_offers: Rate { per_second: 5.0, burst: 60 }, ..Limits::default() };
    let mut tracker = Tracker::with(limits);
    let victim = tracker.join("victim");
    let mut received = 0;
    for n in 0..70 {
        let conn = tracker.connect();
        received += tracker.send(conn, &announce(&format!("p{n}"), 1)).to(victim).len();
        // Everybody else leaves again, so that the victim is the only one to take offers.
        tracker.registry.disconnect(conn);
    }
    assert_eq!(received, 60);
    tracker.pass(Span::from_millis(200));
    let conn = tracker.connect();
    assert_eq!(tracker.send(conn, &announce("late", 1)).to(victim).len(), 1);
}

#[test]
fn offers_are_bounded_per_connection_and_per_address() {
    let limits = Limits {
        offers_per_connection: Rate { per_second: 1.0, burst: 7 },
        offers_per_ip: Rate { per_second: 1.0, burst: 10 },
        ..Limits::default()
    };
    let mut tracker = Tracker::with(limits);
    for n in 0..20 {
        tracker.join(&format!("peer{n}"));
    }
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let (anna, ben) = (tracker.connect_from(ip), tracker.connect_from(ip));
    assert_eq!(tracker.send(anna, &announce("anna", 5)).of_kind(SendKind::Offer), 5);
    let done = tracker.send(anna, &announce("anna", 5));
    assert_eq!(done.of_kind(SendKind::Offer), 2, "seven of one connection");
    assert_eq!(done.only(anna)["warning message"], "offers come too fast: 2 of this announce are used");
    let done = tracker.send(ben, &announce("ben", 5));
    assert_eq!(done.of_kind(SendKind::Offer), 3, "ten of one address");
    let other = tracker.connect();
    assert_eq!(tracker.send(other, &announce("other", 5)).of_kind(SendKind::Offer), 5);
    tracker.pass(Span::from_secs(1));
    assert_eq!(tracker.send(anna, &announce("anna", 5)).of_kind(SendKind::Offer), 1);
}

#[test]
fn members_are_bounded_in_all() {
    let mut tracker = Tracker::with(Limits { peers: 2, ..Limits::default() });
    let (anna, _ben) = (tracker.join("anna"), tracker.join("ben"));
    let carl = tracker.connect();
    assert_eq!(
        tracker.send(carl, &announce("carl", 0)).failure(carl),
        "the tracker is full, try again later"
    );
    assert!(tracker.send(anna, &announce("anna", 0)).only(anna)["interval"].is_u64(), "who is there stays");
    tracker.registry.disconnect(anna);
    assert!(tracker.send(carl, &announce("carl", 0)).only(carl)["interval"].is_u64());
}

#[test]
fn a_neighbourhood_has_its_bound_of_connections() {
    let mut tracker = Tracker::with(Limits { connections_per_net: 3, ..Limits::default() });
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let first = tracker.connect_from(ip("2001:db8:1::1"));
    tracker.connect_from(ip("2001:db8:1:2::1"));
    tracker.connect_from(ip("2001:db8:1:ffff::1"));
    assert_eq!(tracker.registry.connect(tracker.now, ip("2001:db8:1:3::1")), Err(Denied::Address));
    tracker.connect_from(ip("2001:db8:2::1"));
    tracker.registry.disconnect(first);
    tracker.connect_from(ip("2001:db8:1:3::1"));
    for last in 1..=3 {
        tracker.connect_from(ip(&format!("192.0.2.{last}")));
    }
    assert_eq!(tracker.registry.connect(tracker.now, ip("192.0.2.4")), Err(Denied::Address));
    tracker.connect_from(ip("192.0.3.4"));
}

#[test]
fn a_connection_that_never_announces_is_closed() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    assert!(tracker.pass(Span::from_secs(29)).closes.is_empty());
    assert_eq!(tracker.pass(Span::from_secs(2)).closes, [(anna, CloseReason::Silent)]);
    let ben = tracker.join("ben");
    assert!(tracker.pass(Span::from_secs(31)).closes.iter().all(|(conn, _)| *conn != ben));
}

#[test]
fn candidates_are_bounded_in_number_size_and_time() {
    let setup = || {
        let mut tracker = Tracker::new();
        let anna = tracker.connect();
        tracker.send(anna, &with(announce("anna", 0), "trickle", json!(true)));
        let ben = tracker.connect();
        let offer = tracker.send(ben, &with(announce("ben", 1), "trickle", json!(true))).only(anna);
        tracker.send(anna, &answer("anna", &offer));
        (tracker, anna, ben)
    };
    let candidates = |list: Vec<String>| {
        json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("ben"), "to_peer_id": peer("anna"),
               "offer_id": "ben-0", "candidates": list})
    };
    let (mut tracker, anna, ben) = setup();
    assert_eq!(tracker.send(ben, &candidates(vec!["c".repeat(512); 12])).to(anna).len(), 1);
    assert_eq!(tracker.send(ben, &candidates(vec!["c".into(); 8])).to(anna).len(), 1);
    assert!(tracker.send(ben, &candidates(vec!["c".into()])).sends.is_empty(), "twenty per direction");
    let reason = tracker.send(ben, &candidates(vec!["c".repeat(513)])).failure(ben);
    assert!(reason.starts_with("candidates is a string of 513 bytes"), "{reason}");
    assert!(
        tracker
            .send(ben, &with(candidates(vec![]), "candidates", json!([7])))
            .failure(ben)
            .contains("candidates")
    );

    let (mut tracker, anna, ben) = setup();
    tracker.now = tracker.now + Span::from_millis(59_999);
    assert_eq!(tracker.send(ben, &candidates(vec!["c".into()])).to(anna).len(), 1);
    tracker.now = tracker.now + Span::from_millis(1);
    assert!(tracker.send(ben, &candidates(vec!["c".into()])).sends.is_empty());

    let (mut tracker, _, _) = setup();
    let eve = tracker.connect();
    tracker.send(eve, &with(announce("ben", 0), "trickle", json!(true)));
    assert!(tracker.send(eve, &candidates(vec!["c".into()])).sends.is_empty(), "nobody else's");
}

#[test]
fn joining_and_leaving_without_end_keeps_nothing() {
    let mut tracker = Tracker::with(Limits { messages_per_connection: Rate::UNLIMITED, ..Limits::default() });
    let anna = tracker.connect();
    for _ in 0..1000 {
        tracker.send(anna, &announce("anna", 0));
        tracker.send(anna, &with(announce("anna", 0), "event", json!("stopped")));
        tracker.pass(Span::from_secs(1));
    }
    tracker.send(anna, &announce("anna", 0));
    assert_eq!((tracker.registry.sizes().members, tracker.registry.sizes().swarms), (1, 1));
    tracker.pass(Span::from_secs(180));
    assert_eq!(tracker.registry.sizes().members, 0, "an entry of an earlier membership does not keep it");
}
