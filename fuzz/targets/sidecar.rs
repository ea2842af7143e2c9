//! A sidecar is read whole or refused; what was read is written back to the same bytes, and records that are taken keep their
//! bounds.
#![no_main]

use hlswarm::integrity::records::Records;
use hlswarm::integrity::sidecar::{MAGIC, MAX_BATCH_RECORDS, read, read_bare, write};
use hlswarm::integrity::{block_count, root};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let with_magic = [&MAGIC[..], bytes].concat();
    for bytes in [bytes, &with_magic] {
        let Ok(batches) = read(bytes) else { continue };
        assert_eq!(write(&batches), bytes);
        for signed in batches {
            assert!((1..=MAX_BATCH_RECORDS).contains(&signed.batch.records.len()));
            for (record, blocks) in signed.batch.records.iter().zip(&signed.blocks) {
                assert_eq!(blocks.len() as u64, block_count(record.total_bytes.into()));
                assert_eq!(root(blocks), record.root);
            }
            let mut records = Records::new(signed.batch.stream);
            if records.admit(&signed, 0).is_ok() {
                let count = signed.batch.records.len();
                assert!(records.add(signed.clone()).0.len() <= count);
                assert!(records.admit(&signed, 0).is_err(), "taken twice");
            }
        }
    }
    let _ = read_bare(bytes);
});
