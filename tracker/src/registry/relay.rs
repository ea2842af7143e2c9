//! Answers and trickled candidates: what travels along an offer once it was handed out.

use hlswarm::id::{PeerId, SwarmId};
use hlswarm::time::{Span, Time};

use super::Registry;
use super::conn::{ConnId, Place, Route};
use crate::cluster::NodeId;
use crate::out::{Out, SendKind};
use crate::protocol::{Action, Answer, Candidates, Fault, Member, Offer, Refusal, Token, write_relayed};

impl Registry {
    /// Passes an answer to whoever made the offer. Only the connection that was sent the offer has the right to, once;
    /// everything else is silence, as it is for an offer whose maker is gone.
    pub(super) fn answer<'a>(
        &mut self,
        now: Time,
        conn: ConnId,
        answer: &Answer<'a>,
        out: &mut Out,
    ) -> Result<(), Fault<'a>> {
        answer.offer.sdp.check_sdp(self.limits.sdp).map_err(|fault| Fault {
            action: Action::Announce,
            info_hash: Some(answer.member.info_hash),
            refusal: Refusal::Sdp(fault),
        })?;
        let swarm = answer.member.swarm;
        let key = self.offer_key(swarm, answer.to, answer.offer.offer_id);
        let age = self.limits.offer_age;
        let own = self.conns.get_mut(conn).and_then(|state| {
            let own = state.membership(swarm).filter(|own| own.peer == answer.member.peer).copied()?;
            Some((own, state.take_offer(key, now, age)?))
        });
        let Some((own, pending)) = own else {
            self.counters.answers_dropped += 1;
            return Ok(());
        };
        if pending.from.node != NodeId::HERE {
            self.remember_match_away(swarm, conn, answer.to, pending.from, pending.ip);
            self.answer_away(now, conn, answer, own.trickle, pending, out);
            return Ok(());
        }
        let to = pending.from.conn;
        let Some(other) = self.conns.get(to).and_then(|state| state.membership(swarm)).copied() else {
            self.counters.answers_dropped += 1;
            return Ok(());
        };
        if own.trickle && other.trickle && self.limits.trickle {
            let id = answer.offer.offer_id;
            self.open_route(now, conn, (swarm, answer.to, id), Place::here(to));
            self.open_route(now, to, (swarm, answer.member.peer, id), Place::here(conn));
        }
        self.remember_match(swarm, (conn, answer.member.peer), (to, answer.to));
        self.pass_answer(now - pending.sent, to, &answer.member, answer.offer, out);
        Ok(())
    }

    /// Sends an answer to the client that made the offer.
    pub(super) fn pass_answer(
        &mut self,
        took: Span,
        to: ConnId,
        from: &Member<'_>,
        answer: Offer<'_>,
        out: &mut Out,
    ) {
        self.counters.answer_times.add(took);
        self.counters.answers += 1;
        out.send(to, SendKind::Answer, |text| {
            write_relayed(text, from, answer.offer_id, |text| {
                text.push_str(",\"answer\":{\"type\":\"answer\",\"sdp\":");
                text.push_str(answer.sdp.verbatim());
                text.push('}');
            });
        });
    }

    /// Lets a connection send candidates to the other end of an answered offer: which swarm, whose peer id, which offer.
    pub(super) fn open_route(
        &mut self,
        now: Time,
        from: ConnId,
        (swarm, other_peer, offer_id): (SwarmId, PeerId, Token<'_>),
        to: Place,
    ) {
        let expires = now + self.limits.trickle_age;
        let most = self.limits.pending_offers;
        let key = self.offer_key(swarm, other_peer, offer_id);
        if let Some(state) = self.conns.get_mut(from) {
            state.remember_route(Route { key, to, expires, sent: 0 }, now, most);
        }
    }

    /// Passes candidates to the other end of an answered offer.
    pub(super) fn candidates<'a>(
        &mut self,
        now: Time,
        conn: ConnId,
        message: &Candidates<'a>,
        out: &mut Out,
    ) -> Result<(), Fault<'a>> {
        const ALLOWED: &str = "an array of strings of bounded length, few per connection";
        let refusal = |value: String| Fault {
            action: Action::Announce,
            info_hash: Some(message.member.info_hash),
            refusal: Refusal::Field { name: "candidates", value: Some(value), allowed: ALLOWED },
        };
        for candidate in &message.candidates {
            let bytes = candidate.decode().map_or(usize::MAX, |text| text.len());
            if bytes > self.limits.trickle_candidate_bytes {
                return Err(refusal(format!("a string of {bytes} bytes")));
            }
        }
        let count = message.candidates.len() as u32;
        let swarm = message.member.swarm;
        let key = self.offer_key(swarm, message.to, message.offer_id);
        let most = self.limits.trickle_candidates as u32;
        let to = self.conns.get_mut(conn).and_then(|state| {
            state.membership(swarm).filter(|own| own.peer == message.member.peer)?;
            let route = state.routes.iter_mut().find(|route| route.key == key && route.expires > now)?;
            (route.sent + count <= most).then(|| {
                route.sent += count;
                route.to
            })
        });
        let Some(to) = to else {
            self.counters.candidates_dropped += u64::from(count);
            return Ok(());
        };
        if to.node == NodeId::HERE {
            self.pass_candidates(to.conn, &message.member, message.offer_id, &message.candidates, out);
        } else {
            self.candidates_away(conn, to, message, out);
        }
        Ok(())
    }

    /// Sends candidates to a client, if it is still in the swarm.
    pub(super) fn pass_candidates(
        &mut self,
        to: ConnId,
        from: &Member<'_>,
        offer_id: Token<'_>,
        candidates: &[Token<'_>],
        out: &mut Out,
    ) {
        let count = candidates.len() as u64;
        if self.conns.get(to).is_none_or(|state| state.membership(from.swarm).is_none()) {
            self.counters.candidates_dropped += count;
            return;
        }
        self.counters.candidates += count;
        out.send(to, SendKind::Candidates, |text| {
            write_relayed(text, from, offer_id, |text| {
                text.push_str(",\"candidates\":[");
                for (place, candidate) in candidates.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    text.push_str(candidate.verbatim());
                }
                text.push(']');
            });
        });
    }
}
