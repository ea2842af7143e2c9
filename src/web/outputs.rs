//! What each output of the engine does in a page.

use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::dom::{now_ms, then};
use super::driver::Driver;
use super::http::Download;
use super::link::{Link, Role};
use super::tracker::Tracker;
use crate::engine::{DeliveryTiming, Event, FetchError, Input, LinkCloseCause, Output, RequestFailure};
use crate::id::{BlobId, ByteRange, FetchId, LinkId, RequestId, SegmentKey};
use crate::integrity::{block_digest, shorten};
use crate::json::to_text;

impl Driver {
    /// Runs one output. The engine is free meanwhile: what this causes may come back through the inbox.
    pub(super) fn run_output(&self, output: Output) {
        match output {
            Output::Fetch { fetch, key, url, range } => self.start_fetch(fetch, key, &url, range),
            Output::CancelFetch { fetch } => self.end_fetch(fetch),
            Output::OpenTracker { tracker, url } => {
                let opened = Tracker::open(self, tracker, &url);
                match opened {
                    Ok(socket) => drop(self.trackers.borrow_mut().insert(tracker, socket)),
                    Err(why) => self.input(Input::TrackerDown { tracker, why }),
                }
            }
            Output::SendTracker { tracker, text } => {
                if let Some(socket) = self.trackers.borrow().get(&tracker) {
                    socket.send(&text);
                }
            }
            Output::CloseTracker { tracker } => drop(self.take_tracker(tracker)),
            Output::CreateOffer { link } => self.start_link(link, Role::Offerer),
            Output::AcceptOffer { link, sdp } => self.start_link(link, Role::Answerer(sdp)),
            Output::AcceptAnswer { link, sdp } => {
                if let Some(link) = self.link(link) {
                    link.accept_answer(sdp);
                }
            }
            Output::AddCandidates { link, candidates } => {
                if let Some(link) = self.link(link) {
                    link.add_candidates(candidates);
                }
            }
            Output::CloseLink { link } => drop(self.take_link(link)),
            Output::SendControl { link, frame } => self.send(link, &Uint8Array::from(frame.as_slice())),
            Output::SendData { link, head, blob, at, len } => self.send_data(link, &head, blob, at, len),
            Output::NewBlob { blob } => self.blobs.borrow_mut().create(blob),
            Output::DropBlob { blob } => self.blobs.borrow_mut().remove(blob),
            Output::Digest { ask, blob, at, len } => self.digest(ask, blob, at, len),
            Output::Clear { blob, at, len } => self.blobs.borrow_mut().clear_part(blob, at, len.into()),
            #[cfg(feature = "signed")]
            Output::CheckSignature { check, public_key, message, signature } => {
                let verdict = self.host.check_signature(&public_key, &message, &signature);
                self.when(&verdict, move |answer| {
                    let ok = answer.is_ok_and(|ok| ok == JsValue::TRUE);
                    Input::SignatureChecked { check, ok }
                });
            }
            Output::Verify { blob, key, url, byte_range: _, from_peers } => {
                self.verify(blob, key, &url, from_peers);
            }
            Output::Deliver { request, blob, len, timing } => self.deliver(request, blob, len, timing),
            Output::Fail { request, why } => self.fail(request, &why),
            Output::Event(event) => self.event(&event),
            Output::Wait(_) => {}
        }
    }

    pub(super) fn event(&self, event: &Event) {
        if let Event::SegmentEvicted { key } = event {
            self.from_storage.borrow_mut().remove(key);
        }
        self.host.event(&to_text(event));
    }

    fn start_fetch(&self, fetch: FetchId, key: SegmentKey, url: &str, range: Option<ByteRange>) {
        let Some(me) = self.me.upgrade() else { return };
        let download = Download::start(&me, fetch, key, url, range);
        self.downloads.borrow_mut().insert(fetch, download);
        self.report_progress(fetch);
    }

    /// Ends a download and what the player sees of it.
    pub(super) fn end_fetch(&self, fetch: FetchId) {
        // Dropped after the map is released: dropping aborts, and aborting calls listeners.
        let ended = self.downloads.borrow_mut().remove(&fetch);
        if let Some(download) = ended {
            for request in self.waiting_for(download.key) {
                self.host.progress(request.0, 0.0, 0.0, 0.0, 0.0);
            }
        }
    }

    /// Tells the player how the download for what it waits for stands.
    pub(super) fn report_progress(&self, fetch: FetchId) {
        let progress =
            self.downloads.borrow().get(&fetch).map(|download| (download.key, download.progress()));
        let Some((key, (started_ms, first_ms, loaded, total))) = progress else { return };
        for request in self.waiting_for(key) {
            self.host.progress(request.0, started_ms, first_ms, loaded, total);
        }
    }

    /// Tells the player of a download that ran before it asked.
    pub(super) fn report_running(&self, key: SegmentKey) {
        let running: Vec<FetchId> = {
            let downloads = self.downloads.borrow();
            downloads.iter().filter(|(_, download)| download.key == key).map(|(fetch, _)| *fetch).collect()
        };
        running.into_iter().for_each(|fetch| self.report_progress(fetch));
    }

    fn waiting_for(&self, key: SegmentKey) -> Vec<RequestId> {
        let wants = self.wants.borrow();
        wants.iter().filter(|(_, wanted)| **wanted == key).map(|(request, _)| *request).collect()
    }

    fn start_link(&self, link: LinkId, role: Role) {
        let Some(me) = self.me.upgrade() else { return };
        match Link::open(&me, link, role) {
            Ok(opened) => drop(self.links.borrow_mut().insert(link, opened)),
            Err(cause) => self.input(Input::LinkDown { link, cause }),
        }
    }

    fn link(&self, link: LinkId) -> Option<Rc<Link>> {
        self.links.borrow().get(&link).cloned()
    }

    fn take_link(&self, link: LinkId) -> Option<Rc<Link>> {
        self.links.borrow_mut().remove(&link)
    }

    /// Ends a link and tells the engine, once.
    pub(super) fn link_down(&self, link: LinkId, cause: LinkCloseCause) {
        if self.take_link(link).is_some() {
            self.input(Input::LinkDown { link, cause });
        }
    }

    pub(super) fn take_tracker(&self, tracker: crate::id::TrackerId) -> Option<Tracker> {
        self.trackers.borrow_mut().remove(&tracker)
    }

    fn send(&self, link: LinkId, message: &Uint8Array) {
        let Some(open) = self.link(link) else { return };
        if let Err(why) = open.send(message) {
            self.link_down(link, LinkCloseCause::Failed(why));
        }
    }

    fn send_data(&self, link: LinkId, head: &[u8], blob: BlobId, at: u64, len: u32) {
        let Ok(head_len) = u32::try_from(head.len()) else { return };
        let message = Uint8Array::new_with_length(head_len.saturating_add(len));
        message.subarray(0, head_len).copy_from(head);
        let complete = self.blobs.borrow().copy_to(blob, at, u64::from(len), &message, head_len);
        #[cfg(feature = "interop")]
        if complete && link.is_stock() {
            return super::stock::messages(&message).iter().for_each(|message| self.send(link, message));
        }
        if complete {
            self.send(link, &message);
        } else {
            // Never send bytes that are not the segment's.
            self.link_down(link, LinkCloseCause::Failed("the bytes to send are gone".to_owned()));
        }
    }

    fn digest(&self, ask: u32, blob: BlobId, at: u64, len: u32) {
        let bytes = self.blobs.borrow().part(blob, at, len);
        let Some(bytes) = bytes else { return self.input(Input::Digested { ask, digest: None }) };
        let promise = self.host.digest(&bytes);
        let hashed = move |hash: Option<JsValue>| {
            let hash = hash.and_then(|hash| Uint8Array::new(&hash).to_vec().try_into().ok());
            // Else it is a page without WebCrypto, as one that did not come over HTTPS, and without a worker; or one where
            // that failed. The player waits for the digest.
            let digest = hash.map_or_else(|| block_digest(&bytes.to_vec()), shorten);
            Input::Digested { ask, digest: Some(digest) }
        };
        if promise.is_undefined() {
            return self.input(hashed(None));
        }
        self.when(&promise, move |hash| hashed(hash.ok()));
    }

    /// Gives the engine what a promise is settled with.
    fn when(&self, promise: &JsValue, make: impl FnOnce(Result<JsValue, JsValue>) -> Input + 'static) {
        let me = self.me.clone();
        then(&self.host, promise, move |settled| {
            if let Some(driver) = me.upgrade() {
                driver.input(make(settled));
            }
        });
    }

    fn verify(&self, blob: BlobId, key: SegmentKey, url: &str, from_peers: bool) {
        let bytes = {
            let blobs = self.blobs.borrow();
            blobs.assemble(blob, blobs.len(blob))
        };
        let Some(bytes) = bytes else {
            return self.input(Input::Verified { blob, ok: false });
        };
        let verdict = self.host.verify(&key.to_string(), url, bytes, from_peers);
        let me = self.me.clone();
        then(&self.host, &verdict, move |verdict| {
            let ok = verdict.is_ok_and(|ok| ok == JsValue::TRUE);
            let Some(driver) = me.upgrade() else { return };
            if !ok && driver.from_storage.borrow_mut().remove(&key).is_some() {
                driver.host.unstore(&key.to_string());
            }
            driver.input(Input::Verified { blob, ok });
        });
    }

    fn deliver(&self, request: RequestId, blob: BlobId, len: u64, timing: DeliveryTiming) {
        let Some(key) = self.wants.borrow_mut().remove(&request) else { return };
        let Some(bytes) = self.blobs.borrow().assemble(blob, len) else {
            return self.host.fail(request.0, "unknown", 0, "the segment's bytes are gone");
        };
        let mut total_ms = timing.total.as_secs_f64() * 1000.0;
        let stored = self.from_storage.borrow().contains_key(&key);
        if stored {
            // Its speed was that of a disk. Tell the player what the network would have taken.
            if let Some(rate_bps) = self.stats().map(|stats| stats.http_rate_bps).filter(|&rate| rate > 0) {
                total_ms = len as f64 * 8000.0 / rate_bps as f64;
            }
        } else if self.host.has_storage() {
            self.host.store(&key.to_string(), bytes.slice(0, bytes.length()));
        }
        self.host.deliver(
            request.0,
            bytes,
            timing.first_byte.as_secs_f64() * 1000.0,
            total_ms,
            timing.http_bytes as f64,
            timing.p2p_bytes as f64,
        );
        self.start.delivered();
    }

    fn fail(&self, request: RequestId, why: &RequestFailure) {
        self.wants.borrow_mut().remove(&request);
        let (kind, status, message) = match why {
            RequestFailure::UnknownSegment => ("unknown", 0, "unknown segment"),
            RequestFailure::Http(FetchError::Status(status)) => ("status", *status, ""),
            RequestFailure::Http(FetchError::Network(message)) => ("network", 0, message.as_str()),
            RequestFailure::Http(FetchError::Timeout) => ("timeout", 0, "timeout"),
            RequestFailure::Refused => ("refused", 0, "refused by the segment validator"),
            #[cfg(feature = "signed")]
            RequestFailure::Unsigned => ("refused", 0, "the bytes are not the signed ones"),
            RequestFailure::Shutdown => ("shutdown", 0, "shut down"),
        };
        self.host.fail(request.0, kind, status, message);
    }

    /// Notes when a download began to give bytes, and how many.
    pub(super) fn note_bytes(&self, fetch: FetchId, bytes: u32) {
        if let Some(download) = self.downloads.borrow_mut().get_mut(&fetch) {
            download.note_bytes(now_ms(), bytes);
        }
        self.report_progress(fetch);
    }
}
