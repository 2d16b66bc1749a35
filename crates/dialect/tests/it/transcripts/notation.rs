//! How lines say what is not said literally: texts that do not matter, JSON within texts, places to fill, times.

use serde_json::Value;
use std::time::Duration;

/// Equal as JSON, where the string `*` stands for any string, and an object whose only member is `$json` for the text of that value.
pub(super) fn matches(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::String(any), Value::String(_)) if any == "*" => true,
        (Value::Array(wanted), Value::Array(seen)) => {
            wanted.len() == seen.len() && wanted.iter().zip(seen).all(|(wanted, seen)| matches(wanted, seen))
        }
        (Value::Object(wanted), Value::String(text)) if wanted.len() == 1 => {
            let inner = wanted.get("$json").zip(serde_json::from_str(text).ok());
            inner.is_some_and(|(wanted, seen)| matches(wanted, &seen))
        }
        (Value::Object(wanted), Value::Object(seen)) => {
            wanted.len() == seen.len() && wanted.iter().all(|(name, wanted)| seen.get(name).is_some_and(|seen| matches(wanted, seen)))
        }
        _ => wanted == seen,
    }
}

/// Replaces each `{begin…number}` by what there is for the number.
pub(super) fn fill(text: &str, begin: &str, with: impl Fn(usize) -> Result<String, String>) -> Result<String, String> {
    let mut pieces = text.split(begin);
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once('}').ok_or("a place to fill has an end")?;
        filled.push_str(&with(number.parse().map_err(|_| format!("{begin}{number}}} names no number"))?)?);
        filled.push_str(rest);
    }
    Ok(filled)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or("a time has a unit")?);
    let number = number.parse().map_err(|_| "a time is a whole number")?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        _ => Err(format!("unknown unit {unit}")),
    }
}

#[test]
fn json_within_a_text_is_compared_as_json() {
    for (wanted, seen, expected) in [
        (r#"{"$json":{"a":"*"}}"#, r#""{ \"a\": \"b\" }""#, true),
        (r#"{"$json":{"a":1}}"#, r#""{\"a\":1,\"b\":2}""#, false),
        (r#"{"$json":{"a":1}}"#, r#"{"a":1}"#, false),
        (r#"{"$json":1}"#, r#""nothing""#, false),
        (r#"{"a":1}"#, r#""{\"a\":1}""#, false),
    ] {
        let [wanted, seen] = [wanted, seen].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(matches(&wanted, &seen), expected, "{wanted} {seen}");
    }
}
