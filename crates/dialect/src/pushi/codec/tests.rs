//! Exact frames, and what is no message.

use super::*;
use std::sync::Arc;
use tidings_hub::{Budget, ChannelName, Source, Stamp, UnixTime};

fn event(channel: &str, body: Body) -> Result<String, Unspeakable> {
    let event = Event::new(ChannelName::parse(channel).unwrap(), 1, 1, None, body, &Arc::new(Budget::new(usize::MAX)));
    let mut out = Vec::new();
    encode_event(&event, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn published(data: &'static [u8], attached: Option<Attached>) -> Body {
    Body::Published { name: Arc::from("m"), data: Bytes::from_static(data), source: Source::Server, attached: attached.map(Box::new) }
}

/// I-1.2, I-1.9, I-1.10, I-4.20
#[test]
fn events_have_their_frames() {
    let stamp = Stamp { mid: 0x0b2f_7a52_7a0c_4f63_9c3e_2a7d_3f1f_9d10, at: UnixTime::from_micros(1_700_000_000_000_012) };
    let extras = || Some(Bytes::from_static(br#""push":"short text""#));
    let alice = || Arc::new(Member { object: Some(Bytes::from_static(br#"{"user_id":"alice"}"#)), ..Member::new("alice") });
    for (body, expected) in [
        (published(b"", None), r#"{"event":"m","channel":"c","data":""}"#),
        (published(b"{\"a\":1}", None), r#"{"event":"m","channel":"c","data":"{\"a\":1}"}"#),
        (
            published(b"x", Some(Attached { stamp: Some(stamp), extras: extras() })),
            r#"{"event":"m","channel":"c","data":"x","push":"short text","mid":"0b2f7a52-7a0c-4f63-9c3e-2a7d3f1f9d10","timestamp":1700000000.000012}"#,
        ),
        (
            published(b"x", Some(Attached { stamp: None, extras: extras() })),
            r#"{"event":"m","channel":"c","data":"x","push":"short text"}"#,
        ),
        (
            Body::MemberAdded(alice()),
            r#"{"event":"pusher:member_added","channel":"c","member":"{\"user_id\":\"alice\"}","data":"{\"user_id\":\"alice\"}"}"#,
        ),
        (
            Body::MemberRemoved(alice()),
            r#"{"event":"pusher:member_removed","channel":"c","member":"{\"user_id\":\"alice\"}","data":"{\"user_id\":\"alice\"}"}"#,
        ),
    ] {
        assert_eq!(event("c", body).as_deref(), Ok(expected));
    }
    assert_eq!(event("c", Body::SubscriptionCount(1)), Err(Unspeakable));
    assert_eq!(event("c", published(b"\xff", None)), Err(Unspeakable));
}

/// I-1.3, I-1.4, I-1.5, I-1.11
#[test]
fn answers_have_their_frames() {
    let id = SocketId::new(0, 0, [0x5a; 16]);
    let text = super::super::name::socket_id(id);
    assert_eq!(greeting(id), format!(r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"{text}\"}}"}}"#));
    let list = MemberList::new(vec![Arc::new(Member::new("a")), Arc::new(Member::new("b"))]);
    assert_eq!(
        record(Told::Subscribed, "presence-x", Some(&list), [], None),
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-x","data":"{\"name\":\"presence-x\",\"members\":{\"a\":{\"user_id\":\"a\"},\"b\":{\"user_id\":\"b\"}},\"alias\":[],\"events\":[]}"}"#
    );
    assert_eq!(
        record(Told::Latest, "personal-u", None, ["news", "x\"y"], Some(br#"[{"id":1}]"#)),
        r#"{"event":"pusher_internal:latest","channel":"personal-u","data":"{\"name\":\"personal-u\",\"members\":{},\"alias\":[\"news\",\"x\\\"y\"],\"events\":[{\"id\":1}]}"}"#
    );
    assert_eq!(
        error("c", Code::Forbidden, "no \"x\"", "m"),
        r#"{"event":"pusher:error","channel":"c","data":"{\"code\":403,\"message\":\"no \\\"x\\\"\",\"event\":\"m\"}"}"#
    );
}

/// I-1.4, I-1.5, I-1.7, I-1.8, I-3.7
#[test]
fn messages_are_read() {
    let read = |message: &str| format!("{:?}", decode(message).unwrap().unwrap());
    for (message, expected) in [
        (
            r#"{"event":"pusher:subscribe","data":{"channel":"c"},"echo":false,"persist":true}"#,
            r#"Subscribe { channel: "c", auth: None, channel_data: None }"#,
        ),
        (
            r#"{"data":{"auth":"k:s","channel_data":{"user_id":1},"channel":"c"},"event":"pusher:subscribe"}"#,
            r#"Subscribe { channel: "c", auth: Some("k:s"), channel_data: Some(Object(RawValue({"user_id":1}))) }"#,
        ),
        (
            r#"{"event":"pusher:subscribe","data":{"channel":"c","auth":null,"channel_data":"{}"}}"#,
            r#"Subscribe { channel: "c", auth: None, channel_data: Some(Signed("{}")) }"#,
        ),
        (r#"{"event":"pusher:latest","data":{"channel":"c","skip":null,"count":-3}}"#, r#"Latest { channel: "c", skip: 0, count: -3 }"#),
        (r#"{"event":"pusher:unsubscribe","data":{"channel":"c"}}"#, r#"Unsubscribe { channel: "c" }"#),
        (r#"{"event":"pusher:ping"}"#, "Ping"),
        (
            r#"{"event":"pusher_subscribe","channel":"c","data":null,"x":1}"#,
            r#"Event { name: "pusher_subscribe", channel: "c", data: RawValue(null), echo: false, persist: true }"#,
        ),
        (
            r#"{"event":"m","event":"n","channel":"c","data":[1],"echo":true,"persist":false}"#,
            r#"Event { name: "n", channel: "c", data: RawValue([1]), echo: true, persist: false }"#,
        ),
    ] {
        assert_eq!(read(message), expected, "{message}");
    }
    assert!(decode("").unwrap().is_none());
}

/// I-1.4, I-1.11: each row 400, with what could be read.
#[test]
fn what_is_no_message_is_refused() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (message, event, channel) in [
        ("nope", "", ""),
        ("[]", "", ""),
        ("{}", "", ""),
        (" ", "", ""),
        (r#"{"event":7}"#, "", ""),
        (r#"{"event":""}"#, "", ""),
        (r#"{"event":"x","data":"y"}"#, "x", ""),
        (r#"{"event":"x","channel":"c"}"#, "x", "c"),
        (r#"{"event":"x","channel":7,"data":1}"#, "x", ""),
        (r#"{"event":"x","channel":"c","data":1,"echo":"yes"}"#, "x", "c"),
        (r#"{"event":"x","channel":"c","data":"\ud800"}"#, "x", "c"),
        (r#"{"event":"\ud800","channel":"c","data":1}"#, "", "c"),
        (r#"{"event":"pusher:subscribe","data":{}}"#, "pusher:subscribe", ""),
        (r#"{"event":"pusher:subscribe","data":"{\"channel\":\"x\"}"}"#, "pusher:subscribe", ""),
        (r#"{"event":"pusher:subscribe","data":{"channel":"c","auth":7}}"#, "pusher:subscribe", "c"),
        (r#"{"event":"pusher:latest","data":{"channel":"c","count":"x"}}"#, "pusher:latest", "c"),
        (r#"{"event":"pusher:latest","data":{"channel":"c","count":1.5}}"#, "pusher:latest", "c"),
        (r#"{"event":"pusher:latest","data":{"channel":"c","count":99999999999999999999}}"#, "pusher:latest", "c"),
        (r#"{"event":"pusher:member_added","channel":"c","data":"x"}"#, "pusher:member_added", "c"),
        (r#"{"event":"pusher_internal:x","channel":"c","data":"x"}"#, "pusher_internal:x", "c"),
        (r#"{"event":"tidings:x","channel":"c","data":"x"}"#, "tidings:x", "c"),
        (deep.as_str(), "", ""),
    ] {
        let malformed = decode(message).unwrap_err();
        assert_eq!((malformed.event.as_str(), malformed.channel.as_str()), (event, channel), "{message}");
        assert!(!malformed.reason.is_empty());
    }
}
