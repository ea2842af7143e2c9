//! The browser shell: runs the engine inside a page (`wasm32` only).
//!
//! The TypeScript face of the npm package makes one [`Shell`] per swarm and talks to it in plain values; the shell
//! owns everything that the engine asks for: HTTP downloads, WebSockets to trackers, WebRTC links, the bytes of
//! segments and one timer.
//!
//! ```text
//!   page ──> Shell ──> inbox ──> Engine::handle / place_* ──> poll_output ──┐
//!                        ^                                                  │ engine released
//!                        └── http · link · tracker · timer  <── run output ─┘
//! ```
//!
//! The engine is never borrowed while anything outside is called: what happens is put into an inbox, and one loop
//! takes it from there ([`driver`]). The loop is always entered through a JavaScript function that catches whatever
//! is thrown, a trap included, so that a fault of ours ends our part and nothing else.
//!
//! Segment bytes stay on the JavaScript heap ([`blobs`]). Only the first bytes of data frames and whole control
//! frames are copied into wasm memory.

mod blobs;
mod candidates;
mod dom;
mod driver;
mod host;
mod http;
mod link;
mod outputs;
mod shell;
mod sink;
mod start;
#[cfg(feature = "interop")]
mod stock;
mod tracker;

/// Two-level segregated fit. The standard library's allocator for this target is two kilobytes of the download more.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

pub use host::Host;
pub use shell::Shell;
pub use sink::FetchSink;
