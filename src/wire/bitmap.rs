//! The bitmaps of [`Frame::Have`](super::Frame::Have): bit 0 is the least significant bit of byte 0.

use super::MAX_HAVE_BITS;

/// Whether a bit is set; bits beyond the end are not.
pub fn get(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}

/// Sets a bit and makes the bitmap as long as needed. Gives `false`, and changes nothing, beyond
/// [`MAX_HAVE_BITS`].
pub fn set(bits: &mut Vec<u8>, index: usize) -> bool {
    if index >= MAX_HAVE_BITS {
        return false;
    }
    if bits.len() <= index / 8 {
        bits.resize(index / 8 + 1, 0);
    }
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
    true
}

/// How many bits are set.
pub fn count(bits: &[u8]) -> usize {
    bits.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// The set bits, in order.
pub fn ones(bits: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(at, &byte)| {
        let mut rest = byte;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest.checked_sub(1)?;
            Some(at * 8 + bit)
        })
    })
}

/// The bitmap of some media sequence numbers counted from `first`. Numbers before `first`, or [`MAX_HAVE_BITS`] or
/// more after it, are left out.
pub fn from_sequences(first: u64, sequences: impl IntoIterator<Item = u64>) -> Vec<u8> {
    // This is the cost of announcing to a new peer, so nothing grows bit by bit.
    let mut bits = vec![0; MAX_HAVE_BITS / 8];
    let mut used = 0;
    for sequence in sequences {
        let Some(index) = sequence.checked_sub(first) else { continue };
        let byte = (index / 8) as usize;
        if index < MAX_HAVE_BITS as u64
            && let Some(bits) = bits.get_mut(byte)
        {
            *bits |= 1 << (index % 8);
            used = used.max(byte + 1);
        }
    }
    bits.truncate(used);
    bits
}
