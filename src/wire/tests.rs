use proptest::prelude::*;
use serde::Deserialize;

use crate::id::{Digest, Id20, SegmentKey, SwarmId, TrackId, TransferId};

use super::*;

const MAX: u32 = 4096;

fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TrackId(0x0102_0304_0506_0708), discontinuity: 3, sequence }
}

fn entry(sequence: u64, state: HaveState) -> HaveEntry {
    HaveEntry { key: key(sequence), state }
}

/// One frame of each type, by the names of the vectors.
fn examples() -> Vec<(&'static str, Frame)> {
    let transfer = TransferId(0x0a0b_0c0d);
    vec![
        (
            "hello",
            Frame::Hello {
                min_version: 1,
                max_version: 2,
                capabilities: Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
                swarm: SwarmId::from_name("https://example.com/hls/master.m3u8"),
                peer: Id20(*b"-HS0100-abcdefghijkl"),
                max_message_bytes: 65_535,
            },
        ),
        (
            "have: segments 100, 101 and 110",
            Frame::Have {
                track: TrackId(0x0102_0304_0506_0708),
                discontinuity: 3,
                first_sequence: 100,
                loaded: bitmap::from_sequences(100, [100, 101, 110]),
            },
        ),
        (
            "have: nothing",
            Frame::Have { track: TrackId(1), discontinuity: 0, first_sequence: 0, loaded: Vec::new() },
        ),
        ("have delta: one loaded", Frame::HaveDelta { entries: vec![entry(7, HaveState::Loaded)] }),
        (
            "have delta: a run of five, then another segment",
            Frame::HaveDelta {
                entries: vec![
                    entry(7, HaveState::Loaded),
                    entry(8, HaveState::Gone),
                    entry(9, HaveState::FetchingHttp),
                    entry(10, HaveState::FetchingP2p),
                    entry(11, HaveState::Loaded),
                    entry(5, HaveState::Loaded),
                ],
            },
        ),
        ("have delta: empty", Frame::HaveDelta { entries: Vec::new() }),
        (
            "interest",
            Frame::Interest(Interest {
                track: TrackId(0x0102_0304_0506_0708),
                playing_sequence: 100,
                wanted_sequence: 108,
                serves: 5,
            }),
        ),
        (
            "request: the second half of a byte range",
            Frame::Request { transfer, key: key(9), resource_offset: 1_000_000, at: 50_000, len: 0 },
        ),
        ("accept", Frame::Accept { transfer, total_bytes: 100_000 }),
        ("refuse: absent", Frame::Refuse { transfer, reason: RefuseReason::Absent }),
        ("refuse: busy", Frame::Refuse { transfer, reason: RefuseReason::Busy }),
        ("refuse: not sharing", Frame::Refuse { transfer, reason: RefuseReason::NotSharing }),
        ("refuse: aborted", Frame::Refuse { transfer, reason: RefuseReason::Aborted }),
        ("refuse: rate limited", Frame::Refuse { transfer, reason: RefuseReason::RateLimited }),
        ("cancel", Frame::Cancel { transfer }),
        ("ping", Frame::Ping { nonce: 1 }),
        ("pong", Frame::Pong { nonce: 0xffff_ffff }),
        ("goodbye: leaving", Frame::Goodbye { reason: GoodbyeReason::Leaving }),
        ("goodbye: duplicate", Frame::Goodbye { reason: GoodbyeReason::Duplicate }),
        ("goodbye: replaced", Frame::Goodbye { reason: GoodbyeReason::Replaced }),
        ("goodbye: violation", Frame::Goodbye { reason: GoodbyeReason::Violation }),
        ("goodbye: incompatible", Frame::Goodbye { reason: GoodbyeReason::Incompatible }),
        (
            "claim",
            Frame::Claim(Claim {
                key: key(9),
                total_bytes: 100_000,
                digest: Digest([0xd1; 16]),
                origin: 0x6768_696a_6b6c_6d6e,
            }),
        ),
        (
            "proof: two blocks of the second record",
            Frame::Proof {
                record: 1,
                blocks: vec![Digest([0xb1; 16]), Digest([0xb2; 16])],
                batch: vec![0xba, 0x7c],
            },
        ),
        ("extension", Frame::Extension { kind: 0x91, body: vec![1, 2, 3] }),
    ]
}

#[derive(Deserialize)]
struct Vectors {
    control: Vec<Vector>,
    data_heads: Vec<Vector>,
    refused: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: String,
    #[serde(default)]
    error: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/wire.json")).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn control_frames_are_the_bytes_of_the_vectors() {
    let vectors = vectors().control;
    assert_eq!(vectors.len(), examples().len());
    for ((name, frame), vector) in examples().iter().zip(&vectors) {
        assert_eq!(*name, vector.name);
        assert_eq!(to_hex(&encode(frame)), to_hex(&from_hex(&vector.hex)), "{name}");
        assert_eq!(decode(&from_hex(&vector.hex), MAX).as_ref(), Ok(frame), "{name}");
    }
}

#[test]
fn data_heads_are_the_bytes_of_the_vectors() {
    let heads = [
        DataHead { transfer: TransferId(1), at: 0 },
        DataHead { transfer: TransferId(0x0a0b_0c0d), at: 0x0102_0304 },
    ];
    for (head, vector) in heads.into_iter().zip(vectors().data_heads) {
        let bytes = from_hex(&vector.hex);
        assert_eq!(encode_data_head(head).to_vec(), bytes, "{}", vector.name);
        assert!(is_data_frame(bytes[0]));
        assert_eq!(decode_data_head(&bytes), Ok(head));
        let mut message = bytes.clone();
        message.extend([1; 100]);
        assert_eq!(decode_data_head(&message), Ok(head));
        for len in 1..DATA_HEAD_LEN {
            let error = decode_data_head(&bytes[..len]).unwrap_err();
            assert!(matches!(error, WireError::Truncated { frame: "data", .. }), "{len}: {error}");
        }
    }
    assert_eq!(decode_data_head(&[]), Err(WireError::Empty));
    assert_eq!(decode_data_head(&[8, 0, 0, 0, 1]), Err(WireError::NotThisKind { kind: 8 }));
}

#[test]
fn refused_messages_say_what_is_wrong() {
    for vector in vectors().refused {
        let error = decode(&from_hex(&vector.hex), MAX).expect_err(&vector.name);
        assert_eq!(error.to_string(), vector.error, "{}", vector.name);
    }
}

#[test]
fn every_shorter_and_every_longer_message_is_refused() {
    for (name, frame) in examples() {
        let bytes = encode(&frame);
        let open_ended = |frame: &Frame| {
            matches!(
                frame,
                Frame::Have { .. } | Frame::HaveDelta { .. } | Frame::Proof { .. } | Frame::Extension { .. }
            )
        };
        let fixed = !open_ended(&frame);
        for len in 0..bytes.len() {
            let result = decode(&bytes[..len], MAX);
            assert!(!fixed || result.is_err(), "{name} cut to {len}");
            assert_ne!(result, Ok(frame.clone()), "{name} cut to {len}");
        }
        let mut longer = bytes;
        longer.push(0);
        let result = decode(&longer, MAX);
        assert!(!fixed || matches!(result, Err(WireError::Trailing { extra: 1, .. })), "{name}: {result:?}");
    }
}

#[test]
fn a_control_message_may_have_exactly_the_limit() {
    let message = encode(&Frame::Extension { kind: 0xff, body: vec![0; MAX as usize - 1] });
    assert!(decode(&message, MAX).is_ok());
    assert_eq!(decode(&message, MAX - 1), Err(WireError::TooLong { len: 4096, max: 4095 }));
}

#[test]
fn bitmap_and_delta_hold_exactly_their_limits() {
    let have = |bytes: usize, first_sequence| {
        let mut message =
            encode(&Frame::Have { track: TrackId(1), discontinuity: 0, first_sequence, loaded: Vec::new() });
        message.resize(message.len() + bytes, 0xff);
        decode(&message, MAX)
    };
    assert!(have(256, 0).is_ok());
    assert_eq!(
        have(257, 0),
        Err(WireError::TooMany { frame: "have", what: "bitmap bytes", count: 257, max: 256 })
    );
    assert!(have(1, u64::MAX - 8).is_ok());
    assert_eq!(
        have(1, u64::MAX - 7),
        Err(WireError::Value { frame: "have", field: "sequence", value: u64::MAX - 7 })
    );
    // Nothing in common, so that each entry is a run of its own: the largest delta there is.
    let scattered: Vec<HaveEntry> = (0..64).map(|n| entry(n * 2, HaveState::Loaded)).collect();
    let message = encode(&Frame::HaveDelta { entries: scattered.clone() });
    assert!(message.len() <= MIN_MESSAGE_BYTES as usize, "{}", message.len());
    assert_eq!(decode(&message, MAX), Ok(Frame::HaveDelta { entries: scattered }));
    let mut more = message;
    more.extend(&encode(&Frame::HaveDelta { entries: vec![entry(500, HaveState::Gone)] })[1..]);
    assert_eq!(
        decode(&more, MAX),
        Err(WireError::TooMany { frame: "have delta", what: "entries", count: 65, max: 64 })
    );
}

#[test]
fn an_announcement_of_a_thousand_segments_is_small() {
    let loaded = bitmap::from_sequences(5000, (5000..6000).filter(|n| n % 3 != 0));
    let have = Frame::Have { track: TrackId(1), discontinuity: 0, first_sequence: 5000, loaded };
    assert_eq!(encode(&have).len(), 146);
    let run = (0..64).map(|n| entry(n, HaveState::Loaded)).collect();
    assert_eq!(encode(&Frame::HaveDelta { entries: run }).len(), 38);
    let one = vec![entry(1, HaveState::FetchingHttp)];
    assert_eq!(encode(&Frame::HaveDelta { entries: one }).len(), 23);
}

#[test]
fn versions() {
    assert_eq!(agreed_version(1, 1), Some(1));
    assert_eq!(agreed_version(1, 255), Some(1));
    assert_eq!(agreed_version(2, 3), None);
    assert_eq!(agreed_version(0, 0), None);
}

#[test]
fn bitmaps() {
    let mut bits = Vec::new();
    assert!(bitmap::set(&mut bits, 9));
    assert!(bitmap::set(&mut bits, 0));
    assert!(bitmap::set(&mut bits, 2047));
    assert!(!bitmap::set(&mut bits, 2048));
    assert_eq!(bits.len(), 256);
    assert_eq!(bits[..2], [1, 2]);
    assert!(bitmap::get(&bits, 9) && !bitmap::get(&bits, 8) && !bitmap::get(&bits, 100_000));
    assert_eq!(bitmap::ones(&bits).collect::<Vec<_>>(), [0, 9, 2047]);
    assert_eq!(bitmap::count(&bits), 3);
    assert_eq!(bitmap::from_sequences(10, [9, 10, 12, 10 + 2048, u64::MAX]), [0b101]);
}

fn any_key() -> impl Strategy<Value = SegmentKey> {
    // Few tracks and near numbers, so that runs happen.
    (0..2_u64, 0..2_u32, prop_oneof![0..20_u64, Just(u64::MAX - 1), any::<u64>().prop_map(|n| n & !63)])
        .prop_map(|(track, discontinuity, sequence)| SegmentKey {
            track: TrackId(track),
            discontinuity,
            sequence,
        })
}

fn any_state() -> impl Strategy<Value = HaveState> {
    use HaveState::{FetchingHttp, FetchingP2p, Gone, Loaded};
    prop_oneof![Just(Gone), Just(FetchingHttp), Just(FetchingP2p), Just(Loaded)]
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let entry = (any_key(), any_state()).prop_map(|(key, state)| HaveEntry { key, state });
    let run = (0..u64::MAX - 64, prop::collection::vec(any_state(), 0..=64)).prop_map(|(first, states)| {
        let entry = |(n, state)| HaveEntry { key: key(first + n as u64), state };
        Frame::HaveDelta { entries: states.into_iter().enumerate().map(entry).collect() }
    });
    prop_oneof![
        (any::<u32>(), any::<[u8; 20]>(), any::<[u8; 20]>(), 2048..=u32::MAX, 1..=255_u8).prop_map(
            |(capabilities, swarm, peer, max_message_bytes, max_version)| Frame::Hello {
                min_version: 1,
                max_version,
                capabilities: Capabilities(capabilities),
                swarm: SwarmId(Id20(swarm)),
                peer: Id20(peer),
                max_message_bytes,
            }
        ),
        (any::<u64>(), any::<u32>(), 0..=u64::MAX - 2048, prop::collection::vec(any::<u8>(), 0..=256))
            .prop_map(|(track, discontinuity, first_sequence, loaded)| Frame::Have {
                track: TrackId(track),
                discontinuity,
                first_sequence,
                loaded,
            }),
        prop::collection::vec(entry, 0..=64).prop_map(|entries| Frame::HaveDelta { entries }),
        run,
        (any::<u32>(), any_key(), any::<u64>(), any::<u32>(), any::<u32>()).prop_map(
            |(transfer, key, resource_offset, at, len)| Frame::Request {
                transfer: TransferId(transfer),
                key,
                resource_offset,
                at,
                len,
            }
        ),
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u8>()).prop_map(
            |(track, playing_sequence, wanted_sequence, serves)| {
                let track = TrackId(track);
                Frame::Interest(Interest { track, playing_sequence, wanted_sequence, serves })
            }
        ),
        prop::sample::select(examples()).prop_map(|(_, frame)| frame),
        (0x82..=0xff_u8, prop::collection::vec(any::<u8>(), 0..500))
            .prop_map(|(kind, body)| Frame::Extension { kind, body }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(frame in any_frame()) {
        let bytes = encode(&frame);
        prop_assert!(!is_data_frame(bytes[0]));
        prop_assert_eq!(decode(&bytes, MAX), Ok(frame));
    }

    #[test]
    fn arbitrary_bytes_are_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = decode(&bytes, MAX) {
            prop_assert_eq!(decode(&encode(&frame), MAX), Ok(frame));
        }
        if let Ok(head) = decode_data_head(&bytes) {
            prop_assert_eq!(&encode_data_head(head)[..], &bytes[..DATA_HEAD_LEN]);
        }
    }

    #[test]
    fn damaged_frames_are_a_frame_or_an_error(
        frame in any_frame(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&frame);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(frame) = decode(&bytes, MAX) {
            prop_assert_eq!(decode(&encode(&frame), MAX), Ok(frame));
        }
    }

    #[test]
    fn set_bits_are_found_again(mut sequences in prop::collection::btree_set(0..2048_u64, 0..200), first in 0..u64::MAX / 2) {
        let bits = bitmap::from_sequences(first, sequences.iter().map(|n| n + first));
        prop_assert_eq!(bitmap::count(&bits), sequences.len());
        for bit in bitmap::ones(&bits) {
            prop_assert!(bitmap::get(&bits, bit));
            prop_assert!(sequences.remove(&(bit as u64)));
        }
        prop_assert!(sequences.is_empty());
    }
}
