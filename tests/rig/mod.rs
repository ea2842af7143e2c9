//! One engine under a scripted shell: the test plays the origin, the tracker and the peers by hand.

#![allow(dead_code, reason = "each test file uses its own part of the rig")]

use std::collections::{BTreeMap, BTreeSet};

use hlswarm::config::Config;
use hlswarm::engine::{
    Engine, EngineSetup, Event, FetchError, HttpHead, Input, Output, Placement, Playhead, SegmentInfo,
    TimelineUpdate, TrackKind,
};
use hlswarm::id::{
    BlobId, ByteRange, FetchId, Id20, LinkId, PeerId, RequestId, SegmentKey, TrackId, TrackerId, TransferId,
};
use hlswarm::integrity::block_digest;
use hlswarm::time::{Span, Time};
use hlswarm::wire::{
    Capabilities, DataHead, Frame, HaveEntry, HaveState, Interest, decode, encode, encode_data_head,
    is_data_frame,
};
use serde_json::{Value, json};

/// Bytes of every segment unless a test says otherwise.
pub const SEGMENT_BYTES: u64 = 100_000;
/// Duration of every segment.
pub const SEGMENT_MS: u32 = 4000;

/// An HTTP download that the engine started.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    pub id: FetchId,
    pub sequence: u64,
    pub url: String,
    pub range: Option<ByteRange>,
    pub at_ms: u64,
}

/// A peer that the test plays.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    pub link: LinkId,
    pub peer: PeerId,
}

/// A request that the engine sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub link: LinkId,
    pub transfer: TransferId,
    pub sequence: u64,
    pub at: u32,
    pub len: u32,
}

/// The true bytes of a segment.
pub fn content(sequence: u64) -> Vec<u8> {
    let mut state = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..SEGMENT_BYTES).map(byte).collect()
}

/// The engine and all that it has said so far.
pub struct Rig {
    pub engine: Engine,
    pub now: Time,
    pub fetches: Vec<Fetch>,
    pub cancelled: Vec<FetchId>,
    pub delivered: Vec<(RequestId, u64)>,
    pub failed: Vec<RequestId>,
    pub events: Vec<Event>,
    pub sent: Vec<(LinkId, Frame)>,
    pub asked: Vec<Asked>,
    /// Data frames sent: link, offset, payload length.
    pub data: Vec<(LinkId, u32, u32)>,
    pub tracker_texts: Vec<String>,
    pub verify: Vec<BlobId>,
    pub closed: BTreeSet<LinkId>,
    pub offers_created: usize,
    pub trackers_opened: usize,
    /// Which ranges of each blob have been written: overlaps are a failure.
    pub blobs: BTreeMap<BlobId, Vec<(u64, u64)>>,
    /// What each blob holds.
    pub bytes: BTreeMap<BlobId, Vec<u8>>,
    /// What each segment is said to hold by a peer or by the origin; [`content`] by default.
    pub forged: BTreeMap<(Option<LinkId>, u64), Vec<u8>>,
    /// Segments that were delivered with other bytes than [`content`].
    pub wrong: Vec<u64>,
    transfers: BTreeMap<(LinkId, TransferId), u64>,
    /// Whether the segments are parts of a larger resource.
    ranged: bool,
    requests: BTreeMap<RequestId, u64>,
    next_wake: Option<Time>,
    next_request: u32,
    next_peer: u32,
    pub answered: Vec<LinkId>,
}

/// Nobody fetches ahead of need by itself, so that a test sees what it asked for and nothing else.
pub fn quiet() -> Value {
    json!({ "loader": { "coordination": "random", "httpDownloadProbability": 0, "httpDownloadRanges": true } })
}

pub fn track() -> TrackId {
    TrackId::from_name("main low.m3u8")
}

pub fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: track(), discontinuity: 0, sequence }
}

pub fn segment(sequence: u64) -> SegmentInfo {
    SegmentInfo {
        discontinuity: 0,
        sequence,
        start_ms: sequence as i64 * i64::from(SEGMENT_MS),
        duration_ms: SEGMENT_MS,
        url: format!("http://origin/low/{sequence}.ts").into(),
        byte_range: None,
    }
}

impl Rig {
    /// An engine with these options and one tracker, and a VOD playlist of 60 segments.
    pub fn new(options: Value) -> Rig {
        Rig::with(options, false)
    }

    pub fn with(mut options: Value, has_validator: bool) -> Rig {
        let loader = options.as_object_mut().expect("an object").entry("loader").or_insert(json!({}));
        loader
            .as_object_mut()
            .expect("an object")
            .entry("trackerAnnounce")
            .or_insert(json!(["ws://tracker/"]));
        // Most tests are about where bytes come from, and not about what is checked of them.
        let integrity = options.as_object_mut().expect("an object").entry("integrity").or_insert(json!({}));
        integrity.as_object_mut().expect("an object").entry("mode").or_insert(json!("off"));
        let config = Config::from_json_value(options).expect("valid options");
        let setup = EngineSetup {
            config,
            swarm_name: "http://origin/m.m3u8".to_owned(),
            seed: [7; 32],
            has_validator,
        };
        let mut rig = Rig {
            engine: Engine::new(setup),
            now: Time::ZERO,
            fetches: Vec::new(),
            cancelled: Vec::new(),
            delivered: Vec::new(),
            failed: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            data: Vec::new(),
            tracker_texts: Vec::new(),
            verify: Vec::new(),
            closed: BTreeSet::new(),
            offers_created: 0,
            trackers_opened: 0,
            blobs: BTreeMap::new(),
            bytes: BTreeMap::new(),
            forged: BTreeMap::new(),
            wrong: Vec::new(),
            transfers: BTreeMap::new(),
            ranged: false,
            requests: BTreeMap::new(),
            next_wake: None,
            next_request: 0,
            next_peer: 0,
            answered: Vec::new(),
        };
        rig.input(Input::Tick);
        rig.playlist((0..60).map(segment).collect(), false);
        rig
    }

    pub fn playlist(&mut self, segments: Vec<SegmentInfo>, live: bool) {
        let bitrate_bps = Some(SEGMENT_BYTES * 8 * 1000 / u64::from(SEGMENT_MS));
        self.ranged = segments.iter().any(|segment| segment.byte_range.is_some());
        let update = TimelineUpdate { track: track(), kind: TrackKind::Main, live, bitrate_bps, segments };
        self.input(Input::Timeline(update));
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Wait(deadline) => {
                    self.next_wake = deadline.map(|deadline| deadline.at);
                    return;
                }
                output => self.run(output),
            }
        }
    }

    fn run(&mut self, output: Output) {
        match output {
            Output::Fetch { fetch, key, url, range } => self.fetches.push(Fetch {
                id: fetch,
                sequence: key.sequence,
                url,
                range,
                at_ms: self.now.as_millis(),
            }),
            Output::CancelFetch { fetch } => self.cancelled.push(fetch),
            Output::Deliver { request, len, blob, .. } => {
                let mut written = self.blobs.get(&blob).cloned().unwrap_or_default();
                written.sort_unstable();
                let mut end = 0;
                for (from, to) in written {
                    assert_eq!(from, end, "a gap in a delivered segment");
                    end = to;
                }
                assert_eq!(end, len, "a delivered segment of another length");
                let wanted = self.requests.get(&request).copied();
                if let Some(sequence) =
                    wanted.filter(|sequence| self.bytes[&blob][..len as usize] != content(*sequence)[..])
                {
                    self.wrong.push(sequence);
                }
                self.delivered.push((request, len));
            }
            Output::Fail { request, .. } => self.failed.push(request),
            Output::Event(event) => self.events.push(event),
            Output::SendControl { link, frame } => {
                let frame = decode(&frame, 4096).expect("our own frames are well-formed");
                if let Frame::Request { transfer, key, at, len, .. } = frame {
                    self.transfers.insert((link, transfer), key.sequence);
                    self.asked.push(Asked { link, transfer, sequence: key.sequence, at, len });
                }
                self.sent.push((link, frame));
            }
            Output::SendData { link, head, blob, at, len } => {
                assert!(is_data_frame(head[0]));
                let there = self.blobs.get(&blob).is_some_and(|ranges| {
                    let mut ranges = ranges.clone();
                    ranges.sort_unstable();
                    let mut end = at;
                    for (from, to) in ranges {
                        if from <= end && to > end {
                            end = to;
                        }
                    }
                    end >= at + u64::from(len)
                });
                assert!(there, "sent bytes that are not there");
                self.data.push((link, at as u32, len));
            }
            Output::SendTracker { text, .. } => self.tracker_texts.push(text),
            Output::NewBlob { blob } => {
                assert!(self.blobs.insert(blob, Vec::new()).is_none(), "a blob id was used twice");
                self.bytes.insert(blob, Vec::new());
            }
            Output::DropBlob { blob } => {
                assert!(self.blobs.remove(&blob).is_some(), "dropped a blob that was not there");
                self.bytes.remove(&blob);
            }
            Output::Digest { ask, blob, at, len } => {
                let bytes = self
                    .bytes
                    .get(&blob)
                    .and_then(|bytes| bytes.get(at as usize..(at + u64::from(len)) as usize));
                let digest = bytes.map(block_digest);
                self.engine.handle(self.now, Input::Digested { ask, digest });
            }
            Output::Clear { blob, at, len } => {
                let (from, to) = (at, at + u64::from(len));
                let ranges = self.blobs.get_mut(&blob).expect("cleared a blob that is there");
                let split = ranges.iter().flat_map(|&(s, e)| [(s, e.min(from)), (s.max(to), e)]);
                *ranges = split.filter(|(s, e)| s < e).collect();
            }
            Output::CheckSignature { check, public_key, message, signature } => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(&public_key);
                let signature = ed25519_dalek::Signature::from_bytes(&signature);
                let ok = key.is_ok_and(|key| key.verify_strict(&message, &signature).is_ok());
                self.engine.handle(self.now, Input::SignatureChecked { check, ok });
            }
            Output::Verify { blob, .. } => self.verify.push(blob),
            Output::CloseLink { link } => {
                self.closed.insert(link);
            }
            Output::AcceptOffer { link, .. } => self.answered.push(link),
            Output::CreateOffer { .. } => self.offers_created += 1,
            Output::OpenTracker { .. } => self.trackers_opened += 1,
            Output::CloseTracker { .. }
            | Output::AcceptAnswer { .. }
            | Output::AddCandidates { .. }
            | Output::Wait(_) => {}
        }
    }

    /// Lets time pass, waking the engine when it asks to be woken.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now + Span::from_millis(ms);
        let mut wakes = 0;
        while let Some(at) = self.next_wake.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
            wakes += 1;
            assert!(wakes < 50_000, "the engine keeps waking up");
        }
        self.now = end;
    }

    pub fn want(&mut self, sequence: u64) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, sequence);
        self.input(Input::Want { request, key: key(sequence) });
        request
    }

    /// Puts the player somewhere, with this much buffered ahead.
    pub fn playhead(&mut self, position_ms: i64, buffered_ms: u32) {
        self.input(Input::Playhead(Playhead { position_ms, rate_milli: 1000, buffered_ms }));
    }

    /// The tracker answers the first announce: this many viewers in all.
    pub fn tracker_up(&mut self, viewers: u32) {
        self.input(Input::TrackerUp { tracker: TrackerId(0) });
        self.advance(200);
        self.tracker_says(viewers);
    }

    pub fn tracker_says(&mut self, viewers: u32) {
        let hash = self.engine.swarm_id().0.to_latin1();
        let reply = json!({ "action": "announce", "info_hash": hash, "interval": 120,
            "complete": 0, "incomplete": viewers });
        self.input(Input::TrackerText { tracker: TrackerId(0), text: reply.to_string() });
    }

    /// A peer offers itself through the tracker, connects, says hello and where its player is: far from ours.
    pub fn connect_peer(&mut self) -> Remote {
        let remote = self.connect_silent_peer();
        let interest = Interest { track: TrackId(1), playing_sequence: 0, wanted_sequence: 0, serves: 2 };
        self.say(remote, &Frame::Interest(interest));
        remote
    }

    /// A peer that has said hello and nothing else yet.
    pub fn connect_silent_peer(&mut self) -> Remote {
        self.next_peer += 1;
        let peer = Id20::from_latin1(&format!("-HS0100-{:012}", self.next_peer)).expect("20 characters");
        let hash = self.engine.swarm_id().0.to_latin1();
        let offer = json!({ "action": "announce", "info_hash": hash, "peer_id": peer.to_latin1(),
            "offer_id": format!("offer-{}", self.next_peer), "offer": { "type": "offer", "sdp": "v=0\r\n" } });
        let before = self.answered.len();
        self.input(Input::TrackerText { tracker: TrackerId(0), text: offer.to_string() });
        let link = *self.answered.get(before).expect("the engine accepts the offer");
        self.input(Input::AnswerReady { link, sdp: "v=0\r\n".to_owned() });
        self.input(Input::LinkUp { link, max_message_bytes: 262_144 });
        let remote = Remote { link, peer };
        self.say(
            remote,
            &Frame::Hello {
                min_version: 1,
                max_version: 1,
                capabilities: Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
                swarm: self.engine.swarm_id(),
                peer,
                max_message_bytes: 65_536,
            },
        );
        remote
    }

    /// Tracker and peers as they are when the swarm runs.
    pub fn connected(options: Value, peers: usize) -> (Rig, Vec<Remote>) {
        let mut rig = Rig::new(options);
        rig.tracker_up(peers as u32 + 1);
        let remotes = (0..peers).map(|_| rig.connect_peer()).collect();
        (rig, remotes)
    }

    pub fn say(&mut self, remote: Remote, frame: &Frame) {
        self.input(Input::Control { link: remote.link, frame: encode(frame) });
    }

    /// A peer says that it has these segments.
    pub fn has(&mut self, remote: Remote, sequences: impl IntoIterator<Item = u64>) {
        self.has_state(remote, sequences, HaveState::Loaded);
    }

    /// A peer says how it stands with these segments.
    pub fn has_state(&mut self, remote: Remote, sequences: impl IntoIterator<Item = u64>, state: HaveState) {
        let entry = |sequence| HaveEntry { key: key(sequence), state };
        self.say(remote, &Frame::HaveDelta { entries: sequences.into_iter().map(entry).collect() });
    }

    /// Whether some peer was told that a segment is in this state.
    pub fn told(&self, sequence: u64, state: HaveState) -> bool {
        let entry = HaveEntry { key: key(sequence), state };
        self.sent
            .iter()
            .any(|(_, frame)| matches!(frame, Frame::HaveDelta { entries } if entries.contains(&entry)))
    }

    /// A peer serves a request: `bytes` from where it was asked, of a segment of `total`.
    pub fn serve(&mut self, remote: Remote, asked: Asked, total: u64, bytes: u64) {
        self.say(remote, &Frame::Accept { transfer: asked.transfer, total_bytes: total as u32 });
        let mut at = u64::from(asked.at);
        let end = (at + bytes).min(total);
        while at < end {
            let len = (end - at).min(60_000);
            self.send_data(remote, asked.transfer, at as u32, len as u32);
            at += len;
        }
    }

    pub fn send_data(&mut self, remote: Remote, transfer: TransferId, at: u32, len: u32) -> Placement {
        let head = encode_data_head(DataHead { transfer, at });
        let message_len = head.len() as u32 + len;
        let placement = self.engine.place_frame(self.now, remote.link, &head, message_len);
        let sequence = self.transfers.get(&(remote.link, transfer)).copied().unwrap_or(0);
        self.write(placement, Some(remote.link), sequence, at.into());
        self.drain();
        placement
    }

    /// Writes what a source has of a segment, `offset` on, where the engine wants it.
    fn write(&mut self, placement: Placement, source: Option<LinkId>, sequence: u64, offset: u64) {
        let Placement::At { blob, at, skip, len } = placement else { return };
        let head = if source.is_some() { 9 } else { 0 };
        let start = (offset + u64::from(skip) - head) as usize;
        let of = self.forged.get(&(source, sequence)).cloned().unwrap_or_else(|| content(sequence));
        let bytes = self.bytes.get_mut(&blob).expect("placed into a blob that is there");
        let end = at as usize + len as usize;
        bytes.resize(bytes.len().max(end), 0);
        // Longer than what there is: zeros.
        let from = of.iter().copied().skip(start).chain(std::iter::repeat(0));
        bytes[at as usize..end].iter_mut().zip(from).for_each(|(place, byte)| *place = byte);
        let ranges = self.blobs.get_mut(&blob).expect("placed into a blob that is there");
        let (from, to) = (at, at + u64::from(len));
        assert!(ranges.iter().all(|(start, end)| to <= *start || from >= *end), "bytes were placed twice");
        ranges.push((from, to));
    }

    /// The origin answers a download with this head.
    pub fn open(&mut self, fetch: &Fetch, status: u16, body_bytes: Option<u64>) {
        let head = HttpHead { status, body_bytes, content_range: None };
        self.input(Input::FetchOpened { fetch: fetch.id, head });
    }

    pub fn body(&mut self, fetch: &Fetch, bytes: u64) {
        let mut left = bytes;
        let mut offset = fetch.range.map_or(0, |range| range.start);
        while left > 0 {
            let len = left.min(32_000);
            let placement = self.engine.place_fetched(self.now, fetch.id, len as u32);
            self.write(placement, None, fetch.sequence, offset);
            offset += len;
            self.drain();
            left -= len;
        }
    }

    /// The origin serves a download whole.
    pub fn serve_http(&mut self, fetch: &Fetch) {
        let bytes = match fetch.range {
            Some(ByteRange { start, end: u64::MAX }) => SEGMENT_BYTES - start,
            Some(range) if self.ranged => range.len(),
            Some(range) => ByteRange { end: range.end.min(SEGMENT_BYTES), ..range }.len(),
            None => SEGMENT_BYTES,
        };
        if bytes == 0 {
            return self.fail_fetch(fetch, FetchError::Status(416));
        }
        self.open(fetch, if fetch.range.is_some() { 206 } else { 200 }, Some(bytes));
        self.body(fetch, bytes);
        self.input(Input::FetchDone { fetch: fetch.id });
    }

    /// Downloads that were started and neither cancelled nor told to the caller before.
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        std::mem::take(&mut self.fetches)
    }

    pub fn take_asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }

    pub fn fail_fetch(&mut self, fetch: &Fetch, error: FetchError) {
        self.input(Input::FetchFailed { fetch: fetch.id, error });
    }

    /// Fetches the first segments over HTTP as a lone viewer does, so that the cache holds them.
    pub fn fill(&mut self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            self.want(sequence);
            if self.fetches.is_empty() {
                self.advance(5_000);
            }
            for fetch in self.take_fetches() {
                self.serve_http(&fetch);
            }
        }
    }

    pub fn fetched_sequences(&self) -> Vec<u64> {
        self.fetches.iter().map(|fetch| fetch.sequence).collect()
    }
}
