//! The cases of the Autobahn test suite for servers, by its numbers, against the codec and against the binary on a
//! socket. <https://github.com/crossbario/autobahn-testsuite> (the suite itself needs Python 2.)
//!
//! The suite talks to a server that echoes. The codec is compared by what it reads; the tracker, which echoes nothing,
//! by the one refusal that each message gets. Where the suite allows less strict behaviour, only the strict one passes:
//! what came before a violation is answered, and bad UTF-8 fails before its message ends. Two groups differ: messages
//! above 64 KiB (9, and 7.1.6) must be closed with 1009, and compression (12, 13) must not be agreed on.

mod cases;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../net/mod.rs"]
mod net;

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use cases::{Case, FRAME_WISE, Got, MAX_BYTES, all};
use frames::client_frame;
use hlswarm_tracker::ws::{Decoder, Message};
use net::{Process, temp_file, upgrade};

/// The pieces in which a case is written.
fn pieces(case: &Case) -> Vec<Vec<u8>> {
    let bytes = case.frames.concat();
    match case.chop {
        None => vec![bytes],
        Some(FRAME_WISE) => case.frames.clone(),
        Some(size) => bytes.chunks(size).map(<[u8]>::to_vec).collect(),
    }
}

/// What the codec makes of it.
fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<Got> {
    let mut decoder = Decoder::default();
    let mut scratch = Vec::new();
    let mut got = Vec::new();
    for piece in pieces {
        let mut input = &piece[..];
        loop {
            match decoder.next(&mut input, &mut scratch, MAX_BYTES) {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => got.push(Got::Text(text.as_bytes().to_vec())),
                Ok(Some(Message::Binary(bytes))) => got.push(Got::Binary(bytes.to_vec())),
                Ok(Some(Message::Ping(payload))) => got.push(Got::Ping(payload.to_vec())),
                Ok(Some(Message::Pong)) => {}
                Ok(Some(Message::Close(code))) => {
                    // Nothing is heard after it.
                    got.push(Got::Closed(code));
                    return got;
                }
                Err(violation) => {
                    got.push(Got::Failed(violation.code()));
                    return got;
                }
            }
        }
        assert!(input.is_empty(), "input is left over");
    }
    got
}

#[test]
fn every_case_has_its_number_once() {
    let cases = all();
    let numbers: BTreeSet<&str> = cases.iter().map(|case| case.number.as_str()).collect();
    assert_eq!(numbers.len(), cases.len());
    assert!(cases.len() >= 300, "{} cases", cases.len());
}

#[test]
fn the_codec_passes_every_case() {
    for case in all() {
        assert_eq!(decode(pieces(&case).into_iter()), case.expected, "case {}", case.number);
        // Nor does it matter how the network cuts what was written, except that this takes long for megabytes.
        let bytes = case.frames.concat();
        for size in [1, 2, 7, 4096] {
            if bytes.len() < 200_000 || size == 4096 {
                let cut = bytes.chunks(size).map(<[u8]>::to_vec);
                assert_eq!(decode(cut), case.expected, "case {} in pieces of {size}", case.number);
            }
        }
    }
}

/// What the tracker on a socket must send for it: each frame's opcode, and for some its payload.
fn frames_for(expected: &[Got]) -> Vec<(u8, Option<Vec<u8>>)> {
    let close = |code: u16| (8, Some(code.to_be_bytes().to_vec()));
    let mut frames: Vec<_> = expected
        .iter()
        .map(|got| match got {
            Got::Text(_) | Got::Binary(_) => (1, None),
            Got::Ping(payload) => (10, Some(payload.clone())),
            Got::Closed(code) => close(code.unwrap_or(1000)),
            Got::Failed(code) => close(*code),
        })
        .collect();
    if !ends(expected) {
        frames.push(close(1000));
    }
    frames
}

fn ends(expected: &[Got]) -> bool {
    matches!(expected.last(), Some(Got::Closed(_) | Got::Failed(_)))
}

fn read_exact(stream: &mut impl Read, bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).ok()?;
    Some(buffer)
}

/// The next frame of the server. `None`: it has closed.
fn next_frame(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let head = read_exact(stream, 2)?;
    assert_eq!((head[0] & 0xf0, head[1] & 0x80), (0x80, 0), "whole frames, no mask");
    let length = match head[1] {
        126 => read_exact(stream, 2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        127 => panic!("the tracker has nothing so long to say"),
        short => usize::from(short),
    };
    Some((head[0] & 0x0f, read_exact(stream, length)?))
}

fn open(tracker: &Process, headers: &str) -> (TcpStream, String) {
    let mut tcp = tracker.tcp();
    tcp.set_nodelay(true).unwrap();
    tcp.write_all(upgrade("/", headers).as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read_exact(&mut tcp, 1).expect("the server answers"));
    }
    (tcp, String::from_utf8(head).unwrap())
}

/// A tracker that holds nobody back.
fn unlimited() -> Process {
    let limits = "[limits]\nmessages_per_connection_per_second = 0\nrefusals_per_connection_per_second = 0\n\
                  bytes_per_connection_per_second = 0\nbytes_per_ip_per_second = 0\nqueue_bytes = 1048576\n\
                  accepts_per_ip_per_second = 0\n";
    Process::start(&temp_file("autobahn.toml", limits))
}

#[test]
fn the_tracker_on_a_socket_passes_every_case() {
    let tracker = unlimited();
    for case in all() {
        let (mut tcp, head) = open(&tracker, "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut reader = BufReader::new(tcp.try_clone().unwrap());
        let mut written = pieces(&case);
        if !ends(&case.expected) {
            written.push(client_frame(0x88, b"\x03\xe8"));
        }
        // The server may close before it has read everything.
        let writer = std::thread::spawn(move || written.iter().try_for_each(|piece| tcp.write_all(piece)));
        for (opcode, payload) in frames_for(&case.expected) {
            let got = next_frame(&mut reader);
            let Some((got_opcode, got_payload)) = got else { panic!("case {}: closed", case.number) };
            assert_eq!(got_opcode, opcode, "case {}: {got_payload:?}", case.number);
            match payload {
                Some(payload) if opcode == 8 => {
                    assert_eq!(got_payload[..2], payload, "case {}", case.number);
                }
                Some(payload) => assert_eq!(got_payload, payload, "case {}", case.number),
                None => {
                    let text = String::from_utf8(got_payload).unwrap();
                    assert!(text.contains("\"failure reason\""), "case {}: {text}", case.number);
                }
            }
        }
        assert_eq!(next_frame(&mut reader), None, "case {}: more than expected", case.number);
        let _ = writer.join().unwrap();
    }
}

/// 9.9.1: a message of ever more frames is closed at the bound, not at its end.
#[test]
fn an_endless_message_is_closed_at_the_bound() {
    let tracker = unlimited();
    let (mut tcp, _) = open(&tracker, "");
    let mut reader = BufReader::new(tcp.try_clone().unwrap());
    tcp.write_all(&client_frame(0x01, &[b'*'; 4096])).unwrap();
    let writer = std::thread::spawn(move || {
        let more = client_frame(0x00, &[b'*'; 4096]);
        while tcp.write_all(&more).is_ok() {}
    });
    let (opcode, payload) = next_frame(&mut reader).unwrap();
    assert_eq!((opcode, &payload[..2]), (8, &1009u16.to_be_bytes()[..]));
    writer.join().unwrap();
}

/// 12 and 13: compression is offered in every form the suite knows, and not agreed on; a frame that is compressed all
/// the same is a violation.
#[test]
fn compression_is_not_agreed_on() {
    let tracker = unlimited();
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
    ] {
        let (mut tcp, head) = open(&tracker, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
        tcp.write_all(&client_frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")).unwrap();
        let (opcode, payload) = next_frame(&mut tcp).unwrap();
        assert_eq!((opcode, &payload[..2]), (8, &1002u16.to_be_bytes()[..]), "{offer}");
    }
}
