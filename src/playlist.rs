//! Playlists to timelines, for everything that has no player to parse them: the simulator, native nodes, tests.
//!
//! [`m3u8_rs`] reads the attributes. It skips in silence what it cannot read, which would shift segment numbers, so it is
//! given one entry at a time and every entry must have become what its tag says.
//!
//! ```
//! use hlswarm::config::LimitsConfig;
//! use hlswarm::engine::TrackKind;
//! use hlswarm::playlist::{self, Playlist};
//! use hlswarm::timeline::Timeline;
//!
//! let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg0.ts\n#EXT-X-ENDLIST\n";
//! let url = "https://cdn.example/film/v.m3u8";
//! let Playlist::Media(media) = playlist::parse(text, url).unwrap() else { panic!() };
//! assert_eq!(&*media.segments[0].url, "https://cdn.example/film/seg0.ts");
//!
//! let mut timeline = Timeline::new(&LimitsConfig::default());
//! let track = playlist::track_id(TrackKind::Main, url, url);
//! let update = media.into_update(track, TrackKind::Main, None, &timeline);
//! assert_eq!(timeline.update(update).added.len(), 1);
//! ```

mod error;
mod lines;
mod master;
mod media;

pub use error::PlaylistError;
pub use master::{MasterPlaylist, Rendition};
pub use media::{InitSegment, KeyNote, MediaPlaylist};

use url::Url;

use crate::engine::TrackKind;
use crate::id::TrackId;
use crate::timeline::track_name;

use lines::Lines;

/// Longest playlist that is read, in bytes.
pub const MAX_PLAYLIST_BYTES: usize = 16 * 1024 * 1024;
/// Most segments of a playlist that are read.
pub const MAX_SEGMENTS: usize = 100_000;
/// Most tracks of a manifest that are read.
pub const MAX_RENDITIONS: usize = 1000;

/// A playlist of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// A manifest: which tracks there are.
    Master(MasterPlaylist),
    /// One track's segments.
    Media(MediaPlaylist),
}

/// Reads a playlist that was loaded from `url`, which must be absolute: `http` or `https`.
///
/// # Errors
/// Names the first line that cannot be used, what it says and what is allowed.
pub fn parse(text: &str, url: &str) -> Result<Playlist, PlaylistError> {
    let base = Url::parse(url).ok().filter(is_web);
    let Some(base) = base else {
        return Err(PlaylistError::Address { url: error::excerpt(url) });
    };
    let lines = Lines::new(text)?;
    if lines.is_master()? {
        master::parse(lines, &base).map(Playlist::Master)
    } else {
        media::parse(lines, &base).map(Playlist::Media)
    }
}

/// The id of a track: [`TrackId::from_name`] of [`track_name`] after both URLs were brought to the form in which
/// browsers write them.
pub fn track_id(kind: TrackKind, manifest_url: &str, playlist_url: &str) -> TrackId {
    let normal = |url: &str| Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    TrackId::from_name(&track_name(kind, &normal(manifest_url), &normal(playlist_url)))
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The absolute URL of a segment or playlist, without fragment.
fn resolve(base: &Url, line: usize, reference: &str) -> Result<Url, PlaylistError> {
    let resolved = base.join(reference).ok().filter(is_web);
    let Some(mut url) = resolved else {
        return Err(PlaylistError::line(line, "URI", reference, "one that leads to an http or https URL"));
    };
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests;
