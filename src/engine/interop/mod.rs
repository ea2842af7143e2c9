//! Joins the swarms of p2p-media-loader's viewers: one for each track that the player loads.
//!
//! A *stock link* is a link of such a swarm; its id says so ([`LinkId::is_stock`]). Signalling is a
//! [`Signal`](crate::signal::Signal) for each swarm (`swarms.rs`), all on the trackers' one socket. A
//! [`Gateway`](crate::interop::Gateway) on each open stock link (`links.rs`) turns what our peer state machine says into
//! the stock wire and back, on the way between the engine's outputs and the shell: nothing else in the engine knows two
//! wires.
//!
//! Viewers of ours that meet in a stock swarm are also in our own, and link there: in a stock swarm they leave each
//! other alone.

mod links;
mod swarms;

use crate::id::{LinkId, SwarmId, TrackId, TrackerId};
use crate::interop::command::is_framed;
use crate::interop::{Gateway, Ids, Numbering};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::{Deadline, Wake};
use crate::timeline::Timeline;

use super::Engine;
use super::io::{Input, Output};

use swarms::Stream;

/// What the engine keeps for stock viewers.
#[derive(Debug, Default)]
pub(super) struct Interop {
    /// The stock swarm of each track of the manifest.
    swarms: SortedMap<TrackId, SwarmId>,
    /// How the segments of each track that has been loaded are counted.
    numberings: SortedMap<TrackId, Numbering>,
    /// Swarms that were joined.
    streams: Vec<Stream>,
    next_slot: u32,
    gateways: SortedMap<LinkId, Gateway>,
    /// Trackers with an open socket.
    sockets: SortedSet<TrackerId>,
}

impl Interop {
    /// The segments of the stream that a stock link belongs to.
    fn ids<'a>(&self, timeline: &'a Timeline, link: LinkId) -> Option<Ids<'a>> {
        let track = self.streams.iter().find(|stream| stream.owns(link))?.track;
        Some(Ids { timeline, track, numbering: *self.numberings.get(&track)? })
    }
}

impl Engine {
    /// Takes what concerns stock viewers alone, and gives back what concerns us (too).
    pub(super) fn interop_input(&mut self, input: Input) -> Option<Input> {
        match &input {
            Input::StockSwarms { .. } | Input::StockPlaylist { .. } => {
                self.stock_streams_known(input);
                return None;
            }
            Input::TrackerUp { tracker } => self.stock_tracker_up(*tracker),
            Input::TrackerDown { tracker, why } => self.stock_tracker_down(*tracker, why),
            Input::TrackerText { tracker, text } => self.stock_tracker_text(*tracker, text),
            Input::Network { online, .. } => self.stock_network(*online),
            Input::UseP2p { enabled: false } | Input::Consent { given: false } | Input::Shutdown => {
                self.leave_stock_swarms();
            }
            _ => {}
        }
        let link = match &input {
            Input::OfferReady { link, .. }
            | Input::AnswerReady { link, .. }
            | Input::LocalCandidates { link, .. }
            | Input::LinkUp { link, .. }
            | Input::LinkDown { link, .. }
            | Input::LinkDrained { link }
            | Input::Control { link, .. } => *link,
            _ => return Some(input),
        };
        if !link.is_stock() {
            return Some(input);
        }
        match input {
            Input::Control { frame, .. } => self.stock_message(link, &frame),
            Input::LinkDrained { .. } => self.stock_drained(link),
            Input::LinkUp { max_message_bytes, .. } => self.stock_link_up(link, max_message_bytes),
            other => self.stock_signalling(link, other),
        }
        self.take_notices();
        None
    }

    /// Puts what our peer state machine says to stock peers into their words; everything else passes.
    pub(super) fn interop_output(&mut self, output: Output) -> Option<Output> {
        match output {
            // What is in the words of stock peers already begins otherwise than any frame of ours.
            Output::SendControl { link, frame } if link.is_stock() && !is_framed(&frame) => {
                self.stock_frame_out(link, &frame);
                None
            }
            Output::SendData { link, head, blob, at, len } if link.is_stock() => self
                .stock_body_out(link, &head, len)
                .then_some(Output::SendData { link, head: Vec::new(), blob, at, len }),
            Output::CloseLink { link } => {
                self.interop.gateways.remove(&link);
                Some(output)
            }
            Output::CloseTracker { tracker } => {
                self.stock_tracker_down(tracker, "closed");
                Some(output)
            }
            other => Some(other),
        }
    }

    /// Lets stock swarms and links do what is due.
    pub(super) fn tick_interop(&mut self) {
        self.follow_player();
        self.tick_stock_swarms();
        self.show_stock_news();
        self.tell_stock_peers();
        self.retry_stock_requests();
    }

    /// When [`Engine::tick_interop`] is due.
    pub(super) fn interop_deadline(&self) -> Option<Deadline> {
        let gateways = self.interop.gateways.values();
        let due =
            gateways.flat_map(|gateway| [gateway.announce_due(), gateway.show_due(), gateway.retry_due()]);
        let announcements = due.flatten().min();
        let leaving = self.interop.streams.iter().filter_map(Stream::leaves_at).min();
        let signals = self.interop.streams.iter().filter_map(|stream| stream.signal.next_deadline());
        [
            announcements.map(|at| Deadline::new(at, Wake::Peer)),
            leaving.map(|at| Deadline::new(at, Wake::Tracker)),
        ]
        .into_iter()
        .chain(signals.map(Some))
        .fold(None, Deadline::earliest)
    }
}
