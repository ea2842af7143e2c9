//! The stock wire: the commands of p2p-media-loader 1.0.4 to 5.x, their bytes, and how long ones are split.
//!
//! A command is `"cstr" payload "cend"`. A payload that does not fit into one message is cut into equal parts: the first
//! `cstr..dend`, the ones between `dstr..dend`, the last `dstr..cend`. Every message that is not framed so is segment
//! bytes, without any head. A payload is a command byte and fields, each an ASCII letter and a typed value.
//!
//! The stock decoder trusts everything. This one bounds every count by the bytes that are there, knows only the closed
//! set below, and skips fields that it does not know.

use crate::time::{Span, Time};

/// The longest payload that is joined from parts, in bytes. A list of all segments of a day has less.
pub const MAX_JOINED_BYTES: usize = 64 * 1024;
/// Parts of a command that are further apart than this do not belong together.
pub const JOIN_TIMEOUT: Span = Span::from_secs(5);
/// What a message has beside its part of a payload.
const FRAME_BYTES: usize = 8;
/// JavaScript's largest exact integer: no id, number of bytes or request beyond it can come from a stock peer.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// All that the sender has. Replaces what it said before.
    Announcement {
        /// Segments it has.
        loaded: Vec<u64>,
        /// Segments that it is loading over HTTP.
        loading: Vec<u64>,
    },
    /// Asks for a segment. Ends what the receiver was sending to the sender before.
    Request {
        /// Which segment.
        segment: u64,
        /// Chosen by the sender.
        request: u64,
        /// First byte wanted.
        from: u64,
    },
    /// The bytes of a segment follow.
    Data {
        /// Which segment.
        segment: u64,
        /// Of the request that is answered.
        request: u64,
        /// How many bytes follow.
        bytes: u64,
    },
    /// All bytes were sent.
    Completed(Subject),
    /// The segment is not there.
    Absent(Subject),
    /// The sender no longer wants a segment.
    Cancel(Subject),
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which segment.
    pub segment: u64,
    /// Which request.
    pub request: u64,
}

/// Why a payload is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no command byte.
    Empty,
    /// A command of another version. Harmless: it is skipped.
    Unknown(u8),
    /// It ends within a field.
    Truncated,
    /// A value of a type that there is not, or another type than the field has.
    Type(u8),
    /// A number below 0 or above what JavaScript can count.
    Number,
    /// A field that the command needs is not there.
    Missing(char),
    /// Its parts have more than [`MAX_JOINED_BYTES`].
    TooLong,
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CommandError::Empty => f.write_str("an empty command"),
            CommandError::Unknown(code) => write!(f, "command {code}, 0 to 5 are known"),
            CommandError::Truncated => f.write_str("a command that ends within a field"),
            CommandError::Type(byte) => write!(f, "a field of type 0x{byte:02x}"),
            CommandError::Number => f.write_str("a number that is not from 0 to 2^53 - 1"),
            CommandError::Missing(field) => write!(f, "a command without the field `{field}`"),
            CommandError::TooLong => write!(f, "a command of more than {MAX_JOINED_BYTES} bytes"),
        }
    }
}

/// Whether a message is a command or a part of one; anything else is segment bytes.
pub fn is_framed(message: &[u8]) -> bool {
    message.len() >= FRAME_BYTES
        && (message.starts_with(b"cstr") || message.starts_with(b"dstr"))
        && (message.ends_with(b"cend") || message.ends_with(b"dend"))
}

impl Command {
    /// The messages of the command, each of at most `max_message_bytes` as far as the stock way of splitting allows.
    pub fn encode(&self, max_message_bytes: usize) -> Vec<Vec<u8>> {
        frame(&self.payload(), max_message_bytes.max(FRAME_BYTES + 1))
    }

    fn payload(&self) -> Vec<u8> {
        let subject = |code, Subject { segment, request }: Subject| {
            let mut out = vec![code];
            put_field(&mut out, b'i', segment);
            put_field(&mut out, b'r', request);
            out
        };
        match self {
            Command::Announcement { loaded, loading } => {
                let mut out = vec![0];
                for (name, ids) in [(b'l', loaded), (b'p', loading)] {
                    if !ids.is_empty() {
                        out.push(name);
                        put_array(&mut out, ids);
                    }
                }
                out
            }
            &Command::Request { segment, request, from } => {
                let mut out = subject(1, Subject { segment, request });
                if from > 0 {
                    put_field(&mut out, b'b', from);
                }
                out
            }
            &Command::Data { segment, request, bytes } => {
                let mut out = vec![2];
                put_field(&mut out, b'i', segment);
                put_field(&mut out, b's', bytes);
                put_field(&mut out, b'r', request);
                out
            }
            Command::Completed(about) => subject(3, *about),
            Command::Absent(about) => subject(4, *about),
            Command::Cancel(about) => subject(5, *about),
        }
    }

    /// Reads a payload: what is between the frames.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn decode(payload: &[u8]) -> Result<Command, CommandError> {
        let (&code, rest) = payload.split_first().ok_or(CommandError::Empty)?;
        if code > 5 {
            return Err(CommandError::Unknown(code));
        }
        let fields = Fields::read(rest)?;
        if code == 0 {
            return Ok(Command::Announcement { loaded: fields.loaded, loading: fields.loading });
        }
        let segment = fields.segment.ok_or(CommandError::Missing('i'))?;
        let request = fields.request.ok_or(CommandError::Missing('r'))?;
        let subject = Subject { segment, request };
        Ok(match code {
            1 => Command::Request { segment, request, from: fields.from.unwrap_or(0) },
            2 => {
                let bytes = fields.bytes.ok_or(CommandError::Missing('s'))?;
                Command::Data { segment, request, bytes }
            }
            3 => Command::Completed(subject),
            4 => Command::Absent(subject),
            _ => Command::Cancel(subject),
        })
    }
}

/// Cuts a payload into messages as the stock peers do it.
fn frame(payload: &[u8], max_message_bytes: usize) -> Vec<Vec<u8>> {
    let framed = |start: &[u8], part: &[u8], end: &[u8]| [start, part, end].concat();
    if payload.len() + FRAME_BYTES <= max_message_bytes {
        return vec![framed(b"cstr", payload, b"cend")];
    }
    let mut count = payload.len().div_ceil(max_message_bytes);
    if payload.len().div_ceil(count) + FRAME_BYTES > max_message_bytes {
        count += 1;
    }
    let length = payload.len().div_ceil(count);
    (0..count)
        .map(|place| {
            let rest = payload.get(place * length..).unwrap_or_default();
            let part = rest.get(..length).unwrap_or(rest);
            let start: &[u8] = if place == 0 { b"cstr" } else { b"dstr" };
            let end: &[u8] = if place + 1 == count { b"cend" } else { b"dend" };
            framed(start, part, end)
        })
        .collect()
}

fn put_field(out: &mut Vec<u8>, name: u8, value: u64) {
    out.push(name);
    put_int(out, value);
}

/// Type 0: the number of bytes, and the number, big-endian, with its sign in the highest bit.
fn put_int(out: &mut Vec<u8>, value: u64) {
    let bits = (64 - value.leading_zeros()).max(1);
    let count = (bits + 1).div_ceil(8) as usize;
    out.push(count as u8);
    let bytes = u128::from(value).to_be_bytes();
    out.extend(bytes.iter().skip(bytes.len() - count));
}

/// Type 1: groups of numbers that differ in the lowest byte only. The group's number carries how many there are in its
/// lowest byte, where 256 would read as 0 on the stock side: a full group goes as two.
fn put_array(out: &mut Vec<u8>, numbers: &[u64]) {
    const MOST: usize = 255;
    let mut groups: Vec<(u64, Vec<u8>)> = Vec::new();
    for number in numbers {
        let common = number & !0xff;
        let byte = (number & 0xff) as u8;
        match groups.iter_mut().rev().find(|(of, bytes)| *of == common && bytes.len() < MOST) {
            Some((_, bytes)) => bytes.push(byte),
            None => groups.push((common, vec![byte])),
        }
    }
    // The number of groups is one byte as well. The last ones are nearest to where viewers are.
    let groups = groups.get(groups.len().saturating_sub(MOST)..).unwrap_or(&groups);
    out.extend([0x10, groups.len() as u8]);
    for (common, bytes) in groups {
        put_int(out, common | bytes.len() as u64);
        out.extend(bytes);
    }
}

/// The fields of a payload; those that no command has are skipped.
#[derive(Default)]
struct Fields {
    segment: Option<u64>,
    request: Option<u64>,
    from: Option<u64>,
    bytes: Option<u64>,
    loaded: Vec<u64>,
    loading: Vec<u64>,
}

impl Fields {
    fn read(mut rest: &[u8]) -> Result<Fields, CommandError> {
        let mut fields = Fields::default();
        while let Some((&name, after)) = rest.split_first() {
            rest = after;
            let kind = *rest.first().ok_or(CommandError::Truncated)?;
            match kind >> 4 {
                0 => {
                    let number = take_int(&mut rest)?;
                    match name {
                        b'i' => fields.segment = Some(number?),
                        b'r' => fields.request = Some(number?),
                        b'b' => fields.from = Some(number?),
                        b's' => fields.bytes = Some(number?),
                        b'l' | b'p' => return Err(CommandError::Type(kind)),
                        _ => {}
                    }
                }
                1 => {
                    let numbers = take_array(&mut rest)?;
                    match name {
                        b'l' => fields.loaded = numbers,
                        b'p' => fields.loading = numbers,
                        b'i' | b'r' | b'b' | b's' => return Err(CommandError::Type(kind)),
                        _ => {}
                    }
                }
                2 => {
                    let [high, low] = take(&mut rest, 2)? else { return Err(CommandError::Truncated) };
                    take(&mut rest, usize::from(high & 0x0f) << 8 | usize::from(*low))?;
                }
                _ => return Err(CommandError::Type(kind)),
            }
        }
        Ok(fields)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CommandError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(CommandError::Truncated)?;
    *rest = after;
    Ok(taken)
}

/// A number; within it an error for one that no field may have.
fn take_int(rest: &mut &[u8]) -> Result<Result<u64, CommandError>, CommandError> {
    let &[kind] = take(rest, 1)? else { return Err(CommandError::Truncated) };
    if kind >> 4 != 0 || kind == 0 {
        return Err(CommandError::Type(kind));
    }
    let bytes = take(rest, usize::from(kind))?;
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    // At most 15 bytes.
    let number = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    let fits = u64::try_from(number).ok().filter(|number| !negative && *number <= MAX_INTEGER);
    Ok(fits.ok_or(CommandError::Number))
}

fn take_array(rest: &mut &[u8]) -> Result<Vec<u64>, CommandError> {
    let &[_, groups] = take(rest, 2)? else { return Err(CommandError::Truncated) };
    let mut numbers = Vec::new();
    for _ in 0..groups {
        let common = take_int(rest)??;
        let count = match common & 0xff {
            0 => 256,
            count => count as usize,
        };
        let bytes = take(rest, count)?;
        numbers.extend(bytes.iter().map(|byte| (common & !0xff) | u64::from(*byte)));
    }
    Ok(numbers)
}

/// Puts the parts of commands together.
#[derive(Clone, Debug, Default)]
pub struct Joiner {
    payload: Vec<u8>,
    /// When the last part came, while there are some.
    since: Option<Time>,
}

impl Joiner {
    /// Whether the next part of a command is waited for.
    pub fn is_joining(&self) -> bool {
        self.since.is_some()
    }

    /// Takes a message that [is framed](is_framed). Gives the payload when it is whole.
    ///
    /// A part without those before it is left out, as the stock peers do; so is what waited longer than
    /// [`JOIN_TIMEOUT`] for its next part.
    ///
    /// # Errors
    /// [`CommandError::TooLong`] when the parts have more than [`MAX_JOINED_BYTES`] by now.
    pub fn push(&mut self, now: Time, message: &[u8]) -> Result<Option<Vec<u8>>, CommandError> {
        let part = message.get(4..message.len().saturating_sub(4)).unwrap_or_default();
        if message.starts_with(b"cstr") {
            self.payload.clear();
        } else if self.since.is_none_or(|since| now.since(since) > JOIN_TIMEOUT) {
            self.since = None;
            return Ok(None);
        }
        if self.payload.len() + part.len() > MAX_JOINED_BYTES {
            *self = Joiner::default();
            return Err(CommandError::TooLong);
        }
        self.payload.extend(part);
        if message.ends_with(b"cend") {
            self.since = None;
            return Ok(Some(std::mem::take(&mut self.payload)));
        }
        self.since = Some(now);
        Ok(None)
    }
}
