use proptest::prelude::*;

use crate::config::LimitsConfig;
use crate::id::ByteRange;
use crate::timeline::{MAX_SEQUENCE, Timeline};

use super::*;

const URL: &str = "https://cdn.example/live/hd/index.m3u8?token=1";

fn media(text: &str) -> MediaPlaylist {
    match parse(text, URL) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

fn master(text: &str) -> Vec<Rendition> {
    match parse(text, "https://cdn.example/film/master.m3u8?token=1") {
        Ok(Playlist::Master(master)) => master.renditions,
        other => panic!("{other:?}"),
    }
}

fn refused(body: &str) -> String {
    parse(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{body}"), URL).expect_err(body).to_string()
}

#[test]
fn a_live_window() {
    let text = "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:1234567890123\r\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:7\r\n\r\n# a comment\r\n#EXTINF:4.004,title, with comma\r\nseg1.ts?token=a\r\n\
        #EXTINF:3.9996\r\n  ../sd/seg 2.ts  \r\n#EXT-X-DISCONTINUITY\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\r\n\
        #EXT-X-UNKNOWN:1\r\n#EXTINF:4,\r\nhttps://other.example/seg3.ts#t=1";
    let media = media(text);
    assert!(media.live);
    assert_eq!(media.target_duration_ms, 4000);
    let seen: Vec<_> = media
        .segments
        .iter()
        .map(|s| (s.discontinuity, s.sequence, s.start_ms, s.duration_ms, &*s.url))
        .collect();
    assert_eq!(
        seen,
        [
            (7, 1_234_567_890_123, 0, 4004, "https://cdn.example/live/hd/seg1.ts?token=a"),
            (7, 1_234_567_890_124, 4004, 4000, "https://cdn.example/live/sd/seg%202.ts"),
            (8, 1_234_567_890_125, 8004, 4000, "https://other.example/seg3.ts"),
        ]
    );
}

#[test]
fn whether_it_is_live() {
    let body = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n";
    assert!(media(body).live);
    assert!(media(&format!("{body}#EXT-X-PLAYLIST-TYPE:EVENT\n")).live);
    assert!(!media(&format!("{body}#EXT-X-PLAYLIST-TYPE:VOD\n")).live);
    assert!(!media(&format!("{body}#EXT-X-ENDLIST\n")).live);
    assert_eq!(media("#EXTM3U\n#EXT-X-TARGETDURATION:4\n").segments, []);
}

#[test]
fn byte_ranges_continue_within_one_resource() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800@0\"\n\
         #EXTINF:4,\n#EXT-X-BYTERANGE:1000@800\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:500\nall.mp4\n\
         #EXTINF:4,\n#EXT-X-BYTERANGE:5@0\nother.mp4\n#EXT-X-ENDLIST\n",
    );
    let ranges: Vec<_> = media.segments.iter().map(|segment| segment.byte_range.unwrap()).collect();
    assert_eq!(
        ranges,
        [
            ByteRange { start: 800, end: 1800 },
            ByteRange { start: 1800, end: 2300 },
            ByteRange { start: 0, end: 5 }
        ]
    );
    assert_eq!(
        media.init_segments,
        [InitSegment {
            from_sequence: 0,
            url: "https://cdn.example/live/hd/all.mp4".to_owned(),
            byte_range: Some(ByteRange { start: 0, end: 800 }),
        }]
    );
    let without = "given with an offset where the segment before is of another resource";
    let first = "#EXTINF:4,\n#EXT-X-BYTERANGE:500\na.mp4\n";
    assert_eq!(
        refused(first),
        format!("line 4: EXT-X-BYTERANGE \"500\" is not allowed; it must be {without}")
    );
    let other = "#EXTINF:4,\n#EXT-X-BYTERANGE:5@0\na.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\nb.mp4\n";
    assert_eq!(refused(other), format!("line 7: EXT-X-BYTERANGE \"5\" is not allowed; it must be {without}"));
    let whole_between =
        "#EXTINF:4,\n#EXT-X-BYTERANGE:5@0\na\n#EXTINF:4,\na\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\na\n";
    assert!(refused(whole_between).contains(without));
}

#[test]
fn keys_and_init_segments_are_noted() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-MAP:URI=\"init.mp4\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\"\n#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nc\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://asset\",IV=0x01,KEYFORMAT=\"com.apple\"\n#EXTINF:4,\nd\n",
    );
    let key = |from_sequence, method: &str, url: Option<&str>| KeyNote {
        from_sequence,
        method: method.to_owned(),
        url: url.map(str::to_owned),
    };
    assert_eq!(
        media.keys,
        [
            key(10, "AES-128", Some("https://cdn.example/live/hd/key.bin")),
            key(12, "NONE", None),
            key(13, "SAMPLE-AES", Some("skd://asset")),
        ]
    );
    assert_eq!(media.init_segments[0].from_sequence, 10);
    assert_eq!(media.segments.len(), 4);
}

#[test]
fn gaps_are_left_out() {
    let media =
        media("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na\n#EXT-X-GAP\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n");
    let seen: Vec<_> = media.segments.iter().map(|segment| (segment.sequence, segment.start_ms)).collect();
    assert_eq!(seen, [(0, 0), (2, 8000)]);
}

#[test]
fn errors_name_the_line_the_value_and_what_is_allowed() {
    let day = "seconds in decimal, from 0 to 86400";
    let number = "a whole number that leaves room below 2^53, or 2^32 for discontinuities";
    for (body, line, what, value, allowed) in [
        ("#EXTINF:abc,\na", 3, "EXTINF", "abc", day),
        ("#EXTINF:-1,\na", 3, "EXTINF", "-1", day),
        ("#EXTINF:inf,\na", 3, "EXTINF", "inf", day),
        ("#EXTINF:1e3,\na", 3, "EXTINF", "1e3", day),
        ("#EXTINF:86401,\na", 3, "EXTINF", "86401", day),
        ("#EXTINF:,\na", 3, "EXTINF", "", day),
        ("\na", 4, "URI", "a", "preceded by EXTINF"),
        ("#EXTINF:4,\nhttps://[\n", 4, "URI", "https://[", "one that leads to an http or https URL"),
        ("#EXTINF:4,\njavascript:1", 4, "URI", "javascript:1", "one that leads to an http or https URL"),
        ("#EXT-X-MEDIA-SEQUENCE:x", 3, "EXT-X-MEDIA-SEQUENCE", "x", number),
        ("#EXT-X-MEDIA-SEQUENCE:+1", 3, "EXT-X-MEDIA-SEQUENCE", "+1", number),
        ("#EXT-X-MEDIA-SEQUENCE:9007199254640992", 3, "EXT-X-MEDIA-SEQUENCE", "9007199254640992", number),
        ("#EXT-X-DISCONTINUITY-SEQUENCE:4294967295", 3, "EXT-X-DISCONTINUITY-SEQUENCE", "4294967295", number),
        (
            "#EXTINF:4,\na\n#EXT-X-MEDIA-SEQUENCE:5",
            5,
            "EXT-X-MEDIA-SEQUENCE",
            "5",
            "given before the first segment",
        ),
        ("#EXT-X-PLAYLIST-TYPE:LIVE", 3, "EXT-X-PLAYLIST-TYPE", "LIVE", "VOD or EVENT"),
        ("#EXT-X-TARGETDURATION:x", 3, "EXT-X-TARGETDURATION", "x", day),
        (
            "#EXT-X-KEY:URI=\"k\"\n#EXTINF:4,\na",
            3,
            "EXT-X-KEY",
            "URI=\"k\"",
            "a list of attributes with METHOD among them",
        ),
        (
            "#EXT-X-MAP:x\n#EXTINF:4,\na",
            3,
            "EXT-X-MAP",
            "x",
            "a list of attributes with a quoted URI among them",
        ),
        (
            "#EXTINF:4,\n#EXT-X-BYTERANGE:x\na",
            4,
            "EXT-X-BYTERANGE",
            "x",
            "a length, or a length, @ and an offset",
        ),
        (
            "#EXTINF:4,\n#EXT-X-BYTERANGE:1@2@3\na",
            4,
            "tags",
            "#EXT-X-BYTERANGE:1@2@3",
            "written as RFC 8216 says",
        ),
        (
            "#EXTINF:4,\n#EXT-X-BYTERANGE:0@2\na",
            4,
            "EXT-X-BYTERANGE",
            "0@2",
            "a range of at least one byte that ends below 2^64",
        ),
        (
            "#EXTINF:4,\n#EXT-X-BYTERANGE:2@18446744073709551614\na",
            4,
            "EXT-X-BYTERANGE",
            "2@18446744073709551614",
            "a range of at least one byte that ends below 2^64",
        ),
        (
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
            3,
            "tag",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
            "left out: it is not supported here",
        ),
        ("#EXTINF:4,\ra\r", 3, "text", "#EXTINF:4,\ra", "free of control characters"),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1\na",
            3,
            "tag",
            "#EXT-X-STREAM-INF",
            "in another playlist: tags of master and media playlists do not mix",
        ),
    ] {
        assert_eq!(
            refused(body),
            format!("line {line}: {what} {value:?} is not allowed; it must be {allowed}")
        );
    }
    let errors = [
        parse("", URL),
        parse("#EXTM3U8\n", URL),
        parse("#EXTM3U\n#EXTINF:4,\na\n", URL),
        parse("#EXTM3U\n", "/relative"),
        parse("#EXTM3U\n", "data:text/plain,x"),
        parse(&"#".repeat(MAX_PLAYLIST_BYTES + 1), URL),
    ]
    .map(|result| result.unwrap_err().to_string());
    assert_eq!(
        errors,
        [
            "not a playlist: it does not begin with #EXTM3U",
            "not a playlist: it does not begin with #EXTM3U",
            "EXT-X-TARGETDURATION is missing",
            "playlist URL \"/relative\" is not allowed; it must be an absolute http or https URL",
            "playlist URL \"data:text/plain,x\" is not allowed; it must be an absolute http or https URL",
            "playlist of 16777217 bytes where 16777216 are allowed",
        ]
    );
}

#[test]
fn the_number_of_entries_is_bounded() {
    let list =
        |count: usize| "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned() + &"#EXTINF:4,\na\n".repeat(count);
    assert_eq!(media(&list(MAX_SEGMENTS)).segments.len(), MAX_SEGMENTS);
    assert_eq!(
        parse(&list(MAX_SEGMENTS + 1), URL),
        Err(PlaylistError::TooMany { what: "segments", max: MAX_SEGMENTS })
    );
    let variants = |count: usize| {
        let line = |n| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{n}.m3u8\n");
        "#EXTM3U\n".to_owned() + &(0..count).map(line).collect::<String>()
    };
    assert_eq!(master(&variants(MAX_RENDITIONS)).len(), MAX_RENDITIONS);
    assert!(parse(&variants(MAX_RENDITIONS + 1), URL).is_err());
}

#[test]
fn a_manifest() {
    let renditions = master(
        "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"audio/en.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"In the video\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",URI=\"subs.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1500000,RESOLUTION=1280x720,CODECS=\"avc1.4d401f,mp4a.40.2\",AUDIO=\"a\"\n\
         hd/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=500000\n/other/sd.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2100000,AUDIO=\"b\"\nhd/index.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100000,URI=\"iframes.m3u8\"\n",
    );
    let seen: Vec<_> = renditions.iter().map(|r| (&*r.name, &*r.url, r.bitrate_bps)).collect();
    assert_eq!(
        seen,
        [
            ("audio audio/en.m3u8", "https://cdn.example/film/audio/en.m3u8", None),
            ("main hd/index.m3u8", "https://cdn.example/film/hd/index.m3u8", Some(1_500_000)),
            ("main /other/sd.m3u8", "https://cdn.example/other/sd.m3u8", Some(500_000)),
        ]
    );
    let hd = &renditions[1];
    assert_eq!((hd.kind, hd.resolution), (TrackKind::Main, Some((1280, 720))));
    assert_eq!(hd.codecs.as_deref(), Some("avc1.4d401f,mp4a.40.2"));
    assert_eq!(hd.track, track_id(TrackKind::Main, "https://cdn.example/film/master.m3u8", &hd.url));
    assert_eq!(
        (renditions[0].language.as_deref(), renditions[0].title.as_deref()),
        (Some("en"), Some("English"))
    );
}

#[test]
fn errors_in_a_manifest_name_the_line() {
    let refused = |body: &str| parse(&format!("#EXTM3U\n{body}"), URL).expect_err(body).to_string();
    let bandwidth = "a list of attributes with BANDWIDTH above 0 among them";
    assert_eq!(
        refused("#EXT-X-STREAM-INF:BANDWIDTH=x\na"),
        format!(
            "line 2: EXT-X-STREAM-INF \"#EXT-X-STREAM-INF:BANDWIDTH=x\" is not allowed; it must be {bandwidth}"
        )
    );
    assert!(refused("#EXT-X-STREAM-INF:BANDWIDTH=0\na").contains(bandwidth));
    assert_eq!(
        refused("#EXT-X-STREAM-INF:BANDWIDTH=5\n"),
        "line 2: EXT-X-STREAM-INF \"#EXT-X-STREAM-INF:BANDWIDTH=5\" is not allowed; it must be followed by the URI of a playlist"
    );
    assert!(refused("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a\"\n").starts_with("line 2: EXT-X-MEDIA "));
    assert!(
        refused("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-STREAM-INF:BANDWIDTH=5\n{$a}")
            .starts_with("line 2: tag ")
    );
}

#[test]
fn refreshes_continue_the_times_of_the_timeline() {
    let list = |first: u64| {
        let segments: String = (first..first + 3).map(|n| format!("#EXTINF:4,\n{n}.ts\n")).collect();
        media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}"))
    };
    let mut timeline = Timeline::new(&LimitsConfig::default());
    let track = TrackId(1);
    for (first, start_ms) in [(100, 0), (101, 4000), (103, 12_000), (108, 32_000)] {
        let update = list(first).into_update(track, TrackKind::Main, Some(1), &timeline);
        timeline.update(update);
        assert_eq!(timeline.first(track).unwrap().start_ms, start_ms, "{first}");
    }
}

fn any_line() -> impl Strategy<Value = String> {
    const FIXED: &[&str] = &[
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-MEDIA-SEQUENCE:9007199254640991",
        "#EXT-X-DISCONTINUITY-SEQUENCE:1",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-DISCONTINUITY-SEQUENCE",
        "#EXTINF:4,",
        "#EXTINF:86400",
        "#EXT-X-BYTERANGE:18446744073709551615@1",
        "#EXT-X-BYTERANGE:10",
        "#EXT-X-BYTERANGE:10@0",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXT-X-MAP:URI=\"init\",BYTERANGE=\"1@18446744073709551615\"",
        "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=1x1",
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\",URI=\"c\"",
        "#EXT-X-GAP",
        "#EXT-X-ENDLIST",
        "a.ts",
        "//h/é.ts?x#y",
        "",
    ];
    prop_oneof![
        4 => prop::sample::select(FIXED).prop_map(str::to_owned),
        1 => (prop::sample::select(FIXED), any::<prop::sample::Index>()).prop_map(|(line, cut)| {
            line.chars().take(cut.index(line.len() + 1)).collect()
        }),
        1 => "#EXT(INF|-X-[A-Z-]{0,12}):[A-Z0-9=,.@\"-]{0,20}",
        1 => "\\PC{0,20}",
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_is_a_playlist_or_an_error(lines in prop::collection::vec(any_line(), 0..40), head in any::<bool>()) {
        let mut text = lines.join("\n");
        if head {
            text.insert_str(0, "#EXTM3U\n#EXT-X-TARGETDURATION:4\n");
        }
        match parse(&text, URL) {
            Ok(Playlist::Media(media)) => {
                let mut timeline = Timeline::new(&LimitsConfig::default());
                let count = media.segments.len();
                let change = timeline.update(media.into_update(TrackId(1), TrackKind::Main, Some(u64::MAX), &timeline));
                // What a playlist says is always in order.
                prop_assert_eq!((change.added.len(), change.refused), (count, 0));
            }
            Ok(Playlist::Master(master)) => {
                let names: std::collections::BTreeSet<_> = master.renditions.iter().map(|r| &r.name).collect();
                prop_assert_eq!(names.len(), master.renditions.len());
            }
            Err(error) => prop_assert!(error.to_string().chars().count() < 400),
        }
    }

    #[test]
    fn every_line_of_a_sound_playlist_counts(
        durations in prop::collection::vec(1..20_000_u32, 1..50), first in 0..=MAX_SEQUENCE - 100_000, cuts in any::<u64>(),
    ) {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for (n, ms) in durations.iter().enumerate() {
            if cuts >> n & 1 == 1 {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            text.push_str(&format!("#EXTINF:{}.{:03},\n{n}.ts\n", ms / 1000, ms % 1000));
        }
        let media = media(&text);
        let mut start = 0;
        for (n, (segment, ms)) in media.segments.iter().zip(&durations).enumerate() {
            prop_assert_eq!(segment.sequence, first + n as u64);
            prop_assert_eq!(segment.duration_ms, *ms);
            prop_assert_eq!(segment.start_ms, start);
            prop_assert_eq!(segment.discontinuity, (cuts << (63 - n)).count_ones());
            start += i64::from(*ms);
        }
        prop_assert_eq!(media.segments.len(), durations.len());
    }
}
