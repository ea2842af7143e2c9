//! What registries of a cluster say to each other: one closed enum, fixed limits, big-endian numbers.
//!
//! ```text
//! version u8 | kind u8 | from u64 | to u64 (0: everybody) | body
//! ```

mod read;
#[cfg(test)]
mod tests;
mod write;

use hlswarm::id::{PeerId, SwarmId};

use super::{Counts, NodeId, SHARDS, ShardSet};
use crate::protocol::Token;
use crate::registry::Region;

use read::Reader;

pub(crate) use write::{write_answer, write_ban, write_candidates, write_offers, write_report};
pub(super) use write::{write_bye, write_changes, write_presence, write_repeated, write_wanted};

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
const REPORT: u8 = 9;
const BAN: u8 = 10;

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
    /// A member here says that one of the receiver's sent it bad data.
    Report(Box<Accused>),
    /// An address is kept out of a swarm.
    Ban(Box<Banned>),
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
    /// The address of the member.
    pub(crate) ip: u64,
    /// Where it is, by the operator's database.
    pub(crate) region: Region,
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
    /// Its address.
    pub(crate) ip: u64,
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

/// A member that another member, elsewhere, reports for bad data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accused {
    /// The reported member's connection and address, as its registry told them.
    pub(crate) conn: u64,
    pub(crate) ip: u64,
    pub(crate) swarm: SwarmId,
    /// The neighbourhood of who reports.
    pub(crate) voice: u64,
}

/// An address that is kept out of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banned {
    pub(crate) swarm: SwarmId,
    pub(crate) ip: u64,
    pub(crate) seconds: u32,
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
                ip: read.u64()?,
                swarm: SwarmId(read.id20()?),
                peer: read.id20()?,
                trickle: read.flag()?,
                offer_id: read.offer_id()?,
                sdp: read.token()?,
            })),
            CANDIDATES => Body::Candidates(Box::new(read.candidates()?)),
            REPORT => Body::Report(Box::new(Accused {
                conn: read.u64()?,
                ip: read.u64()?,
                swarm: SwarmId(read.id20()?),
                voice: read.u64()?,
            })),
            BAN => Body::Ban(Box::new(Banned {
                swarm: SwarmId(read.id20()?),
                ip: read.u64()?,
                seconds: read.u32()?,
            })),
            _ => return Err(FrameError::Malformed),
        };
        if read.0.is_empty() { Ok(Frame { from, to, body }) } else { Err(FrameError::Malformed) }
    }
}
