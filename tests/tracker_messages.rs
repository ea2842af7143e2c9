//! The WebTorrent messages: what is written parses back, what is hostile is refused, nothing panics.

use hlswarm::id::{Id20, SwarmId};
use hlswarm::signal::message::{
    Announce, AnnounceEvent, Announced, Answer, Candidates, MAX_MESSAGE_BYTES, MAX_SDP_BYTES, MessageError,
    Offer, ScrapeEntry, SdpFault, TrackerMessage, check_sdp, push_json_id, push_json_string, report, scrape,
};
use hlswarm::time::Span;
use proptest::prelude::*;
use serde_json::{Value, json};

const SWARM: SwarmId = SwarmId(Id20(*b"swarm-of-twenty-byte"));
const PEER: Id20 = Id20(*b"-HS0100-abcdefghijkl");
const OTHER: Id20 =
    Id20([0xff, 0, 0x80, 0x22, 0x5c, 10, 13, 9, 8, 12, 1, 31, 127, 128, 200, 255, 65, 66, 67, 68]);

fn parse(value: &Value) -> Result<TrackerMessage, MessageError> {
    TrackerMessage::parse(&value.to_string())
}

fn offer_with(sdp: &str, offer_id: &str) -> Value {
    json!({"action": "announce", "info_hash": SWARM.0.to_latin1(), "peer_id": OTHER.to_latin1(),
           "offer": {"type": "offer", "sdp": sdp}, "offer_id": offer_id})
}

#[test]
fn an_announce_carries_every_field() {
    let text = Announce {
        swarm: SWARM,
        peer: OTHER,
        event: Some(AnnounceEvent::Started),
        numwant: 5,
        uploaded: 7,
        downloaded: 9,
        left: None,
        trickle: true,
        token: "1.2.*.n.m",
        offers: &[Offer { offer_id: "one", sdp: "v=0\r\n" }, Offer { offer_id: "t\"wo", sdp: "" }],
    }
    .encode();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"action": "announce", "info_hash": "swarm-of-twenty-byte", "peer_id": OTHER.to_latin1(), "numwant": 5,
               "uploaded": 7, "downloaded": 9, "event": "started", "trickle": true, "token": "1.2.*.n.m", "offers": [
                   {"offer": {"type": "offer", "sdp": "v=0\r\n"}, "offer_id": "one"},
                   {"offer": {"type": "offer", "sdp": ""}, "offer_id": "t\"wo"}]})
    );
}

#[test]
fn a_plain_announce_says_no_more_than_it_must() {
    let text = Announce {
        swarm: SWARM,
        peer: PEER,
        event: None,
        numwant: 0,
        uploaded: 0,
        downloaded: 0,
        left: Some(0),
        trickle: false,
        token: "",
        offers: &[],
    }
    .encode();
    assert_eq!(
        text,
        "{\"action\":\"announce\",\"info_hash\":\"swarm-of-twenty-byte\",\"peer_id\":\"-HS0100-abcdefghijkl\",\
         \"numwant\":0,\"uploaded\":0,\"downloaded\":0,\"left\":0,\"offers\":[]}"
    );
}

#[test]
fn answers_candidates_and_scrapes_are_json() {
    let answer =
        Answer { swarm: SWARM, peer: PEER, to_peer: OTHER, offer_id: "\u{1}ÿ", sdp: "a\\b" }.encode();
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({"action": "announce", "info_hash": "swarm-of-twenty-byte", "peer_id": PEER.to_latin1(),
               "to_peer_id": OTHER.to_latin1(), "offer_id": "\u{1}ÿ", "answer": {"type": "answer", "sdp": "a\\b"}})
    );
    let found = ["{\"candidate\":\"candidate:1\"}".to_owned(), "x".to_owned()];
    let candidates =
        Candidates { swarm: SWARM, peer: PEER, to_peer: OTHER, offer_id: "o", candidates: &found }.encode();
    assert_eq!(serde_json::from_str::<Value>(&candidates).unwrap()["candidates"], json!(found));
    assert_eq!(
        serde_json::from_str::<Value>(&report(SWARM, PEER, OTHER)).unwrap(),
        json!({"action": "report", "info_hash": "swarm-of-twenty-byte", "peer_id": PEER.to_latin1(),
               "to_peer_id": OTHER.to_latin1()})
    );
    let value: Value = serde_json::from_str(&scrape(&[SWARM, SwarmId(OTHER)])).unwrap();
    assert_eq!(value, json!({"action": "scrape", "info_hash": ["swarm-of-twenty-byte", OTHER.to_latin1()]}));
}

#[test]
fn a_reply_is_read_with_all_its_numbers() {
    let reply = json!({"action": "announce", "info_hash": SWARM.0.to_latin1(), "interval": 120, "min interval": 1.5,
                       "complete": 3, "incomplete": 4, "trickle": true, "reports": true, "warning message": "slow down"});
    assert_eq!(
        parse(&reply),
        Ok(TrackerMessage::Announced(Announced {
            swarm: Some(SWARM),
            interval: Some(Span::from_secs(120)),
            min_interval: Some(Span::from_millis(1500)),
            complete: 3,
            incomplete: 4,
            trickle: true,
            reports: true,
            warning: Some("slow down".into()),
        }))
    );
}

#[test]
fn numbers_that_make_no_sense_count_as_missing() {
    for odd in [json!(-5), json!("120"), json!(null), json!([]), json!(0)] {
        let reply = json!({"action": "announce", "interval": odd, "complete": odd, "trickle": odd});
        assert_eq!(parse(&reply), Ok(TrackerMessage::Announced(Announced::default())), "{odd}");
    }
    let reply = json!({"action": "announce", "interval": 1e300, "incomplete": u64::MAX});
    let Ok(TrackerMessage::Announced(reply)) = parse(&reply) else { panic!("{reply}") };
    assert_eq!((reply.interval, reply.incomplete), (Some(Span::from_secs(86_400)), u32::MAX));
}

#[test]
fn a_failure_is_a_failure_whatever_else_it_says() {
    let failure = json!({"action": "announce", "info_hash": SWARM.0.to_latin1(), "failure reason": "no", "interval": 9});
    assert_eq!(parse(&failure), Ok(TrackerMessage::Failure { swarm: Some(SWARM), reason: "no".into() }));
    let endless = json!({"failure reason": "x".repeat(5000)});
    let Ok(TrackerMessage::Failure { swarm: None, reason }) = parse(&endless) else {
        panic!("not a failure")
    };
    assert_eq!(reason.len(), 256);
}

#[test]
fn an_offer_is_bounded_at_the_edge() {
    let sdp = "s".repeat(MAX_SDP_BYTES);
    let id = "ÿ".repeat(64);
    assert_eq!(
        parse(&offer_with(&sdp, &id)),
        Ok(TrackerMessage::Offer { swarm: SWARM, peer: OTHER, offer_id: id.clone(), sdp: sdp.clone() })
    );
    let longer = format!("{sdp}s");
    assert_eq!(
        parse(&offer_with(&longer, &id)),
        Err(MessageError::Sdp(SdpFault::TooLong { bytes: MAX_SDP_BYTES + 1 }))
    );
    assert!(matches!(
        parse(&offer_with(&sdp, &format!("{id}x"))),
        Err(MessageError::Field { name: "offer_id", .. })
    ));
}

#[test]
fn an_sdp_has_at_most_twenty_candidates() {
    let line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    assert_eq!(check_sdp(&line.repeat(20)), Ok(()));
    assert_eq!(check_sdp(&line.repeat(21)), Err(SdpFault::TooManyCandidates { candidates: 21 }));
}

#[test]
fn candidates_are_bounded_at_the_edge() {
    let with = |list: Vec<String>| {
        parse(&json!({"action": "announce", "info_hash": SWARM.0.to_latin1(), "peer_id": PEER.to_latin1(),
                      "offer_id": "o", "candidates": list}))
    };
    assert!(matches!(with(vec!["c".repeat(512); 20]), Ok(TrackerMessage::Candidates { .. })));
    assert!(with(vec!["c".repeat(513)]).is_err());
    assert!(with(vec![String::new(); 21]).is_err());
}

#[test]
fn the_message_length_is_bounded_at_the_edge() {
    let text = |bytes: usize| format!("{{\"action\":\"announce\"}}{}", " ".repeat(bytes - 21));
    assert!(TrackerMessage::parse(&text(MAX_MESSAGE_BYTES)).is_ok());
    assert_eq!(
        TrackerMessage::parse(&text(MAX_MESSAGE_BYTES + 1)),
        Err(MessageError::TooLong { bytes: MAX_MESSAGE_BYTES + 1 })
    );
}

#[test]
fn what_makes_no_sense_is_refused_and_says_why() {
    for (text, why) in [
        ("null", "tracker message is not a JSON object"),
        ("[]", "tracker message is not a JSON object"),
        ("{", "tracker message is not a JSON object"),
        ("{}", "tracker message: action must be \"announce\" or \"scrape\""),
        ("{\"action\":\"scrape\"}", "tracker message: files must be an object of swarms"),
        (
            "{\"action\":\"announce\",\"offer\":1}",
            "tracker message: info_hash must be a string of 20 characters U+0000..U+00FF",
        ),
    ] {
        assert_eq!(TrackerMessage::parse(text).unwrap_err().to_string(), why, "{text}");
    }
    assert!(TrackerMessage::parse(&"[".repeat(30_000)).is_err());
    let mut answer = offer_with("v=0", "o");
    answer["offer"]["type"] = json!("answer");
    assert!(matches!(parse(&answer), Err(MessageError::Field { name: "offer", .. })));
}

#[test]
fn a_scrape_reply_is_a_list_of_swarms() {
    let reply = json!({"action": "scrape", "files": {OTHER.to_latin1(): {"complete": 1, "incomplete": 2, "downloaded": 3}}});
    assert_eq!(
        parse(&reply),
        Ok(TrackerMessage::Scrape(vec![ScrapeEntry {
            swarm: SwarmId(OTHER),
            complete: 1,
            incomplete: 2,
            downloaded: 3
        }]))
    );
}

proptest! {
    #[test]
    fn any_string_survives_the_json_writer(text in any::<String>()) {
        let mut out = String::new();
        push_json_string(&mut out, &text);
        prop_assert_eq!(&out, &serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn any_id_survives_the_json_writer(id in any::<[u8; 20]>()) {
        let mut out = String::new();
        push_json_id(&mut out, Id20(id));
        let text: String = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(Id20::from_latin1(&text), Some(Id20(id)));
    }

    #[test]
    fn an_answer_parses_back(
        swarm in any::<[u8; 20]>(), peer in any::<[u8; 20]>(), offer_id in "\\PC{0,64}", sdp in "[ -~\r\n]{0,2000}",
    ) {
        // What the tracker forwards is what the client wrote, without `to_peer_id`.
        let text = Answer { swarm: SwarmId(Id20(swarm)), peer: Id20(peer), to_peer: PEER, offer_id: &offer_id, sdp: &sdp };
        prop_assert_eq!(
            TrackerMessage::parse(&text.encode()),
            Ok(TrackerMessage::Answer { swarm: SwarmId(Id20(swarm)), peer: Id20(peer), offer_id, sdp })
        );
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = TrackerMessage::parse(&text);
    }

    #[test]
    fn any_object_is_read_or_refused(
        keys in prop::collection::vec(prop::sample::select(vec![
            "action", "info_hash", "peer_id", "offer", "answer", "candidates", "offer_id", "interval", "files",
            "failure reason", "warning message", "complete",
        ]), 0..8),
        values in prop::collection::vec(prop::sample::select(vec![
            "\"announce\"", "\"scrape\"", "\"swarm-of-twenty-byte\"", "null", "[]", "{}", "-1", "1e400", "[null]",
            "{\"type\":\"offer\",\"sdp\":\"\"}", "{\"type\":\"offer\",\"sdp\":1}", "\"\\ud800\"", "true",
        ]), 8),
    ) {
        let fields: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let _ = TrackerMessage::parse(&format!("{{{}}}", fields.join(",")));
    }
}
