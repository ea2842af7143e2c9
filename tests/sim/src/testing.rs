//! Scenarios for the unit tests.

/// A small recording.
pub(crate) const VOD: &str = r#"
name = "unit"
about = "for unit tests"
length_s = 30.0

[stream]
kind = "vod"
segments = 8
segment_ms = 2000
bitrates_kbps = [1000]

[viewers]
count = [2]
join_over_s = 1.0

[[access]]
share = 1
downlink_kbps = 20000
uplink_kbps = 5000
delay_ms = 10
"#;
