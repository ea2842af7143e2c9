//! Frames to bytes.

use crate::id::SegmentKey;

use super::frame::{DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, RefuseReason};
use super::{DATA_HEAD_LEN, MAX_HAVE_BITS, MAX_HAVE_ENTRIES, kind};

/// The bytes of a control frame, at most [`MIN_MESSAGE_BYTES`](super::MIN_MESSAGE_BYTES) but for extensions.
///
/// The caller keeps to the bounds of the frames: bitmap bytes beyond [`MAX_HAVE_BITS`] and delta entries beyond
/// [`MAX_HAVE_ENTRIES`] are left out.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match frame {
        Frame::Hello { min_version, max_version, capabilities, swarm, peer, max_message_bytes } => {
            out.extend([kind::HELLO, *min_version, *max_version]);
            out.extend(capabilities.0.to_be_bytes());
            out.extend(swarm.0.0);
            out.extend(peer.0);
            out.extend(max_message_bytes.to_be_bytes());
        }
        Frame::Have { track, discontinuity, first_sequence, loaded } => {
            out.reserve(loaded.len());
            out.push(kind::HAVE);
            let key = SegmentKey { track: *track, discontinuity: *discontinuity, sequence: *first_sequence };
            put_key(&mut out, key);
            out.extend(loaded.iter().take(MAX_HAVE_BITS / 8));
        }
        Frame::HaveDelta { entries } => {
            out.push(kind::HAVE_DELTA);
            put_runs(&mut out, entries.get(..MAX_HAVE_ENTRIES).unwrap_or(entries));
        }
        Frame::Interest(interest) => {
            out.push(kind::INTEREST);
            out.extend(interest.track.0.to_be_bytes());
            out.extend(interest.playing_sequence.to_be_bytes());
            out.extend(interest.wanted_sequence.to_be_bytes());
            out.push(interest.serves);
        }
        Frame::Request { transfer, key, resource_offset, at, len } => {
            put_numbered(&mut out, kind::REQUEST, transfer.0);
            put_key(&mut out, *key);
            out.extend(resource_offset.to_be_bytes());
            out.extend(at.to_be_bytes());
            out.extend(len.to_be_bytes());
        }
        Frame::Accept { transfer, total_bytes } => {
            put_numbered(&mut out, kind::ACCEPT, transfer.0);
            out.extend(total_bytes.to_be_bytes());
        }
        Frame::Refuse { transfer, reason } => {
            put_numbered(&mut out, kind::REFUSE, transfer.0);
            out.push(refuse_code(*reason));
        }
        Frame::Cancel { transfer } => put_numbered(&mut out, kind::CANCEL, transfer.0),
        Frame::Ping { nonce } => put_numbered(&mut out, kind::PING, *nonce),
        Frame::Pong { nonce } => put_numbered(&mut out, kind::PONG, *nonce),
        Frame::Goodbye { reason } => out.extend([kind::GOODBYE, goodbye_code(*reason)]),
        Frame::Claim(claim) => {
            out.push(kind::CLAIM);
            put_key(&mut out, claim.key);
            out.extend(claim.total_bytes.to_be_bytes());
            out.extend(claim.digest.0);
            out.extend(claim.origin.to_be_bytes());
        }
        #[cfg(feature = "signed")]
        Frame::Proof { record, blocks, batch } => {
            let blocks = blocks.get(..super::MAX_PROOF_BLOCKS).unwrap_or(blocks);
            out.extend([kind::PROOF, *record, blocks.len() as u8]);
            blocks.iter().for_each(|block| out.extend(block.0));
            out.extend(batch);
        }
        Frame::Extension { kind, body } => {
            out.push(kind | kind::EXTENSION);
            out.extend(body);
        }
    }
    out
}

/// The bytes before the payload of a data frame.
pub fn encode_data_head(head: DataHead) -> [u8; DATA_HEAD_LEN] {
    let mut out = [0; DATA_HEAD_LEN];
    out[0] = kind::DATA;
    out[1..5].copy_from_slice(&head.transfer.0.to_be_bytes());
    out[5..].copy_from_slice(&head.at.to_be_bytes());
    out
}

fn put_numbered(out: &mut Vec<u8>, kind: u8, number: u32) {
    out.push(kind);
    out.extend(number.to_be_bytes());
}

fn put_key(out: &mut Vec<u8>, key: SegmentKey) {
    out.extend(key.track.0.to_be_bytes());
    out.extend(key.discontinuity.to_be_bytes());
    out.extend(key.sequence.to_be_bytes());
}

/// Entries of consecutive segments share one key: their states follow it, four to a byte.
fn put_runs(out: &mut Vec<u8>, entries: &[HaveEntry]) {
    let consecutive = |a: &HaveEntry, b: &HaveEntry| {
        (a.key.track, a.key.discontinuity) == (b.key.track, b.key.discontinuity)
            && a.key.sequence.checked_add(1) == Some(b.key.sequence)
    };
    for run in entries.chunk_by(consecutive) {
        let Some(first) = run.first() else { continue };
        put_key(out, first.key);
        out.push(run.len() as u8);
        for four in run.chunks(4) {
            let pack =
                |byte, (place, entry): (usize, &HaveEntry)| byte | state_code(entry.state) << (2 * place);
            out.push(four.iter().enumerate().fold(0, pack));
        }
    }
}

const fn state_code(state: HaveState) -> u8 {
    match state {
        HaveState::Gone => 0,
        HaveState::FetchingHttp => 1,
        HaveState::FetchingP2p => 2,
        HaveState::Loaded => 3,
    }
}

const fn refuse_code(reason: RefuseReason) -> u8 {
    match reason {
        RefuseReason::Absent => 1,
        RefuseReason::Busy => 2,
        RefuseReason::NotSharing => 3,
        RefuseReason::Aborted => 4,
        RefuseReason::RateLimited => 5,
    }
}

const fn goodbye_code(reason: GoodbyeReason) -> u8 {
    match reason {
        GoodbyeReason::Leaving => 1,
        GoodbyeReason::Duplicate => 2,
        GoodbyeReason::Replaced => 3,
        GoodbyeReason::Violation => 4,
        GoodbyeReason::Incompatible => 5,
    }
}
