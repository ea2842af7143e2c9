//! A run is decided by its seed; runs that once failed stay right.

use std::path::Path;

use hlswarm_sim::regression;
use hlswarm_sim::run::{RunResult, RunSetup};
use hlswarm_sim::scenario::Scenario;

fn scenario(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
    Scenario::load(&path).expect("the scenario is in the repository")
}

fn run(setup: &RunSetup) -> RunResult {
    setup.run().expect("the scenario is allowed")
}

#[test]
fn two_runs_of_one_seed_give_equal_logs() {
    let mut short = scenario("churn");
    short.length_s = 20.0;
    let setup = |seed, threads| RunSetup {
        threads,
        baseline: None,
        keep_log: true,
        ..RunSetup::new(short.clone(), 120, seed)
    };
    let first = run(&setup(1, 1));
    let again = run(&setup(1, 1));
    let threads = run(&setup(1, 3));
    let other = run(&setup(2, 1));
    assert!(first.log.len() > 1000, "{} lines", first.log.len());
    assert_eq!(first.log, again.log);
    assert_eq!(first.digest, again.digest);
    assert_eq!(first.log, threads.log);
    assert_eq!(first.digest, threads.digest);
    assert_ne!(first.digest, other.digest);
}

#[test]
fn without_peers_the_engine_plays_as_the_player_alone() {
    let mut short = scenario("vod");
    short.length_s = 60.0;
    let overrides = vec![("loader.useP2P".to_owned(), serde_json::Value::Bool(false))];
    let result = run(&RunSetup { overrides, ..RunSetup::new(short, 6, 3) });
    assert!(result.failures.is_empty(), "{result}");
    assert!(result.row.delivered_bytes > 0);
    assert_eq!(result.row.p2p_ratio, 0.0);
    assert_eq!(result.row.http_stalls, Some(0));
    assert_eq!(result.row.ended_s, 60.0);
}

#[test]
fn a_segment_spreads_more_slowly_when_only_whole_ones_are_passed_on() {
    let mut short = scenario("live");
    short.length_s = 60.0;
    let reach_ms = |whole_segments| {
        let of_seed = |seed| {
            let setup = RunSetup { whole_segments, baseline: None, ..RunSetup::new(short.clone(), 40, seed) };
            let result = run(&setup);
            assert!(result.failures.is_empty(), "{result}");
            result.row.reach_p50_ms.expect("segments appeared")
        };
        // Who happens to sit on which line counts for more than that: not with every seed does it show.
        (1..=3).map(of_seed).sum::<f64>() / 3.0
    };
    let (relayed, whole) = (reach_ms(false), reach_ms(true));
    assert!(whole > relayed + 100.0, "{whole} ms, and {relayed} ms when relayed while they arrive");
}

#[test]
fn runs_that_once_failed_hold() {
    for once in regression::read().expect("the list can be read") {
        let setup = RunSetup::new(scenario(&once.scenario), once.viewers, once.seed);
        let result = run(&setup);
        assert!(
            result.failures.is_empty(),
            "{result}it failed before: {}\nreplay: {}",
            once.because,
            setup.replay(&once.scenario)
        );
    }
}
