//! What the server says (P-3.4 to P-3.7).

use super::DecodeError;
use crate::pusher::json::{compact, is_object, object, some, text, write_quoted, write_string};
use crate::pusher::member::id;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// `pusher:connection_established`.
    ConnectionEstablished {
        /// The name of the connection.
        socket_id: Cow<'a, str>,
        /// Seconds of silence after which the client should ping; versions 4 to 6 are not told (P-2.4).
        activity_timeout: Option<u64>,
    },
    /// `pusher:error`.
    Error {
        /// A code of section 17, or none where only a request is refused.
        code: Option<u16>,
        /// A sentence.
        message: Cow<'a, str>,
    },
    /// `pusher:ping`.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// `pusher_internal:subscription_succeeded`.
    SubscriptionSucceeded {
        /// The channel.
        channel: Cow<'a, str>,
        /// Its members, on a presence channel.
        members: Option<Vec<PresenceMember<'a>>>,
    },
    /// `pusher:subscription_error`.
    SubscriptionError {
        /// The channel, as it was given.
        channel: Cow<'a, str>,
        /// The type of P-5.2.
        kind: Cow<'a, str>,
        /// A sentence.
        error: Cow<'a, str>,
        /// The status of P-5.2.
        status: u16,
    },
    /// `pusher_internal:subscription_count`.
    SubscriptionCount {
        /// The channel.
        channel: Cow<'a, str>,
        /// Subscribed connections.
        count: u32,
    },
    /// `pusher_internal:member_added`.
    MemberAdded {
        /// The channel.
        channel: Cow<'a, str>,
        /// Who came.
        member: PresenceMember<'a>,
    },
    /// `pusher_internal:member_removed`.
    MemberRemoved {
        /// The channel.
        channel: Cow<'a, str>,
        /// Who left.
        user_id: Cow<'a, str>,
    },
    /// `pusher:cache_miss`.
    CacheMiss {
        /// The channel.
        channel: Cow<'a, str>,
    },
    /// `pusher:signin_success`.
    SignedIn {
        /// The signed text, as it was received.
        user_data: Cow<'a, str>,
    },
    /// `pusher_internal:watchlist_events`.
    Watchlist {
        /// Who is there.
        online: Vec<Cow<'a, str>>,
        /// Who is not.
        offline: Vec<Cow<'a, str>>,
    },
    /// An event that somebody published.
    Event {
        /// Its name.
        name: Cow<'a, str>,
        /// Its channel. A published event always has one.
        channel: Option<Cow<'a, str>>,
        /// Its data.
        data: Cow<'a, str>,
        /// The sender of a client event on a presence channel.
        user_id: Option<Cow<'a, str>>,
    },
}

/// A member of a presence channel as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceMember<'a> {
    /// Identifies the user.
    pub user_id: Cow<'a, str>,
    /// A JSON text.
    pub user_info: Option<Cow<'a, str>>,
}

impl ServerMessage<'_> {
    /// The message's text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if let Self::Pong = self {
            return Bytes::from_static(PONG);
        }
        let mut out = Vec::new();
        self.encode_into(&mut out);
        Bytes::from(out)
    }

    /// Appends the message's text.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::ConnectionEstablished { socket_id, activity_timeout } => {
                frame("pusher:connection_established", None, out, |data| {
                    data.extend_from_slice(br#"{"socket_id":"#);
                    write_string(socket_id, data);
                    if let Some(seconds) = activity_timeout {
                        data.extend_from_slice(br#","activity_timeout":"#);
                        write_number(*seconds, data);
                    }
                    data.push(b'}');
                });
            }
            Self::Error { code, message } => {
                out.extend_from_slice(br#"{"event":"pusher:error","data":{"code":"#);
                match code {
                    Some(code) => write_number(*code, out),
                    None => out.extend_from_slice(b"null"),
                }
                out.extend_from_slice(br#","message":"#);
                write_string(message, out);
                out.extend_from_slice(b"}}");
            }
            Self::Ping => out.extend_from_slice(br#"{"event":"pusher:ping","data":"{}"}"#),
            Self::Pong => out.extend_from_slice(PONG),
            Self::SubscriptionSucceeded { channel, members: None } => empty("pusher_internal:subscription_succeeded", channel, out),
            Self::SubscriptionSucceeded { channel, members: Some(members) } => {
                frame("pusher_internal:subscription_succeeded", Some(channel), out, |data| write_presence(members, data));
            }
            Self::SubscriptionError { channel, kind, error, status } => {
                out.extend_from_slice(br#"{"event":"pusher:subscription_error","channel":"#);
                write_string(channel, out);
                out.extend_from_slice(br#","data":{"type":"#);
                write_string(kind, out);
                out.extend_from_slice(br#","error":"#);
                write_string(error, out);
                out.extend_from_slice(br#","status":"#);
                write_number(*status, out);
                out.extend_from_slice(b"}}");
            }
            Self::SubscriptionCount { channel, count } => {
                frame("pusher_internal:subscription_count", Some(channel), out, |data| {
                    data.extend_from_slice(br#"{"subscription_count":"#);
                    write_number(*count, data);
                    data.push(b'}');
                });
            }
            Self::MemberAdded { channel, member } => {
                frame("pusher_internal:member_added", Some(channel), out, |data| {
                    data.extend_from_slice(br#"{"user_id":"#);
                    write_string(&member.user_id, data);
                    if let Some(user_info) = &member.user_info {
                        data.extend_from_slice(br#","user_info":"#);
                        data.extend_from_slice(user_info.as_bytes());
                    }
                    data.push(b'}');
                });
            }
            Self::MemberRemoved { channel, user_id } => {
                frame("pusher_internal:member_removed", Some(channel), out, |data| {
                    data.extend_from_slice(br#"{"user_id":"#);
                    write_string(user_id, data);
                    data.push(b'}');
                });
            }
            Self::CacheMiss { channel } => empty("pusher:cache_miss", channel, out),
            Self::SignedIn { user_data } => {
                frame("pusher:signin_success", None, out, |data| {
                    data.extend_from_slice(br#"{"user_data":"#);
                    write_string(user_data, data);
                    data.push(b'}');
                });
            }
            Self::Watchlist { online, offline } => {
                frame("pusher_internal:watchlist_events", None, out, |data| write_watched(online, offline, data));
            }
            Self::Event { name, channel, data, user_id } => {
                // The punctuation of a frame, and room for some escapes.
                out.reserve(64 + name.len() + channel.as_ref().map_or(0, |channel| channel.len()) + data.len() + data.len() / 8);
                out.extend_from_slice(br#"{"event":"#);
                write_string(name, out);
                if let Some(channel) = channel {
                    out.extend_from_slice(br#","channel":"#);
                    write_string(channel, out);
                }
                out.extend_from_slice(br#","data":"#);
                write_string(data, out);
                if let Some(user_id) = user_id {
                    out.extend_from_slice(br#","user_id":"#);
                    write_string(user_id, out);
                }
                out.push(b'}');
            }
        }
    }
}

const PONG: &[u8] = br#"{"event":"pusher:pong","data":"{}"}"#;

/// A protocol event whose data is a string that holds the JSON which `write` appends (P-3.5).
fn frame(event: &str, channel: Option<&str>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut data = Vec::with_capacity(128);
    write(&mut data);
    start(event, channel, data.len() + data.len() / 4 + 3, out);
    write_quoted(&data, out);
    out.push(b'}');
}

/// A protocol event with nothing to say beside its channel.
fn empty(event: &str, channel: &str, out: &mut Vec<u8>) {
    let rest = br#""{}"}"#;
    start(event, Some(channel), rest.len(), out);
    out.extend_from_slice(rest);
}

/// All that precedes the data, with room for the `rest` that follows. The room is exact where nothing is escaped, for `Bytes` take over
/// a full buffer as it is.
fn start(event: &str, channel: Option<&str>, rest: usize, out: &mut Vec<u8>) {
    let punctuation = r#"{"event":"","data":"#.len();
    out.reserve(punctuation + event.len() + channel.map_or(0, |channel| r#","channel":"""#.len() + channel.len()) + rest);
    out.extend_from_slice(br#"{"event":""#);
    // Only ever called with names that need no escape.
    out.extend_from_slice(event.as_bytes());
    out.push(b'"');
    if let Some(channel) = channel {
        out.extend_from_slice(br#","channel":"#);
        write_string(channel, out);
    }
    out.extend_from_slice(br#","data":"#);
}

fn write_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_list<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

/// The list of P-7.3.
fn write_presence(members: &[PresenceMember<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"presence":{"ids":["#);
    write_list(members, out, |member, out| write_string(&member.user_id, out));
    out.extend_from_slice(br#"],"hash":{"#);
    write_list(members, out, |member, out| {
        write_string(&member.user_id, out);
        out.push(b':');
        out.extend_from_slice(member.user_info.as_deref().unwrap_or("null").as_bytes());
    });
    out.extend_from_slice(br#"},"count":"#);
    write_number(members.len(), out);
    out.extend_from_slice(b"}}");
}

/// The entries of P-15.9; one without ids is left out.
fn write_watched(online: &[Cow<'_, str>], offline: &[Cow<'_, str>], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"events":["#);
    let mut separator: &[u8] = b"";
    for (name, ids) in [("online", online), ("offline", offline)] {
        if !ids.is_empty() {
            out.extend_from_slice(separator);
            out.extend_from_slice(br#"{"name":""#);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(br#"","user_ids":["#);
            write_list(ids, out, |id, out| write_string(id, out));
            out.extend_from_slice(b"]}");
            separator = b",";
        }
    }
    out.extend_from_slice(b"]}");
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
}

/// The members of the protocol events' data, of all events together.
#[derive(Deserialize)]
struct Fields {
    socket_id: Option<String>,
    activity_timeout: Option<u64>,
    code: Option<u16>,
    message: Option<String>,
    presence: Option<Presence>,
    r#type: Option<String>,
    error: Option<String>,
    status: Option<u16>,
    subscription_count: Option<u32>,
    user_id: Option<UserId>,
    user_info: Option<Box<RawValue>>,
    user_data: Option<String>,
    events: Option<Vec<WatchlistEvent>>,
}

#[derive(Deserialize)]
struct Presence {
    ids: Vec<UserId>,
    hash: HashMap<String, Option<Box<RawValue>>>,
}

/// The id of a user. Servers should write text, and some have been seen to write the number that a member gave (P-22.5).
struct UserId(String);

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        let id = if value.get().starts_with('"') { text(value).map(Cow::into_owned) } else { id(value).map(|id| id.to_string()) };
        id.map(Self).ok_or_else(|| D::Error::custom("an id is text or an integer"))
    }
}

#[derive(Deserialize)]
struct WatchlistEvent {
    name: String,
    user_ids: Vec<String>,
}

/// Reads a message of the server. Takes protocol events with their data as a string or as an object, as the official clients do.
///
/// # Errors
/// [`DecodeError`] if it is no message a client knows; the client passes over it.
pub fn decode_server(message: &str) -> Result<ServerMessage<'_>, DecodeError> {
    if !is_object(message) {
        return Err(DecodeError::Malformed);
    }
    let Frame { event, channel, data, user_id } = serde_json::from_str(message).map_err(|_| DecodeError::Malformed)?;
    let unusable = |event: Cow<'_, str>| DecodeError::Unusable { event: event.into_owned(), needs: "the members the protocol gives it" };
    let channel = channel.and_then(text);
    match event.as_ref() {
        "pusher:ping" => return Ok(ServerMessage::Ping),
        "pusher:pong" => return Ok(ServerMessage::Pong),
        name if !name.starts_with("pusher:") && !name.starts_with("pusher_internal:") => {
            let Some(data) = data.and_then(publishers_text) else {
                return Err(unusable(event));
            };
            return Ok(ServerMessage::Event { name: event, channel, data, user_id: user_id.and_then(text) });
        }
        _ => {}
    }
    // Some servers leave out data that is empty (P-21.3).
    let json = data.map_or(Some(Cow::Borrowed("{}")), object);
    let fields = json.and_then(|json| serde_json::from_str(&json).ok());
    fields.and_then(|fields| known(&event, channel, fields)).ok_or_else(|| unusable(event))
}

/// The data of a published event: a string's text, anything else as JSON text.
fn publishers_text(data: &RawValue) -> Option<Cow<'_, str>> {
    if data.get().starts_with('"') { text(data) } else { String::from_utf8(compact(data)).ok().map(Cow::Owned) }
}

fn known<'a>(event: &str, channel: Option<Cow<'a, str>>, fields: Fields) -> Option<ServerMessage<'a>> {
    let json = |info: Box<RawValue>| Cow::Owned(info.get().to_owned());
    Some(match event {
        "pusher:connection_established" => {
            ServerMessage::ConnectionEstablished { socket_id: fields.socket_id?.into(), activity_timeout: fields.activity_timeout }
        }
        "pusher:error" => ServerMessage::Error { code: fields.code, message: fields.message.unwrap_or_default().into() },
        "pusher_internal:subscription_succeeded" => ServerMessage::SubscriptionSucceeded {
            channel: channel?,
            members: fields.presence.map(|Presence { ids, mut hash }| {
                let member = |UserId(id)| PresenceMember { user_info: hash.remove(&id).flatten().map(json), user_id: id.into() };
                ids.into_iter().map(member).collect()
            }),
        },
        "pusher:subscription_error" => ServerMessage::SubscriptionError {
            channel: channel?,
            kind: fields.r#type?.into(),
            error: fields.error.unwrap_or_default().into(),
            status: fields.status.unwrap_or_default(),
        },
        "pusher_internal:subscription_count" => ServerMessage::SubscriptionCount { channel: channel?, count: fields.subscription_count? },
        "pusher_internal:member_added" => ServerMessage::MemberAdded {
            channel: channel?,
            member: PresenceMember { user_id: fields.user_id?.0.into(), user_info: fields.user_info.map(json) },
        },
        "pusher_internal:member_removed" => ServerMessage::MemberRemoved { channel: channel?, user_id: fields.user_id?.0.into() },
        "pusher:cache_miss" => ServerMessage::CacheMiss { channel: channel? },
        "pusher:signin_success" => ServerMessage::SignedIn { user_data: fields.user_data?.into() },
        "pusher_internal:watchlist_events" => {
            let (mut online, mut offline) = (Vec::new(), Vec::new());
            for WatchlistEvent { name, user_ids } in fields.events? {
                match name.as_str() {
                    "online" => online.extend(user_ids.into_iter().map(Cow::Owned)),
                    "offline" => offline.extend(user_ids.into_iter().map(Cow::Owned)),
                    _ => {}
                }
            }
            ServerMessage::Watchlist { online, offline }
        }
        _ => return None,
    })
}
