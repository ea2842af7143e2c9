//! Sessions and negotiations against scripted trackers.

mod announcing;
mod hostile;
mod negotiating;
mod nodes;
mod privacy;
mod rig;
mod surviving;
mod trickling;

use rig::{Rig, Tracker, peer};
