//! Tracker sessions and link negotiation.
//!
//! [`Signal`] finds other viewers of the swarm and makes links to them. It keeps a session with every configured
//! tracker at once (`session.rs`), a pool of offers that all of them draw on (`offers.rs`), and one negotiation per link
//! (`negotiation.rs`). Session descriptions are opaque. What it says and when is in `docs/signalling.md`.
//!
//! It is sans-IO like everything here: each call is told `now` and pushes what the shell must do to `out`.
//!
//! A link belongs to this module from its first output until [`Signal::link_up`]; from then on the swarm decides about
//! it and tells its end with [`Signal::link_closed`].

pub mod message;

mod backoff;
mod links;
mod negotiation;
mod offers;
mod peers;
pub mod relayed;
mod session;
mod step;

use crate::sorted::{SortedMap, SortedSet};
use std::collections::VecDeque;

use crate::random::ChaCha8Rng;

use crate::config::Config;
use crate::engine::{LinkCloseCause, Output, TrackerStats};
use crate::id::{LinkId, PeerId, SwarmId, TrackerId};
use crate::time::{Deadline, Span, Time, Wake};

use backoff::Bucket;
use links::{Link, Links, Stage};
use message::{Announce, AnnounceEvent, TrackerMessage};
use offers::Batch;
use peers::PeerBook;
use session::{Phase, Session};

/// Remote offers accepted at once, and one more in each of the intervals.
const OFFER_BURST: u32 = 20;
const OFFER_EVERY: Span = Span::from_millis(200);

/// What of the configuration matters here.
#[derive(Clone, Debug)]
struct Settings {
    offers_per_announce: usize,
    max_pending: usize,
    max_links: usize,
    connect_timeout: Span,
    /// No links while the swarm is known, or not known yet, to be smaller.
    min_swarm: u32,
    /// Only addresses of relays may leave.
    relay_only: bool,
}

/// What every step needs.
struct Cx<'a> {
    now: Time,
    rng: &'a mut ChaCha8Rng,
    out: &'a mut VecDeque<Output>,
}

/// Whether the swarm takes a peer.
type Admits<'a> = &'a dyn Fn(PeerId) -> bool;

/// Finds peers through trackers and negotiates links with them.
///
/// Calls that act take the time, the engine's generator and its outbox. [`Signal::tick`] is due at
/// [`Signal::next_deadline`] and harmless at any other moment.
#[derive(Clone, Debug)]
pub struct Signal {
    own: PeerId,
    swarm: SwarmId,
    settings: Settings,
    running: bool,
    online: bool,
    sessions: Vec<Session>,
    links: Links,
    peers: PeerBook,
    batches: SortedMap<u32, Batch>,
    next_batch: u32,
    demand: usize,
    /// Whether we have a whole stream that ends; `None` as long as we never had.
    complete: Option<bool>,
    token: String,
    offer_rate: Bucket,
    /// Offers in a row that the shell could not make.
    create_failures: u32,
    no_offers_before: Time,
    /// Negotiations in a row that failed.
    futile: u32,
    futile_until: Time,
    deadline: Option<Time>,
}

impl Signal {
    /// A machine at rest for one viewer of one swarm.
    ///
    /// Until told otherwise it wants `loader.peerRequestsPerAnnounce` links and takes up to `limits.maxPeers`.
    pub fn new(config: &Config, swarm: SwarmId, own: PeerId) -> Signal {
        let mut seen = SortedSet::new();
        let urls = config.loader.tracker_announce.iter().zip(0..);
        let sessions = urls
            // The same tracker twice would take us for two viewers.
            .filter(|(urls, _)| seen.insert(urls.as_slice()))
            .map(|(urls, place)| Session::new(TrackerId(place), urls.clone()))
            .collect();
        Signal {
            own,
            swarm,
            settings: Settings {
                offers_per_announce: config.loader.peer_requests_per_announce,
                max_pending: config.limits.max_pending_peers,
                max_links: config.limits.max_peers,
                connect_timeout: Span::from_millis(config.limits.connect_timeout_ms),
                min_swarm: config.loader.min_swarm_size,
                relay_only: config.loader.relay_only,
            },
            running: false,
            online: true,
            sessions,
            links: Links::default(),
            peers: PeerBook::default(),
            batches: SortedMap::new(),
            next_batch: 0,
            demand: config.loader.peer_requests_per_announce,
            complete: None,
            token: config.loader.tracker_token.clone().unwrap_or_default(),
            offer_rate: Bucket::new(OFFER_BURST, OFFER_EVERY),
            create_failures: 0,
            no_offers_before: Time::ZERO,
            futile: 0,
            futile_until: Time::ZERO,
            deadline: None,
        }
    }

    /// Peer-to-peer is switched on: opens all trackers and has the first offers made meanwhile.
    pub fn start(&mut self, now: Time, rng: &mut ChaCha8Rng, out: &mut VecDeque<Output>) {
        if self.running {
            return;
        }
        self.running = true;
        let mut cx = Cx { now, rng, out };
        for index in 0..self.sessions.len() {
            if let Some(session) = self.sessions.get_mut(index) {
                session.open(&mut cx);
            }
            self.grant_first(now, index);
        }
        self.settle(&mut cx);
    }

    /// Peer-to-peer is switched off, or the page goes away: takes leave of all trackers and closes every link that is
    /// not open yet. Open ones are the swarm's.
    pub fn stop(&mut self, now: Time, rng: &mut ChaCha8Rng, out: &mut VecDeque<Output>) {
        self.running = false;
        let left = self.left();
        let mut cx = Cx { now, rng, out };
        for session in &mut self.sessions {
            if session.opened().is_some_and(|open| open.started) {
                let stopped = Announce {
                    swarm: self.swarm,
                    peer: self.own,
                    event: Some(AnnounceEvent::Stopped),
                    numwant: 0,
                    uploaded: 0,
                    downloaded: 0,
                    left,
                    trickle: false,
                    token: &self.token,
                    offers: &[],
                };
                cx.out.push_back(Output::SendTracker { tracker: session.id, text: stopped.encode() });
            }
            session.close(&mut cx);
        }
        for link in self.links.ids(|link| !matches!(link.stage, Stage::Up { .. })) {
            self.close_link(&mut cx, link);
        }
        self.settle(&mut cx);
    }

    /// The WebSocket to a tracker is open.
    pub fn tracker_up(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        tracker: TrackerId,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        if let Some(index) = self.index(tracker)
            && let Some(session) = self.sessions.get_mut(index)
            && matches!(session.phase, Phase::Opening { .. })
        {
            session.up(now);
            self.grant_first(now, index);
        }
        self.settle(&mut cx);
    }

    /// The WebSocket to a tracker closed or could not be opened.
    pub fn tracker_down(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        tracker: TrackerId,
        why: String,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        if let Some(index) = self.index(tracker)
            && let Some(session) = self.sessions.get(index)
            && matches!(session.phase, Phase::Opening { .. } | Phase::Open(_))
        {
            self.session_lost(&mut cx, index, why);
        }
        self.settle(&mut cx);
    }

    /// A message came from a tracker. Whatever it holds, it cannot do harm.
    ///
    /// `admits` says whether the swarm takes a peer. One that it takes may get a second link although one is open (the
    /// swarm knows it to be dead), and may be the one newcomer beyond `limits.maxPeers` (the worst peer makes room).
    pub fn tracker_text(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        tracker: TrackerId,
        text: &str,
        admits: &dyn Fn(PeerId) -> bool,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        if let Some(index) = self.index(tracker)
            && let Some(session) = self.sessions.get_mut(index)
            && session.opened().is_some()
        {
            if !session.messages.take(now) {
                session.complain(&mut cx, "too many messages".to_owned());
            } else {
                match TrackerMessage::parse(text) {
                    Ok(message) => self.on_message(&mut cx, index, message, admits),
                    Err(error) => session.complain(&mut cx, error.to_string()),
                }
            }
        }
        self.settle(&mut cx);
    }

    /// The shell made the offer of a link.
    pub fn offer_ready(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        link: LinkId,
        sdp: String,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        self.offer_made(&mut cx, link, sdp);
        self.settle(&mut cx);
    }

    /// The shell made the answer of a link.
    pub fn answer_ready(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        link: LinkId,
        sdp: String,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        self.answer_made(&mut cx, link, sdp);
        self.settle(&mut cx);
    }

    /// The shell found candidates of a link after its description.
    pub fn local_candidates(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        link: LinkId,
        candidates: Vec<String>,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        self.hold_candidates(now, link, candidates);
        self.settle(&mut cx);
    }

    /// The shell says that a link ended or could not be made ([`Input::LinkDown`](crate::engine::Input::LinkDown)).
    /// If it was being made, its peer is left alone for a while and the page is told; if it was open, this is the same
    /// as [`Signal::link_closed`].
    pub fn link_failed(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        link: LinkId,
        cause: LinkCloseCause,
        out: &mut VecDeque<Output>,
    ) {
        let mut cx = self.begin(now, rng, out);
        self.link_broke(&mut cx, link, cause);
        self.settle(&mut cx);
    }

    /// The channel of a link is open: it is the swarm's from now on. Gives the peer at its other end, or `None` if the
    /// link is not known (any more): then it is being closed and there is nothing to do.
    pub fn link_up(&mut self, now: Time, link: LinkId) -> Option<PeerId> {
        let entry = self.links.get(link)?;
        if !matches!(entry.stage, Stage::Connecting { .. } | Stage::Up { .. }) {
            return None;
        }
        let peer = entry.peer()?;
        self.links.advance(now, link, Stage::Up { peer });
        if let Some(trickle) = self.links.trickle(link) {
            trickle.take();
        }
        self.peers.succeeded(peer);
        self.futile = 0;
        self.futile_until = Time::ZERO;
        self.look_again(now);
        Some(peer)
    }

    /// Whether we made the offer of a link whose channel is about to open.
    pub fn is_initiator(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(|link| matches!(link.stage, Stage::Connecting { ours: true, .. }))
    }

    /// Whether no tracker is connected or being connected to for the first time: nobody can be found for now.
    pub fn all_unreachable(&self) -> bool {
        self.sessions.iter().all(|session| matches!(session.phase, Phase::Idle | Phase::Waiting { .. }))
    }

    /// A link is gone, whoever ended it.
    pub fn link_closed(&mut self, now: Time, link: LinkId) {
        if self.links.remove(link).is_some() {
            self.look_again(now);
        }
    }

    /// The network came or went. With it come new addresses: offers that nobody has answered are made anew, trackers
    /// are tried at once.
    pub fn network(&mut self, now: Time, rng: &mut ChaCha8Rng, online: bool, out: &mut VecDeque<Output>) {
        let mut cx = self.begin(now, rng, out);
        if self.online != online {
            self.online = online;
            self.shaken(&mut cx, online);
        }
        self.settle(&mut cx);
    }

    /// How many links the swarm wants beyond those that are open.
    pub fn set_demand(&mut self, now: Time, wanted_links: usize) {
        if self.demand != wanted_links {
            self.demand = wanted_links;
            self.look_again(now);
        }
    }

    /// Whether this viewer has the whole of a stream that has an end. The trackers count such viewers apart. That it came
    /// to have it is told once.
    pub fn set_complete(&mut self, now: Time, complete: bool) {
        if self.complete.unwrap_or(false) == complete {
            return;
        }
        if self.complete.is_none() {
            for session in &mut self.sessions {
                session.tell_complete = true;
                if let Some(open) = session.opened_mut() {
                    open.due = open.due.min(now);
                }
            }
        }
        self.complete = Some(complete);
        self.look_again(now);
    }

    /// What is missing, as trackers are told: something or nothing. Nobody hears of it before nothing is.
    fn left(&self) -> Option<u64> {
        self.complete.map(|complete| u64::from(!complete))
    }

    /// Another access token is to be used from now on. Trackers that refused the old one are asked again at once.
    pub fn set_token(&mut self, now: Time, token: String) {
        self.token = token;
        self.sessions.iter_mut().for_each(|session| session.retry(now));
        self.look_again(now);
    }

    /// Never links to the peer again, which sent bad data, and tells the trackers that take such reports. A link that is
    /// being made is closed; an open one is the caller's to close.
    pub fn ban(&mut self, now: Time, rng: &mut ChaCha8Rng, peer: PeerId, out: &mut VecDeque<Output>) {
        self.peers.ban(peer);
        let mut cx = self.begin(now, rng, out);
        for session in &self.sessions {
            // A tracker that did not introduce the peer ignores it.
            if session.reports && session.opened().is_some() {
                let text = message::report(self.swarm, self.own, peer);
                cx.out.push_back(Output::SendTracker { tracker: session.id, text });
            }
        }
        if let Some((link, entry)) = self.links.of_peer(peer)
            && entry.is_pending()
        {
            self.close_link(&mut cx, link);
        }
        self.settle(&mut cx);
    }

    /// Makes no link to the peer for a while, for instance after it made room for another.
    pub fn avoid(&mut self, now: Time, peer: PeerId, span: Span) {
        self.peers.avoid(now, peer, span);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time, rng: &mut ChaCha8Rng, out: &mut VecDeque<Output>) {
        let mut cx = self.begin(now, rng, out);
        self.settle(&mut cx);
    }

    /// When [`Signal::tick`] is due.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.deadline.map(|at| Deadline::new(at, Wake::Tracker))
    }

    /// The peer at the other end of a link, as the tracker told it.
    pub fn peer_of(&self, link: LinkId) -> Option<PeerId> {
        self.links.get(link).and_then(Link::peer)
    }

    /// Viewers of the swarm, ourselves included: the largest count among the trackers, and no less than we have links
    /// to. A tracker that went away is believed for five minutes. `None` before the first reply.
    pub fn swarm_size(&self) -> Option<u32> {
        let linked = u32::try_from(self.links.peers()).unwrap_or(u32::MAX).saturating_add(1);
        self.sessions.iter().filter_map(Session::size).max().map(|size| size.max(linked))
    }

    /// Links being made of which the other end is known.
    pub fn pending_links(&self) -> usize {
        self.links.count(Link::is_pending)
    }

    /// Each tracker, in the order of the settings.
    pub fn stats(&self) -> Vec<TrackerStats> {
        self.sessions.iter().map(Session::stats).collect()
    }
}

#[cfg(test)]
mod tests;
