//! The engine's randomness: ChaCha with eight rounds.
//!
//! The same stream as that of the crate `rand_chacha`, in a tenth of its code: that one works on four blocks at once,
//! and the engine draws a handful of numbers a second. The tests hold the two against each other.

use std::convert::Infallible;

use rand::{SeedableRng, TryRng};

/// A ChaCha block is so many words.
const WORDS: usize = 16;

/// A generator of random numbers that nobody can tell from others without its seed of 32 bytes.
///
/// ChaCha (D. J. Bernstein, 2008) with eight rounds, a counter of 64 bits and no nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaCha8Rng {
    key: [u32; 8],
    /// Which block comes after this one.
    counter: u64,
    block: [u32; WORDS],
    /// Words of the block that were given out.
    used: usize,
}

impl SeedableRng for ChaCha8Rng {
    type Seed = [u8; 32];

    fn from_seed(seed: [u8; 32]) -> ChaCha8Rng {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        ChaCha8Rng { key, counter: 0, block: [0; WORDS], used: WORDS }
    }
}

impl ChaCha8Rng {
    /// A number from 0 on and below 1: any of 2^53, each as likely.
    #[inline(never)]
    pub fn unit(&mut self) -> f64 {
        let bits = u64::from(self.word()) | u64::from(self.word()) << 32;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from `low` on and below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// A number below `count`, as good as uniform for those up to 2^40; 0 for 0.
    pub fn below(&mut self, count: u64) -> u64 {
        (self.unit() * count as f64) as u64
    }

    #[inline(never)]
    fn word(&mut self) -> u32 {
        if self.used == WORDS {
            self.fill();
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    fn fill(&mut self) {
        /// "expand 32-byte k".
        const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
        let mut start = [0; WORDS];
        start[..4].copy_from_slice(&CONSTANTS);
        start[4..12].copy_from_slice(&self.key);
        start[12] = self.counter as u32;
        start[13] = (self.counter >> 32) as u32;
        self.counter = self.counter.wrapping_add(1);
        let mut state = start;
        for _ in 0..4 {
            // The columns, then the diagonals.
            for turn in 0..4 {
                quarter_round(&mut state, turn, 4 + turn, 8 + turn, 12 + turn);
            }
            for turn in 0..4 {
                quarter_round(&mut state, turn, 4 + (turn + 1) % 4, 8 + (turn + 2) % 4, 12 + (turn + 3) % 4);
            }
        }
        for ((word, end), start) in self.block.iter_mut().zip(state).zip(start) {
            *word = end.wrapping_add(start);
        }
    }
}

fn quarter_round(state: &mut [u32; WORDS], a: usize, b: usize, c: usize, d: usize) {
    for (into, from, target, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[into] = state[into].wrapping_add(state[from]);
        state[target] = (state[target] ^ state[into]).rotate_left(turn);
    }
}

impl TryRng for ChaCha8Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.word()) | u64::from(self.word()) << 32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            let word = self.word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::Rng;

    use super::*;

    #[test]
    fn numbers_spread_over_their_ranges() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = [0; 7];
        let mut sum = 0.0;
        for _ in 0..70_000 {
            seen[rng.below(7) as usize] += 1;
            let number = rng.between(2.0, 4.0);
            assert!((2.0..4.0).contains(&number), "{number}");
            sum += number;
        }
        assert!(seen.iter().all(|times| (9_600..10_400).contains(times)), "{seen:?}");
        assert!((2.99..3.01).contains(&(sum / 70_000.0)), "{sum}");
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
    }

    proptest! {
        #[test]
        fn it_is_the_stream_of_rand_chacha(
            seed in any::<[u8; 32]>(), draws in prop::collection::vec((0..3, 0..70_usize), 0..200),
        ) {
            let mut ours = ChaCha8Rng::from_seed(seed);
            let mut theirs = rand_chacha::ChaCha8Rng::from_seed(seed);
            for (kind, length) in draws {
                match kind {
                    0 => prop_assert_eq!(ours.next_u32(), theirs.next_u32()),
                    1 => prop_assert_eq!(ours.next_u64(), theirs.next_u64()),
                    _ => {
                        let (mut a, mut b) = (vec![0; length], vec![0; length]);
                        ours.fill_bytes(&mut a);
                        theirs.fill_bytes(&mut b);
                        prop_assert_eq!(a, b);
                    }
                }
            }
        }
    }
}
