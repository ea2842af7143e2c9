//! Sessions and negotiations against scripted trackers.

mod announcing;
mod hostile;
mod negotiating;
mod rig;
mod surviving;

use rig::{Rig, Tracker, peer};
