//! Which swarm a stream belongs to by p2p-media-loader's account.
//!
//! Each stream of a manifest (a variant is "main", an audio rendition "secondary") is a swarm of its own, named by the
//! manifest and the stream's properties:
//!
//! ```text
//! index    = base64(SHA-1(bitrate-codecs-width-height-language-channels-name-frameRate-videoRange))
//! stream   = version "-" swarm "-" ("main" | "secondary") "-" index
//! info_hash = base64(first 15 bytes of SHA-1(stream))                     20 ASCII characters, used as the 20 bytes
//! ```
//!
//! Observed with p2p-media-loader-core 2.3.1 (`v2`, kept by 3.x and 4.x) and read in the sources of 5.x (`v3`); golden
//! cases in `tests/vectors/p2p-media-loader.json`.

use crate::engine::TrackKind;
use crate::id::{Id20, SwarmId};
use crate::json::Value;
use crate::sha1::sha1;

/// Which derivation the stock viewers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// p2p-media-loader 2.3 to 4.x: properties are normalised, the manifest is named by its response's URL, segments of a
    /// VOD playlist are counted from 0.
    V2,
    /// p2p-media-loader 5.x: properties as the manifest has them, the bitrate only where nothing else tells two streams
    /// apart; the manifest is named by the URL that was asked for, segments are always numbered by media sequence.
    V3,
}

/// What the manifest says of one stream, as the stock viewers read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Bits per second; 0 if unknown, and for audio renditions.
    pub bitrate: u64,
    /// Of the video of a variant, or of the audio of a rendition.
    pub codecs: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Of an audio rendition.
    pub language: Option<String>,
    /// `CHANNELS` of an audio rendition.
    pub channels: Option<String>,
    /// `NAME` of an audio rendition; for [`Version::V2`] with letters beyond ASCII in lower case.
    pub name: Option<String>,
    /// `FRAME-RATE` as written.
    pub frame_rate: Option<String>,
    /// `VIDEO-RANGE` as written.
    pub video_range: Option<String>,
}

impl Properties {
    /// Reads them from an object with the fields' names in camel case. What is missing or of another type is unknown.
    pub fn from_json(value: &Value) -> Properties {
        let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name| value.get(name).and_then(Value::as_u64);
        let pixels = |name| number(name).and_then(|count| u32::try_from(count).ok());
        Properties {
            bitrate: number("bitrate").unwrap_or(0),
            codecs: text("codecs"),
            width: pixels("width"),
            height: pixels("height"),
            language: text("language"),
            channels: text("channels"),
            name: text("name"),
            frame_rate: text("frameRate"),
            video_range: text("videoRange"),
        }
    }
}

/// The swarm of each of a manifest's streams, in the order given. `manifest` is the configured swarm id, or the
/// manifest's URL without its query (see [`Version`] for which).
pub fn stream_swarms(version: Version, manifest: &str, streams: &[(TrackKind, Properties)]) -> Vec<SwarmId> {
    let plain = |(kind, properties): &(TrackKind, Properties)| (*kind, raw(0, properties));
    let texts: Vec<String> = match version {
        Version::V2 => streams.iter().map(|(kind, properties)| normal(*kind, properties)).collect(),
        Version::V3 => {
            let without_bitrate: Vec<_> = streams.iter().map(plain).collect();
            let alike =
                |of: &(TrackKind, String)| without_bitrate.iter().filter(|other| *other == of).count() > 1;
            let texts = streams.iter().zip(&without_bitrate);
            texts
                .map(
                    |((_, stream), text)| {
                        if alike(text) { raw(stream.bitrate, stream) } else { text.1.clone() }
                    },
                )
                .collect()
        }
    };
    let kinds = streams.iter().map(|(kind, _)| *kind);
    kinds.zip(&texts).map(|(kind, text)| swarm_of(version, manifest, kind, text)).collect()
}

fn swarm_of(version: Version, manifest: &str, kind: TrackKind, properties: &str) -> SwarmId {
    let version = match version {
        Version::V2 => "v2",
        Version::V3 => "v3",
    };
    let kind = match kind {
        TrackKind::Main => "main",
        TrackKind::Audio => "secondary",
    };
    let index = base64(&sha1(properties.as_ref()));
    let digest = sha1(format!("{version}-{manifest}-{kind}-{index}").as_bytes());
    let mut id = [0; 20];
    for (place, byte) in id.iter_mut().zip(base64(digest.get(..15).unwrap_or_default()).bytes()) {
        *place = byte;
    }
    SwarmId(Id20(id))
}

/// The properties as 5.x writes them: as they are. Only the frame rate is a number there.
fn raw(bitrate: u64, of: &Properties) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    join(
        bitrate,
        text(&of.codecs),
        of,
        text(&of.language),
        text(&of.channels),
        text(&of.name),
        text(&of.video_range),
    )
}

/// The properties as 2.3 to 4.x write them.
fn normal(kind: TrackKind, of: &Properties) -> String {
    if kind == TrackKind::Main && of.bitrate == 0 {
        // A variant without a bitrate, such as a media playlist that is played by itself, counts as unknown in all.
        return normal(TrackKind::Audio, &Properties::default());
    }
    // Letters beyond ASCII are in lower case by now: their tables are long, and a browser has them.
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let codecs = of.codecs.as_deref().filter(|codecs| !codecs.is_empty()).map(|codecs| {
        let mut codecs: Vec<String> = codecs.split(',').map(normal_codec).collect();
        codecs.sort();
        codecs.join(",")
    });
    let language = of.language.as_deref().filter(|language| *language != "und").unwrap_or_default();
    let language = language.chars().take(2).collect::<String>().to_ascii_lowercase();
    let channels = of.channels.as_deref().unwrap_or_default().split('/').next().unwrap_or_default();
    join(
        of.bitrate,
        codecs.unwrap_or_default(),
        of,
        language,
        channels.to_owned(),
        lower(&of.name).trim().to_owned(),
        of.video_range.as_deref().unwrap_or_default().to_ascii_uppercase().trim().to_owned(),
    )
}

fn join(
    bitrate: u64,
    codecs: String,
    of: &Properties,
    language: String,
    channels: String,
    name: String,
    video_range: String,
) -> String {
    let pixels = |count: Option<u32>| count.map(|count| count.to_string()).unwrap_or_default();
    let (width, height) = (pixels(of.width), pixels(of.height));
    let rate = of.frame_rate.as_deref().map(number).unwrap_or_default();
    [bitrate.to_string(), codecs, width, height, language, channels, name, rate, video_range].join("-")
}

/// `avc1.66.30`, the decimal form of RFC 4281, becomes `avc1.42001e`.
fn normal_codec(codec: &str) -> String {
    let codec = codec.trim().to_ascii_lowercase();
    let decimal = |text: &str| text.parse::<u32>().ok().filter(|number| number.to_string() == text);
    let parts: Vec<&str> = codec.split('.').collect();
    if let &[kind @ ("avc1" | "avc"), profile, level] = parts.as_slice()
        && let (Some(profile), Some(level)) = (decimal(profile), decimal(level))
    {
        return format!("{kind}.{profile:02x}00{level:02x}");
    }
    codec
}

/// A decimal number as JavaScript prints it: `29.970` is `29.97`. Nothing for what is none.
fn number(text: &str) -> String {
    match Value::parse(text) {
        Ok(number @ Value::Number(_)) => number.to_string(),
        _ => String::new(),
    }
}

/// RFC 4648 section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place)) as usize & 63).copied().unwrap_or_default();
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
