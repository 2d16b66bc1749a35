//! `[[apps]]`: ids, keys, switches, limits and webhooks, as the hub's own values.

use super::problem::{nearest, quoted};
use super::reader::{Section, given, text_toml};
use super::store::History;
use http::{HeaderName, HeaderValue, Uri};
use std::collections::HashMap;
use std::time::Duration;
use tidings_hub::{App, AppId, CHANNEL_NAME_BYTES_MAX, Dialects, Key, Limits, Recents, Webhook, Window};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;

/// The events a webhook may ask for (P-12.4).
const EVENTS: [&str; 7] =
    ["channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss", "subscription_count"];
/// Headers that the server itself writes (P-12.1), or that decide how the request is framed.
const HEADERS_TAKEN: [&str; 7] =
    ["content-type", "x-pusher-key", "x-pusher-signature", "host", "content-length", "transfer-encoding", "connection"];
/// One app. What cannot be read is a problem, and the app that comes out then is never used.
pub(super) fn app(section: &mut Section<'_, '_>, histories: &mut HashMap<AppId, History>) -> App {
    let defaults = App::new("", "", "");
    let id = required(section, ("id", "P-1.1", "The id in paths of the HTTP API."), segment);
    let own = own_key(section);
    let app = App {
        name: section
            .text(("name", "I-4.15", "What people call it; without it the id."), "", |text| given(text).map(str::to_owned), String::clone)
            .unwrap_or_else(|| id.clone()),
        dialects: dialects(section),
        id: AppId::new(&id),
        enabled: section.flag(("enabled", "P-1.5", "Off: its connections are closed with 4003."), defaults.enabled),
        client_events: section.flag(("client_events", "P-8.1", "Clients may publish `client-` events."), defaults.client_events),
        subscription_count_events: section
            .flag(("subscription_count_events", "P-14.1", "Subscribers are told how many they are."), defaults.subscription_count_events),
        watchlist_events: section
            .flag(("watchlist_events", "P-15.9", "Signed-in users are told who of their watchlist is online."), defaults.watchlist_events),
        authorized_connections: section.flag(
            ("authorized_connections", "P-15.12", "A connection must sign in or subscribe to a channel that needs proof."),
            defaults.authorized_connections,
        ),
        authorization_timeout: section.duration(
            ("authorization_timeout", "P-15.12", "The time it has for that; then 4009."),
            defaults.authorization_timeout,
            SECOND..=60 * MINUTE,
        ),
        force_tls: section.flag(("force_tls", "P-2.3", "Plain connections are refused with 4000."), defaults.force_tls),
        subscription_error_event: section.flag(
            ("subscription_error_event", "P-5.9", "A refused subscribe also gets `pusher:subscription_error`."),
            defaults.subscription_error_event,
        ),
        activity_timeout: activity_timeout(section, defaults.activity_timeout),
        default_protocol: section.maybe_count(
            ("default_protocol", "P-17.6", "The protocol version of a connection that names none; without it 4008."),
            defaults.default_protocol,
            4..=7,
        ),
        channel_name_max: section.count(
            ("channel_name_max", "P-18.1", "Characters of a channel name; 164 is what Pusher promises."),
            defaults.channel_name_max,
            164..=200,
        ),
        origins: section.texts(("origins", "P-2.10", "`Origin` values that may connect; without it all may."), &[], allowed, String::clone),
        webhook_batching: section
            .flag(("webhook_batching", "P-12.5", "Several facts may share one webhook request."), defaults.webhook_batching),
        webhook_grace: section.duration(
            ("webhook_grace", "P-18.15", "How long `channel_vacated` and `member_removed` are held back."),
            defaults.webhook_grace,
            Duration::ZERO..=MINUTE,
        ),
        webhook_retry: section.duration(
            ("webhook_retry", "P-18.14", "How long a webhook that fails is tried again."),
            defaults.webhook_retry,
            Duration::ZERO..=DAY,
        ),
        webhook_private_targets: section.flag(
            ("webhook_private_targets", "", "Webhooks may go to loopback, private and link-local addresses."),
            defaults.webhook_private_targets,
        ),
        keys: keys(section, own),
        recents: Recents { window: Window::default(), patterns: section.sections("recent", super::sse::kept) },
        limits: section.section("limits", limits),
        webhooks: section.sections("webhooks", webhook),
    };
    // After the app's own settings: what is printed must read back.
    if let Some(history) = section.maybe_section("history", super::store::history) {
        histories.insert(AppId::new(&id), history);
    }
    app
}

/// What the app is spoken to in; nothing for all that the listeners speak, which is filled in when they are known.
fn dialects(section: &mut Section<'_, '_>) -> Dialects {
    let known = |text: &str| match text {
        "pusher" | "sse" | "pushi" | "pushy" | "wspush" => Ok(text.to_owned()),
        _ => Err(format!("{} is no dialect of an app; known are \"pusher\", \"sse\", \"pushi\", \"pushy\" and \"wspush\"", quoted(text))),
    };
    let told = (
        "dialects",
        "",
        "What the app is spoken to in, of `pusher`, `sse`, `pushi`, `pushy` and `wspush`; without it in all that listeners speak.",
    );
    let listed = section.texts(told, &[], known, String::clone);
    if listed.as_ref().is_some_and(Vec::is_empty) {
        section.problem("dialects", "is empty; write [\"pusher\"], [\"pushi\"] or both, or leave it out for all that listeners speak");
    }
    let listed = listed.unwrap_or_default();
    let has = |name: &str| listed.iter().any(|listed| listed == name);
    Dialects { pusher: has("pusher"), pushi: has("pushi"), pushy: has("pushy"), sse: has("sse"), wspush: has("wspush") }
}

/// `key` and `secret`, which an app may leave out if it has `keys`.
fn own_key(section: &mut Section<'_, '_>) -> Option<Key> {
    let names = ["key", "secret", "secret_file"];
    if section.has("keys") && !names.iter().any(|name| section.has(name)) {
        names.into_iter().for_each(|name| section.leave(name));
        return None;
    }
    Some(pair(section))
}

/// The app's own key, then those of `keys`: the first signs webhooks (P-12.3).
fn keys(section: &mut Section<'_, '_>, own: Option<Key>) -> Vec<Key> {
    let keys: Vec<Key> = own.into_iter().chain(section.sections("keys", pair)).collect();
    if keys.is_empty() {
        section.problem("keys", "is empty; an app needs a `key` and a `secret`");
    }
    keys
}

fn pair(section: &mut Section<'_, '_>) -> Key {
    let key = required(section, ("key", "P-1.1", "The public key that clients connect with."), key_text);
    let missing = !section.has("secret") && !section.has("secret_file");
    let secret = section.secret(
        ("secret", "P-1.1", "What signs; at least 8 characters, better 64 hex digits. Never shown."),
        ("secret_file", "P-1.1", "A file that holds the secret, instead of `secret`."),
    );
    if missing {
        section.problem("secret", "is missing; make one with `openssl rand -hex 32`, and give it here or in a `secret_file`");
    }
    if secret.as_deref() == Some("") {
        section.problem("secret", "is empty; make one with `openssl rand -hex 32`");
    }
    Key { key, secret: secret.unwrap_or_default() }
}

fn activity_timeout(section: &mut Section<'_, '_>, default: Duration) -> Duration {
    let told = ("activity_timeout", "P-2.5", "Silence after which a client pings; whole seconds.");
    let timeout = section.duration(told, default, SECOND..=DAY);
    if timeout.subsec_nanos() != 0 {
        section.problem("activity_timeout", "clients are told whole seconds; write \"1 s\", \"2 s\" and so on");
    }
    timeout
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let defaults = Limits::default();
    Limits {
        connections: section.maybe_count(
            ("connections", "P-2.3", "Connections of the app at once; beyond it 4004. Without it only the node's limit holds."),
            defaults.connections,
            1..=100_000_000,
        ),
        subscriptions: section.count(("subscriptions", "", "Subscriptions of one connection."), defaults.subscriptions, 1..=100_000_000),
        event_name_chars: section.count(
            ("event_name_chars", "P-18.2", "Characters of an event name."),
            defaults.event_name_chars,
            1..=10_000,
        ),
        event_bytes: section.bytes(("event_bytes", "P-18.3", "Bytes of an event's data."), defaults.event_bytes, 1..=64 * MIB),
        publish_channels: section.count(
            ("publish_channels", "P-18.4", "Channels that one publish may name."),
            defaults.publish_channels,
            1..=10_000,
        ),
        batch_events: section.count(("batch_events", "P-18.5", "Events in one batch."), defaults.batch_events, 1..=10_000),
        presence_members: section.count(
            ("presence_members", "P-18.6", "Users in a presence channel."),
            defaults.presence_members,
            1..=1_000_000,
        ),
        presence_user_id_chars: section.count(
            ("presence_user_id_chars", "P-18.7", "Characters of a presence member's `user_id`."),
            defaults.presence_user_id_chars,
            1..=10_000,
        ),
        presence_user_info_bytes: section.bytes(
            ("presence_user_info_bytes", "P-18.8", "Bytes of a presence member's `user_info`."),
            defaults.presence_user_info_bytes,
            0..=MIB,
        ),
        user_id_chars: section.count(
            ("user_id_chars", "P-18.9", "Characters of a signed-in user's id."),
            defaults.user_id_chars,
            1..=CHANNEL_NAME_BYTES_MAX as u64 / 2,
        ),
        watchlist: section.count(("watchlist", "P-18.10", "Ids that a user may watch; beyond it 4302."), defaults.watchlist, 0..=10_000),
        client_events_per_second: section.count(
            ("client_events_per_second", "P-18.11", "Client events of one connection, a second; beyond it 4301."),
            defaults.client_events_per_second,
            1..=1_000_000,
        ),
        timestamp_window: section.duration(
            ("timestamp_window", "P-18.12", "A request's time stamp must be less than this off."),
            defaults.timestamp_window,
            SECOND..=DAY,
        ),
        cache_ttl: section.duration(
            ("cache_ttl", "P-18.13", "Life of a cached event; only downward (P-13.2)."),
            defaults.cache_ttl,
            SECOND..=defaults.cache_ttl,
        ),
        caches: section.count(
            ("caches", "", "Channels with a cached event at once; beyond it the oldest goes."),
            defaults.caches,
            0..=10_000_000,
        ),
        count_immediate: section.count(
            ("count_immediate", "P-18.16", "Subscribers above which changes of the count are collected."),
            defaults.count_immediate,
            0..=100_000_000,
        ),
        count_interval: section.duration(
            ("count_interval", "P-18.16", "How long they are collected."),
            defaults.count_interval,
            SECOND / 10..=MINUTE,
        ),
        message_bytes: section.bytes(
            ("message_bytes", "P-18.17", "Bytes of a message from a client; beyond it 1009."),
            defaults.message_bytes,
            1024..=64 * MIB,
        ),
        body_bytes: section.bytes(
            ("body_bytes", "P-18.18", "Bytes of the body of an API request; beyond it 413."),
            defaults.body_bytes,
            1024..=1024 * MIB,
        ),
        outbox_bytes: section.bytes(
            ("outbox_bytes", "P-18.19", "Bytes owed to a connection that does not take them; beyond it 4100."),
            defaults.outbox_bytes,
            1024..=1024 * MIB,
        ),
    }
}

fn webhook(section: &mut Section<'_, '_>) -> Webhook {
    let missing = !section.has("url");
    let url = section.text(("url", "P-12.1", "Where to post, http or https."), "", url, |url| url_shown(url));
    if missing {
        section.problem("url", "is missing; write the http or https address to post to");
    }
    let text = |text: &str| given(text).map(str::to_owned);
    Webhook {
        url: url.unwrap_or_default(),
        events: section.texts(("events", "P-12.8", "The events wanted; without it all."), &[], event, String::clone),
        channel_prefix: section.text(("channel_prefix", "P-12.8", "Only channels that begin so."), "", text, String::clone),
        channel_suffix: section.text(
            ("channel_suffix", "P-12.8", "Only channels that end so; both filters must match."),
            "",
            text,
            String::clone,
        ),
        headers: section.pairs(("headers", "P-12.1", "Further headers, name and value. Values are never shown."), header),
    }
}

/// A text that must be there. Empty if it is not, and then there is a problem.
fn required(section: &mut Section<'_, '_>, told: super::reader::Told, check: impl Fn(&str) -> Result<String, String>) -> String {
    let missing = !section.has(told.0);
    let text = section.text(told, "", check, String::clone);
    if missing {
        section.problem(told.0, format!("is missing; write {} = \"…\"", told.0));
    }
    text.unwrap_or_default()
}

/// One segment of a path that needs no escaping.
fn segment(text: &str) -> Result<String, String> {
    let right = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#%\"\\<>".contains(&byte));
    match given(text)? {
        text if right && text.len() <= 200 && text != "." && text != ".." => Ok(text.to_owned()),
        text => Err(format!("{} cannot stand in a path; write at most 200 letters, digits and -._~", quoted(text))),
    }
}

/// As [`segment`], and without the colon that ends a key in signatures.
fn key_text(text: &str) -> Result<String, String> {
    match segment(text)? {
        key if key.contains(':') => Err(format!("{} holds a colon, which ends a key in signatures", quoted(&key))),
        key => Ok(key),
    }
}

fn allowed(text: &str) -> Result<String, String> {
    origin(text).map_err(|problem| format!("{problem}; leave the list out to allow all"))
}

pub(super) fn origin(text: &str) -> Result<String, String> {
    let authority = text.split_once("://").map(|(_, authority)| authority);
    let right = authority.is_some_and(|authority| !authority.is_empty() && !authority.contains(['/', '?', '#', '@', '*']));
    if text == "null" || right && text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is no origin; write \"https://example.com\", in lower case, without a path", quoted(text)))
}

fn event(text: &str) -> Result<String, String> {
    if EVENTS.contains(&text) {
        return Ok(text.to_owned());
    }
    match nearest(text, EVENTS) {
        Some(near) => Err(format!("there is no event {}; did you mean \"{near}\"?", quoted(text))),
        None => Err(format!("there is no event {}; known are {}", quoted(text), EVENTS.join(", "))),
    }
}

/// Problems do not repeat the address: it may hold a token.
fn url(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|_| "is no address; write \"https://example.com/hook\"".to_owned())?;
    let authority =
        uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("needs a host; write \"https://example.com/hook\"")?;
    if authority.as_str().contains('@') {
        return Err("holds a user and a password; send them in `headers`".to_owned());
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

/// The address without its query.
fn url_shown(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?{}", super::HIDDEN),
        None => url.to_owned(),
    }
}

fn header(name: &str, value: &str) -> Result<(), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is no header name", text_toml(name)))?;
    if HEADERS_TAKEN.contains(&parsed.as_str()) {
        return Err("is written by the server itself; remove it".to_owned());
    }
    HeaderValue::from_str(value).map(drop).map_err(|_| "the value holds characters that no header may hold".to_owned())
}
