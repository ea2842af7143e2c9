//! A tracker: the real registry behind simulated sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use hlswarm::time::Time;
use hlswarm_tracker::{ConnId, Limits, Out, Registry};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::draw::{For, seed_bytes};
use crate::queue::{ActorId, Event};
use crate::scenario::FaultKind;
use crate::world::Ctx;

/// One tracker process.
pub(crate) struct Tracker {
    registry: Registry,
    rng: ChaCha8Rng,
    sockets: BTreeMap<(ActorId, u32), ConnId>,
    by_slot: Vec<Option<(ActorId, u32)>>,
    down: bool,
    silent: bool,
    out: Out,
}

impl Tracker {
    pub(crate) fn new(seed: u64, index: u32) -> Tracker {
        let mut rng = ChaCha8Rng::from_seed(seed_bytes(seed, For::RegistrySeed, u64::from(index)));
        Tracker {
            registry: Registry::new(Limits::default(), &mut rng),
            rng,
            sockets: BTreeMap::new(),
            by_slot: Vec::new(),
            down: false,
            silent: false,
            out: Out::new(),
        }
    }

    pub(crate) fn on_event(&mut self, source: ActorId, event: Event, ctx: &mut Ctx<'_>) {
        let now = Time::from_micros(ctx.now_us);
        match event {
            Event::SocketOpen { socket } => self.open(now, source, socket, ctx),
            Event::SocketText { socket, text } => {
                if let Some(&conn) = self.sockets.get(&(source, socket)) {
                    self.registry.handle(now, &mut self.rng, conn, &text, &mut self.out);
                }
            }
            Event::SocketDown { socket } => {
                if let Some(conn) = self.sockets.remove(&(source, socket)) {
                    self.registry.disconnect(conn);
                    self.by_slot[conn.slot()] = None;
                }
            }
            Event::TrackerTick => {
                self.registry.tick(now, &mut self.out);
                ctx.after(1_000_000, Event::TrackerTick);
            }
            Event::FaultBegins(index) => self.fault(usize::from(index), true, ctx),
            Event::FaultEnds(index) => self.fault(usize::from(index), false, ctx),
            other => ctx.fail(format!("an event that is not for trackers: {other:?}")),
        }
        self.send(ctx);
    }

    fn open(&mut self, now: Time, viewer: ActorId, socket: u32, ctx: &mut Ctx<'_>) {
        if self.silent {
            return;
        }
        let delay = ctx.delay_to(viewer);
        let [_, a, b, c] = viewer.to_be_bytes();
        if self.down {
            return ctx.send(viewer, delay, Event::SocketDown { socket });
        }
        let Ok(conn) = self.registry.connect(now, IpAddr::V4(Ipv4Addr::new(10, a, b, c))) else {
            return ctx.send(viewer, delay, Event::SocketDown { socket });
        };
        self.sockets.insert((viewer, socket), conn);
        if self.by_slot.len() <= conn.slot() {
            self.by_slot.resize(conn.slot() + 1, None);
        }
        self.by_slot[conn.slot()] = Some((viewer, socket));
        ctx.send(viewer, delay, Event::SocketUp { socket });
    }

    fn send(&mut self, ctx: &mut Ctx<'_>) {
        let out = std::mem::take(&mut self.out);
        for (conn, _, text) in out.sends() {
            if let Some(&Some((viewer, socket))) = self.by_slot.get(conn.slot()) {
                let delay = ctx.delay_to(viewer);
                ctx.log(|| format!("to viewer {viewer}: {text}"));
                ctx.send(viewer, delay, Event::SocketText { socket, text: text.into() });
            }
        }
        let closes: Vec<ConnId> = out.closes().map(|(conn, _)| conn).collect();
        for conn in closes {
            self.close(conn, ctx);
        }
        self.out = out;
        self.out.clear();
    }

    fn close(&mut self, conn: ConnId, ctx: &mut Ctx<'_>) {
        self.registry.disconnect(conn);
        if let Some(who) = self.by_slot.get_mut(conn.slot()).and_then(Option::take) {
            self.sockets.remove(&who);
            let delay = ctx.delay_to(who.0);
            ctx.send(who.0, delay, Event::SocketDown { socket: who.1 });
        }
    }

    fn fault(&mut self, index: usize, begins: bool, ctx: &mut Ctx<'_>) {
        let silent = ctx.world.scenario.fault[index].what == FaultKind::TrackerSilent;
        if silent {
            self.silent = begins;
        } else {
            self.down = begins;
        }
        if begins && !silent {
            // A process that dies forgets everything.
            let open: Vec<ConnId> = self.sockets.values().copied().collect();
            for conn in open {
                self.close(conn, ctx);
            }
        }
    }
}
