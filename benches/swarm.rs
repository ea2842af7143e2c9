//! What a set of peers costs: `cargo bench --bench swarm`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hlswarm::random::ChaCha8Rng;
use rand::SeedableRng;

use hlswarm::config::Config;
use hlswarm::engine::Output;
use hlswarm::id::{BlobId, Id20, LinkId, PeerId, SegmentKey, SwarmId, TrackId, TransferId};
use hlswarm::swarm::{DataArrival, SegmentStore, StoredSegment, Swarm, SwarmOut};
use hlswarm::time::Time;
use hlswarm::wire::{self, Capabilities, DataHead, Frame, HaveEntry, HaveState};

const PEERS: u32 = 50;
const SEGMENTS: u64 = 1000;
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

const fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(7), discontinuity: 0, sequence }
}

const fn peer(name: u8) -> PeerId {
    Id20([name; 20])
}

struct Full;

impl SegmentStore for Full {
    fn segment(&self, _: SegmentKey) -> Option<StoredSegment> {
        let total_bytes = Some(SEGMENT_BYTES);
        Some(StoredSegment { blob: BlobId(1), resource_offset: 0, total_bytes, shareable: true })
    }

    fn contiguous_from(&self, _: SegmentKey, at: u64) -> u64 {
        SEGMENT_BYTES - at
    }
}

#[derive(Default)]
struct Sink {
    outputs: VecDeque<Output>,
    notices: Vec<hlswarm::swarm::SwarmNotice>,
}

impl Sink {
    fn out(&mut self) -> SwarmOut<'_> {
        self.outputs.clear();
        self.notices.clear();
        SwarmOut { outputs: &mut self.outputs, notices: &mut self.notices }
    }
}

/// Peers of which each has four segments of five.
fn swarm() -> (Swarm, ChaCha8Rng) {
    let mut config = Config::default();
    config.limits.max_peers = PEERS as usize;
    let id = SwarmId::from_name("bench");
    let mut swarm = Swarm::new(&config, id, peer(0));
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let mut sink = Sink::default();
    for link in 1..=PEERS {
        let name = peer(link as u8);
        swarm.link_up(Time::ZERO, &mut rng, LinkId(link), Some(name), true, 262_144, &mut sink.out());
        let hello = Frame::Hello {
            min_version: 1,
            max_version: 1,
            capabilities: Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
            swarm: id,
            peer: name,
            max_message_bytes: 65_535,
        };
        let has = (0..SEGMENTS).filter(|sequence| !(sequence + u64::from(link)).is_multiple_of(5));
        let loaded = wire::bitmap::from_sequences(0, has);
        let have = Frame::Have { track: TrackId(7), discontinuity: 0, first_sequence: 0, loaded };
        for frame in [hello, have] {
            swarm.control(Time::ZERO, LinkId(link), &wire::encode(&frame), &Full, &mut sink.out());
        }
    }
    assert_eq!(swarm.availability(key(1)), 40);
    (swarm, rng)
}

fn lookups(c: &mut Criterion) {
    let (swarm, _) = swarm();
    c.bench_function("who has each of 1,000 segments, of 50 peers", |b| {
        b.iter(|| {
            (0..SEGMENTS).map(|sequence| swarm.holders(black_box(key(sequence))).count()).sum::<usize>()
        });
    });
}

fn announcements(c: &mut Criterion) {
    let (base, mut rng) = swarm();
    let delta = wire::encode(&Frame::HaveDelta {
        entries: vec![HaveEntry { key: key(1000), state: HaveState::Loaded }],
    });
    c.bench_function("take one announcement", |b| {
        b.iter_batched_ref(
            || (base.clone(), Sink::default()),
            |(swarm, sink)| swarm.control(Time::ZERO, LinkId(1), black_box(&delta), &Full, &mut sink.out()),
            BatchSize::SmallInput,
        );
    });
    let mut told = base.clone();
    (0..SEGMENTS).for_each(|sequence| told.set_state(Time::ZERO, key(sequence), HaveState::Loaded));
    told.tick(Time::ZERO, &mut rng, &Full, &mut Sink::default().out());
    c.bench_function("announce one more segment than 1,000 to 50 peers", |b| {
        b.iter_batched_ref(
            || (told.clone(), Sink::default(), rng.clone()),
            |(swarm, sink, rng)| {
                let now = Time::from_millis(1000);
                swarm.set_state(now, key(SEGMENTS), HaveState::Loaded);
                swarm.tick(now, rng, &Full, &mut sink.out());
            },
            BatchSize::SmallInput,
        );
    });
}

fn transfers(c: &mut Criterion) {
    let (base, mut rng) = swarm();
    let mut sink = Sink::default();
    let now = Time::from_millis(1);

    let mut receiving = base.clone();
    let transfer = receiving.request(now, LinkId(1), key(2), 0, 0, 0, &mut sink.out()).expect("room");
    let accept = wire::encode(&Frame::Accept { transfer, total_bytes: SEGMENT_BYTES as u32 });
    receiving.control(now, LinkId(1), &accept, &Full, &mut sink.out());
    c.bench_function("take 200 data frames of 64 KiB", |b| {
        b.iter_batched_ref(
            || receiving.clone(),
            |swarm| {
                for part in 0..200 {
                    let head = wire::encode_data_head(DataHead { transfer, at: part * 65_526 });
                    let arrival = swarm.data(now, LinkId(1), black_box(&head), 65_535, &mut sink.out());
                    assert!(matches!(arrival, DataArrival::Arrived { .. }));
                }
            },
            BatchSize::SmallInput,
        );
    });

    let mut sending = base.clone();
    let request = Frame::Request { transfer: TransferId(1), key: key(2), resource_offset: 0, at: 0, len: 0 };
    sending.control(now, LinkId(1), &wire::encode(&request), &Full, &mut sink.out());
    for step in 2..10 {
        sending.link_writable(Time::from_millis(step), LinkId(1), &Full, &mut sink.out());
    }
    c.bench_function("fill a send buffer again with 384 KiB", |b| {
        b.iter_batched_ref(
            || sending.clone(),
            |swarm| swarm.link_writable(Time::from_millis(10), LinkId(1), &Full, &mut sink.out()),
            BatchSize::SmallInput,
        );
    });

    c.bench_function("a tick when nothing is due", |b| {
        let mut swarm = base.clone();
        swarm.tick(now, &mut rng, &Full, &mut sink.out());
        b.iter(|| swarm.tick(black_box(now), &mut rng, &Full, &mut sink.out()));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    targets = lookups, announcements, transfers
}
criterion_main!(benches);
