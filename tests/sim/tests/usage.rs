//! Errors of scenario files and of the command line say what is wrong and what is allowed.

use std::process::{Command, Output};

use hlswarm_sim::scenario::Scenario;

const SCENARIO: &str = include_str!("../scenarios/vod.toml");

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hlswarm-sim")).args(args).output().expect("the command starts")
}

#[test]
fn scenario_errors_name_the_field_the_value_and_what_is_allowed() {
    let cases = [
        (
            "segment_ms = 4000",
            "segment_ms = 10",
            "stream.segment_ms: 10 is not allowed; allowed is 200 to 60000",
        ),
        ("length_s = 180.0", "length_s = -1.0", "length_s: -1 is not allowed"),
        ("kind = \"vod\"", "kind = \"vhs\"", "unknown variant `vhs`, expected `vod` or `live`"),
        ("count = [10, 100, 1000]", "count = []", "viewers.count: [] is not allowed"),
        (
            "join_over_s = 60.0",
            "join_over_s = 999.0",
            "viewers.join_over_s: 999 is not allowed; allowed is 0 to 180",
        ),
        ("join_over_s = 60.0", "joins_over_s = 60.0", "unknown field `joins_over_s`"),
        ("delay_ms = [5, 15]", "delay_ms = [15, 5]", "[15, 5]: the low end comes first"),
        ("delay_ms = [5, 15]", "delay_ms = \"fast\"", "expected a number or a range [low, high]"),
        ("[player]", "[options.loader]\nuseP2p = 1\n[player]", "loader.useP2p"),
        ("[player]", "[[fault]]\nwhat = \"origin-status\"\nat_s = 1\n[player]", "fault[0].status"),
        (
            "[player]",
            "[[fault]]\nwhat = \"tracker-down\"\nat_s = 1\ntracker = 3\n[player]",
            "fault[0].tracker: 3",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(SCENARIO.contains(from), "{from}");
        let error = Scenario::parse(&SCENARIO.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn the_command_line_is_checked() {
    let cases: [(&[&str], &str); 8] = [
        (&["--viewers", "ten"], "\"ten\" is not allowed; allowed is 1 to 1000000"),
        (&["--viewers", "0"], "\"0\" is not allowed"),
        (&["--seed", "x"], "x"),
        (&["--scenario", "nowhere"], "nowhere.toml"),
        (&["--option", "loader.coordination"], "expected PATH=VALUE"),
        (&["--option", "loader.coordination=best"], "loader.coordination"),
        (&["--baseline", "magic"], "allowed is plain, http-only or none"),
        (&["--frobnicate"], "--frobnicate"),
    ];
    for (args, expected) in cases {
        let output = sim(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn a_run_says_how_fast_it_was() {
    let output = sim(&["--scenario", "live", "--viewers", "2", "--length", "40", "--baseline", "none"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(" viewer-seconds: "), "{told}");
    let seconds: f64 = told
        .split(" viewer-seconds")
        .next()
        .and_then(|text| text.rsplit(' ').next()?.parse().ok())
        .expect(&told);
    // Two viewers who join within 30 s of 40.
    assert!((20.0..=80.0).contains(&seconds), "{told}");
}

#[test]
fn help_and_list_work() {
    let help = sim(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--scenario"));
    let list = sim(&["--list"]);
    assert!(list.status.success());
    assert!(String::from_utf8_lossy(&list.stdout).contains("flash-crowd"));
}
