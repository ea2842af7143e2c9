//! What the registry knows of each connection.

use std::fmt;

use hlswarm::id::{PeerId, SwarmId};
use hlswarm::time::{Span, Time};

use super::admission::{Prefix, Region};
use super::rate::Bucket;
use crate::cluster::NodeId;

/// A connection, as the registry numbers it. Never reused: a slot's next user has another generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    /// A small number that no other *open* connection has: a shell's index for its own table.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// As other registries carry it.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.slot as u64) << 32 | self.generation as u64
    }

    /// The opposite of [`to_bits`](ConnId::to_bits).
    pub(crate) const fn from_bits(bits: u64) -> ConnId {
        ConnId { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

/// A connection here or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The registry that it is connected to, or [`NodeId::HERE`].
    pub(crate) node: NodeId,
    /// Its number there.
    pub(crate) conn: ConnId,
}

impl Place {
    pub(crate) const fn here(conn: ConnId) -> Place {
        Place { node: NodeId::HERE, conn }
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {}.{}", self.slot, self.generation)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) ip: Prefix,
    pub(crate) region: Region,
    pub(crate) memberships: Vec<Membership>,
    /// Offers that this connection was sent and has not answered, oldest first.
    pub(crate) pending: Vec<Pending>,
    /// Offers of this connection that were handed to other registries and are not answered, oldest first.
    pub(crate) given: Vec<Given>,
    /// Answered offers along which this connection may send candidates, oldest first.
    pub(crate) routes: Vec<Route>,
    /// Members that it was introduced to, oldest first.
    pub(crate) matches: Vec<Match>,
    /// The access token of its URL.
    pub(crate) token: Option<Box<str>>,
    pub(crate) messages: Bucket,
    pub(crate) refusals: Bucket,
    pub(crate) received_offers: Bucket,
    /// Its own offers.
    pub(crate) offers: Bucket,
    /// Whether it has announced anything yet.
    pub(crate) announced: bool,
    /// Whether the shell was told to close it.
    pub(crate) closing: bool,
}

/// A connection's place in one swarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) swarm: SwarmId,
    /// Where the swarm is.
    pub(crate) at: u32,
    /// Index in the swarm's members.
    pub(crate) index: u32,
    pub(crate) peer: PeerId,
    pub(crate) seeder: bool,
    /// Whether it takes trickled candidates.
    pub(crate) trickle: bool,
    /// Stands for its access token; 0: it has none.
    pub(crate) token: u64,
    /// Which of all memberships this is.
    pub(crate) joined: u32,
    pub(crate) last_announce: Time,
    /// How often its offers may be passed on.
    pub(crate) offers: Bucket,
}

/// An offer on its way: whoever has this entry may answer it, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) key: OfferKey,
    pub(crate) from: Place,
    /// Whether the offering side takes trickled candidates, where it is not connected here.
    pub(crate) trickle: bool,
    /// The address of the offering side.
    pub(crate) ip: Prefix,
    pub(crate) sent: Time,
}

/// An offer that another registry was given: only it may bring an answer, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) key: OfferKey,
    pub(crate) to: NodeId,
    pub(crate) sent: Time,
}

/// Another member that this connection was introduced to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    /// Stands for the swarm and the other's peer id.
    pub(crate) key: OfferKey,
    pub(crate) who: Place,
    pub(crate) ip: Prefix,
}

/// One end of an answered offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) key: OfferKey,
    pub(crate) to: Place,
    pub(crate) expires: Time,
    pub(crate) sent: u32,
}

/// Stands for swarm, the other end's peer id and offer id: a keyed hash that nobody outside can aim at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfferKey(pub(crate) u64);

/// All connections, by slot.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

impl Conns {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, conn: Conn) -> ConnId {
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.slots.get_mut(slot as usize)
        {
            entry.conn = Some(conn);
            return ConnId { slot, generation: entry.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, conn: Some(conn) });
        ConnId { slot, generation: 0 }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation != id.generation {
            return None;
        }
        let conn = slot.conn.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(conn)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let slot = self.slots.get(id.slot())?;
        if slot.generation == id.generation { slot.conn.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation == id.generation { slot.conn.as_mut() } else { None }
    }
}

impl Conn {
    pub(crate) fn new(ip: Prefix) -> Conn {
        Conn {
            ip,
            region: Region::default(),
            memberships: Vec::new(),
            pending: Vec::new(),
            given: Vec::new(),
            routes: Vec::new(),
            matches: Vec::new(),
            token: None,
            messages: Bucket::default(),
            refusals: Bucket::default(),
            received_offers: Bucket::default(),
            offers: Bucket::default(),
            announced: false,
            closing: false,
        }
    }

    pub(crate) fn membership(&self, swarm: SwarmId) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.swarm == swarm)
    }

    pub(crate) fn membership_mut(&mut self, swarm: SwarmId) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|membership| membership.swarm == swarm)
    }

    /// Remembers an offer sent to this connection; the oldest makes room.
    pub(crate) fn remember_offer(&mut self, pending: Pending, now: Time, age: Span, most: usize) {
        self.pending.retain(|old| old.sent + age > now);
        if self.pending.len() >= most.max(1) {
            self.pending.remove(0);
        }
        self.pending.push(pending);
    }

    /// Takes the pending offer with `key`, if it is not older than `age`.
    pub(crate) fn take_offer(&mut self, key: OfferKey, now: Time, age: Span) -> Option<Pending> {
        let at = self.pending.iter().position(|pending| pending.key == key)?;
        let pending = self.pending.remove(at);
        if self.pending.is_empty() {
            // Most connections are idle most of the time: give the memory back.
            self.pending = Vec::new();
        }
        (pending.sent + age > now).then_some(pending)
    }

    /// Remembers an offer that another registry was given; the oldest makes room.
    pub(crate) fn remember_given(&mut self, given: Given, now: Time, age: Span, most: usize) {
        self.given.retain(|old| old.sent + age > now);
        if self.given.len() >= most.max(1) {
            self.given.remove(0);
        }
        self.given.push(given);
    }

    /// Takes the offer with `key` that the process of `from` was given, if it is not older than `age`.
    pub(crate) fn take_given(&mut self, key: OfferKey, from: NodeId, now: Time, age: Span) -> Option<Given> {
        let from = from.process();
        let at = self.given.iter().position(|given| given.key == key && given.to.process() == from)?;
        let given = self.given.remove(at);
        if self.given.is_empty() {
            self.given = Vec::new();
        }
        (given.sent + age > now).then_some(given)
    }

    /// Remembers that candidates may be sent along an answered offer; the oldest makes room.
    pub(crate) fn remember_route(&mut self, route: Route, now: Time, most: usize) {
        self.routes.retain(|old| old.expires > now);
        if self.routes.len() >= most.max(1) {
            self.routes.remove(0);
        }
        self.routes.push(route);
    }
}
