//! The closed set of frames. Everything a peer may say is here.

use crate::id::{Digest, Id20, SegmentKey, SwarmId, TrackId, TransferId};

/// One message between peers, parsed. The first byte on the wire is the type, never inferred from the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of each side: who speaks, about which swarm, in which versions.
    Hello {
        /// Lowest protocol version that the sender speaks.
        min_version: u8,
        /// Highest protocol version that the sender speaks. The link uses the lower of the two maxima.
        max_version: u8,
        /// What the sender can do; unknown bits are ignored.
        capabilities: Capabilities,
        /// The swarm, so that a link made by a confused tracker is noticed.
        swarm: SwarmId,
        /// The sender's peer id.
        peer: Id20,
        /// The largest message that the sender takes, in bytes.
        max_message_bytes: u32,
    },
    /// Everything the sender has of one run of segments. Replaces what was known of that track and discontinuity.
    Have {
        /// The track.
        track: TrackId,
        /// The discontinuity sequence number.
        discontinuity: u32,
        /// Media sequence number of bit 0.
        first_sequence: u64,
        /// One bit a segment, least significant bit of byte 0 first: complete and shareable. At most 2048 bits.
        loaded: Vec<u8>,
    },
    /// Changes since the last [`Frame::Have`].
    HaveDelta {
        /// Each change, applied in order. At most 64.
        entries: Vec<HaveEntry>,
    },
    /// Where the sender's player is, so that others know which segments it will want.
    Interest(Interest),
    /// Asks for bytes of a segment.
    Request {
        /// How the requester will know the answer. Increases by one with each request on a link.
        transfer: TransferId,
        /// Which segment.
        key: SegmentKey,
        /// First byte of the segment's byte range in its resource; 0 without one. A sender whose segment begins
        /// elsewhere refuses.
        resource_offset: u64,
        /// First byte wanted, within the segment.
        at: u32,
        /// Bytes wanted; 0 means to the end.
        len: u32,
    },
    /// Before the first data frame of a transfer: how long the whole segment is, by the sender's account.
    Accept {
        /// The transfer.
        transfer: TransferId,
        /// Length of the whole segment in bytes; 0 while the sender does not know it itself.
        total_bytes: u32,
    },
    /// The transfer will not be served, or not any further.
    Refuse {
        /// The transfer.
        transfer: TransferId,
        /// Why.
        reason: RefuseReason,
    },
    /// The requester no longer wants a transfer.
    Cancel {
        /// The transfer.
        transfer: TransferId,
    },
    /// Asks for a [`Frame::Pong`] with the same number.
    Ping {
        /// Chosen by the sender.
        nonce: u32,
    },
    /// Answers a [`Frame::Ping`].
    Pong {
        /// The number of the ping.
        nonce: u32,
    },
    /// The last frame of a link.
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
    },
    /// What the sender knows of a segment that it has: see `docs/integrity.md`. An extension.
    Claim(Claim),
    /// Signed records, and the digests of one segment's blocks. An extension.
    #[cfg(feature = "signed")]
    Proof {
        /// Which of the batch's records the digests are for.
        record: u8,
        /// The digests of its blocks. At most 112.
        blocks: Vec<Digest>,
        /// One signed batch, as in a sidecar but without digests.
        batch: Vec<u8>,
    },
    /// A frame that may be skipped by those who do not know it.
    Extension {
        /// The first byte: 0x82 to 0xff.
        kind: u8,
        /// The rest of the message.
        body: Vec<u8>,
    },
}

/// A segment's length and digest, by the sender's account, and whose fetch that goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which segment.
    pub key: SegmentKey,
    /// Length of the segment in bytes.
    pub total_bytes: u32,
    /// Its digest: the first half of SHA-256 over the digests of its blocks.
    pub digest: Digest,
    /// The last eight bytes of the peer id of the viewer who fetched it from the origin, as far as the sender knows;
    /// its own if it did itself; 0 if nobody is known to have.
    pub origin: u64,
}

/// The kind of the extension by which a peer says that it serves requests (one byte: 1) or, for now, does not (0).
pub const SHARING: u8 = 0x88;

/// The kind of the empty extension by which an offering side that hears nothing asks for a hello that may have been lost.
pub const WAKE: u8 = 0xff;

/// The head of a data frame. The payload follows it to the end of the message and never enters the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// The transfer it belongs to.
    pub transfer: TransferId,
    /// Offset of the payload's first byte within the segment.
    pub at: u32,
}

/// What a peer can do, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Serves requests. A peer without it only consumes.
    pub const UPLOADS: Capabilities = Capabilities(1);
    /// Forwards segments that are still arriving.
    pub const CUT_THROUGH: Capabilities = Capabilities(1 << 1);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    pub const fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

/// One change of what the sender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaveEntry {
    /// Which segment.
    pub key: SegmentKey,
    /// Its new state.
    pub state: HaveState,
}

/// What a peer says of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaveState {
    /// Not there (any more).
    Gone,
    /// Being fetched from the origin: nobody else needs to. Expires when nothing follows.
    FetchingHttp,
    /// Being fetched from a peer.
    FetchingP2p,
    /// Complete and shareable.
    Loaded,
}

/// Where a player is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The track that the player loads.
    pub track: TrackId,
    /// Media sequence number at the playhead.
    pub playing_sequence: u64,
    /// Media sequence number up to which (exclusive) the player has asked for segments.
    pub wanted_sequence: u64,
    /// How many peers its viewer can serve at a time, each faster than the stream plays; 0 if it serves nobody. Who
    /// can serve many fetches first, and is served first.
    pub serves: u8,
}

/// Why a transfer is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The segment is not there (any more), or is another byte range.
    Absent,
    /// All upload slots are taken; ask again later or elsewhere.
    Busy,
    /// The sender does not upload.
    NotSharing,
    /// The sender's own download of the segment failed half way.
    Aborted,
    /// Too many requests.
    RateLimited,
}

/// Why a link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// The page is closed or left.
    Leaving,
    /// There already is a link between the two.
    Duplicate,
    /// Room is needed for another peer.
    Replaced,
    /// The other side broke the protocol.
    Violation,
    /// No common version, or another swarm.
    Incompatible,
}
