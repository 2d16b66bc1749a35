//! What SockJS clients send: paths, queries, bodies and messages. Nothing panics, limits hold, and what was read is read again from its
//! quoted form. An input is a line `METHOD path?query` and, after it, a body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_server::transport::sockjs::inbound::{Limits, jsonp_send, websocket, xhr_send};
use tidings_server::transport::sockjs::{Callback, Inbound, Missing, Route, Service, Settings, Unsent, hixie, quote};

const LIMITS: Limits = Limits { request_bytes: 4096, message_bytes: 64, messages: 8 };

fuzz_target!(|input: &[u8]| {
    let (head, body) = input.split_at(input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len()));
    let body = body.get(1..).unwrap_or_default();
    if let Ok(head) = std::str::from_utf8(head) {
        let (method, target) = head.split_once(' ').unwrap_or(("GET", head));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        route(method, path);
        callback(query);
    }
    sent(xhr_send(None, body, LIMITS));
    sent(jsonp_send(None, body, LIMITS));
    sent(jsonp_send(Some("application/x-www-form-urlencoded"), body, LIMITS));
    if let Ok(text) = std::str::from_utf8(body) {
        sent(websocket(text, LIMITS));
    }
    draft_of_2010(body);
});

fn route(method: &str, path: &str) {
    match Service::new(Settings::default()).route(method, path) {
        Ok(Route::Receive { session, .. } | Route::Send { session, .. }) => {
            assert!((1..=128).contains(&session.len()) && !session.contains(['.', '/']), "{session}");
        }
        Ok(_) | Err(Missing::Path) => {}
        Err(Missing::Method { allow }) => assert!(allow.split(", ").all(|allowed| allowed != method), "{method} {path}"),
    }
}

fn callback(query: &str) {
    if let Ok(callback) = Callback::of_query(query) {
        let name = callback.as_str();
        assert!((1..=32).contains(&name.len()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{name}");
    }
}

/// What was read keeps to its limits. Strings, written as the server writes them, say the same.
fn sent(messages: Result<Vec<Inbound<'_>>, Unsent>) {
    let Ok(messages) = messages else { return };
    assert!(messages.len() <= LIMITS.messages);
    for message in messages {
        let (Inbound::Text(text) | Inbound::Other(text)) = &message;
        assert!(text.len() <= LIMITS.message_bytes, "{text}");
        if let Inbound::Text(text) = message {
            let mut quoted = Vec::new();
            quote(&text, &mut quoted);
            let quoted = String::from_utf8(quoted).expect("quoted text is text");
            assert_eq!(websocket(&quoted, LIMITS), Ok(vec![Inbound::Text(text)]));
        }
    }
}

/// A stream gives the same messages however it is cut.
fn draft_of_2010(mut stream: &[u8]) {
    while let Ok(Some((message, len))) = hixie::first(stream, LIMITS.message_bytes) {
        for cut in 0..len {
            assert_eq!(hixie::first(&stream[..cut], LIMITS.message_bytes), Ok(None), "{cut}");
        }
        match message {
            hixie::Message::Text(text) => assert_eq!(hixie::text(text.as_bytes()), stream[..len]),
            hixie::Message::Close => return,
        }
        stream = &stream[len..];
    }
}
