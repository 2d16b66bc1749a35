//! Requests of Pushi's REST API. An input is a line `METHOD path?query`, a line with the content type, and after them the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_dialect::pushi::api::{self, Call, Limits, Refusal, Request};

fuzz_target!(|input: &[u8]| {
    let Some((line, rest)) = line(input) else { return };
    let Some((content_type, body)) = self::line(rest) else { return };
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let content_type = Some(content_type).filter(|text| !text.is_empty());
    let request = Request { method, path, query, content_type, cookie: content_type, session_header: None, body };
    match api::receive(&request).and_then(|received| received.call(&Limits::default())) {
        Ok(Call::Trigger(trigger)) => {
            assert!(!trigger.channels.is_empty() && !trigger.data.is_empty());
            let data = std::str::from_utf8(&trigger.data).expect("data is text");
            assert!(data.len() <= body.len());
            if let Some(extras) = trigger.extras {
                let object = [b"{", &extras[..], b"}"].concat();
                serde_json::from_slice::<serde::de::IgnoredAny>(&object).expect("what travels along is JSON");
            }
        }
        Ok(_) => {}
        Err(refusal) => check(&refusal),
    }
});

/// The first line of `bytes`, and what follows it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

fn check(refusal: &Refusal) {
    assert!(matches!(refusal.status, 400 | 404 | 405 | 413 | 501), "{refusal:?}");
    assert_eq!(refusal.allow.is_some(), refusal.status == 405, "{refusal:?}");
    assert_eq!(refusal.fields.is_empty(), refusal.name != "ValidationError", "{refusal:?}");
    serde_json::from_slice::<serde::de::IgnoredAny>(&refusal.body("uid")).expect("a body is JSON");
}
