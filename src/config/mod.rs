//! The tuning objects: one JSON-able object with the sections `segments`, `loader`, `integrity` and `limits`.
//!
//! Defaults come first, a [`Preset`] is laid over them, keys that the page gives win over both. Every option is
//! declared once, in this module's sections, with its default, unit, bounds and meaning; parsing, errors,
//! serialisation and the [table for the documentation](options_table) all come from that declaration.
//!
//! ```
//! use hlswarm::config::Config;
//!
//! let config = Config::from_json_value(serde_json::json!({ "loader": { "simultaneousHttpDownloads": 3 } })).unwrap();
//! assert_eq!(config.loader.simultaneous_http_downloads, 3);
//!
//! let error = Config::from_json_value(serde_json::json!({ "loader": { "httpDownloadProbability": 7 } })).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "loader.httpDownloadProbability: 7 is not allowed; it must be a number from 0 to 1"
//! );
//! ```

mod error;
mod field;
mod integrity;
mod limits;
mod loader;
mod options;
mod preset;
mod segments;
mod slot;
mod table;

pub use error::{ConfigError, Problem, ProblemKind};
pub use integrity::{IntegrityConfig, IntegrityMode, PublicKeys};
pub use limits::LimitsConfig;
pub use loader::{Coordination, LoaderConfig};
pub use preset::Preset;
pub use segments::SegmentsConfig;
pub use table::{OptionDoc, option_docs, options_table};

use serde::Serialize;

use crate::json::Value;
use error::{unknown, words};
use field::Field;

/// All options.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize), serde(try_from = "serde_json::Value"))]
pub struct Config {
    /// Which segments are looked at, and in which swarm they are shared.
    pub segments: SegmentsConfig,
    /// How segments are fetched, kept and shared.
    pub loader: LoaderConfig,
    /// How bytes are known to be a segment's.
    pub integrity: IntegrityConfig,
    /// Bounds that protect the viewer from hostile or broken peers.
    pub limits: LimitsConfig,
    /// The preset that was laid over the defaults; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presets: Option<Preset>,
}

/// The keys of the top level, for suggestions.
const SECTIONS: [&str; 5] = ["segments", "loader", "integrity", "limits", "presets"];

impl Config {
    /// Reads the options object: defaults, then its `presets`, then its other keys.
    ///
    /// Hooks (functions, storages, `rtcConfig`) must have been taken out before.
    ///
    /// # Errors
    /// Lists every problem at once: unknown keys, wrong types, values out of range and values that contradict each
    /// other, each with its full path, the value and what is allowed.
    pub fn from_json_value(value: impl Into<Value>) -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let config = read(&value.into(), &mut problems);
        config.contradictions(&mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// Checks a configuration that was put together in Rust by the same rules.
    ///
    /// # Errors
    /// As [`Config::from_json_value`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn validate(&self) -> Result<(), ConfigError> {
        let value = serde_json::to_value(self).unwrap_or_default();
        Config::from_json_value(value).map(drop)
    }

    /// What is allowed but probably not meant, for people.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let forward = self.segments.forward_segment_count;
        let priorities = [
            ("httpDownloadMaxPriority", self.loader.http_download_max_priority),
            ("p2pDownloadMaxPriority", self.loader.p2p_download_max_priority),
        ];
        for (key, priority) in priorities {
            if (forward as u64) < u64::from(priority) {
                warnings.push(format!(
                    "segments.forwardSegmentCount is {forward}: loader.{key} of {priority} is never reached"
                ));
            }
        }
        if self.loader.use_p2p && self.loader.tracker_announce.is_empty() {
            warnings.push("loader.trackerAnnounce is empty: no other viewer will be found".to_owned());
        }
        if self.loader.web_rtc_max_message_size > self.limits.max_data_message_bytes {
            warnings.push(format!(
                "loader.webRtcMaxMessageSize is {}: messages stay within limits.maxDataMessageBytes of {}",
                self.loader.web_rtc_max_message_size, self.limits.max_data_message_bytes
            ));
        }
        if self.loader.cache_bytes < self.limits.max_segment_bytes {
            warnings.push(format!(
                "loader.cacheBytes is {}: a segment of limits.maxSegmentBytes ({}) cannot be kept",
                self.loader.cache_bytes, self.limits.max_segment_bytes
            ));
        }
        warnings
    }

    fn contradictions(&self, problems: &mut Vec<Problem>) {
        let limits = &self.limits;
        let pairs = [
            (
                ("sendBufferLowBytes", limits.send_buffer_low_bytes),
                ("sendBufferHighBytes", limits.send_buffer_high_bytes),
            ),
            (
                ("receiveBytesPerPeer", limits.receive_bytes_per_peer),
                ("receiveBytesTotal", limits.receive_bytes_total),
            ),
            (
                ("requestsOutstandingPerPeer", limits.requests_outstanding_per_peer as u64),
                ("requestsOutstanding", limits.requests_outstanding as u64),
            ),
        ];
        let integrity = &self.integrity;
        if integrity.mode == IntegrityMode::Signed {
            let missing = [
                (
                    "publicKeys",
                    integrity.public_keys.0.is_empty(),
                    Value::Array(Vec::new()),
                    "at least one key",
                ),
                (
                    "stream",
                    integrity.stream.is_none(),
                    Value::Null,
                    "the name that the stream was signed with",
                ),
            ];
            for (key, _, value, allowed) in missing.iter().filter(|(_, missing, ..)| *missing) {
                let allowed = words!("{allowed} where integrity.mode is \"signed\"");
                problems.push(Problem::value(words!("integrity.{key}"), value, allowed));
            }
        }
        for ((low_key, low), (high_key, high)) in pairs {
            let strict = low_key == "sendBufferLowBytes";
            if low > high || (strict && low == high) {
                let relation = if strict { "below" } else { "at most" };
                problems.push(Problem::value(
                    words!("limits.{low_key}"),
                    &Value::from(low),
                    words!("{relation} limits.{high_key}, which is {high}"),
                ));
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl TryFrom<serde_json::Value> for Config {
    type Error = ConfigError;

    fn try_from(value: serde_json::Value) -> Result<Config, ConfigError> {
        Config::from_json_value(value)
    }
}

fn read(value: &Value, problems: &mut Vec<Problem>) -> Config {
    let Some(given) = value.as_object() else {
        problems.push(Problem::value(words!("options"), value, words!("an object")));
        return Config::default();
    };
    let presets = value
        .get("presets")
        .and_then(|preset| Option::<Preset>::read(preset, &(), "presets", problems).flatten());
    let mut config = presets.map_or_else(Config::default, Preset::config);
    for (key, section) in given {
        match key.as_str() {
            "segments" => config.segments.apply(section, problems),
            "loader" => config.loader.apply(section, problems),
            "integrity" => config.integrity.apply(section, problems),
            "limits" => config.limits.apply(section, problems),
            "presets" => {}
            _ => problems.push(unknown("", key, section, &SECTIONS)),
        }
    }
    config
}

/// Every key of a section, for suggestions: section name and keys.
const fn sections() -> [(&'static str, &'static [&'static str]); 4] {
    [
        ("segments", SegmentsConfig::KEYS),
        ("loader", LoaderConfig::KEYS),
        ("integrity", IntegrityConfig::KEYS),
        ("limits", LimitsConfig::KEYS),
    ]
}

#[cfg(test)]
mod tests;
