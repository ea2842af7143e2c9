use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BUDGET: u64 = 65_536;

fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(1), discontinuity: 0, sequence }
}

fn cache(count: usize) -> Cache {
    Cache::new(&LoaderConfig {
        cache_bytes: BUDGET,
        cached_segments_count: count,
        cached_segment_expiration: 1000,
        ..LoaderConfig::default()
    })
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn unlocked(_: SegmentKey) -> bool {
    false
}

fn gone(evicted: &[Evicted]) -> Vec<(u64, EvictCause)> {
    evicted.iter().map(|gone| (gone.key.sequence, gone.why)).collect()
}

#[test]
fn the_least_recently_used_goes_when_there_are_too_many() {
    let mut cache = cache(3);
    for sequence in 0..3 {
        assert_eq!(cache.insert(at(sequence), key(sequence), BlobId(sequence as u32), 10, unlocked), []);
    }
    cache.touch(at(5), key(0));
    let evicted = cache.insert(at(6), key(3), BlobId(3), 10, unlocked);
    assert_eq!(evicted, [Evicted { key: key(1), blob: BlobId(1), why: EvictCause::Count }]);
    assert_eq!(cache.iter().map(|(key, _)| key.sequence).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!((cache.len(), cache.bytes(), cache.is_empty()), (3, 30, false));
}

#[test]
fn locked_segments_are_spared_and_may_pass_the_count() {
    let mut cache = cache(2);
    for sequence in 0..4 {
        assert_eq!(cache.insert(at(sequence), key(sequence), BlobId(0), 10, |_| true), []);
    }
    let evicted = cache.insert(at(9), key(4), BlobId(0), 10, |key| key.sequence < 3);
    assert_eq!(gone(&evicted), [(3, EvictCause::Count), (4, EvictCause::Count)]);
    assert_eq!(cache.len(), 3);
    assert_eq!(gone(&cache.insert(at(9), key(5), BlobId(0), 1, unlocked)).len(), 2);
}

#[test]
fn bytes_are_never_more_than_the_budget() {
    let mut cache = cache(100);
    assert_eq!(cache.insert(at(0), key(0), BlobId(0), BUDGET, unlocked), []);
    assert_eq!(gone(&cache.insert(at(1), key(1), BlobId(1), 1, unlocked)), [(0, EvictCause::Bytes)]);
    assert_eq!(cache.bytes(), 1);
    // Too large by itself: nothing else goes for it.
    assert_eq!(gone(&cache.insert(at(2), key(2), BlobId(2), BUDGET + 1, unlocked)), [(2, EvictCause::Bytes)]);
    assert_eq!((cache.bytes(), cache.budget_bytes()), (1, BUDGET));
    // Locked ones leave no room: the new one goes, and that could be known before.
    let locked = |key: SegmentKey| key.sequence == 1;
    assert!(cache.has_room(BUDGET - 1, locked) && !cache.has_room(BUDGET, locked));
    cache.insert(at(2), key(9), BlobId(9), 1, unlocked);
    assert_eq!(gone(&cache.insert(at(3), key(3), BlobId(3), BUDGET, locked)), [(3, EvictCause::Bytes)]);
    assert!(cache.remove(key(9)).is_some(), "nothing else goes for what is not kept");
    assert_eq!(cache.get(key(1)).map(|entry| entry.len), Some(1));
    assert_eq!(cache.insert(at(4), key(4), BlobId(4), BUDGET - 1, locked), []);
    assert_eq!(cache.bytes(), BUDGET);
}

#[test]
fn what_takes_a_place_gives_back_the_old_bytes() {
    let mut cache = cache(10);
    cache.insert(at(0), key(0), BlobId(1), 60_000, unlocked);
    let evicted = cache.insert(at(1), key(0), BlobId(2), 50_000, unlocked);
    assert_eq!(evicted, [Evicted { key: key(0), blob: BlobId(1), why: EvictCause::Replaced }]);
    assert_eq!((cache.bytes(), cache.len()), (50_000, 1));
    assert_eq!(cache.insert(at(2), key(0), BlobId(2), 40_000, unlocked), []);
    assert_eq!(cache.bytes(), 40_000);
    let evicted = cache.insert(at(3), key(0), BlobId(3), BUDGET + 1, unlocked);
    assert_eq!(gone(&evicted), [(0, EvictCause::Replaced), (0, EvictCause::Bytes)]);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn segments_expire_after_their_last_use() {
    let mut cache = cache(10);
    assert_eq!(cache.next_expiry(), None);
    cache.insert(at(0), key(0), BlobId(0), 10, unlocked);
    cache.insert(at(100), key(1), BlobId(1), 10, unlocked);
    assert_eq!(cache.next_expiry(), Some(at(1000)));
    cache.touch(at(500), key(0));
    // A clock that a shell reads late must not shorten a life.
    cache.touch(at(400), key(0));
    assert_eq!(cache.next_expiry(), Some(at(1100)));
    assert_eq!(cache.expire(at(1099)), []);
    assert_eq!(gone(&cache.expire(at(1100))), [(1, EvictCause::Expired)]);
    assert_eq!(gone(&cache.expire(at(9999))), [(0, EvictCause::Expired)]);
    assert_eq!((cache.bytes(), cache.next_expiry()), (0, None));
}

#[test]
fn removing_and_listing_by_track() {
    let mut cache = cache(10);
    let other = SegmentKey { track: TrackId(2), ..key(1) };
    let later = SegmentKey { discontinuity: 4, ..key(0) };
    for (n, key) in [other, later, key(7)].into_iter().enumerate() {
        cache.insert(at(0), key, BlobId(n as u32), 10, unlocked);
    }
    assert_eq!(cache.of_track(TrackId(1)).map(|(key, _)| key).collect::<Vec<_>>(), [key(7), later]);
    assert_eq!(cache.remove(other), Some(BlobId(0)));
    assert_eq!(cache.remove(other), None);
    assert_eq!((cache.len(), cache.bytes()), (2, 20));
}

#[derive(Clone, Debug)]
enum Step {
    Insert { sequence: u64, len: u64, lock_from: u64 },
    Touch { sequence: u64 },
    Remove { sequence: u64 },
    Expire,
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let sequence = 0..20_u64;
    let step = prop_oneof![
        5 => (sequence.clone(), prop_oneof![0..30_000_u64, Just(u64::MAX), Just(BUDGET)], 0..25_u64)
            .prop_map(|(sequence, len, lock_from)| Step::Insert { sequence, len, lock_from }),
        2 => sequence.clone().prop_map(|sequence| Step::Touch { sequence }),
        1 => sequence.prop_map(|sequence| Step::Remove { sequence }),
        1 => Just(Step::Expire),
    ];
    (0..300_u64, step)
}

proptest! {
    /// A plain map is kept beside the cache from what the cache says: both must agree after each step, no blob may be
    /// lost or dropped twice, and locked segments stay.
    #[test]
    fn accounts_are_exact(steps in prop::collection::vec(any_step(), 1..200), count in 0..12_usize) {
        let mut cache = cache(count);
        let mut model: BTreeMap<SegmentKey, (BlobId, u64, u64)> = BTreeMap::new();
        let mut now = 0;
        for (number, (pause, step)) in steps.into_iter().enumerate() {
            now += pause;
            let drop_from = |model: &mut BTreeMap<_, _>, evicted: Vec<Evicted>| {
                for gone in evicted {
                    let entry: Option<(BlobId, u64, u64)> = model.remove(&gone.key);
                    prop_assert_eq!(entry.map(|entry| entry.0), Some(gone.blob));
                }
                Ok(())
            };
            match step {
                Step::Insert { sequence, len, lock_from } => {
                    let blob = BlobId(number as u32);
                    let locked = |key: SegmentKey| key.sequence >= lock_from && key.sequence != sequence;
                    let mut evicted = cache.insert(at(now), key(sequence), blob, len, locked);
                    if evicted.first().is_some_and(|gone| gone.why == EvictCause::Replaced) {
                        drop_from(&mut model, vec![evicted.remove(0)])?;
                    }
                    prop_assert!(model.insert(key(sequence), (blob, len, now)).is_none());
                    for gone in &evicted {
                        prop_assert!(!locked(gone.key));
                    }
                    // Least recently used first.
                    let uses: Vec<u64> = evicted.iter().map(|gone| model[&gone.key].2).collect();
                    prop_assert!(uses.is_sorted());
                    drop_from(&mut model, evicted)?;
                    let unlocked = model.keys().filter(|key| !locked(**key)).count();
                    prop_assert!(model.len() <= count || unlocked == 0);
                }
                Step::Touch { sequence } => {
                    cache.touch(at(now), key(sequence));
                    if let Some(entry) = model.get_mut(&key(sequence)) {
                        entry.2 = now;
                    }
                }
                Step::Remove { sequence } => {
                    let removed = cache.remove(key(sequence));
                    prop_assert_eq!(removed, model.remove(&key(sequence)).map(|entry| entry.0));
                }
                Step::Expire => {
                    drop_from(&mut model, cache.expire(at(now)))?;
                    prop_assert!(model.values().all(|entry| entry.2 + 1000 > now));
                }
            }
            let kept: Vec<_> = cache.iter().map(|(key, entry)| (key, entry.blob, entry.len, entry.last_use)).collect();
            let expected: Vec<_> =
                model.iter().map(|(key, (blob, len, used))| (*key, *blob, *len, at(*used))).collect();
            prop_assert_eq!(kept, expected);
            prop_assert_eq!(cache.bytes(), model.values().map(|entry| entry.1).sum::<u64>());
            prop_assert!(cache.bytes() <= BUDGET);
            let next = model.values().map(|entry| at(entry.2 + 1000)).min();
            prop_assert_eq!(cache.next_expiry(), next);
        }
    }
}
