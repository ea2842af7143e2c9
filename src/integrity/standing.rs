//! How often a peer's word has proved true, and how often it passed on what was not.

use crate::id::PeerId;
use crate::sorted::SortedMap;

/// Peers that are remembered, those that left included.
const MAX_PEERS: usize = 1024;
/// A peer that so often vouched for or passed on what proved wrong is taken for a liar. One such case may happen to an
/// honest viewer: it believed somebody, or forwarded bytes before it could know.
const STRIKES: u32 = 3;

/// The record of every peer.
#[derive(Clone, Debug, Default)]
pub struct Standing(SortedMap<PeerId, (u32, u32)>);

impl Standing {
    /// How often a peer's word has proved true.
    pub fn of(&self, peer: PeerId) -> u32 {
        self.0.get(&peer).map_or(0, |(proved, _)| *proved)
    }

    /// A peer's word proved true.
    pub fn proved(&mut self, peer: PeerId) {
        if self.0.len() < MAX_PEERS || self.0.get(&peer).is_some() {
            self.0.entry(peer).or_default().0 += 1;
        }
    }

    /// A peer vouched for or passed on what is wrong. Whoever was well thought of begins again. Tells whether that was
    /// once too often.
    pub fn struck(&mut self, peer: PeerId) -> bool {
        if self.0.len() >= MAX_PEERS && self.0.get(&peer).is_none() {
            return true;
        }
        let record = self.0.entry(peer).or_default();
        record.0 = 0;
        record.1 += 1;
        record.1 >= STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id20;

    #[test]
    fn the_third_strike_is_one_too_many() {
        let (mut standing, peer) = (Standing::default(), Id20([1; 20]));
        standing.proved(peer);
        standing.proved(peer);
        assert_eq!(standing.of(peer), 2);
        assert!(!standing.struck(peer));
        assert_eq!(standing.of(peer), 0);
        assert!(!standing.struck(peer));
        assert!(standing.struck(peer));
    }
}
