//! Runs scenarios and prints a table. `--help` says how.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hlswarm_sim::regression;
use hlswarm_sim::report::{Row, fault_table, table};
use hlswarm_sim::run::{RunResult, RunSetup};
use hlswarm_sim::scenario::Scenario;
use hlswarm_sim::world::Mode;
use lexopt::prelude::*;

/// Engines allocate and free small pieces all the time, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Simulates swarms of real engines in simulated time and prints a table.

usage: npm run sim -- [options]

  --scenario NAME|FILE   a file, or the name of a file or folder in tests/sim/scenarios, e.g. faults; may be
                         repeated
                         (default: vod, live, flash-crowd, churn)
  --viewers N,N,...      viewers at once, one row each (default: the scenario's)
  --seed S               first seed (default: the scenario's)
  --seeds N              run N seeds in a row (default 1)
  --length S             simulated seconds (default: the scenario's)
  --option PATH=VALUE    an hlswarm option over the scenario's, e.g. loader.coordination=random; may be repeated
  --whole-segments       viewers pass on whole segments only, as the stock library does: the pages have a validator
  --baseline KIND        compare with: plain (the player alone), http-only (hlswarm without peers), none
                         (default plain)
  --table KIND           which columns: all, or faults (stalls, wrong buffers, recovery) (default all)
  --threads N            threads for each run (default: 2, never more than the machine has); changes no result
  --json FILE            write the figures as JSON
  --log FILE             write what every viewer did; for small runs
  --keep-failing         put failing seeds into tests/sim/regressions.toml, which `cargo test` runs
  --list                 list the scenarios
  --help                 this text

Exit status: 0 all assertions held, 1 some did not, 2 wrong usage.
";

struct Args {
    scenarios: Vec<String>,
    viewers: Option<Vec<u32>>,
    seed: Option<u64>,
    seeds: u64,
    length_s: Option<f64>,
    overrides: Vec<(String, serde_json::Value)>,
    whole_segments: bool,
    baseline: Option<Mode>,
    table: fn(&[Row]) -> String,
    threads: usize,
    json: Option<PathBuf>,
    log: Option<PathBuf>,
    keep_failing: bool,
    list: bool,
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return usage(&error.to_string()),
    };
    if args.list {
        return list();
    }
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => usage(&error),
    }
}

fn usage(error: &str) -> ExitCode {
    eprintln!("hlswarm-sim: {error}\nSee --help.");
    ExitCode::from(2)
}

fn parse() -> Result<Option<Args>, lexopt::Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut args = Args {
        scenarios: Vec::new(),
        viewers: None,
        seed: None,
        seeds: 1,
        length_s: None,
        overrides: Vec::new(),
        whole_segments: false,
        baseline: Some(Mode::Plain),
        table,
        threads: cores.min(2),
        json: None,
        log: None,
        keep_failing: false,
        list: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("scenario") => args.scenarios.push(parser.value()?.string()?),
            Long("viewers") => args.viewers = Some(viewers(&parser.value()?.string()?)?),
            Long("seed") => args.seed = Some(parser.value()?.parse()?),
            Long("seeds") => args.seeds = parser.value()?.parse()?,
            Long("length") => args.length_s = Some(parser.value()?.parse()?),
            Long("option") => args.overrides.push(option(&parser.value()?.string()?)?),
            Long("whole-segments") => args.whole_segments = true,
            Long("baseline") => args.baseline = baseline(&parser.value()?.string()?)?,
            Long("table") => args.table = table_kind(&parser.value()?.string()?)?,
            Long("threads") => args.threads = parser.value()?.parse()?,
            Long("json") => args.json = Some(parser.value()?.into()),
            Long("log") => args.log = Some(parser.value()?.into()),
            Long("keep-failing") => args.keep_failing = true,
            Long("list") => args.list = true,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if args.threads == 0 || args.threads > 64 {
        return Err(format!("--threads {}: allowed is 1 to 64", args.threads).into());
    }
    if args.seeds == 0 {
        return Err("--seeds 0: allowed is 1 or more".into());
    }
    Ok(Some(args))
}

fn viewers(text: &str) -> Result<Vec<u32>, lexopt::Error> {
    let parse = |part: &str| match part.trim().parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err(format!("--viewers {text}: {part:?} is not allowed; allowed is 1 to 1000000").into()),
    };
    text.split(',').map(parse).collect()
}

fn option(text: &str) -> Result<(String, serde_json::Value), lexopt::Error> {
    let (path, value) =
        text.split_once('=').ok_or_else(|| format!("--option {text}: expected PATH=VALUE"))?;
    // What is no JSON is a word.
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((path.to_owned(), value))
}

fn baseline(text: &str) -> Result<Option<Mode>, lexopt::Error> {
    match text {
        "plain" => Ok(Some(Mode::Plain)),
        "http-only" => Ok(Some(Mode::HttpOnly)),
        "none" => Ok(None),
        _ => Err(format!("--baseline {text}: allowed is plain, http-only or none").into()),
    }
}

fn table_kind(text: &str) -> Result<fn(&[Row]) -> String, lexopt::Error> {
    match text {
        "all" => Ok(table),
        "faults" => Ok(fault_table),
        _ => Err(format!("--table {text}: allowed is all or faults").into()),
    }
}

fn scenario_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The scenario files that a name on the command line stands for, each with the name that leads back to it.
fn find(name: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let path = PathBuf::from(name);
    if path.extension().is_some() {
        return Ok(vec![(name.to_owned(), path)]);
    }
    let folder = scenario_dir().join(name);
    if !folder.is_dir() {
        return Ok(vec![(name.to_owned(), scenario_dir().join(format!("{name}.toml")))]);
    }
    let files = in_folder(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let named = files.into_iter().filter_map(|path| {
        let stem = path.file_stem()?.to_str()?.to_owned();
        Some((format!("{name}/{stem}"), path))
    });
    Ok(named.collect())
}

/// The scenario files in a folder, in order.
fn in_folder(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let paths: BTreeSet<PathBuf> = paths.collect::<Result<_, _>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect())
}

fn list() -> ExitCode {
    for (folder, prefix) in [(scenario_dir(), ""), (scenario_dir().join("faults"), "faults/")] {
        for path in in_folder(&folder).into_iter().flatten() {
            match Scenario::load(&path) {
                Ok(scenario) => println!("{:32} {}", format!("{prefix}{}", scenario.name), scenario.about),
                Err(error) => return usage(&error.to_string()),
            }
        }
    }
    ExitCode::SUCCESS
}

fn run(args: &Args) -> Result<bool, String> {
    let default = ["vod", "live", "flash-crowd", "churn"].map(str::to_owned);
    let names = if args.scenarios.is_empty() { default.as_slice() } else { &args.scenarios };
    let mut scenarios = Vec::new();
    for (name, path) in names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?.concat() {
        scenarios.push((name, Scenario::load(&path).map_err(|error| error.to_string())?));
    }
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    let mut log = String::new();
    for (name, scenario) in &scenarios {
        let counts = args.viewers.as_ref().unwrap_or(&scenario.viewers.count).clone();
        let first_seed = args.seed.unwrap_or(scenario.seed);
        for viewers in counts {
            for seed in first_seed..first_seed.saturating_add(args.seeds) {
                let mut setup = RunSetup::new(scenario.clone(), viewers, seed);
                setup.overrides.clone_from(&args.overrides);
                setup.whole_segments = args.whole_segments;
                setup.scenario.length_s = args.length_s.unwrap_or(setup.scenario.length_s);
                setup.baseline = args.baseline;
                setup.threads = args.threads;
                setup.keep_log = args.log.is_some();
                let (row, result) = run_row(&setup)?;
                eprint!("{}", progress(&row, &result));
                if !result.failures.is_empty() {
                    eprintln!("replay: {}", setup.replay(name));
                    failed.push((name.clone(), viewers, seed, result.failures[0].to_string()));
                }
                for line in &result.log {
                    let _ = writeln!(log, "{line}");
                }
                rows.push(row);
            }
        }
    }
    println!("{}", (args.table)(&rows));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
        write(path, &text)?;
    }
    if let Some(path) = &args.log {
        write(path, &log)?;
    }
    if args.keep_failing {
        for (name, viewers, seed, because) in &failed {
            regression::append(name, *viewers, *seed, because).map_err(|error| error.to_string())?;
        }
    }
    Ok(failed.is_empty())
}

// The wall clock is read only to say how long a row took.
#[allow(clippy::disallowed_methods)]
fn run_row(setup: &RunSetup) -> Result<(Row, RunResult), String> {
    let begun = (std::time::Instant::now(), processor_s());
    let result = setup.run().map_err(|error| error.to_string())?;
    let mut row = result.row.clone();
    row.wall_s = begun.0.elapsed().as_secs_f64();
    row.cpu_s = begun.1.zip(processor_s()).map(|(before, after)| after - before);
    row.options = setup.overrides.iter().map(|(path, value)| format!("{path}={value}")).collect();
    row.options.extend(setup.whole_segments.then(|| "whole segments".to_owned()));
    Ok((row, result))
}

/// Processor time that this process has had so far, as Linux tells it.
fn processor_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; the 12th and 13th field after it are ticks in user and system mode.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<f64> =
        fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>().ok()?;
    // `USER_HZ`, which is 100 on every architecture that matters.
    Some(ticks.iter().sum::<f64>() / 100.0)
}

fn progress(row: &Row, result: &RunResult) -> String {
    let per = |seconds: f64| row.viewer_s / seconds.max(1e-9);
    let cpu =
        row.cpu_s.map_or_else(String::new, |cpu| format!(", {:.0} a second of processor time", per(cpu)));
    format!(
        "{} with {} viewers, seed {}: {:.1} s, {:.1} M events, {:.0} viewer-seconds: {:.0} a second{cpu}; log {:016x}\n{result}",
        row.scenario,
        row.viewers,
        row.seed,
        row.wall_s,
        row.events as f64 / 1e6,
        row.viewer_s,
        per(row.wall_s),
        result.digest
    )
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
