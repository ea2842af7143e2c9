//! A hostile or broken peer, row by row of the table in SECURITY.md: what it does, and what holds it.
//!
//! Each row plays against a whole engine with an honest peer beside the attacker. Afterwards the player still gets what
//! it asks for, whole and of the right length; nothing is kept beyond what the bounds allow; the honest peer is still
//! there. The rows of `src/swarm/tests` test the same bounds at their edges.

mod rig;

use hlswarm::engine::{CloseReason, Event, Input, LinkCloseCause};
use hlswarm::id::{ByteRange, LinkId, TrackId, TransferId};
use hlswarm::wire::{Frame, GoodbyeReason, HaveEntry, HaveState, Interest, RefuseReason, decode, encode};
use rig::{Asked, Remote, Rig, SEGMENT_BYTES, key, segment};
use serde_json::{Value, json};

/// An engine, an honest peer and an attacker.
struct Scene {
    rig: Rig,
    honest: Remote,
    attacker: Remote,
}

impl Scene {
    fn new(mut options: Value) -> Scene {
        // Each viewer by itself: what happens then depends on nothing but the attack.
        let loader = options.as_object_mut().expect("an object").entry("loader").or_insert(json!({}));
        loader["coordination"] = json!("random");
        loader["httpDownloadProbability"] = json!(0);
        let (rig, peers) = Rig::connected(options, 2);
        Scene { rig, honest: peers[0], attacker: peers[1] }
    }

    fn says(&mut self, frame: &Frame) {
        self.rig.say(self.attacker, frame);
    }

    fn says_bytes(&mut self, frame: &[u8]) {
        self.rig.input(Input::Control { link: self.attacker.link, frame: frame.to_vec() });
    }

    /// The attacker claims segments far ahead, and is asked for the first of them.
    fn is_asked(&mut self) -> Asked {
        self.rig.has(self.attacker, [20, 21, 22, 23]);
        self.rig.playhead(0, 60_000);
        self.rig.want(20);
        self.rig.advance(300);
        *self.rig.asked.iter().find(|asked| asked.link == self.attacker.link).expect("the attacker is asked")
    }

    fn is_gone(&self) -> bool {
        self.rig.closed.contains(&self.attacker.link)
    }

    #[track_caller]
    fn assert_gone(&self, why: &str) {
        assert!(self.is_gone(), "the attacker is still linked");
        let told: Vec<_> = self
            .rig
            .events
            .iter()
            .filter_map(|event| match event {
                Event::PeerClosed { peer, reason } if *peer == self.attacker.peer => {
                    Some(format!("{reason:?}"))
                }
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), 1, "one event tells it: {told:?}");
        assert!(told[0].contains(why), "{} does not speak of {why:?}", told[0]);
    }

    fn sent_to_attacker(&self) -> impl Iterator<Item = &Frame> {
        let link = self.attacker.link;
        self.rig.sent.iter().filter(move |(to, _)| *to == link).map(|(_, frame)| frame)
    }

    fn refusals(&self, reason: RefuseReason) -> usize {
        self.sent_to_attacker()
            .filter(|frame| matches!(frame, Frame::Refuse { reason: r, .. } if *r == reason))
            .count()
    }

    /// Bytes that the shell keeps for the engine.
    fn kept_bytes(&self) -> u64 {
        self.rig.blobs.values().flatten().map(|(from, to)| to - from).sum()
    }

    fn request(&mut self, transfer: u32, sequence: u64) {
        let transfer = TransferId(transfer);
        self.says(&Frame::Request { transfer, key: key(sequence), resource_offset: 0, at: 0, len: 0 });
    }

    /// Whatever was done: the player plays on, from the honest peer or the origin, and nothing else was disturbed.
    fn play_on(&mut self) {
        assert!(!self.rig.closed.contains(&self.honest.link), "the honest peer was closed");
        let (delivered, failed) = (self.rig.delivered.len(), self.rig.failed.len());
        self.rig.take_asked();
        self.rig.playhead(160_000, 0);
        self.rig.has(self.honest, [40]);
        self.rig.want(40);
        for _ in 0..300 {
            for fetch in self.rig.take_fetches() {
                if !self.rig.cancelled.contains(&fetch.id) {
                    self.rig.serve_http(&fetch);
                }
            }
            for asked in self.rig.take_asked() {
                if asked.link == self.honest.link {
                    self.rig.serve(self.honest, asked, SEGMENT_BYTES, SEGMENT_BYTES);
                }
            }
            for blob in std::mem::take(&mut self.rig.verify) {
                self.rig.input(Input::Verified { blob, ok: true });
            }
            if self.rig.delivered.len() > delivered {
                break;
            }
            self.rig.advance(100);
        }
        assert!(self.rig.delivered.len() > delivered, "the player waits in vain");
        assert_eq!(self.rig.failed.len(), failed);
        assert!(self.rig.delivered.iter().all(|(_, len)| *len == SEGMENT_BYTES));
        assert!(self.kept_bytes() < 32 * 1024 * 1024, "{} bytes are kept", self.kept_bytes());
    }
}

macro_rules! rows {
    ($($name:ident: $threat:literal, $bound:literal, $options:expr, |$scene:ident| $play:block)+) => {
        $(
            #[test]
            fn $name() {
                let mut $scene = Scene::new($options);
                $play
                $scene.play_on();
            }
        )+

        /// Threat, bound and test of each row.
        const ROWS: &[[&str; 3]] = &[$([$threat, $bound, stringify!($name)]),+];
    };
}

rows! {
    malformed_frame: "malformed frame", "one violation closes", json!({}), |scene| {
        scene.says_bytes(&[0x0c]);
        scene.assert_gone("Violation");
    }

    truncated_frame: "truncated frame", "one violation closes", json!({}), |scene| {
        let ping = encode(&Frame::Ping { nonce: 7 });
        scene.says_bytes(&ping[..ping.len() - 1]);
        scene.assert_gone("Violation");
    }

    control_message_size: "long control message", "4 KiB", json!({}), |scene| {
        let mut frame = vec![0xff; 4096];
        scene.says_bytes(&frame);
        assert!(!scene.is_gone(), "an unknown extension of 4096 bytes is skipped");
        frame.push(0);
        scene.says_bytes(&frame);
        scene.assert_gone("Violation");
    }

    data_message_size: "long data message", "64 KiB, or what our hello said", json!({}), |scene| {
        let asked = scene.is_asked();
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 });
        scene.rig.send_data(scene.attacker, asked.transfer, 0, 65_535 - 9 + 1);
        scene.assert_gone("Violation");
    }

    oversize_claim: "oversize claim", "16 MiB closes; above 3 x bitrate x duration it is given up", json!({}), |scene| {
        let asked = scene.is_asked();
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: 3_000_000 });
        let given_up = scene
            .sent_to_attacker()
            .any(|frame| matches!(frame, Frame::Cancel { transfer } if *transfer == asked.transfer));
        assert!(given_up && !scene.is_gone());
        assert_eq!(scene.kept_bytes(), 0, "memory grows by what arrives, not by the claim");
        scene.rig.advance(11_000);
        let asked = *scene.rig.asked.iter().rev().find(|asked| asked.link == scene.attacker.link).expect("again");
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: 16 * 1024 * 1024 + 1 });
        scene.assert_gone("16777216 are allowed");
    }

    claim_against_the_byte_range: "a length that the playlist contradicts", "no evidence: given up", json!({}), |scene| {
        let mut ranged = segment(20);
        ranged.byte_range = Some(ByteRange { start: 1000, end: 1000 + SEGMENT_BYTES });
        scene.rig.playlist((0..60).map(|n| if n == 20 { ranged.clone() } else { segment(n) }).collect(), false);
        let asked = scene.is_asked();
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 - 1 });
        let given_up = scene
            .sent_to_attacker()
            .any(|frame| matches!(frame, Frame::Cancel { transfer } if *transfer == asked.transfer));
        assert!(given_up);
    }

    a_claim_that_changes: "a claim that changes", "closes", json!({}), |scene| {
        let asked = scene.is_asked();
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: 90_000 });
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: 95_000 });
        scene.assert_gone("had 90000 bytes before and 95000 now");
    }

    receive_memory: "much offered, much asked for", "2 MiB per peer and 32 MiB in all in flight",
        json!({ "loader": { "simultaneousP2PDownloads": 200, "p2pDownloadMaxPriority": 100 },
            "limits": { "receiveBytesPerPeer": 250_000, "receiveBytesTotal": 250_000 } }), |scene| {
        scene.rig.has(scene.attacker, 20..60);
        scene.rig.playhead(0, 60_000);
        scene.rig.want(20);
        scene.rig.advance(2_000);
        let asked: u64 = scene.rig.asked.iter().map(|asked| u64::from(asked.len)).sum();
        assert!(asked > 0 && asked <= 250_000, "{asked} bytes are in flight");
    }

    cache: "segments without end", "the cache's budget, counted exactly",
        json!({ "loader": { "cacheBytes": 4 * SEGMENT_BYTES } }), |scene| {
        for sequence in 0..12 {
            scene.rig.has(scene.attacker, [sequence]);
            scene.rig.playhead(sequence as i64 * 4_000, 10_000);
            scene.rig.want(sequence);
            scene.rig.advance(200);
            for asked in scene.rig.take_asked() {
                scene.rig.serve(Remote { link: asked.link, ..scene.attacker }, asked, SEGMENT_BYTES, SEGMENT_BYTES);
            }
            for fetch in scene.rig.take_fetches() {
                scene.rig.serve_http(&fetch);
            }
            let cache = scene.rig.engine.stats().cache;
            assert!(cache.bytes <= 4 * SEGMENT_BYTES);
            assert!(scene.kept_bytes() <= 7 * SEGMENT_BYTES, "{} bytes are kept", scene.kept_bytes());
        }
    }

    send_buffer: "a peer that asks and does not read", "512 KiB buffered; after 5 s without drain it is dropped",
        json!({}), |scene| {
        scene.rig.fill(0..12);
        for n in 0..12 {
            scene.request(50 + n, n.into());
        }
        let buffered = |scene: &Scene| -> u64 {
            let link = scene.attacker.link;
            scene.rig.data.iter().filter(|(to, _, _)| *to == link).map(|(_, _, len)| u64::from(*len)).sum()
        };
        assert!(buffered(&scene) > 0 && buffered(&scene) <= 512 * 1024 + 65_536);
        scene.rig.advance(6_000);
        assert!(scene.refusals(RefuseReason::Busy) > 0, "the rest is dropped");
        assert!(buffered(&scene) <= 512 * 1024 + 65_536);
    }

    slow_peer: "slow peer, slowloris", "8 KiB/s over a second; HTTP takes over when the segment is needed",
        json!({}), |scene| {
        scene.rig.has(scene.attacker, [2]);
        scene.rig.playhead(0, 8_000);
        scene.rig.want(2);
        let asked = *scene.rig.asked.last().expect("asked");
        scene.says(&Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 });
        for at in 0..60 {
            scene.rig.send_data(scene.attacker, asked.transfer, at * 10, 10);
            scene.rig.advance(100);
        }
        let fetch = scene.rig.fetches.iter().find(|fetch| fetch.sequence == 2).expect("HTTP takes over").clone();
        assert!(fetch.at_ms < 8_000, "before the player runs dry");
        scene.rig.serve_http(&fetch);
        assert_eq!(scene.rig.delivered.len(), 1);
        scene.rig.take_fetches();
    }

    unrequested_data: "data that nobody asked for", "256 KiB, then closes", json!({}), |scene| {
        for n in 0..4 {
            scene.rig.send_data(scene.attacker, TransferId(n), 0, 65_000);
        }
        assert!(!scene.is_gone());
        scene.rig.send_data(scene.attacker, TransferId(4), 0, 65_000);
        scene.assert_gone("Violation");
        assert_eq!(scene.kept_bytes(), 0);
    }

    lying_availability: "claims what it does not have", "3 Absent after Have in 60 s: ignored for 60 s, doubling",
        json!({}), |scene| {
        for (n, sequence) in (20..23).enumerate() {
            scene.rig.has(scene.attacker, [sequence]);
            scene.rig.playhead(sequence as i64 * 4_000 - 60_000, 60_000);
            scene.rig.want(sequence);
            scene.rig.advance(300);
            let asked = *scene.rig.asked.iter().find(|asked| asked.sequence == sequence).expect("asked");
            scene.says(&Frame::Refuse { transfer: asked.transfer, reason: RefuseReason::Absent });
            assert!(!scene.is_gone(), "{n}");
        }
        scene.rig.take_asked();
        scene.rig.has(scene.attacker, 20..40);
        scene.rig.advance(5_000);
        assert!(scene.rig.asked.iter().all(|asked| asked.link != scene.attacker.link), "it is asked no more");
    }

    availability_flood: "availability flood", "10 a second, 50 at once; 50 more close", json!({}), |scene| {
        let entries = |sequence: u64| vec![HaveEntry { key: key(sequence % 50), state: HaveState::Loaded }];
        for n in 0..200 {
            scene.says(&Frame::HaveDelta { entries: entries(n) });
        }
        scene.assert_gone("announcements");
    }

    availability_without_end: "a window without end", "2,048 segments of a track, 64 tracks", json!({}), |scene| {
        for track in 0..100 {
            scene.says(&Frame::Have {
                track: TrackId(1000 + track),
                discontinuity: 0,
                first_sequence: 0,
                loaded: vec![255; 256],
            });
            scene.rig.advance(200);
        }
        let list = scene.rig.engine.stats().peer_list;
        let liar = list.iter().find(|peer| peer.peer == scene.attacker.peer).expect("it broke no rule");
        assert!(liar.segments <= 64 * 2048, "{} segments", liar.segments);
    }

    request_flood: "request flood", "16 outstanding, 20 a second, 40 at once; 50 rejects close", json!({}), |scene| {
        for n in 0..200 {
            scene.request(n, 3);
        }
        assert!(scene.refusals(RefuseReason::RateLimited) >= 50);
        scene.assert_gone("refused for asking too much");
    }

    cancel_storm: "cancel storm", "a cancel counts as a request", json!({}), |scene| {
        for n in 0..200 {
            scene.says(&Frame::Cancel { transfer: TransferId(n) });
        }
        scene.assert_gone("refused for asking too much");
    }

    request_numbers: "requests out of their order", "numbers count up by one; ours start anywhere", json!({}), |scene| {
        let asked = scene.is_asked();
        assert!(asked.transfer.0 > 1000, "an unguessable start: {}", asked.transfer.0);
        scene.request(7, 3);
        scene.request(9, 3);
        scene.assert_gone("request 9 after request 7");
    }

    answers_to_nothing: "answers to what was never asked", "small frames: 20 a second, 100 at once; 50 more close",
        json!({}), |scene| {
        for n in 0..300 {
            scene.says(&Frame::Accept { transfer: TransferId(n), total_bytes: 1 });
        }
        scene.assert_gone("Violation");
    }

    chatter: "pings and interests without end", "20 a second, 100 at once; 50 more close", json!({}), |scene| {
        for n in 0..300 {
            let interest = Interest { track: TrackId(1), playing_sequence: n, wanted_sequence: n, serves: 0 };
            scene.says(&Frame::Ping { nonce: n as u32 });
            scene.says(&Frame::Interest(interest));
        }
        scene.assert_gone("small frames");
        let pongs = scene.sent_to_attacker().filter(|frame| matches!(frame, Frame::Pong { .. })).count();
        assert!(pongs <= 101, "{pongs} pongs");
    }

    silence_before_hello: "opens a link and says nothing", "10 s", json!({}), |scene| {
        let silent = silent_link(&mut scene.rig, "s");
        scene.rig.advance(9_900);
        assert!(!scene.rig.closed.contains(&silent));
        scene.rig.advance(200);
        assert!(scene.rig.closed.contains(&silent));
    }

    silence_after_hello: "falls silent", "ping every 20 s, 3 missed close", json!({}), |scene| {
        for _ in 0..9 {
            scene.rig.advance(10_000);
            let honest = scene.honest;
            scene.rig.say(honest, &Frame::Pong { nonce: 0 });
        }
        scene.assert_gone("3 pings were not answered");
    }

    another_hello: "a hello of another, another swarm, another's id", "closes", json!({}), |scene| {
        let swarm = scene.rig.engine.swarm_id();
        let hello = |peer| Frame::Hello {
            min_version: 1,
            max_version: 1,
            capabilities: hlswarm::wire::Capabilities::UPLOADS,
            swarm,
            peer,
            max_message_bytes: 65_535,
        };
        let (own, other) = (scene.attacker.peer, scene.honest.peer);
        scene.says(&hello(own));
        assert!(!scene.is_gone(), "said again in case the first was lost");
        scene.says(&hello(other));
        scene.assert_gone("a second hello");
        // Whom the tracker told it would be.
        let link = silent_link(&mut scene.rig, "t");
        let frame = encode(&hello(own));
        scene.rig.input(Input::Control { link, frame });
        assert!(scene.rig.closed.contains(&link), "another id than the tracker told");
    }

    connections: "links without end", "30 open, 8 on their way", json!({}), |scene| {
        for n in 0..60 {
            scene.rig.advance(300);
            try_link(&mut scene.rig, &format!("c{n}"));
        }
        let open = scene.rig.engine.stats().peers;
        assert!(open <= 30, "{open} peers");
    }

    bad_data: "data that the validator finds wrong", "ban for the session", json!({}), |scene| {
        scene.rig = Rig::with(json!({ "loader": { "coordination": "random", "httpDownloadProbability": 0 } }), true);
        scene.rig.tracker_up(3);
        scene.honest = scene.rig.connect_peer();
        scene.attacker = scene.rig.connect_peer();
        let asked = scene.is_asked();
        scene.rig.serve(scene.attacker, asked, SEGMENT_BYTES, SEGMENT_BYTES);
        for part in scene.rig.take_asked().into_iter().filter(|part| part.transfer != asked.transfer) {
            scene.rig.serve(scene.attacker, part, SEGMENT_BYTES, SEGMENT_BYTES);
        }
        let blob = *scene.rig.verify.last().expect("the validator is asked");
        assert!(scene.rig.delivered.is_empty(), "before it answers nothing is delivered");
        scene.rig.input(Input::Verified { blob, ok: false });
        scene.assert_gone("banned");
        assert!(scene.rig.delivered.is_empty());
        // Nor by another link.
        let closed = scene.rig.closed.len();
        let answered = try_link_as(&mut scene.rig, scene.attacker.peer.to_latin1().as_str());
        assert!(answered.is_none() && scene.rig.closed.len() == closed);
    }

    link_lost_in_the_middle: "breaks off in the middle", "its part is had elsewhere", json!({}), |scene| {
        let asked = scene.is_asked();
        scene.rig.serve(scene.attacker, asked, SEGMENT_BYTES, 40_000);
        let cause = LinkCloseCause::Failed("ice".to_owned());
        scene.rig.input(Input::LinkDown { link: scene.attacker.link, cause });
        let gone = scene.rig.events.iter().any(|event| {
            matches!(event, Event::PeerClosed { peer, reason: CloseReason::ConnectionLost(_) } if *peer == scene.attacker.peer)
        });
        assert!(gone);
    }

    goodbye: "says goodbye while it serves", "its part is had elsewhere", json!({}), |scene| {
        let asked = scene.is_asked();
        scene.rig.serve(scene.attacker, asked, SEGMENT_BYTES, 40_000);
        scene.says(&Frame::Goodbye { reason: GoodbyeReason::Leaving });
        scene.assert_gone("Left");
    }
}

/// A link whose peer has said nothing yet.
fn silent_link(rig: &mut Rig, name: &str) -> LinkId {
    try_link(rig, name).expect("there is room")
}

fn try_link(rig: &mut Rig, name: &str) -> Option<LinkId> {
    try_link_as(rig, &format!("-HS0100-{name:x>12}"))
}

fn try_link_as(rig: &mut Rig, peer: &str) -> Option<LinkId> {
    let hash = rig.engine.swarm_id().0.to_latin1();
    let offer = json!({ "action": "announce", "info_hash": hash, "peer_id": peer, "offer_id": peer,
        "offer": { "type": "offer", "sdp": "v=0\r\n" } });
    let before = rig.answered.len();
    rig.input(Input::TrackerText { tracker: hlswarm::id::TrackerId(0), text: offer.to_string() });
    let link = *rig.answered.get(before)?;
    rig.input(Input::AnswerReady { link, sdp: "v=0\r\n".to_owned() });
    rig.input(Input::LinkUp { link, max_message_bytes: 262_144 });
    Some(link)
}

#[test]
fn what_we_send_is_within_the_bounds_that_we_set() {
    let mut scene = Scene::new(json!({}));
    scene.rig.fill(0..20);
    scene.play_on();
    for (_, frame) in &scene.rig.sent {
        let bytes = encode(frame);
        assert!(bytes.len() <= 4096);
        assert_eq!(decode(&bytes, 4096).as_ref(), Ok(frame));
    }
}

#[test]
fn the_table_of_security_md_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md");
    let text = std::fs::read_to_string(path).expect("SECURITY.md");
    let (head, rest) = text.split_once("<!-- peers:").expect("the mark");
    let (mark, rest) = rest.split_once("-->\n").expect("the end of the mark");
    let (table, tail) = rest.split_once("<!-- end -->").expect("the end of the table");
    let mut wanted = String::from("| a peer's | bound | test |\n|---|---|---|\n");
    for [threat, bound, test] in ROWS {
        wanted.push_str(&format!("| {threat} | {bound} | `{test}` |\n"));
    }
    if std::env::var_os("HLSWARM_UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{head}<!-- peers:{mark}-->\n{wanted}<!-- end -->{tail}"))
            .expect("written");
        return;
    }
    assert_eq!(table, wanted, "SECURITY.md is out of date: run the command in its mark");
}
