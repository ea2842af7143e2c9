//! What a node tells others of its swarms: numbered, batched, and repeated where asked.

use std::collections::{BTreeMap, BTreeSet};

use hlswarm::id::SwarmId;
use hlswarm::time::{Span, Time};

use super::frame::{self, Group, RECORDS_PER_FRAME};
use super::{
    Counts, Dest, FLUSH_EVERY_MS, NodeId, PRESENCE_EVERY_MS, SHARDS, SMALL_CHANGES_EVERY_MS, ShardSet,
    shard_of,
};
use crate::out::Out;

/// A swarm, by shard first: what belongs together is together.
pub(super) type Key = (u8, SwarmId);

/// Tells others of a node's swarms.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Who speaks.
    id: NodeId,
    /// Who listens.
    audience: Dest,
    /// The last number of each shard.
    numbers: Box<[u32; SHARDS]>,
    /// What the others were told.
    told: BTreeMap<Key, Counts>,
    /// What changed so much that they should know soon.
    soon: BTreeSet<Key>,
    /// What else changed.
    later: BTreeSet<Key>,
    soon_at: Time,
    later_at: Time,
    presence_at: Time,
    /// It said goodbye.
    gone: bool,
}

impl Publisher {
    pub(super) fn new(id: NodeId, audience: Dest) -> Publisher {
        Publisher {
            id,
            audience,
            numbers: Box::new([0; SHARDS]),
            told: BTreeMap::new(),
            soon: BTreeSet::new(),
            later: BTreeSet::new(),
            soon_at: Time::ZERO,
            later_at: Time::ZERO,
            presence_at: Time::ZERO,
            gone: false,
        }
    }

    pub(super) const fn id(&self) -> NodeId {
        self.id
    }

    /// A swarm has so many members now.
    pub(super) fn changed(&mut self, swarm: SwarmId, now: Counts) {
        let key = (shard_of(swarm), swarm);
        let told = self.told.get(&key).copied().unwrap_or_default();
        if told == now {
            // Somebody came and somebody went.
            self.soon.remove(&key);
            self.later.remove(&key);
        } else if told.differs_much(now) {
            self.later.remove(&key);
            self.soon.insert(key);
        } else {
            self.soon.remove(&key);
            self.later.insert(key);
        }
    }

    /// When [`speak`](Publisher::speak) has something to say next.
    pub(super) fn due(&self) -> Time {
        if self.gone {
            return Time::from_micros(u64::MAX);
        }
        let mut due = self.presence_at;
        if !self.soon.is_empty() {
            due = due.min(self.soon_at);
        }
        if !self.later.is_empty() {
            due = due.min(self.later_at);
        }
        due
    }

    /// Says what is due. `counts` tells how many members a swarm has.
    pub(super) fn speak(&mut self, now: Time, counts: impl Fn(SwarmId) -> Counts, out: &mut Out) {
        if self.gone {
            return;
        }
        if !self.later.is_empty() && now >= self.later_at {
            self.soon.append(&mut self.later);
            self.later_at = now + Span::from_millis(SMALL_CHANGES_EVERY_MS);
            self.soon_at = now;
        }
        if !self.soon.is_empty() && now >= self.soon_at {
            self.tell_changes(&counts, out);
            self.soon_at = now + Span::from_millis(FLUSH_EVERY_MS);
        }
        if now >= self.presence_at {
            self.presence_at = now + Span::from_millis(PRESENCE_EVERY_MS);
            let (id, numbers) = (self.id, &self.numbers);
            out.frame(self.audience, |frame| {
                frame::write_presence(frame, id, numbers.as_slice());
                true
            });
        }
    }

    fn tell_changes(&mut self, counts: &impl Fn(SwarmId) -> Counts, out: &mut Out) {
        let changed: Vec<Key> = std::mem::take(&mut self.soon).into_iter().collect();
        for some in changed.chunks(RECORDS_PER_FRAME) {
            let mut groups: Vec<Group> = Vec::new();
            for (shard, swarm) in some {
                let now = counts(*swarm);
                if now.is_empty() {
                    self.told.remove(&(*shard, *swarm));
                } else {
                    self.told.insert((*shard, *swarm), now);
                }
                match groups.last_mut() {
                    Some(group) if group.shard == *shard => group.records.push((*swarm, now)),
                    _ => {
                        let Some(number) = self.numbers.get_mut(usize::from(*shard)) else { continue };
                        *number = number.wrapping_add(1).max(1);
                        let records = vec![(*swarm, now)];
                        groups.push(Group { shard: *shard, number: *number, part: 0, last: true, records });
                    }
                }
            }
            let id = self.id;
            out.frame(self.audience, |frame| {
                frame::write_changes(frame, id, &groups);
                true
            });
        }
    }

    /// Tells one node everything about some shards.
    pub(super) fn repeat(&self, to: NodeId, shards: ShardSet, out: &mut Out) {
        if self.gone {
            return;
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut records = 0;
        let id = self.id;
        let mut send = |groups: &mut Vec<Group>| {
            out.frame(Dest::Node(to), |frame| {
                frame::write_repeated(frame, id, to, groups);
                true
            });
            groups.clear();
        };
        for shard in shards.iter() {
            let number = self.numbers.get(usize::from(shard)).copied().unwrap_or_default();
            let bounds = (shard, SwarmId(hlswarm::id::Id20([0; 20])))
                ..=(shard, SwarmId(hlswarm::id::Id20([0xff; 20])));
            let mut all = self.told.range(bounds).map(|((_, swarm), counts)| (*swarm, *counts)).peekable();
            let mut part = 0;
            loop {
                // A shard that does not fit what is left of the frame goes on in the next one.
                let room = RECORDS_PER_FRAME - records;
                let taken: Vec<_> = all.by_ref().take(room).collect();
                records += taken.len();
                let last = all.peek().is_none();
                groups.push(Group { shard, number, part, last, records: taken });
                part += 1;
                if records == RECORDS_PER_FRAME {
                    send(&mut groups);
                    records = 0;
                }
                if last {
                    break;
                }
            }
        }
        if !groups.is_empty() {
            send(&mut groups);
        }
    }

    /// Says goodbye, and nothing more after that.
    pub(super) fn leave(&mut self, out: &mut Out) {
        if !self.gone {
            self.gone = true;
            let id = self.id;
            out.frame(self.audience, |frame| {
                frame::write_bye(frame, id);
                true
            });
        }
    }
}
