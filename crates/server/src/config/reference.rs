//! The reference of all settings, and the values in effect as TOML. Both come from what reading leaves behind.

use super::reader::{Reader, Setting, text_toml, without_indices};
use super::{Surroundings, whole};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use tidings_hub::Key;

/// Every setting there is, in the order of the sections.
#[must_use]
pub fn reference() -> &'static [Setting] {
    static REFERENCE: OnceLock<Vec<Setting>> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let surroundings = Surroundings {
            directory: PathBuf::new(),
            cores: 1,
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
            make_key: &|| Key { key: String::new(), secret: String::new() },
        };
        let mut reader = Reader::describing(&surroundings);
        reader.document(BTreeMap::new(), whole);
        let mut settings = reader.settings;
        for setting in &mut settings {
            if setting.path() == "limits.shards" {
                "cores".clone_into(&mut setting.default);
            }
        }
        settings
    })
}

/// The sections that have a setting of this name.
pub(super) fn homes(name: &str) -> Vec<String> {
    let mut homes: Vec<_> = reference().iter().filter(|setting| setting.name == name).map(|setting| header(&setting.section)).collect();
    homes.dedup();
    homes
}

/// The reference as a Markdown table: rule, key, default, what it may be, what it is.
#[must_use]
pub fn reference_table() -> String {
    let code = |text: &str| if text.is_empty() { "–".to_owned() } else { format!("`{text}`") };
    let mut table = String::from("| rule | key | default | may be | what it is |\n| --- | --- | --- | --- | --- |\n");
    for setting in reference() {
        let rule = if setting.rule.is_empty() { "–" } else { setting.rule };
        let (path, default, range) = (setting.path(), code(&setting.default), setting.range.replace('"', ""));
        let range = if range.is_empty() { "–".to_owned() } else { range };
        let _ = writeln!(table, "| {rule} | `{path}` | {default} | {range} | {} |", setting.about.replace('|', "\\|"));
    }
    table
}

/// The values in effect as TOML that reads back, but for its secrets. What was written somewhere says where.
#[must_use]
pub fn effective(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut section = None;
    for setting in settings {
        if section != Some(&setting.section) {
            section = Some(&setting.section);
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", header(&setting.section));
        }
        let name = key(&setting.name);
        let _ = match (setting.value.as_str(), &setting.place) {
            ("", _) => writeln!(text, "# {name} is not set"),
            (value, Some(place)) => writeln!(text, "{name} = {value} # {place}"),
            (value, None) => writeln!(text, "{name} = {value}"),
        };
    }
    text
}

/// `[limits]`, `[[apps]]`, `[apps.limits]`: TOML means the last app by it.
fn header(section: &str) -> String {
    let name = without_indices(section);
    if section.ends_with(']') { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { name.to_owned() } else { text_toml(name) }
}
