//! Why a message is refused. The connection stays open: stock clients stay away for minutes when they are closed.

use hlswarm::time::Span;
use std::fmt;

use super::token::Token;
use crate::registry::TokenFault;

/// What a message asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Everything but a scrape.
    #[default]
    Announce,
    /// The sizes of swarms.
    Scrape,
    /// To note that a peer sent bad data.
    Report,
}

impl Action {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Announce => "announce",
            Action::Scrape => "scrape",
            Action::Report => "report",
        }
    }
}

/// A refused message: what the reply must name so that the client can tell which of its messages is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// What the message asked for, as far as it could be read.
    pub action: Action,
    /// The info_hash as the message gave it, if it was one.
    pub info_hash: Option<Token<'a>>,
    /// What is wrong.
    pub refusal: Refusal,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a JSON object.
    NotAnObject,
    /// A field is missing or is not what it must be.
    Field {
        /// Its name.
        name: &'static str,
        /// Its value, shortened; `None` if it is missing.
        value: Option<String>,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A session description breaks a bound.
    Sdp(super::SdpFault),
    /// A scrape names no swarm: the tracker does not tell which swarms there are.
    FullScrape,
    /// A scrape names too many swarms.
    ScrapeTooLong {
        /// How many it names.
        swarms: usize,
        /// The bound.
        allowed: usize,
    },
    /// The operator does not allow this info_hash.
    NotAllowed,
    /// The connection is in the swarm under another peer_id.
    PeerIdBound,
    /// The connection is in as many swarms as it may be.
    TooManySwarms {
        /// The bound.
        allowed: usize,
    },
    /// The access token does not open the swarm.
    Token(TokenFault),
    /// Members reported it for bad data.
    Banned {
        /// Seconds until it may come back.
        retry_s: u64,
    },
    /// The tracker has no room for another swarm or member.
    Full,
    /// Messages come too fast.
    TooFast {
        /// Whose messages: `connection`, `address` or `address and swarm`.
        of: &'static str,
        /// Seconds until the next one is taken.
        retry_s: u64,
    },
}

impl Refusal {
    /// Messages of `of` come too fast; the next one is taken after `wait`.
    pub const fn too_fast(of: &'static str, wait: Span) -> Refusal {
        Refusal::TooFast { of, retry_s: wait.as_millis().div_ceil(1000) }
    }

    /// A short stable name, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Refusal::NotAnObject => "not_json",
            Refusal::Field { .. } => "field",
            Refusal::Sdp(_) => "sdp",
            Refusal::FullScrape | Refusal::ScrapeTooLong { .. } => "scrape",
            Refusal::NotAllowed => "not_allowed",
            Refusal::PeerIdBound => "peer_id_bound",
            Refusal::TooManySwarms { .. } => "too_many_swarms",
            Refusal::Token(_) => "token",
            Refusal::Banned { .. } => "banned",
            Refusal::Full => "full",
            Refusal::TooFast { .. } => "too_fast",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotAnObject => f.write_str("the message is not a JSON object"),
            Refusal::Field { name, value: Some(value), allowed } => {
                write!(f, "{name} is {value}; allowed is {allowed}")
            }
            Refusal::Field { name, value: None, allowed } => {
                write!(f, "{name} is missing; allowed is {allowed}")
            }
            Refusal::Sdp(fault) => fault.fmt(f),
            Refusal::FullScrape => f.write_str("info_hash is missing; a scrape must name its swarms"),
            Refusal::ScrapeTooLong { swarms, allowed } => {
                write!(f, "info_hash has {swarms} swarms, at most {allowed} are allowed in a scrape")
            }
            Refusal::NotAllowed => f.write_str("info_hash is not one that this tracker serves"),
            Refusal::PeerIdBound => {
                f.write_str("peer_id is not the one this connection joined the swarm with")
            }
            Refusal::TooManySwarms { allowed } => {
                write!(f, "info_hash: this connection is in {allowed} swarms, as many as are allowed")
            }
            Refusal::Token(fault) => fault.fmt(f),
            Refusal::Banned { retry_s } => {
                write!(f, "other members reported bad data from here, try again in {retry_s} s")
            }
            Refusal::Full => f.write_str("the tracker is full, try again later"),
            Refusal::TooFast { of, retry_s } => {
                write!(f, "too many messages from this {of}, try again in {retry_s} s")
            }
        }
    }
}

/// A value shortened for an error message.
pub(super) fn shorten(json: &str) -> String {
    const MOST_CHARS: usize = 40;
    let mut short: String = json.chars().take(MOST_CHARS).collect();
    if short.len() < json.len() {
        short.push('…');
    }
    short
}
