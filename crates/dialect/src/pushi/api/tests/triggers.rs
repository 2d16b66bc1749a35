//! `POST /events`.

use super::super::Trigger;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn trigger(body: &str) -> Trigger {
    match call("POST /events", body) {
        Ok(Call::Trigger(trigger)) => trigger,
        other => panic!("{body}: {other:?}"),
    }
}

/// I-1.9, I-4.18: a string is its text, other values their JSON.
#[test]
fn data() {
    for (data, expected) in [
        (r#""x""#, "x"),
        (r#""\u00e9\n\ud83d\ude00""#, "é\n😀"),
        (r#"" ""#, " "),
        (r#""0""#, "0"),
        (r#"{ "a" : [ 1 , "b c" ] }"#, r#"{"a":[1,"b c"]}"#),
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"b":1,"a":2,"b":3}"#),
        ("[0]", "[0]"),
        ("true", "true"),
        ("0.10", "0.10"),
        ("-1e400", "-1e400"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#"{"__proto__":{"constructor":1}}"#, r#"{"__proto__":{"constructor":1}}"#),
        (r#"["\ud800"]"#, r#"["\ud800"]"#),
    ] {
        assert_eq!(trigger(&format!(r#"{{"data":{data}}}"#)).data, expected, "{data}");
    }
    for data in [r#""""#, "null", "false", "0", "-0", "0.00", "0e9", "[]", "[ ]", "{}", "{\n}"] {
        refused(call("POST /events", &format!(r#"{{"data":{data}}}"#)), 400, "RuntimeError", "No data set for event");
    }
    refused(call("POST /events", r#"{"data":"\ud800"}"#), 400, "OperationalError", "surrogate");
}

/// I-4.8: what is no JSON object has no members, and other types are not read.
#[test]
fn bodies_without_members() {
    for body in ["", "{", "[1]", "\"data\"", "data=x", "{\"data\":\"x\"} x", "nul", "{\"data\":\"x\",}"] {
        refused(call("POST /events", body), 400, "RuntimeError", "No data set for event");
    }
    for content_type in [FORM, "text/plain", "application/jsonx"] {
        refused(typed("POST /events?data=x", content_type, r#"{"data":"x"}"#), 400, "RuntimeError", "No data set for event");
    }
    refused(receive(&request("POST /events", None, b"{\"data\":\"\xff\"}")).unwrap().call(&Limits::default()), 400, "RuntimeError", "");
    assert!(receive(&request("POST /events", None, br#"{"data":"x"}"#)).unwrap().call(&Limits::default()).is_ok());
}

/// I-2.15, I-2.14: nothing named is `global`; order and repeats are kept.
#[test]
fn channels() {
    for (channel, expected) in [
        ("", &["global"][..]),
        (r#","channel":null"#, &["global"]),
        (r#","channel":"""#, &["global"]),
        (r#","channel":[]"#, &["global"]),
        (r#","channel":"news""#, &["news"]),
        (r#","channel":["b","a","b"]"#, &["b", "a", "b"]),
        (r#","channel":["caf\u00e9 \u2713/&:"]"#, &["café ✓/&:"]),
        (r#","channel":["a"],"channel":"last""#, &["last"]),
    ] {
        let names: Vec<_> = trigger(&format!(r#"{{"data":"x"{channel}}}"#)).channels.iter().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, expected, "{channel}");
    }
    for (channel, says) in [
        ("5", "a name or a list of names"),
        ("false", "a name or a list of names"),
        ("{}", "a name or a list of names"),
        (r#"["a",5]"#, "a name or a list of names"),
        (r#"["a",null]"#, "a name or a list of names"),
        (r#"[["a"]]"#, "a name or a list of names"),
        (r#"["a","\udfff"]"#, "a name or a list of names"),
        (r#"["a",""]"#, "must not be empty"),
        (r#""a\u0000""#, "control characters"),
        ("\"a\\n\"", "control characters"),
        (r##""#server-to-user-1""##, "reserved"),
    ] {
        refused(call("POST /events", &format!(r#"{{"data":"x","channel":{channel}}}"#)), 400, "OperationalError", says);
    }
}

/// I-1.14: the limits of names, of their number and of events, to the byte.
#[test]
fn limits() {
    let ask = |body: &str, limits: &Limits| receive(&request("POST /events", None, body.as_bytes())).unwrap().call(limits);
    let limits = Limits { channels: 2, event_bytes: 20, ..Limits::default() };
    let named = |name: &str| format!(r#"{{"data":"x","channel":"{name}"}}"#);
    assert!(ask(&named(&"é".repeat(100)), &limits).is_ok());
    refused(ask(&named(&"a".repeat(201)), &limits), 400, "OperationalError", "200 bytes");
    assert!(ask(r#"{"data":"x","channel":["a","a"]}"#, &limits).is_ok());
    refused(ask(r#"{"data":"x","channel":["a","a","a"]}"#, &limits), 400, "OperationalError", "at most 2 channels");
    assert!(ask(r#"{"data":"0123456789012","event":"e"}"#, &limits).is_ok());
    assert!(ask(r#"{"data":"012345678901","event":"e","p":123}"#, &limits).is_ok());
    refused(ask(r#"{"data":"0123456789012","event":"e","p":123}"#, &limits), 413, "OperationalError", "20 bytes");
    let deep = Limits { channel_name_bytes: 5000, ..limits };
    refused(ask(&named(&"a".repeat(1025)), &deep), 400, "OperationalError", "1024 bytes");
}

/// I-4.18, I-4.19, I-1.4: the default name, and names that are taken in any dialect.
#[test]
fn names() {
    for (event, expected) in [
        ("", "message"),
        (r#","event":null"#, "message"),
        (r#","event":"""#, "message"),
        (r#","event":"x y""#, "x y"),
        (r#","event":"ping""#, "ping"),
        (r#","event":"pusher_subscribe""#, "pusher_subscribe"),
    ] {
        assert_eq!(&*trigger(&format!(r#"{{"data":"x"{event}}}"#)).name, expected);
    }
    for event in ["pusher:x", "pusher_internal:member_added", "tidings:resumed", "pushy:connect"] {
        refused(call("POST /events", &json!({"data": "x", "event": event}).to_string()), 400, "OperationalError", "reserved");
    }
    for event in ["5", "[]", "true", r#""\ud800""#] {
        let outcome = call("POST /events", &format!(r#"{{"data":"x","event":{event}}}"#));
        refused(outcome, 400, "OperationalError", "Field 'event' not compatible with type 'str'");
    }
}

/// I-4.18, I-4.20, I-4.21: what travels along: every other member, as it was sent.
#[test]
fn extras() {
    for (body, persist, extras) in [
        (r#"{"data":"x"}"#, true, None),
        (r#"{"data":"x","persist":true,"push":"short text"}"#, true, Some(r#""persist":true,"push":"short text""#)),
        (r#"{"b":1,"data":"x","channel":"c","event":"e","a":{ "k" : [ ] }}"#, true, Some(r#""b":1,"a":{"k":[]}"#)),
        (r#"{"data":"x","persist":false}"#, false, Some(r#""persist":false"#)),
        (r#"{"data":"x","persist":0}"#, false, Some(r#""persist":0"#)),
        (r#"{"data":"x","persist":""}"#, false, Some(r#""persist":"""#)),
        (r#"{"data":"x","persist":null}"#, false, Some(r#""persist":null"#)),
        (r#"{"data":"x","persist":"false"}"#, true, Some(r#""persist":"false""#)),
        (r#"{"data":"x","payload":[1,2,3]}"#, true, Some(r#""payload":[1,2,3]"#)),
        (r#"{"data":"x","a":1,"b":2,"a":3}"#, true, Some(r#""a":3,"b":2"#)),
        (r#"{"data":"x","\u0061\"":"\u00e9"}"#, true, Some(r#""a\"":"é""#)),
        (r#"{"data":"x","socket_id":"1","echo":true,"owner_id":null}"#, true, Some(r#""socket_id":"1","echo":true,"owner_id":null"#)),
        (r#"{"data":"x","__proto__":null,"constructor":1}"#, true, Some(r#""__proto__":null,"constructor":1"#)),
        (r#"{"data":"x","persist":false,"mid":"1","timestamp":2}"#, false, Some(r#""persist":false,"mid":"1","timestamp":2"#)),
    ] {
        let trigger = trigger(body);
        assert_eq!((trigger.persist, trigger.extras.as_deref()), (persist, extras.map(str::as_bytes)), "{body}");
    }
}

/// I-3.1: what the store gives cannot be brought along.
#[test]
fn forged_stamps() {
    for body in [r#"{"data":"x","mid":"1"}"#, r#"{"data":"x","timestamp":null}"#, r#"{"data":"x","persist":true,"mid":""}"#] {
        refused(call("POST /events", body), 400, "AssertionError", "Assertion of data failed");
    }
}

/// I-4.16
#[test]
fn ping() {
    let ping = Trigger::ping();
    assert_eq!((ping.channels[0].as_str(), &*ping.name, &*ping.data, ping.persist), ("global", "ping", &b"ping"[..], false));
}

proptest! {
    /// I-1.9: whatever is sent as a string arrives as that string, and other data as the JSON of the same value.
    #[test]
    fn data_survives(text in ".+", key in "[a-z]{1,8}", value: i64) {
        let body = json!({"data": text, "extra": {&key: value}}).to_string();
        let event = trigger(&body);
        prop_assert_eq!(&event.data[..], text.as_bytes());
        let extras: Value = serde_json::from_slice(&[b"{", event.extras.as_deref().unwrap(), b"}"].concat()).unwrap();
        prop_assert_eq!(extras, json!({"extra": {&key: value}}));
        let object = json!({&key: text});
        let event = trigger(&serde_json::to_string_pretty(&json!({"data": &object})).unwrap());
        prop_assert_eq!(serde_json::from_slice::<Value>(&event.data).unwrap(), object);
    }
}
