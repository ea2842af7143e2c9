use std::ops::Range;

use proptest::prelude::*;

use crate::engine::SegmentInfo;
use crate::id::ByteRange;

use super::*;

const TRACK: TrackId = TrackId(7);
const AUDIO: TrackId = TrackId(8);

fn key(sequence: u64) -> SegmentKey {
    SegmentKey { track: TRACK, discontinuity: 0, sequence }
}

fn info(sequence: u64) -> SegmentInfo {
    SegmentInfo {
        discontinuity: 0,
        sequence,
        start_ms: sequence as i64 * 4000,
        duration_ms: 4000,
        url: format!("https://cdn.example/v/seg{sequence}.ts?token=1").into(),
        byte_range: None,
    }
}

fn update(live: bool, sequences: Range<u64>) -> TimelineUpdate {
    TimelineUpdate {
        track: TRACK,
        kind: TrackKind::Main,
        live,
        bitrate_bps: Some(1_000_000),
        segments: sequences.map(info).collect(),
    }
}

fn timeline() -> Timeline {
    Timeline::new(&LimitsConfig::default())
}

fn keys(sequences: Range<u64>) -> Vec<SegmentKey> {
    sequences.map(key).collect()
}

fn listed(timeline: &Timeline) -> Vec<u64> {
    timeline.listed(TRACK).map(|segment| segment.key.sequence).collect()
}

#[test]
fn a_film_is_added_once() {
    let mut timeline = timeline();
    let change = timeline.update(update(false, 0..150));
    assert_eq!(change, TimelineChange { added: keys(0..150), ..TimelineChange::default() });
    assert_eq!(timeline.update(update(false, 0..150)), TimelineChange::default());
    assert!(!timeline.live(TRACK));
    assert_eq!(timeline.first(TRACK).unwrap().key, key(0));
    assert_eq!(timeline.last(TRACK).unwrap().key, key(149));
    assert_eq!(timeline.tracks().collect::<Vec<_>>(), [TRACK]);
    assert_eq!(timeline.kind(TRACK), Some(TrackKind::Main));
}

#[test]
fn a_live_window_slides_and_its_past_is_remembered_for_a_while() {
    let mut timeline = timeline();
    timeline.update(update(true, 100..110));
    let change = timeline.update(update(true, 101..111));
    assert_eq!(change, TimelineChange { added: keys(110..111), ..TimelineChange::default() });
    assert_eq!(listed(&timeline), (101..111).collect::<Vec<_>>());
    assert!(
        timeline.segment(key(100)).is_some() && !timeline.is_listed(key(100)) && timeline.is_listed(key(101))
    );
    for first in 102..=116 {
        assert_eq!(timeline.update(update(true, first..first + 10)).removed, []);
    }
    assert_eq!(timeline.update(update(true, 117..127)).removed, keys(100..101));
    assert!(timeline.segment(key(100)).is_none());
    assert!(timeline.live(TRACK));
}

#[test]
fn an_event_grows_and_ends() {
    let mut timeline = timeline();
    timeline.update(update(true, 0..5));
    assert_eq!(timeline.update(update(true, 0..7)).added, keys(5..7));
    let change = timeline.update(update(false, 0..8));
    assert!(change.ended);
    assert_eq!(change.added, keys(7..8));
    assert!(!timeline.update(update(false, 0..8)).ended);
    // Only `EXT-X-ENDLIST` came, and then a server that has not heard of it.
    let stale = timeline.update(update(true, 0..8));
    assert_eq!(stale, TimelineChange::default());
    assert!(!timeline.live(TRACK));
    // The stream goes on under the same address: another stream.
    let change = timeline.update(update(true, 0..9));
    assert!(change.reset && !change.ended);
    assert_eq!(change.removed, keys(0..8));
    assert_eq!(change.added, keys(0..9));
}

#[test]
fn the_archive_of_an_ended_stream_reaches_back() {
    let mut timeline = timeline();
    timeline.update(update(true, 100..110));
    let change = timeline.update(update(false, 0..111));
    assert!(change.ended && !change.reset);
    assert_eq!(change.removed, []);
    assert_eq!(change.added, [keys(0..100), keys(110..111)].concat());
    assert_eq!(timeline.distance(key(0), key(110)), Some(110));
}

#[test]
fn a_server_that_lags_changes_nothing() {
    let mut timeline = timeline();
    timeline.update(update(true, 100..110));
    assert_eq!(timeline.update(update(true, 97..107)), TimelineChange::default());
    assert_eq!(listed(&timeline), (100..110).collect::<Vec<_>>());
}

#[test]
fn a_jump_back_begins_the_track_anew() {
    for back in [0..10, 96..106, 50..100] {
        let mut timeline = timeline();
        timeline.update(update(true, 100..110));
        let change = timeline.update(update(true, back.clone()));
        assert!(change.reset, "{back:?}");
        assert_eq!(change.removed, keys(100..110));
        assert_eq!(change.added, keys(back));
    }
    // One number back only, but other files.
    let mut timeline = timeline();
    timeline.update(update(true, 0..3));
    let mut other = update(true, 0..2);
    other.segments.iter_mut().for_each(|segment| segment.url = "https://cdn.example/v/b.ts".into());
    assert!(timeline.update(other).reset);
}

#[test]
fn a_jump_forward_keeps_the_keys() {
    let mut timeline = timeline();
    timeline.update(update(true, 100..110));
    let change = timeline.update(update(true, 200..210));
    assert_eq!((change.reset, change.added), (false, keys(200..210)));
    assert_eq!(listed(&timeline), (200..210).collect::<Vec<_>>());
    assert_eq!(timeline.next(key(109)), Some(key(200)));
    assert!(timeline.segment(key(150)).is_none());
}

#[test]
fn drifting_times_and_rotating_urls_are_updated() {
    let mut timeline = timeline();
    timeline.update(update(true, 0..5));
    let mut drifted = update(true, 1..6);
    for segment in &mut drifted.segments {
        segment.start_ms += 130;
        segment.duration_ms = 4004;
        segment.url = segment.url.replace("token=1", "token=2").into();
    }
    let change = timeline.update(drifted);
    assert_eq!((change.added, change.removed), (keys(5..6), vec![]));
    let segment = timeline.segment(key(3)).unwrap();
    assert_eq!((segment.start_ms, segment.duration_ms), (12_130, 4004));
    assert_eq!(&*segment.url, "https://cdn.example/v/seg3.ts?token=2");
    // What is not listed any more keeps what it had.
    assert_eq!(timeline.segment(key(0)).unwrap().start_ms, 0);
}

#[test]
fn an_unchanged_url_keeps_its_shared_string() {
    let mut timeline = timeline();
    timeline.update(update(true, 0..5));
    let before = timeline.segment(key(2)).unwrap().url.clone();
    timeline.update(update(true, 1..6));
    assert!(std::sync::Arc::ptr_eq(&before, &timeline.segment(key(2)).unwrap().url));
}

#[test]
fn another_byte_range_or_discontinuity_is_another_segment() {
    let mut timeline = timeline();
    timeline.update(update(true, 0..5));
    let mut other = update(true, 0..5);
    other.segments[3].byte_range = Some(ByteRange { start: 0, end: 10 });
    other.segments[4].discontinuity = 1;
    let change = timeline.update(other);
    assert_eq!(change.removed, keys(3..5));
    assert_eq!(change.added, [key(3), SegmentKey { discontinuity: 1, ..key(4) }]);
    assert_eq!(change.replaced, [key(3)], "a new key needs no warning");
    assert!(timeline.segment(key(4)).is_none());
}

#[test]
fn queries_cross_discontinuities() {
    let mut timeline = timeline();
    let mut film = update(false, 10..20);
    film.segments.iter_mut().skip(5).for_each(|segment| segment.discontinuity = 1);
    timeline.update(film);
    let after = SegmentKey { discontinuity: 1, ..key(15) };
    assert_eq!(timeline.next(key(14)), Some(after));
    assert_eq!(timeline.distance(key(12), after), Some(3));
    assert_eq!(timeline.distance(after, key(12)), None);
    assert_eq!(timeline.distance(key(12), key(12)), Some(0));
    assert_eq!(timeline.distance(key(12), key(15)), None, "15 is in discontinuity 1");
    assert_eq!(timeline.distance(key(12), SegmentKey { track: AUDIO, ..key(13) }), None);
    let ahead: Vec<u64> = timeline.forward(key(13), 4).map(|segment| segment.key.sequence).collect();
    assert_eq!(ahead, [13, 14, 15, 16]);
    assert_eq!(
        timeline.forward(key(18), 50).count(),
        2 - usize::from(timeline.segment(key(18)).is_none()) * 2
    );
    assert_eq!(timeline.forward(key(99), 4).count(), 0);
    assert_eq!(timeline.next(SegmentKey { discontinuity: 1, ..key(19) }), None);
}

#[test]
fn positions() {
    let mut timeline = timeline();
    assert_eq!(timeline.at_position(TRACK, 0), None);
    timeline.update(update(true, 10..20));
    for (position_ms, sequence) in
        [(40_000, 10), (43_999, 10), (44_000, 11), (79_999, 19), (1_000_000, 19), (0, 10), (i64::MIN, 10)]
    {
        assert_eq!(timeline.at_position(TRACK, position_ms), Some(key(sequence)), "{position_ms}");
    }
}

#[test]
fn tracks_stand_side_by_side() {
    let mut timeline = timeline();
    timeline.update(update(true, 100..110));
    let audio = TimelineUpdate { track: AUDIO, kind: TrackKind::Audio, ..update(false, 0..3) };
    timeline.update(audio);
    assert_eq!(timeline.kind(AUDIO), Some(TrackKind::Audio));
    assert_eq!(timeline.listed(AUDIO).count(), 3);
    assert!(timeline.live(TRACK) && !timeline.live(AUDIO));
    assert_eq!(listed(&timeline).len(), 10);
}

#[test]
fn expected_bytes_bound_a_claim() {
    let mut timeline = timeline();
    let mut film = update(false, 0..5);
    film.segments[1].byte_range = Some(ByteRange { start: 5, end: 1005 });
    film.segments[2].duration_ms = u32::MAX;
    film.segments[3].duration_ms = 1;
    film.segments[4].byte_range = Some(ByteRange { start: 0, end: u64::MAX });
    timeline.update(film.clone());
    // 4 s at 1 Mbit/s are 500,000 bytes.
    assert_eq!(timeline.expected_bytes(key(0)), Some(1_500_000));
    assert_eq!(timeline.typical_bytes(key(0)), Some(500_000));
    assert_eq!(timeline.expected_bytes(key(1)), Some(1000));
    assert_eq!(timeline.expected_bytes(key(2)), Some(16 * 1024 * 1024));
    assert_eq!(timeline.expected_bytes(key(3)), Some(64 * 1024));
    assert_eq!(timeline.expected_bytes(key(4)), Some(16 * 1024 * 1024));
    assert_eq!(timeline.expected_bytes(key(9)), None);
    timeline.update(TimelineUpdate { bitrate_bps: None, ..film.clone() });
    assert_eq!(timeline.expected_bytes(key(0)), Some(16 * 1024 * 1024));
    assert_eq!(timeline.typical_bytes(key(0)), None);
    assert_eq!(timeline.typical_bytes(key(1)), Some(1000));
    timeline.update(TimelineUpdate { bitrate_bps: Some(u64::MAX), ..film });
    assert_eq!(timeline.expected_bytes(key(2)), Some(16 * 1024 * 1024));
}

#[test]
fn claim_factor() {
    for (factor, bytes) in [(1, 500_000), (5, 2_500_000)] {
        let limits = LimitsConfig { claim_factor: factor, ..LimitsConfig::default() };
        let mut timeline = Timeline::new(&limits);
        timeline.update(update(false, 0..5));
        assert_eq!(timeline.expected_bytes(key(0)), Some(bytes), "claimFactor {factor}");
    }
}

#[test]
fn hostile_playlists_are_cut() {
    let limits = LimitsConfig { max_track_segments: 100, max_tracks: 2, ..LimitsConfig::default() };
    let mut timeline = Timeline::new(&limits);
    assert_eq!(timeline.update(update(false, 0..100)).refused, 0);
    let change = timeline.update(update(false, 0..101));
    assert_eq!((change.refused, listed(&timeline).len()), (1, 100));
    let mut live = Timeline::new(&limits);
    assert_eq!(live.update(update(true, 0..150)).refused, 50);
    assert_eq!(listed(&live), (50..150).collect::<Vec<_>>());

    let mut disorder = update(false, 0..10);
    disorder.segments[4].sequence = 3;
    disorder.segments[7].discontinuity = 5;
    let mut timeline = Timeline::new(&limits);
    assert_eq!(timeline.update(disorder).refused, 6);
    assert_eq!(listed(&timeline), [0, 1, 2, 3]);
    let mut backwards = update(false, 0..10);
    backwards.segments[6].discontinuity = 5;
    assert_eq!(timeline.update(backwards).refused, 3);
    let mut empty = update(false, 0..5);
    empty.segments[2].byte_range = Some(ByteRange { start: 9, end: 9 });
    empty.segments[3].byte_range = Some(ByteRange { start: 9, end: 3 });
    assert_eq!(timeline.update(empty).refused, 2);
    assert_eq!(listed(&timeline), [0, 1, 4]);
    let mut beyond = update(false, 0..3);
    beyond.segments[1].sequence = (1 << 53) - 1;
    beyond.segments[2].sequence = 1 << 53;
    assert_eq!(timeline.update(beyond).refused, 1);
    assert_eq!(listed(&timeline), [0, (1 << 53) - 1]);

    timeline.update(TimelineUpdate { track: TrackId(1), ..update(false, 0..3) });
    timeline.update(update(false, 0..6));
    let change = timeline.update(TimelineUpdate { track: TrackId(2), ..update(false, 0..3) });
    assert_eq!(change.removed.len(), 3, "the track that was updated longest ago goes");
    assert_eq!(timeline.tracks().collect::<Vec<_>>(), [TrackId(2), TRACK]);
}

#[test]
fn an_empty_playlist_keeps_what_is_known() {
    let mut timeline = timeline();
    assert_eq!(timeline.update(update(true, 0..0)), TimelineChange::default());
    timeline.update(update(true, 0..5));
    assert_eq!(timeline.update(update(true, 0..0)), TimelineChange::default());
    assert_eq!(listed(&timeline).len(), 5);
    assert!(timeline.update(update(false, 0..0)).ended);
}

fn any_update() -> impl Strategy<Value = TimelineUpdate> {
    let segment = (0..4_u64, 0..12_u32, -5000..5000_i64, any::<u32>(), 0..3_u8, 0..12_u64);
    (any::<bool>(), 0..40_u64, prop::collection::vec(segment, 0..30)).prop_map(|(live, first, steps)| {
        let mut sequence = first;
        let mut discontinuity = 0;
        let segments = steps
            .into_iter()
            .map(|(step, cut, start_ms, duration_ms, range, file)| {
                // Mostly consecutive, sometimes with gaps or in disorder.
                sequence += if file == 0 { step } else { 1 };
                discontinuity += u32::from(cut == 0);
                SegmentInfo {
                    discontinuity,
                    sequence,
                    start_ms,
                    duration_ms,
                    url: format!("https://cdn.example/{}.ts", if file < 10 { sequence } else { file }).into(),
                    byte_range: (range == 0).then_some(ByteRange { start: file, end: file + 1 }),
                }
            })
            .collect();
        TimelineUpdate { track: TRACK, kind: TrackKind::Main, live, bitrate_bps: Some(1_000_000), segments }
    })
}

proptest! {
    /// Whatever playlists come: changes account for every known key, and queries agree with the plain list.
    #[test]
    fn changes_account_for_every_key(updates in prop::collection::vec(any_update(), 1..12)) {
        let mut timeline = timeline();
        let mut model = std::collections::BTreeSet::new();
        for update in updates {
            let mut usable = update.segments.clone();
            let given = update.segments.len();
            let change = timeline.update(update);
            usable.truncate(given - change.refused);
            for key in &change.replaced {
                prop_assert!(change.removed.contains(key) && change.added.contains(key) && !change.reset);
            }
            let both = change.removed.iter().filter(|key| change.added.contains(key)).count();
            prop_assert!(change.reset || both == change.replaced.len());
            for gone in &change.removed {
                prop_assert!(model.remove(gone), "{gone} was not known");
            }
            for new in &change.added {
                prop_assert!(model.insert(*new), "{new} was known");
            }
            let all: Vec<Segment> = timeline.tracks.values().flat_map(|track| track.segments.clone()).collect();
            prop_assert_eq!(all.iter().map(|segment| segment.key).collect::<std::collections::BTreeSet<_>>(), model.clone());
            prop_assert_eq!(all.len(), model.len());
            prop_assert!(all.windows(2).all(|pair| pair[0].key.sequence < pair[1].key.sequence));
            if change.reset {
                let keys = |infos: &[SegmentInfo]| infos.iter().map(|info| info.sequence).collect::<Vec<_>>();
                prop_assert_eq!(listed(&timeline), keys(&usable));
            }
            for (index, segment) in all.iter().enumerate() {
                prop_assert_eq!(timeline.segment(segment.key), Some(segment));
                prop_assert_eq!(timeline.next(segment.key), all.get(index + 1).map(|next| next.key));
                prop_assert_eq!(timeline.distance(all[0].key, segment.key), Some(index as u32));
                prop_assert_eq!(timeline.forward(segment.key, 3).count(), (all.len() - index).min(3));
            }
        }
    }
}
