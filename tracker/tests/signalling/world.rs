//! Viewers and trackers in simulated time: what each says reaches the other after a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use hlswarm::config::Config;
use hlswarm::engine::{Event, LinkCloseCause, Output};
use hlswarm::id::{Id20, LinkId, PeerId, SwarmId, TrackerId};
use hlswarm::random::ChaCha8Rng;
use hlswarm::signal::Signal;
use hlswarm::time::{Span, Time};
use hlswarm_tracker::{ConnId, Limits, Out, Registry};
use rand::{RngExt, SeedableRng};

/// One way between a viewer and a tracker, and between two viewers.
const DELAY_MS: u64 = 20;
/// How long a browser takes to make a description.
const DESCRIBE_MS: u64 = 40;
/// From both descriptions to the open channel.
const CONNECT_MS: u64 = 80;
const LINKS_WANTED: usize = 20;

type Socket = (usize, TrackerId);

#[derive(Clone, Debug)]
enum Ahead {
    Start(usize),
    Up(Socket, u64),
    Down(Socket),
    ToViewer(Socket, u64, String),
    ToTracker(Socket, u64, String),
    Offer(usize, LinkId),
    Answer(usize, LinkId),
    Connected((usize, LinkId), (usize, LinkId)),
}

pub struct Viewer {
    pub signal: Signal,
    peer: PeerId,
    rng: ChaCha8Rng,
    /// Open links and who is at their other end.
    pub up: BTreeMap<LinkId, PeerId>,
    pub candidates: Vec<String>,
    pub created: usize,
    pub failed: Vec<String>,
    pub first_link: Option<Time>,
    pub started: Time,
    pub announced: Option<Time>,
}

pub struct World {
    pub now: Time,
    rng: ChaCha8Rng,
    trackers: Vec<Option<Registry>>,
    pub viewers: Vec<Viewer>,
    /// Open sockets: their number, and the registry's name for them.
    sockets: BTreeMap<Socket, (u64, Option<ConnId>)>,
    ahead: BTreeMap<(Time, u64), Ahead>,
    count: u64,
    /// Whether a link between two viewers can be made.
    pub reachable: fn(usize, usize) -> bool,
    pub trickle: bool,
}

impl World {
    /// `None` for a tracker that refuses connections.
    pub fn new(seed: u64, trackers: &[bool]) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let trackers =
            trackers.iter().map(|alive| alive.then(|| Registry::new(Limits::default(), &mut rng))).collect();
        World {
            now: Time::ZERO,
            rng,
            trackers,
            viewers: Vec::new(),
            sockets: BTreeMap::new(),
            ahead: BTreeMap::new(),
            count: 0,
            reachable: |_, _| true,
            trickle: false,
        }
    }

    pub fn join(&mut self, after_ms: u64) -> usize {
        let mut config = Config::default();
        config.loader.tracker_announce =
            (0..self.trackers.len()).map(|place| vec![format!("wss://tracker{place}.example/")]).collect();
        let mut peer = *b"-HS0100-............";
        for byte in peer.iter_mut().skip(8) {
            *byte = self.rng.random_range(b'a'..=b'z');
        }
        let peer = Id20(peer);
        let signal = Signal::new(&config, SwarmId::from_name("https://example.com/master.m3u8"), peer);
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let index = self.viewers.len();
        self.viewers.push(Viewer {
            signal,
            peer,
            rng,
            up: BTreeMap::new(),
            candidates: Vec::new(),
            created: 0,
            failed: Vec::new(),
            first_link: None,
            started: self.now + Span::from_millis(after_ms),
            announced: None,
        });
        self.later(after_ms, Ahead::Start(index));
        index
    }

    fn later(&mut self, ms: u64, ahead: Ahead) {
        self.count += 1;
        self.ahead.insert((self.now + Span::from_millis(ms), self.count), ahead);
    }

    fn call<T>(
        &mut self,
        index: usize,
        f: impl FnOnce(&mut Signal, Time, &mut ChaCha8Rng, &mut VecDeque<Output>) -> T,
    ) -> T {
        let mut out = VecDeque::new();
        let now = self.now;
        let viewer = &mut self.viewers[index];
        let result = f(&mut viewer.signal, now, &mut viewer.rng, &mut out);
        for output in out {
            self.run_output(index, output);
        }
        result
    }

    fn run_output(&mut self, index: usize, output: Output) {
        match output {
            Output::OpenTracker { tracker, .. } => {
                self.count += 1;
                let number = self.count;
                self.sockets.insert((index, tracker), (number, None));
                if self.trackers[tracker.0 as usize].is_some() {
                    self.later(3 * DELAY_MS, Ahead::Up((index, tracker), number));
                } else {
                    self.later(2 * DELAY_MS, Ahead::Down((index, tracker)));
                }
            }
            Output::CloseTracker { tracker } => self.hang_up((index, tracker)),
            Output::SendTracker { tracker, text } => {
                let number = self.sockets[&(index, tracker)].0;
                self.later(DELAY_MS, Ahead::ToTracker((index, tracker), number, text));
            }
            Output::CreateOffer { link } => {
                self.viewers[index].created += 1;
                self.later(DESCRIBE_MS, Ahead::Offer(index, link));
            }
            Output::AcceptOffer { link, .. } => self.later(DESCRIBE_MS, Ahead::Answer(index, link)),
            Output::AcceptAnswer { link, sdp } => {
                let (other, their) = parse_sdp(&sdp, "answer");
                if (self.reachable)(index, other) {
                    self.later(CONNECT_MS, Ahead::Connected((index, link), (other, their)));
                }
            }
            Output::AddCandidates { candidates, .. } => self.viewers[index].candidates.extend(candidates),
            Output::Event(Event::PeerClosed { reason, .. }) => {
                self.viewers[index].failed.push(format!("{reason:?}"));
            }
            Output::Event(Event::TrackerError { message, .. }) => panic!("the tracker complained: {message}"),
            _ => {}
        }
    }

    fn hang_up(&mut self, socket: Socket) {
        if let Some((_, Some(conn))) = self.sockets.remove(&socket)
            && let Some(registry) = &mut self.trackers[socket.1.0 as usize]
        {
            registry.disconnect(conn);
        }
    }

    pub fn run(&mut self, ms: u64) {
        let end = self.now + Span::from_millis(ms);
        loop {
            let deadlines = self.viewers.iter().enumerate();
            let deadline = deadlines
                .filter_map(|(index, viewer)| Some((viewer.signal.next_deadline()?.at.max(self.now), index)))
                .min();
            let ahead = self.ahead.keys().next().map(|key| key.0);
            match (ahead, deadline) {
                (Some(at), other) if at <= end && other.is_none_or(|(other, _)| at <= other) => {
                    self.now = at;
                    if let Some((_, ahead)) = self.ahead.pop_first() {
                        self.arrive(ahead);
                    }
                }
                (_, Some((at, index))) if at <= end => {
                    self.now = at;
                    self.call(index, |s, now, rng, out| s.tick(now, rng, out));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, ahead: Ahead) {
        match ahead {
            Ahead::Start(index) => {
                self.call(index, |s, now, rng, out| {
                    s.set_demand(now, LINKS_WANTED);
                    s.start(now, rng, out);
                });
            }
            Ahead::Up(socket, number) => {
                let Some(registry) = &mut self.trackers[socket.1.0 as usize] else { return };
                if self.sockets.get(&socket).is_none_or(|entry| entry.0 != number) {
                    return;
                }
                let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + socket.0 as u32));
                let conn = registry.connect(self.now, ip).unwrap();
                self.sockets.insert(socket, (number, Some(conn)));
                self.call(socket.0, |s, now, rng, out| s.tracker_up(now, rng, socket.1, out));
            }
            Ahead::Down(socket) => {
                if self.sockets.remove(&socket).is_some() {
                    self.call(socket.0, |s, now, rng, out| {
                        s.tracker_down(now, rng, socket.1, "refused".to_owned(), out);
                    });
                }
            }
            Ahead::ToTracker(socket, number, text) => self.at_tracker(socket, number, &text),
            Ahead::ToViewer(socket, number, text) => {
                if self.sockets.get(&socket).is_some_and(|entry| entry.0 == number) {
                    self.viewers[socket.0].announced.get_or_insert(self.now);
                    let up = self.viewers[socket.0].up.clone();
                    let admits = |peer| up.len() < 30 && up.values().all(|other| *other != peer);
                    self.call(socket.0, |s, now, rng, out| {
                        s.tracker_text(now, rng, socket.1, &text, &admits, out);
                    });
                }
            }
            Ahead::Offer(index, link) => {
                let sdp = format!("v=0 offer {index} {}", link.0);
                self.call(index, |s, now, rng, out| s.offer_ready(now, rng, link, sdp, out));
                self.find_candidates(index, link);
            }
            Ahead::Answer(index, link) => {
                let sdp = format!("v=0 answer {index} {}", link.0);
                self.call(index, |s, now, rng, out| s.answer_ready(now, rng, link, sdp, out));
                self.find_candidates(index, link);
            }
            Ahead::Connected(here, there) => {
                let ends = [(here, there.0), (there, here.0)];
                let known = ends.map(|((index, link), other)| {
                    self.viewers[index].signal.peer_of(link) == Some(self.viewers[other].peer)
                });
                for (known, ((index, link), other)) in known.into_iter().zip(ends) {
                    if !known {
                        continue;
                    }
                    let peer = self.viewers[other].peer;
                    assert_eq!(self.call(index, |s, now, _, _| s.link_up(now, link)), Some(peer));
                    let wanted = LINKS_WANTED.saturating_sub(self.viewers[index].up.len() + 1);
                    self.call(index, |s, now, _, _| s.set_demand(now, wanted));
                    let viewer = &mut self.viewers[index];
                    viewer.up.insert(link, peer);
                    viewer.first_link.get_or_insert(self.now);
                }
                assert_eq!(known[0], known[1], "one end is open and the other is not");
            }
        }
    }

    fn find_candidates(&mut self, index: usize, link: LinkId) {
        if self.trickle {
            let found = vec![format!("{{\"candidate\":\"candidate:{index}\"}}")];
            self.call(index, |s, now, rng, out| s.local_candidates(now, rng, link, found, out));
        }
    }

    fn at_tracker(&mut self, socket: Socket, number: u64, text: &str) {
        let Some(&(open, Some(conn))) = self.sockets.get(&socket) else { return };
        let Some(registry) = &mut self.trackers[socket.1.0 as usize] else { return };
        if open != number {
            return;
        }
        let mut out = Out::new();
        registry.tick(self.now, &mut out);
        registry.handle(self.now, &mut self.rng, conn, text, &mut out);
        assert_eq!(out.closes().count(), 0);
        let sends: Vec<_> = out.sends().map(|(to, _, text)| (to, text.to_owned())).collect();
        for (to, text) in sends {
            let target = self.sockets.iter().find(|(s, (_, conn))| s.1 == socket.1 && *conn == Some(to));
            if let Some((&target, &(number, _))) = target {
                self.later(DELAY_MS, Ahead::ToViewer(target, number, text));
            }
        }
    }

    /// The tracker dies: all sockets close, all it knew is gone.
    pub fn kill(&mut self, tracker: u32) {
        self.trackers[tracker as usize] = None;
        let gone: Vec<_> = self.sockets.keys().copied().filter(|socket| socket.1.0 == tracker).collect();
        for socket in gone {
            self.later(self.count % 50, Ahead::Down(socket));
        }
    }

    pub fn revive(&mut self, tracker: u32) {
        self.trackers[tracker as usize] = Some(Registry::new(Limits::default(), &mut self.rng));
    }

    /// Ends every viewer's link, as the other end's goodbye would.
    pub fn leave(&mut self, index: usize) {
        self.call(index, |s, now, rng, out| s.stop(now, rng, out));
        let peer = self.viewers[index].peer;
        for other in 0..self.viewers.len() {
            let links = self.viewers[other].up.iter().filter(|(_, p)| **p == peer || other == index);
            for link in links.map(|(link, _)| *link).collect::<Vec<_>>() {
                self.viewers[other].up.remove(&link);
                let cause = LinkCloseCause::Remote;
                self.call(other, |s, now, rng, out| s.link_failed(now, rng, link, cause, out));
            }
        }
    }

    /// Each pair has one link at most, and both ends know it. Gives the number of links.
    pub fn check_links(&self) -> usize {
        let mut ends = 0;
        for viewer in &self.viewers {
            let others: BTreeSet<_> = viewer.up.values().collect();
            assert_eq!(others.len(), viewer.up.len(), "two links to one peer");
            for peer in others {
                let other = self.viewers.iter().find(|other| other.peer == *peer).unwrap();
                assert!(other.up.values().any(|back| *back == viewer.peer), "a link with one end");
                ends += 1;
            }
        }
        ends / 2
    }
}

/// The viewer and the link that a description names.
fn parse_sdp(sdp: &str, kind: &str) -> (usize, LinkId) {
    let mut words =
        sdp.strip_prefix("v=0 ").and_then(|rest| rest.strip_prefix(kind)).unwrap().split_whitespace();
    let mut number = || words.next().unwrap().parse::<u32>().unwrap();
    (number() as usize, LinkId(number()))
}
