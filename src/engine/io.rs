//! The whole contract between the engine and a shell.
//!
//! A shell calls [`handle`](super::Engine::handle) for each thing that happened, [`place_fetched`] and
//! [`place_frame`] for segment bytes, then takes [`Output`]s from [`poll_output`] until it gets
//! [`Output::Wait`]. It runs outputs in the order given and never calls the engine from inside running one.
//!
//! Segment bytes never enter the engine. The shell keeps them in *blobs*: runs of bytes addressed by offset, written
//! piece by piece at the places that the engine names.
//!
//! [`place_fetched`]: super::Engine::place_fetched
//! [`place_frame`]: super::Engine::place_frame
//! [`poll_output`]: super::Engine::poll_output

use std::sync::Arc;

use crate::id::{BlobId, ByteRange, Digest, FetchId, LinkId, RequestId, SegmentKey, TrackId, TrackerId};
use crate::time::{Deadline, Span};

use super::event::Event;

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time passed. Harmless at any moment; due when a [`Output::Wait`] deadline has come.
    Tick,
    /// A playlist of one track was loaded or refreshed.
    Timeline(TimelineUpdate),
    /// Where the player is. Given at least once a second while it plays, and at each seek or stall.
    Playhead(Playhead),
    /// The player asks for a segment. It is answered by exactly one [`Output::Deliver`] or [`Output::Fail`], unless
    /// [`Input::Cancel`] comes first.
    Want {
        /// The player's request.
        request: RequestId,
        /// Which segment.
        key: SegmentKey,
    },
    /// The player no longer wants the answer to a request.
    Cancel {
        /// The player's request.
        request: RequestId,
    },
    /// The response head of an HTTP download arrived with a success status (2xx).
    FetchOpened {
        /// The download.
        fetch: FetchId,
        /// What the head said.
        head: HttpHead,
    },
    /// The body of an HTTP download ended as HTTP says it should. Every byte has gone through
    /// [`place_fetched`](super::Engine::place_fetched) before.
    FetchDone {
        /// The download.
        fetch: FetchId,
    },
    /// An HTTP download failed.
    FetchFailed {
        /// The download.
        fetch: FetchId,
        /// Why.
        error: FetchError,
    },
    /// The WebSocket to a tracker is open.
    TrackerUp {
        /// Which tracker.
        tracker: TrackerId,
    },
    /// The WebSocket to a tracker closed or could not be opened.
    TrackerDown {
        /// Which tracker.
        tracker: TrackerId,
        /// For people, e.g. the close code.
        why: String,
    },
    /// A text message came from a tracker.
    TrackerText {
        /// Which tracker.
        tracker: TrackerId,
        /// The message as received.
        text: String,
    },
    /// The offer that [`Output::CreateOffer`] asked for.
    OfferReady {
        /// The link.
        link: LinkId,
        /// Session description with the candidates gathered so far.
        sdp: String,
    },
    /// The answer that [`Output::AcceptOffer`] asked for.
    AnswerReady {
        /// The link.
        link: LinkId,
        /// Session description with the candidates gathered so far.
        sdp: String,
    },
    /// ICE candidates found after the description was handed over (trickle).
    LocalCandidates {
        /// The link.
        link: LinkId,
        /// `candidate:` lines with their `sdpMid`, as JSON text of an `RTCIceCandidateInit`; opaque to the engine.
        candidates: Vec<String>,
    },
    /// The data channel of a link is open.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The largest message that the transport takes, in bytes.
        max_message_bytes: u32,
    },
    /// The send buffer of a link fell below `limits.sendBufferLowBytes` after [`Output::SendData`] or
    /// [`Output::SendControl`] had raised it above.
    LinkWritable {
        /// The link.
        link: LinkId,
    },
    /// A link ended or could not be made. No further input names it.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        cause: LinkCloseCause,
    },
    /// A message that is not a data frame came from a peer. The first byte of a message tells:
    /// [`wire::is_data_frame`](crate::wire::is_data_frame).
    Control {
        /// The link.
        link: LinkId,
        /// The whole message.
        frame: Vec<u8>,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// The blob in question.
        blob: BlobId,
        /// Whether its bytes are the segment's.
        ok: bool,
    },
    /// The answer to [`Output::Digest`].
    Digested {
        /// The number of the question.
        ask: u32,
        /// The first half of the SHA-256 of the bytes; `None` when they are not there any more.
        digest: Option<Digest>,
    },
    /// What time it is, for the age of signed records. Given once at the start and when the clock was set.
    Clock {
        /// Milliseconds since 1970.
        unix_ms: u64,
    },
    /// Signed records of a playlist came, with `integrity.mode` "signed": a whole sidecar as `docs/integrity.md` has it.
    #[cfg(feature = "signed")]
    Sidecar {
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The answer to [`Output::CheckSignature`].
    #[cfg(feature = "signed")]
    SignatureChecked {
        /// The number of the question.
        check: u32,
        /// Whether the signature holds.
        ok: bool,
    },
    /// The state of the network changed.
    Network {
        /// Whether there is any network at all.
        online: bool,
        /// Whether bytes cost money (`saveData`, cellular).
        metered: bool,
    },
    /// The page was hidden or shown.
    Visibility {
        /// Whether the page is hidden now.
        hidden: bool,
    },
    /// Peer-to-peer was switched on or off while running. Off withdraws from all trackers and closes all links at
    /// once; playback goes on over HTTP.
    UseP2p {
        /// Whether to use it from now on.
        enabled: bool,
    },
    /// The stock swarm of each track of the manifest, to share with viewers of p2p-media-loader. Replaces what was said
    /// before; without it there is no such sharing.
    #[cfg(feature = "interop")]
    StockSwarms {
        /// By track; see [`stream_swarms`](crate::interop::identity::stream_swarms).
        swarms: Vec<(TrackId, crate::id::SwarmId)>,
    },
    /// How viewers of p2p-media-loader count the segments of a track. Given after each [`Input::Timeline`] of it.
    #[cfg(feature = "interop")]
    StockPlaylist {
        /// The track.
        track: TrackId,
        /// How they are counted.
        numbering: crate::interop::Numbering,
    },
    /// Everything that was sent on a link to a viewer of p2p-media-loader has left the send buffer.
    #[cfg(feature = "interop")]
    LinkDrained {
        /// The link.
        link: LinkId,
    },
    /// The page has another access token for the trackers that ask for one.
    TrackerToken {
        /// The token; empty for none.
        token: String,
    },
    /// The user agreed to peers, or no longer does. Without a yes nothing of a tracker or peer is touched where
    /// `loader.consentRequired` is set; a no has the effect of [`Input::UseP2p`] off, whatever is set.
    Consent {
        /// Whether the user agrees.
        given: bool,
    },
    /// The page goes away: say goodbye to trackers and peers. The last input.
    Shutdown,
}

/// One track's playlist, whole, as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineUpdate {
    /// Which track.
    pub track: TrackId,
    /// What the track is played as.
    pub kind: TrackKind,
    /// Whether the playlist may still grow or move (no `EXT-X-ENDLIST`).
    pub live: bool,
    /// Average bits per second that the manifest gives for the track; `None` if unknown.
    pub bitrate_bps: Option<u64>,
    /// The segments in playlist order.
    pub segments: Vec<SegmentInfo>,
}

/// What a track is played as. A player loads one track of each kind at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackKind {
    /// A variant stream: video, or video and audio in one.
    Main,
    /// A separate audio rendition.
    Audio,
}

/// One segment of a playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentInfo {
    /// Discontinuity sequence number.
    pub discontinuity: u32,
    /// Media sequence number.
    pub sequence: u64,
    /// Start on the player's timeline, in milliseconds; may be negative and may drift between refreshes.
    pub start_ms: i64,
    /// Duration in milliseconds.
    pub duration_ms: u32,
    /// Absolute URL to fetch it from. Shared, because a simulator gives one playlist to thousands of viewers.
    pub url: Arc<str>,
    /// `EXT-X-BYTERANGE`: which part of the resource the segment is.
    pub byte_range: Option<ByteRange>,
}

/// Where the player is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playhead {
    /// Position on the player's timeline, in milliseconds.
    pub position_ms: i64,
    /// Playback rate in thousandths: 1000 is normal speed, 0 is paused.
    pub rate_milli: u32,
    /// Playable media ahead of the position, in milliseconds.
    pub buffered_ms: u32,
}

/// What the head of an HTTP response said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpHead {
    /// Status: 200 or 206 as a rule.
    pub status: u16,
    /// Bytes that the body will have, if the response said so in a form that holds for the bytes the shell will see
    /// (no `Content-Encoding`).
    pub body_bytes: Option<u64>,
    /// `Content-Range`, when the page was allowed to read it.
    pub content_range: Option<ByteRange>,
}

/// Why an HTTP download failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The server answered with a status that is not a success.
    Status(u16),
    /// No response or a broken one: DNS, TLS, CORS, reset, a body cut short.
    Network(String),
    /// It took too long.
    Timeout,
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkCloseCause {
    /// The other side closed the channel.
    Remote,
    /// ICE or DTLS could not connect, or the connection broke.
    Failed(String),
    /// The description could not be made or was refused by the browser.
    BadDescription(String),
}

/// Something the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Start an HTTP download.
    Fetch {
        /// Its id, named in all that follows.
        fetch: FetchId,
        /// Which segment (for hooks and logs).
        key: SegmentKey,
        /// Absolute URL.
        url: String,
        /// Send a `Range` header for these bytes. An end of `u64::MAX` is open: `bytes=start-`.
        range: Option<ByteRange>,
    },
    /// Stop an HTTP download. Nothing that comes of it matters any more.
    CancelFetch {
        /// The download.
        fetch: FetchId,
    },
    /// Open a WebSocket to a tracker.
    OpenTracker {
        /// Which tracker.
        tracker: TrackerId,
        /// Its URL.
        url: String,
    },
    /// Send a text message to a tracker.
    SendTracker {
        /// Which tracker.
        tracker: TrackerId,
        /// The message.
        text: String,
    },
    /// Close the WebSocket to a tracker, after what was sent before. No [`Input::TrackerDown`] is needed.
    CloseTracker {
        /// Which tracker.
        tracker: TrackerId,
    },
    /// Make a connection with a data channel and an offer for it; answered by [`Input::OfferReady`].
    CreateOffer {
        /// The new link.
        link: LinkId,
    },
    /// Make a connection from a remote offer; answered by [`Input::AnswerReady`].
    AcceptOffer {
        /// The new link.
        link: LinkId,
        /// The remote session description.
        sdp: String,
    },
    /// Apply the remote answer.
    AcceptAnswer {
        /// The link.
        link: LinkId,
        /// The remote session description.
        sdp: String,
    },
    /// Add remote ICE candidates (trickle).
    AddCandidates {
        /// The link.
        link: LinkId,
        /// As in [`Input::LocalCandidates`], from the other side: check before use.
        candidates: Vec<String>,
    },
    /// Close a link, after what was sent before. No [`Input::LinkDown`] is needed.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// Send a message that is whole in `frame`.
    SendControl {
        /// The link.
        link: LinkId,
        /// The message.
        frame: Vec<u8>,
    },
    /// Send one message: `head`, then `len` bytes of a blob from `at`.
    SendData {
        /// The link.
        link: LinkId,
        /// The frame's head.
        head: Vec<u8>,
        /// Where the payload is.
        blob: BlobId,
        /// Its offset in the blob.
        at: u64,
        /// Its length in bytes.
        len: u32,
    },
    /// Start an empty blob.
    NewBlob {
        /// Its id.
        blob: BlobId,
    },
    /// Forget a blob's bytes.
    DropBlob {
        /// Its id.
        blob: BlobId,
    },
    /// Hash bytes of a blob with SHA-256; answered by exactly one [`Input::Digested`], at any time.
    Digest {
        /// The number of the question.
        ask: u32,
        /// The blob.
        blob: BlobId,
        /// Offset of the first byte.
        at: u64,
        /// How many bytes: at most 64 KiB.
        len: u32,
    },
    /// Forget some bytes of a blob: others will be written in their place.
    Clear {
        /// The blob.
        blob: BlobId,
        /// Offset of the first byte.
        at: u64,
        /// How many bytes.
        len: u32,
    },
    /// Check an Ed25519 signature (RFC 8032); answered by exactly one [`Input::SignatureChecked`], at any time.
    #[cfg(feature = "signed")]
    CheckSignature {
        /// The number of the question.
        check: u32,
        /// The public key.
        public_key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// The signature.
        signature: [u8; 64],
    },
    /// Ask the page's segment validator about a complete blob; answered by [`Input::Verified`]. Only sent when the
    /// configuration says that there is one.
    Verify {
        /// The complete blob.
        blob: BlobId,
        /// Which segment it should be.
        key: SegmentKey,
        /// The segment's URL.
        url: String,
        /// The segment's byte range.
        byte_range: Option<ByteRange>,
        /// Whether any byte came from a peer.
        from_peers: bool,
    },
    /// Answer a player's request with a **copy** of a blob's bytes (players detach the buffers they are given).
    Deliver {
        /// The player's request.
        request: RequestId,
        /// The complete blob; it stays the engine's.
        blob: BlobId,
        /// Its length in bytes.
        len: u64,
        /// How long the bytes really took, for the player's bandwidth estimate.
        timing: DeliveryTiming,
    },
    /// A player's request failed; the player's own retry policy decides what next.
    Fail {
        /// The player's request.
        request: RequestId,
        /// Why.
        why: RequestFailure,
    },
    /// Something that the page may want to know.
    Event(Event),
    /// Nothing more to do now. Give [`Input::Tick`] at the deadline, if there is one, or when anything happens.
    Wait(Option<Deadline>),
}

/// Why a player's request could not be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// The key is in no playlist the engine knows. The shell lets the player's own loader fetch it.
    UnknownSegment,
    /// The CDN failed and no peer could help.
    Http(FetchError),
    /// The page's segment validator refused what the CDN served.
    Refused,
    /// What the CDN served is not what was signed.
    #[cfg(feature = "signed")]
    Unsigned,
    /// The engine was shut down.
    Shutdown,
}

/// How long a delivered segment's bytes took on the network. A cache hit carries the timing of the download that
/// filled the cache: a player that measured memory speed would choose a rendition that the network cannot carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryTiming {
    /// From the request on the network to the first byte.
    pub first_byte: Span,
    /// From the request on the network to the last byte.
    pub total: Span,
    /// How long ago the last byte arrived (zero unless the segment was in the cache).
    pub age: Span,
    /// Bytes of it that came over HTTP.
    pub http_bytes: u64,
    /// Bytes of it that came from peers.
    pub p2p_bytes: u64,
}

/// Where arriving segment bytes belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Write `len` bytes of the chunk, from `skip` on, into `blob` at offset `at`.
    At {
        /// The blob.
        blob: BlobId,
        /// Offset in the blob.
        at: u64,
        /// Bytes of the chunk to leave out at its beginning.
        skip: u32,
        /// Bytes to write.
        len: u32,
    },
    /// Nobody needs them.
    Discard,
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FetchError::Status(status) => write!(f, "HTTP status {status}"),
            FetchError::Network(why) => write!(f, "network error: {why}"),
            FetchError::Timeout => f.write_str("HTTP timed out"),
        }
    }
}
