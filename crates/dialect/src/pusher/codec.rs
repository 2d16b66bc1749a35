//! Frames in both directions: what clients say, what the server says, and the text of a channel's event.

mod client;
mod server;

pub use client::{ClientData, ClientMessage, Subscribe, decode_client, encode_client};
pub use server::{PresenceMember, ServerMessage, decode_server};

use std::borrow::Cow;
use std::sync::Arc;
use tidings_hub::{Body, Event, Member, Source};

use super::name::Kind;

/// Why a text is no message of the protocol (P-3.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON, not an object, names a member twice, or has no string `event`.
    #[error("a message is a JSON object with a string `event` and no member twice")]
    Malformed,
    /// Nobody knows the event.
    #[error("unknown event {event:?}; client events start with `client-`")]
    UnknownEvent {
        /// Its name.
        event: String,
    },
    /// A member that the event needs is missing or of the wrong type.
    #[error("{event:?} needs {needs}")]
    Unusable {
        /// The event's name.
        event: String,
        /// What it needs.
        needs: &'static str,
    },
}

/// Pusher's clients do not get an event: its data is not UTF-8, or it is about a channel's roll, which they know nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is nothing for clients of Pusher")]
pub struct NotText;

/// Appends the message that tells Pusher's subscribers of `event` (P-3.7).
///
/// # Errors
/// [`NotText`] if it is nothing for them: nothing is appended, and the caller skips the event.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) -> Result<(), NotText> {
    encode_body(event.channel.as_str(), &event.body, out)
}

/// As [`encode_event`], for what happened on `channel`.
///
/// # Errors
/// As [`encode_event`].
pub fn encode_body(channel: &str, body: &Body, out: &mut Vec<u8>) -> Result<(), NotText> {
    let channel = Cow::Borrowed(channel);
    let message = match body {
        Body::Published { name, data, source, .. } => ServerMessage::Event {
            name: Cow::Borrowed(name),
            data: Cow::Borrowed(std::str::from_utf8(data).map_err(|_| NotText)?),
            user_id: sender(&channel, source),
            channel: Some(channel),
        },
        Body::MemberAdded(member) => ServerMessage::MemberAdded { channel, member: PresenceMember::of(member)? },
        Body::MemberRemoved(member) => ServerMessage::MemberRemoved { channel, user_id: Cow::Borrowed(&member.user_id) },
        Body::Enrolled(_) | Body::Struck(_) | Body::Gap => return Err(NotText),
        Body::SubscriptionCount(count) => ServerMessage::SubscriptionCount { channel, count: *count },
    };
    message.encode_into(out);
    Ok(())
}

/// The `user_id` of a client event: on presence channels only (P-8.3).
fn sender<'a>(channel: &str, source: &'a Source) -> Option<Cow<'a, str>> {
    match source {
        Source::Client { user_id: Some(user_id), .. } if Kind::of(channel) == Kind::Presence => Some(Cow::Borrowed(user_id)),
        _ => None,
    }
}

impl<'a> PresenceMember<'a> {
    fn of(member: &'a Member) -> Result<Self, NotText> {
        let user_info = member.user_info.as_deref().map(std::str::from_utf8).transpose().map_err(|_| NotText)?;
        Ok(Self { user_id: Cow::Borrowed(&member.user_id), user_info: user_info.map(Cow::Borrowed) })
    }

    /// The members as they are shown; one whose information is not UTF-8 has none.
    pub(super) fn list(members: &'a [Arc<Member>]) -> Vec<Self> {
        members.iter().map(|member| Self::of(member).unwrap_or(Self { user_id: Cow::Borrowed(&member.user_id), user_info: None })).collect()
    }
}

#[cfg(test)]
mod tests;
