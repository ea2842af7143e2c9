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
                $crate::config::slot::apply(self, given, problems);
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

        impl $crate::config::slot::Section for $name {
            fn about(&self) -> &'static $crate::config::slot::About {
                &$crate::config::slot::About {
                    section: $section,
                    keys: <$name>::KEYS,
                    aliases: &[$($(($alias, $key),)?)+],
                }
            }

            fn slot(&mut self, option: usize) -> $crate::config::slot::Slot<'_> {
                /// The options by number.
                #[expect(non_camel_case_types, reason = "the names are those of the fields")]
                #[derive(Clone, Copy)]
                enum Numbered {
                    $($field),+
                }
                const ALL: &[Numbered] = &[$(Numbered::$field),+];
                match ALL[option] {
                    $(Numbered::$field => $crate::config::field::Field::slot(&mut self.$field, $allowed)),+
                }
            }
        }
    };
}

pub(super) use options;
