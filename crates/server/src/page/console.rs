//! What the try-it page asks of the server: the app it tries, proof for its channels, and a publish.
//! All of it acts with the app's secret, so only the page itself may ask.

use super::{CONTENT_SECURITY_POLICY, asset};
use crate::config::Address;
use crate::http::response::Answer;
use crate::listener::Listener;
use crate::node::{AppHandle, Node};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY as POLICY, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use tidings_dialect::auth;
use tidings_dialect::pusher::name::{self, Kind};
use tidings_hub::Publish;

/// What the page sends and no other site can, unless a browser asked us first.
pub(crate) const HEADER: &str = "x-tidings-console";
/// What the page may post.
pub(crate) const BODY_MAX: usize = 64 * 1024;

/// An event that the page publishes.
#[derive(Deserialize)]
struct Event {
    channel: String,
    event: String,
    data: String,
}

/// Whether a request is for this server under a name that nobody else can give it. A page of another site can have its own name
/// point here, and would then pass for ours.
pub(crate) fn is_own_host(listener: &Listener, host: Option<&str>) -> bool {
    if !listener.config.address.is_local() {
        // Who opened the page to others knows by what names.
        return true;
    }
    let Some(host) = host else { return matches!(listener.config.address, Address::Unix { .. }) };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Answers a `GET`; `None` if there is nothing at that path.
pub(crate) fn get(node: &Node, listener: &Listener, secure: bool, path: &str, method: &Method) -> Option<Response<Full<Bytes>>> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    if path == "/console/config" {
        return Some(settings(node, listener, secure)?.into_response());
    }
    let asset = asset(path)?;
    let mut response = Response::new(Full::new(Bytes::from_static(asset.body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    Some(response)
}

/// Answers a `POST`; `None` if there is nothing at that path.
pub(crate) async fn post(node: &Arc<Node>, path: &str, from_page: bool, body: &[u8]) -> Option<Answer> {
    if !matches!(path, "/console/auth" | "/console/publish") {
        return None;
    }
    if !from_page {
        return Some(Answer::text(403, &b"Only the page itself may ask for this.\n"[..]));
    }
    Some(match (tried_app(node), path) {
        (Some(app), "/console/auth") => authorize(&app, body),
        (Some(app), _) => publish(node, &app, body).await,
        (None, _) => Answer::text(404, &b"There is no app to try.\n"[..]),
    })
}

/// The app that the page tries: the first by its id, so that it is the same at each start.
fn tried_app(node: &Node) -> Option<Arc<AppHandle>> {
    node.apps().iter().min_by(|a, b| a.app.id.cmp(&b.app.id)).cloned()
}

fn settings(node: &Node, listener: &Listener, secure: bool) -> Option<Answer> {
    let app = tried_app(node)?;
    let (host, port) = match &listener.config.address {
        Address::Tcp(address) => (Some(address.ip().to_string()), Some(address.port())),
        Address::Unix { .. } => (None, None),
    };
    let settings = json!({
        "app_id": app.app.id.as_str(),
        "key": app.app.keys.first()?.key,
        "host": host,
        "port": port,
        "tls": secure,
        "path_prefix": listener.config.path_prefix,
    });
    Some(Answer::json(settings.to_string().into()))
}

/// Proof for a private or presence channel, as a customer's endpoint would give it (P-6.6, P-6.7).
fn authorize(app: &AppHandle, body: &[u8]) -> Answer {
    let (Some(socket_id), Some(channel)) = (field(body, "socket_id"), field(body, "channel_name")) else {
        return Answer::text(400, &b"socket_id and channel_name are needed\n"[..]);
    };
    if name::parse_socket_id(&socket_id).is_err() || name::parse(&channel, app.app.channel_name_max).is_err() {
        return Answer::text(400, &b"socket_id or channel_name is malformed\n"[..]);
    }
    let Some(key) = app.app.keys.first() else { return Answer::text(404, &b"The app has no key.\n"[..]) };
    let member =
        (Kind::of(&channel) == Kind::Presence).then(|| json!({ "user_id": socket_id, "user_info": { "name": "this page" } }).to_string());
    let mut parts = vec![socket_id.as_bytes(), b":", channel.as_bytes()];
    if let Some(member) = &member {
        parts.extend([&b":"[..], member.as_bytes()]);
    }
    let auth = format!("{}:{}", key.key, auth::sign(&key.secret, &parts).as_str());
    let answer = match &member {
        Some(member) => json!({ "auth": auth, "channel_data": member }),
        None => json!({ "auth": auth }),
    };
    Answer::json(answer.to_string().into())
}

async fn publish(node: &Arc<Node>, app: &AppHandle, body: &[u8]) -> Answer {
    let Ok(Event { channel, event, data }) = serde_json::from_slice(body) else {
        return Answer::text(400, &b"channel, event and data are needed, as texts\n"[..]);
    };
    let limits = &app.app.limits;
    let Ok(channel) = name::parse(&channel, app.app.channel_name_max) else {
        return Answer::text(400, &b"the channel's name is not valid\n"[..]);
    };
    if event.is_empty() || event.chars().count() > limits.event_name_chars || name::is_reserved_event(&event) {
        return Answer::text(400, &b"the event's name is empty, too long or reserved\n"[..]);
    }
    if data.len() > limits.event_bytes {
        return Answer::text(413, &b"the event's data is too large\n"[..]);
    }
    match node.acknowledge(app, &[Publish::new(channel, event.into(), data.into())]).await {
        Ok(()) => Answer::json(Bytes::from_static(b"{}")),
        Err(error) => Answer::not_stored(&error.to_string()),
    }
}

/// A field of a form.
fn field(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let value = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests;
