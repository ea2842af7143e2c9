//! A shell that believes nothing: it does what the engine asks for, and checks that it may be asked.

use std::collections::{BTreeMap, BTreeSet};

use hlswarm::config::Config;
use hlswarm::engine::{Engine, EngineSetup, Input, Output, Placement};
use hlswarm::id::{BlobId, ByteRange, FetchId, LinkId, RequestId, TrackerId, TransferId};
use hlswarm::integrity::block_digest;
use hlswarm::time::Time;
use hlswarm::wire::{Frame, decode, decode_data_head, is_data_frame};

/// What a link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Offering,
    Answering,
    Described,
    Up,
}

pub struct Shell {
    pub engine: Engine,
    pub now: Time,
    pub fetches: BTreeMap<FetchId, Option<ByteRange>>,
    pub links: BTreeMap<LinkId, Link>,
    /// Requests that we sent to peers, newest last.
    pub asked: Vec<(LinkId, TransferId)>,
    pub offer_ids: Vec<String>,
    pub verifying: Vec<BlobId>,
    pub requests: BTreeSet<RequestId>,
    pub wake: Option<Time>,
    /// Whether the user may still have to agree.
    pub gated: bool,
    trackers: BTreeSet<TrackerId>,
    blobs: BTreeMap<BlobId, Vec<(u64, u64)>>,
    seen_fetches: BTreeSet<FetchId>,
    seen_blobs: BTreeSet<BlobId>,
    largest_message: u32,
    cache_bytes: u64,
    over: bool,
}

impl Shell {
    pub fn new(config: Config, has_validator: bool) -> Shell {
        let gated = config.loader.consent_required;
        let (largest_message, cache_bytes) =
            (config.limits.max_data_message_bytes, config.loader.cache_bytes);
        let swarm_name = "https://cdn.example/film.m3u8".to_owned();
        let setup = EngineSetup { config, swarm_name, seed: [3; 32], has_validator };
        Shell {
            engine: Engine::new(setup),
            now: Time::ZERO,
            fetches: BTreeMap::new(),
            links: BTreeMap::new(),
            asked: Vec::new(),
            offer_ids: Vec::new(),
            verifying: Vec::new(),
            requests: BTreeSet::new(),
            wake: None,
            gated,
            trackers: BTreeSet::new(),
            blobs: BTreeMap::new(),
            seen_fetches: BTreeSet::new(),
            seen_blobs: BTreeSet::new(),
            largest_message,
            cache_bytes,
            over: false,
        }
    }

    pub fn input(&mut self, input: Input) {
        match &input {
            Input::Want { request, .. } => drop(self.requests.insert(*request)),
            Input::Cancel { request } => drop(self.requests.remove(request)),
            Input::FetchDone { fetch } | Input::FetchFailed { fetch, .. } => drop(self.fetches.remove(fetch)),
            Input::LinkUp { link, .. } => drop(self.links.insert(*link, Link::Up)),
            Input::LinkDown { link, .. } => drop(self.links.remove(link)),
            Input::OfferReady { link, .. } | Input::AnswerReady { link, .. } => {
                self.links.insert(*link, Link::Described);
            }
            Input::TrackerDown { tracker, .. } => drop(self.trackers.remove(tracker)),
            Input::Consent { given } => self.gated = !given,
            Input::Shutdown => self.over = true,
            _ => {}
        }
        self.engine.handle(self.now, input);
        self.drain();
    }

    /// Body bytes arrive.
    pub fn body(&mut self, fetch: FetchId, len: u32) {
        let placement = self.engine.place_fetched(self.now, fetch, len);
        self.write(placement, len);
        self.drain();
    }

    /// A data frame arrives.
    pub fn frame(&mut self, link: LinkId, head: &[u8], len: u32) {
        let placement = self.engine.place_frame(self.now, link, head, len);
        self.write(placement, len);
        self.drain();
    }

    fn write(&mut self, placement: Placement, chunk: u32) {
        let Placement::At { blob, at, skip, len } = placement else { return };
        assert!(
            len > 0 && u64::from(skip) + u64::from(len) <= u64::from(chunk),
            "{placement:?} of {chunk} bytes"
        );
        let written = self.blobs.get_mut(&blob).expect("placed into a blob that is there");
        let (from, to) = (at, at + u64::from(len));
        assert!(
            written.iter().all(|(start, end)| to <= *start || from >= *end),
            "placed twice: {placement:?}"
        );
        written.push((from, to));
        written.sort_unstable();
        // Neighbours become one, or long runs would be slow.
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (start, end) in written.drain(..) {
            match merged.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => merged.push((start, end)),
            }
        }
        *written = merged;
    }

    /// Lets time pass, with a tick at each deadline on the way.
    pub fn advance(&mut self, to: Time) {
        let mut at_once = 0;
        for _ in 0..500 {
            let Some(wake) = self.wake.filter(|wake| *wake <= to) else { break };
            at_once = if wake > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 100, "the engine wakes up again and again at {}", self.now);
            self.now = self.now.max(wake);
            self.input(Input::Tick);
        }
        self.now = self.now.max(to);
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.engine.poll_output() {
                Output::Wait(deadline) => {
                    self.wake = deadline.map(|deadline| deadline.at);
                    return self.check();
                }
                output => self.run(output),
            }
        }
        panic!("outputs without end");
    }

    fn run(&mut self, output: Output) {
        match output {
            Output::Fetch { fetch, range, .. } => {
                assert!(self.seen_fetches.insert(fetch), "{fetch:?} was used before");
                assert!(range.is_none_or(|range| range.start < range.end), "an empty range: {range:?}");
                self.fetches.insert(fetch, range);
            }
            Output::CancelFetch { fetch } => drop(self.fetches.remove(&fetch)),
            Output::OpenTracker { tracker, .. } => {
                assert!(!self.gated, "a tracker before the user agreed");
                assert!(self.trackers.insert(tracker), "{tracker:?} is open");
            }
            Output::CloseTracker { tracker } => drop(self.trackers.remove(&tracker)),
            Output::SendTracker { tracker, text } => {
                assert!(self.trackers.contains(&tracker), "{tracker:?} is not open");
                assert!(text.len() <= 64 * 1024, "{} bytes to a tracker", text.len());
                self.note_offers(&text);
            }
            Output::CreateOffer { link } => self.new_link(link, Link::Offering),
            Output::AcceptOffer { link, .. } => self.new_link(link, Link::Answering),
            Output::AcceptAnswer { link, .. } | Output::AddCandidates { link, .. } => {
                assert!(self.links.contains_key(&link), "{link:?} is gone");
            }
            Output::CloseLink { link } => drop(self.links.remove(&link)),
            Output::SendControl { link, frame } => {
                assert_eq!(self.links.get(&link), Some(&Link::Up), "control on {link:?}");
                let frame = decode(&frame, 4096).expect("our own frames are well-formed");
                if let Frame::Request { transfer, .. } = frame {
                    self.asked.push((link, transfer));
                }
            }
            Output::SendData { link, head, blob, at, len } => {
                assert_eq!(self.links.get(&link), Some(&Link::Up), "data on {link:?}");
                assert!(is_data_frame(head[0]) && u64::from(decode_data_head(&head).unwrap().at) == at);
                assert!(
                    len > 0 && head.len() as u32 + len <= self.largest_message,
                    "a message of {len} bytes"
                );
                let there = self.blobs.get(&blob).expect("sent from a blob that is there");
                let end = at + u64::from(len);
                assert!(
                    there.iter().any(|(from, to)| *from <= at && end <= *to),
                    "sent bytes that are not there"
                );
            }
            Output::NewBlob { blob } => {
                assert!(self.seen_blobs.insert(blob), "{blob:?} was used before");
                self.blobs.insert(blob, Vec::new());
            }
            Output::DropBlob { blob } => {
                assert!(self.blobs.remove(&blob).is_some(), "dropped {blob:?}, which is not there");
                self.verifying.retain(|other| *other != blob);
            }
            Output::Digest { ask, blob, at, len } => {
                assert!(len > 0 && len <= 65_536, "{len} bytes to hash");
                let there = self.blobs.get(&blob);
                // As if all that is at one place of a segment were the same, but for a blob now and then.
                let digest = there.map(|_| block_digest(&[at as u8, len as u8, u8::from(blob.0 % 5 == 0)]));
                self.engine.handle(self.now, Input::Digested { ask, digest });
            }
            Output::Clear { blob, at, len } => {
                let ranges = self.blobs.get_mut(&blob).expect("cleared a blob that is there");
                let (from, to) = (at, at + u64::from(len));
                let split = ranges.iter().flat_map(|&(s, e)| [(s, e.min(from)), (s.max(to), e)]);
                *ranges = split.filter(|(s, e)| s < e).collect();
            }
            Output::CheckSignature { check, signature, .. } => {
                self.engine.handle(self.now, Input::SignatureChecked { check, ok: signature[0] & 1 == 0 });
            }
            Output::Verify { blob, .. } => {
                assert!(self.blobs.contains_key(&blob));
                self.verifying.push(blob);
            }
            Output::Deliver { request, blob, len, .. } => {
                assert!(self.requests.remove(&request), "{request:?} is not open");
                let whole = if len == 0 { vec![] } else { vec![(0, len)] };
                assert_eq!(self.blobs.get(&blob), Some(&whole), "delivered {len} bytes of {blob:?}");
            }
            Output::Fail { request, .. } => {
                assert!(self.requests.remove(&request), "{request:?} is not open")
            }
            Output::Event(event) => drop(format!("{event:?}")),
            Output::Wait(_) => {}
        }
    }

    fn new_link(&mut self, link: LinkId, state: Link) {
        assert!(!self.gated, "a link before the user agreed");
        assert!(self.links.insert(link, state).is_none(), "{link:?} is there");
        assert!(self.links.len() <= 30 + 8 + 20 + 1, "{} links", self.links.len());
    }

    fn note_offers(&mut self, text: &str) {
        for part in text.split("\"offer_id\":\"").skip(1) {
            self.offer_ids.extend(part.split('"').next().map(str::to_owned));
        }
        let many = self.offer_ids.len().saturating_sub(32);
        self.offer_ids.drain(..many);
    }

    fn check(&self) {
        let stats = self.engine.stats();
        assert!(stats.cache.bytes <= self.cache_bytes.max(stats.cache.budget_bytes), "{:?}", stats.cache);
        let kept: u64 = self.blobs.values().flatten().map(|(from, to)| to - from).sum();
        // The cache, and what is on its way: at most two HTTP downloads and what peers may send at once, each of at most
        // the largest segment.
        let arriving = 64 * 1024 * 1024 + 32 * 1024 * 1024;
        assert!(kept <= stats.cache.budget_bytes + arriving, "{kept} bytes are kept");
        assert!(stats.peer_list.len() <= 30, "{} peers", stats.peer_list.len());
    }

    /// The page goes: nothing may be left.
    pub fn end(&mut self) {
        if !self.over {
            self.input(Input::Shutdown);
        }
        assert!(self.blobs.is_empty(), "{} blobs are left", self.blobs.len());
        assert!(self.fetches.is_empty() && self.links.is_empty() && self.trackers.is_empty());
        assert!(self.requests.is_empty(), "{:?} were not answered", self.requests);
        assert_eq!(self.wake, None);
    }
}
