//! What is wrong with a playlist.

use std::fmt;

/// A playlist that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaylistError {
    /// The playlist's own URL is not absolute, or neither `http` nor `https`.
    Address {
        /// The URL, cut to a readable length.
        url: String,
    },
    /// More than [`MAX_PLAYLIST_BYTES`](super::MAX_PLAYLIST_BYTES).
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// Does not begin with `#EXTM3U`.
    NotAPlaylist,
    /// A line that cannot be used.
    Line {
        /// Its number, from 1.
        line: usize,
        /// The tag, or `URI`.
        what: &'static str,
        /// What it says, cut to a readable length.
        value: String,
        /// What is allowed, as it follows "it must be".
        allowed: &'static str,
    },
    /// A tag that must be there is not.
    Missing {
        /// The tag.
        tag: &'static str,
    },
    /// More entries than are read.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        max: usize,
    },
}

impl PlaylistError {
    pub(super) fn line(line: usize, what: &'static str, value: &str, allowed: &'static str) -> PlaylistError {
        PlaylistError::Line { line, what, value: excerpt(value), allowed }
    }
}

impl fmt::Display for PlaylistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaylistError::Address { url } => {
                write!(f, "playlist URL {url:?} is not allowed; it must be an absolute http or https URL")
            }
            PlaylistError::TooLong { bytes } => {
                write!(f, "playlist of {bytes} bytes where {} are allowed", super::MAX_PLAYLIST_BYTES)
            }
            PlaylistError::NotAPlaylist => f.write_str("not a playlist: it does not begin with #EXTM3U"),
            PlaylistError::Line { line, what, value, allowed } => {
                write!(f, "line {line}: {what} {value:?} is not allowed; it must be {allowed}")
            }
            PlaylistError::Missing { tag } => write!(f, "{tag} is missing"),
            PlaylistError::TooMany { what, max } => write!(f, "more than {max} {what}"),
        }
    }
}

impl std::error::Error for PlaylistError {}

/// At most 100 characters of a text that a stranger chose.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}
