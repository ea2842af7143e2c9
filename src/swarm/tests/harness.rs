//! One peer set with a segment store, a clock and everything that it said.

use std::collections::{BTreeMap, VecDeque};

use crate::random::ChaCha8Rng;
use rand::SeedableRng;

use crate::config::Config;
use crate::engine::{CloseReason, Event, LinkCloseCause, Output};
use crate::id::{BlobId, Id20, LinkId, PeerId, SegmentKey, SwarmId, TrackId, TransferId};
use crate::time::{Span, Time};
use crate::wire::{
    Capabilities, DATA_HEAD_LEN, DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, RefuseReason, SHARING,
    decode, decode_data_head, encode, encode_data_head,
};

use crate::swarm::{DataArrival, SegmentStore, StoredSegment, Swarm, SwarmNotice, SwarmOut};

pub(super) const KIB: u32 = 1024;

/// The segment of the test track with this media sequence number.
pub(super) fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(7), discontinuity: 0, sequence }
}

pub(super) fn id(name: u8) -> PeerId {
    Id20([name; 20])
}

pub(super) fn swarm_id() -> SwarmId {
    SwarmId::from_name("https://cdn.example/show/master.m3u8")
}

/// Segments as lengths.
#[derive(Default)]
pub(super) struct Store {
    pub(super) segments: BTreeMap<SegmentKey, StoredSegment>,
    pub(super) there: BTreeMap<SegmentKey, u64>,
}

impl Store {
    /// A segment of `total` bytes of which the first `there` have arrived.
    pub(super) fn put(&mut self, key: SegmentKey, total: Option<u64>, there: u64) {
        let blob = BlobId(key.sequence as u32);
        let stored = StoredSegment { blob, resource_offset: 0, total_bytes: total, shareable: true };
        self.segments.insert(key, stored);
        self.there.insert(key, there);
    }
}

impl SegmentStore for Store {
    fn segment(&self, key: SegmentKey) -> Option<StoredSegment> {
        self.segments.get(&key).copied()
    }

    fn contiguous_from(&self, key: SegmentKey, at: u64) -> u64 {
        self.there.get(&key).map_or(0, |there| there.saturating_sub(at))
    }
}

/// One message that was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Control(Frame),
    Data { head: DataHead, len: u32, blob: BlobId },
    Close,
}

pub(super) struct Node {
    pub(super) swarm: Swarm,
    pub(super) now: Time,
    pub(super) store: Store,
    pub(super) notices: Vec<SwarmNotice>,
    pub(super) events: Vec<Event>,
    pub(super) sent: VecDeque<(LinkId, Sent)>,
    rng: ChaCha8Rng,
}

impl Node {
    pub(super) fn new(config: &Config, own: PeerId) -> Node {
        Node {
            swarm: Swarm::new(config, swarm_id(), own),
            now: Time::ZERO,
            store: Store::default(),
            notices: Vec::new(),
            events: Vec::new(),
            sent: VecDeque::new(),
            rng: ChaCha8Rng::from_seed([own.0[0]; 32]),
        }
    }

    /// A node with id 5 and default settings.
    pub(super) fn default() -> Node {
        Node::new(&Config::default(), id(5))
    }

    /// A node that is linked to peer 9 over link 1, with everything before that forgotten.
    pub(super) fn linked() -> Node {
        let mut node = Node::default();
        node.link(1, 9);
        node
    }

    /// As if it had been learnt that the uplink serves any number of peers at a time.
    pub(super) fn with_places_for_all(mut self) -> Node {
        self.swarm.places = 64;
        self
    }

    /// Makes a ready link; what was said and told is forgotten.
    pub(super) fn link(&mut self, link: u32, peer: u8) {
        self.up(link, Some(id(peer)), false);
        self.say(link, &hello(peer));
        assert!(self.swarm.peer_view(LinkId(link)).is_some(), "link {link} is not ready: {:?}", self.events);
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.sent.clear();
        self.notices.clear();
        self.events.clear();
    }

    pub(super) fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Swarm, Time, &mut ChaCha8Rng, &Store, &mut SwarmOut<'_>) -> T,
    ) -> T {
        let mut outputs = VecDeque::new();
        let mut out = SwarmOut { outputs: &mut outputs, notices: &mut self.notices };
        let result = call(&mut self.swarm, self.now, &mut self.rng, &self.store, &mut out);
        for output in outputs {
            match output {
                Output::SendControl { link, frame } => {
                    let frame = decode(&frame, 4096).expect("what we send can be read");
                    self.sent.push_back((link, Sent::Control(frame)));
                }
                Output::SendData { link, head, blob, at, len } => {
                    let head = decode_data_head(&head).expect("a data head");
                    assert_eq!(u64::from(head.at), at, "the head names the place in the blob");
                    self.sent.push_back((link, Sent::Data { head, len, blob }));
                }
                Output::CloseLink { link } => self.sent.push_back((link, Sent::Close)),
                Output::Event(event) => self.events.push(event),
                other => panic!("not for a peer set: {other:?}"),
            }
        }
        result
    }

    pub(super) fn up(&mut self, link: u32, peer: Option<PeerId>, initiator: bool) {
        self.with(|swarm, now, rng, _, out| {
            swarm.link_up(now, rng, LinkId(link), peer, initiator, 262_144, out);
        });
    }

    pub(super) fn down(&mut self, link: u32) {
        self.with(|swarm, now, _, _, out| {
            swarm.link_down(now, LinkId(link), &LinkCloseCause::Failed("lost".to_owned()), out);
        });
    }

    pub(super) fn say(&mut self, link: u32, frame: &Frame) {
        self.say_bytes(link, &encode(frame));
    }

    pub(super) fn say_bytes(&mut self, link: u32, frame: &[u8]) {
        self.with(|swarm, now, _, store, out| swarm.control(now, LinkId(link), frame, store, out));
    }

    /// `len` bytes of payload arrive.
    pub(super) fn give(&mut self, link: u32, transfer: TransferId, at: u32, len: u32) -> DataArrival {
        let head = encode_data_head(DataHead { transfer, at });
        self.with(|swarm, now, _, _, out| {
            swarm.data(now, LinkId(link), &head, len + DATA_HEAD_LEN as u32, out)
        })
    }

    pub(super) fn request(&mut self, link: u32, key: SegmentKey, at: u32, len: u32) -> Option<TransferId> {
        self.with(|swarm, now, _, _, out| swarm.request(now, LinkId(link), key, 0, at, len, out))
    }

    pub(super) fn cancel(&mut self, link: u32, transfer: TransferId) {
        self.with(|swarm, now, _, _, out| swarm.cancel(now, LinkId(link), transfer, out));
    }

    pub(super) fn writable(&mut self, link: u32) {
        self.with(|swarm, now, _, store, out| swarm.link_writable(now, LinkId(link), store, out));
    }

    pub(super) fn grow(&mut self, key: SegmentKey, there: u64) {
        self.store.there.insert(key, there);
        self.with(|swarm, now, _, store, out| swarm.blob_grew(now, key, store, out));
    }

    pub(super) fn gone(&mut self, key: SegmentKey, aborted: bool) {
        self.store.segments.remove(&key);
        self.with(|swarm, now, _, _, out| swarm.blob_gone(now, key, aborted, out));
    }

    pub(super) fn set(&mut self, key: SegmentKey, state: HaveState) {
        self.with(|swarm, now, _, _, _| swarm.set_state(now, key, state));
    }

    pub(super) fn tick(&mut self) {
        self.with(|swarm, now, rng, store, out| swarm.tick(now, rng, store, out));
    }

    /// Lets time pass, with a tick at each deadline on the way.
    pub(super) fn wait(&mut self, ms: u64) {
        let end = self.now + Span::from_millis(ms);
        for _ in 0..100_000 {
            match self.swarm.next_deadline() {
                Some(deadline) if deadline.at <= end => {
                    self.now = self.now.max(deadline.at);
                    self.tick();
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("the deadlines stand still at {}", self.now);
    }

    /// What was sent on a link since the last look.
    pub(super) fn sent_on(&mut self, link: u32) -> Vec<Sent> {
        let link = LinkId(link);
        let (ours, others) = self.sent.drain(..).partition(|(to, _)| *to == link);
        self.sent = others;
        let ours: VecDeque<(LinkId, Sent)> = ours;
        ours.into_iter().map(|(_, sent)| sent).collect()
    }

    /// The control frames sent on a link since the last look, but for pings.
    pub(super) fn frames_on(&mut self, link: u32) -> Vec<Frame> {
        let control = |sent| match sent {
            Sent::Control(Frame::Ping { .. }) | Sent::Data { .. } | Sent::Close => None,
            Sent::Control(frame) => Some(frame),
        };
        self.sent_on(link).into_iter().filter_map(control).collect()
    }

    /// Payload bytes sent on a link since the last look, by transfer.
    pub(super) fn data_on(&mut self, link: u32) -> BTreeMap<TransferId, u64> {
        let mut bytes = BTreeMap::new();
        for sent in self.sent_on(link) {
            if let Sent::Data { head, len, .. } = sent {
                *bytes.entry(head.transfer).or_default() += u64::from(len);
            }
        }
        bytes
    }

    pub(super) fn is_open(&self, link: u32) -> bool {
        self.swarm.peer_view(LinkId(link)).is_some()
    }

    /// Asserts that a link was closed for breaking the protocol, and told so.
    #[track_caller]
    pub(super) fn assert_violation(&mut self, link: u32, why: &str) {
        assert!(!self.is_open(link), "link {link} is still open");
        let sent = self.sent_on(link);
        let farewell = Sent::Control(Frame::Goodbye { reason: GoodbyeReason::Violation });
        assert!(sent.ends_with(&[farewell, Sent::Close]), "sent {sent:?}");
        let said = self.events.iter().any(|event| match event {
            Event::PeerClosed { reason: CloseReason::Violation(text), .. } => text.contains(why),
            _ => false,
        });
        assert!(said, "no violation about {why:?} in {:?}", self.events);
    }
}

pub(super) fn hello(peer: u8) -> Frame {
    hello_with(peer, Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH))
}

pub(super) fn hello_with(peer: u8, capabilities: Capabilities) -> Frame {
    Frame::Hello {
        min_version: 1,
        max_version: 1,
        capabilities,
        swarm: swarm_id(),
        peer: id(peer),
        max_message_bytes: 65_535,
    }
}

/// A request of a whole segment.
pub(super) fn request(transfer: u32, key: SegmentKey) -> Frame {
    Frame::Request { transfer: TransferId(transfer), key, resource_offset: 0, at: 0, len: 0 }
}

pub(super) fn refuse(transfer: u32, reason: RefuseReason) -> Frame {
    Frame::Refuse { transfer: TransferId(transfer), reason }
}

/// ... because the segment is not here, or not any more: what the peer believed is put right first.
pub(super) fn not_here(transfer: u32, sequence: u64, reason: RefuseReason) -> [Frame; 2] {
    [delta(&[(sequence, HaveState::Gone)]), refuse(transfer, reason)]
}

/// What a peer says that begins or ceases to serve.
pub(super) fn sharing(on: bool) -> Frame {
    Frame::Extension { kind: SHARING, body: vec![u8::from(on)] }
}

pub(super) fn delta(entries: &[(u64, HaveState)]) -> Frame {
    let entries = entries.iter().map(|&(sequence, state)| HaveEntry { key: key(sequence), state }).collect();
    Frame::HaveDelta { entries }
}

pub(super) fn accept(transfer: TransferId, total_bytes: u32) -> Frame {
    Frame::Accept { transfer, total_bytes }
}
