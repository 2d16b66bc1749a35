//! What is read and what is written, to the byte.

use super::*;
use std::sync::Arc;
use tidings_hub::{Budget, ChannelName, Source};

/// Y-3.4, Y-3.5, Y-3.6, Y-4.1, Y-4.3, Y-10.1, Y-10.13
#[test]
fn messages_are_read_as_far_as_they_are_some() {
    for (message, expected) in [
        ("bogus", "Bogus"),
        ("", "Bogus"),
        ("5", "Bogus"),
        ("null", "Bogus"),
        ("true", "Bogus"),
        ("\"subscribe\"", "Bogus"),
        ("[]", "Bogus"),
        (r#"[{"command":"subscribe"}]"#, "Bogus"),
        ("{}", "Bogus"),
        (r#"{"command":null,"event":null}"#, "Bogus"),
        (r#"{"command":"x","event":"y"}"#, "Bogus"),
        (r#"{"command":5}"#, "Bogus"),
        (r#"{"command":{}}"#, "Bogus"),
        (r#"{"command":"\ud800"}"#, "Bogus"),
        (r#"{"event":"x"}"#, "ignored"),
        (r#"{"event":"x","command":null}"#, "ignored"),
        (r#"{"command":"subscribe"}"#, "subscribe - - -"),
        (r#"{"command":"SubScribe","data":null}"#, "subscribe - - -"),
        (r#"{"command":"subscribe","data":[1]}"#, "subscribe - - -"),
        (r#"{"command":"subscribe","event":null,"data":{"channel":"a","auth":null,"data":null},"x":1}"#, r#"subscribe "a" - null"#),
        (r#"{"command":"subscribe","data":{"channel":5,"auth":7,"data":{"a":1}}}"#, r#"subscribe 5 7 {"a":1}"#),
        (r#"{"command":"subscribe","data":"a"}"#, "BadData"),
        (r#"{"command":"unsubscribe","data":5}"#, "BadData"),
        (r#"{"command":"unsubscribe","data":true}"#, "BadData"),
        (r#"{"command":"unsubscribe","data":{"channel":"a"}}"#, r#"unsubscribe "a""#),
        (r#"{"command":"unsubscribe","data":{"channel":""}}"#, "unsubscribe -"),
        (r#"{"command":"unsubscribe","data":{"channel":null}}"#, "unsubscribe -"),
        (r#"{"command":"unsubscribe","data":{"channel":false}}"#, "unsubscribe -"),
        (r#"{"command":"unsubscribe","data":{"channel":-0.0e7}}"#, "unsubscribe -"),
        (r#"{"command":"unsubscribe","data":{"channel":1e400}}"#, "unsubscribe 1e400"),
        (r#"{"command":"unsubscribe","data":{"channel":[]}}"#, "unsubscribe []"),
        (r#"{"command":"Constructor","data":5}"#, "constructor 5"),
        (r#"{"command":""}"#, " -"),
        (r#"{"command":"a","command":"b","data":1,"data":{}}"#, "b {}"),
    ] {
        let shown = |value: Option<&RawValue>| value.map_or("-", RawValue::get).to_owned();
        let found = match decode(message) {
            Ok(Decoded::Built(ClientMessage::Subscribe { channel, auth, data })) => {
                format!("subscribe {} {} {}", shown(channel), shown(auth), shown(data))
            }
            Ok(Decoded::Built(ClientMessage::Unsubscribe { channel })) => format!("unsubscribe {}", shown(channel)),
            Ok(Decoded::Custom { name, data }) => format!("{name} {}", shown(data)),
            Ok(Decoded::Ignored) => "ignored".to_owned(),
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(found, expected, "{message}");
    }
    let deep = format!(r#"{{"command":"x","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(decode(&deep).err(), Some(Fault::Bogus));
}

fn sent(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Y-3.1, Y-3.2, Y-3.3, Y-3.7, Y-5.1, Y-5.2, Y-5.5, section 12
#[test]
fn messages_are_written_in_one_way() {
    let socket_id = crate::pushi::name::parse_socket_id("c0ffee00-0000-4000-8000-000000000001").unwrap();
    let member = |object: &'static str| Arc::new(Member { object: Some(Bytes::from(object)), ..Member::new("id") });
    let two = MemberList::new(vec![member(r#"{"a":1}"#), member(r#"{"b":2}"#)]);
    for (message, expected) in [
        (
            connect(socket_id, Transport::JsonpPolling),
            r#"{"event":"pushy:connect","data":{"socketId":"c0ffee00-0000-4000-8000-000000000001","protocol":"jsonp-polling"}}"#,
        ),
        (error(Fault::Bogus), r#"{"event":"pushy:error","data":{"message":"Bogus message recieved","code":"100"}}"#),
        (error(Fault::TooMany), r#"{"event":"pushy:error","data":{"message":"Too many requests","code":"429"}}"#),
        (command_failed(&CommandFailed::default()), r#"{"event":"pushy:error","data":{"message":"Command failed","code":"500"}}"#),
        (needs_auth("a\"é"), r#"{"event":"pushy:subscription-needauth","data":{"channel":"a\"é"}}"#),
        (
            subscription_failed("a", Failure::DataTooLarge),
            r#"{"event":"pushy:subscription-failed","data":{"channel":"a","reason":"Presence data too large"}}"#,
        ),
        (subscription_end("A"), r#"{"event":"pushy:subscription-end","data":{"channel":"A"}}"#),
        (
            subscription_success("a", "01234567", None),
            r#"{"event":"pushy:subscription-success","data":{"channel":"a","memberId":"01234567"}}"#,
        ),
        (
            subscription_success("a", "01234567", Some(&two)),
            r#"{"event":"pushy:subscription-success","data":{"channel":"a","memberId":"01234567","presence":[{"a":1},{"b":2}]}}"#,
        ),
        (event("x\n", b"[1, 2]"), r#"{"event":"x\n","data":[1, 2]}"#),
    ] {
        assert_eq!(sent(&message), expected);
    }
}

fn spoken(body: Body, spelling: &str) -> Result<String, Unspeakable> {
    let channel = ChannelName::parse("private-x").unwrap();
    let event = Event::new(channel, 1, 1, None, body, &Arc::new(Budget::new(usize::MAX)));
    let mut out = b"before".to_vec();
    let done = encode_event(&event, spelling, &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before").unwrap().to_owned();
    assert_eq!(done.is_err(), text.is_empty());
    done.map(|()| text)
}

fn published(data: &[u8]) -> Body {
    Body::Published { name: "e\"".into(), data: Bytes::copy_from_slice(data), source: Source::Server, attached: None }
}

/// Y-6.13: what is JSON is told as JSON, as it is written; all else is a string.
#[test]
fn data_is_json_where_it_can_be() {
    for (data, expected) in [
        ("{}", "{}"),
        (r#"{"u":"a\/b"}"#, r#"{"u":"a\/b"}"#),
        (r#" {"s":"\ud800", "n":1e400} "#, r#"{"s":"\ud800", "n":1e400}"#),
        ("5", "5"),
        ("\"x\"", "\"x\""),
        ("null", "null"),
        ("hello", "\"hello\""),
        ("007", "\"007\""),
        ("{\"a\":", r#""{\"a\":""#),
        ("", "\"\""),
        ("{} {}", "\"{} {}\""),
    ] {
        let expected = format!(r#"{{"event":"e\"","channel":"Private-X","data":{expected}}}"#);
        assert_eq!(spoken(published(data.as_bytes()), "Private-X"), Ok(expected), "{data}");
    }
    assert_eq!(spoken(published(b"\xff"), "private-x"), Err(Unspeakable));
}

/// Y-8.6, Y-8.7: of members only those on the roll.
#[test]
fn those_on_the_roll_are_told() {
    let member = || Arc::new(Member { object: Some(Bytes::from_static(br#"{"idle":false}"#)), ..Member::new("id") });
    for (body, expected) in [
        (Body::Enrolled(member()), Ok(r#"{"event":"pushy:presence-add","channel":"X","data":{"member":{"idle":false}}}"#.to_owned())),
        (Body::Struck(member()), Ok(r#"{"event":"pushy:presence-quit","channel":"X","data":{"member":{"idle":false}}}"#.to_owned())),
        (Body::MemberAdded(member()), Err(Unspeakable)),
        (Body::MemberRemoved(member()), Err(Unspeakable)),
        (Body::SubscriptionCount(1), Err(Unspeakable)),
    ] {
        assert_eq!(spoken(body, "X"), expected);
    }
}
