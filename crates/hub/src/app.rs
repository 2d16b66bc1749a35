//! An app: a tenant with its keys, switches and limits. Plain values, read and checked by whoever makes one.

use crate::Recents;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The id of an app, as it stands in paths of the HTTP API.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

impl AppId {
    /// Takes any text.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A key and its secret (P-1.1). The secret never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The public part.
    pub key: String,
    /// What signs.
    pub secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The dialects that an app is spoken to in. What one of them protects is protected in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialects {
    /// Pusher's WebSocket protocol and HTTP API.
    pub pusher: bool,
    /// Pushi's WebSocket protocol and REST API.
    pub pushi: bool,
    /// Pushy's protocol on SockJS and its trigger.
    pub pushy: bool,
    /// Server-sent events.
    pub sse: bool,
    /// wspush's relays.
    pub wspush: bool,
}

impl Dialects {
    /// Whether Pushi's clients are the only ones, so that its own defaults hurt nobody.
    #[must_use]
    pub fn pushi_alone(self) -> bool {
        self == Self { pushi: true, ..Self::default() }
    }
}

/// A tenant. A session keeps an `Arc` of it; a reload hands out a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The id in paths of the HTTP API.
    pub id: AppId,
    /// All valid pairs, the oldest first; that one signs webhooks. Never empty.
    pub keys: Vec<Key>,
    /// What people call it.
    pub name: String,
    /// Who may speak to it.
    pub dialects: Dialects,
    /// Off: new connections get 4003, live ones are closed with it.
    pub enabled: bool,
    /// Whether clients may publish `client-` events (P-8.1).
    pub client_events: bool,
    /// Whether subscribers are told how many they are (P-14.1).
    pub subscription_count_events: bool,
    /// Whether signed-in users are told of those they watch (P-15.9).
    pub watchlist_events: bool,
    /// Whether a connection must authorise itself within `authorization_timeout` (P-15.12).
    pub authorized_connections: bool,
    /// The time for that.
    pub authorization_timeout: Duration,
    /// Whether plain connections are refused with 4000.
    pub force_tls: bool,
    /// Whether a refused subscribe also gets `pusher:subscription_error` (P-5.9).
    pub subscription_error_event: bool,
    /// Silence after which a client is expected to ping (P-2.5); at least a second.
    pub activity_timeout: Duration,
    /// The protocol version taken for a connection that names none (P-17.6).
    pub default_protocol: Option<u8>,
    /// The longest channel name for Pusher clients, 164 to 200 (P-4.1).
    pub channel_name_max: usize,
    /// Allowed `Origin` values; `None` allows all (P-2.10).
    pub origins: Option<Vec<String>>,
    /// Where facts are delivered.
    pub webhooks: Vec<Webhook>,
    /// Whether several facts may share one request (P-12.5).
    pub webhook_batching: bool,
    /// How long `channel_vacated` and `member_removed` are held back (P-12.7).
    pub webhook_grace: Duration,
    /// How long a delivery is retried (P-12.6).
    pub webhook_retry: Duration,
    /// Whether webhooks may go to private and link-local addresses.
    pub webhook_private_targets: bool,
    /// Which channels keep their recent events, and how many.
    pub recents: Recents,
    /// What may grow, and how far.
    pub limits: Limits,
}

impl App {
    /// An app with one pair of keys and every default.
    #[must_use]
    pub fn new(id: &str, key: &str, secret: &str) -> Self {
        Self {
            id: AppId::new(id),
            keys: vec![Key { key: key.to_owned(), secret: secret.to_owned() }],
            name: id.to_owned(),
            dialects: Dialects { pusher: true, ..Dialects::default() },
            enabled: true,
            client_events: false,
            subscription_count_events: false,
            watchlist_events: false,
            authorized_connections: false,
            authorization_timeout: Duration::from_secs(30),
            force_tls: false,
            subscription_error_event: true,
            activity_timeout: Duration::from_secs(120),
            default_protocol: None,
            channel_name_max: 200,
            origins: None,
            webhooks: Vec::new(),
            webhook_batching: true,
            webhook_grace: Duration::from_secs(3),
            webhook_retry: Duration::from_secs(300),
            webhook_private_targets: false,
            recents: Recents::default(),
            limits: Limits::default(),
        }
    }

    /// The secret of `key`, if it is one of this app's.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|pair| pair.key == key).map(|pair| pair.secret.as_str())
    }
}

/// One endpoint for webhooks (P-12.8). Its query and the values of its headers may be secrets and never show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to post, http or https.
    pub url: String,
    /// The event names wanted; `None` for all.
    pub events: Option<Vec<String>>,
    /// Only channels that start so; both filters must match.
    pub channel_prefix: Option<String>,
    /// Only channels that end so.
    pub channel_suffix: Option<String>,
    /// Further headers of the request.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("events", &self.events)
            .field("channel_prefix", &self.channel_prefix)
            .field("channel_suffix", &self.channel_suffix)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}

/// What may grow within an app. The defaults are those of P-18.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, `None` for no quota (P-2.3 row 9).
    pub connections: Option<u32>,
    /// Subscriptions of one connection.
    pub subscriptions: u32,
    /// Characters of an event name.
    pub event_name_chars: usize,
    /// Bytes of an event's data.
    pub event_bytes: usize,
    /// Channels one publish may name.
    pub publish_channels: usize,
    /// Events in one batch.
    pub batch_events: usize,
    /// Distinct users of a presence channel.
    pub presence_members: u32,
    /// Characters of a presence member's id.
    pub presence_user_id_chars: usize,
    /// Bytes of a presence member's `user_info`.
    pub presence_user_info_bytes: usize,
    /// Characters of a signed-in user's id.
    pub user_id_chars: usize,
    /// Ids a user may watch.
    pub watchlist: usize,
    /// Client events of one connection, a second.
    pub client_events_per_second: u32,
    /// How far a request's time stamp may be off, exclusive.
    pub timestamp_window: Duration,
    /// Life of a cached event.
    pub cache_ttl: Duration,
    /// Channels with a cached event at once; beyond it the oldest goes.
    pub caches: usize,
    /// Subscribers above which counts are collected (P-14.3).
    pub count_immediate: u32,
    /// How long they are collected.
    pub count_interval: Duration,
    /// Bytes of an inbound WebSocket message.
    pub message_bytes: usize,
    /// Bytes of the body of an API request.
    pub body_bytes: usize,
    /// Bytes the kernel has refused to take for one connection.
    pub outbox_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: None,
            subscriptions: 100_000,
            event_name_chars: 200,
            event_bytes: 10 * 1024,
            publish_channels: 100,
            batch_events: 10,
            presence_members: 100,
            presence_user_id_chars: 128,
            presence_user_info_bytes: 1024,
            user_id_chars: 200,
            watchlist: 100,
            client_events_per_second: 10,
            timestamp_window: Duration::from_secs(600),
            cache_ttl: Duration::from_secs(1800),
            caches: 10_000,
            count_immediate: 100,
            count_interval: Duration::from_secs(5),
            message_bytes: 64 * 1024,
            body_bytes: 1024 * 1024,
            outbox_bytes: 1024 * 1024,
        }
    }
}
