//! One swarm: its members and their numbers.

use hlswarm::id::{PeerId, SwarmId};
use rand::{Rng, RngExt};

use super::Map;
use super::admission::{Net, Region};
use super::conn::ConnId;

/// One swarm.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) id: SwarmId,
    pub(crate) members: Vec<Member>,
    pub(crate) seeders: usize,
    /// How often a member said that it has everything now.
    pub(crate) downloaded: u64,
    /// The members that are near each other, by index.
    groups: Map<Near, Vec<u32>>,
}

/// What members can have in common, from near to far: neighbourhood, network, country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Near {
    Net(Net),
    Asn(u32),
    Country(u16),
}

/// How many kinds of nearness there are.
const KINDS: usize = 3;

/// One member, as matching needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) conn: ConnId,
    pub(crate) peer: PeerId,
    pub(crate) seeder: bool,
    pub(crate) net: Net,
    pub(crate) region: Region,
    /// Its place in each of its groups.
    at: [u32; KINDS],
}

impl Member {
    pub(crate) fn new(conn: ConnId, peer: PeerId, seeder: bool, net: Net, region: Region) -> Member {
        Member { conn, peer, seeder, net, region, at: [0; KINDS] }
    }
}

/// The groups of somebody, from near to far; `None` where nothing is known.
fn groups_of(net: Net, region: Region) -> [Option<Near>; KINDS] {
    [
        Some(Near::Net(net)),
        (region.asn != 0).then_some(Near::Asn(region.asn)),
        (region.country != 0).then_some(Near::Country(region.country)),
    ]
}

impl Swarm {
    pub(crate) fn new(id: SwarmId) -> Swarm {
        Swarm { id, members: Vec::new(), seeders: 0, downloaded: 0, groups: Map::default() }
    }

    /// Members that do not have everything.
    pub(crate) fn leechers(&self) -> usize {
        self.members.len() - self.seeders
    }

    /// Adds a member and returns its index.
    pub(crate) fn add(&mut self, mut member: Member) -> u32 {
        self.seeders += usize::from(member.seeder);
        let index = self.members.len() as u32;
        for (group, at) in groups_of(member.net, member.region).into_iter().zip(&mut member.at) {
            let Some(group) = group else { continue };
            let near = self.groups.entry(group).or_default();
            *at = near.len() as u32;
            near.push(index);
        }
        self.members.push(member);
        index
    }

    /// Removes the member at `index`. Returns the connection that now has this index, if any.
    pub(crate) fn remove(&mut self, index: u32) -> Option<ConnId> {
        let gone = *self.members.get(index as usize)?;
        for (kind, group) in groups_of(gone.net, gone.region).into_iter().enumerate() {
            if let Some(group) = group {
                self.leave_group(kind, group, gone.at[kind]);
            }
        }
        self.members.swap_remove(index as usize);
        self.seeders -= usize::from(gone.seeder);
        if self.members.len() * 4 < self.members.capacity() && self.members.capacity() > 16 {
            self.members.shrink_to(self.members.len() * 2);
        }
        let moved = *self.members.get(index as usize)?;
        for (group, at) in groups_of(moved.net, moved.region).into_iter().zip(moved.at) {
            let place = group
                .and_then(|group| self.groups.get_mut(&group))
                .and_then(|near| near.get_mut(at as usize));
            if let Some(place) = place {
                *place = index;
            }
        }
        Some(moved.conn)
    }

    /// Takes the entry at `at` out of a group; the last one takes its place.
    fn leave_group(&mut self, kind: usize, group: Near, at: u32) {
        let Some(near) = self.groups.get_mut(&group) else { return };
        if (at as usize) < near.len() {
            near.swap_remove(at as usize);
        }
        match near.get(at as usize) {
            Some(moved) => {
                if let Some(member) = self.members.get_mut(*moved as usize) {
                    member.at[kind] = at;
                }
            }
            None if near.is_empty() => {
                self.groups.remove(&group);
            }
            None => {}
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

    /// Draws up to `want` different members that `fits` takes into `chosen`: up to `near` of them at random from those
    /// near `net` and `region`, the nearest first, the others at random from all. Random ones keep the parts of a swarm
    /// connected. `own`: how many of the members are those for whom is drawn.
    pub(crate) fn draw(
        &self,
        rng: &mut impl Rng,
        want: usize,
        (net, region, own, near): (Net, Region, usize, usize),
        chosen: &mut Vec<u32>,
        mut fits: impl FnMut(&Member) -> bool,
    ) {
        chosen.clear();
        for group in groups_of(net, region).into_iter().flatten() {
            let Some(members) = self.groups.get(&group).filter(|members| members.len() > own) else {
                continue;
            };
            for _ in 0..near * 4 {
                if chosen.len() >= near {
                    break;
                }
                let Some(&index) = members.get(rng.random_range(0..members.len())) else { break };
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
