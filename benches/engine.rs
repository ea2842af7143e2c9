//! What a whole engine costs: `cargo bench --bench engine`.
//!
//! One viewer of a film of 1,000 segments with 50 peers, of which each has four segments of five.

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

use hlswarm::engine::{Engine, Input, Output, Placement, Playhead, TimelineUpdate, TrackKind};
use hlswarm::id::RequestId;
use hlswarm::time::{Span, Time};
use hlswarm::wire::{DataHead, Frame, HaveEntry, HaveState, bitmap, encode, encode_data_head};

use rig::{Remote, Rig, key, segment};

const PEERS: usize = 50;
const SEGMENTS: u64 = 1000;

fn rig(mut options: Value) -> (Rig, Vec<Remote>) {
    options["limits"] = json!({
        "maxPeers": PEERS,
        // Nobody answers here.
        "pingIntervalMs": 600_000,
        "haveUpdatesPerSecond": 10_000,
        "receiveBytesPerPeer": 32_000_000,
    });
    let mut rig = Rig::new(options);
    rig.tracker_up(PEERS as u32 + 1);
    let connect = |rig: &mut Rig| {
        // So many offers at once would not be answered.
        rig.advance(400);
        rig.connect_peer()
    };
    let peers: Vec<Remote> = (0..PEERS).map(|_| connect(&mut rig)).collect();
    rig.playlist((0..SEGMENTS).map(segment).collect(), false);
    for (number, peer) in peers.iter().enumerate() {
        let has = (0..SEGMENTS).filter(|sequence| !(sequence + number as u64).is_multiple_of(5));
        let loaded = bitmap::from_sequences(0, has);
        rig.say(*peer, &Frame::Have { track: key(0).track, discontinuity: 0, first_sequence: 0, loaded });
    }
    (rig, peers)
}

/// Hands over one input and takes all outputs, as a shell does. Gives how many there were.
fn step(engine: &mut Engine, now: Time, input: Input) -> usize {
    engine.handle(now, input);
    let mut outputs = 0;
    while !matches!(black_box(engine.poll_output()), Output::Wait(_)) {
        outputs += 1;
    }
    outputs
}

fn playhead(position_ms: i64) -> Input {
    Input::Playhead(Playhead { position_ms, rate_milli: 1000, buffered_ms: 30_000 })
}

/// The player moves: the planner looks at its whole queue and at what all peers have of it.
fn passes(c: &mut Criterion) {
    let random = json!({
        "segments": { "forwardSegmentCount": SEGMENTS },
        "loader": { "coordination": "random", "httpDownloadProbability": 0, "p2pDownloadMaxPriority": 0 },
    });
    for (name, options) in [("as by default", json!({})), ("over all 1,000 segments", random)] {
        let (mut rig, _) = rig(options);
        rig.want(10);
        let mut at = rig.now;
        c.bench_function(&format!("scheduling pass, 50 peers: {name}"), |b| {
            b.iter(|| {
                at = at + Span::from_micros(1);
                step(&mut rig.engine, at, playhead(0))
            });
        });
    }
}

fn steps(c: &mut Criterion) {
    let (mut rig, peers) = rig(json!({}));
    rig.playhead(0, 30_000);
    rig.want(10);
    let mut at = rig.now;
    c.bench_function("engine step: a tick with nothing due", |b| {
        b.iter(|| step(&mut rig.engine, at, Input::Tick));
    });

    // A segment of the queue: one that the peer has no more, then has again.
    let delta = |state| encode(&Frame::HaveDelta { entries: vec![HaveEntry { key: key(12), state }] });
    let (gone, loaded) = (delta(HaveState::Gone), delta(HaveState::Loaded));
    let mut turn = false;
    c.bench_function("engine step: a peer announces one change", |b| {
        b.iter(|| {
            turn = !turn;
            let frame = if turn { gone.clone() } else { loaded.clone() };
            at = at + Span::from_micros(100);
            step(&mut rig.engine, at, Input::Control { link: peers[0].link, frame })
        });
    });
}

/// Segment bytes of a peer arrive; the player waits for them.
fn arrivals(c: &mut Criterion) {
    const MESSAGE_BYTES: u32 = 65_535;
    const TOTAL_BYTES: u32 = 15_000_000;
    let new_viewer = || {
        let options = json!({
            "loader": { "coordination": "random", "httpDownloadProbability": 0 },
        });
        let (mut rig, peers) = rig(options);
        rig.input(Input::Timeline(TimelineUpdate {
            track: key(0).track,
            kind: TrackKind::Main,
            live: false,
            bitrate_bps: Some(30_000_000),
            segments: (0..SEGMENTS).map(segment).collect(),
        }));
        rig.playhead(0, 30_000);
        rig.want(10);
        let asked = rig.take_asked().into_iter().find(|asked| asked.sequence == 10).expect("asked");
        let remote = *peers.iter().find(|peer| peer.link == asked.link).expect("a peer");
        rig.say(remote, &Frame::Accept { transfer: asked.transfer, total_bytes: TOTAL_BYTES });
        (rig, remote, asked.transfer, 0)
    };
    let mut viewer = None;
    c.bench_function("engine step: 64 KiB of a segment arrive", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                // A new viewer when the segment is whole; its set-up is not counted.
                let (mut rig, remote, transfer, at) = viewer.take().unwrap_or_else(new_viewer);
                let head = encode_data_head(DataHead { transfer, at });
                #[expect(clippy::disallowed_methods, reason = "the clock is what a benchmark reads")]
                let started = Instant::now();
                let placed = rig.engine.place_frame(rig.now, remote.link, &head, MESSAGE_BYTES);
                while !matches!(black_box(rig.engine.poll_output()), Output::Wait(_)) {}
                spent += started.elapsed();
                assert!(matches!(placed, Placement::At { .. }));
                let at = at + MESSAGE_BYTES - head.len() as u32;
                if at + MESSAGE_BYTES < TOTAL_BYTES {
                    viewer = Some((rig, remote, transfer, at));
                }
            }
            spent
        });
    });
}

/// A segment that is there is asked for: from the request to the order to deliver.
fn deliveries(c: &mut Criterion) {
    let mut rig = Rig::new(json!({ "loader": { "trackerAnnounce": [] } }));
    rig.playhead(0, 30_000);
    rig.fill([3]);
    let mut request = 1000;
    let mut at = rig.now;
    c.bench_function("engine step: a cached segment is delivered", |b| {
        b.iter(|| {
            request += 1;
            at = at + Span::from_micros(1);
            step(&mut rig.engine, at, Input::Want { request: RequestId(request), key: key(3) })
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    targets = passes, steps, arrivals, deliveries
}
criterion_main!(benches);
