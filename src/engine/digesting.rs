//! Hashing what arrives, and holding it against signed records.
//!
//! Every block is hashed as soon as it is complete. With signed records a block counts only when its digest is the signed
//! one: before that it is neither delivered nor forwarded, and a wrong one costs its sender the link and is fetched again,
//! alone. Without, the digests say in the end what segment this is; `settling` takes it from there.

use crate::id::{BlobId, Digest, SegmentKey};
use crate::schedule::download::{Block, Stage, Total};

use super::finishing::Provenance;
use super::guard::Ask;
use super::io::Output;
use super::{Engine, Event};

impl Engine {
    /// What is known of a segment's length before anything has come.
    pub(super) fn certain_bytes(&self, key: SegmentKey) -> Option<u64> {
        let range = self.timeline.segment(key)?.byte_range;
        range.map(crate::id::ByteRange::len).or_else(|| self.signed_bytes(key))
    }

    /// Has the blocks hashed that `start..end` completed.
    pub(super) fn hash_complete(&mut self, key: SegmentKey, start: u64, end: u64) {
        if !self.guard.hashes() {
            return;
        }
        let Some(download) = self.downloads.get_mut(key) else { return };
        for index in download.take_complete_blocks(start, end) {
            let (at, past) = download.block_range(index);
            let blob = download.blob;
            let ask = self.guard.ask(Ask::Block { key, blob, index });
            self.outbox.push_back(Output::Digest { ask, blob, at, len: (past - at) as u32 });
        }
    }

    /// All bytes of a segment are there: waits for the digests, or goes on.
    pub(super) fn hash_whole(&mut self, key: SegmentKey) {
        self.hash_complete(key, 0, u64::MAX);
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.verifying = true;
        download.stage = Stage::Digesting;
        if let Some(digests) = download.digests() {
            self.hashed(key, digests);
        }
    }

    /// An answer of the shell.
    pub(super) fn digested(&mut self, ask: u32, digest: Option<Digest>) {
        let Some(ask) = self.guard.asks.remove(&ask) else { return };
        match (ask, digest) {
            (Ask::Block { key, blob, index }, Some(digest)) => self.block_digested(key, blob, index, digest),
            (Ask::Ours(fetch), digest) => self.spot_digested(fetch, digest, true),
            (Ask::Theirs(fetch), digest) => self.spot_digested(fetch, digest, false),
            (Ask::Block { .. }, None) => {}
        }
    }

    fn block_digested(&mut self, key: SegmentKey, blob: BlobId, index: usize, digest: Digest) {
        let signed = self.signed_block(key, index);
        let Some(download) = self.downloads.get_mut(key).filter(|download| download.blob == blob) else {
            return;
        };
        let (start, past) = download.block_range(index);
        let Some(block) = download.blocks.get_mut(index).filter(|block| **block == Block::Asked) else {
            return;
        };
        if self.guard.is_signed() && signed.is_some_and(|signed| signed != Some(digest)) {
            return self.wrong_block(key, index);
        }
        if self.guard.is_signed() && signed.is_none() && download.p2p_bytes > 0 {
            // The record is gone that made it worth fetching from peers.
            return self.abandon(key);
        }
        *block = Block::Known(digest);
        let digests = if download.stage == Stage::Digesting { download.digests() } else { None };
        if self.guard.is_signed() {
            self.guard.stats.verified_bytes += if signed.is_some() { past - start } else { 0 };
            self.bytes_arrived(key);
        }
        if let Some(digests) = digests {
            self.hashed(key, digests);
        }
    }

    /// All blocks of a complete segment have their digests.
    fn hashed(&mut self, key: SegmentKey, digests: Vec<Digest>) {
        if self.guard.is_auto() {
            return self.settle(key, digests);
        }
        let signed_bytes = self.signed_bytes(key);
        let Some(download) = self.downloads.get_mut(key) else { return };
        if signed_bytes.is_some_and(|bytes| download.total != Total::Known(bytes)) {
            return self.origin_fault(key);
        }
        let provenance = Provenance { digests, origin: 0, verified: signed_bytes.is_some() };
        self.pass(key, provenance);
    }

    /// Tells the page that bytes were not a segment's.
    pub(super) fn tell_refused(&mut self, key: SegmentKey, peers: &[crate::id::PeerId]) {
        self.guard.stats.refused_segments += 1;
        self.outbox.push_back(Output::Event(Event::SegmentRefused { key, peers: peers.to_vec() }));
    }
}
