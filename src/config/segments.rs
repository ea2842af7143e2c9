//! The section `segments`.

use super::options::options;

options! {
    /// Which segments are looked at, and in which swarm they are shared.
    pub struct SegmentsConfig in "segments" {
        /// How many segments, from the one that the player asks for, are handed to the scheduler. Should be at least
        /// `loader.httpDownloadMaxPriority` and `loader.p2pDownloadMaxPriority`.
        forward_segment_count: usize = 20, "forwardSegmentCount", "segments", 1..=10_000;
        /// Names the swarm; must be equal on all viewers who shall share. Without it the swarm is named by the URL of
        /// the manifest without its query.
        swarm_id: Option<String> = None, "swarmId", "text", 1..=2048;
        /// Mixed into the swarm's name: who knows the manifest's URL and not the secret cannot ask a tracker for the
        /// viewers. Equal on all viewers who shall share; give it to those who may watch, for instance with the page.
        swarm_secret: Option<String> = None, "swarmSecret", "text", 8..=1024;
    }
}
