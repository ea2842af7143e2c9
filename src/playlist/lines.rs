//! The lines of a playlist.

use super::{MAX_PLAYLIST_BYTES, PlaylistError};

/// The lines that say something, with their numbers, without the white space around them.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Result<Lines<'a>, PlaylistError> {
        if text.len() > MAX_PLAYLIST_BYTES {
            return Err(PlaylistError::TooLong { bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let first = text.lines().next().unwrap_or_default();
        if first.trim_end() != "#EXTM3U" {
            return Err(PlaylistError::NotAPlaylist);
        }
        Ok(Lines { text })
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
    }

    /// Whether the playlist lists playlists; one that lists both playlists and segments is refused.
    pub fn is_master(&self) -> Result<bool, PlaylistError> {
        let mut master = false;
        let mut media = false;
        for (number, line) in self.iter() {
            let tag = line.split(':').next().unwrap_or(line);
            master |= matches!(tag, "#EXT-X-STREAM-INF" | "#EXT-X-MEDIA" | "#EXT-X-I-FRAME-STREAM-INF");
            media |= matches!(tag, "#EXTINF" | "#EXT-X-TARGETDURATION" | "#EXT-X-MEDIA-SEQUENCE");
            if master && media {
                return Err(PlaylistError::line(
                    number,
                    "tag",
                    tag,
                    "in another playlist: tags of master and media playlists do not mix",
                ));
            }
        }
        Ok(master)
    }
}

/// Refuses what would be misread.
pub(super) fn check(number: usize, line: &str) -> Result<(), PlaylistError> {
    for tag in ["#EXT-X-DEFINE:", "#EXT-X-SKIP:"] {
        if line.starts_with(tag) {
            return Err(PlaylistError::line(number, "tag", line, "left out: it is not supported here"));
        }
    }
    // A bare carriage return ends a line for some readers and not for others.
    if line.chars().any(|character| character.is_control() && character != '\t') {
        return Err(PlaylistError::line(number, "text", line, "free of control characters"));
    }
    Ok(())
}
