//! Requests to the trigger, beside those of the published vectors.

use super::*;
use crate::pushy::settings::Secret;
use tidings_hub::{ChannelName, SocketId};

const NOW: UnixTime = UnixTime::from_millis(1_363_800_000_400);

fn app() -> App {
    App::new("1", "k", "secret")
}

/// A query that is signed for `channel`, which is in lower case, and `body`, the text that is signed for it.
fn query(channel: &str, event: &str, body: &str) -> String {
    let parts = [channel, event, "1363800000", body, "secret"].map(str::as_bytes);
    format!("event={event}&timestamp=1363800000&auth_key={}", Signature::of(&parts).hex())
}

fn post<'a>(path: &'a str, query: &'a str) -> Request<'a> {
    Request { method: "POST", path, query, content_type: None, body: b"" }
}

fn receive(request: &Request<'_>) -> Result<Trigger, Refusal> {
    super::receive(request, &app(), &Settings::default(), NOW)
}

/// The status and the body of the answer to a refused request.
fn refused(request: &Request<'_>) -> (u16, String) {
    let answer = receive(request).expect_err("it is refused").answer();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// Y-6.1, Y-6.15
#[test]
fn the_path_is_fixed() {
    for (path, channel) in [
        ("/pushy/channel/Hello/trigger", Some("hello")),
        ("/PUSHY/Channel/hello/TRIGGER/", Some("hello")),
        ("/pushy/channel/a:b@c/trigger", Some("a:b@c")),
        ("/pushy/channel/a%2Fb%2520/trigger", Some("a/b%20")),
        ("/pushy/channel/a+b/trigger", Some("a+b")),
        ("/pushy/channel/hÉ/trigger", Some("hé")),
        ("/pushy/channel//trigger", None),
        ("/pushy/channel/a/trigger//", None),
        ("/pushy/channel/a/b/trigger", None),
        ("/pushy/channel/a", None),
        ("/pushy/channel/a/triggers", None),
        ("pushy/channel/a/trigger", None),
        ("/x/pushy/channel/a/trigger", None),
        ("/", None),
    ] {
        let query = query(channel.unwrap_or("a"), "e", "{}");
        let found = receive(&post(path, &query)).map(|trigger| trigger.publish.channels[0].to_string());
        assert_eq!(found, channel.map(str::to_owned).ok_or_else(Refusal::not_found), "{path}");
        assert_eq!(is_trigger(path), channel.is_some());
    }
    let query = query("a", "e", "{}");
    for method in ["GET", "PUT", "post", ""] {
        let request = Request { method, ..post("/pushy/channel/a/trigger", &query) };
        assert_eq!(refused(&request), (404, r#"{"error":{"code":"404","message":"Not found"}}"#.to_owned()));
    }
}

/// Y-6.3, Y-6.4, Y-6.5, Y-6.13, Y-10.8: the first thing that is wrong is told.
#[test]
fn what_is_wrong_is_told_in_order() {
    let path = "/pushy/channel/hello/trigger";
    let (bad, long) = ("0".repeat(64), "e".repeat(201));
    for (query, status, code, message) in [
        ("", 400, "400", "Missing required parameters"),
        ("event=&timestamp=1&auth_key=k", 400, "400", "Missing required parameters"),
        ("event=e&auth_key=k", 400, "400", "Missing required parameters"),
        ("event=e&timestamp=1", 400, "400", "Missing required parameters"),
        ("event=e&event=e&timestamp=1&auth_key=k", 400, "400", "A parameter is given twice"),
        ("event=e&timestamp=1&auth_key=k&socket_id=&socket_id=1", 400, "400", "A parameter is given twice"),
        ("event[]=e&timestamp=1&auth_key=k", 400, "400", "Missing required parameters"),
        (&*format!("event={long}&timestamp=1&auth_key=k"), 400, "400", "Event name longer than 200 characters"),
        ("event=e&timestamp=-1&auth_key=k", 403, "501", "Timestamp out of bounds (600 seconds)"),
        ("event=e&timestamp=+1363800000&auth_key=k", 403, "501", "Timestamp out of bounds (600 seconds)"),
        ("event=e&timestamp=1363800000.0&auth_key=k", 403, "501", "Timestamp out of bounds (600 seconds)"),
        ("event=e&timestamp=99999999999999999999&auth_key=k", 403, "501", "Timestamp out of bounds (600 seconds)"),
        ("event=e&timestamp=1363800000&auth_key=k%22%0A", 403, "403", "Invalid credentials (k\\\"\\n)"),
        (&*format!("event=e&timestamp=1363800000&auth_key={bad}"), 403, "403", &*format!("Invalid credentials ({bad})")),
        (&*query("hello", "pushy:presence-add", "{}"), 400, "400", "Reserved event name"),
        (&*query("hello", "pusher:x", "{}"), 400, "400", "Reserved event name"),
    ] {
        let expected = format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#);
        assert_eq!(refused(&post(path, query)), (status, expected), "{query}");
    }
    assert!(receive(&post(path, &query("hello", "pushy:own", "{}"))).is_ok());
}

/// Y-6.5: the clock is rounded.
#[test]
fn the_window_is_open_to_599_seconds() {
    let query = query("a", "e", "{}");
    let request = post("/pushy/channel/a/trigger", &query);
    for (millis, passes) in
        [(1_363_799_400_499, false), (1_363_799_400_500, true), (1_363_800_599_499, true), (1_363_800_599_500, false), (0, false)]
    {
        assert_eq!(super::receive(&request, &app(), &Settings::default(), UnixTime::from_millis(millis)).is_ok(), passes, "{millis}");
    }
}

/// Y-5.3, Y-10.9: what can be no channel is refused, signed or not.
#[test]
fn a_channel_that_cannot_be_is_refused() {
    let (long, no_text) = ("a".repeat(201), "/pushy/channel/%ff/trigger");
    for (path, signed) in
        [(format!("/pushy/channel/{long}/trigger"), &*long), ("/pushy/channel/%23x/trigger".to_owned(), "#x"), (no_text.to_owned(), "")]
    {
        let expected = (400, r#"{"error":{"code":"301","message":"Invalid channel name"}}"#.to_owned());
        assert_eq!(refused(&post(&path, &query(signed, "e", "{}"))), expected, "{path:.40}");
    }
    let strict = Settings { colon_in_channel: false, ..Settings::default() };
    let query = query("a:b", "c", "{}");
    assert_eq!(super::receive(&post("/pushy/channel/a:b/trigger", &query), &app(), &strict, NOW).map(|_| ()), Err(Refusal::bad_channel()));
    // The same text for other parts: what a colon joins, it does not hold apart.
    assert!(receive(&post("/pushy/channel/a/trigger", &query.replace("event=c", "event=b:c"))).is_ok());
}

/// Y-6.8, Y-10.5, Y-10.14, Y-11.1
#[test]
fn bodies_are_read_by_their_type_and_within_bounds() {
    let small = Settings { trigger_body_bytes: 100, ..Settings::default() };
    for (content_type, body, expected) in [
        (None, "{\"a\":1}", Ok("{}")),
        (Some("Application/JSON ; charset=utf-8"), "\n{\"a\": 1}\n", Ok("{\"a\":1}")),
        (Some("application/json"), "", Err((400, "Invalid JSON"))),
        (Some("application/json"), "{", Err((400, "Invalid JSON"))),
        (Some("application/json"), "\"x\"", Err((400, "Invalid JSON"))),
        (Some("application/json"), "\u{feff}{}", Err((400, "Invalid JSON"))),
        (Some("application/x-www-form-urlencoded;x"), "a=1", Ok("{\"a\":\"1\"}")),
        (Some("application/x-www-form-urlencoded"), "a[1001]=1", Err((400, "Invalid form: the form has an index above 1000"))),
        (Some("multipart/form-data; boundary=x"), "", Err((415, "Unsupported content type"))),
        (Some("application/json"), &"[".repeat(101), Err((413, "Request body too large"))),
        (None, &"x".repeat(101), Err((413, "Request body too large"))),
    ] {
        let query = query("a", "e", expected.unwrap_or("{}"));
        let request = Request { content_type, body: body.as_bytes(), ..post("/pushy/channel/a/trigger", &query) };
        let found = super::receive(&request, &app(), &small, NOW);
        match (found, expected) {
            (Ok(trigger), Ok(data)) => assert_eq!(trigger.publish.data, data, "{content_type:?}"),
            (Err(refusal), Err((status, message))) => assert_eq!((refusal.status, refusal.message.as_str()), (status, message)),
            (found, _) => panic!("{content_type:?} {body:.20}: {found:?}"),
        }
    }
    let query = query("a", "e", "[[\"\u{fffd}\"]]");
    let request = Request { content_type: Some("application/json"), body: b"[[\"\xff\"]]", ..post("/pushy/channel/a/trigger", &query) };
    assert_eq!(receive(&request).map(|_| ()), Err(Refusal::bad_json()));
}

/// Y-6.12
#[test]
fn a_connection_may_be_left_out() {
    let socket = SocketId::new(1, 2, [0xab; 16]);
    let id = crate::pushi::name::socket_id(socket);
    for (parameter, honor, origin) in [
        (format!("&socket_id={id}"), true, Some(socket)),
        (format!("&socket_id={id}"), false, None),
        (format!("&socket_id={}", id.to_uppercase()), true, None),
        ("&socket_id=".to_owned(), true, None),
        (String::new(), true, None),
    ] {
        let query = query("a", "e", "{}") + &parameter;
        let settings = Settings { honor_socket_id: honor, ..Settings::default() };
        let trigger = super::receive(&post("/pushy/channel/a/trigger", &query), &app(), &settings, NOW).unwrap();
        let expected = Publish { origin, ..Publish::new(ChannelName::parse("a").unwrap(), "e".into(), "{}".into()) };
        assert_eq!(trigger.publish, expected, "{parameter}");
    }
}

/// Y-10.8, Y-10.9
#[test]
fn a_secret_of_its_own_and_a_key_to_remember() {
    let query = query("a", "e", "{}");
    let request = post("/pushy/channel/a/trigger", &query);
    let trigger = receive(&request).unwrap();
    assert!(query.ends_with(&trigger.signature.hex()) && query.ends_with(&trigger.auth_key));
    assert_eq!(Refusal::credentials(&trigger.auth_key).status, 403);
    let own = Settings { trigger_secret_key: Some(Secret("own".to_owned())), ..Settings::default() };
    assert!(super::receive(&request, &app(), &own, NOW).is_err());
    assert_eq!(REPLAY_WINDOW, Duration::from_secs(1200));
    for refusal in [Refusal::busy(), Refusal::too_large(), Refusal::not_found()] {
        assert!(serde_json::from_slice::<serde_json::Value>(&refusal.answer().body).unwrap()["error"]["code"].is_string());
    }
}
