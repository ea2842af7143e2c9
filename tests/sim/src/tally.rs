//! What is counted for one viewer.

use std::collections::BTreeMap;

use hlswarm::engine::Stats;

use crate::media::{Catalog, Place};
use crate::player::Seen;

/// One viewer's counts. Bytes are segment bytes unless a name says otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub id: u32,
    pub joined_us: u64,
    pub left_us: u64,
    pub seen: Seen,
    /// The segment that the player asked for first.
    pub first: Option<Place>,
    pub delivered: u64,
    pub p2p_delivered: u64,
    /// Bytes that the origin served, by segment.
    pub served: BTreeMap<Place, u64>,
    pub p2p_received: u64,
    /// Bytes put on the uplink, frame heads included.
    pub uploaded: u64,
    /// Bytes that arrived and were of no use.
    pub discarded: u64,
    pub wrong: u32,
    /// Bytes hashed.
    pub hashed: u64,
    /// What the engine found out about the bytes.
    pub integrity: hlswarm::engine::IntegrityStats,
    /// Requests that reached the origin's door.
    pub requests: u32,
    pub engine_fetches: u32,
    pub playlists: u32,
    /// Downloads from peers that HTTP took over, by the engine's reason.
    pub fallbacks: BTreeMap<String, u32>,
    pub unknown: u32,
    /// Segments loaded over HTTP, from peers, from both.
    pub loaded: [u32; 3],
    pub links: u32,
    pub peers: u32,
    pub first_peer_us: Option<u64>,
    pub peers_at_end: u32,
    pub control_frames: u64,
    pub control_bytes: u64,
    pub tracker_messages: u32,
    pub most_bytes: u64,
    pub most_buffered: u64,
    /// Live segments that appeared at the origin while the viewer was there.
    pub reach: Vec<Reach>,
    pub doubled_s: u32,
}

/// How a segment came to a player, in simulated microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// When the player asked for it.
    pub wanted_us: u64,
    /// When its first source was asked.
    pub asked_us: u64,
    /// When its first byte came.
    pub first_us: u64,
    /// Over how many viewers its bytes came at most.
    pub hops: u8,
}

/// A live segment's way to one player: milliseconds from its appearance at the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Which segment, from the stream's beginning.
    pub index: u32,
    /// To its delivery.
    pub ms: u32,
    /// To the player's request.
    pub wanted_ms: u16,
    /// To the first source asked.
    pub asked_ms: u16,
    /// To the first byte.
    pub first_ms: u16,
    /// Over how many viewers it came.
    pub hops: u8,
}

impl Tally {
    pub(crate) fn new(id: u32, now_us: u64) -> Tally {
        Tally { id, joined_us: now_us, ..Tally::default() }
    }

    /// The origin served bytes of a segment.
    pub(crate) fn http(&mut self, place: Place, bytes: u32) {
        *self.served.entry(place).or_default() += u64::from(bytes);
    }

    /// Bytes that the origin served.
    pub(crate) fn http_bytes(&self) -> u64 {
        self.served.values().sum()
    }

    /// Bytes that the origin served of the first segment that was asked for.
    pub(crate) fn http_first_bytes(&self) -> u64 {
        self.first.and_then(|first| self.served.get(&first)).copied().unwrap_or(0)
    }

    /// A segment reached the player.
    pub(crate) fn reached(&mut self, catalog: &Catalog, place: Place, now_us: u64, way: Way) {
        let available = catalog.available_us(place.index);
        // Segments that were there before the viewer came say nothing of how fast news travels.
        if catalog.live && available > self.joined_us {
            let ms = |at_us: u64| at_us.saturating_sub(available) / 1000;
            let short = |at_us| u16::try_from(ms(at_us)).unwrap_or(u16::MAX);
            self.reach.push(Reach {
                index: place.index,
                ms: ms(now_us) as u32,
                wanted_ms: short(way.wanted_us),
                asked_ms: short(way.asked_us),
                first_ms: short(way.first_us),
                hops: way.hops,
            });
        }
    }

    /// Takes what only the engine's own statistics tell.
    pub(crate) fn close(&mut self, stats: &Stats) {
        self.peers_at_end = stats.peers as u32;
        self.integrity = stats.integrity;
    }
}
