//! The receiving end of a download that TypeScript does.

use std::rc::Weak;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use crate::engine::{FetchError, HttpHead};
use crate::id::{ByteRange, FetchId, SegmentKey};

/// Takes one download: `opened`, any number of `bytes`, then one of `done`, `failed`, `broken` and `timedOut`.
/// Calls after that, or after the download was stopped, do nothing.
#[wasm_bindgen]
pub struct FetchSink {
    driver: Weak<Driver>,
    fetch: FetchId,
    key: SegmentKey,
    range: Option<ByteRange>,
}

impl FetchSink {
    /// The sink of one download.
    pub fn new(driver: Weak<Driver>, fetch: FetchId, key: SegmentKey, range: Option<ByteRange>) -> FetchSink {
        FetchSink { driver, fetch, key, range }
    }

    fn with_driver(&self, act: impl FnOnce(&Driver, FetchId)) {
        if let Some(driver) = self.driver.upgrade() {
            act(&driver, self.fetch);
        }
    }
}

#[wasm_bindgen]
impl FetchSink {
    /// The head came, with a success status: the length of the body, and the first and the last byte of the resource that it
    /// has (`Content-Range`); NaN for what is unknown.
    pub fn opened(&self, status: u16, body_bytes: f64, first: f64, last: f64) {
        let head = HttpHead {
            status,
            body_bytes: (body_bytes >= 0.0).then_some(body_bytes as u64),
            content_range: (last >= first)
                .then(|| ByteRange { start: first as u64, end: (last as u64).saturating_add(1) }),
        };
        self.with_driver(|driver, fetch| driver.fetch_opened(fetch, head));
    }

    /// The second-level storage had all of it.
    pub fn stored(&self, bytes: Uint8Array) {
        let head = HttpHead {
            status: if self.range.is_some() { 206 } else { 200 },
            body_bytes: Some(u64::from(bytes.length())),
            content_range: self.range,
        };
        self.with_driver(|driver, fetch| {
            driver.from_storage.borrow_mut().insert(self.key, ());
            driver.fetch_opened(fetch, head);
            driver.fetch_bytes(fetch, bytes);
            driver.fetch_done(fetch);
        });
    }

    /// The next bytes of the body.
    pub fn bytes(&self, bytes: Uint8Array) {
        self.with_driver(|driver, fetch| driver.fetch_bytes(fetch, bytes));
    }

    /// Bytes move, but they are handed over only at the end: the download has not stalled.
    pub fn alive(&self) {
        self.with_driver(Driver::fetch_alive);
    }

    /// The body is complete.
    pub fn done(&self) {
        self.with_driver(Driver::fetch_done);
    }

    /// The server answered with a status that is not a success.
    pub fn failed(&self, status: u16) {
        self.with_driver(|driver, fetch| driver.fetch_failed(fetch, FetchError::Status(status)));
    }

    /// No response, or a broken one.
    pub fn broken(&self, message: String) {
        self.with_driver(|driver, fetch| driver.fetch_failed(fetch, FetchError::Network(message)));
    }

    /// It took too long.
    #[wasm_bindgen(js_name = timedOut)]
    pub fn timed_out(&self) {
        self.with_driver(|driver, fetch| driver.fetch_failed(fetch, FetchError::Timeout));
    }
}
