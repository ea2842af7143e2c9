//! What peers say of segments' digests, where nothing is signed.
//!
//! A *voice* is one neighbour's word: "I have this segment, of this length and digest, and it is known from that viewer's own
//! fetch at the origin". A neighbour can invent any origin, so voices count as independent only when both the neighbours and
//! the origins they name differ.

use std::collections::VecDeque;

use crate::id::{Digest, LinkId, PeerId, SegmentKey};
use crate::sorted::SortedMap;

/// Segments of which voices are kept; the oldest go first.
const MAX_SEGMENTS: usize = 512;

/// Who fetched a segment from the origin, as a number: the last eight bytes of the peer id; 0 for "not known".
pub fn origin_of(peer: PeerId) -> u64 {
    let mut tail = [0; 8];
    tail.copy_from_slice(&peer.0[12..]);
    u64::from_be_bytes(tail)
}

/// One neighbour's word on one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// The neighbour's link.
    pub link: LinkId,
    /// The neighbour.
    pub peer: PeerId,
    /// Length of the segment in bytes.
    pub total_bytes: u32,
    /// Its digest.
    pub digest: Digest,
    /// Whose fetch it goes back to: [`origin_of`] that viewer.
    pub origin: u64,
}

impl Voice {
    /// Whether the neighbour says that it fetched the segment itself.
    pub fn is_own(&self) -> bool {
        self.origin == origin_of(self.peer)
    }
}

/// All voices, by segment.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    by_key: SortedMap<SegmentKey, Vec<Voice>>,
    /// The segments, longest known first.
    order: VecDeque<SegmentKey>,
}

impl Claims {
    /// Takes a neighbour's word; its former word on the same segment is forgotten. Tells whether that was different.
    pub fn hear(&mut self, key: SegmentKey, voice: Voice) -> bool {
        if self.by_key.get(&key).is_none() {
            self.order.push_back(key);
            if self.order.len() > MAX_SEGMENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_key.remove(&oldest);
            }
        }
        let voices = self.by_key.entry(key).or_default();
        match voices.iter_mut().find(|known| known.link == voice.link) {
            Some(known) => std::mem::replace(known, voice) != voice,
            None => {
                voices.push(voice);
                true
            }
        }
    }

    /// Forgets a neighbour.
    pub fn forget_link(&mut self, link: LinkId) {
        self.by_key.values_mut().for_each(|voices| voices.retain(|voice| voice.link != link));
    }

    /// Forgets a segment: its key means other bytes now.
    pub fn forget(&mut self, mut gone: impl FnMut(SegmentKey) -> bool) {
        self.by_key.retain(|key, _| !gone(*key));
        self.order.retain(|key| self.by_key.get(key).is_some());
    }

    /// What is said of a segment.
    pub fn voices(&self, key: SegmentKey) -> &[Voice] {
        self.by_key.get(&key).map_or(&[], |voices| voices)
    }
}

/// How what is said of a segment stands to what arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Somebody says something else.
    Contradicted,
    /// Nobody says anything.
    Unheard,
    /// All say the same, and go back to one fetch as far as can be told. With the highest standing among them.
    Alone(u32),
    /// All say the same, and two of them go back to different fetches. With the second highest standing among them.
    Agreed(u32),
}

/// Weighs what is said against the length and digest of what arrived. `standing` says how often a peer's word has proved
/// true.
pub fn weigh(voices: &[Voice], total_bytes: u64, digest: Digest, standing: impl Fn(PeerId) -> u32) -> Weight {
    if voices.iter().any(|voice| u64::from(voice.total_bytes) != total_bytes || voice.digest != digest) {
        return Weight::Contradicted;
    }
    let best = voices.iter().map(|voice| (standing(voice.peer), voice.origin)).max();
    let Some((best, origin)) = best else { return Weight::Unheard };
    let differs = |voice: &&Voice| voice.origin != origin && voice.origin != 0 && origin != 0;
    let second = voices.iter().filter(differs).map(|voice| standing(voice.peer)).max();
    second.map_or(Weight::Alone(best), Weight::Agreed)
}

/// The probability with which a segment is checked against the origin: always while nobody who speaks for it has proved
/// true, then less with each time, down to one in four for a single fetch and one in sixteen for two.
pub fn check_probability(weight: Weight) -> f64 {
    match weight {
        Weight::Contradicted | Weight::Unheard => 1.0,
        Weight::Alone(standing) => (1.0 / (1.0 + f64::from(standing))).max(0.25),
        Weight::Agreed(standing) => (1.0 / (1.0 + f64::from(standing))).max(1.0 / 16.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Id20, TrackId};

    const TRUE: Digest = Digest([1; 16]);
    const FALSE: Digest = Digest([2; 16]);

    fn voice(number: u8, digest: Digest, origin: u64) -> Voice {
        Voice { link: LinkId(number.into()), peer: Id20([number; 20]), total_bytes: 100, digest, origin }
    }

    fn standing(peer: PeerId) -> u32 {
        peer.0[0].into()
    }

    #[test]
    fn voices_are_weighed() {
        let weigh = |voices: &[Voice]| weigh(voices, 100, TRUE, standing);
        assert_eq!(weigh(&[]), Weight::Unheard);
        assert_eq!(weigh(&[voice(3, TRUE, 7)]), Weight::Alone(3));
        assert_eq!(weigh(&[voice(3, TRUE, 7), voice(9, TRUE, 7)]), Weight::Alone(9), "one fetch, told twice");
        assert_eq!(weigh(&[voice(3, TRUE, 7), voice(9, TRUE, 8), voice(5, TRUE, 8)]), Weight::Agreed(3));
        assert_eq!(
            weigh(&[voice(3, TRUE, 0), voice(9, TRUE, 8)]),
            Weight::Alone(9),
            "no origin is no origin"
        );
        assert_eq!(weigh(&[voice(3, TRUE, 7), voice(9, FALSE, 8)]), Weight::Contradicted);
        assert_eq!(super::weigh(&[voice(3, TRUE, 7)], 99, TRUE, standing), Weight::Contradicted);
    }

    #[test]
    fn a_new_voice_is_always_checked_and_an_old_one_never_free() {
        assert_eq!(check_probability(Weight::Unheard), 1.0);
        assert_eq!(check_probability(Weight::Alone(0)), 1.0);
        assert_eq!(check_probability(Weight::Agreed(0)), 1.0);
        assert_eq!(check_probability(Weight::Alone(1)), 0.5);
        assert_eq!(check_probability(Weight::Alone(1000)), 0.25);
        assert_eq!(check_probability(Weight::Agreed(1000)), 0.0625);
    }

    #[test]
    fn a_neighbour_has_one_voice_and_old_segments_are_forgotten() {
        let key = |sequence| SegmentKey { track: TrackId(1), discontinuity: 0, sequence };
        let mut claims = Claims::default();
        assert!(claims.hear(key(0), voice(1, TRUE, 7)));
        assert!(!claims.hear(key(0), voice(1, TRUE, 7)));
        assert!(claims.hear(key(0), voice(1, FALSE, 7)));
        assert_eq!(claims.voices(key(0)), [voice(1, FALSE, 7)]);
        for sequence in 1..=MAX_SEGMENTS as u64 {
            claims.hear(key(sequence), voice(1, TRUE, 7));
        }
        assert!(claims.voices(key(0)).is_empty());
        assert_eq!(claims.voices(key(1)).len(), 1);
        claims.forget_link(LinkId(1));
        assert!(claims.voices(key(1)).is_empty());
    }
}
