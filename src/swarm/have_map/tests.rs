use super::*;
use crate::wire::MAX_HAVE_BITS;
use proptest::prelude::*;

const NEVER: Time = Time::from_micros(u64::MAX);

fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(1), discontinuity: 0, sequence }
}

fn put(map: &mut HaveMap, sequence: u64, state: HaveState) -> bool {
    map.apply(HaveEntry { key: key(sequence), state }, NEVER)
}

fn loaded(map: &HaveMap, sequences: std::ops::Range<u64>) -> Vec<u64> {
    sequences.filter(|sequence| map.state(key(*sequence), Time::ZERO) == HaveState::Loaded).collect()
}

/// What a new peer would know.
fn copy(map: &HaveMap) -> HaveMap {
    let mut copy = HaveMap::new(2048);
    for frame in map.snapshots() {
        let Frame::Have { track, discontinuity, first_sequence, loaded } = frame else { panic!("{frame:?}") };
        assert!(loaded.len() * 8 <= MAX_HAVE_BITS);
        copy.replace(track, discontinuity, first_sequence, &loaded);
    }
    copy
}

#[test]
fn the_window_follows_what_is_loaded() {
    let mut map = HaveMap::new(2048);
    put(&mut map, 64, HaveState::Loaded);
    put(&mut map, 2111, HaveState::Loaded);
    assert_eq!(loaded(&map, 0..5000), [64, 2111]);
    put(&mut map, 2112, HaveState::Loaded);
    assert_eq!(loaded(&map, 0..5000), [2111, 2112]);
    put(&mut map, 3, HaveState::Loaded);
    assert_eq!(loaded(&map, 0..5000), [3]);
    put(&mut map, u64::MAX, HaveState::Loaded);
    assert_eq!(map.state(key(u64::MAX), Time::ZERO), HaveState::Loaded);
    assert_eq!(map.loaded_count(), 1);
}

#[test]
fn gone_never_moves_the_window() {
    let mut map = HaveMap::new(2048);
    put(&mut map, 10, HaveState::Loaded);
    assert!(!put(&mut map, 1_000_000, HaveState::Gone));
    assert!(!put(&mut map, 0, HaveState::Gone));
    assert_eq!(loaded(&map, 0..100), [10]);
    assert!(put(&mut map, 10, HaveState::Gone));
    assert!(map.runs.is_empty());
}

#[test]
fn marks_expire_and_give_way_to_what_is_loaded() {
    let mut map = HaveMap::new(2048);
    let until = Time::from_millis(10_000);
    let mark = HaveEntry { key: key(4), state: HaveState::FetchingHttp };
    assert!(map.apply(mark, until));
    assert!(!map.apply(mark, until), "a repetition is no change");
    assert_eq!(map.state(key(4), Time::from_millis(9999)), HaveState::FetchingHttp);
    assert_eq!(map.state(key(4), until), HaveState::Gone);
    assert_eq!(map.next_expiry(), Some(until));
    assert!(map.expire(until));
    assert!(map.marks.is_empty());
    map.apply(mark, until);
    assert!(put(&mut map, 4, HaveState::Loaded));
    assert_eq!(map.state(key(4), Time::ZERO), HaveState::Loaded);
    assert_eq!(map.next_expiry(), None);
    assert!(map.apply(mark, until), "loaded no more");
    assert_eq!(map.state(key(4), Time::ZERO), HaveState::FetchingHttp);
}

#[test]
fn one_peer_can_not_fill_the_memory() {
    let mut map = HaveMap::new(2048);
    for track in 0..1000 {
        for state in [HaveState::Loaded, HaveState::FetchingP2p] {
            let key =
                SegmentKey { track: TrackId(track), discontinuity: 3, sequence: track * 5000 + state as u64 };
            map.apply(HaveEntry { key, state }, Time::from_millis(track));
        }
    }
    assert_eq!((map.runs.len(), map.marks.len()), (MAX_RUNS, MAX_MARKS));
    let newest = SegmentKey { track: TrackId(999), discontinuity: 3, sequence: 999 * 5000 + 3 };
    assert_eq!(map.state(newest, Time::ZERO), HaveState::Loaded);
    let words: usize = map.runs.iter().map(|run| run.words.len()).sum();
    assert!(words <= MAX_RUNS * 32);
}

#[test]
fn a_thousand_segments_fit_into_a_short_frame() {
    let mut map = HaveMap::new(2048);
    (5000..6000).for_each(|sequence| {
        put(&mut map, sequence, HaveState::Loaded);
    });
    let frames: Vec<Vec<u8>> = map.snapshots().map(|frame| crate::wire::encode(&frame)).collect();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].len() < 300, "{} bytes", frames[0].len());
}

proptest! {
    #[test]
    fn sender_and_latecomer_agree(changes in prop::collection::vec((0u64..9000, any::<bool>()), 1..300)) {
        let mut old = HaveMap::new(2048);
        let split = changes.len() / 2;
        for &(sequence, load) in &changes[..split] {
            put(&mut old, sequence, if load { HaveState::Loaded } else { HaveState::Gone });
        }
        let mut late = copy(&old);
        for &(sequence, load) in &changes[split..] {
            for map in [&mut old, &mut late] {
                put(map, sequence, if load { HaveState::Loaded } else { HaveState::Gone });
            }
        }
        prop_assert_eq!(loaded(&old, 0..9100), loaded(&late, 0..9100));
        prop_assert_eq!(old.loaded_count(), late.loaded_count());
    }

    #[test]
    fn a_bitmap_of_any_alignment_is_taken(first in 0u64..200, bits in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut map = HaveMap::new(2048);
        map.replace(TrackId(1), 0, first, &bits);
        let want: Vec<u64> = bitmap::ones(&bits).map(|bit| first + bit as u64).collect();
        prop_assert_eq!(loaded(&map, 0..3000), want);
    }
}
