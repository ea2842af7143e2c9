//! What is wrong with a message.

use std::fmt;

/// A message that is not a frame. The link that brought it must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// No byte at all.
    Empty,
    /// A control message above the limit.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: u32,
    },
    /// A data frame where a control frame was to be decoded, or the other way round.
    NotThisKind {
        /// The first byte.
        kind: u8,
    },
    /// A type that this version does not have and that may not be skipped.
    UnknownType {
        /// The first byte.
        kind: u8,
    },
    /// Ends too early.
    Truncated {
        /// Which frame.
        frame: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The bytes that it needs at least.
        need: usize,
    },
    /// Goes on after its end.
    Trailing {
        /// Which frame.
        frame: &'static str,
        /// Bytes after its end.
        extra: usize,
    },
    /// Holds more than is allowed.
    TooMany {
        /// Which frame.
        frame: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A field has a value that means nothing.
    Value {
        /// Which frame.
        frame: &'static str,
        /// Which field.
        field: &'static str,
        /// The value.
        value: u64,
    },
    /// A hello of a peer with which no version is common. Not a fault of the peer.
    Version {
        /// Its lowest version.
        min: u8,
        /// Its highest version.
        max: u8,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            WireError::Empty => f.write_str("empty message"),
            WireError::TooLong { len, max } => {
                write!(f, "control message of {len} bytes where {max} are allowed")
            }
            WireError::NotThisKind { kind } if super::is_data_frame(kind) => {
                f.write_str("data frame where a control frame was expected")
            }
            WireError::NotThisKind { kind } => {
                write!(f, "frame type {kind:#04x} where a data frame was expected")
            }
            WireError::UnknownType { kind } => write!(f, "unknown frame type {kind:#04x}"),
            WireError::Truncated { frame, len, need } => {
                write!(f, "{frame}: {len} bytes where {need} are needed")
            }
            WireError::Trailing { frame, extra } => write!(f, "{frame}: {extra} bytes after its end"),
            WireError::TooMany { frame, what, count, max } => {
                write!(f, "{frame}: {count} {what} where {max} are allowed")
            }
            WireError::Value { frame, field, value } => write!(f, "{frame}: {field} cannot be {value}"),
            WireError::Version { min, max } => {
                write!(
                    f,
                    "hello: speaks versions {min} to {max}, we speak {} to {}",
                    super::MIN_VERSION,
                    super::MAX_VERSION
                )
            }
        }
    }
}

impl std::error::Error for WireError {}
