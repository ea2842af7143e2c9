//! Why a run came out as it did: how segments spread, whose uplinks carried them, who could be reached at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::media::Place;
use crate::report::percentile;
use crate::scenario::Nat;
use crate::tally::Tally;
use crate::topology::pair_connects;
use crate::world::World;

/// How live segments spread: from their appearance at the origin, over all deliveries, in milliseconds. Each step as
/// the median and the 95th percentile.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Until the player asked for it.
    pub wanted_ms: [f64; 2],
    /// Until its first source was asked.
    pub asked_ms: [f64; 2],
    /// Until its first byte came.
    pub first_byte_ms: [f64; 2],
    /// Until it was delivered.
    pub delivered_ms: [f64; 2],
    /// Over how many viewers it came.
    pub hops: [f64; 2],
    /// Until the first viewer has it; median and 95th percentile over segments, as those that follow.
    pub first_viewer_ms: [f64; 2],
    /// Until half of the viewers have it.
    pub half_ms: [f64; 2],
    /// Until all viewers have it.
    pub last_viewer_ms: [f64; 2],
}

/// What the viewers on one kind of line gave.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Number of the line in the scenario file, from 0.
    pub access: usize,
    /// Viewers on it.
    pub viewers: usize,
    /// Bytes put on the uplinks / bytes delivered to these viewers.
    pub upload_ratio: f64,
    /// Bytes put on the uplinks / what they could have carried.
    pub uplink_used: f64,
    /// Bytes from the origin / bytes delivered to these viewers.
    pub origin_share: f64,
}

pub(crate) fn spread(tallies: &[Tally]) -> Option<Spread> {
    let of = |value: fn(&crate::tally::Reach) -> f64| {
        let mut values: Vec<f64> = tallies.iter().flat_map(|tally| &tally.reach).map(value).collect();
        Some([percentile(&mut values, 0.5)?, percentile(&mut values, 0.95)?])
    };
    let mut segments: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for reach in tallies.iter().flat_map(|tally| &tally.reach) {
        segments.entry(reach.index).or_default().push(f64::from(reach.ms));
    }
    let mut by_segment = |share: f64| {
        let mut values: Vec<f64> =
            segments.values_mut().filter_map(|values| percentile(values, share)).collect();
        Some([percentile(&mut values, 0.5)?, percentile(&mut values, 0.95)?])
    };
    Some(Spread {
        wanted_ms: of(|reach| reach.wanted_ms.into())?,
        asked_ms: of(|reach| reach.asked_ms.into())?,
        first_byte_ms: of(|reach| reach.first_ms.into())?,
        delivered_ms: of(|reach| reach.ms.into())?,
        hops: of(|reach| reach.hops.into())?,
        first_viewer_ms: by_segment(0.0)?,
        half_ms: by_segment(0.5)?,
        last_viewer_ms: by_segment(1.0)?,
    })
}

pub(crate) fn lines(world: &World, tallies: &[Tally]) -> Vec<Line> {
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let mut out = Vec::new();
    for access in 0..world.scenario.access.len() {
        let on = || tallies.iter().filter(move |tally| world.profile(tally.id).access == access);
        let sum = |of: fn(&Tally) -> u64| on().map(of).sum::<u64>() as f64;
        let could = on().map(|tally| {
            world.profile(tally.id).up_bytes_per_s * (tally.left_us - tally.joined_us) as f64 / 1e6
        });
        out.push(Line {
            access,
            viewers: on().count(),
            upload_ratio: ratio(sum(|tally| tally.uploaded), sum(|tally| tally.delivered)),
            uplink_used: ratio(sum(|tally| tally.uploaded), could.sum()),
            origin_share: ratio(sum(Tally::http_bytes), sum(|tally| tally.delivered)),
        });
    }
    out
}

/// The offload if the origin served each segment once to each group of viewers that can reach each other, directly
/// or over others. Who can connect to nobody is a group of its own. `tallies` are those of the reference.
pub(crate) fn reachable(world: &World, tallies: &[Tally]) -> f64 {
    let delivered: u64 = tallies.iter().map(|tally| tally.delivered).sum();
    let mut left: Vec<&Tally> = tallies.iter().collect();
    let mut needed = 0;
    while let Some(first) = left.pop() {
        let mut group = vec![first];
        let mut at = 0;
        while let Some(member) = group.get(at) {
            at += 1;
            if world.profile(member.id).nat == Nat::Blocked {
                continue;
            }
            let (joined, others): (Vec<_>, Vec<_>) =
                left.drain(..).partition(|other| pair_connects(world, member.id, other.id));
            left = others;
            group.extend(joined);
        }
        let places: BTreeSet<Place> = group.iter().flat_map(|tally| tally.served.keys().copied()).collect();
        needed += places.into_iter().map(|place| u64::from(world.catalog.size(place))).sum::<u64>();
    }
    if delivered == 0 { 0.0 } else { 1.0 - needed as f64 / delivered as f64 }
}
