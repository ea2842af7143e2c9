//! What the registry wants done, in order. One `Out` is reused for many messages so that nothing is allocated.

use std::fmt;
use std::ops::Range;

use crate::cluster::Dest;
use crate::registry::ConnId;

/// What kind of message is sent. Under pressure a shell drops offers and candidates, never replies or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendKind {
    /// The reply to an announce or scrape, or a failure.
    Reply,
    /// Another member's offer.
    Offer,
    /// The answer to an offer.
    Answer,
    /// Trickled candidates.
    Candidates,
}

/// Why the registry wants a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// It went on sending long after its messages were refused for coming too fast.
    Flood,
    /// It did not announce in time after it connected.
    Silent,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Flood => "too many messages",
            CloseReason::Silent => "no announce",
        })
    }
}

/// Collects what one or more calls of the registry want done.
#[derive(Debug, Default)]
pub struct Out {
    text: String,
    sends: Vec<Send>,
    closes: Vec<(ConnId, CloseReason)>,
    refused: Vec<(ConnId, &'static str)>,
    bytes: Vec<u8>,
    frames: Vec<(Dest, Range<usize>)>,
}

#[derive(Debug)]
struct Send {
    to: ConnId,
    kind: SendKind,
    text: Range<usize>,
}

impl Out {
    /// An empty collection.
    pub fn new() -> Out {
        Out::default()
    }

    /// The messages to send, in order.
    pub fn sends(&self) -> impl Iterator<Item = (ConnId, SendKind, &str)> {
        self.sends.iter().map(|send| (send.to, send.kind, &self.text[send.text.clone()]))
    }

    /// The connections to close after that. The shell calls [`disconnect`](crate::Registry::disconnect) for each when
    /// it is done.
    pub fn closes(&self) -> impl Iterator<Item = (ConnId, CloseReason)> {
        self.closes.iter().copied()
    }

    /// The refused messages: from whom, and a short name of why. For logs; the clients were told.
    pub fn refusals(&self) -> impl Iterator<Item = (ConnId, &'static str)> {
        self.refused.iter().copied()
    }

    /// The frames for other registries of the cluster, in order.
    pub fn frames(&self) -> impl Iterator<Item = (Dest, &[u8])> {
        self.frames.iter().map(|(to, bytes)| (*to, &self.bytes[bytes.clone()]))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.closes.is_empty() && self.frames.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.sends.clear();
        self.closes.clear();
        self.refused.clear();
        self.bytes.clear();
        self.frames.clear();
    }

    /// Adds a message, written by `write`.
    pub(crate) fn send(&mut self, to: ConnId, kind: SendKind, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        self.sends.push(Send { to, kind, text: start..self.text.len() });
    }

    /// Adds a frame, written by `write`, unless that says that there is none.
    pub(crate) fn frame(&mut self, to: Dest, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.bytes.len();
        if write(&mut self.bytes) {
            self.frames.push((to, start..self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
    }

    /// Notes a refused message.
    pub(crate) fn refused(&mut self, conn: ConnId, why: &'static str) {
        self.refused.push((conn, why));
    }

    /// Adds a connection to close.
    pub(crate) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        self.closes.push((conn, reason));
    }
}
