//! What the shell calls on the TypeScript side. None of these throws: the TypeScript side catches what the page's
//! own hooks and listeners throw.

use js_sys::{Function, Object, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::sink::FetchSink;

#[wasm_bindgen]
extern "C" {
    /// The page's side of one shell.
    pub type Host;

    /// `rtcConfig`, or undefined.
    #[wasm_bindgen(method, getter, js_name = rtcConfig)]
    pub fn rtc_config(this: &Host) -> JsValue;

    /// Aborted when the shell broke: every listener goes with it.
    #[wasm_bindgen(method, getter)]
    pub fn signal(this: &Host) -> AbortSignal;

    /// Whether the page gave a segment validator.
    #[wasm_bindgen(method, getter, js_name = hasValidator)]
    pub fn has_validator(this: &Host) -> bool;

    /// Whether the page gave a second-level storage.
    #[wasm_bindgen(method, getter, js_name = hasStorage)]
    pub fn has_storage(this: &Host) -> bool;

    /// Time limit for a response head and for a whole download, in milliseconds, as hls.js is configured.
    #[wasm_bindgen(method, getter, js_name = firstByteLimitMs)]
    pub fn first_byte_limit_ms(this: &Host) -> f64;

    /// See [`Host::first_byte_limit_ms`].
    #[wasm_bindgen(method, getter, js_name = loadLimitMs)]
    pub fn load_limit_ms(this: &Host) -> f64;

    /// A function that calls `body` and catches everything, a trap included.
    #[wasm_bindgen(method)]
    pub fn guard(this: &Host, body: &JsValue) -> Function;

    /// Remembers something with `close()` or `abort()`, to be ended if the shell breaks.
    #[wasm_bindgen(method)]
    pub fn keep(this: &Host, resource: &Object);

    /// Forgets what [`Host::keep`] remembered.
    #[wasm_bindgen(method)]
    pub fn release(this: &Host, resource: &Object);

    /// Closes a peer connection once its channel has flushed and closed, or soon.
    #[wasm_bindgen(method)]
    pub fn retire(this: &Host, connection: &Object, channel: &JsValue);

    /// Answers a player's request. Times in milliseconds.
    #[wasm_bindgen(method)]
    pub fn deliver(
        this: &Host,
        request: u32,
        bytes: Uint8Array,
        first_byte_ms: f64,
        total_ms: f64,
        http_bytes: f64,
        p2p_bytes: f64,
    );

    /// A player's request failed. `kind` is one of unknown, status, network, timeout, refused, shutdown.
    #[wasm_bindgen(method)]
    pub fn fail(this: &Host, request: u32, kind: &str, status: u16, message: &str);

    /// How the HTTP download for a player's request stands: moments on the page's clock, 0 for not yet; bytes.
    /// All zero says that there is no HTTP download (any more).
    #[wasm_bindgen(method)]
    pub fn progress(this: &Host, request: u32, started_ms: f64, first_ms: f64, loaded: f64, total: f64);

    /// An event for the page, as JSON text.
    #[wasm_bindgen(method)]
    pub fn event(this: &Host, event: &str);

    /// SHA-256 of bytes: a promise of an `ArrayBuffer`, or undefined where the page cannot do it.
    #[wasm_bindgen(method)]
    pub fn digest(this: &Host, bytes: &Uint8Array) -> JsValue;

    /// Checks an Ed25519 signature. Resolves to a boolean.
    #[cfg(feature = "signed")]
    #[wasm_bindgen(method, js_name = checkSignature)]
    pub fn check_signature(this: &Host, public_key: &[u8], message: &[u8], signature: &[u8]) -> JsValue;

    /// Asks the page's segment validator. Resolves to a boolean.
    #[wasm_bindgen(method)]
    pub fn verify(this: &Host, key: &str, url: &str, bytes: Uint8Array, from_peers: bool) -> JsValue;

    /// Gives a complete segment to the second-level storage.
    #[wasm_bindgen(method)]
    pub fn store(this: &Host, key: &str, bytes: Uint8Array);

    /// Tells the second-level storage that what it gave was refused.
    #[wasm_bindgen(method)]
    pub fn unstore(this: &Host, key: &str);

    /// Downloads a segment, from the second-level storage or over HTTP as the page's hooks want it, and tells the sink, never
    /// from inside this call. `end` is exclusive, `-1` without a range, infinite for an open range. Returns what
    /// [`Host::stop`] takes.
    #[wasm_bindgen(method)]
    pub fn download(this: &Host, key: &str, url: &str, start: f64, end: f64, sink: FetchSink) -> JsValue;

    /// Stops a download; one that has ended is forgotten.
    #[wasm_bindgen(method)]
    pub fn stop(this: &Host, download: &JsValue);

    /// Calls `settled` with whether a promise was kept and with what it was settled.
    #[wasm_bindgen(method)]
    pub fn settle(this: &Host, promise: &JsValue, settled: &JsValue);

    /// Applies a remote description of the kind "offer" or "answer", or with neither makes and applies our own.
    #[wasm_bindgen(method)]
    pub fn describe(this: &Host, connection: &Object, kind: Option<&str>, sdp: Option<&str>) -> JsValue;
}
