//! The WebTorrent tracker protocol as its clients see it: JSON text over a WebSocket.
//!
//! A client *writes* [`Announce`], [`Answer`], [`Candidates`] and [`scrape`] and *reads* [`TrackerMessage`]. Twenty-byte
//! ids travel as strings of twenty code points U+0000..U+00FF. The tracker speaks the other half and shares the bounds
//! that stand here.
//!
//! Protocol: the one of the npm packages `bittorrent-tracker` and `p2p-media-loader-core`, and extensions of ours: access
//! tokens, *reports* of peers that sent bad data, to trackers whose reply says `"reports": true`, and
//! *trickled candidates*. A client that announces `"trickle": true` may be sent, and, when the tracker's reply says
//! `"trickle": true` too, may send ICE candidates found after an offer or answer had left. Nobody else ever sees one.

mod json;
mod parse;

use std::fmt;

use crate::id::{Id20, PeerId, SwarmId};

pub use json::{push_json_id, push_json_string};
pub use parse::{Announced, MessageError, ScrapeEntry, TrackerMessage};

/// Largest message either side sends, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest session description, in bytes.
pub const MAX_SDP_BYTES: usize = 8 * 1024;
/// Most `a=candidate:` lines in one session description.
pub const MAX_SDP_CANDIDATES: usize = 20;
/// Longest offer id, in code points.
pub const MAX_OFFER_ID_CHARS: usize = 64;
/// Most offers in one announce.
pub const MAX_OFFERS: usize = 10;
/// Most trickled candidates per direction of one connection.
pub const MAX_TRICKLED_CANDIDATES: usize = 20;
/// Largest trickled candidate, in bytes of its JSON text.
pub const MAX_CANDIDATE_BYTES: usize = 512;

/// What an announce reports beside the client's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The first announce of a session.
    Started,
    /// The client leaves the swarm.
    Stopped,
    /// The client has everything now.
    Completed,
}

impl AnnounceEvent {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            AnnounceEvent::Started => "started",
            AnnounceEvent::Stopped => "stopped",
            AnnounceEvent::Completed => "completed",
        }
    }
}

/// One offer of an announce. The tracker hands each to another peer of the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The offering side's name for it; comes back with the answer. At most [`MAX_OFFER_ID_CHARS`].
    pub offer_id: &'a str,
    /// The session description.
    pub sdp: &'a str,
}

/// Client to tracker: here I am, and here are offers for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce<'a> {
    /// The swarm.
    pub swarm: SwarmId,
    /// Who announces.
    pub peer: PeerId,
    /// What happened, if anything.
    pub event: Option<AnnounceEvent>,
    /// How many offers of others the client would like. Trackers hand out at most as many peers as there are offers.
    pub numwant: u32,
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes received from peers.
    pub downloaded: u64,
    /// Bytes still missing; zero makes the client a seeder, `None` (a viewer of a stream) does not.
    pub left: Option<u64>,
    /// Whether the client takes trickled candidates.
    pub trickle: bool,
    /// The access token that the page has from its web server; empty: none.
    pub token: &'a str,
    /// The offers, at most [`MAX_OFFERS`].
    pub offers: &'a [Offer<'a>],
}

impl Announce<'_> {
    /// The JSON text.
    pub fn encode(&self) -> String {
        let sdp_bytes: usize = self.offers.iter().map(|offer| offer.sdp.len() + 256).sum();
        let mut out = head("announce", self.swarm, self.peer, sdp_bytes);
        field_number(&mut out, "numwant", u64::from(self.numwant));
        field_number(&mut out, "uploaded", self.uploaded);
        field_number(&mut out, "downloaded", self.downloaded);
        if let Some(left) = self.left {
            field_number(&mut out, "left", left);
        }
        if let Some(event) = self.event {
            field_text(&mut out, "event", event.as_str());
        }
        if self.trickle {
            out.push_str(",\"trickle\":true");
        }
        if !self.token.is_empty() {
            field_text(&mut out, "token", self.token);
        }
        out.push_str(",\"offers\":[");
        for (place, offer) in self.offers.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str("{\"offer\":{\"type\":\"offer\"");
            field_text(&mut out, "sdp", offer.sdp);
            out.push('}');
            field_text(&mut out, "offer_id", offer.offer_id);
            out.push('}');
        }
        out.push_str("]}");
        out
    }
}

/// Client to tracker: the answer to an offer that the tracker had handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The swarm.
    pub swarm: SwarmId,
    /// Who answers.
    pub peer: PeerId,
    /// Whose offer it was.
    pub to_peer: PeerId,
    /// The offer's id, exactly as it came.
    pub offer_id: &'a str,
    /// The session description.
    pub sdp: &'a str,
}

impl Answer<'_> {
    /// The JSON text.
    pub fn encode(&self) -> String {
        let mut out = head("announce", self.swarm, self.peer, self.sdp.len() + 256);
        field_id(&mut out, "to_peer_id", self.to_peer);
        field_text(&mut out, "offer_id", self.offer_id);
        out.push_str(",\"answer\":{\"type\":\"answer\"");
        field_text(&mut out, "sdp", self.sdp);
        out.push_str("}}");
        out
    }
}

/// Client to tracker: candidates found after the offer or answer had left. Only to trackers whose reply said that they
/// relay them, and only for an offer that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates<'a> {
    /// The swarm.
    pub swarm: SwarmId,
    /// Who found them.
    pub peer: PeerId,
    /// The other end.
    pub to_peer: PeerId,
    /// The offer's id.
    pub offer_id: &'a str,
    /// The JSON text of an `RTCIceCandidateInit` each, at most [`MAX_CANDIDATE_BYTES`].
    pub candidates: &'a [String],
}

impl Candidates<'_> {
    /// The JSON text.
    pub fn encode(&self) -> String {
        let mut out = head("announce", self.swarm, self.peer, 256 * self.candidates.len());
        field_id(&mut out, "to_peer_id", self.to_peer);
        field_text(&mut out, "offer_id", self.offer_id);
        out.push_str(",\"candidates\":[");
        for (place, candidate) in self.candidates.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            push_json_string(&mut out, candidate);
        }
        out.push_str("]}");
        out
    }
}

/// The JSON text of a report: `peer` sent us bytes that are not the stream's. Only for trackers whose reply said that
/// they take reports. There is no reply.
pub fn report(swarm: SwarmId, own: PeerId, peer: PeerId) -> String {
    let mut out = head("report", swarm, own, 128);
    field_id(&mut out, "to_peer_id", peer);
    out.push('}');
    out
}

/// The JSON text of a scrape: how large are these swarms?
pub fn scrape(swarms: &[SwarmId]) -> String {
    let mut out = String::from("{\"action\":\"scrape\",\"info_hash\":[");
    for (place, swarm) in swarms.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_json_id(&mut out, swarm.0);
    }
    out.push_str("]}");
    out
}

/// Which bound a session description breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpFault {
    /// Longer than [`MAX_SDP_BYTES`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// More candidates than [`MAX_SDP_CANDIDATES`].
    TooManyCandidates {
        /// How many there are.
        candidates: usize,
    },
}

impl fmt::Display for SdpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SdpFault::TooLong { bytes } => {
                write!(f, "session description of {bytes} bytes, at most {MAX_SDP_BYTES} are allowed")
            }
            SdpFault::TooManyCandidates { candidates } => {
                write!(
                    f,
                    "session description with {candidates} candidates, at most {MAX_SDP_CANDIDATES} are allowed"
                )
            }
        }
    }
}

/// Checks a session description against the bounds that trackers and peers hold it to.
pub fn check_sdp(sdp: &str) -> Result<(), SdpFault> {
    if sdp.len() > MAX_SDP_BYTES {
        return Err(SdpFault::TooLong { bytes: sdp.len() });
    }
    // By bytes: searching for texts in texts is several kilobytes of the browser download.
    const CANDIDATE: &[u8; 12] = b"a=candidate:";
    let candidates = sdp.as_bytes().windows(CANDIDATE.len()).filter(|bytes| bytes == CANDIDATE).count();
    if candidates > MAX_SDP_CANDIDATES {
        return Err(SdpFault::TooManyCandidates { candidates });
    }
    Ok(())
}

fn head(action: &str, swarm: SwarmId, peer: PeerId, more_bytes: usize) -> String {
    let mut out = String::with_capacity(more_bytes + 256);
    out.push_str("{\"action\":\"");
    out.push_str(action);
    out.push('"');
    field_id(&mut out, "info_hash", swarm.0);
    field_id(&mut out, "peer_id", peer);
    out
}

fn field_name(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

fn field_text(out: &mut String, name: &str, text: &str) {
    field_name(out, name);
    push_json_string(out, text);
}

fn field_id(out: &mut String, name: &str, id: Id20) {
    field_name(out, name);
    push_json_id(out, id);
}

fn field_number(out: &mut String, name: &str, number: u64) {
    field_name(out, name);
    out.push_str(&number.to_string());
}
