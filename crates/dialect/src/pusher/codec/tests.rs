//! Exact frames, refused messages, and round trips.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::SocketId;

fn event_text(channel: &str, body: &Body) -> Result<String, NotText> {
    let mut out = Vec::new();
    encode_body(channel, body, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn published(name: &str, data: &[u8], source: Source) -> Body {
    Body::Published { name: Arc::from(name), data: Bytes::copy_from_slice(data), source, attached: None }
}

/// P-3.4, P-3.5, P-3.7, P-7.4, P-8.3, P-9.1, P-9.3, P-9.4, P-14.2: what a channel's subscribers are told.
#[test]
fn events_have_the_frames_of_the_table() {
    let client = |user_id: Option<&str>| Source::Client { socket: SocketId::new(0, 0, [0; 16]), user_id: user_id.map(Arc::from) };
    let member = |user_info: Option<&'static str>| Arc::new(Member { user_info: user_info.map(Bytes::from), ..Member::new("u\"1") });
    let envelope = r#"{"nonce":"x","ciphertext":"a/b+c="}"#;
    for (channel, body, expected) in [
        ("news", published("App\\Ev", b"", Source::Server), r#"{"event":"App\\Ev","channel":"news","data":""}"#),
        (
            "news",
            published("e", "\u{1}\n\"é✓\u{7f}".as_bytes(), Source::Server),
            "{\"event\":\"e\",\"channel\":\"news\",\"data\":\"\\u0001\\n\\\"é✓\u{7f}\"}",
        ),
        ("news", published("e", b"7", client(Some("u"))), r#"{"event":"e","channel":"news","data":"7"}"#),
        (
            "presence-a",
            published("client-x", b"{}", client(Some("u"))),
            r#"{"event":"client-x","channel":"presence-a","data":"{}","user_id":"u"}"#,
        ),
        ("presence-a", published("client-x", b"{}", client(None)), r#"{"event":"client-x","channel":"presence-a","data":"{}"}"#),
        (
            "private-encrypted-a",
            published("e", envelope.as_bytes(), Source::Server),
            r#"{"event":"e","channel":"private-encrypted-a","data":"{\"nonce\":\"x\",\"ciphertext\":\"a/b+c=\"}"}"#,
        ),
        (
            "presence-a",
            Body::MemberAdded(member(Some(r#"{"n":"\"é"}"#))),
            r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"u\\\"1\",\"user_info\":{\"n\":\"\\\"é\"}}"}"#,
        ),
        (
            "presence-a",
            Body::MemberAdded(member(None)),
            r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"u\\\"1\"}"}"#,
        ),
        (
            "presence-a",
            Body::MemberRemoved(Arc::new(Member::new("7"))),
            r#"{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"7\"}"}"#,
        ),
        (
            "news",
            Body::SubscriptionCount(12),
            r#"{"event":"pusher_internal:subscription_count","channel":"news","data":"{\"subscription_count\":12}"}"#,
        ),
    ] {
        assert_eq!(event_text(channel, &body).as_deref(), Ok(expected));
    }
}

/// What is not UTF-8 leaves nothing behind.
#[test]
fn an_event_that_is_no_text_is_skipped() {
    let mut out = b"before".to_vec();
    assert_eq!(encode_body("news", &published("e", b"\xff", Source::Server), &mut out), Err(NotText));
    let member = Arc::new(Member { user_info: Some(Bytes::from_static(b"\xff")), ..Member::new("u") });
    assert_eq!(encode_body("presence-a", &Body::MemberAdded(member), &mut out), Err(NotText));
    assert_eq!(out, b"before");
}

/// P-2.5, P-3.7, P-5.5, P-5.9, P-7.3, P-13.4, P-15.3, P-15.9, P-16.2, P-17.1: the exact bytes.
#[test]
fn replies_have_the_frames_of_the_table() {
    let member = |id: &'static str, info: Option<&'static str>| PresenceMember { user_id: id.into(), user_info: info.map(Cow::from) };
    for (message, expected) in [
        (
            ServerMessage::ConnectionEstablished { socket_id: "123.456".into(), activity_timeout: Some(120) },
            r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"123.456\",\"activity_timeout\":120}"}"#,
        ),
        (
            ServerMessage::ConnectionEstablished { socket_id: "123.456".into(), activity_timeout: None },
            r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"123.456\"}"}"#,
        ),
        (ServerMessage::Error { code: None, message: "no".into() }, r#"{"event":"pusher:error","data":{"code":null,"message":"no"}}"#),
        (ServerMessage::Ping, r#"{"event":"pusher:ping","data":"{}"}"#),
        (ServerMessage::Pong, r#"{"event":"pusher:pong","data":"{}"}"#),
        (
            ServerMessage::SubscriptionSucceeded { channel: "my-channel".into(), members: None },
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"my-channel","data":"{}"}"#,
        ),
        (
            ServerMessage::SubscriptionSucceeded {
                channel: "presence-a".into(),
                members: Some(vec![member("1", Some(r#"{"n":1}"#)), member("2", None)]),
            },
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{\"n\":1},\"2\":null},\"count\":2}}"}"#,
        ),
        (
            ServerMessage::SubscriptionError { channel: "private-a".into(), kind: "AuthError".into(), error: "no".into(), status: 401 },
            r#"{"event":"pusher:subscription_error","channel":"private-a","data":{"type":"AuthError","error":"no","status":401}}"#,
        ),
        (ServerMessage::CacheMiss { channel: "cache-a".into() }, r#"{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}"#),
        (
            ServerMessage::SignedIn { user_data: r#"{"id":"u1"}"#.into() },
            r#"{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u1\\\"}\"}"}"#,
        ),
        (
            ServerMessage::Watchlist { online: vec!["a".into(), "b".into()], offline: vec!["c".into()] },
            r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"a\",\"b\"]},{\"name\":\"offline\",\"user_ids\":[\"c\"]}]}"}"#,
        ),
        (
            ServerMessage::Watchlist { online: vec![], offline: vec!["c".into()] },
            r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"c\"]}]}"}"#,
        ),
    ] {
        assert_eq!(message.encode(), expected);
        assert_eq!(decode_server(expected), Ok(message), "{expected}");
    }
}

/// A confirmation is one buffer, made once and full.
#[test]
fn a_confirmation_is_made_in_one_piece() {
    let mut out = Vec::new();
    ServerMessage::SubscriptionSucceeded { channel: "my-channel".into(), members: None }.encode_into(&mut out);
    assert_eq!(out.capacity(), out.len());
}

/// Which refusal a message gets, or none.
fn refusal(message: &str) -> Option<&'static str> {
    match decode_client(message).err()? {
        DecodeError::Malformed => Some("malformed"),
        DecodeError::UnknownEvent { .. } => Some("unknown"),
        DecodeError::Unusable { .. } => Some("unusable"),
    }
}

/// P-3.1, P-3.2, P-3.3, P-3.6, P-8.1 row 1
#[test]
fn messages_are_taken_or_refused() {
    let deep = format!(r#"{{"event":"client-x","channel":"private-a","data":{}1{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    for (message, expected) in [
        ("", Some("malformed")),
        ("x", Some("malformed")),
        ("{", Some("malformed")),
        ("[]", Some("malformed")),
        (r#"["pusher:ping"]"#, Some("malformed")),
        (r#""pusher:ping""#, Some("malformed")),
        ("{}", Some("malformed")),
        (r#"{"event":7}"#, Some("malformed")),
        (r#"{"event":null}"#, Some("malformed")),
        (r#"{"event":"\ud800"}"#, Some("malformed")),
        (r#"{"event":"pusher:ping"} {}"#, Some("malformed")),
        (r#"{"event":"pusher:ping","event":"pusher:pong"}"#, Some("malformed")),
        (r#"{"event":"pusher:ping","data":{},"data":{}}"#, Some("malformed")),
        ("{\"event\":\"pusher:ping\u{0}\"}", Some("malformed")),
        (r#"{"event":"pusher:ping"}"#, None),
        (r#"{"event":"pusher:pong","data":null}"#, None),
        (r#" { "id" : 7 , "\u0065vent" : "pusher:ping" , "x" : [ {} ] , "x" : 1 } "#, None),
        (r#"{"event":"pusher:ping\u0000"}"#, Some("unknown")),
        (r#"{"event":"pusher:subscribed","data":{}}"#, Some("unknown")),
        (r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":{}}"#, Some("unknown")),
        (r#"{"event":"my-event","channel":"private-a","data":{}}"#, Some("unknown")),
        (r#"{"event":"","data":{}}"#, Some("unknown")),
        (r#"{"event":"pusher:subscribe"}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":null}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":[]}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":["a"]}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":"a"}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":"[\"a\"]"}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":"\"{\\\"channel\\\":\\\"a\\\"}\""}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":{}}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","channel":"a","data":{}}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":{"channel":7}}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":{"channel":"a","channel":"b"}}"#, Some("unusable")),
        (r#"{"event":"pusher:subscribe","data":{"channel":"a"}}"#, None),
        (r#"{"event":"pusher:subscribe","data":"{\"channel\":\"a\"}"}"#, None),
        (r#"{"event":"pusher:unsubscribe","data":{"channel":"a","more":1}}"#, None),
        (r#"{"event":"pusher:unsubscribe","data":{"channel":null}}"#, Some("unusable")),
        (r#"{"event":"pusher:signin","data":{"auth":"a","user_data":"b"}}"#, None),
        (r#"{"event":"pusher:signin","data":{"auth":"a","user_data":{}}}"#, Some("unusable")),
        (r#"{"event":"pusher:signin","data":{"user_data":"b"}}"#, Some("unusable")),
        (r#"{"event":"client-x","channel":"private-a"}"#, Some("unusable")),
        (r#"{"event":"client-x","data":{}}"#, Some("unusable")),
        (r#"{"event":"client-x","channel":7,"data":{}}"#, Some("unusable")),
        (r#"{"event":"client-x","channel":"private-a","data":null}"#, None),
        (r#"{"event":"client-x","channel":"private-a","data":"\ud800"}"#, Some("unusable")),
        (r#"{"event":"client-x","channel":"private-a","data":"\u0000"}"#, None),
        (&deep, None),
    ] {
        assert_eq!(refusal(message), expected, "{message:.80}");
    }
}

/// P-5.1, P-6.3: what is no string proves nothing; `channel_data` keeps its bytes.
#[test]
fn a_subscribe_keeps_what_was_signed() {
    for (data, auth, channel_data) in [
        (r#"{"channel":"a"}"#, None, None),
        (r#"{"channel":"a","auth":"","channel_data":null}"#, Some(""), None),
        (r#"{"channel":"a","auth":7,"channel_data":""}"#, None, Some("")),
        (
            r#"{"channel":"a","auth":"k:s","channel_data":"{ \"user_id\" : \"\\u00e9\" }"}"#,
            Some("k:s"),
            Some(r#"{ "user_id" : "\u00e9" }"#),
        ),
        (r#"{"channel":"a","channel_data":{ }}"#, None, Some("{ }")),
    ] {
        let message = format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#);
        let expected = Subscribe { channel: "a".into(), auth: auth.map(Cow::from), channel_data: channel_data.map(Cow::from) };
        match decode_client(&message) {
            Ok(ClientMessage::Subscribe(request)) => assert_eq!(request, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// P-3.2, P-3.5, P-20.2, P-20.10, P-20.14: as other servers of the protocol send it.
#[test]
fn clients_read_data_as_text_or_as_value() {
    let event = |channel: Option<&'static str>, data: &'static str| ServerMessage::Event {
        name: "e".into(),
        channel: channel.map(Cow::from),
        data: data.into(),
        user_id: None,
    };
    for (message, expected) in [
        (r#"{"event":"e","channel":"a","data":{"x": [1, 2]}}"#, Some(event(Some("a"), r#"{"x":[1,2]}"#))),
        (r#"{"event":"e","channel":null,"data":"plain"}"#, Some(event(None, "plain"))),
        (
            r#"{"event":"pusher:error","data":"{\"code\":4001,\"message\":\"m\"}"}"#,
            Some(ServerMessage::Error { code: Some(4001), message: "m".into() }),
        ),
        (r#"{"event":"pusher:signin_success","data":{"user_data":"d"}}"#, Some(ServerMessage::SignedIn { user_data: "d".into() })),
        (r#"{"event":"pusher:pong"}"#, Some(ServerMessage::Pong)),
        (r#"{"event":"e","channel":"a"}"#, None),
        (r#"{"event":"pusher:new_thing","data":"{}"}"#, None),
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"a"}"#,
            Some(ServerMessage::SubscriptionSucceeded { channel: "a".into(), members: None }),
        ),
        (r#"{"event":"pusher:connection_established","data":"{}"}"#, None),
        ("[]", None),
    ] {
        assert_eq!(decode_server(message).ok(), expected, "{message}");
    }
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    any::<String>().prop_map(Cow::from)
}

fn json_text() -> impl Strategy<Value = Cow<'static, str>> {
    (any::<String>(), any::<u32>()).prop_map(|(key, value)| serde_json::json!({ key: value }).to_string().into())
}

fn member() -> impl Strategy<Value = PresenceMember<'static>> {
    (text(), prop::option::of(json_text())).prop_map(|(user_id, user_info)| PresenceMember { user_id, user_info })
}

/// Members with distinct ids.
fn members() -> impl Strategy<Value = Vec<PresenceMember<'static>>> {
    prop::collection::vec(member(), 0..5).prop_map(|mut members| {
        members.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        members.dedup_by(|a, b| a.user_id == b.user_id);
        members
    })
}

fn server_message() -> impl Strategy<Value = ServerMessage<'static>> {
    let published = text().prop_filter("a reserved name", |name| !name.starts_with("pusher"));
    let list = || prop::collection::vec(text(), 0..4);
    prop_oneof![
        (text(), any::<Option<u64>>())
            .prop_map(|(socket_id, activity_timeout)| ServerMessage::ConnectionEstablished { socket_id, activity_timeout }),
        (any::<Option<u16>>(), text()).prop_map(|(code, message)| ServerMessage::Error { code, message }),
        (text(), prop::option::of(members())).prop_map(|(channel, members)| ServerMessage::SubscriptionSucceeded { channel, members }),
        (text(), text(), text(), any::<u16>()).prop_map(|(channel, kind, error, status)| ServerMessage::SubscriptionError {
            channel,
            kind,
            error,
            status
        }),
        (text(), any::<u32>()).prop_map(|(channel, count)| ServerMessage::SubscriptionCount { channel, count }),
        (text(), member()).prop_map(|(channel, member)| ServerMessage::MemberAdded { channel, member }),
        (text(), text()).prop_map(|(channel, user_id)| ServerMessage::MemberRemoved { channel, user_id }),
        text().prop_map(|channel| ServerMessage::CacheMiss { channel }),
        text().prop_map(|user_data| ServerMessage::SignedIn { user_data }),
        (list(), list()).prop_map(|(online, offline)| ServerMessage::Watchlist { online, offline }),
        (published, prop::option::of(text()), text(), prop::option::of(text()))
            .prop_map(|(name, channel, data, user_id)| ServerMessage::Event { name, channel, data, user_id }),
    ]
}

fn client_message() -> impl Strategy<Value = ClientMessage<'static>> {
    let raw = json_text().prop_map(|json| ClientData::Json(Cow::Owned(RawValue::from_string(json.into_owned()).unwrap())));
    prop_oneof![
        Just(ClientMessage::Ping),
        Just(ClientMessage::Pong),
        (text(), prop::option::of(text()), prop::option::of(text()))
            .prop_map(|(channel, auth, channel_data)| ClientMessage::Subscribe(Subscribe { channel, auth, channel_data })),
        text().prop_map(|channel| ClientMessage::Unsubscribe { channel }),
        (text(), text()).prop_map(|(auth, user_data)| ClientMessage::SignIn { auth, user_data }),
        (any::<String>(), text(), prop_oneof![text().prop_map(ClientData::Text), raw])
            .prop_map(|(name, channel, data)| ClientMessage::Event { name: format!("client-{name}").into(), channel, data }),
    ]
}

/// P-22.5: ids as numbers, as they have been seen.
#[test]
fn ids_may_be_numbers() {
    let member = |user_id: &'static str, user_info: Option<&'static str>| PresenceMember {
        user_id: user_id.into(),
        user_info: user_info.map(Cow::Borrowed),
    };
    for (text, message) in [
        (
            r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":7,\"user_info\":{}}"}"#,
            ServerMessage::MemberAdded { channel: "presence-a".into(), member: member("7", Some("{}")) },
        ),
        (
            r#"{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":18446744073709551616}"}"#,
            ServerMessage::MemberRemoved { channel: "presence-a".into(), user_id: "18446744073709551616".into() },
        ),
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[7,\"8\"],\"hash\":{\"7\":{},\"8\":null},\"count\":2}}"}"#,
            ServerMessage::SubscriptionSucceeded {
                channel: "presence-a".into(),
                members: Some(vec![member("7", Some("{}")), member("8", None)]),
            },
        ),
    ] {
        assert_eq!(decode_server(text), Ok(message), "{text}");
    }
    for id in ["1.5", "true", "null", "[]", "{}"] {
        let text = format!(r#"{{"event":"pusher_internal:member_removed","channel":"presence-a","data":{{"user_id":{id}}}}}"#);
        assert!(decode_server(&text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn clients_read_what_the_server_writes(message in server_message()) {
        let encoded = message.encode();
        prop_assert_eq!(decode_server(std::str::from_utf8(&encoded).unwrap()), Ok(message));
    }

    #[test]
    fn the_server_reads_what_clients_write(message in client_message()) {
        let mut out = Vec::new();
        encode_client(&message, &mut out);
        let decoded = decode_client(std::str::from_utf8(&out).unwrap()).unwrap();
        // A RawValue has no equality; its text shows in Debug.
        prop_assert_eq!(format!("{decoded:?}"), format!("{message:?}"));
    }
}
