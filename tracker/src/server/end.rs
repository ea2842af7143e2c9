//! Why connections end.

use std::fmt;

use crate::out::CloseReason;
use crate::ws::Violation;

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other side closed.
    Peer,
    /// The connection broke.
    Broken(String),
    /// It did not do in time what it had to.
    Timeout(&'static str),
    /// It broke the WebSocket protocol.
    Violation(Violation),
    /// It did not speak TLS, PROXY or HTTP as it should.
    Handshake(&'static str),
    /// It was answered over HTTP and that is all.
    Http(u16),
    /// The registry wants it closed.
    Registry(CloseReason),
    /// It does not read what it is sent.
    Slow,
    /// The tracker stops.
    Stopping,
}

impl End {
    /// A short stable name, for metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            End::Peer => "peer",
            End::Broken(_) => "broken",
            End::Timeout(_) => "timeout",
            End::Violation(_) => "violation",
            End::Handshake(_) => "handshake",
            End::Http(_) => "http",
            End::Registry(CloseReason::Flood) => "flood",
            End::Registry(CloseReason::Silent) => "silent",
            End::Slow => "slow",
            End::Stopping => "stopping",
        }
    }

    /// Whether the client did something it should not.
    pub(super) const fn is_abuse(&self) -> bool {
        matches!(self, End::Violation(_) | End::Registry(_) | End::Slow)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Peer => f.write_str("closed by the other side"),
            End::Broken(why) => write!(f, "broken: {why}"),
            End::Timeout(what) => write!(f, "no {what} in time"),
            End::Violation(violation) => violation.fmt(f),
            End::Handshake(what) => f.write_str(what),
            End::Http(status) => write!(f, "answered with status {status}"),
            End::Registry(reason) => reason.fmt(f),
            End::Slow => f.write_str("does not read"),
            End::Stopping => f.write_str("the tracker stops"),
        }
    }
}
