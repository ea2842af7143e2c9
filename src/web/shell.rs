//! What TypeScript calls.

use std::rc::Rc;

use js_sys::{Float64Array, JsString};
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use super::host::Host;
use crate::config::Config;
use crate::engine::{EngineSetup, Input, Playhead, SegmentInfo, TimelineUpdate, TrackKind};
use crate::id::{ByteRange, RequestId, SegmentKey, TrackId};
use crate::json::{Value, to_text};

/// Numbers that describe one segment in a timeline: discontinuity, sequence, start, duration, range start, range
/// end (-1 without a range). Times in milliseconds.
const NUMBERS_PER_SEGMENT: usize = 6;

/// The version of the engine.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Reads the options as JSON text. Throws an error that lists all problems; returns what is allowed but probably
/// not meant.
#[wasm_bindgen(js_name = checkOptions)]
pub fn check_options(options: &str) -> Result<Vec<String>, JsError> {
    read_options(options).map(|config| config.warnings())
}

/// The id of the track with this name, as it appears in segment keys.
#[wasm_bindgen(js_name = trackId)]
pub fn track_id(name: &str) -> String {
    TrackId::from_name(name).to_string()
}

/// One swarm: an engine and everything it runs.
#[wasm_bindgen]
pub struct Shell {
    pub(super) driver: Rc<Driver>,
}

#[wasm_bindgen]
impl Shell {
    /// A shell for the manifest at `manifest_url` (given without its query). `seed` must be 32 random bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str, manifest_url: &str, seed: &[u8], host: Host) -> Result<Shell, JsError> {
        let config = read_options(options)?;
        let swarm_name = config.segments.swarm_id.clone().unwrap_or_else(|| manifest_url.to_owned());
        let seed = seed.try_into().map_err(|_| JsError::new("seed: 32 bytes are needed"))?;
        let has_validator = host.has_validator();
        let driver = Driver::new(EngineSetup { config, swarm_name, seed, has_validator }, host);
        Ok(Shell { driver })
    }

    /// Starts the engine's work. `unix_ms` is what the page's clock shows, in milliseconds since 1970.
    pub fn start(&self, unix_ms: f64) {
        self.driver.input(Input::Clock { unix_ms: unix_ms as u64 });
    }

    /// Signed records of a playlist.
    #[cfg(feature = "signed")]
    pub fn sidecar(&self, bytes: Vec<u8>) {
        self.driver.input(Input::Sidecar { bytes });
    }

    /// A playlist was loaded or refreshed.
    pub fn timeline(
        &self,
        track: &str,
        audio: bool,
        live: bool,
        bitrate_bps: f64,
        numbers: &Float64Array,
        urls: Vec<JsString>,
    ) -> Result<(), JsError> {
        let segments = numbers
            .to_vec()
            .chunks_exact(NUMBERS_PER_SEGMENT)
            .zip(urls)
            .filter_map(|(numbers, url)| segment(numbers, url.into()))
            .collect();
        self.driver.input(Input::Timeline(TimelineUpdate {
            track: parse_track(track)?,
            kind: if audio { TrackKind::Audio } else { TrackKind::Main },
            live,
            bitrate_bps: (bitrate_bps > 0.0).then_some(bitrate_bps as u64),
            segments,
        }));
        Ok(())
    }

    /// Where the player is.
    pub fn playhead(&self, position_ms: f64, rate_milli: f64, buffered_ms: f64) {
        self.driver.input(Input::Playhead(Playhead {
            position_ms: position_ms as i64,
            rate_milli: rate_milli as u32,
            buffered_ms: buffered_ms as u32,
        }));
    }

    /// The player asks for a segment.
    pub fn want(&self, request: u32, track: &str, discontinuity: u32, sequence: f64) -> Result<(), JsError> {
        let key = SegmentKey { track: parse_track(track)?, discontinuity, sequence: sequence as u64 };
        self.driver.input(Input::Want { request: RequestId(request), key });
        Ok(())
    }

    /// The player no longer wants it.
    pub fn cancel(&self, request: u32) {
        self.driver.input(Input::Cancel { request: RequestId(request) });
    }

    /// The state of the network.
    pub fn network(&self, online: bool, metered: bool) {
        self.driver.input(Input::Network { online, metered });
    }

    /// Whether the page is hidden.
    pub fn visibility(&self, hidden: bool) {
        self.driver.input(Input::Visibility { hidden });
    }

    /// Switches peer-to-peer on or off.
    #[wasm_bindgen(js_name = setP2P)]
    pub fn set_p2p(&self, enabled: bool) {
        self.driver.input(Input::UseP2p { enabled });
    }

    /// Takes another access token for the trackers.
    #[wasm_bindgen(js_name = setTrackerToken)]
    pub fn set_tracker_token(&self, token: String) {
        self.driver.input(Input::TrackerToken { token });
    }

    /// Says whether the user agrees to peers.
    #[wasm_bindgen(js_name = setConsent)]
    pub fn set_consent(&self, given: bool) {
        self.driver.input(Input::Consent { given });
    }

    /// Counts what earlier shells of the page received and sent. To be called before anything else.
    #[wasm_bindgen(js_name = carryOver)]
    pub fn carry_over(&self, received_bytes: f64, uploaded_bytes: f64) {
        self.driver.carry_over(received_bytes as u64, uploaded_bytes as u64);
    }

    /// Says goodbye and ends everything.
    pub fn shutdown(&self) {
        self.driver.input(Input::Shutdown);
    }

    /// A snapshot as JSON text; undefined when the engine broke.
    pub fn stats(&self) -> Option<String> {
        self.driver.stats().map(|stats| to_text(&stats))
    }

    /// Our peer id, as trackers and other viewers see it.
    #[wasm_bindgen(getter, js_name = peerId)]
    pub fn peer_id(&self) -> Option<String> {
        self.driver.peer_id()
    }
}

fn read_options(options: &str) -> Result<Config, JsError> {
    let value = Value::parse(options).map_err(|error| JsError::new(&error.to_string()))?;
    Config::from_json_value(value).map_err(|error| JsError::new(&error.to_string()))
}

pub(super) fn parse_track(track: &str) -> Result<TrackId, JsError> {
    u64::from_str_radix(track, 16)
        .map(TrackId)
        .map_err(|_| JsError::new("track: 16 hexadecimal digits are needed"))
}

fn segment(numbers: &[f64], url: String) -> Option<SegmentInfo> {
    let &[discontinuity, sequence, start_ms, duration_ms, range_start, range_end] = numbers else {
        return None;
    };
    Some(SegmentInfo {
        discontinuity: discontinuity as u32,
        sequence: sequence as u64,
        start_ms: start_ms as i64,
        duration_ms: duration_ms as u32,
        url: url.into(),
        byte_range: (range_end >= 0.0)
            .then_some(ByteRange { start: range_start as u64, end: range_end as u64 }),
    })
}
