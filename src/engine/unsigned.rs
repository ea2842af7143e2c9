//! In the place of `signed.rs` where nobody signs: there are no records, and none is missing. Options that ask for them are
//! refused, see [`IntegrityMode`](crate::config::IntegrityMode).

use crate::id::{ByteRange, Digest, SegmentKey};

use super::Engine;
use super::guard::Guard;

impl Guard {
    pub(super) fn is_recorded(&self, _key: SegmentKey, _range: Option<ByteRange>) -> bool {
        false
    }
}

impl Engine {
    pub(super) fn may_share(&self, _key: SegmentKey) -> bool {
        true
    }

    pub(super) fn signed_bytes(&self, _key: SegmentKey) -> Option<u64> {
        None
    }

    pub(super) fn signed_block(&self, _key: SegmentKey, _index: usize) -> Option<Option<Digest>> {
        None
    }

    pub(super) fn wrong_block(&mut self, _key: SegmentKey, _index: usize) {}

    pub(super) fn origin_fault(&mut self, _key: SegmentKey) {}
}
