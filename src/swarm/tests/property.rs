//! Two peer sets on a link in memory: whatever the order of events, every download ends once, and with the right
//! bytes.

use std::collections::{BTreeMap, VecDeque};

use crate::random::ChaCha8Rng;
use proptest::prelude::*;
use rand::SeedableRng;

use super::harness::{Store, id, key, swarm_id};
use crate::config::Config;
use crate::engine::{CloseReason, Event, LinkCloseCause, Output};
use crate::id::{LinkId, SegmentKey, TransferId};
use crate::swarm::{DataArrival, Swarm, SwarmNotice, SwarmOut};
use crate::time::{Span, Time};
use crate::wire::HaveState;

const SEGMENTS: u64 = 6;
const LOW_WATER: u64 = 128 * 1024;

/// A message on its way.
enum Message {
    Control(Vec<u8>),
    /// The blob tells whose bytes these are.
    Data {
        head: Vec<u8>,
        blob: u32,
        at: u64,
        len: u32,
    },
}

impl Message {
    fn len(&self) -> u64 {
        match self {
            Message::Control(frame) => frame.len() as u64,
            Message::Data { head, len, .. } => head.len() as u64 + u64::from(*len),
        }
    }
}

/// A download as its side sees it.
#[derive(Debug)]
struct Wanted {
    key: SegmentKey,
    /// Offsets asked for: from and, unless it is the segment's end, to.
    at: u32,
    end: Option<u32>,
    next: u32,
}

struct Side {
    swarm: Swarm,
    rng: ChaCha8Rng,
    store: Store,
    /// What was sent and has not arrived, in order.
    outbound: VecDeque<Message>,
    above_low: bool,
    wanted: BTreeMap<(LinkId, TransferId), Wanted>,
    completed: usize,
}

struct Pair {
    sides: [Side; 2],
    now: Time,
    link: Option<LinkId>,
    next_link: u32,
}

fn segment_bytes(sequence: u64) -> u64 {
    [0, 1, 15_000, 70_000, 400_000, 1_500_000][sequence as usize % SEGMENTS as usize]
}

impl Pair {
    fn new() -> Pair {
        let side = |name: u8| Side {
            swarm: Swarm::new(&Config::default(), swarm_id(), id(name)),
            rng: ChaCha8Rng::from_seed([name; 32]),
            store: Store::default(),
            outbound: VecDeque::new(),
            above_low: false,
            wanted: BTreeMap::new(),
            completed: 0,
        };
        let mut pair = Pair { sides: [side(1), side(2)], now: Time::ZERO, link: None, next_link: 1 };
        pair.connect();
        pair
    }

    fn call(
        &mut self,
        who: usize,
        call: impl FnOnce(&mut Swarm, Time, &mut ChaCha8Rng, &Store, &mut SwarmOut<'_>),
    ) {
        let (mut outputs, mut notices) = (VecDeque::new(), Vec::new());
        let side = &mut self.sides[who];
        let mut out = SwarmOut { outputs: &mut outputs, notices: &mut notices };
        call(&mut side.swarm, self.now, &mut side.rng, &side.store, &mut out);
        for output in outputs {
            match output {
                Output::SendControl { frame, .. } => side.outbound.push_back(Message::Control(frame)),
                Output::SendData { head, blob, at, len, .. } => {
                    let there = side.store.there[&key(blob.0.into())];
                    assert!(at + u64::from(len) <= there, "sends only what is there");
                    side.outbound.push_back(Message::Data { head, blob: blob.0, at, len });
                }
                // The event that follows tells why, and fails the test.
                Output::CloseLink { .. } => {}
                Output::Event(Event::PeerClosed { reason, .. }) => {
                    assert!(matches!(reason, CloseReason::ConnectionLost(_)), "{reason:?}");
                }
                Output::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let buffered: u64 = side.outbound.iter().map(Message::len).sum();
        side.above_low |= buffered > LOW_WATER;
        for notice in notices {
            match notice {
                SwarmNotice::TransferDone { link, transfer } => {
                    let wanted = side.wanted.remove(&(link, transfer)).expect("a download ends once");
                    let total = segment_bytes(wanted.key.sequence);
                    let end = wanted.end.map_or(total, |end| total.min(end.into()));
                    assert_eq!(u64::from(wanted.next), end, "{wanted:?}");
                    side.completed += 1;
                }
                SwarmNotice::TransferRefused { link, transfer, .. }
                | SwarmNotice::TransferFailed { link, transfer } => {
                    side.wanted.remove(&(link, transfer)).expect("a download ends once");
                }
                SwarmNotice::TransferAccepted { link, transfer, total_bytes } => {
                    let wanted = &side.wanted[&(link, transfer)];
                    let total = segment_bytes(wanted.key.sequence);
                    assert!(total_bytes.is_none_or(|told| u64::from(told) == total));
                }
                SwarmNotice::PeerReady { .. }
                | SwarmNotice::PeerGone { .. }
                | SwarmNotice::LinkGone { .. }
                | SwarmNotice::Claimed { .. }
                | SwarmNotice::Proved { .. }
                | SwarmNotice::HaveChanged { .. }
                | SwarmNotice::InterestChanged { .. } => {}
            }
        }
    }

    fn connect(&mut self) {
        if self.link.is_some() {
            return;
        }
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.link = Some(link);
        for who in 0..2 {
            let other = id(2 - who as u8);
            self.call(who, |swarm, now, rng, _, out| {
                swarm.link_up(now, rng, link, Some(other), who == 0, 262_144, out);
            });
        }
    }

    fn lose(&mut self) {
        let Some(link) = self.link.take() else { return };
        for who in 0..2 {
            self.sides[who].outbound.clear();
            self.sides[who].above_low = false;
            self.call(who, |swarm, now, _, _, out| {
                swarm.link_down(now, link, &LinkCloseCause::Failed("cut".to_owned()), out);
            });
            assert!(self.sides[who].wanted.is_empty(), "a lost link ends all its downloads");
        }
    }

    /// Lets the oldest message of one side arrive. Tells whether there was one.
    fn deliver(&mut self, from: usize) -> bool {
        let Some(link) = self.link else { return false };
        let Some(message) = self.sides[from].outbound.pop_front() else { return false };
        let to = 1 - from;
        match message {
            Message::Control(frame) => {
                self.call(to, |swarm, now, _, store, out| swarm.control(now, link, &frame, store, out));
            }
            Message::Data { head, blob, at, len } => {
                let message_len = len + head.len() as u32;
                // Looked at before: a download may end with this frame.
                let before: BTreeMap<_, _> = self.sides[to]
                    .wanted
                    .iter()
                    .map(|(id, wanted)| (*id, (wanted.key, wanted.next)))
                    .collect();
                let mut arrival = DataArrival::Ignored;
                let data = crate::wire::decode_data_head(&head).unwrap();
                if let Some(wanted) = self.sides[to].wanted.get_mut(&(link, data.transfer)) {
                    wanted.next += len;
                }
                self.call(to, |swarm, now, _, _, out| {
                    arrival = swarm.data(now, link, &head, message_len, out)
                });
                match arrival {
                    DataArrival::Arrived { transfer, at: offset, len: kept, skip } => {
                        let (wanted, next) = before[&(link, transfer)];
                        assert_eq!(wanted, key(blob.into()), "the bytes are the segment's");
                        assert_eq!(
                            (u64::from(offset), offset, kept, skip as usize),
                            (at, next, len, head.len())
                        );
                    }
                    DataArrival::Ignored => assert!(!before.contains_key(&(link, data.transfer))),
                }
            }
        }
        let buffered: u64 = self.sides[from].outbound.iter().map(Message::len).sum();
        if self.sides[from].above_low && buffered <= LOW_WATER {
            self.sides[from].above_low = false;
            self.call(from, |swarm, now, _, store, out| swarm.link_writable(now, link, store, out));
        }
        true
    }

    fn request(&mut self, who: usize, sequence: u64, at: u32, len: u32) {
        let Some(link) = self.link else { return };
        let at = at.min(segment_bytes(sequence) as u32);
        let mut transfer = None;
        self.call(who, |swarm, now, _, _, out| {
            transfer = swarm.request(now, link, key(sequence), 0, at, len, out);
        });
        if let Some(transfer) = transfer {
            let end = (len > 0).then(|| at.saturating_add(len));
            let wanted = Wanted { key: key(sequence), at, end, next: at };
            assert!(wanted.next == wanted.at);
            self.sides[who].wanted.insert((link, transfer), wanted);
        }
    }

    fn cancel(&mut self, who: usize, pick: usize) {
        let open: Vec<_> = self.sides[who].wanted.keys().copied().collect();
        if let Some(&(link, transfer)) = open.get(pick % open.len().max(1)) {
            self.sides[who].wanted.remove(&(link, transfer));
            self.call(who, |swarm, now, _, _, out| swarm.cancel(now, link, transfer, out));
        }
    }

    fn grow(&mut self, who: usize, sequence: u64, bytes: u64, whole: bool) {
        let total = segment_bytes(sequence);
        let side = &mut self.sides[who];
        let there = side.store.there.get(&key(sequence)).map_or(0, |there| (there + bytes).min(total));
        let there = if whole { total } else { there };
        let known = there == total || bytes.is_multiple_of(2);
        let known = known
            || side.store.segments.get(&key(sequence)).is_some_and(|stored| stored.total_bytes.is_some());
        side.store.put(key(sequence), known.then_some(total), there);
        let state = if there == total { HaveState::Loaded } else { HaveState::FetchingHttp };
        self.call(who, |swarm, now, _, store, out| {
            swarm.set_state(now, key(sequence), state);
            swarm.blob_grew(now, key(sequence), store, out);
        });
    }

    fn drop_segment(&mut self, who: usize, sequence: u64) {
        let side = &mut self.sides[who];
        let Some(stored) = side.store.segments.remove(&key(sequence)) else { return };
        side.store.there.remove(&key(sequence));
        let aborted = stored.total_bytes.is_none();
        // What is on its way may still be checked against the store: the blob goes after it.
        self.call(who, |swarm, now, _, _, out| {
            swarm.set_state(now, key(sequence), HaveState::Gone);
            swarm.blob_gone(now, key(sequence), aborted, out);
        });
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Span::from_millis(ms);
        for who in 0..2 {
            self.call(who, |swarm, now, rng, store, out| swarm.tick(now, rng, store, out));
        }
    }

    /// Delivers everything, with time passing slowly, until all is quiet.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            let moved = self.deliver(0) | self.deliver(1);
            let waiting = self.sides.iter().any(|side| !side.wanted.is_empty());
            if !moved {
                if !waiting {
                    return;
                }
                self.pass(50);
            }
        }
        let open: Vec<_> = self.sides.iter().map(|side| &side.wanted).collect();
        panic!("never comes to rest: {open:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request { who: usize, sequence: u64, at: u32, len: u32 },
    Cancel { who: usize, pick: usize },
    Grow { who: usize, sequence: u64, bytes: u64, whole: bool },
    Drop { who: usize, sequence: u64 },
    Deliver { from: usize, count: usize },
    Pass { ms: u64 },
    Lose,
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..2_usize;
    prop_oneof![
        6 => (who.clone(), 0..SEGMENTS, prop_oneof![Just(0), 0..500_000_u32], prop_oneof![Just(0), 1..300_000_u32])
            .prop_map(|(who, sequence, at, len)| Step::Request { who, sequence, at, len }),
        2 => (who.clone(), any::<usize>()).prop_map(|(who, pick)| Step::Cancel { who, pick }),
        5 => (who.clone(), 0..SEGMENTS, 0..200_000_u64, any::<bool>())
            .prop_map(|(who, sequence, bytes, whole)| Step::Grow { who, sequence, bytes, whole }),
        1 => (who.clone(), 0..SEGMENTS).prop_map(|(who, sequence)| Step::Drop { who, sequence }),
        12 => (who, 1..40_usize).prop_map(|(from, count)| Step::Deliver { from, count }),
        4 => (0..400_u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn segments_are_exchanged_whatever_happens(steps in prop::collection::vec(step(), 1..200)) {
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Request { who, sequence, at, len } => pair.request(who, sequence, at, len),
                Step::Cancel { who, pick } => pair.cancel(who, pick),
                Step::Grow { who, sequence, bytes, whole } => pair.grow(who, sequence, bytes, whole),
                Step::Drop { who, sequence } => pair.drop_segment(who, sequence),
                Step::Deliver { from, count } => {
                    let _ = (0..count).take_while(|_| pair.deliver(from)).count();
                }
                Step::Pass { ms } => pair.pass(ms),
                Step::Lose => pair.lose(),
                Step::Connect => pair.connect(),
            }
        }
        // Then everything works again: each side gets every segment that the other has.
        pair.connect();
        pair.settle();
        for sequence in 0..SEGMENTS {
            pair.grow(0, sequence, 0, true);
        }
        for sequence in 0..SEGMENTS {
            let before = pair.sides[1].completed;
            for _ in 0..40 {
                pair.request(1, sequence, 0, 0);
                pair.settle();
                if pair.sides[1].completed > before {
                    break;
                }
                // Refused for asking too much just now.
                pair.pass(1000);
            }
            let empty = segment_bytes(sequence) == 0;
            prop_assert_eq!(pair.sides[1].completed > before, !empty, "segment {}", sequence);
        }
        let uploaded: u64 = (0..SEGMENTS).map(segment_bytes).sum();
        prop_assert!(pair.sides[0].swarm.stats().1 >= uploaded);
    }
}
