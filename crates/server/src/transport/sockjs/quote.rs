//! Text as SockJS writes it into frames: JSON strings that no browser trips over.

/// Appends `text` as a JSON string, quotes included, in one pass. Escaped, in lower-case hex, is what JSON wants, what browsers have dropped or
/// changed on the way, and all above U+FFFF (S-3.4). The result can be quoted again.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 8 + 2);
    out.push(b'"');
    escape(text.as_bytes(), &MESSAGE, out);
    out.push(b'"');
}

/// Which bytes need a closer look: a letter is what follows the backslash, [`UNICODE`] stands for four digits, [`LEAD`] begins a character of
/// several bytes that may have to be escaped. 0 stands for itself.
pub(super) type Table = [u8; 256];

/// `\u00..`.
const UNICODE: u8 = b'u';
/// A lead byte.
const LEAD: u8 = 0xff;

/// For text within a string.
pub(super) const MESSAGE: Table = table();

/// The same within a script element, which a `<` could end (S-5.5).
pub(super) const SCRIPT: Table = {
    let mut table = table();
    table[b'<' as usize] = UNICODE;
    table
};

const fn table() -> Table {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = UNICODE;
        byte += 1;
    }
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[0xe2] = LEAD;
    table[0xef] = LEAD;
    byte = 0xf0;
    while byte < 0xf5 {
        table[byte] = LEAD;
        byte += 1;
    }
    table
}

/// Appends `text`, which is UTF-8 and does not begin or end within a character, escaped.
pub(super) fn escape(text: &[u8], table: &Table, out: &mut Vec<u8>) {
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].iter().position(|byte| table[usize::from(*byte)] != 0) {
        at += found;
        let byte = text[at];
        let len = match table[usize::from(byte)] {
            LEAD => match lead(&text[at..]) {
                Some(len) => len,
                // Nothing of it is written here: it goes with the rest of the run.
                None => {
                    at += 3;
                    continue;
                }
            },
            _ => 1,
        };
        out.extend_from_slice(&text[copied..at]);
        match table[usize::from(byte)] {
            LEAD => wide(&text[at..at + len], out),
            UNICODE => unit(u16::from(byte), out),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        at += len;
        copied = at;
    }
    out.extend_from_slice(&text[copied..]);
}

/// The length of the character that `text` begins with if it must be escaped; `None` for one of three bytes that need not be.
fn lead(text: &[u8]) -> Option<usize> {
    match *text {
        [0xe2, 0x80, 0x8c..=0x8f | 0xa8..=0xaf, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] | [0xef, 0xbf, 0xb0..=0xbf, ..] => Some(3),
        [0xe2 | 0xef, ..] => None,
        _ => Some(4),
    }
}

/// Writes a character of three or four bytes as its one or two escapes.
fn wide(character: &[u8], out: &mut Vec<u8>) {
    let point = character
        .iter()
        .skip(1)
        .fold(u32::from(character[0]) & (0x7f >> character.len()), |point, byte| point << 6 | u32::from(byte & 0x3f));
    match point.checked_sub(0x1_0000) {
        None => unit(point as u16, out),
        Some(above) => {
            unit(0xd800 | (above >> 10) as u16, out);
            unit(0xdc00 | (above & 0x3ff) as u16, out);
        }
    }
}

fn unit(unit: u16, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| DIGITS[usize::from(unit >> shift & 0xf)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut out = Vec::new();
        quote(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Whether S-3.4 wants the character escaped.
    fn must_escape(character: char) -> bool {
        let within = |range: std::ops::RangeInclusive<char>| range.contains(&character);
        within('\0'..='\x1f')
            || matches!(character, '"' | '\\')
            || within('\u{200c}'..='\u{200f}')
            || within('\u{2028}'..='\u{202f}')
            || within('\u{2060}'..='\u{206f}')
            || character >= '\u{fff0}'
    }

    /// S-3.4.
    #[test]
    fn examples() {
        for (text, expected) in [
            ("", r#""""#),
            ("a", r#""a""#),
            ("😀 é/", r#""\ud83d\ude00 é/""#),
            ("\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}", "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\u{7f}\""),
            (r#""\/'<>&"#, r#""\"\\/'<>&""#),
            ("\u{200b}\u{200c}\u{200f}\u{2010}", "\"\u{200b}\\u200c\\u200f\u{2010}\""),
            ("\u{2027}\u{2028}\u{202f}\u{2030}", "\"\u{2027}\\u2028\\u202f\u{2030}\""),
            ("\u{205f}\u{2060}\u{206f}\u{2070}", "\"\u{205f}\\u2060\\u206f\u{2070}\""),
            ("\u{ffef}\u{fff0}\u{ffff}\u{10000}\u{10ffff}", "\"\u{ffef}\\ufff0\\uffff\\ud800\\udc00\\udbff\\udfff\""),
            ("€“x”", "\"€“x”\""),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    /// S-3.4: each character up to U+FFFF, and many of those above, between others.
    #[test]
    fn every_character() {
        for character in ('\0'..='\u{ffff}').chain(('\u{10000}'..=char::MAX).step_by(61)) {
            let text = quoted(&format!("é{character}€"));
            let inner = text.strip_prefix("\"é").and_then(|text| text.strip_suffix("€\"")).unwrap();
            assert_eq!(inner.starts_with('\\'), must_escape(character), "{character:?}");
            if !inner.starts_with('\\') {
                assert_eq!(inner, character.to_string());
            } else if inner.starts_with("\\u") {
                let units: String = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
                assert_eq!(inner, units, "{character:?}");
            }
        }
    }

    /// S-5.5.
    #[test]
    fn scripts_cannot_be_ended() {
        let mut out = Vec::new();
        escape(b"</script>", &SCRIPT, &mut out);
        assert_eq!(out, br"\u003c/script>");
    }

    proptest! {
        /// S-3.4: any JSON reader sees the text again.
        #[test]
        fn readers_see_the_text(text: String) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }

        /// S-5.6: quoted twice it says the same.
        #[test]
        fn what_is_quoted_can_be_quoted(text: String) {
            let twice: String = serde_json::from_str(&quoted(&quoted(&text))).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&twice).unwrap(), text);
        }
    }
}
