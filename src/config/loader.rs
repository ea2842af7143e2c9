//! The section `loader`.

use serde::Serialize;

use super::options::options;

/// Who fetches a segment over HTTP that nobody has yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Coordination {
    /// Viewers elected from the whole swarm, so that fetches per segment stay few however large the swarm is.
    #[default]
    Elected,
    /// Each viewer by chance, as the probability options say.
    Random,
    /// The viewer with the lowest hash among its neighbours.
    Neighbourhood,
}

options! {
    /// How segments are fetched, kept and shared.
    pub struct LoaderConfig in "loader" {
        /// How long a downloaded segment is kept for sharing after its last use.
        cached_segment_expiration: u64 = 300_000, "cachedSegmentExpiration", "ms", 0..=2_592_000_000;
        /// How many segments are kept; the least recently used go first. Segments in the current queue are locked.
        cached_segments_count: usize = 30, "cachedSegmentsCount", "segments", 0..=100_000;
        /// Bytes of segments kept for sharing. Browsers on phones pass 96 MiB.
        cache_bytes: u64 = 256 * MIB, "cacheBytes", "bytes", 65_536..=16_384 * MIB;
        /// Segments up to this priority are the buffer needed for stable playback: they come over HTTP if need be.
        /// Priority 0 is the segment needed now, and each segment after it has one more.
        required_segments_priority: u32 = 1, "requiredSegmentsPriority", "priority", 0..=10_000;
        /// Segments up to this priority may be fetched over HTTP ahead of need.
        http_download_max_priority: u32 = 20, "httpDownloadMaxPriority", "priority", 0..=10_000;
        /// Probability, per pending segment and interval, of starting a random HTTP download.
        http_download_probability: f64 = 0.1, "httpDownloadProbability", "0 to 1", 0.0..=1.0;
        /// The interval of `httpDownloadProbability`.
        http_download_probability_interval: u64 = 1000, "httpDownloadProbabilityInterval", "ms", 50..=3_600_000;
        /// No random HTTP download while no peer is connected.
        http_download_probability_skip_if_no_peers: bool = false, "httpDownloadProbabilitySkipIfNoPeers", "yes or no", ();
        /// Wait before HTTP is tried again for a segment that failed.
        http_failed_segment_timeout: u64 = 10_000, "httpFailedSegmentTimeout", "ms", 0..=3_600_000;
        /// Try to do without HTTP for this long after the start, so that peers are asked first. Ends early when the
        /// tracker says that nobody else is there.
        http_download_initial_timeout: u64 = 0, "httpDownloadInitialTimeout", "ms", 0..=3_600_000;
        /// During `httpDownloadInitialTimeout`, allow HTTP once the needed segment has waited this long.
        http_download_initial_timeout_per_segment: u64 = 4000, "httpDownloadInitialTimeoutPerSegment", "ms", 0..=3_600_000;
        /// Continue an aborted download from a peer over HTTP with `Range`.
        http_download_ranges: bool = false, "httpDownloadRanges" | "httpUseRanges", "yes or no", ();
        /// Deadline for the first byte of an HTTP download.
        http_timeout_ms: u64 = 10_000, "httpTimeoutMs", "ms", 100..=600_000;
        /// How long an HTTP download may go without a byte once its body has begun.
        http_stall_timeout_ms: u64 = 10_000, "httpStallTimeoutMs", "ms", 100..=600_000;
        /// HTTP downloads at a time.
        simultaneous_http_downloads: usize = 2, "simultaneousHttpDownloads", "downloads", 1..=64;
        /// Segments downloaded from peers at a time.
        simultaneous_p2p_downloads: usize = 3, "simultaneousP2PDownloads", "downloads", 0..=256;
        /// Segments up to this priority may be fetched from peers.
        p2p_download_max_priority: u32 = 20, "p2pDownloadMaxPriority", "priority", 0..=10_000;
        /// A peer is given up when a segment takes longer than this.
        p2p_segment_download_timeout: u64 = 60_000, "p2pSegmentDownloadTimeout", "ms", 100..=3_600_000;
        /// Who fetches a segment that nobody has yet: an elected viewer of the swarm, each viewer by chance exactly as
        /// the probability options say, or the lowest hash among neighbours.
        coordination: Coordination = Coordination::Elected, "coordination", "choice", ();
        /// Largest data channel message, never above what the browser and `limits.maxDataMessageBytes` allow.
        web_rtc_max_message_size: u32 = 65_535, "webRtcMaxMessageSize", "bytes", 2048..=262_144;
        /// Trackers. None by default: no third party is contacted unless the page says so. All are used at once; of an
        /// entry that is a list, which names the nodes of one tracker, one at a time.
        tracker_announce: Vec<Vec<String>> = Vec::new(), "trackerAnnounce", "URLs", 16;
        /// Access token for the trackers that ask for one: the page has it from its web server.
        tracker_token: Option<String> = None, "trackerToken", "text", 1..=256;
        /// Offers per announce.
        peer_requests_per_announce: usize = 10, "peerRequestsPerAnnounce", "offers", 0..=10;
        /// Whether to use peers at all.
        use_p2p: bool = true, "useP2P", "yes or no", ();
        /// Download from peers, never upload.
        consume_only: bool = false, "consumeOnly", "yes or no", ();
        /// Bytes a second sent to all peers together, who take turns; 0 sets no bound.
        upload_bytes_per_second: u64 = 0, "uploadBytesPerSecond", "bytes/s", 0..=GIB;
        /// Bytes sent to peers in all while the page is open; 0 sets no bound.
        upload_bytes_total: u64 = 0, "uploadBytesTotal", "bytes", 0..=1_048_576 * GIB;
        /// Bytes sent to peers stay below this many times those received, over HTTP and from peers, plus
        /// `uploadRatioFloorBytes`. 0 sets no bound.
        upload_ratio: f64 = 1.0, "uploadRatio", "times", 0.0..=1000.0;
        /// What may be sent beyond `uploadRatio`: the first viewers start a swarm, and those with a fast uplink carry
        /// those without.
        upload_ratio_floor_bytes: u64 = 256 * MIB, "uploadRatioFloorBytes", "bytes", 0..=1024 * GIB;
        /// Upload also where the network is metered or the user asks to save data. Otherwise nothing is sent there.
        upload_on_metered: bool = false, "uploadOnMetered", "yes or no", ();
        /// Contact no tracker and make no connection before the page says that the user agrees (`setConsent(true)`).
        consent_required: bool = false, "consentRequired", "yes or no", ();
        /// Make links only while a tracker counts at least this many viewers, ourselves included.
        min_swarm_size: u32 = 0, "minSwarmSize", "viewers", 0..=1_000_000;
        /// Connect to peers through TURN servers only, and tell nobody another address of ours. The same as
        /// `rtcConfig.iceTransportPolicy: "relay"`, with a check of all that leaves. Needs a TURN server in `rtcConfig`.
        relay_only: bool = false, "relayOnly", "yes or no", ();
    }
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
