//! HTTP downloads: `fetch()` streams, or whatever the page's hooks do instead.

use std::rc::{Rc, Weak};

use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, Request, Response};

use super::dom::{Task, Timer, message_of, now_ms};
use super::driver::{Driver, Job};
use super::host::Transport;
use super::sink::FetchSink;
use crate::engine::{FetchError, HttpHead, Input};
use crate::id::{ByteRange, FetchId, SegmentKey};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn global_fetch(request: &Request) -> Promise;
}

/// One running download. Dropping it stops it.
pub struct Download {
    /// Which segment.
    pub key: SegmentKey,
    started_ms: f64,
    first_ms: f64,
    loaded: f64,
    total: f64,
    controller: AbortController,
    /// Stops a download that TypeScript does.
    pub(super) abort: Option<Function>,
    /// Fires at the time limit for the head, then at that for the whole download.
    limit: Timer,
    _task: Task,
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
        let controller = driver.host.new_abort_controller();
        driver.host.keep(&controller);
        let weak = Rc::downgrade(driver);
        let expired = weak.clone();
        let limit = Timer::new(move || {
            if let Some(driver) = expired.upgrade() {
                driver.fetch_failed(fetch, FetchError::Timeout);
            }
        });
        limit.set(driver.host.first_byte_limit_ms());
        let job = Errand { driver: weak.clone(), fetch, key, url: url.to_owned(), range };
        let signal = controller.signal();
        let task = Task::spawn(async move {
            if let Err(error) = job.run(&signal).await
                && let Some(driver) = job.driver.upgrade()
            {
                driver.fetch_failed(fetch, error);
            }
        });
        Download {
            key,
            started_ms: now_ms(),
            first_ms: 0.0,
            loaded: 0.0,
            total: 0.0,
            controller,
            abort: None,
            limit,
            _task: task,
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
        self.controller.abort();
        if let Some(abort) = &self.abort {
            let _ = abort.call0(&JsValue::UNDEFINED);
        }
        if let Some(driver) = self.driver.upgrade() {
            driver.host.release(&self.controller);
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

/// What a download's task works on.
struct Errand {
    driver: Weak<Driver>,
    fetch: FetchId,
    key: SegmentKey,
    url: String,
    range: Option<ByteRange>,
}

fn network(thrown: JsValue) -> FetchError {
    FetchError::Network(message_of(&thrown))
}

impl Errand {
    async fn run(&self, signal: &web_sys::AbortSignal) -> Result<(), FetchError> {
        if let Some(bytes) = self.stored().await {
            self.serve_stored(bytes);
            return Ok(());
        }
        let Some(driver) = self.driver.upgrade() else { return Ok(()) };
        let (start, end) = self.range_numbers();
        let what = driver.host.request(&self.key.to_string(), &self.url, start, end, signal);
        drop(driver);
        let what = JsFuture::from(Promise::resolve(&what)).await.map_err(network)?;
        if what.is_function() {
            return self.transport(what.unchecked_ref()).map_err(network);
        }
        let response = JsFuture::from(global_fetch(what.unchecked_ref())).await.map_err(network)?;
        let response: Response = response.unchecked_into();
        if !response.ok() {
            return Err(FetchError::Status(response.status()));
        }
        let expected = body_bytes(&response);
        let head = HttpHead {
            status: response.status(),
            body_bytes: expected,
            content_range: response
                .headers()
                .get("content-range")
                .ok()
                .flatten()
                .and_then(|text| parse_content_range(&text)),
        };
        self.with_driver(|driver| driver.fetch_opened(self.fetch, head));
        if let Some(body) = response.body() {
            let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
            loop {
                let step = JsFuture::from(reader.read()).await.map_err(network)?;
                if Reflect::get(&step, &"done".into()).is_ok_and(|done| done.is_truthy()) {
                    break;
                }
                let bytes = Reflect::get(&step, &"value".into()).map_err(network)?;
                self.with_driver(|driver| driver.fetch_bytes(self.fetch, bytes.unchecked_into()));
            }
        }
        self.with_driver(|driver| driver.fetch_done(self.fetch));
        Ok(())
    }

    fn with_driver(&self, act: impl FnOnce(&Driver)) {
        if let Some(driver) = self.driver.upgrade() {
            act(&driver);
        }
    }

    /// Start and exclusive end as the host takes them.
    fn range_numbers(&self) -> (f64, f64) {
        match self.range {
            None => (0.0, -1.0),
            Some(ByteRange { start, end: u64::MAX }) => (start as f64, f64::INFINITY),
            Some(ByteRange { start, end }) => (start as f64, end as f64),
        }
    }

    async fn stored(&self) -> Option<Uint8Array> {
        let promise = {
            let driver = self.driver.upgrade()?;
            if !driver.host.has_storage() {
                return None;
            }
            let (start, end) = self.range_numbers();
            driver.host.stored(&self.key.to_string(), start, end)
        };
        let found = JsFuture::from(promise).await.ok()?;
        found.is_object().then(|| found.unchecked_into())
    }

    fn serve_stored(&self, bytes: Uint8Array) {
        let head = HttpHead {
            status: if self.range.is_some() { 206 } else { 200 },
            body_bytes: Some(u64::from(bytes.length())),
            content_range: self.range,
        };
        self.with_driver(|driver| {
            driver.from_storage.borrow_mut().insert(self.key, ());
            driver.fetch_opened(self.fetch, head);
            driver.fetch_bytes(self.fetch, bytes);
            driver.fetch_done(self.fetch);
        });
    }

    fn transport(&self, transport: &Transport) -> Result<(), JsValue> {
        let abort = transport.start(&JsValue::UNDEFINED, FetchSink::new(self.driver.clone(), self.fetch))?;
        self.with_driver(|driver| {
            if let Some(download) = driver.downloads.borrow_mut().get_mut(&self.fetch) {
                download.abort = abort.dyn_into().ok();
            }
        });
        Ok(())
    }
}

/// The length that the response promises, where it can be believed to be that of the bytes we shall see.
fn body_bytes(response: &Response) -> Option<u64> {
    let header = |name| response.headers().get(name).ok().flatten();
    if header("content-encoding").is_some() {
        return None;
    }
    // Across origins a page cannot see whether the body is compressed. Servers compress text, not media.
    let kind = header("content-type").unwrap_or_default();
    let media = ["video/", "audio/", "application/octet-stream", "binary/octet-stream"];
    let same_origin = Reflect::get(response, &"type".into()).is_ok_and(|kind| kind == "basic");
    if !same_origin && !media.iter().any(|prefix| kind.starts_with(prefix)) {
        return None;
    }
    header("content-length")?.trim().parse().ok()
}

/// `bytes first-last/total` of RFC 9110 section 14.4.
pub fn parse_content_range(text: &str) -> Option<ByteRange> {
    let (range, _total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let start: u64 = first.trim().parse().ok()?;
    let last: u64 = last.trim().parse().ok()?;
    (last >= start).then(|| ByteRange { start, end: last.saturating_add(1) })
}
