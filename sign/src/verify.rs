//! Holds a folder against its sidecars.

use std::collections::BTreeMap;
use std::fs;

use ed25519_dalek::{Signature, VerifyingKey};
use hlswarm::integrity::sidecar::{self, Batch, Record};
use hlswarm::integrity::{key_id, stream_id};

use crate::signing::{record_of, sidecar_path};
use crate::tree::{Media, Tree};

/// What was found in a playlist's sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments whose records are signed and right.
    pub right: usize,
    /// What is wrong, for people.
    pub problems: Vec<String>,
}

/// Checks signatures, chains and every segment that a playlist lists.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(tree: &Tree, media: &Media, key: &VerifyingKey, stream: &str) -> Result<Report, String> {
    let path = sidecar_path(&media.file);
    let shown = path.display();
    let bytes = fs::read(&path).map_err(|error| format!("{shown}: {error}"))?;
    let batches = sidecar::read(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    let mut report = Report::default();
    let mut records: BTreeMap<_, Record> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for signed in &batches {
        let batch = &signed.batch;
        let name = format!("{shown}: batch {} of track {}", batch.number, batch.track);
        let problem = if batch.stream != stream_id(stream) {
            Some("is of another stream")
        } else if batch.key_id != key_id(key.as_bytes()) {
            Some("is signed with another key")
        } else if key.verify_strict(&signed.message(), &Signature::from_bytes(&signed.signature)).is_err() {
            Some("has a wrong signature")
        } else if let Some((generation_ms, number, hash)) = last.get(&batch.track)
            && (*generation_ms != batch.generation_ms
                || batch.number <= *number
                || batch.number == number + 1 && batch.previous != *hash)
        {
            Some("does not continue the one before")
        } else {
            None
        };
        if let Some(problem) = problem {
            report.problems.push(format!("{name} {problem}"));
            continue;
        }
        last.insert(batch.track, (batch.generation_ms, batch.number, Batch::hash(&signed.body)));
        for record in &batch.records {
            records.insert(record.key(batch.track), record.clone());
        }
    }
    for segment in &media.segments {
        let (expected, _) = record_of(segment, &tree.read_segment(segment)?)?;
        for track in &media.tracks {
            match records.get(&expected.key(*track)) {
                Some(record) if *record == expected => report.right += 1,
                Some(_) => report.problems.push(format!("{}: not what was signed", segment.url)),
                None => report.problems.push(format!("{}: not signed", segment.url)),
            }
        }
    }
    Ok(report)
}
