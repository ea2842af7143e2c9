//! Runs what the engine wants done, as a browser would, and checks that it makes sense.

use hlswarm::engine::{CloseReason, Event as EngineEvent, Input, Output, SegmentSource};
use hlswarm::id::TrackerId;
use hlswarm::integrity::claims::origin_of;
use hlswarm::integrity::segment_digest;
use hlswarm::wire::{Claim, Frame, decode, encode};

use crate::check::tracker_url;
use crate::digests::{blocks_of, digest_of};
use crate::draw::{For, unit};
use crate::links::{DataMessage, Message, Role, read_description};
use crate::media::{FORGED, Run};
use crate::queue::Event;
use crate::tally::Way;
use crate::viewer::{Viewer, show_frame};
use crate::world::Ctx;

/// So many outputs for one input are no answer but a loop.
const MOST_OUTPUTS: u32 = 100_000;
/// Longest data-frame head.
const MOST_HEAD_BYTES: usize = 16;

impl Viewer {
    /// Takes outputs until the engine waits.
    pub(crate) fn drain(&mut self, ctx: &mut Ctx<'_>) {
        for _ in 0..MOST_OUTPUTS {
            let Some(engine) = self.engine.as_mut() else { return };
            match engine.poll_output() {
                Output::Wait(deadline) => return self.set_wake(deadline.map(|deadline| deadline.at)),
                output => self.run(output, ctx),
            }
        }
        ctx.fail(format!("livelock: more than {MOST_OUTPUTS} outputs without a wait"));
    }

    fn run(&mut self, output: Output, ctx: &mut Ctx<'_>) {
        ctx.log(|| match &output {
            Output::SendControl { link, frame } => format!("> link {} {}", link.0, show_frame(frame)),
            output => format!("> {output:?}"),
        });
        match output {
            Output::Fetch { fetch, key, url, range } => {
                let Some(place) = ctx.world.catalog.place(key) else {
                    return ctx.fail(format!("a download of {key}, which does not exist"));
                };
                let content = ctx.world.catalog.content(place);
                if ctx.world.catalog.locate(&url) != Some(content.resource) {
                    return ctx.fail(format!("{key} is not at {url}"));
                }
                if range.is_some_and(|range| range.is_empty()) {
                    ctx.fail(format!("an empty range {range:?}"));
                }
                self.tally.engine_fetches += 1;
                self.start_fetch(fetch.0, place, content.resource, range, None, ctx);
            }
            Output::CancelFetch { fetch } => {
                if !self.stop_fetch(fetch.0, ctx) {
                    ctx.fail(format!("cancel of download {}, which is not open", fetch.0));
                }
            }
            Output::OpenTracker { tracker, url } => self.open_socket(tracker, &url, ctx),
            Output::SendTracker { tracker, text } => self.send_socket(tracker, text, ctx),
            Output::CloseTracker { tracker } => self.close_socket(tracker, ctx),
            Output::CreateOffer { link } => self.new_link(link.0, Role::Offers, None, ctx),
            Output::AcceptOffer { link, sdp } => {
                let peer = read_description(&sdp);
                if peer.is_some_and(|(peer, _)| peer == self.id) {
                    ctx.fail(format!("link {} leads to its own viewer", link.0));
                }
                self.new_link(link.0, Role::Answers, peer, ctx);
                if peer.is_none() {
                    self.refuse_description(link.0, ctx);
                }
            }
            Output::AcceptAnswer { link, sdp } => self.answered(link.0, &sdp, ctx),
            Output::AddCandidates { link, .. } => self.add_candidates(link.0, ctx),
            Output::CloseLink { link } => self.close_link(link.0, ctx),
            Output::SendControl { link, frame } => {
                let frame = if self.forging { self.forge_claim(frame, ctx) } else { frame };
                self.send_message(link.0, Message::Control(frame.into_boxed_slice()), ctx);
            }
            // Browsers hash in the background; within a millisecond, which is as good as at once here.
            Output::Digest { ask, blob, at, len } => {
                let digest = self.blobs.read(blob.0, at, len).map(|payload| digest_of(&payload));
                self.tally.hashed += u64::from(len);
                self.answer(Input::Digested { ask, digest }, ctx);
            }
            Output::Clear { blob, at, len } => {
                if !self.blobs.clear(blob.0, at, len) && !self.blobs.exists(blob.0) {
                    ctx.fail(format!("clear of blob {}, which is not there", blob.0));
                }
            }
            Output::CheckSignature { check, public_key, message, signature } => {
                let ok = crate::signed::verify(&public_key, &message, &signature);
                self.answer(Input::SignatureChecked { check, ok }, ctx);
            }
            Output::SendData { link, head, blob, at, len } => {
                if head.len() > MOST_HEAD_BYTES || head.is_empty() {
                    ctx.fail(format!("a data-frame head of {} bytes", head.len()));
                }
                let Some(mut payload) = self.blobs.read(blob.0, at, len) else {
                    let held = self.blobs.describe(blob.0);
                    return ctx.fail(format!(
                        "bytes {at}+{len} of blob {} were to be sent; it holds {held}",
                        blob.0
                    ));
                };
                if self.forging {
                    payload.forge();
                }
                let hops = self.blobs.hops(blob.0);
                let data = Box::new(DataMessage { head, payload, hops });
                self.send_message(link.0, Message::Data(data), ctx);
            }
            Output::NewBlob { blob } => {
                if !self.blobs.create(blob.0) {
                    ctx.fail(format!("blob {} was started twice", blob.0));
                }
            }
            Output::DropBlob { blob } => {
                if !self.blobs.remove(blob.0) {
                    ctx.fail(format!("drop of blob {}, which is not there", blob.0));
                }
            }
            Output::Verify { blob, key, .. } => {
                let place = ctx.world.catalog.place(key);
                let ok = place
                    .is_some_and(|place| self.blobs.is_exactly(blob.0, ctx.world.catalog.content(place)));
                ctx.after(2_000, Event::Verified { blob: blob.0, ok });
            }
            Output::Deliver { request, blob, len, timing } => {
                let Some(place) = self.requests.remove(&request.0) else {
                    return ctx
                        .fail(format!("request {} was answered twice, or after its cancel", request.0));
                };
                let content = ctx.world.catalog.content(place);
                self.check_delivery(blob.0, len, content, ctx);
                if timing.http_bytes + timing.p2p_bytes != len {
                    let (http, p2p) = (timing.http_bytes, timing.p2p_bytes);
                    ctx.fail(format!("{len} bytes delivered, {http} over HTTP and {p2p} from peers"));
                }
                self.tally.delivered += len;
                self.tally.p2p_delivered += timing.p2p_bytes;
                let way = Way {
                    wanted_us: self.player.pending_since(request.0).unwrap_or(ctx.now_us),
                    asked_us: ctx.now_us.saturating_sub((timing.age + timing.total).as_micros()),
                    first_us: ctx.now_us.saturating_sub(
                        (timing.age + timing.total.saturating_sub(timing.first_byte)).as_micros(),
                    ),
                    hops: self.blobs.hops(blob.0),
                };
                self.tally.reached(&ctx.world.catalog, place, ctx.now_us, way);
                let loading = Some((len, timing.total.as_micros()));
                self.player.on_delivered(
                    ctx.now_us,
                    request.0,
                    loading,
                    &ctx.world.catalog,
                    &ctx.world.scenario.player,
                );
            }
            Output::Fail { request, why } => self.request_failed(request.0, &why, ctx),
            Output::Event(event) => self.observe(&event, ctx),
            Output::Wait(_) => {}
        }
    }

    /// The assertion that matters most: exactly the segment's bytes, each in its place.
    fn check_delivery(&mut self, blob: u32, len: u64, content: Run, ctx: &mut Ctx<'_>) {
        if len != u64::from(content.len) || !self.blobs.is_exactly(blob, content) {
            let held = self.blobs.describe(blob);
            self.tally.wrong += 1;
            // Where some are to be expected, they are counted.
            if ctx.world.scenario.expect.wrong_share > 0.0 {
                return;
            }
            ctx.fail(format!("wrong bytes: {len} bytes delivered for {content:?}, blob {blob} holds {held}"));
        }
    }

    /// Answers the engine between two of its outputs.
    fn answer(&mut self, input: Input, ctx: &mut Ctx<'_>) {
        let now = self.engine_now(ctx.now_us);
        if let Some(engine) = self.engine.as_mut() {
            engine.handle(now, input);
        }
    }

    /// Whoever sends wrong bytes announces their digest, as if fetched.
    fn forge_claim(&self, frame: Vec<u8>, ctx: &Ctx<'_>) -> Vec<u8> {
        let Ok(Frame::Claim(claim)) = decode(&frame, 4096) else { return frame };
        let Some(place) = ctx.world.catalog.place(claim.key) else { return frame };
        let mut content = ctx.world.catalog.content(place);
        content.resource |= FORGED;
        let own = self.engine.as_ref().map_or(claim.origin, |engine| origin_of(engine.peer_id()));
        encode(&Frame::Claim(Claim { digest: segment_digest(&blocks_of(content)), origin: own, ..claim }))
    }

    fn observe(&mut self, event: &EngineEvent, ctx: &mut Ctx<'_>) {
        match event {
            EngineEvent::Error { message, .. } => ctx.fail(format!("the engine reports an error: {message}")),
            EngineEvent::TrackerError { message, .. } if !ctx.world.hostile => {
                ctx.fail(format!("the tracker and the engine do not understand each other: {message}"));
            }
            EngineEvent::PeerClosed { peer, reason: CloseReason::Violation(what) } if !ctx.world.hostile => {
                ctx.fail(format!("honest peer {peer} was accused: {what}"));
            }
            EngineEvent::Fallback { reason, .. } => {
                *self.tally.fallbacks.entry(reason.clone()).or_default() += 1;
            }
            EngineEvent::SegmentLoaded { source, .. } => match source {
                SegmentSource::Http => self.tally.loaded[0] += 1,
                SegmentSource::P2p => self.tally.loaded[1] += 1,
                SegmentSource::Mixed => self.tally.loaded[2] += 1,
            },
            EngineEvent::PeerConnected { .. } => {
                self.tally.peers += 1;
                self.tally.first_peer_us.get_or_insert(ctx.now_us - self.tally.joined_us);
            }
            _ => {}
        }
    }

    fn open_socket(&mut self, tracker: TrackerId, url: &str, ctx: &mut Ctx<'_>) {
        if url != tracker_url(tracker.0) || tracker.0 >= ctx.world.scenario.tracker.count {
            return ctx.fail(format!("tracker {} is not at {url}", tracker.0));
        }
        self.next_socket += 1;
        let socket = self.next_socket;
        if self.sockets.insert(tracker.0, (socket, false)).is_some() {
            ctx.fail(format!("tracker {} was opened twice", tracker.0));
        }
        if self.offline {
            return ctx.after(5_000, Event::SocketDown { socket });
        }
        let actor = ctx.world.tracker(tracker.0);
        // TCP, TLS and the upgrade take three round trips; the last half of the third is the answer.
        let delay = ctx.delay_to(actor);
        ctx.send(actor, 5 * delay, Event::SocketOpen { socket });
    }

    fn send_socket(&mut self, tracker: TrackerId, text: String, ctx: &mut Ctx<'_>) {
        let Some(&(socket, true)) = self.sockets.get(&tracker.0) else {
            return ctx.fail(format!("a message for tracker {}, which is not open", tracker.0));
        };
        self.tally.tracker_messages += 1;
        let actor = ctx.world.tracker(tracker.0);
        let delay = ctx.delay_to(actor);
        if !self.offline {
            ctx.send(actor, delay, Event::SocketText { socket, text: text.into() });
        }
    }

    fn close_socket(&mut self, tracker: TrackerId, ctx: &mut Ctx<'_>) {
        let Some((socket, _)) = self.sockets.remove(&tracker.0) else {
            return ctx.fail(format!("close of tracker {}, which is not open", tracker.0));
        };
        let actor = ctx.world.tracker(tracker.0);
        let delay = ctx.delay_to(actor);
        ctx.send(actor, delay, Event::SocketDown { socket });
    }

    fn socket_tracker(&self, socket: u32) -> Option<u32> {
        self.sockets.iter().find(|(_, state)| state.0 == socket).map(|(&tracker, _)| tracker)
    }

    pub(crate) fn socket_up(&mut self, socket: u32, ctx: &mut Ctx<'_>) {
        let Some(tracker) = self.socket_tracker(socket).filter(|_| !self.offline) else { return };
        self.sockets.insert(tracker, (socket, true));
        self.feed(Input::TrackerUp { tracker: TrackerId(tracker) }, ctx);
    }

    pub(crate) fn socket_text(&mut self, socket: u32, text: String, ctx: &mut Ctx<'_>) {
        let Some(tracker) = self.socket_tracker(socket).filter(|_| !self.offline) else { return };
        self.feed(Input::TrackerText { tracker: TrackerId(tracker), text }, ctx);
    }

    pub(crate) fn socket_down(&mut self, socket: u32, why: &str, ctx: &mut Ctx<'_>) {
        let Some(tracker) = self.socket_tracker(socket) else { return };
        self.sockets.remove(&tracker);
        self.feed(Input::TrackerDown { tracker: TrackerId(tracker), why: why.to_owned() }, ctx);
    }

    /// The network went: sockets break, and trackers notice that later by themselves.
    pub(crate) fn break_sockets(&mut self, ctx: &mut Ctx<'_>) {
        let sockets: Vec<(u32, u32)> =
            self.sockets.iter().map(|(&tracker, state)| (tracker, state.0)).collect();
        for (tracker, socket) in sockets {
            self.forget_at_tracker(tracker, socket, ctx);
            ctx.after(2_000_000, Event::SocketDown { socket });
        }
    }

    fn forget_at_tracker(&self, tracker: u32, socket: u32, ctx: &mut Ctx<'_>) {
        // The tracker's pings find it out.
        let silence = 60_000_000 + (unit(ctx.world.seed, For::Faulted, &[u64::from(self.id)]) * 3e7) as u64;
        ctx.send(ctx.world.tracker(tracker), silence, Event::SocketDown { socket });
    }

    /// The page goes: everything must be let go.
    pub(crate) fn shut_down(&mut self, ctx: &mut Ctx<'_>) {
        if self.engine.is_none() {
            let open: Vec<u32> = self.fetches.keys().copied().collect();
            for fetch in open {
                self.stop_fetch(fetch, ctx);
            }
            return;
        }
        self.feed(Input::Shutdown, ctx);
        // The player's own loader may be at work for segments that the engine did not know.
        let plain: Vec<u32> = self.player.open_requests().collect();
        for request in plain {
            self.stop_plain(request, ctx);
        }
        let left = [
            ("downloads", self.fetches.len()),
            ("links", self.links.len()),
            ("sockets", self.sockets.len()),
            ("blobs", self.blobs.count()),
            ("unanswered requests", self.requests.len()),
        ];
        for (what, count) in left.into_iter().filter(|&(_, count)| count > 0) {
            ctx.fail(format!("{count} {what} left after shutdown"));
        }
        self.vanish(ctx);
    }

    /// Lets everything break as the network would, for what is still open.
    pub(crate) fn vanish(&mut self, ctx: &mut Ctx<'_>) {
        let silence = (ctx.world.scenario.ice.fail_after_s * 1e6) as u64;
        for (peer, link) in self.links.iter().filter(|link| link.up).filter_map(|link| link.peer) {
            ctx.send(peer, silence, Event::PeerLost { link });
        }
        for (&tracker, &(socket, _)) in &self.sockets {
            self.forget_at_tracker(tracker, socket, ctx);
        }
        let open: Vec<u32> = self.fetches.keys().copied().collect();
        for fetch in open {
            self.stop_fetch(fetch, ctx);
        }
    }

    /// Blobs have grown: they may not outgrow their bounds.
    pub(crate) fn check_blobs(&self, ctx: &mut Ctx<'_>) {
        let config = &ctx.world.config;
        let bound = config.loader.cache_bytes + config.limits.receive_bytes_total;
        if self.blobs.bytes() > bound {
            ctx.fail(format!("{} bytes in blobs, {bound} are allowed", self.blobs.bytes()));
        }
    }

    /// A send buffer has grown: it may not outgrow its bound.
    pub(crate) fn check_buffer(&self, buffered: u64, ctx: &mut Ctx<'_>) {
        let limits = &ctx.world.config.limits;
        let high = limits.send_buffer_high_bytes + u64::from(limits.max_data_message_bytes);
        // Control frames come on top.
        if buffered > high + 65_536 {
            ctx.fail(format!("{buffered} bytes in one send buffer, {high} are allowed"));
        }
    }

    /// Bounds on links, looked at once a second.
    pub(crate) fn check_links(&mut self, ctx: &mut Ctx<'_>) {
        if self.links_checked_us + 1_000_000 > ctx.now_us {
            return;
        }
        self.links_checked_us = ctx.now_us;
        let mut peers: Vec<u32> = self
            .links
            .iter()
            .filter(|link| link.up)
            .filter_map(|link| link.peer)
            .map(|peer| peer.0)
            .collect();
        peers.sort_unstable();
        let doubled = peers.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        self.tally.doubled_s = if doubled.is_some() { self.tally.doubled_s + 1 } else { 0 };
        // Two may be there until both sides have said hello.
        if let Some(peer) = doubled.filter(|_| self.tally.doubled_s == 10) {
            ctx.fail(format!("two links to viewer {peer} for 10 s"));
        }
    }
}
