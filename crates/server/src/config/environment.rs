//! The environment over the file: `TIDINGS__LIMITS__CONNECTIONS`, `TIDINGS__APPS__0__SECRET`, and `…_FILE` for a file that holds the value.

use super::problem::{Problem, Problems};
use super::reader::read_text;
use super::tree::{Item, Origin, Table, Value, parse_value};
use super::{Surroundings, reader::text_toml};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

const PREFIX: &str = "TIDINGS__";
/// The deepest setting has six parts; a name beyond this is nobody's.
const PARTS_MAX: usize = 12;

/// One variable, taken apart.
struct Variable {
    name: Arc<str>,
    parts: Vec<Part>,
    value: Value,
}

/// A step on the way to a setting.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(usize),
    Name(String),
}

/// Writes what `variables` say over `items`. Only names that begin with `TIDINGS__` are looked at.
pub(super) fn overlay(
    items: &mut Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) {
    let mut ours = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        match take_apart(name, value, surroundings) {
            Ok(variable) => ours.push(variable),
            Err(text) => problems.add(Problem { path: String::new(), place: Some(name.to_owned()), text }),
        }
    }
    // By place, so that a list grows from its front and the order of the environment decides nothing.
    ours.sort_by(|one, other| (&one.parts, &one.name).cmp(&(&other.parts, &other.name)));
    for variable in ours {
        let place = variable.name.to_string();
        if let Err(text) = set(items, variable) {
            problems.add(Problem { path: String::new(), place: Some(place), text });
        }
    }
}

fn take_apart(name: &str, value: OsString, surroundings: &Surroundings<'_>) -> Result<Variable, String> {
    let mut parts: Vec<Part> = name[PREFIX.len()..].split("__").map(part).collect();
    if parts.len() > PARTS_MAX || parts.contains(&Part::Name(String::new())) || matches!(parts[0], Part::Index(_)) {
        return Err("is the name of no setting".to_owned());
    }
    let text = value.into_string().map_err(|_| "is not UTF-8 text".to_owned())?;
    let origin = Origin::Variable(Arc::from(name));
    let value = match parts.last_mut() {
        Some(Part::Name(last)) if last.len() > "_file".len() && last.ends_with("_file") => {
            last.truncate(last.len() - "_file".len());
            Value::Written(read_text(surroundings, Path::new(&text))?)
        }
        _ => parse_value(&text, &origin).unwrap_or(Value::Written(text)),
    };
    Ok(Variable { name: Arc::from(name), parts, value })
}

fn part(text: &str) -> Part {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map_or_else(|| Part::Name(text.to_ascii_lowercase()), Part::Index)
}

fn set(items: &mut Table, Variable { name, parts, value }: Variable) -> Result<(), String> {
    let origin = Origin::Variable(name);
    let mut parts = parts.into_iter().peekable();
    let Some(Part::Name(first)) = parts.next() else { return Err("is the name of no setting".to_owned()) };
    let (mut table, mut last) = (items, first);
    while let Some(next) = parts.next() {
        let empty = if matches!(next, Part::Index(_)) { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
        let mut item = table.entry(last.clone()).or_insert_with(|| Item { value: empty, origin: origin.clone() });
        let mut next = Some(next);
        // A list of lists has no name, so after an index a name must come.
        if let Some(Part::Index(index)) = next {
            let Value::List(list) = &mut item.value else { return Err(format!("`{last}` is no list")) };
            if index > list.len() {
                return Err(format!("`{last}` has {} so far, so the next index is {}", list.len(), list.len()));
            }
            let Some(following) = parts.next() else {
                let item = Item { value, origin };
                if index < list.len() {
                    list[index] = item
                } else {
                    list.push(item)
                }
                return Ok(());
            };
            if index == list.len() {
                list.push(Item { value: Value::Table(Table::new()), origin: origin.clone() });
            }
            item = &mut list[index];
            next = Some(following);
        }
        let Some(Part::Name(name)) = next else { return Err("is the name of no setting".to_owned()) };
        let Value::Table(inner) = &mut item.value else { return Err(format!("`{last}` has no settings within")) };
        (table, last) = (inner, name);
    }
    if let Some(Item { origin: Origin::Variable(other), .. }) = table.get(&last).filter(|item| matches!(item.origin, Origin::Variable(_))) {
        return Err(format!("{} is set by {other} too; keep one of them", text_toml(&last)));
    }
    // What the file says of the same value in its other form no longer holds.
    table.remove(&format!("{last}_file"));
    table.insert(last, Item { value, origin });
    Ok(())
}
