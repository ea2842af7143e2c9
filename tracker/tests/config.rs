//! The settings file: the committed sample is the truth, and every mistake is named.

use std::path::{Path, PathBuf};

use hlswarm_tracker::config::Config;

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn problem(name: &str, text: &str) -> String {
    Config::read(&file(name, text)).unwrap_err().to_string()
}

#[test]
fn the_committed_sample_is_what_the_program_prints() {
    let committed =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("hlswarm-tracker.toml")).unwrap();
    assert_eq!(
        committed,
        Config::sample(),
        "run `cargo run -p hlswarm-tracker -- --print-config > tracker/hlswarm-tracker.toml`"
    );
}

#[test]
fn the_sample_reads_back_as_the_defaults() {
    assert_eq!(Config::read(&file("sample.toml", &Config::sample())).unwrap(), Config::default());
}

#[test]
fn every_setting_is_documented_in_the_sample() {
    let sample = Config::sample();
    let values: toml::Table = toml::from_str(&sample).unwrap();
    let mut settings = 0;
    for (_, table) in &values {
        for name in table.as_table().unwrap().keys() {
            let line = format!("\n{name} = ");
            let before = sample.split(&line).next().unwrap();
            assert!(before.lines().last().unwrap().starts_with("# "), "{name} has no documentation");
            settings += 1;
        }
    }
    assert!(settings > 50, "{settings}");
}

#[test]
fn a_wrong_key_is_named() {
    let error = problem("key.toml", "[server]\nlisten_on = [\"127.0.0.1:1\"]\n");
    assert!(error.contains("listen_on") && error.contains("line 2"), "{error}");
    let error = problem("table.toml", "[sever]\n");
    assert!(error.contains("sever") && error.contains("server"), "{error}");
}

#[test]
fn a_wrong_type_is_named() {
    let error = problem("type.toml", "[limits]\nsdp_bytes = \"much\"\n");
    assert!(error.contains("sdp_bytes") && error.contains("much") && error.contains("usize"), "{error}");
}

#[test]
fn a_wrong_value_names_field_value_and_what_is_allowed() {
    for (name, text, expected) in [
        ("v1", "[limits]\ninterval_secs = 0", "limits.interval_secs is 0; allowed is at least 1"),
        (
            "v2",
            "[limits]\npeer_age_secs = 120",
            "limits.peer_age_secs is 120; allowed is more than limits.interval_secs, which is 120",
        ),
        ("v3", "[limits]\nmessage_bytes = 10", "limits.message_bytes is 10; allowed is 1024 to 16777216"),
        (
            "v4",
            "[limits]\naccepts_per_second = -1",
            "limits.accepts_per_second is -1; allowed is a number of at least 0",
        ),
        ("v5", "[tls]\nkey = \"k\"", "tls.certificate is \"\"; allowed is a PEM file, since tls.key is set"),
        ("v6", "[server]\nlisten = []", "server.listen is []; allowed is at least one address"),
        ("v7", "[log]\nlines_per_second = 0", "log.lines_per_second is 0; allowed is a number above 0"),
    ] {
        assert_eq!(problem(&format!("{name}.toml"), text), expected);
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::read(Path::new("/nonexistent/tracker.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/tracker.toml: "), "{error}");
}
