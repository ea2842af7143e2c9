//! Peer-assisted HLS delivery: the engine behind the npm package `hlswarm`.
//!
//! A viewer asks for HLS segments. The engine answers from its cache, from other viewers over WebRTC data channels,
//! or from the CDN over HTTP, so that a viewer never stalls more than with the CDN alone, never plays a wrong byte,
//! and the origin serves each segment about once.
//!
//! The engine is sans-IO: it has no clock, no socket and no thread. A *shell* (the browser, the simulator, a native
//! node) feeds [`Input`](engine::Input)s with the time, runs [`Output`](engine::Output)s and keeps the bytes;
//! [`engine`] is the whole contract on one page.
//!
//! | module | purpose |
//! |---|---|
//! | [`time`], [`id`] | the engine's clock values and the newtypes for every id |
//! | [`config`] | the tuning objects, their defaults, presets and errors |
//! | [`timeline`] | which segments exist: tracks, the live window, stable keys |
//! | [`schedule`] | what to fetch, from where, when |
//! | [`swarm`] | the peers: admission, handshake, what they have, upload slots |
//! | [`integrity`] | digests, signed records, and what peers say of digests |
//! | [`wire`] | the binary frames between peers |
//! | [`signal`] | tracker sessions and link negotiation |
//! | `interop` | one swarm with p2p-media-loader (feature `interop`) |
//! | [`cache`] | the index of kept segments and its budget |
//! | [`playlist`] | playlists to timelines, where no player parses them (feature `playlist`) |
//! | `web` | the browser shell (`wasm32` only) |
//! | [`sorted`] | maps and sets as sorted vectors |
//! | [`json`] | values of JSON, read and written |
//! | [`random`] | the generator of random numbers |
//! | [`engine`] | routes inputs to the machines above and folds their deadlines |

pub mod cache;
pub mod config;
pub mod engine;
pub mod id;
pub mod integrity;
#[cfg(feature = "interop")]
pub mod interop;
pub mod json;
#[cfg(feature = "playlist")]
pub mod playlist;
pub mod random;
pub mod schedule;
mod sha1;
mod sha256;
pub mod signal;
pub mod sorted;
pub mod swarm;
pub mod time;
pub mod timeline;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod wire;
