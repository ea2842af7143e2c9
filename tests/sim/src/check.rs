//! The bounds of scenario values.

use hlswarm::config::{Config, IntegrityMode};

use crate::draw::Span;
use crate::media::FIRST_LIVE_SEQUENCE;
use crate::scenario::{FaultKind, Scenario, ScenarioError, StreamKind};

/// The shortest one-way delay that a scenario may ask for, in milliseconds. The simulator runs viewers in parallel
/// within windows of the shortest delay.
pub(crate) const MIN_DELAY_MS: f64 = 1.0;

/// Checks every value of a scenario against what is allowed.
pub(crate) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let name_ok = !scenario.name.is_empty()
        && scenario.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !name_ok {
        return refuse("name", format!("{:?}", scenario.name), "letters, digits, - and _");
    }
    within("length_s", scenario.length_s, 1.0, 200_000.0)?;

    let stream = &scenario.stream;
    within("stream.segments", f64::from(stream.segments), 2.0, 100_000.0)?;
    within("stream.segment_ms", f64::from(stream.segment_ms), 200.0, 60_000.0)?;
    within("stream.size_spread", stream.size_spread, 0.0, 0.9)?;
    if stream.bitrates_kbps.is_empty() || stream.bitrates_kbps.len() > 16 {
        return refuse("stream.bitrates_kbps", stream.bitrates_kbps.len(), "1 to 16 renditions");
    }
    for (index, rate) in stream.bitrates_kbps.iter().enumerate() {
        within(&format!("stream.bitrates_kbps[{index}]"), f64::from(*rate), 8.0, 100_000.0)?;
    }
    if let Some(rate) = stream.audio_kbps {
        within("stream.audio_kbps", f64::from(rate), 8.0, 2_000.0)?;
    }
    if stream.discontinuity_every == Some(0) {
        return refuse("stream.discontinuity_every", 0, "1 or more segments");
    }
    let most_kbps = stream.bitrates_kbps.iter().copied().max().unwrap_or(0);
    let length_ms = scenario.length_s * 1000.0 + f64::from(stream.segments) * f64::from(stream.segment_ms);
    if stream.byte_range && length_ms * f64::from(most_kbps) / 8.0 * (1.0 + stream.size_spread) > 4e9 {
        return refuse("stream.byte_range", true, "a stream of less than 4 GB");
    }
    let sync = scenario.player.live_sync_segments;
    if stream.kind == StreamKind::Live && (sync == 0 || sync > stream.segments) {
        return refuse("player.live_sync_segments", sync, &format!("1 to the window of {}", stream.segments));
    }

    let viewers = &scenario.viewers;
    if viewers.count.is_empty() {
        return refuse("viewers.count", "[]", "at least one number");
    }
    for (index, count) in viewers.count.iter().enumerate() {
        within(&format!("viewers.count[{index}]"), f64::from(*count), 1.0, 1_000_000.0)?;
    }
    within("viewers.join_over_s", viewers.join_over_s, 0.0, scenario.length_s)?;
    within("viewers.churn_per_minute", viewers.churn_per_minute, 0.0, 5.0)?;
    within("viewers.vanish_share", viewers.vanish_share, 0.0, 1.0)?;
    within("viewers.consume_only_share", viewers.consume_only_share, 0.0, 1.0)?;
    check_network(scenario)?;
    check_player(scenario)?;
    check_faults(scenario)?;
    options(scenario, &[]).map(drop)
}

fn check_network(scenario: &Scenario) -> Result<(), ScenarioError> {
    if scenario.access.is_empty() {
        return refuse("access", "[]", "at least one kind of access line");
    }
    for (index, access) in scenario.access.iter().enumerate() {
        let name = |field: &str| format!("access[{index}].{field}");
        within(&name("share"), access.share, 1e-6, 1e6)?;
        span(&name("downlink_kbps"), access.downlink_kbps, 16.0, 1e8)?;
        span(&name("uplink_kbps"), access.uplink_kbps, 0.0, 1e8)?;
        span(&name("delay_ms"), access.delay_ms, MIN_DELAY_MS, 2_000.0)?;
        within(&name("loss"), access.loss, 0.0, 0.5)?;
    }
    span("origin.latency_ms", scenario.origin.latency_ms, 0.0, 60_000.0)?;
    within("origin.delay_ms", scenario.origin.delay_ms, MIN_DELAY_MS, 2_000.0)?;
    if let Some(rate) = scenario.origin.per_download_kbps {
        within("origin.per_download_kbps", rate, 8.0, 1e8)?;
    }
    if let Some(rate) = scenario.origin.total_mbps {
        within("origin.total_mbps", rate, 0.1, 1e7)?;
    }
    within("tracker.count", f64::from(scenario.tracker.count), 0.0, 8.0)?;
    within("tracker.delay_ms", scenario.tracker.delay_ms, MIN_DELAY_MS, 2_000.0)?;
    span("ice.description_ms", scenario.ice.description_ms, 0.0, 60_000.0)?;
    span("ice.connect_ms", scenario.ice.connect_ms, 0.0, 60_000.0)?;
    within("ice.fail_after_s", scenario.ice.fail_after_s, 1.0, 120.0)?;
    within("ice.blocked_pair_share", scenario.ice.blocked_pair_share, 0.0, 1.0)?;
    if let Some(late) = scenario.ice.late_candidates_ms {
        within("ice.late_candidates_ms", late, 0.0, 60_000.0)?;
    }
    within("grain.http_chunk_bytes", f64::from(scenario.grain.http_chunk_bytes), 1_024.0, 16_777_216.0)?;
    within("grain.link_window_bytes", f64::from(scenario.grain.link_window_bytes), 65_536.0, 16_777_216.0)
}

fn check_player(scenario: &Scenario) -> Result<(), ScenarioError> {
    let player = &scenario.player;
    within("player.max_buffer_length_s", player.max_buffer_length_s, 1.0, 3_600.0)?;
    within(
        "player.max_max_buffer_length_s",
        player.max_max_buffer_length_s,
        player.max_buffer_length_s,
        36_000.0,
    )?;
    within("player.max_buffer_size_bytes", player.max_buffer_size_bytes, 1.0, 1e12)?;
    within("player.append_ms", player.append_ms, 0.0, 1_000.0)?;
    within("player.playhead_every_ms", player.playhead_every_ms, 100.0, 1_000.0)?;
    let renditions = scenario.stream.bitrates_kbps.len();
    if player.start_rendition >= renditions {
        return refuse("player.start_rendition", player.start_rendition, &format!("0 to {}", renditions - 1));
    }
    if player.switch_every_segments == Some(0) {
        return refuse("player.switch_every_segments", 0, "1 or more segments");
    }
    let expect = &scenario.expect;
    within("expect.extra_stall_ms", expect.extra_stall_ms, 0.0, 1e9)?;
    within("expect.extra_stall_share", expect.extra_stall_share, 0.0, 1.0)?;
    within("expect.extra_startup_ms", expect.extra_startup_ms, 0.0, 1e9)?;
    within("expect.p2p_ratio", expect.p2p_ratio, 0.0, 1.0)?;
    within("expect.wrong_share", expect.wrong_share, 0.0, 1.0)
}

fn check_faults(scenario: &Scenario) -> Result<(), ScenarioError> {
    for (index, fault) in scenario.fault.iter().enumerate() {
        let name = |field: &str| format!("fault[{index}].{field}");
        within(&name("at_s"), fault.at_s, 0.0, scenario.length_s)?;
        if let Some(span) = fault.for_s {
            within(&name("for_s"), span, 0.0, scenario.length_s)?;
        }
        within(&name("share"), fault.share, 0.0, 1.0)?;
        match (fault.what, fault.status) {
            (FaultKind::OriginStatus, Some(400..=599)) => {}
            (FaultKind::OriginStatus, status) => {
                return refuse(&name("status"), format!("{status:?}"), "a status from 400 to 599");
            }
            (_, Some(status)) => return refuse(&name("status"), status, "only for what = \"origin-status\""),
            (_, None) => {}
        }
        match (fault.what, fault.kbps) {
            (FaultKind::OriginSlow, Some(rate)) => within(&name("kbps"), rate, 1.0, 1e8)?,
            (FaultKind::OriginSlow, None) => return refuse(&name("kbps"), "nothing", "a rate in kbit/s"),
            (_, Some(rate)) => return refuse(&name("kbps"), rate, "only for what = \"origin-slow\""),
            (_, None) => {}
        }
        match (fault.what, fault.hours) {
            (FaultKind::Clock, Some(hours)) => within(&name("hours"), hours, -48.0, 48.0)?,
            (FaultKind::Clock, None) => return refuse(&name("hours"), "nothing", "hours from -48 to 48"),
            (_, Some(hours)) => return refuse(&name("hours"), hours, "only for what = \"clock\""),
            (_, None) => {}
        }
        if fault.what == FaultKind::SequenceReset {
            // Or the new numbers would reach the old ones.
            let most = f64::from(scenario.stream.segment_ms) / 1000.0 * (FIRST_LIVE_SEQUENCE as f64) / 2.0;
            within(&name("at_s"), fault.at_s, 1.0, most)?;
            within("length_s", scenario.length_s, 1.0, most)?;
            if scenario.stream.kind != StreamKind::Live || signed(scenario) {
                return refuse(&name("what"), "sequence-reset", "a live stream without signed records");
            }
        }
        let trackers = scenario.tracker.count;
        if matches!(fault.what, FaultKind::TrackerDown | FaultKind::TrackerSilent)
            && fault.tracker >= trackers
        {
            return refuse(
                &name("tracker"),
                fault.tracker,
                &format!("a tracker below tracker.count ({trackers})"),
            );
        }
    }
    Ok(())
}

fn signed(scenario: &Scenario) -> bool {
    options(scenario, &[]).is_ok_and(|config| config.integrity.mode == IntegrityMode::Signed)
}

/// The options object of one viewer: the scenario's, the given overrides (`loader.x`, JSON value), and the trackers.
pub(crate) fn options(
    scenario: &Scenario,
    overrides: &[(String, serde_json::Value)],
) -> Result<Config, ScenarioError> {
    let mut value = serde_json::to_value(&scenario.options)
        .map_err(|error| ScenarioError(format!("options: {error}")))?;
    let urls: Vec<String> = (0..scenario.tracker.count).map(tracker_url).collect();
    set(&mut value, "loader.trackerAnnounce", serde_json::json!(urls))?;
    for (path, new) in overrides {
        set(&mut value, path, new.clone())?;
    }
    if value["integrity"]["mode"] == "signed" {
        set(&mut value, "integrity.publicKeys", serde_json::json!([crate::signed::public_key()]))?;
        set(&mut value, "integrity.stream", serde_json::json!(crate::signed::STREAM))?;
    }
    Config::from_json_value(value).map_err(|error| ScenarioError(format!("options: {error}")))
}

/// Puts `new` at the dotted `path`.
fn set(value: &mut serde_json::Value, path: &str, new: serde_json::Value) -> Result<(), ScenarioError> {
    let mut place = value;
    for key in path.split('.') {
        if place.is_null() {
            *place = serde_json::json!({});
        }
        let Some(object) = place.as_object_mut() else {
            return Err(ScenarioError(format!(
                "options.{path}: {key:?} is inside something that is no table"
            )));
        };
        place = object.entry(key.to_owned()).or_insert(serde_json::Value::Null);
    }
    *place = new;
    Ok(())
}

/// The URL of a tracker.
pub(crate) fn tracker_url(index: u32) -> String {
    format!("wss://tracker-{index}.example/")
}

fn span(field: &str, value: Span, low: f64, high: f64) -> Result<(), ScenarioError> {
    within(field, value.low, low, high)?;
    within(field, value.high, low, high)
}

fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), ScenarioError> {
    if value >= low && value <= high {
        return Ok(());
    }
    refuse(field, value, &format!("{low} to {high}"))
}

fn refuse<T>(field: &str, value: impl std::fmt::Display, allowed: &str) -> Result<T, ScenarioError> {
    Err(ScenarioError(format!("{field}: {value} is not allowed; allowed is {allowed}")))
}
