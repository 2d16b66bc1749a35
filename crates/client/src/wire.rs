//! What the client reads and writes, between the codec of the dialect and the words of this crate.

use crate::subscription::Proof;
use crate::{Event, Notice};
use std::borrow::Cow;
use std::time::Duration;
use tidings_dialect::pusher::codec::{self, ClientMessage, PresenceMember, ServerMessage, Subscribe};
use tidings_hub::{ChannelName, Member};

/// A message of the server.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The connection is confirmed.
    Established { socket_id: String, activity_timeout: Option<Duration> },
    /// An error that names no channel.
    Error { code: Option<u16>, message: String },
    /// To be answered.
    Ping,
    /// Not to be answered.
    Pong,
    /// Anything else means nothing to the connection.
    Notice(Notice),
}

/// Reads a message of the server.
pub(crate) fn decode(text: &str) -> Incoming {
    let notice = match codec::decode_server(text) {
        Ok(ServerMessage::ConnectionEstablished { socket_id, activity_timeout }) => {
            return Incoming::Established {
                socket_id: socket_id.into_owned(),
                // Zero would mean to ping all the time.
                activity_timeout: activity_timeout.filter(|secs| *secs > 0).map(Duration::from_secs),
            };
        }
        Ok(ServerMessage::Error { code, message }) => return Incoming::Error { code, message: message.into_owned() },
        Ok(ServerMessage::Ping) => return Incoming::Ping,
        Ok(ServerMessage::Pong) => return Incoming::Pong,
        Ok(ServerMessage::SubscriptionSucceeded { channel, members }) => {
            Notice::Subscribed { channel: channel.into_owned(), members: members.map(|members| members.into_iter().map(member).collect()) }
        }
        Ok(ServerMessage::SubscriptionError { channel, error, status, .. }) => Notice::Refused {
            channel: channel.into_owned(),
            status: Some(status).filter(|status| *status > 0),
            message: error.into_owned(),
        },
        Ok(ServerMessage::MemberAdded { channel, member: added }) => {
            Notice::MemberAdded { channel: channel.into_owned(), member: member(added) }
        }
        Ok(ServerMessage::MemberRemoved { channel, user_id }) => {
            Notice::MemberRemoved { channel: channel.into_owned(), user_id: user_id.into_owned() }
        }
        Ok(ServerMessage::SubscriptionCount { channel, count }) => Notice::SubscriptionCount { channel: channel.into_owned(), count },
        Ok(ServerMessage::CacheMiss { channel }) => Notice::CacheMiss { channel: channel.into_owned() },
        Ok(ServerMessage::Event { name, channel: Some(channel), data, user_id }) => Notice::Event(Event {
            channel: channel.into_owned(),
            name: name.into_owned(),
            data: data.into_owned(),
            user_id: user_id.map(Cow::into_owned),
        }),
        // Nobody here signs in, and an event without a channel is nobody's.
        Ok(ServerMessage::SignedIn { .. } | ServerMessage::Watchlist { .. } | ServerMessage::Event { channel: None, .. }) | Err(_) => {
            Notice::Unreadable { text: text.to_owned() }
        }
    };
    Incoming::Notice(notice)
}

fn member(member: PresenceMember<'_>) -> Member {
    Member { user_info: member.user_info.map(|info| info.into_owned().into()), ..Member::new(&*member.user_id) }
}

/// `pusher:ping`.
pub(crate) fn ping() -> String {
    encode(&ClientMessage::Ping)
}

/// `pusher:pong`.
pub(crate) fn pong() -> String {
    encode(&ClientMessage::Pong)
}

/// `pusher:subscribe`.
pub(crate) fn subscribe(channel: &ChannelName, proof: &Proof<'_>) -> String {
    encode(&ClientMessage::Subscribe(Subscribe {
        channel: channel.as_str().into(),
        auth: proof.auth.as_deref().map(Cow::Borrowed),
        channel_data: proof.channel_data.map(Cow::Borrowed),
    }))
}

fn encode(message: &ClientMessage<'_>) -> String {
    let mut text = Vec::new();
    codec::encode_client(message, &mut text);
    String::from_utf8(text).expect("what is encoded from texts is text")
}
