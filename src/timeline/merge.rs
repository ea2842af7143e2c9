//! How a refreshed playlist is merged into what is known.

use crate::engine::SegmentInfo;
use crate::id::{SegmentKey, TrackId};

use super::TimelineChange;
use super::track::{Segment, Track};

/// How many segments a refresh may lie behind what is known and still be the same stream: a CDN's servers are not
/// quite in step. A jump further back means that the numbering began anew.
const MAX_LAG: u64 = 3;
/// Segments that are remembered after they slid out of the window: as many as it has, within these bounds.
const MIN_PAST: usize = 16;
const MAX_PAST: usize = 512;

/// The highest sequence number: what players in JavaScript count exactly, and far from where sums would overflow.
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// Cuts an update to what can be used and tells how many entries were left out.
pub(super) fn keep_fitting(segments: &mut Vec<SegmentInfo>, live: bool, max: usize) -> usize {
    let given = segments.len();
    // There is nothing to fetch of an empty range, and no request for one that begins behind its end.
    segments.retain(|segment| {
        segment.sequence <= MAX_SEQUENCE && segment.byte_range.is_none_or(|range| !range.is_empty())
    });
    let kept = segments.len();
    let ordered = segments
        .windows(2)
        .position(|pair| match pair {
            [a, b] => b.sequence <= a.sequence || b.discontinuity < a.discontinuity,
            _ => false,
        })
        .map_or(kept, |last| last + 1);
    segments.truncate(ordered);
    if segments.len() > max {
        if live {
            segments.drain(..segments.len() - max);
        } else {
            segments.truncate(max);
        }
    }
    given - segments.len()
}

/// Merges an update that [`keep_fitting`] has cut.
pub(super) fn merge(track: &mut Track, live: bool, update: Vec<SegmentInfo>, change: &mut TimelineChange) {
    let (Some(first), Some(last)) = (update.first(), update.last()) else {
        // An empty playlist says nothing about segments, but may end the stream.
        change.ended = track.live && !live && !track.segments.is_empty();
        track.live = live;
        return;
    };
    if let Some(known_last) = track.segments.back() {
        // Only what may move can lie behind; a film is what its playlist says.
        let moves = live || track.live;
        let goes_on = live && !track.live;
        let back = known_last.key.sequence.saturating_sub(last.sequence);
        let ahead = last.sequence > known_last.key.sequence;
        let lags = moves && !ahead && back <= MAX_LAG && (back > 0 || goes_on) && agrees(track, &update);
        if lags {
            return;
        }
        if moves && back > 0 || goes_on {
            change.reset = true;
            change.removed.extend(track.segments.iter().map(|segment| segment.key));
            track.segments.clear();
            // A stream that began anew has not ended.
            track.live = live;
        }
    }
    change.ended = track.live && !live;
    track.live = live;
    let past = track.segments.partition_point(|segment| segment.key.sequence < first.sequence);
    let aligned = track.segments.len() - past <= update.len()
        && track.segments.range(past..).zip(&update).all(|(known, new)| known.key.sequence == new.sequence);
    if aligned {
        extend(track, past, update, change);
    } else {
        rebuild(track, past, update, change);
    }
    track.past = past;
    forget(track, change);
}

/// Whether a playlist that lies behind lists the same segments where both list some. File names are compared, since
/// hosts and tokens rotate.
fn agrees(track: &Track, update: &[SegmentInfo]) -> bool {
    let mut both = update
        .iter()
        .filter_map(|new| {
            let key =
                SegmentKey { track: track.id, discontinuity: new.discontinuity, sequence: new.sequence };
            let index =
                track.segments.binary_search_by_key(&new.sequence, |known| known.key.sequence).ok()?;
            track.segments.get(index).map(|known| (known, key, new))
        })
        .peekable();
    both.peek().is_some()
        && both.all(|(known, key, new)| {
            known.key == key
                && known.byte_range == new.byte_range
                && file_name(&known.url) == file_name(&new.url)
        })
}

fn file_name(url: &str) -> &str {
    let path = url.find(['?', '#']).and_then(|end| url.get(..end)).unwrap_or(url);
    path.rfind('/').and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

/// The common case: the new list continues the old one.
fn extend(track: &mut Track, past: usize, update: Vec<SegmentInfo>, change: &mut TimelineChange) {
    let mut update = update.into_iter();
    for (known, new) in track.segments.range_mut(past..).zip(&mut update) {
        refresh(known, new, change);
    }
    for new in update {
        let segment = segment(track.id, new);
        change.added.push(segment.key);
        track.segments.push_back(segment);
    }
}

/// Any other case: numbers were left out, or the window grew at its beginning.
fn rebuild(track: &mut Track, past: usize, update: Vec<SegmentInfo>, change: &mut TimelineChange) {
    let mut known = track.segments.split_off(past).into_iter().peekable();
    for new in update {
        while let Some(gone) = known.next_if(|segment| segment.key.sequence < new.sequence) {
            change.removed.push(gone.key);
        }
        match known.next_if(|segment| segment.key.sequence == new.sequence) {
            Some(mut segment) => {
                refresh(&mut segment, new, change);
                track.segments.push_back(segment);
            }
            None => {
                let segment = segment(track.id, new);
                change.added.push(segment.key);
                track.segments.push_back(segment);
            }
        }
    }
    change.removed.extend(known.map(|segment| segment.key));
}

/// Takes over what may change, and tells when the segment itself is another one.
fn refresh(known: &mut Segment, new: SegmentInfo, change: &mut TimelineChange) {
    let before = (known.key, known.byte_range);
    known.key.discontinuity = new.discontinuity;
    known.byte_range = new.byte_range;
    known.start_ms = new.start_ms;
    known.duration_ms = new.duration_ms;
    // Keep the string that others may share.
    if known.url != new.url {
        known.url = new.url;
    }
    if (known.key, known.byte_range) != before {
        change.removed.push(before.0);
        change.added.push(known.key);
        if known.key == before.0 {
            change.replaced.push(known.key);
        }
    }
}

fn segment(track: TrackId, new: SegmentInfo) -> Segment {
    let SegmentInfo { discontinuity, sequence, start_ms, duration_ms, url, byte_range } = new;
    Segment { key: SegmentKey { track, discontinuity, sequence }, start_ms, duration_ms, url, byte_range }
}

/// Forgets what slid out of the window long ago.
fn forget(track: &mut Track, change: &mut TimelineChange) {
    let keep = (track.segments.len() - track.past).clamp(MIN_PAST, MAX_PAST);
    while track.past > keep {
        if let Some(gone) = track.segments.pop_front() {
            change.removed.push(gone.key);
        }
        track.past -= 1;
    }
}
