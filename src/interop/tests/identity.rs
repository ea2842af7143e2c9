//! Which swarm a stream belongs to, held against p2p-media-loader's own results.

use serde_json::Value;

use crate::engine::TrackKind;
use crate::interop::identity::{Properties, Version, stream_swarms};

pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/p2p-media-loader.json")).unwrap()
}

const MANIFEST: &str = "https://example.com/hls/master.m3u8";

fn hashes(version: Version, streams: &[(TrackKind, Properties)]) -> Vec<String> {
    stream_swarms(version, MANIFEST, streams).iter().map(|swarm| swarm.0.to_latin1()).collect()
}

fn hash(properties: Properties) -> String {
    hashes(Version::V2, &[(TrackKind::Main, properties)]).remove(0)
}

fn video(bitrate: u64) -> Properties {
    Properties { bitrate, ..Properties::default() }
}

#[test]
fn every_golden_stream_has_its_info_hash() {
    let vectors = vectors();
    let streams = vectors["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 5);
    for stream in streams {
        let mut properties = stream["props"].clone();
        if let Some(rate) = properties.get("frameRate").and_then(Value::as_u64) {
            properties["frameRate"] = rate.to_string().into();
        }
        let properties = Properties::from_json(&crate::json::Value::parse(&properties.to_string()).unwrap());
        let kind = if stream["type"] == "main" { TrackKind::Main } else { TrackKind::Audio };
        assert_eq!(
            hashes(Version::V2, &[(kind, properties)]),
            [stream["infoHash"].as_str().unwrap()],
            "{stream}"
        );
    }
}

#[test]
fn what_means_the_same_is_the_same_swarm() {
    let codecs = |text: &str| hash(Properties { codecs: Some(text.into()), ..video(1) });
    assert_eq!(codecs("avc1.64002a,mp4a.40.2"), codecs(" MP4A.40.2 , AVC1.64002A"));
    assert_eq!(codecs("avc1.66.30"), codecs("avc1.42001e"));
    assert_ne!(codecs("avc1.066.30"), codecs("avc1.42001e"), "a leading zero makes it no decimal");
    let rate = |text: &str| hash(Properties { frame_rate: Some(text.into()), ..video(1) });
    assert_eq!(rate("29.970"), rate("29.97"));
    assert_eq!(rate("30.000"), rate("30"));
    assert_eq!(rate("fast"), rate(""));
    let range = |text: &str| hash(Properties { video_range: Some(text.into()), ..video(1) });
    assert_eq!(range("hlg"), range("HLG"));
    let language = |text: &str| hash(Properties { language: Some(text.into()), ..video(1) });
    assert_eq!(language("en-US"), language("EN"));
    assert_eq!(language("und"), hash(video(1)));
    let channels = |text: &str| hash(Properties { channels: Some(text.into()), ..video(1) });
    assert_eq!(channels("2/0"), channels("2"));
    let name = |text: &str| hash(Properties { name: Some(text.into()), ..video(1) });
    assert_eq!(name(" English "), name("english"));
    assert_ne!(hash(video(1)), hash(video(2)));
}

#[test]
fn a_variant_without_a_bitrate_is_unknown_in_all() {
    let known = Properties { width: Some(1), height: Some(2), codecs: Some("avc1.4d".into()), ..video(0) };
    assert_eq!(hash(known.clone()), "P78ZUY66tgmtYL6JoePW");
    let audio = |properties| hashes(Version::V2, &[(TrackKind::Audio, properties)]);
    assert_ne!(audio(known), audio(video(0)), "an audio rendition never has a bitrate");
}

#[test]
fn version_3_takes_properties_as_they_are_and_the_bitrate_only_where_it_must() {
    let rung = |bitrate, height| {
        (
            TrackKind::Main,
            Properties { height: Some(height), codecs: Some("avc1.66.30".into()), ..video(bitrate) },
        )
    };
    let ladder = hashes(Version::V3, &[rung(1, 360), rung(2, 720)]);
    assert_eq!(ladder, hashes(Version::V3, &[rung(5, 360), rung(6, 720)]), "packagers measure it anew");
    let twins = hashes(Version::V3, &[rung(1, 360), rung(2, 360), rung(3, 720)]);
    assert_ne!(twins[0], twins[1]);
    assert_eq!(twins[2], ladder[1]);
    assert_ne!(twins[0], ladder[0]);
    let audio = (TrackKind::Audio, rung(1, 360).1);
    assert_eq!(hashes(Version::V3, &[rung(1, 360), audio])[0], ladder[0], "audio is told apart by its kind");
    let hexadecimal = (TrackKind::Main, Properties { codecs: Some("avc1.42001e".into()), ..rung(1, 360).1 });
    assert_ne!(hashes(Version::V3, &[hexadecimal]), hashes(Version::V3, &[rung(1, 360)]));
    assert_ne!(hashes(Version::V2, &[rung(1, 360)]), hashes(Version::V3, &[rung(1, 360)]));
}
