//! The tracker's command line.

mod mint;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hlswarm_tracker::config::{Config, ConfigError, LogFormat, LogSettings};
use hlswarm_tracker::server::{Server, StartError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// WebTorrent tracker for viewers of HLS streams.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Where viewers connect, instead of `server.listen` of the settings. May be given several times. Port 0 takes a
    /// free port; the bound addresses are printed.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// NATS server that several trackers talk over, instead of `cluster.urls` of the settings. May be given several
    /// times.
    #[arg(long, value_name = "nats://HOST:PORT")]
    cluster: Vec<String>,
    /// Settings as a TOML file. SIGHUP reads it again.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print every setting with its documentation and default, and exit.
    #[arg(long)]
    print_config: bool,
    /// Check the settings and exit.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    MintToken(mint::MintToken),
}

impl Arguments {
    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if !self.listen.is_empty() {
            config.server.listen.clone_from(&self.listen);
        }
        if !self.cluster.is_empty() {
            config.cluster.urls.clone_from(&self.cluster);
        }
        config.validate()?;
        Ok(config)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hlswarm-tracker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), StartError> {
    if let Some(Verb::MintToken(mint)) = &arguments.verb {
        print(&format!("{}\n", mint.mint(unix_s())?));
        return Ok(());
    }
    if arguments.print_config {
        print(&Config::sample());
        return Ok(());
    }
    let config = arguments.config()?;
    if arguments.check {
        Server::check(config)?;
        print("the settings are good\n");
        return Ok(());
    }
    start_log(&config.log)?;
    raise_descriptor_limit();
    // Before the workers start: a signal in between must not end the process.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let server = Server::start(config, move || handle.close())?;
    for place in server.bound() {
        print(&format!("listening on {place}\n"));
        tracing::info!(place, "listening");
    }
    tracing::info!("serving");
    let mut draining = false;
    for signal in signals.forever() {
        match signal {
            SIGHUP => reload(arguments, &server),
            SIGTERM if !draining => {
                draining = true;
                tracing::info!("draining");
                server.drain();
            }
            _ => {
                tracing::info!("stopping");
                server.stop();
            }
        }
    }
    server.wait()?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "tokens expire by the time of day")]
fn unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One descriptor for each viewer: takes as many as the system allows this process.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(descriptors) => tracing::debug!(descriptors, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors stays as it is"),
    }
}

fn reload(arguments: &Arguments, server: &Server) {
    match arguments.config().and_then(|config| server.reload(config)) {
        Ok(()) => tracing::info!("settings read again"),
        Err(error) => tracing::error!(%error, "settings not read again, the old ones stay"),
    }
}

fn print(text: &str) {
    // Whoever started the tracker may have closed its output; that is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn start_log(settings: &LogSettings) -> Result<(), ConfigError> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.level).map_err(|_| ConfigError::Value {
        field: "log.level".into(),
        value: format!("{:?}", settings.level),
        allowed: "error, warn, info, debug, trace, or directives as RUST_LOG takes them".into(),
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
    Ok(())
}
