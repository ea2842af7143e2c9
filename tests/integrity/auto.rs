//! Without signatures: what peers say, and spot checks.

use super::*;

#[test]
fn a_new_peer_is_checked_against_the_origin() {
    let (mut rig, peer) = one_peer(auto());
    own_claim(&mut rig, peer, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    assert!(rig.delivered.is_empty(), "played before it was checked");
    let fetches = serve_origin(&mut rig);
    assert!(!fetches.is_empty() && fetches.iter().all(is_spot), "{fetches:?}");
    assert_eq!(sources(&rig), [(3, SegmentSource::P2p)]);
    assert_eq!(rig.wrong, [0; 0]);
    let stats = rig.engine.stats().integrity;
    assert_eq!((stats.checks, stats.disputes), (1, 0));
    assert!(rig.blobs.len() == 1, "what was fetched to compare is gone");
}

#[test]
fn a_peer_that_proved_true_is_checked_less_and_less() {
    let (mut rig, peers) = Rig::connected(auto(), 1);
    for sequence in 3..43 {
        brings(&mut rig, peers[0], sequence);
        let fetches = serve_origin(&mut rig);
        assert!(fetches.iter().all(is_spot), "{fetches:?}");
        rig.advance(200);
    }
    assert_eq!(rig.delivered.len(), 40);
    let checks = rig.engine.stats().integrity.checks;
    assert!((6..24).contains(&checks), "{checks} checks of 40 segments");
}

#[test]
fn a_lie_is_seen_by_whoever_knows_better() {
    // Two peers have the segment. One sends it with one bit wrong, and says so; the other says what it is.
    let (mut rig, peers) = Rig::connected(auto(), 2);
    let (liar, honest) = (peers[0], peers[1]);
    rig.has(liar, [3]);
    let mut bytes = content(3);
    bytes[77_777] ^= 4;
    rig.forged.insert((Some(liar.link), 3), bytes.clone());
    rig.playhead(0, 12_000);
    rig.want(3);
    own_claim(&mut rig, liar, 3, &bytes);
    own_claim(&mut rig, honest, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(liar, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    let fetches = serve_origin(&mut rig);
    assert!(fetches.iter().all(|fetch| fetch.range.is_none()), "fetched whole: {fetches:?}");
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(is_banned(&rig, liar), "the liar is gone");
    assert!(!is_banned(&rig, honest), "whoever told the truth stays");
}

#[test]
fn whoever_passed_on_what_was_still_arriving_is_not_banned_at_once() {
    let (mut rig, peers) = Rig::connected(auto(), 2);
    let (relay, honest) = (peers[0], peers[1]);
    for sequence in 3..6 {
        rig.has_state(relay, [sequence], HaveState::FetchingP2p);
        rig.forged.insert((Some(relay.link), sequence), vec![9; SEGMENT_BYTES as usize]);
        rig.playhead(sequence as i64 * 4_000 - 12_000, 12_000);
        rig.want(sequence);
        own_claim(&mut rig, honest, sequence, &content(sequence));
        let asked = rig.take_asked()[0];
        rig.serve(relay, asked, SEGMENT_BYTES, SEGMENT_BYTES);
        serve_origin(&mut rig);
        assert_eq!(is_banned(&rig, relay), sequence == 5, "after segment {sequence}");
        rig.advance(100);
    }
    assert_eq!(rig.wrong, [0; 0]);
    assert!(!is_banned(&rig, honest));
}

#[test]
fn what_we_fetched_ourselves_convicts_later_liars_and_is_announced() {
    let (mut rig, peers) = Rig::connected(auto(), 2);
    rig.playhead(0, 2_000);
    rig.want(3);
    rig.advance(5_000);
    serve_origin(&mut rig);
    let own = |rig: &Rig| origin_of(rig.engine.peer_id());
    let told = rig.sent.iter().filter_map(|(link, frame)| match frame {
        Frame::Claim(claim) if claim.key == key(3) => Some((*link, claim.origin, claim.digest)),
        _ => None,
    });
    let digest = segment_digest(&blocks_of(&content(3)));
    let expected: Vec<_> = peers.iter().map(|peer| (peer.link, own(&rig), digest)).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    own_claim(&mut rig, peers[0], 3, &content(3));
    own_claim(&mut rig, peers[1], 3, &content(4));
    assert!(!is_banned(&rig, peers[0]));
    assert!(is_banned(&rig, peers[1]));
}

#[test]
fn bytes_of_peers_and_of_http_are_joined_only_where_the_whole_is_known() {
    for known in [false, true] {
        let (mut rig, peer) = one_peer(auto());
        if known {
            own_claim(&mut rig, peer, 3, &content(3));
        }
        let asked = rig.take_asked()[0];
        // A poisoned beginning, and then nothing more: the rest would come over HTTP.
        rig.forged.insert((Some(peer.link), 3), vec![9; SEGMENT_BYTES as usize]);
        rig.serve(peer, asked, SEGMENT_BYTES, 70_000);
        rig.say(peer, &Frame::Refuse { transfer: asked.transfer, reason: RefuseReason::Aborted });
        rig.playhead(9_000, 3_000);
        rig.advance(3_000);
        let ranged = rig.fetches.iter().any(|fetch| fetch.range.is_some());
        assert_eq!(ranged, known, "{:?}", rig.fetches);
        for _ in 0..5 {
            serve_origin(&mut rig);
            rig.advance(500);
        }
        assert_eq!(rig.delivered.len(), 1, "{known}");
        assert_eq!(rig.wrong, [0; 0], "{known}");
    }
}

#[test]
fn an_origin_that_knows_no_ranges_is_asked_for_all_until_a_peer_has_proved_true() {
    let (mut rig, peers) = Rig::connected(auto(), 1);
    let peer = peers[0];
    let (mut parts, mut whole) = (0, 0);
    for sequence in 3..9 {
        brings(&mut rig, peer, sequence);
        for _ in 0..3 {
            for fetch in rig.take_fetches() {
                if rig.cancelled.contains(&fetch.id) {
                    continue;
                }
                if fetch.range.is_some() {
                    parts += 1;
                    rig.open(&fetch, 200, Some(SEGMENT_BYTES));
                } else {
                    whole += 1;
                    rig.serve_http(&fetch);
                }
            }
        }
    }
    assert_eq!(parts, 1);
    assert!((1..=2).contains(&whole), "{whole}");
    assert_eq!(rig.delivered.len(), 6);
}

#[test]
fn a_lone_liar_is_found_out_where_the_origin_knows_no_ranges() {
    let (mut rig, peer) = one_peer(auto());
    let mut bytes = content(3);
    bytes[77_777] ^= 4;
    own_claim(&mut rig, peer, 3, &bytes);
    rig.forged.insert((Some(peer.link), 3), bytes);
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    let part = rig.take_fetches().remove(0);
    rig.open(&part, 200, Some(SEGMENT_BYTES));
    let whole = rig.take_fetches().remove(0);
    assert_eq!(whole.range, None);
    rig.serve_http(&whole);
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(is_banned(&rig, peer));
}

#[test]
fn a_network_error_is_no_refusal_of_ranges_for_good() {
    let (mut rig, peer) = one_peer(auto());
    own_claim(&mut rig, peer, 3, &content(3));
    let asked = rig.take_asked()[0];
    rig.serve(peer, asked, SEGMENT_BYTES, 70_000);
    rig.say(peer, &Frame::Refuse { transfer: asked.transfer, reason: RefuseReason::Aborted });
    rig.playhead(9_000, 3_000);
    rig.advance(3_000);
    let continuation = rig.take_fetches().remove(0);
    assert!(continuation.range.is_some());
    rig.fail_fetch(&continuation, hlswarm::engine::FetchError::Network("reset".to_owned()));
    let whole = rig.take_fetches().remove(0);
    assert_eq!(whole.range, None, "asked for at once in a way that surely works");
    rig.serve_http(&whole);
    rig.advance(61_000);
    brings(&mut rig, peer, 20);
    // Proved true once, it is checked every other time; either way nothing is fetched whole.
    assert!(serve_origin(&mut rig).iter().all(is_spot));
    assert_eq!(rig.delivered.len(), 2);
}

#[test]
fn a_check_that_hangs_is_given_up_and_all_is_fetched_of_who_has_not_proved_true() {
    for proved in [false, true] {
        let (mut rig, peer) = one_peer(auto());
        let mut sequence = 3;
        if proved {
            own_claim(&mut rig, peer, 3, &content(3));
            let asked = rig.take_asked()[0];
            rig.serve(peer, asked, SEGMENT_BYTES, SEGMENT_BYTES);
            serve_origin(&mut rig);
        }
        let hung = loop {
            sequence += u64::from(proved);
            brings(&mut rig, peer, sequence);
            if let Some(fetch) = rig.take_fetches().pop() {
                break fetch;
            }
        };
        assert!(is_spot(&hung));
        rig.advance(3_100);
        assert!(rig.cancelled.contains(&hung.id));
        serve_origin(&mut rig);
        let expected = if proved { SegmentSource::P2p } else { SegmentSource::Http };
        assert_eq!(sources(&rig).last(), Some(&(sequence, expected)));
        assert_eq!(rig.wrong, [0; 0]);
    }
}

#[test]
fn a_body_that_may_have_been_cut_off_convicts_nobody() {
    let (mut rig, peer) = one_peer(auto());
    rig.take_asked();
    own_claim(&mut rig, peer, 3, &content(3));
    rig.has_state(peer, [3], HaveState::Gone);
    rig.advance(12_000);
    let fetch = rig.take_fetches().remove(0);
    rig.open(&fetch, 200, None);
    rig.body(&fetch, 60_000);
    rig.input(Input::FetchDone { fetch: fetch.id });
    assert_eq!(sources(&rig), [(3, SegmentSource::Http)]);
    assert!(!is_banned(&rig, peer), "it may be the origin that was cut short");
}

#[test]
fn whoever_shares_a_block_with_a_liar_is_not_taken_for_one() {
    let (mut rig, peers) = Rig::connected(auto(), 3);
    let (honest, liar, witness) = (peers[0], peers[1], peers[2]);
    rig.has(honest, [3]);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(honest, asked, SEGMENT_BYTES, 30_000);
    rig.has(liar, [3]);
    own_claim(&mut rig, witness, 3, &content(3));
    rig.forged.insert((Some(liar.link), 3), vec![9; SEGMENT_BYTES as usize]);
    rig.say(honest, &Frame::Refuse { transfer: asked.transfer, reason: RefuseReason::Aborted });
    rig.advance(100);
    let asked = rig.take_asked()[0];
    assert_eq!((asked.link, asked.at), (liar.link, 30_000), "in the middle of a block");
    rig.serve(liar, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    serve_origin(&mut rig);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(is_banned(&rig, liar));
    assert!(!is_banned(&rig, honest));
}

#[test]
fn what_is_said_of_segments_in_no_playlist_pushes_nothing_out() {
    let (mut rig, peers) = Rig::connected(auto(), 2);
    let (liar, honest) = (peers[0], peers[1]);
    own_claim(&mut rig, honest, 3, &content(3));
    rig.has_state(honest, [3], HaveState::Gone);
    for sequence in 1_000..2_000 {
        own_claim(&mut rig, liar, sequence, &content(3));
        rig.advance(50);
    }
    let mut bytes = content(3);
    bytes[77_777] ^= 4;
    rig.has(liar, [3]);
    own_claim(&mut rig, liar, 3, &bytes);
    rig.forged.insert((Some(liar.link), 3), bytes);
    rig.playhead(0, 12_000);
    rig.want(3);
    let asked = rig.take_asked()[0];
    rig.serve(liar, asked, SEGMENT_BYTES, SEGMENT_BYTES);
    serve_origin(&mut rig);
    assert_eq!(rig.wrong, [0; 0]);
    assert!(is_banned(&rig, liar));
}

#[test]
fn whoever_is_late_to_notice_that_a_stream_began_anew_is_not_banned() {
    let (mut rig, peers) = Rig::connected(auto(), 1);
    rig.playlist((1_000..1_020).map(rig::segment).collect(), true);
    rig.playlist((0..20).map(rig::segment).collect(), true);
    own_claim(&mut rig, peers[0], 3, &content(77));
    rig.has_state(peers[0], [3], HaveState::Gone);
    rig.playhead(0, 2_000);
    rig.want(3);
    rig.advance(5_000);
    serve_origin(&mut rig);
    assert_eq!(rig.delivered.len(), 1);
    assert!(!is_banned(&rig, peers[0]));
}
