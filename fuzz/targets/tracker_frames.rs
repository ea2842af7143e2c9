//! Frames of the tracker's clients: whatever the bytes are, they are read or refused alike however the network cuts them.
#![no_main]

use hlswarm_tracker::ws::{Decoder, Message};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 4096;

fn read(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut scratch = Vec::new();
    let mut got = Vec::new();
    for mut input in bytes.chunks(piece) {
        loop {
            match decoder.next(&mut input, &mut scratch, MAX_BYTES) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    if let Message::Text(text) = message {
                        assert!(text.len() <= MAX_BYTES);
                    }
                    got.push(format!("{message:?}"));
                }
                Err(violation) => {
                    assert!(matches!(violation.code(), 1002 | 1007 | 1009));
                    got.push(format!("{violation:?}"));
                    return got;
                }
            }
        }
        assert!(input.is_empty(), "input is left over");
    }
    got
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    assert_eq!(read(bytes, usize::from(piece).max(1)), read(bytes, bytes.len().max(1)));
});
