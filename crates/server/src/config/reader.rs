//! Reads settings out of the tree, one call per setting. Every call also leaves a [`Setting`] behind, and from those come the
//! reference, the effective values and the places in problems: a setting is told of once, where it is read.

use super::problem::{Problem, Problems, nearest, printable, quoted};
use super::tree::{Item, Origin, Table, Value};
use super::units::{self, Rate};
use super::{Surroundings, reference};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A setting's name in its section, the rule it stands for (or nothing), and what it is.
pub(super) type Told = (&'static str, &'static str, &'static str);

/// What stands where a secret would.
pub const HIDDEN: &str = "(hidden)";

/// One setting: what is known of it, and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The section, as in `apps[0].limits`; `apps[].limits` in the reference.
    pub section: String,
    /// The name within the section.
    pub name: String,
    /// The protocol rule whose limit or switch it is; may be empty.
    pub rule: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What it may be; may be empty.
    pub range: String,
    /// The value if none is given, as TOML; empty if it has none.
    pub default: String,
    /// The value in effect, as TOML with secrets hidden; empty if it is not set.
    pub value: String,
    /// Where it was written; `None` for a default.
    pub place: Option<String>,
}

impl Setting {
    /// Section and name.
    #[must_use]
    pub fn path(&self) -> String {
        join(&self.section, &self.name)
    }
}

/// What reading collects.
pub(super) struct Reader<'s> {
    pub(super) problems: Problems,
    pub(super) settings: Vec<Setting>,
    /// Where each setting that was asked for is written, by path.
    places: HashMap<String, Option<String>>,
    pub(super) surroundings: &'s Surroundings<'s>,
    /// Only the reference is wanted: every section is visited once, with nothing in it.
    describes: bool,
}

impl<'s> Reader<'s> {
    pub(super) fn new(surroundings: &'s Surroundings<'s>, problems: Problems) -> Self {
        Self { problems, settings: Vec::new(), places: HashMap::new(), surroundings, describes: false }
    }

    pub(super) fn describing(surroundings: &'s Surroundings<'s>) -> Self {
        Self { describes: true, ..Self::new(surroundings, Problems::default()) }
    }

    /// Reads the whole document.
    pub(super) fn document<T>(&mut self, items: Table, read: impl FnOnce(&mut Section<'_, 's>) -> T) -> T {
        self.section(String::new(), items, read)
    }

    /// Notes a problem of the setting at `path`, with its place if it was written somewhere.
    pub(super) fn problem(&mut self, path: &str, text: impl Into<String>) {
        let problem = self.about(path, text);
        self.problems.add(problem);
    }

    /// A problem or a warning about the setting or the section at `path`.
    pub(super) fn about(&self, path: &str, text: impl Into<String>) -> Problem {
        // What is missing has no place of its own: its section has one.
        let mut above = std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(section, _)| section));
        let place = above.find_map(|path| self.places.get(path).cloned().flatten());
        Problem { path: path.to_owned(), place, text: text.into() }
    }

    /// Whether the setting at `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    fn note(&mut self, setting: Setting) {
        self.places.insert(setting.path(), setting.place.clone());
        self.settings.push(setting);
    }

    fn section<T>(&mut self, path: String, items: Table, read: impl FnOnce(&mut Section<'_, 's>) -> T) -> T {
        let mut section = Section { reader: self, path, items, known: Vec::new() };
        let value = read(&mut section);
        section.finish();
        value
    }
}

/// A table that is being read. What nobody has asked for when its closure ends is a problem.
pub(super) struct Section<'r, 's> {
    reader: &'r mut Reader<'s>,
    path: String,
    items: Table,
    known: Vec<&'static str>,
}

impl<'s> Section<'_, 's> {
    pub(super) fn surroundings(&self) -> &'s Surroundings<'s> {
        self.reader.surroundings
    }

    /// Whether `name` is given. Ask before reading it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.items.contains_key(name)
    }

    /// Notes a problem of the setting `name`, or of this section if `name` is empty.
    pub(super) fn problem(&mut self, name: &str, text: impl Into<String>) {
        if self.reader.describes {
            return;
        }
        let mut problem = self.reader.about(&join(&self.path, name), text);
        if let Some(unread) = self.items.get(name) {
            problem.place = Some(unread.origin.to_string());
        }
        self.reader.problems.add(problem);
    }

    /// Whether only the reference is wanted.
    pub(super) fn describes(&self) -> bool {
        self.reader.describes
    }

    /// Makes `name` known without reading it.
    pub(super) fn leave(&mut self, name: &'static str) {
        self.known.push(name);
    }

    /// A switch.
    pub(super) fn flag(&mut self, told: Told, default: bool) -> bool {
        let decode = |value: &Value| match value {
            Value::Boolean(flag) => Ok(*flag),
            Value::Written(text) => text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text))),
            other => Err(expected("true or false", other)),
        };
        self.take(told, default.to_string(), String::new(), decode, bool::to_string).unwrap_or(default)
    }

    /// A switch that may be left to what else is set.
    pub(super) fn maybe_flag(&mut self, told: Told) -> Option<bool> {
        let decode = |value: &Value| match value {
            Value::Boolean(flag) => Ok(*flag),
            Value::Written(text) => text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text))),
            other => Err(expected("true or false", other)),
        };
        self.take(told, String::new(), String::new(), decode, bool::to_string)
    }

    /// A whole number within `range`, which must fit `T`.
    pub(super) fn count<T: TryFrom<u64> + Display + Copy>(&mut self, told: Told, default: T, range: RangeInclusive<u64>) -> T {
        self.maybe_count(told, Some(default), range).unwrap_or(default)
    }

    /// A whole number, or none.
    pub(super) fn maybe_count<T: TryFrom<u64> + Display + Copy>(
        &mut self,
        told: Told,
        default: Option<T>,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        let allowed = range_text(&range, u64::to_string);
        let decode = |value: &Value| {
            let number = match value {
                Value::Whole(number) => u64::try_from(*number).map_err(|_| format!("is {number}; it must be {allowed}"))?,
                Value::Written(text) => units::whole(text).ok_or_else(|| format!("{} is not a whole number", quoted(text)))?,
                other => return Err(expected("a whole number", other)),
            };
            let fitting = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
            fitting.ok_or_else(|| format!("is {number}; it must be {allowed}"))
        };
        let standing = default.map(|number| number.to_string()).unwrap_or_default();
        self.take(told, standing, allowed.clone(), decode, T::to_string).or(default)
    }

    /// A number of bytes.
    pub(super) fn bytes(&mut self, told: Told, default: usize, range: RangeInclusive<u64>) -> usize {
        let show = |bytes: &u64| text_toml(&units::bytes_text(*bytes));
        let allowed = range_text(&range, show);
        let decode = |value: &Value| {
            let bytes = match value {
                Value::Whole(number) => u64::try_from(*number).map_err(|_| format!("is {number}; it must be {allowed}"))?,
                Value::Text(text) | Value::Written(text) => units::bytes(text).ok_or_else(|| {
                    format!("{} is not a size; write \"10 KiB\", \"1 MiB\", \"64 KB\" or a number of bytes", quoted(text))
                })?,
                other => return Err(expected("a size such as \"10 KiB\"", other)),
            };
            if range.contains(&bytes) { Ok(bytes) } else { Err(format!("is {}; it must be {allowed}", units::bytes_text(bytes))) }
        };
        let bytes = self.take(told, show(&(default as u64)), allowed.clone(), decode, show);
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(default)
    }

    /// A time.
    pub(super) fn duration(&mut self, told: Told, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        self.maybe_duration(told, Some(default), range).unwrap_or(default)
    }

    /// A time, or none.
    pub(super) fn maybe_duration(&mut self, told: Told, default: Option<Duration>, range: RangeInclusive<Duration>) -> Option<Duration> {
        let show = |duration: &Duration| text_toml(&units::duration_text(*duration));
        let allowed = range_text(&range, show);
        let decode = |value: &Value| {
            let duration = match value {
                Value::Text(text) | Value::Written(text) => units::duration(text).ok_or_else(|| {
                    format!("{} is not a duration; write \"250 ms\", \"120 s\", \"30 min\", \"2 h\" or \"1 d\"", quoted(text))
                })?,
                Value::Whole(number) => return Err(format!("{number} has no unit; write \"{number} s\" or another unit")),
                other => return Err(expected("a duration such as \"120 s\"", other)),
            };
            let fits = range.contains(&duration);
            if fits { Ok(duration) } else { Err(format!("is {}; it must be {allowed}", units::duration_text(duration))) }
        };
        let standing = default.as_ref().map(show).unwrap_or_default();
        self.take(told, standing, allowed.clone(), decode, show)
    }

    /// How often.
    pub(super) fn rate(&mut self, told: Told, default: Rate) -> Rate {
        let show = |rate: &Rate| text_toml(&units::rate_text(*rate));
        let decode = |value: &Value| match value {
            Value::Text(text) | Value::Written(text) => {
                units::rate(text).ok_or_else(|| format!("{} is not a rate; write \"100/s\", \"30/min\" or \"5000/h\"", quoted(text)))
            }
            other => Err(expected("a rate such as \"100/s\"", other)),
        };
        self.take(told, show(&default), String::new(), decode, show).unwrap_or(default)
    }

    /// One of a few names.
    pub(super) fn one_of<T: Copy + PartialEq>(&mut self, told: Told, default: T, names: &[(&'static str, T)]) -> T {
        let show = |value: &T| names.iter().find(|(_, known)| known == value).map_or_else(String::new, |(name, _)| text_toml(name));
        let allowed = names.iter().map(|(name, _)| text_toml(name)).collect::<Vec<_>>().join(" or ");
        let decode = |value: &Value| {
            let text = text_of(value)?;
            let found = names.iter().find(|(name, _)| *name == text);
            found.map(|(_, value)| *value).ok_or_else(|| format!("{} is not known; write {allowed}", quoted(text)))
        };
        self.take(told, show(&default), allowed.clone(), decode, show).unwrap_or(default)
    }

    /// A text that `check` finds right. The default is empty for none.
    pub(super) fn text<T>(
        &mut self,
        told: Told,
        default: &str,
        check: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let standing = if default.is_empty() { String::new() } else { text_toml(default) };
        self.take(told, standing, String::new(), |value| check(text_of(value)?), |read| text_toml(&show(read)))
    }

    /// Texts that `check` finds right, each. A variable holds them with commas between, or as a TOML list.
    pub(super) fn texts<T>(
        &mut self,
        told: Told,
        default: &[&str],
        check: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Option<Vec<T>> {
        let decode = |value: &Value| match value {
            Value::List(items) => items.iter().map(|item| check(text_of(&item.value)?)).collect(),
            Value::Written(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(&check).collect(),
            other => Err(expected("a list of texts", other)),
        };
        let standing = if default.is_empty() { String::new() } else { list_toml(default) };
        let show_all = |read: &Vec<T>| list_toml(&read.iter().map(show).collect::<Vec<_>>());
        self.take(told, standing, String::new(), decode, show_all)
    }

    /// A path; one that is written in the file is relative to the file.
    pub(super) fn path_to(&mut self, told: Told) -> Option<PathBuf> {
        let directory = self.directory(told.0);
        self.text(told, "", |text| given(text).map(|text| directory.join(text)), |path| path.display().to_string())
    }

    /// A secret, given under `name` or in a file under `name_file`. It is never shown.
    pub(super) fn secret(&mut self, told: Told, file: Told) -> Option<String> {
        if self.has(told.0) && self.has(file.0) {
            self.problem(told.0, format!("is given twice: keep `{}` or `{}`", told.0, file.0));
        }
        let plain = if self.reader.describes || self.has(told.0) || !self.has(file.0) {
            self.take(told, String::new(), String::new(), |value| text_of(value).map(str::to_owned), |_| text_toml(HIDDEN))
        } else {
            self.known.push(told.0);
            None
        };
        let path = if self.reader.describes || self.has(file.0) {
            self.path_to(file)
        } else {
            self.known.push(file.0);
            None
        };
        plain.or_else(|| self.secret_in(&path?, file.0))
    }

    fn secret_in(&mut self, path: &Path, name: &str) -> Option<String> {
        match read_text(self.surroundings(), path) {
            Ok(secret) => Some(secret),
            Err(text) => {
                self.problem(name, text);
                None
            }
        }
    }

    /// A table of names and texts that may be secrets: they are never shown.
    pub(super) fn pairs(&mut self, told: Told, check: impl Fn(&str, &str) -> Result<(), String>) -> Vec<(String, String)> {
        let (name, rule, about) = told;
        let section = join(&self.path, name);
        let setting = |section: &str, name: &str, value: String, place: Option<String>| Setting {
            section: section.to_owned(),
            name: name.to_owned(),
            rule,
            about,
            range: String::new(),
            default: String::new(),
            value,
            place,
        };
        if self.reader.describes {
            self.reader.note(setting(&self.path, name, String::new(), None));
        }
        let Some(items) = self.table(name) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, item) in items {
            self.reader.note(setting(&section, &name, text_toml(HIDDEN), Some(item.origin.to_string())));
            match text_of(&item.value).and_then(|text| check(&name, text).map(|()| text.to_owned())) {
                Ok(text) => pairs.push((name, text)),
                Err(text) => self.reader.problem(&join(&section, &printable(&name)), text),
            }
        }
        pairs
    }

    /// A section within this one.
    pub(super) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 's>) -> T) -> T {
        let items = self.table(name).unwrap_or_default();
        self.reader.section(join(&self.path, name), items, read)
    }

    /// A section that may be left out.
    pub(super) fn maybe_section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 's>) -> T) -> Option<T> {
        let items = self.table(name).or_else(|| self.reader.describes.then(Table::new))?;
        Some(self.reader.section(join(&self.path, name), items, read))
    }

    /// A list of sections.
    pub(super) fn sections<T>(&mut self, name: &'static str, mut read: impl FnMut(&mut Section<'_, 's>) -> T) -> Vec<T> {
        self.known.push(name);
        let path = join(&self.path, name);
        if self.reader.describes {
            self.reader.section(format!("{path}[]"), Table::new(), read);
            return Vec::new();
        }
        let items = match self.items.remove(name) {
            None => Vec::new(),
            Some(Item { value: Value::List(items), .. }) => items,
            Some(item) => {
                let text = format!("write [[{}]]: there may be several", without_indices(&path));
                self.reader.problems.add(Problem { path, place: Some(item.origin.to_string()), text });
                return Vec::new();
            }
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            match item.value {
                Value::Table(items) => {
                    self.reader.places.insert(path.clone(), (item.origin != Origin::Default).then(|| item.origin.to_string()));
                    values.push(self.reader.section(path, items, &mut read));
                }
                other => {
                    let problem = Problem { path, place: Some(item.origin.to_string()), text: expected("a table", &other) };
                    self.reader.problems.add(problem);
                }
            }
        }
        values
    }

    /// Names that have a meaning, but not in this build.
    pub(super) fn later(&mut self, names: &[&'static str], instead: &str) {
        for name in names {
            if let Some(item) = self.items.remove(*name) {
                let text = format!("is not in this build yet; remove it: {instead}");
                self.reader.problems.add(Problem { path: join(&self.path, name), place: Some(item.origin.to_string()), text });
            }
        }
    }

    /// Where a relative path under `name` begins: at the file's directory, or for a variable at the working directory.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        match self.items.get(name).map(|item| &item.origin) {
            Some(Origin::File { .. }) => self.surroundings().directory.clone(),
            _ => PathBuf::new(),
        }
    }

    fn table(&mut self, name: &'static str) -> Option<Table> {
        self.known.push(name);
        let item = self.items.remove(name)?;
        match item.value {
            Value::Table(items) => {
                let place = (item.origin != Origin::Default).then(|| item.origin.to_string());
                self.reader.places.insert(join(&self.path, name), place);
                Some(items)
            }
            other => {
                let problem =
                    Problem { path: join(&self.path, name), place: Some(item.origin.to_string()), text: expected("a table", &other) };
                self.reader.problems.add(problem);
                None
            }
        }
    }

    /// Takes one item out and notes the setting. What cannot be read is a problem, and then the default stands so that reading can go on.
    fn take<T>(
        &mut self,
        (name, rule, about): Told,
        default: String,
        range: String,
        decode: impl FnOnce(&Value) -> Result<T, String>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        self.known.push(name);
        let item = self.items.remove(name);
        let place = item.as_ref().map(|item| &item.origin).filter(|origin| **origin != Origin::Default).map(Origin::to_string);
        let read = item.map(|item| decode(&item.value)).transpose();
        let value = match &read {
            Ok(Some(read)) => show(read),
            _ => default.clone(),
        };
        let setting = Setting { section: self.path.clone(), name: name.to_owned(), rule, about, range, default, value, place };
        self.reader.note(setting);
        read.unwrap_or_else(|text| {
            self.problem(name, text);
            None
        })
    }

    fn finish(self) {
        for (name, item) in self.items {
            let path = join(&self.path, &printable(&name));
            let text = match (nearest(&name, self.known.iter().copied()), reference::homes(&name).as_slice()) {
                (Some(near), _) => match &item.origin {
                    Origin::Variable(_) => format!("there is no such setting; did you mean {}?", variable(&join(&self.path, near))),
                    _ => format!("there is no such setting; did you mean `{near}`?"),
                },
                (None, []) => format!("there is no such setting; known here: {}", self.known.join(", ")),
                (None, homes) => format!("there is no such setting here; it belongs to {}", homes.join(" or ")),
            };
            self.reader.problems.add(Problem { path, place: Some(item.origin.to_string()), text });
        }
    }
}

/// The trimmed text of a small file: one trailing line end does not belong to it.
pub(super) fn read_text(surroundings: &Surroundings<'_>, path: &Path) -> Result<String, String> {
    let bytes = (surroundings.read_file)(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
}

/// The variable that sets `path`.
fn variable(path: &str) -> String {
    format!("TIDINGS__{}", path.replace('[', "__").replace(']', "").replace('.', "__").to_uppercase())
}

pub(super) fn without_indices(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = *c == '[' || inside && *c != ']';
            !inside && *c != ']'
        })
        .collect()
}

/// The text, which must not be empty.
pub(super) fn given_owned(text: &str) -> Result<String, String> {
    given(text).map(str::to_owned)
}

/// The text, which must not be empty.
pub(super) fn given(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
}

pub(super) fn text_toml(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list_toml(texts: &[impl AsRef<str>]) -> String {
    format!("[{}]", texts.iter().map(|text| text_toml(text.as_ref())).collect::<Vec<_>>().join(", "))
}

fn text_of(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) | Value::Written(text) => Ok(text),
        other => Err(expected("a text", other)),
    }
}

fn expected(wanted: &str, found: &Value) -> String {
    format!("expected {wanted}, found {}", found.kind())
}

fn range_text<T: PartialEq>(range: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> String {
    format!("{} to {}", show(range.start()), show(range.end()))
}

fn join(section: &str, name: &str) -> String {
    match (section, name) {
        ("", name) => name.to_owned(),
        (section, "") => section.to_owned(),
        (section, name) => format!("{section}.{name}"),
    }
}
