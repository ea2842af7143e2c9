//! Answers and trickled candidates: what travels along an offer once it was handed out.

use hlswarm::time::Time;

use super::Registry;
use super::conn::{ConnId, Route};
use crate::out::{Out, SendKind};
use crate::protocol::{Action, Answer, Candidates, Fault, Refusal, write_relayed};

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
        let target = own.and_then(|(own, pending)| {
            let other = self.conns.get(pending.from)?.membership(swarm).copied()?;
            Some((own.trickle && other.trickle, pending))
        });
        let Some((trickle, pending)) = target else {
            self.counters.answers_dropped += 1;
            return Ok(());
        };
        let to = pending.from;
        self.counters.answer_times.add(now - pending.sent);
        if trickle && self.limits.trickle {
            self.open_routes(now, conn, to, answer);
        }
        self.counters.answers += 1;
        out.send(to, SendKind::Answer, |text| {
            write_relayed(text, &answer.member, answer.offer.offer_id, |text| {
                text.push_str(",\"answer\":{\"type\":\"answer\",\"sdp\":");
                text.push_str(answer.offer.sdp.verbatim());
                text.push('}');
            });
        });
        Ok(())
    }

    fn open_routes(&mut self, now: Time, answerer: ConnId, offerer: ConnId, answer: &Answer<'_>) {
        let expires = now + self.limits.trickle_age;
        let most = self.limits.pending_offers;
        for (from, to, other_peer) in
            [(answerer, offerer, answer.to), (offerer, answerer, answer.member.peer)]
        {
            let key = self.offer_key(answer.member.swarm, other_peer, answer.offer.offer_id);
            if let Some(state) = self.conns.get_mut(from) {
                state.remember_route(Route { key, to, expires, sent: 0 }, now, most);
            }
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
        let Some(to) =
            to.filter(|to| self.conns.get(*to).is_some_and(|state| state.membership(swarm).is_some()))
        else {
            self.counters.candidates_dropped += u64::from(count);
            return Ok(());
        };
        self.counters.candidates += u64::from(count);
        out.send(to, SendKind::Candidates, |text| {
            write_relayed(text, &message.member, message.offer_id, |text| {
                text.push_str(",\"candidates\":[");
                for (place, candidate) in message.candidates.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    text.push_str(candidate.verbatim());
                }
                text.push(']');
            });
        });
        Ok(())
    }
}
