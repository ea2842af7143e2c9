//! One row of a table: a scenario with a number of viewers and a seed, with peers and without.

use std::fmt;

use serde_json::Value;

use hlswarm::config::IntegrityMode;

use crate::check::{check, options};
use crate::media::Catalog;
use crate::report::Row;
use crate::scenario::{Scenario, ScenarioError};
use crate::signed::Signed;
use crate::topology::profiles;
use crate::world::{Failure, Mode, Outcome, World, is_hostile, run};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunSetup {
    /// The scenario.
    pub scenario: Scenario,
    /// Viewers at once.
    pub viewers: u32,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Options laid over the scenario's: dotted path and value.
    pub overrides: Vec<(String, Value)>,
    /// The pages have a validator, so that viewers pass on whole segments only, as the stock library does.
    pub whole_segments: bool,
    /// Threads for the run with peers.
    pub threads: usize,
    /// What the run with peers is compared with; `None` leaves the comparison out.
    pub baseline: Option<Mode>,
    /// Keep the text of the log.
    pub keep_log: bool,
}

impl RunSetup {
    /// A run of `scenario` as its file gives it, on one thread.
    pub fn new(scenario: Scenario, viewers: u32, seed: u64) -> RunSetup {
        RunSetup {
            scenario,
            viewers,
            seed,
            overrides: Vec::new(),
            whole_segments: false,
            threads: 1,
            baseline: Some(Mode::Plain),
            keep_log: false,
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct RunResult {
    /// The figures.
    pub row: Row,
    /// Assertions that did not hold, first of all those of single moments.
    pub failures: Vec<Failure>,
    /// Hash of the log of the run with peers.
    pub digest: u64,
    /// The log's lines, when it was kept.
    pub log: Vec<String>,
}

impl RunSetup {
    fn world(&self, mode: Mode) -> Result<World, ScenarioError> {
        let scenario = self.scenario.clone();
        let config = options(&scenario, &self.overrides)?;
        let mut config_consume_only = config.clone();
        config_consume_only.loader.consume_only = true;
        let catalog = Catalog::new(&scenario, self.seed);
        let signed = Signed::new(&config, &catalog);
        // A page that has nothing else to go by asks its own validator.
        let has_validator =
            self.whole_segments || is_hostile(&scenario) && config.integrity.mode == IntegrityMode::Off;
        Ok(World {
            seed: self.seed,
            mode,
            catalog,
            profiles: profiles(&scenario, self.viewers, self.seed),
            config,
            config_consume_only,
            hostile: is_hostile(&scenario),
            has_validator,
            signed,
            keep_log: self.keep_log,
            lookahead_us: World::shortest_delay_us(&scenario),
            scenario,
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// When the scenario or an override is not allowed.
    pub fn run(&self) -> Result<RunResult, ScenarioError> {
        check(&self.scenario)?;
        let sut = self.world(Mode::P2p)?;
        let reference = self.baseline.map(|mode| self.world(mode)).transpose()?;
        // The reference is cheap; it runs beside the system under test when there is a thread to spare.
        let (outcome, expected) = std::thread::scope(|scope| {
            let handle = reference.as_ref().map(|world| scope.spawn(|| run(world, 1)));
            let outcome = run(&sut, self.threads);
            let expected = handle.map(|handle| match handle.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            (outcome, expected)
        });
        Ok(conclude(&sut, outcome, expected, self.viewers))
    }

    /// The command that repeats this run.
    pub fn replay(&self, scenario: &str) -> String {
        let mut overrides: String =
            self.overrides.iter().map(|(path, value)| format!(" --option {path}={value}")).collect();
        if self.whole_segments {
            overrides.push_str(" --whole-segments");
        }
        format!(
            "cargo run --release -p hlswarm-sim -- --scenario {scenario} --viewers {} --seed {}{overrides}",
            self.viewers, self.seed
        )
    }
}

fn conclude(world: &World, outcome: Outcome, expected: Option<Outcome>, viewers: u32) -> RunResult {
    let mut failures = outcome.failures.clone();
    let row = Row::new(world, &outcome, expected.as_ref(), viewers);
    if let Some(expected) = &expected {
        failures.extend(
            expected.failures.iter().map(|failure| Failure {
                what: format!("without peers: {}", failure.what),
                ..failure.clone()
            }),
        );
        if failures.is_empty() {
            crate::assertions::against_reference(world, &outcome, expected, &row, &mut failures);
        }
    }
    let log = outcome
        .log
        .iter()
        .map(|line| format!("{:12.6} {:>6} {}", line.at_us as f64 / 1e6, line.actor, line.text))
        .collect();
    RunResult { row, failures, digest: outcome.digest, log }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED {failure}")?;
        }
        Ok(())
    }
}
