//! The bodies of answers that are no records, status 200 (I-4.2). Whoever performs a call supplies what is true at the moment.

use super::Refusal;
use super::write::Writer;
use crate::pushi::vapid;
use bytes::Bytes;
use std::time::Duration;
use tidings_hub::UnixTime;

/// What we call ourselves beside the name of the protocol's own server.
const SERVER: &str = "tidings";

/// The answer of a call that has nothing to say (I-4.2).
#[must_use]
pub fn success() -> Bytes {
    Bytes::from_static(br#"{"result":"success"}"#)
}

/// The answer to a login (I-4.5).
#[must_use]
pub fn token(token: &str) -> Bytes {
    let mut json = Writer::object();
    json.string("token", token);
    json.finish()
}

/// The answer to `GET /vapid_key`: the public half of the app's `vapid_key` (I-4.38).
///
/// # Errors
/// 400 if there is no key, or it is none.
pub fn vapid_key(private: Option<&str>) -> Result<Bytes, Refusal> {
    let public = vapid::public_key(private.ok_or_else(Refusal::no_vapid_key)?).map_err(Refusal::bad_vapid_key)?;
    let mut json = Writer::object();
    json.string("vapid_public_key", &public);
    Ok(json.finish())
}

/// The answer to `GET /sockets`: each connection with its channels in order of subscription (I-4.25).
#[must_use]
pub fn sockets<'a, C: IntoIterator<Item = &'a str>>(sockets: impl IntoIterator<Item = (&'a str, C)>) -> Bytes {
    let mut json = Writer::object();
    json.open("sockets", b'[');
    for (id, channels) in sockets {
        json.open_item().string("socket_id", id);
        list(&mut json, "channel", channels);
        json.close(b'}');
    }
    json.close(b']');
    json.finish()
}

/// The answer to a question for one connection: its channels in order of subscription, none if there is no such connection (I-4.26).
#[must_use]
pub fn channels<'a>(channels: impl IntoIterator<Item = &'a str>) -> Bytes {
    let mut json = Writer::object();
    list(&mut json, "channels", channels);
    json.finish()
}

fn list<'a>(json: &mut Writer, name: &str, items: impl IntoIterator<Item = &'a str>) {
    json.open(name, b'[');
    for item in items {
        json.item(item);
    }
    json.close(b']');
}

/// The answer to `GET /versions` (I-4.55).
#[must_use]
pub fn versions(version: &str) -> Bytes {
    let mut json = Writer::object();
    json.number("api_version", 1).string("version", version).string("server", SERVER);
    json.finish()
}

/// What `GET /info` tells of the server (I-4.54).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Our version.
    pub version: &'a str,
    /// How long it has run.
    pub uptime: Duration,
    /// Open connections.
    pub connections: u64,
    /// Connections since it started.
    pub count: u64,
    /// Where it listens.
    pub host: &'a str,
    /// The port there.
    pub port: u16,
    /// Whether by TLS.
    pub ssl: bool,
}

/// The answer to `GET /info` (I-4.54).
#[must_use]
pub fn info(service: &Service<'_>) -> Bytes {
    let mut json = Writer::object();
    json.string("name", "pushi").string("version", service.version).string("server", SERVER).string("status", "running");
    json.number("uptime", service.uptime.as_secs()).open("service", b'{');
    json.number("connections", service.connections).number("count", service.count).string("host", service.host);
    json.number("port", service.port.into()).boolean("ssl", service.ssl).close(b'}');
    json.finish()
}

/// The answer to `GET /health` (I-4.50).
#[must_use]
pub fn health(version: &str) -> Bytes {
    let mut json = Writer::object();
    json.string("status", "ok").string("service", "pushi").string("version", version).string("server", SERVER);
    json.finish()
}

/// The answer to `GET /health/live` (I-4.51).
#[must_use]
pub fn live() -> Bytes {
    Bytes::from_static(br#"{"status":"ok"}"#)
}

/// The answer to `GET /health/ready` if it is; else it is [`Refusal::not_ready`] (I-4.52).
#[must_use]
pub fn ready() -> Bytes {
    Bytes::from_static(br#"{"status":"ok","ready":true}"#)
}

/// How a part of the server does, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should.
    Ok,
    /// Not quite.
    Warning,
    /// It does not work.
    Error,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What `GET /health/detailed` tells (I-4.53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details<'a> {
    /// Our version.
    pub version: &'a str,
    /// Now.
    pub now: UnixTime,
    /// The store.
    pub store: Status,
    /// How long the store takes to answer.
    pub store_latency: Duration,
    /// Apps.
    pub apps: u64,
    /// What accepts and serves connections.
    pub sockets: Status,
    /// Open connections.
    pub connections: u64,
    /// Frames sent since it started.
    pub messages_sent: u64,
    /// The deliveries `apn`, `smtp`, `web` and `web_push`, in this order.
    pub handlers: [Handler; 4],
}

/// How one kind of delivery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Whether it works.
    pub status: Status,
    /// Its registrations.
    pub subscriptions: u64,
    /// The apps that have some.
    pub apps: u64,
}

/// The answer to `GET /health/detailed`, also when something is wrong (I-4.53).
#[must_use]
pub fn detailed(details: &Details<'_>) -> Bytes {
    let handlers = worst(details.handlers.iter().map(|handler| handler.status));
    let overall = if worst([details.store, details.sockets, handlers]) == Status::Ok { "ok" } else { "degraded" };
    let mut json = Writer::object();
    json.string("status", overall).string("service", "pushi").string("version", details.version).string("server", SERVER);
    json.timestamp("timestamp", details.now).open("checks", b'{');
    json.open("database", b'{').string("status", details.store.as_str());
    let latency = u64::try_from(details.store_latency.as_micros()).unwrap_or(u64::MAX);
    json.fraction("latency_ms", latency, 1000).number("app_count", details.apps).close(b'}');
    json.open("websocket", b'{').string("status", details.sockets.as_str()).number("connections", details.connections);
    json.number("messages_sent", details.messages_sent).raw("info", b"{}").close(b'}');
    json.open("handlers", b'{').string("status", handlers.as_str()).open("handlers", b'[');
    for (name, handler) in ["apn", "smtp", "web", "web_push"].iter().zip(details.handlers) {
        json.open_item().string("name", name).string("status", handler.status.as_str()).open("stats", b'{');
        json.number("subscription_count", handler.subscriptions).number("app_count", handler.apps).close(b'}').close(b'}');
    }
    json.close(b']').close(b'}').close(b'}');
    json.finish()
}

fn worst(statuses: impl IntoIterator<Item = Status>) -> Status {
    statuses.into_iter().max().unwrap_or(Status::Ok)
}
