//! The engine: one [`Input`], one [`Output`].
//!
//! [`Engine`] owns the machines (timeline, scheduler state, swarm, tracker sessions, cache), routes inputs to them
//! and folds their deadlines. It holds no policy: [`schedule::policy`](crate::schedule::policy) decides where a
//! segment comes from, [`planner`](self) asks it and carries its choices out.
//!
//! # Order of calls
//! 1. [`Engine::handle`] (or `place_*` for segment bytes) for each thing that happened, with the time.
//! 2. [`Engine::poll_output`] until [`Output::Wait`]; run each output in order.
//! 3. [`Engine::handle`] with [`Input::Tick`] when the deadline of that `Wait` has come.

mod digesting;
mod event;
mod fetching;
mod finishing;
mod guard;
#[cfg(feature = "interop")]
mod interop;
mod io;
mod peering;
mod planner;
mod player;
mod queue;
mod settling;
#[cfg(feature = "signed")]
mod signed;
mod sources;
mod store;
mod transfers;
#[cfg(not(feature = "signed"))]
mod unsigned;

pub use event::{
    CacheStats, CloseReason, Event, IntegrityStats, PeerStats, SegmentSource, Stats, TrackerState,
    TrackerStats, UploadState,
};
pub use io::{
    DeliveryTiming, FetchError, HttpHead, Input, LinkCloseCause, Output, Placement, Playhead, RequestFailure,
    SegmentInfo, TimelineUpdate, TrackKind,
};

pub use crate::signal::relayed;

use crate::sorted::SortedMap;
use std::collections::VecDeque;

use crate::random::ChaCha8Rng;
use rand::SeedableRng;

use crate::cache::Cache;
use crate::config::Config;
use crate::id::{BlobId, FetchId, Id20, LinkId, PeerId, SegmentKey, SwarmId, TrackId};
use crate::schedule::downloads::Downloads;
use crate::schedule::throughput::RateEstimate;
use crate::signal::Signal;
use crate::swarm::{Swarm, SwarmNotice};
use crate::time::{Deadline, Span, Time, Wake};
use crate::timeline::Timeline;
use crate::wire::GoodbyeReason;

use finishing::Kept;
use guard::Guard;
use player::Player;

/// What an engine is made from.
#[derive(Clone, Debug)]
pub struct EngineSetup {
    /// The options.
    pub config: Config,
    /// What names the swarm: `segments.swarmId`, or the manifest URL without its query.
    pub swarm_name: String,
    /// Seeds all randomness of the engine. Two engines with equal seeds and inputs give equal outputs.
    pub seed: [u8; 32],
    /// Whether the page has a segment validator, so that [`Output::Verify`] is wanted.
    pub has_validator: bool,
}

/// One viewer's engine.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    has_validator: bool,
    rng: ChaCha8Rng,
    own: PeerId,
    swarm_id: SwarmId,
    now: Time,
    timeline: Timeline,
    cache: Cache,
    downloads: Downloads,
    swarm: Swarm,
    signal: Signal,
    player: Player,
    guard: Guard,
    #[cfg(feature = "interop")]
    interop: interop::Interop,
    /// What the page is told of cached segments, by key.
    kept: SortedMap<SegmentKey, Kept>,
    /// Segments that HTTP failed for, until when HTTP is not tried again ahead of need, and why it failed.
    failed: SortedMap<SegmentKey, (Time, FetchError)>,
    /// Until when the origin is not asked for a `Range`, since it refused one.
    no_ranges_until: Time,
    /// Since when each segment of the queue has been missing.
    missing_since: SortedMap<SegmentKey, Time>,
    /// Peers that lately could not bring a segment, and until when they are not asked for it again.
    shunned: SortedMap<(SegmentKey, LinkId), Time>,
    http_rate: RateEstimate,
    /// Measured bits per second of media, by track: what its segments had, over their duration.
    media_rates: SortedMap<TrackId, RateEstimate>,
    outbox: VecDeque<Output>,
    notices: Vec<SwarmNotice>,
    next_fetch: u32,
    next_blob: u32,
    /// Something changed that the planner must look at before the next wait.
    dirty: bool,
    plan_at: Option<Time>,
    /// Whether a segment in the queue had no source after the last pass.
    is_short: bool,
    next_draw: Time,
    /// The start-up mode of the settings, in which HTTP is forbidden, is over.
    initial_mode_over: bool,
    /// Since when a peer has been connected, or none.
    company_since: Time,
    online: bool,
    metered: bool,
    /// Whether peers are in use: they are switched on, and the user agrees where that is needed.
    p2p_on: bool,
    switched_on: bool,
    consented: bool,
    started: bool,
    shut_down: bool,
    totals: Totals,
}

/// Bytes counted since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    http_bytes: u64,
    p2p_bytes: u64,
    wasted_bytes: u64,
    /// Received by earlier engines of the same page.
    carried_bytes: u64,
}

impl Engine {
    /// An engine that has not done anything yet. It begins with its first input.
    pub fn new(setup: EngineSetup) -> Engine {
        let EngineSetup { config, swarm_name, seed, has_validator } = setup;
        let mut rng = ChaCha8Rng::from_seed(seed);
        let own = new_peer_id(&mut rng);
        let swarm_id = match &config.segments.swarm_secret {
            Some(secret) => SwarmId::from_secret_name(secret, &swarm_name),
            None => SwarmId::from_name(&swarm_name),
        };
        Engine {
            timeline: Timeline::new(&config.limits),
            cache: Cache::new(&config.loader),
            swarm: Swarm::new(&config, swarm_id, own),
            signal: Signal::new(&config, swarm_id, own),
            guard: Guard::new(&config),
            p2p_on: config.loader.use_p2p && !config.loader.consent_required,
            switched_on: config.loader.use_p2p,
            consented: !config.loader.consent_required,
            metered: false,
            config,
            has_validator,
            rng,
            own,
            swarm_id,
            now: Time::ZERO,
            downloads: Downloads::default(),
            player: Player::default(),
            #[cfg(feature = "interop")]
            interop: interop::Interop::default(),
            kept: SortedMap::new(),
            failed: SortedMap::new(),
            no_ranges_until: Time::ZERO,
            missing_since: SortedMap::new(),
            shunned: SortedMap::new(),
            http_rate: RateEstimate::default(),
            media_rates: SortedMap::new(),
            outbox: VecDeque::new(),
            notices: Vec::new(),
            next_fetch: 0,
            next_blob: 0,
            dirty: false,
            plan_at: None,
            is_short: false,
            next_draw: Time::ZERO,
            initial_mode_over: false,
            company_since: Time::ZERO,
            online: true,
            started: false,
            shut_down: false,
            totals: Totals::default(),
        }
    }

    /// This viewer's id on the tracker.
    pub fn peer_id(&self) -> PeerId {
        self.own
    }

    /// The swarm.
    pub fn swarm_id(&self) -> SwarmId {
        self.swarm_id
    }

    /// Counts bytes that engines before this one received and sent for the same page, so that the bounds on uploads
    /// hold for all of them. To be called before the first input.
    pub fn carry_over(&mut self, received_bytes: u64, uploaded_bytes: u64) {
        self.totals.carried_bytes = received_bytes;
        self.swarm.carry_uploaded(uploaded_bytes);
        self.count_received();
    }

    /// Takes in one thing that happened at `now`. Times that run backwards are taken as the latest one seen.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        if self.shut_down {
            return self.handle_after_shutdown(input);
        }
        self.start_once();
        #[cfg(feature = "interop")]
        let Some(input) = self.interop_input(input) else { return self.run_timers() };
        match input {
            Input::Tick => {}
            Input::Timeline(update) => self.timeline_updated(update),
            Input::Playhead(playhead) => self.playhead_moved(playhead),
            Input::Want { request, key } => self.want(request, key),
            Input::Cancel { request } => self.cancel_want(request),
            Input::FetchOpened { fetch, head } => self.fetch_opened(fetch, head),
            Input::FetchDone { fetch } => self.fetch_done(fetch),
            Input::FetchFailed { fetch, error } => self.fetch_failed(fetch, error),
            Input::Verified { blob, ok } => self.verified(blob, ok),
            Input::Digested { ask, digest } => self.digested(ask, digest),
            #[cfg(feature = "signed")]
            Input::Sidecar { bytes } => self.sidecar(&bytes),
            #[cfg(feature = "signed")]
            Input::SignatureChecked { check, ok } => self.signature_checked(check, ok),
            Input::Clock { unix_ms } => {
                self.guard.epoch_unix_ms = Some(unix_ms.saturating_sub(self.now.as_millis()));
            }
            Input::TrackerToken { token } => self.signal.set_token(self.now, token),
            Input::Network { online, metered } => self.network_changed(online, metered),
            Input::Visibility { hidden } => self.hide(hidden),
            Input::UseP2p { enabled } => self.use_p2p(enabled, self.consented),
            Input::Consent { given } => self.use_p2p(self.switched_on, given),
            Input::Shutdown => self.shutdown(),
            other => self.peering_input(other),
        }
        self.run_timers();
    }

    /// The next thing for the shell to do; [`Output::Wait`] when there is nothing more for now.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.next_output() {
            return output;
        }
        if self.dirty && !self.shut_down {
            self.dirty = false;
            self.plan();
            if let Some(output) = self.next_output() {
                return output;
            }
        }
        Output::Wait(self.next_deadline())
    }

    #[cfg(not(feature = "interop"))]
    fn next_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    #[cfg(feature = "interop")]
    fn next_output(&mut self) -> Option<Output> {
        while let Some(output) = self.outbox.pop_front() {
            let output = self.interop_output(output);
            if output.is_some() {
                return output;
            }
        }
        None
    }

    /// A snapshot for the page.
    pub fn stats(&self) -> Stats {
        let (peer_list, uploaded_bytes) = self.swarm.stats();
        Stats {
            http_bytes: self.totals.http_bytes,
            p2p_bytes: self.totals.p2p_bytes,
            uploaded_bytes,
            wasted_bytes: self.totals.wasted_bytes,
            peers: peer_list.len(),
            peer_list,
            swarm_size: self.viewers().unwrap_or(0),
            cache: CacheStats {
                segments: self.cache.len(),
                bytes: self.cache.bytes(),
                budget_bytes: self.config.loader.cache_bytes,
            },
            trackers: self.signal.stats(),
            http_downloads: self.downloads.http_count(),
            p2p_downloads: self.downloads.p2p_count(),
            http_rate_bps: self.http_rate.bps().unwrap_or(0),
            p2p_enabled: self.p2p_on,
            integrity: self.guard.stats,
            awaits_consent: self.switched_on && !self.consented,
            upload_state: self.swarm.upload_state(),
            upload_left_bytes: self.swarm.upload_left_bytes(),
        }
    }

    fn start_once(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        self.company_since = self.now;
        self.next_draw = self.now + self.draw_interval();
        for message in self.config.warnings() {
            self.outbox.push_back(Output::Event(Event::Error { message, fatal: false }));
        }
        if self.p2p_on {
            self.start_signal();
        }
    }

    fn draw_interval(&self) -> Span {
        Span::from_millis(self.config.loader.http_download_probability_interval)
    }

    /// Lets every machine whose time has come do its work.
    fn run_timers(&mut self) {
        self.tick_peering();
        #[cfg(feature = "interop")]
        self.tick_interop();
        self.expire_cache();
        if self.plan_at.is_some_and(|at| at <= self.now) {
            self.dirty = true;
        }
    }

    fn next_deadline(&self) -> Option<Deadline> {
        if self.shut_down {
            return None;
        }
        [
            self.plan_at.map(|at| Deadline::new(at, Wake::Segment)),
            self.cache.next_expiry().map(|at| Deadline::new(at, Wake::Cache)),
            self.swarm.next_deadline(),
            self.signal.next_deadline(),
            #[cfg(feature = "interop")]
            self.interop_deadline(),
        ]
        .into_iter()
        .fold(None, Deadline::earliest)
    }

    /// Viewers of the manifest as the trackers count them, ourselves included.
    #[cfg(not(feature = "interop"))]
    fn viewers(&self) -> Option<u32> {
        self.signal.swarm_size()
    }

    fn network_changed(&mut self, online: bool, metered: bool) {
        if metered != self.metered {
            self.metered = metered;
            self.allow_sharing(!metered || self.config.loader.upload_on_metered);
        }
        if online == self.online {
            return;
        }
        self.online = online;
        self.dirty = true;
        self.signal_network(online);
    }

    fn use_p2p(&mut self, switched_on: bool, consented: bool) {
        self.switched_on = switched_on;
        self.consented = consented;
        let enabled = switched_on && consented;
        if enabled == self.p2p_on {
            return;
        }
        self.p2p_on = enabled;
        self.company_since = self.now;
        if enabled {
            self.start_signal();
        } else {
            self.stop_peering(GoodbyeReason::Leaving);
        }
        self.dirty = true;
    }

    fn shutdown(&mut self) {
        self.stop_peering(GoodbyeReason::Leaving);
        self.drop_everything();
        self.shut_down = true;
        self.dirty = false;
        self.plan_at = None;
    }

    fn handle_after_shutdown(&mut self, input: Input) {
        if let Input::Want { request, .. } = input {
            self.outbox.push_back(Output::Fail { request, why: RequestFailure::Shutdown });
        }
    }

    fn new_fetch(&mut self) -> FetchId {
        self.next_fetch += 1;
        FetchId(self.next_fetch)
    }

    fn new_blob(&mut self) -> BlobId {
        self.next_blob += 1;
        let blob = BlobId(self.next_blob);
        self.outbox.push_back(Output::NewBlob { blob });
        blob
    }
}

/// The first eight characters of every peer id: client and version, in the manner of BitTorrent (BEP 20).
const PEER_ID_PREFIX: &[u8; 8] = b"-HS0100-";

fn new_peer_id(rng: &mut ChaCha8Rng) -> PeerId {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = [0; 20];
    id[..8].copy_from_slice(PEER_ID_PREFIX);
    for place in &mut id[8..] {
        *place = LETTERS[rng.below(LETTERS.len() as u64) as usize];
    }
    Id20(id)
}
