//! Form bodies as the original reads them (Y-6.10), within bounds, and as it and PHP's senders print them (Y-6.9).

use super::json::{index, write_string, write_unit};
use percent_encoding::percent_decode_str;

/// How many `key=value` pairs a form may have.
pub(super) const PAIRS_MAX: usize = 1000;
/// How many levels a form may have.
pub(super) const LEVELS_MAX: usize = 32;
/// The highest index within an array.
pub(super) const INDEX_MAX: u32 = 1000;

/// Why a form is not read (Y-6.10, Y-10.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadForm {
    /// It has more pairs than [`PAIRS_MAX`].
    #[error("the form has more than {PAIRS_MAX} pairs")]
    Pairs,
    /// It has more levels than [`LEVELS_MAX`].
    #[error("the form has more than {LEVELS_MAX} levels")]
    Levels,
    /// It has an index above [`INDEX_MAX`].
    #[error("the form has an index above {INDEX_MAX}")]
    Index,
}

/// A form that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form(Tree);

#[derive(Debug, PartialEq, Eq)]
enum Node {
    Leaf(String),
    Tree(Tree),
}

/// An array or an object: in both, keys and what they hold in the order in which they were sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tree {
    is_object: bool,
    entries: Vec<(String, Node)>,
}

impl Form {
    pub(super) fn parse(body: &str) -> Result<Self, BadForm> {
        let mut form = Self(Tree { is_object: true, entries: Vec::new() });
        if body.is_empty() {
            return Ok(form);
        }
        for (at, piece) in body.split('&').enumerate() {
            if at == PAIRS_MAX {
                return Err(BadForm::Pairs);
            }
            let (key, value) = pair(piece);
            form.0.merge(&key, value)?;
        }
        Ok(form)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// C1: as JavaScript prints it.
    pub(super) fn canonical(&self) -> String {
        let mut out = String::new();
        self.0.write_canonical(&mut out);
        out
    }

    /// C3 or C4: as PHP prints what it sends as this form.
    pub(super) fn php(&self, numbers: Numbers) -> String {
        let mut out = String::new();
        self.0.write_php(numbers, &mut out);
        out
    }
}

/// What PHP's numbers were before they became a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Strings, as everything else.
    Quoted,
    /// Numbers.
    Bare,
}

/// The key and the value of a piece, unescaped.
pub(super) fn pair(piece: &str) -> (String, String) {
    let (mut bracket, mut end) = (false, None);
    for (at, byte) in piece.bytes().enumerate() {
        match byte {
            b'[' => bracket = true,
            b']' => bracket = false,
            b'=' if !bracket => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    // A bracket that is never closed holds nothing back.
    let end = end.or_else(|| piece.find('=')).filter(|end| *end > 0);
    match end {
        Some(end) => (unescape(&piece[..end]), unescape(&piece[end + 1..])),
        None => (unescape(piece), String::new()),
    }
}

/// A part with escapes that stand for no text stays as written.
fn unescape(part: &str) -> String {
    let bytes = part.as_bytes();
    let sound =
        memchr::memchr_iter(b'%', bytes).all(|at| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let spaced = part.replace('+', " ");
    let text = sound.then(|| percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)).flatten();
    text.unwrap_or_else(|| part.to_owned())
}

impl Tree {
    fn merge(&mut self, key: &str, value: String) -> Result<(), BadForm> {
        // Without a name in front there is nothing that brackets could be a part of.
        if !key.contains(']') || key.starts_with('[') {
            self.put(key, &[], value);
            return Ok(());
        }
        let parts: Vec<&str> = key.splitn(LEVELS_MAX + 1, '[').collect();
        if parts.len() > LEVELS_MAX {
            return Err(BadForm::Levels);
        }
        // At the top level, which is an object, high numbers are keys like others.
        let too_high = |part: &&str| is_digits(name(part)) && name(part).parse().map_or(true, |index: u32| index > INDEX_MAX);
        if parts[1..].iter().any(too_high) {
            return Err(BadForm::Index);
        }
        self.enter(parts[0], &parts[1..], value);
        Ok(())
    }

    /// Takes one step on the way that the parts of a key tell.
    fn enter(&mut self, part: &str, rest: &[&str], value: String) {
        if part == "]" {
            return self.push(value);
        }
        let name = name(part);
        self.is_object |= !is_digits(name);
        self.put(name, rest, value);
    }

    /// `a[]=value`
    fn push(&mut self, value: String) {
        if self.is_object {
            let key = self.entries.len().to_string();
            match self.find(&key) {
                Some(node) => *node = Node::Leaf(value),
                None => self.entries.push((key, Node::Leaf(value))),
            }
        } else if !value.is_empty() {
            self.append(value);
        }
    }

    /// Adds to an array behind its last element.
    fn append(&mut self, value: String) {
        let key = self.len().to_string();
        self.entries.push((key, Node::Leaf(value)));
    }

    /// How long the array is, holes included.
    fn len(&self) -> u32 {
        self.entries.iter().filter_map(|(key, _)| index(key)).max().map_or(0, |last| last + 1)
    }

    fn put(&mut self, key: &str, rest: &[&str], value: String) {
        if key == "__proto__" {
            return;
        }
        let next = rest.first().filter(|part| !part.is_empty());
        let Some(node) = self.find(key) else {
            let node = match next {
                None => Node::Leaf(value),
                Some(part) => {
                    let mut tree = Self::default();
                    tree.enter(part, &rest[1..], value);
                    Node::Tree(tree)
                }
            };
            return self.entries.push((key.to_owned(), node));
        };
        match (node, next) {
            (Node::Tree(tree), None) if !tree.is_object => tree.append(value),
            (node, None) => node.pair(value),
            (Node::Tree(tree), Some(part)) => tree.enter(part, &rest[1..], value),
            (node @ Node::Leaf(_), Some(part)) if *node == Node::Leaf(String::new()) => {
                let mut tree = Self::default();
                tree.enter(part, &rest[1..], value);
                *node = Node::Tree(tree);
            }
            (node, Some(&"]")) => node.pair(value),
            // A text has no members: what they should hold is lost.
            (Node::Leaf(_), Some(_)) => {}
        }
    }

    fn find(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|(other, _)| other == key).map(|(_, node)| node)
    }

    fn write_canonical(&self, out: &mut String) {
        let mut indexed: Vec<(u32, usize)> = self.entries.iter().enumerate().filter_map(|(at, (key, _))| Some((index(key)?, at))).collect();
        indexed.sort_unstable();
        if self.is_object {
            let others = (0..self.entries.len()).filter(|at| index(&self.entries[*at].0).is_none());
            let order = indexed.iter().map(|(_, at)| *at).chain(others);
            write_list('{', '}', order, out, |at, out| {
                let (key, node) = &self.entries[at];
                write_string(key, out);
                out.push(':');
                node.write_canonical(out);
            });
        } else {
            let mut held = indexed.iter().peekable();
            write_list('[', ']', 0..self.len(), out, |place, out| match held.next_if(|(index, _)| *index == place) {
                Some((_, at)) => self.entries[*at].1.write_canonical(out),
                None => out.push_str("null"),
            });
        }
    }

    fn write_php(&self, numbers: Numbers, out: &mut String) {
        let is_list = self.entries.iter().enumerate().all(|(at, (key, _))| *key == at.to_string());
        let (open, close) = if is_list { ('[', ']') } else { ('{', '}') };
        write_list(open, close, self.entries.iter(), out, |(key, node), out| {
            if !is_list {
                write_php_string(key, out);
                out.push(':');
            }
            match node {
                Node::Leaf(text) if numbers == Numbers::Bare && is_number(text) => out.push_str(text),
                Node::Leaf(text) => write_php_string(text, out),
                Node::Tree(tree) => tree.write_php(numbers, out),
            }
        });
    }
}

impl Node {
    /// Makes an array of what there is and one more.
    fn pair(&mut self, value: String) {
        let first = std::mem::replace(self, Self::Tree(Tree::default()));
        if let Self::Tree(tree) = self {
            tree.entries = vec![("0".to_owned(), first), ("1".to_owned(), Self::Leaf(value))];
        }
    }

    fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Leaf(text) => write_string(text, out),
            Self::Tree(tree) => tree.write_canonical(out),
        }
    }
}

/// The name in a part of a key: without the bracket that closes it, which is the last character wherever it stands.
fn name(part: &str) -> &str {
    match part.char_indices().next_back() {
        Some((end, _)) if part.contains(']') => &part[..end],
        _ => part,
    }
}

fn is_digits(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn write_list<T>(open: char, close: char, items: impl Iterator<Item = T>, out: &mut String, mut write: impl FnMut(T, &mut String)) {
    out.push(open);
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

fn write_php_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '/' => out.push_str("\\/"),
            '\u{80}'.. => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write_unit(*unit, out)),
            _ => super::json::write_char(character, out),
        }
    }
    out.push('"');
}

/// Whether PHP may have had a number that it prints like this: `-?(0|[1-9][0-9]{0,17})(\.[0-9]{0,14}[1-9])?` and not `-0`.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole = is_digits(whole) && whole.len() <= 18 && (whole == "0" || !whole.starts_with('0'));
    let fraction = fraction.is_none_or(|fraction| is_digits(fraction) && fraction.len() <= 15 && !fraction.ends_with('0'));
    whole && fraction && text != "-0"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(body: &str) -> Result<String, BadForm> {
        Form::parse(body).map(|form| form.canonical())
    }

    /// Y-6.10: what the published vectors do not have.
    #[test]
    fn keys_with_brackets_tell_where_values_go() {
        for (body, expected) in [
            ("a[1]=p&a[0]=q", r#"{"a":["q","p"]}"#),
            ("a[0]=x&a[k]=y&a[]=z", r#"{"a":{"0":"x","2":"z","k":"y"}}"#),
            ("a[b]=1&a[b]=2&a[b]=3", r#"{"a":{"b":["1","2","3"]}}"#),
            ("a[b][c]=1&a[b]=2", r#"{"a":{"b":[{"c":"1"},"2"]}}"#),
            ("a=1&a[]=2", r#"{"a":["1","2"]}"#),
            ("a=&a[b]=2", r#"{"a":{"b":"2"}}"#),
            ("a=1&a[b][c]=2&a[0]=3", r#"{"a":"1"}"#),
            ("a[007]=x&a[]=y", r#"{"a":["y"]}"#),
            ("a[][b]=1", r#"{"a":["1"]}"#),
            ("[b]=1&]=2", r#"{"[b]":"1","1":"2"}"#),
            ("a[[b]=1", r#"{"a":"1"}"#),
            ("a[b[c]=1", r#"{"a":{"b":{"c":"1"}}}"#),
            ("a[b=c]=1", r#"{"a":{"b=c":"1"}}"#),
            ("a+b=c+%2B%20", r#"{"a b":"c + "}"#),
            ("a=+%E9", r#"{"a":"+%E9"}"#),
            ("a=%4", r#"{"a":"%4"}"#),
            ("a=1&", r#"{"":"","a":"1"}"#),
            ("5000=x", r#"{"5000":"x"}"#),
            ("constructor=1&toString[length]=2", r#"{"constructor":"1","toString":{"length":"2"}}"#),
        ] {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&canonical(body).unwrap()).unwrap(), expected, "{body}");
        }
    }

    /// Y-10.3
    #[test]
    fn prototypes_are_nobodys() {
        for (body, expected) in [
            ("a[__proto__][x]=1", r#"{"a":{}}"#),
            ("__proto__[x]=1", "{}"),
            ("a[b][__proto__]=1&a[b][c]=2", r#"{"a":{"b":{"c":"2"}}}"#),
            ("a%5B__proto__%5D=1", r#"{"a":{}}"#),
        ] {
            assert_eq!(canonical(body).as_deref(), Ok(expected), "{body}");
        }
    }

    /// Y-6.10, Y-10.5
    #[test]
    fn what_would_grow_is_refused() {
        let nested = |levels: usize| format!("a{}=1", "[b]".repeat(levels - 1));
        for (body, expected) in [
            ("a[1000]=x".to_owned(), None),
            ("a[1001]=x".to_owned(), Some(BadForm::Index)),
            ("a[5000000]=x".to_owned(), Some(BadForm::Index)),
            (format!("a[{}]=x", "9".repeat(50)), Some(BadForm::Index)),
            ("a[b][1001][c]=x".to_owned(), Some(BadForm::Index)),
            ("a[1001=x".to_owned(), None),
            (nested(32), None),
            (nested(33), Some(BadForm::Levels)),
            (format!("a{}=1", "[".repeat(100_000)), None),
            (format!("a{}]=1", "[".repeat(100_000)), Some(BadForm::Levels)),
            ("a[]=1&".repeat(999) + "b", None),
            ("a[]=1&".repeat(1000) + "b", Some(BadForm::Pairs)),
        ] {
            assert_eq!(canonical(&body).err(), expected, "{body:.40}");
        }
    }

    /// Y-6.9
    #[test]
    fn numbers_are_what_php_prints() {
        for text in ["0", "5", "-5", "10.5", "-0.25", "0.1", "999999999999999999", "1.000000000000001"] {
            assert!(is_number(text), "{text}");
        }
        for text in
            ["", "-", "-0", "00", "05", "1.", ".5", "1.0", "1.50", "1e3", "+1", " 1", "1000000000000000000", "1.0000000000000001", "0x1"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_printed_as_json(body in "([ab01_\\]\\[=&%+é]|\\[\\]|__proto__){0,60}") {
            if let Ok(form) = Form::parse(&body) {
                for text in [form.canonical(), form.php(Numbers::Quoted), form.php(Numbers::Bare)] {
                    prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
                }
                prop_assert_eq!(crate::pushy::json::canonical(&form.canonical()), Some(form.canonical()));
            }
        }
    }
}
