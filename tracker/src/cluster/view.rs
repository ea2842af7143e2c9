//! What a node knows of the others: how many members their swarms have, and how far their numbering is.

use std::collections::{BTreeMap, BTreeSet};

use hlswarm::id::{Id20, SwarmId};
use hlswarm::time::{Span, Time};

use super::frame::Group;
use super::publisher::Key;
use super::{Counts, NodeId, PRESENCE_EVERY_MS, SHARDS, SILENCE_MS, ShardSet, shard_of};

/// Lookups only: nothing depends on the order of the entries.
#[allow(clippy::disallowed_types)]
type Map<K, V> = std::collections::HashMap<K, V>;

/// Nodes that are listened to; more are ignored.
const MOST_NODES: usize = 1024;
/// How long a node that said goodbye is not believed to be back: what it said before may still be on its way.
const FAREWELL: Span = Span::from_secs(10);

/// How a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// This very registry.
    Own,
    /// Another worker of this process.
    Worker,
    /// Another process.
    Process,
}

/// The members of one swarm at one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Which node, by its slot.
    node: u32,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Node {
    id: NodeId,
    kind: Kind,
    heard: Time,
    /// The last number of each shard that is in the view.
    numbers: Box<[u32; SHARDS]>,
    /// Shards of which something is missing.
    missing: ShardSet,
    ask_at: Time,
    /// The repetition that is being received: shard, number, the part that comes next.
    repetition: Option<(u8, u32, u16)>,
    swarms: BTreeSet<Key>,
}

/// What happened to a view, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Groups that came twice or too late.
    pub(super) stale: u64,
    /// Groups before which something was missing.
    pub(super) gaps: u64,
    /// Records beyond the bound.
    pub(super) overflow: u64,
    /// Nodes that were forgotten because they said nothing.
    pub(super) lost: u64,
}

/// What a node knows of itself and the others.
#[derive(Debug)]
pub(super) struct View {
    swarms: Map<SwarmId, Vec<Entry>>,
    nodes: Vec<Option<Node>>,
    slots: BTreeMap<NodeId, u32>,
    /// Who said goodbye, and until when it is not listened to.
    farewells: BTreeMap<NodeId, Time>,
    most_swarms: usize,
    /// Swarms with members in this process.
    swarms_here: usize,
    /// Members of other processes.
    members_away: u64,
    pub(super) trouble: Trouble,
}

impl View {
    /// Knows only `own`. Of each other node at most `most_swarms` swarms are remembered.
    pub(super) fn new(own: NodeId, most_swarms: usize) -> View {
        let mut view = View {
            swarms: Map::default(),
            nodes: Vec::new(),
            slots: BTreeMap::new(),
            farewells: BTreeMap::new(),
            most_swarms,
            swarms_here: 0,
            members_away: 0,
            trouble: Trouble::default(),
        };
        view.add(Time::ZERO, own, Kind::Own);
        view
    }

    fn add(&mut self, now: Time, id: NodeId, kind: Kind) -> u32 {
        let node = Node {
            id,
            kind,
            heard: now,
            numbers: Box::new([0; SHARDS]),
            missing: ShardSet::default(),
            ask_at: now,
            repetition: None,
            swarms: BTreeSet::new(),
        };
        let free = self.nodes.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        if let Some(place) = self.nodes.get_mut(slot) {
            *place = Some(node);
        }
        self.slots.insert(id, slot as u32);
        slot as u32
    }

    fn node_mut(&mut self, id: NodeId) -> Option<(u32, &mut Node)> {
        let slot = *self.slots.get(&id)?;
        Some((slot, self.nodes.get_mut(slot as usize)?.as_mut()?))
    }

    /// How many nodes of a kind there are.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.nodes.iter().flatten().filter(|node| node.kind == kind).count()
    }

    /// Swarms with members in this process, and members of other processes.
    pub(super) const fn totals(&self) -> (usize, u64) {
        (self.swarms_here, self.members_away)
    }

    /// Every swarm that anybody has, with its members everywhere, in no particular order.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (SwarmId, Counts)> {
        self.swarms.iter().map(|(swarm, entries)| {
            (*swarm, entries.iter().fold(Counts::default(), |sum, entry| sum.plus(entry.counts)))
        })
    }

    /// Where a swarm has members: node, kind, how many.
    pub(super) fn places(&self, swarm: SwarmId) -> impl Iterator<Item = (NodeId, Kind, Counts)> {
        self.swarms.get(&swarm).into_iter().flatten().filter_map(|entry| {
            let node = self.nodes.get(entry.node as usize)?.as_ref()?;
            Some((node.id, node.kind, entry.counts))
        })
    }

    /// The members of a swarm at the nodes whose kind is at most `kind`.
    pub(super) fn sum(&self, swarm: SwarmId, kind: Kind) -> Counts {
        self.places(swarm)
            .filter(|(_, its, _)| *its <= kind)
            .fold(Counts::default(), |sum, (_, _, counts)| sum.plus(counts))
    }

    /// Our own swarm has so many members.
    pub(super) fn set_own(&mut self, swarm: SwarmId, counts: Counts) {
        self.set(0, swarm, counts);
    }

    fn set(&mut self, slot: u32, swarm: SwarmId, counts: Counts) {
        let kind = |slot: u32| self.nodes.get(slot as usize).and_then(Option::as_ref).map(|node| node.kind);
        let is_here = |entry: &Entry| kind(entry.node).is_some_and(|kind| kind <= Kind::Worker);
        let away = kind(slot) == Some(Kind::Process);
        let known = self.swarms.get(&swarm).map(Vec::as_slice).unwrap_or_default();
        let before = known.iter().find(|entry| entry.node == slot).map_or(0, |entry| entry.counts.all());
        let others_here = known.iter().any(|entry| entry.node != slot && is_here(entry));
        if away {
            self.members_away = (self.members_away + u64::from(counts.all())).saturating_sub(before.into());
        } else if !others_here {
            self.swarms_here += usize::from(!counts.is_empty());
            self.swarms_here = self.swarms_here.saturating_sub(usize::from(before > 0));
        }
        if counts.is_empty() {
            if let Some(entries) = self.swarms.get_mut(&swarm) {
                entries.retain(|entry| entry.node != slot);
                if entries.is_empty() {
                    self.swarms.remove(&swarm);
                }
            }
            return;
        }
        let entries = self.swarms.entry(swarm).or_default();
        match entries.iter_mut().find(|entry| entry.node == slot) {
            Some(entry) => entry.counts = counts,
            None => {
                // Most swarms are at one or two nodes: a vector grows to four at once.
                entries.reserve_exact(1);
                entries.push(Entry { node: slot, counts });
            }
        }
    }

    /// A node said that it is there, and its last numbers.
    pub(super) fn present(&mut self, now: Time, id: NodeId, kind: Kind, numbers: &[(u8, u32)]) {
        if self.farewells.contains_key(&id) {
            return;
        }
        if !self.slots.contains_key(&id) {
            if self.slots.len() >= MOST_NODES {
                self.trouble.overflow += 1;
                return;
            }
            self.add(now, id, kind);
        }
        let Some((_, node)) = self.node_mut(id) else { return };
        node.heard = now;
        for (shard, number) in numbers {
            if node.numbers.get(usize::from(*shard)).is_some_and(|known| known < number) {
                node.missing.insert(*shard);
            }
        }
    }

    /// A node said what changed. Gives the swarms to `changed`.
    pub(super) fn update(&mut self, now: Time, id: NodeId, groups: &[Group], changed: &mut Vec<SwarmId>) {
        // A node that was not heard of yet will say that it is there; then it is asked for everything.
        let Some((slot, node)) = self.node_mut(id) else { return };
        node.heard = now;
        let mut trouble = Trouble::default();
        let mut records = Vec::new();
        for group in groups {
            let Some(known) = node.numbers.get_mut(usize::from(group.shard)) else { continue };
            if group.number <= *known {
                trouble.stale += 1;
                continue;
            }
            if group.number > *known + 1 {
                trouble.gaps += 1;
                node.missing.insert(group.shard);
            }
            *known = group.number;
            records.extend(group.records.iter().filter(|(swarm, _)| shard_of(*swarm) == group.shard));
        }
        self.trouble.stale += trouble.stale;
        self.trouble.gaps += trouble.gaps;
        self.apply(slot, &records, changed);
    }

    /// A node told some shards anew.
    pub(super) fn replace(&mut self, now: Time, id: NodeId, groups: &[Group], changed: &mut Vec<SwarmId>) {
        for group in groups {
            let Some((slot, node)) = self.node_mut(id) else { return };
            node.heard = now;
            let known = node.numbers.get(usize::from(group.shard)).copied().unwrap_or_default();
            let expected = match node.repetition {
                _ if group.part == 0 => true,
                Some(next) => next == (group.shard, group.number, group.part),
                None => false,
            };
            // Older than what is known, or a part of something whose beginning was lost: it is asked for again.
            if group.number < known || !expected {
                self.trouble.stale += 1;
                continue;
            }
            node.repetition = Some((group.shard, group.number, group.part.wrapping_add(1)));
            let mut gone = Vec::new();
            if group.part == 0 {
                let (first, last) = (SwarmId(Id20([0; 20])), SwarmId(Id20([0xff; 20])));
                gone.extend(
                    node.swarms.range((group.shard, first)..=(group.shard, last)).map(|(_, swarm)| *swarm),
                );
            }
            if group.last {
                if let Some(place) = node.numbers.get_mut(usize::from(group.shard)) {
                    *place = group.number;
                }
                node.missing.remove(group.shard);
                node.repetition = None;
            }
            let gone: Vec<_> = gone.into_iter().map(|swarm| (swarm, Counts::default())).collect();
            self.apply(slot, &gone, changed);
            let records = group.records.iter().filter(|(swarm, _)| shard_of(*swarm) == group.shard);
            self.apply(slot, &records.copied().collect::<Vec<_>>(), changed);
        }
    }

    fn apply(&mut self, slot: u32, records: &[(SwarmId, Counts)], changed: &mut Vec<SwarmId>) {
        for (swarm, counts) in records {
            let Some(Some(node)) = self.nodes.get_mut(slot as usize) else { return };
            let key = (shard_of(*swarm), *swarm);
            if counts.is_empty() {
                node.swarms.remove(&key);
            } else if node.swarms.len() >= self.most_swarms && !node.swarms.contains(&key) {
                self.trouble.overflow += 1;
                continue;
            } else {
                node.swarms.insert(key);
            }
            self.set(slot, *swarm, *counts);
            changed.push(*swarm);
        }
    }

    /// A node said goodbye.
    pub(super) fn farewell(&mut self, now: Time, id: NodeId, changed: &mut Vec<SwarmId>) {
        if self.farewells.len() < MOST_NODES {
            self.farewells.insert(id, now + FAREWELL);
        }
        self.forget(id, changed);
    }

    fn forget(&mut self, id: NodeId, changed: &mut Vec<SwarmId>) {
        let Some(slot) = self.slots.remove(&id) else { return };
        let Some(Some(node)) = self.nodes.get_mut(slot as usize) else { return };
        for (_, swarm) in std::mem::take(&mut node.swarms) {
            self.set(slot, swarm, Counts::default());
            changed.push(swarm);
        }
        if let Some(place) = self.nodes.get_mut(slot as usize) {
            *place = None;
        }
    }

    /// Forgets who said nothing for too long.
    pub(super) fn purge(&mut self, now: Time, changed: &mut Vec<SwarmId>) {
        self.farewells.retain(|_, until| *until > now);
        let silence = Span::from_millis(SILENCE_MS);
        let silent = |node: &&Node| node.kind != Kind::Own && node.heard + silence <= now;
        let lost: Vec<NodeId> = self.nodes.iter().flatten().filter(silent).map(|node| node.id).collect();
        self.trouble.lost += lost.len() as u64;
        for id in lost {
            self.forget(id, changed);
        }
    }

    /// Whom to ask for which shards now. Asked again after a while, because the answer may get lost as well.
    pub(super) fn questions(&mut self, now: Time) -> Vec<(NodeId, ShardSet)> {
        let mut questions = Vec::new();
        for node in self.nodes.iter_mut().flatten() {
            if !node.missing.is_empty() && node.ask_at <= now {
                node.ask_at = now + Span::from_millis(PRESENCE_EVERY_MS);
                questions.push((node.id, node.missing));
            }
        }
        questions
    }
}
