//! Every key of the options, by what it changes. Each test fails when its key is ignored.

mod rig;

use hlswarm::engine::{Event, FetchError, Input, UploadState};
use hlswarm::id::{ByteRange, SwarmId, TransferId};
use hlswarm::wire::{Capabilities, Frame, RefuseReason};
use rig::{Rig, SEGMENT_BYTES, segment};
use serde_json::{Value, json};

fn loader(options: Value) -> Value {
    json!({ "loader": options })
}

/// Options under which each viewer acts alone, exactly as the probabilities say.
fn random(mut options: Value) -> Value {
    options["coordination"] = json!("random");
    loader(options)
}

#[test]
fn cached_segment_expiration() {
    for (ms, kept) in [(20_000, false), (300_000, true)] {
        let mut rig = Rig::new(loader(json!({ "cachedSegmentExpiration": ms })));
        rig.fill([0]);
        rig.advance(30_000);
        let evicted = rig.events.iter().any(|event| matches!(event, Event::SegmentEvicted { .. }));
        assert_eq!(!evicted, kept, "expiration {ms}");
    }
}

#[test]
fn cached_segments_count_and_cache_bytes() {
    for (options, expected) in [
        (json!({ "cachedSegmentsCount": 3 }), 3),
        (json!({ "cachedSegmentsCount": 5 }), 5),
        (json!({ "cacheBytes": SEGMENT_BYTES * 4 + 1 }), 4),
    ] {
        let mut rig = Rig::new(loader(options));
        rig.fill(0..8);
        assert_eq!(rig.engine.stats().cache.segments, expected);
        assert_eq!(rig.engine.stats().cache.bytes, expected as u64 * SEGMENT_BYTES);
    }
}

#[test]
fn forward_segment_count() {
    for (count, expected) in [(3, vec![4, 5]), (6, vec![4, 5, 6, 7, 8])] {
        let options = json!({ "segments": { "forwardSegmentCount": count },
            "loader": { "coordination": "random", "simultaneousP2PDownloads": 20, "httpDownloadProbability": 0 } });
        let (mut rig, peers) = Rig::connected(options, 1);
        rig.has(peers[0], 4..20);
        rig.playhead(0, 12_000);
        rig.want(3);
        let mut asked: Vec<u64> = rig.asked.iter().map(|asked| asked.sequence).collect();
        asked.sort_unstable();
        assert_eq!(asked, expected, "forwardSegmentCount {count}");
    }
}

#[test]
fn far_ahead_the_rarest_come_first() {
    for (coordination, expected) in [("random", vec![8, 9]), ("elected", vec![4, 5])] {
        let options = json!({ "coordination": coordination, "simultaneousP2PDownloads": 2,
            "httpDownloadProbability": 0 });
        let (mut rig, peers) = Rig::connected(loader(options), 2);
        rig.has(peers[0], 4..10);
        rig.has(peers[1], 4..8);
        rig.playhead(0, 12_000);
        rig.want(3);
        let mut asked: Vec<u64> = rig.asked.iter().map(|asked| asked.sequence).collect();
        asked.sort_unstable();
        assert_eq!(asked, expected, "{coordination}");
    }
}

#[test]
fn swarm_id_isolates_a_swarm() {
    let id = |options: Value| {
        let mut rig = Rig::new(options);
        rig.tracker_up(1);
        rig.engine.swarm_id()
    };
    // The shell names the swarm; the option must reach it unchanged.
    let config = hlswarm::config::Config::from_json_value(json!({ "segments": { "swarmId": "film-7" } }));
    assert_eq!(config.expect("valid").segments.swarm_id.as_deref(), Some("film-7"));
    assert_eq!(id(json!({})), hlswarm::id::SwarmId::from_name("http://origin/m.m3u8"));
}

#[test]
fn required_segments_priority() {
    for (required, at_once) in [(1, false), (4, true)] {
        let (mut rig, _) = Rig::connected(
            random(json!({ "requiredSegmentsPriority": required,
            "httpDownloadProbability": 0 })),
            1,
        );
        rig.playhead(0, 16_000);
        rig.want(4);
        assert_eq!(!rig.fetches.is_empty(), at_once, "required {required}");
    }
}

#[test]
fn http_download_probability_and_its_interval() {
    let started = |probability: f64, interval_ms: u64, for_ms: u64| {
        let (mut rig, _) = Rig::connected(
            random(json!({ "httpDownloadProbability": probability,
                "httpDownloadProbabilityInterval": interval_ms, "simultaneousHttpDownloads": 64 })),
            1,
        );
        rig.fill([0]);
        rig.take_fetches();
        rig.playhead(0, 60_000);
        rig.advance(for_ms);
        rig.fetches.len()
    };
    assert_eq!(started(0.0, 1000, 5000), 0);
    // 19 candidates at 1.0 are certain each time.
    assert_eq!(started(1.0, 1000, 5500), 5);
    assert_eq!(started(1.0, 500, 5250), 10);
}

#[test]
fn http_download_max_priority() {
    for max in [3u64, 7] {
        let (mut rig, _) = Rig::connected(
            random(json!({ "httpDownloadProbability": 1, "httpDownloadMaxPriority": max,
                "simultaneousHttpDownloads": 64 })),
            1,
        );
        rig.fill([0]);
        rig.take_fetches();
        rig.playhead(0, 4_000);
        for _ in 0..30 {
            rig.playhead(0, 4_000);
            rig.advance(1000);
        }
        assert_eq!(rig.fetched_sequences().into_iter().max(), Some(max));
    }
}

#[test]
fn http_download_probability_skip_if_no_peers() {
    for (skip, expected) in [(true, 0), (false, 3)] {
        let mut rig =
            Rig::new(random(json!({ "httpDownloadProbability": 1, "simultaneousHttpDownloads": 64,
            "httpDownloadProbabilitySkipIfNoPeers": skip })));
        rig.fill([0]);
        rig.take_fetches();
        rig.playhead(0, 60_000);
        rig.advance(3_500);
        assert_eq!(rig.fetches.len(), expected, "skip {skip}");
    }
}

#[test]
fn http_failed_segment_timeout() {
    for (ms, tries) in [(2_000, 4), (60_000, 1)] {
        let (mut rig, _) = Rig::connected(
            random(json!({ "httpFailedSegmentTimeout": ms, "httpDownloadProbability": 1,
                "httpDownloadMaxPriority": 1, "simultaneousHttpDownloads": 64 })),
            1,
        );
        rig.fill([0]);
        rig.take_fetches();
        for _ in 0..70 {
            rig.playhead(0, 4_000);
            rig.advance(100);
            for fetch in rig.fetches.clone() {
                rig.fail_fetch(&fetch, FetchError::Status(503));
            }
        }
        assert_eq!(rig.fetches.len(), tries, "timeout {ms}");
    }
}

#[test]
fn http_download_initial_timeout() {
    let first_fetch_ms = |initial: u64, per_segment: u64| {
        let (mut rig, _) = Rig::connected(
            loader(json!({ "httpDownloadInitialTimeout": initial,
                "httpDownloadInitialTimeoutPerSegment": per_segment })),
            1,
        );
        let began = rig.now.as_millis();
        rig.want(0);
        rig.advance(30_000);
        rig.fetches[0].at_ms - began
    };
    assert_eq!(first_fetch_ms(0, 4000), 0);
    assert!((3_900..=4_100).contains(&first_fetch_ms(120_000, 4000)));
    assert!((8_900..=9_100).contains(&first_fetch_ms(120_000, 9000)));
    assert!((4_000..=6_000).contains(&first_fetch_ms(6_000, 60_000)), "the mode itself ends");
}

#[test]
fn the_initial_mode_ends_when_nobody_else_is_there() {
    let mut rig = Rig::new(loader(json!({ "httpDownloadInitialTimeout": 120_000 })));
    rig.want(0);
    rig.advance(500);
    assert!(rig.fetches.is_empty());
    rig.tracker_up(1);
    assert_eq!(rig.fetches.len(), 1);
}

#[test]
fn http_download_ranges_continues_what_peers_brought() {
    for (ranges, name) in
        [(false, "httpDownloadRanges"), (true, "httpDownloadRanges"), (true, "httpUseRanges")]
    {
        let (mut rig, peers) =
            Rig::connected(random(json!({ name: ranges, "httpDownloadProbability": 0 })), 1);
        rig.has(peers[0], [3]);
        rig.playhead(0, 12_000);
        rig.want(3);
        let asked = rig.take_asked()[0];
        rig.serve(peers[0], asked, SEGMENT_BYTES, 40_000);
        // The peer sends nothing more and the time of need comes.
        rig.advance(11_500);
        let fetch = rig.take_fetches().pop().expect("HTTP takes over");
        let expected = ranges.then_some(ByteRange { start: 40_000, end: u64::MAX });
        assert_eq!(fetch.range, expected);
        rig.serve_http(&fetch);
        assert_eq!(rig.delivered.len(), 1);
    }
}

#[test]
fn simultaneous_http_downloads() {
    for count in [1, 3] {
        let (mut rig, _) = Rig::connected(
            random(json!({ "httpDownloadProbability": 1, "httpDownloadProbabilityInterval": 100,
                "simultaneousHttpDownloads": count })),
            1,
        );
        rig.want(0);
        rig.playhead(0, 4_000);
        rig.advance(2_000);
        assert_eq!(rig.fetches.len() - rig.cancelled.len(), count);
    }
}

#[test]
fn a_needed_segment_takes_the_slot_of_one_behind_it() {
    let (mut rig, _) = Rig::connected(
        random(json!({ "httpDownloadProbability": 1, "httpDownloadProbabilityInterval": 100,
            "simultaneousHttpDownloads": 1 })),
        1,
    );
    rig.fill([0]);
    rig.take_fetches();
    rig.playhead(0, 30_000);
    rig.advance(300);
    let ahead = rig.take_fetches();
    assert_eq!(ahead.len(), 1);
    rig.playhead(4_000, 0);
    rig.want(1);
    if ahead[0].sequence != 1 {
        assert_eq!(rig.cancelled, [ahead[0].id]);
        assert_eq!(rig.fetched_sequences(), [1]);
    }
}

#[test]
fn simultaneous_p2p_downloads() {
    for count in [1, 4] {
        let (mut rig, peers) = Rig::connected(
            random(json!({ "simultaneousP2PDownloads": count, "httpDownloadProbability": 0 })),
            2,
        );
        rig.has(peers[0], 1..20);
        rig.has(peers[1], 1..20);
        rig.want(3);
        rig.playhead(0, 12_000);
        rig.advance(300);
        assert_eq!(rig.asked.len(), count);
    }
}

#[test]
fn p2p_download_max_priority() {
    for max in [4u64, 7] {
        let (mut rig, peers) = Rig::connected(
            random(json!({ "p2pDownloadMaxPriority": max, "simultaneousP2PDownloads": 20,
                "httpDownloadProbability": 0 })),
            1,
        );
        rig.has(peers[0], 0..20);
        rig.playhead(0, 12_000);
        rig.want(3);
        rig.advance(300);
        assert_eq!(rig.asked.iter().map(|asked| asked.sequence).max(), Some(max));
    }
}

#[test]
fn p2p_segment_download_timeout() {
    for (ms, given_up) in [(5_000, true), (60_000, false)] {
        // Without limits on slowness only the time limit of the settings can end it.
        let (mut rig, peers) = Rig::connected(
            json!({ "loader": { "p2pSegmentDownloadTimeout": ms },
                "limits": { "minReceiveBytesPerSecond": 0 } }),
            1,
        );
        rig.has(peers[0], [10]);
        rig.playhead(0, 40_000);
        rig.want(10);
        let asked = rig.take_asked()[0];
        rig.say(peers[0], &Frame::Accept { transfer: asked.transfer, total_bytes: SEGMENT_BYTES as u32 });
        for at in 0..12u32 {
            rig.advance(500);
            rig.send_data(peers[0], asked.transfer, at * 100, 100);
        }
        let cancelled = rig
            .sent
            .iter()
            .any(|(_, frame)| matches!(frame, Frame::Cancel { transfer } if *transfer == asked.transfer));
        assert_eq!(cancelled, given_up, "timeout {ms}");
    }
}

#[test]
fn web_rtc_max_message_size() {
    for size in [16_384u32, 65_535] {
        let (mut rig, peers) = Rig::connected(loader(json!({ "webRtcMaxMessageSize": size })), 1);
        rig.fill([0]);
        rig.say(
            peers[0],
            &Frame::Request {
                transfer: hlswarm::id::TransferId(9),
                key: rig::key(0),
                resource_offset: 0,
                at: 0,
                len: 0,
            },
        );
        let largest = rig.data.iter().map(|(_, _, len)| *len).max().expect("it is served");
        assert!(largest + 9 <= size && largest + 9 > size - 64, "{largest} of {size}");
    }
}

#[test]
fn tracker_announce_and_use_p2p() {
    let mut rig = Rig::new(loader(json!({ "trackerAnnounce": [] })));
    rig.advance(10_000);
    assert!(rig.tracker_texts.is_empty());
    let mut rig = Rig::new(loader(json!({ "useP2P": false })));
    rig.input(Input::TrackerUp { tracker: hlswarm::id::TrackerId(0) });
    rig.advance(10_000);
    assert!(rig.tracker_texts.is_empty());
    rig.input(Input::UseP2p { enabled: true });
    rig.tracker_up(1);
    assert!(rig.tracker_texts.iter().any(|text| text.contains("\"announce\"")));
}

#[test]
fn peer_requests_per_announce() {
    for (offers, expected) in [(0, 0), (3, 3)] {
        let mut rig = Rig::new(loader(json!({ "peerRequestsPerAnnounce": offers })));
        rig.tracker_up(30);
        rig.advance(1_000);
        assert!(rig.offers_created <= expected, "{} of {expected}", rig.offers_created);
        assert_eq!(rig.offers_created > 0, expected > 0);
    }
}

#[test]
fn consume_only() {
    for consume_only in [false, true] {
        let (mut rig, peers) = Rig::connected(loader(json!({ "consumeOnly": consume_only })), 1);
        let says = rig.sent.iter().find_map(|(_, frame)| match frame {
            Frame::Hello { capabilities, .. } => Some(capabilities.contains(Capabilities::UPLOADS)),
            _ => None,
        });
        assert_eq!(says, Some(!consume_only));
        rig.fill([0]);
        let request = Frame::Request {
            transfer: hlswarm::id::TransferId(9),
            key: rig::key(0),
            resource_offset: 0,
            at: 0,
            len: 0,
        };
        rig.say(peers[0], &request);
        let refused = rig
            .sent
            .iter()
            .any(|(_, frame)| matches!(frame, Frame::Refuse { reason: RefuseReason::NotSharing, .. }));
        assert_eq!(refused, consume_only);
        assert_eq!(rig.data.is_empty(), consume_only);
    }
}

/// Has a peer ask for a segment that is there; gives the bytes that it is sent within `ms`; its pings are answered.
fn uploaded(rig: &mut Rig, peer: rig::Remote, transfer: u32, sequence: u64, ms: u64) -> u64 {
    let (before, mut answered) = (rig.data.len(), rig.sent.len());
    let transfer = TransferId(transfer);
    let key = rig::key(sequence);
    rig.say(peer, &Frame::Request { transfer, key, resource_offset: 0, at: 0, len: 0 });
    for _ in 0..ms / 10 {
        rig.advance(10);
        let pings: Vec<Frame> = rig.sent[answered..].iter().map(|(_, frame)| frame.clone()).collect();
        answered = rig.sent.len();
        for frame in pings {
            if let Frame::Ping { nonce } = frame {
                rig.say(peer, &Frame::Pong { nonce });
            }
        }
    }
    rig.data[before..].iter().map(|(_, _, len)| u64::from(*len)).sum()
}

fn sharing(rig: &Rig) -> Vec<u8> {
    let bodies = rig.sent.iter().filter_map(|(_, frame)| match frame {
        Frame::Extension { kind: hlswarm::wire::SHARING, body } => Some(body[0]),
        _ => None,
    });
    bodies.collect()
}

#[test]
fn upload_bytes_per_second() {
    for (rate, in_a_second) in [(0, SEGMENT_BYTES), (20_000, 65_526)] {
        let (mut rig, peers) = Rig::connected(loader(json!({ "uploadBytesPerSecond": rate })), 1);
        rig.fill([0]);
        // One message goes at once and is paid off in three seconds and a half.
        assert_eq!(uploaded(&mut rig, peers[0], 9, 0, 1_000), in_a_second, "rate {rate}");
    }
}

#[test]
fn upload_bytes_total() {
    for (total, sent, state) in
        [(0, SEGMENT_BYTES, UploadState::On), (SEGMENT_BYTES - 1, 0, UploadState::Spent)]
    {
        let (mut rig, peers) =
            Rig::connected(loader(json!({ "uploadBytesTotal": total, "uploadRatio": 0 })), 1);
        rig.fill([0]);
        assert_eq!(uploaded(&mut rig, peers[0], 9, 0, 1_000), sent);
        let stats = rig.engine.stats();
        assert_eq!((stats.upload_state, stats.upload_left_bytes), (state, (total > 0).then_some(total)));
        assert_eq!(stats.uploaded_bytes, sent);
        assert_eq!(sharing(&rig), if total > 0 { vec![0] } else { vec![] });
    }
}

#[test]
fn bytes_of_engines_before_count() {
    let options = || loader(json!({ "uploadBytesTotal": 500_000 }));
    for (before, sent) in [(400_000, SEGMENT_BYTES), (400_001, 0)] {
        let mut rig = Rig::new(options());
        rig.engine.carry_over(1_000_000, before);
        rig.tracker_up(2);
        let peer = rig.connect_peer();
        rig.fill([0]);
        assert_eq!(uploaded(&mut rig, peer, 9, 0, 1_000), sent);
    }
}

#[test]
fn upload_ratio_and_its_floor() {
    for (ratio, floor) in [(0.0, 0), (0.25, 0), (0.25, 100_000), (1.0, 0)] {
        let options = json!({ "uploadRatio": ratio, "uploadRatioFloorBytes": floor });
        let (mut rig, peers) = Rig::connected(loader(options), 1);
        rig.fill([0, 1, 2]);
        let earned = (rig.engine.stats().http_bytes as f64 * ratio) as u64 + floor;
        let wanted = 3 * SEGMENT_BYTES;
        let most = if ratio == 0.0 { wanted } else { earned.min(wanted) };
        let sent: u64 = (0..3).map(|n| uploaded(&mut rig, peers[0], 9 + n, n.into(), 300)).sum();
        assert_eq!(sent, most / SEGMENT_BYTES * SEGMENT_BYTES, "ratio {ratio}, floor {floor}");
    }
}

#[test]
fn upload_on_metered() {
    for (allowed, sent) in [(false, 0), (true, SEGMENT_BYTES)] {
        let (mut rig, peers) = Rig::connected(loader(json!({ "uploadOnMetered": allowed })), 1);
        rig.fill([0]);
        rig.input(Input::Network { online: true, metered: true });
        assert_eq!(uploaded(&mut rig, peers[0], 9, 0, 300), sent, "allowed {allowed}");
        assert_eq!(rig.engine.stats().upload_state == UploadState::Metered, !allowed);
        rig.input(Input::Network { online: true, metered: false });
        assert_eq!(sharing(&rig), if allowed { vec![] } else { vec![0, 1] });
        assert_eq!(uploaded(&mut rig, peers[0], 10, 0, 300), SEGMENT_BYTES);
    }
}

#[test]
fn hidden_upload_slots() {
    for (slots, sent, told) in [(0, 0, vec![0]), (1, SEGMENT_BYTES, vec![])] {
        let (mut rig, peers) = Rig::connected(json!({ "limits": { "hiddenUploadSlots": slots } }), 1);
        rig.fill([0]);
        rig.input(Input::Visibility { hidden: true });
        assert_eq!(uploaded(&mut rig, peers[0], 9, 0, 300), sent, "slots {slots}");
        assert_eq!(sharing(&rig), told);
        assert_eq!(rig.engine.stats().upload_state, UploadState::Reduced);
    }
}

#[test]
fn consent_required() {
    let talks =
        |rig: &Rig| rig.offers_created > 0 || !rig.tracker_texts.is_empty() || rig.trackers_opened > 0;
    for required in [false, true] {
        let mut rig = Rig::new(loader(json!({ "consentRequired": required })));
        assert_eq!(rig.engine.stats().awaits_consent, required);
        rig.input(Input::UseP2p { enabled: true });
        rig.advance(5_000);
        assert_eq!(talks(&rig), !required, "before consent");
        rig.input(Input::Consent { given: true });
        rig.tracker_up(2);
        assert!(talks(&rig));
        let peer = rig.connect_peer();
        assert_eq!(rig.engine.stats().peers, 1);
        rig.input(Input::Consent { given: false });
        assert!(rig.closed.contains(&peer.link), "taken back at once");
        assert!(rig.tracker_texts.last().is_some_and(|text| text.contains("stopped")));
        assert!(rig.engine.stats().awaits_consent);
        // A switch is not the user's yes.
        let opened = rig.trackers_opened;
        rig.input(Input::UseP2p { enabled: true });
        rig.advance(10_000);
        assert_eq!(rig.trackers_opened, opened);
    }
}

#[test]
fn min_swarm_size() {
    for (size, links) in [(0, true), (3, true), (4, false)] {
        let mut rig = Rig::new(loader(json!({ "minSwarmSize": size })));
        rig.tracker_up(3);
        rig.advance(5_000);
        assert_eq!(rig.offers_created > 0, links, "{size}");
    }
}

#[test]
fn relay_only() {
    for relay_only in [false, true] {
        let mut rig = Rig::new(loader(json!({ "relayOnly": relay_only })));
        rig.tracker_up(2);
        let sdp = "v=0\r\na=candidate:1 1 udp 2 192.168.1.5 50000 typ host\r\n";
        rig.input(Input::OfferReady { link: hlswarm::id::LinkId(0), sdp: sdp.to_owned() });
        rig.advance(5_000);
        let told = rig.tracker_texts.iter().any(|text| text.contains("192.168.1.5"));
        assert_eq!(told, !relay_only);
    }
}

#[test]
fn swarm_secret() {
    let id = |options: Value| Rig::new(options).engine.swarm_id();
    let secret = |secret: &str| json!({ "segments": { "swarmSecret": secret } });
    assert_eq!(id(secret("correct horse")), id(secret("correct horse")));
    assert_ne!(id(secret("correct horse")), id(secret("correct house")));
    assert_ne!(id(secret("correct horse")), id(json!({})));
    // HMAC-SHA-1 of RFC 2202, case 2.
    let mac = "secret effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    assert_eq!(SwarmId::from_secret_name("Jefe", "what do ya want for nothing?"), SwarmId::from_name(mac));
    // A key longer than a block is hashed first, by Python's hmac module.
    let long = SwarmId::from_secret_name(&"a".repeat(80), "film");
    assert_eq!(long, SwarmId::from_name("secret 3194a491023cd75ca469e7b462ab0809fe3871b2"));
}

#[test]
fn http_timeouts() {
    let mut rig = Rig::new(loader(json!({ "httpTimeoutMs": 3000, "httpStallTimeoutMs": 5000 })));
    rig.want(0);
    rig.tracker_up(1);
    rig.advance(3_500);
    assert_eq!(rig.failed.len(), 1, "no answer");
    rig.take_fetches();
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("a new try");
    rig.open(&fetch, 200, Some(SEGMENT_BYTES));
    rig.advance(4_500);
    rig.body(&fetch, 1000);
    rig.advance(4_500);
    assert_eq!(rig.failed.len(), 1, "slow is not dead");
    rig.advance(1_000);
    assert_eq!(rig.failed.len(), 2, "no more bytes");
}

#[test]
fn coordination_chooses_who_fetches() {
    let fetched = |coordination: &str| {
        let (mut rig, _) = Rig::connected(
            loader(json!({ "coordination": coordination,
            "httpDownloadProbability": 0.1, "httpDownloadProbabilityInterval": 60_000 })),
            0,
        );
        rig.tracker_says(2);
        let peer = rig.connect_peer();
        let interest = hlswarm::wire::Interest {
            track: rig::track(),
            playing_sequence: 0,
            wanted_sequence: 40,
            serves: 2,
        };
        rig.say(peer, &Frame::Interest(interest));
        // Whoever is new lets others fetch first.
        rig.advance(1000);
        let mut at_once = Vec::new();
        for sequence in 5..20u64 {
            rig.playhead(0, sequence as u32 * 4000);
            rig.want(sequence);
            for fetch in rig.take_fetches() {
                at_once.push(fetch.sequence);
                rig.serve_http(&fetch);
            }
            // The other viewer has it a moment later.
            rig.has(peer, [sequence]);
            for asked in rig.take_asked() {
                rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
            }
        }
        at_once.len()
    };
    let elected = fetched("elected");
    assert!((3..=12).contains(&elected), "about half of them are ours: {elected}");
    assert_eq!(fetched("random"), 0, "nothing that is not required before the draw");
    assert_eq!(fetched("neighbourhood"), elected, "the same order when all see each other");
}

#[test]
fn byte_ranges_are_asked_for_and_checked() {
    let mut rig = Rig::new(json!({}));
    let mut ranged = segment(0);
    ranged.byte_range = Some(ByteRange { start: 5000, end: 5000 + SEGMENT_BYTES });
    rig.playlist(vec![ranged], false);
    rig.want(0);
    let fetch = rig.take_fetches().pop().expect("needed now");
    assert_eq!(fetch.range, Some(ByteRange { start: 5000, end: 5000 + SEGMENT_BYTES }));
    rig.serve_http(&fetch);
    assert_eq!(rig.delivered.len(), 1);
}
