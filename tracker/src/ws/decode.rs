//! Frames from clients: masked, possibly fragmented, in pieces of any size.

use std::fmt;
use std::mem;

/// Reads one connection's frames. Idle, it is one pointer: memory is held only while a message is incomplete.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// A message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Binary.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong,
    /// The client closes, with its code if it gave one.
    Close(Option<u16>),
}

/// How a client broke RFC 6455. The connection must be closed with [`code`](Violation::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Something that the protocol forbids.
    Protocol(&'static str),
    /// A text that is not UTF-8.
    NotUtf8,
    /// A message longer than allowed.
    TooBig,
}

impl Violation {
    /// The close code (RFC 6455 section 7.4.1).
    pub const fn code(self) -> u16 {
        match self {
            Violation::Protocol(_) => 1002,
            Violation::NotUtf8 => 1007,
            Violation::TooBig => 1009,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::Protocol(what) => what,
            Violation::NotUtf8 => "text that is not UTF-8",
            Violation::TooBig => "message too big",
        })
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const MAX_CONTROL_BYTES: u64 = 125;
const MAX_HEAD_BYTES: usize = 14;

#[derive(Debug, Default)]
struct Partial {
    /// The beginning of a frame whose head is incomplete.
    head: [u8; MAX_HEAD_BYTES],
    head_bytes: u8,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// The payload of an incomplete control frame.
    control: Vec<u8>,
    /// What the message so far is: TEXT or BINARY.
    kind: Option<u8>,
    /// The message so far.
    message: Vec<u8>,
    /// How many bytes of a text so far are known to be whole characters.
    checked: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    remaining: u64,
}

impl Frame {
    const fn is_control(self) -> bool {
        self.opcode >= CLOSE
    }
}

impl Decoder {
    /// Takes the next message out of `input`, advancing it. `None`: all of `input` is used and no message is complete.
    /// Call again until then. The message lies in `scratch`, which callers share among connections.
    pub fn next<'s>(
        &mut self,
        input: &mut &[u8],
        scratch: &'s mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<Option<Message<'s>>, Violation> {
        scratch.clear();
        loop {
            let frame = match self.take_frame(input, max_bytes)? {
                Some(frame) => frame,
                None => return Ok(None),
            };
            let take = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len());
            let (bytes, rest) = input.split_at(take);
            *input = rest;
            let complete = take as u64 == frame.remaining;
            if let (None, true) = (&self.partial, complete && frame.fin) {
                scratch.extend_from_slice(bytes);
                unmask(scratch, frame.mask);
                return finish(frame.opcode, scratch).map(Some);
            }
            let partial = self.partial.get_or_insert_default();
            if !frame.is_control() && frame.opcode != CONTINUATION {
                partial.kind = Some(frame.opcode);
            }
            let target = if frame.is_control() { &mut partial.control } else { &mut partial.message };
            let start = target.len();
            target.extend_from_slice(bytes);
            unmask(target.get_mut(start..).unwrap_or_default(), frame.mask);
            if !frame.is_control() && partial.kind == Some(TEXT) {
                partial.check_text()?;
            }
            if !complete {
                let mut mask = frame.mask;
                mask.rotate_left(take % 4);
                partial.frame = Some(Frame { mask, remaining: frame.remaining - take as u64, ..frame });
                return Ok(None);
            }
            partial.frame = None;
            if frame.is_control() {
                mem::swap(scratch, &mut partial.control);
                partial.control = Vec::new();
                self.release();
                return finish(frame.opcode, scratch).map(Some);
            }
            if frame.fin {
                let kind = partial.kind.take().unwrap_or(TEXT);
                mem::swap(scratch, &mut partial.message);
                partial.message = Vec::new();
                partial.checked = 0;
                self.release();
                return finish(kind, scratch).map(Some);
            }
        }
    }

    /// The frame in progress, or the next one once its head is complete.
    fn take_frame(&mut self, input: &mut &[u8], max_bytes: usize) -> Result<Option<Frame>, Violation> {
        let Some(partial) = &mut self.partial else {
            let Some((frame, used)) = parse_head(input)? else {
                if !input.is_empty() {
                    let mut partial = Box::<Partial>::default();
                    partial.keep_head(input);
                    self.partial = Some(partial);
                }
                return Ok(None);
            };
            *input = input.get(used..).unwrap_or_default();
            check(frame, None, 0, max_bytes)?;
            return Ok(Some(frame));
        };
        if let Some(frame) = partial.frame {
            return Ok(if input.is_empty() { None } else { Some(frame) });
        }
        let had = usize::from(partial.head_bytes);
        let taken = partial.keep_head(input);
        let head = partial.head.get(..had + taken).unwrap_or_default();
        let Some((frame, used)) = parse_head(head)? else { return Ok(None) };
        partial.head_bytes = 0;
        // What was taken beyond the head belongs to the payload: give it back.
        *input = input.get(used - had..).unwrap_or_default();
        check(frame, partial.kind, partial.message.len(), max_bytes)?;
        if partial.kind.is_none() {
            // Nothing is pending any more: the short way is open again.
            self.partial = None;
        }
        Ok(Some(frame))
    }

    /// Gives the memory back when nothing is pending.
    fn release(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| partial.kind.is_none() && partial.frame.is_none()) {
            self.partial = None;
        }
    }
}

impl Partial {
    /// Fails as soon as the text so far can no longer become UTF-8, whatever may follow.
    fn check_text(&mut self) -> Result<(), Violation> {
        match std::str::from_utf8(self.message.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.message.len(),
            // Cut inside a character.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }

    /// Copies bytes of `input` to the head, without advancing `input` unless the head stays incomplete.
    fn keep_head(&mut self, input: &mut &[u8]) -> usize {
        let had = usize::from(self.head_bytes);
        let taken = input.len().min(MAX_HEAD_BYTES - had);
        let (bytes, rest) = input.split_at(taken);
        if let Some(target) = self.head.get_mut(had..had + taken) {
            target.copy_from_slice(bytes);
        }
        let complete =
            matches!(parse_head(self.head.get(..had + taken).unwrap_or_default()), Ok(Some(_)) | Err(_));
        if !complete {
            self.head_bytes += taken as u8;
            *input = rest;
        }
        taken
    }
}

/// Parses a frame's head. `None`: more bytes are needed.
fn parse_head(input: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
    let [first, second, ..] = *input else {
        // What the first byte says can be wrong already.
        if let [first] = *input {
            check_first(first)?;
        }
        return Ok(None);
    };
    let opcode = check_first(first)?;
    let fin = first & 0x80 != 0;
    if second & 0x80 == 0 {
        return Err(Violation::Protocol("frame without mask"));
    }
    let short = second & 0x7f;
    if opcode >= CLOSE && (!fin || u64::from(short) > MAX_CONTROL_BYTES) {
        return Err(Violation::Protocol("control frame fragmented or too long"));
    }
    let (length, at) = match short {
        126 => match input.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (u64::from(u16::from_be_bytes(bytes)), 4),
            None => return Ok(None),
        },
        127 => match input.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (u64::from_be_bytes(bytes), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length >> 63 != 0 {
        return Err(Violation::Protocol("payload length with its highest bit set"));
    }
    let Some(mask) = input.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
    Ok(Some((Frame { fin, opcode, mask, remaining: length }, at + 4)))
}

fn check_first(first: u8) -> Result<u8, Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::Protocol("reserved bit set"));
    }
    match first & 0x0f {
        opcode @ (CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) => Ok(opcode),
        _ => Err(Violation::Protocol("unknown opcode")),
    }
}

fn check(frame: Frame, kind: Option<u8>, message_bytes: usize, max_bytes: usize) -> Result<(), Violation> {
    if frame.is_control() {
        return Ok(());
    }
    match (frame.opcode == CONTINUATION, kind.is_some()) {
        (true, false) => return Err(Violation::Protocol("continuation of nothing")),
        (false, true) => return Err(Violation::Protocol("new message inside a fragmented one")),
        _ => {}
    }
    if frame.remaining > (max_bytes.saturating_sub(message_bytes)) as u64 {
        return Err(Violation::TooBig);
    }
    Ok(())
}

fn finish(opcode: u8, payload: &[u8]) -> Result<Message<'_>, Violation> {
    match opcode {
        TEXT => std::str::from_utf8(payload).map(Message::Text).map_err(|_| Violation::NotUtf8),
        BINARY => Ok(Message::Binary(payload)),
        PING => Ok(Message::Ping(payload)),
        PONG => Ok(Message::Pong),
        _ => parse_close(payload).map(Message::Close),
    }
}

fn parse_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match *payload {
        [] => Ok(None),
        [_] => Err(Violation::Protocol("close frame with half a code")),
        [high, low, ref reason @ ..] => {
            let code = u16::from_be_bytes([high, low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Violation::Protocol("close code that may not be sent"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Some(code))
        }
    }
}

/// Undoes the masking (RFC 6455 section 5.3), eight bytes at a time.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(eight) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
