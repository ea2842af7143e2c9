//! JSON: what trackers send and pages configure.
//!
//! The browser download has no room for a general library: serde_json with its tables for numbers would be a tenth of it.
//! This one knows a tree of values and no types, and reads and writes numbers exactly up to fifteen digits, which
//! is all that options, counts and intervals have.

mod read;
mod write;

pub use write::to_text;

use std::fmt;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, never infinite. JSON has one kind: 5 and 5.0 are the same.
    Number(f64),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object, in the order of the text. Of equal keys the last one counts.
    Object(Vec<(String, Value)>),
}

/// A text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// Where it stops making sense: an offset in bytes.
    pub at: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}", self.at)
    }
}

impl std::error::Error for NotJson {}

impl Value {
    /// Reads one value that is the whole text (RFC 8259).
    ///
    /// # Errors
    /// The text is anything else, lies deeper than 64 levels, holds a number beyond what `f64` can hold or an escaped
    /// half of a surrogate pair.
    pub fn parse(text: &str) -> Result<Value, NotJson> {
        read::document(text)
    }

    /// The value of a key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.as_object().is_some()
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Value::Number(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is a whole one from zero; the largest `u64` if it is beyond that.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0).map(|number| number as u64)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The list, if it is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(list) = self { Some(list) } else { None }
    }

    /// The entries, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Value)]> {
        if let Value::Object(entries) = self { Some(entries) } else { None }
    }

    fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => push_number(out, *number),
            Value::String(text) => push_string(out, text),
            Value::Array(list) => {
                out.push('[');
                for (place, value) in list.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Value::Object(entries) => {
                out.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The value as compact JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        if number.is_finite() { Value::Number(number) } else { Value::Null }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number as f64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Value {
        match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(list) => Value::Array(list.into_iter().map(Value::from).collect()),
            serde_json::Value::Object(entries) => {
                Value::Object(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

/// Appends text as a JSON string, escaping only what must be, in the form that JavaScript's `JSON.stringify` uses.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        push_escaped(out, character);
    }
    out.push('"');
}

/// Appends one character of a JSON string.
pub fn push_escaped(out: &mut String, character: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        control @ '\0'..='\u{1f}' => {
            let code = control as usize;
            out.push_str("\\u00");
            out.push(char::from(HEX[code >> 4]));
            out.push(char::from(HEX[code & 15]));
        }
        other => out.push(other),
    }
}

/// Up to here every whole number is an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a number with as many digits as it needs, exactly up to fifteen. What is very large or small gets an
/// exponent, and its last digits may be off.
fn push_number(out: &mut String, number: f64) {
    if number < 0.0 {
        out.push('-');
    }
    let mut rest = number.abs();
    let mut exponent = 0_i32;
    if rest >= 1e17 {
        while rest >= 10.0 {
            rest /= 10.0;
            exponent += 1;
        }
    } else if rest > 0.0 && rest < 1e-6 {
        while rest < 1.0 {
            rest *= 10.0;
            exponent -= 1;
        }
    }
    let mut places = 0;
    let mut scale = 1.0;
    while rest * scale < EXACT && (rest * scale).round() / scale != rest {
        scale *= 10.0;
        places += 1;
    }
    let digits = format!("{:0width$}", (rest * scale).round() as u64, width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    if exponent != 0 {
        out.push('e');
        out.push_str(&exponent.to_string());
    }
}

#[cfg(test)]
mod tests;
