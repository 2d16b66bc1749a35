//! The access log: a line for each request of the HTTP API. Nothing of it is made while nobody listens.

use super::ApiRequest;
use crate::http;
use crate::listener::Listener;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tidings_hub::AppId;

/// The target of its lines, by which they are switched on.
pub(crate) const TARGET: &str = "tidings::access";
/// A library's name that is longer is none.
const LIBRARY_BYTES_MAX: usize = 64;

/// Who sends a request, as far as it says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'a> {
    /// The other end of the connection; none on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// What a proxy in front says of its client; to be believed only of a trusted one.
    pub(crate) forwarded_for: Option<&'a str>,
    /// The header `X-Pusher-Library`, where it is looked for (P-10.14).
    pub(crate) library: Option<&'a str>,
}

/// When a request began to be answered, if somebody wants to know.
#[derive(Clone, Copy)]
pub(super) struct Begin(Option<Instant>);

impl Begin {
    pub(super) fn now() -> Self {
        Self(tracing::enabled!(target: TARGET, tracing::Level::INFO).then(Instant::now))
    }

    /// Writes the line, if anybody listens. Of the request it takes the path as far as no query can be in it, and of the signed parts nothing.
    pub(super) fn end(self, listener: &Listener, request: &ApiRequest<'_>, app: Option<&AppId>, status: u16) {
        let Some(begin) = self.0 else { return };
        let Caller { peer, forwarded_for, library } = request.caller;
        tracing::info!(
            target: TARGET,
            method = method(request.method),
            path = plain_path(request.path),
            status,
            bytes = request.body.len(),
            took_us = micros(begin.elapsed()),
            app = app.map(tracing::field::display),
            address = http::client_address(listener, peer, forwarded_for).map(tracing::field::display),
            library = library.filter(|name| is_library(name)),
            "api request"
        );
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// A method that exists: a name made up may say anything.
fn method(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    if known.contains(&method) { method } else { "other" }
}

/// The path up to anything that may be a query after all: some clients forget the question mark, or encode it.
fn plain_path(path: &str) -> &str {
    let marks = ["%3F", "%3f", "%23", "%26"];
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'&' | b'#')).unwrap_or(path.len());
    marks.iter().filter_map(|mark| path.find(mark)).fold(&path[..end], |path, at| path.get(..at).unwrap_or(path))
}

/// Whether a text can be the name of a library and its version.
fn is_library(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ._-+/()@".contains(&byte);
    name.len() <= LIBRARY_BYTES_MAX && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_a_query_may_begin() {
        for (path, plain) in [
            ("/apps/1/events", "/apps/1/events"),
            ("/apps/1/channels/a;b=c@d,e%20f", "/apps/1/channels/a;b=c@d,e%20f"),
            ("/apps/1/events&auth_signature=s", "/apps/1/events"),
            ("/apps/1/events%3Fauth_signature=s", "/apps/1/events"),
            ("/apps/1/events%3fa%26auth_signature=s", "/apps/1/events"),
            ("/apps/1/events%26auth_signature=s&t?u#v", "/apps/1/events"),
            ("/apps/1/events#auth_signature=s", "/apps/1/events"),
            ("", ""),
        ] {
            assert_eq!(plain_path(path), plain, "{path}");
        }
    }

    #[test]
    fn a_library_is_named_in_plain_words() {
        assert!(is_library("pusher-http-php 7.2.7"));
        assert!(!is_library(&"a".repeat(LIBRARY_BYTES_MAX + 1)));
        assert!(!is_library("auth_signature=s"));
        assert!(!is_library("a\u{1b}[2J"));
    }
}
