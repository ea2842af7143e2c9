//! The deterministic swarm simulator: real engines, the real tracker registry, simulated time.
//!
//! A *scenario* says what is played, by whom, over which lines, and what goes wrong. From a seed it becomes a list of
//! *transitions* (viewers join, leave, lose their network; trackers die). The *system under test* is a shell with a
//! real [`Engine`](hlswarm::engine::Engine) for each viewer. The *reference* is the same viewer, on the same line with
//! the same transitions, whose player loads everything over HTTP. *Assertions* hold at each step (exactly the right
//! bytes, each request answered once, outputs that make sense, budgets kept, nothing left after shutdown) and at the
//! end (no viewer stalls more than its reference). A run is decided by its seed alone: two runs have equal logs,
//! whatever the number of threads.
//!
//! | module | purpose |
//! |---|---|
//! | [`scenario`], `check` | scenario files and their bounds |
//! | `draw` | randomness by hash of the seed and the thing it is drawn for |
//! | `topology` | viewers' lines, joining, leaving; the list of transitions |
//! | `media` | the stream; which bytes a segment consists of |
//! | `queue`, [`world`] | simulated time, actors, threads |
//! | `viewer`, `outputs`, `links`, `http`, `blobs`, `digests`, `signed` | the shell of one viewer |
//! | `player`, `adapt` | the player: the reference by itself, with an engine the system under test |
//! | `origin`, `tracker` | the CDN; the registry behind sockets |
//! | `tally`, [`report`], [`insight`], `assertions` | counts, figures, their causes, comparison with the reference |
//! | [`run`] | one row of the table |

#![forbid(unsafe_code)]

mod adapt;
mod assertions;
mod blobs;
mod check;
mod digests;
mod draw;
mod http;
pub mod insight;
mod links;
mod media;
mod origin;
mod outputs;
mod player;
mod queue;
pub mod regression;
pub mod report;
pub mod run;
pub mod scenario;
mod signed;
mod tally;
#[cfg(test)]
mod testing;
mod topology;
mod tracker;
mod viewer;
pub mod world;

pub use draw::Span;
