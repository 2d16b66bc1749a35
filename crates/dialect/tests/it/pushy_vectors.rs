//! The published vectors of the Pushy protocol (Y-13.1).

use crate::pushy_world::{Seen, World};
use serde_json::Value;
use tidings_dialect::pushy::api::{self, Request};
use tidings_dialect::pushy::auth::Signature;
use tidings_dialect::pushy::json::canonical;
use tidings_dialect::pushy::settings::{AuthData, Settings};
use tidings_hub::{App, UnixTime};

pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../pushy-vectors.json")).unwrap()
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    let list = vectors[name].as_array().unwrap();
    assert!(!list.is_empty(), "{name}");
    list
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

/// `text` as a query or a path takes it.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn signature_of(text: &str) -> String {
    Signature::of(&[text.as_bytes()]).hex()
}

/// Y-6.7
#[test]
fn the_documented_example_is_wrong() {
    let example = &vectors()["documented_example"];
    assert_eq!(signature_of(text(example, "signature_string")), text(example, "correct_auth_key"));
    assert_ne!(text(example, "correct_auth_key"), text(example, "documented_auth_key"));
    for example in list(&vectors(), "documented_subscription_examples") {
        assert_eq!(signature_of(text(example, "signature_string")), text(example, "auth"));
    }
}

/// Y-6.1 to Y-6.11
#[test]
fn triggers() {
    let vectors = vectors();
    let (app, now) = (App::new("1", "k", text(&vectors, "secret")), vectors["now"].as_u64().unwrap());
    for vector in list(&vectors, "trigger") {
        let name = text(vector, "name");
        let path = format!("/pushy/channel/{}/trigger", escaped(text(vector, "channel")));
        let (event, auth_key) = (escaped(text(vector, "event")), text(vector, "auth_key"));
        let query = format!("event={event}&timestamp={}&auth_key={auth_key}", text(vector, "timestamp"));
        let body = text(vector, "body").as_bytes();
        let request = Request { method: "POST", path: &path, query: &query, content_type: vector["content_type"].as_str(), body };
        let receive = |settings: &Settings| api::receive(&request, &app, settings, UnixTime::from_millis(now * 1000));
        let expected = &vector["tidings"];
        match (receive(&Settings::default()), expected["status"].as_u64().unwrap()) {
            (Ok(trigger), status @ (200 | 201)) => {
                let data = std::str::from_utf8(&trigger.publish.data).unwrap();
                assert!(expected["delivered_data_text"].as_str().is_none_or(|text| text == data), "{name}: {data}");
                assert_eq!(&*trigger.publish.name, text(vector, "event"), "{name}");
                assert_eq!(api::accepted(status == 201).status, status as u16);
            }
            (Err(refusal), status) => {
                assert_eq!(u64::from(refusal.status), status, "{name}: {refusal:?}");
                assert!(expected["error_code"].as_str().is_none_or(|code| code == refusal.code), "{name}: {refusal:?}");
                let (answer, original) = (refusal.answer(), &vector["original"]);
                if original["status"] == expected["status"] && original["response"].is_object() {
                    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), original["response"], "{name}");
                }
            }
            (found, status) => panic!("{name}: {found:?} for {status}"),
        }
        let strict = receive(&Settings { php_compat: false, ..Settings::default() });
        assert_eq!(strict.is_ok(), expected["candidate"] == "C1", "{name} without what is there for PHP");
    }
}

/// Section 7, Y-8.4
#[test]
fn subscriptions() {
    for vector in list(&vectors(), "subscribe") {
        let name = text(vector, "name");
        let (socket_id, channel) = (text(vector, "connection_id"), text(vector, "channel"));
        assert_eq!(signature_of(text(vector, "signature_string")), text(vector, "auth"), "{name}");
        let mut data = serde_json::json!({ "channel": channel, "auth": text(vector, "auth") });
        if let Some(said) = vector.get("data") {
            data["data"] = said.clone();
        }
        let command = serde_json::json!({ "command": "subscribe", "data": data }).to_string();
        let answer = |settings: Settings| {
            let mut world = World::new(App::new("1", "k", text(vector, "secret")), settings);
            world.open("A", socket_id);
            world.seen("A");
            world.send("A", &command);
            let Some(Seen::Text(answer)) = world.seen("A").pop() else { panic!("{name}: no answer") };
            serde_json::from_str::<Value>(&answer).unwrap()
        };
        let found = answer(Settings::default());
        let accepted = found["event"] == "pushy:subscription-success";
        assert_eq!(accepted, vector["tidings"] == "accept", "{name}: {found}");
        if !accepted {
            assert_eq!(found["data"]["reason"], "Invalid credentials", "{name}");
        }
        if let Some(base) = vector.get("tidings_presence_base") {
            let mut member = found["data"]["presence"][0].as_object().unwrap().clone();
            for field in ["subscribed", "memberId", "idle"] {
                assert!(member.remove(field).is_some(), "{name}: {field}");
            }
            assert_eq!(Value::Object(member), *base, "{name}");
        }
        let strict = answer(Settings { auth_data: AuthData::Double, ..Settings::default() });
        assert_eq!(strict["event"] == "pushy:subscription-success", vector["original"] == "accept", "{name} as the original reads it");
    }
}

/// Y-6.11
#[test]
fn canonical_json() {
    for vector in list(&vectors(), "js_canonical_json") {
        assert_eq!(canonical(text(vector, "input")).as_deref(), vector["output"].as_str(), "{vector}");
    }
}

/// Delivers a form that is signed as `signed`.
fn delivered(form: &str, signed: &str) -> Option<String> {
    let auth_key = signature_of(&format!("hello:e:1363800000:{signed}:secret"));
    let query = format!("event=e&timestamp=1363800000&auth_key={auth_key}");
    let request = Request {
        method: "POST",
        path: "/pushy/channel/hello/trigger",
        query: &query,
        content_type: Some("application/x-www-form-urlencoded"),
        body: form.as_bytes(),
    };
    let trigger = api::receive(&request, &App::new("1", "k", "secret"), &Settings::default(), UnixTime::from_millis(1_363_800_000_000));
    trigger.ok().map(|trigger| String::from_utf8(trigger.publish.data.to_vec()).unwrap())
}

/// Y-6.10
#[test]
fn forms() {
    for vector in list(&vectors(), "form_parser") {
        let (body, parsed) = (text(vector, "body"), text(vector, "parsed"));
        assert_eq!(delivered(body, parsed).as_deref(), Some(parsed), "{body}");
    }
}

/// Y-6.9: what PHP signs and sends arrives, unless the form cannot say it.
#[test]
fn forms_of_php() {
    let lost = ["bool", "null", "null among", "mixed numeric", "nested empty"];
    for vector in list(&vectors(), "php_encodings") {
        let (name, signed) = (text(vector, "name"), text(vector, "json_encode"));
        let expected = (!lost.contains(&name)).then_some(if signed == "[]" { "{}" } else { signed });
        assert_eq!(delivered(text(vector, "http_build_query"), signed).as_deref(), expected, "{name}");
    }
}
