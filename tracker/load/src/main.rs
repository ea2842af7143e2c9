//! Load for WebTorrent trackers: many clients from one thread, JSON results with figures per CPU-second of the server.
//!
//! Speaks the protocol of every WebTorrent tracker, so that different ones can be compared in one run.

mod args;
mod client;
mod message;
mod process;
mod report;
mod rogue;
mod run;
mod tls;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    if let Err(problem) = args.check() {
        eprintln!("hlswarm-tracker-load: {problem}");
        return ExitCode::FAILURE;
    }
    // Where it cannot be raised, too many connections fail with an error that says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match run::run(&args) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hlswarm-tracker-load: {error}");
            ExitCode::FAILURE
        }
    }
}
