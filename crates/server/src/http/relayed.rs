//! Requests to a relay, which has no paths of its own: all that nothing else on its listener answers (design: routing, the last of all).

use super::{Head, Length, length, raw};
use crate::config::Dialect;
use crate::listener::Listener;
use crate::transport::websocket::handshake::{Refusal, Upgrade};
use httparse::Header;
use tidings_dialect::wspush::request;
use tidings_dialect::{pushi, pushy};

/// A request to a relay.
pub(crate) struct Relayed<'a> {
    pub(crate) head: Head<'a>,
    accept: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    protocols: Option<&'a [u8]>,
    pub(crate) upgrade: Result<Upgrade<'a>, Refusal>,
    /// Nothing follows its head that belongs to it.
    pub(crate) is_whole: bool,
}

impl<'a> Relayed<'a> {
    pub(super) fn new(head: Head<'a>, version: u8, headers: &[Header<'a>]) -> Self {
        // Messages go out as they are, to whoever it is.
        let upgrade = Upgrade::check(head.method, version, headers).map(|upgrade| Upgrade { deflate: None, ..upgrade });
        let [accept, origin, protocols] = ["accept", "origin", "sec-websocket-protocol"].map(|name| raw(headers, name));
        let is_whole = matches!(length(headers), Length::Known(0));
        Self { head, accept, origin, protocols, upgrade, is_whole }
    }

    /// The request as the dialect sees it; `path` without the listener's prefix.
    pub(crate) fn request<'r>(&'r self, path: &'r str) -> request::Request<'r> {
        let Head { method, query, .. } = self.head;
        let upgrade = match self.upgrade {
            Ok(_) => request::Upgrade::Whole,
            Err(Refusal::NotAsked | Refusal::Http10 | Refusal::Connection) => request::Upgrade::NotAsked,
            Err(Refusal::Version) => request::Upgrade::Version,
            Err(Refusal::Method | Refusal::Key | Refusal::Repeated(_) | Refusal::Extensions(_)) => request::Upgrade::Broken,
        };
        request::Request { method, path, query, accept: self.accept, origin: self.origin, protocols: self.protocols, upgrade }
    }
}

/// Whether a request is the relay's: nothing else that is spoken here answers it. `path` as it was received.
pub(crate) fn claims(listener: &Listener, method: &str, path: &str, query: &str, is_upgrade: bool) -> bool {
    if listener.relay.is_none() {
        return false;
    }
    let rest = listener.strip(path);
    let speaks = |dialect| listener.speaks(dialect);
    if is_upgrade {
        let pushi = speaks(&Dialect::Pushi) && pushi::handshake::key(rest, query).is_some();
        let pusher = speaks(&Dialect::Pusher) && (rest.starts_with("/app/") || !names_token(query));
        return !pushi && !pusher;
    }
    let reads = method == "GET" || method == "HEAD";
    let pusher = speaks(&Dialect::Pusher) && ["/app/", "/apps/", "/users/"].iter().any(|start| rest.starts_with(start));
    let node = reads && !names_token(query) && (rest == "/health" || rest == "/ready" || rest == "/metrics" && speaks(&Dialect::Metrics));
    let stream = super::stream_of(listener, path).is_some();
    let trigger = listener.config.speaks_pushy() && pushy::api::is_trigger(rest);
    let pushi = speaks(&Dialect::PushiApi) && pushi::api::methods(rest).is_some();
    // A page answers whatever it is asked for; who wants the relay says with which token.
    let page = (speaks(&Dialect::Console) || speaks(&Dialect::PushiApi)) && rest != "/ping" && !names_token(query);
    !(pusher || node || stream || trigger || pushi || page)
}

fn names_token(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("token"))
}
