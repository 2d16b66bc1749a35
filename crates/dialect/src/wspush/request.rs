//! What a request is answered (section 5 of the rules). Reading it, and the handshake's own bytes, is for whoever has the socket.

use super::settings::Settings;
use super::token::Token;

/// A request, its header values as they came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as it was sent.
    pub path: &'a str,
    /// What follows the `?`, or nothing.
    pub query: &'a str,
    /// The first `Accept`.
    pub accept: Option<&'a [u8]>,
    /// The `Origin`.
    pub origin: Option<&'a [u8]>,
    /// The first `Sec-WebSocket-Protocol`.
    pub protocols: Option<&'a [u8]>,
    /// Whether it asks for a WebSocket, and how well.
    pub upgrade: Upgrade,
}

/// How a request asks for a WebSocket (W-5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It has all that is needed.
    Whole,
    /// `Upgrade: websocket` is not there, or not named by `Connection`, or no part of this version of HTTP.
    NotAsked,
    /// It asks for another version than 13.
    Version,
    /// It has no key, or none that is right, or is broken in another way.
    Broken,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// This is answered.
    Answer(Answer),
    /// A stream of server-sent events begins with [`STREAM_HEADERS`], or, if the token has too many connections, [`crowded`] is answered.
    Stream(Token),
    /// A WebSocket begins, without extensions. If the token has too many connections it is closed at once with
    /// [`close`](super::close::close) of [`OverQuota`](crate::action::End::OverQuota).
    WebSocket {
        /// The client's token.
        token: Token,
        /// The sub-protocol to name in the answer.
        protocol: Option<String>,
    },
}

/// An answer; the length of its body is to be told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: &'static str,
}

const CORS: (&str, &str) = ("Access-Control-Allow-Origin", "*");
const PLAIN: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");
const NO_SNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// The headers of the answer that a stream of server-sent events begins with (W-5.2, W-5.7).
pub const STREAM_HEADERS: &[(&str, &str)] =
    &[CORS, ("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")];

const ALIVE: Answer = Answer { status: 200, headers: &[CORS], body: "" };
const BAD_REQUEST: Answer = Answer { status: 400, headers: &[CORS, PLAIN, NO_SNIFF], body: "Bad Request\n" };
const METHOD_NOT_ALLOWED: Answer =
    Answer { status: 405, headers: &[("Allow", "GET"), CORS, PLAIN, NO_SNIFF], body: "Method Not Allowed\n" };
const STREAM_FORBIDDEN: Answer = Answer { status: 403, headers: &[CORS, PLAIN, NO_SNIFF], body: "Forbidden\n" };

const NOT_WEBSOCKET: Answer = Answer { status: 400, headers: &[PLAIN, NO_SNIFF], body: "not websocket protocol" };
const BAD_VERSION: Answer =
    Answer { status: 400, headers: &[("Sec-WebSocket-Version", "13"), PLAIN, NO_SNIFF], body: "Sec-WebSocket-Version must be 13" };
const BAD_HANDSHAKE: Answer =
    Answer { status: 400, headers: &[PLAIN, NO_SNIFF], body: "the handshake is broken: one Sec-WebSocket-Key of 16 bytes is needed" };
const FORBIDDEN: Answer = Answer { status: 403, headers: &[PLAIN, NO_SNIFF], body: "Forbidden\n" };

/// Says what is done with a request, in the order of W-5.1.
#[must_use]
pub fn receive(request: &Request<'_>, settings: &Settings) -> Reaction {
    check(request, settings).unwrap_or_else(Reaction::Answer)
}

/// The answer to a request for a stream whose token has as many connections as it may (W-4.2, W-4.3).
#[must_use]
pub fn crowded(settings: &Settings) -> Answer {
    if settings.compat { ALIVE } else { Answer { status: 429, headers: &[CORS, PLAIN, NO_SNIFF], body: "Too Many Requests" } }
}

fn check(request: &Request<'_>, settings: &Settings) -> Result<Reaction, Answer> {
    if request.method != "GET" {
        return Err(METHOD_NOT_ALLOWED);
    }
    if request.path == "/ping" {
        return Err(ALIVE);
    }
    let token = Token::of_query(request.query, settings).ok_or(BAD_REQUEST)?;
    let origin = request.origin.filter(|origin| !origin.is_empty());
    let listed = |origin: &[u8]| settings.origins.as_ref().is_none_or(|listed| listed.iter().any(|one| same(one, origin)));
    if request.path.ends_with("/sse") || request.accept.is_some_and(takes_streams) {
        // A page's own server hears of no origin when the page asks for a stream.
        return if origin.is_none_or(listed) { Ok(Reaction::Stream(token)) } else { Err(STREAM_FORBIDDEN) };
    }
    match request.upgrade {
        Upgrade::Whole => {}
        Upgrade::NotAsked => return Err(NOT_WEBSOCKET),
        Upgrade::Version => return Err(BAD_VERSION),
        Upgrade::Broken => return Err(BAD_HANDSHAKE),
    }
    let allowed = match origin {
        _ if settings.origins.is_some() => origin.is_some_and(listed),
        Some(b"null") | None => !settings.compat,
        Some(origin) => is_url(origin),
    };
    if allowed { Ok(Reaction::WebSocket { token, protocol: protocol(request) }) } else { Err(FORBIDDEN) }
}

/// Origins compare without regard to case.
fn same(listed: &str, origin: &[u8]) -> bool {
    listed.as_bytes().eq_ignore_ascii_case(origin)
}

/// A plain search, as in the original (W-5.4).
fn takes_streams(accept: &[u8]) -> bool {
    memchr::memmem::find(accept, b"text/event-stream").is_some()
}

/// Whether an origin is an absolute URL or a path (W-5.6).
fn is_url(origin: &[u8]) -> bool {
    if origin.first() == Some(&b'/') {
        return true;
    }
    let scheme = origin.split(|byte| *byte == b':').next().unwrap_or_default();
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    scheme.len() < origin.len() && scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(letters)
}

/// The first sub-protocol that is offered, if it can be named (W-5.5).
fn protocol(request: &Request<'_>) -> Option<String> {
    let first = request.protocols?.split(|byte| *byte == b',').next()?.trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let named = !first.is_empty() && first.iter().all(is_token);
    named.then(|| first.iter().map(|byte| char::from(*byte)).collect())
}
