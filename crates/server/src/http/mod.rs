//! HTTP/1.1 as the shard sees it: the first look at a request, which decides who answers. What is neither an upgrade nor a small publish
//! goes to [`service`].

pub(crate) mod line;
pub(crate) mod mount;
pub(crate) mod proxy;
pub(crate) mod relayed;
pub(crate) mod response;
pub(crate) mod service;
mod tunnel;

use crate::config::Dialect;
use crate::listener::Listener;
use crate::node::Node;
use crate::transport::sockjs::{Asked, Missing, Route, hixie};
use crate::transport::websocket::handshake::{self, Upgrade};
use httparse::{Header, Request, Status};
use mount::{Found, Mount};
use relayed::Relayed;
use std::net::IpAddr;
use std::sync::Arc;

/// Header lines of a request, whatever `limits.headers` allows.
pub(crate) const HEADERS_MAX: usize = 128;
/// A publish with a larger body is not the shard's business: looking through it would hold up others.
const SHARD_BODY_MAX: usize = 64 * 1024;

/// What the bytes read so far amount to.
pub(crate) enum First<'a> {
    /// Not a whole head yet, or not the whole body of a publish whose head is there.
    Partial {
        /// The head is whole.
        head: bool,
    },
    /// A WebSocket handshake.
    Upgrade(Head<'a>, Result<Upgrade<'a>, handshake::Refusal>),
    /// A whole publish request that the shard answers.
    Publish(Head<'a>, &'a [u8]),
    /// The same for Pushi's REST API, if its session is known.
    PushiPublish(Head<'a>, &'a [u8]),
    /// A request for a stream of server-sent events.
    Stream(Stream<'a>),
    /// A request to a relay.
    Relayed(Box<Relayed<'a>>),
    /// A request below a path of SockJS.
    Mounted(Box<Mounted<'a>>),
    /// Any other request.
    Other,
    /// A head that is longer than it may be, whole or not.
    TooLarge,
    /// No HTTP: what to say, and why.
    Bad(&'static str),
}

/// The parts of a request that matter here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    /// As received, with the listener's prefix.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) origin: Option<&'a str>,
    /// What a proxy in front says of its client; to be believed only of a trusted one.
    pub(crate) forwarded_for: Option<&'a str>,
    pub(crate) forwarded_proto: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    /// Bytes of head and body.
    pub(crate) len: usize,
    pub(crate) keep_alive: bool,
    /// Whether it is HTTP/1.1, and not 1.0.
    pub(crate) is_current: bool,
}

/// A request for a stream of server-sent events.
pub(crate) struct Stream<'a> {
    pub(crate) head: Head<'a>,
    /// The app of the path.
    pub(crate) app: &'a str,
    pub(crate) last_event_id: Option<&'a str>,
    /// What a page asks whether it may send.
    pub(crate) request_headers: Option<&'a str>,
}

/// A request below a path of SockJS.
pub(crate) struct Mounted<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) mount: Arc<Mount>,
    pub(crate) found: Found<'a>,
    /// What it is for, or why it is for nothing.
    pub(crate) route: Result<Route<'a>, Missing>,
    pub(crate) asked: Asked<'a>,
    /// `None` if it is larger than it may be, or cannot be read.
    pub(crate) body: Option<&'a [u8]>,
    /// What it asks for on a route of WebSocket.
    pub(crate) upgrade: Result<Upgrade<'a>, handshake::Refusal>,
    /// What an application may know of its headers, names in lower case.
    pub(crate) headers: Vec<(String, &'a str)>,
    /// The same by the draft of 2010, where that is spoken.
    pub(crate) draft: Option<Result<hixie::Handshake, hixie::Fault>>,
}

impl Mounted<'_> {
    /// The shard whose session it is for, if it is for one.
    pub(crate) fn shard(&self, node: &Node) -> Option<usize> {
        let name = mount::session_name(&self.found, self.route.as_ref().ok()?)?;
        Some(node.shard_of(self.mount.number, &name))
    }

    /// Whether what it brings may be published.
    pub(crate) fn brings_messages(&self) -> bool {
        matches!(self.route, Ok(Route::Send { .. }))
    }
}

/// Looks at the start of `bytes`. A head has at most `headers_max` headers and `bytes_max` bytes.
pub(crate) fn first<'a>(bytes: &'a [u8], listener: &Listener, headers_max: usize, bytes_max: usize) -> First<'a> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let head_len = match request.parse(bytes) {
        Ok(Status::Complete(len)) if len <= bytes_max => len,
        Ok(Status::Partial) if bytes.len() < bytes_max => return First::Partial { head: false },
        Ok(Status::Complete(_) | Status::Partial) => return First::TooLarge,
        Err(httparse::Error::TooManyHeaders) => return First::Bad("the request has too many headers"),
        Err(_) => return First::Bad("this is not an HTTP/1.1 request"),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return First::Bad("the request line is incomplete");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = &*request.headers;
    if headers.len() > headers_max {
        return First::Bad("the request has too many headers");
    }
    let mut seen = Head {
        method,
        path,
        query,
        origin: text(headers, "origin"),
        forwarded_for: last_text(headers, "x-forwarded-for"),
        forwarded_proto: last_text(headers, "x-forwarded-proto"),
        content_type: None,
        cookie: None,
        session: None,
        len: head_len,
        keep_alive: keeps_alive(headers, version),
        is_current: version == 1,
    };
    if let Some(mount) = listener.mounts.iter().find(|mount| mount.find(listener.strip(path)).is_some()) {
        return mounted(bytes, mount, seen, headers, listener);
    }
    let is_upgrade = has_token(headers, "connection", "upgrade") && has_token(headers, "upgrade", "websocket");
    if relayed::claims(listener, method, path, query, is_upgrade) {
        return First::Relayed(Box::new(Relayed::new(seen, version, headers)));
    }
    if is_upgrade {
        return First::Upgrade(seen, Upgrade::check(method, version, headers));
    }
    if let Some(app) = stream_of(listener, path) {
        let (last_event_id, request_headers) = (text(headers, "last-event-id"), text(headers, "access-control-request-headers"));
        return First::Stream(Stream { head: seen, app, last_event_id, request_headers });
    }
    let pushi = is_pushi_publish(method, path, listener);
    if !pushi && !is_publish(method, path, listener) {
        return First::Other;
    }
    let Some(body_len) = plain_length(headers).filter(|&len| len <= SHARD_BODY_MAX) else { return First::Other };
    seen.len += body_len;
    match bytes.get(head_len..seen.len) {
        Some(body) if pushi => {
            let head = Head {
                content_type: text(headers, "content-type"),
                cookie: text(headers, "cookie"),
                session: text(headers, "x-session-id"),
                ..seen
            };
            First::PushiPublish(head, body)
        }
        Some(body) => First::Publish(seen, body),
        None => First::Partial { head: true },
    }
}

/// A request for a service of SockJS, with its body.
fn mounted<'a>(bytes: &'a [u8], mount: &Arc<Mount>, mut head: Head<'a>, headers: &[Header<'a>], listener: &Listener) -> First<'a> {
    let Some(found) = mount.find(listener.strip(head.path)) else { return First::Other };
    let route = mount.service.route(head.method, found.below);
    let max = mount.service.settings().request_bytes;
    let body = match length(headers) {
        Length::Known(len) if len <= max => {
            let Some(body) = bytes.get(head.len..head.len + len) else { return First::Partial { head: true } };
            head.len += len;
            Some(body)
        }
        Length::Known(_) | Length::Ambiguous => None,
        // Rare, and more than a glance: the service puts such a body together, and sends the request to its shard.
        Length::Unknown => return First::Other,
    };
    head.content_type = text(headers, "content-type");
    let asked = Asked {
        origin: head.origin,
        request_headers: text(headers, "access-control-request-headers"),
        cookie: text(headers, "cookie"),
        if_none_match: text(headers, "if-none-match"),
    };
    let upgrade = Upgrade::check(head.method, u8::from(head.is_current), headers);
    let speaks_draft = route == Ok(Route::WebSocket) && mount.service.settings().hixie76;
    let draft = if speaks_draft { hixie::Handshake::of(headers) } else { None };
    First::Mounted(Box::new(Mounted { head, mount: Arc::clone(mount), found, route, asked, body, upgrade, draft, headers: told(headers) }))
}

/// The headers that an application may know (S-3.9). Never cookies, which are no authentication here.
fn told<'a>(headers: &[Header<'a>]) -> Vec<(String, &'a str)> {
    const TOLD: [&str; 14] = [
        "referer",
        "x-client-ip",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-cluster-client-ip",
        "via",
        "x-real-ip",
        "x-forwarded-proto",
        "x-ssl",
        "dnt",
        "host",
        "user-agent",
        "accept-language",
    ];
    let known = |header: &&Header<'a>| TOLD.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    headers
        .iter()
        .filter(known)
        .filter_map(|header| Some((header.name.to_ascii_lowercase(), std::str::from_utf8(header.value).ok()?)))
        .collect()
}

/// What a head says of the length of its body.
enum Length {
    Known(usize),
    /// It comes in chunks, or only when it is asked for.
    Unknown,
    /// Two readers could understand two things.
    Ambiguous,
}

fn length(headers: &[Header<'_>]) -> Length {
    let values =
        |name: &'static str| headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let (mut lengths, mut codings) = (values("content-length"), values("transfer-encoding"));
    let waits = values("expect").next().is_some();
    match (lengths.next(), codings.next(), lengths.next().or_else(|| codings.next())) {
        (None, None, _) => Length::Known(0),
        (Some(length), None, None) => match digits(length) {
            Some(_) if waits => Length::Unknown,
            Some(length) => Length::Known(length),
            None => Length::Ambiguous,
        },
        (None, Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Length::Unknown,
        _ => Length::Ambiguous,
    }
}

/// Whether `bytes` begin with a WebSocket handshake, good or bad.
pub(crate) fn is_upgrade(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    request.parse(bytes).is_ok_and(|status| status.is_complete())
        && has_token(request.headers, "connection", "upgrade")
        && has_token(request.headers, "upgrade", "websocket")
}

/// The app whose channels are read at this path, if streams are served here.
pub(crate) fn stream_of<'a>(listener: &Listener, path: &'a str) -> Option<&'a str> {
    tidings_dialect::sse::request::app_of(listener.strip(path)).filter(|_| listener.speaks(&Dialect::Sse))
}

/// The hot route: publishing, one event or a batch.
fn is_publish(method: &str, path: &str, listener: &Listener) -> bool {
    let api = || listener.strip(path).strip_prefix("/apps/").and_then(|rest| rest.split_once('/'));
    method == "POST" && listener.speaks(&Dialect::Pusher) && api().is_some_and(|(_, route)| matches!(route, "events" | "batch_events"))
}

/// The same route of Pushi's REST API.
fn is_pushi_publish(method: &str, path: &str, listener: &Listener) -> bool {
    method == "POST" && listener.speaks(&Dialect::PushiApi) && listener.strip(path) == "/events"
}

/// The length of a body that is sent as it is; `None` if the head needs more than a glance.
fn plain_length(headers: &[Header<'_>]) -> Option<usize> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return None;
            }
            length = Some(digits(header.value)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") || header.name.eq_ignore_ascii_case("expect") {
            return None;
        }
    }
    length
}

/// A number of digits and nothing else: Rust would read a sign, which no proxy in front does.
fn digits(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn keeps_alive(headers: &[Header<'_>], version: u8) -> bool {
    if version == 0 { has_token(headers, "connection", "keep-alive") } else { !has_token(headers, "connection", "close") }
}

fn text<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

/// The first header of that name, whatever it holds.
fn raw<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// What the nearest proxy wrote: where it adds a line of its own, those before it may be the client's.
fn last_text<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().rev().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    named
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

/// The client's address: that of the socket, or what the right-most hop that is not trusted is called by the trusted ones.
pub(crate) fn client_address(listener: &Listener, hop: Option<IpAddr>, forwarded_for: Option<&str>) -> Option<IpAddr> {
    if !listener.trusts(hop) {
        return hop;
    }
    let hops = forwarded_for.into_iter().flat_map(|list| list.rsplit(',')).map_while(|hop| hop.trim().parse::<IpAddr>().ok());
    let mut client = hop;
    for hop in hops {
        client = Some(hop);
        if !listener.trusts(client) {
            break;
        }
    }
    client
}

/// Whether the client speaks TLS, to us or to a trusted proxy.
pub(crate) fn is_secure(listener: &Listener, tls: bool, hop: Option<IpAddr>, forwarded_proto: Option<&str>) -> bool {
    let last = forwarded_proto.and_then(|list| list.rsplit(',').next()).map(str::trim);
    tls || listener.trusts(hop) && last.is_some_and(|proto| proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss"))
}

#[cfg(test)]
mod tests;
