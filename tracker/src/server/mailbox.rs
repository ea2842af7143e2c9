//! Bounded mailboxes: what the workers of one process, and the bus, put there for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;

use crate::cluster::{Bus, Dest, NodeId};

/// Frames that wait for one worker at most. More are dropped: the numbering of the frames shows what is missing.
const MOST_FRAMES: usize = 8 * 1024;
/// Bytes that wait for one worker at most.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Where frames for one worker are put.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    frames: SyncSender<Arc<[u8]>>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    waker: Arc<Waker>,
    bytes: AtomicUsize,
    /// Whether the worker was woken and has not looked yet.
    woken: AtomicBool,
    dropped: AtomicU64,
}

/// Where one worker takes its frames from.
#[derive(Debug)]
pub(super) struct Inbox {
    frames: Receiver<Arc<[u8]>>,
    state: Arc<State>,
}

/// An empty mailbox, and its other end.
pub(super) fn mailbox(waker: Arc<Waker>) -> (Mailbox, Inbox) {
    let (sender, receiver) = sync_channel(MOST_FRAMES);
    let state = Arc::new(State {
        waker,
        bytes: AtomicUsize::new(0),
        woken: AtomicBool::new(false),
        dropped: AtomicU64::new(0),
    });
    (Mailbox { frames: sender, state: Arc::clone(&state) }, Inbox { frames: receiver, state })
}

impl Mailbox {
    /// Puts a frame in, if it fits. The worker is not woken yet.
    pub(super) fn put(&self, frame: Arc<[u8]>) {
        let bytes = frame.len();
        let fits = self.state.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES;
        let sent = if fits { self.frames.try_send(frame) } else { Err(TrySendError::Full(frame)) };
        if sent.is_err() {
            self.state.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the worker look, unless it is about to.
    pub(super) fn wake(&self) {
        if !self.state.woken.swap(true, Ordering::AcqRel) {
            // A worker that ended needs no waking.
            let _ = self.state.waker.wake();
        }
    }
}

impl Inbox {
    /// The next frame, if there is one.
    pub(super) fn take(&self) -> Option<Arc<[u8]>> {
        let frame = self.frames.try_recv().ok()?;
        self.state.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }

    /// From now on new frames wake the worker. Call it before the frames are taken.
    pub(super) fn listen(&self) {
        self.state.woken.store(false, Ordering::Release);
    }

    /// Frames that did not fit.
    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

/// The bus of one worker: mailboxes within the process, and perhaps something that reaches other processes.
pub(super) struct Exchange {
    own: NodeId,
    boxes: Arc<[Mailbox]>,
    /// Boxes that something was put into in this turn.
    touched: Vec<bool>,
    uplink: Box<dyn Bus + Send>,
}

impl Exchange {
    /// The bus of the worker `own`.
    pub(super) fn new(own: NodeId, boxes: Arc<[Mailbox]>, uplink: Box<dyn Bus + Send>) -> Exchange {
        let touched = vec![false; boxes.len()];
        Exchange { own, boxes, touched, uplink }
    }

    fn put(&mut self, worker: usize, frame: &Arc<[u8]>) {
        if let (Some(target), Some(touched)) = (self.boxes.get(worker), self.touched.get_mut(worker)) {
            target.put(Arc::clone(frame));
            *touched = true;
        }
    }
}

impl Bus for Exchange {
    fn send(&mut self, to: Dest, frame: &[u8]) {
        match to {
            Dest::Workers => {
                let frame = Arc::from(frame);
                let own = self.own.worker();
                for worker in (0..self.boxes.len()).filter(|worker| Some(*worker) != own) {
                    self.put(worker, &frame);
                }
            }
            Dest::Node(node) if node.process() == self.own.process() => {
                if let Some(worker) = node.worker() {
                    self.put(worker, &Arc::from(frame));
                }
            }
            Dest::Processes | Dest::Node(_) => self.uplink.send(to, frame),
        }
    }

    fn flush(&mut self) {
        for (target, touched) in self.boxes.iter().zip(&mut self.touched) {
            if std::mem::take(touched) {
                target.wake();
            }
        }
        self.uplink.flush();
    }
}
