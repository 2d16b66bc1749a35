//! The calls that publish.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use tidings_hub::{SocketId, Source};

const EVENTS: &str = "/apps/1001/events";
const BATCH: &str = "/apps/1001/batch_events";
const COUNTS: Info = Info { user_count: true, subscription_count: true, cache: false };

fn names(publish: &Publish) -> Vec<&str> {
    publish.channels.iter().map(|channel| channel.as_str()).collect()
}

/// A body with a valid event, one member of it replaced, or removed by null.
fn with(member: &str, value: serde_json::Value) -> String {
    let mut event = json!({"name": "ev", "data": "d", "channel": "c1"});
    event[member] = value;
    event.to_string()
}

/// P-11.1
#[test]
fn an_event_is_taken_whole() {
    let (publish, info) = event(
        r#"{"name":"App\\Events\\Order:Shipped.v2 ✓","data":"{\"a\":\"Zo\u00eb \ud83d\ude00\"}","channels":["c1","private-c2"],
            "socket_id":"123.456","info":"subscription_count,user_count","channel":"ignored","unknown":{"deep":[1]}}"#,
    );
    assert_eq!(&*publish.name, r"App\Events\Order:Shipped.v2 ✓");
    assert_eq!(publish.data, r#"{"a":"Zoë 😀"}"#);
    assert_eq!(names(&publish), ["c1", "private-c2"]);
    assert_eq!(publish.origin, SocketId::from_halves(123, 456));
    assert_eq!(publish.source, Source::Server);
    assert_eq!(info, COUNTS);

    let (publish, info) = event(r#"{"name":"ev","data":"","channel":"c1"}"#);
    assert_eq!((names(&publish), &publish.data[..], publish.origin, info), (vec!["c1"], &b""[..], None, Info::default()));
}

/// P-11.1, P-11.3, P-10.12: each parameter that is missing or malformed, and what the refusal says.
#[test]
fn malformed_events() {
    for (member, value, says) in [
        ("name", json!(null), "Missing required parameter: name\n"),
        ("name", json!(""), "empty"),
        ("name", json!(5), "expected a string"),
        ("data", json!(null), "Missing required parameter: data\n"),
        ("channel", json!(null), "Missing required parameter: channels\n"),
        ("channel", json!("a b"), "\"a b\""),
        ("channel", json!(""), "empty"),
        ("channel", json!(["c1"]), "expected a string"),
        ("channel", json!("#server-to-user-"), "empty"),
        ("channel", json!("a#b"), "may only hold"),
        ("channels", json!([]), "at least one"),
        ("channels", json!("c1"), "array of strings"),
        ("channels", json!(["c1", 2]), "expected a string"),
        ("channels", json!(["c1", "ü"]), "\"ü\""),
        ("socket_id", json!(""), "socket_id"),
        ("socket_id", json!("1"), "socket_id"),
        ("socket_id", json!("1.2.3"), "socket_id"),
        ("socket_id", json!("-1.2"), "socket_id"),
        ("socket_id", json!("1.2\n"), "socket_id"),
        ("socket_id", json!(1.2), "expected a string"),
        ("info", json!("members"), "info should be a comma separated list of attributes"),
        ("info", json!("user_count,cache"), "info should be a comma separated list of attributes"),
        ("info", json!("USER_COUNT"), "info should be a comma separated list of attributes"),
        ("info", json!(["user_count"]), "expected a string"),
    ] {
        refused(post(EVENTS, with(member, value)), 400, says);
    }
}

/// P-11.2: values that are no strings become compact JSON, and unknown members and nulls do not matter.
#[test]
fn data_of_any_type() {
    for (data, expected) in [
        ("{ \"a\" : [ 1 , 2.50 ],\n\t\"b\" : \"x \\\" y\\\\\" , \"c\":\"{ }\" }", r#"{"a":[1,2.50],"b":"x \" y\\","c":"{ }"}"#),
        ("12345678901234567890", "12345678901234567890"),
        ("false", "false"),
        ("[ ]", "[]"),
        (r#"{"b":1,"a":"\u00e9"}"#, r#"{"b":1,"a":"é"}"#),
    ] {
        let (publish, _) = event(format!(r#"{{"name":"ev","data": {data} ,"channel":"c1","socket_id":null,"info":null,"channels":null}}"#));
        assert_eq!(publish.data, expected);
    }
}

/// P-11.3: an id that no connection of ours can have is no error.
#[test]
fn origins() {
    for (text, origin) in [
        ("123.456", SocketId::from_halves(123, 456)),
        ("0.0", SocketId::from_halves(0, 0)),
        ("0123.456", None),
        ("99999999999999999999999999.1", None),
        ("18446744073709551615.1", None),
    ] {
        assert_eq!(event(with("socket_id", json!(text))).0.origin, origin, "{text}");
    }
}

/// P-11.1: channels named twice count once.
#[test]
fn duplicate_channels_are_merged() {
    let (publish, _) = event(with("channels", json!(["b", "a", "b", "a", "B"])));
    assert_eq!(names(&publish), ["b", "a", "B"]);
}

/// P-11.1, P-18.1, P-18.2, P-18.3, P-18.4, P-18.20: what is exactly at a limit passes, one more does not.
#[test]
fn limits() {
    let text = |character: &str, count: usize| json!(character.repeat(count));
    let channels = |count: usize| json!((0..count).map(|n| format!("c{n}")).collect::<Vec<_>>());
    for (member, fits, too_much, status, says) in [
        ("data", text("x", 10_240), text("x", 10_241), 413, "10241 bytes; at most 10240"),
        ("data", text("é", 5_120), text("é", 5_121), 413, "10242 bytes"),
        ("data", text("\"", 10_240), text("\"", 10_241), 413, "10241 bytes"),
        ("data", json!([text("x", 10_236)]), json!([text("x", 10_237)]), 413, "10241 bytes"),
        ("channels", channels(100), channels(101), 400, "at most 100 channels, not 101"),
        ("name", text("✓", 200), text("✓", 201), 400, "more than 200 characters"),
        ("channel", text("x", 200), text("x", 201), 400, "more than 200 characters"),
        (
            "channel",
            json!(format!("#server-to-user-{}", "x".repeat(200))),
            json!(format!("#server-to-user-{}", "x".repeat(201))),
            400,
            "200",
        ),
    ] {
        event(with(member, fits));
        refused(post(EVENTS, with(member, too_much)), status, says);
    }
    refused(post(EVENTS, with("channels", json!(vec!["same"; 101]))), 400, "not 101");
}

/// P-18.20: the limits are the app's.
#[test]
fn limits_are_the_apps() {
    let mut app = app();
    app.limits.event_bytes = 3;
    app.limits.event_name_chars = 2;
    app.limits.publish_channels = 1;
    app.limits.batch_events = 1;
    app.channel_name_max = 164;
    let send = |path, body: &str| call_of(app.clone(), "POST", path, &[], body.as_bytes());
    send(EVENTS, r#"{"name":"éé","data":"123","channel":"c"}"#).unwrap();
    refused(send(EVENTS, r#"{"name":"ev","data":"1234","channel":"c"}"#), 413, "at most 3");
    refused(send(EVENTS, r#"{"name":"ev1","data":"1","channel":"c"}"#), 400, "2 characters");
    refused(send(EVENTS, r#"{"name":"ev","data":"1","channels":["a","b"]}"#), 400, "at most 1 channels");
    refused(send(BATCH, r#"{"batch":[{},{}]}"#), 400, "Batch too large (2 > 1)\n");
    refused(send(EVENTS, &format!(r#"{{"name":"ev","data":"1","channel":"{}"}}"#, "x".repeat(165))), 400, "164");
}

/// P-3.10, P-11.1: the server's own event names.
#[test]
fn reserved_event_names() {
    for name in [
        "pusher:",
        "pusher:error",
        "pusher_internal:x",
        "tidings:resumed",
        "pushy:connect",
        "pushy:error",
        "pushy:subscription-needauth",
        "pushy:subscription-success",
        "pushy:subscription-failed",
        "pushy:subscription-end",
        "pushy:presence-add",
        "pushy:presence-quit",
    ] {
        refused(post(EVENTS, with("name", json!(name))), 400, "reserved");
        refused(post(BATCH, format!(r#"{{"batch":[{}]}}"#, with("name", json!(name)))), 400, "reserved");
        refused(call_of(app(), "POST", "/apps/1001/channels/c/events", &[("name", name)], b""), 400, "reserved");
    }
    for name in ["pusher", "Pusher:x", "xpusher:x", "pushy:other", "client-ev", "tidings"] {
        event(with("name", json!(name)));
    }
}

/// P-9.5
#[test]
fn an_encrypted_channel_stands_alone() {
    event(with("channel", json!("private-encrypted-a")));
    event(with("channels", json!(["private-encrypted-a"])));
    event(with("channels", json!(["private-encrypted-a", "private-encrypted-a"])));
    for channels in [json!(["a", "private-encrypted-a"]), json!(["private-encrypted-a", "private-encrypted-b"])] {
        refused(post(EVENTS, with("channels", channels)), 400, "encrypted");
    }
    let mixed = r#"{"batch":[{"channel":"private-encrypted-a","name":"e","data":"1"},{"channel":"b","name":"e","data":"2"}]}"#;
    assert!(matches!(post(BATCH, mixed), Ok(Call::Batch(events)) if events.len() == 2));
}

/// P-10.2: parameters may stand in the query; the body wins.
#[test]
fn parameters_in_the_query() {
    let all: &[(&str, &str)] = &[
        ("channels[]", "a"),
        ("channels[]", "b"),
        ("channel", "c"),
        ("name", "from query"),
        ("data", "1+1 %"),
        ("socket_id", "1.2"),
        ("info", "user_count"),
    ];
    for body in ["", "{}", r#"{"name":null,"data":null}"#] {
        let Ok(Call::Publish(publish, info)) = call_of(app(), "POST", EVENTS, all, body.as_bytes()) else { panic!("refused") };
        assert_eq!((names(&publish), &*publish.name, &publish.data[..]), (vec!["a", "b"], "from query", &b"1+1 %"[..]));
        assert_eq!((publish.origin, info.user_count), (SocketId::from_halves(1, 2), true));
    }
    let body = r#"{"channel":"own","name":"own","data":"own","socket_id":"3.4","info":"subscription_count"}"#;
    let Ok(Call::Publish(publish, info)) = call_of(app(), "POST", EVENTS, all, body.as_bytes()) else { panic!("refused") };
    assert_eq!((names(&publish), &*publish.name, &publish.data[..]), (vec!["own"], "own", &b"own"[..]));
    assert_eq!((publish.origin, info), (SocketId::from_halves(3, 4), Info { subscription_count: true, ..Info::default() }));

    let Ok(Call::Publish(publish, _)) = call_of(app(), "POST", EVENTS, &all[2..], b"") else { panic!("refused") };
    assert_eq!(names(&publish), ["c"]);
    for (params, says) in [
        (&[("name", "a"), ("name", "b")][..], "more than one name"),
        (&[("name", "a"), ("data", "1")], "Missing required parameter: channels\n"),
        (&[("channel", "a"), ("data", "1")], "Missing required parameter: name\n"),
        (&[("channel", "a"), ("name", "1")], "Missing required parameter: data\n"),
    ] {
        refused(call_of(app(), "POST", EVENTS, params, b""), 400, says);
    }
}

/// P-10.2: the body is a JSON object in UTF-8, or nothing.
#[test]
fn bodies_that_are_no_object() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let shut = |text: &str| text.as_bytes().to_vec();
    for path in [EVENTS, BATCH, "/apps/1001/users/u/terminate_connections"] {
        for body in [
            shut("null"),
            shut("[]"),
            shut(r#"["ev","d",["c1"]]"#),
            shut("\"x\""),
            shut("5"),
            shut(" "),
            shut("{"),
            shut("{}}"),
            shut("{}\0"),
            shut("{'name':1}"),
            shut("{\"name\":\"a\u{1}\"}"),
            shut("\u{feff}{}"),
            shut(&deep),
            shut("{\"name\":"),
            b"{\"name\":\"\xff\"}".to_vec(),
            b"{\"other\":\"\xed\xa0\x80\"}".to_vec(),
            b"\xff".to_vec(),
        ] {
            let outcome = post(path, &body);
            assert!(matches!(&outcome, Err(refusal) if refusal.status == 400), "{path} {:?} {outcome:?}", String::from_utf8_lossy(&body));
        }
    }
}

/// P-11.1: nesting, half characters and repeated members cost a refusal at most.
#[test]
fn hostile_events() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(event(format!(r#"{{"name":"ev","data":{},"channel":"c"}}"#, nested(5_120))).0.data.len(), 10_240);
    refused(post(EVENTS, format!(r#"{{"name":"ev","data":{},"channel":"c"}}"#, nested(100_000))), 413, "200000");
    event(format!(r#"{{"name":"ev","data":"1","channel":"c","unknown":{}}}"#, nested(100_000)));
    for data in [r#""\ud800""#, r#""\udc00x""#, r#""\ud800\ud800""#, r#""\ud800\n""#, r#""x\ud83d""#, r#""\ud83dé5""#] {
        refused(post(EVENTS, format!(r#"{{"name":"ev","data":{data},"channel":"c"}}"#)), 400, "surrogate");
    }
    refused(post(EVENTS, r#"{"name":"\ud800","data":"1","channel":"c"}"#), 400, "JSON object");
    refused(post(EVENTS, r#"{"name":"a","name":"b","data":"1","channel":"c"}"#), 400, "duplicate");
    refused(post(EVENTS, r#"{"name":"a","data":"\q","channel":"c"}"#), 400, "escape");
    assert_eq!(event(r#"{"name":"a","data":"\u0000","channel":"c"}"#).0.data, "\0");
    refused(post(EVENTS, with("channel", json!("x".repeat(100_000)))), 400, "cannot be used");
}

/// P-11.9, P-11.10: events in order, each with its own channel; all or nothing.
#[test]
fn batches() {
    let body = r#"{"batch":[{"channel":"c1","name":"e1","data":"1"},{"channel":"presence-c2","name":"e2","data":{"a": 2},
        "socket_id":"1.2","info":"user_count,subscription_count","channels":["x","y"]}],"unknown":1}"#;
    let Ok(Call::Batch(events)) = post(BATCH, body) else { panic!("refused") };
    let told: Vec<_> = events.iter().map(|(event, info)| (names(event)[0], &*event.name, &event.data[..], event.origin, *info)).collect();
    let origin = SocketId::from_halves(1, 2);
    assert_eq!(told, [("c1", "e1", &b"1"[..], None, Info::default()), ("presence-c2", "e2", br#"{"a":2}"#, origin, COUNTS)]);

    let good = r#"{"channel":"c1","name":"e1","data":"1"}"#;
    let big = format!(r#"{{"channel":"c","name":"e","data":"{}"}}"#, "x".repeat(10_241));
    for (bad, status, says) in [
        (r#"{"name":"e1","data":"1"}"#, 400, "Missing required parameter: channel\n"),
        (r#"{"name":"e1","data":"1","channels":["c1"]}"#, 400, "Missing required parameter: channel\n"),
        (r#"{"channel":"c1","data":"1"}"#, 400, "Missing required parameter: name\n"),
        (r#"{"channel":"c1","name":"e1"}"#, 400, "Missing required parameter: data\n"),
        (r#"{"channel":"c1","name":"e1","data":null}"#, 400, "Missing required parameter: data\n"),
        (r#"{"channel":"c 1","name":"e1","data":"1"}"#, 400, "c 1"),
        (r#"{"channel":"c1","name":"e1","data":"1","socket_id":"x"}"#, 400, "socket_id"),
        (r#"{"channel":"c1","name":"e1","data":"1","info":"x"}"#, 400, "info should be a comma separated list of attributes"),
        (&big, 413, "10241"),
        (r#"["c1","e1","1"]"#, 400, "JSON object"),
        ("null", 400, "JSON object"),
    ] {
        for batch in [format!("{bad},{good}"), format!("{good},{bad}")] {
            refused(post(BATCH, format!(r#"{{"batch":[{batch}]}}"#)), status, says);
        }
    }
    for (body, says) in [
        ("", "Missing required parameter: batch\n"),
        ("{}", "Missing required parameter: batch\n"),
        (r#"{"batch":null}"#, "Missing required parameter: batch\n"),
        (r#"{"batch":[]}"#, "empty"),
        (r#"{"batch":{}}"#, "JSON object"),
        (r#"{"batch":"x"}"#, "JSON object"),
    ] {
        refused(post(BATCH, body), 400, says);
    }
}

/// P-10.12, P-11.9, P-18.5
#[test]
fn batches_are_bounded() {
    let batch = |count: usize| {
        let events = vec![r#"{"channel":"c1","name":"e1","data":"1"}"#; count];
        post(BATCH, format!(r#"{{"batch":[{}]}}"#, events.join(",")))
    };
    assert!(matches!(batch(10), Ok(Call::Batch(events)) if events.len() == 10));
    let refusal = batch(11).unwrap_err();
    assert_eq!((refusal.status, refusal.body.as_str()), (400, "Batch too large (11 > 10)\n"));
    refused(post(BATCH, format!(r#"{{"batch":[{}0]}}"#, "0,".repeat(100_000))), 400, "Batch too large (100001 > 10)\n");
}

/// P-11.12: the body is the data, whatever it looks like.
#[test]
fn the_legacy_publish() {
    let send = |path, params: &[(&str, &str)], body: &[u8]| call_of(app(), "POST", path, params, body);
    let path = "/apps/1001/channels/a%2Cb/events";
    for body in ["{\"a\":1}", "plain ✓", "", "{ \"a\" : 1 }"] {
        let Ok(Call::LegacyPublish(publish)) = send(path, &[("name", "ev"), ("socket_id", "123.456")], body.as_bytes()) else {
            panic!("refused")
        };
        assert_eq!((names(&publish), &*publish.name, &publish.data[..]), (vec!["a,b"], "ev", body.as_bytes()));
        assert_eq!((publish.origin, publish.source), (SocketId::from_halves(123, 456), Source::Server));
    }
    send(path, &[("name", "ev")], &[b'x'; 10_240]).unwrap();
    refused(send(path, &[("name", "ev")], &[b'x'; 10_241]), 413, "10241");
    refused(send(path, &[("name", "ev")], b"\xff"), 400, "UTF-8");
    refused(send(path, &[], b"{\"name\":\"ev\"}"), 400, "Missing required parameter: name\n");
    refused(send(path, &[("name", "ev"), ("socket_id", "x")], b""), 400, "socket_id");
    refused(send("/apps/1001/channels/a%20b/events", &[("name", "ev")], b""), 400, "a b");
}

proptest! {
    /// P-11.1: the data is the string's value, however it is escaped.
    #[test]
    fn strings_come_through(text in "\\PC{0,40}|.{0,40}", escape_all in any::<bool>()) {
        let json = if escape_all {
            format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>())
        } else {
            serde_json::to_string(&text).unwrap()
        };
        let (publish, _) = event(format!(r#"{{"channel":"c","name":"ev","data":{json}}}"#));
        prop_assert_eq!(&publish.data[..], text.as_bytes());
    }

    /// P-11.2: white space goes, all else stays.
    #[test]
    fn other_values_are_made_compact(texts in prop::collection::vec(".{0,10}", 0..5)) {
        let value = json!({"a": texts, "b": {"c": 1}});
        let (publish, _) = event(format!(r#"{{"channel":"c","name":"ev","data":{value:#}}}"#));
        prop_assert_eq!(publish.data, value.to_string());
    }
}
