//! Data channels of a viewer: descriptions, connecting, the uplink that all links share, and arrival.

use std::collections::VecDeque;

use hlswarm::engine::{Input, LinkCloseCause, Placement};
use hlswarm::id::LinkId;
use hlswarm::wire::is_data_frame;

use crate::blobs::Payload;
use crate::draw::{For, unit};
use crate::http::Flow;
use crate::queue::{ActorId, Event};
use crate::topology::pair_connects;
use crate::viewer::Viewer;
use crate::world::Ctx;

/// A message of a data channel.
#[derive(Debug)]
pub(crate) enum Message {
    /// A whole frame.
    Control(Box<[u8]>),
    /// Segment bytes.
    Data(Box<DataMessage>),
}

/// A frame's head and the content that follows it.
#[derive(Debug)]
pub(crate) struct DataMessage {
    pub head: Vec<u8>,
    pub payload: Payload,
    /// Over how many viewers the content came to its sender.
    pub hops: u8,
}

impl Message {
    pub(crate) fn len(&self) -> u32 {
        match self {
            Message::Control(frame) => frame.len() as u32,
            Message::Data(data) => data.head.len() as u32 + data.payload.len(),
        }
    }

    fn is_control(&self) -> bool {
        matches!(self, Message::Control(_))
    }
}

/// What the browser does with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Made the offer.
    Offers,
    /// Answers an offer.
    Answers,
}

/// One connection with its channel.
#[derive(Debug)]
pub(crate) struct Link {
    pub role: Role,
    pub peer: Option<(ActorId, u32)>,
    pub up: bool,
    /// Described, i.e. the offer or answer was handed over.
    pub described: bool,
    /// A remote candidate beyond the description is known.
    candidates: bool,
    delay_us: u64,
    bytes_per_s: Option<f64>,
    window: u32,
    queue: VecDeque<Message>,
    pub buffered: u64,
    above_low: bool,
    in_flight: u32,
    next_send_us: u64,
    last_arrival_us: u64,
    sent: u64,
    arrived: VecDeque<Message>,
    unacked: u32,
}

/// The line away from the viewer, shared fairly by its links, a message at a time.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    busy: Option<u32>,
    ring: VecDeque<u32>,
}

/// A viewer's links by id. The ids lie together: the search for one, at each message, touches no other link.
#[derive(Debug, Default)]
pub(crate) struct Links {
    ids: Vec<u32>,
    #[expect(clippy::vec_box, reason = "inserting and removing moves pointers only")]
    links: Vec<Box<Link>>,
}

impl Links {
    pub(crate) fn get(&self, id: u32) -> Option<&Link> {
        Some(&self.links[self.ids.binary_search(&id).ok()?])
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Link> {
        Some(&mut self.links[self.ids.binary_search(&id).ok()?])
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Adds a link; `false` when there was one with that id.
    pub(crate) fn insert(&mut self, id: u32, link: Link) -> bool {
        match self.ids.binary_search(&id) {
            Ok(place) => {
                *self.links[place] = link;
                false
            }
            Err(place) => {
                self.ids.insert(place, id);
                self.links.insert(place, Box::new(link));
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Link> {
        let place = self.ids.binary_search(&id).ok()?;
        self.ids.remove(place);
        Some(*self.links.remove(place))
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().map(AsRef::as_ref)
    }
}

const PACKET_BYTES: f64 = 1200.0;
/// Largest message that Chromium's SCTP takes.
const MAX_MESSAGE_BYTES: u32 = 262_144;

/// Bytes per second that one connection reaches at a packet loss rate (Mathis et al., "The macroscopic behavior of
/// the TCP congestion avoidance algorithm", 1997), `None` without loss.
pub(crate) fn loss_limit(round_trip_us: u64, loss: f64) -> Option<f64> {
    (loss > 0.0).then(|| 1.22 * PACKET_BYTES / (round_trip_us as f64 / 1e6) / loss.sqrt())
}

impl Viewer {
    pub(crate) fn new_link(
        &mut self,
        link: u32,
        role: Role,
        peer: Option<(ActorId, u32)>,
        ctx: &mut Ctx<'_>,
    ) {
        let fresh = Link {
            role,
            peer,
            up: false,
            described: false,
            candidates: false,
            delay_us: 0,
            bytes_per_s: None,
            window: 0,
            queue: VecDeque::new(),
            buffered: 0,
            above_low: false,
            in_flight: 0,
            next_send_us: 0,
            last_arrival_us: 0,
            sent: 0,
            arrived: VecDeque::new(),
            unacked: 0,
        };
        if !self.links.insert(link, fresh) {
            ctx.fail(format!("link {link} was opened twice"));
        }
        let ice = &ctx.world.scenario.ice;
        let draw = unit(ctx.world.seed, For::OfferDelay, &[u64::from(self.id), u64::from(link)]);
        let pause = (ice.description_ms.at(draw) * 1000.0) as u64;
        ctx.after(pause.max(1), Event::Described { link });
    }

    /// A description is ready: hand it to the engine. It names the viewer and the link, as candidates do.
    pub(crate) fn described(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        let Some(state) = self.links.get_mut(link) else { return };
        state.described = true;
        let role = state.role;
        let ice = &ctx.world.scenario.ice;
        if let Some(late) = ice.late_candidates_ms {
            ctx.after((late * 1000.0) as u64 + 1, Event::LateCandidates { link });
        }
        if role == Role::Answers {
            ctx.after((ice.fail_after_s * 1e6) as u64, Event::GiveUp { link });
        }
        let sdp = describe(self.id, link);
        let link = LinkId(link);
        self.feed(
            match role {
                Role::Offers => Input::OfferReady { link, sdp },
                Role::Answers => Input::AnswerReady { link, sdp },
            },
            ctx,
        );
    }

    pub(crate) fn late_candidates(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        if self.links.contains(link) {
            let candidate =
                format!(r#"{{"candidate":"candidate:1 1 udp 1 10.0.0.{} 9 typ srflx"}}"#, self.id % 250);
            self.feed(Input::LocalCandidates { link: LinkId(link), candidates: vec![candidate] }, ctx);
        }
    }

    pub(crate) fn add_candidates(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        match self.links.get_mut(link) {
            Some(state) => state.candidates = true,
            None => ctx.fail(format!("candidates for link {link}, which is closed")),
        }
    }

    /// The remote answer is there: try to connect.
    pub(crate) fn answered(&mut self, link: u32, sdp: &str, ctx: &mut Ctx<'_>) {
        let Some(peer) = read_description(sdp) else {
            return self.refuse_description(link, ctx);
        };
        let Some(state) = self.links.get_mut(link) else {
            return ctx.fail(format!("an answer for link {link}, which is closed"));
        };
        if state.role != Role::Offers || state.peer.is_some() {
            ctx.fail(format!("link {link} takes no answer"));
            return;
        }
        state.peer = Some(peer);
        let world = ctx.world;
        if peer.0 == self.id {
            ctx.fail(format!("link {link} leads to its own viewer"));
        }
        let ice = &world.scenario.ice;
        if peer.0 < world.viewers() && pair_connects(world, self.id, peer.0) {
            let draw = unit(world.seed, For::IceConnect, &[u64::from(self.id), u64::from(link)]);
            let round_trip = 2 * ctx.delay_to(peer.0);
            ctx.after((ice.connect_ms.at(draw) * 1000.0) as u64 + round_trip, Event::Connected { link });
        }
        ctx.after((ice.fail_after_s * 1e6) as u64, Event::GiveUp { link });
    }

    pub(crate) fn refuse_description(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        if self.links.contains(link) {
            self.lose_link(link, LinkCloseCause::BadDescription("not a description".into()), ctx);
        }
    }

    /// The offering side's channel opens; the other side learns a delay later.
    pub(crate) fn connected(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        let late = ctx.world.scenario.ice.late_candidates_ms.is_some();
        let Some(state) = self.links.get(link) else { return };
        if state.up || self.offline {
            return;
        }
        if late && !state.candidates {
            // Checks begin when the first usable candidate is known.
            return ctx.after(100_000, Event::Connected { link });
        }
        let Some(peer) = state.peer else { return };
        self.open_link(link, peer, ctx);
        let delay = ctx.delay_to(peer.0);
        ctx.send(peer.0, delay, Event::PeerConnected { link: peer.1, peer: self.id, peer_link: link });
        self.feed(Input::LinkUp { link: LinkId(link), max_message_bytes: MAX_MESSAGE_BYTES }, ctx);
    }

    pub(crate) fn peer_connected(&mut self, link: u32, peer: (ActorId, u32), ctx: &mut Ctx<'_>) {
        let delay = ctx.delay_to(peer.0);
        let known = self.links.get(link).is_some_and(|state| state.peer == Some(peer) && !state.up);
        if !known {
            return ctx.send(peer.0, delay, Event::PeerClosed { link: peer.1 });
        }
        self.open_link(link, peer, ctx);
        self.feed(Input::LinkUp { link: LinkId(link), max_message_bytes: MAX_MESSAGE_BYTES }, ctx);
    }

    fn open_link(&mut self, link: u32, peer: (ActorId, u32), ctx: &Ctx<'_>) {
        let world = ctx.world;
        let delay_us = ctx.delay_to(peer.0);
        let (mine, theirs) = (world.profile(self.id), world.profile(peer.0));
        let rate = mine.up_bytes_per_s.min(theirs.down_bytes_per_s);
        let on_the_way = rate * (2 * delay_us) as f64 / 1e6;
        if let Some(state) = self.links.get_mut(link) {
            state.up = true;
            state.delay_us = delay_us;
            state.bytes_per_s = loss_limit(2 * delay_us, mine.loss + theirs.loss);
            state.window = world.scenario.grain.link_window_bytes + on_the_way as u32;
        }
        self.tally.links += 1;
    }

    /// A connection was not made, or its other end has been silent for too long.
    pub(crate) fn give_up(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        if self.links.get(link).is_some_and(|state| !state.up) {
            self.lose_link(link, LinkCloseCause::Failed("ICE failed".into()), ctx);
        }
    }

    pub(crate) fn lose_link(&mut self, link: u32, cause: LinkCloseCause, ctx: &mut Ctx<'_>) {
        if self.links.remove(link).is_some() {
            self.feed(Input::LinkDown { link: LinkId(link), cause }, ctx);
        }
    }

    /// The engine closes a link. Control frames that wait are still sent, but for those behind segment bytes: these have not
    /// left, and nothing overtakes them.
    pub(crate) fn close_link(&mut self, link: u32, ctx: &mut Ctx<'_>) {
        let Some(mut state) = self.links.remove(link) else {
            return ctx.fail(format!("link {link} is closed already"));
        };
        let Some(peer) = state.peer.filter(|_| state.up) else { return };
        if self.offline {
            let silence = (ctx.world.scenario.ice.fail_after_s * 1e6) as u64;
            return ctx.send(peer.0, silence, Event::PeerLost { link: peer.1 });
        }
        while let Some(message) = state.queue.pop_front().filter(Message::is_control) {
            transmit(&mut state, peer, message, 0, ctx);
        }
        let delay = (state.last_arrival_us.saturating_sub(ctx.now_us)).max(state.delay_us);
        ctx.send(peer.0, delay, Event::PeerClosed { link: peer.1 });
    }

    /// Puts a message into a link's send buffer.
    pub(crate) fn send_message(&mut self, link: u32, message: Message, ctx: &mut Ctx<'_>) {
        let low = self.send_low_bytes;
        let Some(state) = self.links.get_mut(link).filter(|state| state.up) else {
            return ctx.fail(format!("a message for link {link}, which is not open"));
        };
        let len = message.len();
        if len > MAX_MESSAGE_BYTES {
            ctx.fail(format!("a message of {len} bytes on link {link}"));
        }
        let Some(peer) = state.peer else { return };
        if message.is_control() && state.queue.is_empty() && !self.offline {
            self.tally.control_bytes += u64::from(len);
            self.tally.control_frames += 1;
            return transmit(state, peer, message, 0, ctx);
        }
        state.buffered += u64::from(len);
        let buffered = state.buffered;
        self.tally.most_buffered = self.tally.most_buffered.max(buffered);
        state.above_low |= buffered > low;
        state.queue.push_back(message);
        self.check_buffer(buffered, ctx);
        if !self.uplink.ring.contains(&link) {
            self.uplink.ring.push_back(link);
        }
        self.pump_uplink(ctx);
    }

    /// Sends what may be sent.
    pub(crate) fn pump_uplink(&mut self, ctx: &mut Ctx<'_>) {
        if self.offline || self.uplink.busy.is_some() {
            return;
        }
        let rate = ctx.world.profile(self.id).up_bytes_per_s;
        let mut retry_us = u64::MAX;
        for _ in 0..self.uplink.ring.len() {
            let Some(link) = self.uplink.ring.pop_front() else { break };
            let Some(state) = self.links.get_mut(link) else { continue };
            let Some(len) = state.queue.front().map(|message| message.len()) else { continue };
            if rate <= 0.0 || (state.in_flight > 0 && state.in_flight + len > state.window) {
                // Goes on when the other side acknowledges.
                continue;
            }
            self.uplink.ring.push_back(link);
            if state.next_send_us > ctx.now_us {
                retry_us = retry_us.min(state.next_send_us);
                continue;
            }
            let takes_us = (f64::from(len) / rate * 1e6) as u64;
            if let Some(limit) = state.bytes_per_s {
                state.next_send_us = ctx.now_us + (f64::from(len) / limit * 1e6) as u64;
            }
            self.uplink.busy = Some(link);
            return ctx.after(takes_us.max(1), Event::UplinkDone);
        }
        if retry_us != u64::MAX {
            self.arm_retry(retry_us, ctx);
        }
    }

    pub(crate) fn uplink_done(&mut self, ctx: &mut Ctx<'_>) {
        let link = self.uplink.busy.take();
        let low = self.send_low_bytes;
        let mut writable = false;
        if let Some(link) = link.filter(|_| !self.offline)
            && let Some(state) = self.links.get_mut(link)
            && let (Some(peer), Some(message)) = (state.peer, state.queue.pop_front())
        {
            let loss = ctx.world.profile(self.id).loss + ctx.world.profile(peer.0).loss;
            let len = message.len();
            state.buffered -= u64::from(len);
            state.in_flight += len;
            self.tally.uploaded += u64::from(len);
            transmit(state, peer, message, lost_us(loss, len, state, ctx), ctx);
            // Control frames behind it need no line of their own.
            while state.queue.front().is_some_and(|message| message.is_control())
                && let Some(message) = state.queue.pop_front()
            {
                state.buffered -= u64::from(message.len());
                transmit(state, peer, message, 0, ctx);
            }
            writable = state.above_low && state.buffered <= low;
            if writable {
                state.above_low = false;
            }
        }
        if let Some(link) = link.filter(|_| writable) {
            self.feed(Input::LinkWritable { link: LinkId(link) }, ctx);
        }
        self.pump_uplink(ctx);
    }

    pub(crate) fn acked(&mut self, link: u32, bytes: u32, ctx: &mut Ctx<'_>) {
        let Some(state) = self.links.get_mut(link) else { return };
        state.in_flight = state.in_flight.saturating_sub(bytes);
        if !state.queue.is_empty() && !self.uplink.ring.contains(&link) {
            self.uplink.ring.push_back(link);
        }
        self.pump_uplink(ctx);
    }

    /// A message arrived at the viewer's line.
    pub(crate) fn arrived(&mut self, link: u32, message: Message, ctx: &mut Ctx<'_>) {
        let Some(state) = self.links.get_mut(link) else { return };
        if state.arrived.is_empty() && message.is_control() && !self.offline {
            return self.take_message(link, message, ctx);
        }
        state.arrived.push_back(message);
        if state.arrived.len() == 1 {
            self.downlink.ring.push_back(Flow::Link(link));
        }
        self.pump_downlink(ctx);
    }

    /// Bytes of the piece that the downlink would take next from a link.
    pub(crate) fn next_arrived(&self, link: u32) -> Option<u32> {
        self.links.get(link)?.arrived.front().map(|message| message.len())
    }

    /// The downlink has taken a link's next message; control frames behind it come along.
    pub(crate) fn link_received(&mut self, link: u32, bytes: u32, ctx: &mut Ctx<'_>) {
        if let Some(state) = self.links.get_mut(link) {
            state.unacked += bytes;
            if state.unacked >= state.window / 4 || state.arrived.len() <= 1 {
                let (bytes, delay) = (std::mem::take(&mut state.unacked), state.delay_us);
                if let Some(peer) = state.peer {
                    ctx.send(peer.0, delay, Event::Ack { link: peer.1, bytes });
                }
            }
        }
        let mut first = true;
        while let Some(state) = self.links.get_mut(link)
            && (first || state.arrived.front().is_some_and(|message| message.is_control()))
            && let Some(message) = state.arrived.pop_front()
        {
            first = false;
            self.take_message(link, message, ctx);
        }
    }

    fn take_message(&mut self, link: u32, message: Message, ctx: &mut Ctx<'_>) {
        match message {
            Message::Control(frame) if frame.first().is_some_and(|&first| is_data_frame(first)) => {
                ctx.fail(format!("a data frame was sent as a control frame on link {link}"));
            }
            Message::Control(frame) => {
                self.feed(Input::Control { link: LinkId(link), frame: frame.into_vec() }, ctx);
            }
            Message::Data(data) => {
                let DataMessage { head, payload, hops } = *data;
                let len = head.len() as u32 + payload.len();
                let now = self.engine_now(ctx.now_us);
                let Some(engine) = self.engine.as_mut() else { return };
                let placement = engine.place_frame(now, LinkId(link), &head, len);
                ctx.log(|| format!("< link {link} data of {} bytes, {placement:?}", payload.len()));
                match placement {
                    Placement::Discard => self.tally.discarded += u64::from(payload.len()),
                    Placement::At { blob, at, skip, len } => {
                        let part =
                            skip.checked_sub(head.len() as u32).and_then(|skip| payload.part(skip, len));
                        match part {
                            Some(part) => {
                                self.write_blob(blob.0, at, &part, ctx);
                                self.blobs.came_over(blob.0, hops.saturating_add(1));
                            }
                            None => ctx.fail(format!("{placement:?} does not fit a message of {len} bytes")),
                        }
                        self.tally.p2p_received += u64::from(len);
                    }
                }
                self.drain(ctx);
            }
        }
    }
}

/// Puts a message on the way; messages of a channel arrive in order.
fn transmit(link: &mut Link, peer: (ActorId, u32), message: Message, extra_us: u64, ctx: &mut Ctx<'_>) {
    let arrival = (ctx.now_us + link.delay_us + extra_us).max(link.last_arrival_us);
    link.last_arrival_us = arrival;
    link.sent += 1;
    ctx.send(peer.0, arrival - ctx.now_us, Event::Wire { link: peer.1, message });
}

/// How much later a message arrives because one of its packets was lost and sent again.
fn lost_us(loss: f64, len: u32, link: &Link, ctx: &Ctx<'_>) -> u64 {
    if loss <= 0.0 {
        return 0;
    }
    let packets = (f64::from(len) / PACKET_BYTES).ceil();
    let peer = link.peer.map_or(0, |peer| u64::from(peer.0));
    let draw = unit(ctx.world.seed, For::Loss, &[u64::from(ctx.me), peer, link.sent]);
    if draw < 1.0 - (1.0 - loss).powf(packets) { 2 * link.delay_us } else { 0 }
}

fn describe(viewer: ActorId, link: u32) -> String {
    format!("v=0\r\no=- {viewer} {link} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
}

/// The viewer and link that a description names.
pub(crate) fn read_description(sdp: &str) -> Option<(ActorId, u32)> {
    let mut words = sdp.split("o=- ").nth(1)?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
