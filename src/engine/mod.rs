//! The engine: one [`Input`], one [`Output`].

mod event;
mod io;

pub use event::{
    CacheStats, CloseReason, Event, PeerStats, SegmentSource, Stats, TrackerState, TrackerStats,
};
pub use io::{
    DeliveryTiming, FetchError, HttpHead, Input, LinkCloseCause, Output, Placement, Playhead, RequestFailure,
    SegmentInfo, TimelineUpdate, TrackKind,
};
