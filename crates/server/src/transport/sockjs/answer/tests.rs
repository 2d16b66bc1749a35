use super::super::{Callback, ScriptUrl};
use super::*;

const NOW: UnixTime = UnixTime::from_millis(784_111_777_000);
const NO_CACHE: &str = "cache-control: no-store, no-cache, no-transform, must-revalidate, max-age=0";
const CACHE: [&str; 2] = ["cache-control: public, max-age=31536000", "expires: Mon, 06 Nov 1995 08:49:37 GMT"];
const CORS: [&str; 2] = ["vary: Origin", "access-control-allow-origin: *"];
const COOKIE: &str = "set-cookie: JSESSIONID=dummy; path=/";
const NOBODY: Asked<'_> = Asked { origin: None, request_headers: None, cookie: None, if_none_match: None };

fn service(change: impl FnOnce(&mut Settings)) -> Service {
    let mut settings = Settings::default();
    change(&mut settings);
    Service::new(settings)
}

/// The answer as lines: status, type, the other headers sorted, and apart from them the body.
fn shown(answer: Answer) -> (Vec<String>, String) {
    let mut headers: Vec<String> = answer.headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    let head = [answer.status.to_string(), answer.content_type.unwrap_or("-").to_owned()].into_iter().chain(headers);
    (head.collect(), String::from_utf8(answer.body.to_vec()).unwrap())
}

#[track_caller]
fn check(answer: Answer, status: u16, content_type: &str, headers: &[&str], body: &str) {
    let mut expected: Vec<&str> = headers.to_vec();
    expected.sort_unstable();
    let head: Vec<String> =
        [status.to_string(), content_type.to_owned()].into_iter().chain(expected.into_iter().map(str::to_owned)).collect();
    assert_eq!(shown(answer), (head, body.to_owned()));
}

fn framings() -> [Framing; 5] {
    let callback = || Callback::of_query("c=cb").unwrap();
    [Framing::Xhr, Framing::XhrStreaming, Framing::EventSource, Framing::HtmlFile(callback()), Framing::Jsonp(callback())]
}

/// S-2.5, S-2.6, S-2.7.
#[test]
fn greeting_and_strangers() {
    let service = service(|settings| settings.jsessionid = true);
    check(service.greeting(), 200, TEXT, &[], "Welcome to SockJS!\n");
    assert_eq!(service.greeting().body.len(), 19);
    check(service.route("GET", "/a").unwrap_err().into(), 404, TEXT, &[], "404 Error: Page not found\n");
    check(service.route("HEAD", "/0/0/xhr").unwrap_err().into(), 405, "-", &["allow: POST, OPTIONS"], "");
    check(service.route("POST", "").unwrap_err().into(), 405, "-", &["allow: GET"], "");
}

/// S-4.1, S-4.8, S-9.2.
#[test]
fn info() {
    for (change, body) in [
        ((|_| {}) as fn(&mut Settings), r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":980825439}"#),
        (
            |settings| settings.transports = settings.transports.without_websocket(),
            r#"{"websocket":false,"origins":["*:*"],"cookie_needed":false,"entropy":980825439}"#,
        ),
        (
            |settings| settings.transports = settings.transports.without(Transport::RawWebSocket),
            r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":980825439}"#,
        ),
        (
            |settings| {
                settings.jsessionid = true;
                settings.base_url = Some("http://a/\"b".to_owned());
            },
            r#"{"websocket":true,"origins":["*:*"],"cookie_needed":true,"entropy":980825439,"base_url":"http://a/\"b"}"#,
        ),
    ] {
        let answer = service(change).info(&NOBODY, 980_825_439);
        check(answer, 200, "application/json; charset=UTF-8", &[&[NO_CACHE], &CORS[..]].concat(), body);
    }
    let asked = Asked { origin: Some("http://a"), ..NOBODY };
    let headers = ["access-control-allow-credentials: true", "access-control-allow-origin: http://a", NO_CACHE, "vary: Origin"];
    let answer = service(|_| {}).info(&asked, u32::MAX);
    assert!(answer.body.ends_with(b"\"entropy\":4294967295}"));
    check(Answer { body: Bytes::new(), ..answer }, 200, JSON, &headers, "");
}

/// S-4.2, S-4.3, S-9.1.
#[test]
fn preflights() {
    let asked = Asked { origin: Some("test"), request_headers: Some("a, b"), ..NOBODY };
    for (jsessionid, cookie) in [(false, &[][..]), (true, &[COOKIE])] {
        let service = service(|settings| settings.jsessionid = jsessionid);
        for (answer, methods) in
            [(service.info_options(&asked, NOW), "OPTIONS, GET"), (service.session_options(&asked, NOW), "OPTIONS, POST")]
        {
            let methods = format!("access-control-allow-methods: {methods}");
            let mut headers = vec![
                "access-control-allow-credentials: true",
                "access-control-allow-headers: a, b",
                "access-control-allow-origin: test",
                "access-control-max-age: 31536000",
                "vary: Origin",
                &methods,
            ];
            headers.extend(CACHE);
            headers.extend(cookie);
            check(answer, 204, "-", &headers, "");
        }
    }
}

/// S-4.4, S-4.5, S-9.2.
#[test]
fn iframe_page() {
    let service = service(|settings| {
        settings.jsessionid = true;
        settings.sockjs_url = ScriptUrl::parse("/lib.js").unwrap();
    });
    let answer = service.iframe(&NOBODY, NOW);
    let etag = answer.headers.iter().find(|(name, _)| *name == "etag").unwrap().1.to_string();
    let header = format!("etag: {etag}");
    let headers = [CACHE[0], CACHE[1], &header];
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(body.contains("<script src=\"/lib.js\"></script>"), "{body}");
    check(answer, 200, HTML, &headers, &body);
    let known = Asked { if_none_match: Some(&etag), ..NOBODY };
    check(service.iframe(&known, NOW), 304, "-", &headers, "");
    let stale = Asked { if_none_match: Some("\"x\""), ..NOBODY };
    assert_eq!(service.iframe(&stale, NOW).status, 200);
}

/// S-5.1, S-4.6, S-4.8, S-5.6, S-5.12, S-9.1.
#[test]
fn heads_of_receiving_responses() {
    const BUFFERING: &str = "x-accel-buffering: no";
    for (framing, content_type, more) in framings()
        .into_iter()
        .zip([SCRIPT, SCRIPT, "text/event-stream", HTML, SCRIPT])
        .zip([
            &CORS[..],
            &[&CORS[..], &[BUFFERING]].concat(),
            &[&CORS[..], &[BUFFERING]].concat(),
            &[BUFFERING],
            &["x-content-type-options: nosniff"],
        ])
        .map(|((framing, content_type), more)| (framing, content_type, more.to_vec()))
    {
        for (jsessionid, cookie) in [(false, &[][..]), (true, &[COOKIE])] {
            let answer = service(|settings| settings.jsessionid = jsessionid).receiving(&framing, &NOBODY);
            let prelude = String::from_utf8(framing.prelude().to_vec()).unwrap();
            check(answer, 200, content_type, &[&more[..], &[NO_CACHE], cookie].concat(), &prelude);
        }
    }
    let asked = Asked { origin: Some("null"), ..NOBODY };
    for (framing, origin) in framings().into_iter().zip([Some("null"), Some("null"), Some("*"), None, None]) {
        let answer = service(|_| {}).receiving(&framing, &asked);
        let allowed = answer.headers.into_iter().find(|(name, _)| *name == "access-control-allow-origin").map(|(_, value)| value);
        assert_eq!(allowed.as_deref(), origin, "{framing:?}");
    }
}

/// S-5.7, S-8.2: errors have the headers of their endpoint.
#[test]
fn receivers_that_get_no_session() {
    let service = service(|settings| settings.jsessionid = true);
    for (bad, body) in [(BadCallback::Missing, "\"callback\" parameter required"), (BadCallback::Invalid, "invalid \"callback\" parameter")]
    {
        for transport in [Transport::HtmlFile, Transport::Jsonp] {
            check(service.bad_callback(bad, transport, &NOBODY), 500, TEXT, &[NO_CACHE, COOKIE], body);
        }
    }
    let body = "There are too many sessions; try again.\n";
    check(service.full(Transport::Jsonp, &NOBODY), 503, TEXT, &[NO_CACHE, COOKIE, "retry-after: 5"], body);
    check(service.full(Transport::Xhr, &NOBODY), 503, TEXT, &[NO_CACHE, COOKIE, "retry-after: 5", CORS[0], CORS[1]], body);
}

/// S-5.8, S-5.9, S-4.6, S-8.1.
#[test]
fn answers_to_senders() {
    let service = service(|settings| settings.jsessionid = true);
    let xhr = [COOKIE, NO_CACHE, CORS[0], CORS[1]];
    for (how, headers, status, body) in [(Sending::Xhr, &xhr[..], 204, ""), (Sending::Jsonp, &xhr[..2], 200, "ok")] {
        check(service.sent(how, &NOBODY), status, TEXT, headers, body);
        check(service.unknown_session(how, &NOBODY), 404, TEXT, headers, "404 Error: Page not found\n");
        for (why, status, body) in [
            (Unsent::Payload, 500, "Payload expected."),
            (Unsent::Json, 500, "Broken JSON encoding."),
            (Unsent::TooLarge, 413, "Payload too large."),
        ] {
            check(service.unsent(why, how, &NOBODY), status, TEXT, headers, body);
        }
    }
}

/// S-4.6, S-6.1.
#[test]
fn websockets_of_other_origins() {
    let service = service(|settings| settings.allowed_origins = Some(vec!["https://a".to_owned()]));
    for (origin, status) in
        [(Some("https://a"), None), (None, None), (Some("https://b"), Some(403)), (Some("null"), Some(403)), (Some(""), Some(403))]
    {
        assert_eq!(service.admit_websocket(origin).err().map(|answer| answer.status), status, "{origin:?}");
    }
    assert_eq!(Service::new(Settings::default()).admit_websocket(Some("https://b")), Ok(()));
}

/// S-6.2, S-6.9.
#[test]
fn requests_that_are_no_websocket() {
    let service = service(|_| {});
    const NOT_VALID: &str = "Not a valid websocket request";
    const VERSION: &[&str] = &["sec-websocket-version: 13"];
    for (route, refusal, headers, body) in [
        (Route::WebSocket, Refusal::NotAsked, &[][..], NOT_VALID),
        (Route::WebSocket, Refusal::Connection, &[], NOT_VALID),
        (Route::WebSocket, Refusal::Key, &[], NOT_VALID),
        (Route::WebSocket, Refusal::Version, VERSION, NOT_VALID),
        (Route::RawWebSocket, Refusal::NotAsked, &[], NOT_VALID),
        (Route::RawWebSocket, Refusal::Version, VERSION, "Only supported WebSocket protocol is RFC 6455."),
    ] {
        check(service.bad_upgrade(route, refusal), 400, "text/plain", headers, body);
    }
    check(service.bad_upgrade(Route::WebSocket, Refusal::Method), 405, "-", &["allow: GET"], "");
}
