//! Writing ids and texts as JSON.

use crate::id::Id20;
use crate::json::push_escaped;

pub use crate::json::push_string as push_json_string;

/// Appends a twenty-byte id as a JSON string.
pub fn push_json_id(out: &mut String, id: Id20) {
    out.push('"');
    for byte in id.0 {
        push_escaped(out, char::from(byte));
    }
    out.push('"');
}
