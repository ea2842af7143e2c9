//! The simulated world: actors, time, and the threads that run them.
//!
//! Every actor (viewer, tracker, origin) acts only on its own state and on others by events that arrive after a delay.
//! So all events within a window of the shortest delay are independent between actors: threads take a share of the
//! actors each, run a window, exchange events, and go on. The order of events at one actor is decided by (time,
//! sender, number), never by threads: one thread or four give the same log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};

use hlswarm::config::Config;

use crate::draw::{For, bits};
use crate::media::Catalog;
use crate::origin::Origin;
use crate::queue::{ActorId, Entry, Event, Queue};
use crate::scenario::{FaultKind, Scenario};
use crate::tally::Tally;
use crate::topology::{Profile, transitions};
use crate::tracker::Tracker;
use crate::viewer::{Departed, Viewer};

/// What the viewers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The player with its own loader, without hlswarm: the reference.
    Plain,
    /// hlswarm with `loader.useP2P` off.
    HttpOnly,
    /// hlswarm.
    P2p,
}

/// What does not change during a run.
#[derive(Debug)]
pub(crate) struct World {
    pub seed: u64,
    pub mode: Mode,
    pub scenario: Scenario,
    pub catalog: Catalog,
    pub profiles: Vec<Profile>,
    pub config: Config,
    pub config_consume_only: Config,
    /// Some viewers forge segments: accusations are to be expected.
    pub hostile: bool,
    pub has_validator: bool,
    /// Signed records, where the options ask for them.
    pub signed: Option<crate::signed::Signed>,
    pub keep_log: bool,
    pub lookahead_us: u64,
}

impl World {
    pub(crate) fn viewers(&self) -> u32 {
        self.profiles.len() as u32
    }

    pub(crate) fn tracker(&self, index: u32) -> ActorId {
        self.viewers() + index
    }

    pub(crate) fn origin(&self) -> ActorId {
        self.viewers() + self.scenario.tracker.count
    }

    pub(crate) fn profile(&self, viewer: ActorId) -> &Profile {
        &self.profiles[viewer as usize]
    }

    /// Delay between an actor and the core of the network, one way.
    fn half_way_us(&self, actor: ActorId) -> u64 {
        if let Some(profile) = self.profiles.get(actor as usize) {
            return profile.delay_us;
        }
        let scenario = &self.scenario;
        let delay_ms =
            if actor == self.origin() { scenario.origin.delay_ms } else { scenario.tracker.delay_ms };
        (delay_ms * 1000.0) as u64
    }

    fn delay_us(&self, a: ActorId, b: ActorId) -> u64 {
        // Routes differ: up to a fifth more, the same for each pair.
        let direct = self.half_way_us(a) + self.half_way_us(b);
        let words = [u64::from(a.min(b)), u64::from(a.max(b))];
        direct + direct * (bits(self.seed, For::LinkJitter, &words) % 200) / 1000
    }

    /// No event from one actor to another arrives sooner than this.
    pub(crate) fn shortest_delay_us(scenario: &Scenario) -> u64 {
        let access = scenario.access.iter().map(|access| access.delay_ms.low).fold(f64::INFINITY, f64::min);
        let core = scenario.origin.delay_ms.min(scenario.tracker.delay_ms).min(access);
        ((access + core) * 1000.0) as u64
    }
}

/// One line of a log.
#[derive(Debug)]
pub(crate) struct LogLine {
    pub at_us: u64,
    pub actor: ActorId,
    pub text: String,
}

/// An assertion that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When, in simulated microseconds.
    pub at_us: u64,
    /// Which viewer; trackers and the origin have the numbers after the last viewer.
    pub actor: u32,
    /// What did not hold.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}s viewer {}: {}", self.at_us as f64 / 1e6, self.actor, self.what)
    }
}

/// What one thread owns.
struct Lane {
    number: usize,
    lanes: usize,
    queue: Queue,
    /// The events of the window at hand.
    window: Vec<Entry>,
    /// Events for actors of other lanes, sent when the window ends.
    outboxes: Vec<Vec<Entry>>,
    actors: Vec<Seat>,
    failures: Vec<Failure>,
    log: Vec<LogLine>,
    tallies: Vec<Tally>,
    events: u64,
}

struct Seat {
    actor: Actor,
    number: u32,
    digest: u64,
}

enum Actor {
    Waiting,
    Viewer(Box<Viewer>),
    Departed(Departed),
    Tracker(Box<Tracker>),
    Origin(Box<Origin>),
}

/// What an actor may use while it handles an event.
pub(crate) struct Ctx<'a> {
    pub now_us: u64,
    pub me: ActorId,
    pub world: &'a World,
    number: &'a mut u32,
    lane: usize,
    queue: &'a mut Queue,
    outboxes: &'a mut [Vec<Entry>],
    failures: &'a mut Vec<Failure>,
    log: &'a mut Vec<LogLine>,
    digest: &'a mut u64,
}

impl Ctx<'_> {
    /// An event for this actor itself.
    pub(crate) fn after(&mut self, delay_us: u64, event: Event) {
        let at_us = self.now_us.saturating_add(delay_us);
        *self.number = self.number.wrapping_add(1);
        self.queue.push(Entry { at_us, target: self.me, source: self.me, number: *self.number, event });
    }

    /// An event for another actor, `delay_us` from now.
    pub(crate) fn send(&mut self, target: ActorId, delay_us: u64, event: Event) {
        let at_us = self.now_us + delay_us.max(self.world.lookahead_us);
        *self.number = self.number.wrapping_add(1);
        let entry = Entry { at_us, target, source: self.me, number: *self.number, event };
        let lane = target as usize % self.outboxes.len();
        if lane == self.lane { self.queue.push(entry) } else { self.outboxes[lane].push(entry) }
    }

    /// One-way delay to another actor.
    pub(crate) fn delay_to(&self, target: ActorId) -> u64 {
        self.world.delay_us(self.me, target)
    }

    /// An assertion did not hold. The run ends with this window.
    pub(crate) fn fail(&mut self, what: String) {
        self.log(|| format!("ERROR {what}"));
        if self.failures.len() < 20 {
            self.failures.push(Failure { at_us: self.now_us, actor: self.me, what });
        }
    }

    /// Writes to the log: its digest always, its text when it is kept.
    pub(crate) fn log(&mut self, text: impl FnOnce() -> String) {
        if self.world.keep_log {
            let text = text();
            for byte in text.bytes() {
                *self.digest = (*self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            self.log.push(LogLine { at_us: self.now_us, actor: self.me, text });
        } else {
            *self.digest = self.digest.wrapping_mul(0x0100_0000_01b3) ^ self.now_us;
        }
    }
}

/// What a run leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub tallies: Vec<Tally>,
    pub failures: Vec<Failure>,
    pub log: Vec<LogLine>,
    /// Hash of all that happened, in order.
    pub digest: u64,
    pub events: u64,
}

const VIEWERS_PER_THREAD: usize = 50;

/// Runs the world on `threads` threads. More than one thread changes nothing but the time it takes.
pub(crate) fn run(world: &World, threads: usize) -> Outcome {
    // Few viewers have too little to do in one window to pay for the threads' meeting.
    let lanes_count = threads.clamp(1, 64).min(1 + world.profiles.len() / VIEWERS_PER_THREAD);
    let end_us = (world.scenario.length_s * 1e6) as u64;
    let mut lanes: Vec<Lane> = (0..lanes_count).map(|number| Lane::new(number, lanes_count, world)).collect();
    for (number, (at_us, target, event)) in transitions(world).into_iter().enumerate() {
        if at_us < end_us {
            let entry = Entry { at_us, target, source: ActorId::MAX, number: number as u32, event };
            lanes[target as usize % lanes_count].queue.push(entry);
        }
    }
    let shared = Shared {
        barrier: Barrier::new(lanes_count),
        inboxes: (0..lanes_count).map(|_| Mutex::new(Vec::new())).collect(),
        next_us: [const { AtomicU64::new(u64::MAX) }; 2],
        failed: AtomicBool::new(false),
    };
    let shared = &shared;
    let lanes: Vec<Lane> = std::thread::scope(|scope| {
        let run = |mut lane: Lane| {
            lane.run(world, shared, end_us);
            lane
        };
        let handles: Vec<_> = lanes.drain(1..).map(|lane| scope.spawn(move || run(lane))).collect();
        let first = lanes.remove(0);
        let mut done = vec![run(first)];
        for handle in handles {
            match handle.join() {
                Ok(lane) => done.push(lane),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    collect(lanes)
}

fn collect(lanes: Vec<Lane>) -> Outcome {
    let mut out =
        Outcome { tallies: Vec::new(), failures: Vec::new(), log: Vec::new(), digest: 0, events: 0 };
    let mut digests = Vec::new();
    for mut lane in lanes {
        out.tallies.append(&mut lane.tallies);
        out.failures.append(&mut lane.failures);
        out.log.append(&mut lane.log);
        out.events += lane.events;
        for (index, seat) in lane.actors.iter().enumerate() {
            digests.push(((index * lane.lanes + lane.number) as u64, seat.digest));
        }
    }
    digests.sort_unstable();
    for (actor, digest) in digests {
        out.digest = bits(out.digest, For::Digest, &[actor, digest]);
    }
    out.tallies.sort_by_key(|tally| tally.id);
    out.failures.sort_by_key(|failure| (failure.at_us, failure.actor));
    // Stable: lines of one actor stay in order.
    out.log.sort_by_key(|line| (line.at_us, line.actor));
    out
}

struct Shared {
    barrier: Barrier,
    inboxes: Vec<Mutex<Vec<Entry>>>,
    /// The earliest event of all lanes, for this window and the next by turns.
    next_us: [AtomicU64; 2],
    failed: AtomicBool,
}

impl Lane {
    fn new(number: usize, lanes: usize, world: &World) -> Lane {
        let actors = (number as ActorId..=world.origin()).step_by(lanes).map(|id| {
            let actor = if id < world.viewers() {
                Actor::Waiting
            } else if id == world.origin() {
                Actor::Origin(Box::default())
            } else {
                Actor::Tracker(Box::new(Tracker::new(world.seed, id - world.viewers())))
            };
            Seat { actor, number: 0, digest: 0xcbf2_9ce4_8422_2325 }
        });
        let mut lane = Lane {
            number,
            lanes,
            queue: Queue::new(world.lookahead_us),
            window: Vec::new(),
            outboxes: (0..lanes).map(|_| Vec::new()).collect(),
            actors: actors.collect(),
            failures: Vec::new(),
            log: Vec::new(),
            tallies: Vec::new(),
            events: 0,
        };
        for index in 0..world.scenario.tracker.count {
            let target = world.tracker(index);
            if target as usize % lanes == number {
                let event = Event::TrackerTick;
                lane.queue.push(Entry { at_us: 1_000_000, target, source: target, number: 0, event });
            }
        }
        lane
    }

    fn run(&mut self, world: &World, shared: &Shared, end_us: u64) {
        for turn in 0usize.. {
            // Everybody says when its next window with events begins; the earliest is next.
            let next_us = self.queue.next_us().unwrap_or(u64::MAX);
            shared.next_us[turn % 2].fetch_min(next_us, Ordering::AcqRel);
            shared.barrier.wait();
            let start_us = shared.next_us[turn % 2].load(Ordering::Acquire);
            let failed = shared.failed.load(Ordering::Acquire);
            if start_us >= end_us || failed {
                return self.finish(world, start_us.min(end_us));
            }
            self.queue.take(start_us, &mut self.window);
            while let Some(entry) = self.queue.own(self.window.last()).or_else(|| self.window.pop()) {
                if entry.at_us < end_us {
                    self.step(world, entry);
                }
            }
            for (target, outbox) in self.outboxes.iter_mut().enumerate() {
                if !outbox.is_empty() {
                    lock(&shared.inboxes[target]).append(outbox);
                }
            }
            shared.barrier.wait();
            // Between the barriers nobody reads this, so that all lanes stop at the same window.
            if !self.failures.is_empty() {
                shared.failed.store(true, Ordering::Release);
            }
            // Nobody reads this cell before the next but one turn's first barrier.
            shared.next_us[turn % 2].store(u64::MAX, Ordering::Release);
            for entry in lock(&shared.inboxes[self.number]).drain(..) {
                self.queue.push(entry);
            }
        }
    }

    fn step(&mut self, world: &World, entry: Entry) {
        self.events += 1;
        let index = entry.target as usize / self.lanes;
        let Some(seat) = self.actors.get_mut(index) else { return };
        let mut ctx = Ctx {
            now_us: entry.at_us,
            me: entry.target,
            world,
            number: &mut seat.number,
            lane: self.number,
            queue: &mut self.queue,
            outboxes: &mut self.outboxes,
            failures: &mut self.failures,
            log: &mut self.log,
            digest: &mut seat.digest,
        };
        *ctx.digest =
            bits(*ctx.digest, For::Digest, &[entry.at_us, u64::from(entry.source), u64::from(entry.number)]);
        match (&mut seat.actor, entry.event) {
            (actor @ Actor::Waiting, Event::Join) => {
                ctx.log(|| "joins".to_owned());
                *actor = Actor::Viewer(Box::new(Viewer::join(entry.target, &mut ctx)));
            }
            (actor @ Actor::Viewer(_), Event::Leave { vanish }) => {
                ctx.log(|| format!("leaves, vanish = {vanish}"));
                if let Actor::Viewer(viewer) = std::mem::replace(actor, Actor::Waiting) {
                    let (departed, tally) = viewer.leave(vanish, &mut ctx);
                    self.tallies.push(tally);
                    *actor = Actor::Departed(departed);
                }
            }
            (Actor::Viewer(viewer), event) => viewer.on_event(event, &mut ctx),
            (Actor::Tracker(tracker), event) => tracker.on_event(entry.source, event, &mut ctx),
            (Actor::Origin(origin), event) => origin.on_event(entry.source, event, &mut ctx),
            (Actor::Departed(departed), Event::PeerConnected { peer, peer_link, .. }) => {
                // A closed page refuses, a vanished one is silent until the browser gives up.
                let silence = (world.scenario.ice.fail_after_s * 1e6) as u64;
                let delay = if departed.vanished { silence } else { ctx.delay_to(peer) };
                let event = if departed.vanished {
                    Event::PeerLost { link: peer_link }
                } else {
                    Event::PeerClosed { link: peer_link }
                };
                ctx.send(peer, delay, event);
            }
            (Actor::Departed(_) | Actor::Waiting, _) => {}
        }
    }

    /// The end of the simulation: everybody closes the page.
    fn finish(&mut self, world: &World, end_us: u64) {
        for index in 0..self.actors.len() {
            let id = (index * self.lanes + self.number) as ActorId;
            if matches!(self.actors[index].actor, Actor::Viewer(_)) {
                let event = Event::Leave { vanish: false };
                self.step(world, Entry { at_us: end_us, target: id, source: id, number: 0, event });
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a scenario has viewers that forge segments.
pub(crate) fn is_hostile(scenario: &Scenario) -> bool {
    scenario.fault.iter().any(|fault| fault.what == FaultKind::Corrupt)
}
