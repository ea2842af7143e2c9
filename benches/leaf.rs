//! What the wire, the timeline, the cache and playlists cost: `cargo bench --bench leaf`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use hlswarm::cache::Cache;
use hlswarm::config::{LimitsConfig, LoaderConfig};
use hlswarm::engine::{SegmentInfo, TimelineUpdate, TrackKind};
use hlswarm::id::{BlobId, SegmentKey, TrackId, TransferId};
use hlswarm::playlist;
use hlswarm::time::Time;
use hlswarm::timeline::Timeline;
use hlswarm::wire::{self, DataHead, Frame, HaveEntry, HaveState, bitmap};

const TRACK: TrackId = TrackId(7);

const fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TRACK, discontinuity: 0, sequence }
}

fn update(live: bool, first: u64, count: u64) -> TimelineUpdate {
    let info = |sequence: u64| SegmentInfo {
        discontinuity: 0,
        sequence,
        start_ms: sequence as i64 * 4000,
        duration_ms: 4000,
        url: format!("https://cdn.example/video/seg{sequence}.ts?token=0123456789").into(),
        byte_range: None,
    };
    TimelineUpdate {
        track: TRACK,
        kind: TrackKind::Main,
        live,
        bitrate_bps: Some(2_000_000),
        segments: (first..first + count).map(info).collect(),
    }
}

fn full_cache(count: u64) -> Cache {
    let config = LoaderConfig { cached_segments_count: count as usize, ..LoaderConfig::default() };
    let mut cache = Cache::new(&config);
    for sequence in 0..count {
        // Every seventh is missing, so that the bitmap is not trivial.
        if sequence % 7 != 3 {
            cache
                .insert(Time::from_millis(sequence), key(sequence), BlobId(sequence as u32), 1000, |_| false);
        }
    }
    cache
}

fn wire(c: &mut Criterion) {
    let cache = full_cache(1167);
    assert_eq!(cache.len(), 1000);
    let announce = || {
        let sequences = cache.of_track(TRACK).map(|(key, _)| key.sequence);
        let loaded = bitmap::from_sequences(0, sequences);
        wire::encode(&Frame::Have { track: TRACK, discontinuity: 0, first_sequence: 0, loaded })
    };
    let have = announce();
    println!("announcement of 1,000 segments: {} bytes", have.len());
    c.bench_function("announce 1,000 segments: cache to bytes", |b| b.iter(announce));
    c.bench_function("announce 1,000 segments: bytes to frame", |b| {
        b.iter(|| wire::decode(black_box(&have), 4096))
    });

    let delta = Frame::HaveDelta { entries: vec![HaveEntry { key: key(9), state: HaveState::Loaded }] };
    let bytes = wire::encode(&delta);
    println!("announcement of one change: {} bytes", bytes.len());
    c.bench_function("one change: encode", |b| b.iter(|| wire::encode(black_box(&delta))));
    c.bench_function("one change: decode", |b| b.iter(|| wire::decode(black_box(&bytes), 4096)));

    let head = DataHead { transfer: TransferId(5), at: 65_536 };
    let bytes = wire::encode_data_head(head);
    c.bench_function("data head: encode", |b| b.iter(|| wire::encode_data_head(black_box(head))));
    c.bench_function("data head: decode", |b| b.iter(|| wire::decode_data_head(black_box(&bytes))));
}

fn timeline(c: &mut Criterion) {
    let mut live = Timeline::new(&LimitsConfig::default());
    live.update(update(true, 0, 20));
    let mut first = 0;
    c.bench_function("timeline: live window of 20 moves by one", |b| {
        b.iter_batched(
            || {
                first += 1;
                update(true, first, 20)
            },
            |update| live.update(update),
            BatchSize::SmallInput,
        );
    });
    let mut film = Timeline::new(&LimitsConfig::default());
    film.update(update(false, 0, 1000));
    c.bench_function("timeline: film of 1,000 refreshed", |b| {
        b.iter_batched(|| update(false, 0, 1000), |update| film.update(update), BatchSize::LargeInput);
    });
    c.bench_function("timeline: position to segment", |b| {
        b.iter(|| film.at_position(TRACK, black_box(2_001_000)))
    });
    c.bench_function("timeline: 50 segments ahead", |b| {
        b.iter(|| {
            film.forward(black_box(key(500)), 50).map(|segment| u64::from(segment.duration_ms)).sum::<u64>()
        });
    });
    c.bench_function("timeline: distance", |b| {
        b.iter(|| film.distance(black_box(key(100)), black_box(key(900))))
    });
}

fn cache(c: &mut Criterion) {
    for count in [30, 1000] {
        let mut cache = full_cache(count);
        let mut sequence = count;
        c.bench_function(&format!("cache of {count}: insert and evict"), |b| {
            b.iter(|| {
                sequence += 1;
                let now = Time::from_millis(sequence);
                cache.insert(now, key(sequence), BlobId(sequence as u32), 1000, |_| false)
            });
        });
        c.bench_function(&format!("cache of {count}: touch"), |b| {
            b.iter(|| {
                sequence += 1;
                cache.touch(Time::from_millis(sequence), key(sequence % count));
            });
        });
    }
}

fn playlists(c: &mut Criterion) {
    let segments: String =
        (0..1000).map(|n| format!("#EXTINF:4.000,\nseg{n}.ts?token=0123456789\n")).collect();
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
    c.bench_function("playlist of 1,000 segments: parse", |b| {
        b.iter(|| playlist::parse(black_box(&text), "https://cdn.example/video/index.m3u8"));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = wire, timeline, cache, playlists
}
criterion_main!(benches);
