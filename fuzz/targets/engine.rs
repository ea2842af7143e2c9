//! The whole engine under whatever a page, an origin, trackers and peers may do, in any order.
//!
//! The input is a list of decisions: what happens next, and with which numbers. Most of what it says is well-formed, so
//! that it gets past the first check; some is not. After each step the shell in `engine/shell.rs` holds the engine to its
//! contract.
#![no_main]

#[path = "engine/actions.rs"]
mod actions;
#[path = "engine/shell.rs"]
mod shell;

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(mut shell) = actions::start(&mut input) else { return };
    // Running out of decisions ends it.
    while !input.is_empty() && actions::step(&mut shell, &mut input).is_ok() {}
    shell.end();
});
