//! Reading JSON, one value after the other.

use super::{NotJson, Value};

/// How deep lists and objects may lie in each other. What we read has three levels; strangers may send more.
const MAX_DEPTH: u32 = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Reads one value that is the whole text.
pub(super) fn document(text: &str) -> Result<Value, NotJson> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(MAX_DEPTH);
    reader.skip_space();
    value.filter(|_| reader.at == text.len()).ok_or(NotJson { at: reader.at })
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over a byte if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        self.skip_space();
        match self.peek()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'"' => self.string().map(Value::String),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        word.bytes().all(|byte| self.take(byte)).then_some(value)
    }

    fn array(&mut self, depth: u32) -> Option<Value> {
        let mut list = Vec::new();
        self.items(b']', |reader| {
            list.push(reader.value(depth)?);
            Some(())
        })?;
        Some(Value::Array(list))
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        let mut entries = Vec::new();
        self.items(b'}', |reader| {
            let key = reader.string()?;
            reader.skip_space();
            if !reader.take(b':') {
                return None;
            }
            entries.push((key, reader.value(depth)?));
            Some(())
        })?;
        Some(Value::Object(entries))
    }

    /// Steps over the opening bracket, items with commas between them, and the closing one.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.skip_space();
        if self.take(end) {
            return Some(());
        }
        loop {
            self.skip_space();
            item(self)?;
            self.skip_space();
            if self.take(end) {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.take(b'"') {
            return None;
        }
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            out.push_str(rest.get(..plain)?);
            self.at += plain;
            if self.take(b'"') {
                return Some(out);
            }
            if !self.take(b'\\') {
                return None;
            }
            out.push(self.escaped()?);
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                let code = match unit {
                    // The first half of a pair: the second must follow.
                    0xd800..=0xdbff if self.take(b'\\') && self.take(b'u') => match self.unit()? {
                        low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                        _ => return None,
                    },
                    _ => unit,
                };
                // A half alone is no character.
                char::from_u32(code)?
            }
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.peek()?).to_digit(16)?;
            self.at += 1;
        }
        Some(unit)
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.take(b'-');
        let mut digits = Digits::default();
        let zero = self.peek() == Some(b'0');
        let whole = self.digits(|digit| digits.push(digit, 0))?;
        if zero && whole > 1 {
            return None;
        }
        if self.take(b'.') {
            self.digits(|digit| digits.push(digit, -1))?;
        }
        let mut exponent = 0_i32;
        if self.take(b'e') || self.take(b'E') {
            let down = self.take(b'-');
            if !down {
                self.take(b'+');
            }
            self.digits(|digit| exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit)))?;
            if down {
                exponent = -exponent;
            }
        }
        let size = digits.scaled(exponent);
        size.is_finite().then_some(Value::Number(if negative { -size } else { size }))
    }

    /// Gives each of the digits that must follow to `each`; says how many there were.
    fn digits(&mut self, mut each: impl FnMut(u8)) -> Option<usize> {
        let start = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            each(byte - b'0');
            self.at += 1;
        }
        (self.at > start).then(|| self.at - start)
    }
}

/// The digits of a number, as many as matter, and the power of ten to multiply them with.
#[derive(Default)]
struct Digits {
    digits: u64,
    exponent: i32,
}

impl Digits {
    /// One digit more; `step` is -1 behind the point.
    fn push(&mut self, digit: u8, step: i32) {
        match self.digits.checked_mul(10).and_then(|digits| digits.checked_add(u64::from(digit))) {
            Some(digits) => {
                self.digits = digits;
                self.exponent = self.exponent.saturating_add(step);
            }
            // Beyond what an `f64` tells apart: only the place counts.
            None => self.exponent = self.exponent.saturating_add(step + 1),
        }
    }

    /// The number, times ten to the power of `exponent`. Exact while the digits are fewer than sixteen and the power is
    /// at most 22, because both are whole `f64` then, and one division or multiplication rounds correctly.
    fn scaled(self, exponent: i32) -> f64 {
        let mut number = self.digits as f64;
        let mut exponent = self.exponent.saturating_add(exponent).clamp(-800, 800);
        while exponent != 0 && number != 0.0 && number.is_finite() {
            let step = exponent.clamp(-22, 22);
            let power = (0..step.unsigned_abs()).fold(1.0, |power, _| power * 10.0);
            number = if step < 0 { number / power } else { number * power };
            exponent -= step;
        }
        number
    }
}
