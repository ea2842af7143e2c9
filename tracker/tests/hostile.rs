//! What the tracker does for clients that say what they should not: nothing crashes, nobody else is disturbed. The bounds
//! are in `bounds.rs`.

mod common;

use hlswarm::time::Span;

use common::{OTHER_SWARM, Tracker, announce, answer, with, without};
use hlswarm_tracker::SendKind;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn garbage_gets_a_reply_with_a_reason() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let id = "a string of 20 characters U+0000..U+00FF";
    for (message, reason) in [
        ("".into(), "the message is not a JSON object".into()),
        ("null".into(), "the message is not a JSON object".into()),
        ("[]".into(), "the message is not a JSON object".into()),
        ("{".into(), "the message is not a JSON object".into()),
        ("[".repeat(30_000), "the message is not a JSON object".into()),
        ("{}".into(), "action is missing; allowed is \"announce\", \"scrape\" or \"report\"".into()),
        (
            "{\"action\":\"dance\"}".into(),
            "action is \"dance\"; allowed is \"announce\", \"scrape\" or \"report\"".into(),
        ),
        ("{\"action\":\"announce\"}".into(), format!("info_hash is missing; allowed is {id}")),
        (
            with(announce("anna", 0), "info_hash", json!(7)).to_string(),
            format!("info_hash is 7; allowed is {id}"),
        ),
        (
            with(announce("anna", 0), "peer_id", json!("short")).to_string(),
            format!("peer_id is \"short\"; allowed is {id}"),
        ),
        (
            with(announce("anna", 0), "peer_id", json!("\u{100}".repeat(20))).to_string(),
            format!("peer_id is \"{}\"; allowed is {id}", "\u{100}".repeat(20)),
        ),
        (
            with(announce("anna", 0), "info_hash", json!("x".repeat(60_000))).to_string(),
            format!("info_hash is \"{}…; allowed is {id}", "x".repeat(39)),
        ),
    ] {
        assert_eq!(tracker.say(anna, &message).failure(anna), reason, "{message:.80}");
    }
    assert_eq!(tracker.registry.sizes().members, 0);
}

#[test]
fn deep_nesting_anywhere_is_only_skipped() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let deep = format!("{}{}", "[".repeat(15_000), "]".repeat(15_000));
    let text = announce("anna", 0).to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
    assert!(tracker.say(anna, &text).only(anna)["interval"].is_u64());
    let text =
        without(announce("anna", 0), "offers").to_string().replacen('{', &format!("{{\"offers\":{deep},"), 1);
    assert!(tracker.say(anna, &text).failure(anna).starts_with("offers is "));
}

#[test]
fn malformed_offers_are_refused_and_change_nothing() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect();
    let good = json!({"offer": {"type": "offer", "sdp": "x"}, "offer_id": "1"});
    for offers in [
        json!([null]),
        json!({}),
        json!("offers"),
        json!([[]]),
        json!([{"offer": null, "offer_id": "1"}]),
        json!([{"offer": {"type": "answer", "sdp": "x"}, "offer_id": "1"}]),
        json!([{"offer": {"type": "offer", "sdp": 7}, "offer_id": "1"}]),
        json!([{"offer": {"type": "offer", "sdp": "x"}}]),
        json!([good, {"offer": {"type": "offer", "sdp": "x"}, "offer_id": 7}]),
        json!([{"offer": {"type": "offer", "sdp": "x"}, "offer_id": "x".repeat(65)}]),
    ] {
        let reason = tracker.send(anna, &with(announce("anna", 0), "offers", offers.clone())).failure(anna);
        assert!(reason.starts_with("offer") && reason.contains("allowed is"), "{offers}: {reason}");
    }
    assert_eq!(tracker.registry.sizes().members, 0);
}

#[test]
fn candidates_cannot_hide_behind_escapes() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let mut message = announce("ben", 1);
    message["offers"][0]["offer"]["sdp"] = json!("a=candidate:".repeat(21));
    let text = message.to_string().replace("a=candidate:", "\\u0061=candidate:");
    assert!(tracker.say(ben, &text).to(anna).is_empty());
    let text = announce("ben", 1).to_string().replace("sdp 0", "\\ud800");
    assert!(tracker.say(ben, &text).to(anna).is_empty(), "half a surrogate pair is no text");
}

#[test]
fn an_offer_is_answered_once_and_only_by_its_receiver() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
    let eve = tracker.join("eve");
    assert!(tracker.send(eve, &answer("eve", &offer)).sends.is_empty(), "somebody else");
    assert!(tracker.send(eve, &answer("anna", &offer)).sends.is_empty(), "somebody else in its name");
    assert!(tracker.send(anna, &answer("eve", &offer)).sends.is_empty(), "the receiver under another name");
    let elsewhere = with(answer("anna", &offer), "info_hash", json!(OTHER_SWARM));
    assert!(tracker.send(anna, &elsewhere).sends.is_empty(), "in another swarm");
    assert_eq!(tracker.send(anna, &answer("anna", &offer)).to(ben).len(), 1);
    assert!(tracker.send(anna, &answer("anna", &offer)).sends.is_empty(), "a second time");
    assert_eq!(tracker.registry.counters().answers_dropped, 5);
}

#[test]
fn an_answer_to_a_vanished_peer_is_silence() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let ben = tracker.connect();
    let offer = tracker.send(ben, &announce("ben", 1)).only(anna);
    tracker.registry.disconnect(ben);
    // The slot's next user must not get it either.
    let carl = tracker.join("carl");
    let done = tracker.send(anna, &answer("anna", &offer));
    assert!(done.sends.is_empty() && done.to(carl).is_empty());
}

#[test]
fn nobody_stops_or_takes_over_another() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let eve = tracker.connect();
    tracker.send(eve, &with(announce("anna", 0), "event", json!("stopped")));
    assert_eq!(tracker.registry.sizes().members, 1, "a forged stop changes nothing");
    // A second connection with the same peer id is another member: it neither evicts nor silences the first.
    tracker.send(eve, &announce("anna", 5));
    assert_eq!(tracker.registry.sizes().members, 2);
    let ben = tracker.connect();
    let done = tracker.send(ben, &announce("ben", 5));
    assert_eq!((done.to(anna).len(), done.to(eve).len()), (1, 1));
    tracker.registry.disconnect(eve);
    let offer = tracker.send(ben, &announce("ben", 5)).only(anna);
    assert_eq!(tracker.send(anna, &answer("anna", &offer)).to(ben).len(), 1);
}

#[test]
fn a_connection_keeps_the_peer_id_it_joined_with() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let reason = tracker.send(anna, &announce("mallory", 0)).failure(anna);
    assert_eq!(reason, "peer_id is not the one this connection joined the swarm with");
    tracker.send(anna, &with(announce("mallory", 0), "event", json!("stopped")));
    assert_eq!(tracker.registry.sizes().members, 1);
}

#[test]
fn a_client_is_never_offered_to_itself() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let again = tracker.join("anna");
    let done = tracker.send(anna, &announce("anna", 5));
    assert_eq!(done.to(anna).len(), 1, "only the reply");
    assert!(done.to(again).is_empty());
}

#[test]
fn ipv4_and_ipv6_viewers_are_one_swarm() {
    let mut tracker = Tracker::new();
    let anna = tracker.connect_from("192.0.2.1".parse().unwrap());
    let ben = tracker.connect_from("2001:db8::1".parse().unwrap());
    tracker.send(anna, &announce("anna", 0));
    assert_eq!(tracker.send(ben, &announce("ben", 1)).to(anna).len(), 1);
}

#[test]
fn a_scrape_of_everything_is_refused() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    for message in [json!({"action": "scrape"}), json!({"action": "scrape", "info_hash": []})] {
        let done = tracker.send(anna, &message);
        assert_eq!(done.failure(anna), "info_hash is missing; a scrape must name its swarms");
        assert_eq!(done.only(anna)["action"], "scrape");
    }
    for odd in [json!(7), json!({}), json!([7]), json!([null]), json!([[]]), json!("short"), json!(true)] {
        let reason = tracker.send(anna, &json!({"action": "scrape", "info_hash": odd})).failure(anna);
        assert!(reason.starts_with("info_hash is "), "{reason}");
    }
}

#[test]
fn only_allowed_swarms_are_served() {
    let mut tracker = Tracker::new();
    let anna = tracker.join("anna");
    let allowed = hlswarm::id::Id20::from_latin1(OTHER_SWARM).unwrap();
    tracker.registry.set_allowed(Some([allowed].into()));
    assert_eq!(tracker.registry.sizes().members, 1, "members that are there stay");
    let reason = tracker.send(anna, &announce("anna", 0)).failure(anna);
    assert_eq!(reason, "info_hash is not one that this tracker serves");
    assert!(tracker.send(anna, &with(announce("anna", 0), "info_hash", json!(OTHER_SWARM))).only(anna)["interval"].is_u64());
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let mut tracker = Tracker::new();
        let anna = tracker.connect();
        let done = tracker.say(anna, &text);
        prop_assert_eq!(done.sends.len(), 1);
    }

    /// Whatever members say, in whatever order: every reply is JSON with an action, offers reach only others, and the
    /// numbers add up.
    #[test]
    fn any_conversation_keeps_the_numbers_right(
        steps in prop::collection::vec((0usize..6, 0usize..6, 0usize..9, 0u64..40_000), 1..120)
    ) {
        let mut tracker = Tracker::new();
        let mut conns: Vec<_> = (0..6).map(|_| tracker.connect()).collect();
        let mut offers: Vec<(usize, Value)> = Vec::new();
        for (who, name, what, millis) in steps {
            tracker.pass(Span::from_millis(millis));
            let conn = conns[who];
            let name = format!("peer{name}");
            let done = match what {
                0..=3 => tracker.send(conn, &announce(&name, what)),
                4 => tracker.send(conn, &with(announce(&name, 2), "event", json!("stopped"))),
                5 => tracker.send(conn, &with(announce(&name, 1), "event", json!("completed"))),
                6 => match offers.pop() {
                    Some((to, offer)) => tracker.send(conns[to], &answer(&format!("peer{to}"), &offer)),
                    None => continue,
                },
                7 => tracker.send(conn, &with(announce(&name, 1), "left", json!(0))),
                _ => {
                    tracker.registry.disconnect(conn);
                    conns[who] = tracker.connect();
                    continue;
                }
            };
            for (to, kind, text) in &done.sends {
                let message: Value = serde_json::from_str(text).unwrap();
                prop_assert!(message["action"].is_string());
                let place = conns.iter().position(|conn| conn == to);
                prop_assert!(place.is_some(), "sent to nobody");
                if *kind == SendKind::Offer {
                    prop_assert_ne!(*to, conn);
                    offers.push((place.unwrap(), message));
                }
            }
            let members = tracker.registry.swarm_sizes().map(|swarm| swarm.complete + swarm.incomplete).sum::<usize>();
            prop_assert_eq!(members, tracker.registry.sizes().members);
            prop_assert!(tracker.registry.swarm_sizes().all(|swarm| swarm.complete + swarm.incomplete > 0));
        }
        for conn in conns {
            tracker.registry.disconnect(conn);
        }
        prop_assert_eq!(tracker.registry.sizes(), Default::default());
    }
}
