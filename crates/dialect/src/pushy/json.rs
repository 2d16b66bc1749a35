//! JSON as JavaScript's `JSON.stringify(JSON.parse(text))` writes it (Y-6.11), made in one pass and without a tree: the text is all there is.

use std::ops::Range;

/// How many levels of arrays and objects a text may have.
pub const DEPTH_MAX: usize = 128;

/// `text` in canonical form; `None` if it is no JSON, or nested deeper than [`DEPTH_MAX`].
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let mut writer = Writer::new(text);
    writer.value(0)?;
    writer.finish()
}

/// The object that `text` is, in canonical form, with `fields` as its members of those names: where it has one already the value changes and the
/// place stays, the others are appended. Names and values are JSON texts. `None` if it is no object.
#[must_use]
pub fn canonical_with(text: &str, fields: &[(&str, &str)]) -> Option<String> {
    let mut writer = Writer::new(text);
    writer.space();
    if writer.peek()? != b'{' {
        return None;
    }
    let members = writer.object(1)?;
    let whole = writer.finish()?;
    let mut out = String::with_capacity(whole.len() + 96);
    let mut rest: Vec<_> = fields.to_vec();
    let mut write = |name: &str, value: &str| {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(name);
        out.push(':');
        out.push_str(value);
    };
    for Member { name, value } in members {
        let (name, value) = (&whole[name], &whole[value]);
        match rest.iter().position(|(field, _)| *field == name) {
            Some(at) => write(name, rest.remove(at).1),
            None => write(name, value),
        }
    }
    rest.into_iter().for_each(|(name, value)| write(name, value));
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    Some(out)
}

/// Appends `text` as a canonical string, quotes included.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    text.chars().for_each(|character| write_char(character, out));
    out.push('"');
}

pub(super) fn write_char(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\0'..='\u{1f}' => write_unit(u16::from(character as u8), out),
        _ => out.push(character),
    }
}

/// Appends a UTF-16 unit as an escape.
pub(super) fn write_unit(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit(u32::from(unit >> shift & 15), 16));
    }
}

/// Whether an object's key is an index, which comes before all others (Y-6.11), and which.
pub(super) fn index(key: &str) -> Option<u32> {
    let canonical =
        key == "0" || !key.is_empty() && !key.starts_with('0') && key.len() <= 10 && key.bytes().all(|byte| byte.is_ascii_digit());
    key.parse().ok().filter(|index| canonical && *index != u32::MAX)
}

/// Reads a text from its front and writes what it has read.
struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

/// Where in the output a member of an object stands: its name with the quotes, and its value.
#[derive(Clone)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

impl<'a> Writer<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, out: String::with_capacity(text.len()) }
    }

    fn finish(mut self) -> Option<String> {
        self.space();
        (self.at == self.text.len()).then_some(self.out)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' => self.object(depth + 1).map(|_| ()),
            b'[' => self.array(depth + 1),
            b'"' => self.string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            self.out.push_str(word);
        })
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.open(depth, '[')?;
        if self.takes(b']') {
            self.out.push(']');
            return Some(());
        }
        loop {
            self.value(depth)?;
            if !self.comma(b']')? {
                return Some(());
            }
        }
    }

    /// The members are told in their canonical order.
    fn object(&mut self, depth: usize) -> Option<Vec<Member>> {
        let start = self.out.len();
        self.open(depth, '{')?;
        let mut members = Vec::new();
        if self.takes(b'}') {
            self.out.push('}');
            return Some(members);
        }
        loop {
            self.space();
            let name = self.out.len();
            if self.peek()? != b'"' {
                return None;
            }
            self.string()?;
            let colon = self.out.len();
            self.space();
            if !self.takes(b':') {
                return None;
            }
            self.out.push(':');
            self.value(depth)?;
            members.push(Member { name: name..colon, value: colon + 1..self.out.len() });
            if !self.comma(b'}')? {
                return Some(self.order(start, members));
            }
        }
    }

    fn open(&mut self, depth: usize, bracket: char) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.at += 1;
        self.space();
        self.out.push(bracket);
        Some(())
    }

    /// What comes after an item: another one, or the `end`.
    fn comma(&mut self, end: u8) -> Option<bool> {
        self.space();
        let more = self.takes(b',');
        if !more && !self.takes(end) {
            return None;
        }
        self.out.push(if more { ',' } else { char::from(end) });
        Some(more)
    }

    /// Gives the object that begins at `start` its canonical order: indexes first, and each name once, at its first place with its last value.
    fn order(&mut self, start: usize, members: Vec<Member>) -> Vec<Member> {
        let Some(ordered) = canonical_order(&self.out, &members) else { return members };
        let mut object = String::with_capacity(self.out.len() - start);
        let mut placed = Vec::with_capacity(ordered.len());
        for Member { name, value } in ordered {
            object.push(if object.is_empty() { '{' } else { ',' });
            let begin = start + object.len();
            object.push_str(&self.out[name]);
            let colon = start + object.len();
            object.push(':');
            object.push_str(&self.out[value]);
            placed.push(Member { name: begin..colon, value: colon + 1..start + object.len() });
        }
        object.push('}');
        self.out.truncate(start);
        self.out.push_str(&object);
        placed
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        self.out.push('"');
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            self.out.push_str(&rest[..plain]);
            self.at += plain;
            if self.takes(b'"') {
                self.out.push('"');
                return Some(());
            }
            // A control character, which must be escaped, ends here.
            if !self.takes(b'\\') {
                return None;
            }
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let letter = self.peek()?;
        self.at += 1;
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unit(),
            _ => return None,
        };
        write_char(character, &mut self.out);
        Some(())
    }

    /// The digits of an escape, with those of a second one if both are a pair. Half a pair stays an escape.
    fn unit(&mut self) -> Option<()> {
        let unit = self.digits()?;
        let before = self.at;
        if (0xd800..0xdc00).contains(&unit) && self.takes(b'\\') && self.takes(b'u') {
            let low = self.digits()?;
            if let Some(Ok(character)) = char::decode_utf16([unit, low]).next() {
                self.out.push(character);
                return Some(());
            }
        }
        self.at = if (0xd800..0xdc00).contains(&unit) { before } else { self.at };
        match char::from_u32(u32::from(unit)) {
            Some(character) => write_char(character, &mut self.out),
            None => write_unit(unit, &mut self.out),
        }
        Some(())
    }

    fn digits(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.some_digits()?;
        }
        if self.takes(b'.') {
            self.some_digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _sign = self.takes(b'+') || self.takes(b'-');
            self.some_digits()?;
        }
        write_number(self.text[start..self.at].parse().ok()?, &mut self.out);
        Some(())
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// The members in canonical order; `None` if that is the order they are in.
fn canonical_order(out: &str, members: &[Member]) -> Option<Vec<Member>> {
    let name = |at: usize| &out[members[at].name.clone()];
    let index = |at: usize| index(name(at).trim_matches('"'));
    let mut by_name: Vec<usize> = (0..members.len()).collect();
    by_name.sort_unstable_by(|a, b| name(*a).cmp(name(*b)).then(a.cmp(b)));
    let repeated = || by_name.chunk_by(|a, b| name(*a) == name(*b)).filter(|group| group.len() > 1);
    if repeated().next().is_none() && !(0..members.len()).any(|at| index(at).is_some()) {
        return None;
    }
    let mut kept: Vec<Option<Member>> = members.iter().cloned().map(Some).collect();
    for group in repeated() {
        let last = &members[group[group.len() - 1]];
        group.iter().for_each(|at| kept[*at] = None);
        kept[group[0]] = Some(Member { name: members[group[0]].name.clone(), value: last.value.clone() });
    }
    let mut ordered: Vec<(usize, Member)> = kept.into_iter().enumerate().filter_map(|(at, member)| Some((at, member?))).collect();
    // Stable: what is no index keeps its place behind those that are.
    ordered.sort_by_key(|(at, _)| index(*at).map_or(u64::MAX, u64::from));
    Some(ordered.into_iter().map(|(_, member)| member).collect())
}

/// Appends a number as ECMAScript does: the fewest digits that tell it from all others.
fn write_number(number: f64, out: &mut String) {
    if !number.is_finite() {
        return out.push_str("null");
    }
    if number == 0.0 {
        return out.push('0');
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("that is how such numbers are written");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().expect("an exponent is a number") + 1;
    if number < 0.0 {
        out.push('-');
    }
    let count = digits.len() as i32;
    match point {
        _ if count <= point && point <= 21 => {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', (point - count) as usize));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(point as usize);
            out.extend([whole, ".", fraction]);
        }
        -5..=0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', -point as usize));
            out.push_str(&digits);
        }
        _ => {
            let (first, fraction) = digits.split_at(1);
            out.push_str(first);
            if !fraction.is_empty() {
                out.extend([".", fraction]);
            }
            out.extend(["e", if point > 0 { "+" } else { "" }, &(point - 1).to_string()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Y-6.11: what the published vectors do not have.
    #[test]
    fn what_is_no_json_is_none() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":}",
            "{\"a\" 1}",
            "{a:1}",
            "{,}",
            "[1 2]",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "truex",
            "\"",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud83d\\u12\"",
            "1 1",
            "\u{feff}1",
            "\u{a0}1",
            "NaN",
            "'a'",
            "[1]]",
            "\"\\ué123\"",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    /// Y-6.11
    #[test]
    fn halves_of_pairs_stay_escapes() {
        for (text, expected) in [
            (r#""\uD83D\uDE00""#, "\"😀\""),
            (r#""\ud83d\ud83d\ude00""#, "\"\\ud83d😀\""),
            (r#""\ude00\ud83dx""#, r#""\ude00\ud83dx""#),
            (r#""\ud83d\n""#, r#""\ud83d\n""#),
            (r#""\ud83d\u0041""#, r#""\ud83dA""#),
            (r#""\u0022\u005c\u002f""#, r#""\"\\/""#),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// Y-6.11: at every level, and both rules together.
    #[test]
    fn members_have_one_order() {
        for (text, expected) in [
            (r#"{"x":{"b":1,"1":2,"b":{"2":0,"1":0}},"0":[{"a":1,"a":2}]}"#, r#"{"0":[{"a":2}],"x":{"1":2,"b":{"1":0,"2":0}}}"#),
            (r#"{"\u0061":1,"b":2,"a":3,"a":4}"#, r#"{"a":4,"b":2}"#),
            (r#"{"10":1,"9":2,"10":3}"#, r#"{"9":2,"10":3}"#),
            (r#"{"":1,"\"":2,"00":3,"4294967295":4,"4294967294":5}"#, r#"{"4294967294":5,"":1,"\"":2,"00":3,"4294967295":4}"#),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    /// Y-8.4
    #[test]
    fn fields_win_and_keep_the_place() {
        let fields = [("\"id\"", "7"), ("\"idle\"", "false")];
        for (text, expected) in [
            (r#" { "id" : "evil" , "a" : 1 } "#, Some(r#"{"id":7,"a":1,"idle":false}"#)),
            (r#"{"idle":1,"5":2,"\u0069d":3,"id":4}"#, Some(r#"{"5":2,"idle":false,"id":7}"#)),
            ("{}", Some(r#"{"id":7,"idle":false}"#)),
            ("[]", None),
            ("5", None),
            ("{} x", None),
            ("", None),
        ] {
            assert_eq!(canonical_with(text, &fields).as_deref(), expected, "{text}");
        }
        assert_eq!(canonical_with("{}", &[]).as_deref(), Some("{}"));
    }

    #[test]
    fn what_is_nested_too_deep_is_none() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(canonical(&nested(DEPTH_MAX)).is_some());
        assert_eq!(canonical(&nested(DEPTH_MAX + 1)), None);
        assert_eq!(canonical(&"[{\"a\":".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_fault(text: String) {
            let _ = canonical(&text);
            let mut string = String::new();
            write_string(&text, &mut string);
            prop_assert_eq!(canonical(&string), Some(string));
        }

        #[test]
        fn numbers_come_back_as_they_were(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            let mut text = String::new();
            write_number(number, &mut text);
            prop_assert_eq!(text.parse::<f64>().unwrap(), number + 0.0);
            prop_assert_eq!(canonical(&text), Some(text));
        }
    }
}
