//! The options as the documentation shows them.

use super::field::Field;
use super::{IntegrityConfig, LimitsConfig, LoaderConfig, Preset, SegmentsConfig};

/// What the documentation says of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDoc {
    /// `segments`, `loader`, `integrity` or `limits`; empty at the top level.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// Another name of the same option.
    pub alias: Option<&'static str>,
    /// The default, as text.
    pub default: String,
    /// The unit.
    pub unit: &'static str,
    /// What is allowed.
    pub allowed: String,
    /// What it does.
    pub meaning: String,
}

/// Every option that the engine reads, in order.
pub fn option_docs() -> Vec<OptionDoc> {
    let mut docs = vec![OptionDoc {
        section: "",
        key: "presets",
        alias: None,
        default: Option::<Preset>::show(&None),
        unit: "choice",
        allowed: Option::<Preset>::allowed(&()),
        meaning: "Ready-made settings laid over the defaults; keys given explicitly win over them."
            .to_owned(),
    }];
    docs.extend(SegmentsConfig::docs());
    docs.extend(LoaderConfig::docs());
    docs.extend(IntegrityConfig::docs());
    docs.extend(LimitsConfig::docs());
    docs
}

/// Every option as a Markdown table: key, default, unit, what is allowed, meaning.
pub fn options_table() -> String {
    let mut table = String::from("| option | default | unit | allowed | meaning |\n|---|---|---|---|---|\n");
    for doc in option_docs() {
        let path =
            if doc.section.is_empty() { doc.key.to_owned() } else { format!("{}.{}", doc.section, doc.key) };
        let alias = doc.alias.map(|alias| format!(" (or `{alias}`)")).unwrap_or_default();
        let OptionDoc { default, unit, allowed, meaning, .. } = doc;
        table.push_str(&format!("| `{path}`{alias} | {default} | {unit} | {allowed} | {meaning} |\n"));
    }
    table
}
