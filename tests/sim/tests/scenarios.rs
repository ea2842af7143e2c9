//! Each scenario in the repository, small: all assertions hold and peers carry something.

use std::path::Path;

use hlswarm_sim::run::RunSetup;
use hlswarm_sim::scenario::Scenario;

fn holds(name: &str, viewers: u32, length_s: f64) {
    holds_with(name, viewers, length_s, 1);
}

fn holds_with(name: &str, viewers: u32, length_s: f64, seed: u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
    let mut scenario = Scenario::load(&path).expect("the scenario is in the repository");
    scenario.length_s = length_s;
    let setup = RunSetup::new(scenario, viewers, seed);
    let result = setup.run().expect("the scenario is allowed");
    assert!(result.failures.is_empty(), "{result}replay: {}", setup.replay(name));
    assert!(result.row.p2p_ratio > 0.2, "{name}: peers carried {:.3}", result.row.p2p_ratio);
}

#[test]
fn vod_holds() {
    holds("vod", 12, 120.0);
}

#[test]
fn viewers_in_step_hold() {
    holds("at-once", 5, 180.0);
}

#[test]
fn viewers_whose_turns_are_as_far_apart_as_they_are_hold() {
    holds_with("in-turn", 5, 64.0, 32);
}

#[test]
fn flash_crowd_holds() {
    holds("flash-crowd", 40, 40.0);
}

#[test]
fn live_holds() {
    holds("live", 12, 60.0);
}

#[test]
fn churn_holds() {
    holds("churn", 12, 60.0);
}

#[test]
fn a_reset_of_media_sequence_numbers_holds() {
    holds("faults/sequence-reset", 12, 60.0);
}

#[test]
fn clocks_that_are_wrong_by_an_hour_hold() {
    holds("faults/clocks-wrong", 12, 60.0);
}
