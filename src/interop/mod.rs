//! One swarm with p2p-media-loader: its swarm identity, its wire, and the gateway between its wire and ours.
//!
//! A site that changes from p2p-media-loader to hlswarm viewer by viewer has both kinds watching at once. With
//! `interop` a viewer of ours also joins the swarms of the *stock* viewers (one for each rendition and audio track that
//! it plays), fetches from them and serves them. `docs/migration.md` says when to turn that on.
//!
//! [`identity`] names the swarms, [`command`] is the stock wire. A [`Gateway`] stands between one stock peer and our
//! own peer state machine: to the [swarm](crate::swarm) a stock peer is a peer like any other, which happens to have
//! whole segments only and to serve one request at a time. So everything that bounds a hostile peer holds for stock
//! peers as well, and none of it is written twice.
//!
//! The module is behind the feature `interop`: browsers load it as a second artefact, and only where it is turned on.

pub mod command;
mod gateway;
pub mod identity;
mod ids;
mod uploads;

pub use gateway::{Effect, Gateway, Setup};
pub use ids::{Ids, Numbering};

#[cfg(test)]
mod tests;
