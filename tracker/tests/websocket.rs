//! The WebSocket codec against anything at all. The cases of the Autobahn test suite are in `autobahn`.

mod frames;

use frames::client_frame;
use hlswarm_tracker::ws::{Decoder, Message, Opcode, Violation, write_close, write_frame};
use proptest::prelude::*;

const MAX: usize = 65_536;

#[derive(Clone, Debug, PartialEq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Broken(u16),
}

fn text(payload: &str) -> Vec<u8> {
    client_frame(0x81, payload.as_bytes())
}

/// Feeds `bytes` in pieces of `piece` bytes.
fn feed(bytes: &[u8], piece: usize) -> Vec<Got> {
    let mut decoder = Decoder::default();
    let mut scratch = Vec::new();
    let mut got = Vec::new();
    for mut input in bytes.chunks(piece.max(1)) {
        loop {
            match decoder.next(&mut input, &mut scratch, MAX) {
                Ok(None) => break,
                Ok(Some(message)) => got.push(match message {
                    Message::Text(text) => Got::Text(text.into()),
                    Message::Binary(bytes) => Got::Binary(bytes.into()),
                    Message::Ping(bytes) => Got::Ping(bytes.into()),
                    Message::Pong => Got::Pong,
                    Message::Close(code) => Got::Close(code),
                }),
                Err(violation) => {
                    got.push(Got::Broken(violation.code()));
                    return got;
                }
            }
        }
        assert!(input.is_empty(), "input is left over");
    }
    got
}

/// The same must come of it however the network cuts it.
fn check(bytes: &[u8], expected: &[Got]) {
    for piece in [usize::MAX, 1, 2, 3, 7, 64, 997] {
        assert_eq!(feed(bytes, piece.min(bytes.len())), expected, "in pieces of {piece}");
    }
}

#[test]
fn messages_over_64_kib_are_too_big() {
    check(&text(&"*".repeat(MAX + 1)), &[Got::Broken(1009)]);
    // Also when they come in fragments, and before their bytes have come.
    let mut frames = client_frame(0x01, &[b'*'; MAX]);
    frames.extend(client_frame(0x80, b"*"));
    check(&frames, &[Got::Broken(1009)]);
    check(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], &[Got::Broken(1009)]);
}

#[test]
fn frames_of_clients_are_masked() {
    let mut frame = Vec::new();
    write_frame(&mut frame, Opcode::Text, b"x");
    check(&frame, &[Got::Broken(1002)]);
}

#[test]
fn an_idle_decoder_holds_no_memory() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    let mut decoder = Decoder::default();
    let mut scratch = Vec::new();
    let frame = text(&"x".repeat(5000));
    for piece in frame.chunks(1400) {
        let mut input = piece;
        while decoder.next(&mut input, &mut scratch, MAX).unwrap().is_some() {}
    }
    assert_eq!(format!("{decoder:?}"), "Decoder { partial: None }");
}

#[test]
fn what_the_server_writes_is_what_rfc_6455_says() {
    let frame = |opcode, length: usize| {
        let mut out = Vec::new();
        write_frame(&mut out, opcode, &vec![b'x'; length]);
        out
    };
    assert_eq!(frame(Opcode::Text, 3), b"\x81\x03xxx");
    assert_eq!(frame(Opcode::Ping, 0), b"\x89\x00");
    assert_eq!(frame(Opcode::Binary, 125)[..2], [0x82, 125]);
    assert_eq!(frame(Opcode::Text, 126)[..4], [0x81, 126, 0, 126]);
    assert_eq!(frame(Opcode::Text, 65_535)[..4], [0x81, 126, 0xff, 0xff]);
    assert_eq!(frame(Opcode::Text, 65_536)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    let mut close = Vec::new();
    write_close(&mut close, 1008, &"ß".repeat(100));
    assert_eq!(close[..4], [0x88, 124, 0x03, 0xf0], "the reason is cut between characters");
    assert_eq!(Violation::TooBig.code(), 1009);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_alike_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
        prop_assert_eq!(feed(&bytes, piece), feed(&bytes, bytes.len()));
    }

    #[test]
    fn nearly_good_frames_are_read_or_refused_alike_in_any_pieces(
        frames in prop::collection::vec((
            prop::sample::select(vec![0x00u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xc1, 0x83]),
            prop::collection::vec(any::<u8>(), 0..300),
        ), 0..8),
        flip in any::<Option<(prop::sample::Index, u8)>>(),
        piece in 1usize..100,
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| client_frame(*first, payload)).collect();
        if let (Some((place, value)), false) = (flip, bytes.is_empty()) {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        prop_assert_eq!(feed(&bytes, piece), feed(&bytes, bytes.len()));
    }

    #[test]
    fn any_message_comes_through_in_any_fragments(
        payload in "\\PC{0,2000}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        piece in 1usize..500,
    ) {
        let bytes = payload.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.insert(0, 0);
        cuts.push(bytes.len());
        let mut wire = Vec::new();
        for (place, pair) in cuts.windows(2).enumerate() {
            let first = if place == 0 { 1 } else { 0 } | if place + 2 == cuts.len() { 0x80 } else { 0 };
            wire.extend(client_frame(first, &bytes[pair[0]..pair[1]]));
        }
        prop_assert_eq!(feed(&wire, piece), vec![Got::Text(payload)]);
    }
}
