//! The part of the registry that knows of others: workers of the same process, processes of the same cluster.

use hlswarm::id::{Id20, SwarmId};
use hlswarm::signal::message::push_json_id;
use hlswarm::time::Time;
use rand::Rng;

use super::announce::Offering;
use super::conn::{ConnId, Given, Pending, Place};
use super::{ClusterCounters, ClusterSizes, Counts, Mesh, Prefix, Registry};
use crate::cluster::{self, Answered, Dest, Hearing, NodeId, OffersHead, PassedOn, Trickled};
use crate::out::Out;
use crate::protocol::{Answer, Candidates, Member, Offer, Token};

impl Registry {
    /// Makes the registry one of several. Call it before the first connection.
    pub fn join_cluster(&mut self, mesh: Mesh) {
        self.mesh = Some(Box::new(mesh));
    }

    /// A frame of another registry came. What it asks for is in `out`; frames that cannot be read are counted.
    pub fn hear(&mut self, now: Time, rng: &mut impl Rng, frame: &[u8], out: &mut Out) {
        let Some(mesh) = &mut self.mesh else { return };
        match mesh.hear(now, frame, out) {
            Hearing::Done => {}
            Hearing::Offers { passed, shared } => self.offers_from_away(now, rng, &passed, shared, out),
            Hearing::Answer(from, answer) => self.answer_from_away(now, from, &answer, out),
            Hearing::Candidates(from, trickled) => self.candidates_from_away(now, from, &trickled, out),
            Hearing::Report(accused) => self.report_from_away(now, &accused, out),
            Hearing::Ban(banned) => self.ban_from_away(now, &banned),
        }
    }

    /// When [`tick_cluster`](Registry::tick_cluster) has something to do; `None` without a cluster.
    pub fn cluster_due(&self) -> Option<Time> {
        self.mesh.as_ref().map(|mesh| mesh.due())
    }

    /// Tells the others what is due and forgets those that are silent.
    pub fn tick_cluster(&mut self, now: Time, out: &mut Out) {
        if let Some(mesh) = &mut self.mesh {
            mesh.tick(now, out);
        }
    }

    /// Tells the others to send nothing more: the process is about to go.
    pub fn leave_cluster(&mut self, out: &mut Out) {
        if let Some(mesh) = &mut self.mesh {
            mesh.leave(out);
        }
    }

    /// What was done in the cluster so far; `None` without one.
    pub fn cluster(&self) -> Option<(ClusterCounters, ClusterSizes)> {
        self.mesh.as_ref().map(|mesh| (mesh.counters(), mesh.sizes()))
    }

    /// Members of a swarm, here and elsewhere: those that have everything, and the others.
    pub(super) fn size(&self, swarm: SwarmId) -> (usize, usize) {
        match &self.mesh {
            Some(mesh) => {
                let counts = mesh.counts(swarm);
                (counts.complete as usize, counts.incomplete as usize)
            }
            None => self.swarm(swarm).map_or((0, 0), |swarm| (swarm.seeders, swarm.leechers())),
        }
    }

    /// A swarm here grew or shrank.
    pub(super) fn tell_size(&mut self, id: SwarmId) {
        if self.mesh.is_none() {
            return;
        }
        let counts = self.swarm(id).map_or(Counts::default(), |swarm| Counts {
            complete: swarm.seeders as u32,
            incomplete: swarm.leechers() as u32,
        });
        if let Some(mesh) = &mut self.mesh {
            mesh.set_own(id, counts);
        }
    }

    /// Gives offers to members here and passes the others on. `away`: to other processes as well.
    pub(super) fn share_out(
        &mut self,
        now: Time,
        rng: &mut impl Rng,
        from: &Offering<'_>,
        offers: &[Offer<'_>],
        away: bool,
        out: &mut Out,
    ) {
        let Some(mesh) = &self.mesh else {
            let taken = self.give(now, rng, from, offers, out);
            self.counters.offers_dropped += (offers.len() - taken) as u64;
            return;
        };
        let is_here = from.place.node == NodeId::HERE;
        let own_use = self.swarm(from.member.swarm).map_or(0, |swarm| {
            let ours = if from.seeder { swarm.leechers() } else { swarm.members.len() };
            // Nobody gets an offer of its own; a seeder is not among the leechers.
            ours.saturating_sub(usize::from(is_here && !from.seeder))
        });
        let mut shares = mesh.share_out(rng, from.member.swarm, offers.len(), own_use, from.seeder, away);
        let own = shares.first().map_or(0, |share| share.offers).min(offers.len());
        let (ours, others) = offers.split_at(own);
        let taken = self.give(now, rng, from, ours, out);
        if let (Some(mesh), true) = (&self.mesh, taken < own) {
            mesh.share_rest(rng, &mut shares, own - taken);
        }
        let mut left = ours.get(taken..).unwrap_or_default().iter().chain(others).copied();
        let mut passed = 0;
        for share in shares.iter().skip(1).filter(|share| share.offers > 0) {
            let some: Vec<Offer<'_>> = left.by_ref().take(share.offers).collect();
            passed += self.pass_on(now, from, share.node, &some, out);
        }
        self.counters.offers_dropped += (offers.len() - taken).saturating_sub(passed) as u64;
        if let Some(mesh) = &mut self.mesh {
            mesh.counters.offers_out += passed as u64;
        }
    }

    /// Hands offers to another registry. Returns how many fit the frame.
    fn pass_on(
        &mut self,
        now: Time,
        from: &Offering<'_>,
        to: NodeId,
        offers: &[Offer<'_>],
        out: &mut Out,
    ) -> usize {
        let Some(mesh) = &self.mesh else { return 0 };
        let (own, is_here) = (mesh.own(), from.place.node == NodeId::HERE);
        let head = OffersHead {
            origin: if is_here { own } else { from.place.node },
            conn: from.place.conn.to_bits(),
            swarm: from.member.swarm,
            peer: from.member.peer,
            ip: from.ip.to_bits(),
            region: from.region,
            seeder: from.seeder,
            trickle: from.trickle,
        };
        let mut passed = 0;
        out.frame(Dest::Node(to), |frame| {
            let texts = offers.iter().map(|offer| (offer.offer_id, offer.sdp));
            passed = cluster::write_offers(frame, own, to, head, texts);
            passed > 0
        });
        if is_here {
            for offer in offers.iter().take(passed) {
                let key = self.offer_key(from.member.swarm, from.member.peer, offer.offer_id);
                let (age, most) = (self.limits.offer_age, self.limits.pending_offers);
                if let Some(state) = self.conns.get_mut(from.place.conn) {
                    state.remember_given(Given { key, to, sent: now }, now, age, most);
                }
            }
        }
        passed
    }

    /// Another registry's member offers.
    fn offers_from_away(
        &mut self,
        now: Time,
        rng: &mut impl Rng,
        passed: &PassedOn<'_>,
        shared: bool,
        out: &mut Out,
    ) {
        let head = passed.head;
        let bounds = self.limits.sdp;
        let all = passed.offers.iter().map(|(offer_id, sdp)| Offer { offer_id: *offer_id, sdp: *sdp });
        let offers: Vec<Offer<'_>> = all.filter(|offer| offer.sdp.check_sdp(bounds).is_ok()).collect();
        let (swarm, peer) = (json(head.swarm.0), json(head.peer));
        let Some(member) = member(head.swarm, &swarm, head.peer, &peer) else { return };
        let from = Offering {
            place: Place { node: head.origin, conn: ConnId::from_bits(head.conn) },
            member,
            ip: Prefix::from_bits(head.ip),
            region: head.region,
            seeder: head.seeder,
            trickle: head.trickle,
        };
        let before = self.counters.offers;
        if shared {
            self.share_out(now, rng, &from, &offers, false, out);
        } else {
            let taken = self.give(now, rng, &from, &offers, out);
            self.counters.offers_dropped += (offers.len() - taken) as u64;
        }
        let taken = self.counters.offers - before;
        if let Some(mesh) = &mut self.mesh {
            mesh.counters.offers_in += taken;
            mesh.counters.offers_in_dropped += (passed.offers.len() as u64).saturating_sub(taken);
        }
    }

    /// A member here answers an offer that came from elsewhere.
    pub(super) fn answer_away(
        &mut self,
        now: Time,
        conn: ConnId,
        answer: &Answer<'_>,
        takes_trickle: bool,
        pending: Pending,
        out: &mut Out,
    ) {
        let trickle = takes_trickle && pending.trickle && self.limits.trickle;
        if trickle {
            let id = answer.offer.offer_id;
            self.open_route(now, conn, (answer.member.swarm, answer.to, id), pending.from);
        }
        let ip = self.conns.get(conn).map_or(0, |state| state.ip.to_bits());
        let Some(mesh) = &mut self.mesh else { return };
        mesh.counters.answers_out += 1;
        let (own, to) = (mesh.own(), pending.from.node);
        let answered = Answered {
            to: pending.from.conn.to_bits(),
            conn: conn.to_bits(),
            ip,
            swarm: answer.member.swarm,
            peer: answer.member.peer,
            trickle,
            offer_id: answer.offer.offer_id,
            sdp: answer.offer.sdp,
        };
        out.frame(Dest::Node(to), |frame| {
            cluster::write_answer(frame, own, to, &answered);
            true
        });
    }

    /// An answer came from elsewhere. It counts only if that process was given the offer, and once.
    fn answer_from_away(&mut self, now: Time, from: NodeId, answer: &Answered<'_>, out: &mut Out) {
        let to = ConnId::from_bits(answer.to);
        let own = self.conns.get(to).and_then(|state| state.membership(answer.swarm)).copied();
        let given = own.filter(|_| answer.sdp.check_sdp(self.limits.sdp).is_ok()).and_then(|own| {
            let key = self.offer_key(answer.swarm, own.peer, answer.offer_id);
            let state = self.conns.get_mut(to)?;
            Some((own, state.take_given(key, from, now, self.limits.offer_age)?))
        });
        let Some((own, given)) = given else {
            self.counters.answers_dropped += 1;
            if let Some(mesh) = &mut self.mesh {
                mesh.counters.answers_in_dropped += 1;
            }
            return;
        };
        if let Some(mesh) = &mut self.mesh {
            mesh.counters.answers_in += 1;
        }
        let place = Place { node: from, conn: ConnId::from_bits(answer.conn) };
        self.remember_match_away(answer.swarm, to, answer.peer, place, Prefix::from_bits(answer.ip));
        if answer.trickle && own.trickle && self.limits.trickle {
            self.open_route(now, to, (answer.swarm, answer.peer, answer.offer_id), place);
        }
        let (swarm, peer) = (json(answer.swarm.0), json(answer.peer));
        let Some(member) = member(answer.swarm, &swarm, answer.peer, &peer) else { return };
        let offer = Offer { offer_id: answer.offer_id, sdp: answer.sdp };
        self.pass_answer(now - given.sent, to, &member, offer, out);
    }

    /// A member here found candidates for a member elsewhere.
    pub(super) fn candidates_away(
        &mut self,
        conn: ConnId,
        to: Place,
        message: &Candidates<'_>,
        out: &mut Out,
    ) {
        let Some(mesh) = &self.mesh else { return };
        let own = mesh.own();
        let trickled = Trickled {
            to: to.conn.to_bits(),
            conn: conn.to_bits(),
            swarm: message.member.swarm,
            peer: message.member.peer,
            offer_id: message.offer_id,
            candidates: message.candidates.clone(),
        };
        self.counters.candidates += message.candidates.len() as u64;
        out.frame(Dest::Node(to.node), |frame| {
            cluster::write_candidates(frame, own, to.node, &trickled);
            true
        });
    }

    /// Candidates came from elsewhere. They count only from the other end of an answered offer.
    fn candidates_from_away(&mut self, now: Time, from: NodeId, trickled: &Trickled<'_>, out: &mut Out) {
        let to = ConnId::from_bits(trickled.to);
        let other = Place { node: from, conn: ConnId::from_bits(trickled.conn) };
        let key = self.offer_key(trickled.swarm, trickled.peer, trickled.offer_id);
        let known = self.conns.get(to).is_some_and(|state| {
            state.routes.iter().any(|route| route.key == key && route.to == other && route.expires > now)
        });
        let bytes = self.limits.trickle_candidate_bytes;
        let fits = |candidate: &Token<'_>| candidate.decode().is_some_and(|text| text.len() <= bytes);
        let count = trickled.candidates.len();
        if !known || count > self.limits.trickle_candidates || !trickled.candidates.iter().all(fits) {
            self.counters.candidates_dropped += count as u64;
            return;
        }
        let (swarm, peer) = (json(trickled.swarm.0), json(trickled.peer));
        if let Some(member) = member(trickled.swarm, &swarm, trickled.peer, &peer) {
            self.pass_candidates(to, &member, trickled.offer_id, &trickled.candidates, out);
        }
    }
}

fn json(id: Id20) -> String {
    let mut text = String::with_capacity(24);
    push_json_id(&mut text, id);
    text
}

fn member<'a>(swarm: SwarmId, info_hash: &'a str, peer: Id20, peer_id: &'a str) -> Option<Member<'a>> {
    Some(Member { swarm, info_hash: Token::new(info_hash)?, peer, peer_id: Token::new(peer_id)? })
}
