//! Writing JSON strings.

use crate::id::Id20;

/// Appends a twenty-byte id as a JSON string.
pub fn push_json_id(out: &mut String, id: Id20) {
    out.push('"');
    for byte in id.0 {
        push_escaped(out, char::from(byte));
    }
    out.push('"');
}

/// Appends text as a JSON string, escaping only what must be, in the form that JavaScript's `JSON.stringify` uses.
pub fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        push_escaped(out, character);
    }
    out.push('"');
}

fn push_escaped(out: &mut String, character: char) {
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
