//! What is wrong with an options object.

use std::fmt;

use super::sections;
use crate::json::Value;

/// An options object that cannot be used: every problem in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one problem, in the order of the object's keys.
    pub problems: Vec<Problem>,
}

/// One problem in an options object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The option, e.g. `loader.httpDownloadProbability`.
    pub path: String,
    /// What was given, as JSON, cut to a readable length.
    pub value: String,
    /// What is wrong.
    pub what: ProblemKind,
}

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The value is not allowed.
    Value {
        /// What is, as it follows "it must be".
        allowed: String,
    },
    /// There is no such option.
    Unknown {
        /// The full path of the option with the nearest name, or what may stand here.
        hint: String,
    },
}

/// A text about a problem. Without the feature `words` it is left empty, and what would have made it is left out.
macro_rules! words {
    ($($text:tt)+) => {
        if cfg!(feature = "words") { format!($($text)+) } else { String::new() }
    };
}
pub(super) use words;

impl Problem {
    pub(super) fn value(path: String, value: &Value, allowed: String) -> Problem {
        if !cfg!(feature = "words") {
            return Problem::unsaid();
        }
        Problem { path, value: excerpt(value), what: ProblemKind::Value { allowed } }
    }

    fn unsaid() -> Problem {
        let allowed = String::new();
        Problem { path: String::new(), value: String::new(), what: ProblemKind::Value { allowed } }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { path, value, what } = self;
        match what {
            ProblemKind::Value { allowed } => {
                write!(f, "{path}: {value} is not allowed; it must be {allowed}")
            }
            ProblemKind::Unknown { hint } => {
                write!(f, "{path}: there is no such option (given: {value}); {hint}")
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "words") {
            return f.write_str("the options are not allowed, and what would say why could not be loaded");
        }
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The problem of a key that is no option of `section` (empty: the top level).
pub(super) fn unknown(section: &str, key: &str, value: &Value, keys: &[&str]) -> Problem {
    if !cfg!(feature = "words") {
        return Problem::unsaid();
    }
    let shown = if key.is_empty() { "\"\"" } else { key };
    let path = if section.is_empty() { shown.to_owned() } else { format!("{section}.{shown}") };
    let here = nearest(key, keys).map(|(distance, near)| {
        (distance, if section.is_empty() { near.to_owned() } else { format!("{section}.{near}") })
    });
    let elsewhere = sections().into_iter().filter(|(name, _)| *name != section).filter_map(|(name, keys)| {
        nearest(key, keys).map(|(distance, near)| (distance, format!("{name}.{near}")))
    });
    // At equal distance the option of the same section comes first and is taken.
    let hint = match here.into_iter().chain(elsewhere).min_by_key(|(distance, _)| *distance) {
        Some((_, near)) => format!("did you mean {near}?"),
        None if section.is_empty() => format!("allowed here: {}", keys.join(", ")),
        None => format!("the options of {section} are {}", keys.join(", ")),
    };
    Problem { path: excerpt_text(&path), value: excerpt(value), what: ProblemKind::Unknown { hint } }
}

/// The known key that `key` probably means, with its distance in letters.
fn nearest<'a>(key: &str, keys: &[&'a str]) -> Option<(usize, &'a str)> {
    if key.len() > 64 {
        return None;
    }
    let (distance, near) =
        keys.iter().map(|known| (letters_apart(key, known), *known)).min_by_key(|(distance, _)| *distance)?;
    (distance <= 2.max(near.len() / 4).min(near.len() / 2)).then_some((distance, near))
}

/// Levenshtein distance: letters to insert, remove or replace, whatever their case.
fn letters_apart(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            let replaced = diagonal + usize::from(!letter.eq_ignore_ascii_case(&other));
            *cell = replaced.min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn excerpt(value: &Value) -> String {
    excerpt_text(&value.to_string())
}

/// At most 100 characters of a text that the page or a stranger chose.
fn excerpt_text(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
