//! The signed records that a viewer has authenticated.
//!
//! A batch is taken in two steps: [`Records::admit`] says whether its signature is worth checking, [`Records::add`] takes
//! it when the signature held. Records are kept by segment, those of one chain per track: a batch of a later generation
//! takes the place of all of an earlier one, and an earlier one is refused from then on, so that nobody can roll a
//! stream back to what its numbers meant before.

use std::fmt;

use crate::id::{Digest, SegmentKey, TrackId};
use crate::sorted::SortedMap;

use super::sidecar::{Batch, SignedBatch};

/// Most batches that are held of a track; beyond, the oldest go. The records of one day of live segments of 2 s.
const MAX_BATCHES: usize = 65_536;
/// Most tracks that records are held of.
const MAX_TRACKS: usize = 64;

/// What a viewer knows of a segment for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// First byte of the segment's byte range in its resource; 0 without one.
    pub resource_offset: u64,
    /// Length in bytes.
    pub total_bytes: u32,
    /// The digests of its blocks.
    pub blocks: Vec<Digest>,
}

/// Why a batch is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is held already.
    Held,
    /// It is of another stream.
    Stream,
    /// No pinned key signed it.
    Key,
    /// A later chain of the same track is known.
    Generation,
    /// It contradicts a batch of the same chain that is held.
    Fork,
    /// It was signed longer ago than is allowed.
    Age,
    /// The digests of its blocks are missing.
    Blocks,
    /// Its signature does not hold.
    Signature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Held => "they are known",
            Refusal::Stream => "they are of another stream than integrity.stream",
            Refusal::Key => "none of integrity.publicKeys signed them",
            Refusal::Generation => "a later chain of the same track is known",
            Refusal::Fork => "they contradict others of the same chain",
            Refusal::Age => "they were signed longer ago than integrity.maxAgeMs",
            Refusal::Blocks => "the digests of their blocks are missing",
            Refusal::Signature => "their signature is wrong",
        })
    }
}

/// One track's chain.
#[derive(Clone, Debug, Default)]
struct Chain {
    generation_ms: u64,
    /// The hash of each batch and the segments that it is about, by its number.
    batches: SortedMap<u32, (Digest, Vec<SegmentKey>)>,
}

/// All records of a stream.
#[derive(Clone, Debug)]
pub struct Records {
    stream: Digest,
    chains: SortedMap<TrackId, Chain>,
    known: SortedMap<SegmentKey, Known>,
}

impl Records {
    /// No records, of a stream.
    pub fn new(stream: Digest) -> Records {
        Records { stream, chains: SortedMap::new(), known: SortedMap::new() }
    }

    /// What is known of a segment.
    pub fn get(&self, key: SegmentKey) -> Option<&Known> {
        self.known.get(&key)
    }

    /// How many segments are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a batch may be taken if its signature holds. `oldest_ms` is the earliest moment of signing that is
    /// allowed, in milliseconds since 1970.
    ///
    /// # Errors
    /// Says why not.
    pub fn admit(&self, signed: &SignedBatch, oldest_ms: u64) -> Result<(), Refusal> {
        let batch = &signed.batch;
        if batch.stream != self.stream {
            return Err(Refusal::Stream);
        }
        let told = batch.records.iter().zip(&signed.blocks).filter(|(_, blocks)| !blocks.is_empty());
        let mut told = told.map(|(record, _)| record.key(batch.track)).peekable();
        if told.peek().is_none() {
            return Err(Refusal::Blocks);
        }
        if let Some(chain) = self.chains.get(&batch.track) {
            if batch.generation_ms < chain.generation_ms {
                return Err(Refusal::Generation);
            }
            if batch.generation_ms == chain.generation_ms {
                chain.admit(batch, Batch::hash(&signed.body))?;
                if told.all(|key| self.known.get(&key).is_some()) {
                    return Err(Refusal::Held);
                }
            }
        }
        if batch.signed_ms < oldest_ms { Err(Refusal::Age) } else { Ok(()) }
    }

    /// Takes a batch whose signature holds. Returns the segments that are known now and were not before; when the batch
    /// begins a later chain, all that the track's former records said is forgotten, and `true` says so.
    pub fn add(&mut self, signed: SignedBatch) -> (Vec<SegmentKey>, bool) {
        let SignedBatch { batch, body, blocks, .. } = signed;
        let track = batch.track;
        if self.chains.len() >= MAX_TRACKS && self.chains.get(&track).is_none() {
            return (Vec::new(), false);
        }
        let chain = self.chains.entry(track).or_default();
        let begins_anew = batch.generation_ms > chain.generation_ms;
        let replaced = begins_anew && !chain.batches.is_empty();
        if begins_anew {
            *chain = Chain { generation_ms: batch.generation_ms, ..Chain::default() };
            self.known.retain(|key, _| key.track != track);
        }
        let mut added = Vec::with_capacity(batch.records.len());
        for (record, blocks) in batch.records.iter().zip(blocks) {
            let key = record.key(track);
            // What was said first of a segment stays, within a chain.
            if !blocks.is_empty() && self.known.get(&key).is_none() {
                self.known.insert(
                    key,
                    Known {
                        resource_offset: record.resource_offset,
                        total_bytes: record.total_bytes,
                        blocks,
                    },
                );
                added.push(key);
            }
        }
        chain
            .batches
            .entry(batch.number)
            .or_insert_with(|| (Batch::hash(&body), Vec::new()))
            .1
            .extend(&added);
        if chain.batches.len() > MAX_BATCHES
            && let Some((_, (_, gone))) = chain.batches.pop_first()
        {
            gone.iter().for_each(|key| drop(self.known.remove(key)));
        }
        (added, replaced)
    }
}

impl Chain {
    fn admit(&self, batch: &Batch, hash: Digest) -> Result<(), Refusal> {
        if self.batches.get(&batch.number).is_some_and(|(held, _)| *held != hash) {
            return Err(Refusal::Fork);
        }
        let before = batch.number.checked_sub(1).and_then(|number| self.batches.get(&number));
        if before.is_some_and(|(before, _)| *before != batch.previous) {
            return Err(Refusal::Fork);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
