//! The stock wire, held against p2p-media-loader's own bytes.

use proptest::prelude::*;
use serde_json::Value;

use super::identity::vectors;
use crate::interop::command::{
    Command, CommandError, JOIN_TIMEOUT, Joiner, MAX_JOINED_BYTES, Subject, is_framed,
};
use crate::time::{Span, Time};

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().map(|list| list.iter().map(|n| n.as_u64().unwrap()).collect()).unwrap_or_default()
}

fn command(of: &Value) -> Command {
    let field = |name: &str| of[name].as_u64();
    let announcement = Command::Announcement { loaded: numbers(&of["l"]), loading: numbers(&of["p"]) };
    let Some((segment, request)) = field("i").zip(field("r")) else { return announcement };
    let subject = Subject { segment, request };
    match field("c").unwrap() {
        1 => Command::Request { segment, request, from: field("b").unwrap_or(0) },
        2 => Command::Data { segment, request, bytes: field("s").unwrap() },
        3 => Command::Completed(subject),
        4 => Command::Absent(subject),
        5 => Command::Cancel(subject),
        other => panic!("command {other}"),
    }
}

/// Joins messages as they come.
fn join(messages: &[Vec<u8>]) -> Command {
    let mut joiner = Joiner::default();
    let (last, others) = messages.split_last().unwrap();
    for message in others {
        assert!(is_framed(message));
        assert_eq!(joiner.push(Time::ZERO, message), Ok(None));
    }
    let payload = joiner.push(Time::ZERO, last).unwrap().expect("whole");
    Command::decode(&payload).unwrap()
}

fn payload(of: &Command) -> Vec<u8> {
    let [message] = of.encode(usize::MAX).try_into().unwrap();
    message[4..message.len() - 4].to_vec()
}

#[test]
fn every_golden_command_both_ways() {
    let vectors = vectors();
    let mut seen = 0;
    for vector in vectors["commands"].as_array().unwrap() {
        let command = command(&vector["cmd"]);
        let max = usize::try_from(vector["maxMessageSize"].as_u64().unwrap()).unwrap();
        let frames: Vec<_> = vector["frames"].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(command.encode(max), frames, "{vector}");
        assert_eq!(join(&frames), command, "{vector}");
        seen += 1;
    }
    assert!(seen >= 14);
}

#[test]
fn every_golden_number() {
    let vectors = vectors();
    for vector in vectors["ints"].as_array().unwrap() {
        let mut wanted = b"\x01r\x01\x07i".to_vec();
        wanted.extend(bytes(&vector["hex"]));
        let number: i64 = vector["n"].as_str().unwrap().parse().unwrap();
        match u64::try_from(number) {
            Ok(segment) => {
                let request = Command::Request { segment, request: 7, from: 0 };
                assert_eq!(Command::decode(&wanted), Ok(request.clone()), "{vector}");
                assert!(payload(&request)[2..].starts_with(&bytes(&vector["hex"])), "{vector}");
            }
            Err(_) => assert_eq!(Command::decode(&wanted), Err(CommandError::Number), "{vector}"),
        }
    }
}

#[test]
fn every_golden_list_and_a_full_group_as_two() {
    let vectors = vectors();
    let mut refused_by_their_own = 0;
    for vector in vectors["arrays"].as_array().unwrap() {
        let list = numbers(&vector["a"]);
        let theirs = [b"\0l".to_vec(), bytes(&vector["hex"])].concat();
        let announcement = Command::Announcement { loaded: list.clone(), loading: Vec::new() };
        assert_eq!(Command::decode(&theirs), Ok(announcement.clone()), "{vector}");
        if list.is_empty() {
            continue;
        }
        let ours = payload(&announcement);
        assert_eq!(Command::decode(&ours), Ok(announcement));
        // The one that their own decoder cannot read has 256 ids in one group.
        let broken = vector["roundtrips"] == false;
        refused_by_their_own += u32::from(broken);
        let full_group = list.len() > 255 && list[..256].iter().all(|id| *id < 256);
        if !full_group && list.iter().filter(|id| **id < 256).count() < 256 {
            assert_eq!(ours, theirs, "{vector}");
        } else {
            assert_ne!(ours, theirs);
        }
    }
    assert_eq!(refused_by_their_own, 1);
    let full = Command::Announcement { loaded: (256..512).collect(), loading: Vec::new() };
    let bytes = payload(&full);
    assert_eq!(&bytes[..7], [0, b'l', 0x10, 2, 2, 1, 255], "255 of them");
    assert_eq!(&bytes[7 + 255..], [2, 1, 1, 255], "and one");
}

#[test]
fn long_commands_are_split_into_equal_parts() {
    let command = Command::Announcement { loaded: (0..3000).collect(), loading: vec![9000] };
    let length = payload(&command).len();
    for max in [64, 100, 1000, 2048, length, length + 7] {
        let messages = command.encode(max);
        assert!(messages.len() > 1, "{max}");
        // Their way of cutting passes very small bounds; no data channel has one.
        assert!(max < 1000 || messages.iter().all(|message| message.len() <= max), "{max}");
        assert!(messages[0].starts_with(b"cstr") && messages[0].ends_with(b"dend"));
        assert!(messages.last().unwrap().starts_with(b"dstr") && messages.last().unwrap().ends_with(b"cend"));
        assert_eq!(join(&messages), command, "{max}");
    }
    assert_eq!(command.encode(length + 8).len(), 1);
}

#[test]
fn parts_without_a_beginning_or_too_far_apart_are_left_out() {
    let parts = Command::Announcement { loaded: (0..300).collect(), loading: Vec::new() }.encode(150);
    let mut joiner = Joiner::default();
    let at = |seconds: u64| Time::from_millis(seconds * 1000);
    assert_eq!(joiner.push(at(0), &parts[1]), Ok(None));
    assert!(!joiner.is_joining());
    assert_eq!(joiner.push(at(0), parts.last().unwrap()), Ok(None));
    assert_eq!(joiner.push(at(0), &parts[0]), Ok(None));
    assert!(joiner.is_joining());
    let late = at(0) + JOIN_TIMEOUT + Span::from_millis(1);
    assert_eq!(joiner.push(late, &parts[1]), Ok(None));
    assert_eq!(joiner.push(late, &parts[2]), Ok(None), "the beginning is forgotten");
    // A new beginning ends the old one.
    assert_eq!(joiner.push(late, &parts[0]), Ok(None));
    assert_eq!(
        joiner.push(late, b"cstr\x03i\x01\x05r\x01\x2acend").unwrap().unwrap(),
        b"\x03i\x01\x05r\x01\x2a"
    );
}

#[test]
fn endless_commands_are_refused() {
    let mut joiner = Joiner::default();
    let part = [b"dstr", vec![0; 60_000].as_slice(), b"dend"].concat();
    let first = [b"cstr", vec![0; 5_000].as_slice(), b"dend"].concat();
    assert_eq!(joiner.push(Time::ZERO, &first), Ok(None));
    assert_eq!(joiner.push(Time::ZERO, &part), Ok(None));
    assert_eq!(joiner.push(Time::ZERO, &part), Err(CommandError::TooLong));
    assert_eq!(joiner.push(Time::ZERO, &part), Ok(None), "and nothing of it is kept");
    let whole = [b"cstr", vec![0; MAX_JOINED_BYTES + 1].as_slice(), b"cend"].concat();
    assert_eq!(joiner.push(Time::ZERO, &whole), Err(CommandError::TooLong));
}

#[test]
fn what_is_no_command_is_named() {
    let decode = |bytes: &[u8]| Command::decode(bytes).unwrap_err();
    assert_eq!(decode(b""), CommandError::Empty);
    assert_eq!(decode(b"\x06i\x01\x05"), CommandError::Unknown(6));
    assert_eq!(decode(b"\x01i"), CommandError::Truncated);
    assert_eq!(decode(b"\x01i\x02\x01"), CommandError::Truncated);
    assert_eq!(decode(b"\x01i\x01\x05"), CommandError::Missing('r'));
    assert_eq!(decode(b"\x01r\x01\x05"), CommandError::Missing('i'));
    assert_eq!(decode(b"\x02i\x01\x05r\x01\x05"), CommandError::Missing('s'));
    assert_eq!(decode(b"\x01i\x00r\x01\x05"), CommandError::Type(0));
    assert_eq!(decode(b"\x01i\x31\x05"), CommandError::Type(0x31));
    assert_eq!(decode(b"\x01i\x10\x00r\x01\x05"), CommandError::Type(0x10));
    assert_eq!(decode(b"\0l\x01\x05"), CommandError::Type(1));
    assert_eq!(decode(b"\0l\x10\x02\x01\x01\x07"), CommandError::Truncated, "the second group is missing");
    assert_eq!(decode(b"\0l\x10\x01\x02\x01\x02\x07"), CommandError::Truncated, "the second id is missing");
    assert_eq!(decode(b"\x01i\x08\x00\x20\x00\x00\x00\x00\x00\x00r\x01\x05"), CommandError::Number, "2^53");
    assert_eq!(decode(&[b"\x01i\x0f".as_slice(), &[0x7f; 15], b"r\x01\x05"].concat()), CommandError::Number);
    let skipped = b"\x03i\x01\x05r\x01\x07z\x01\x09y\x10\x01\x01\x01\x05x\x20\x03abc";
    let subject = Subject { segment: 5, request: 7 };
    assert_eq!(Command::decode(skipped), Ok(Command::Completed(subject)), "unknown fields are skipped");
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = 0u64..1 << 53;
    let id = prop_oneof![0u64..2000, number.clone()];
    let ids = proptest::collection::vec(id.clone(), 0..600);
    let subject = (id.clone(), number.clone()).prop_map(|(segment, request)| Subject { segment, request });
    prop_oneof![
        (ids.clone(), ids).prop_map(|(loaded, loading)| Command::Announcement { loaded, loading }),
        (id.clone(), number.clone(), number.clone()).prop_map(|(segment, request, from)| Command::Request {
            segment,
            request,
            from
        }),
        (id, number.clone(), number).prop_map(|(segment, request, bytes)| Command::Data {
            segment,
            request,
            bytes
        }),
        subject.clone().prop_map(Command::Completed),
        subject.clone().prop_map(Command::Absent),
        subject.prop_map(Command::Cancel),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(command in any_command(), max in 32usize..4096) {
        let messages = command.encode(max);
        prop_assert!(messages.iter().all(|message| is_framed(message)));
        let sorted = |command: &Command| match command.clone() {
            Command::Announcement { mut loaded, mut loading } => {
                loaded.sort_unstable();
                loading.sort_unstable();
                Command::Announcement { loaded, loading }
            }
            other => other,
        };
        // More than 255 groups do not fit; then the last ones are told.
        let groups = |ids: &[u64]| {
            let mut groups: Vec<_> = ids.iter().map(|id| id >> 8).collect();
            groups.sort_unstable();
            groups.dedup();
            groups.len()
        };
        if let Command::Announcement { loaded, loading } = &command
            && groups(loaded).max(groups(loading)) > 250
        {
            join(&messages);
        } else {
            prop_assert_eq!(sorted(&join(&messages)), sorted(&command));
        }
    }

    #[test]
    fn nothing_that_comes_is_trusted(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Command::Announcement { loaded, loading }) = Command::decode(&bytes) {
            prop_assert!(loaded.len() + loading.len() <= bytes.len());
        }
    }

    #[test]
    fn the_joiner_stays_within_its_bound(parts in proptest::collection::vec((0..3u8, 0usize..30_000), 0..40)) {
        let mut joiner = Joiner::default();
        for (kind, length) in parts {
            let (start, end) = [(b"cstr", b"dend"), (b"dstr", b"dend"), (b"dstr", b"cend")][usize::from(kind)];
            let message = [start, vec![1; length].as_slice(), end].concat();
            if let Ok(Some(payload)) = joiner.push(Time::ZERO, &message) {
                prop_assert!(payload.len() <= MAX_JOINED_BYTES);
            }
        }
    }
}
