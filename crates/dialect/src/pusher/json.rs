//! JSON as text: strings written and read, values compacted, without building a tree.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Appends `text` as a JSON string, quotes included. What is not ASCII stays as it is.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    write_quoted(text.as_bytes(), out);
}

/// The same for bytes that are known to be UTF-8, such as JSON that was just written.
pub(super) fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| ESCAPES[usize::from(*byte)] != 0) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                let mut escape = *b"\\u0000";
                crate::auth::hex(&[byte], &mut escape[4..]);
                out.extend_from_slice(&escape);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// What follows the backslash, for the bytes that need one.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// The text of a JSON string, borrowed where nothing in it is escaped; `None` for any other value and for a string with half a surrogate pair.
#[must_use]
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(value.get()).ok().map(Cow::Owned)
}

/// `value` as compact JSON: no space between tokens, nothing escaped in strings that need not be. Members keep their order, numbers their
/// digits. A string with half a surrogate pair, which cannot be UTF-8, stays as it is. The result is never longer than the value.
#[must_use]
pub fn compact(value: &RawValue) -> Vec<u8> {
    let json = value.get();
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b' ' | b'\t' | b'\n' | b'\r')) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        if rest.starts_with('"') {
            let (token, after) = rest.split_at(string_end(rest.as_bytes()));
            write_token(token, &mut out);
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Where the string ends that `json` begins with, its quotes included.
fn string_end(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

fn write_token(token: &str, out: &mut Vec<u8>) {
    if memchr::memchr(b'\\', token.as_bytes()).is_none() {
        return out.extend_from_slice(token.as_bytes());
    }
    match serde_json::from_str::<String>(token) {
        Ok(text) => write_string(&text, out),
        Err(_) => out.extend_from_slice(token.as_bytes()),
    }
}

/// The object in `value`: itself, or what its string holds (P-3.2).
pub(super) fn object(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = if value.get().starts_with('"') { text(value)? } else { Cow::Borrowed(value.get()) };
    is_object(&json).then_some(json)
}

/// Whether `json`, if it is JSON at all, is an object. A struct would be read from an array as well.
pub(crate) fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// For members where an explicit null differs from nothing.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn compaction_drops_only_what_means_nothing() {
        for (json, expected) in [
            (" { \"b\" : [ 1 , 2.50 , -0 , 1E5 ] ,\r\n\t\"a\" : null } ", r#"{"b":[1,2.50,-0,1E5],"a":null}"#),
            (r#"{"a b":" x \" , y "}"#, r#"{"a b":" x \" , y "}"#),
            (r#"["\u00e9\/\u0041\ud83d\ude00","\\",""]"#, r#"["é/A😀","\\",""]"#),
            (r#"["\u0000\u000a\u001F"]"#, r#"["\u0000\n\u001f"]"#),
            (r#"[ "\ud800" ]"#, r#"["\ud800"]"#),
            ("7", "7"),
        ] {
            assert_eq!(String::from_utf8(compact(raw(json))).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn only_strings_have_a_text() {
        for (json, expected) in [
            (r#""""#, Some("")),
            (r#""plain""#, Some("plain")),
            (r#""\u0000\"""#, Some("\0\"")),
            (r#""\udc00""#, None),
            ("7", None),
            ("null", None),
            (r#"["a"]"#, None),
        ] {
            assert_eq!(text(raw(json)).as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_writes_them(text: String) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn compaction_of_pretty_json_is_what_serde_writes(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(String::from_utf8(compact(raw(&pretty))).unwrap(), value.to_string());
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
