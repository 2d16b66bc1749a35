//! What a connection tells its owner.

use crate::{ConnectionError, PresenceMember, SignInError, SubscriptionError, UndecryptableError};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Something a connection's owner may want to know, told in the order in which it happened. No event of a channel is told before its
/// [`Notice::Subscribed`], on each connection anew (P-3.8). Texts are what the server sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An attempt to connect begins.
    Connecting,
    /// The server confirmed the connection; all subscriptions are being asked for.
    Connected {
        /// The connection's public name.
        socket_id: String,
        /// After how much silence the server is pinged: the smaller of the server's wish and our own (P-16.9).
        activity_timeout: Duration,
    },
    /// There has been no connection for [`Options::unavailable_timeout`](crate::Options::unavailable_timeout). It is tried on.
    Unavailable,
    /// A subscription is in force.
    Subscribed {
        /// The channel.
        channel: String,
        /// Who is there, on a presence channel, this connection's own user included.
        members: Option<Vec<PresenceMember>>,
        /// Who this connection is there, on a presence channel.
        me: Option<String>,
    },
    /// A subscription was not made. It is asked for again on the next connection. The server may send a [`Notice::Error`] that says the
    /// same.
    Refused {
        /// The channel.
        channel: String,
        /// Why.
        why: SubscriptionError,
    },
    /// Somebody published an event.
    Event(Event),
    /// An event of an encrypted channel could not be read, not even with a secret fetched anew (P-9.7). It is lost.
    Undecryptable {
        /// The channel.
        channel: String,
        /// The event's name.
        name: String,
        /// Why.
        why: UndecryptableError,
    },
    /// A user came into a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// The user.
        member: PresenceMember,
    },
    /// The last connection of a user left a presence channel.
    MemberRemoved {
        /// The channel.
        channel: String,
        /// The user.
        user_id: String,
    },
    /// The number of subscribers of a channel changed; told only where the app has it switched on (P-14.1).
    SubscriptionCount {
        /// The channel.
        channel: String,
        /// How many there are.
        count: u32,
    },
    /// A cache channel has no event to start with (P-13.4).
    CacheMiss {
        /// The channel.
        channel: String,
    },
    /// The connection is signed in (P-15.3). It is subscribed to the user's own channel next.
    SignedIn {
        /// The user.
        user_id: String,
        /// What was signed: a JSON object.
        user_data: String,
    },
    /// The connection is not signed in. It is tried again on the next connection.
    SignInFailed {
        /// Why.
        why: SignInError,
    },
    /// Users on the watchlist came or went (P-15.9).
    Watchlist {
        /// Who is there now.
        online: Vec<String>,
        /// Who is not.
        offline: Vec<String>,
    },
    /// The server reports an error. A connection that it ends by one is lost right after.
    Error {
        /// The server's code; none if the connection stays as it is (P-17.5).
        code: Option<u16>,
        /// The reason.
        message: String,
    },
    /// After [`SendError::Full`](crate::SendError::Full): all that was sent before has left, so there is room again.
    Room,
    /// The server asked whether we are there. It is answered already.
    Ping,
    /// The server answered a ping.
    Pong,
    /// The server sent a message that no Pusher-compatible server should send.
    Unreadable {
        /// The message.
        text: String,
    },
    /// The connection is lost, and will be tried again.
    Lost {
        /// Why.
        why: ConnectionError,
        /// After how long it is tried again. [`Connection::connect`](crate::Connection::connect) does not wait for that.
        retry_in: Duration,
    },
}

/// An event of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub channel: String,
    /// What.
    pub name: String,
    /// The data: any text, usually JSON.
    pub data: String,
    /// Who sent it, if that was a member of a presence channel (P-8.3).
    pub user_id: Option<String>,
}

impl Event {
    /// The data as a value of yours.
    ///
    /// # Errors
    /// [`DataError`] if the data is not the JSON of such a value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        serde_json::from_str(&self.data).map_err(|cause| DataError { event: self.clone(), cause })
    }
}

/// The data of an event is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the data of event {:?} on {} cannot be read as asked: {cause}", event.name, event.channel)]
pub struct DataError {
    /// The event as it came.
    pub event: Event,
    /// What is wrong with its data.
    pub cause: serde_json::Error,
}
