//! Frames and what reads them.

use hlswarm::id::Id20;

use super::*;

fn node(number: u64) -> NodeId {
    NodeId::new(number << 8)
}

fn group(shard: u8, records: usize) -> Group {
    let record = |n: usize| (SwarmId(Id20([n as u8; 20])), Counts { complete: 1, incomplete: n as u32 });
    Group { shard, number: 7, part: 0, last: true, records: (0..records).map(record).collect() }
}

fn token(text: &str) -> Token<'_> {
    Token::new(text).unwrap()
}

const ACCUSED: Accused = Accused { conn: 5, ip: 7, swarm: SwarmId(Id20([1; 20])), voice: 9 };
const BANNED: Banned = Banned { swarm: SwarmId(Id20([1; 20])), ip: 77, seconds: 600 };

/// One frame of each kind.
fn samples() -> Vec<Vec<u8>> {
    let (a, b) = (node(1), node(2).with_worker(3));
    let mut numbers = [0; SHARDS];
    numbers[255] = 9;
    let mut shards = ShardSet::default();
    shards.insert(200);
    let (swarm, peer) = (SwarmId(Id20([1; 20])), Id20([2; 20]));
    let head = OffersHead {
        origin: a.with_worker(0),
        conn: 5,
        swarm,
        peer,
        ip: 6,
        region: Region { asn: 64_500, country: 0x4445 },
        seeder: true,
        trickle: false,
    };
    let answer = Answered {
        to: 1,
        conn: 2,
        ip: 8,
        swarm,
        peer,
        trickle: true,
        offer_id: token("\"id\""),
        sdp: token("\"v=0\\r\\n\""),
    };
    let trickled = Trickled {
        to: 1,
        conn: 2,
        swarm,
        peer,
        offer_id: token("\"id\""),
        candidates: vec![token("\"{}\""), token("\"\"")],
    };
    let mut all = vec![Vec::new(); 10];
    write_presence(&mut all[0], a, &numbers);
    write_changes(&mut all[1], a, &[group(3, 2), group(4, 0)]);
    write_wanted(&mut all[2], a, b, shards);
    write_repeated(&mut all[3], a, b, &[group(3, 1)]);
    write_bye(&mut all[4], a);
    let offers = [(token("\"o1\""), token("\"v=0\""))];
    assert_eq!(write_offers(&mut all[5], a, b, head, offers.into_iter()), 1);
    write_answer(&mut all[6], a, b, &answer);
    write_candidates(&mut all[7], a, b, &trickled);
    write_report(&mut all[8], a, b, &ACCUSED);
    write_ban(&mut all[9], a, &BANNED);
    all
}

#[test]
fn every_kind_reads_back() {
    let samples = samples();
    let bodies: Vec<Body<'_>> = samples.iter().map(|bytes| Frame::parse(bytes).unwrap().body).collect();
    assert_eq!(bodies[0], Body::Presence(vec![(255, 9)]));
    assert_eq!(bodies[1], Body::Changes(vec![group(3, 2), group(4, 0)]));
    assert!(matches!(bodies[2], Body::Wanted(set) if set.iter().eq([200])));
    assert!(
        matches!(bodies[5], Body::Offers(ref passed) if passed.offers.len() == 1 && passed.head.seeder && passed.head.region.asn == 64_500)
    );
    assert!(
        matches!(bodies[6], Body::Answer(ref answer) if answer.trickle && (answer.conn, answer.ip) == (2, 8))
    );
    assert!(matches!(bodies[7], Body::Candidates(ref some) if some.candidates.len() == 2));
    assert_eq!(bodies[8], Body::Report(Box::new(ACCUSED)));
    assert_eq!(bodies[9], Body::Ban(Box::new(BANNED)));
    let peek = Peek::at(&samples[5]).unwrap();
    assert_eq!((peek.from, peek.to), (node(1), Some(node(2).with_worker(3))));
    assert!(peek.for_any_worker);
}

#[test]
fn what_is_cut_or_longer_or_of_another_version_is_refused() {
    for sample in samples() {
        for cut in 0..sample.len() {
            assert!(Frame::parse(&sample[..cut]).is_err(), "{sample:?} cut at {cut}");
        }
        let longer = [&sample[..], &[0]].concat();
        assert_eq!(Frame::parse(&longer), Err(FrameError::Malformed));
        let mut other = sample.clone();
        other[0] = 2;
        assert_eq!(Frame::parse(&other), Err(FrameError::Version(2)));
        other[0] = VERSION;
        other[1] = 99;
        assert_eq!(Frame::parse(&other), Err(FrameError::Malformed));
    }
    assert_eq!(Frame::parse(&vec![VERSION; MAX_FRAME_BYTES + 1]), Err(FrameError::Malformed));
}

#[test]
fn text_that_is_no_json_string_is_refused() {
    let (a, b) = (node(1), node(2));
    for (offer_id, sdp) in
        [("\"a\"", "\"x\" , \"y\""), ("\"a\"", "{}"), ("7", "\"v\""), ("\"a\"", "\"\u{1}\"")]
    {
        let mut frame = samples().swap_remove(6);
        frame.truncate(HEAD_BYTES + 8 + 8 + 8 + 20 + 20 + 1);
        for text in [offer_id, sdp] {
            frame.extend((text.len() as u32).to_be_bytes());
            frame.extend(text.as_bytes());
        }
        assert_eq!(Frame::parse(&frame), Err(FrameError::Malformed), "{offer_id} {sdp}");
    }
    let long = format!("\"{}\"", "x".repeat(65));
    let mut frame = Vec::new();
    let answer = Answered {
        to: 0,
        conn: 0,
        ip: 0,
        swarm: SwarmId(Id20([0; 20])),
        peer: Id20([0; 20]),
        trickle: false,
        offer_id: token(&long),
        sdp: token("\"\""),
    };
    write_answer(&mut frame, a, b, &answer);
    assert_eq!(Frame::parse(&frame), Err(FrameError::Malformed), "an offer id of 65 characters");
}

#[test]
fn a_frame_takes_only_as_many_offers_as_fit() {
    let sdp = format!("\"{}\"", "s".repeat(100_000));
    let head = OffersHead {
        origin: node(1).with_worker(0),
        conn: 0,
        swarm: SwarmId(Id20([0; 20])),
        peer: Id20([0; 20]),
        ip: 0,
        region: Region::default(),
        seeder: false,
        trickle: false,
    };
    let mut frame = Vec::new();
    let offers = std::iter::repeat_n((token("\"o\""), token(&sdp)), 5);
    assert_eq!(write_offers(&mut frame, node(1), node(2), head, offers), 2);
    assert!(frame.len() <= MAX_FRAME_BYTES);
    assert!(matches!(Frame::parse(&frame).unwrap().body, Body::Offers(passed) if passed.offers.len() == 2));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), kind in 0u8..12) {
        let _ = Frame::parse(&bytes);
        let mut framed = vec![VERSION, kind];
        framed.extend(&bytes);
        let _ = Frame::parse(&framed);
    }
}
