//! What the workers of one process share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;

use super::clock::Clock;
use super::geo::Geo;
use super::tls;
use crate::cluster::{ClusterCounters, ClusterSizes};
use crate::config::{Config, ConfigError, Lists};
use crate::histogram::Histogram;
use crate::registry::{Admission, Counters, Sizes};

/// One configuration, read and ready to use. Replaced as a whole on reload.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) lists: Lists,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) geo: Geo,
}

impl Settings {
    pub(super) fn load(config: Config) -> Result<Settings, ConfigError> {
        config.validate()?;
        let lists = Lists::read(&config)?;
        let tls = tls::server_config(&config.tls)?;
        let geo = Geo::open(&config.matching.databases)?;
        Ok(Settings { config, lists, tls, geo })
    }
}

/// What one worker counts beside its registry.
#[derive(Clone, Debug, Default)]
pub(super) struct NetCounters {
    pub(super) accepted: u64,
    /// Finished connections by reason.
    pub(super) closed: BTreeMap<&'static str, u64>,
    /// HTTP answers by status, 101 for WebSockets.
    pub(super) http: BTreeMap<u16, u64>,
    pub(super) tls_handshakes: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Offers and candidates dropped because their receiver is slow.
    pub(super) slow_drops: u64,
    /// From the first event of a turn to its last byte written.
    pub(super) turns: Histogram,
}

/// What went over the bus to other processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BusNumbers {
    pub(super) connected: bool,
    /// Times that a connection was made.
    pub(super) connects: u64,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    /// Frames that did not fit a queue.
    pub(super) dropped: u64,
    /// Frames that were not sent because there was no connection.
    pub(super) cut_off: u64,
    /// Times that the client was too slow for what came.
    pub(super) slow: u64,
    /// Frames that somebody else sent in our name.
    pub(super) forged: u64,
}

/// The way to other processes, as the metrics see it.
type BusReader = Box<dyn Fn() -> BusNumbers + Send + Sync>;

/// A worker's numbers as it last published them.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) sizes: Sizes,
    pub(super) sockets: usize,
    pub(super) counters: Counters,
    pub(super) net: NetCounters,
    pub(super) cluster: Option<(ClusterCounters, ClusterSizes)>,
    /// Frames that did not fit its mailbox.
    pub(super) mailbox_dropped: u64,
}

/// What the workers of one process share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    draining: AtomicBool,
    admission: Mutex<Admission>,
    board: Vec<Mutex<Snapshot>>,
    /// Reads the numbers of the bus, if there is one.
    bus: Option<BusReader>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("draining", &self.draining).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(workers: usize, bus: Option<BusReader>) -> Shared {
        Shared {
            bus,
            clock: Clock::new(),
            draining: AtomicBool::new(false),
            admission: Mutex::default(),
            board: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        // Nothing panics while it is held; if something did, its numbers are still good enough to count with.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, worker: usize, snapshot: Snapshot) {
        if let Some(place) = self.board.get(worker) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        }
    }

    /// The numbers of each worker.
    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.board.iter().map(|place| place.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// What went over the bus; `None` without one.
    pub(super) fn bus(&self) -> Option<BusNumbers> {
        self.bus.as_ref().map(|read| read())
    }

    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
