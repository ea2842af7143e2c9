//! Who the viewers are: their lines, when they come and go. All of it is drawn from the seed before the run.

use crate::draw::{For, bits, unit};
use crate::queue::{ActorId, Event};
use crate::scenario::{FaultKind, Nat, Scenario};
use crate::world::World;

/// One viewer's line and presence.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Which kind of line of the scenario it is.
    pub access: usize,
    pub down_bytes_per_s: f64,
    pub up_bytes_per_s: f64,
    pub delay_us: u64,
    pub loss: f64,
    pub nat: Nat,
    pub consume_only: bool,
    pub join_us: u64,
    /// When it leaves, and whether it vanishes; not before the end if `None`.
    pub leave: Option<(u64, bool)>,
}

/// Draws all viewers that appear when `count` are there at once.
pub(crate) fn profiles(scenario: &Scenario, count: u32, seed: u64) -> Vec<Profile> {
    let length_us = (scenario.length_s * 1e6) as u64;
    let mut out: Vec<Profile> = Vec::new();
    // Each seat is taken by one viewer after the other.
    for seat in 0..count {
        let turn = if scenario.viewers.join_in_turn {
            f64::from(seat) / f64::from(count)
        } else {
            unit(seed, For::Join, &[u64::from(seat)])
        };
        let mut join_us = (turn * scenario.viewers.join_over_s * 1e6) as u64 + 1;
        for sitting in 0u64.. {
            let words = [u64::from(seat), sitting];
            let mut profile = draw(scenario, seed, &words, join_us);
            let per_minute = scenario.viewers.churn_per_minute;
            if per_minute > 0.0 {
                // The time to an event of constant hazard is exponential.
                let stay_s = -(1.0 - unit(seed, For::Leave, &words)).ln() * 60.0 / per_minute;
                let leave_us = join_us + (stay_s * 1e6) as u64 + 1_000_000;
                let vanish = unit(seed, For::LeaveKind, &words) < scenario.viewers.vanish_share;
                profile.leave = (leave_us < length_us).then_some((leave_us, vanish));
            }
            let leave = profile.leave;
            out.push(profile);
            let Some((leave_us, _)) = leave else { break };
            join_us = leave_us + 500_000;
            if join_us >= length_us {
                break;
            }
        }
    }
    out
}

fn draw(scenario: &Scenario, seed: u64, words: &[u64], join_us: u64) -> Profile {
    let total: f64 = scenario.access.iter().map(|access| access.share).sum();
    let mut left = unit(seed, For::Class, words) * total;
    let mut number = 0;
    for (index, access) in scenario.access.iter().enumerate() {
        number = index;
        left -= access.share;
        if left < 0.0 {
            break;
        }
    }
    let chosen = &scenario.access[number];
    let bytes_per_s = |kbps: f64| kbps * 1000.0 / 8.0;
    Profile {
        access: number,
        down_bytes_per_s: bytes_per_s(chosen.downlink_kbps.draw(seed, For::Downlink, words)),
        up_bytes_per_s: bytes_per_s(chosen.uplink_kbps.draw(seed, For::Uplink, words)),
        delay_us: (chosen.delay_ms.draw(seed, For::Delay, words) * 1000.0) as u64,
        loss: chosen.loss,
        nat: chosen.nat,
        consume_only: unit(seed, For::ConsumeOnly, words) < scenario.viewers.consume_only_share,
        join_us,
        leave: None,
    }
}

/// Whether a direct connection between two viewers is possible.
pub(crate) fn pair_connects(world: &World, a: ActorId, b: ActorId) -> bool {
    let nats = (world.profile(a).nat, world.profile(b).nat);
    let through = matches!(nats, (Nat::Open, Nat::Open | Nat::Symmetric) | (Nat::Symmetric, Nat::Open));
    let words = [u64::from(a.min(b)), u64::from(a.max(b))];
    through && unit(world.seed, For::PairBlocked, &words) >= world.scenario.ice.blocked_pair_share
}

/// Whether a fault hits a viewer.
pub(crate) fn is_hit(scenario: &Scenario, seed: u64, index: usize, viewer: ActorId) -> bool {
    let share = scenario.fault[index].share;
    share >= 1.0 || unit(seed, For::Faulted, &[index as u64, u64::from(viewer)]) < share
}

/// By how much a viewer's wall clock is wrong, in milliseconds.
pub(crate) fn wrong_by_ms(world: &World, viewer: ActorId) -> i64 {
    let faults = world.scenario.fault.iter().enumerate();
    let hit = faults.filter(|(index, _)| is_hit(&world.scenario, world.seed, *index, viewer));
    hit.filter_map(|(_, fault)| fault.hours).map(|hours| (hours * 3_600_000.0) as i64).sum()
}

/// The transitions of the run: everything that happens to actors from outside, with its time.
pub(crate) fn transitions(world: &World) -> Vec<(u64, ActorId, Event)> {
    let mut out = Vec::new();
    for (id, profile) in world.profiles.iter().enumerate() {
        out.push((profile.join_us, id as ActorId, Event::Join));
        if let Some((at, vanish)) = profile.leave {
            out.push((at, id as ActorId, Event::Leave { vanish }));
        }
    }
    for (index, fault) in world.scenario.fault.iter().enumerate() {
        let begin = (fault.at_s * 1e6) as u64 + 1;
        let end = fault.for_s.map(|span| begin + (span * 1e6) as u64);
        let begins = Event::FaultBegins(index as u16);
        match fault.what {
            FaultKind::TrackerDown | FaultKind::TrackerSilent => {
                out.push((begin, world.tracker(fault.tracker), begins));
                out.extend(end.map(|at| (at, world.tracker(fault.tracker), Event::FaultEnds(index as u16))));
            }
            // The origin asks what the time is.
            FaultKind::PlaylistStalls
            | FaultKind::SequenceReset
            | FaultKind::Clock
            | FaultKind::OriginStatus
            | FaultKind::OriginHang
            | FaultKind::OriginReset
            | FaultKind::OriginSlow
            | FaultKind::OriginIgnoresRange
            | FaultKind::OriginRefusesRange => {}
            what => {
                let hit = (0..world.viewers()).filter(|&id| is_hit(&world.scenario, world.seed, index, id));
                for id in hit {
                    viewer_fault(&mut out, world, (index, id, what), begin, end);
                }
            }
        }
    }
    out
}

fn viewer_fault(
    out: &mut Vec<(u64, ActorId, Event)>,
    world: &World,
    (index, id, what): (usize, ActorId, FaultKind),
    begin: u64,
    end: Option<u64>,
) {
    let fault = &world.scenario.fault[index];
    // Whoever joins later is as hostile from then on: before, there is nobody to tell.
    let joined = world.profiles[id as usize].join_us + 1;
    let begin = if what == FaultKind::Corrupt { begin.max(joined) } else { begin };
    match what {
        FaultKind::Leave => {
            // "At once" is within a second.
            let spread = bits(world.seed, For::Faulted, &[index as u64, u64::from(id), 1]) % 1_000_000;
            out.push((begin + spread, id, Event::Leave { vanish: fault.vanish }));
        }
        FaultKind::SeekStorm => {
            out.extend((0..20).map(|number| (begin + u64::from(number) * 500_000, id, Event::Seek(number))));
        }
        _ => {
            out.push((begin, id, Event::FaultBegins(index as u16)));
            out.extend(end.map(|at| (at, id, Event::FaultEnds(index as u16))));
        }
    }
}
