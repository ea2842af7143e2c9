//! Several registries as one, in simulated time over a bus that loses, repeats, delays and reorders.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod meeting;
mod reports;
mod rig;
