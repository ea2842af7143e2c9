//! One swarm: its members and their numbers.

use hlswarm::id::{PeerId, SwarmId};
use rand::{Rng, RngExt};

use super::Map;
use super::admission::Net;
use super::conn::ConnId;

/// One swarm.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) id: SwarmId,
    pub(crate) members: Vec<Member>,
    pub(crate) seeders: usize,
    /// How often a member said that it has everything now.
    pub(crate) downloaded: u64,
    /// The members of each neighbourhood, by index.
    nets: Map<Net, Vec<u32>>,
}

/// One member, as matching needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) conn: ConnId,
    pub(crate) peer: PeerId,
    pub(crate) seeder: bool,
    pub(crate) net: Net,
}

impl Swarm {
    pub(crate) fn new(id: SwarmId) -> Swarm {
        Swarm { id, members: Vec::new(), seeders: 0, downloaded: 0, nets: Map::default() }
    }

    /// Members that do not have everything.
    pub(crate) fn leechers(&self) -> usize {
        self.members.len() - self.seeders
    }

    /// Adds a member and returns its index.
    pub(crate) fn add(&mut self, member: Member) -> u32 {
        self.seeders += usize::from(member.seeder);
        let index = self.members.len() as u32;
        self.members.push(member);
        self.nets.entry(member.net).or_default().push(index);
        index
    }

    /// Removes the member at `index`, in the time that it takes to look through its neighbours. Returns the connection that now has this index, if any.
    pub(crate) fn remove(&mut self, index: u32) -> Option<ConnId> {
        let gone = *self.members.get(index as usize)?;
        let last = (self.members.len() - 1) as u32;
        self.leave_net(gone.net, index);
        self.members.swap_remove(index as usize);
        self.seeders -= usize::from(gone.seeder);
        if self.members.len() * 4 < self.members.capacity() && self.members.capacity() > 16 {
            self.members.shrink_to(self.members.len() * 2);
        }
        let moved = self.members.get(index as usize)?;
        if let Some(place) =
            self.nets.get_mut(&moved.net).and_then(|near| near.iter_mut().find(|member| **member == last))
        {
            *place = index;
        }
        Some(moved.conn)
    }

    fn leave_net(&mut self, net: Net, index: u32) {
        let Some(near) = self.nets.get_mut(&net) else { return };
        if let Some(place) = near.iter().position(|member| *member == index) {
            near.swap_remove(place);
        }
        if near.is_empty() {
            self.nets.remove(&net);
        }
    }

    /// Sets whether the member at `index` has everything.
    pub(crate) fn set_seeder(&mut self, index: u32, seeder: bool) {
        if let Some(member) = self.members.get_mut(index as usize) {
            self.seeders -= usize::from(member.seeder);
            self.seeders += usize::from(seeder);
            member.seeder = seeder;
        }
    }

    /// Draws up to `want` different members that `fits` takes into `chosen`: up to `near.1` of them at random from the
    /// neighbourhood `near.0`, the others at random from all. Random ones keep the parts of a swarm connected.
    pub(crate) fn draw(
        &self,
        rng: &mut impl Rng,
        want: usize,
        near: (Net, usize),
        chosen: &mut Vec<u32>,
        mut fits: impl FnMut(&Member) -> bool,
    ) {
        chosen.clear();
        if let Some(neighbours) = self.nets.get(&near.0).filter(|neighbours| neighbours.len() > 1) {
            for _ in 0..near.1 * 4 {
                if chosen.len() == near.1 {
                    break;
                }
                let Some(&index) = neighbours.get(rng.random_range(0..neighbours.len())) else { break };
                if !chosen.contains(&index) && self.members.get(index as usize).is_some_and(&mut fits) {
                    chosen.push(index);
                }
            }
        }
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
