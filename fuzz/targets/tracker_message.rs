//! A tracker's message is one that we know or an error.
#![no_main]

use hlswarm::signal::message::TrackerMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = TrackerMessage::parse(text) {
        assert!(!error.to_string().is_empty());
    }
});
