//! Whatever playlists come one after another, changes account for every segment that is known.
#![no_main]

use std::collections::BTreeSet;

use hlswarm::config::LimitsConfig;
use hlswarm::engine::{SegmentInfo, TimelineUpdate, TrackKind};
use hlswarm::id::{ByteRange, SegmentKey, TrackId};
use hlswarm::timeline::Timeline;
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Updates(Vec<TimelineUpdate>);

impl<'a> Arbitrary<'a> for Updates {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Updates> {
        let mut updates = Vec::new();
        for _ in 0..bytes.int_in_range(1..=12)? {
            let mut sequence =
                if bytes.ratio(1, 8)? { bytes.arbitrary()? } else { bytes.int_in_range(0..=40)? };
            let mut discontinuity: u32 = bytes.int_in_range(0..=2)?;
            let mut segments = Vec::new();
            for _ in 0..bytes.int_in_range(0..=30)? {
                segments.push(SegmentInfo {
                    discontinuity,
                    sequence,
                    start_ms: bytes.arbitrary()?,
                    duration_ms: bytes.arbitrary()?,
                    url: format!("https://cdn.example/{}.ts", bytes.int_in_range(0..=20)?).into(),
                    byte_range: bytes
                        .ratio(1, 4)?
                        .then_some(ByteRange { start: bytes.arbitrary()?, end: bytes.arbitrary()? }),
                });
                let step = if bytes.ratio(1, 10)? { bytes.arbitrary()? } else { 1 };
                sequence = sequence.wrapping_add(step);
                discontinuity = discontinuity.wrapping_add(u32::from(bytes.ratio(1, 10)?));
            }
            updates.push(TimelineUpdate {
                track: TrackId(bytes.int_in_range(1..=3)?),
                kind: TrackKind::Main,
                live: bytes.arbitrary()?,
                bitrate_bps: bytes.arbitrary()?,
                segments,
            });
        }
        Ok(Updates(updates))
    }
}

fuzz_target!(|updates: Updates| {
    let limits = LimitsConfig { max_tracks: 2, max_track_segments: 20, ..LimitsConfig::default() };
    let mut timeline = Timeline::new(&limits);
    let mut known: BTreeSet<SegmentKey> = BTreeSet::new();
    for update in updates.0 {
        let position_ms = update.segments.first().map_or(0, |segment| segment.start_ms);
        let change = timeline.update(update);
        for gone in &change.removed {
            assert!(known.remove(gone), "{gone} was not known");
        }
        for new in &change.added {
            assert!(known.insert(*new), "{new} was known");
        }
        for key in &known {
            assert_eq!(timeline.segment(*key).map(|segment| segment.key), Some(*key));
            assert!(timeline.expected_bytes(*key).is_some_and(|bytes| bytes <= limits.max_segment_bytes));
            assert_eq!(timeline.distance(*key, *key), Some(0));
            if let Some(next) = timeline.next(*key) {
                assert_eq!(timeline.distance(*key, next), Some(1));
            }
        }
        for track in timeline.tracks() {
            if let Some(key) = timeline.at_position(track, position_ms) {
                assert!(known.contains(&key));
            }
            assert!(timeline.listed(track).count() <= limits.max_track_segments);
        }
    }
});
