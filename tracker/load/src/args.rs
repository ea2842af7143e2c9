//! The command line.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Load for WebTorrent trackers. Bounded in number and time; prints one JSON object.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// The tracker. May be given several times: connections are spread over the nodes of a cluster.
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    pub(crate) target: Vec<SocketAddr>,
    /// Speak TLS. Certificates are not checked.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Process of the tracker, for its CPU time and memory.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Mode::Closed)]
    pub(crate) mode: Mode,
    /// Connections, 1 to 60,000.
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: usize,
    /// Members of each swarm.
    #[arg(long, default_value_t = 20)]
    pub(crate) swarm_size: usize,
    /// Offers in each announce.
    #[arg(long, default_value_t = 5)]
    pub(crate) offers: usize,
    /// Length of each offer's session description, in bytes.
    #[arg(long, default_value_t = 1400)]
    pub(crate) offer_bytes: usize,
    /// Length of each answer's session description, in bytes.
    #[arg(long, default_value_t = 800)]
    pub(crate) answer_bytes: usize,
    /// Open loop: announces per second over all connections.
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// How long, in seconds, 1 to 3600.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Before measuring, in seconds.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
    /// Connections from one loopback source address before the next is used.
    #[arg(long, default_value_t = 50)]
    pub(crate) per_source: usize,
    /// Never sleep: look at the sockets all the time. Latencies then hold no wake-up of the generator; needs a core of its
    /// own.
    #[arg(long)]
    pub(crate) busy_poll: bool,
    /// Connections that do not behave, beside the others, in the modes that have such.
    #[arg(long, default_value_t = 10)]
    pub(crate) rogues: usize,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Every connection announces again as soon as it has its reply: as fast as the tracker can.
    Closed,
    /// Announces come at `--rate`, whatever the tracker does.
    Open,
    /// Connections announce once and then do nothing: memory per connection.
    Idle,
    /// Connections connect, announce and close, over and over: accepts per CPU-second.
    Storm,
    /// One connection sends 500 announces in one go: are all answered?
    Burst,
    /// Open loop, while others announce as fast as they can.
    Flood,
    /// Open loop, while others send garbage as fast as they can.
    Garbage,
    /// Open loop, while others offer and never read.
    SlowReaders,
    /// Open loop, while others connect and close as fast as they can, from one address.
    Churn,
    /// The same, each time from another address.
    Spread,
    /// Open loop, while others open connections by the hundred and send a byte of their handshake each second.
    Slowloris,
    /// Open loop, while others send megabytes of messages as fast as they can.
    Bytes,
    /// Open loop, while others aim all their offers at one honest member.
    OneReceiver,
}

impl Args {
    /// Checks the bounds.
    pub(crate) fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("--{name} is {value}; allowed is {least} to {most}"))
        };
        within("connections", self.connections as u64, 1, 60_000)?;
        within("swarm-size", self.swarm_size as u64, 1, 60_000)?;
        within("offers", self.offers as u64, 0, 10)?;
        within("offer-bytes", self.offer_bytes as u64, 1, 8192)?;
        within("answer-bytes", self.answer_bytes as u64, 1, 8192)?;
        within("seconds", self.seconds, 1, 3600)?;
        within("warm-up", self.warm_up, 0, 600)?;
        within("per-source", self.per_source as u64, 1, 60_000)?;
        within("rogues", self.rogues as u64, 0, 1000)?;
        if !(self.rate > 0.0 && self.rate <= 1e6) {
            return Err(format!("--rate is {}; allowed is more than 0, up to 1,000,000", self.rate));
        }
        Ok(())
    }

    /// Whether some connections do not behave.
    pub(crate) fn has_rogues(&self) -> bool {
        matches!(
            self.mode,
            Mode::Flood
                | Mode::Garbage
                | Mode::SlowReaders
                | Mode::Churn
                | Mode::Spread
                | Mode::Slowloris
                | Mode::Bytes
                | Mode::OneReceiver
        )
    }

    /// How many connections do not behave: a slow handshake needs many to be felt.
    pub(crate) fn rogue_connections(&self) -> usize {
        self.rogues * if self.mode == Mode::Slowloris { 100 } else { 1 }
    }
}
