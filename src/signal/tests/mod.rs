//! Sessions and negotiations against scripted trackers.

mod announcing;
#[allow(dead_code)]
mod rig;

use rig::{Rig, Tracker};
