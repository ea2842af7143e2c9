//! What all connections of one worker work with.

use std::sync::Arc;

use hlswarm::time::Time;
use rand_chacha::ChaCha8Rng;

use super::addresses::Addresses;
use super::gate::Gate;
use super::mailbox::Inbox;
use super::queue::Pool;
use super::shared::{NetCounters, Settings, Shared, Snapshot};
use crate::cluster::Bus;
use crate::out::Out;
use crate::registry::{ConnId, Prefix, Registry};

/// What all connections of one worker work with.
pub(super) struct Core {
    pub(super) worker: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    pub(super) registry: Registry,
    pub(super) rng: ChaCha8Rng,
    pub(super) now: Time,
    pub(super) out: Out,
    /// Reaches the other workers and processes.
    pub(super) bus: Box<dyn Bus + Send>,
    /// What they say; `None` for a worker on its own.
    pub(super) inbox: Option<Inbox>,
    /// Where messages are unmasked.
    pub(super) scratch: Vec<u8>,
    /// Where TLS records are decrypted.
    pub(super) plain: Vec<u8>,
    pub(super) pool: Pool,
    pub(super) net: NetCounters,
    pub(super) gate: Gate,
    pub(super) addresses: Addresses,
    /// Index of the socket of each connection, by its slot.
    pub(super) sockets: Vec<u32>,
    /// How many sockets there are, open or opening.
    pub(super) open: usize,
}

impl Core {
    /// Which socket a connection has.
    pub(super) fn socket_of(&self, conn: ConnId) -> Option<u32> {
        self.sockets.get(conn.slot()).copied()
    }

    pub(super) fn bind(&mut self, conn: ConnId, socket: u32) {
        if self.sockets.len() <= conn.slot() {
            self.sockets.resize(conn.slot() + 1, u32::MAX);
        }
        if let Some(place) = self.sockets.get_mut(conn.slot()) {
            *place = socket;
        }
    }

    /// A connection is gone, for the registry and for the count.
    pub(super) fn leave(&mut self, conn: ConnId, ip: Prefix) {
        self.registry.disconnect(conn);
        self.shared.admission().leave(ip);
    }

    pub(super) fn publish(&self) {
        self.shared.publish(
            self.worker,
            Snapshot {
                sizes: self.registry.sizes(),
                sockets: self.open,
                counters: self.registry.counters().clone(),
                net: self.net.clone(),
                cluster: self.registry.cluster(),
                mailbox_dropped: self.inbox.as_ref().map_or(0, Inbox::dropped),
            },
        );
    }
}
