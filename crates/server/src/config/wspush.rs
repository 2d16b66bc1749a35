//! `[[wspush]]`: a relay of what is published in Redis, for wspush's clients, and what holds for them.

use super::listener::Dialect;
use super::problem::quoted;
use super::reader::{Section, given, given_owned};
use super::redis::Redis;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::wspush::settings::{Frames, Key, Keys, RELAY_BYTES_MAX, Settings, Slow};
use tidings_hub::AppId;

/// What the names of Redis channels begin with, as in the original (W-1.1).
const PREFIX: &str = "example.";
/// The longest such beginning, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A relay from Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wspush {
    /// What listeners call it: `wspush:NAME`, or `wspush` if it is empty.
    pub name: String,
    /// The app.
    pub app: AppId,
    /// Where messages are published.
    pub redis: Redis,
    /// What the names of their channels begin with; a token follows.
    pub prefix: String,
    /// Bytes of a message; a longer one reaches nobody.
    pub message_bytes: usize,
    /// What holds for its clients.
    pub session: Settings,
}

impl Wspush {
    /// What a listener speaks that serves its clients.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        Dialect::Wspush(self.name.clone())
    }

    /// What a listener speaks that tells its statistics.
    #[must_use]
    pub fn statistics(&self) -> Dialect {
        Dialect::WspushStatistics(self.name.clone())
    }
}

pub(super) fn wspush(section: &mut Section<'_, '_>) -> Wspush {
    let missing = !section.has("app");
    let about = "What listeners call it: `wspush:NAME` and `wspush-statistics:NAME`, or both without a name.";
    let name = section.text(("name", "", about), "", name, String::clone).unwrap_or_default();
    let app = section.text(("app", "", "The id of the app on whose channels messages are published."), "", given_owned, String::clone);
    if missing {
        section.problem("app", "is missing; name the id of the app");
    }
    let redis = super::redis::redis(section);
    let about = "What the names of Redis channels begin with that are relayed; a token follows.";
    let prefix = section.text(("prefix", "W-1.1", about), PREFIX, prefix, String::clone).unwrap_or_else(|| PREFIX.to_owned());
    let about = "Bytes of a message; a longer one reaches nobody.";
    let message_bytes = section.bytes(("message_bytes", "W-2.7", about), MIB as usize, KIB..=64 * MIB);
    let session = session(section, &name);
    Wspush { name, app: AppId::new(&app.unwrap_or_default()), redis, prefix, message_bytes, session }
}

fn session(section: &mut Section<'_, '_>, name: &str) -> Settings {
    let default = Settings::default();
    let slow = [("close", Slow::Close), ("drop", Slow::Drop), ("drop-oldest", Slow::DropOldest)];
    let frames = [("text", Frames::Text), ("binary", Frames::Binary)];
    Settings {
        relay: Arc::from(name),
        keys: keys(section),
        apart: section
            .flag(("apart", "", "Tokens keep to themselves: none is a channel that clients of other dialects are on."), default.apart),
        connections_per_token: section.count(
            ("connections_per_token", "W-4.1", "Connections that one token may have."),
            default.connections_per_token,
            1..=1_000_000,
        ),
        queue_messages: section.count(("queue", "W-7.2", "Messages that may wait for one client."), default.queue_messages, 1..=1_000_000),
        queue_bytes: section.bytes(("queue_bytes", "W-7.2", "Bytes of them."), default.queue_bytes, KIB..=1024 * MIB),
        slow: section.one_of(
            (
                "slow",
                "W-7.2",
                "What becomes of a client for which more would wait: it is closed, or does not get the new message, or not the oldest.",
            ),
            default.slow,
            &slow,
        ),
        ping: section
            .text(
                ("ping", "W-8.1", "What a heartbeat says; without it, it is no message."),
                "",
                |text| given(text).map(|text| Bytes::copy_from_slice(text.as_bytes())),
                |ping| String::from_utf8_lossy(ping).into_owned(),
            )
            .or(default.ping),
        ping_interval: section.duration(
            ("ping_interval", "W-8.1", "The time between two heartbeats."),
            default.ping_interval,
            SECOND / 10..=DAY,
        ),
        frames: section.one_of(
            ("ws_frames", "W-6.3", "The WebSocket frames that messages travel in: `text` where they are text, or `binary` always."),
            default.frames,
            &frames,
        ),
        origins: section.texts(
            ("origins", "W-5.6", "Origins whose pages may connect; without it all, and programs that send none."),
            &[],
            super::app::origin,
            String::clone,
        ),
        compat: section.flag(
            ("compat", "W-4.3", "Clients are refused as in the original: by an empty answer, a close without a reason."),
            default.compat,
        ),
    }
}

/// What signs tokens. If none is given, anybody may have any token.
fn keys(section: &mut Section<'_, '_>) -> Keys {
    let md5 = section.secret(
        ("hmac_key", "W-3.3", "The key whose HMAC-MD5 signs tokens: base64 with the alphabet of URLs, no padding. Never shown."),
        ("hmac_key_file", "W-3.3", "A file that holds it."),
    );
    let md5 = key(section, "hmac_key", md5);
    let sha256 = section.secret(
        ("hmac_sha256_key", "W-3.7", "The same for HMAC-SHA-256, which new installations should take. If both are given, either signs."),
        ("hmac_sha256_key_file", "W-3.7", "A file that holds it."),
    );
    Keys { md5, sha256: key(section, "hmac_sha256_key", sha256) }
}

fn key(section: &mut Section<'_, '_>, name: &str, text: Option<String>) -> Option<Key> {
    match Key::parse(&text?) {
        Ok(key) => Some(key),
        Err(bad) => {
            section.problem(name, bad.to_string());
            None
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match text.len() {
        0..=RELAY_BYTES_MAX if plain => Ok(text.to_owned()),
        0..=RELAY_BYTES_MAX => Err(format!("{} is no name; use letters, digits and -_.", quoted(text))),
        _ => Err(format!("is longer than {RELAY_BYTES_MAX} characters")),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    if text.len() > PREFIX_BYTES_MAX { Err(format!("is longer than {PREFIX_BYTES_MAX} bytes")) } else { Ok(text.to_owned()) }
}
