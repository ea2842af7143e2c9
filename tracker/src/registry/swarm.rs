//! One swarm: its members and their numbers.

use hlswarm::id::{PeerId, SwarmId};
use rand::{Rng, RngExt};

use super::conn::ConnId;

/// One swarm.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) id: SwarmId,
    pub(crate) members: Vec<Member>,
    pub(crate) seeders: usize,
    /// How often a member said that it has everything now.
    pub(crate) downloaded: u64,
}

/// One member, as matching needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) conn: ConnId,
    pub(crate) peer: PeerId,
    pub(crate) seeder: bool,
}

impl Swarm {
    pub(crate) fn new(id: SwarmId) -> Swarm {
        Swarm { id, members: Vec::new(), seeders: 0, downloaded: 0 }
    }

    /// Members that do not have everything.
    pub(crate) fn leechers(&self) -> usize {
        self.members.len() - self.seeders
    }

    /// Adds a member and returns its index.
    pub(crate) fn add(&mut self, member: Member) -> u32 {
        self.seeders += usize::from(member.seeder);
        self.members.push(member);
        (self.members.len() - 1) as u32
    }

    /// Removes the member at `index` in constant time. Returns the connection that now has this index, if any.
    pub(crate) fn remove(&mut self, index: u32) -> Option<ConnId> {
        let index = index as usize;
        if index >= self.members.len() {
            return None;
        }
        let gone = self.members.swap_remove(index);
        self.seeders -= usize::from(gone.seeder);
        if self.members.len() * 4 < self.members.capacity() && self.members.capacity() > 16 {
            self.members.shrink_to(self.members.len() * 2);
        }
        self.members.get(index).map(|moved| moved.conn)
    }

    /// Sets whether the member at `index` has everything.
    pub(crate) fn set_seeder(&mut self, index: u32, seeder: bool) {
        if let Some(member) = self.members.get_mut(index as usize) {
            self.seeders -= usize::from(member.seeder);
            self.seeders += usize::from(seeder);
            member.seeder = seeder;
        }
    }

    /// Draws up to `want` different members that `fits` takes, uniformly at random, into `chosen`.
    pub(crate) fn draw(
        &self,
        rng: &mut impl Rng,
        want: usize,
        chosen: &mut Vec<u32>,
        mut fits: impl FnMut(&Member) -> bool,
    ) {
        chosen.clear();
        let count = self.members.len();
        // A large swarm: draw until enough are found. Cheap, because nearly everybody fits.
        if count > want * 8 {
            for _ in 0..want * 4 {
                if chosen.len() == want {
                    return;
                }
                let index = rng.random_range(0..count) as u32;
                if !chosen.contains(&index) && self.members.get(index as usize).is_some_and(&mut fits) {
                    chosen.push(index);
                }
            }
        }
        // A small swarm, or one in which few fit: shuffle as far as needed. Bounded, so that a huge swarm in which
        // nobody fits costs no more than a small one.
        const MOST_LOOKED_AT: usize = 256;
        let start = if count > MOST_LOOKED_AT { rng.random_range(0..count) } else { 0 };
        let mut order: Vec<u32> =
            (0..count.min(MOST_LOOKED_AT)).map(|place| ((start + place) % count) as u32).collect();
        for place in 0..order.len() {
            if chosen.len() == want {
                return;
            }
            let other = rng.random_range(place..order.len());
            order.swap(place, other);
            let index = order[place];
            if !chosen.contains(&index) && self.members.get(index as usize).is_some_and(&mut fits) {
                chosen.push(index);
            }
        }
    }
}
