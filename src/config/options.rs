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

            /// Lays the keys of `value` over `self`.
            pub(super) fn apply(
                &mut self,
                value: &serde_json::Value,
                problems: &mut Vec<$crate::config::Problem>,
            ) {
                let serde_json::Value::Object(given) = value else {
                    problems.push($crate::config::Problem::value(
                        $section.to_owned(),
                        value,
                        "an object".to_owned(),
                    ));
                    return;
                };
                for (key, value) in given {
                    match key.as_str() {
                        $(
                            $key $(| $alias)? => {
                                let path = concat!($section, ".", $key);
                                $(
                                    if key == $alias && given.contains_key($key) {
                                        problems.push($crate::config::Problem::value(
                                            concat!($section, ".", $alias).to_owned(),
                                            value,
                                            concat!("left out where ", $section, ".", $key, " is given: it is its other name")
                                                .to_owned(),
                                        ));
                                    }
                                )?
                                let read = <$type as $crate::config::field::Field>::read(value, &$allowed, path, problems);
                                if let Some(read) = read {
                                    self.$field = read;
                                }
                            }
                        )+
                        _ => problems.push($crate::config::error::unknown($section, key, value, Self::KEYS)),
                    }
                }
            }

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

pub(super) use options;
