//! What the page is told: events as they happen and a snapshot of the state.

use std::fmt;

use serde::Serialize;

use crate::config::IntegrityMode;
use crate::id::{PeerId, SegmentKey};

/// Something that the page may want to know. In JavaScript an object with a `type` of the variant's name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A segment is complete and verified.
    SegmentLoaded {
        /// Which segment.
        key: SegmentKey,
        /// Where its bytes came from.
        source: SegmentSource,
        /// Bytes that came over HTTP.
        http_bytes: u64,
        /// Bytes that came from peers.
        p2p_bytes: u64,
        /// Milliseconds from the request on the network to the last byte.
        duration_ms: u64,
    },
    /// A segment could not be had over HTTP. The player's retry policy decides what next.
    SegmentFailed {
        /// Which segment.
        key: SegmentKey,
        /// For people.
        message: String,
    },
    /// A download from a peer was given up and HTTP took over.
    Fallback {
        /// Which segment.
        key: SegmentKey,
        /// For people.
        reason: String,
        /// Bytes that had arrived from peers and were kept.
        kept_bytes: u64,
    },
    /// Bytes of a segment proved wrong: they were neither played nor kept, and are fetched again.
    SegmentRefused {
        /// Which segment.
        key: SegmentKey,
        /// The peers that had sent them; none when the origin had.
        peers: Vec<PeerId>,
    },
    /// Signed records were not taken.
    #[cfg(feature = "signed")]
    RecordsRefused {
        /// For people.
        reason: String,
    },
    /// A segment was dropped from the cache.
    SegmentEvicted {
        /// Which segment.
        key: SegmentKey,
    },
    /// A link to a peer passed its handshake.
    PeerConnected {
        /// The peer.
        peer: PeerId,
    },
    /// A link to a peer ended.
    PeerClosed {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// Segment bytes were sent to a peer: one event per finished transfer.
    Uploaded {
        /// The peer.
        peer: PeerId,
        /// Which segment.
        key: SegmentKey,
        /// Bytes sent.
        bytes: u64,
    },
    /// A tracker session is open and its first announce was answered.
    TrackerConnected {
        /// Its URL.
        url: String,
    },
    /// A tracker session closed. It is retried after the given delay.
    TrackerClosed {
        /// Its URL.
        url: String,
        /// For people.
        reason: String,
        /// Milliseconds until the next attempt.
        retry_ms: u64,
    },
    /// A tracker refused a message or sent one that makes no sense.
    TrackerError {
        /// Its URL.
        url: String,
        /// For people.
        message: String,
    },
    /// Anything else that went wrong. Playback goes on.
    Error {
        /// For people.
        message: String,
        /// Whether hlswarm is out of action from now on (the player then loads everything itself).
        fatal: bool,
    },
}

/// Where a segment's bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SegmentSource {
    /// All over HTTP.
    Http,
    /// All from peers.
    P2p,
    /// From both.
    Mixed,
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CloseReason {
    /// The peer said goodbye or closed its page.
    Left,
    /// The connection broke or was never made.
    ConnectionLost(String),
    /// The peer broke the protocol.
    Violation(String),
    /// The peer did not say hello, or stopped answering.
    Timeout(String),
    /// A second link to the same peer.
    Duplicate,
    /// Made room for another peer.
    Replaced,
    /// The peer cannot be of use: another swarm, version or peer-to-peer switched off.
    Incompatible(String),
    /// We shut down or switched peer-to-peer off.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            CloseReason::Left => ("it left", None),
            CloseReason::ConnectionLost(why) => ("connection lost", Some(why)),
            CloseReason::Violation(why) => ("it broke the protocol", Some(why)),
            CloseReason::Timeout(why) => ("it timed out", Some(why)),
            CloseReason::Duplicate => ("a second link to the same peer", None),
            CloseReason::Replaced => ("made room for another peer", None),
            CloseReason::Incompatible(why) => ("it is of no use", Some(why)),
            CloseReason::Shutdown => ("shut down", None),
        };
        f.write_str(what)?;
        why.map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// A snapshot of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Segment bytes received over HTTP.
    pub http_bytes: u64,
    /// Segment bytes received from peers.
    pub p2p_bytes: u64,
    /// Segment bytes sent to peers.
    pub uploaded_bytes: u64,
    /// Received bytes that were thrown away (overlaps, cancelled downloads, refused segments).
    pub wasted_bytes: u64,
    /// Peers past their handshake.
    pub peers: usize,
    /// Each of them.
    pub peer_list: Vec<PeerStats>,
    /// Viewers of this manifest, ourselves included, as the trackers tell (the largest answer); 0 if unknown.
    pub swarm_size: u32,
    /// The cache.
    pub cache: CacheStats,
    /// The trackers, in the order of the settings.
    pub trackers: Vec<TrackerStats>,
    /// Segments being downloaded over HTTP.
    pub http_downloads: usize,
    /// Segments being downloaded from peers.
    pub p2p_downloads: usize,
    /// HTTP rate estimate in bits per second; 0 if unknown.
    pub http_rate_bps: u64,
    /// Whether peer-to-peer is in use.
    pub p2p_enabled: bool,
    /// What was found out about the bytes.
    pub integrity: IntegrityStats,
    /// Whether it is not in use because the page has not said that the user agrees.
    pub awaits_consent: bool,
    /// Whether peers are served.
    pub upload_state: UploadState,
    /// Bytes that may still be sent to peers under the bounds of the options; `None` without one. Under
    /// `loader.uploadRatio` it grows with what is received.
    pub upload_left_bytes: Option<u64>,
}

/// What was found out about the bytes that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrityStats {
    /// What they are held against.
    pub mode: IntegrityMode,
    /// Segments with a signed record.
    pub records: usize,
    /// Bytes that were held against a signed record and were right.
    pub verified_bytes: u64,
    /// Parts of segments fetched from the origin to be compared.
    pub checks: u32,
    /// Their bytes.
    pub check_bytes: u64,
    /// Segments from peers that were fetched again over HTTP because something spoke against them.
    pub disputes: u32,
    /// Segments of which wrong bytes had come.
    pub refused_segments: u32,
    /// Bytes thrown away because they were wrong or doubted.
    pub refused_bytes: u64,
}

/// Whether peers are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UploadState {
    /// Yes.
    #[default]
    On,
    /// Fewer at a time: the page is hidden.
    Reduced,
    /// No: the network is metered, or the user asks to save data.
    Metered,
    /// No: `loader.uploadBytesTotal` or `loader.uploadRatio` is reached.
    Spent,
    /// Never: by the options.
    Off,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStats {
    /// Its id.
    pub peer: PeerId,
    /// Segment bytes received from it.
    pub downloaded_bytes: u64,
    /// Segment bytes sent to it.
    pub uploaded_bytes: u64,
    /// Round-trip time in milliseconds; `None` before the first answer.
    pub rtt_ms: Option<u32>,
    /// Segments it says it has. It need not tell of those that we had first.
    pub segments: usize,
}

/// The cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    /// Segments kept.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The budget in bytes.
    pub budget_bytes: u64,
}

/// One tracker session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackerStats {
    /// Its URL.
    pub url: String,
    /// Its state.
    pub state: TrackerState,
    /// Peers with everything, as the tracker counts them.
    pub complete: u32,
    /// The others, as the tracker counts them.
    pub incomplete: u32,
}

/// The state of a tracker session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TrackerState {
    /// Not in use: peer-to-peer is off.
    #[default]
    Idle,
    /// Being opened, or open and not yet answered.
    Connecting,
    /// Announced.
    Connected,
    /// Waiting to try again.
    Waiting,
}
