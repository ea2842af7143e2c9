//! The macro that declares a section of options once.

/// Declares a section: the struct, its defaults, how it is read from JSON and what the documentation says of it.
///
/// Each line is `field: type = default, "key", "unit", allowed;` with the meaning as its doc comment. `allowed` is
/// what [`Field::Allowed`](super::field::Field::Allowed) says for the type. `"key" | "other"` gives a second name.
macro_rules! options {
    (
        $(#[$outer:meta])*
        pub struct $name:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:expr, $key:literal $(| $alias:literal)?, $unit:literal, $allowed:expr;
            )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nOption `", $section, ".", $key, "`, unit: ", $unit, ".")]
                #[serde(rename = $key)]
                pub $field: $type,
            )+
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default),+ }
            }
        }

        impl $name {
            pub(super) const KEYS: &'static [&'static str] = &[$($key),+];

            /// Lays the keys of `given` over `self`.
            pub(super) fn apply(
                &mut self,
                given: &$crate::json::Value,
                problems: &mut Vec<$crate::config::Problem>,
            ) {
                let Some(entries) = given.as_object() else {
                    problems.push($crate::config::Problem::value(
                        $section.to_owned(),
                        given,
                        "an object".to_owned(),
                    ));
                    return;
                };
                for (key, value) in entries {
                    let reader = Self::READERS.iter().find(|reader| reader.key == key || reader.alias == Some(key));
                    let Some(reader) = reader else {
                        problems.push($crate::config::error::unknown($section, key, value, Self::KEYS));
                        continue;
                    };
                    if reader.key != key && given.get(reader.key).is_some() {
                        problems.push($crate::config::Problem::value(
                            format!("{}.{key}", $section),
                            value,
                            format!("left out where {}.{} is given: it is its other name", $section, reader.key),
                        ));
                    }
                    (reader.read)(self, value, problems);
                }
            }

            // A table and not a match: a match over texts grows into several times the code.
            const READERS: &'static [$crate::config::options::Reader<$name>] = &[$(
                $crate::config::options::Reader {
                    key: $key,
                    alias: $crate::config::options::alias!($($alias)?),
                    read: |section, value, problems| {
                        let path = concat!($section, ".", $key);
                        let read = <$type as $crate::config::field::Field>::read(value, &$allowed, path, problems);
                        if let Some(read) = read {
                            section.$field = read;
                        }
                    },
                }
            ),+];

            /// What the documentation says of each option, in order.
            pub(super) fn docs() -> Vec<$crate::config::OptionDoc> {
                vec![$(
                    $crate::config::OptionDoc {
                        section: $section,
                        key: $key,
                        alias: None $(.or(Some($alias)))?,
                        default: <$type as $crate::config::field::Field>::show(&$default),
                        unit: $unit,
                        allowed: <$type as $crate::config::field::Field>::allowed(&$allowed),
                        meaning: [$($doc.trim()),+].join(" "),
                    }
                ),+]
            }
        }
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}

/// How one option of a section is read.
pub(super) struct Reader<S> {
    pub(super) key: &'static str,
    pub(super) alias: Option<&'static str>,
    pub(super) read: fn(&mut S, &crate::json::Value, &mut Vec<super::Problem>),
}

pub(super) use {alias, options};
