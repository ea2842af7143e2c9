//! What registries of a cluster say to each other: one closed enum, fixed limits, big-endian numbers.
//!
//! ```text
//! version u8 | kind u8 | from u64 | to u64 (0: everybody) | body
//! ```

use hlswarm::id::{Id20, PeerId, SwarmId};
use serde_json::value::RawValue;

use super::{Counts, NodeId, SHARDS, ShardSet};
use crate::protocol::Token;

/// The longest frame that is sent or read, in bytes. Far below what NATS takes by default (1 MiB).
pub const MAX_FRAME_BYTES: usize = 256 * 1024;
/// Records that are put into one frame.
pub(super) const RECORDS_PER_FRAME: usize = 2_000;
/// Offers in one frame.
const MAX_OFFERS: usize = 64;
/// Candidates in one frame.
const MAX_CANDIDATES: usize = 64;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 18;

const PRESENCE: u8 = 1;
const CHANGES: u8 = 2;
const WANTED: u8 = 3;
const REPEATED: u8 = 4;
const BYE: u8 = 5;
const OFFERS: u8 = 6;
const ANSWER: u8 = 7;
const CANDIDATES: u8 = 8;

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Who sent it.
    pub from: NodeId,
    /// For whom it is; `None`: for everybody.
    pub to: Option<NodeId>,
    /// What it says.
    pub body: Body<'a>,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// The sender is there. The last number of each of its shards that has one.
    Presence(Vec<(u8, u32)>),
    /// How many members some swarms have now.
    Changes(Vec<Group>),
    /// The shards of the receiver that the sender wants to be told anew.
    Wanted(ShardSet),
    /// All swarms of some shards.
    Repeated(Vec<Group>),
    /// The sender is about to go: nothing more should be sent to it.
    Bye,
    /// Offers of one member for members of the receiver.
    Offers(Box<PassedOn<'a>>),
    /// An answer to an offer.
    Answer(Box<Answered<'a>>),
    /// Candidates for an answered offer.
    Candidates(Box<Trickled<'a>>),
}

/// Records of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub(super) shard: u8,
    /// Numbers what the sender says of this shard, from 1.
    pub(super) number: u32,
    /// Which part of the shard's repetition this is, and whether it is the last.
    pub(super) part: u16,
    pub(super) last: bool,
    pub(super) records: Vec<(SwarmId, Counts)>,
}

/// Whose offers are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffersHead {
    /// Where answers go: the registry that the offering member is connected to.
    pub(crate) origin: NodeId,
    /// The member's connection there.
    pub(crate) conn: u64,
    pub(crate) swarm: SwarmId,
    pub(crate) peer: PeerId,
    /// The neighbourhood of the member.
    pub(crate) net: u64,
    pub(crate) seeder: bool,
    pub(crate) trickle: bool,
}

/// Offers of one member for members of somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct PassedOn<'a> {
    pub(crate) head: OffersHead,
    /// Offer ids and descriptions.
    pub(crate) offers: Vec<(Token<'a>, Token<'a>)>,
}

/// An answer on its way to the registry that the offer came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered<'a> {
    /// The offering member's connection, as the offer said it.
    pub(crate) to: u64,
    /// The answering member's connection, for candidates.
    pub(crate) conn: u64,
    pub(crate) swarm: SwarmId,
    pub(crate) peer: PeerId,
    pub(crate) trickle: bool,
    pub(crate) offer_id: Token<'a>,
    pub(crate) sdp: Token<'a>,
}

/// Candidates on their way to the other end of an answered offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Trickled<'a> {
    pub(crate) to: u64,
    pub(crate) conn: u64,
    pub(crate) swarm: SwarmId,
    pub(crate) peer: PeerId,
    pub(crate) offer_id: Token<'a>,
    pub(crate) candidates: Vec<Token<'a>>,
}

/// Why a frame is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It is of another version of this program; it is ignored.
    Version(u8),
    /// It is too long, too short, or says what is not allowed.
    Malformed,
}

/// The little of a frame that says whose inbox it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Who sent it.
    pub from: NodeId,
    /// For whom it is; `None`: for everybody.
    pub to: Option<NodeId>,
    /// Whether any worker of the addressed process may take it. Others that name no worker are for the first one.
    pub for_any_worker: bool,
}

impl Peek {
    /// Looks at the head of a frame.
    pub fn at(frame: &[u8]) -> Result<Peek, FrameError> {
        let mut read = Reader(frame);
        if frame.len() > MAX_FRAME_BYTES {
            return Err(FrameError::Malformed);
        }
        let version = read.u8()?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let kind = read.u8()?;
        let from = NodeId(read.u64()?);
        let to = read.u64()?;
        if from == NodeId(0) {
            return Err(FrameError::Malformed);
        }
        Ok(Peek { from, to: (to != 0).then_some(NodeId(to)), for_any_worker: kind == OFFERS })
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    pub fn parse(frame: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let Peek { from, to, .. } = Peek::at(frame)?;
        let kind = frame.get(1).copied().unwrap_or_default();
        let mut read = Reader(frame.get(HEAD_BYTES..).unwrap_or_default());
        let body = match kind {
            PRESENCE => {
                let count = read.count(SHARDS)?;
                let mut numbers = Vec::with_capacity(count);
                for _ in 0..count {
                    numbers.push((read.u8()?, read.u32()?));
                }
                Body::Presence(numbers)
            }
            CHANGES => Body::Changes(read.groups()?),
            REPEATED => Body::Repeated(read.groups()?),
            WANTED => {
                let mut set = ShardSet::default();
                for word in &mut set.0 {
                    *word = read.u64()?;
                }
                Body::Wanted(set)
            }
            BYE => Body::Bye,
            OFFERS => Body::Offers(Box::new(read.offers()?)),
            ANSWER => Body::Answer(Box::new(Answered {
                to: read.u64()?,
                conn: read.u64()?,
                swarm: SwarmId(read.id20()?),
                peer: read.id20()?,
                trickle: read.flag()?,
                offer_id: read.offer_id()?,
                sdp: read.token()?,
            })),
            CANDIDATES => Body::Candidates(Box::new(read.candidates()?)),
            _ => return Err(FrameError::Malformed),
        };
        if read.0.is_empty() { Ok(Frame { from, to, body }) } else { Err(FrameError::Malformed) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        self.take(N)?.try_into().map_err(|_| FrameError::Malformed)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    fn id20(&mut self) -> Result<Id20, FrameError> {
        self.array().map(Id20)
    }

    fn flag(&mut self) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FrameError::Malformed),
        }
    }

    fn count(&mut self, most: usize) -> Result<usize, FrameError> {
        let count = usize::from(self.u16()?);
        if count <= most { Ok(count) } else { Err(FrameError::Malformed) }
    }

    /// A JSON string, as its token. It is put into messages as it stands, so it must be one.
    fn token(&mut self) -> Result<Token<'a>, FrameError> {
        let bytes = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|_| FrameError::Malformed)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| FrameError::Malformed)?;
        Token::new(raw.get()).ok_or(FrameError::Malformed)
    }

    fn offer_id(&mut self) -> Result<Token<'a>, FrameError> {
        self.token()
            .and_then(|token| if token.is_offer_id() { Ok(token) } else { Err(FrameError::Malformed) })
    }

    fn groups(&mut self) -> Result<Vec<Group>, FrameError> {
        let count = self.count(RECORDS_PER_FRAME)?;
        let mut groups = Vec::with_capacity(count);
        for _ in 0..count {
            let (shard, number, part, last) = (self.u8()?, self.u32()?, self.u16()?, self.flag()?);
            let records = self.count(RECORDS_PER_FRAME)?;
            let mut list = Vec::with_capacity(records);
            for _ in 0..records {
                let swarm = SwarmId(self.id20()?);
                list.push((swarm, Counts { complete: self.u32()?, incomplete: self.u32()? }));
            }
            groups.push(Group { shard, number, part, last, records: list });
        }
        Ok(groups)
    }

    fn offers(&mut self) -> Result<PassedOn<'a>, FrameError> {
        let head = OffersHead {
            origin: NodeId(self.u64()?),
            conn: self.u64()?,
            swarm: SwarmId(self.id20()?),
            peer: self.id20()?,
            net: self.u64()?,
            seeder: self.flag()?,
            trickle: self.flag()?,
        };
        // Answers go to a worker, never to nobody.
        if head.origin.worker().is_none() {
            return Err(FrameError::Malformed);
        }
        let count = self.count(MAX_OFFERS)?;
        let mut offers = Vec::with_capacity(count);
        for _ in 0..count {
            offers.push((self.offer_id()?, self.token()?));
        }
        Ok(PassedOn { head, offers })
    }

    fn candidates(&mut self) -> Result<Trickled<'a>, FrameError> {
        let (to, conn) = (self.u64()?, self.u64()?);
        let (swarm, peer) = (SwarmId(self.id20()?), self.id20()?);
        let offer_id = self.offer_id()?;
        let count = self.count(MAX_CANDIDATES)?;
        let mut candidates = Vec::with_capacity(count);
        for _ in 0..count {
            candidates.push(self.token()?);
        }
        Ok(Trickled { to, conn, swarm, peer, offer_id, candidates })
    }
}

fn head(out: &mut Vec<u8>, kind: u8, from: NodeId, to: Option<NodeId>) {
    out.push(VERSION);
    out.push(kind);
    out.extend(from.0.to_be_bytes());
    out.extend(to.map_or(0, |to| to.0).to_be_bytes());
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u16).to_be_bytes());
}

fn push_token(out: &mut Vec<u8>, token: Token<'_>) {
    let text = token.verbatim();
    out.extend((text.len() as u32).to_be_bytes());
    out.extend(text.as_bytes());
}

fn push_groups(out: &mut Vec<u8>, groups: &[Group]) {
    push_count(out, groups.len());
    for group in groups {
        out.push(group.shard);
        out.extend(group.number.to_be_bytes());
        out.extend(group.part.to_be_bytes());
        out.push(u8::from(group.last));
        push_count(out, group.records.len());
        for (swarm, counts) in &group.records {
            out.extend(swarm.0.0);
            out.extend(counts.complete.to_be_bytes());
            out.extend(counts.incomplete.to_be_bytes());
        }
    }
}

pub(super) fn write_presence(out: &mut Vec<u8>, from: NodeId, numbers: &[u32]) {
    head(out, PRESENCE, from, None);
    let known = (0..=u8::MAX).zip(numbers).filter(|(_, number)| **number > 0);
    push_count(out, known.clone().count());
    for (shard, number) in known {
        out.push(shard);
        out.extend(number.to_be_bytes());
    }
}

pub(super) fn write_changes(out: &mut Vec<u8>, from: NodeId, groups: &[Group]) {
    head(out, CHANGES, from, None);
    push_groups(out, groups);
}

pub(super) fn write_repeated(out: &mut Vec<u8>, from: NodeId, to: NodeId, groups: &[Group]) {
    head(out, REPEATED, from, Some(to));
    push_groups(out, groups);
}

pub(super) fn write_wanted(out: &mut Vec<u8>, from: NodeId, to: NodeId, shards: ShardSet) {
    head(out, WANTED, from, Some(to));
    for word in shards.0 {
        out.extend(word.to_be_bytes());
    }
}

pub(super) fn write_bye(out: &mut Vec<u8>, from: NodeId) {
    head(out, BYE, from, None);
}

/// Writes offers for `to`. Returns how many it took: the rest does not fit the frame.
pub(crate) fn write_offers<'a>(
    out: &mut Vec<u8>,
    from: NodeId,
    to: NodeId,
    who: OffersHead,
    offers: impl Iterator<Item = (Token<'a>, Token<'a>)>,
) -> usize {
    let start = out.len();
    head(out, OFFERS, from, Some(to));
    out.extend(who.origin.0.to_be_bytes());
    out.extend(who.conn.to_be_bytes());
    out.extend(who.swarm.0.0);
    out.extend(who.peer.0);
    out.extend(who.net.to_be_bytes());
    out.push(u8::from(who.seeder));
    out.push(u8::from(who.trickle));
    let count_at = out.len();
    push_count(out, 0);
    let mut count = 0;
    for (offer_id, sdp) in offers.take(MAX_OFFERS) {
        let more = offer_id.verbatim().len() + sdp.verbatim().len() + 8;
        if out.len() - start + more > MAX_FRAME_BYTES {
            break;
        }
        push_token(out, offer_id);
        push_token(out, sdp);
        count += 1;
    }
    if let Some(place) = out.get_mut(count_at..count_at + 2) {
        place.copy_from_slice(&(count as u16).to_be_bytes());
    }
    count
}

/// Writes an answer for `to`.
pub(crate) fn write_answer(out: &mut Vec<u8>, from: NodeId, to: NodeId, answer: &Answered<'_>) {
    head(out, ANSWER, from, Some(to));
    out.extend(answer.to.to_be_bytes());
    out.extend(answer.conn.to_be_bytes());
    out.extend(answer.swarm.0.0);
    out.extend(answer.peer.0);
    out.push(u8::from(answer.trickle));
    push_token(out, answer.offer_id);
    push_token(out, answer.sdp);
}

/// Writes candidates for `to`.
pub(crate) fn write_candidates(out: &mut Vec<u8>, from: NodeId, to: NodeId, trickled: &Trickled<'_>) {
    head(out, CANDIDATES, from, Some(to));
    out.extend(trickled.to.to_be_bytes());
    out.extend(trickled.conn.to_be_bytes());
    out.extend(trickled.swarm.0.0);
    out.extend(trickled.peer.0);
    push_token(out, trickled.offer_id);
    push_count(out, trickled.candidates.len().min(MAX_CANDIDATES));
    for candidate in trickled.candidates.iter().take(MAX_CANDIDATES) {
        push_token(out, *candidate);
    }
}

#[cfg(test)]
mod tests {
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
            net: 6,
            seeder: true,
            trickle: false,
        };
        let answer = Answered {
            to: 1,
            conn: 2,
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
        let mut all = vec![Vec::new(); 8];
        write_presence(&mut all[0], a, &numbers);
        write_changes(&mut all[1], a, &[group(3, 2), group(4, 0)]);
        write_wanted(&mut all[2], a, b, shards);
        write_repeated(&mut all[3], a, b, &[group(3, 1)]);
        write_bye(&mut all[4], a);
        let offers = [(token("\"o1\""), token("\"v=0\""))];
        assert_eq!(write_offers(&mut all[5], a, b, head, offers.into_iter()), 1);
        write_answer(&mut all[6], a, b, &answer);
        write_candidates(&mut all[7], a, b, &trickled);
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
            matches!(bodies[5], Body::Offers(ref passed) if passed.offers.len() == 1 && passed.head.seeder)
        );
        assert!(matches!(bodies[6], Body::Answer(ref answer) if answer.trickle && answer.conn == 2));
        assert!(matches!(bodies[7], Body::Candidates(ref some) if some.candidates.len() == 2));
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
            frame.truncate(HEAD_BYTES + 8 + 8 + 20 + 20 + 1);
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
            net: 0,
            seeder: false,
            trickle: false,
        };
        let mut frame = Vec::new();
        let offers = std::iter::repeat_n((token("\"o\""), token(&sdp)), 5);
        assert_eq!(write_offers(&mut frame, node(1), node(2), head, offers), 2);
        assert!(frame.len() <= MAX_FRAME_BYTES);
        assert!(
            matches!(Frame::parse(&frame).unwrap().body, Body::Offers(passed) if passed.offers.len() == 2)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), kind in 0u8..10) {
            let _ = Frame::parse(&bytes);
            let mut framed = vec![VERSION, kind];
            framed.extend(&bytes);
            let _ = Frame::parse(&framed);
        }
    }
}
