//! What the tracker does for clients that behave.

mod common;

use hlswarm::time::Span;

use common::{OTHER_SWARM, SWARM, Tracker, announce, answer, peer, with, without};
use hlswarm_tracker::SendKind;
use serde_json::json;

#[test]
fn an_announce_is_answered_and_then_its_offers_go_to_others() {
    let mut tracker = Tracker::new();
    let (anna, ben) = (tracker.join("anna"), tracker.join("ben"));
    let carl = tracker.connect();
    let done = tracker.send(carl, &announce("carl", 2));
    assert_eq!(done.sends[0].1, SendKind::Reply);
    assert_eq!(
        done.only(carl),
        json!({"action": "announce", "info_hash": SWARM, "interval": 120, "min interval": 5, "complete": 0,
               "incomplete": 3})
    );
    let offers = [done.only(anna), done.only(ben)];
    let mut ids: Vec<&str> = offers.iter().filter_map(|offer| offer["offer_id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["carl-0", "carl-1"], "each offer goes to a different member");
    for offer in &offers {
        let number = offer["offer_id"].as_str().unwrap().trim_start_matches("carl-");
        assert_eq!(
            *offer,
            json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("carl"), "offer_id": offer["offer_id"],
                   "offer": {"type": "offer", "sdp": format!("sdp {number}\r\n")}})
        );
    }
}

#[test]
fn an_answer_goes_to_who_made_the_offer_and_is_not_replied_to() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
    let done = tracker.send(anna, &answer("anna", &offer));
    assert_eq!(done.sends.len(), 1);
    assert_eq!(
        done.only(ben),
        json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("anna"), "offer_id": "ben-0",
               "answer": {"type": "answer", "sdp": "answer\r\n"}})
    );
}

#[test]
fn a_lone_member_gets_its_reply_and_its_offers_go_nowhere() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let done = tracker.send(anna, &announce("anna", 5));
    assert_eq!(done.sends.len(), 1);
    assert_eq!(done.only(anna)["incomplete"], 1);
}

#[test]
fn every_event_of_the_reference_is_taken() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    for event in [
        json!("started"),
        json!("update"),
        json!("paused"),
        json!("empty"),
        json!(""),
        json!(null),
        json!("completed"),
        json!("stopped"),
    ] {
        let reply = tracker.send(anna, &with(announce("anna", 0), "event", event.clone())).only(anna);
        assert!(reply["interval"].is_u64() && reply.get("failure reason").is_none(), "{event}: {reply}");
    }
    let refused = tracker.send(anna, &with(announce("anna", 0), "event", json!("finished")));
    assert_eq!(
        refused.failure(anna),
        "event is \"finished\"; allowed is started, stopped, completed, update, paused, empty, \"\" or none"
    );
}

#[test]
fn stopped_is_replied_to_and_leaves() {
    let mut tracker = Tracker::new();
    let (anna, ben) = (tracker.join("anna"), tracker.join("ben"));
    let reply = tracker.send(anna, &with(announce("anna", 1), "event", json!("stopped")));
    assert_eq!(reply.only(anna)["incomplete"], 1);
    assert!(reply.to(ben).is_empty(), "offers of one that leaves go nowhere");
    assert_eq!(tracker.registry.sizes().members, 1);
}

#[test]
fn left_tells_who_has_everything() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    for (left, complete) in [
        (json!(0), 1),
        (json!(null), 1),
        (json!(7), 0),
        (json!(-3), 0),
        (json!(0.0), 1),
        (json!(1e300), 0),
        (json!("0"), 0),
    ] {
        let reply = tracker.send(anna, &with(announce("anna", 0), "left", left.clone())).only(anna);
        assert_eq!(reply["complete"], complete, "left {left}");
        assert_eq!(reply["incomplete"], 1 - complete, "left {left}");
    }
    let ben = tracker.connect();
    assert_eq!(tracker.send(ben, &without(announce("ben", 0), "left")).only(ben)["complete"], 0);
}

#[test]
fn numwant_may_be_missing_or_anything() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    for numwant in
        [json!(0), json!(1), json!(null), json!(-7), json!(1e300), json!("ten"), json!([]), json!({})]
    {
        let done = tracker.send(ben, &with(announce("ben", 1), "numwant", numwant.clone()));
        assert!(done.only(ben)["interval"].is_u64(), "{numwant}");
        tracker.pass(Span::from_secs(5));
    }
    let done = tracker.send(ben, &without(announce("ben", 1), "numwant"));
    assert!(done.only(ben)["interval"].is_u64());
    // The offers say how many peers a client wants.
    assert_eq!(done.to(anna).len(), 1);
}

#[test]
fn completed_makes_a_seeder_and_counts_once() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    for _ in 0..2 {
        let reply = tracker.send(anna, &with(announce("anna", 0), "event", json!("completed"))).only(anna);
        assert_eq!((reply["complete"].as_u64(), reply["incomplete"].as_u64()), (Some(1), Some(0)));
    }
    let scraped = tracker.send(anna, &json!({"action": "scrape", "info_hash": SWARM})).only(anna);
    assert_eq!(
        scraped,
        json!({"action": "scrape", "files": {SWARM: {"complete": 1, "incomplete": 0, "downloaded": 1}}})
    );
}

#[test]
fn seeders_are_not_offered_to_seeders() {
    let mut tracker = Tracker::new();
    let (anna, ben, carl) = (tracker.connect(), tracker.connect(), tracker.join("carl"));
    tracker.send(anna, &with(announce("anna", 0), "left", json!(0)));
    let done = tracker.send(ben, &with(announce("ben", 5), "left", json!(0)));
    assert!(done.to(anna).is_empty());
    assert_eq!(done.to(carl).len(), 1);
    let done = tracker.send(carl, &announce("carl", 5));
    assert_eq!((done.to(anna).len(), done.to(ben).len()), (1, 1));
}

#[test]
fn one_connection_may_be_in_several_swarms() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    tracker.send(anna, &with(announce("anna", 0), "info_hash", json!(OTHER_SWARM)));
    assert_eq!((tracker.registry.sizes().swarms, tracker.registry.sizes().members), (2, 2));
    let ben = tracker.connect();
    let done = tracker.send(ben, &with(announce("ben", 5), "info_hash", json!(OTHER_SWARM)));
    assert_eq!(done.only(anna)["info_hash"], OTHER_SWARM);
    tracker.registry.disconnect(anna);
    assert_eq!((tracker.registry.sizes().swarms, tracker.registry.sizes().members), (1, 1));
}

#[test]
fn a_scrape_names_its_swarms() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let scraped =
        tracker.send(anna, &json!({"action": "scrape", "info_hash": [SWARM, OTHER_SWARM]})).only(anna);
    assert_eq!(
        scraped["files"],
        json!({SWARM: {"complete": 0, "incomplete": 1, "downloaded": 0},
               OTHER_SWARM: {"complete": 0, "incomplete": 0, "downloaded": 0}})
    );
}

#[test]
fn ids_of_any_bytes_come_back_exactly() {
    let mut tracker = Tracker::new();
    let swarm: String = (0..20u8).map(|n| char::from(n * 13)).collect();
    let id: String = (0..20u8).map(|n| char::from(255 - n)).collect();
    let offer_id = "\u{0}\u{1f}\"\\ÿé漢🙂";
    let anna = tracker.connect();
    let mut hello = with(announce("anna", 0), "info_hash", json!(swarm));
    tracker.send(anna, &hello);
    let ben = tracker.connect();
    hello["peer_id"] = json!(id);
    hello["offers"] = json!([{"offer": {"type": "offer", "sdp": "x"}, "offer_id": offer_id}]);
    let offer = tracker.send(ben, &hello).only(anna);
    assert_eq!((&offer["info_hash"], &offer["peer_id"]), (&json!(swarm), &json!(id)));
    assert_eq!(offer["offer_id"], offer_id);
    assert_eq!(tracker.send(anna, &answer("anna", &offer)).only(ben)["offer_id"], offer_id);
}

#[test]
fn an_answer_may_escape_the_offer_id_in_another_way() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
    let text = answer("anna", &offer).to_string().replace("ben-0", "\\u0062en\\u002d0");
    assert_eq!(tracker.say(anna, &text).only(ben)["offer_id"], "ben-0");
}

#[test]
fn unknown_keys_are_ignored_and_not_passed_on() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let mut message = with(announce("ben", 1), "x", json!([1, {"y": null}]));
    message["offers"][0]["evil"] = json!("evil");
    message["offers"][0]["offer"]["evil"] = json!("evil");
    let offer = tracker.send(ben, &message).only(anna);
    assert!(!offer.to_string().contains("evil"), "{offer}");
    let mut reply = with(answer("anna", &offer), "evil", json!("evil"));
    reply["answer"]["evil"] = json!("evil");
    assert!(!tracker.send(anna, &reply).only(ben).to_string().contains("evil"));
}

#[test]
fn offers_may_be_empty_missing_or_null() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    for message in [
        with(announce("anna", 0), "offers", json!([])),
        with(announce("anna", 0), "offers", json!(null)),
        without(without(announce("anna", 0), "offers"), "numwant"),
    ] {
        assert!(tracker.send(anna, &message).only(anna)["interval"].is_u64());
    }
}

#[test]
fn a_burst_of_five_hundred_announces_is_answered_to_the_last() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    for _ in 0..500 {
        let reply = tracker.send(anna, &announce("anna", 1)).only(anna);
        assert!(reply["interval"].is_u64(), "{reply}");
    }
}

#[test]
fn a_swarm_is_freed_with_its_last_member() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    assert_eq!(tracker.registry.sizes().swarms, 1);
    tracker.registry.disconnect(anna);
    assert_eq!((tracker.registry.sizes().swarms, tracker.registry.sizes().connections), (0, 0));
}

#[test]
fn offers_are_spread_evenly_over_a_swarm() {
    let mut tracker = Tracker::with(hlswarm_tracker::Limits {
        min_interval: Span::ZERO,
        received_offers: hlswarm_tracker::registry::Rate::UNLIMITED,
        messages_per_connection: hlswarm_tracker::registry::Rate::UNLIMITED,
        offers_per_connection: hlswarm_tracker::registry::Rate::UNLIMITED,
        offers_per_ip: hlswarm_tracker::registry::Rate::UNLIMITED,
        ..Default::default()
    });
    let members: Vec<_> = (0..100).map(|n| tracker.join(&format!("peer{n}"))).collect();
    let mut received = [0usize; 100];
    for _ in 0..1000 {
        let done = tracker.send(members[0], &announce("peer0", 5));
        for (place, member) in members.iter().enumerate().skip(1) {
            received[place] += done.to(*member).len();
        }
    }
    assert_eq!(received[0], 0);
    assert_eq!(received.iter().sum::<usize>(), 5000);
    // 50.5 expected each, standard deviation 7: a seed is fixed, so this is not a matter of luck.
    assert!(received[1..].iter().all(|count| (20..=90).contains(count)), "{received:?}");
}

#[test]
fn neighbours_get_their_share_of_the_offers() {
    let mut tracker = Tracker::with(hlswarm_tracker::Limits {
        min_interval: Span::ZERO,
        received_offers: hlswarm_tracker::registry::Rate::UNLIMITED,
        messages_per_connection: hlswarm_tracker::registry::Rate::UNLIMITED,
        offers_per_connection: hlswarm_tracker::registry::Rate::UNLIMITED,
        offers_per_ip: hlswarm_tracker::registry::Rate::UNLIMITED,
        ..Default::default()
    });
    // Three viewers in each of a hundred neighbourhoods, IPv4 and IPv6.
    let mut members = Vec::new();
    for place in 0..300 {
        let (net, host) = (place % 100, place / 100);
        let ip = match net % 2 {
            0 => format!("198.51.{net}.{host}"),
            _ => format!("2001:db8:{net:x}:{host:x}::1"),
        };
        let conn = tracker.connect_from(ip.parse().unwrap());
        tracker.send(conn, &announce(&format!("peer{place}"), 0));
        members.push(conn);
    }
    for (announcer, neighbours) in [(0, [100, 200]), (1, [101, 201])] {
        let (mut near, mut far) = (0, 0);
        for _ in 0..100 {
            let done = tracker.send(members[announcer], &announce(&format!("peer{announcer}"), 5));
            for (place, member) in members.iter().enumerate() {
                let count = done.to(*member).iter().filter(|message| message.get("offer").is_some()).count();
                if neighbours.contains(&place) { near += count } else { far += count }
            }
        }
        assert_eq!(near + far, 500);
        // Two of five each time, and now and then one more by chance; a draw may miss a neighbour.
        assert!((150..=230).contains(&near), "{near}");
    }
    // Who leaves is not offered any more, and the others are still found.
    tracker.registry.disconnect(members[100]);
    let near: usize =
        (0..100).map(|_| tracker.send(members[0], &announce("peer0", 5)).to(members[200]).len()).sum();
    assert!(near > 80, "{near}");
}

#[test]
fn candidates_travel_both_ways_along_an_answered_offer() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let reply = tracker.send(anna, &with(announce("anna", 0), "trickle", json!(true))).only(anna);
    assert_eq!(reply["trickle"], true);
    let ben = tracker.connect();
    let offer = tracker.send(ben, &with(announce("ben", 1), "trickle", json!(true))).only(anna);
    let candidates = |from: &str, to: &str| {
        json!({"action": "announce", "info_hash": SWARM, "peer_id": peer(from), "to_peer_id": peer(to),
               "offer_id": "ben-0", "candidates": ["{\"candidate\":\"candidate:1\"}"], "evil": 1})
    };
    assert!(tracker.send(ben, &candidates("ben", "anna")).sends.is_empty(), "not before the answer");
    tracker.send(anna, &answer("anna", &offer));
    for (conn, from, to_conn, to) in [(ben, "ben", anna, "anna"), (anna, "anna", ben, "ben")] {
        assert_eq!(
            tracker.send(conn, &candidates(from, to)).only(to_conn),
            json!({"action": "announce", "info_hash": SWARM, "peer_id": peer(from), "offer_id": "ben-0",
                   "candidates": ["{\"candidate\":\"candidate:1\"}"]})
        );
    }
}

#[test]
fn candidates_never_reach_clients_that_do_not_know_them() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let offer = tracker.send(ben, &with(announce("ben", 1), "trickle", json!(true))).only(anna);
    tracker.send(anna, &answer("anna", &offer));
    let message = json!({"action": "announce", "info_hash": SWARM, "peer_id": peer("ben"), "to_peer_id": peer("anna"),
                         "offer_id": "ben-0", "candidates": ["x"]});
    assert!(tracker.send(ben, &message).sends.is_empty());
}
