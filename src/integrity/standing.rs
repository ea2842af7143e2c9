//! How often a peer's word has proved true, and how often it passed on what was not.

use crate::id::PeerId;
use crate::sorted::SortedMap;

/// Peers that are remembered, those that left included. With one more all begin again.
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
        self.record(peer).0 += 1;
    }

    /// A peer vouched for or passed on what is wrong. Whoever was well thought of begins again. Tells whether that was
    /// once too often.
    pub fn struck(&mut self, peer: PeerId) -> bool {
        let record = self.record(peer);
        record.0 = 0;
        record.1 += 1;
        record.1 >= STRIKES
    }

    fn record(&mut self, peer: PeerId) -> &mut (u32, u32) {
        if self.0.len() >= MAX_PEERS && self.0.get(&peer).is_none() {
            self.0 = SortedMap::new();
        }
        self.0.entry(peer).or_default()
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

    #[test]
    fn a_newcomer_after_many_is_judged_like_anybody() {
        let mut standing = Standing::default();
        let id = |number: u32| {
            let mut id = [9; 20];
            id[..4].copy_from_slice(&number.to_be_bytes());
            Id20(id)
        };
        (0..MAX_PEERS as u32).for_each(|number| standing.proved(id(number)));
        assert!(!standing.struck(id(5000)));
        standing.proved(id(5001));
        assert_eq!(standing.of(id(5001)), 1);
        assert_eq!(standing.0.len(), 2);
    }
}
