//! Manifests.

use m3u8_rs::AlternativeMediaType;
use url::Url;

use crate::engine::TrackKind;
use crate::id::TrackId;
use crate::timeline::{NamedPlaylist, track_names};

use super::lines::{Lines, check};
use super::{MAX_RENDITIONS, PlaylistError, resolve};

/// A manifest: which tracks there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MasterPlaylist {
    /// Variant streams and separate audio renditions, in the manifest's order, each playlist once.
    pub renditions: Vec<Rendition>,
}

/// One track of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendition {
    /// What it is played as.
    pub kind: TrackKind,
    /// What names it, equally on all viewers.
    pub name: String,
    /// The id of that name.
    pub track: TrackId,
    /// Absolute URL of its playlist.
    pub url: String,
    /// Average bits per second: `AVERAGE-BANDWIDTH`, else `BANDWIDTH`; `None` for an audio rendition.
    pub bitrate_bps: Option<u64>,
    /// Width and height in pixels.
    pub resolution: Option<(u64, u64)>,
    /// `CODECS`.
    pub codecs: Option<String>,
    /// `LANGUAGE` of an audio rendition.
    pub language: Option<String>,
    /// `NAME` of an audio rendition.
    pub title: Option<String>,
}

const STREAM_INF: &str = "#EXT-X-STREAM-INF:";
const MEDIA: &str = "#EXT-X-MEDIA:";

pub(super) fn parse(lines: Lines<'_>, base: &Url) -> Result<MasterPlaylist, PlaylistError> {
    let mut found: Vec<(Rendition, String)> = Vec::new();
    let mut stream: Option<(usize, &str)> = None;
    for (number, line) in lines.iter() {
        check(number, line)?;
        if line.starts_with(STREAM_INF) {
            stream = Some((number, line));
        } else if line.starts_with(MEDIA) {
            found.extend(audio(number, line, base)?);
        } else if !line.starts_with('#')
            && let Some((at, tag)) = stream.take()
        {
            found.push(variant(at, tag, resolve(base, number, line)?)?);
        }
        if found.len() > MAX_RENDITIONS {
            return Err(PlaylistError::TooMany { what: "tracks", max: MAX_RENDITIONS });
        }
    }
    if let Some((number, tag)) = stream {
        return Err(PlaylistError::line(
            number,
            "EXT-X-STREAM-INF",
            tag,
            "followed by the URI of a playlist",
        ));
    }
    Ok(MasterPlaylist { renditions: named(found, base) })
}

/// Gives the names and keeps each track once: variants that differ in their audio group alone share a playlist.
fn named(found: Vec<(Rendition, String)>, base: &Url) -> Vec<Rendition> {
    let playlists: Vec<NamedPlaylist<'_>> = found
        .iter()
        .map(|(rendition, detail)| NamedPlaylist { kind: rendition.kind, url: &rendition.url, detail })
        .collect();
    let names = track_names(base.as_str(), &playlists);
    let mut renditions: Vec<Rendition> = Vec::with_capacity(found.len());
    for ((rendition, _), name) in found.into_iter().zip(names) {
        if renditions.iter().all(|known| known.name != name) {
            renditions.push(Rendition { track: TrackId::from_name(&name), name, ..rendition });
        }
    }
    renditions
}

fn read(line: &str) -> Option<m3u8_rs::MasterPlaylist> {
    m3u8_rs::parse_master_playlist_res(format!("#EXTM3U\n{line}\n").as_bytes()).ok()
}

fn variant(number: usize, line: &str, url: Url) -> Result<(Rendition, String), PlaylistError> {
    let mut variants = read(line).map(|playlist| playlist.variants).unwrap_or_default();
    let Some(stream) = variants.pop().filter(|stream| stream.bandwidth > 0) else {
        return Err(PlaylistError::line(
            number,
            "EXT-X-STREAM-INF",
            line,
            "a list of attributes with BANDWIDTH above 0 among them",
        ));
    };
    let rendition = Rendition {
        kind: TrackKind::Main,
        name: String::new(),
        track: TrackId(0),
        url: url.into(),
        bitrate_bps: Some(stream.average_bandwidth.filter(|bps| *bps > 0).unwrap_or(stream.bandwidth)),
        resolution: stream.resolution.map(|size| (size.width, size.height)),
        codecs: stream.codecs,
        language: None,
        title: None,
    };
    Ok((rendition, stream.bandwidth.to_string()))
}

/// An audio rendition with a playlist of its own; other media are the player's alone.
fn audio(number: usize, line: &str, base: &Url) -> Result<Option<(Rendition, String)>, PlaylistError> {
    if !line.contains("TYPE=AUDIO") {
        return Ok(None);
    }
    let mut media = read(line).map(|playlist| playlist.alternatives).unwrap_or_default();
    let Some(media) = media.pop().filter(|media| media.media_type == AlternativeMediaType::Audio) else {
        return Err(PlaylistError::line(
            number,
            "EXT-X-MEDIA",
            line,
            "a list of attributes with TYPE, GROUP-ID and NAME among them",
        ));
    };
    let Some(uri) = media.uri else { return Ok(None) };
    let detail = format!("{} {}", media.language.as_deref().unwrap_or_default(), media.name);
    let rendition = Rendition {
        kind: TrackKind::Audio,
        name: String::new(),
        track: TrackId(0),
        url: resolve(base, number, &uri)?.into(),
        bitrate_bps: None,
        resolution: None,
        codecs: None,
        language: media.language,
        title: Some(media.name),
    };
    Ok(Some((rendition, detail.trim().to_owned())))
}
