//! A message from a peer is a frame or an error, and what was decoded encodes to the same frame.
#![no_main]

use hlswarm::wire::{DATA_HEAD_LEN, decode, decode_data_head, encode, encode_data_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    if let Ok(frame) = decode(message, 4096) {
        let bytes = encode(&frame);
        assert!(bytes.len() <= message.len(), "our encoding is the shortest");
        assert_eq!(decode(&bytes, 4096), Ok(frame));
    }
    if let Ok(head) = decode_data_head(message) {
        assert_eq!(encode_data_head(head)[..], message[..DATA_HEAD_LEN]);
    }
});
