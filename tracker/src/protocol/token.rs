//! One JSON string as it stands in a message, quotes and escapes included.

use std::borrow::Cow;
use std::fmt;

use hlswarm::id::Id20;
use hlswarm::signal::message::MAX_OFFER_ID_CHARS;
use memchr::memmem;

/// A JSON string token: borrowed from the message, passed on verbatim, decoded only when it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    /// Takes a valid JSON value that is a string.
    pub(crate) fn new(json: &'a str) -> Option<Token<'a>> {
        (json.len() >= 2 && json.starts_with('"')).then_some(Token(json))
    }

    /// The token as it came.
    pub fn verbatim(self) -> &'a str {
        self.0
    }

    fn inner(self) -> &'a str {
        self.0.get(1..self.0.len() - 1).unwrap_or_default()
    }

    /// The string that the token stands for. `None` for escapes that are no Unicode text (half a surrogate pair).
    pub fn decode(self) -> Option<Cow<'a, str>> {
        let inner = self.inner();
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
    }

    /// The twenty bytes that the token stands for.
    pub(super) fn id20(self) -> Option<Id20> {
        // Twenty code points are at most 120 bytes (`\u00ff` each): do not decode what cannot be an id.
        if self.0.len() > 122 {
            return None;
        }
        Id20::from_latin1(&self.decode()?)
    }

    /// Whether the token is an offer id: text of at most 64 characters.
    pub(crate) fn is_offer_id(self) -> bool {
        if self.0.len() <= MAX_OFFER_ID_CHARS + 2 {
            return self.decode().is_some();
        }
        self.0.len() <= 6 * 2 * MAX_OFFER_ID_CHARS + 2
            && self.decode().is_some_and(|id| id.chars().nth(MAX_OFFER_ID_CHARS).is_none())
    }

    /// Checks the token as a session description.
    pub(crate) fn check_sdp(self, bounds: SdpBounds) -> Result<(), SdpFault> {
        let inner = self.inner();
        if inner.len() <= bounds.bytes && memmem::find(inner.as_bytes(), b"\\u").is_none() {
            // The common case: an escape like `\n` hides no candidate and only makes the text longer.
            return check_candidates(memmem::find_iter(inner.as_bytes(), "a=candidate:").count(), bounds);
        }
        let sdp = self.decode().ok_or(SdpFault::NotText)?;
        if sdp.len() > bounds.bytes {
            return Err(SdpFault::TooLong { bytes: sdp.len(), allowed: bounds.bytes });
        }
        check_candidates(sdp.matches("a=candidate:").count(), bounds)
    }
}

fn check_candidates(candidates: usize, bounds: SdpBounds) -> Result<(), SdpFault> {
    if candidates > bounds.candidates {
        return Err(SdpFault::TooManyCandidates { candidates, allowed: bounds.candidates });
    }
    Ok(())
}

/// What a session description may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdpBounds {
    /// Length in bytes.
    pub bytes: usize,
    /// Number of `a=candidate:` lines.
    pub candidates: usize,
}

/// What is wrong with a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpFault {
    /// It is no Unicode text.
    NotText,
    /// It is too long.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The bound.
        allowed: usize,
    },
    /// It has too many candidates.
    TooManyCandidates {
        /// How many it has.
        candidates: usize,
        /// The bound.
        allowed: usize,
    },
}

impl fmt::Display for SdpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SdpFault::NotText => f.write_str("sdp must be Unicode text"),
            SdpFault::TooLong { bytes, allowed } => {
                write!(f, "sdp of {bytes} bytes, at most {allowed} are allowed")
            }
            SdpFault::TooManyCandidates { candidates, allowed } => {
                write!(f, "sdp with {candidates} candidates, at most {allowed} are allowed")
            }
        }
    }
}
