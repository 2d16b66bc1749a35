//! What clients say (P-3.6).

use super::DecodeError;
use crate::pusher::json::{is_object, object, some, text, write_string};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A message of a client.
#[derive(Clone, Debug)]
pub enum ClientMessage<'a> {
    /// `pusher:subscribe`.
    Subscribe(Subscribe<'a>),
    /// `pusher:unsubscribe`.
    Unsubscribe {
        /// The channel's name, not yet checked.
        channel: Cow<'a, str>,
    },
    /// `pusher:signin`.
    SignIn {
        /// `key:signature`.
        auth: Cow<'a, str>,
        /// The signed text.
        user_data: Cow<'a, str>,
    },
    /// `pusher:ping`.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// A client event: its name starts with `client-`.
    Event {
        /// Its name.
        name: Cow<'a, str>,
        /// The channel's name, not yet checked.
        channel: Cow<'a, str>,
        /// What it carries.
        data: ClientData<'a>,
    },
}

/// A request to subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The channel's name, not yet checked.
    pub channel: Cow<'a, str>,
    /// `key:signature`, if it is a string at all.
    pub auth: Option<Cow<'a, str>>,
    /// The signed text that describes the member, byte for byte. A value that is neither a string nor null counts as its own JSON text.
    pub channel_data: Option<Cow<'a, str>>,
}

/// The data of a client event (P-8.3).
#[derive(Clone, Debug)]
pub enum ClientData<'a> {
    /// A string: it goes out verbatim.
    Text(Cow<'a, str>),
    /// Any other value, explicit null included: it goes out as its compact JSON text.
    Json(Cow<'a, RawValue>),
}

/// The members that count, at the top of every message. A member named twice is refused: readers do not agree which one counts.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "some")]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    data: Option<&'a RawValue>,
}

/// The members of `data` that count, of all events together.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    #[serde(borrow)]
    channel_data: Option<&'a RawValue>,
    #[serde(borrow)]
    user_data: Option<&'a RawValue>,
}

/// Reads a message of a client. Borrows from `message` all that is not escaped in it.
///
/// # Errors
/// [`DecodeError`] if the message is to be refused (P-3.3).
pub fn decode_client(message: &str) -> Result<ClientMessage<'_>, DecodeError> {
    if !is_object(message) {
        return Err(DecodeError::Malformed);
    }
    let Frame { event, channel, data } = serde_json::from_str(message).map_err(|_| DecodeError::Malformed)?;
    if event.starts_with("client-") {
        return client_event(event, channel, data);
    }
    let needs = match event.as_ref() {
        // Nothing in their data is used, so nothing in it can be wrong.
        "pusher:ping" => return Ok(ClientMessage::Ping),
        "pusher:pong" => return Ok(ClientMessage::Pong),
        "pusher:subscribe" | "pusher:unsubscribe" => "an object as `data` with a string `channel`",
        "pusher:signin" => "an object as `data` with strings `auth` and `user_data`",
        _ => return Err(DecodeError::UnknownEvent { event: event.into_owned() }),
    };
    let message = match data.and_then(object) {
        Some(Cow::Borrowed(json)) => known(&event, json),
        Some(Cow::Owned(json)) => known(&event, &json).map(ClientMessage::into_owned),
        None => None,
    };
    message.ok_or_else(|| DecodeError::Unusable { event: event.into_owned(), needs })
}

fn client_event<'a>(
    name: Cow<'a, str>,
    channel: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
) -> Result<ClientMessage<'a>, DecodeError> {
    let data = match data {
        Some(data) if data.get().starts_with('"') => text(data).map(ClientData::Text),
        Some(data) => Some(ClientData::Json(Cow::Borrowed(data))),
        None => None,
    };
    match (channel.and_then(text), data) {
        (Some(channel), Some(data)) => Ok(ClientMessage::Event { name, channel, data }),
        _ => Err(DecodeError::Unusable { event: name.into_owned(), needs: "a string `channel` and `data`" }),
    }
}

/// One of the events whose `data` matters.
fn known<'a>(event: &str, data: &'a str) -> Option<ClientMessage<'a>> {
    let Fields { channel, auth, channel_data, user_data } = serde_json::from_str(data).ok()?;
    Some(match event {
        "pusher:subscribe" => ClientMessage::Subscribe(Subscribe {
            channel: text(channel?)?,
            auth: auth.and_then(text),
            channel_data: match channel_data {
                Some(value) if value.get().starts_with('"') => Some(text(value)?),
                value => value.map(|value| Cow::Borrowed(value.get())),
            },
        }),
        "pusher:unsubscribe" => ClientMessage::Unsubscribe { channel: text(channel?)? },
        _ => ClientMessage::SignIn { auth: text(auth?)?, user_data: text(user_data?)? },
    })
}

impl ClientMessage<'_> {
    /// The same, without borrowing.
    #[must_use]
    pub fn into_owned(self) -> ClientMessage<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Subscribe(Subscribe { channel, auth, channel_data }) => {
                ClientMessage::Subscribe(Subscribe { channel: own(channel), auth: auth.map(own), channel_data: channel_data.map(own) })
            }
            Self::Unsubscribe { channel } => ClientMessage::Unsubscribe { channel: own(channel) },
            Self::SignIn { auth, user_data } => ClientMessage::SignIn { auth: own(auth), user_data: own(user_data) },
            Self::Ping => ClientMessage::Ping,
            Self::Pong => ClientMessage::Pong,
            Self::Event { name, channel, data } => ClientMessage::Event {
                name: own(name),
                channel: own(channel),
                data: match data {
                    ClientData::Text(text) => ClientData::Text(own(text)),
                    ClientData::Json(json) => ClientData::Json(Cow::Owned(json.into_owned())),
                },
            },
        }
    }
}

/// Appends `message` as a client sends it.
pub fn encode_client(message: &ClientMessage<'_>, out: &mut Vec<u8>) {
    match message {
        ClientMessage::Subscribe(Subscribe { channel, auth, channel_data }) => {
            out.extend_from_slice(br#"{"event":"pusher:subscribe","data":{"channel":"#);
            write_string(channel, out);
            for (name, value) in [(r#","auth":"#, auth), (r#","channel_data":"#, channel_data)] {
                if let Some(value) = value {
                    out.extend_from_slice(name.as_bytes());
                    write_string(value, out);
                }
            }
            out.extend_from_slice(b"}}");
        }
        ClientMessage::Unsubscribe { channel } => {
            out.extend_from_slice(br#"{"event":"pusher:unsubscribe","data":{"channel":"#);
            write_string(channel, out);
            out.extend_from_slice(b"}}");
        }
        ClientMessage::SignIn { auth, user_data } => {
            out.extend_from_slice(br#"{"event":"pusher:signin","data":{"auth":"#);
            write_string(auth, out);
            out.extend_from_slice(br#","user_data":"#);
            write_string(user_data, out);
            out.extend_from_slice(b"}}");
        }
        ClientMessage::Ping => out.extend_from_slice(br#"{"event":"pusher:ping","data":{}}"#),
        ClientMessage::Pong => out.extend_from_slice(br#"{"event":"pusher:pong","data":{}}"#),
        ClientMessage::Event { name, channel, data } => {
            out.extend_from_slice(br#"{"event":"#);
            write_string(name, out);
            out.extend_from_slice(br#","channel":"#);
            write_string(channel, out);
            out.extend_from_slice(br#","data":"#);
            match data {
                ClientData::Text(text) => write_string(text, out),
                ClientData::Json(json) => out.extend_from_slice(json.get().as_bytes()),
            }
            out.push(b'}');
        }
    }
}
