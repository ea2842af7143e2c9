//! Other processes over NATS: one thread with the official client between the workers and the servers.
//!
//! Subjects: `NAME.all` for what everybody hears, `NAME.node.ID` for one process. Nothing is stored: what is lost is
//! noticed by the numbering of the frames.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subject};
use futures_util::StreamExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::mailbox::Mailbox;
use super::shared::BusNumbers;
use crate::cluster::{Bus, Dest, NodeId, Peek};
use crate::config::{ClusterSettings, ConfigError};

/// Frames that wait to be sent at most. More are dropped.
const MOST_WAITING: usize = 16 * 1024;
/// Received frames that wait at most, in the client.
const MOST_UNREAD: usize = 64 * 1024;
/// How long the last frames may take when the process ends.
const LAST_FLUSH: Duration = Duration::from_millis(500);
/// A server that does not answer for twice this time is given up: a connection can die without a word.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long to wait between attempts to connect.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    connected: AtomicBool,
    connects: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    /// Frames that did not fit a queue here.
    dropped: AtomicU64,
    /// Frames that were not sent because there was no connection.
    cut_off: AtomicU64,
    /// Times that the client was too slow for what came.
    slow: AtomicU64,
    /// Frames that somebody else sent in our name.
    forged: AtomicU64,
}

impl Numbers {
    pub(super) fn read(&self) -> BusNumbers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusNumbers {
            connected: self.connected.load(Ordering::Relaxed),
            connects: read(&self.connects),
            sent: read(&self.sent),
            sent_bytes: read(&self.sent_bytes),
            received: read(&self.received),
            received_bytes: read(&self.received_bytes),
            dropped: read(&self.dropped),
            cut_off: read(&self.cut_off),
            slow: read(&self.slow),
            forged: read(&self.forged),
        }
    }
}

/// One worker's way to other processes.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    frames: Sender<(Dest, Box<[u8]>)>,
    numbers: Arc<Numbers>,
}

impl Bus for Uplink {
    fn send(&mut self, to: Dest, frame: &[u8]) {
        // What is not sent now is old news when the connection is back.
        let counter = if !self.numbers.connected.load(Ordering::Relaxed) {
            &self.numbers.cut_off
        } else if self.frames.try_send((to, frame.into())).is_err() {
            &self.numbers.dropped
        } else {
            return;
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The thread. It ends when all its [`Uplink`]s are gone.
#[derive(Debug)]
pub(super) struct Nats {
    pub(super) uplink: Uplink,
    pub(super) thread: JoinHandle<()>,
}

/// Servers and how to introduce ourselves to them.
fn servers(settings: &ClusterSettings) -> Result<(Vec<ServerAddr>, ConnectOptions), ConfigError> {
    let mut servers = Vec::new();
    let mut options = ConnectOptions::new();
    for (place, url) in settings.urls.iter().enumerate() {
        let server = ServerAddr::from_str(url).map_err(|error| {
            let field = format!("cluster.urls[{place}]");
            ConfigError::value(&field, format_args!("{:?}", crate::config::hide_password(url)), error)
        })?;
        options = match (server.username(), server.password()) {
            (Some(name), Some(password)) => options.user_and_password(name.into(), password.into()),
            (Some(token), None) => options.token(token.into()),
            _ => options,
        };
        servers.push(server);
    }
    if !settings.ca_file.is_empty() {
        let path = PathBuf::from(&settings.ca_file);
        std::fs::metadata(&path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
        options = options.add_root_certificates(path);
    }
    Ok((servers, options))
}

/// Checks the settings as far as that is possible without a server.
pub(super) fn check(settings: &ClusterSettings) -> Result<(), ConfigError> {
    servers(settings).map(drop)
}

/// Starts the thread for the process `own`, whose workers read `boxes`. Servers that are away are tried again for ever.
pub(super) fn start(
    settings: &ClusterSettings,
    own: NodeId,
    boxes: Arc<[Mailbox]>,
    numbers: Arc<Numbers>,
) -> Result<Nats, super::StartError> {
    let (servers, options) = servers(settings)?;
    let (sender, frames) = channel(MOST_WAITING);
    let uplink = Uplink { frames: sender, numbers: Arc::clone(&numbers) };
    let name = settings.name.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("tracker-bus".into()).spawn(move || {
        let link = Link {
            name,
            own: own.process(),
            boxes,
            numbers,
            turn: AtomicUsize::new(0),
            troubles: AtomicU64::new(0),
        };
        if let Err(error) = runtime.block_on(run(servers, options, Arc::new(link), frames)) {
            tracing::error!(%error, "the bus ended: this tracker is on its own");
        }
    })?;
    Ok(Nats { uplink, thread })
}

struct Link {
    name: String,
    own: NodeId,
    boxes: Arc<[Mailbox]>,
    numbers: Arc<Numbers>,
    /// Which worker gets what any may take.
    turn: AtomicUsize,
    troubles: AtomicU64,
}

async fn run(
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    link: Arc<Link>,
    mut frames: Receiver<(Dest, Box<[u8]>)>,
) -> io::Result<()> {
    let watcher = Arc::clone(&link);
    let client = options
        .name("hlswarm-tracker")
        .no_echo()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_secs(3))
        .reconnect_delay_callback(|attempt| if attempt <= 1 { Duration::ZERO } else { RETRY_EVERY })
        .ping_interval(PING_EVERY)
        .subscription_capacity(MOST_UNREAD)
        .event_callback(move |event| {
            watcher.happened(&event);
            std::future::ready(())
        })
        .connect(servers)
        .await
        .map_err(io::Error::other)?;
    let everybody = client.subscribe(link.subject_of_all()).await.map_err(io::Error::other)?;
    let ours = client.subscribe(link.subject_of(link.own)).await.map_err(io::Error::other)?;
    let mut received = futures_util::stream::select(everybody, ours);
    let mut subjects = BTreeMap::new();
    loop {
        tokio::select! {
            message = received.next() => match message {
                Some(message) => link.receive(&message.payload),
                None => return Err(io::Error::other("the subscriptions ended")),
            },
            frame = frames.recv() => {
                let Some((to, frame)) = frame else { break };
                link.publish(&client, &mut subjects, to, frame).await;
            }
        }
    }
    // The goodbye is among the last frames.
    let _ = tokio::time::timeout(LAST_FLUSH, client.flush()).await;
    Ok(())
}

impl Link {
    fn subject_of_all(&self) -> Subject {
        format!("{}.all", self.name).into()
    }

    fn subject_of(&self, node: NodeId) -> Subject {
        format!("{}.node.{}", self.name, node.process()).into()
    }

    fn happened(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.numbers.connected.store(true, Ordering::Relaxed);
                self.numbers.connects.fetch_add(1, Ordering::Relaxed);
                tracing::info!(node = %self.own, "connected to the bus");
            }
            Event::Disconnected | Event::Closed => {
                self.numbers.connected.store(false, Ordering::Relaxed);
                tracing::warn!("the bus is away: this tracker is on its own until it is back");
            }
            Event::SlowConsumer(_) => {
                self.numbers.slow.fetch_add(1, Ordering::Relaxed);
            }
            Event::ServerError(_) | Event::ClientError(_) => {
                // One for each attempt while nobody answers.
                const LOG_ONE_IN: u64 = 30;
                if self.troubles.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOG_ONE_IN) {
                    tracing::warn!(%event, "the bus is not to be reached");
                }
            }
            other => tracing::debug!(event = %other, "bus"),
        }
    }

    fn receive(&self, frame: &[u8]) {
        self.numbers.received.fetch_add(1, Ordering::Relaxed);
        self.numbers.received_bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        // What cannot be read is counted by the worker that gets it.
        let peek = Peek::at(frame).ok();
        if peek.is_some_and(|peek| peek.from.process() == self.own) {
            // Our own do not come back: this is somebody who would be taken for one of our workers.
            self.numbers.forged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let frame: Arc<[u8]> = Arc::from(frame);
        let worker = match peek.and_then(|peek| peek.to.map(|to| (to, peek.for_any_worker))) {
            None if peek.is_some() => {
                for target in self.boxes.iter() {
                    target.put(Arc::clone(&frame));
                    target.wake();
                }
                return;
            }
            Some((to, any)) => match to.worker() {
                Some(worker) => worker,
                None if any => self.turn.fetch_add(1, Ordering::Relaxed) % self.boxes.len().max(1),
                None => 0,
            },
            None => 0,
        };
        if let Some(target) = self.boxes.get(worker) {
            target.put(frame);
            target.wake();
        }
    }

    async fn publish(
        &self,
        client: &Client,
        subjects: &mut BTreeMap<Option<NodeId>, Subject>,
        to: Dest,
        frame: Box<[u8]>,
    ) {
        const MOST_SUBJECTS: usize = 1024;
        let node = match to {
            Dest::Node(node) => Some(node.process()),
            Dest::Workers | Dest::Processes => None,
        };
        if subjects.len() > MOST_SUBJECTS {
            // Nodes come and go.
            subjects.clear();
        }
        let subject = subjects
            .entry(node)
            .or_insert_with(|| node.map_or_else(|| self.subject_of_all(), |node| self.subject_of(node)));
        let bytes = frame.len() as u64;
        match client.publish(subject.clone(), Vec::from(frame).into()).await {
            Ok(()) => {
                self.numbers.sent.fetch_add(1, Ordering::Relaxed);
                self.numbers.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(error) => {
                self.numbers.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "a frame was not sent");
            }
        }
    }
}
