//! The list of runs that once failed. `cargo test` runs each of them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::scenario::ScenarioError;

/// One run that once failed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// Name of the scenario.
    pub scenario: String,
    /// Viewers at once.
    pub viewers: u32,
    /// The seed.
    pub seed: u64,
    /// What failed, for people.
    pub because: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    run: Vec<Regression>,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions.toml")
}

/// Reads the list.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn read() -> Result<Vec<Regression>, ScenarioError> {
    let text = std::fs::read_to_string(path()).map_err(|error| fail(&error))?;
    let list: List = toml::from_str(&text).map_err(|error| fail(&error))?;
    Ok(list.run)
}

/// Puts a run on the list, unless it is there.
///
/// # Errors
/// When the file cannot be read or written.
pub fn append(scenario: &str, viewers: u32, seed: u64, because: &str) -> Result<(), ScenarioError> {
    if read()?.iter().any(|run| (run.scenario.as_str(), run.viewers, run.seed) == (scenario, viewers, seed)) {
        return Ok(());
    }
    let mut text = std::fs::read_to_string(path()).map_err(|error| fail(&error))?;
    let because = because.replace(['"', '\\', '\n'], " ");
    text += &format!(
        "\n[[run]]\nscenario = \"{scenario}\"\nviewers = {viewers}\nseed = {seed}\nbecause = \"{because}\"\n"
    );
    std::fs::write(path(), text).map_err(|error| fail(&error))
}

fn fail(error: &dyn std::fmt::Display) -> ScenarioError {
    ScenarioError(format!("{}: {error}", path().display()))
}
