//! The body of a frame, read.

use hlswarm::id::{Id20, SwarmId};
use serde_json::value::RawValue;

use super::super::{Counts, NodeId};
use super::{
    FrameError, Group, MAX_CANDIDATES, MAX_OFFERS, OffersHead, PassedOn, RECORDS_PER_FRAME, Trickled,
};
use crate::protocol::Token;
use crate::registry::Region;

/// What is left of a frame.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(FrameError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        self.take(N)?.try_into().map_err(|_| FrameError::Malformed)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn id20(&mut self) -> Result<Id20, FrameError> {
        self.array().map(Id20)
    }

    pub(super) fn flag(&mut self) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FrameError::Malformed),
        }
    }

    pub(super) fn count(&mut self, most: usize) -> Result<usize, FrameError> {
        let count = usize::from(self.u16()?);
        if count <= most { Ok(count) } else { Err(FrameError::Malformed) }
    }

    /// A JSON string, as its token. It is put into messages as it stands, so it must be one.
    pub(super) fn token(&mut self) -> Result<Token<'a>, FrameError> {
        let bytes = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|_| FrameError::Malformed)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| FrameError::Malformed)?;
        Token::new(raw.get()).ok_or(FrameError::Malformed)
    }

    pub(super) fn offer_id(&mut self) -> Result<Token<'a>, FrameError> {
        self.token()
            .and_then(|token| if token.is_offer_id() { Ok(token) } else { Err(FrameError::Malformed) })
    }

    pub(super) fn groups(&mut self) -> Result<Vec<Group>, FrameError> {
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

    pub(super) fn offers(&mut self) -> Result<PassedOn<'a>, FrameError> {
        let head = OffersHead {
            origin: NodeId(self.u64()?),
            conn: self.u64()?,
            swarm: SwarmId(self.id20()?),
            peer: self.id20()?,
            ip: self.u64()?,
            region: Region { asn: self.u32()?, country: self.u16()? },
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

    pub(super) fn candidates(&mut self) -> Result<Trickled<'a>, FrameError> {
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
