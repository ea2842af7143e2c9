//! HTTP downloads. TypeScript does them, as the page's hooks want them; this keeps the time and what has come.

use std::rc::{Rc, Weak};

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::dom::{Timer, now_ms};
use super::driver::{Driver, Job};
use super::sink::FetchSink;
use crate::engine::{FetchError, HttpHead, Input};
use crate::id::{ByteRange, FetchId, SegmentKey};

/// One running download. Dropping it stops it.
pub struct Download {
    /// Which segment.
    pub key: SegmentKey,
    started_ms: f64,
    first_ms: f64,
    loaded: f64,
    total: f64,
    /// What stops it.
    handle: JsValue,
    /// Fires at the time limit for the head, then at that for the whole download.
    limit: Timer,
    driver: Weak<Driver>,
}

impl Download {
    /// Starts a download. Everything that comes of it goes to the engine later, never from inside this call.
    pub fn start(
        driver: &Rc<Driver>,
        fetch: FetchId,
        key: SegmentKey,
        url: &str,
        range: Option<ByteRange>,
    ) -> Download {
        let weak = Rc::downgrade(driver);
        let expired = weak.clone();
        let limit = Timer::new(move || {
            if let Some(driver) = expired.upgrade() {
                driver.fetch_failed(fetch, FetchError::Timeout);
            }
        });
        limit.set(driver.host.first_byte_limit_ms());
        let (start, end) = match range {
            None => (0.0, -1.0),
            Some(ByteRange { start, end: u64::MAX }) => (start as f64, f64::INFINITY),
            Some(ByteRange { start, end }) => (start as f64, end as f64),
        };
        let sink = FetchSink::new(weak.clone(), fetch, key, range);
        let handle = driver.host.download(&key.to_string(), url, start, end, sink);
        Download {
            key,
            started_ms: now_ms(),
            first_ms: 0.0,
            loaded: 0.0,
            total: 0.0,
            handle,
            limit,
            driver: weak,
        }
    }

    /// Start and first byte on the page's clock, bytes loaded, bytes expected.
    pub fn progress(&self) -> (f64, f64, f64, f64) {
        (self.started_ms, self.first_ms, self.loaded, self.total)
    }

    /// Counts bytes of the body.
    pub fn note_bytes(&mut self, now_ms: f64, bytes: u32) {
        if self.first_ms == 0.0 {
            self.first_ms = now_ms;
        }
        self.loaded += f64::from(bytes);
        self.total = self.total.max(self.loaded);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.host.stop(&self.handle);
        }
    }
}

impl Driver {
    /// The response head of a download.
    pub(super) fn fetch_opened(&self, fetch: FetchId, head: HttpHead) {
        if let Some(download) = self.downloads.borrow_mut().get_mut(&fetch) {
            download.total = head.body_bytes.unwrap_or(0) as f64;
            let left_ms = self.host.load_limit_ms() - (now_ms() - download.started_ms);
            download.limit.set(left_ms);
        } else {
            return;
        }
        self.input(Input::FetchOpened { fetch, head });
    }

    /// Bytes of a download's body, in order.
    pub(super) fn fetch_bytes(&self, fetch: FetchId, bytes: Uint8Array) {
        if bytes.length() > 0 && self.downloads.borrow().contains_key(&fetch) {
            self.note_bytes(fetch, bytes.length());
            self.push(Job::Chunk(fetch, bytes));
        }
    }

    /// Bytes of a download that are not here yet have moved on the network.
    pub(super) fn fetch_alive(&self, fetch: FetchId) {
        if self.downloads.borrow().contains_key(&fetch) {
            self.push(Job::Chunk(fetch, Uint8Array::new_with_length(0)));
        }
    }

    /// The end of a download's body.
    pub(super) fn fetch_done(&self, fetch: FetchId) {
        let ended = self.downloads.borrow_mut().remove(&fetch);
        if ended.is_some() {
            self.input(Input::FetchDone { fetch });
        }
    }

    /// The failure of a download.
    pub(super) fn fetch_failed(&self, fetch: FetchId, error: FetchError) {
        if self.downloads.borrow().contains_key(&fetch) {
            self.end_fetch(fetch);
            self.input(Input::FetchFailed { fetch, error });
        }
    }
}
