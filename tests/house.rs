//! The dependency table of ARCHITECTURE.md, held against the sources: which module may use which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of the engine may use. `schedule`, `swarm` and `signal` know nothing of each other: what one has to
/// say to another goes through the engine.
const TABLE: &[(&str, &[&str])] = &[
    ("sorted", &[]),
    ("time", &[]),
    ("random", &[]),
    ("sha1", &[]),
    ("sha256", &[]),
    ("id", &["sha1"]),
    ("json", &[]),
    ("config", &["time", "id", "json"]),
    ("integrity", &["sorted", "time", "sha256", "id", "config"]),
    ("wire", &["sorted", "time", "id", "config"]),
    ("signal", &["sorted", "time", "random", "id", "json", "config"]),
    ("timeline", &["sorted", "time", "id", "config"]),
    ("cache", &["sorted", "time", "id", "config"]),
    ("playlist", &["sorted", "time", "id", "config", "timeline"]),
    ("schedule", &["sorted", "time", "id", "config", "integrity", "wire", "timeline", "cache"]),
    ("swarm", &["sorted", "time", "random", "id", "config", "wire", "timeline", "cache"]),
    ("interop", &["sorted", "time", "sha1", "id", "json", "config", "wire", "timeline", "swarm"]),
    (
        "engine",
        &[
            "sorted",
            "time",
            "random",
            "id",
            "config",
            "integrity",
            "wire",
            "signal",
            "timeline",
            "cache",
            "playlist",
            "schedule",
            "swarm",
            "interop",
        ],
    ),
    (
        "web",
        &[
            "sorted",
            "time",
            "id",
            "json",
            "config",
            "integrity",
            "wire",
            "timeline",
            "playlist",
            "interop",
            "engine",
        ],
    ),
];

/// These define the contract's types. They are vocabulary, and every module may speak it.
const VOCABULARY: &[&str] = &["src/engine/io.rs", "src/engine/event.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The top-level module that a file belongs to: `src/wire/decode.rs` and `src/wire.rs` are both of `wire`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

/// Source without line comments: words in prose are no dependencies.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The paths that stand behind a prefix such as `crate::`, as (first, second) segments, groups unfolded.
fn paths_behind(code: &str, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        for first in unfold(&code[at + prefix.len()..]) {
            let (name, rest) = split_word(&first);
            match rest.strip_prefix("::") {
                Some(rest) => {
                    found
                        .extend(unfold(rest).iter().map(|second| (name.into(), split_word(second).0.into())));
                }
                None => found.push((name.into(), String::new())),
            }
        }
    }
    found
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter| !is_word(letter)).unwrap_or(text.len()))
}

/// `{a::b, c}` becomes `a::b` and `c`; anything else stays as it is.
fn unfold(text: &str) -> Vec<String> {
    let Some(inner) = text.strip_prefix('{') else { return vec![text.to_string()] };
    let mut depth = 0;
    let mut items = vec![String::new()];
    for letter in inner.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = items.last_mut()
            && !(last.is_empty() && letter.is_whitespace())
        {
            last.push(letter);
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// The public types of the contract.
fn vocabulary() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in VOCABULARY {
        for line in fs::read_to_string(root().join(file)).unwrap().lines() {
            let line = line.trim_start();
            for kind in ["pub enum ", "pub struct ", "pub type "] {
                if let Some(rest) = line.strip_prefix(kind) {
                    names.insert(split_word(rest).0.to_string());
                }
            }
        }
    }
    names
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let vocabulary = vocabulary();
    assert!(vocabulary.contains("Output") && vocabulary.contains("Event"), "{vocabulary:?}");
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    let mut used = 0;
    for file in &files {
        let module = module_of(file);
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("{}: the module {module} is not in the table", file.display()));
            continue;
        };
        let code = code_of(file);
        let mut paths = paths_behind(&code, "crate::");
        // A chain of `super` that climbs out of the module is the same by another name.
        let climbing = paths_behind(&code, "super::super::");
        paths.extend(climbing.into_iter().filter(|(name, _)| table.contains_key(name.as_str())));
        for (name, item) in paths {
            if !table.contains_key(name.as_str()) || name == module {
                continue;
            }
            used += 1;
            let spoken = name == "engine" && (vocabulary.contains(&item) || item == "self");
            if !allowed.contains(&name.as_str()) && !spoken {
                wrong.push(format!("{}: {module} may not use {name}::{item}", file.display()));
            }
        }
    }
    assert!(used > 50, "only {used} uses found: the scan itself is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_groups_and_nested_paths() {
    let code = "use crate::{id::{LinkId, PeerId}, time::Time};\nlet x = crate::wire::encode(y); mycrate::no;";
    let found = paths_behind(code, "crate::");
    let expected = [("id", "LinkId"), ("id", "PeerId"), ("time", "Time"), ("wire", "encode")];
    assert_eq!(found, expected.map(|(a, b)| (a.to_string(), b.to_string())));
}

#[test]
fn the_table_has_no_circles_and_keeps_the_three_apart() {
    for (i, (module, uses)) in TABLE.iter().enumerate() {
        for used in *uses {
            let place = TABLE.iter().position(|(name, _)| name == used);
            assert!(place.is_some_and(|place| place < i), "{module} uses {used}, which comes after it");
        }
    }
    for module in ["schedule", "swarm", "signal"] {
        let uses = TABLE.iter().find(|(name, _)| *name == module).unwrap().1;
        assert!(!["schedule", "swarm", "signal"].iter().any(|other| uses.contains(other)), "{module}");
    }
}

#[test]
fn every_option_is_set_by_a_test() {
    let documented = fs::read_to_string(root().join("docs/options.md")).unwrap();
    let keys: Vec<&str> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`')?.0.split_once('.'))
        .map(|(_, key)| key)
        .collect();
    assert!(keys.len() > 80, "{} options in docs/options.md", keys.len());
    let mut files = Vec::new();
    rust_files(&root().join("tests"), &mut files);
    rust_files(&root().join("src"), &mut files);
    // What the options themselves promise says nothing of what they change.
    let is_test = |file: &&PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        !path.starts_with("src/config") && (path.starts_with("tests") || path.contains("tests"))
    };
    let mut texts: Vec<String> =
        files.iter().filter(is_test).map(|file| fs::read_to_string(file).unwrap()).collect();
    for folder in ["tests/browser", "js/test"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "mjs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let text = texts.join("\n");
    let is_set = |key: &&str| {
        let snake: String = key
            .replace("P2P", "P2p")
            .chars()
            .flat_map(|letter| {
                let under = letter.is_ascii_uppercase().then_some('_');
                under.into_iter().chain([letter.to_ascii_lowercase()])
            })
            .collect();
        text.contains(&format!("{key}\":"))
            || text.contains(&format!("{key}\"]"))
            || text.contains(&format!("{key}:"))
            || text.contains(&format!("{snake}: "))
            || text.contains(&format!("{snake} = "))
    };
    let unset: Vec<&str> = keys.into_iter().filter(|key| !is_set(key)).collect();
    assert!(unset.is_empty(), "no test sets {unset:?}");
}
