//! Reports: members say that a peer sent them bad data, and when enough of them say so it is kept out for a while.
//!
//! Liars must not ban the innocent. A report counts only from a member that the tracker has introduced to the accused,
//! once for each introduction. It counts for the reporter's neighbourhood (IPv4 /24, IPv6 /48), so that many connections
//! of one owner are one voice. And the neighbourhoods that report must be a share of all those that the accused was
//! introduced to lately: a few liars among many partners ban nobody, while bad data that goes to everybody is reported by
//! everybody.
//!
//! In a cluster a report goes to the registry that the accused is connected to, which counts the voices; the ban goes to
//! all.
//!
//! What is banned is the connection, and its address in this swarm, unless more connections share the address than one
//! household has: behind a carrier's NAT the others are innocent.

use hlswarm::id::{PeerId, SwarmId};
use hlswarm::time::{Span, Time};

use super::admission::{Net, Prefix};
use super::conn::{ConnId, Match, Place};
use super::swarm::Member;
use super::{Map, Registry};
use crate::cluster::{self, Accused, Banned, Dest, NodeId};
use crate::out::Out;
use crate::protocol::{Refusal, Report};

/// Most introductions remembered of each connection.
const MAX_MATCHES: usize = 32;
/// Most accusations and bans remembered; beyond it, new ones are not taken.
const MAX_REMEMBERED: usize = 65_536;
/// Most neighbourhoods that are noted for one accusation: more change nothing.
const MAX_VOICES: usize = 64;

/// Who is kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Culprit {
    Address(Prefix),
    Conn(ConnId),
}

/// Who reported and whom.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The neighbourhoods that reported an address in a swarm, and when each did first.
    accusations: Map<(Prefix, SwarmId), Vec<(Net, Time)>>,
    /// Until when.
    bans: Map<(Culprit, SwarmId), Time>,
}

impl Reports {
    /// Until when the connection, or its address, is kept out of the swarm.
    pub(super) fn banned_until(&self, now: Time, conn: ConnId, ip: Prefix, swarm: SwarmId) -> Option<Time> {
        let until = |culprit| self.bans.get(&(culprit, swarm)).copied().filter(|until| *until > now);
        until(Culprit::Conn(conn)).max(until(Culprit::Address(ip)))
    }

    /// Forgets what is over.
    pub(super) fn tick(&mut self, now: Time, age: hlswarm::time::Span) {
        self.bans.retain(|_, until| *until > now);
        self.accusations.retain(|_, voices| {
            voices.retain(|(_, at)| *at + age > now);
            !voices.is_empty()
        });
    }
}

impl Registry {
    /// Notes that two connections were introduced to each other.
    pub(super) fn remember_match(
        &mut self,
        swarm: SwarmId,
        (a, a_peer): (ConnId, PeerId),
        (b, b_peer): (ConnId, PeerId),
    ) {
        if self.limits.reports_to_ban == 0 {
            return;
        }
        let (Some(a_ip), Some(b_ip)) =
            (self.conns.get(a).map(|conn| conn.ip), self.conns.get(b).map(|conn| conn.ip))
        else {
            return;
        };
        for (at, other, ip, peer) in [(a, b, b_ip, b_peer), (b, a, a_ip, a_peer)] {
            let key = self.member_key(swarm, peer);
            self.note_match(at, Match { key, who: Place::here(other), ip });
        }
    }

    /// Notes that a connection here was introduced to one elsewhere.
    pub(super) fn remember_match_away(
        &mut self,
        swarm: SwarmId,
        conn: ConnId,
        peer: PeerId,
        who: Place,
        ip: Prefix,
    ) {
        if self.limits.reports_to_ban > 0 {
            let key = self.member_key(swarm, peer);
            self.note_match(conn, Match { key, who, ip });
        }
    }

    fn note_match(&mut self, conn: ConnId, met: Match) {
        if let Some(state) = self.conns.get_mut(conn) {
            state.matches.retain(|old| old.key != met.key);
            if state.matches.len() >= MAX_MATCHES {
                state.matches.remove(0);
            }
            state.matches.push(met);
        }
    }

    /// A member reports a peer. Silence in any case: who lies learns nothing.
    pub(super) fn report(&mut self, now: Time, conn: ConnId, report: &Report<'_>, out: &mut Out) {
        self.counters.reports += 1;
        let swarm = report.member.swarm;
        let key = self.member_key(swarm, report.to);
        let accused = self.conns.get_mut(conn).and_then(|state| {
            state.membership(swarm).filter(|own| own.peer == report.member.peer)?;
            // Taken out: one report for each introduction.
            let place = state.matches.iter().position(|met| met.key == key)?;
            Some((state.ip.net(), state.matches.remove(place)))
        });
        let Some((voice, accused)) = accused.filter(|_| self.limits.reports_to_ban > 0) else {
            self.counters.reports_ignored += 1;
            return;
        };
        if accused.who.node == NodeId::HERE {
            self.accuse(now, swarm, accused.who.conn, accused.ip, voice, out);
        } else if let Some(mesh) = &self.mesh {
            // All voices of a member are counted where it is connected.
            let (own, to) = (mesh.own(), accused.who.node);
            let (conn, ip) = (accused.who.conn.to_bits(), accused.ip.to_bits());
            let accused = Accused { conn, ip, swarm, voice: voice.to_bits() };
            out.frame(Dest::Node(to), |frame| {
                cluster::write_report(frame, own, to, &accused);
                true
            });
        }
    }

    /// A member elsewhere reports one here, to which it was introduced.
    pub(super) fn report_from_away(&mut self, now: Time, accused: &Accused, out: &mut Out) {
        self.counters.reports += 1;
        if self.limits.reports_to_ban == 0 {
            self.counters.reports_ignored += 1;
            return;
        }
        let (conn, ip) = (ConnId::from_bits(accused.conn), Prefix::from_bits(accused.ip));
        self.accuse(now, accused.swarm, conn, ip, Net::from_bits(accused.voice), out);
    }

    fn accuse(&mut self, now: Time, swarm: SwarmId, conn: ConnId, ip: Prefix, voice: Net, out: &mut Out) {
        let needed = self.voices_needed(conn);
        let age = self.limits.report_age;
        let known = self.reports.accusations.len();
        let id = (ip, swarm);
        if known >= MAX_REMEMBERED && !self.reports.accusations.contains_key(&id) {
            self.counters.reports_ignored += 1;
            return;
        }
        let voices = self.reports.accusations.entry(id).or_default();
        voices.retain(|(_, at)| *at + age > now);
        if voices.len() < MAX_VOICES && voices.iter().all(|(net, _)| *net != voice) {
            voices.push((voice, now));
        }
        if voices.len() >= needed {
            self.reports.accusations.remove(&id);
            self.ban(now, swarm, conn, ip, out);
        }
    }

    /// How many neighbourhoods must report a connection.
    fn voices_needed(&self, conn: ConnId) -> usize {
        let mut met: Vec<Net> = self
            .conns
            .get(conn)
            .map(|state| state.matches.iter().map(|met| met.ip.net()).collect())
            .unwrap_or_default();
        met.sort_unstable();
        met.dedup();
        let share = (met.len() * self.limits.report_percent.min(100)).div_ceil(100);
        self.limits.reports_to_ban.max(share)
    }

    fn ban(&mut self, now: Time, swarm: SwarmId, conn: ConnId, ip: Prefix, out: &mut Out) {
        let until = now + self.limits.ban_age;
        if self.reports.bans.len() < MAX_REMEMBERED {
            self.reports.bans.insert((Culprit::Conn(conn), swarm), until);
            if self.admission.of(ip) <= self.limits.ban_shared {
                self.reports.bans.insert((Culprit::Address(ip), swarm), until);
                self.tell_ban(swarm, ip, out);
            }
        }
        self.counters.bans += 1;
        self.leave(conn, swarm);
    }

    /// Who comes back from the same address may be connected to any other worker or process.
    fn tell_ban(&self, swarm: SwarmId, ip: Prefix, out: &mut Out) {
        let Some(mesh) = &self.mesh else { return };
        let own = mesh.own();
        let seconds = u32::try_from(self.limits.ban_age.as_secs()).unwrap_or(u32::MAX);
        let banned = Banned { swarm, ip: ip.to_bits(), seconds };
        for to in [Dest::Workers, Dest::Processes] {
            out.frame(to, |frame| {
                cluster::write_ban(frame, own, &banned);
                true
            });
        }
    }

    /// Another registry keeps an address out: so do we, no longer than we would of our own.
    pub(super) fn ban_from_away(&mut self, now: Time, banned: &Banned) {
        if self.limits.reports_to_ban == 0 || self.reports.bans.len() >= MAX_REMEMBERED {
            return;
        }
        let ip = Prefix::from_bits(banned.ip);
        let age = Span::from_secs(banned.seconds.into()).min(self.limits.ban_age);
        self.reports.bans.insert((Culprit::Address(ip), banned.swarm), now + age);
        let of_that_address =
            |member: &&Member| self.conns.get(member.conn).is_some_and(|conn| conn.ip == ip);
        let members = self.swarm(banned.swarm).map(|swarm| swarm.members.iter()).into_iter().flatten();
        let out: Vec<ConnId> = members.filter(of_that_address).map(|member| member.conn).collect();
        for conn in out {
            self.leave(conn, banned.swarm);
        }
    }

    /// Refuses an announce of who is kept out, and takes it out of the swarm if it is still in.
    pub(super) fn refuse_banned(&mut self, now: Time, conn: ConnId, swarm: SwarmId) -> Result<(), Refusal> {
        let Some(ip) = self.conns.get(conn).map(|state| state.ip) else { return Ok(()) };
        match self.reports.banned_until(now, conn, ip, swarm) {
            None => Ok(()),
            Some(until) => {
                self.leave(conn, swarm);
                Err(Refusal::Banned { retry_s: until.since(now).as_secs() + 1 })
            }
        }
    }
}
