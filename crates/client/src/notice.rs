//! What a connection tells its owner.

use crate::ConnectionError;
use std::time::Duration;
use tidings_hub::Member;

/// Something a connection's owner may want to know. Texts are what the server sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An attempt to connect begins.
    Connecting,
    /// The server confirmed the connection; all subscriptions are asked for.
    Connected {
        /// The connection's public name.
        socket_id: String,
    },
    /// A subscription is in force.
    Subscribed {
        /// The channel.
        channel: String,
        /// Who is there, on a presence channel, this connection's own user included.
        members: Option<Vec<Member>>,
    },
    /// The server refused a subscription. It may send a [`Notice::Error`] that says the same.
    Refused {
        /// The channel.
        channel: String,
        /// The server's number for the reason, close to the HTTP statuses.
        status: Option<u16>,
        /// The reason.
        message: String,
    },
    /// Somebody published an event.
    Event(Event),
    /// A user came into a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// The user.
        member: Member,
    },
    /// The last connection of a user left a presence channel.
    MemberRemoved {
        /// The channel.
        channel: String,
        /// The user.
        user_id: String,
    },
    /// The number of subscribers of a channel changed.
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
    /// The server reports an error. A connection that it ends by one is lost right after.
    Error {
        /// The server's code; none if the connection stays as it is (P-17.5).
        code: Option<u16>,
        /// The reason.
        message: String,
    },
    /// The server sent a message that no Pusher-compatible server should send.
    Unreadable {
        /// The message.
        text: String,
    },
    /// The connection is lost, and will be tried again.
    Lost {
        /// Why.
        why: ConnectionError,
        /// When it is tried again.
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
    /// The publisher's text. If the server sent another JSON value than a string, that as compact JSON.
    pub data: String,
    /// Who sent it, for a client event on a presence channel.
    pub user_id: Option<String>,
}
