//! A WebTorrent tracker for viewers of HLS streams: it introduces browsers to each other and never sees a segment.
//!
//! The [`registry`] is the whole behaviour as pure data: it is told the time, the messages and the connections, and
//! says what to send and whom to close. It has no socket, no clock and no thread, so the simulator calls it directly.
//!
//! | module | purpose |
//! |---|---|
//! | [`registry`] | swarms, members, offers on their way, limits |
//! | [`cluster`] | several registries as one |
//! | [`protocol`] | messages of clients, parsed by reference; replies |
//! | [`out`] | what the registry wants done |
//! | [`histogram`] | counts of durations |
//! | `ws` | the server's half of RFC 6455 (feature `wire`) |
//! | `http`, `proxy` | what comes before: the request and the PROXY header (feature `wire`) |
//! | `config` | the settings of the binary and their sample file (feature `server`) |
//! | `server` | sockets, TLS, HTTP, timers, metrics around the registry (feature `server`) |

pub mod cluster;
#[cfg(feature = "server")]
pub mod config;
pub mod histogram;
#[cfg(feature = "wire")]
pub mod http;
pub mod out;
pub mod protocol;
#[cfg(feature = "wire")]
pub mod proxy;
pub mod registry;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "wire")]
pub mod ws;

pub use out::{CloseReason, Out, SendKind};
pub use registry::{ConnId, Limits, Registry};
