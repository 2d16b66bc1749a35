//! What requests are answered.

use crate::action::End;
use crate::wspush::close::close;
use crate::wspush::request::{self, Answer, Reaction, Request, STREAM_HEADERS, Upgrade};
use crate::wspush::settings::Settings;
use crate::wspush::token::Token;
use proptest::prelude::*;

/// A status and headers.
type Head = (u16, Vec<(&'static str, &'static str)>);

const PLAIN: &str = "text/plain; charset=utf-8";

fn get(path: &str) -> Request<'_> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Request { method: "GET", path, query, accept: None, origin: Some(b"http://example.com"), protocols: None, upgrade: Upgrade::Whole }
}

fn plain(status: u16, cors: bool, first: Option<(&'static str, &'static str)>) -> Head {
    let cors = cors.then_some(("Access-Control-Allow-Origin", "*"));
    let text = [("Content-Type", PLAIN), ("X-Content-Type-Options", "nosniff")];
    (status, first.into_iter().chain(cors).chain(text).collect())
}

fn answer(request: &Request<'_>, settings: &Settings) -> (Head, &'static str) {
    match request::receive(request, settings) {
        Reaction::Answer(Answer { status, headers, body }) => ((status, headers.to_vec()), body),
        reaction => panic!("{request:?}: {reaction:?}"),
    }
}

/// W-5.1, W-5.2, W-5.3
#[test]
fn checks_have_an_order() {
    let settings = Settings::default();
    for method in ["POST", "HEAD", "OPTIONS", "PUT", "get"] {
        for path in ["/ping", "/", "/sse?token=Foo", "/x"] {
            let expected = (plain(405, true, Some(("Allow", "GET"))), "Method Not Allowed\n");
            assert_eq!(answer(&Request { method, ..get(path) }, &settings), expected, "{method} {path}");
        }
    }
    let alive = ((200, vec![("Access-Control-Allow-Origin", "*")]), "");
    for path in ["/ping", "/ping?token=", "/ping?token=Foo"] {
        assert_eq!(answer(&Request { accept: Some(b"text/event-stream"), ..get(path) }, &settings), alive, "{path}");
    }
    for path in ["/", "/ping/", "/ping/sse", "/sse?token=", "/sse?token=%zz"] {
        assert_eq!(answer(&Request { upgrade: Upgrade::NotAsked, ..get(path) }, &settings), (plain(400, true, None), "Bad Request\n"));
    }
}

/// W-5.3, W-5.4, W-5.7
#[test]
fn streams_are_asked_for_by_path_or_by_accept() {
    for (path, accept, expected) in [
        ("/sse?token=Foo", None, true),
        ("/any/sse?token=Foo", None, true),
        ("/asse/sse?token=Foo", Some("*/*"), true),
        ("/?token=Foo", Some("text/event-stream"), true),
        ("/ping/?token=Foo", Some("text/html, text/event-stream;q=0.5"), true),
        ("/?token=Foo", Some("xtext/event-streamx"), true),
        ("/?token=Foo", Some("Text/Event-Stream"), false),
        ("/?token=Foo", Some("text/*"), false),
        ("/sse/?token=Foo", None, false),
        ("/SSE?token=Foo", None, false),
        ("/?token=Foo&x=/sse", None, false),
    ] {
        let request = Request { accept: accept.map(str::as_bytes), ..get(path) };
        let token = Token::of_redis(b"Foo").unwrap();
        let websocket = Reaction::WebSocket { token: token.clone(), protocol: None };
        let expected = if expected { Reaction::Stream(token) } else { websocket };
        assert_eq!(request::receive(&request, &Settings::default()), expected, "{path} {accept:?}");
    }
    let named: Vec<_> = STREAM_HEADERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, ["Access-Control-Allow-Origin", "Content-Type", "Cache-Control", "X-Accel-Buffering"]);
}

/// W-5.5
#[test]
fn a_handshake_is_whole() {
    for (upgrade, first, body) in [
        (Upgrade::NotAsked, None, "not websocket protocol"),
        (Upgrade::Version, Some(("Sec-WebSocket-Version", "13")), "Sec-WebSocket-Version must be 13"),
        (Upgrade::Broken, None, "the handshake is broken: one Sec-WebSocket-Key of 16 bytes is needed"),
    ] {
        // Which is told before the origin is looked at.
        for origin in [None, Some(&b"test"[..])] {
            let request = Request { upgrade, origin, ..get("/?token=a") };
            assert_eq!(answer(&request, &Settings { compat: true, ..Settings::default() }), (plain(400, false, first), body));
        }
        let stream = Request { upgrade, ..get("/sse?token=a") };
        assert!(matches!(request::receive(&stream, &Settings::default()), Reaction::Stream(_)));
    }
    for (offered, expected) in [
        (None, None),
        (Some("chat"), Some("chat")),
        (Some(" chat.v2 , other"), Some("chat.v2")),
        (Some(""), None),
        (Some(",chat"), None),
        (Some("a b"), None),
        (Some("a\"b, chat"), None),
        (Some("é"), None),
    ] {
        let request = Request { protocols: offered.map(str::as_bytes), ..get("/?token=a") };
        let Reaction::WebSocket { protocol, .. } = request::receive(&request, &Settings::default()) else { panic!("{offered:?}") };
        assert_eq!(protocol.as_deref(), expected, "{offered:?}");
    }
}

/// W-5.6: by default, with `-compat`, with a list; for a stream, with a list.
#[test]
fn origins_are_checked() {
    let listed =
        Settings { origins: Some(vec!["https://a.example".to_owned(), "https://b.example:8443".to_owned()]), ..Settings::default() };
    let both = Settings { compat: true, ..listed.clone() };
    for (origin, expected) in [
        (Some("http://example.com"), [true, true, false, false, false]),
        (Some("https://a.example"), [true, true, true, true, true]),
        (Some("https://A.example"), [true, true, true, true, true]),
        (Some("https://b.example"), [true, true, false, false, false]),
        (Some("https://b.example:8443"), [true, true, true, true, true]),
        (Some("https://a.example.evil"), [true, true, false, false, false]),
        (Some("/path"), [true, true, false, false, false]),
        (Some("file:///page.html"), [true, true, false, false, false]),
        (None, [true, false, false, false, true]),
        (Some(""), [true, false, false, false, true]),
        (Some("null"), [true, false, false, false, false]),
        (Some("test"), [false, false, false, false, false]),
        (Some("://x"), [false, false, false, false, false]),
        (Some("1a://x"), [false, false, false, false, false]),
        (Some("a b://x"), [false, false, false, false, false]),
    ] {
        let origin = origin.map(str::as_bytes);
        let compat = Settings { compat: true, ..Settings::default() };
        let found = [&Settings::default(), &compat, &listed, &both].map(|settings| {
            let request = Request { origin, ..get("/?token=a") };
            match request::receive(&request, settings) {
                Reaction::WebSocket { .. } => true,
                reaction => {
                    let Reaction::Answer(Answer { status: 403, headers, .. }) = reaction else { panic!("{reaction:?}") };
                    assert_eq!((403, headers.to_vec()), plain(403, false, None));
                    false
                }
            }
        });
        let stream = Request { origin, ..get("/sse?token=a") };
        assert!(matches!(request::receive(&stream, &Settings::default()), Reaction::Stream(_)), "{origin:?}");
        let stream = match request::receive(&stream, &listed) {
            Reaction::Stream(_) => true,
            _ => {
                assert_eq!(answer(&stream, &listed), (plain(403, true, None), "Forbidden\n"));
                false
            }
        };
        assert_eq!([&found[..], &[stream]].concat(), expected, "{origin:?}");
    }
}

/// W-4.2, W-4.3, W-10.9
#[test]
fn a_crowded_token_is_told() {
    let Answer { status, headers, body } = request::crowded(&Settings::default());
    assert_eq!(((status, headers.to_vec()), body), (plain(429, true, None), "Too Many Requests"));
    let Answer { status, headers, body } = request::crowded(&Settings { compat: true, ..Settings::default() });
    assert_eq!(((status, headers.to_vec()), body), ((200, vec![("Access-Control-Allow-Origin", "*")]), ""));
    assert_eq!((close(End::OverQuota, false).code, close(End::OverQuota, true).code), (1013, 1000));
}

proptest! {
    #[test]
    fn whatever_is_asked_is_answered(
        path in "/[a-z/]{0,6}",
        query in "(token=)?[a%&;]{0,9}",
        headers in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 3),
        compat in any::<bool>(),
    ) {
        let [accept, origin, protocols] = [0, 1, 2].map(|at| headers[at].as_deref());
        let request = Request { method: "GET", path: &path, query: &query, accept, origin, protocols, upgrade: Upgrade::Whole };
        match request::receive(&request, &Settings { compat, ..Settings::default() }) {
            Reaction::Answer(answer) => prop_assert!(matches!(answer.status, 200 | 400 | 403)),
            Reaction::Stream(_) | Reaction::WebSocket { protocol: None, .. } => {}
            Reaction::WebSocket { protocol: Some(name), .. } => prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic())),
        }
    }
}
