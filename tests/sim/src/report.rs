//! Figures of a run, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::insight::{self, Line, Spread};
use crate::media::Place;
use crate::tally::Tally;
use crate::world::{Outcome, World};

/// The figures of one run. Bytes are segment bytes. Ratios are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Options laid over the scenario's, as `path=value`.
    pub options: Vec<String>,
    /// Viewers at once.
    pub viewers: u32,
    /// Simulated seconds.
    pub length_s: f64,
    /// Viewers that appeared in all, those that left included.
    pub appeared: usize,
    /// Bytes from peers / bytes delivered to players.
    pub p2p_ratio: f64,
    /// 1 - bytes served by the origin / bytes served by the origin without peers.
    pub offload: Option<f64>,
    /// 1 - distinct bytes delivered / bytes delivered: the offload when the origin serves each segment once.
    pub ideal: f64,
    /// The same when viewers who can connect to nobody, directly or over others, are served by the origin.
    pub reachable: f64,
    /// Copies of each byte that the origin must serve then.
    pub reachable_copies: f64,
    /// Mean uplink / mean bitrate, at most 1: no P2P ratio lasts above it.
    pub upload_bound: f64,
    /// Bytes served by the origin / distinct bytes that it served.
    pub origin_copies: f64,
    /// The same without the first segment of each viewer.
    pub origin_copies_beside_start: f64,
    /// Bytes served by the origin.
    pub origin_bytes: u64,
    /// Bytes served by the origin without peers.
    pub http_origin_bytes: Option<u64>,
    /// Bytes delivered to players.
    pub delivered_bytes: u64,
    /// Bytes received / bytes delivered.
    pub fetched_over_delivered: f64,
    /// Stalls of all viewers.
    pub stalls: u32,
    /// Their length in seconds.
    pub stall_s: f64,
    /// Stalls without peers.
    pub http_stalls: Option<u32>,
    /// Their length in seconds.
    pub http_stall_s: Option<f64>,
    /// The largest excess of one viewer's stalls over its stalls without peers, in milliseconds.
    pub most_extra_stall_ms: Option<f64>,
    /// How long after the end of the last fault (its beginning, if it has no end) the last player went on that stalled
    /// then, in seconds: with peers and without. `None` without a fault.
    pub recovered_s: Option<(f64, Option<f64>)>,
    /// What the scenario says of itself.
    pub about: String,
    /// Start-up, median, in milliseconds.
    pub startup_p50_ms: Option<f64>,
    /// Start-up, 95th percentile.
    pub startup_p95_ms: Option<f64>,
    /// Start-up without peers, median.
    pub http_startup_p50_ms: Option<f64>,
    /// Start-up without peers, 95th percentile.
    pub http_startup_p95_ms: Option<f64>,
    /// Uplink bytes of all viewers.
    pub uploaded_bytes: u64,
    /// Most uplink bytes of one viewer / its delivered bytes.
    pub most_upload_ratio: f64,
    /// Received bytes that were of no use.
    pub wasted_bytes: u64,
    /// Peers of a viewer at its end, mean.
    pub peers_mean: f64,
    /// From opening the page to the first peer, median, in milliseconds.
    pub first_peer_p50_ms: Option<f64>,
    /// Live: from a segment's appearance at the origin to its delivery, median over deliveries, in milliseconds.
    pub reach_p50_ms: Option<f64>,
    /// Live: the same, 95th percentile.
    pub reach_p95_ms: Option<f64>,
    /// Live: the same, last delivery.
    pub reach_max_ms: Option<f64>,
    /// Live: the same at each twentieth, from the first delivery to the last.
    pub reach_quantiles_ms: Vec<f64>,
    /// Live: how segments spread.
    pub spread: Option<Spread>,
    /// What each kind of line gave.
    pub lines: Vec<Line>,
    /// Downloads from peers that HTTP took over, by reason.
    pub fallbacks: BTreeMap<String, u32>,
    /// Times that a live window left a player behind, with and without peers.
    pub jumps: (u32, u32),
    /// Segments that players gave up, with and without peers.
    pub failures: (u32, u32),
    /// Wrong segments delivered.
    pub wrong: u32,
    /// Wrong segments delivered to honest viewers / segments delivered to them.
    pub wrong_share: f64,
    /// Bytes fetched from the origin to compare parts of what peers sent / bytes delivered.
    pub check_share: f64,
    /// Segments from peers that were fetched again because something spoke against them.
    pub disputes: u32,
    /// Control bytes sent between viewers / bytes delivered.
    pub control_share: f64,
    /// Simulated events.
    pub events: u64,
    /// Simulated seconds after which the run ended: fewer than `length_s` when an assertion broke it off.
    pub ended_s: f64,
    /// Seconds that viewers were there, all together, with peers.
    pub viewer_s: f64,
    /// Wall-clock seconds that the row took; set by the command.
    pub wall_s: f64,
    /// Processor seconds that it took, where the system tells; set by the command.
    pub cpu_s: Option<f64>,
}

/// The value below which `share` of the values lie.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((last as f64 * share).round() as usize).copied()
}

fn startups(tallies: &[Tally]) -> Vec<f64> {
    tallies.iter().filter_map(|tally| tally.seen.startup_us).map(|us| us as f64 / 1000.0).collect()
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Row {
    pub(crate) fn new(world: &World, outcome: &Outcome, expected: Option<&Outcome>, viewers: u32) -> Row {
        let tallies = &outcome.tallies;
        let total = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
        let origin_bytes = total(Tally::http_bytes);
        let delivered = total(|tally| tally.delivered);
        let uploaded = total(|tally| tally.uploaded);
        let wasted = total(|tally| tally.discarded);
        let mut served: BTreeMap<Place, u64> = BTreeMap::new();
        for (&place, &bytes) in tallies.iter().flat_map(|tally| &tally.served) {
            *served.entry(place).or_default() += bytes;
        }
        let distinct: u64 =
            served.iter().map(|(&place, &bytes)| bytes.min(world.catalog.size(place).into())).sum();
        let watched = watched(world, expected.unwrap_or(outcome));
        let http_origin = expected.map(|out| out.tallies.iter().map(Tally::http_bytes).sum::<u64>());
        let mut start = startups(tallies);
        let mut http_start = expected.map(|out| startups(&out.tallies)).unwrap_or_default();
        let mut reach: Vec<f64> =
            tallies.iter().flat_map(|tally| &tally.reach).map(|reach| f64::from(reach.ms)).collect();
        let mut first_peer: Vec<f64> =
            tallies.iter().filter_map(|tally| tally.first_peer_us).map(|us| us as f64 / 1000.0).collect();
        let received = origin_bytes + total(|tally| tally.p2p_received);
        let uplink: f64 = world.profiles.iter().map(|profile| profile.up_bytes_per_s * 8.0).sum();
        let bitrate: u64 =
            world.catalog.renditions.iter().map(|rendition| rendition.bitrate_bps).max().unwrap_or(1);
        let mut fallbacks = BTreeMap::new();
        for (reason, count) in tallies.iter().flat_map(|tally| &tally.fallbacks) {
            *fallbacks.entry(reason.clone()).or_default() += count;
        }
        let sum_of = |tallies: &[Tally], of: fn(&Tally) -> u32| tallies.iter().map(of).sum::<u32>();
        let http = |of: fn(&Tally) -> u32| expected.map(|out| sum_of(&out.tallies, of));
        let ideal = 1.0 - ratio(watched.0, watched.1);
        let reachable = insight::reachable(world, &expected.unwrap_or(outcome).tallies);
        Row {
            scenario: world.scenario.name.clone(),
            seed: world.seed,
            options: Vec::new(),
            viewers,
            length_s: world.scenario.length_s,
            appeared: world.profiles.len(),
            p2p_ratio: ratio(total(|tally| tally.p2p_delivered), delivered),
            offload: http_origin.map(|http| 1.0 - ratio(origin_bytes, http)),
            ideal,
            reachable,
            reachable_copies: (1.0 - reachable) / (1.0 - ideal).max(1e-9),
            upload_bound: (uplink / world.profiles.len().max(1) as f64 / bitrate as f64).min(1.0),
            origin_copies: ratio(origin_bytes, distinct),
            origin_copies_beside_start: ratio(origin_bytes - total(Tally::http_first_bytes), distinct),
            origin_bytes,
            http_origin_bytes: http_origin,
            delivered_bytes: delivered,
            fetched_over_delivered: ratio(received, delivered),
            stalls: sum_of(tallies, |tally| tally.seen.stalls),
            stall_s: total(|tally| tally.seen.stall_us) as f64 / 1e6,
            http_stalls: http(|tally| tally.seen.stalls),
            http_stall_s: expected
                .map(|out| out.tallies.iter().map(|tally| tally.seen.stall_us).sum::<u64>() as f64 / 1e6),
            most_extra_stall_ms: expected.map(|out| most_extra(tallies, &out.tallies)),
            recovered_s: last_fault_us(world)
                .map(|at| (recovered_s(tallies, at), expected.map(|out| recovered_s(&out.tallies, at)))),
            about: world.scenario.about.clone(),
            startup_p50_ms: percentile(&mut start, 0.5),
            startup_p95_ms: percentile(&mut start, 0.95),
            http_startup_p50_ms: percentile(&mut http_start, 0.5),
            http_startup_p95_ms: percentile(&mut http_start, 0.95),
            uploaded_bytes: uploaded,
            most_upload_ratio: tallies
                .iter()
                .map(|tally| ratio(tally.uploaded, tally.delivered))
                .fold(0.0, f64::max),
            wasted_bytes: wasted,
            peers_mean: ratio(total(|tally| tally.peers_at_end.into()), tallies.len() as u64),
            first_peer_p50_ms: percentile(&mut first_peer, 0.5),
            reach_p50_ms: percentile(&mut reach, 0.5),
            reach_p95_ms: percentile(&mut reach, 0.95),
            reach_max_ms: percentile(&mut reach, 1.0),
            reach_quantiles_ms: (0..=20)
                .filter_map(|step| percentile(&mut reach, f64::from(step) / 20.0))
                .collect(),
            spread: insight::spread(tallies),
            lines: insight::lines(world, tallies),
            fallbacks,
            jumps: (sum_of(tallies, |t| t.seen.jumps), http(|t| t.seen.jumps).unwrap_or(0)),
            failures: (sum_of(tallies, |t| t.seen.failures), http(|t| t.seen.failures).unwrap_or(0)),
            wrong: sum_of(tallies, |tally| tally.wrong),
            wrong_share: ratio(
                total(|tally| tally.wrong.into()),
                total(|tally| tally.loaded.iter().copied().map(u64::from).sum()),
            ),
            check_share: ratio(total(|tally| tally.integrity.check_bytes), delivered),
            disputes: sum_of(tallies, |tally| tally.integrity.disputes),
            control_share: ratio(total(|tally| tally.control_bytes), delivered),
            events: outcome.events,
            ended_s: tallies.iter().map(|tally| tally.left_us).max().unwrap_or(0) as f64 / 1e6,
            viewer_s: total(|tally| tally.left_us.saturating_sub(tally.joined_us)) as f64 / 1e6,
            wall_s: 0.0,
            cpu_s: None,
        }
    }
}

/// Distinct bytes and all bytes that the viewers of a run watched.
fn watched(world: &World, outcome: &Outcome) -> (u64, u64) {
    // What the reference served is what was watched: nobody fetches anything for others there.
    let all: u64 = outcome.tallies.iter().map(|tally| tally.delivered).sum();
    let places: BTreeSet<Place> =
        outcome.tallies.iter().flat_map(|tally| tally.served.keys().copied()).collect();
    (places.into_iter().map(|place| u64::from(world.catalog.size(place))).sum(), all)
}

fn most_extra(tallies: &[Tally], alone: &[Tally]) -> f64 {
    let alone: BTreeMap<u32, u64> = alone.iter().map(|tally| (tally.id, tally.seen.stall_us)).collect();
    tallies
        .iter()
        .filter_map(|tally| Some(tally.seen.stall_us as f64 - *alone.get(&tally.id)? as f64))
        .fold(0.0, f64::max)
        / 1000.0
}

/// When the last fault was over, or began if it has no end.
fn last_fault_us(world: &World) -> Option<u64> {
    let moments = world
        .scenario
        .fault
        .iter()
        .map(|fault| if fault.until_s().is_finite() { fault.until_s() } else { fault.at_s });
    moments.map(|at_s| (at_s * 1e6) as u64).max()
}

fn recovered_s(tallies: &[Tally], moment_us: u64) -> f64 {
    tallies.iter().map(|tally| tally.seen.recovered_us(moment_us)).max().unwrap_or(0) as f64 / 1e6
}

/// A column of the table: its head and what it shows of a row.
type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: &[Column] = &[
    ("scenario", |row| row.scenario.clone()),
    ("viewers", |row| row.viewers.to_string()),
    ("P2P ratio", |row| format!("{:.3}", row.p2p_ratio)),
    ("offload", |row| optional(row.offload, 3)),
    ("ideal", |row| format!("{:.3}", row.ideal)),
    ("reachable", |row| format!("{:.3}", row.reachable)),
    ("up bound", |row| format!("{:.2}", row.upload_bound)),
    ("origin copies", |row| format!("{:.2}", row.origin_copies)),
    ("beside start", |row| format!("{:.2}", row.origin_copies_beside_start)),
    ("fetched/watched", |row| format!("{:.3}", row.fetched_over_delivered)),
    ("stalls (HTTP)", |row| format!("{} ({})", row.stalls, optional(row.http_stalls.map(f64::from), 0))),
    ("stall s (HTTP)", |row| format!("{:.1} ({})", row.stall_s, optional(row.http_stall_s, 1))),
    ("most extra ms", |row| optional(row.most_extra_stall_ms, 0)),
    ("start p50/p95 ms (HTTP)", |row| {
        format!(
            "{}/{} ({}/{})",
            optional(row.startup_p50_ms, 0),
            optional(row.startup_p95_ms, 0),
            optional(row.http_startup_p50_ms, 0),
            optional(row.http_startup_p95_ms, 0)
        )
    }),
    ("reach p50/p95/max ms", |row| {
        let [p50, p95, max] = [row.reach_p50_ms, row.reach_p95_ms, row.reach_max_ms].map(|v| optional(v, 0));
        format!("{p50}/{p95}/{max}")
    }),
    ("up MB/viewer", |row| format!("{:.1}", ratio(row.uploaded_bytes, row.appeared as u64) / 1e6)),
    ("wasted", |row| format!("{:.1}%", 100.0 * ratio(row.wasted_bytes, row.delivered_bytes))),
    ("wrong", |row| format!("{} ({:.4}%)", row.wrong, 100.0 * row.wrong_share)),
    ("checked", |row| format!("{:.2}%", 100.0 * row.check_share)),
    ("disputes", |row| row.disputes.to_string()),
    ("peers", |row| format!("{:.1}", row.peers_mean)),
    ("seed", |row| row.seed.to_string()),
    ("wall s", |row| format!("{:.1}", row.wall_s)),
];

/// What matters of a fault.
const FAULT_COLUMNS: &[Column] = &[
    ("fault", |row| format!("{}: {}", row.scenario, row.about)),
    ("stalls (HTTP)", |row| format!("{} ({})", row.stalls, optional(row.http_stalls.map(f64::from), 0))),
    ("stall s (HTTP)", |row| format!("{:.1} ({})", row.stall_s, optional(row.http_stall_s, 1))),
    ("most extra ms", |row| optional(row.most_extra_stall_ms, 0)),
    ("wrong buffers", |row| row.wrong.to_string()),
    ("recovered in s (HTTP)", |row| match row.recovered_s {
        Some((with, without)) => format!("{with:.1} ({})", optional(without, 1)),
        None => "-".to_owned(),
    }),
    ("P2P ratio", |row| format!("{:.3}", row.p2p_ratio)),
];

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The rows as a Markdown table with aligned columns.
pub fn table(rows: &[Row]) -> String {
    columns(rows, COLUMNS)
}

/// The rows as [`table`], with what matters when something goes wrong.
pub fn fault_table(rows: &[Row]) -> String {
    columns(rows, FAULT_COLUMNS)
}

fn columns(rows: &[Row], columns: &[Column]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(_, show)| show(row)).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, (head, _))| cells.iter().map(|row| row[index].len()).max().unwrap_or(0).max(head.len()))
        .collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell:<width$} ", width = *width))
            .collect();
        format!("|{}|\n", cells.join("|"))
    };
    let mut out = line(columns.iter().map(|(head, _)| *head).collect());
    out += &format!("|{}|\n", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
    for row in &cells {
        out += &line(row.iter().map(String::as_str).collect());
    }
    out
}
