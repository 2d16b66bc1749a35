//! The published vectors, and whatever else comes.

mod messages;
mod requests;
mod sessions;
mod statistics;
mod tokens;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/wspush-vectors.json")).unwrap()
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    let list = vectors[name].as_array().unwrap();
    assert!(!list.is_empty(), "{name}");
    list
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn message_of(vector: &Value) -> Vec<u8> {
    match vector["message_base64"].as_str() {
        Some(text) => BASE64_STANDARD.decode(text).unwrap(),
        None => vec![b'x'; usize::try_from(vector["length"].as_u64().unwrap()).unwrap()],
    }
}
