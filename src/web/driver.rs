//! The loop between the engine and the page.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use js_sys::{ArrayBuffer, Function, Uint8Array};
use wasm_bindgen::prelude::*;

use super::blobs::Blobs;
use super::dom::{Timer, now_ms};
use super::host::Host;
use super::http::Download;
use super::link::Link;
use super::start::Start;
use super::tracker::Tracker;
use crate::engine::{Engine, EngineSetup, Input, Output, Placement, Stats};
use crate::id::{FetchId, LinkId, RequestId, SegmentKey, TrackerId};
use crate::sorted::SortedMap;
use crate::time::Time;

/// The bytes of a data frame that the engine looks at.
const FRAME_HEAD_BYTES: u32 = 16;

/// Something for the engine.
pub enum Job {
    /// An input as it is.
    Input(Input),
    /// Bytes of an HTTP body.
    Chunk(FetchId, Uint8Array),
    /// A data frame.
    Frame(LinkId, ArrayBuffer),
    /// A message of a viewer of p2p-media-loader.
    #[cfg(feature = "interop")]
    Stock(LinkId, ArrayBuffer),
    /// What waited for the first segment need not wait any longer.
    Started,
}

/// Owns the engine and everything that runs on its behalf.
pub struct Driver {
    pub(super) me: Weak<Driver>,
    pub(super) host: Host,
    pub(super) blobs: RefCell<Blobs>,
    pub(super) downloads: RefCell<SortedMap<FetchId, Download>>,
    pub(super) links: RefCell<SortedMap<LinkId, Rc<Link>>>,
    pub(super) trackers: RefCell<SortedMap<TrackerId, Tracker>>,
    /// What the player waits for.
    pub(super) wants: RefCell<SortedMap<RequestId, SegmentKey>>,
    /// Segments in the cache that came from the second-level storage; their speed says nothing of the network.
    pub(super) from_storage: RefCell<SortedMap<SegmentKey, ()>>,
    pub(super) start: Start,
    engine: RefCell<Engine>,
    inbox: RefCell<VecDeque<Job>>,
    /// Whether the loop runs. Stays set for good when it was left by a trap: the engine is never touched again.
    draining: Cell<bool>,
    stopped: Cell<bool>,
    /// `limits.sendBufferLowBytes`: below it the engine is told that it may send again.
    pub(super) low_water_bytes: u32,
    /// `limits.maxControlMessageBytes`.
    pub(super) control_bytes: u32,
    /// Whether only addresses of relays may leave.
    pub(super) relay_only: bool,
    epoch_ms: f64,
    wake: Timer,
    /// The deadline that `wake` is set for.
    wake_at: Cell<Option<Time>>,
    /// The loop, behind the page's guard.
    run: Function,
    /// What `run` calls. Kept alive with it.
    _body: Closure<dyn Fn()>,
}

impl Driver {
    /// A driver with a new engine. Nothing happens before the first [`Driver::push`].
    pub fn new(setup: EngineSetup, host: Host) -> Rc<Driver> {
        Rc::new_cyclic(|me: &Weak<Driver>| {
            let drain = me.clone();
            let body = Closure::<dyn Fn()>::new(move || {
                if let Some(driver) = drain.upgrade() {
                    driver.drain();
                }
            });
            let tick = me.clone();
            let wake = Timer::new(move || {
                if let Some(driver) = tick.upgrade() {
                    driver.wake_at.set(None);
                    driver.push(Job::Input(Input::Tick));
                }
            });
            Driver {
                me: me.clone(),
                run: host.guard(body.as_ref()),
                host,
                low_water_bytes: setup.config.limits.send_buffer_low_bytes.try_into().unwrap_or(u32::MAX),
                control_bytes: setup.config.limits.max_control_message_bytes,
                relay_only: setup.config.loader.relay_only,
                blobs: RefCell::default(),
                downloads: RefCell::default(),
                links: RefCell::default(),
                trackers: RefCell::default(),
                wants: RefCell::default(),
                from_storage: RefCell::default(),
                start: Start::new(me, setup.config.loader.http_download_initial_timeout > 0),
                engine: RefCell::new(Engine::new(setup)),
                inbox: RefCell::default(),
                draining: Cell::new(false),
                stopped: Cell::new(false),
                epoch_ms: now_ms(),
                wake,
                wake_at: Cell::new(None),
                _body: body,
            }
        })
    }

    /// Hands something to the engine, now or, when the loop is running, as soon as it comes to it.
    pub fn push(&self, job: Job) {
        if self.stopped.get() {
            return;
        }
        self.inbox.borrow_mut().push_back(job);
        if !self.draining.get() {
            // The guard has dealt with whatever went wrong.
            let _ = self.run.call0(&JsValue::UNDEFINED);
        }
    }

    /// [`Driver::push`] of an input.
    pub fn input(&self, input: Input) {
        self.push(Job::Input(input));
    }

    /// Counts what earlier engines of the page received and sent.
    pub fn carry_over(&self, received_bytes: u64, uploaded_bytes: u64) {
        if let Ok(mut engine) = self.engine.try_borrow_mut() {
            engine.carry_over(received_bytes, uploaded_bytes);
        }
    }

    /// A snapshot of the engine; `None` after a trap.
    pub fn stats(&self) -> Option<Stats> {
        let engine = self.engine.try_borrow().ok()?;
        Some(engine.stats())
    }

    /// Our peer id; `None` after a trap.
    pub fn peer_id(&self) -> Option<String> {
        Some(self.engine.try_borrow().ok()?.peer_id().to_string())
    }

    /// The engine's clock.
    pub fn now(&self) -> Time {
        let elapsed_us = (now_ms() - self.epoch_ms).max(0.0) * 1000.0;
        Time::from_micros(elapsed_us as u64)
    }

    fn drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        while let Some(job) = self.next_job() {
            let last = matches!(job, Job::Input(Input::Shutdown));
            self.feed(job);
            self.run_outputs();
            if last {
                self.stop();
                break;
            }
        }
        self.draining.set(false);
    }

    fn next_job(&self) -> Option<Job> {
        self.inbox.borrow_mut().pop_front()
    }

    fn feed(&self, job: Job) {
        let now = self.now();
        match job {
            Job::Input(input) => {
                if let Input::Want { request, key } = input {
                    self.wants.borrow_mut().insert(request, key);
                }
                if let Input::Cancel { request } = input {
                    self.wants.borrow_mut().remove(&request);
                }
                let wanted = if let Input::Want { key, .. } = &input { Some(*key) } else { None };
                self.engine.borrow_mut().handle(now, input);
                if let Some(key) = wanted {
                    self.report_running(key);
                }
            }
            Job::Chunk(fetch, bytes) => {
                let length = bytes.length();
                let placement = self.engine.borrow_mut().place_fetched(now, fetch, length);
                self.place(placement, &bytes);
            }
            #[cfg(feature = "interop")]
            Job::Stock(link, buffer) => self.feed_stock(now, link, &buffer),
            Job::Started => self.start.end().into_iter().for_each(|output| self.run_output(output)),
            Job::Frame(link, buffer) => {
                let length = buffer.byte_length();
                let head =
                    Uint8Array::new_with_byte_offset_and_length(&buffer, 0, length.min(FRAME_HEAD_BYTES))
                        .to_vec();
                let placement = self.engine.borrow_mut().place_frame(now, link, &head, length);
                self.place(placement, &Uint8Array::new(&buffer));
            }
        }
    }

    #[cfg(feature = "interop")]
    pub(super) fn engine(&self) -> std::cell::RefMut<'_, Engine> {
        self.engine.borrow_mut()
    }

    pub(super) fn place(&self, placement: Placement, bytes: &Uint8Array) {
        let Placement::At { blob, at, skip, len } = placement else { return };
        let end = skip.saturating_add(len).min(bytes.length());
        let part = if skip == 0 && end == bytes.length() { bytes.clone() } else { bytes.subarray(skip, end) };
        self.blobs.borrow_mut().write(blob, at, part);
    }

    fn run_outputs(&self) {
        loop {
            let output = self.engine.borrow_mut().poll_output();
            match output {
                Output::Wait(deadline) => return self.wake_at(deadline.map(|deadline| deadline.at)),
                output => {
                    if let Some(output) = self.start.hold(output) {
                        self.run_output(output);
                    }
                }
            }
        }
    }

    fn wake_at(&self, at: Option<Time>) {
        if self.wake_at.replace(at) == at {
            return;
        }
        match at {
            None => self.wake.clear(),
            Some(at) => {
                let wait_ms = at.since(self.now()).as_secs_f64() * 1000.0;
                // Browsers round down: a whole millisecond more spares a wake-up before the deadline.
                self.wake.set(wait_ms.ceil());
            }
        }
    }

    /// Ends everything. Goodbyes that were sent still leave.
    fn stop(&self) {
        self.stopped.set(true);
        self.wake.clear();
        self.start.end();
        self.inbox.borrow_mut().clear();
        // Taken out first: dropping them runs code that may look at the maps.
        drop(self.downloads.take());
        drop(self.links.take());
        drop(self.trackers.take());
        self.wants.take();
        self.blobs.borrow_mut().clear();
    }
}
