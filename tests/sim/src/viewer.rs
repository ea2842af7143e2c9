//! One viewer: the system under test (an engine and its shell) between a player and the network, or the reference (the
//! same player with a plain loader).

use std::collections::BTreeMap;

use hlswarm::engine::{Engine, EngineSetup, FetchError, Input, Playhead, RequestFailure};
use hlswarm::id::RequestId;
use hlswarm::time::Time;

use crate::blobs::{Blobs, Payload};
use crate::draw::{For, seed_bytes, unit};
use crate::http::{Downlink, Fetches};
use crate::links::{Links, Uplink};
use crate::media::{Numbering, Place};
use crate::player::{Action, Player};
use crate::queue::Event;
use crate::scenario::FaultKind;
use crate::signed::EPOCH_UNIX_MS;
use crate::tally::{Tally, Way};
use crate::topology::wrong_by_ms;
use crate::world::{Ctx, Mode};

/// A viewer while it is there.
pub(crate) struct Viewer {
    pub(crate) id: u32,
    joined_us: u64,
    pub(crate) engine: Option<Engine>,
    pub(crate) player: Player,
    pub(crate) blobs: Blobs,
    pub(crate) links: Links,
    pub(crate) uplink: Uplink,
    pub(crate) downlink: Downlink,
    pub(crate) fetches: Fetches,
    pub(crate) next_plain: u32,
    /// Sockets by tracker: the number of the attempt, and whether it is open.
    pub(crate) sockets: BTreeMap<u32, (u32, bool)>,
    pub(crate) next_socket: u32,
    /// The player's requests that the engine has to answer.
    pub(crate) requests: BTreeMap<u32, Place>,
    /// Of the playlist seen last.
    numbering: Numbering,
    pub(crate) tally: Tally,
    pub(crate) send_low_bytes: u64,
    pub(crate) offline: bool,
    pub(crate) forging: bool,
    hidden: bool,
    asleep: bool,
    wake_us: Option<u64>,
    engine_armed_us: Option<u64>,
    player_armed_us: Option<u64>,
    retry_armed_us: u64,
    pub(crate) links_checked_us: u64,
    /// Ticks in a row after which the engine still asked to be woken at once.
    restless: u32,
}

/// A vanished or finished viewer leaves only this.
#[derive(Debug)]
pub(crate) struct Departed {
    pub vanished: bool,
}

/// So many ticks in a row that lead to no later deadline are a livelock.
const RESTLESS_TICKS: u32 = 50;

impl Viewer {
    pub(crate) fn join(id: u32, ctx: &mut Ctx<'_>) -> Viewer {
        let world = ctx.world;
        let config = if world.profile(id).consume_only { &world.config_consume_only } else { &world.config };
        let engine = (world.mode != Mode::Plain).then(|| {
            let mut config = config.clone();
            config.loader.use_p2p &= world.mode == Mode::P2p;
            Engine::new(EngineSetup {
                config,
                swarm_name: "https://cdn.example/master.m3u8".to_owned(),
                seed: seed_bytes(world.seed, For::EngineSeed, u64::from(id)),
                has_validator: world.has_validator,
            })
        });
        let mut viewer = Viewer {
            id,
            joined_us: ctx.now_us,
            engine,
            player: Player::new(ctx.now_us, &world.catalog, &world.scenario.player),
            blobs: Blobs::default(),
            links: Links::default(),
            uplink: Uplink::default(),
            downlink: Downlink::default(),
            fetches: Fetches::new(),
            next_plain: 0,
            sockets: BTreeMap::new(),
            next_socket: 0,
            requests: BTreeMap::new(),
            numbering: world.catalog.numbering_at(0),
            tally: Tally::new(id, ctx.now_us),
            send_low_bytes: config.limits.send_buffer_low_bytes,
            offline: false,
            forging: false,
            hidden: false,
            asleep: false,
            wake_us: None,
            engine_armed_us: None,
            player_armed_us: None,
            retry_armed_us: 0,
            links_checked_us: 0,
            restless: 0,
        };
        let unix_ms = EPOCH_UNIX_MS as i64 + (ctx.now_us / 1000) as i64 + wrong_by_ms(world, id);
        viewer.feed(Input::Clock { unix_ms: unix_ms as u64 }, ctx);
        viewer.feed(Input::Tick, ctx);
        viewer.settle(ctx);
        viewer
    }

    /// The time as the engine knows it.
    pub(crate) fn engine_now(&self, now_us: u64) -> Time {
        Time::from_micros(now_us - self.joined_us)
    }

    /// Gives the engine an input and runs what it wants done.
    pub(crate) fn feed(&mut self, input: Input, ctx: &mut Ctx<'_>) {
        let now = self.engine_now(ctx.now_us);
        let Some(engine) = self.engine.as_mut() else { return };
        ctx.log(|| match &input {
            Input::Control { link, frame } => format!("< link {} {}", link.0, show_frame(frame)),
            input => format!("< {input:?}"),
        });
        engine.handle(now, input);
        self.drain(ctx);
    }

    /// Notes when the engine wants to be woken.
    pub(crate) fn set_wake(&mut self, at: Option<Time>) {
        self.wake_us = at.map(|at| self.joined_us.saturating_add(at.as_micros()));
    }

    pub(crate) fn on_event(&mut self, event: Event, ctx: &mut Ctx<'_>) {
        match event {
            Event::EngineTimer => self.engine_timer(ctx),
            Event::PlayerTimer => {
                if self.player_armed_us == Some(ctx.now_us) {
                    self.player_armed_us = None;
                }
            }
            Event::Playlist { track, rendition } => self.playlist(track, rendition, ctx),
            Event::UplinkDone => self.uplink_done(ctx),
            Event::DownlinkDone => self.downlink_done(ctx),
            Event::Retry => {
                self.pump_uplink(ctx);
                self.pump_downlink(ctx);
            }
            Event::Described { link } => self.described(link, ctx),
            Event::LateCandidates { link } => self.late_candidates(link, ctx),
            Event::Connected { link } => self.connected(link, ctx),
            Event::GiveUp { link } => self.give_up(link, ctx),
            Event::PeerConnected { link, peer, peer_link } => {
                self.peer_connected(link, (peer, peer_link), ctx)
            }
            Event::Wire { link, message } => self.arrived(link, message, ctx),
            Event::Ack { link, bytes } => self.acked(link, bytes, ctx),
            Event::PeerClosed { link } => {
                self.lose_link(link, hlswarm::engine::LinkCloseCause::Remote, ctx);
            }
            Event::PeerLost { link } => {
                let cause = hlswarm::engine::LinkCloseCause::Failed("no consent".into());
                self.lose_link(link, cause, ctx);
            }
            Event::Head { fetch, head } => self.response(fetch, head, ctx),
            Event::Grant { fetch, bytes } => self.granted(fetch, bytes, ctx),
            Event::Broken { fetch } => {
                self.fail_fetch(fetch, FetchError::Network("failed to fetch".into()), ctx)
            }
            Event::NoAnswer { fetch } => self.no_answer(fetch, ctx),
            Event::Verified { blob, ok } => {
                self.feed(Input::Verified { blob: hlswarm::id::BlobId(blob), ok }, ctx);
            }
            Event::SocketUp { socket } => self.socket_up(socket, ctx),
            Event::SocketText { socket, text } => self.socket_text(socket, text.into(), ctx),
            Event::SocketDown { socket } => self.socket_down(socket, "closed (1006)", ctx),
            Event::FaultBegins(index) => self.fault(usize::from(index), true, ctx),
            Event::FaultEnds(index) => self.fault(usize::from(index), false, ctx),
            Event::Seek(number) => self.seek(number, ctx),
            other => ctx.fail(format!("an event that is not for viewers: {other:?}")),
        }
        self.settle(ctx);
        self.check_links(ctx);
    }

    fn engine_timer(&mut self, ctx: &mut Ctx<'_>) {
        if self.engine_armed_us != Some(ctx.now_us) {
            return;
        }
        self.engine_armed_us = None;
        if self.asleep || self.wake_us.is_none_or(|at| at > ctx.now_us) {
            return;
        }
        self.feed(Input::Tick, ctx);
        self.restless = if self.wake_us.is_some_and(|at| at <= ctx.now_us) { self.restless + 1 } else { 0 };
        if self.restless == RESTLESS_TICKS {
            ctx.fail(format!(
                "livelock: {RESTLESS_TICKS} ticks in a row were answered with a deadline that has passed"
            ));
        }
    }

    /// Lets the player act until it has nothing to do, and sets both timers.
    pub(crate) fn settle(&mut self, ctx: &mut Ctx<'_>) {
        let mut actions = Vec::new();
        let mut due = u64::MAX;
        for round in 0.. {
            if round == 100 {
                return ctx.fail("the player and the engine answer each other without end".to_owned());
            }
            due = self.player.step(ctx.now_us, &ctx.world.catalog, &ctx.world.scenario.player, &mut actions);
            if actions.is_empty() {
                break;
            }
            for action in std::mem::take(&mut actions) {
                self.act(action, ctx);
            }
        }
        if due != u64::MAX && self.player_armed_us.is_none_or(|armed| armed > due) {
            self.player_armed_us = Some(due);
            ctx.after(due - ctx.now_us, Event::PlayerTimer);
        }
        if let Some(wake) = self.wake_us.filter(|_| !self.asleep) {
            // Browser timers have a resolution of a millisecond, and of a second in hidden pages.
            let grain_us = if self.hidden { 1_000_000 } else { 1_000 };
            let at = wake.max(ctx.now_us + 1).div_ceil(grain_us) * grain_us;
            if self.engine_armed_us.is_none_or(|armed| armed > at || armed <= ctx.now_us) {
                self.engine_armed_us = Some(at);
                ctx.after(at - ctx.now_us, Event::EngineTimer);
            }
        }
    }

    /// Wakes the pumps at `at_us`, once.
    pub(crate) fn arm_retry(&mut self, at_us: u64, ctx: &mut Ctx<'_>) {
        if self.retry_armed_us <= ctx.now_us || self.retry_armed_us > at_us {
            self.retry_armed_us = at_us;
            ctx.after(at_us - ctx.now_us, Event::Retry);
        }
    }

    fn act(&mut self, action: Action, ctx: &mut Ctx<'_>) {
        match action {
            Action::Want { request, place } => {
                self.tally.first.get_or_insert(place);
                if self.engine.is_none() {
                    return self.plain_fetch(request, place, ctx);
                }
                self.requests.insert(request, place);
                let key = ctx.world.catalog.key(place, self.numbering);
                // As the page does: how soon it is needed depends on what is buffered, which may just have changed.
                self.report(ctx);
                self.feed(Input::Want { request: RequestId(request), key }, ctx);
            }
            Action::Cancel { request } => self.cancel(request, ctx),
            Action::LoadPlaylist { track, rendition } => {
                let delay = ctx.delay_to(ctx.world.origin());
                let latency = ctx.world.scenario.origin.latency_ms;
                let words = [u64::from(self.id), u64::from(self.tally.playlists)];
                self.tally.playlists += 1;
                let pause =
                    2 * delay + (latency.draw(ctx.world.seed, For::OriginLatency, &words) * 1000.0) as u64;
                // The first comes after the manifest.
                let pause = if self.player.seen.startup_us.is_none() { 2 * pause } else { pause };
                ctx.after(pause.max(1), Event::Playlist { track, rendition });
            }
            Action::Report => self.report(ctx),
        }
    }

    /// Tells the engine where the player is.
    fn report(&mut self, ctx: &mut Ctx<'_>) {
        let playhead = Playhead {
            position_ms: (self.player.position_us() / 1000) as i64,
            rate_milli: self.player.rate_milli(),
            buffered_ms: (self.player.ahead_us() / 1000) as u32,
        };
        self.feed(Input::Playhead(playhead), ctx);
    }

    pub(crate) fn cancel(&mut self, request: u32, ctx: &mut Ctx<'_>) {
        self.stop_plain(request, ctx);
        if self.requests.remove(&request).is_some() {
            self.feed(Input::Cancel { request: RequestId(request) }, ctx);
        }
    }

    fn playlist(&mut self, track: u8, rendition: u8, ctx: &mut Ctx<'_>) {
        if self.offline || crate::origin::refuses_playlists(ctx.world, self.id, ctx.now_us) {
            return ctx.after(1_000_000, Event::Playlist { track, rendition });
        }
        let catalog = &ctx.world.catalog;
        let asked_us = ctx.now_us - ctx.delay_to(ctx.world.origin());
        let moment_us = crate::origin::playlist_moment_us(ctx.world, asked_us);
        let window = catalog.window_at(moment_us);
        self.numbering = catalog.numbering_at(moment_us);
        if self.engine.is_some() {
            self.feed(Input::Timeline(catalog.timeline(rendition, window, self.numbering)), ctx);
            if let Some(bytes) = ctx.world.signed.as_ref().map(|signed| signed.sidecar(rendition, window)) {
                self.feed(Input::Sidecar { bytes }, ctx);
            }
        }
        self.player.on_playlist(ctx.now_us, track, rendition, window, catalog, &ctx.world.scenario.player);
    }

    /// A download of the player's own loader is complete. It was fetched from the origin for this very segment.
    pub(crate) fn plain_done(&mut self, request: u32, place: Place, ctx: &mut Ctx<'_>) {
        let size = u64::from(ctx.world.catalog.size(place));
        self.tally.delivered += size;
        let started = self.player.pending_since(request);
        let since = started.unwrap_or(ctx.now_us);
        let way = Way { wanted_us: since, asked_us: since, first_us: since, hops: 0 };
        self.tally.reached(&ctx.world.catalog, place, ctx.now_us, way);
        let loading = started.map(|since| (size, ctx.now_us - since));
        self.player.on_delivered(
            ctx.now_us,
            request,
            loading,
            &ctx.world.catalog,
            &ctx.world.scenario.player,
        );
    }

    /// A request failed: the player's retry policy decides.
    pub(crate) fn player_failed(&mut self, request: u32, error: &FetchError, ctx: &Ctx<'_>) {
        let again = match error {
            FetchError::Status(status) => !(400..500).contains(status),
            FetchError::Network(_) | FetchError::Timeout => true,
        };
        self.player.on_failed(ctx.now_us, request, again);
    }

    pub(crate) fn request_failed(&mut self, request: u32, why: &RequestFailure, ctx: &mut Ctx<'_>) {
        let Some(place) = self.requests.remove(&request) else {
            return ctx.fail(format!("request {request} was answered twice, or after its cancel: {why:?}"));
        };
        match why {
            RequestFailure::UnknownSegment => {
                // Fail open: the player's own loader takes it.
                self.tally.unknown += 1;
                self.plain_fetch(request, place, ctx);
            }
            RequestFailure::Http(error) => self.player_failed(request, error, ctx),
            RequestFailure::Refused | RequestFailure::Unsigned | RequestFailure::Shutdown => {
                self.player.on_failed(ctx.now_us, request, false);
            }
        }
    }

    pub(crate) fn write_blob(&mut self, blob: u32, at: u64, payload: &Payload, ctx: &mut Ctx<'_>) {
        if let Err(error) = self.blobs.write(blob, at, payload) {
            ctx.fail(format!("a write that does not fit: {error}"));
        }
        self.tally.most_bytes = self.tally.most_bytes.max(self.blobs.bytes());
        self.check_blobs(ctx);
    }

    fn seek(&mut self, number: u8, ctx: &mut Ctx<'_>) {
        let target = unit(ctx.world.seed, For::SeekTarget, &[u64::from(self.id), u64::from(number)]);
        let mut actions = Vec::new();
        self.player.seek(ctx.now_us, target, &ctx.world.catalog, &mut actions);
        for action in actions {
            self.act(action, ctx);
        }
    }

    fn fault(&mut self, index: usize, begins: bool, ctx: &mut Ctx<'_>) {
        let Some(fault) = ctx.world.scenario.fault.get(index) else { return };
        match fault.what {
            FaultKind::Offline => self.go_offline(begins, ctx),
            FaultKind::Sleep => {
                if begins {
                    self.player.suspend(ctx.now_us, true, &ctx.world.catalog);
                    self.asleep = true;
                    self.go_offline(true, ctx);
                } else {
                    self.asleep = false;
                    self.player.suspend(ctx.now_us, false, &ctx.world.catalog);
                    self.go_offline(false, ctx);
                    self.feed(Input::Tick, ctx);
                }
            }
            FaultKind::Hidden => {
                self.hidden = begins;
                self.feed(Input::Visibility { hidden: begins }, ctx);
            }
            FaultKind::Metered => self.feed(Input::Network { online: true, metered: begins }, ctx),
            FaultKind::P2pOff => {
                self.feed(Input::UseP2p { enabled: !begins }, ctx);
                if begins && !(self.links.len() == 0 && self.sockets.is_empty()) {
                    ctx.fail("peer-to-peer was switched off and links or sockets are still open".to_owned());
                }
            }
            FaultKind::Corrupt => self.forging = begins,
            _ => {}
        }
    }

    /// The network goes or comes. What was on the way waits, as transports send again; what takes too long breaks.
    fn go_offline(&mut self, offline: bool, ctx: &mut Ctx<'_>) {
        self.offline = offline;
        if offline {
            if !self.asleep {
                self.feed(Input::Network { online: false, metered: false }, ctx);
            }
            let fetches: Vec<u32> = self.fetches.keys().copied().collect();
            for fetch in fetches {
                self.fail_fetch(fetch, FetchError::Network("network changed".into()), ctx);
            }
            self.break_sockets(ctx);
            let silence = (ctx.world.scenario.ice.fail_after_s * 1e6) as u64;
            let links = self.links.ids().to_vec();
            for link in links {
                ctx.after(silence, Event::PeerLost { link });
                if let Some((peer, peer_link)) = self.links.get(link).and_then(|state| state.peer) {
                    ctx.send(peer, silence, Event::PeerLost { link: peer_link });
                }
            }
        } else {
            self.feed(Input::Network { online: true, metered: false }, ctx);
            self.pump_uplink(ctx);
            self.pump_downlink(ctx);
        }
    }

    /// The viewer goes. What is left behind is checked.
    pub(crate) fn leave(mut self, vanish: bool, ctx: &mut Ctx<'_>) -> (Departed, Tally) {
        self.player.finish(ctx.now_us, &ctx.world.catalog);
        if let Some(engine) = &self.engine {
            let stats = engine.stats();
            self.tally.close(&stats);
        }
        if vanish {
            self.vanish(ctx);
        } else {
            self.shut_down(ctx);
        }
        self.tally.left_us = ctx.now_us;
        self.tally.seen = self.player.seen.clone();
        (Departed { vanished: vanish }, self.tally)
    }
}

/// A control frame, for the log.
pub(crate) fn show_frame(frame: &[u8]) -> String {
    match hlswarm::wire::decode(frame, u32::MAX) {
        Ok(frame) => format!("{frame:?}"),
        Err(error) => format!("{frame:?} ({error})"),
    }
}
