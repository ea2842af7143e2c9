//! An options object is taken or refused with every problem named, and what was taken is written back and read again.
#![no_main]

use hlswarm::config::Config;
use hlswarm::json::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(value) = Value::parse(text) else { return };
    match Config::from_json_value(value) {
        Ok(config) => {
            let _ = config.warnings();
            let written = serde_json::to_value(&config).expect("options are plain data");
            assert_eq!(Config::from_json_value(written), Ok(config));
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(error.problems.iter().all(|problem| !problem.path.is_empty()));
            let _ = error.to_string();
        }
    }
});
