//! What a tracker sends, parsed into a closed enum before anything else sees it.

use std::fmt;

use super::{
    MAX_CANDIDATE_BYTES, MAX_MESSAGE_BYTES, MAX_OFFER_ID_CHARS, MAX_TRICKLED_CANDIDATES, SdpFault, check_sdp,
};
use crate::id::{Id20, PeerId, SwarmId};
use crate::json::Value;
use crate::time::Span;

/// Longest text for people that is kept of a tracker's warning or failure, in code points.
const MAX_REASON_CHARS: usize = 256;
/// Longest interval that is believed, in seconds: a day.
const MAX_INTERVAL_S: f64 = 86_400.0;

/// Tracker to client: every message there is.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackerMessage {
    /// The reply to an announce.
    Announced(Announced),
    /// Another peer's offer for us.
    Offer {
        /// The swarm.
        swarm: SwarmId,
        /// Who offers.
        peer: PeerId,
        /// To be given back exactly with the answer.
        offer_id: String,
        /// The session description, at most [`MAX_SDP_BYTES`].
        sdp: String,
    },
    /// The answer to an offer of ours.
    Answer {
        /// The swarm.
        swarm: SwarmId,
        /// Who answers.
        peer: PeerId,
        /// Our name for the offer.
        offer_id: String,
        /// The session description, at most [`MAX_SDP_BYTES`].
        sdp: String,
    },
    /// Candidates that the other end of an answered offer found later.
    Candidates {
        /// The swarm.
        swarm: SwarmId,
        /// Who found them.
        peer: PeerId,
        /// The offer's id.
        offer_id: String,
        /// The JSON text of an `RTCIceCandidateInit` each; check before use.
        candidates: Vec<String>,
    },
    /// The reply to a scrape.
    Scrape(Vec<ScrapeEntry>),
    /// The tracker refused a message. The connection stays open.
    Failure {
        /// The swarm the refused message was about, if the tracker says so.
        swarm: Option<SwarmId>,
        /// For people.
        reason: String,
    },
}

/// The reply to an announce.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announced {
    /// The swarm, if the tracker says so.
    pub swarm: Option<SwarmId>,
    /// When to announce again.
    pub interval: Option<Span>,
    /// Do not announce more often than this.
    pub min_interval: Option<Span>,
    /// Members that have everything.
    pub complete: u32,
    /// The other members.
    pub incomplete: u32,
    /// Whether the tracker relays trickled candidates.
    pub trickle: bool,
    /// Whether the tracker takes reports of peers that sent bad data.
    pub reports: bool,
    /// For people: something is odd about the announce.
    pub warning: Option<String>,
}

/// One swarm in the reply to a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// The swarm.
    pub swarm: SwarmId,
    /// Members that have everything.
    pub complete: u32,
    /// The other members.
    pub incomplete: u32,
    /// How often a member told that it has everything now.
    pub downloaded: u32,
}

/// Why a message from a tracker is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Not a JSON object.
    NotJson,
    /// A field is missing or is not what it must be.
    Field {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A session description breaks a bound.
    Sdp(SdpFault),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::TooLong { bytes } => {
                write!(f, "tracker message of {bytes} bytes, at most {MAX_MESSAGE_BYTES} are allowed")
            }
            MessageError::NotJson => f.write_str("tracker message is not a JSON object"),
            MessageError::Field { name, expected } => write!(f, "tracker message: {name} must be {expected}"),
            MessageError::Sdp(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for MessageError {}

impl TrackerMessage {
    /// Reads a message of a tracker. Trackers differ: unknown keys are ignored, and a count or interval that makes no
    /// sense counts as missing.
    pub fn parse(text: &str) -> Result<TrackerMessage, MessageError> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::TooLong { bytes: text.len() });
        }
        let value = Value::parse(text).map_err(|_| MessageError::NotJson)?;
        if !value.is_object() {
            return Err(MessageError::NotJson);
        }
        if let Some(reason) = value.get("failure reason") {
            let reason = reason.as_str().map_or_else(|| short(&reason.to_string()), short);
            return Ok(TrackerMessage::Failure { swarm: optional_swarm(&value), reason });
        }
        match value.get("action").and_then(Value::as_str) {
            Some("scrape") => parse_scrape(&value),
            Some("announce") => parse_announce(&value),
            _ => Err(MessageError::Field { name: "action", expected: "\"announce\" or \"scrape\"" }),
        }
    }
}

fn parse_announce(value: &Value) -> Result<TrackerMessage, MessageError> {
    if let Some(offer) = value.get("offer") {
        let (swarm, peer, offer_id) = parties(value)?;
        return Ok(TrackerMessage::Offer { swarm, peer, offer_id, sdp: description(offer, "offer")? });
    }
    if let Some(answer) = value.get("answer") {
        let (swarm, peer, offer_id) = parties(value)?;
        return Ok(TrackerMessage::Answer { swarm, peer, offer_id, sdp: description(answer, "answer")? });
    }
    if let Some(candidates) = value.get("candidates") {
        let (swarm, peer, offer_id) = parties(value)?;
        let candidates = parse_candidates(candidates)?;
        return Ok(TrackerMessage::Candidates { swarm, peer, offer_id, candidates });
    }
    Ok(TrackerMessage::Announced(Announced {
        swarm: optional_swarm(value),
        interval: seconds(value, "interval"),
        min_interval: seconds(value, "min interval"),
        complete: count(value, "complete"),
        incomplete: count(value, "incomplete"),
        trickle: flag(value, "trickle"),
        reports: flag(value, "reports"),
        warning: value.get("warning message").and_then(Value::as_str).map(short),
    }))
}

fn parse_scrape(value: &Value) -> Result<TrackerMessage, MessageError> {
    const FILES: MessageError = MessageError::Field { name: "files", expected: "an object of swarms" };
    let files = value.get("files").and_then(Value::as_object).ok_or(FILES)?;
    let mut entries = Vec::new();
    for (swarm, numbers) in files {
        entries.push(ScrapeEntry {
            swarm: SwarmId(Id20::from_latin1(swarm).ok_or(FILES)?),
            complete: count(numbers, "complete"),
            incomplete: count(numbers, "incomplete"),
            downloaded: count(numbers, "downloaded"),
        });
    }
    Ok(TrackerMessage::Scrape(entries))
}

fn parties(value: &Value) -> Result<(SwarmId, PeerId, String), MessageError> {
    let swarm = optional_swarm(value).ok_or(MessageError::Field { name: "info_hash", expected: ID })?;
    let peer = optional_id(value, "peer_id").ok_or(MessageError::Field { name: "peer_id", expected: ID })?;
    let offer_id = value
        .get("offer_id")
        .and_then(Value::as_str)
        .filter(|id| id.chars().nth(MAX_OFFER_ID_CHARS).is_none())
        .ok_or(MessageError::Field { name: "offer_id", expected: "a string of at most 64 characters" })?;
    Ok((swarm, peer, offer_id.to_owned()))
}

const ID: &str = "a string of 20 characters U+0000..U+00FF";

fn optional_id(value: &Value, name: &str) -> Option<Id20> {
    value.get(name).and_then(Value::as_str).and_then(Id20::from_latin1)
}

fn optional_swarm(value: &Value) -> Option<SwarmId> {
    optional_id(value, "info_hash").map(SwarmId)
}

fn description(value: &Value, name: &'static str) -> Result<String, MessageError> {
    let sdp = value.get("sdp").and_then(Value::as_str);
    let kind = value.get("type").and_then(Value::as_str);
    match sdp {
        Some(sdp) if kind == Some(name) => {
            check_sdp(sdp).map_err(MessageError::Sdp)?;
            Ok(sdp.to_owned())
        }
        _ => Err(MessageError::Field { name, expected: "an object with its type and an sdp" }),
    }
}

fn parse_candidates(value: &Value) -> Result<Vec<String>, MessageError> {
    const CANDIDATES: MessageError =
        MessageError::Field { name: "candidates", expected: "at most 20 strings of at most 512 bytes" };
    let list = value.as_array().filter(|list| list.len() <= MAX_TRICKLED_CANDIDATES).ok_or(CANDIDATES)?;
    let mut candidates = Vec::with_capacity(list.len());
    for item in list {
        let text = item.as_str().filter(|text| text.len() <= MAX_CANDIDATE_BYTES).ok_or(CANDIDATES)?;
        candidates.push(text.to_owned());
    }
    Ok(candidates)
}

fn count(value: &Value, name: &str) -> u32 {
    value.get(name).and_then(Value::as_u64).map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn seconds(value: &Value, name: &str) -> Option<Span> {
    let seconds = value.get(name).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0)?;
    Some(Span::from_secs_f64(seconds.min(MAX_INTERVAL_S)))
}

fn short(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).collect()
}
