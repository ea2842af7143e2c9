//! Several registries as one: workers of one process, and processes of one cluster.
//!
//! A registry with a [`Mesh`] tells the others how many members each of its swarms has, and is told theirs. An announce
//! is answered with the sum, and some of its offers are handed to others in a [`Frame`]: whoever gets it chooses the
//! receivers among its own members, so that a budget or a departure is never judged by old news. The answer goes back to
//! the registry that the offer came from, which has it in a table of its own.
//!
//! What is replicated is *how many*, not *who*: a record is absolute (a late or repeated one is told by its number and
//! does no harm), its size does not depend on how fast viewers come and go, and a node with a million viewers of one
//! stream costs the others one record.
//!
//! | who | hears of | by |
//! |---|---|---|
//! | a worker | the other workers of its process, one by one | bounded mailboxes |
//! | a worker | the other processes, each as a whole | a message bus |
//! | a process | nothing of its own: its first worker speaks for all of them | |
//!
//! Everything here is pure: told the time and the frames that came, it says which frames to send. Frames are input from
//! outside: bounded, versioned and parsed into a closed type before anything else sees them.

mod frame;
mod mesh;
mod publisher;
mod view;

use std::fmt;

use hlswarm::id::SwarmId;

pub use frame::{Body, Frame, FrameError, MAX_FRAME_BYTES, Peek};
pub use mesh::{ClusterCounters, ClusterSizes, Mesh, Neighbours};

pub(crate) use frame::{
    Accused, Answered, Banned, OffersHead, PassedOn, Trickled, write_answer, write_ban, write_candidates,
    write_offers, write_report,
};
pub(crate) use mesh::Hearing;

/// How often changes are told at most.
pub(crate) const FLUSH_EVERY_MS: u64 = 150;
/// Changes that matter little (a large swarm grew by a few) wait this long.
pub(crate) const SMALL_CHANGES_EVERY_MS: u64 = 5_000;
/// How often a node says that it is there, and how far its numbering is.
pub(crate) const PRESENCE_EVERY_MS: u64 = 1_000;
/// A node that says nothing for this long is forgotten.
pub(crate) const SILENCE_MS: u64 = 3_000;
/// Units in which a node's swarms are numbered and repeated.
pub(crate) const SHARDS: usize = 256;

/// A registry in the cluster: one worker of one process, or a process as a whole. Chosen at random at each start, so that
/// a restarted process is another node and what its predecessor said is not taken for its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

/// The bits that number a process's workers.
const WORKER_BITS: u64 = 0xff;

impl NodeId {
    /// Workers that a process can have.
    pub const MOST_WORKERS: usize = 255;

    /// Stands for the registry itself where somebody else could be meant.
    pub(crate) const HERE: NodeId = NodeId(0);

    /// A process, named by a random number.
    pub const fn new(random: u64) -> NodeId {
        let process = random & !WORKER_BITS;
        // Zero stands for everybody.
        NodeId(if process == 0 { WORKER_BITS + 1 } else { process })
    }

    /// The worker with the given number, from 0 to [`MOST_WORKERS`](NodeId::MOST_WORKERS) - 1, of the same process.
    pub const fn with_worker(self, number: usize) -> NodeId {
        NodeId((self.0 & !WORKER_BITS) | ((number as u64 + 1) & WORKER_BITS))
    }

    /// The process as a whole.
    pub const fn process(self) -> NodeId {
        NodeId(self.0 & !WORKER_BITS)
    }

    /// Which worker it is; `None` for a process as a whole.
    pub const fn worker(self) -> Option<usize> {
        match self.0 & WORKER_BITS {
            0 => None,
            number => Some(number as usize - 1),
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0 >> 8)?;
        self.worker().map_or(Ok(()), |worker| write!(f, ".{worker}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For whom a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dest {
    /// All other workers of this process.
    Workers,
    /// All other processes.
    Processes,
    /// One worker or process, of ours or not.
    Node(NodeId),
}

/// Carries frames. What it cannot deliver it drops and counts: the numbering of the frames shows what is missing.
///
/// The default is a tracker on its own, which has nobody to carry anything to.
pub trait Bus {
    /// Sends a frame. Never waits.
    fn send(&mut self, to: Dest, frame: &[u8]) {
        let _ = (to, frame);
    }

    /// Everything of this turn was sent: wakes whoever must be woken.
    fn flush(&mut self) {}
}

/// The bus of a tracker on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Bus for Alone {}

/// How many members a swarm has somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members that have everything.
    pub complete: u32,
    /// The other members.
    pub incomplete: u32,
}

impl Counts {
    /// All members.
    pub const fn all(self) -> u32 {
        self.complete.saturating_add(self.incomplete)
    }

    /// Whether there is nobody.
    pub const fn is_empty(self) -> bool {
        self.complete == 0 && self.incomplete == 0
    }

    /// Members that one who offers has a use for: a seeder wants nothing of a seeder.
    pub(crate) const fn of_use(self, to_seeder: bool) -> u32 {
        if to_seeder { self.incomplete } else { self.all() }
    }

    /// Both together.
    pub(crate) const fn plus(self, other: Counts) -> Counts {
        Counts {
            complete: self.complete.saturating_add(other.complete),
            incomplete: self.incomplete.saturating_add(other.incomplete),
        }
    }

    /// Whether others should know soon that `self` became `now`: a sixteenth more or less, or the first or last member.
    fn differs_much(self, now: Counts) -> bool {
        let much = |old: u32, new: u32| {
            let change = u64::from(old.abs_diff(new));
            change > 0 && (old == 0 || new == 0 || change * 16 >= u64::from(old))
        };
        much(self.complete, now.complete) || much(self.incomplete, now.incomplete)
    }
}

/// The shard that a swarm is in. Whoever chooses an info_hash chooses the shard, which does no harm: shards only say
/// what is repeated together.
pub(crate) fn shard_of(swarm: SwarmId) -> u8 {
    swarm.0.0.iter().fold(0, |shard, byte| shard.rotate_left(3) ^ byte)
}

/// Some of the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet([u64; SHARDS / 64]);

impl ShardSet {
    pub(crate) fn insert(&mut self, shard: u8) {
        if let Some(word) = self.0.get_mut(usize::from(shard / 64)) {
            *word |= 1 << (shard % 64);
        }
    }

    pub(crate) fn remove(&mut self, shard: u8) {
        if let Some(word) = self.0.get_mut(usize::from(shard / 64)) {
            *word &= !(1 << (shard % 64));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|shard| {
            self.0.get(usize::from(shard / 64)).is_some_and(|word| word & (1 << (shard % 64)) != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_process_and_its_number() {
        let process = NodeId::new(0x1234_5678_9abc_def0);
        let worker = process.with_worker(254);
        assert_eq!(process.worker(), None);
        assert_eq!(worker.worker(), Some(254));
        assert_eq!(worker.process(), process);
        assert_eq!(worker.to_string(), "123456789abcde.254");
        assert_ne!(NodeId::new(7), NodeId(0), "zero is no node");
    }

    #[test]
    fn only_changes_that_matter_are_told_soon() {
        let counts = |complete, incomplete| Counts { complete, incomplete };
        assert!(counts(0, 0).differs_much(counts(0, 1)));
        assert!(counts(0, 1).differs_much(counts(0, 0)));
        assert!(counts(0, 160).differs_much(counts(0, 170)));
        assert!(!counts(0, 160).differs_much(counts(0, 169)));
        assert!(!counts(0, 160).differs_much(counts(0, 151)));
        assert!(counts(0, 1000).differs_much(counts(1, 999)), "the first seeder");
        assert!(!counts(5, 5).differs_much(counts(5, 5)));
    }

    #[test]
    fn shards_are_a_set() {
        let mut set = ShardSet::default();
        for shard in [0, 63, 64, 255] {
            set.insert(shard);
        }
        set.remove(63);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 255]);
        assert!(!set.is_empty());
    }
}
