//! One registry's part in the cluster: what it tells, what it knows, and how it shares out offers.

use hlswarm::id::SwarmId;
use hlswarm::time::{Span, Time};
use rand::{Rng, RngExt};

use super::frame;
use super::publisher::Publisher;
use super::view::{Kind, View};
use super::{Body, Counts, Dest, Frame, FrameError, NodeId};
use crate::out::Out;

/// How often silence and gaps are looked for.
const LOOK_EVERY: Span = Span::from_millis(250);
/// One offer in so many goes to another process even if there are receivers here, so that the parts of a swarm stay
/// connected.
const ONE_AWAY_IN: usize = 5;

/// Who else there can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Whether this process has other workers.
    pub workers: bool,
    /// Whether there are other processes.
    pub processes: bool,
}

/// What a mesh has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterCounters {
    /// Frames that were read.
    pub frames: u64,
    /// Frames that could not be read, or that came from where they cannot come from.
    pub frames_refused: u64,
    /// Offers handed to others.
    pub offers_out: u64,
    /// Offers of others that were given to members here.
    pub offers_in: u64,
    /// Offers of others that nobody here could take.
    pub offers_in_dropped: u64,
    /// Answers of members here to offers of others.
    pub answers_out: u64,
    /// Answers of others to offers of members here.
    pub answers_in: u64,
    /// Answers of others to no pending offer.
    pub answers_in_dropped: u64,
    /// Records that came twice or too late.
    pub stale: u64,
    /// Times that something was missing.
    pub gaps: u64,
    /// Records and nodes beyond the bounds.
    pub overflow: u64,
    /// Nodes that were forgotten because they said nothing.
    pub lost: u64,
}

impl ClusterCounters {
    /// Adds the counts of another mesh.
    pub fn merge(&mut self, other: &ClusterCounters) {
        self.frames += other.frames;
        self.frames_refused += other.frames_refused;
        self.offers_out += other.offers_out;
        self.offers_in += other.offers_in;
        self.offers_in_dropped += other.offers_in_dropped;
        self.answers_out += other.answers_out;
        self.answers_in += other.answers_in;
        self.answers_in_dropped += other.answers_in_dropped;
        self.stale += other.stale;
        self.gaps += other.gaps;
        self.overflow += other.overflow;
        self.lost += other.lost;
    }
}

/// How much a mesh knows of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterSizes {
    /// Other workers of this process.
    pub workers: usize,
    /// Other processes.
    pub processes: usize,
    /// Swarms with at least one member in this process.
    pub swarms_here: usize,
    /// Members of other processes.
    pub members_away: u64,
}

/// Offers for one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) node: NodeId,
    /// How many it gets.
    pub(crate) offers: usize,
    /// How many it could get.
    room: usize,
}

/// What a frame leaves for the registry to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Hearing<'a> {
    /// Nothing.
    Done,
    /// Offers for members here; `shared`: also for members of the other workers.
    Offers { passed: Box<frame::PassedOn<'a>>, shared: bool },
    /// An answer from a member of the process.
    Answer(NodeId, Box<frame::Answered<'a>>),
    /// Candidates from a member of the process.
    Candidates(NodeId, Box<frame::Trickled<'a>>),
    /// A report of a member here.
    Report(Box<frame::Accused>),
    /// An address that is kept out.
    Ban(Box<frame::Banned>),
}

/// One registry's part in the cluster.
#[derive(Debug)]
pub struct Mesh {
    own: NodeId,
    view: View,
    /// Tells the other workers.
    to_workers: Option<Publisher>,
    /// Tells the other processes, for all workers of this one.
    to_processes: Option<Publisher>,
    look_at: Time,
    pub(crate) counters: ClusterCounters,
    changed: Vec<SwarmId>,
}

impl Mesh {
    /// The mesh of the registry that is `own`, a worker of its process. Of each other node at most `most_swarms` swarms
    /// are remembered.
    pub fn new(own: NodeId, neighbours: Neighbours, most_swarms: usize) -> Mesh {
        let speaks = neighbours.processes && own.worker() == Some(0);
        Mesh {
            own,
            view: View::new(own, most_swarms),
            to_workers: neighbours.workers.then(|| Publisher::new(own, Dest::Workers)),
            to_processes: speaks.then(|| Publisher::new(own.process(), Dest::Processes)),
            look_at: Time::ZERO,
            counters: ClusterCounters::default(),
            changed: Vec::new(),
        }
    }

    /// Which registry it is.
    pub const fn own(&self) -> NodeId {
        self.own
    }

    /// What was done so far.
    pub fn counters(&self) -> ClusterCounters {
        let trouble = self.view.trouble;
        ClusterCounters {
            stale: trouble.stale,
            gaps: trouble.gaps,
            overflow: trouble.overflow,
            lost: trouble.lost,
            ..self.counters
        }
    }

    /// How much is known of now.
    pub fn sizes(&self) -> ClusterSizes {
        let (swarms_here, members_away) = self.view.totals();
        ClusterSizes {
            workers: self.view.count(Kind::Worker),
            processes: self.view.count(Kind::Process),
            swarms_here,
            members_away,
        }
    }

    /// The members of a swarm everywhere.
    pub fn counts(&self, swarm: SwarmId) -> Counts {
        self.view.sum(swarm, Kind::Process)
    }

    /// Every swarm that anybody has, with its members everywhere, in no particular order.
    pub fn swarms(&self) -> impl Iterator<Item = (SwarmId, Counts)> {
        self.view.sizes()
    }

    /// Our registry's swarm has so many members now.
    pub(crate) fn set_own(&mut self, swarm: SwarmId, counts: Counts) {
        self.view.set_own(swarm, counts);
        if let Some(publisher) = &mut self.to_workers {
            publisher.changed(swarm, counts);
        }
        self.tell_processes(swarm);
    }

    fn tell_processes(&mut self, swarm: SwarmId) {
        if let Some(publisher) = &mut self.to_processes {
            publisher.changed(swarm, self.view.sum(swarm, Kind::Worker));
        }
    }

    /// When [`tick`](Mesh::tick) has something to do.
    pub(crate) fn due(&self) -> Time {
        let publishers = [&self.to_workers, &self.to_processes];
        publishers.into_iter().flatten().map(Publisher::due).fold(self.look_at, Time::min)
    }

    /// Says what is due, asks for what is missing, forgets who is silent.
    pub(crate) fn tick(&mut self, now: Time, out: &mut Out) {
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            let mut changed = std::mem::take(&mut self.changed);
            self.view.purge(now, &mut changed);
            self.note(&mut changed);
            self.changed = changed;
        }
        self.ask(now, out);
        let view = &self.view;
        if let Some(publisher) = &mut self.to_workers {
            publisher.speak(now, |swarm| view.sum(swarm, Kind::Own), out);
        }
        if let Some(publisher) = &mut self.to_processes {
            publisher.speak(now, |swarm| view.sum(swarm, Kind::Worker), out);
        }
    }

    fn ask(&mut self, now: Time, out: &mut Out) {
        for (node, shards) in self.view.questions(now) {
            let own = self.own;
            out.frame(Dest::Node(node), |frame| {
                frame::write_wanted(frame, own, node, shards);
                true
            });
        }
    }

    fn note(&mut self, changed: &mut Vec<SwarmId>) {
        for swarm in changed.drain(..) {
            self.tell_processes(swarm);
        }
    }

    /// Says goodbye: nobody sends more offers. Answers still find their way.
    pub(crate) fn leave(&mut self, out: &mut Out) {
        for publisher in [&mut self.to_workers, &mut self.to_processes].into_iter().flatten() {
            publisher.leave(out);
        }
    }

    /// A frame came. Does what concerns the mesh and gives the rest back.
    pub(crate) fn hear<'a>(&mut self, now: Time, bytes: &'a [u8], out: &mut Out) -> Hearing<'a> {
        let frame = match Frame::parse(bytes) {
            Ok(frame) => frame,
            Err(FrameError::Version(_) | FrameError::Malformed) => {
                self.counters.frames_refused += 1;
                return Hearing::Done;
            }
        };
        let from_here = frame.from.process() == self.own.process();
        let for_us = frame.to.is_none_or(|to| to == self.own || to == self.own.process());
        // Of this process only other workers speak, of others only the process as a whole speaks of its swarms.
        let of_swarms =
            matches!(frame.body, Body::Presence(_) | Body::Changes(_) | Body::Repeated(_) | Body::Bye);
        let speaks = from_here == frame.from.worker().is_some() || !of_swarms;
        if !for_us || !speaks || frame.from == self.own {
            self.counters.frames_refused += 1;
            return Hearing::Done;
        }
        self.counters.frames += 1;
        let kind = if from_here { Kind::Worker } else { Kind::Process };
        let mut changed = std::mem::take(&mut self.changed);
        match frame.body {
            Body::Presence(numbers) => {
                self.view.present(now, frame.from, kind, &numbers);
                self.ask(now, out);
            }
            Body::Changes(groups) => self.view.update(now, frame.from, &groups, &mut changed),
            Body::Repeated(groups) => self.view.replace(now, frame.from, &groups, &mut changed),
            Body::Bye => self.view.farewell(now, frame.from, &mut changed),
            Body::Wanted(shards) => {
                let publishers = [&self.to_workers, &self.to_processes];
                // It was asked as a worker or as a process, and answers as such.
                let asked = frame.to;
                if let Some(publisher) =
                    publishers.into_iter().flatten().find(|publisher| Some(publisher.id()) == asked)
                {
                    publisher.repeat(frame.from, shards, out);
                }
            }
            Body::Offers(passed) => {
                // Answers go where the offers say: another process can only name itself, a worker may pass on.
                let origin = passed.head.origin;
                let honest = match kind {
                    Kind::Process => origin.process() == frame.from.process(),
                    _ => origin == frame.from || origin.process() != self.own.process(),
                };
                if !honest {
                    self.counters.frames_refused += 1;
                    return Hearing::Done;
                }
                return Hearing::Offers { passed, shared: kind == Kind::Process };
            }
            Body::Answer(answer) => return Hearing::Answer(frame.from, answer),
            Body::Candidates(trickled) => return Hearing::Candidates(frame.from, trickled),
            Body::Report(accused) => return Hearing::Report(accused),
            Body::Ban(banned) => return Hearing::Ban(banned),
        }
        self.note(&mut changed);
        self.changed = changed;
        Hearing::Done
    }

    /// Shares out `want` offers for members of a swarm: among the workers of this process by how many members each has,
    /// and to other processes what is left, at least about one in five. Our own share comes first. `own_use` members here
    /// are of use. `away`: whether other processes are asked at all.
    pub(crate) fn share_out(
        &self,
        rng: &mut impl Rng,
        swarm: SwarmId,
        want: usize,
        own_use: usize,
        to_seeder: bool,
        away: bool,
    ) -> Vec<Share> {
        let mut shares = vec![Share { node: self.own, offers: 0, room: own_use }];
        let mut others = Vec::new();
        for (node, kind, counts) in self.view.places(swarm) {
            let share = Share { node, offers: 0, room: counts.of_use(to_seeder) as usize };
            match kind {
                Kind::Worker => shares.push(share),
                Kind::Process if away => others.push(share),
                Kind::Own | Kind::Process => {}
            }
        }
        let far = if others.is_empty() {
            0
        } else {
            // Rounded at random, so that one offer in five of those who make few goes away as well.
            (want + rng.random_range(0..ONE_AWAY_IN)) / ONE_AWAY_IN
        };
        let far = deal(rng, &mut others, far);
        let near = deal(rng, &mut shares, want - far);
        let missing = want - far - near;
        deal(rng, &mut others, missing);
        shares.extend(others);
        shares
    }

    /// Finds other takers for `rest` offers of our own share that nobody here could take.
    pub(crate) fn share_rest(&self, rng: &mut impl Rng, shares: &mut [Share], rest: usize) {
        if let Some((_, others)) = shares.split_first_mut() {
            deal(rng, others, rest);
        }
    }
}

/// Deals up to `want` offers at random, each node's chance being the room that it has left. Returns how many were dealt.
fn deal(rng: &mut impl Rng, shares: &mut [Share], want: usize) -> usize {
    let mut room: usize = shares.iter().map(|share| share.room - share.offers).sum();
    let mut dealt = 0;
    while dealt < want && room > 0 {
        let mut place = rng.random_range(0..room);
        for share in shares.iter_mut() {
            let left = share.room - share.offers;
            if place < left {
                share.offers += 1;
                break;
            }
            place -= left;
        }
        room -= 1;
        dealt += 1;
    }
    dealt
}
