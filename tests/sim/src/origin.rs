//! The CDN: answers requests after a latency, shares its rate, fails as the scenario says.

use std::collections::{BTreeMap, VecDeque};

use hlswarm::id::ByteRange;

use crate::draw::{For, unit};
use crate::queue::{ActorId, Event, ResponseHead};
use crate::scenario::{Fault, FaultKind};
use crate::world::{Ctx, World};

/// The origin's state: only what a limited total rate needs.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    flows: BTreeMap<(ActorId, u32), Flow>,
    ring: VecDeque<(ActorId, u32)>,
    busy: Option<((ActorId, u32), u32)>,
    requests: u64,
    /// How often each viewer has asked for each resource.
    attempts: BTreeMap<(ActorId, u32), u64>,
}

#[derive(Debug)]
struct Flow {
    left: u32,
    on_the_way: u32,
    head_at_us: u64,
}

/// A limited origin sends in pieces of this size, and so much beyond what a viewer has taken.
const PIECE_BYTES: u32 = 65_536;
const AHEAD_BYTES: u32 = 262_144;

impl Origin {
    pub(crate) fn on_event(&mut self, source: ActorId, event: Event, ctx: &mut Ctx<'_>) {
        match event {
            Event::Request { fetch, resource, range } => {
                self.request(source, fetch, resource, range.map(|range| *range), ctx);
            }
            Event::Credit { fetch, bytes } => {
                if let Some(flow) = self.flows.get_mut(&(source, fetch)) {
                    flow.on_the_way = flow.on_the_way.saturating_sub(bytes);
                    if flow.left > 0 && !self.ring.contains(&(source, fetch)) {
                        self.ring.push_back((source, fetch));
                    }
                }
                self.pump(ctx);
            }
            Event::Abort { fetch } => {
                self.flows.remove(&(source, fetch));
            }
            Event::OriginDone => {
                if let Some((who, bytes)) = self.busy.take()
                    && let Some(flow) = self.flows.get_mut(&who)
                {
                    flow.left -= bytes;
                    flow.on_the_way += bytes;
                    let delay = ctx.delay_to(who.0).max(flow.head_at_us.saturating_sub(ctx.now_us) + 1);
                    ctx.send(who.0, delay, Event::Grant { fetch: who.1, bytes });
                    if flow.left == 0 {
                        self.flows.remove(&who);
                    }
                }
                self.pump(ctx);
            }
            other => ctx.fail(format!("an event that is not for the origin: {other:?}")),
        }
    }

    fn request(
        &mut self,
        viewer: ActorId,
        fetch: u32,
        resource: u32,
        range: Option<ByteRange>,
        ctx: &mut Ctx<'_>,
    ) {
        let world = ctx.world;
        let scenario = &world.scenario;
        // Latency depends on who asks for what, so that it is the same with peers and without.
        let words = [u64::from(viewer), u64::from(resource), range.map_or(0, |range| range.start)];
        let latency = scenario.origin.latency_ms.draw(world.seed, For::OriginLatency, &words);
        let delay = ctx.delay_to(viewer) + (latency * 1000.0) as u64;
        self.requests += 1;
        let attempt = self.attempts.entry((viewer, resource)).or_default();
        *attempt += 1;
        // Which requests fail depends on who asks for what and how often, not on the moment: a viewer and its reference
        // ask at different ones.
        let attempt = [words[0], words[1], *attempt];
        let faults = Faults::at(world, ctx.now_us, &attempt);
        if faults.hangs {
            return;
        }
        if range.is_some() && faults.refuses_range {
            return ctx.send(viewer, delay, Event::Broken { fetch });
        }
        let len = world.catalog.resource_len(resource).unwrap_or(0);
        let there = len > 0 && world.catalog.resource_available_us(resource) <= ctx.now_us;
        let status = faults.status.or((!there).then_some(404));
        let byte_range_stream = scenario.stream.byte_range;
        let ranged = range.filter(|_| byte_range_stream || (scenario.origin.ranges && !faults.ignores_range));
        let body = match ranged {
            None => 0..len,
            Some(range) => range.start.min(u64::from(len)) as u32..range.end.min(u64::from(len)) as u32,
        };
        let status = status.or((body.is_empty() && len > 0).then_some(416));
        if let Some(status) = status {
            let head = failure(status, resource);
            return ctx.send(viewer, delay, Event::Head { fetch, head: Box::new(head) });
        }
        let size = body.end - body.start;
        let limited = scenario.origin.total_mbps.is_some();
        let rate = |kbps: f64| kbps * 1000.0 / 8.0;
        let head = ResponseHead {
            status: if ranged.is_some() { 206 } else { 200 },
            resource,
            content_range: ranged
                .map(|_| ByteRange { start: u64::from(body.start), end: u64::from(body.end) }),
            body,
            says_length: scenario.origin.content_length,
            granted: if limited { 0 } else { size },
            bytes_per_s: faults.slow_kbps.or(scenario.origin.per_download_kbps).map(rate),
            breaks_after: faults.resets.then(|| {
                (f64::from(size) * (0.2 + 0.6 * unit(world.seed, For::OriginFault, &attempt))) as u32
            }),
        };
        ctx.send(viewer, delay, Event::Head { fetch, head: Box::new(head) });
        if limited {
            let flow = Flow { left: size, on_the_way: 0, head_at_us: ctx.now_us + delay };
            self.flows.insert((viewer, fetch), flow);
            self.ring.push_back((viewer, fetch));
            self.pump(ctx);
        }
    }

    fn pump(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mbps) = ctx.world.scenario.origin.total_mbps.filter(|_| self.busy.is_none()) else { return };
        for _ in 0..self.ring.len() {
            let Some(who) = self.ring.pop_front() else { return };
            let Some(flow) = self.flows.get(&who) else { continue };
            let piece = flow.left.min(PIECE_BYTES).min(AHEAD_BYTES.saturating_sub(flow.on_the_way));
            if piece == 0 {
                continue;
            }
            self.ring.push_back(who);
            self.busy = Some((who, piece));
            let takes_us = f64::from(piece) * 8.0 / mbps;
            return ctx.after((takes_us as u64).max(1), Event::OriginDone);
        }
    }
}

fn failure(status: u16, resource: u32) -> ResponseHead {
    ResponseHead {
        status,
        resource,
        body: 0..0,
        says_length: true,
        content_range: None,
        granted: 0,
        bytes_per_s: None,
        breaks_after: None,
    }
}

/// What is wrong with the origin at a moment, for one request.
#[derive(Debug, Default)]
struct Faults {
    status: Option<u16>,
    hangs: bool,
    resets: bool,
    slow_kbps: Option<f64>,
    ignores_range: bool,
    refuses_range: bool,
}

impl Faults {
    fn at(world: &World, now_us: u64, words: &[u64; 3]) -> Faults {
        let mut out = Faults::default();
        for (index, fault) in active(world, now_us) {
            let draw = unit(world.seed, For::OriginFault, &[index as u64, words[0], words[1], words[2]]);
            if draw >= fault.share {
                continue;
            }
            match fault.what {
                FaultKind::OriginStatus => out.status = fault.status,
                FaultKind::OriginHang => out.hangs = true,
                FaultKind::OriginReset => out.resets = true,
                FaultKind::OriginSlow => out.slow_kbps = fault.kbps,
                FaultKind::OriginIgnoresRange => out.ignores_range = true,
                FaultKind::OriginRefusesRange => out.refuses_range = true,
                _ => {}
            }
        }
        out
    }
}

fn active(world: &World, now_us: u64) -> impl Iterator<Item = (usize, &Fault)> {
    let now_s = now_us as f64 / 1e6;
    world
        .scenario
        .fault
        .iter()
        .enumerate()
        .filter(move |(_, fault)| fault.at_s <= now_s && now_s < fault.until_s())
}

/// Whether a playlist cannot be had just now. They fail with the rest of the origin when that fails for everybody.
pub(crate) fn refuses_playlists(world: &World, viewer: ActorId, now_us: u64) -> bool {
    let words = [u64::from(viewer), u64::MAX, now_us / 1_000_000];
    let faults = Faults::at(world, now_us, &words);
    faults.hangs || faults.status.is_some()
}

/// The moment whose playlist is served at `now_us`.
pub(crate) fn playlist_moment_us(world: &World, now_us: u64) -> u64 {
    let stalled = active(world, now_us).filter(|(_, fault)| fault.what == FaultKind::PlaylistStalls);
    stalled.map(|(_, fault)| (fault.at_s * 1e6) as u64).min().unwrap_or(now_us)
}
