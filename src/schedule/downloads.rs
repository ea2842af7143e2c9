//! All segments on their way, and who waits for them.

use crate::sorted::SortedMap;

use crate::id::{FetchId, LinkId, RequestId, SegmentKey, TransferId};
use crate::time::Time;

use super::download::Download;

/// A player's open request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which segment.
    pub key: SegmentKey,
    /// Since when.
    pub since: Time,
}

/// The table of downloads with its indices, and the player's open requests.
#[derive(Clone, Debug, Default)]
pub struct Downloads {
    by_key: SortedMap<SegmentKey, Download>,
    by_fetch: SortedMap<FetchId, SegmentKey>,
    by_transfer: SortedMap<(LinkId, TransferId), SegmentKey>,
    wants: SortedMap<RequestId, Want>,
}

impl Downloads {
    /// The download of a segment.
    pub fn get(&self, key: SegmentKey) -> Option<&Download> {
        self.by_key.get(&key)
    }

    /// The download of a segment.
    pub fn get_mut(&mut self, key: SegmentKey) -> Option<&mut Download> {
        self.by_key.get_mut(&key)
    }

    /// Adds a download.
    pub fn insert(&mut self, download: Download) {
        self.by_key.insert(download.key, download);
    }

    /// Takes a download out; its sources are no longer routed here.
    pub fn remove(&mut self, key: SegmentKey) -> Option<Download> {
        let download = self.by_key.remove(&key)?;
        if let Some(http) = &download.http {
            self.by_fetch.remove(&http.fetch);
        }
        for peer in &download.peers {
            self.by_transfer.remove(&(peer.link, peer.transfer));
        }
        Some(download)
    }

    /// All downloads in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Download> {
        self.by_key.values()
    }

    /// Remembers that `fetch` serves the download of `key`.
    pub fn bind_fetch(&mut self, fetch: FetchId, key: SegmentKey) {
        self.by_fetch.insert(fetch, key);
    }

    /// Forgets a fetch. Returns the segment it served.
    pub fn unbind_fetch(&mut self, fetch: FetchId) -> Option<SegmentKey> {
        self.by_fetch.remove(&fetch)
    }

    /// The download that a fetch serves.
    pub fn of_fetch(&mut self, fetch: FetchId) -> Option<&mut Download> {
        self.by_key.get_mut(self.by_fetch.get(&fetch)?)
    }

    /// Remembers that a transfer serves the download of `key`.
    pub fn bind_transfer(&mut self, link: LinkId, transfer: TransferId, key: SegmentKey) {
        self.by_transfer.insert((link, transfer), key);
    }

    /// Forgets a transfer. Returns the segment it served.
    pub fn unbind_transfer(&mut self, link: LinkId, transfer: TransferId) -> Option<SegmentKey> {
        self.by_transfer.remove(&(link, transfer))
    }

    /// The download that a transfer serves.
    pub fn of_transfer(&mut self, link: LinkId, transfer: TransferId) -> Option<&mut Download> {
        self.by_key.get_mut(self.by_transfer.get(&(link, transfer))?)
    }

    /// How many downloads run over HTTP.
    pub fn http_count(&self) -> usize {
        self.by_fetch.len()
    }

    /// How many segments are being downloaded from peers.
    pub fn p2p_count(&self) -> usize {
        self.by_key.values().filter(|download| !download.peers.is_empty()).count()
    }

    /// Notes a player's request.
    pub fn add_want(&mut self, request: RequestId, want: Want) {
        self.wants.insert(request, want);
    }

    /// Takes a player's request out.
    pub fn remove_want(&mut self, request: RequestId) -> Option<Want> {
        self.wants.remove(&request)
    }

    /// Takes out the requests for a segment, in the order in which they were numbered.
    pub fn take_wants(&mut self, key: SegmentKey) -> Vec<RequestId> {
        let requests: Vec<RequestId> =
            self.wants.iter().filter(|(_, want)| want.key == key).map(|(request, _)| *request).collect();
        for request in &requests {
            self.wants.remove(request);
        }
        requests
    }

    /// The player's open requests.
    pub fn wants(&self) -> impl Iterator<Item = (RequestId, Want)> + '_ {
        self.wants.iter().map(|(request, want)| (*request, *want))
    }

    /// Whether the player waits for a segment.
    pub fn is_wanted(&self, key: SegmentKey) -> bool {
        self.wants.values().any(|want| want.key == key)
    }
}
