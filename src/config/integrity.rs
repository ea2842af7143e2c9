//! The section `integrity`.

use serde::{Serialize, Serializer};

use super::options::options;

/// What bytes are held against before they are played or shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IntegrityMode {
    /// Nothing but their length, and the page's validator if there is one.
    Off,
    /// What HTTP serves: digests announced by those who fetched, and spot checks.
    #[default]
    Auto,
    /// Signed records. A segment without one is not shared.
    Signed,
}

/// Ed25519 public keys (RFC 8032), 32 bytes each; as text 64 hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(pub Vec<[u8; 32]>);

impl Serialize for PublicKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|key| to_hex(key)))
    }
}

options! {
    /// How bytes are known to be a segment's; `docs/integrity.md` says what each mode prevents.
    pub struct IntegrityConfig in "integrity" {
        /// What bytes are held against: signed records, what HTTP serves, or nothing but their length.
        mode: IntegrityMode = IntegrityMode::Auto, "mode", "choice", ();
        /// With `mode: "signed"`: the keys of which one must have signed, as 64 hexadecimal digits each. Several for
        /// rotation.
        public_keys: PublicKeys = PublicKeys::default(), "publicKeys", "keys", 8;
        /// With `mode: "signed"`: the stream's name as given to `hlswarm-sign --stream`, so that another stream signed
        /// with the same key is not taken for this one.
        stream: Option<String> = None, "stream", "text", 1..=256;
        /// With `mode: "signed"`: where a playlist's records are. `{playlist}` stands for the playlist's URL without its
        /// query; without this option it is `{playlist}.hsig`.
        sidecar: Option<String> = None, "sidecar", "text", 1..=2048;
        /// With `mode: "signed"`: records of live tracks are refused that were signed longer ago than this by the page's
        /// clock, which may be wrong by an hour.
        max_age_ms: u64 = 86_400_000, "maxAgeMs", "ms", 7_200_000..=31_536_000_000;
    }
}

/// Two digits a byte.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Reads 64 hexadecimal digits.
pub(super) fn key_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != key.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(pairs) {
        let half = |digit: u8| char::from(digit).to_digit(16);
        *byte = (half(pair[0])? << 4 | half(pair[1])?) as u8;
    }
    Some(key)
}
