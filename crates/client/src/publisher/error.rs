//! What can go wrong between a backend and a server, one enum per operation.

use crate::error::told;
use crate::{DialError, ServerUrl};
use std::time::Duration;
use tidings_dialect::pusher::member::BadMember;
use tidings_dialect::pusher::name::BadName;

/// Why a call of the HTTP API did not succeed. Nothing is tried a second time by itself (P-20.16).
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The call breaks a rule of every server, so it was not sent.
    #[error(transparent)]
    Bad(#[from] BadCall),
    /// There is no stream to the server.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The request failed on its way. What it asks for may or may not have been done.
    #[error("no answer from {url}: {reason}; what was asked for may or may not have been done")]
    NoAnswer {
        /// The server.
        url: ServerUrl,
        /// Why.
        reason: String,
    },
    /// The server refused.
    #[error("the server answered {status}{}{}", told(text), refusal_advice(*status))]
    Refused {
        /// The status.
        status: http::StatusCode,
        /// The body without its last line break, maybe empty.
        text: String,
    },
    /// The server answered with something else than was asked for.
    #[error("the server's answer is not understood: {reason}; is there a Pusher-compatible server at this address?")]
    NotUnderstood {
        /// What is wrong with it.
        reason: String,
        /// The answer.
        text: String,
    },
}

/// Why a call is not sent: it breaks a rule that no server has as a setting, or it would put out in clear what is to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCall {
    /// P-18.4
    #[error("an event goes to 1 to 100 channels at once, not to {count}; publish it in several calls")]
    ChannelCount {
        /// How many there are.
        count: usize,
    },
    /// P-4.1
    #[error("channel {channel:?} cannot be used: {reason}")]
    Channel {
        /// The name.
        channel: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// P-11.8
    #[error("only presence channels have users, and {channel} is none; its name must start with presence-")]
    NoPresence {
        /// The channel.
        channel: String,
    },
    /// P-11.1
    #[error("an event needs a name of 1 to 200 characters, and it has {chars}")]
    EventName {
        /// How many it has.
        chars: usize,
    },
    /// P-3.10
    #[error("the event name {name} belongs to the server; take one that does not start with pusher:, pusher_internal: or tidings:")]
    ReservedEvent {
        /// The name.
        name: String,
    },
    /// The data cannot be written as JSON.
    #[error("the data cannot be written as JSON: {reason}")]
    Data {
        /// Why.
        reason: String,
    },
    /// P-11.1
    #[error("{socket_id:?} is no socket id, which is two decimal numbers with a dot between; give the one that the client was told")]
    SocketId {
        /// The text.
        socket_id: String,
    },
    /// P-18.9, and for events to a user P-15.7
    #[error("{user_id:?} cannot be used as a user id here: {reason}")]
    UserId {
        /// The id.
        user_id: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// P-18.5
    #[error("a batch holds 1 to 10 events, not {count}; publish it in several calls")]
    BatchSize {
        /// How many there are.
        count: usize,
    },
    /// P-9.5: each encrypted channel has a secret of its own.
    #[error("an event for the encrypted channel {channel} goes to no other channel with it; publish to each by itself, or all in a batch")]
    EncryptedWithOthers {
        /// The first encrypted channel.
        channel: String,
    },
    /// P-9.1: what is published there must be sealed first.
    #[error("channel {channel} is encrypted: give the encryption master key")]
    MasterKeyNeeded {
        /// The channel.
        channel: String,
    },
    /// The address of the call is none.
    #[error("{path:?} is no path of a call; write what follows the app's id, such as /channels, percent-encoded and without a query")]
    Path {
        /// The path.
        path: String,
    },
    /// The parameter is the signature's (P-10.5).
    #[error("the parameter {name} is set by the signature; leave it out")]
    Parameter {
        /// Its name.
        name: String,
    },
}

/// Why nothing is signed for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// P-2.6: the client sent something else. Answer it with 400.
    #[error("{socket_id:?} is no socket id, which is two decimal numbers with a dot between; the client must send the one it was told")]
    SocketId {
        /// The text.
        socket_id: String,
    },
    /// P-4.1: the client sent something else. Answer it with 400.
    #[error("{channel:?} is no channel: {reason}")]
    Channel {
        /// The name.
        channel: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// P-7.2: no server would let the member in.
    #[error("this member cannot join a presence channel: {0}")]
    Member(#[from] BadMember),
    /// P-15.1: no server would let the user sign in.
    #[error("the user {user_id:?} cannot sign in: {reason}")]
    User {
        /// The id.
        user_id: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The subscriber needs the channel's secret (P-6.7), which is derived from the master key.
    #[error("channel {channel} is encrypted: give the publisher the encryption master key")]
    MasterKeyNeeded {
        /// The channel.
        channel: String,
    },
}

/// Why a request is no webhook of ours. Answer it with 401, or 400 if it is genuine and only not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// P-12.1
    #[error("a webhook's content type is application/json, not {content_type:?}")]
    ContentType {
        /// What it is.
        content_type: String,
    },
    /// P-12.1
    #[error("the webhook is signed with the key {key:?}, which is not among those given; give all keys of the app")]
    UnknownKey {
        /// The key; empty if the header is missing.
        key: String,
    },
    /// P-12.3
    #[error("the webhook's signature is wrong: its body was changed, or it was signed with another secret; check the body as it came in")]
    WrongSignature,
    /// It is genuine, but no webhook as Pusher sends them (P-12.2).
    #[error("the webhook is genuine but not understood: {reason}")]
    NotUnderstood {
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody may be sending an old one again.
    #[error("the webhook is {age:?} old, and {max:?} is the most allowed; check the clocks")]
    TooOld {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        max: Duration,
    },
}

/// Why a text names no cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cluster:?} names no cluster of Pusher's; write its short name, such as mt1 or eu")]
pub struct BadCluster {
    /// The text.
    pub cluster: String,
}

fn refusal_advice(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "\ncheck the app id, the key, the secret, and the clock of this machine",
        404 => "\ncheck the address, its path prefix and the app id",
        _ => "",
    }
}
