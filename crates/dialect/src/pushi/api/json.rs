//! JSON bodies: an object's members as they stand, and what Pushi takes for nothing.

use super::JSON_DEPTH_MAX;
use super::Refusal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The members of an object: in order of first appearance, each with its last value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members<'a> {
    listed: Vec<(String, &'a RawValue)>,
    places: BTreeMap<String, usize>,
}

impl<'a> Members<'a> {
    /// Reads `body`. What is no object counts as one without members (I-4.8).
    ///
    /// # Errors
    /// 400 if it is nested too deep to be looked at.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        let Ok(text) = std::str::from_utf8(body) else { return Ok(Self::default()) };
        if is_deep(text) {
            return Err(Refusal::bad(format!("The body has more than {JSON_DEPTH_MAX} levels of arrays and objects")));
        }
        Ok(serde_json::from_str(text).unwrap_or_default())
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a RawValue> {
        self.places.get(name).map(|place| self.listed[*place].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.listed.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match members.places.get(&name) {
                        Some(place) => members.listed[*place].1 = value,
                        None => {
                            members.places.insert(name.clone(), members.listed.len());
                            members.listed.push((name, value));
                        }
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Whether brackets outside of strings are nested deeper than allowed. Right for valid JSON, and harmless for other text.
pub(crate) fn is_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Whether Python takes `value` for false: null, false, zero, and what is empty.
pub(super) fn is_falsy(value: &RawValue) -> bool {
    let json = value.get();
    match json.as_bytes() {
        b"null" | b"false" | b"\"\"" => true,
        [b'[' | b'{', inner @ .., b']' | b'}'] => inner.trim_ascii().is_empty(),
        [b'-' | b'0'..=b'9', ..] => {
            let mantissa = json.split(['e', 'E']).next().unwrap_or_default();
            !mantissa.bytes().any(|digit| matches!(digit, b'1'..=b'9'))
        }
        _ => false,
    }
}

/// A string's or a number's text; `None` for null.
///
/// # Errors
/// 400 for all other values, and for a string that is no text.
pub(super) fn scalar<'a>(name: &str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, Refusal> {
    let json = value.get();
    match json.as_bytes().first() {
        _ if json == "null" => Ok(None),
        Some(b'"') => crate::pusher::json::text(value).map(Some).ok_or_else(|| Refusal::wrong_type(name, "str")),
        Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(json))),
        _ => Err(Refusal::wrong_type(name, "str")),
    }
}
