//! The registry alone with very many members: how much memory and time each takes, and what another node of a cluster needs
//! to know of them. Run it with
//! `cargo run --release -p hlswarm-tracker --example million -- [MEMBERS] [MEMBERS PER SWARM]`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use hlswarm::time::{Span, Time};
use hlswarm_tracker::cluster::{Dest, Mesh, Neighbours, NodeId};
use hlswarm_tracker::registry::Rate;
use hlswarm_tracker::{Limits, Out, Registry};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 1;
const OFFERS: usize = 5;
/// The argument that measures what a second node needs to know.
const SECOND: &str = "second";
const SAMPLE: usize = 20_000;

#[allow(clippy::disallowed_methods, reason = "this measures real time")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

fn announce(number: usize, swarm: usize, offers: usize) -> String {
    let sdp = "s".repeat(1400);
    let list: Vec<String> = (0..offers)
        .map(|n| {
            format!(
                "{{\"offer\":{{\"type\":\"offer\",\"sdp\":\"{sdp}\"}},\"offer_id\":\"{number:018}{n:02}\"}}"
            )
        })
        .collect();
    format!(
        "{{\"action\":\"announce\",\"info_hash\":\"swarm{swarm:015}\",\"peer_id\":\"-HS0100-{number:012}\",\"offers\":[{}]}}",
        list.join(",")
    )
}

fn main() {
    let is_second = std::env::args().any(|argument| argument == SECOND);
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().ok());
    let members = numbers.next().flatten().unwrap_or(1_000_000).clamp(1, 10_000_000);
    let per_swarm = numbers.next().flatten().unwrap_or(1000).clamp(1, members);
    let limits = Limits {
        connections: usize::MAX,
        swarms: usize::MAX,
        announces_per_ip: Rate::UNLIMITED,
        announces_per_ip_and_swarm: Rate::UNLIMITED,
        received_offers: Rate::UNLIMITED,
        offers_per_ip: Rate::UNLIMITED,
        connections_per_net: usize::MAX,
        peers: usize::MAX,
        ..Limits::default()
    };
    if is_second {
        return replicate(&limits, members, per_swarm);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut registry = Registry::new(limits, &mut rng);
    let mut out = Out::new();
    let now = Time::from_millis(1000);
    let mut conns = Vec::with_capacity(members);
    let before = resident_bytes();
    let joining = timed(|| {
        for number in 0..members {
            let ip = IpAddr::V4(Ipv4Addr::from(0x0b00_0000u32 + (number / 4) as u32));
            let Ok(conn) = registry.connect(now, ip) else { return };
            conns.push(conn);
            out.clear();
            registry.handle(now, &mut rng, conn, &announce(number, number / per_swarm, 0), &mut out);
        }
    });
    let bytes = resident_bytes() - before;
    let sizes = registry.sizes();
    println!("members {}, swarms {} of {per_swarm}, seed {SEED}", sizes.members, sizes.swarms);
    println!("memory per member: {} bytes", bytes / sizes.members.max(1) as u64);
    println!("joining: {:.2} microseconds each", joining.as_secs_f64() * 1e6 / members as f64);

    let texts: Vec<(usize, String)> = (0..SAMPLE.min(members))
        .map(|n| n * (members / SAMPLE.min(members)))
        .map(|number| (number, announce(number, number / per_swarm, OFFERS)))
        .collect();
    let mut sent = 0;
    let announcing = timed(|| {
        for (number, text) in &texts {
            out.clear();
            if let Some(conn) = conns.get(*number) {
                registry.handle(now, &mut rng, *conn, text, &mut out);
            }
            sent += out.sends().count();
        }
    });
    println!(
        "announce with {OFFERS} offers: {:.2} microseconds, {:.2} messages each",
        announcing.as_secs_f64() * 1e6 / texts.len() as f64,
        sent as f64 / texts.len() as f64
    );
    let leaving = timed(|| {
        for conn in conns {
            registry.disconnect(conn);
        }
    });
    println!("leaving: {:.2} microseconds each", leaving.as_secs_f64() * 1e6 / members as f64);
    println!("left over: {:?}", registry.sizes());
    // In a process of its own: here it would be given memory that was used before, and seem to need none.
    let own = std::env::current_exe().map(std::process::Command::new);
    let asked = [members, per_swarm].map(|number| number.to_string());
    if own.and_then(|mut own| own.args(asked).arg(SECOND).status()).is_err() {
        println!("the second node could not be started");
    }
}

/// Tells a second node of a first one's swarms, as over the bus.
fn replicate(limits: &Limits, members: usize, per_swarm: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut node = |number: u64| {
        let mut registry = Registry::new(limits.clone(), &mut rng);
        let id = NodeId::new(number << 8).with_worker(0);
        let neighbours = Neighbours { workers: false, processes: true };
        registry.join_cluster(Mesh::new(id, neighbours, usize::MAX));
        registry
    };
    let (mut first, mut second) = (node(1), node(2));
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut out = Out::new();
    let start = Time::from_millis(1000);
    for number in 0..members {
        let ip = IpAddr::V4(Ipv4Addr::from(0x0b00_0000u32 + (number / 4) as u32));
        let Ok(conn) = first.connect(start, ip) else { return };
        first.handle(start, &mut rng, conn, &announce(number, number / per_swarm, 0), &mut out);
        out.clear();
    }
    let before = resident_bytes();
    let (mut frames, mut bytes, mut now) = (0, 0, start);
    let hearing = timed(|| {
        // Presence, the question for everything, and the repetition: a few turns of a second.
        for _ in 0..6 {
            now = now + Span::from_secs(1);
            out.clear();
            first.tick_cluster(now, &mut out);
            let mut told: Vec<Vec<u8>> = out.frames().map(|(_, frame)| frame.to_vec()).collect();
            while !told.is_empty() {
                frames += told.len();
                bytes += told.iter().map(Vec::len).sum::<usize>();
                out.clear();
                for frame in told.drain(..) {
                    second.hear(now, &mut rng, &frame, &mut out);
                }
                let asked: Vec<Vec<u8>> = out.frames().map(|(_, frame)| frame.to_vec()).collect();
                out.clear();
                for frame in asked {
                    first.hear(now, &mut rng, &frame, &mut out);
                }
                told.extend(
                    out.frames()
                        .filter(|(to, _)| matches!(to, Dest::Node(_)))
                        .map(|(_, frame)| frame.to_vec()),
                );
            }
        }
    });
    let swarms = members.div_ceil(per_swarm) as f64;
    let known = second.cluster().map_or(0, |(_, sizes)| sizes.members_away);
    let more = resident_bytes().saturating_sub(before) as f64;
    println!("a second node knows of {known} members in {swarms} swarms:");
    println!("  memory: {:.0} bytes per swarm, {:.2} per member", more / swarms, more / members as f64);
    println!(
        "  told in {frames} frames of {:.0} bytes, {:.1} bytes per swarm, {:.2} microseconds per swarm",
        bytes as f64 / frames.max(1) as f64,
        bytes as f64 / swarms,
        hearing.as_secs_f64() * 1e6 / swarms
    );
}
