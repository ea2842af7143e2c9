//! Processes with workers, and a bus between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use hlswarm::time::{Span, Time};
use hlswarm_tracker::cluster::{Dest, Frame, Mesh, Neighbours, NodeId, Peek};
use hlswarm_tracker::{ConnId, Limits, Out, Registry};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::common::{announce, answer};

/// What the bus does to frames.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub lost_percent: u32,
    pub repeated_percent: u32,
    pub delay_ms: (u64, u64),
}

pub const FINE: Weather = Weather { lost_percent: 0, repeated_percent: 0, delay_ms: (1, 1) };
pub const STORM: Weather = Weather { lost_percent: 20, repeated_percent: 20, delay_ms: (0, 400) };

/// A client: the index of its node, and its connection there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    pub node: usize,
    pub conn: ConnId,
}

pub struct Node {
    pub id: NodeId,
    pub registry: Registry,
    pub alive: bool,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub now: Time,
    pub weather: Weather,
    /// Processes that do not hear each other.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    pub rng: ChaCha8Rng,
    /// Frames on their way, by when they arrive.
    pub flying: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    pub frames: u64,
    pub inbox: BTreeMap<Client, Vec<Value>>,
    sent: u64,
    next_ip: u32,
}

impl Cluster {
    /// `processes` with `workers` each, that have heard of each other.
    pub fn new(processes: u64, workers: usize, seed: u64) -> Cluster {
        let mut cluster = Cluster {
            nodes: Vec::new(),
            now: Time::from_millis(1000),
            weather: FINE,
            cut: BTreeSet::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            flying: BTreeMap::new(),
            frames: 0,
            inbox: BTreeMap::new(),
            sent: 0,
            next_ip: 0,
        };
        for process in 1..=processes {
            cluster.start(process, workers, processes > 1);
        }
        cluster.pass(1_500);
        cluster
    }

    /// Starts a process under a number that no other has had.
    pub fn start(&mut self, process: u64, workers: usize, processes: bool) {
        let limits = Limits { swarms: 20_000, swarms_per_connection: 20_000, ..Limits::default() };
        for worker in 0..workers {
            let id = NodeId::new(process << 8).with_worker(worker);
            let mut registry = Registry::new(limits.clone(), &mut self.rng);
            registry.join_cluster(Mesh::new(id, Neighbours { workers: workers > 1, processes }, 20_000));
            self.nodes.push(Node { id, registry, alive: true });
        }
    }

    /// Ends all workers of the process that a node belongs to, without a word.
    pub fn kill(&mut self, node: usize) {
        let process = self.nodes[node].id.process();
        for node in self.nodes.iter_mut().filter(|node| node.id.process() == process) {
            node.alive = false;
        }
    }

    /// Cuts two processes off from each other, or joins them again.
    pub fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        let (a, b) = (self.nodes[a].id.process(), self.nodes[b].id.process());
        for pair in [(a, b), (b, a)] {
            if cut {
                self.cut.insert(pair);
            } else {
                self.cut.remove(&pair);
            }
        }
    }

    pub fn connect(&mut self, node: usize) -> Client {
        self.next_ip += 1;
        self.connect_from(node, Ipv4Addr::from(0x0a00_0000 + self.next_ip * 256))
    }

    pub fn connect_from(&mut self, node: usize, ip: Ipv4Addr) -> Client {
        let conn = self.nodes[node].registry.connect(self.now, ip.into()).expect("room");
        Client { node, conn }
    }

    /// A new connection to a node that joins as `name`.
    pub fn join(&mut self, node: usize, name: &str) -> Client {
        let client = self.connect(node);
        self.send(client, &announce(name, 0));
        let reply = self.take(client);
        assert!(reply.iter().all(|reply| reply.get("failure reason").is_none()), "{reply:?}");
        client
    }

    pub fn send(&mut self, client: Client, message: &Value) {
        let mut out = Out::new();
        let node = &mut self.nodes[client.node];
        node.registry.handle(self.now, &mut self.rng, client.conn, &message.to_string(), &mut out);
        self.carry(client.node, &out);
    }

    pub fn disconnect(&mut self, client: Client) {
        self.nodes[client.node].registry.disconnect(client.conn);
    }

    /// What came for a client since it was last looked at.
    pub fn take(&mut self, client: Client) -> Vec<Value> {
        self.inbox.remove(&client).unwrap_or_default()
    }

    /// Answers every offer that has come for a client of that name. Returns how many.
    pub fn answer_all(&mut self, client: Client, name: &str) -> usize {
        let offers: Vec<Value> =
            self.take(client).into_iter().filter(|message| message.get("offer").is_some()).collect();
        for offer in &offers {
            self.send(client, &answer(name, offer));
        }
        offers.len()
    }

    fn carry(&mut self, from: usize, out: &Out) {
        for (conn, _, text) in out.sends() {
            let value = serde_json::from_str(text).expect(text);
            self.inbox.entry(Client { node: from, conn }).or_default().push(value);
        }
        for (to, bytes) in out.frames() {
            self.frames += 1;
            Frame::parse(bytes).expect("what is sent can be read");
            let process = self.nodes[from].id.process();
            let targets: Vec<usize> = match to {
                Dest::Workers => self.others(|id| id.process() == process, from),
                Dest::Processes => self.others(|id| id.process() != process, from),
                Dest::Node(id) => {
                    let peek = Peek::at(bytes).unwrap();
                    let workers = self.nodes.iter().filter(|node| node.id.process() == id.process()).count();
                    let any = if peek.for_any_worker { self.rng.random_range(0..workers.max(1)) } else { 0 };
                    let worker = id.process().with_worker(id.worker().unwrap_or(any));
                    self.others(|other| other == worker, from)
                }
            };
            for target in targets {
                self.fly(from, target, bytes.to_vec());
            }
        }
    }

    fn others(&self, wanted: impl Fn(NodeId) -> bool, from: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|place| *place != from && wanted(self.nodes[*place].id)).collect()
    }

    /// Puts a frame on its way.
    pub fn fly(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        if self.cut.contains(&(self.nodes[from].id.process(), self.nodes[to].id.process()))
            || self.rng.random_range(0..100) < self.weather.lost_percent
        {
            return;
        }
        let copies = 1 + usize::from(self.rng.random_range(0..100) < self.weather.repeated_percent);
        for _ in 0..copies {
            let (least, most) = self.weather.delay_ms;
            let at = self.now + Span::from_millis(self.rng.random_range(least..=most));
            self.sent += 1;
            self.flying.insert((at, self.sent), (to, bytes.clone()));
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        const STEP_MS: u64 = 10;
        let end = self.now + Span::from_millis(ms);
        while self.now < end {
            self.now = self.now + Span::from_millis(STEP_MS);
            while let Some(entry) = self.flying.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, bytes) = entry.remove();
                self.act(to, |registry, now, rng, out| registry.hear(now, rng, &bytes, out));
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].registry.cluster_due().is_some_and(|due| due <= self.now) {
                    self.act(node, |registry, now, _, out| registry.tick_cluster(now, out));
                }
                if self.now.as_millis().is_multiple_of(1000) {
                    self.act(node, |registry, now, _, out| registry.tick(now, out));
                }
            }
        }
    }

    /// Has a living node do something.
    pub fn act(&mut self, node: usize, what: impl FnOnce(&mut Registry, Time, &mut ChaCha8Rng, &mut Out)) {
        if !self.nodes[node].alive {
            return;
        }
        let mut out = Out::new();
        what(&mut self.nodes[node].registry, self.now, &mut self.rng, &mut out);
        self.carry(node, &out);
    }

    /// The size of a swarm as a node tells it: complete and incomplete.
    pub fn size(&mut self, node: usize, swarm: &str) -> (u64, u64) {
        let client = self.connect(node);
        self.send(client, &json!({"action": "scrape", "info_hash": swarm}));
        let scraped = self.take(client).remove(0);
        self.disconnect(client);
        let size = &scraped["files"][swarm];
        (size["complete"].as_u64().unwrap(), size["incomplete"].as_u64().unwrap())
    }
}
