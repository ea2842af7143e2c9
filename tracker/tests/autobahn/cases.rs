//! The cases, by the suite's numbers.

use std::iter;

use super::frames::client_frame;

/// What a connection must get for what it sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    /// The client's close, with its code.
    Closed(Option<u16>),
    /// The connection is failed with this code; nothing after it is heard.
    Failed(u16),
}

/// One case: what the client sends and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub number: String,
    /// Written one after the other. A failure that is expected must come without anything after the last.
    pub frames: Vec<Vec<u8>>,
    /// How many bytes are written at once; `None`: everything. [`FRAME_WISE`]: a frame.
    pub chop: Option<usize>,
    pub expected: Vec<Got>,
}

pub const FRAME_WISE: usize = usize::MAX;
/// The server's bound for messages.
pub const MAX_BYTES: usize = 64 * 1024;
const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const HELLO: &[u8] = b"Hello, world!";
const NOT_TEXT: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

fn text(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | TEXT, payload)
}

/// A message in fragments of `size` bytes.
fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    let last = pieces.len() - 1;
    let first = |place| if place == 0 { opcode } else { 0 } | if place == last { FIN } else { 0 };
    pieces.iter().enumerate().map(|(place, piece)| client_frame(first(place), piece)).collect()
}

/// Collects the cases.
#[derive(Default)]
struct Suite(Vec<Case>);

impl Suite {
    fn add(&mut self, number: impl Into<String>, frames: Vec<Vec<u8>>, expected: Vec<Got>) {
        self.chopped(number, frames, None, expected);
    }

    fn chopped(
        &mut self,
        number: impl Into<String>,
        frames: Vec<Vec<u8>>,
        chop: Option<usize>,
        expected: Vec<Got>,
    ) {
        self.0.push(Case { number: number.into(), frames, chop, expected });
    }
}

/// All cases that a server without extensions has to pass.
pub fn all() -> Vec<Case> {
    let mut suite = Suite::default();
    framing(&mut suite);
    pings(&mut suite);
    reserved(&mut suite);
    fragmentation(&mut suite);
    utf8_in_fragments(&mut suite);
    utf8_sequences(&mut suite);
    closing(&mut suite);
    limits(&mut suite);
    suite.0
}

/// 1.1, 1.2 and 10.1: every form of a length.
fn framing(suite: &mut Suite) {
    let sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    for (place, size) in (1..).zip(sizes) {
        let chop = (place == 8).then_some(997);
        let stars = vec![b'*'; size];
        suite.chopped(format!("1.1.{place}"), vec![text(&stars)], chop, vec![Got::Text(stars)]);
        let bytes = vec![0xfe; size];
        suite.chopped(
            format!("1.2.{place}"),
            vec![client_frame(FIN | BINARY, &bytes)],
            chop,
            vec![Got::Binary(bytes)],
        );
    }
    let stars = vec![b'*'; 65_536];
    suite.add("10.1.1", fragments(TEXT, &stars, 1300), vec![Got::Text(stars)]);
}

/// 2: pings and pongs.
fn pings(suite: &mut Suite) {
    let ping = |payload: &[u8]| client_frame(FIN | PING, payload);
    let pong = |payload: &[u8]| vec![Got::Ping(payload.into())];
    suite.add("2.1", vec![ping(b"")], pong(b""));
    suite.add("2.2", vec![ping(HELLO)], pong(HELLO));
    suite.add("2.3", vec![ping(NOT_TEXT)], pong(NOT_TEXT));
    suite.add("2.4", vec![ping(&[0xfe; 125])], pong(&[0xfe; 125]));
    suite.add("2.5", vec![ping(&[0xfe; 126])], vec![Got::Failed(1002)]);
    suite.chopped("2.6", vec![ping(&[0xfe; 125])], Some(1), pong(&[0xfe; 125]));
    suite.add("2.7", vec![client_frame(FIN | PONG, b"")], vec![]);
    suite.add("2.8", vec![client_frame(FIN | PONG, b"unsolicited")], vec![]);
    suite.add("2.9", vec![client_frame(FIN | PONG, b"unsolicited"), ping(b"payload")], pong(b"payload"));
    let payloads: Vec<String> = (0..10).map(|n| format!("payload-{n}")).collect();
    for (number, chop) in [("2.10", None), ("2.11", Some(1))] {
        let frames = payloads.iter().map(|payload| ping(payload.as_bytes())).collect();
        let pongs = payloads.iter().map(|payload| Got::Ping(payload.clone().into_bytes())).collect();
        suite.chopped(number, frames, chop, pongs);
    }
}

/// 3 and 4: reserved bits and opcodes. What came before is answered, what comes after is not.
fn reserved(suite: &mut Suite) {
    let failed = || vec![Got::Failed(1002)];
    let after_hello = || vec![Got::Text(HELLO.into()), Got::Failed(1002)];
    let hello_and = |bad: Vec<u8>| vec![text(HELLO), bad, client_frame(FIN | PING, b"")];
    suite.add("3.1", vec![client_frame(FIN | 0x10 | TEXT, HELLO)], failed());
    for (number, reserved, chop) in
        [("3.2", 0x20, None), ("3.3", 0x30, Some(FRAME_WISE)), ("3.4", 0x40, Some(1))]
    {
        suite.chopped(number, hello_and(client_frame(FIN | reserved | TEXT, HELLO)), chop, after_hello());
    }
    suite.add("3.5", vec![client_frame(FIN | 0x50 | BINARY, NOT_TEXT)], failed());
    suite.add("3.6", vec![client_frame(FIN | 0x60 | PING, HELLO)], failed());
    suite.add("3.7", vec![client_frame(FIN | 0x70 | CLOSE, b"")], failed());
    for (group, base) in [(1, 3), (2, 11)] {
        suite.add(format!("4.{group}.1"), vec![client_frame(FIN | base, b"")], failed());
        suite.add(
            format!("4.{group}.2"),
            vec![client_frame(FIN | (base + 1), b"reserved opcode payload")],
            failed(),
        );
        for (place, payload, chop) in
            [(3, &b""[..], None), (4, HELLO, None), (5, HELLO, Some(if group == 1 { FRAME_WISE } else { 1 }))]
        {
            let bad = client_frame(FIN | (base + place - 1), payload);
            suite.chopped(format!("4.{group}.{place}"), hello_and(bad), chop, after_hello());
        }
    }
}

/// 5: fragmentation.
fn fragmentation(suite: &mut Suite) {
    let failed = || vec![Got::Failed(1002)];
    let whole = || vec![Got::Text(b"fragment1fragment2".into())];
    let halves = || vec![client_frame(TEXT, b"fragment1"), client_frame(FIN, b"fragment2")];
    for (number, opcode) in [("5.1", PING), ("5.2", PONG)] {
        suite.add(
            number,
            vec![client_frame(opcode, b"fragment1"), client_frame(FIN, b"fragment2")],
            failed(),
        );
    }
    let chops = [None, Some(FRAME_WISE), Some(1)];
    for (place, chop) in (3..).zip(chops) {
        suite.chopped(format!("5.{place}"), halves(), chop, whole());
    }
    for (place, chop) in (6..).zip(chops) {
        let mut frames = halves();
        frames.insert(1, client_frame(FIN | PING, b"ping payload"));
        let expected = iter::once(Got::Ping(b"ping payload".into())).chain(whole()).collect();
        suite.chopped(format!("5.{place}"), frames, chop, expected);
    }
    for (base, first) in [(9, FIN), (12, 0)] {
        for (place, chop) in (base..).zip(chops) {
            let frames = vec![client_frame(first, b"non-continuation payload"), text(HELLO)];
            suite.chopped(format!("5.{place}"), frames, chop, failed());
        }
    }
    let mut frames = halves();
    frames.extend([client_frame(0, b"fragment3"), text(b"fragment4")]);
    suite.add("5.15", frames, whole().into_iter().chain(failed()).collect());
    for (number, first) in [("5.16", 0), ("5.17", FIN)] {
        let once = || {
            [
                client_frame(first, b"fragment1"),
                client_frame(TEXT, b"fragment2"),
                client_frame(FIN, b"fragment3"),
            ]
        };
        suite.add(number, once().into_iter().chain(once()).collect(), failed());
    }
    suite.add("5.18", vec![client_frame(TEXT, b"fragment1"), text(b"fragment2")], failed());
    for (number, chop) in [("5.19", None), ("5.20", Some(FRAME_WISE))] {
        let frames = vec![
            client_frame(TEXT, b"fragment1"),
            client_frame(0, b"fragment2"),
            client_frame(FIN | PING, b"pongme 1!"),
            client_frame(0, b"fragment3"),
            client_frame(0, b"fragment4"),
            client_frame(FIN | PING, b"pongme 2!"),
            client_frame(FIN, b"fragment5"),
        ];
        let expected = vec![
            Got::Ping(b"pongme 1!".into()),
            Got::Ping(b"pongme 2!".into()),
            Got::Text(b"fragment1fragment2fragment3fragment4fragment5".into()),
        ];
        suite.chopped(number, frames, chop, expected);
    }
}

const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// 6.1 to 6.4: text in fragments, and failing as soon as it cannot become UTF-8.
fn utf8_in_fragments(suite: &mut Suite) {
    suite.add("6.1.1", vec![text(b"")], vec![Got::Text(vec![])]);
    let three =
        |middle: &[u8]| vec![client_frame(TEXT, b""), client_frame(0, middle), client_frame(FIN, b"")];
    suite.add("6.1.2", three(b""), vec![Got::Text(vec![])]);
    suite.add("6.1.3", three(b"middle frame payload"), vec![Got::Text(b"middle frame payload".into())]);
    let (hello, rest) = ("Hello-µ@ßöä", "üàá-UTF-8!!");
    let both = format!("{hello}{rest}").into_bytes();
    suite.add("6.2.1", vec![text(&both)], vec![Got::Text(both.clone())]);
    let halves = vec![client_frame(TEXT, hello.as_bytes()), client_frame(FIN, rest.as_bytes())];
    suite.add("6.2.2", halves, vec![Got::Text(both.clone())]);
    suite.add("6.2.3", fragments(TEXT, &both, 1), vec![Got::Text(both)]);
    suite.add("6.2.4", fragments(TEXT, KOSME, 1), vec![Got::Text(KOSME.into())]);
    let failed = || vec![Got::Failed(1007)];
    let bad = [KOSME, b"\xed\xa0\x80edited"].concat();
    suite.add("6.3.1", vec![text(&bad)], failed());
    suite.add("6.3.2", fragments(TEXT, &bad, 1), failed());
    // The rest of the message is never sent: it must fail without.
    let beyond = [KOSME, b"\xf4\x90\x80\x80"].concat();
    suite.add("6.4.1", vec![client_frame(TEXT, KOSME), client_frame(0, b"\xf4\x90\x80\x80")], failed());
    suite.add("6.4.2", vec![client_frame(TEXT, &beyond[..12]), client_frame(0, &beyond[12..13])], failed());
    let whole = [&beyond[..], b"edited"].concat();
    let head = |sent: usize| {
        let mut bytes = text(&whole);
        bytes.truncate(bytes.len() - whole.len() + sent);
        bytes
    };
    suite.add("6.4.3", vec![head(beyond.len())], failed());
    suite.add("6.4.4", vec![head(13)], failed());
}

/// 6.5 to 6.23: the sequences of <https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt>.
fn utf8_sequences(suite: &mut Suite) {
    let lonely = |from: u8, to: u8| (from..to).flat_map(|byte| [byte, b' ']).collect::<Vec<u8>>();
    let cut: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let owned = |list: &[&[u8]]| list.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>();
    // Code points that are no characters and nevertheless UTF-8: the last two of each plane.
    let no_characters = (0..=16u32)
        .flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff])
        .filter_map(char::from_u32)
        .map(|point| point.to_string().into_bytes())
        .collect();
    let groups: Vec<(u32, Vec<Vec<u8>>)> = vec![
        (
            5,
            owned(&[
                b"hello$world",
                b"hello\xc2\xa2world",
                b"hello\xe2\x82\xacworld",
                b"hello\xf0\xa4\xad\xa2world",
                KOSME,
            ]),
        ),
        (6, (1..=KOSME.len()).map(|end| KOSME[..end].to_vec()).collect()),
        (7, owned(&[b"\0", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])),
        (8, owned(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        (9, owned(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"])),
        (10, owned(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"])),
        (
            11,
            owned(&[
                b"\xed\x9f\xbf",
                b"\xee\x80\x80",
                b"\xef\xbf\xbd",
                b"\xf4\x8f\xbf\xbf",
                b"\xf4\x90\x80\x80",
            ]),
        ),
        (12, {
            let runs = (1..=6).map(|length| [0x80, 0xbf].into_iter().cycle().take(length).collect());
            iter::once(vec![0xbf]).chain(runs).chain(iter::once((0x80..0xbf).collect())).collect()
        }),
        (
            13,
            vec![
                lonely(0xc0, 0xdf),
                lonely(0xe0, 0xef),
                lonely(0xf0, 0xf7),
                lonely(0xf8, 0xfb),
                lonely(0xfc, 0xfd),
            ],
        ),
        (14, owned(&cut)),
        (15, vec![cut.concat()]),
        (16, owned(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        (
            17,
            owned(&[
                b"\xc0\xaf",
                b"\xe0\x80\xaf",
                b"\xf0\x80\x80\xaf",
                b"\xf8\x80\x80\x80\xaf",
                b"\xfc\x80\x80\x80\x80\xaf",
            ]),
        ),
        (
            18,
            owned(&[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ]),
        ),
        (
            19,
            owned(&[
                b"\xc0\x80",
                b"\xe0\x80\x80",
                b"\xf0\x80\x80\x80",
                b"\xf8\x80\x80\x80\x80",
                b"\xfc\x80\x80\x80\x80\x80",
            ]),
        ),
        (
            20,
            owned(&[
                b"\xed\xa0\x80",
                b"\xed\xad\xbf",
                b"\xed\xae\x80",
                b"\xed\xaf\xbf",
                b"\xed\xb0\x80",
                b"\xed\xbe\x80",
                b"\xed\xbf\xbf",
            ]),
        ),
        (
            21,
            [&b"\xed\xa0\x80"[..], b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"]
                .iter()
                .flat_map(|high| {
                    [[high, &b"\xed\xb0\x80"[..]].concat(), [high, &b"\xed\xbf\xbf"[..]].concat()]
                })
                .collect(),
        ),
        (22, no_characters),
        (23, ('\u{fff9}'..='\u{ffff}').map(|point| point.to_string().into_bytes()).collect()),
    ];
    for (group, sequences) in groups {
        let valid_group = matches!(group, 5 | 7 | 9 | 22 | 23);
        for (place, bytes) in (1..).zip(sequences) {
            // Two groups mix both; what is valid there is written down, not computed.
            let valid = match group {
                6 => matches!(place, 2 | 5 | 7 | 9 | 11),
                11 => place < 5,
                _ => valid_group,
            };
            let expected = if valid { Got::Text(bytes.clone()) } else { Got::Failed(1007) };
            suite.add(format!("6.{group}.{place}"), vec![text(&bytes)], vec![expected]);
        }
    }
}

/// 7: closing.
fn closing(suite: &mut Suite) {
    let close = |payload: &[u8]| client_frame(FIN | CLOSE, payload);
    let normal = &b"\x03\xe8"[..];
    let closed = || vec![Got::Closed(Some(1000))];
    suite.add("7.1.1", vec![text(HELLO)], vec![Got::Text(HELLO.into())]);
    suite.add("7.1.2", vec![close(normal), close(b"")], closed());
    suite.add("7.1.3", vec![close(normal), client_frame(FIN | PING, b"")], closed());
    suite.add("7.1.4", vec![close(normal), text(HELLO)], closed());
    suite.add(
        "7.1.5",
        vec![client_frame(TEXT, b"fragment1"), close(normal), client_frame(FIN, b"fragment2")],
        closed(),
    );
    // The suite sends 256 KiB here, which is above the bound.
    let large = vec![b'*'; MAX_BYTES];
    suite.add(
        "7.1.6",
        vec![text(&large), text(HELLO), close(normal), client_frame(FIN | PING, b"")],
        vec![Got::Text(large.clone()), Got::Text(HELLO.into()), Got::Closed(Some(1000))],
    );
    suite.add("7.3.1", vec![close(b"")], vec![Got::Closed(None)]);
    suite.add("7.3.2", vec![close(b"a")], vec![Got::Failed(1002)]);
    suite.add("7.3.3", vec![close(normal)], closed());
    suite.add("7.3.4", vec![close(&[normal, HELLO].concat())], closed());
    suite.add("7.3.5", vec![close(&[normal, &[b'*'; 123]].concat())], closed());
    suite.add("7.3.6", vec![close(&[normal, &[b'*'; 124]].concat())], vec![Got::Failed(1002)]);
    suite.add(
        "7.5.1",
        vec![close(&[normal, KOSME, b"\xed\xa0\x80edited"].concat())],
        vec![Got::Failed(1007)],
    );
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (place, code) in (1..).zip(valid) {
        suite.add(
            format!("7.7.{place}"),
            vec![close(&u16::to_be_bytes(code))],
            vec![Got::Closed(Some(code))],
        );
    }
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (place, code) in (1..).zip(invalid) {
        suite.add(format!("7.9.{place}"), vec![close(&u16::to_be_bytes(code))], vec![Got::Failed(1002)]);
    }
    for (place, code) in [(1, 5000), (2, 65_535)] {
        suite.add(format!("7.13.{place}"), vec![close(&u16::to_be_bytes(code))], vec![Got::Failed(1002)]);
    }
}

/// 9: sizes. Up to the bound messages come through; above, the connection is closed with 1009 as soon as the size is
/// known, whatever the client still sends.
fn limits(suite: &mut Suite) {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    let message =
        |opcode: u8, bytes: Vec<u8>| if opcode == TEXT { Got::Text(bytes) } else { Got::Binary(bytes) };
    for (group, opcode, byte) in [(1, TEXT, b'*'), (2, BINARY, 0xfe)] {
        for (place, size) in (1..).zip([64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]) {
            let bytes = vec![byte; size];
            let frames = vec![client_frame(FIN | opcode, &bytes)];
            let expected = if size <= MAX_BYTES { message(opcode, bytes) } else { Got::Failed(1009) };
            suite.add(format!("9.{group}.{place}"), frames, vec![expected]);
        }
    }
    for (group, opcode, byte) in [(3, TEXT, b'*'), (4, BINARY, 0xfe)] {
        let bytes = vec![byte; 4 * MIB];
        let sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (place, size) in (1..).zip(sizes) {
            suite.add(format!("9.{group}.{place}"), fragments(opcode, &bytes, size), vec![Got::Failed(1009)]);
        }
    }
    for (group, opcode, byte) in [(5, TEXT, b'*'), (6, BINARY, 0xfe)] {
        for (place, chop) in (1..).zip([64, 128, 256, 512, KIB, 2 * KIB]) {
            let frames = vec![client_frame(FIN | opcode, &vec![byte; MIB])];
            suite.chopped(format!("9.{group}.{place}"), frames, Some(chop), vec![Got::Failed(1009)]);
        }
    }
    for (group, opcode, byte) in [(7, TEXT, b'*'), (8, BINARY, 0xfe)] {
        for (place, size) in (1..).zip([0, 16, 64, 256, KIB, 4 * KIB]) {
            let bytes = vec![byte; size];
            let frames = vec![client_frame(FIN | opcode, &bytes); 1000];
            suite.add(format!("9.{group}.{place}"), frames, vec![message(opcode, bytes); 1000]);
        }
    }
}
