//! How one option's value is read, bounded and shown.

use std::ops::RangeInclusive;

use super::error::{Problem, words};
use super::integrity::{key_from_hex, to_hex};
use super::slot::{Bounded, Slot, any_number, truth, whole_number};
use super::{Coordination, IntegrityMode, Preset, PublicKeys};
use crate::json::Value;

/// The type of an option.
pub(super) trait Field: Sized + 'static {
    /// What bounds the value.
    type Allowed: 'static;
    /// Reads the value; pushes problems and gives `None` when it is not allowed.
    fn read(value: &Value, allowed: &Self::Allowed, path: &str, problems: &mut Vec<Problem>) -> Option<Self>;
    /// What is allowed, as it follows "it must be".
    fn allowed(allowed: &Self::Allowed) -> String;
    /// The value for the documentation.
    fn show(&self) -> String;
    /// Where the value goes. Types of which there are many options have a slot of their own.
    fn slot(&mut self, allowed: Self::Allowed) -> Slot<'_> {
        Slot::Other(Box::new(Bounded { place: self, allowed }))
    }
}

/// Reads a value of a type with a slot of its own.
fn read_by_slot<T: Field + Default>(
    value: &Value,
    allowed: T::Allowed,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let (mut read, before) = (T::default(), problems.len());
    read.slot(allowed).fill(value, path, problems);
    (problems.len() == before).then_some(read)
}

fn refuse<T>(
    read: Option<T>,
    value: &Value,
    path: &str,
    allowed: String,
    out: &mut Vec<Problem>,
) -> Option<T> {
    if read.is_none() {
        out.push(Problem::value(words!("{path}"), value, allowed));
    }
    read
}

macro_rules! whole_number {
    ($($type:ty: $slot:path),+) => {$(
        impl Field for $type {
            type Allowed = RangeInclusive<$type>;

            fn read(value: &Value, allowed: &Self::Allowed, path: &str, out: &mut Vec<Problem>) -> Option<Self> {
                read_by_slot(value, allowed.clone(), path, out)
            }

            fn allowed(allowed: &Self::Allowed) -> String {
                whole_number(*allowed.start() as u64, *allowed.end() as u64)
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn slot(&mut self, allowed: Self::Allowed) -> Slot<'_> {
                $slot(self, *allowed.start() as u64, *allowed.end() as u64)
            }
        }
    )+};
}

whole_number!(u32: Slot::U32, u64: Slot::U64, usize: Slot::Size);

impl Field for f64 {
    type Allowed = RangeInclusive<f64>;

    fn read(value: &Value, allowed: &Self::Allowed, path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        read_by_slot(value, allowed.clone(), path, out)
    }

    fn allowed(allowed: &Self::Allowed) -> String {
        any_number(*allowed.start(), *allowed.end())
    }

    fn show(&self) -> String {
        // As JSON. The standard library's own way of writing floats is 5 KB of the compressed download, and nothing
        // else needs it.
        Value::from(*self).to_string()
    }

    fn slot(&mut self, allowed: Self::Allowed) -> Slot<'_> {
        Slot::Real(self, *allowed.start(), *allowed.end())
    }
}

impl Field for bool {
    type Allowed = ();

    fn read(value: &Value, (): &(), path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        read_by_slot(value, (), path, out)
    }

    fn allowed((): &()) -> String {
        truth()
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn slot(&mut self, (): ()) -> Slot<'_> {
        Slot::Flag(self)
    }
}

/// A text, bounded in characters; `null` is the same as leaving it out.
impl Field for Option<String> {
    type Allowed = RangeInclusive<usize>;

    fn read(value: &Value, allowed: &Self::Allowed, path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        let read = match value {
            Value::Null => Some(None),
            Value::String(text) => allowed.contains(&text.chars().count()).then(|| Some(text.clone())),
            _ => None,
        };
        refuse(read, value, path, Self::allowed(allowed), out)
    }

    fn allowed(allowed: &Self::Allowed) -> String {
        words!("a text of {} to {} characters", allowed.start(), allowed.end())
    }

    fn show(&self) -> String {
        self.clone().unwrap_or_else(|| "none".to_owned())
    }
}

/// Trackers, bounded in number: WebSocket URLs, or lists of the URLs of one tracker's equals.
impl Field for Vec<Vec<String>> {
    type Allowed = usize;

    fn read(value: &Value, allowed: &usize, path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        let urls = |entry: &Value| entry.as_array().map_or(1, |urls| urls.len());
        let list = value.as_array().filter(|list| list.iter().map(urls).sum::<usize>() <= *allowed);
        let list = refuse(list, value, path, Self::allowed(allowed), out)?;
        let mut groups: Self = Vec::with_capacity(list.len());
        let problems_before = out.len();
        for (index, entry) in list.iter().enumerate() {
            let path = words!("{path}[{index}]");
            groups.push(Vec::new());
            match entry.as_array().filter(|equals| !equals.is_empty()) {
                Some(equals) => {
                    for (place, url) in equals.iter().enumerate() {
                        read_url(url, words!("{path}[{place}]"), &mut groups, out);
                    }
                }
                None => read_url(entry, path, &mut groups, out),
            }
        }
        (out.len() == problems_before).then_some(groups)
    }

    fn allowed(allowed: &usize) -> String {
        words!("a list of at most {allowed} different ws:// or wss:// URLs, or of lists of such URLs")
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// Adds a tracker's URL to the last of the groups.
fn read_url(value: &Value, path: String, groups: &mut [Vec<String>], out: &mut Vec<Problem>) {
    let url = value.as_str().filter(|url| is_tracker_url(url));
    let known = groups.iter().flatten().any(|known| Some(known.as_str()) == url);
    match (url, groups.last_mut()) {
        (Some(url), Some(group)) if !known => group.push(url.to_owned()),
        _ => {
            let allowed = if known {
                "another URL than the entries before it"
            } else {
                "a URL such as wss://tracker.example.com/ or ws://127.0.0.1:8000/, without #"
            };
            out.push(Problem::value(path, value, words!("{allowed}")));
        }
    }
}

/// What a browser's `WebSocket` takes: scheme, host, perhaps a port, no fragment, nothing that is not printed.
fn is_tracker_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let Some(rest) = rest.strip_prefix("//") else { return false };
    if !(scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss")) || url.len() > 2048 {
        return false;
    }
    if rest.contains('#') || rest.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return false;
    }
    let authority = rest.find(['/', '?']).and_then(|end| rest.get(..end)).unwrap_or(rest);
    let host_and_port = authority.rfind('@').and_then(|at| authority.get(at + 1..)).unwrap_or(authority);
    let (host, port) = if host_and_port.starts_with('[') {
        let Some((host, port)) = host_and_port.split_once(']') else { return false };
        if !port.is_empty() && !port.starts_with(':') {
            return false;
        }
        (host.get(1..).unwrap_or_default(), port.strip_prefix(':'))
    } else {
        match host_and_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_and_port, None),
        }
    };
    let port_fits = match port {
        None => true,
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
        }
    };
    !host.is_empty() && port_fits
}

/// The variants of a choice, in order, with their names as they are written.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const CHOICES: &'static [(&'static str, Self)];
}

impl Choice for Coordination {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("elected", Coordination::Elected),
        ("random", Coordination::Random),
        ("neighbourhood", Coordination::Neighbourhood),
    ];
}

impl Choice for IntegrityMode {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("off", IntegrityMode::Off),
        ("auto", IntegrityMode::Auto),
        // An engine that cannot read records must not take them for read.
        #[cfg(feature = "signed")]
        ("signed", IntegrityMode::Signed),
    ];
}

impl Choice for Preset {
    const CHOICES: &'static [(&'static str, Self)] = &[("vod", Preset::Vod), ("live", Preset::Live)];
}

fn read_choice<T: Choice>(value: &Value, path: &str, out: &mut Vec<Problem>) -> Option<T> {
    let read = value.as_str().and_then(|name| T::CHOICES.iter().find(|choice| choice.0 == name));
    refuse(read.map(|choice| choice.1), value, path, names::<T>(), out)
}

fn names<T: Choice>() -> String {
    if !cfg!(feature = "words") {
        return String::new();
    }
    let quoted: Vec<String> = T::CHOICES.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    quoted.join(" or ")
}

fn show_choice<T: Choice>(choice: &T) -> String {
    let name = T::CHOICES.iter().find(|(_, known)| known == choice);
    name.map(|(name, _)| format!("\"{name}\"")).unwrap_or_default()
}

impl Field for Coordination {
    type Allowed = ();

    fn read(value: &Value, (): &(), path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        read_choice(value, path, out)
    }

    fn allowed((): &()) -> String {
        names::<Self>()
    }

    fn show(&self) -> String {
        show_choice(self)
    }
}

impl Field for IntegrityMode {
    type Allowed = ();

    fn read(value: &Value, (): &(), path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        read_choice(value, path, out)
    }

    fn allowed((): &()) -> String {
        names::<Self>()
    }

    fn show(&self) -> String {
        show_choice(self)
    }
}

/// A list of public keys, bounded in number.
impl Field for PublicKeys {
    type Allowed = usize;

    fn read(value: &Value, allowed: &usize, path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        let list = value.as_array().filter(|list| list.len() <= *allowed);
        let list = refuse(list, value, path, Self::allowed(allowed), out)?;
        let problems_before = out.len();
        let mut keys = Vec::with_capacity(list.len());
        for (index, entry) in list.iter().enumerate() {
            let key = entry.as_str().and_then(key_from_hex);
            let allowed = words!("an Ed25519 public key: 64 hexadecimal digits, as hlswarm-sign prints it");
            keys.extend(refuse(key, entry, &words!("{path}[{index}]"), allowed, out));
        }
        (out.len() == problems_before).then_some(PublicKeys(keys))
    }

    fn allowed(allowed: &usize) -> String {
        words!("a list of at most {allowed} Ed25519 public keys")
    }

    fn show(&self) -> String {
        let keys: Vec<String> = self.0.iter().map(|key| to_hex(key)).collect();
        format!("{keys:?}")
    }
}

impl Field for Option<Preset> {
    type Allowed = ();

    fn read(value: &Value, (): &(), path: &str, out: &mut Vec<Problem>) -> Option<Self> {
        if value.is_null() { Some(None) } else { read_choice(value, path, out).map(Some) }
    }

    fn allowed((): &()) -> String {
        names::<Preset>()
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), show_choice)
    }
}
