//! wspush. An input is the head of a request, a line `METHOD path?query` and lines `Name: value`, and after an empty line a message. What the
//! query asks for is answered within the rules; its token, once more with a signature, is a channel that messages find as well; a browser
//! reads the message as it was published; and no bytes of a client hurt its session.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, Input, Subscription, Subscriptions};
use tidings_dialect::auth::hmac_sha256;
use tidings_dialect::wspush::message::{self, Frame, Unsaid};
use tidings_dialect::wspush::request::{self, Reaction, Request, Upgrade};
use tidings_dialect::wspush::session::{Carrier, Session};
use tidings_dialect::wspush::settings::{Frames, Key, Keys, Settings};
use tidings_dialect::wspush::statistics::{Counts, Memory, vars};
use tidings_dialect::wspush::token::Token;
use tidings_hub::{Access, MemberList, SocketId, Time};

const KEY: &str = "c3VwZXIgc2VjcmV0IGtleQ";

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, message) = (&input[..end], input.get(end + 2..).unwrap_or_default());
    for settings in relays() {
        let settings = Arc::new(settings);
        if let Ok(head) = std::str::from_utf8(head) {
            asked(head, &settings);
        }
        found(message, &settings);
        said(message, &settings);
    }
    published(message);
    shown(head);
});

/// Relays of all kinds.
fn relays() -> [Settings; 4] {
    let key = || Some(Key::parse(KEY).expect("it is one"));
    let both =
        Settings { keys: Keys { md5: key(), sha256: key() }, ping: Some("p\r q".into()), frames: Frames::Binary, ..Settings::default() };
    let apart = Settings { relay: Arc::from("a-b/é"), apart: true, compat: true, ..Settings::default() };
    let listed = Settings { origins: Some(vec!["http://a.example".to_owned()]), ..both.clone() };
    [Settings::default(), both, apart, listed]
}

fn asked(head: &str, settings: &Settings) {
    let mut lines = head.lines();
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("GET", head));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| head.lines().skip(1).find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::as_bytes);
    let (accept, origin, protocols) = (header("Accept"), header("Origin"), header("Sec-WebSocket-Protocol"));
    let upgrade = match header("Upgrade") {
        Some(b"websocket") => Upgrade::Whole,
        Some(b"version") => Upgrade::Version,
        Some(b"key") => Upgrade::Broken,
        _ => Upgrade::NotAsked,
    };
    let request = Request { method, path, query, accept, origin, protocols, upgrade };
    react(&request, settings);
    // Whatever it says, signed as it must be.
    let payload = query.as_bytes().get(..64).unwrap_or(query.as_bytes());
    let signed = BASE64_URL_SAFE_NO_PAD.encode([payload, &hmac_sha256(b"super secret key", &[payload])].concat());
    let query = format!("token={signed}");
    react(&Request { query: &query, ..request }, settings);
    assert_eq!(
        Token::of_query(&query, settings).is_some(),
        settings.keys.sign() && !payload.is_empty() || !settings.keys.sign() && signed.len() <= 64
    );
}

fn react(request: &Request<'_>, settings: &Settings) {
    let token = match request::receive(request, settings) {
        Reaction::Answer(answer) => {
            assert!(matches!(answer.status, 200 | 400 | 403 | 405), "{answer:?}");
            assert_eq!(
                (answer.status == 405, answer.status == 200),
                (request.method != "GET", request.method == "GET" && request.path == "/ping")
            );
            return;
        }
        Reaction::Stream(token) => token,
        Reaction::WebSocket { token, protocol } => {
            assert!(protocol.is_none_or(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')));
            token
        }
    };
    let same = Token::of_redis(token.as_bytes()).expect("a client has it");
    assert_eq!(same.channel(settings), token.channel(settings));
    // A second time it is found by itself.
    let escaped: String = token.as_bytes().iter().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(Token::of_query(&format!("x=%&token={escaped}&token="), settings), Some(token));
}

/// A token of Redis is a channel of the kind that its relay has, and no other.
fn found(rest: &[u8], settings: &Settings) {
    let Some(token) = Token::of_redis(rest) else { return };
    let channel = token.channel(settings);
    match channel.access() {
        Access::Public => assert!(!settings.apart && !settings.keys.sign() && rest == channel.as_str().as_bytes()),
        Access::Private => assert!(!settings.apart && settings.keys.sign()),
        Access::Reserved => assert!(channel.as_str().starts_with("#wspush-")),
        Access::Presence => panic!("{channel}"),
    }
}

struct Nothing;

impl Subscriptions for Nothing {
    fn find(&self, _channel: &str) -> Option<Subscription<'_>> {
        None
    }

    fn count(&self) -> usize {
        0
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

/// A client may say what it wants; it hears of heartbeats and of the end, and of nothing else.
fn said(bytes: &[u8], settings: &Arc<Settings>) {
    for carrier in [Carrier::WebSocket, Carrier::Stream] {
        let token = Token::of_redis(b"Foo").expect("it has three bytes");
        let mut session = Session::new(&token, SocketId::new(0, 1, [7; 16]), carrier, Arc::clone(settings), Time::ZERO);
        let mut actions = Actions::new();
        let mut closed = false;
        for (at, message) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let now = Time::from_micros(at as u64 * 20_000 + u64::from(message.first().copied().unwrap_or(0)) * 1_000_000);
            let input = std::str::from_utf8(message).map_or(Input::Binary(message), Input::Text);
            session.receive(input, &Nothing, now, &mut actions);
            session.receive(Input::Tick, &Nothing, now, &mut actions);
            assert!(closed || session.next_timeout() > now || session.next_timeout() == Time::from_micros(u64::MAX));
            for action in actions.drain(..) {
                assert!(!closed, "{action:?} after the close");
                match action {
                    Action::Close(close) => closed = close.code == 1008,
                    Action::Pong | Action::Send(_) | Action::SendBinary(_) => {}
                    action => panic!("nobody asks for {action:?}"),
                }
            }
        }
    }
}

/// What is written is read as it was published, with LF for each end of a line (W-6.8).
fn published(message: &[u8]) {
    let text = std::str::from_utf8(message);
    assert_eq!(message::frame(message, Frames::Text) == Frame::Text, text.is_ok());
    assert_eq!(message::frame(message, Frames::Binary), Frame::Binary);
    let mut stream = Vec::new();
    match (message::block(message, &mut stream), text) {
        (Err(Unsaid::Empty), Ok("")) | (Err(Unsaid::NotUtf8), Err(_)) => assert!(stream.is_empty()),
        (Ok(()), Ok(text)) => {
            assert_eq!(browser(&stream), [text.replace("\r\n", "\n").replace('\r', "\n")]);
        }
        (said, text) => panic!("{said:?} for {text:?}"),
    }
}

/// The data of the events that a browser finds in a stream, by the algorithm of the HTML standard. Anything but data is a fault.
fn browser(stream: &[u8]) -> Vec<String> {
    let stream = std::str::from_utf8(stream).expect("a stream is text");
    let (mut events, mut data) = (Vec::new(), String::new());
    let lines = stream.replace("\r\n", "\n").replace('\r', "\n");
    for line in lines.split('\n') {
        if line.is_empty() {
            events.extend(std::mem::take(&mut data).strip_suffix('\n').map(str::to_owned));
            continue;
        }
        let (field, value) = line.split_once(':').expect("each line has a field");
        assert_eq!(field, "data");
        data.push_str(value.strip_prefix(' ').unwrap_or(value));
        data.push('\n');
    }
    assert!(data.is_empty(), "an event without an end");
    events
}

/// Whatever the arguments are, the statistics are JSON.
fn shown(head: &[u8]) {
    let arguments: Vec<_> = String::from_utf8_lossy(head).split(' ').map(str::to_owned).collect();
    let body = vars(&arguments, Memory::default(), &Counts::default());
    serde_json::from_str::<IgnoredAny>(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
}
