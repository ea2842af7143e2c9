use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(value: Value) -> Config {
    Config::from_json_value(value).expect("allowed")
}

fn refused(value: Value) -> String {
    Config::from_json_value(value).expect_err("refused").to_string()
}

/// A value that is allowed and differs from the default, as the option's own description tells.
fn another_value(doc: &OptionDoc) -> Value {
    match doc.unit {
        "yes or no" => json!(doc.default == "false"),
        "text" => json!("swarm one"),
        "URLs" => json!([["wss://a.example/announce", "wss://b.example"], ["ws://[::1]:8000"]]),
        "keys" => json!(["0".repeat(64)]),
        "choice" => {
            let names: Vec<Value> =
                doc.allowed.split(" or ").map(|name| serde_json::from_str(name).unwrap()).collect();
            names.into_iter().find(|name| *name.to_string() != *doc.default).unwrap()
        }
        _ if doc.allowed.starts_with("a number from 0 to ") => json!(0.25),
        _ => {
            let (low, high) = bounds(doc);
            let value = if doc.default == low.to_string() { high } else { low };
            json!(value)
        }
    }
}

fn bounds(doc: &OptionDoc) -> (u64, u64) {
    let text = doc.allowed.strip_prefix("a whole number from ").expect(&doc.allowed);
    let (low, high) = text.split_once(" to ").unwrap();
    (low.parse().unwrap(), high.parse().unwrap())
}

fn object(section: &str, key: &str, value: Value) -> Value {
    if section.is_empty() { json!({ key: value }) } else { json!({ section: { key: value } }) }
}

#[test]
fn every_option_is_read_and_written_back() {
    for doc in option_docs() {
        let value = another_value(&doc);
        let mut given = object(doc.section, doc.key, value.clone());
        // The partner of a pair must leave room for an extreme value.
        for (low, high) in [
            ("sendBufferLowBytes", "sendBufferHighBytes"),
            ("receiveBytesPerPeer", "receiveBytesTotal"),
            ("requestsOutstandingPerPeer", "requestsOutstanding"),
        ] {
            if doc.key == high {
                given["limits"][low] = json!(if low.starts_with("receive") { 65_536 } else { 1 });
            }
        }
        let config = parse(given);
        assert_ne!(config, Config::default(), "{} is ignored", doc.key);
        let written = serde_json::to_value(&config).unwrap();
        let back = if doc.section.is_empty() { &written[doc.key] } else { &written[doc.section][doc.key] };
        assert_eq!(*back, value, "{}", doc.key);
        assert_eq!(serde_json::from_value::<Config>(written).unwrap(), config);
    }
}

#[test]
fn defaults_are_written_back_as_the_table_says() {
    let written = serde_json::to_value(Config::default()).unwrap();
    for doc in option_docs().iter().filter(|doc| !doc.section.is_empty() && doc.default != "none") {
        let value = &written[doc.section][doc.key];
        let shown: Value = serde_json::from_str(&doc.default).unwrap();
        assert_eq!(value.as_f64(), shown.as_f64(), "{}", doc.key);
        if value.as_f64().is_none() {
            assert_eq!(*value, shown, "{}", doc.key);
        }
    }
    let keys = |section: &str| written[section].as_object().unwrap().len();
    assert_eq!(
        keys("segments") + keys("loader") + keys("integrity") + keys("limits") + 1,
        option_docs().len()
    );
    Config::default().validate().unwrap();
}

#[test]
fn each_bound_holds_at_its_edge() {
    for doc in option_docs().iter().filter(|doc| doc.allowed.starts_with("a whole number")) {
        let (low, high) = bounds(doc);
        let path = format!("{}.{}", doc.section, doc.key);
        for (value, fits) in [
            (json!(low), true),
            (json!(high), true),
            (json!(high as f64), true),
            (json!(low as i64 - 1), false),
            (json!(high + 1), false),
            (json!(low as f64 + 0.5), false),
            (json!("1"), false),
            (json!(true), false),
            (json!(null), false),
            (json!([1]), false),
        ] {
            let given = object(doc.section, doc.key, value.clone());
            let problems = match Config::from_json_value(given) {
                Ok(_) => Vec::new(),
                Err(error) => error.problems,
            };
            let bound = problems
                .iter()
                .any(|problem| problem.path == path && problem.to_string().contains("a whole number"));
            assert_eq!(bound, !fits, "{path} {value}");
        }
    }
    for (key, high) in [("httpDownloadProbability", 1.0), ("uploadRatio", 1000.0)] {
        for (value, fits) in [(0.0, true), (high, true), (-0.001, false), (high + 0.001, false)] {
            let given = json!({ "loader": { key: value } });
            assert_eq!(Config::from_json_value(given).is_ok(), fits, "{key} {value}");
        }
    }
    for (length, fits) in [(7, false), (8, true), (1024, true), (1025, false)] {
        let given = json!({ "segments": { "swarmSecret": "x".repeat(length) } });
        assert_eq!(Config::from_json_value(given).is_ok(), fits, "{length}");
    }
}

#[test]
fn the_published_vod_recipe_is_the_vod_preset() {
    let recipe = json!({
        "segments": { "forwardSegmentCount": 50 },
        "loader": {
            "cachedSegmentExpiration": 86400000,
            "cachedSegmentsCount": 1000,
            "requiredSegmentsPriority": 3,
            "httpDownloadMaxPriority": 9,
            "httpDownloadProbability": 0.06,
            "httpDownloadProbabilityInterval": 1000,
            "httpDownloadProbabilitySkipIfNoPeers": true,
            "p2pDownloadMaxPriority": 50,
            "httpFailedSegmentTimeout": 1000,
            "simultaneousP2PDownloads": 20,
            "simultaneousHttpDownloads": 3,
            "httpDownloadInitialTimeout": 120000,
            "httpDownloadInitialTimeoutPerSegment": 17000,
            "httpDownloadRanges": true,
        },
    });
    let config = parse(recipe);
    let preset = parse(json!({ "presets": "vod" }));
    assert_eq!(config.loader, preset.loader);
    assert_eq!(config.segments, preset.segments);
    assert_eq!(config.loader.http_download_initial_timeout_per_segment, 17_000);
}

#[test]
fn explicit_keys_win_over_the_preset() {
    // `loader` sorts before `presets`: the order of keys must not matter.
    let config = parse(json!({ "loader": { "simultaneousHttpDownloads": 2 }, "presets": "vod" }));
    assert_eq!(config.loader.simultaneous_http_downloads, 2);
    assert_eq!(config.loader.simultaneous_p2p_downloads, 20);
    assert_eq!(config.presets, Some(Preset::Vod));
    for preset in [Preset::Vod, Preset::Live] {
        preset.config().validate().unwrap();
        assert_eq!(
            preset.config().warnings(),
            ["loader.trackerAnnounce is empty: no other viewer will be found"]
        );
    }
    assert_eq!(parse(json!({ "presets": null })).presets, None);
}

#[test]
fn every_choice_can_be_made() {
    for doc in option_docs().iter().filter(|doc| doc.unit == "choice") {
        for name in doc.allowed.split(" or ") {
            let value: Value = serde_json::from_str(name).unwrap();
            let mut given = object(doc.section, doc.key, value.clone());
            if value == "signed" {
                given["integrity"]["publicKeys"] = json!(["0".repeat(64)]);
                given["integrity"]["stream"] = json!("film");
            }
            let written = serde_json::to_value(parse(given)).unwrap();
            assert_eq!(
                written.pointer(&format!("/{}/{}", doc.section, doc.key).replace("//", "/")),
                Some(&value)
            );
        }
    }
}

#[test]
fn signed_records_need_keys_and_a_stream() {
    let text = refused(json!({ "integrity": { "mode": "signed" } }));
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "integrity.publicKeys: [] is not allowed; it must be at least one key where integrity.mode is \"signed\"",
            "integrity.stream: null is not allowed; it must be the name that the stream was signed with where \
             integrity.mode is \"signed\"",
        ]
    );
    let key = |text: &str| refused(json!({ "integrity": { "publicKeys": ["00".repeat(32), text] } }));
    for wrong in ["", "abc", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
        let error = key(wrong);
        assert!(error.starts_with("integrity.publicKeys[1]: \""), "{error}");
        assert!(
            error.ends_with("an Ed25519 public key: 64 hexadecimal digits, as hlswarm-sign prints it"),
            "{error}"
        );
    }
}

#[test]
fn the_other_name_of_http_download_ranges_works() {
    assert!(parse(json!({ "loader": { "httpUseRanges": true } })).loader.http_download_ranges);
    assert_eq!(
        refused(json!({ "loader": { "httpUseRanges": true, "httpDownloadRanges": false } })),
        "loader.httpUseRanges: true is not allowed; it must be left out where loader.httpDownloadRanges is given: \
         it is its other name"
    );
}

#[test]
fn all_problems_are_listed_with_path_value_and_what_is_allowed() {
    let text = refused(json!({
        "segment": {},
        "loader": {
            "cachedSegmentCount": 30,
            "forwardSegmentCount": 3,
            "httpDownloadMaxPriority": -1,
            "coordination": "best",
            "trackerAnnounce": ["https://tracker.example/", "wss://a.example", 5, "wss://a.example"],
            "useP2P": "yes",
        },
        "limits": 5,
        "presets": "film",
    }));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let url = "a URL such as wss://tracker.example.com/ or ws://127.0.0.1:8000/, without #";
    assert_eq!(
        lines,
        [
            "limits: 5 is not allowed; it must be an object",
            "loader.cachedSegmentCount: there is no such option (given: 30); did you mean loader.cachedSegmentsCount?",
            "loader.coordination: \"best\" is not allowed; it must be \"elected\" or \"random\" or \"neighbourhood\"",
            "loader.forwardSegmentCount: there is no such option (given: 3); did you mean segments.forwardSegmentCount?",
            "loader.httpDownloadMaxPriority: -1 is not allowed; it must be a whole number from 0 to 10000",
            &format!(
                "loader.trackerAnnounce[0]: \"https://tracker.example/\" is not allowed; it must be {url}"
            ),
            &format!("loader.trackerAnnounce[2]: 5 is not allowed; it must be {url}"),
            "loader.trackerAnnounce[3]: \"wss://a.example\" is not allowed; it must be another URL than the entries before it",
            "loader.useP2P: \"yes\" is not allowed; it must be true or false",
            "presets: \"film\" is not allowed; it must be \"vod\" or \"live\"",
            "segment: there is no such option (given: {}); did you mean segments?",
        ]
    );
    assert_eq!(refused(json!(null)), "options: null is not allowed; it must be an object");
    assert_eq!(
        refused(json!({ "segments": { "zzz": 1 } })),
        "segments.zzz: there is no such option (given: 1); the options of segments are forwardSegmentCount, swarmId, swarmSecret"
    );
    assert_eq!(
        refused(json!({ "xyz": 1 })),
        "xyz: there is no such option (given: 1); allowed here: segments, loader, integrity, limits, presets"
    );
}

#[test]
fn long_values_are_cut() {
    let text = refused(json!({ "loader": { "useP2P": "é".repeat(5000), "é".repeat(5000): 1 } }));
    assert!(text.chars().count() < 2000, "{text}");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert_eq!(
        refused(json!({ "limits": { "sendBufferHighBytes": 131_072 } })),
        "limits.sendBufferLowBytes: 131072 is not allowed; it must be below limits.sendBufferHighBytes, which is 131072"
    );
    parse(json!({ "limits": { "sendBufferHighBytes": 131_073 } }));
    assert_eq!(
        refused(json!({ "limits": { "receiveBytesTotal": 65_536, "requestsOutstanding": 15 } }))
            .lines()
            .count(),
        2
    );
    parse(json!({ "limits": { "receiveBytesTotal": 2_097_152, "requestsOutstanding": 16 } }));
}

#[test]
fn warnings_name_what_is_probably_not_meant() {
    let config = parse(json!({
        "segments": { "forwardSegmentCount": 20 },
        "loader": {
            "httpDownloadMaxPriority": 20,
            "p2pDownloadMaxPriority": 21,
            "webRtcMaxMessageSize": 100_000,
            "cacheBytes": 1_048_576,
            "trackerAnnounce": ["wss://a.example"],
        },
    }));
    assert_eq!(
        config.warnings(),
        [
            "segments.forwardSegmentCount is 20: loader.p2pDownloadMaxPriority of 21 is never reached",
            "loader.webRtcMaxMessageSize is 100000: messages stay within limits.maxDataMessageBytes of 65536",
            "loader.cacheBytes is 1048576: a segment of limits.maxSegmentBytes (16777216) cannot be kept",
        ]
    );
    assert_eq!(parse(json!({ "loader": { "useP2P": false } })).warnings(), Vec::<String>::new());
}

#[test]
fn tracker_urls() {
    let fits = |url: &str| Config::from_json_value(json!({ "loader": { "trackerAnnounce": [url] } })).is_ok();
    for url in [
        "wss://tracker.example",
        "WSS://tracker.example/announce?token=a",
        "ws://127.0.0.1:8000/",
        "ws://[2001:db8::1]",
        "ws://[::1]:8000/x",
        "wss://user:secret@tracker.example:443",
        "wss://tracker.example?x",
    ] {
        assert!(fits(url), "{url}");
    }
    for url in [
        "",
        "ws://",
        "wss:///announce",
        "http://tracker.example",
        "tracker.example",
        "wss://tracker.example/#a",
        "wss://tracker .example",
        "wss://tracker.example:0",
        "wss://tracker.example:65536",
        "wss://tracker.example:",
        "wss://tracker.example:+80",
        "ws://[::1",
        "ws://[::1]8000",
        "wss://tracker.example/\n",
    ] {
        assert!(!fits(url), "{url}");
    }
    let many = |count: usize| {
        let urls: Vec<String> = (0..count).map(|n| format!("wss://t{n}.example")).collect();
        Config::from_json_value(json!({ "loader": { "trackerAnnounce": urls } })).is_ok()
    };
    assert!(many(16));
    assert!(!many(17));
}

#[test]
fn trackers_may_have_several_nodes() {
    let read = |list: Value| {
        Config::from_json_value(json!({ "loader": { "trackerAnnounce": list } }))
            .map(|config| config.loader.tracker_announce)
            .map_err(|error| error.to_string())
    };
    let groups = read(json!([["wss://a.example", "wss://b.example"], "wss://c.example"])).unwrap();
    assert_eq!(groups, [vec!["wss://a.example", "wss://b.example"], vec!["wss://c.example"]]);
    let url = "a URL such as wss://tracker.example.com/ or ws://127.0.0.1:8000/, without #";
    for (list, problem) in [
        (json!([[]]), format!("loader.trackerAnnounce[0]: [] is not allowed; it must be {url}")),
        (
            json!(["wss://a.example", ["wss://b.example", 7]]),
            format!("loader.trackerAnnounce[1][1]: 7 is not allowed; it must be {url}"),
        ),
        (
            json!([["wss://a.example"], ["wss://b.example", "wss://a.example"]]),
            "loader.trackerAnnounce[1][1]: \"wss://a.example\" is not allowed; it must be another URL than the entries \
             before it"
                .to_owned(),
        ),
        (json!([[["wss://a.example"]]]), format!("[\"wss://a.example\"] is not allowed; it must be {url}")),
    ] {
        let told = read(list).unwrap_err();
        assert!(told.contains(&problem), "{told}");
    }
    let many = |count: usize| {
        let nodes: Vec<String> = (0..count).map(|n| format!("wss://t{n}.example")).collect();
        read(json!([nodes])).is_ok()
    };
    assert!(many(16) && !many(17), "all nodes count");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..100_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&["vod", "random", "wss://a.example", ""][..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

fn any_options() -> impl Strategy<Value = Value> {
    let paths: Vec<(&str, String)> = option_docs()
        .iter()
        .map(|doc| (doc.section, doc.key.to_owned()))
        .chain([("", "loader".to_owned()), ("", "limit".to_owned()), ("limits", String::new())])
        .collect();
    let key = prop_oneof![
        9 => prop::sample::select(paths),
        1 => any::<String>().prop_map(|key| ("loader", key)),
    ];
    prop::collection::vec((key, any_json()), 0..12).prop_map(|entries| {
        let mut options = json!({});
        for ((section, key), value) in entries {
            if section.is_empty() {
                options[key] = value;
            } else if options.get(section).is_none_or(Value::is_object) {
                options[section][key] = value;
            }
        }
        options
    })
}

proptest! {
    #[test]
    fn arbitrary_options_are_taken_or_refused(options in any_options()) {
        match Config::from_json_value(options) {
            Ok(config) => {
                let _ = config.warnings();
                let written = serde_json::to_value(&config).unwrap();
                prop_assert_eq!(Config::from_json_value(written), Ok(config));
            }
            Err(error) => {
                prop_assert!(!error.problems.is_empty());
                prop_assert!(error.problems.iter().all(|problem| !problem.path.is_empty()));
            }
        }
    }
}

/// The table in the documentation between its two markers must be what the declarations say. With
/// `HLSWARM_UPDATE_DOCS=1` in the environment the test writes it instead.
#[test]
fn the_documentation_shows_every_option() {
    const BEGIN: &str = "<!-- options: made by `HLSWARM_UPDATE_DOCS=1 cargo test the_documentation` -->\n";
    const END: &str = "<!-- /options -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
    let text = std::fs::read_to_string(path).expect("docs/options.md");
    let (before, rest) = text.split_once(BEGIN).expect("begin marker");
    let (table, after) = rest.split_once(END).expect("end marker");
    if std::env::var_os("HLSWARM_UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", options_table())).unwrap();
    } else {
        assert!(table == options_table(), "docs/options.md is out of date: run the command in its marker");
    }
}
