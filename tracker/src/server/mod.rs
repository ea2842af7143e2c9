//! The tracker on the network: threads, sockets, TLS, HTTP and metrics around the registry.
//!
//! Each worker is one thread with its own registry and its own listening sockets (`SO_REUSEPORT`). A turn of a worker
//! reads what the kernel has, lets the registry work, and writes once per connection. Connections that have nothing to
//! say hold no buffers. Registries of several workers, and of several processes over a bus, are one cluster
//! ([`crate::cluster`]): they share their members through bounded mailboxes.

mod addresses;
mod admin;
mod clock;
mod core;
mod end;
mod gate;
mod geo;
mod listen;
mod mailbox;
#[cfg(feature = "nats")]
mod nats;
mod process;
mod queue;
mod shared;
mod sock;
mod stream;
mod timers;
mod tls;
mod worker;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hlswarm::time::Time;
use mio::{Poll, Waker};
use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

use self::core::Core;
use crate::cluster::{Alone, Bus, Mesh, Neighbours, NodeId};
use crate::config::{Config, ConfigError};
use crate::out::Out;
use crate::registry::{Limits, Registry};
use clock::Clock;
use listen::{Address, Listener, Place};
use mailbox::{Exchange, Inbox, Mailbox};
use shared::{BusNumbers, NetCounters, Settings, Shared};
use sock::Role;
use worker::{Command, WAKER, Worker};

/// Why the tracker cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The settings are wrong.
    Config(ConfigError),
    /// An address cannot be listened on.
    Listen {
        /// The address.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// The system refuses something else: threads, randomness, file descriptors.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Listen { place, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "cannot listen on {place}: the address is in use by another process")
            }
            StartError::Listen { place, error } => write!(f, "cannot listen on {place}: {error}"),
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> StartError {
        StartError::Config(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::System(error)
    }
}

/// A running tracker.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    workers: Vec<(Sender<Command>, Arc<Waker>)>,
    bus: Option<JoinHandle<()>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    bound: Vec<String>,
    paths: Vec<PathBuf>,
}

impl Server {
    /// Binds the addresses of `config` and starts to serve. `on_end` is called when the last worker has ended.
    pub fn start(config: Config, on_end: impl Fn() + Send + Sync + 'static) -> Result<Server, StartError> {
        let settings = Arc::new(Settings::load(config)?);
        let count = match settings.config.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(NodeId::MOST_WORKERS),
            count => count,
        };
        let mut polls = Vec::with_capacity(count);
        for _ in 0..count {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
            polls.push((poll, waker));
        }
        let mut ways = Ways::open(&settings, polls.iter().map(|(_, waker)| Arc::clone(waker)))?;
        let shared = Arc::new(Shared::new(count, ways.reader.take()));
        let mut server = Server {
            shared: Arc::clone(&shared),
            workers: Vec::new(),
            bus: ways.thread.take(),
            threads: Vec::new(),
            bound: Vec::new(),
            paths: Vec::new(),
        };
        let mut listeners = server.bind_all(&settings, count)?;
        let on_end = Arc::new(on_end);
        let alive = Arc::new(std::sync::atomic::AtomicUsize::new(count));
        for (number, (poll, waker)) in polls.into_iter().enumerate() {
            let (sender, commands) = channel();
            let core = new_core(number, &shared, &settings, &mut ways)?;
            let own = listeners.get_mut(number).map(std::mem::take).unwrap_or_default();
            let worker = Worker::new(core, poll, commands, own)?;
            let (on_end, alive) = (Arc::clone(&on_end), Arc::clone(&alive));
            let thread = std::thread::Builder::new().name(format!("tracker-{number}")).spawn(move || {
                let result = worker.run();
                if let Err(error) = &result {
                    tracing::error!(%error, worker = number, "worker ended");
                }
                if alive.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1 {
                    on_end();
                }
                result
            })?;
            server.workers.push((sender, waker));
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Checks settings, lists, certificates and addresses without starting anything.
    pub fn check(config: Config) -> Result<(), StartError> {
        let settings = Settings::load(config)?;
        let server = &settings.config.server;
        for (field, list) in
            [("server.listen", &server.listen), ("server.admin_listen", &server.admin_listen)]
        {
            for text in list {
                Place::parse(field, text, settings.tls.is_some())?;
            }
        }
        #[cfg(feature = "nats")]
        nats::check(&settings.config.cluster)?;
        Ok(())
    }

    fn bind_all(
        &mut self,
        settings: &Settings,
        workers: usize,
    ) -> Result<Vec<Vec<(Listener, Role)>>, StartError> {
        let server = &settings.config.server;
        let has_certificate = settings.tls.is_some();
        let viewers = server.listen.iter().map(|text| ("server.listen", text, true));
        let admin = server.admin_listen.iter().map(|text| ("server.admin_listen", text, false));
        let mut per_worker: Vec<Vec<(Listener, Role)>> = (0..workers).map(|_| Vec::new()).collect();
        for (field, text, is_viewers) in viewers.chain(admin) {
            // Metrics are scraped in the clear unless wss:// says otherwise.
            let place = Place::parse(field, text, has_certificate)?;
            let place =
                if is_viewers || text.starts_with("wss://") { place } else { Place { tls: false, ..place } };
            let (listeners, bound) = listen::bind(&place, workers, server.take_over)
                .map_err(|error| StartError::Listen { place: place.to_string(), error })?;
            let role = Role {
                tls: if bound.tls { settings.tls.clone() } else { None },
                viewers: is_viewers,
                admin: !is_viewers || server.admin_listen.is_empty(),
            };
            for (place, listener) in per_worker.iter_mut().zip(listeners) {
                place.push((listener, role.clone()));
            }
            if let Address::Unix(path) = &bound.address {
                self.paths.push(path.clone());
            }
            let shown = bound.to_string();
            self.bound.push(if is_viewers { shown } else { shown.replacen("ws", "http", 1) });
        }
        Ok(per_worker)
    }

    /// The addresses that are listened on, as URLs.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Uses other settings from now on: lists, certificates, limits. Addresses and the number of workers stay.
    pub fn reload(&self, config: Config) -> Result<(), ConfigError> {
        let settings = Arc::new(Settings::load(config)?);
        self.tell(|| Command::Reload(Arc::clone(&settings)));
        Ok(())
    }

    /// Takes no more connections and closes those that are there, spread over `drain_secs`.
    pub fn drain(&self) {
        self.shared.start_draining();
        self.tell(|| Command::Drain);
    }

    /// Closes everything now.
    pub fn stop(&self) {
        self.shared.start_draining();
        self.tell(|| Command::Stop);
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for (sender, waker) in &self.workers {
            // A worker that ended needs no command.
            if sender.send(command()).is_ok() {
                let _ = waker.wake();
            }
        }
    }

    /// Waits until all workers have ended.
    pub fn wait(self) -> io::Result<()> {
        let mut result = Ok(());
        for thread in self.threads {
            match thread.join() {
                Ok(ended) => result = result.and(ended),
                Err(_) => result = Err(io::Error::other("a worker panicked")),
            }
        }
        if let Some(bus) = self.bus {
            // The last words go out if they can; a bus that is away is not waited for.
            const STEP: Duration = Duration::from_millis(10);
            let mut waited = Duration::ZERO;
            while !bus.is_finished() && waited < Duration::from_secs(1) {
                std::thread::sleep(STEP);
                waited += STEP;
            }
        }
        for path in self.paths {
            let _ = std::fs::remove_file(path);
        }
        result
    }
}

/// The ways between the workers of this process, and to other processes.
struct Ways {
    process: NodeId,
    neighbours: Neighbours,
    boxes: Arc<[Mailbox]>,
    /// The other ends, until the workers take them.
    inboxes: Vec<Option<Inbox>>,
    #[cfg(feature = "nats")]
    uplink: Option<nats::Uplink>,
    thread: Option<JoinHandle<()>>,
    reader: Option<Box<dyn Fn() -> BusNumbers + Send + Sync>>,
}

impl Ways {
    fn open(settings: &Settings, wakers: impl Iterator<Item = Arc<Waker>>) -> Result<Ways, StartError> {
        let (boxes, inboxes): (Vec<_>, Vec<_>) =
            wakers.map(mailbox::mailbox).map(|(letters, inbox)| (letters, Some(inbox))).unzip();
        let random = SysRng.try_next_u64().map_err(io::Error::other)?;
        let neighbours = Neighbours { workers: boxes.len() > 1, processes: settings.config.cluster.is_on() };
        #[cfg_attr(not(feature = "nats"), expect(unused_mut, reason = "nobody to reach"))]
        let mut ways = Ways {
            process: NodeId::new(random),
            neighbours,
            boxes: boxes.into(),
            inboxes,
            #[cfg(feature = "nats")]
            uplink: None,
            thread: None,
            reader: None,
        };
        #[cfg(feature = "nats")]
        if neighbours.processes {
            let numbers = Arc::new(nats::Numbers::default());
            let boxes = Arc::clone(&ways.boxes);
            let nats = nats::start(&settings.config.cluster, ways.process, boxes, Arc::clone(&numbers))?;
            ways.uplink = Some(nats.uplink);
            ways.thread = Some(nats.thread);
            ways.reader = Some(Box::new(move || numbers.read()));
        }
        Ok(ways)
    }

    /// What worker `number` speaks through and listens to, and its part in the cluster: nothing for one on its own.
    fn of_worker(
        &mut self,
        number: usize,
        most_swarms: usize,
    ) -> (Box<dyn Bus + Send>, Option<Inbox>, Option<Mesh>) {
        if self.neighbours == Neighbours::default() {
            return (Box::new(Alone), None, None);
        }
        let own = self.process.with_worker(number);
        #[cfg(feature = "nats")]
        let uplink: Box<dyn Bus + Send> = match &self.uplink {
            Some(uplink) => Box::new(uplink.clone()),
            None => Box::new(Alone),
        };
        #[cfg(not(feature = "nats"))]
        let uplink = Box::new(Alone);
        let exchange = Exchange::new(own, Arc::clone(&self.boxes), uplink);
        let inbox = self.inboxes.get_mut(number).and_then(Option::take);
        (Box::new(exchange), inbox, Some(Mesh::new(own, self.neighbours, most_swarms)))
    }
}

fn new_core(
    worker: usize,
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    ways: &mut Ways,
) -> Result<Core, StartError> {
    let mut rng = ChaCha8Rng::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
    let limits = registry_limits(settings);
    let (bus, inbox, mesh) = ways.of_worker(worker, limits.swarms);
    let mut registry = Registry::new(limits, &mut rng);
    if let Some(mesh) = mesh {
        registry.join_cluster(mesh);
    }
    registry.set_allowed(settings.lists.info_hashes.clone());
    registry.set_tokens(settings.lists.secrets.clone(), settings.config.access.token_connections);
    registry.set_unix_time(Time::ZERO, Clock::since_1970().into());
    Ok(Core {
        worker,
        shared: Arc::clone(shared),
        settings: Arc::clone(settings),
        registry,
        rng,
        now: Time::ZERO,
        out: Out::new(),
        bus,
        inbox,
        scratch: Vec::new(),
        plain: Vec::new(),
        pool: Default::default(),
        net: NetCounters::default(),
        gate: Default::default(),
        addresses: Default::default(),
        sockets: Vec::new(),
        open: 0,
    })
}

/// The registry's bounds. Connections are counted for all workers together, before the registry hears of them.
fn registry_limits(settings: &Settings) -> Limits {
    Limits {
        connections: usize::MAX,
        connections_per_ip: usize::MAX,
        connections_per_net: usize::MAX,
        ..settings.config.limits.registry()
    }
}
