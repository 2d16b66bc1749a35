//! Messages: what clients say (Y-3.4 to Y-3.6) and what they are told (Y-3.1 to Y-3.3, Y-3.7, section 12).

use super::close::{Failure, Fault};
use super::json::canonical;
use crate::action::CommandFailed;
use crate::pusher::json::{text, write_string};
use crate::pushi::api::json::{Members, is_deep};
use crate::pushi::name::socket_id as uuid;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::{Body, Event, Member, MemberList, SocketId};

/// This dialect's slot of a list of members.
const MEMBERS: usize = 2;

/// How a connection's messages travel (Y-3.3, S-3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named as in `name`")]
pub enum Transport {
    WebSocket,
    RawWebSocket,
    XhrStreaming,
    XhrPolling,
    EventSource,
    HtmlFile,
    JsonpPolling,
}

impl Transport {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::RawWebSocket => "websocket-raw",
            Self::XhrStreaming => "xhr-streaming",
            Self::XhrPolling => "xhr-polling",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::JsonpPolling => "jsonp-polling",
        }
    }
}

/// A message of a client.
#[derive(Clone, Copy, Debug)]
pub enum ClientMessage<'a> {
    /// `subscribe` (Y-5.1).
    Subscribe {
        /// The channel, if it is not nothing.
        channel: Option<&'a RawValue>,
        /// The signature.
        auth: Option<&'a RawValue>,
        /// What the client says of itself.
        data: Option<&'a RawValue>,
    },
    /// `unsubscribe` (Y-5.5).
    Unsubscribe {
        /// The channel, if it is not nothing.
        channel: Option<&'a RawValue>,
    },
}

/// A message that was read as far as it can be without knowing what commands there are.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// One of the protocol's own commands.
    Built(ClientMessage<'a>),
    /// Another command.
    Custom {
        /// Its name, in lower case.
        name: String,
        /// What came with it.
        data: Option<&'a RawValue>,
    },
    /// An event, which nobody wants (Y-3.5).
    Ignored,
}

/// Reads a message.
///
/// # Errors
/// [`Fault::Bogus`] if it is none, [`Fault::BadData`] if a command of the protocol came with something that is no object.
pub fn decode(message: &str) -> Result<Decoded<'_>, Fault> {
    if is_deep(message) {
        return Err(Fault::Bogus);
    }
    let members: Members<'_> = serde_json::from_str(message).map_err(|_| Fault::Bogus)?;
    let present = |name: &str| members.value(name).filter(|value| value.get() != "null");
    let command = match (present("command"), present("event")) {
        (Some(command), None) => text(command).ok_or(Fault::Bogus)?.to_lowercase(),
        (None, Some(_)) => return Ok(Decoded::Ignored),
        (None, None) | (Some(_), Some(_)) => return Err(Fault::Bogus),
    };
    let data = members.value("data");
    Ok(match command.as_str() {
        "subscribe" => {
            let data = object(data)?;
            let (channel, auth) = (data.value("channel").filter(|channel| !is_falsy(channel)), data.value("auth"));
            let auth = auth.filter(|auth| auth.get() != "null");
            Decoded::Built(ClientMessage::Subscribe { channel, auth, data: data.value("data") })
        }
        "unsubscribe" => {
            let channel = object(data)?.value("channel").filter(|channel| !is_falsy(channel));
            Decoded::Built(ClientMessage::Unsubscribe { channel })
        }
        _ => Decoded::Custom { name: command, data },
    })
}

/// What came with a command of the protocol: clients without data send an empty array (Y-4.3).
fn object(data: Option<&RawValue>) -> Result<Members<'_>, Fault> {
    match data.map(RawValue::get) {
        None | Some("null") => Ok(Members::default()),
        Some(array) if array.starts_with('[') => Ok(Members::default()),
        Some(json) => serde_json::from_str(json).map_err(|_| Fault::BadData),
    }
}

/// Whether JavaScript takes `value` for false.
fn is_falsy(value: &RawValue) -> bool {
    match value.get() {
        "null" | "false" | "\"\"" => true,
        number if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => canonical(number).as_deref() == Some("0"),
        _ => false,
    }
}

/// The first message to a connection (Y-3.2).
#[must_use]
pub fn connect(socket_id: SocketId, transport: Transport) -> Bytes {
    let (socket_id, protocol) = (uuid(socket_id), transport.name());
    Bytes::from(format!(r#"{{"event":"pushy:connect","data":{{"socketId":"{socket_id}","protocol":"{protocol}"}}}}"#))
}

/// What is wrong with a message (Y-3.7).
#[must_use]
pub fn error(fault: Fault) -> Bytes {
    let (code, message) = fault.told();
    told("pushy:error", &[("message", message), ("code", code)])
}

/// That a command failed (Y-9.6).
#[must_use]
pub fn command_failed(failed: &CommandFailed) -> Bytes {
    told("pushy:error", &[("message", &failed.message), ("code", &failed.code)])
}

/// That a channel wants a signature (Y-5.1).
#[must_use]
pub fn needs_auth(channel: &str) -> Bytes {
    told("pushy:subscription-needauth", &[("channel", channel)])
}

/// That the client is not let onto a channel (Y-5.1).
#[must_use]
pub fn subscription_failed(channel: &str, failure: Failure) -> Bytes {
    told("pushy:subscription-failed", &[("channel", channel), ("reason", failure.reason())])
}

/// That the client is off a channel (Y-5.5).
#[must_use]
pub fn subscription_end(channel: &str) -> Bytes {
    told("pushy:subscription-end", &[("channel", channel)])
}

/// That the client is on a channel, with those on it if they are shown (Y-5.2).
#[must_use]
pub fn subscription_success(channel: &str, member_id: &str, presence: Option<&MemberList>) -> Bytes {
    let mut out = begin("pushy:subscription-success");
    out.extend_from_slice(b",\"data\":");
    members(&[("channel", channel), ("memberId", member_id)], &mut out);
    if let Some(presence) = presence {
        out.pop();
        out.extend_from_slice(b",\"presence\":");
        out.extend_from_slice(presence.encoded(MEMBERS, list_of));
        out.push(b'}');
    }
    out.push(b'}');
    Bytes::from(out)
}

/// An event for one connection that is none of a channel. `data` is a JSON text.
#[must_use]
pub fn event(name: &str, data: &[u8]) -> Bytes {
    let mut out = begin(name);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
    Bytes::from(out)
}

fn list_of(members: &[Arc<Member>]) -> Bytes {
    let mut out = b"[".to_vec();
    for (place, member) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(object_of(member));
    }
    out.push(b']');
    Bytes::from(out)
}

fn object_of(member: &Member) -> &[u8] {
    member.object.as_deref().unwrap_or(b"{}")
}

fn told(event: &str, data: &[(&str, &str)]) -> Bytes {
    let mut out = begin(event);
    out.extend_from_slice(b",\"data\":");
    members(data, &mut out);
    out.push(b'}');
    Bytes::from(out)
}

fn begin(event: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"{\"event\":");
    write_string(event, &mut out);
    out
}

fn members(members: &[(&str, &str)], out: &mut Vec<u8>) {
    for (place, (name, value)) in members.iter().enumerate() {
        out.push(if place == 0 { b'{' } else { b',' });
        write_string(name, out);
        out.push(b':');
        write_string(value, out);
    }
    out.push(b'}');
}

/// The dialect has no words for an event: its data is no text, or it is about users or their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event cannot be said in this dialect")]
pub struct Unspeakable;

/// Appends the message of an event to `out`, for a subscriber that is told of the channel as `spelling` (Y-5.4, Y-6.13, Y-8.6, Y-8.7).
///
/// # Errors
/// [`Unspeakable`]: nothing was appended.
pub fn encode_event(event: &Event, spelling: &str, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    match &event.body {
        Body::Published { name, data, .. } => {
            let data = std::str::from_utf8(data).map_err(|_| Unspeakable)?;
            head(name, spelling, out);
            // What is JSON was meant as JSON; anything else is a text that another dialect's publisher sent.
            match serde_json::from_str::<&RawValue>(data) {
                Ok(value) => out.extend_from_slice(value.get().as_bytes()),
                Err(_) => write_string(data, out),
            }
            out.push(b'}');
        }
        Body::Enrolled(member) => notice("pushy:presence-add", spelling, member, out),
        Body::Struck(member) => notice("pushy:presence-quit", spelling, member, out),
        Body::MemberAdded(_) | Body::MemberRemoved(_) | Body::SubscriptionCount(_) | Body::Gap => return Err(Unspeakable),
    }
    Ok(())
}

fn head(event: &str, spelling: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"event\":");
    write_string(event, out);
    out.extend_from_slice(b",\"channel\":");
    write_string(spelling, out);
    out.extend_from_slice(b",\"data\":");
}

fn notice(event: &str, spelling: &str, member: &Member, out: &mut Vec<u8>) {
    head(event, spelling, out);
    out.extend_from_slice(b"{\"member\":");
    out.extend_from_slice(object_of(member));
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests;
