//! What the page is told, as the text that it is handed.

use hlswarm::engine::{CloseReason, Event, PeerStats, SegmentSource, Stats, TrackerState, TrackerStats};
use hlswarm::id::{Id20, SegmentKey, TrackId};
use hlswarm::json::to_text;

#[test]
fn what_the_page_is_told_is_as_serde_json_has_it() {
    let peer = Id20(*b"-HS0100-\"\\\n\xff67890abc");
    let key = SegmentKey { track: TrackId(1), discontinuity: 2, sequence: (1 << 53) - 1 };
    let loaded =
        Event::SegmentLoaded { key, source: SegmentSource::P2p, http_bytes: 0, p2p_bytes: 7, duration_ms: 1 };
    let closed = |reason| Event::PeerClosed { peer, reason };
    let events = [
        loaded,
        closed(CloseReason::Left),
        closed(CloseReason::Violation("a \"word\"\u{1}".to_owned())),
        Event::SegmentRefused { key, peers: vec![peer, peer] },
        Event::SegmentRefused { key, peers: Vec::new() },
        Event::Error { message: String::new(), fatal: true },
    ];
    for event in events {
        assert_eq!(to_text(&event), serde_json::to_string(&event).unwrap());
    }
    let url = "wss://tracker.example/".to_owned();
    let stats = Stats {
        peer_list: vec![PeerStats {
            peer,
            downloaded_bytes: 1,
            uploaded_bytes: 2,
            rtt_ms: None,
            segments: 3,
        }],
        trackers: vec![TrackerStats { url, state: TrackerState::Idle, complete: 1, incomplete: 0 }],
        upload_left_bytes: Some(5),
        ..Stats::default()
    };
    assert_eq!(to_text(&stats), serde_json::to_string(&stats).unwrap());
}
