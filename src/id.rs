//! Newtypes for every id, so that a link is never taken for a fetch.

use std::fmt;

use crate::sha1::sha1;
use serde::{Serialize, Serializer};

macro_rules! counter_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);
    };
}

counter_id!(
    /// One request of the player for one segment. Chosen by the shell, never reused while open.
    RequestId
);
counter_id!(
    /// One HTTP download. Chosen by the engine.
    FetchId
);
counter_id!(
    /// One WebRTC connection, from its offer to its end. Chosen by the engine.
    LinkId
);
#[cfg(feature = "interop")]
impl LinkId {
    /// Set in the ids of links to viewers of p2p-media-loader.
    pub(crate) const STOCK: u32 = 1 << 31;

    /// Whether the link is one to a viewer of p2p-media-loader, which speaks another wire.
    pub const fn is_stock(self) -> bool {
        self.0 & LinkId::STOCK != 0
    }
}

counter_id!(
    /// One run of segment bytes that the shell keeps for the engine. Chosen by the engine, never reused.
    BlobId
);
counter_id!(
    /// One configured tracker: its place in `loader.trackerAnnounce`.
    TrackerId
);
counter_id!(
    /// One transfer on a link, as the downloading side numbers it.
    TransferId
);

/// A rendition or audio track, equal on all viewers of a manifest: the first eight bytes of the SHA-1 of what
/// names it (kind and playlist URL relative to the manifest, without query).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

impl TrackId {
    /// The id of the track that `name` describes.
    pub fn from_name(name: &str) -> TrackId {
        let digest = sha1(name.as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        TrackId(u64::from_be_bytes(head))
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for TrackId {
    // As text: a JavaScript number cannot hold 64 bits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A segment's name, stable over playlist refreshes and equal on all viewers. Never the URL: tokens rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SegmentKey {
    /// The track it belongs to.
    pub track: TrackId,
    /// Discontinuity sequence number (RFC 8216 section 6.2.1).
    pub discontinuity: u32,
    /// Media sequence number (RFC 8216 section 6.2.1).
    pub sequence: u64,
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.track, self.discontinuity, self.sequence)
    }
}

/// A part of a resource: `start..end` in bytes, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Bytes in the range.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the range holds no byte.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// The first 16 bytes of a SHA-256: what identifies a block of a segment, or a whole one. Nobody can make other bytes
/// with a given digest (2^128 tries); whoever makes both of two byte strings could let them collide (2^64), which gains
/// a publisher nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Twenty bytes as the tracker protocol carries them: an info_hash or a peer id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id20(pub [u8; 20]);

impl Id20 {
    /// Reads the JSON form: a string of exactly 20 code points U+0000..U+00FF.
    pub fn from_latin1(text: &str) -> Option<Id20> {
        let mut bytes = [0; 20];
        let mut chars = text.chars();
        for byte in &mut bytes {
            *byte = u8::try_from(u32::from(chars.next()?)).ok()?;
        }
        chars.next().is_none().then_some(Id20(bytes))
    }

    /// The JSON form: one code point per byte.
    pub fn to_latin1(self) -> String {
        self.0.iter().map(|&byte| char::from(byte)).collect()
    }
}

impl fmt::Display for Id20 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().all(u8::is_ascii_graphic) {
            return f.write_str(&self.to_latin1());
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id20 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id20({self})")
    }
}

impl Serialize for Id20 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A viewer's id on the tracker: an 8-character client prefix and 12 random letters or digits.
pub type PeerId = Id20;

/// The swarm of one manifest, as the tracker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwarmId(pub Id20);

impl SwarmId {
    /// The swarm that `name` (the manifest URL without its query, or `segments.swarmId`) stands for: the first
    /// fifteen bytes of SHA-1 over `hlswarm-1:` and the name, in base64, so that all twenty characters are ASCII.
    pub fn from_name(name: &str) -> SwarmId {
        let digest = sha1(format!("hlswarm-1:{name}").as_bytes());
        let mut id = [0; 20];
        for (group, out) in digest[..15].chunks(3).zip(id.chunks_mut(4)) {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            for (place, character) in out.iter_mut().enumerate() {
                *character = BASE64[(bits >> (18 - 6 * place)) as usize & 63];
            }
        }
        SwarmId(Id20(id))
    }

    /// The id of the swarm that `name` names among those who know `secret`: [`SwarmId::from_name`] of `secret `
    /// and the HMAC-SHA-1 (RFC 2104) of the name in hexadecimal digits. Nobody else can compute it, or tell from it what
    /// it names.
    pub fn from_secret_name(secret: &str, name: &str) -> SwarmId {
        const BLOCK: usize = 64;
        let mut key = [0; BLOCK];
        if secret.len() > BLOCK {
            key[..20].copy_from_slice(&sha1(secret.as_bytes()));
        } else {
            key[..secret.len()].copy_from_slice(secret.as_bytes());
        }
        let digest = |pad: u8, text: &[u8]| sha1(&[&key.map(|byte| byte ^ pad)[..], text].concat());
        let mac = digest(0x5c, &digest(0x36, name.as_bytes()));
        let mut keyed = String::from("secret ");
        for byte in mac {
            for nibble in [byte >> 4, byte & 15] {
                keyed.extend(char::from_digit(nibble.into(), 16));
            }
        }
        SwarmId::from_name(&keyed)
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
