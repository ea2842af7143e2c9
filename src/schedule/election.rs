//! Who fetches a segment that nobody has.
//!
//! Every viewer computes the same 64-bit score for each pair of viewer and segment (rendezvous hashing). The lowest
//! score fetches at once; the others wait one *slot* each, in the order of their scores, and stand down as soon as they
//! hear of a fetch. How long a slot is differs from one viewer and segment to the next. With the whole swarm in sight
//! the slot is the viewer's exact rank. In a larger swarm only neighbours are in sight, and "lowest among the
//! neighbours" would elect one viewer per neighbourhood: N/(d+1) of them. So a score is also held against the swarm's
//! size, which the tracker tells: the viewer whose score lies under [`EXPECTED_FETCHERS`]/N of the whole range is in
//! slot 0, and each further slot doubles that share. A fetch's announcement crosses the swarm in a few hops while the
//! next slot waits, so the expected number of fetches stays near a small constant however large the swarm is.
//!
//! How fast a segment spreads depends on who has it first. Viewers tell how many others their uplink can serve at a
//! time; those who can serve many are ranked before all others.

use crate::id::{PeerId, SegmentKey};

/// How many viewers are expected in slot 0 when the swarm is larger than what can be seen of it. With 2, slot 0 is
/// empty with probability e^-2 = 0.14.
pub const EXPECTED_FETCHERS: f64 = 2.0;

/// The score of a viewer for a segment: uniform over all `u64`, the same on every machine.
pub fn score(peer: &PeerId, key: &SegmentKey) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for chunk in peer.0.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word));
    }
    for word in [key.track.0, u64::from(key.discontinuity), key.sequence] {
        state = mix(state ^ word);
    }
    state
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// What is known of the viewers that want a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight {
    /// How many are in sight, without the viewer itself.
    pub in_sight: u32,
    /// How many of them are strong.
    pub strong: u32,
    /// How many of them are ahead of the viewer: strong ones ahead of others, then by score.
    pub ahead: u32,
    /// How many there are in all by estimate, the viewer itself included.
    pub swarm: u32,
}

/// A viewer's slot for a segment: 0 fetches at once, each further slot waits longer. Strong viewers, from whom a
/// segment spreads quickly, come before the others.
pub fn slot(own_score: u64, own_strong: bool, sight: &Sight) -> u32 {
    if sight.swarm <= sight.in_sight.saturating_add(1) {
        return sight.ahead;
    }
    let swarm = f64::from(sight.swarm);
    let strong_share = f64::from(sight.strong + u32::from(own_strong)) / f64::from(sight.in_sight + 1);
    let place = own_score as f64 / u64::MAX as f64;
    let expected_rank = if own_strong {
        place * swarm * strong_share
    } else {
        swarm * (strong_share + place * (1.0 - strong_share))
    };
    let slot = if expected_rank < EXPECTED_FETCHERS {
        0
    } else {
        1 + ((expected_rank / EXPECTED_FETCHERS) as u64).max(1).ilog2()
    };
    // A neighbour that is ahead of us is so for certain.
    slot.max(sight.ahead.min(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Id20, TrackId};

    fn peer(number: u32) -> PeerId {
        let mut id = *b"-HS0100-000000000000";
        id[16..].copy_from_slice(&number.to_be_bytes());
        Id20(id)
    }

    fn key(sequence: u64) -> SegmentKey {
        SegmentKey { track: TrackId(7), discontinuity: 0, sequence }
    }

    #[test]
    fn exactly_one_viewer_is_first_when_all_see_each_other() {
        for sequence in 0..50 {
            let scores: Vec<u64> = (0..8).map(|n| score(&peer(n), &key(sequence))).collect();
            let mut slots: Vec<u32> = scores
                .iter()
                .map(|own| {
                    let ahead = scores.iter().filter(|other| *other < own).count() as u32;
                    slot(*own, false, &Sight { in_sight: 7, strong: 0, ahead, swarm: 8 })
                })
                .collect();
            slots.sort_unstable();
            assert_eq!(slots, (0..8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_large_swarm_elects_about_two_and_doubles() {
        let swarm = 10_000;
        let mut by_slot = [0u32; 32];
        let segments = 50;
        for sequence in 0..segments {
            for n in 0..swarm {
                let sight = Sight { in_sight: 30, strong: 0, ahead: 0, swarm };
                by_slot[slot(score(&peer(n), &key(sequence)), false, &sight) as usize] += 1;
            }
        }
        let mean = |at: usize| f64::from(by_slot[at]) / segments as f64;
        assert!((1.5..2.6).contains(&mean(0)), "{}", mean(0));
        assert!((1.5..2.6).contains(&mean(1)), "{}", mean(1));
        assert!((3.0..5.0).contains(&mean(2)), "{}", mean(2));
    }

    #[test]
    fn the_strong_come_first() {
        let sight = Sight { in_sight: 29, strong: 9, ahead: 0, swarm: 1000 };
        let slots = |strong: bool| {
            let own = (0..1000).map(|n| slot(score(&peer(n), &key(1)), strong, &sight));
            own.collect::<Vec<u32>>()
        };
        let first = |slots: Vec<u32>| slots.iter().filter(|slot| **slot == 0).count();
        // 300 strong ones or so share the first two turns.
        assert!((2..=15).contains(&first(slots(true))), "{}", first(slots(true)));
        assert!(slots(false).iter().all(|slot| *slot >= 8), "{:?}", slots(false).iter().min());
        let alone = Sight { strong: 0, ..sight };
        assert!(first(slots_of(&alone)) > 0, "without strong ones the others come first");
    }

    fn slots_of(sight: &Sight) -> Vec<u32> {
        (0..1000).map(|n| slot(score(&peer(n), &key(1)), false, sight)).collect()
    }

    #[test]
    fn work_is_spread_evenly() {
        let mut wins = [0u32; 5];
        for sequence in 0..1000 {
            let scores: Vec<u64> = (0..5).map(|n| score(&peer(n), &key(sequence))).collect();
            let first = (0..5).min_by_key(|&n| scores[n]).expect("five");
            wins[first] += 1;
        }
        assert!(wins.iter().all(|&count| (150..250).contains(&count)), "{wins:?}");
    }
}
