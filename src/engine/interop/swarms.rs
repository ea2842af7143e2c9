//! Which stock swarms are joined, and the signalling of each.

use std::collections::VecDeque;

use crate::engine::Event;
use crate::id::{LinkId, TrackId, TrackerId};
use crate::interop::Numbering;
use crate::random::ChaCha8Rng;
use crate::signal::Signal;
use crate::sorted::SortedSet;
use crate::swarm::SwarmOut;
use crate::time::{Span, Time};

use super::super::io::{Input, Output};
use super::Engine;

/// A swarm whose track is not played any more is left after this long, as the stock viewers do it: the player may come
/// back to the track, and others still ask for what we have of it.
const LEAVE_AFTER: Span = Span::from_secs(30);
/// Links of one stream have ids of so many bits; above them is the stream's number.
const LINK_BITS: u32 = 20;
const SLOTS: u32 = 1 << (31 - LINK_BITS);

/// A stock swarm that was joined.
#[derive(Debug)]
pub(super) struct Stream {
    slot: u32,
    pub(super) track: TrackId,
    pub(super) signal: Signal,
    /// Since when its track has not been played.
    idle_since: Option<Time>,
}

impl Stream {
    /// Whether a stock link is one of this swarm's.
    pub(super) fn owns(&self, link: LinkId) -> bool {
        link.is_stock() && (link.0 & !LinkId::STOCK) >> LINK_BITS == self.slot
    }

    fn outer(&self, link: LinkId) -> LinkId {
        LinkId(LinkId::STOCK | self.slot << LINK_BITS | link.0 & ((1 << LINK_BITS) - 1))
    }

    fn inner(link: LinkId) -> LinkId {
        LinkId(link.0 & ((1 << LINK_BITS) - 1))
    }

    pub(super) fn leaves_at(&self) -> Option<Time> {
        self.idle_since.map(|since| since + LEAVE_AFTER)
    }
}

impl Engine {
    /// What the page tells of the manifest's streams and of a track's playlist.
    pub(super) fn stock_streams_known(&mut self, input: Input) {
        match input {
            Input::StockSwarms { swarms } => {
                self.interop.swarms = swarms.into_iter().collect();
            }
            Input::StockPlaylist { track, numbering } => {
                let before = self.interop.numberings.insert(track, numbering);
                let recorded = matches!(numbering, Numbering::Index { first, .. } if first > 0);
                if before == Some(Numbering::Sequence) && recorded {
                    // A live stream became a recording. Those who saw it live go on counting by sequence, those who come
                    // count by place: one number means two segments.
                    self.interop.swarms.remove(&track);
                } else if before != Some(numbering) || matches!(numbering, Numbering::Sequence) {
                    self.show_stock_track(track);
                }
            }
            _ => {}
        }
    }

    /// Joins the swarms of the tracks that the player loads, and leaves those of others after a while.
    pub(super) fn follow_player(&mut self) {
        if !self.p2p_on || self.interop.swarms.is_empty() && self.interop.streams.is_empty() {
            return;
        }
        let played: SortedSet<TrackId> = self.player.focuses().map(|key| key.track).collect();
        let now = self.now;
        let mut over = Vec::new();
        for stream in &mut self.interop.streams {
            if played.contains(&stream.track) {
                stream.idle_since = None;
            } else {
                stream.idle_since.get_or_insert(now);
            }
            let known = self.interop.swarms.contains_key(&stream.track);
            if !known || stream.leaves_at().is_some_and(|at| at <= now) {
                over.push(stream.slot);
            }
        }
        for slot in over {
            self.leave_stock_swarm(slot);
        }
        for track in played.iter() {
            let joined = self.interop.streams.iter().any(|stream| stream.track == *track);
            if let (false, Some(swarm), true) =
                (joined, self.interop.swarms.get(track), self.interop.numberings.contains_key(track))
            {
                let slot = self.interop.next_slot % SLOTS;
                self.interop.next_slot = self.interop.next_slot.wrapping_add(1);
                let mut signal = Signal::new(&self.config, *swarm, self.own);
                let mut out = VecDeque::new();
                signal.set_demand(now, self.swarm.wanted_links());
                signal.start(now, &mut self.rng, &mut out);
                self.interop.streams.push(Stream { slot, track: *track, signal, idle_since: None });
                self.relay(self.interop.streams.len() - 1, out);
            }
        }
    }

    pub(super) fn leave_stock_swarms(&mut self) {
        while let Some(stream) = self.interop.streams.first() {
            self.leave_stock_swarm(stream.slot);
        }
    }

    fn leave_stock_swarm(&mut self, slot: u32) {
        let Some(place) = self.interop.streams.iter().position(|stream| stream.slot == slot) else { return };
        let now = self.now;
        let links: Vec<LinkId> = self.interop.gateways.keys().copied().collect();
        for link in links {
            if self.interop.streams.get(place).is_some_and(|stream| stream.owns(link)) {
                let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
                self.swarm.leave(now, link, &mut out);
            }
        }
        self.take_notices();
        let mut out = VecDeque::new();
        if let Some(stream) = self.interop.streams.get_mut(place) {
            stream.signal.stop(now, &mut self.rng, &mut out);
        }
        self.relay(place, out);
        self.interop.streams.remove(place);
    }

    pub(super) fn tick_stock_swarms(&mut self) {
        let now = self.now;
        for place in 0..self.interop.streams.len() {
            let wanted = self.swarm.wanted_links();
            let Some(stream) = self.interop.streams.get_mut(place) else { return };
            stream.signal.set_demand(now, if stream.idle_since.is_some() { 0 } else { wanted });
            if stream.signal.next_deadline().is_some_and(|deadline| deadline.at <= now) {
                let mut out = VecDeque::new();
                stream.signal.tick(now, &mut self.rng, &mut out);
                self.relay(place, out);
            }
        }
    }

    /// Passes on what a stock swarm's signalling wants. The sockets are those of our own: a session of a stock swarm is
    /// opened when the socket is there, and closing it closes nothing.
    fn relay(&mut self, place: usize, mut out: VecDeque<Output>) {
        let now = self.now;
        while let Some(output) = out.pop_front() {
            let Some(stream) = self.interop.streams.get_mut(place) else { return };
            let passed = match output {
                Output::OpenTracker { tracker, .. } => {
                    if self.interop.sockets.contains(&tracker) {
                        stream.signal.tracker_up(now, &mut self.rng, tracker, &mut out);
                    }
                    continue;
                }
                // Our own sessions tell of the trackers.
                Output::CloseTracker { .. }
                | Output::Event(
                    Event::TrackerConnected { .. } | Event::TrackerClosed { .. } | Event::TrackerError { .. },
                ) => continue,
                Output::CreateOffer { link } => Output::CreateOffer { link: stream.outer(link) },
                Output::AcceptOffer { link, sdp } => Output::AcceptOffer { link: stream.outer(link), sdp },
                Output::AcceptAnswer { link, sdp } => Output::AcceptAnswer { link: stream.outer(link), sdp },
                Output::AddCandidates { link, candidates } => {
                    Output::AddCandidates { link: stream.outer(link), candidates }
                }
                Output::CloseLink { link } => Output::CloseLink { link: stream.outer(link) },
                other => other,
            };
            self.outbox.push_back(passed);
        }
    }

    /// Lets each stock swarm's signalling act.
    fn each_stock_swarm(
        &mut self,
        mut act: impl FnMut(&mut Signal, Time, &mut ChaCha8Rng, &mut VecDeque<Output>),
    ) {
        for place in 0..self.interop.streams.len() {
            let mut out = VecDeque::new();
            if let Some(stream) = self.interop.streams.get_mut(place) {
                act(&mut stream.signal, self.now, &mut self.rng, &mut out);
            }
            self.relay(place, out);
        }
    }

    pub(super) fn stock_tracker_up(&mut self, tracker: TrackerId) {
        self.interop.sockets.insert(tracker);
        self.each_stock_swarm(|signal, now, rng, out| signal.tracker_up(now, rng, tracker, out));
    }

    pub(super) fn stock_tracker_down(&mut self, tracker: TrackerId, why: &str) {
        self.interop.sockets.remove(&tracker);
        self.each_stock_swarm(|signal, now, rng, out| {
            signal.tracker_down(now, rng, tracker, why.to_owned(), out);
        });
    }

    pub(super) fn stock_tracker_text(&mut self, tracker: TrackerId, text: &str) {
        for place in 0..self.interop.streams.len() {
            let mut out = VecDeque::new();
            let (now, swarm) = (self.now, &self.swarm);
            // Ours meet in our own swarm.
            let admits = |peer: crate::id::PeerId| !peer.0.starts_with(b"-HS") && swarm.admits(now, peer);
            let Some(stream) = self.interop.streams.get_mut(place) else { return };
            let size = stream.signal.swarm_size();
            stream.signal.tracker_text(now, &mut self.rng, tracker, text, &admits, &mut out);
            self.dirty |= stream.signal.swarm_size() != size;
            self.relay(place, out);
        }
    }

    pub(super) fn stock_network(&mut self, online: bool) {
        self.each_stock_swarm(|signal, now, rng, out| signal.network(now, rng, online, out));
    }

    /// Descriptions of a stock link, and its end.
    pub(super) fn stock_signalling(&mut self, link: LinkId, input: Input) {
        let now = self.now;
        if let Input::LinkDown { cause, .. } = &input {
            self.interop.gateways.remove(&link);
            let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
            self.swarm.link_down(now, link, cause, &mut out);
        }
        let Some(place) = self.interop.streams.iter().position(|stream| stream.owns(link)) else { return };
        let Some(stream) = self.interop.streams.get_mut(place) else { return };
        let (signal, inner, mut out) = (&mut stream.signal, Stream::inner(link), VecDeque::new());
        match input {
            Input::OfferReady { sdp, .. } => signal.offer_ready(now, &mut self.rng, inner, sdp, &mut out),
            Input::AnswerReady { sdp, .. } => signal.answer_ready(now, &mut self.rng, inner, sdp, &mut out),
            Input::LocalCandidates { candidates, .. } => {
                signal.local_candidates(now, &mut self.rng, inner, candidates, &mut out);
            }
            Input::LinkDown { cause, .. } => {
                signal.link_failed(now, &mut self.rng, inner, cause, &mut out);
            }
            _ => {}
        }
        self.relay(place, out);
    }

    /// A stock link is open: who is at its other end, and whether we made the offer.
    pub(super) fn stock_link_opened(&mut self, link: LinkId) -> Option<(crate::id::PeerId, bool)> {
        let now = self.now;
        let stream = self.interop.streams.iter_mut().find(|stream| stream.owns(link))?;
        let initiator = stream.signal.is_initiator(Stream::inner(link));
        Some((stream.signal.link_up(now, Stream::inner(link))?, initiator))
    }

    /// A stock link is gone.
    pub(in crate::engine) fn stock_link_gone(&mut self, link: LinkId) {
        let now = self.now;
        self.interop.gateways.remove(&link);
        if let Some(stream) = self.interop.streams.iter_mut().find(|stream| stream.owns(link)) {
            stream.signal.link_closed(now, Stream::inner(link));
        }
    }

    /// A stock peer is never linked again.
    pub(in crate::engine) fn ban_in_stock_swarms(&mut self, peer: crate::id::PeerId) {
        self.each_stock_swarm(|signal, now, rng, out| signal.ban(now, rng, peer, out));
    }

    /// Viewers of the manifest by the trackers' account, ourselves included: ours, and stock ones of the track where most
    /// are. Those of ours who look for stock viewers are counted in both.
    pub(in crate::engine) fn viewers(&self) -> Option<u32> {
        let stock = self.interop.streams.iter().filter_map(|stream| stream.signal.swarm_size()).max();
        self.signal.swarm_size().max(stock)
    }
}
