//! Frames, written.

use super::super::{NodeId, ShardSet};
use super::{
    ANSWER, Accused, Answered, BAN, BYE, Banned, CANDIDATES, CHANGES, Group, MAX_CANDIDATES, MAX_FRAME_BYTES,
    MAX_OFFERS, OFFERS, OffersHead, PRESENCE, REPEATED, REPORT, Trickled, VERSION, WANTED,
};
use crate::protocol::Token;

fn head(out: &mut Vec<u8>, kind: u8, from: NodeId, to: Option<NodeId>) {
    out.push(VERSION);
    out.push(kind);
    out.extend(from.0.to_be_bytes());
    out.extend(to.map_or(0, |to| to.0).to_be_bytes());
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u16).to_be_bytes());
}

fn push_token(out: &mut Vec<u8>, token: Token<'_>) {
    let text = token.verbatim();
    out.extend((text.len() as u32).to_be_bytes());
    out.extend(text.as_bytes());
}

fn push_groups(out: &mut Vec<u8>, groups: &[Group]) {
    push_count(out, groups.len());
    for group in groups {
        out.push(group.shard);
        out.extend(group.number.to_be_bytes());
        out.extend(group.part.to_be_bytes());
        out.push(u8::from(group.last));
        push_count(out, group.records.len());
        for (swarm, counts) in &group.records {
            out.extend(swarm.0.0);
            out.extend(counts.complete.to_be_bytes());
            out.extend(counts.incomplete.to_be_bytes());
        }
    }
}

pub(in crate::cluster) fn write_presence(out: &mut Vec<u8>, from: NodeId, numbers: &[u32]) {
    head(out, PRESENCE, from, None);
    let known = (0..=u8::MAX).zip(numbers).filter(|(_, number)| **number > 0);
    push_count(out, known.clone().count());
    for (shard, number) in known {
        out.push(shard);
        out.extend(number.to_be_bytes());
    }
}

pub(in crate::cluster) fn write_changes(out: &mut Vec<u8>, from: NodeId, groups: &[Group]) {
    head(out, CHANGES, from, None);
    push_groups(out, groups);
}

pub(in crate::cluster) fn write_repeated(out: &mut Vec<u8>, from: NodeId, to: NodeId, groups: &[Group]) {
    head(out, REPEATED, from, Some(to));
    push_groups(out, groups);
}

pub(in crate::cluster) fn write_wanted(out: &mut Vec<u8>, from: NodeId, to: NodeId, shards: ShardSet) {
    head(out, WANTED, from, Some(to));
    for word in shards.0 {
        out.extend(word.to_be_bytes());
    }
}

pub(in crate::cluster) fn write_bye(out: &mut Vec<u8>, from: NodeId) {
    head(out, BYE, from, None);
}

/// Writes offers for `to`. Returns how many it took: the rest does not fit the frame.
pub(crate) fn write_offers<'a>(
    out: &mut Vec<u8>,
    from: NodeId,
    to: NodeId,
    who: OffersHead,
    offers: impl Iterator<Item = (Token<'a>, Token<'a>)>,
) -> usize {
    let start = out.len();
    head(out, OFFERS, from, Some(to));
    out.extend(who.origin.0.to_be_bytes());
    out.extend(who.conn.to_be_bytes());
    out.extend(who.swarm.0.0);
    out.extend(who.peer.0);
    out.extend(who.ip.to_be_bytes());
    out.extend(who.region.asn.to_be_bytes());
    out.extend(who.region.country.to_be_bytes());
    out.push(u8::from(who.seeder));
    out.push(u8::from(who.trickle));
    let count_at = out.len();
    push_count(out, 0);
    let mut count = 0;
    for (offer_id, sdp) in offers.take(MAX_OFFERS) {
        let more = offer_id.verbatim().len() + sdp.verbatim().len() + 8;
        if out.len() - start + more > MAX_FRAME_BYTES {
            break;
        }
        push_token(out, offer_id);
        push_token(out, sdp);
        count += 1;
    }
    if let Some(place) = out.get_mut(count_at..count_at + 2) {
        place.copy_from_slice(&(count as u16).to_be_bytes());
    }
    count
}

/// Writes an answer for `to`.
pub(crate) fn write_answer(out: &mut Vec<u8>, from: NodeId, to: NodeId, answer: &Answered<'_>) {
    head(out, ANSWER, from, Some(to));
    out.extend(answer.to.to_be_bytes());
    out.extend(answer.conn.to_be_bytes());
    out.extend(answer.ip.to_be_bytes());
    out.extend(answer.swarm.0.0);
    out.extend(answer.peer.0);
    out.push(u8::from(answer.trickle));
    push_token(out, answer.offer_id);
    push_token(out, answer.sdp);
}

/// Writes candidates for `to`.
pub(crate) fn write_candidates(out: &mut Vec<u8>, from: NodeId, to: NodeId, trickled: &Trickled<'_>) {
    head(out, CANDIDATES, from, Some(to));
    out.extend(trickled.to.to_be_bytes());
    out.extend(trickled.conn.to_be_bytes());
    out.extend(trickled.swarm.0.0);
    out.extend(trickled.peer.0);
    push_token(out, trickled.offer_id);
    push_count(out, trickled.candidates.len().min(MAX_CANDIDATES));
    for candidate in trickled.candidates.iter().take(MAX_CANDIDATES) {
        push_token(out, *candidate);
    }
}

/// Writes a report of one of `to`'s members.
pub(crate) fn write_report(out: &mut Vec<u8>, from: NodeId, to: NodeId, accused: &Accused) {
    head(out, REPORT, from, Some(to));
    out.extend(accused.conn.to_be_bytes());
    out.extend(accused.ip.to_be_bytes());
    out.extend(accused.swarm.0.0);
    out.extend(accused.voice.to_be_bytes());
}

/// Writes a ban for everybody.
pub(crate) fn write_ban(out: &mut Vec<u8>, from: NodeId, banned: &Banned) {
    head(out, BAN, from, None);
    out.extend(banned.swarm.0.0);
    out.extend(banned.ip.to_be_bytes());
    out.extend(banned.seconds.to_be_bytes());
}
