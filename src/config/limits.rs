//! The section `limits`.

use super::options::options;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

options! {
    /// Bounds that protect the viewer from hostile or broken peers. The defaults are sound; a page that changes them
    /// has measured why.
    pub struct LimitsConfig in "limits" {
        /// Open links to peers.
        max_peers: usize = 30, "maxPeers", "peers", 1..=500;
        /// Links being made.
        max_pending_peers: usize = 8, "maxPendingPeers", "peers", 1..=100;
        /// How often the worst peer makes room for a waiting one when all links are taken.
        replace_worst_peer_ms: u64 = 60_000, "replaceWorstPeerMs", "ms", 1000..=3_600_000;
        /// A link that is not open after this long is given up.
        connect_timeout_ms: u64 = 15_000, "connectTimeoutMs", "ms", 1000..=120_000;
        /// A peer that has not said hello this long after its link opened is closed.
        hello_timeout_ms: u64 = 10_000, "helloTimeoutMs", "ms", 100..=120_000;
        /// A silent peer is pinged this often.
        ping_interval_ms: u64 = 20_000, "pingIntervalMs", "ms", 100..=600_000;
        /// A peer that has left so many pings unanswered is closed.
        missed_pings_before_close: u32 = 3, "missedPingsBeforeClose", "pings", 1..=100;
        /// Largest data message that is accepted or sent.
        max_data_message_bytes: u32 = 65_536, "maxDataMessageBytes", "bytes", 2048..=262_144;
        /// Largest control message that is accepted or sent.
        max_control_message_bytes: u32 = 4096, "maxControlMessageBytes", "bytes", 2048..=65_536;
        /// Largest segment that is taken from a peer or kept for sharing.
        max_segment_bytes: u64 = 16 * MIB, "maxSegmentBytes", "bytes", 64 * KIB..=GIB;
        /// Where nothing better is known, a segment may have this many times the bytes that bitrate and duration give.
        claim_factor: u32 = 3, "claimFactor", "times", 1..=100;
        /// Segment bytes being received from one peer.
        receive_bytes_per_peer: u64 = 2 * MIB, "receiveBytesPerPeer", "bytes", 64 * KIB..=GIB;
        /// Segment bytes being received from all peers.
        receive_bytes_total: u64 = 32 * MIB, "receiveBytesTotal", "bytes", 64 * KIB..=GIB;
        /// Sending on a link stops above this many unsent bytes.
        send_buffer_high_bytes: u64 = 512 * KIB, "sendBufferHighBytes", "bytes", 16 * KIB..=16 * MIB;
        /// Sending on a link goes on below this many unsent bytes.
        send_buffer_low_bytes: u64 = 128 * KIB, "sendBufferLowBytes", "bytes", 0..=16 * MIB;
        /// An upload is dropped when the link's send buffer has not drained for this long.
        send_stall_ms: u64 = 5000, "sendStallMs", "ms", 100..=600_000;
        /// An upload that takes this many times its expected time is dropped and its slot freed. No peer is expected to read
        /// more slowly than `minReceiveBytesPerSecond`.
        upload_time_factor: u32 = 3, "uploadTimeFactor", "times", 1..=100;
        /// Most peers that are served at a time. How many it is within that is learnt from how fast the uploads are: each
        /// should get a useful share of the uplink.
        upload_slots: usize = 12, "uploadSlots", "uploads", 0..=64;
        /// Most peers that are served at a time while the page is hidden.
        hidden_upload_slots: usize = 2, "hiddenUploadSlots", "uploads", 0..=64;
        /// A download from a peer must bring at least this much, over `minReceiveWindowMs`.
        min_receive_bytes_per_second: u64 = 8 * KIB, "minReceiveBytesPerSecond", "bytes/s", 0..=16 * MIB;
        /// The window of `minReceiveBytesPerSecond`.
        min_receive_window_ms: u64 = 1000, "minReceiveWindowMs", "ms", 100..=60_000;
        /// A peer that has sent more than this without having been asked is closed.
        unrequested_bytes: u64 = 256 * KIB, "unrequestedBytes", "bytes", 0..=GIB;
        /// A peer that so often within `absentWindowMs` lacks a segment it announced is ignored for a while.
        absents_before_ignore: u32 = 3, "absentsBeforeIgnore", "refusals", 1..=1000;
        /// The window of `absentsBeforeIgnore`.
        absent_window_ms: u64 = 60_000, "absentWindowMs", "ms", 1000..=3_600_000;
        /// How long such a peer is ignored the first time; it doubles each time.
        ignore_ms: u64 = 60_000, "ignoreMs", "ms", 1000..=3_600_000;
        /// Segments in one availability window.
        have_window: u32 = 2048, "haveWindow", "segments", 64..=2048;
        /// Availability updates taken from a peer, on average.
        have_updates_per_second: u32 = 10, "haveUpdatesPerSecond", "per second", 1..=10_000;
        /// Availability updates taken from a peer at once.
        have_updates_burst: u32 = 50, "haveUpdatesBurst", "updates", 1..=10_000;
        /// Requests of one peer that wait or are being served.
        requests_outstanding_per_peer: usize = 16, "requestsOutstandingPerPeer", "requests", 1..=1000;
        /// Requests of all peers that wait or are being served.
        requests_outstanding: usize = 64, "requestsOutstanding", "requests", 1..=10_000;
        /// Requests and cancels taken from a peer, on average.
        requests_per_second: u32 = 20, "requestsPerSecond", "per second", 1..=10_000;
        /// Requests and cancels taken from a peer at once.
        requests_burst: u32 = 40, "requestsBurst", "requests", 1..=10_000;
        /// A peer that was refused more often than this for asking too much is closed.
        rejects_before_close: u32 = 50, "rejectsBeforeClose", "refusals", 1..=10_000;
        /// Tracks that are followed at a time.
        max_tracks: usize = 64, "maxTracks", "tracks", 1..=1000;
        /// Segments of one playlist that are followed; what a longer playlist has beyond is left to the player.
        max_track_segments: usize = 100_000, "maxTrackSegments", "segments", 10..=1_000_000;
    }
}
