//! One macro that makes a table of settings: the struct, its defaults, and the documented sample.

use serde::Serialize;

/// A table of settings that can write itself down with its documentation.
pub(super) trait Sample: Serialize {
    /// Each setting's name and its documentation, in order.
    const DOCS: &'static [(&'static str, &'static [&'static str])];
    /// What the table is for.
    const ABOUT: &'static [&'static str];

    /// Appends the table as TOML with every value and its documentation as a comment.
    fn sample(&self, table: &str, out: &mut String) {
        for line in Self::ABOUT {
            push_comment(line, out);
        }
        if !table.is_empty() {
            out.push_str(&format!("[{table}]\n"));
        }
        let values = toml::Table::try_from(self).unwrap_or_default();
        for (name, docs) in Self::DOCS {
            for line in *docs {
                push_comment(line, out);
            }
            if let Some(value) = values.get(*name) {
                out.push_str(&format!("{name} = {value}\n\n"));
            }
        }
    }
}

fn push_comment(line: &str, out: &mut String) {
    out.push('#');
    out.push_str(line);
    out.push('\n');
}

/// Declares a table of settings: every field with its documentation and default.
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident : $type:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $( $field: $default, )* }
            }
        }

        impl $crate::config::settings::Sample for $name {
            const DOCS: &'static [(&'static str, &'static [&'static str])] =
                &[$( (stringify!($field), &[$($doc),*]), )*];
            const ABOUT: &'static [&'static str] = &[$($about),*];
        }
    };
}

pub(super) use settings;
