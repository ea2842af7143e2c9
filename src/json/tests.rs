use proptest::prelude::*;

use super::*;

/// Values as strangers may nest them.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        (any::<i32>(), 0..6).prop_map(|(digits, places)| (f64::from(digits) / 10f64.powi(places)).into()),
        any::<String>().prop_map(serde_json::Value::from),
        "[\\x00-\\x7f]{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Texts that are nearly JSON: pieces of it in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\"", "null", "true", "fals", "e", "E", "0", "1", "12",
        "-", "+", ".", "u", "\\u", "d83d", "de00", "00e9", " ", "\n", "\t", "é", "\u{1}", "\\n", "/",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn same(ours: &Result<Value, NotJson>, theirs: Result<serde_json::Value, serde_json::Error>, text: &str) {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(*ours, Value::from(theirs), "{text}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{text}: {ours:?}, serde_json says {theirs:?}"),
    }
}

proptest! {
    #[test]
    fn it_reads_what_serde_json_writes(value in any_json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            same(&Value::parse(&text), Ok(value.clone()), &text);
        }
    }

    #[test]
    fn it_takes_and_refuses_the_same_as_serde_json(text in nearly_json()) {
        same(&Value::parse(&text), serde_json::from_str(&text), &text);
    }

    #[test]
    fn any_text_is_taken_or_refused_within_it(text in any::<String>()) {
        if let Err(NotJson { at }) = Value::parse(&text) {
            prop_assert!(at <= text.len());
        }
    }

    #[test]
    fn what_it_writes_is_what_it_read(value in any_json()) {
        let value = Value::from(value);
        prop_assert_eq!(Value::parse(&value.to_string()), Ok(value));
    }

    #[test]
    fn it_serializes_what_it_would_read(value in any_json()) {
        prop_assert_eq!(to_text(&value), Value::from(value).to_string());
    }

    #[test]
    fn numbers_of_fifteen_digits_are_exact(digits in 0..1_000_000_000_000_000_u64, places in 0..22_i32) {
        let text = format!("{digits}e-{places}");
        let number: f64 = text.parse().unwrap();
        prop_assert_eq!(Value::parse(&text), Ok(Value::Number(number)));
    }

    #[test]
    fn any_number_is_close(number in any::<f64>()) {
        let text = Value::from(number).to_string();
        match Value::parse(&text) {
            Ok(Value::Number(back)) => {
                // Below the smallest normal number there are fewer digits to be close with.
                let close = (back - number).abs() <= number.abs() * 1e-13 || number.abs() < 1e-300;
                prop_assert!(close, "{} {} {}", number, text, back);
            }
            other => prop_assert!(!number.is_finite() && other == Ok(Value::Null), "{} {:?}", text, other),
        }
    }
}

#[test]
fn numbers_are_written_as_people_write_them() {
    for (number, text) in [
        (0.0, "0"),
        (7.0, "7"),
        (-3.0, "-3"),
        (0.06, "0.06"),
        (1.001, "1.001"),
        (-12.5, "-12.5"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (2e20, "2e20"),
        (2.5e-9, "2.5e-9"),
    ] {
        assert_eq!(Value::from(number).to_string(), text);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Value::parse(&nested(64)).is_ok());
    assert!(Value::parse(&nested(65)).is_err());
    assert!(Value::parse(&"{\"a\":".repeat(100_000)).is_err());
}

#[test]
fn of_equal_keys_the_last_counts() {
    let value = Value::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(value.get("a"), Some(&Value::Number(3.0)));
    assert_eq!(value.get("c"), None);
}

#[test]
fn it_says_where_it_stopped() {
    for (text, at) in [("", 0), ("{\"a\" 1}", 5), ("[1,]", 3), ("nul", 3), ("1 2", 2), ("\"\\ud800\"", 7)] {
        assert_eq!(Value::parse(text), Err(NotJson { at }), "{text}");
    }
    assert_eq!(NotJson { at: 5 }.to_string(), "not JSON at byte 5");
}

#[test]
fn whole_numbers_are_told_from_others() {
    for (text, whole) in
        [("5", Some(5)), ("5.0", Some(5)), ("5.5", None), ("-5", None), ("1e30", Some(u64::MAX))]
    {
        assert_eq!(Value::parse(text).unwrap().as_u64(), whole, "{text}");
    }
}

#[test]
fn every_shape_of_serde_is_written_as_serde_json_has_it() {
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(i8, f32),
        Struct { a: char },
    }
    #[derive(Serialize)]
    struct Nothing;
    #[derive(Serialize)]
    struct Pair(Option<bool>, Option<i64>);
    let shapes = [Shape::Unit, Shape::Newtype(1), Shape::Tuple(-2, 0.5), Shape::Struct { a: 'é' }];
    let map = BTreeMap::from([("b", vec![1.5, f64::NAN]), ("a", Vec::new())]);
    let numbers = BTreeMap::from([(1, ()), (-2, ())]);
    let all = (shapes, Nothing, Pair(Some(true), None), map, numbers, (1u16, 2i16, 3u32, 4i32));
    assert_eq!(to_text(&all), serde_json::to_string(&all).unwrap());
}
