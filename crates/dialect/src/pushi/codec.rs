//! Frames: what clients say (I-1.4 to I-1.8) and what they are told (I-1.2, I-1.3, I-1.5 to I-1.11).

use super::api::json::{self, Members};
use super::close::Code;
use super::member::write_object;
use super::name::uuid;
use crate::pusher::json::{text, write_string};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tidings_hub::{Attached, Body, Event, Member, MemberList, SocketId};

/// This dialect's slot of a list of members.
const MEMBERS: usize = 1;

/// A message of a client.
#[derive(Debug)]
pub enum ClientMessage<'a> {
    /// `pusher:subscribe` (I-1.5).
    Subscribe {
        /// The channel, as given.
        channel: Cow<'a, str>,
        /// The signature.
        auth: Option<Cow<'a, str>>,
        /// Who the client is there.
        channel_data: Option<ChannelData<'a>>,
    },
    /// `pusher:unsubscribe` (I-1.6).
    Unsubscribe {
        /// The channel, as given.
        channel: Cow<'a, str>,
    },
    /// `pusher:latest` (I-1.7).
    Latest {
        /// The channel, as given.
        channel: Cow<'a, str>,
        /// How many to pass over.
        skip: i64,
        /// How many to tell; at most zero for as many as is usual.
        count: i64,
    },
    /// `pusher:ping`.
    Ping,
    /// Any other name (I-1.8).
    Event {
        /// The event's name.
        name: Cow<'a, str>,
        /// The channel, as given.
        channel: Cow<'a, str>,
        /// Its data, any JSON value.
        data: &'a RawValue,
        /// Whether the sender wants it too.
        echo: bool,
        /// Whether it is to be stored.
        persist: bool,
    },
}

/// Who a client says it is.
#[derive(Debug)]
pub enum ChannelData<'a> {
    /// An object, of which nothing is signed.
    Object(&'a RawValue),
    /// The JSON text of an object, which is signed as in Pusher's protocol (I-8.5).
    Signed(Cow<'a, str>),
}

/// A message that is none, with what could be read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub reason: String,
    /// The event, if it has a name.
    pub event: String,
    /// The channel, if it is a text.
    pub channel: String,
}

/// Reads a message; `None` if there is nothing in it (I-1.4).
///
/// # Errors
/// [`Malformed`]: error 400.
pub fn decode(message: &str) -> Result<Option<ClientMessage<'_>>, Malformed> {
    if message.is_empty() {
        return Ok(None);
    }
    let nothing = |reason: &str| Malformed { reason: reason.to_owned(), event: String::new(), channel: String::new() };
    if json::is_deep(message) {
        return Err(nothing("the message is nested too deep"));
    }
    let members: Members<'_> = serde_json::from_str(message).map_err(|_| nothing("the message must be a JSON object"))?;
    let event = members.value("event").and_then(text).unwrap_or_default();
    read(&members).map(Some).map_err(|reason| {
        let own = members.value("channel").and_then(text);
        let inner = || members.value("data").and_then(inner).and_then(|data| data.value("channel").and_then(text).map(Cow::into_owned));
        let channel = own.map(Cow::into_owned).or_else(inner).unwrap_or_default();
        Malformed { reason, event: event.into_owned(), channel }
    })
}

fn read<'a>(members: &Members<'a>) -> Result<ClientMessage<'a>, String> {
    let event = required(members, "event")?;
    match &*event {
        "pusher:subscribe" => {
            let data = data(members)?;
            let channel_data = match data.value("channel_data") {
                None => None,
                Some(value) if value.get() == "null" => None,
                Some(value) if value.get().starts_with('"') => {
                    Some(ChannelData::Signed(text(value).ok_or("channel_data must be valid text")?))
                }
                Some(value) => Some(ChannelData::Object(value)),
            };
            Ok(ClientMessage::Subscribe { channel: required(&data, "channel")?, auth: optional(&data, "auth")?, channel_data })
        }
        "pusher:unsubscribe" => Ok(ClientMessage::Unsubscribe { channel: required(&data(members)?, "channel")? }),
        "pusher:latest" => {
            let data = data(members)?;
            let (skip, count) = (integer(&data, "skip")?, integer(&data, "count")?);
            Ok(ClientMessage::Latest { channel: required(&data, "channel")?, skip: skip.unwrap_or(0), count: count.unwrap_or(0) })
        }
        "pusher:ping" => Ok(ClientMessage::Ping),
        name if crate::pusher::name::is_reserved_event(name) => Err(format!("the event name {name} is reserved")),
        "" => Err("`event` must not be empty".to_owned()),
        _ => {
            let data = members.value("data").ok_or("`data` is missing")?;
            if data.get().starts_with('"') && text(data).is_none() {
                return Err("`data` must be valid text".to_owned());
            }
            let (echo, persist) = (flag(members, "echo", false)?, flag(members, "persist", true)?);
            Ok(ClientMessage::Event { name: event, channel: required(members, "channel")?, data, echo, persist })
        }
    }
}

/// The object that a message of the protocol carries.
fn data<'a>(members: &Members<'a>) -> Result<Members<'a>, String> {
    members.value("data").and_then(inner).ok_or_else(|| "`data` must be an object".to_owned())
}

fn inner<'a>(value: &'a RawValue) -> Option<Members<'a>> {
    serde_json::from_str(value.get()).ok()
}

fn required<'a>(members: &Members<'a>, name: &str) -> Result<Cow<'a, str>, String> {
    members.value(name).and_then(text).ok_or_else(|| format!("`{name}` must be a string"))
}

fn optional<'a>(members: &Members<'a>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    match members.value(name).filter(|value| value.get() != "null") {
        Some(value) => text(value).map(Some).ok_or_else(|| format!("`{name}` must be a string")),
        None => Ok(None),
    }
}

fn integer(members: &Members<'_>, name: &str) -> Result<Option<i64>, String> {
    match members.value(name).filter(|value| value.get() != "null") {
        Some(value) => value.get().parse().map(Some).map_err(|_| format!("`{name}` must be an integer")),
        None => Ok(None),
    }
}

fn flag(members: &Members<'_>, name: &str, default: bool) -> Result<bool, String> {
    match members.value(name).map(RawValue::get) {
        None | Some("null") => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(format!("`{name}` must be true or false")),
    }
}

/// The first frame (I-1.3).
#[must_use]
pub fn greeting(socket_id: SocketId) -> Bytes {
    let id = super::name::socket_id(socket_id);
    Bytes::from(format!(r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"{id}\"}}"}}"#))
}

/// The answer to a ping.
#[must_use]
pub fn pong() -> Bytes {
    Bytes::from_static(br#"{"event":"pusher:pong","channel":"","data":"{}"}"#)
}

/// An error frame (I-1.11).
#[must_use]
pub fn error(channel: &str, code: Code, message: &str, event: &str) -> Bytes {
    let mut data = format!("{{\"code\":{},\"message\":", code.number()).into_bytes();
    write_string(message, &mut data);
    data.extend_from_slice(b",\"event\":");
    write_string(event, &mut data);
    data.push(b'}');
    frame("pusher:error", channel, &data)
}

/// What a channel record is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A subscription (I-1.5).
    Subscribed,
    /// The end of one (I-1.6).
    Unsubscribed,
    /// A question (I-1.7).
    Latest,
}

/// A channel record in its frame: members of a presence channel, what a personal channel follows, stored events as the JSON text of a list.
#[must_use]
pub fn record<'a>(
    told: Told,
    channel: &str,
    members: Option<&MemberList>,
    alias: impl IntoIterator<Item = &'a str>,
    events: Option<&[u8]>,
) -> Bytes {
    let mut data = b"{\"name\":".to_vec();
    write_string(channel, &mut data);
    data.extend_from_slice(b",\"members\":");
    match members {
        Some(members) => data.extend_from_slice(members.encoded(MEMBERS, |members| Bytes::from(object_of(members)))),
        None => data.extend_from_slice(b"{}"),
    }
    data.extend_from_slice(b",\"alias\":[");
    for (place, name) in alias.into_iter().enumerate() {
        if place > 0 {
            data.push(b',');
        }
        write_string(name, &mut data);
    }
    data.extend_from_slice(b"],\"events\":");
    data.extend_from_slice(events.unwrap_or(b"[]"));
    data.push(b'}');
    let event = match told {
        Told::Subscribed => "pusher_internal:subscription_succeeded",
        Told::Unsubscribed => "pusher_internal:unsubscription_succeeded",
        Told::Latest => "pusher_internal:latest",
    };
    frame(event, channel, &data)
}

/// Members by their ids (I-2.8).
fn object_of(members: &[std::sync::Arc<Member>]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (place, member) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(&member.user_id, &mut out);
        out.push(b':');
        write_object(member, &mut out);
    }
    out.push(b'}');
    out
}

/// A frame whose data is JSON that was written here.
fn frame(event: &str, channel: &str, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + data.len() / 4 + channel.len() + 96);
    begin(event, channel, &mut out);
    out.extend_from_slice(b",\"data\":");
    write_string(&String::from_utf8_lossy(data), &mut out);
    out.push(b'}');
    Bytes::from(out)
}

fn begin(event: &str, channel: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"event\":");
    write_string(event, out);
    out.extend_from_slice(b",\"channel\":");
    write_string(channel, out);
}

/// The dialect has no words for an event: its data is no text, or it counts subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event cannot be said in this dialect")]
pub struct Unspeakable;

/// Appends the frame of an event to `out` (I-1.9, I-1.10).
///
/// # Errors
/// [`Unspeakable`]: nothing was appended.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    let channel = event.channel.as_str();
    match &event.body {
        Body::Published { name, data, attached, .. } => {
            let data = std::str::from_utf8(data).map_err(|_| Unspeakable)?;
            begin(name, channel, out);
            out.extend_from_slice(b",\"data\":");
            write_string(data, out);
            if let Some(attached) = attached {
                attach(attached, out);
            }
            out.push(b'}');
        }
        Body::MemberAdded(member) => notice("pusher:member_added", channel, member, out)?,
        Body::MemberRemoved(member) => notice("pusher:member_removed", channel, member, out)?,
        Body::Enrolled(_) | Body::Struck(_) | Body::SubscriptionCount(_) | Body::Gap => return Err(Unspeakable),
    }
    Ok(())
}

/// What few events have beside their data: what travels with them, and their marks in the store.
fn attach(attached: &Attached, out: &mut Vec<u8>) {
    if let Some(extras) = attached.extras.as_ref().filter(|extras| !extras.is_empty()) {
        out.push(b',');
        out.extend_from_slice(extras);
    }
    if let Some(stamp) = attached.stamp {
        let micros = stamp.at.as_micros();
        let mark = format!(r#","mid":"{}","timestamp":{}.{:06}"#, uuid(stamp.mid), micros / 1_000_000, micros % 1_000_000);
        out.extend_from_slice(mark.as_bytes());
    }
}

/// Clients look for `member`, and some of them fail without `data`.
fn notice(event: &str, channel: &str, member: &Member, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    let mut object = Vec::new();
    write_object(member, &mut object);
    let object = std::str::from_utf8(&object).map_err(|_| Unspeakable)?;
    begin(event, channel, out);
    for name in [&b",\"member\":"[..], b",\"data\":"] {
        out.extend_from_slice(name);
        write_string(object, out);
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests;
