//! Scenario files: what is played, by whom, over what, and what goes wrong.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::draw::Span;

/// One scenario, as its TOML file gives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name without spaces, as tables show it.
    pub name: String,
    /// What it shows, for people.
    pub about: String,
    /// Simulated seconds.
    pub length_s: f64,
    /// Seed used when the command line gives none.
    #[serde(default = "one")]
    pub seed: u64,
    /// What is played.
    pub stream: Stream,
    /// Who plays it.
    pub viewers: Viewers,
    /// The lines they are on, by share.
    pub access: Vec<Access>,
    /// The CDN.
    #[serde(default)]
    pub origin: Origin,
    /// The trackers.
    #[serde(default)]
    pub tracker: Tracker,
    /// How connections between viewers come about.
    #[serde(default)]
    pub ice: Ice,
    /// How the player behaves.
    #[serde(default)]
    pub player: PlayerSettings,
    /// What goes wrong, and when.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// hlswarm's options, as a page would give them. `loader.trackerAnnounce` is filled in.
    #[serde(default)]
    pub options: toml::Table,
    /// What must hold, beside the invariants that always do.
    #[serde(default)]
    pub expect: Expect,
    /// How finely bytes are simulated.
    #[serde(default)]
    pub grain: Grain,
}

fn one() -> u64 {
    1
}

/// Whether the stream is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// A finished recording.
    Vod,
    /// A sliding window.
    Live,
}

/// What is played.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Recording or live.
    pub kind: StreamKind,
    /// Segments in a recording; for a live stream, segments in the playlist's window.
    pub segments: u32,
    /// Duration of each segment in milliseconds.
    pub segment_ms: u32,
    /// Bits per second of each rendition, in thousands.
    pub bitrates_kbps: Vec<u32>,
    /// Bits per second of a separate audio rendition, in thousands; none by default.
    pub audio_kbps: Option<u32>,
    /// How far segment sizes stray from the mean, as a share of it; default 0.15.
    #[serde(default = "default_size_spread")]
    pub size_spread: f64,
    /// One file per rendition, addressed by `EXT-X-BYTERANGE`; default false.
    #[serde(default)]
    pub byte_range: bool,
    /// A discontinuity every so many segments; default none.
    pub discontinuity_every: Option<u32>,
}

fn default_size_spread() -> f64 {
    0.15
}

/// Who plays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viewers {
    /// How many at once; one table row for each.
    pub count: Vec<u32>,
    /// They join evenly drawn over this time, in seconds.
    pub join_over_s: f64,
    /// Join one by one at equal distances instead of at drawn moments; default false.
    #[serde(default)]
    pub join_in_turn: bool,
    /// Share of the viewers that leaves in a minute, each replaced by a new one; default 0.
    #[serde(default)]
    pub churn_per_minute: f64,
    /// Share of the leaving that vanishes without a word (the others close their tab); default 0.3.
    #[serde(default = "default_vanish")]
    pub vanish_share: f64,
    /// Share of viewers with `loader.consumeOnly`; default 0.
    #[serde(default)]
    pub consume_only_share: f64,
}

fn default_vanish() -> f64 {
    0.3
}

/// What a viewer's router lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// Connects to everybody except `blocked`.
    Open,
    /// A new port for each destination: connects to `open` only.
    Symmetric,
    /// UDP is blocked: connects to nobody.
    Blocked,
}

/// A kind of access line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// How common it is; shares are relative to their sum.
    pub share: f64,
    /// Rate towards the viewer, in kbit/s.
    pub downlink_kbps: Span,
    /// Rate away from the viewer, in kbit/s; 0 lets control messages through and no segment bytes.
    pub uplink_kbps: Span,
    /// Delay between the viewer and the core of the network, one way, in milliseconds.
    pub delay_ms: Span,
    /// Share of packets lost; default 0.
    #[serde(default)]
    pub loss: f64,
    /// Router; default `open`.
    #[serde(default = "default_nat")]
    pub nat: Nat,
}

fn default_nat() -> Nat {
    Nat::Open
}

/// The CDN.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// From the request's arrival to the response head, in milliseconds; default [10, 40].
    pub latency_ms: Span,
    /// Delay between the CDN and the core of the network, one way, in milliseconds; default 5.
    pub delay_ms: f64,
    /// Highest rate of one download, in kbit/s; unlimited by default.
    pub per_download_kbps: Option<f64>,
    /// Rate of all downloads together, in Mbit/s; unlimited by default.
    pub total_mbps: Option<f64>,
    /// Whether `Range` is honoured (it is always for byte-range streams); default true.
    pub ranges: bool,
    /// Whether responses say their length; default true.
    pub content_length: bool,
}

impl Default for Origin {
    fn default() -> Origin {
        Origin {
            latency_ms: Span::new(10.0, 40.0),
            delay_ms: 5.0,
            per_download_kbps: None,
            total_mbps: None,
            ranges: true,
            content_length: true,
        }
    }
}

/// The trackers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracker {
    /// How many, each with its own registry; default 1.
    pub count: u32,
    /// Delay between a tracker and the core of the network, one way, in milliseconds; default 15.
    pub delay_ms: f64,
}

impl Default for Tracker {
    fn default() -> Tracker {
        Tracker { count: 1, delay_ms: 15.0 }
    }
}

/// How connections between viewers come about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ice {
    /// To make an offer or an answer, in milliseconds; default [20, 150].
    pub description_ms: Span,
    /// From the answer's arrival to the open data channel, in milliseconds; default [100, 500].
    pub connect_ms: Span,
    /// Until a connection that cannot be made, or whose other end vanished, is given up by the browser, in
    /// seconds; default 15.
    pub fail_after_s: f64,
    /// Share of pairs that cannot connect for no visible reason; default 0.02.
    pub blocked_pair_share: f64,
    /// Public candidates come after the description (trickle), this many milliseconds later; by default all
    /// candidates are in the description.
    pub late_candidates_ms: Option<f64>,
}

impl Default for Ice {
    fn default() -> Ice {
        Ice {
            description_ms: Span::new(20.0, 150.0),
            connect_ms: Span::new(100.0, 500.0),
            fail_after_s: 15.0,
            blocked_pair_share: 0.02,
            late_candidates_ms: None,
        }
    }
}

/// How the player behaves. Names and defaults are those of hls.js 1.6 where it has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlayerSettings {
    /// `maxBufferLength` in seconds; default 30.
    pub max_buffer_length_s: f64,
    /// `maxMaxBufferLength` in seconds; default 600.
    pub max_max_buffer_length_s: f64,
    /// `maxBufferSize` in bytes; default 60 MB.
    pub max_buffer_size_bytes: f64,
    /// `liveSyncDurationCount`: segments behind the edge at which a live stream starts; default 3.
    pub live_sync_segments: u32,
    /// Index of the rendition to start with; default 0.
    pub start_rendition: usize,
    /// Go to the next rendition every so many segments; never by default.
    pub switch_every_segments: Option<u32>,
    /// Choose the rendition by measured bandwidth, as hls.js does; default false.
    pub adaptive: bool,
    /// From a delivered segment to its place in the buffer, in milliseconds; default 20.
    pub append_ms: f64,
    /// How often the playhead is reported while playing, in milliseconds; default 500.
    pub playhead_every_ms: f64,
}

impl Default for PlayerSettings {
    fn default() -> PlayerSettings {
        PlayerSettings {
            max_buffer_length_s: 30.0,
            max_max_buffer_length_s: 600.0,
            max_buffer_size_bytes: 60e6,
            live_sync_segments: 3,
            start_rendition: 0,
            switch_every_segments: None,
            adaptive: false,
            append_ms: 20.0,
            playhead_every_ms: 500.0,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The origin answers with `status`.
    OriginStatus,
    /// The origin accepts requests and never answers.
    OriginHang,
    /// The origin's connections break in the middle of the body.
    OriginReset,
    /// The origin's downloads run at `kbps` each.
    OriginSlow,
    /// The origin answers `Range` with the whole resource and 200.
    OriginIgnoresRange,
    /// Requests with a `Range` header fail as a CORS preflight would.
    OriginRefusesRange,
    /// The tracker `tracker` closes all sockets and accepts none.
    TrackerDown,
    /// The tracker `tracker` accepts no connection and says nothing.
    TrackerSilent,
    /// Viewers lose their network: nothing comes or goes, and the browser says so.
    Offline,
    /// The page is hidden: its timers run once a second at most.
    Hidden,
    /// The network is metered: nothing may be uploaded.
    Metered,
    /// The machine sleeps: nothing runs, connections break.
    Sleep,
    /// Viewers close their tab (`vanish` false) or vanish.
    Leave,
    /// The page switches peer-to-peer off, and on again at the end.
    P2pOff,
    /// Each viewer seeks twenty times in ten seconds.
    SeekStorm,
    /// Viewers send other bytes than they have: same length, wrong content.
    Corrupt,
    /// Playlists do not change meanwhile, and jump to where they should be at the end.
    PlaylistStalls,
    /// The packager begins its media sequence numbers anew, as one that was started again does.
    SequenceReset,
    /// Wall clocks are wrong by `hours` from the start.
    Clock,
}

/// One fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub what: FaultKind,
    /// When it begins, in seconds.
    pub at_s: f64,
    /// How long it lasts, in seconds; to the end by default.
    pub for_s: Option<f64>,
    /// The share of viewers (or of requests, for `origin-*`) that it hits; default 1.
    #[serde(default = "whole")]
    pub share: f64,
    /// The status of `origin-status`.
    pub status: Option<u16>,
    /// The rate of `origin-slow`.
    pub kbps: Option<f64>,
    /// By how much `clock` is wrong; below 0 it is slow.
    pub hours: Option<f64>,
    /// Which tracker, from 0; default 0.
    #[serde(default)]
    pub tracker: u32,
    /// For `leave`: without a word.
    #[serde(default)]
    pub vanish: bool,
}

fn whole() -> f64 {
    1.0
}

impl Fault {
    /// First moment after it, in seconds.
    pub fn until_s(&self) -> f64 {
        self.for_s.map_or(f64::INFINITY, |span| self.at_s + span)
    }
}

/// What must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How much longer than over HTTP alone one viewer may stall in all, in milliseconds; default 250.
    pub extra_stall_ms: f64,
    /// How many times more than over HTTP alone one viewer may stall; default 0.
    pub extra_stalls: u32,
    /// Share of viewers for which the bounds of stalls may be missed; default 0.
    pub extra_stall_share: f64,
    /// How much later than over HTTP alone the 95th percentile may start, in milliseconds; default 100.
    pub extra_startup_ms: f64,
    /// Lowest P2P ratio (bytes from peers / bytes delivered) in any row; default 0.
    pub p2p_ratio: f64,
    /// Share of the delivered segments that may be wrong; default 0. Above 0, wrong segments are counted and do not end
    /// the run.
    pub wrong_share: f64,
}

impl Default for Expect {
    fn default() -> Expect {
        Expect {
            extra_stall_ms: 250.0,
            extra_stalls: 0,
            extra_stall_share: 0.0,
            extra_startup_ms: 100.0,
            p2p_ratio: 0.0,
            wrong_share: 0.0,
        }
    }
}

/// How finely bytes are simulated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grain {
    /// HTTP bodies arrive in pieces of this many bytes; default 65536.
    pub http_chunk_bytes: u32,
    /// Bytes that may be on the way on one link, beside what its delay needs; default 131072.
    pub link_window_bytes: u32,
}

impl Default for Grain {
    fn default() -> Grain {
        Grain { http_chunk_bytes: 65_536, link_window_bytes: 131_072 }
    }
}

/// Why a scenario cannot be used.
#[derive(Debug)]
pub struct ScenarioError(pub String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a scenario file. `extends = "other.toml"` begins with the tables of another file, found relative to
    /// this one, and lays this one's over them; lists are replaced.
    ///
    /// # Errors
    /// Names the file, the line or field, the value and what is allowed.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        let text = read(path)?;
        let wrap = |error: &dyn fmt::Display| ScenarioError(format!("{}: {error}", path.display()));
        let own: toml::Table = toml::from_str(&text).map_err(|error| wrap(&error.to_string().trim_end()))?;
        let Some(base) = own.get("extends") else {
            return Scenario::parse(&text).map_err(|error| wrap(&error));
        };
        let Some(base) = base.as_str() else {
            return Err(wrap(&format!(
                "extends: {base} is not allowed; allowed is the path of a scenario file"
            )));
        };
        let base = path.with_file_name(base);
        let mut whole: toml::Table = toml::from_str(&read(&base)?)
            .map_err(|error| ScenarioError(format!("{}: {error}", base.display())))?;
        if whole.contains_key("extends") {
            return Err(wrap(&format!("extends: {} extends another file itself", base.display())));
        }
        lay_over(&mut whole, own);
        whole.remove("extends");
        let scenario = Scenario::deserialize(whole).map_err(|error| wrap(&error.to_string().trim_end()))?;
        crate::check::check(&scenario).map_err(|error| wrap(&error))?;
        Ok(scenario)
    }

    /// Reads a scenario from TOML text.
    ///
    /// # Errors
    /// Names the line or field, the value and what is allowed.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|error| ScenarioError(error.to_string().trim_end().to_owned()))?;
        crate::check::check(&scenario)?;
        Ok(scenario)
    }
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path)
        .map_err(|error| ScenarioError(format!("cannot read scenario {}: {error}", path.display())))
}

fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
