//! What is kept, as clients get to see it: the records of I-3.1, I-4.9, I-4.15 and section 4.4 as JSON.

use super::registration::Family;
use super::settings::{AppSettings, Setting};
use super::write::Writer;
use bytes::Bytes;
use std::fmt;
use tidings_hub::UnixTime;

/// What every record has (I-4.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base<'a> {
    /// Its number among those of its kind, in order of creation.
    pub id: u64,
    /// When it was made.
    pub created: UnixTime,
    /// When it was changed last.
    pub modified: UnixTime,
    /// The ident of the app it belongs to.
    pub instance: &'a str,
}

/// An app (I-4.15).
#[derive(Clone, Copy, Debug)]
pub struct AppRecord<'a> {
    /// What all records have; the instance is the app's own ident.
    pub base: Base<'a>,
    /// What people call it.
    pub name: &'a str,
    /// The key of its clients.
    pub key: &'a str,
    /// The key's secret, which whoever has the app's session knows.
    pub secret: Secret<'a>,
    /// What it says of deliveries.
    pub settings: &'a AppSettings,
    /// Whether secrets among the settings are masked: for all but the operator.
    pub masked: bool,
}

/// A secret, which never shows in `Debug`.
#[derive(Clone, Copy)]
pub struct Secret<'a>(pub &'a str);

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A stored event (I-3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// What all records have.
    pub base: Base<'a>,
    /// What tells it from all other events.
    pub mid: u128,
    /// Where it was published.
    pub channel: &'a str,
    /// The socket id of the client that sent it, as clients know it.
    pub owner_id: Option<&'a str>,
    /// When it was published.
    pub timestamp: UnixTime,
    /// Its name.
    pub name: &'a str,
    /// Its data as text.
    pub data: &'a str,
    /// What travels with it: JSON members without braces.
    pub extras: Option<&'a str>,
}

/// That a user follows a channel (I-3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord<'a> {
    /// What all records have.
    pub base: Base<'a>,
    /// The user.
    pub user_id: &'a str,
    /// The channel.
    pub event: &'a str,
}

/// A registration of a hook, device or address (section 4.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RegistrationRecord<'a> {
    /// What all records have.
    pub base: Base<'a>,
    /// What is registered.
    pub family: Family,
    /// Its URL, token, address or endpoint.
    pub id: &'a str,
    /// The channel.
    pub event: &'a str,
    /// A browser's public key; for other families it does not count.
    pub p256dh: &'a str,
    /// A browser's secret; for other families it does not count.
    pub auth: &'a str,
}

impl fmt::Debug for RegistrationRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("RegistrationRecord");
        f.field("base", &self.base).field("family", &self.family).field("id", &self.id).field("event", &self.event).finish_non_exhaustive()
    }
}

/// One of the records of this page.
pub trait Record {
    /// The member of an answer that a list of them is.
    const LISTED_AS: &'static str;

    /// Appends the members of the record's object.
    fn write(&self, json: &mut Writer);
}

/// `record` as the body of an answer.
#[must_use]
pub fn one(record: &impl Record) -> Bytes {
    let mut json = Writer::object();
    record.write(&mut json);
    json.finish()
}

/// `records` as the body of an answer: an object with a list.
#[must_use]
pub fn list<R: Record>(records: impl IntoIterator<Item = R>) -> Bytes {
    let mut json = Writer::object();
    json.open(R::LISTED_AS, b'[');
    for record in records {
        json.open_item();
        record.write(&mut json);
        json.close(b'}');
    }
    json.close(b']');
    json.finish()
}

/// Appends `events` to `out` as the list in a channel record of the WebSocket protocol, where they have no `_id` (I-3.1).
pub fn write_events<'a>(events: impl IntoIterator<Item = EventRecord<'a>>, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut json = Writer::after(out);
    for event in events {
        json.open_item();
        event.write_without_oid(&mut json);
        json.close(b'}');
    }
    *out = json.into_inner();
    out.push(b']');
}

impl Record for AppRecord<'_> {
    const LISTED_AS: &'static str = "apps";

    fn write(&self, json: &mut Writer) {
        json.string("name", self.name).string("ident", self.base.instance).string("key", self.key).string("secret", self.secret.0);
        json.boolean("apn_sandbox", self.settings.apn_sandbox);
        for setting in Setting::ALL {
            let value = self.settings.texts.get(&setting);
            let masked = value.filter(|_| self.masked).map(|value| setting.masked(value));
            json.optional(setting.field(), masked.as_ref().or(value).map(String::as_str));
        }
        base(json, &self.base);
        oid(json, b"app", self.base.id);
    }
}

impl Record for EventRecord<'_> {
    const LISTED_AS: &'static str = "events";

    fn write(&self, json: &mut Writer) {
        self.write_without_oid(json);
        oid(json, b"evt", self.base.id);
    }
}

impl EventRecord<'_> {
    fn write_without_oid(&self, json: &mut Writer) {
        json.string("mid", &uuid(self.mid)).string("channel", self.channel).optional("owner_id", self.owner_id);
        json.timestamp("timestamp", self.timestamp);
        json.open("data", b'{').members(self.extras.unwrap_or_default().as_bytes());
        json.string("channel", self.channel).string("event", self.name).string("data", self.data).close(b'}');
        base(json, &self.base);
    }
}

impl Record for SubscriptionRecord<'_> {
    const LISTED_AS: &'static str = "subscriptions";

    fn write(&self, json: &mut Writer) {
        json.string("user_id", self.user_id).string("event", self.event);
        base(json, &self.base);
        oid(json, b"sub", self.base.id);
    }
}

impl Record for RegistrationRecord<'_> {
    const LISTED_AS: &'static str = "subscriptions";

    fn write(&self, json: &mut Writer) {
        json.string(self.family.id_field(), self.id);
        if self.family == Family::WebPushes {
            json.string("p256dh", self.p256dh).string("auth", self.auth);
        }
        json.string("event", self.event);
        base(json, &self.base);
        let kind = match self.family {
            Family::Webs => b"web",
            Family::Apns => b"apn",
            Family::Smtps => b"smt",
            Family::WebPushes => b"psh",
        };
        oid(json, kind, self.base.id);
    }
}

fn base(json: &mut Writer, base: &Base<'_>) {
    json.number("id", base.id).boolean("enabled", true).raw("description", b"null").raw("meta", b"{}");
    json.number("created", base.created.as_secs()).number("modified", base.modified.as_secs()).string("instance", base.instance);
}

/// The `_id`: 24 hex digits, of the kind and the number, so that it never changes and no two records share one.
fn oid(json: &mut Writer, kind: &[u8; 3], id: u64) {
    let mut bytes = [0; 12];
    bytes[..3].copy_from_slice(kind);
    bytes[4..].copy_from_slice(&id.to_be_bytes());
    let mut digits = [0; 24];
    crate::auth::hex(&bytes, &mut digits);
    json.string("_id", std::str::from_utf8(&digits).expect("hex digits are ASCII"));
}

/// The text of a UUID.
fn uuid(id: u128) -> String {
    let (a, b, c, d, e) = (id >> 96, (id >> 80) & 0xffff, (id >> 64) & 0xffff, (id >> 48) & 0xffff, id & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}
