//! The configuration as a tree of items, each of which knows where it was written. Parses TOML; knows no setting.

use super::problem::{Problem, Problems};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A table: names in byte order.
pub(super) type Table = BTreeMap<String, Item>;

/// A value and where it was written. No `Debug`: it may hold secrets.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What may stand in a configuration.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    /// Text of a variable: its reader decides of which kind it is.
    Written(String),
    Whole(i64),
    Boolean(bool),
    List(Vec<Item>),
    Table(Table),
    /// Of a kind that no setting has, with its name.
    Other(&'static str),
}

impl Value {
    /// The kind, for problems.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) | Value::Written(_) => "a text",
            Value::Whole(_) => "a whole number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of a file, counted from 1.
    File { name: Arc<str>, line: usize },
    /// A variable of the environment.
    Variable(Arc<str>),
    /// Nowhere: it is a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// Parses a document. What is broken goes to `problems` with its line, never with the text of the line, which may hold a secret.
pub(super) fn parse(name: &str, text: &str, problems: &mut Problems) -> Table {
    let source = Lines::new(name, text);
    match DeTable::parse(text) {
        Ok(table) => source.table(table.into_inner()),
        Err(error) => {
            let place = error.span().map_or_else(|| name.to_owned(), |span| source.place(span.start));
            problems.add(Problem { path: String::new(), place: Some(place), text: error.message().to_owned() });
            Table::new()
        }
    }
}

/// Parses a list or an inline table that a variable holds; `None` if it is neither.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Value> {
    let parsed = text.starts_with(['[', '{']).then(|| DeValue::parse(text).ok())??;
    Some(value(parsed.into_inner(), &|_| origin.clone()))
}

/// A text and where its lines begin.
struct Lines<'t> {
    name: Arc<str>,
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(name: &str, text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: Arc::from(name), text, starts }
    }

    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// Name, line and column of a byte, the last two counted from 1.
    fn place(&self, at: usize) -> String {
        let line = self.line(at);
        let column = self.text.get(self.starts[line - 1]..at).map_or(1, |before| before.chars().count() + 1);
        format!("{}:{line}:{column}", self.name)
    }

    fn table(&self, parsed: DeTable<'_>) -> Table {
        table(parsed, &|at| Origin::File { name: Arc::clone(&self.name), line: self.line(at) })
    }
}

/// A table's items carry the line of their key: that is where a reader looks for them.
fn table(parsed: DeTable<'_>, origin: &dyn Fn(usize) -> Origin) -> Table {
    let item = |(key, item): (toml::Spanned<toml::de::DeString<'_>>, toml::Spanned<DeValue<'_>>)| {
        let place = origin(key.span().start);
        (key.into_inner().into_owned(), Item { value: value(item.into_inner(), origin), origin: place })
    };
    parsed.into_iter().map(item).collect()
}

/// The parser bounds nesting, so this recursion is bounded too.
fn value(parsed: DeValue<'_>, origin: &dyn Fn(usize) -> Origin) -> Value {
    match parsed {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other("a number without bounds"), Value::Whole)
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(
            items.into_iter().map(|item| Item { origin: origin(item.span().start), value: value(item.into_inner(), origin) }).collect(),
        ),
        DeValue::Table(items) => Value::Table(table(items, origin)),
    }
}
