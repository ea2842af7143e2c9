//! A WebTorrent tracker for viewers of HLS streams: it introduces browsers to each other and never sees a segment.
//!
//! The [`registry`] is the whole behaviour as pure data: it is told the time, the messages and the connections, and
//! says what to send and whom to close. It has no socket, no clock and no thread, so the simulator calls it directly.
//!
//! | module | purpose |
//! |---|---|
//! | [`registry`] | swarms, members, offers on their way, limits |
//! | [`protocol`] | messages of clients, parsed by reference; replies |
//! | [`out`] | what the registry wants done |

pub mod out;
pub mod protocol;
pub mod registry;

pub use out::{CloseReason, Out, SendKind};
pub use registry::{ConnId, Limits, Registry};
