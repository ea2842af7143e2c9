//! Where the player is and what it loads.

use crate::sorted::SortedMap;

use crate::id::{SegmentKey, TrackId};
use crate::time::{Span, Time};

use super::io::{Playhead, TrackKind};

/// The player as the engine knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Player {
    playhead: Option<(Time, Playhead)>,
    /// Per kind of track, the last segment that the player asked for.
    focus: SortedMap<TrackKind, SegmentKey>,
}

impl Player {
    /// Notes where the player is.
    pub(super) fn moved(&mut self, now: Time, playhead: Playhead) {
        self.playhead = Some((now, playhead));
    }

    /// Notes what the player asked for.
    pub(super) fn asked(&mut self, kind: TrackKind, key: SegmentKey) {
        self.focus.insert(kind, key);
    }

    /// The last segment asked for of each kind of track.
    pub(super) fn focuses(&self) -> impl Iterator<Item = SegmentKey> + '_ {
        self.focus.values().copied()
    }

    /// Forgets a track whose numbering began anew.
    pub(super) fn forget_track(&mut self, track: TrackId) {
        self.focus.retain(|_, key| key.track != track);
    }

    /// The position now: the last one given, moved on at the playback rate as far as the buffer reaches.
    pub(super) fn position_ms(&self, now: Time) -> Option<i64> {
        let (at, playhead) = self.playhead?;
        let played_ms = now.since(at).as_millis() * u64::from(playhead.rate_milli) / 1000;
        Some(playhead.position_ms + played_ms.min(u64::from(playhead.buffered_ms)) as i64)
    }

    /// Whether nothing is left to play at the position.
    pub(super) fn is_dry(&self, now: Time) -> bool {
        self.playhead.is_some_and(|(at, playhead)| {
            let played_ms = now.since(at).as_millis() * u64::from(playhead.rate_milli) / 1000;
            played_ms >= u64::from(playhead.buffered_ms)
        })
    }

    /// How long until something that starts at `start_ms` on the player's timeline is needed by a player at
    /// `position_ms`. A paused player may be started at any moment, so it counts as playing.
    pub(super) fn need_in(&self, position_ms: i64, start_ms: i64) -> Option<Span> {
        let (_, playhead) = self.playhead?;
        let ahead_ms = u64::try_from(start_ms.saturating_sub(position_ms)).unwrap_or(0);
        let rate = u64::from(playhead.rate_milli.max(1000));
        Some(Span::from_millis(ahead_ms.saturating_mul(1000) / rate))
    }
}
