//! Health, statistics and metrics over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::core::Core;
use super::shared::{BusNumbers, Snapshot};
use crate::cluster::{ClusterCounters, ClusterSizes};
use crate::histogram::Histogram;
use crate::http::Request;

/// An HTTP answer.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: (u16, &'static str),
    pub(super) kind: &'static str,
    pub(super) body: String,
}

const OK: (u16, &str) = (200, "200 OK");
const TEXT: &str = "text/plain; charset=utf-8";
/// Swarms listed in the statistics, the largest first.
const MOST_SWARMS: usize = 100;

/// The page at the request's path, if there is one.
pub(super) fn page(request: &Request, core: &mut Core) -> Option<Page> {
    match request.path.as_str() {
        "/healthz" => Some(Page { status: OK, kind: TEXT, body: "ok\n".into() }),
        "/readyz" if core.shared.is_draining() => {
            let status = (503, "503 Service Unavailable");
            Some(Page { status, kind: TEXT, body: "draining\n".into() })
        }
        "/readyz" => Some(Page { status: OK, kind: TEXT, body: "ready\n".into() }),
        "/stats.json" => {
            core.publish();
            let token = &core.settings.config.server.admin_token;
            let trusted =
                !token.is_empty() && request.bearer.as_deref().is_some_and(|given| same(given, token));
            let body = format!("{:#}\n", stats(core, trusted));
            Some(Page { status: OK, kind: "application/json", body })
        }
        "/metrics" => {
            core.publish();
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            Some(Page {
                status: OK,
                kind,
                body: metrics(
                    &core.shared.snapshots(),
                    core.shared.bus(),
                    core.shared.clock.now().as_millis(),
                ),
            })
        }
        _ => None,
    }
}

/// Compares without telling by its duration how much is equal.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn stats(core: &Core, with_swarms: bool) -> Value {
    let total = total(&core.shared.snapshots());
    let mut stats = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": core.shared.clock.now().as_millis() / 1000,
        "draining": core.shared.is_draining(),
        "connections": total.sizes.connections,
        "swarms": total.sizes.swarms,
        "peers": total.sizes.members,
        "announces": total.counters.announces,
        "scrapes": total.counters.scrapes,
        "offers": total.counters.offers,
        "answers": total.counters.answers,
        "candidates": total.counters.candidates,
        "refused": total.counters.refused,
        "closed": total.net.closed,
    });
    if let (Some(bus), Some((counters, sizes))) = (core.shared.bus(), &total.cluster) {
        stats["cluster"] = json!({
            "nodes": sizes.processes,
            "connected": bus.connected,
            "peersElsewhere": sizes.members_away,
            "offersGiven": counters.offers_out,
            "offersTaken": counters.offers_in,
        });
    }
    if with_swarms {
        let mut sizes: Vec<_> = core.registry.swarm_sizes().collect();
        sizes.sort_by_key(|size| (std::cmp::Reverse(size.complete + size.incomplete), size.swarm));
        stats["largestSwarms"] = sizes
            .iter()
            .take(MOST_SWARMS)
            .map(|size| {
                json!({"infoHash": size.swarm.0.to_latin1(), "complete": size.complete, "incomplete": size.incomplete,
                       "downloaded": size.downloaded})
            })
            .collect();
    }
    stats
}

/// The numbers of all workers together.
fn total(snapshots: &[Snapshot]) -> Snapshot {
    let mut total = Snapshot::default();
    for one in snapshots {
        total.sizes.connections += one.sizes.connections;
        total.sizes.swarms += one.sizes.swarms;
        total.sizes.members += one.sizes.members;
        total.sockets += one.sockets;
        total.counters.merge(&one.counters);
        total.mailbox_dropped += one.mailbox_dropped;
        if let Some((counters, sizes)) = &one.cluster {
            let (all, most) = total.cluster.get_or_insert_default();
            all.merge(counters);
            // Each worker knows of the others and of the whole process.
            most.workers = most.workers.max(sizes.workers);
            most.processes = most.processes.max(sizes.processes);
            most.swarms_here = most.swarms_here.max(sizes.swarms_here);
            most.members_away = most.members_away.max(sizes.members_away);
        }
        let net = &mut total.net;
        net.accepted += one.net.accepted;
        net.tls_handshakes += one.net.tls_handshakes;
        net.bytes_in += one.net.bytes_in;
        net.bytes_out += one.net.bytes_out;
        net.slow_drops += one.net.slow_drops;
        net.turns.merge(&one.net.turns);
        for (reason, count) in &one.net.closed {
            *net.closed.entry(reason).or_default() += count;
        }
        for (status, count) in &one.net.http {
            *net.http.entry(*status).or_default() += count;
        }
    }
    if let Some((_, sizes)) = &total.cluster {
        // A swarm that several workers have is one.
        total.sizes.swarms = sizes.swarms_here;
    }
    total
}

fn metrics(snapshots: &[Snapshot], bus: Option<BusNumbers>, uptime_ms: u64) -> String {
    let total = total(snapshots);
    let mut out = String::with_capacity(8192);
    let text = &mut out;
    gauge(text, "uptime_seconds", "Seconds since the process started.", uptime_ms / 1000);
    gauge(text, "workers", "Threads that serve connections.", snapshots.len() as u64);
    gauge(text, "connections", "Open WebSockets.", total.sizes.connections as u64);
    gauge(text, "sockets", "Open sockets, those on their way to a WebSocket included.", total.sockets as u64);
    gauge(text, "swarms", "Swarms with at least one member.", total.sizes.swarms as u64);
    gauge(text, "peers", "Members of all swarms.", total.sizes.members as u64);
    let counters = &total.counters;
    counter(text, "messages_total", "Messages of clients.", counters.messages);
    counter(text, "announces_total", "Announces, answers not included.", counters.announces);
    counter(text, "scrapes_total", "Scrapes.", counters.scrapes);
    counter(text, "offers_total", "Offers passed on.", counters.offers);
    counter(
        text,
        "offers_dropped_total",
        "Offers that nobody took or that broke a bound.",
        counters.offers_dropped,
    );
    counter(text, "answers_total", "Answers passed on.", counters.answers);
    counter(text, "answers_dropped_total", "Answers to no pending offer.", counters.answers_dropped);
    counter(text, "candidates_total", "Trickled candidates passed on.", counters.candidates);
    counter(text, "candidates_dropped_total", "Trickled candidates dropped.", counters.candidates_dropped);
    counter(text, "reports_total", "Reports of bad data.", counters.reports);
    let help = "Reports from somebody who was not introduced to the peer, or had reported it already.";
    counter(text, "reports_ignored_total", help, counters.reports_ignored);
    counter(text, "bans_total", "Members kept out after reports.", counters.bans);
    counter(text, "expired_total", "Members forgotten because they announced no more.", counters.expired);
    labelled(text, "refused_total", "Refused messages.", "reason", &counters.refused);
    let net = &total.net;
    counter(text, "accepted_total", "Accepted sockets.", net.accepted);
    counter(text, "tls_handshakes_total", "Completed TLS handshakes.", net.tls_handshakes);
    labelled(text, "closed_total", "Closed sockets.", "reason", &net.closed);
    let http: BTreeMap<String, u64> =
        net.http.iter().map(|(status, count)| (status.to_string(), *count)).collect();
    labelled(text, "http_responses_total", "HTTP answers; 101 opens a WebSocket.", "status", &http);
    counter(text, "received_bytes_total", "Bytes received.", net.bytes_in);
    counter(text, "sent_bytes_total", "Bytes sent.", net.bytes_out);
    counter(text, "slow_drops_total", "Offers and candidates dropped for slow readers.", net.slow_drops);
    histogram(text, "turn_seconds", "From reading messages to their results being written.", &net.turns);
    let help = "From an offer being handed out to its answer, the client's work included.";
    histogram(text, "answer_seconds", help, &counters.answer_times);
    if let Some(cluster) = &total.cluster {
        cluster_metrics(text, cluster, total.mailbox_dropped);
    }
    if let Some(bus) = &bus {
        bus_metrics(text, bus);
    }
    for (name, kind, help, value) in super::process::figures() {
        let _ = writeln!(
            text,
            "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}"
        );
    }
    out
}

fn cluster_metrics(
    text: &mut String,
    (counters, sizes): &(ClusterCounters, ClusterSizes),
    mailbox_dropped: u64,
) {
    gauge(text, "cluster_nodes", "Other processes that are heard.", sizes.processes as u64);
    gauge(text, "cluster_peers", "Members of other processes.", sizes.members_away);
    let offers = [
        ("given", counters.offers_out),
        ("taken", counters.offers_in),
        ("untakable", counters.offers_in_dropped),
    ];
    labelled(
        text,
        "cluster_offers_total",
        "Offers given to other workers and processes, taken from them, and not taken because nobody here could.",
        "what",
        &offers.into(),
    );
    let answers = [
        ("sent", counters.answers_out),
        ("taken", counters.answers_in),
        ("dropped", counters.answers_in_dropped),
    ];
    labelled(
        text,
        "cluster_answers_total",
        "Answers sent to other workers and processes, taken from them, and dropped.",
        "what",
        &answers.into(),
    );
    counter(text, "cluster_frames_total", "Frames of other workers and processes.", counters.frames);
    counter(
        text,
        "cluster_refused_total",
        "Frames that could not be read or believed.",
        counters.frames_refused,
    );
    counter(text, "cluster_stale_total", "Records that came twice or too late.", counters.stale);
    counter(text, "cluster_gaps_total", "Times that records were missing and asked for.", counters.gaps);
    counter(text, "cluster_overflow_total", "Records and nodes beyond the bounds.", counters.overflow);
    counter(text, "cluster_lost_nodes_total", "Nodes forgotten because they fell silent.", counters.lost);
    counter(text, "mailbox_dropped_total", "Frames that did not fit a worker's mailbox.", mailbox_dropped);
}

fn bus_metrics(text: &mut String, bus: &BusNumbers) {
    gauge(text, "bus_connected", "Whether the message bus is connected.", u64::from(bus.connected));
    counter(text, "bus_connects_total", "Connections made to the message bus.", bus.connects);
    let messages = [("sent", bus.sent), ("received", bus.received)];
    labelled(text, "bus_messages_total", "Messages on the bus.", "direction", &messages.into());
    let bytes = [("sent", bus.sent_bytes), ("received", bus.received_bytes)];
    labelled(text, "bus_bytes_total", "Bytes of these messages.", "direction", &bytes.into());
    let dropped = [
        ("queue", bus.dropped),
        ("disconnected", bus.cut_off),
        ("slow_consumer", bus.slow),
        ("forged", bus.forged),
    ];
    labelled(text, "bus_dropped_total", "Messages that were dropped.", "reason", &dropped.into());
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP hlswarm_tracker_{name} {help}\n# TYPE hlswarm_tracker_{name} {kind}");
}

fn gauge(out: &mut String, name: &str, help: &str, value: u64) {
    head(out, name, help, "gauge");
    let _ = writeln!(out, "hlswarm_tracker_{name} {value}");
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    head(out, name, help, "counter");
    let _ = writeln!(out, "hlswarm_tracker_{name} {value}");
}

fn labelled<K: std::fmt::Display>(
    out: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: &BTreeMap<K, u64>,
) {
    head(out, name, help, "counter");
    for (key, value) in values {
        let _ = writeln!(out, "hlswarm_tracker_{name}{{{label}=\"{key}\"}} {value}");
    }
}

fn histogram(out: &mut String, name: &str, help: &str, histogram: &Histogram) {
    head(out, name, help, "histogram");
    histogram.write(&format!("hlswarm_tracker_{name}"), out);
}
