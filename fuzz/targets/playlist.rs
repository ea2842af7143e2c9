//! A playlist is read whole or refused, and what was read is in order.
#![no_main]

use hlswarm::config::LimitsConfig;
use hlswarm::engine::TrackKind;
use hlswarm::id::TrackId;
use hlswarm::playlist::{Playlist, parse};
use hlswarm::timeline::Timeline;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let url = "https://cdn.example/live/index.m3u8";
    // With a head as well, so that most inputs get past the first line.
    let with_head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{text}");
    let limits = LimitsConfig { max_track_segments: 1_000_000, ..LimitsConfig::default() };
    for text in [text, &with_head] {
        if let Ok(Playlist::Media(media)) = parse(text, url) {
            let mut timeline = Timeline::new(&limits);
            let count = media.segments.len();
            let update = media.into_update(TrackId(1), TrackKind::Main, Some(u64::MAX), &timeline);
            assert_eq!(timeline.update(update).added.len(), count);
        }
    }
});
