//! HTTP downloads of a viewer, and the downlink that they share with the links.

use std::collections::{BTreeMap, VecDeque};

use hlswarm::engine::{FetchError, HttpHead, Input, Placement};
use hlswarm::id::{ByteRange, FetchId};

use crate::blobs::Payload;
use crate::links::loss_limit;
use crate::media::{Place, Run};
use crate::queue::{Event, ResponseHead};
use crate::viewer::Viewer;
use crate::world::Ctx;

/// What shares the downlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Fetch(u32),
    Link(u32),
}

/// The line towards the viewer, shared fairly by downloads and links, a piece at a time.
#[derive(Debug, Default)]
pub(crate) struct Downlink {
    busy: Option<(Flow, u32)>,
    pub(crate) ring: VecDeque<Flow>,
}

/// One download.
#[derive(Debug)]
pub(crate) struct Fetch {
    place: Place,
    head: Option<Box<ResponseHead>>,
    taken: u32,
    granted: u32,
    uncredited: u32,
    next_us: u64,
    /// The player's request that this download answers without an engine.
    plain: Option<u32>,
}

pub(crate) type Fetches = BTreeMap<u32, Fetch>;

/// Ids from here on are downloads of the player's own loader.
const PLAIN: u32 = 1 << 31;
/// `maxTimeToFirstByteMs` of hls.js.
const FIRST_BYTE_US: u64 = 10_000_000;
/// A limited download is credited in steps of this size.
const CREDIT_BYTES: u32 = 65_536;

impl Viewer {
    /// Sends a request.
    pub(crate) fn start_fetch(
        &mut self,
        fetch: u32,
        place: Place,
        resource: u32,
        range: Option<ByteRange>,
        plain: Option<u32>,
        ctx: &mut Ctx<'_>,
    ) {
        let state = Fetch { place, head: None, taken: 0, granted: 0, uncredited: 0, next_us: 0, plain };
        if self.fetches.insert(fetch, state).is_some() {
            ctx.fail(format!("download {fetch} was started twice"));
        }
        self.tally.requests += 1;
        if plain.is_some() {
            ctx.after(FIRST_BYTE_US, Event::NoAnswer { fetch });
        }
        if self.offline {
            return ctx.after(5_000, Event::Broken { fetch });
        }
        let origin = ctx.world.origin();
        let delay = ctx.delay_to(origin);
        ctx.send(origin, delay, Event::Request { fetch, resource, range: range.map(Box::new) });
    }

    /// The player's own loader, without an engine or for a segment that the engine does not know.
    pub(crate) fn plain_fetch(&mut self, request: u32, place: Place, ctx: &mut Ctx<'_>) {
        let content = ctx.world.catalog.content(place);
        let whole = ctx.world.catalog.resource_len(content.resource) == Some(content.len);
        let start = u64::from(content.start);
        let range = (!whole).then(|| ByteRange { start, end: start + u64::from(content.len) });
        self.next_plain += 1;
        self.start_fetch(PLAIN | self.next_plain, place, content.resource, range, Some(request), ctx);
    }

    /// Stops a download; bytes on the way still come.
    pub(crate) fn stop_fetch(&mut self, fetch: u32, ctx: &mut Ctx<'_>) -> bool {
        let Some(state) = self.fetches.remove(&fetch) else { return false };
        let on_the_way = state.granted.saturating_sub(state.taken);
        let rate = ctx.world.profile(self.id).down_bytes_per_s;
        let origin = ctx.world.origin();
        let delay = ctx.delay_to(origin);
        // What leaves the origin before the abort reaches it was served as well.
        let late = ((rate * delay as f64 / 1e6) as u32).min(on_the_way);
        self.tally.http(state.place, late);
        ctx.send(origin, delay, Event::Abort { fetch });
        true
    }

    /// Stops the downloads of the player's own loader for a request.
    pub(crate) fn stop_plain(&mut self, request: u32, ctx: &mut Ctx<'_>) {
        let found = self.fetches.iter().find(|(_, state)| state.plain == Some(request)).map(|(&id, _)| id);
        if let Some(fetch) = found {
            self.stop_fetch(fetch, ctx);
        }
    }

    pub(crate) fn no_answer(&mut self, fetch: u32, ctx: &mut Ctx<'_>) {
        if self.fetches.get(&fetch).is_some_and(|state| state.head.is_none()) {
            self.fail_fetch(fetch, FetchError::Timeout, ctx);
        }
    }

    pub(crate) fn response(&mut self, fetch: u32, head: Box<ResponseHead>, ctx: &mut Ctx<'_>) {
        if self.offline {
            return;
        }
        let (me, origin) = (ctx.world.profile(self.id), ctx.world.origin());
        let Some(state) = self.fetches.get_mut(&fetch) else { return };
        if !(200..300).contains(&head.status) {
            return self.fail_fetch(fetch, FetchError::Status(head.status), ctx);
        }
        let mut head = head;
        if let Some(limit) = loss_limit(2 * ctx.delay_to(origin), me.loss) {
            head.bytes_per_s = Some(head.bytes_per_s.map_or(limit, |rate| rate.min(limit)));
        }
        let body = u64::from(head.body.end - head.body.start);
        let said = HttpHead {
            status: head.status,
            body_bytes: head.says_length.then_some(body),
            content_range: head.content_range,
        };
        state.granted += head.granted;
        state.head = Some(head);
        let plain = state.plain.is_some();
        if !plain {
            self.feed(Input::FetchOpened { fetch: FetchId(fetch), head: said }, ctx);
        }
        self.downlink.ring.push_back(Flow::Fetch(fetch));
        self.pump_downlink(ctx);
    }

    pub(crate) fn granted(&mut self, fetch: u32, bytes: u32, ctx: &mut Ctx<'_>) {
        let Some(state) = self.fetches.get_mut(&fetch) else { return };
        state.granted += bytes;
        if !self.downlink.ring.contains(&Flow::Fetch(fetch)) {
            self.downlink.ring.push_back(Flow::Fetch(fetch));
        }
        self.pump_downlink(ctx);
    }

    /// A download failed.
    pub(crate) fn fail_fetch(&mut self, fetch: u32, error: FetchError, ctx: &mut Ctx<'_>) {
        let Some(state) = self.fetches.remove(&fetch) else { return };
        match state.plain {
            None => self.feed(Input::FetchFailed { fetch: FetchId(fetch), error }, ctx),
            Some(request) => self.player_failed(request, &error, ctx),
        }
    }

    /// Receives what may be received.
    pub(crate) fn pump_downlink(&mut self, ctx: &mut Ctx<'_>) {
        if self.offline || self.downlink.busy.is_some() {
            return;
        }
        let rate = ctx.world.profile(self.id).down_bytes_per_s;
        let mut retry_us = u64::MAX;
        for _ in 0..self.downlink.ring.len() {
            let Some(flow) = self.downlink.ring.pop_front() else { break };
            let piece = match flow {
                Flow::Link(link) => self.next_arrived(link),
                Flow::Fetch(fetch) => self.next_of_fetch(fetch, &mut retry_us, ctx),
            };
            let Some(piece) = piece else {
                if let Flow::Fetch(fetch) = flow
                    && self.fetches.get(&fetch).is_some_and(|state| state.next_us > ctx.now_us)
                {
                    self.downlink.ring.push_back(flow);
                }
                continue;
            };
            self.downlink.ring.push_back(flow);
            self.downlink.busy = Some((flow, piece));
            let takes_us = (f64::from(piece) / rate * 1e6) as u64;
            return ctx.after(takes_us.max(1), Event::DownlinkDone);
        }
        if retry_us != u64::MAX {
            self.arm_retry(retry_us, ctx);
        }
    }

    fn next_of_fetch(&mut self, fetch: u32, retry_us: &mut u64, ctx: &Ctx<'_>) -> Option<u32> {
        let state = self.fetches.get_mut(&fetch)?;
        let head = state.head.as_ref()?;
        if state.next_us > ctx.now_us {
            *retry_us = (*retry_us).min(state.next_us);
            return None;
        }
        let mut piece = (state.granted - state.taken).min(ctx.world.scenario.grain.http_chunk_bytes);
        if let Some(limit) = head.bytes_per_s {
            // Pieces of at most half a second, so that slow downloads still move.
            piece = piece.min((limit / 2.0).max(1024.0) as u32);
            state.next_us = ctx.now_us + (f64::from(piece) / limit * 1e6) as u64;
        }
        let empty = head.body.start == head.body.end;
        (piece > 0 || empty).then_some(piece)
    }

    pub(crate) fn downlink_done(&mut self, ctx: &mut Ctx<'_>) {
        match self.downlink.busy.take().filter(|_| !self.offline) {
            Some((Flow::Link(link), bytes)) => self.link_received(link, bytes, ctx),
            Some((Flow::Fetch(fetch), bytes)) => self.fetch_received(fetch, bytes, ctx),
            None => {}
        }
        self.pump_downlink(ctx);
    }

    fn fetch_received(&mut self, fetch: u32, bytes: u32, ctx: &mut Ctx<'_>) {
        let Some(state) = self.fetches.get_mut(&fetch) else {
            // Cancelled while this piece was on the line.
            self.tally.discarded += u64::from(bytes);
            return;
        };
        let Some(head) = state.head.as_ref() else { return };
        let at = head.body.start + state.taken;
        let payload = Payload::One(Run { resource: head.resource, start: at, len: bytes });
        state.taken += bytes;
        state.uncredited += bytes;
        let (place, plain) = (state.place, state.plain);
        let body = head.body.end - head.body.start;
        let finished = state.taken >= body;
        let broken = head.breaks_after.is_some_and(|after| state.taken >= after);
        if state.granted < body && state.uncredited >= CREDIT_BYTES.min(body / 2) {
            let credit = Event::Credit { fetch, bytes: std::mem::take(&mut state.uncredited) };
            let origin = ctx.world.origin();
            let delay = ctx.delay_to(origin);
            ctx.send(origin, delay, credit);
        }
        self.tally.http(place, bytes);
        if let Some(request) = plain {
            if broken {
                self.fail_fetch(fetch, FetchError::Network("connection reset".into()), ctx);
            } else if finished {
                self.fetches.remove(&fetch);
                self.plain_done(request, place, ctx);
            }
            return;
        }
        self.place_fetched(fetch, &payload, ctx);
        if broken {
            self.fail_fetch(fetch, FetchError::Network("connection reset".into()), ctx);
        } else if finished && self.fetches.remove(&fetch).is_some() {
            self.feed(Input::FetchDone { fetch: FetchId(fetch) }, ctx);
        }
    }

    fn place_fetched(&mut self, fetch: u32, payload: &Payload, ctx: &mut Ctx<'_>) {
        let now = self.engine_now(ctx.now_us);
        let Some(engine) = self.engine.as_mut() else { return };
        if payload.len() == 0 {
            return;
        }
        match engine.place_fetched(now, FetchId(fetch), payload.len()) {
            Placement::Discard => self.tally.discarded += u64::from(payload.len()),
            placement @ Placement::At { blob, at, skip, len } => {
                match payload.part(skip, len) {
                    Some(part) => self.write_blob(blob.0, at, &part, ctx),
                    None => {
                        ctx.fail(format!("{placement:?} does not fit a piece of {} bytes", payload.len()))
                    }
                }
                self.tally.discarded += u64::from(payload.len() - len.min(payload.len()));
            }
        }
        self.drain(ctx);
    }
}
