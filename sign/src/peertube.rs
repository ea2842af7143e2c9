//! PeerTube's `segments-sha256.json`: the SHA-256 of each file, or of each byte range of a file, as hexadecimal text by
//! file name: `{ "0-360.mp4": { "0-1231": "…" }, "1-000004.ts": "…" }`. Ranges are inclusive.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hlswarm::engine::SegmentInfo;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::keys::to_hex;

/// Hashes by file name, and by byte range where there are several in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes(BTreeMap<(String, Option<String>), String>);

impl Hashes {
    /// Reads PeerTube's file.
    ///
    /// # Errors
    /// When it cannot be read, or says where it is something else.
    pub fn read(path: &Path) -> Result<Hashes, String> {
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let text = fs::read_to_string(path).map_err(|error| fail(&error))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| fail(&error))?;
        let files = value.as_object().ok_or_else(|| fail(&"an object of file names is needed"))?;
        let mut hashes = Hashes::default();
        for (name, entry) in files {
            match entry {
                Value::String(hash) => hashes.add(name, None, hash).map_err(|why| fail(&why))?,
                Value::Object(ranges) => {
                    for (range, hash) in ranges {
                        let hash = hash.as_str().unwrap_or_default();
                        hashes.add(name, Some(range), hash).map_err(|why| fail(&why))?;
                    }
                }
                _ => return Err(fail(&format!("{name}: a hash or an object of byte ranges is needed"))),
            }
        }
        Ok(hashes)
    }

    fn add(&mut self, name: &str, range: Option<&str>, hash: &str) -> Result<(), String> {
        let fits = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !fits {
            return Err(format!("{name}: {hash:?} is no SHA-256 of 64 hexadecimal digits"));
        }
        let place = (name.to_owned(), range.map(str::to_owned));
        self.0.insert(place, hash.to_ascii_lowercase());
        Ok(())
    }

    /// Adds a segment.
    ///
    /// # Errors
    /// When another file of the same name has other bytes: the format knows names only, and no folders.
    pub fn insert(&mut self, segment: &SegmentInfo, bytes: &[u8]) -> Result<(), String> {
        let place = place_of(segment);
        let hash = to_hex(&Sha256::digest(bytes));
        match self.0.insert(place.clone(), hash.clone()) {
            Some(other) if other != hash => Err(format!(
                "{}: two files of this name differ, and segments-sha256.json knows no folders",
                place.0
            )),
            _ => Ok(()),
        }
    }

    /// Whether there is a hash for a segment.
    pub fn lists(&self, segment: &SegmentInfo) -> bool {
        self.0.contains_key(&place_of(segment))
    }

    /// Whether a segment has its hash.
    ///
    /// # Errors
    /// Names the segment when it is not listed or has another hash.
    pub fn check(&self, segment: &SegmentInfo, bytes: &[u8]) -> Result<(), String> {
        let place = place_of(segment);
        let shown = place.1.as_ref().map_or_else(|| place.0.clone(), |range| format!("{} {range}", place.0));
        match self.0.get(&place) {
            None => Err(format!("{shown}: not listed in segments-sha256.json")),
            Some(hash) if *hash == to_hex(&Sha256::digest(bytes)) => Ok(()),
            Some(_) => Err(format!("{shown}: not the bytes that segments-sha256.json lists")),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As PeerTube writes it.
    pub fn to_json(&self) -> String {
        let mut files = Map::new();
        for ((name, range), hash) in &self.0 {
            let hash = Value::String(hash.clone());
            match range {
                None => drop(files.insert(name.clone(), hash)),
                Some(range) => {
                    let ranges = files.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(ranges) = ranges {
                        ranges.insert(range.clone(), hash);
                    }
                }
            }
        }
        Value::Object(files).to_string()
    }
}

fn place_of(segment: &SegmentInfo) -> (String, Option<String>) {
    let path = segment.url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    (name, segment.byte_range.map(|range| format!("{}-{}", range.start, range.end - 1)))
}
