//! The tracker's behaviour as pure data: swarms, members, offers on their way.
//!
//! A shell calls [`connect`](Registry::connect) when a client's WebSocket is open, [`handle`](Registry::handle) for each
//! of its messages, [`disconnect`](Registry::disconnect) when it is closed for whatever reason, and
//! [`tick`](Registry::tick) about once a second. It sends and closes what [`Out`] says, in order.
//!
//! A member is known by its connection: nobody else can update it, stop it or answer for it, and a second connection
//! with the same peer id is another member. An offer may be answered once, by the connection it was sent to.
//!
//! Refusals are replies, never closes: stock clients that are closed stay away for minutes.

mod admission;
mod announce;
mod away;
mod conn;
mod limits;
mod rate;
mod relay;
mod reports;
mod scrape;
mod swarm;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;

use hlswarm::id::{Id20, PeerId, SwarmId};
use hlswarm::time::Time;
use rand::Rng;

use crate::cluster::{ClusterCounters, ClusterSizes, Counts, Mesh};
use crate::histogram::Histogram;
use crate::out::{CloseReason, Out, SendKind};
use crate::protocol::{Fault, Incoming, Refusal, Token, parse, write_failure};

pub use admission::{Admission, MostConnections, Net, Prefix, Region};
pub use conn::ConnId;
pub use limits::Limits;
pub use rate::{Bucket, Rate};
pub use tokens::{MIN_SECRET_BYTES, Secrets, TokenFault};

use conn::{Conn, Conns, OfferKey};
use reports::Reports;
use swarm::Swarm;
use tokens::Tokens;

/// Lookups only: nothing depends on the order of the entries.
#[allow(clippy::disallowed_types)]
type Map<K, V> = std::collections::HashMap<K, V>;

/// All swarms and connections of one tracker.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    allowed: Option<BTreeSet<Id20>>,
    conns: Conns,
    swarms: Vec<Option<Swarm>>,
    free_swarms: Vec<u32>,
    swarm_index: Map<SwarmId, u32>,
    admission: Admission,
    ip_announces: Map<Prefix, Bucket>,
    ip_swarm_announces: Map<(Prefix, SwarmId), Bucket>,
    ip_offers: Map<Prefix, Bucket>,
    reports: Reports,
    tokens: Tokens,
    /// What becomes due in which second. Entries may be stale.
    due: BTreeMap<u64, Vec<Due>>,
    members: usize,
    /// Numbers memberships.
    joins: u32,
    counters: Counters,
    /// Makes offer keys unguessable.
    secret: [u64; 2],
    chosen: Vec<u32>,
    /// The rest of the cluster, if there is one.
    mesh: Option<Box<Mesh>>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    FirstAnnounce(ConnId),
    /// The number tells this membership from an earlier one of the same connection.
    Member(ConnId, SwarmId, u32),
}

/// What the registry has done since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages of clients.
    pub messages: u64,
    /// Announces, answers not included.
    pub announces: u64,
    /// Scrapes.
    pub scrapes: u64,
    /// Offers passed on.
    pub offers: u64,
    /// Offers dropped because a bound was broken, nobody was there to take them, or announces came too fast.
    pub offers_dropped: u64,
    /// Answers passed on.
    pub answers: u64,
    /// Answers dropped: no such offer, already answered, too late, or its sender is gone.
    pub answers_dropped: u64,
    /// From handing out an offer to its answer.
    pub answer_times: Histogram,
    /// Trickled candidates passed on.
    pub candidates: u64,
    /// Trickled candidates dropped.
    pub candidates_dropped: u64,
    /// Reports of bad data.
    pub reports: u64,
    /// Reports from somebody who was not introduced to the peer, or has reported it already.
    pub reports_ignored: u64,
    /// Members that were kept out after reports.
    pub bans: u64,
    /// Members that were forgotten because they announced no more.
    pub expired: u64,
    /// Refused messages by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Adds the counts of another registry.
    pub fn merge(&mut self, other: &Counters) {
        self.messages += other.messages;
        self.announces += other.announces;
        self.scrapes += other.scrapes;
        self.offers += other.offers;
        self.offers_dropped += other.offers_dropped;
        self.answers += other.answers;
        self.answers_dropped += other.answers_dropped;
        self.answer_times.merge(&other.answer_times);
        self.candidates += other.candidates;
        self.candidates_dropped += other.candidates_dropped;
        self.reports += other.reports;
        self.reports_ignored += other.reports_ignored;
        self.bans += other.bans;
        self.expired += other.expired;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }
}

/// How many there are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Open connections.
    pub connections: usize,
    /// Swarms with at least one member.
    pub swarms: usize,
    /// Members of all swarms.
    pub members: usize,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There are as many from this address or its neighbourhood as are allowed.
    Address,
    /// There are as many in all as are allowed.
    Full,
}

/// One swarm, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmSize {
    /// The swarm.
    pub swarm: SwarmId,
    /// Members that have everything.
    pub complete: usize,
    /// The other members.
    pub incomplete: usize,
    /// How often a member said that it has everything now.
    pub downloaded: u64,
}

impl Registry {
    /// An empty registry.
    pub fn new(limits: Limits, rng: &mut impl Rng) -> Registry {
        Registry {
            limits,
            allowed: None,
            conns: Conns::default(),
            swarms: Vec::new(),
            free_swarms: Vec::new(),
            swarm_index: Map::default(),
            admission: Admission::default(),
            ip_announces: Map::default(),
            ip_swarm_announces: Map::default(),
            ip_offers: Map::default(),
            reports: Reports::default(),
            tokens: Tokens::default(),
            due: BTreeMap::new(),
            members: 0,
            joins: 0,
            counters: Counters::default(),
            secret: [rng.next_u64(), rng.next_u64()],
            chosen: Vec::new(),
            mesh: None,
        }
    }

    /// Replaces the bounds. Members and connections that are there stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Serves only these swarms from now on, or all. Members of others stay until they announce no more.
    pub fn set_allowed(&mut self, allowed: Option<BTreeSet<Id20>>) {
        self.allowed = allowed;
    }

    /// A client's connection is open.
    pub fn connect(&mut self, now: Time, ip: IpAddr) -> Result<ConnId, Denied> {
        let ip = Prefix::of(ip);
        self.admission.enter(ip, self.limits.most_connections())?;
        let conn = self.conns.insert(Conn::new(ip));
        self.plan(now + self.limits.first_announce, Due::FirstAnnounce(conn));
        Ok(conn)
    }

    /// Where a connection comes from, if that is known. To be told before it announces.
    pub fn set_region(&mut self, conn: ConnId, region: Region) {
        if let Some(state) = self.conns.get_mut(conn) {
            state.region = region;
        }
    }

    /// A connection is closed: it leaves all its swarms.
    pub fn disconnect(&mut self, conn: ConnId) {
        let Some(gone) = self.conns.remove(conn) else { return };
        self.admission.leave(gone.ip);
        for membership in gone.memberships {
            self.tokens.free(membership.token);
            self.remove_member(membership.at, membership.index);
        }
    }

    /// A client sent a text or binary message.
    pub fn handle(&mut self, now: Time, rng: &mut impl Rng, conn: ConnId, message: &str, out: &mut Out) {
        let rate = self.limits.messages_per_connection;
        let Some(state) = self.conns.get_mut(conn) else { return };
        if state.closing {
            return;
        }
        self.counters.messages += 1;
        if let Err(wait) = state.messages.take(now, rate) {
            // Unread, but answered all the same: the reply is the same for every kind of message.
            let refusal = Refusal::too_fast("connection", wait);
            return self.refuse(
                now,
                conn,
                &Fault { action: Default::default(), info_hash: None, refusal },
                out,
            );
        }
        let result = match parse(message) {
            Err(fault) => Err(fault),
            Ok(Incoming::Announce(announce)) => self.announce(now, rng, conn, &announce, out),
            Ok(Incoming::Answer(answer)) => self.answer(now, conn, &answer, out),
            Ok(Incoming::Candidates(candidates)) => self.candidates(now, conn, &candidates, out),
            Ok(Incoming::Report(report)) => {
                self.report(now, conn, &report, out);
                Ok(())
            }
            Ok(Incoming::Scrape(scrape)) => self.scrape(conn, &scrape, out),
        };
        if let Err(fault) = result {
            self.refuse(now, conn, &fault, out);
        }
    }

    /// Time passed: forgets members that announce no more and closes connections that never did.
    pub fn tick(&mut self, now: Time, out: &mut Out) {
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() * 1_000_000 > now.as_micros() {
                break;
            }
            for due in entry.remove() {
                match due {
                    Due::FirstAnnounce(conn) => self.check_first_announce(conn, out),
                    Due::Member(conn, swarm, joined) => self.check_member(now, conn, swarm, joined),
                }
            }
        }
        self.forget_full_buckets(now);
    }

    /// How many there are now.
    pub fn sizes(&self) -> Sizes {
        Sizes { connections: self.conns.len(), swarms: self.swarm_index.len(), members: self.members }
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every swarm with its size, in no particular order. In a cluster: every swarm of the cluster.
    pub fn swarm_sizes(&self) -> impl Iterator<Item = SwarmSize> {
        let own = self.swarms.iter().flatten().filter(|_| self.mesh.is_none()).map(|swarm| swarm.id);
        let all = self.mesh.iter().flat_map(|mesh| mesh.swarms()).map(|(swarm, _)| swarm);
        own.chain(all).map(|swarm| {
            let (complete, incomplete) = self.size(swarm);
            let downloaded = self.swarm(swarm).map_or(0, |swarm| swarm.downloaded);
            SwarmSize { swarm, complete, incomplete, downloaded }
        })
    }

    fn refuse(&mut self, now: Time, conn: ConnId, fault: &Fault<'_>, out: &mut Out) {
        *self.counters.refused.entry(fault.refusal.label()).or_default() += 1;
        out.send(conn, SendKind::Reply, |text| write_failure(text, fault));
        out.refused(conn, fault.refusal.label());
        let rate = self.limits.refusals_per_connection;
        let Some(state) = self.conns.get_mut(conn) else { return };
        if state.refusals.take(now, rate).is_err() {
            state.closing = true;
            out.close(conn, CloseReason::Flood);
        }
    }

    fn plan(&mut self, at: Time, due: Due) {
        // Rounded up: never early.
        self.due.entry(at.as_micros().div_ceil(1_000_000)).or_default().push(due);
    }

    fn check_first_announce(&mut self, conn: ConnId, out: &mut Out) {
        if let Some(state) = self.conns.get_mut(conn)
            && !state.announced
            && !state.closing
        {
            state.closing = true;
            out.close(conn, CloseReason::Silent);
        }
    }

    fn check_member(&mut self, now: Time, conn: ConnId, swarm: SwarmId, joined: u32) {
        let Some(membership) = self.conns.get(conn).and_then(|state| state.membership(swarm)) else { return };
        if membership.joined != joined {
            return;
        }
        let expires = membership.last_announce + self.limits.peer_age;
        if expires > now {
            return self.plan(expires, Due::Member(conn, swarm, joined));
        }
        self.counters.expired += 1;
        self.leave(conn, swarm);
    }

    /// Takes a connection out of a swarm.
    fn leave(&mut self, conn: ConnId, swarm: SwarmId) {
        let Some(state) = self.conns.get_mut(conn) else { return };
        let Some(place) = state.memberships.iter().position(|membership| membership.swarm == swarm) else {
            return;
        };
        let membership = state.memberships.swap_remove(place);
        self.tokens.free(membership.token);
        self.remove_member(membership.at, membership.index);
    }

    fn remove_member(&mut self, at: u32, index: u32) {
        let Some(entry) = self.swarms.get_mut(at as usize) else { return };
        let Some(swarm) = entry else { return };
        let moved = swarm.remove(index);
        self.members -= 1;
        let id = swarm.id;
        if swarm.members.is_empty() {
            *entry = None;
            self.free_swarms.push(at);
            self.swarm_index.remove(&id);
        }
        self.tell_size(id);
        if let Some(membership) =
            moved.and_then(|conn| self.conns.get_mut(conn)).and_then(|state| state.membership_mut(id))
        {
            membership.index = index;
        }
    }

    fn swarm(&self, id: SwarmId) -> Option<&Swarm> {
        let at = self.swarm_index.get(&id)?;
        self.swarms.get(*at as usize)?.as_ref()
    }

    /// The key of an offer: `offerer` made it, in `swarm`, under `offer_id`. Hashes what the id says, not how it is
    /// written: clients may escape the same id differently.
    fn offer_key(&self, swarm: SwarmId, offerer: PeerId, offer_id: Token<'_>) -> OfferKey {
        let mut hasher = self.keyed_hasher();
        hasher.write(&swarm.0.0);
        hasher.write(&offerer.0);
        hasher.write(offer_id.decode().unwrap_or_default().as_bytes());
        OfferKey(hasher.finish())
    }

    /// The key of a member: `peer` in `swarm`.
    fn member_key(&self, swarm: SwarmId, peer: PeerId) -> OfferKey {
        let mut hasher = self.keyed_hasher();
        hasher.write(&swarm.0.0);
        hasher.write(&peer.0);
        OfferKey(hasher.finish())
    }

    fn keyed_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret[0]);
        hasher.write_u64(self.secret[1]);
        hasher
    }

    fn forget_full_buckets(&mut self, now: Time) {
        self.reports.tick(now, self.limits.report_age);
        self.ip_announces.retain(|_, bucket| !bucket.is_full(now));
        self.ip_swarm_announces.retain(|_, bucket| !bucket.is_full(now));
        self.ip_offers.retain(|_, bucket| !bucket.is_full(now));
    }
}
