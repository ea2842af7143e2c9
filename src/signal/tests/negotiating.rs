//! From an offer to an open link, and which of two links to one peer stays.

use serde_json::json;

use super::*;
use crate::engine::{CloseReason, Event, LinkCloseCause, Output};
use crate::id::LinkId;

/// A viewer that has just announced its first five offers to a tracker with `size` members.
pub fn announced(name: &str, size: u32) -> (Rig, Vec<(String, LinkId)>) {
    let mut rig = Rig::with(vec![Tracker::of_size(size), Tracker::of_size(size)], name, |_| {});
    rig.start();
    rig.run(500);
    let offers = rig.offers_sent(0);
    assert!(offers.len() >= 5);
    (rig, offers)
}

fn closes(rig: &Rig) -> Vec<(crate::id::PeerId, CloseReason)> {
    let events = rig.events().into_iter().filter_map(|event| match event {
        Event::PeerClosed { peer, reason } => Some((peer, reason)),
        _ => None,
    });
    events.collect()
}

#[test]
fn an_answer_completes_our_offer() {
    let (mut rig, offers) = announced("mmm", 20);
    let (id, link) = &offers[2];
    rig.answer_from(0, "aaa", id);
    assert_eq!(rig.connecting(), [*link]);
    assert!(rig.log.iter().any(|(_, output)| {
        *output == Output::AcceptAnswer { link: *link, sdp: "v=0 from aaa".to_owned() }
    }));
    assert_eq!(rig.signal.peer_of(*link), Some(peer("aaa")), "known before the channel opens");
    assert_eq!(rig.up(*link), Some(peer("aaa")));
    rig.run(60_000);
    assert!(!rig.closed().contains(link), "open links are the swarm's");
    rig.call(|s, now, _, _| s.link_closed(now, *link));
    assert_eq!(rig.signal.peer_of(*link), None);
}

#[test]
fn a_remote_offer_is_answered_through_its_tracker() {
    let (mut rig, _) = announced("mmm", 20);
    rig.clear();
    rig.offer_from(1, "aaa", "offer \"1\"");
    let link = rig.accepted()[0];
    assert_eq!(rig.signal.peer_of(link), Some(peer("aaa")));
    rig.run(100);
    let sent = rig.sent(1);
    let answer = &sent.last().unwrap().1;
    assert_eq!(answer["to_peer_id"], peer("aaa").to_latin1());
    assert_eq!(answer["offer_id"], "offer \"1\"");
    assert_eq!(answer["answer"], json!({ "type": "answer", "sdp": format!("v=0 answer {}", link.0) }));
    assert!(rig.sent(0).iter().all(|(_, message)| message["answer"].is_null()));
    assert_eq!(rig.up(link), Some(peer("aaa")));
}

#[test]
fn answers_count_once_only_for_our_offers_and_only_from_their_tracker() {
    let (mut rig, offers) = announced("mmm", 20);
    let (id, link) = &offers[0];
    rig.answer_from(1, "aaa", id);
    rig.answer_from(0, "aaa", "never offered");
    rig.answer_from(0, "mmm", id);
    assert!(rig.connecting().is_empty());
    rig.answer_from(0, "aaa", id);
    rig.answer_from(0, "bbb", id);
    rig.answer_from(0, "aaa", id);
    assert_eq!(rig.connecting(), [*link]);
    assert_eq!(rig.signal.peer_of(*link), Some(peer("aaa")));
}

#[test]
fn a_peer_has_one_link() {
    let (mut rig, offers) = announced("mmm", 20);
    rig.answer_from(0, "aaa", &offers[0].0);
    // The same peer answers a second offer of ours, and offers itself: connecting and open.
    rig.answer_from(0, "aaa", &offers[1].0);
    assert!(rig.closed().contains(&offers[1].1));
    rig.offer_from(0, "aaa", "x");
    rig.up(offers[0].1);
    rig.offer_from(1, "aaa", "y");
    rig.answer_from(0, "aaa", &offers[2].0);
    assert!(rig.closed().contains(&offers[2].1));
    assert_eq!(rig.connecting(), [offers[0].1]);
    assert!(rig.accepted().is_empty());
    // Once it is gone, the peer is welcome again.
    rig.call(|s, now, _, _| s.link_closed(now, offers[0].1));
    rig.offer_from(1, "aaa", "z");
    assert_eq!(rig.accepted().len(), 1);
}

#[test]
fn glare_leaves_the_link_that_the_higher_id_offered() {
    // The answer to our offer comes while our answer is being made, and after it was sent.
    for answer_sent in [false, true] {
        let (mut rig, offers) = announced("mmm", 20);
        rig.offer_from(0, "aaa", "theirs");
        let theirs = rig.accepted()[0];
        if answer_sent {
            rig.run(100);
        }
        rig.answer_from(0, "aaa", &offers[0].0);
        assert_eq!(rig.connecting(), [offers[0].1], "ours: m > a");
        assert_eq!(rig.closed(), [theirs]);
        assert_eq!(rig.signal.pending_links(), 1);
        assert_eq!(rig.up(offers[0].1), Some(peer("aaa")));
        assert_eq!(rig.up(theirs), None, "it is being closed");

        let (mut rig, offers) = announced("mmm", 20);
        rig.offer_from(0, "zzz", "theirs");
        let theirs = rig.accepted()[0];
        if answer_sent {
            rig.run(100);
        }
        rig.answer_from(0, "zzz", &offers[0].0);
        assert!(rig.connecting().is_empty(), "theirs: z > m");
        assert_eq!(rig.closed(), [offers[0].1]);
        rig.run(100);
        assert_eq!(rig.up(theirs), Some(peer("zzz")));
    }
}

#[test]
fn both_sides_of_a_glare_keep_the_same_link_in_every_order() {
    // Each side sent an offer that reached the other, and answers it at once or refuses it. What crosses is delivered
    // in every order.
    for order in 0..16u32 {
        let (mut low, low_offers) = announced("aaa", 20);
        let (mut high, high_offers) = announced("zzz", 20);
        low.clear();
        high.clear();
        let (low_id, low_link) = low_offers[0].clone();
        let (high_id, high_link) = high_offers[0].clone();
        let mut low_offered = false;
        let mut high_offered = false;
        for step in 0..4 {
            if (order >> step) & 1 == 0 {
                if !low_offered {
                    high.offer_from(0, "aaa", &low_id);
                    high.run(100);
                    low_offered = true;
                }
                if high.sent(0).iter().any(|(_, m)| m["answer"].is_object()) && step > 1 {
                    low.answer_from(0, "zzz", &low_id);
                }
            } else {
                if !high_offered {
                    low.offer_from(0, "zzz", &high_id);
                    low.run(100);
                    high_offered = true;
                }
                if low.sent(0).iter().any(|(_, m)| m["answer"].is_object()) && step > 1 {
                    high.answer_from(0, "aaa", &high_id);
                }
            }
        }
        // What is still on its way arrives.
        if low.sent(0).iter().any(|(_, m)| m["answer"].is_object()) {
            high.answer_from(0, "aaa", &high_id);
        }
        if high.sent(0).iter().any(|(_, m)| m["answer"].is_object()) {
            low.answer_from(0, "zzz", &low_id);
        }
        let low_has = low.signal.links.of_peer(peer("zzz")).map(|(link, _)| link);
        let high_has = high.signal.links.of_peer(peer("aaa")).map(|(link, _)| link);
        let offered_by_low = (low_has == Some(low_link), high_has.is_some_and(|link| link != high_link));
        assert!(low_has.is_some() && high_has.is_some(), "no link in order {order:04b}");
        assert_eq!(offered_by_low.0, offered_by_low.1, "different links in order {order:04b}");
        assert_eq!(low.signal.pending_links(), 1);
        assert_eq!(high.signal.pending_links(), 1);
    }
}

#[test]
fn a_negotiation_that_takes_too_long_is_closed_and_told() {
    let (mut rig, offers) = announced("mmm", 20);
    rig.answer_from(0, "aaa", &offers[0].0);
    rig.answer_ms = Some(5000);
    rig.offer_from(0, "bbb", "x");
    let link = rig.accepted()[0];
    rig.run(14_900);
    assert!(closes(&rig).is_empty());
    rig.run(200);
    assert_eq!(closes(&rig).len(), 2);
    assert!(matches!(closes(&rig)[0].1, CloseReason::ConnectionLost(_)));
    assert!(rig.closed().contains(&offers[0].1) && rig.closed().contains(&link));
    assert_eq!(rig.signal.pending_links(), 0);
    assert_eq!(rig.up(link), None);

    let mut rig = Rig::with(vec![Tracker::of_size(20)], "mmm", |c| c.limits.connect_timeout_ms = 3000);
    rig.start();
    rig.run(500);
    rig.offer_from(0, "bbb", "x");
    rig.run(3100);
    assert_eq!(closes(&rig).len(), 1);
}

#[test]
fn a_peer_to_which_no_link_can_be_made_is_left_alone_for_longer_each_time() {
    let (mut rig, offers) = announced("mmm", 20);
    rig.answer_from(0, "aaa", &offers[0].0);
    rig.fail(offers[0].1);
    assert_eq!(closes(&rig), [(peer("aaa"), CloseReason::ConnectionLost("ice".to_owned()))]);
    // It neither may offer nor answer for 15 s.
    rig.run(14_900);
    rig.offer_from(0, "aaa", "x");
    rig.answer_from(0, "aaa", &offers[1].0);
    assert!(rig.accepted().is_empty());
    assert_eq!(rig.connecting().len(), 1);
    assert!(rig.closed().contains(&offers[1].1));
    rig.run(200);
    rig.offer_from(0, "aaa", "y");
    assert_eq!(rig.accepted().len(), 1);
    rig.fail(rig.accepted()[0]);
    rig.run(29_900);
    rig.offer_from(0, "aaa", "z");
    assert_eq!(rig.accepted().len(), 1);
    rig.run(200);
    rig.offer_from(0, "aaa", "z");
    assert_eq!(rig.accepted().len(), 2);
    // Once a link opens, all is forgotten.
    rig.run(100);
    let link = rig.accepted()[1];
    rig.up(link);
    rig.call(|s, now, _, _| s.link_closed(now, link));
    rig.offer_from(0, "aaa", "w");
    assert_eq!(rig.accepted().len(), 3);
    rig.fail(rig.accepted()[2]);
    rig.run(15_100);
    rig.offer_from(0, "aaa", "v");
    assert_eq!(rig.accepted().len(), 4, "15 s again");
}

#[test]
fn where_ice_is_impossible_there_is_no_retry_loop() {
    let (mut rig, _) = announced("mmm", 50);
    // Everybody answers, everybody offers, nothing ever connects, for half an hour.
    let mut strangers = 0;
    for second in 0..1800 {
        let offers = if second % 5 == 0 { rig.offers_sent(0) } else { Vec::new() };
        for (id, link) in offers {
            if rig.signal.links.get(link).is_some_and(|l| l.is_unanswered()) {
                rig.answer_from(0, &format!("a{strangers}"), &id);
                strangers += 1;
            }
        }
        rig.offer_from(0, &format!("b{strangers}"), "x");
        strangers += 1;
        rig.run(1000);
    }
    assert!(rig.created() < 120, "{} offers in half an hour", rig.created());
    let tried = rig.accepted().len();
    assert!(tried < 150, "{tried} remote offers tried in half an hour, one at a time");
    assert!(tried > 50, "it does not give up either");
    // The network changes: everything is tried again at once, and nothing before there is one.
    rig.clear();
    rig.call(|s, now, rng, out| s.network(now, rng, false, out));
    rig.run(5000);
    assert_eq!(rig.created(), 0);
    rig.call(|s, now, rng, out| s.network(now, rng, true, out));
    rig.run(1000);
    assert!((0..2).any(|tracker| !rig.offers_sent(tracker).is_empty()));
}

#[test]
fn one_success_shows_that_links_can_be_made() {
    let (mut rig, _) = announced("mmm", 50);
    for round in 0..3 {
        for number in 0..5 {
            rig.offer_from(0, &format!("{round}a{number}"), "x");
            rig.run(300);
            rig.fail(*rig.accepted().last().unwrap());
        }
        rig.offer_from(0, &format!("{round}b"), "x");
        rig.run(300);
        rig.up(*rig.accepted().last().unwrap());
    }
    for number in 0..3 {
        rig.offer_from(0, &format!("c{number}"), "x");
    }
    assert_eq!(rig.accepted().len(), 21, "several at a time, as ever");
}

#[test]
fn a_description_that_the_browser_refuses_fails_at_once() {
    let (mut rig, _) = announced("mmm", 20);
    rig.offer_from(0, "aaa", "x");
    let link = rig.accepted()[0];
    let cause = LinkCloseCause::BadDescription("no fingerprint".to_owned());
    rig.call(|s, now, rng, out| s.link_failed(now, rng, link, cause, out));
    assert_eq!(closes(&rig), [(peer("aaa"), CloseReason::ConnectionLost("no fingerprint".to_owned()))]);
    rig.offer_from(0, "aaa", "x");
    assert_eq!(rig.accepted().len(), 1);
}

#[test]
fn banned_peers_and_ourselves_get_no_link() {
    let (mut rig, offers) = announced("mmm", 20);
    rig.answer_from(0, "aaa", &offers[0].0);
    rig.call(|s, now, rng, out| s.ban(now, rng, peer("aaa"), out));
    assert!(rig.closed().contains(&offers[0].1), "a link being made is closed");
    rig.answer_from(0, "ccc", &offers[1].0);
    rig.up(offers[1].1);
    rig.call(|s, now, rng, out| s.ban(now, rng, peer("ccc"), out));
    assert!(!rig.closed().contains(&offers[1].1), "an open one is the swarm's");
    rig.run(3_600_000);
    rig.offer_from(0, "aaa", "x");
    rig.offer_from(0, "mmm", "x");
    assert!(rig.accepted().is_empty());
    rig.offer_from(0, "bbb", "x");
    assert_eq!(rig.accepted().len(), 1);
}

#[test]
fn a_ban_is_reported_to_trackers_that_take_reports() {
    let takes = json!({ "interval": 120, "incomplete": 20, "reports": true });
    let mut rig = Rig::new(vec![Tracker::Good(takes), Tracker::of_size(20), Tracker::Mute]);
    rig.start();
    rig.run(1000);
    rig.call(|s, now, rng, out| s.ban(now, rng, peer("aaa"), out));
    let reports = |tracker| {
        let sent = rig.sent(tracker).into_iter().map(|(_, message)| message);
        sent.filter(|message| message["action"] == "report").collect::<Vec<_>>()
    };
    let expected = json!({"action": "report", "info_hash": rig.swarm.0.to_latin1(), "peer_id": rig.own.to_latin1(),
                          "to_peer_id": peer("aaa").to_latin1()});
    assert_eq!((reports(0), reports(1), reports(2)), (vec![expected], vec![], vec![]));
}

#[test]
fn an_avoided_peer_is_welcome_again_later() {
    let (mut rig, _) = announced("mmm", 20);
    rig.call(|s, now, _, _| s.avoid(now, peer("aaa"), crate::time::Span::from_secs(60)));
    rig.offer_from(0, "aaa", "x");
    assert!(rig.accepted().is_empty());
    rig.run(60_000);
    rig.offer_from(0, "aaa", "x");
    assert_eq!(rig.accepted().len(), 1);
}

#[test]
fn pending_links_and_all_links_are_limited() {
    let mut rig = Rig::with(vec![Tracker::of_size(50)], "mmm", |c| {
        c.limits.max_pending_peers = 3;
        c.limits.max_peers = 5;
    });
    rig.start();
    rig.run(500);
    for number in 0..10 {
        rig.offer_from(0, &format!("a{number}"), "x");
    }
    assert_eq!(rig.accepted().len(), 3);
    rig.run(100);
    for link in rig.accepted() {
        rig.up(link);
    }
    for number in 10..20 {
        rig.offer_from(0, &format!("a{number}"), "x");
    }
    assert_eq!(rig.accepted().len(), 5);
    rig.run(100);
    for link in rig.accepted() {
        rig.up(link);
    }
    rig.offer_from(0, "b", "x");
    assert_eq!(rig.accepted().len(), 5);
    // The swarm makes room for one newcomer at a time.
    rig.offer_if("c", |_| false);
    assert_eq!(rig.accepted().len(), 5);
    rig.offer_if("c", |_| true);
    rig.offer_if("d", |_| true);
    assert_eq!(rig.accepted().len(), 6);
    let link = *rig.accepted().last().unwrap();
    rig.run(100);
    rig.up(link);
    assert_eq!(rig.signal.peer_of(link), Some(peer("c")));
}

#[test]
fn the_swarm_decides_about_peers_and_about_those_whose_link_is_dead() {
    let (mut rig, offers) = announced("mmm", 20);
    rig.offer_if("aaa", |_| false);
    assert!(rig.accepted().is_empty());
    rig.answer_if("aaa", &offers[0].0, |_| false);
    assert!(rig.connecting().is_empty());
    assert_eq!(rig.closed(), [offers[0].1]);

    rig.answer_if("bbb", &offers[1].0, |id| id == peer("bbb"));
    let old = offers[1].1;
    rig.offer_if("bbb", |_| true);
    assert!(rig.accepted().is_empty(), "still being made");
    rig.up(old);
    rig.offer_if("bbb", |_| false);
    assert!(rig.accepted().is_empty());
    // The swarm knows that the open link is dead.
    rig.offer_if("bbb", |_| true);
    let new = rig.accepted()[0];
    assert_eq!(rig.signal.peer_of(old), Some(peer("bbb")));
    assert!(!rig.closed().contains(&old), "it is the swarm's to close");
    // If the new one fails, the old one is still known.
    rig.fail(new);
    rig.run(60_000);
    rig.offer_from(0, "bbb", "again");
    assert_eq!(rig.accepted().len(), 1);
    rig.call(|s, now, _, _| s.link_closed(now, old));
    rig.offer_from(0, "bbb", "again");
    assert_eq!(rig.accepted().len(), 2);
}

#[test]
fn descriptions_with_too_many_candidates_are_cut_down() {
    let mut rig = Rig::new(vec![Tracker::of_size(20)]);
    rig.offer_ms = None;
    rig.start();
    let lines: String =
        (0..50).map(|n| format!("a=candidate:{n} 1 udp 1 10.0.0.{n} 9 typ host\r\n")).collect();
    let sdp = format!("v=0\r\nm=application 9\r\n{lines}a=end\r\n");
    rig.call(|s, now, rng, out| s.offer_ready(now, rng, LinkId(0), sdp, out));
    rig.run(500);
    let announces = rig.announces(0);
    let sdp = announces[0].1["offers"][0]["offer"]["sdp"].as_str().unwrap();
    assert_eq!(sdp.matches("a=candidate:").count(), 20);
    assert!(sdp.starts_with("v=0\r\nm=") && sdp.ends_with("10.0.0.49 9 typ host\r\na=end\r\n"));
    assert!(sdp.contains("10.0.0.0 9"));
}
