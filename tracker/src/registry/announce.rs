//! Announces: joining, staying, leaving, and handing offers to others.

use hlswarm::time::Time;
use rand::Rng;

use super::admission::{Prefix, Region};
use super::conn::{ConnId, Membership, Pending, Place};
use super::rate::{Bucket, Rate};
use super::swarm::{Member, Swarm};
use super::{Due, Registry};
use crate::cluster::NodeId;
use crate::out::{Out, SendKind};
use crate::protocol::{
    self, Announce, AnnounceReply, Event, Fault, Offer, Refusal, write_announced, write_relayed,
};

impl Registry {
    pub(super) fn announce<'a>(
        &mut self,
        now: Time,
        rng: &mut impl Rng,
        conn: ConnId,
        announce: &Announce<'a>,
        out: &mut Out,
    ) -> Result<(), Fault<'a>> {
        self.counters.announces += 1;
        if announce.event == Event::Stopped {
            self.stop(conn, announce);
            self.reply(conn, announce, None, out);
            return Ok(());
        }
        let (at, index) = self.join_or_stay(now, conn, announce).map_err(|refusal| Fault {
            action: protocol::Action::Announce,
            info_hash: Some(announce.member.info_hash),
            refusal,
        })?;
        let (offers, warning) = self.usable_offers(now, conn, announce);
        self.reply(conn, announce, warning.as_deref(), out);
        self.hand_out(now, rng, (conn, at, index), announce, &offers, out);
        Ok(())
    }

    fn stop(&mut self, conn: ConnId, announce: &Announce<'_>) {
        let Some(state) = self.conns.get_mut(conn) else { return };
        state.announced = true;
        // Only as the peer that this connection joined as: a `stopped` in another's name changes nothing.
        if state.membership(announce.member.swarm).is_some_and(|own| own.peer == announce.member.peer) {
            self.leave(conn, announce.member.swarm);
        }
    }

    /// Makes the connection a member, or refreshes what is known of it. Returns its place.
    fn join_or_stay(
        &mut self,
        now: Time,
        conn: ConnId,
        announce: &Announce<'_>,
    ) -> Result<(u32, u32), Refusal> {
        let id = announce.member.swarm;
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&id.0)) {
            return Err(Refusal::NotAllowed);
        }
        self.spend_ip_tokens(now, conn, announce)?;
        self.refuse_banned(now, conn, id)?;
        let token = self.check_token(now, conn, announce)?;
        let completed = announce.event == Event::Completed;
        let Some(state) = self.conns.get_mut(conn) else { return Err(Refusal::Full) };
        let (net, region) = (state.ip.net(), state.region);
        state.announced = true;
        let memberships = state.memberships.len();
        if let Some(own) = state.membership_mut(id) {
            if own.peer != announce.member.peer {
                return Err(Refusal::PeerIdBound);
            }
            let seeder = completed || announce.seeder.unwrap_or(own.seeder);
            let finished = completed && !own.seeder;
            let changed = own.seeder != seeder;
            own.seeder = seeder;
            own.trickle = announce.trickle;
            own.last_announce = now;
            let place = (own.at, own.index);
            self.tokens.switch(std::mem::replace(&mut own.token, token), token);
            if let Some(swarm) = self.swarms.get_mut(place.0 as usize).and_then(Option::as_mut) {
                swarm.set_seeder(place.1, seeder);
                swarm.downloaded += u64::from(finished);
            }
            if changed {
                self.tell_size(id);
            }
            return Ok(place);
        }
        if memberships >= self.limits.swarms_per_connection {
            return Err(Refusal::TooManySwarms { allowed: self.limits.swarms_per_connection });
        }
        let seeder = completed || announce.seeder == Some(true);
        if self.members >= self.limits.peers {
            return Err(Refusal::Full);
        }
        let at = self.swarm_slot(announce)?;
        let Some(swarm) = self.swarms.get_mut(at as usize).and_then(Option::as_mut) else {
            return Err(Refusal::Full);
        };
        swarm.downloaded += u64::from(completed);
        let index = swarm.add(Member::new(conn, announce.member.peer, seeder, net, region));
        self.members += 1;
        self.joins = self.joins.wrapping_add(1);
        let joined = self.joins;
        if let Some(state) = self.conns.get_mut(conn) {
            // Nearly all are in one swarm: a vector grows to four at once.
            state.memberships.reserve_exact(1);
            state.memberships.push(Membership {
                swarm: id,
                at,
                index,
                peer: announce.member.peer,
                seeder,
                trickle: announce.trickle,
                token,
                joined,
                last_announce: now,
                offers: Bucket::default(),
            });
        }
        self.tokens.switch(0, token);
        self.plan(now + self.limits.peer_age, Due::Member(conn, id, joined));
        self.tell_size(id);
        Ok((at, index))
    }

    fn spend_ip_tokens(&mut self, now: Time, conn: ConnId, announce: &Announce<'_>) -> Result<(), Refusal> {
        let Some(state) = self.conns.get(conn) else { return Ok(()) };
        let too_fast = |of| move |wait| Refusal::too_fast(of, wait);
        let rate = self.limits.announces_per_ip;
        self.ip_announces.entry(state.ip).or_default().take(now, rate).map_err(too_fast("address"))?;
        let rate = self.limits.announces_per_ip_and_swarm;
        let bucket = self.ip_swarm_announces.entry((state.ip, announce.member.swarm)).or_default();
        bucket.take(now, rate).map_err(too_fast("address and swarm"))
    }

    /// Where the swarm of an announce is; made if it is new.
    fn swarm_slot(&mut self, announce: &Announce<'_>) -> Result<u32, Refusal> {
        let id = announce.member.swarm;
        if let Some(at) = self.swarm_index.get(&id) {
            return Ok(*at);
        }
        if self.swarm_index.len() >= self.limits.swarms {
            return Err(Refusal::Full);
        }
        let at = match self.free_swarms.pop() {
            Some(at) => at,
            None => {
                self.swarms.push(None);
                (self.swarms.len() - 1) as u32
            }
        };
        if let Some(entry) = self.swarms.get_mut(at as usize) {
            *entry = Some(Swarm::new(id));
        }
        self.swarm_index.insert(id, at);
        Ok(at)
    }

    /// The offers of an announce that keep the bounds, and what to tell the client of the others.
    fn usable_offers<'a>(
        &mut self,
        now: Time,
        conn: ConnId,
        announce: &Announce<'a>,
    ) -> (Vec<Offer<'a>>, Option<String>) {
        if announce.offers.is_empty() {
            return (Vec::new(), None);
        }
        let limits = &self.limits;
        let seconds = limits.min_interval.as_secs_f64();
        let rate = if seconds > 0.0 {
            Rate { per_second: 1.0 / seconds, burst: limits.announce_burst }
        } else {
            Rate::UNLIMITED
        };
        let own = self.conns.get_mut(conn).and_then(|state| state.membership_mut(announce.member.swarm));
        if own.is_some_and(|own| own.offers.take(now, rate).is_err()) {
            self.counters.offers_dropped += announce.offers.len() as u64;
            return (Vec::new(), Some("announces come too fast: their offers were dropped".into()));
        }
        let mut warning = None;
        let mut usable = Vec::with_capacity(announce.offers.len().min(limits.offers_per_announce));
        for offer in &announce.offers {
            if usable.len() == limits.offers_per_announce {
                let (many, allowed) = (announce.offers.len(), limits.offers_per_announce);
                warning = Some(format!("offers has {many} entries, at most {allowed} are used"));
                break;
            }
            match offer.sdp.check_sdp(limits.sdp) {
                Ok(()) => usable.push(*offer),
                Err(fault) => warning = Some(format!("an offer was dropped: {fault}")),
            }
        }
        let taken = self.spend_offer_tokens(now, conn, usable.len());
        if taken < usable.len() {
            usable.truncate(taken);
            warning = Some(format!("offers come too fast: {taken} of this announce are used"));
        }
        self.counters.offers_dropped += (announce.offers.len() - usable.len()) as u64;
        (usable, warning)
    }

    /// How many of `offers` the connection and its address may have passed on now.
    fn spend_offer_tokens(&mut self, now: Time, conn: ConnId, offers: usize) -> usize {
        let Some(state) = self.conns.get_mut(conn) else { return 0 };
        let own = state.offers.take_up_to(now, self.limits.offers_per_connection, offers);
        self.ip_offers.entry(state.ip).or_default().take_up_to(now, self.limits.offers_per_ip, own)
    }

    fn reply(&mut self, conn: ConnId, announce: &Announce<'_>, warning: Option<&str>, out: &mut Out) {
        let (complete, incomplete) = self.size(announce.member.swarm);
        let reply = AnnounceReply {
            interval_s: self.limits.interval.as_secs(),
            min_interval_s: self.limits.min_interval.as_secs(),
            complete,
            incomplete,
            trickle: announce.trickle && self.limits.trickle,
            // Clients that know the one extension of ours know the other.
            reports: announce.trickle && self.limits.reports_to_ban > 0,
            warning,
        };
        out.send(conn, SendKind::Reply, |text| write_announced(text, announce.member.info_hash, reply));
    }

    /// Hands each offer to another member, here or elsewhere.
    fn hand_out(
        &mut self,
        now: Time,
        rng: &mut impl Rng,
        (conn, at, index): (ConnId, u32, u32),
        announce: &Announce<'_>,
        offers: &[Offer<'_>],
        out: &mut Out,
    ) {
        if offers.is_empty() {
            return;
        }
        let (Some(swarm), Some(state)) =
            (self.swarms.get(at as usize).and_then(Option::as_ref), self.conns.get(conn))
        else {
            return;
        };
        let from = Offering {
            place: Place::here(conn),
            member: announce.member,
            ip: state.ip,
            region: state.region,
            seeder: swarm.members.get(index as usize).is_some_and(|own| own.seeder),
            trickle: announce.trickle,
        };
        self.share_out(now, rng, &from, offers, true, out);
    }

    /// Gives offers to members here, in the order drawn. Returns how many were taken.
    pub(super) fn give(
        &mut self,
        now: Time,
        rng: &mut impl Rng,
        from: &Offering<'_>,
        offers: &[Offer<'_>],
        out: &mut Out,
    ) -> usize {
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        let budget = self.limits.received_offers;
        let at = self.swarm_index.get(&from.member.swarm).copied();
        if let Some(swarm) = at.and_then(|at| self.swarms.get(at as usize)).and_then(Option::as_ref) {
            let own = usize::from(from.place.node == NodeId::HERE);
            let near = offers.len() * self.limits.near_percent.min(100) / 100;
            let near = (from.ip.net(), from.region, own, near);
            swarm.draw(rng, offers.len(), near, &mut chosen, |other| {
                // A seeder wants nothing of a seeder; a client's own second connection is no peer for it.
                Place::here(other.conn) != from.place
                    && other.peer != from.member.peer
                    && !(from.seeder && other.seeder)
                    && self.conns.get(other.conn).is_some_and(|state| state.received_offers.has(now, budget))
            });
            let receivers =
                chosen.iter().filter_map(|index| swarm.members.get(*index as usize)).map(|to| to.conn);
            for (offer, to) in offers.iter().zip(receivers) {
                let key = self.offer_key(from.member.swarm, from.member.peer, offer.offer_id);
                let Some(state) = self.conns.get_mut(to) else { continue };
                // `draw` saw that there is a token.
                let _ = state.received_offers.take(now, budget);
                let pending =
                    Pending { key, from: from.place, trickle: from.trickle, ip: from.ip, sent: now };
                state.remember_offer(pending, now, self.limits.offer_age, self.limits.pending_offers);
                self.counters.offers += 1;
                out.send(to, SendKind::Offer, |text| {
                    write_relayed(text, &from.member, offer.offer_id, |text| {
                        text.push_str(",\"offer\":{\"type\":\"offer\",\"sdp\":");
                        text.push_str(offer.sdp.verbatim());
                        text.push('}');
                    });
                });
            }
        }
        let taken = chosen.len();
        self.chosen = chosen;
        taken
    }
}

/// Whose offers are handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offering<'a> {
    pub(super) place: Place,
    pub(super) member: protocol::Member<'a>,
    pub(super) ip: Prefix,
    pub(super) region: Region,
    pub(super) seeder: bool,
    pub(super) trickle: bool,
}
