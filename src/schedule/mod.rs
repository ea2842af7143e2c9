//! What to fetch, from where, when.
//!
//! [`policy`] is pure: it turns a [`View`](policy::View) and an [`Item`](policy::Item) into a
//! [`Choice`](policy::Choice). [`election`] says whose turn it is to fetch what nobody has. [`download`] is the state
//! of one segment on its way and [`downloads`] the table of them. The engine carries the choices out.

pub mod download;
pub mod downloads;
pub mod election;
pub mod policy;
pub mod ranges;
pub mod throughput;
