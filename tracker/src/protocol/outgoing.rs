//! Messages to clients, written straight into the buffer they are sent from.

use std::fmt::Write;

use hlswarm::id::SwarmId;
use hlswarm::signal::message::{push_json_id, push_json_string};

use super::incoming::Member;
use super::refusal::Fault;
use super::token::Token;

/// The numbers in the reply to an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceReply<'a> {
    /// Seconds until the next announce.
    pub interval_s: u64,
    /// No announce sooner than after this many seconds.
    pub min_interval_s: u64,
    /// Members that have everything.
    pub complete: usize,
    /// The other members.
    pub incomplete: usize,
    /// Tells a client that takes trickled candidates that they are relayed.
    pub trickle: bool,
    /// Tells such a client that it may report peers that sent bad data.
    pub reports: bool,
    /// For people: part of the announce was not used.
    pub warning: Option<&'a str>,
}

/// Writes the reply to an announce.
pub fn write_announced(out: &mut String, info_hash: Token<'_>, reply: AnnounceReply<'_>) {
    out.push_str("{\"action\":\"announce\",\"info_hash\":");
    out.push_str(info_hash.verbatim());
    // Writing to a String does not fail.
    let _ = write!(
        out,
        ",\"interval\":{},\"min interval\":{},\"complete\":{},\"incomplete\":{}",
        reply.interval_s, reply.min_interval_s, reply.complete, reply.incomplete
    );
    if reply.trickle {
        out.push_str(",\"trickle\":true");
    }
    if reply.reports {
        out.push_str(",\"reports\":true");
    }
    if let Some(warning) = reply.warning {
        out.push_str(",\"warning message\":");
        push_json_string(out, warning);
    }
    out.push('}');
}

/// Writes what one member sends to another: `fields` adds the part that is the message's own.
pub fn write_relayed(
    out: &mut String,
    from: &Member<'_>,
    offer_id: Token<'_>,
    fields: impl FnOnce(&mut String),
) {
    out.push_str("{\"action\":\"announce\",\"info_hash\":");
    out.push_str(from.info_hash.verbatim());
    out.push_str(",\"peer_id\":");
    out.push_str(from.peer_id.verbatim());
    out.push_str(",\"offer_id\":");
    out.push_str(offer_id.verbatim());
    fields(out);
    out.push('}');
}

/// Writes one swarm after another into the reply to a scrape.
pub fn write_scraped(out: &mut String, swarms: impl Iterator<Item = (SwarmId, usize, usize, u64)>) {
    out.push_str("{\"action\":\"scrape\",\"files\":{");
    for (place, (swarm, complete, incomplete, downloaded)) in swarms.enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_json_id(out, swarm.0);
        let _ = write!(
            out,
            ":{{\"complete\":{complete},\"incomplete\":{incomplete},\"downloaded\":{downloaded}}}"
        );
    }
    out.push_str("}}");
}

/// Writes the refusal of a message.
pub fn write_failure(out: &mut String, fault: &Fault<'_>) {
    out.push_str("{\"action\":\"");
    out.push_str(fault.action.as_str());
    out.push_str("\",\"info_hash\":");
    out.push_str(fault.info_hash.map_or("\"\"", Token::verbatim));
    out.push_str(",\"failure reason\":");
    push_json_string(out, &fault.refusal.to_string());
    out.push('}');
}
