//! Bytes to frames. Nothing here trusts a length, a count or a code.

use crate::id::{Digest, Id20, SegmentKey, SwarmId, TrackId, TransferId};

use super::frame::{
    Capabilities, Claim, DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, Interest, RefuseReason,
};
use super::{
    MAX_HAVE_BITS, MAX_HAVE_ENTRIES, MAX_VERSION, MIN_MESSAGE_BYTES, MIN_VERSION, WireError, is_data_frame,
    kind,
};

/// Reads a control message.
///
/// # Errors
/// Names what is wrong with the first thing that is wrong: the message is empty, longer than `max_control_bytes`, a
/// data frame, of an unknown type, too short or too long for its type, or holds a count or value that is not allowed.
pub fn decode(message: &[u8], max_control_bytes: u32) -> Result<Frame, WireError> {
    let Some((&first, body)) = message.split_first() else { return Err(WireError::Empty) };
    if is_data_frame(first) {
        return Err(WireError::NotThisKind { kind: first });
    }
    if message.len() > max_control_bytes as usize {
        return Err(WireError::TooLong { len: message.len(), max: max_control_bytes });
    }
    let mut reader = Reader { frame: name(first)?, rest: body, len: message.len() };
    let frame = read(first, &mut reader)?;
    if reader.rest.is_empty() {
        Ok(frame)
    } else {
        Err(WireError::Trailing { frame: reader.frame, extra: reader.rest.len() })
    }
}

/// Reads the head of a data message from its first bytes; the rest of the message is the payload.
///
/// # Errors
/// When the message is no data frame or shorter than [`DATA_HEAD_LEN`](super::DATA_HEAD_LEN).
pub fn decode_data_head(message: &[u8]) -> Result<DataHead, WireError> {
    let Some((&first, body)) = message.split_first() else { return Err(WireError::Empty) };
    if !is_data_frame(first) {
        return Err(WireError::NotThisKind { kind: first });
    }
    let mut reader = Reader { frame: "data", rest: body, len: message.len() };
    Ok(DataHead { transfer: TransferId(reader.u32()?), at: reader.u32()? })
}

/// The version that a link to a peer with these versions uses; `None` when there is none in common.
pub fn agreed_version(min: u8, max: u8) -> Option<u8> {
    let version = max.min(MAX_VERSION);
    (version >= min && version >= MIN_VERSION).then_some(version)
}

const fn name(first: u8) -> Result<&'static str, WireError> {
    Ok(match first {
        kind::HELLO => "hello",
        kind::HAVE => "have",
        kind::HAVE_DELTA => "have delta",
        kind::REQUEST => "request",
        kind::ACCEPT => "accept",
        kind::REFUSE => "refuse",
        kind::CANCEL => "cancel",
        kind::PING => "ping",
        kind::PONG => "pong",
        kind::GOODBYE => "goodbye",
        kind::INTEREST => "interest",
        kind::CLAIM => "claim",
        #[cfg(feature = "signed")]
        kind::PROOF => "proof",
        kind::EXTENSION.. => "extension",
        _ => return Err(WireError::UnknownType { kind: first }),
    })
}

fn read(first: u8, reader: &mut Reader<'_>) -> Result<Frame, WireError> {
    Ok(match first {
        kind::HELLO => read_hello(reader)?,
        kind::HAVE => {
            let SegmentKey { track, discontinuity, sequence: first_sequence } = reader.key()?;
            let loaded = reader.all().to_vec();
            if loaded.len() > MAX_HAVE_BITS / 8 {
                return Err(reader.too_many("bitmap bytes", loaded.len(), MAX_HAVE_BITS / 8));
            }
            reader.room_for(first_sequence, loaded.len() * 8)?;
            Frame::Have { track, discontinuity, first_sequence, loaded }
        }
        kind::HAVE_DELTA => Frame::HaveDelta { entries: read_runs(reader)? },
        kind::INTEREST => Frame::Interest(Interest {
            track: TrackId(reader.u64()?),
            playing_sequence: reader.u64()?,
            wanted_sequence: reader.u64()?,
            serves: reader.u8()?,
        }),
        kind::REQUEST => Frame::Request {
            transfer: TransferId(reader.u32()?),
            key: reader.key()?,
            resource_offset: reader.u64()?,
            at: reader.u32()?,
            len: reader.u32()?,
        },
        kind::ACCEPT => Frame::Accept { transfer: TransferId(reader.u32()?), total_bytes: reader.u32()? },
        kind::REFUSE => Frame::Refuse {
            transfer: TransferId(reader.u32()?),
            reason: match reader.u8()? {
                1 => RefuseReason::Absent,
                2 => RefuseReason::Busy,
                3 => RefuseReason::NotSharing,
                4 => RefuseReason::Aborted,
                5 => RefuseReason::RateLimited,
                other => return Err(reader.value("reason", other.into())),
            },
        },
        kind::CANCEL => Frame::Cancel { transfer: TransferId(reader.u32()?) },
        kind::PING => Frame::Ping { nonce: reader.u32()? },
        kind::PONG => Frame::Pong { nonce: reader.u32()? },
        kind::GOODBYE => Frame::Goodbye {
            reason: match reader.u8()? {
                1 => GoodbyeReason::Leaving,
                2 => GoodbyeReason::Duplicate,
                3 => GoodbyeReason::Replaced,
                4 => GoodbyeReason::Violation,
                5 => GoodbyeReason::Incompatible,
                other => return Err(reader.value("reason", other.into())),
            },
        },
        kind::CLAIM => Frame::Claim(Claim {
            key: reader.key()?,
            total_bytes: match reader.u32()? {
                0 => return Err(reader.value("length", 0)),
                bytes => bytes,
            },
            digest: Digest(reader.array()?),
            origin: reader.u64()?,
        }),
        #[cfg(feature = "signed")]
        kind::PROOF => {
            let (record, count) = (reader.u8()?, usize::from(reader.u8()?));
            if count > super::MAX_PROOF_BLOCKS {
                return Err(reader.too_many("digests", count, super::MAX_PROOF_BLOCKS));
            }
            let blocks = (0..count).map(|_| reader.array().map(Digest)).collect::<Result<_, _>>()?;
            Frame::Proof { record, blocks, batch: reader.all().to_vec() }
        }
        // `name` has refused everything else.
        kind => Frame::Extension { kind, body: reader.all().to_vec() },
    })
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Frame, WireError> {
    let (min_version, max_version) = (reader.u8()?, reader.u8()?);
    if min_version > max_version {
        return Err(reader.value("lowest version", min_version.into()));
    }
    if agreed_version(min_version, max_version).is_none() {
        return Err(WireError::Version { min: min_version, max: max_version });
    }
    let capabilities = Capabilities(reader.u32()?);
    let swarm = SwarmId(Id20(reader.array()?));
    let peer = Id20(reader.array()?);
    let max_message_bytes = reader.u32()?;
    if max_message_bytes < MIN_MESSAGE_BYTES {
        return Err(reader.value("largest message", max_message_bytes.into()));
    }
    Ok(Frame::Hello { min_version, max_version, capabilities, swarm, peer, max_message_bytes })
}

fn read_runs(reader: &mut Reader<'_>) -> Result<Vec<HaveEntry>, WireError> {
    let mut entries = Vec::new();
    while !reader.rest.is_empty() {
        let first = reader.key()?;
        let count = usize::from(reader.u8()?);
        if count == 0 {
            return Err(reader.value("run length", 0));
        }
        if entries.len() + count > MAX_HAVE_ENTRIES {
            return Err(reader.too_many("entries", entries.len() + count, MAX_HAVE_ENTRIES));
        }
        reader.room_for(first.sequence, count)?;
        let mut packed = 0;
        for place in 0..count {
            if place % 4 == 0 {
                packed = reader.u8()?;
            }
            let state = match packed & 3 {
                0 => HaveState::Gone,
                1 => HaveState::FetchingHttp,
                2 => HaveState::FetchingP2p,
                _ => HaveState::Loaded,
            };
            packed >>= 2;
            let key = SegmentKey { sequence: first.sequence + place as u64, ..first };
            entries.push(HaveEntry { key, state });
        }
        if packed != 0 {
            return Err(reader.value("padding", packed.into()));
        }
    }
    Ok(entries)
}

struct Reader<'a> {
    frame: &'static str,
    rest: &'a [u8],
    /// Length of the whole message, for errors.
    len: usize,
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            let need = self.len - self.rest.len() + N;
            return Err(WireError::Truncated { frame: self.frame, len: self.len, need });
        };
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    fn key(&mut self) -> Result<SegmentKey, WireError> {
        Ok(SegmentKey { track: TrackId(self.u64()?), discontinuity: self.u32()?, sequence: self.u64()? })
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Refuses sequence numbers that would run over the end of their type.
    fn room_for(&self, first: u64, count: usize) -> Result<(), WireError> {
        match first.checked_add(count as u64) {
            Some(_) => Ok(()),
            None => Err(self.value("sequence", first)),
        }
    }

    const fn value(&self, field: &'static str, value: u64) -> WireError {
        WireError::Value { frame: self.frame, field, value }
    }

    const fn too_many(&self, what: &'static str, count: usize, max: usize) -> WireError {
        WireError::TooMany { frame: self.frame, what, count, max }
    }
}
