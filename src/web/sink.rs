//! The receiving end of a download that TypeScript does: XMLHttpRequest with the page's set-up, or the page's own
//! hls.js loader class.

use std::rc::Weak;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use super::http::parse_content_range;
use crate::engine::{FetchError, HttpHead};
use crate::id::FetchId;

/// Takes one download: `opened`, any number of `bytes`, then one of `done`, `failed`, `broken` and `timedOut`.
/// Calls after that, or after the download was stopped, do nothing.
#[wasm_bindgen]
pub struct FetchSink {
    driver: Weak<Driver>,
    fetch: FetchId,
}

impl FetchSink {
    /// The sink of one download.
    pub fn new(driver: Weak<Driver>, fetch: FetchId) -> FetchSink {
        FetchSink { driver, fetch }
    }

    fn with_driver(&self, act: impl FnOnce(&Driver, FetchId)) {
        if let Some(driver) = self.driver.upgrade() {
            act(&driver, self.fetch);
        }
    }
}

#[wasm_bindgen]
impl FetchSink {
    /// The head came, with a success status. `body_bytes` is undefined when unknown.
    pub fn opened(&self, status: u16, body_bytes: Option<f64>, content_range: Option<String>) {
        let head = HttpHead {
            status,
            body_bytes: body_bytes.filter(|bytes| *bytes >= 0.0).map(|bytes| bytes as u64),
            content_range: content_range.and_then(|text| parse_content_range(&text)),
        };
        self.with_driver(|driver, fetch| driver.fetch_opened(fetch, head));
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
