//! Where an option's value goes, whatever its type: one reader serves all options.
//!
//! A reader written out for each of the options would be a tenth of the browser download.

use super::error::{Problem, unknown, words};
use super::field::Field;
use crate::json::Value;

/// The place of an option's value, and the bounds it is held to.
pub(super) enum Slot<'a> {
    /// A whole number from the first bound to the second.
    U32(&'a mut u32, u64, u64),
    /// The same.
    U64(&'a mut u64, u64, u64),
    /// The same.
    Size(&'a mut usize, u64, u64),
    /// Any number from the first bound to the second.
    Real(&'a mut f64, f64, f64),
    /// Yes or no.
    Flag(&'a mut bool),
    /// What reads itself.
    Other(Box<dyn Place + 'a>),
}

/// A place of a type that reads itself.
pub(super) trait Place {
    /// Puts the value there; pushes problems when it is not allowed.
    fn fill(&mut self, value: &Value, path: &str, problems: &mut Vec<Problem>);
}

/// The place of a field with its bounds.
pub(super) struct Bounded<'a, T: Field> {
    pub(super) place: &'a mut T,
    pub(super) allowed: T::Allowed,
}

impl<T: Field> Place for Bounded<'_, T> {
    fn fill(&mut self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        if let Some(read) = T::read(value, &self.allowed, path, problems) {
            *self.place = read;
        }
    }
}

/// What is allowed where a whole number is wanted.
pub(super) fn whole_number(low: u64, high: u64) -> String {
    words!("a whole number from {low} to {high}")
}

/// What is allowed where a number is wanted.
pub(super) fn any_number(low: f64, high: f64) -> String {
    words!("a number from {} to {}", low.show(), high.show())
}

/// What is allowed where a truth value is wanted.
pub(super) fn truth() -> String {
    words!("true or false")
}

/// The whole number in `value`, if it is one within the bounds. JavaScript has one number type: 5 and 5.0 are the same.
fn whole(value: &Value, low: u64, high: u64) -> Option<u64> {
    value.as_u64().filter(|number| (low..=high).contains(number))
}

impl Slot<'_> {
    /// Puts `value` there, or pushes a problem when it is not allowed.
    pub(super) fn fill(self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        let refused = match self {
            Slot::U32(place, low, high) => match whole(value, low, high) {
                Some(number) => return *place = number as u32,
                None => whole_number(low, high),
            },
            Slot::U64(place, low, high) => match whole(value, low, high) {
                Some(number) => return *place = number,
                None => whole_number(low, high),
            },
            Slot::Size(place, low, high) => match whole(value, low, high) {
                Some(number) => return *place = number as usize,
                None => whole_number(low, high),
            },
            Slot::Real(place, low, high) => {
                match value.as_f64().filter(|number| (low..=high).contains(number)) {
                    Some(number) => return *place = number,
                    None => any_number(low, high),
                }
            }
            Slot::Flag(place) => match value.as_bool() {
                Some(flag) => return *place = flag,
                None => truth(),
            },
            Slot::Other(mut place) => return place.fill(value, path, problems),
        };
        problems.push(Problem::value(path.to_owned(), value, refused));
    }
}

/// A section of options as the code sees it that they all share.
pub(super) trait Section {
    /// Its name and those of its options.
    fn about(&self) -> &'static About;
    /// The place of the option with this number.
    fn slot(&mut self, option: usize) -> Slot<'_>;
}

/// The names in a section.
pub(super) struct About {
    pub(super) section: &'static str,
    pub(super) keys: &'static [&'static str],
    /// Second names of options, each with the first.
    pub(super) aliases: &'static [(&'static str, &'static str)],
}

/// Lays the keys of `given` over a section.
pub(super) fn apply(section: &mut dyn Section, given: &Value, problems: &mut Vec<Problem>) {
    let About { section: name, keys, aliases } = section.about();
    let Some(entries) = given.as_object() else {
        problems.push(Problem::value(words!("{name}"), given, words!("an object")));
        return;
    };
    for (given_key, value) in entries {
        let alias = aliases.iter().find(|(alias, _)| alias == given_key);
        let key = alias.map_or(given_key.as_str(), |(_, key)| key);
        let Some(option) = keys.iter().position(|known| *known == key) else {
            problems.push(unknown(name, given_key, value, keys));
            continue;
        };
        if alias.is_some() && given.get(key).is_some() {
            problems.push(Problem::value(
                words!("{name}.{given_key}"),
                value,
                words!("left out where {name}.{key} is given: it is its other name"),
            ));
        }
        section.slot(option).fill(value, &words!("{name}.{key}"), problems);
    }
}
