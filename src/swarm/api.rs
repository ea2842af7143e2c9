//! What the peer set takes from the engine and gives to it.

use std::collections::VecDeque;

use crate::engine::{CloseReason, Event, Output};
use crate::id::{BlobId, LinkId, PeerId, SegmentKey, TransferId};
use crate::time::{Span, Time};
use crate::wire::{Claim, Frame, GoodbyeReason, HaveState, Interest, RefuseReason, encode};

use super::peer::Peer;

/// Where the peer set puts what it has to say: to the shell and to the engine.
#[derive(Debug)]
pub struct SwarmOut<'a> {
    /// For the shell: messages, closed links, events.
    pub outputs: &'a mut VecDeque<Output>,
    /// For the engine.
    pub notices: &'a mut Vec<SwarmNotice>,
}

impl SwarmOut<'_> {
    pub(super) fn frame(&mut self, link: LinkId, frame: &Frame) {
        self.bytes(link, encode(frame));
    }

    pub(super) fn bytes(&mut self, link: LinkId, frame: Vec<u8>) {
        self.outputs.push_back(Output::SendControl { link, frame });
    }

    pub(super) fn notice(&mut self, notice: SwarmNotice) {
        self.notices.push(notice);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn event_if(&mut self, event: Option<Event>) {
        self.outputs.extend(event.map(Output::Event));
    }
}

/// Something that the engine must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwarmNotice {
    /// A peer passed its handshake: it is among [`Swarm::peers`](super::Swarm::peers) from now on.
    PeerReady {
        /// Its link.
        link: LinkId,
    },
    /// A link ended that had been ready. Its downloads were reported as [`SwarmNotice::TransferFailed`] before.
    PeerGone {
        /// The link.
        link: LinkId,
        /// The peer at its other end.
        peer: PeerId,
    },
    /// A link is gone, ready or not. The last notice that names it.
    LinkGone {
        /// The link.
        link: LinkId,
    },
    /// A peer begins to serve a download, or learnt how long the segment is.
    TransferAccepted {
        /// The link.
        link: LinkId,
        /// The download.
        transfer: TransferId,
        /// Length of the whole segment by the peer's account, which is no evidence; `None` while it does not know.
        total_bytes: Option<u32>,
    },
    /// All bytes of a download have arrived; it is over.
    TransferDone {
        /// The link.
        link: LinkId,
        /// The download.
        transfer: TransferId,
    },
    /// A peer will not serve a download, or not any further; it is over.
    TransferRefused {
        /// The link.
        link: LinkId,
        /// The download.
        transfer: TransferId,
        /// Why.
        reason: RefuseReason,
    },
    /// A download ended early: its link went down, or it stalled, was too slow or took too long. It is over.
    TransferFailed {
        /// The link.
        link: LinkId,
        /// The download.
        transfer: TransferId,
    },
    /// What a peer has is different now.
    HaveChanged {
        /// Its link.
        link: LinkId,
    },
    /// A peer says what a segment's digest is.
    Claimed {
        /// Its link.
        link: LinkId,
        /// What it says.
        claim: Claim,
    },
    /// A peer sent signed records.
    #[cfg(feature = "signed")]
    Proved {
        /// Its link.
        link: LinkId,
        /// Which of the batch's records the digests are for.
        record: u8,
        /// The digests of its blocks.
        blocks: Vec<crate::id::Digest>,
        /// The batch.
        batch: Vec<u8>,
    },
    /// A peer's player moved.
    InterestChanged {
        /// Its link.
        link: LinkId,
    },
}

/// What the peer set may read of the engine's segments.
pub trait SegmentStore {
    /// A segment that is kept or arriving.
    fn segment(&self, key: SegmentKey) -> Option<StoredSegment>;

    /// What a peer that asks for a segment is told before it gets it: what is known of its digest. By default nothing.
    fn evidence(&self, _key: SegmentKey) -> Option<Frame> {
        None
    }

    /// How many bytes of a segment are there from offset `at` on without a gap. Zero if the segment is not there.
    fn contiguous_from(&self, key: SegmentKey, at: u64) -> u64;
}

/// A segment that is kept or arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// Where its bytes are. Offset 0 of the blob is the segment's first byte.
    pub blob: BlobId,
    /// First byte of the segment's byte range in its resource; 0 without one.
    pub resource_offset: u64,
    /// Length of the whole segment, once known.
    pub total_bytes: Option<u64>,
    /// Whether its bytes may be given to peers.
    pub shareable: bool,
}

/// What to do with a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataArrival {
    /// Bytes of a download.
    Arrived {
        /// The download.
        transfer: TransferId,
        /// Offset of the first byte within the segment.
        at: u32,
        /// Bytes to keep.
        len: u32,
        /// Bytes of the message before them.
        skip: u32,
    },
    /// Nobody asked for them, or nobody wants them any more.
    Ignored,
}

/// One ready peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// Its link.
    pub link: LinkId,
    /// Its id.
    pub peer: PeerId,
    /// Since when it is ready.
    pub since: Time,
    /// Round-trip time; `None` before the first answer.
    pub rtt: Option<Span>,
    /// Bytes a second that it delivers while it delivers; `None` before the first measurement.
    pub download_rate: Option<u64>,
    /// Downloads from it that are not over.
    pub outstanding: usize,
    /// Segment bytes asked for that have not arrived.
    pub outstanding_bytes: u64,
    /// Whether its downloads bring less than `limits.minReceiveBytesPerSecond` at the moment. After a few such
    /// windows they fail.
    pub slow: bool,
    /// Whether it serves requests.
    pub uploads: bool,
    /// Whether it forwards segments that are still arriving.
    pub cut_through: bool,
    /// It lied about what it has: nothing is requested from it until then.
    pub ignored_until: Option<Time>,
    /// Where its player is.
    pub interest: Option<Interest>,
    pub(super) of: &'a Peer,
    pub(super) clock: Time,
}

impl PeerView<'_> {
    /// What it says of a segment. A peer that may not be asked has nothing.
    pub fn state(&self, key: SegmentKey) -> HaveState {
        self.of.state(key, self.clock)
    }
}

/// One download from a peer that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// Which segment.
    pub key: SegmentKey,
    /// When it was asked for.
    pub requested: Time,
    /// When the peer accepted it.
    pub accepted: Option<Time>,
    /// Offset in the segment of the next byte.
    pub next: u32,
    /// Bytes that have arrived.
    pub received: u32,
    /// Bytes that are still to come, if known.
    pub remaining: Option<u32>,
}

/// Why a link is closed from our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    /// What to tell the other side; nothing when it is gone.
    pub(super) goodbye: Option<GoodbyeReason>,
    /// What to tell the page.
    pub(super) reason: CloseReason,
}

impl Close {
    pub(super) fn new(goodbye: GoodbyeReason, reason: CloseReason) -> Close {
        Close { goodbye: Some(goodbye), reason }
    }

    pub(super) fn silent(reason: CloseReason) -> Close {
        Close { goodbye: None, reason }
    }

    pub(super) fn violation(what: impl Into<String>) -> Close {
        Close::new(GoodbyeReason::Violation, CloseReason::Violation(what.into()))
    }

    pub(super) fn incompatible(what: impl Into<String>) -> Close {
        Close::new(GoodbyeReason::Incompatible, CloseReason::Incompatible(what.into()))
    }

    pub(super) fn timeout(what: impl Into<String>) -> Close {
        Close::new(GoodbyeReason::Leaving, CloseReason::Timeout(what.into()))
    }

    pub(super) fn duplicate() -> Close {
        Close::new(GoodbyeReason::Duplicate, CloseReason::Duplicate)
    }

    pub(super) fn replaced() -> Close {
        Close::new(GoodbyeReason::Replaced, CloseReason::Replaced)
    }
}
