//! Randomness that depends only on what is drawn for, never on the order of draws.
//!
//! A viewer's uplink, the latency of its third download or the loss of its hundredth message come from a hash of the
//! seed and of what they are. So the run with peers and the run without see the same world, and the outcome does not
//! depend on how many threads ran it.

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use std::fmt;

/// What a draw is for: the first word hashed after the seed, so that two purposes never share a stream.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum For {
    Class = 1,
    Downlink,
    Uplink,
    Delay,
    Join,
    Leave,
    LeaveKind,
    EngineSeed,
    SegmentSize,
    OriginLatency,
    OriginFault,
    PairBlocked,
    IceConnect,
    OfferDelay,
    Loss,
    RegistrySeed,
    Faulted,
    ConsumeOnly,
    SeekTarget,
    LinkJitter,
    Digest,
}

/// One draw: 64 well-mixed bits of the seed, the purpose and the words (the finaliser of SplitMix64, Steele et al.
/// 2014, applied after each word).
pub(crate) fn bits(seed: u64, purpose: For, words: &[u64]) -> u64 {
    let mut state = mix(seed ^ 0x6a09_e667_f3bc_c909).wrapping_add(purpose as u64);
    state = mix(state);
    for word in words {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word);
    }
    state
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in [0, 1).
pub(crate) fn unit(seed: u64, purpose: For, words: &[u64]) -> f64 {
    (bits(seed, purpose, words) >> 11) as f64 / (1u64 << 53) as f64
}

/// 32 bytes for an engine's generator.
pub(crate) fn seed_bytes(seed: u64, purpose: For, word: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (index, out) in bytes.chunks_mut(8).enumerate() {
        out.copy_from_slice(&bits(seed, purpose, &[word, index as u64]).to_le_bytes());
    }
    bytes
}

/// A value, or a range from which values are drawn evenly. In a scenario file: `20` or `[5, 40]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Lowest value.
    pub low: f64,
    /// Highest value.
    pub high: f64,
}

impl Span {
    /// Always `value`.
    pub const fn fixed(value: f64) -> Span {
        Span { low: value, high: value }
    }

    /// From `low` to `high`.
    pub const fn new(low: f64, high: f64) -> Span {
        Span { low, high }
    }

    /// The value at `unit` (0 to 1) of the way.
    pub fn at(self, unit: f64) -> f64 {
        self.low + (self.high - self.low) * unit
    }

    pub(crate) fn draw(self, seed: u64, purpose: For, words: &[u64]) -> f64 {
        self.at(unit(seed, purpose, words))
    }

    /// The mean of its values.
    pub fn mean(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct SpanVisitor;
        impl<'de> Visitor<'de> for SpanVisitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a range [low, high]")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Span, E> {
                Ok(Span::fixed(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Span, E> {
                Ok(Span::fixed(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Span, E> {
                Ok(Span::fixed(value))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Span, A::Error> {
                let low = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let high = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                if seq.next_element::<f64>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &self));
                }
                if low > high {
                    return Err(de::Error::custom(format!("[{low}, {high}]: the low end comes first")));
                }
                Ok(Span { low, high })
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_purpose_and_words_only() {
        let reference = bits(1, For::Class, &[2, 3]);
        assert_eq!(reference, bits(1, For::Class, &[2, 3]));
        for other in
            [bits(2, For::Class, &[2, 3]), bits(1, For::Uplink, &[2, 3]), bits(1, For::Class, &[3, 2])]
        {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn units_are_spread_evenly() {
        let mean: f64 = (0..10_000).map(|n| unit(7, For::Loss, &[n])).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
