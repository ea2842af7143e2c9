//! Who keeps the whole of a stream that ends tells the trackers so.

mod rig;

use rig::{Rig, segment};
use serde_json::{Value, json};

/// The announces since the last look, as `(event, left)`.
fn told(rig: &mut Rig) -> Vec<(Option<String>, Option<u64>)> {
    std::mem::take(&mut rig.tracker_texts)
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .map(|announce| (announce["event"].as_str().map(str::to_owned), announce["left"].as_u64()))
        .collect()
}

fn completed() -> (Option<String>, Option<u64>) {
    (Some("completed".to_owned()), Some(0))
}

/// A viewer with one tracker, who has room for everything, of a playlist of 60 segments that ends.
fn viewer() -> Rig {
    let mut rig =
        Rig::new(json!({ "loader": { "cachedSegmentsCount": 100, "cachedSegmentExpiration": 86_400_000 } }));
    rig.tracker_up(1);
    rig
}

#[test]
fn who_has_a_whole_film_is_a_seeder_and_says_once_that_it_became_one() {
    let mut rig = viewer();
    rig.fill(0..30);
    let before = told(&mut rig);
    assert!(!before.is_empty() && before.iter().all(|(_, left)| left.is_none()), "{before:?}");
    rig.fill(30..60);
    rig.advance(5000);
    assert_eq!(told(&mut rig), [completed()]);
    rig.tracker_says(1);
    rig.want(59);
    rig.advance(250_000);
    let later = told(&mut rig);
    assert!(!later.is_empty() && later.iter().all(|said| *said == (None, Some(0))), "{later:?}");
}

#[test]
fn who_lacks_a_segment_again_is_no_seeder_any_more() {
    let mut rig = viewer();
    rig.fill(0..60);
    rig.advance(5000);
    assert!(told(&mut rig).contains(&completed()));
    rig.tracker_says(1);
    // The stream turns out to be longer.
    rig.playlist((0..61).map(segment).collect(), false);
    rig.want(2);
    rig.advance(250_000);
    let later = told(&mut rig);
    assert!(!later.is_empty() && later.iter().all(|said| *said == (None, Some(1))), "{later:?}");
}

#[test]
fn viewers_of_live_streams_are_no_seeders() {
    let mut rig = viewer();
    rig.playlist((0..70).map(segment).collect(), true);
    rig.fill(0..70);
    assert_eq!(rig.engine.stats().cache.segments, 70);
    rig.advance(250_000);
    let said = told(&mut rig);
    assert!(!said.is_empty() && said.iter().all(|(_, left)| left.is_none()), "{said:?}");
}
