//! The words that all dialects share: what a session is told, and what it wants done.

use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, Joined, Member, Publish, Refused, Watched};

/// What a session is told. The connection feeds one input, performs all [`Action`]s it gave rise to, and only then feeds the next.
#[derive(Debug)]
pub enum Input<'a> {
    /// The handshake is through and nothing has been sent yet.
    Opened,
    /// A text message of the peer.
    Text(&'a str),
    /// A binary message of the peer.
    Binary,
    /// A ping frame of the peer. The transport has queued the pong frame.
    Ping,
    /// A pong frame of the peer, with its payload.
    Pong(&'a [u8]),
    /// The hub's answer to [`Action::Subscribe`]; the subscription is in force.
    Subscribed {
        /// The channel.
        channel: &'a ChannelName,
        /// What the subscriber finds there, or why it may not.
        answer: Result<Joined, Refused>,
    },
    /// The hub's answer to [`Action::SignIn`].
    SignedIn(Watched),
    /// Somebody whom this connection watches came or went.
    Watched {
        /// The user.
        user_id: &'a str,
        /// Whether the user came.
        online: bool,
    },
    /// The app's settings changed; they hold from now on.
    Reloaded(Arc<App>),
    /// The server ends the connection.
    End(End),
    /// The time is [`crate::pusher::Session::next_timeout`] or later.
    Tick,
}

/// Why the server ends a connection; each dialect has its own code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server stops.
    Draining,
    /// The app was disabled or removed.
    AppDisabled,
    /// The key by which the connection came in is gone.
    KeyGone,
    /// The app has all the authorised connections it may have.
    OverQuota,
    /// The API terminated the connections of the signed-in user.
    Terminated,
    /// The peer does not take what it is sent.
    TooSlow,
    /// A fault of the server that this connection pays for.
    Fault,
}

/// What a session wants done, in order.
#[derive(Debug)]
pub enum Action {
    /// Queue this text message.
    Send(Bytes),
    /// Queue a ping frame.
    Ping,
    /// Join a channel, then feed [`Input::Subscribed`].
    Subscribe(Join),
    /// Leave a channel that the connection is on.
    Unsubscribe(ChannelName),
    /// Publish a client event that passed all checks.
    Publish(Publish),
    /// Bind the connection to a user, then feed [`Input::SignedIn`].
    SignIn(SignIn),
    /// Count the connection as authorised from now on (P-15.12).
    Authorized,
    /// Send what is queued, then close with this code; take no further input.
    Close(Close),
}

/// The actions of one input. The connection owns it and reuses it, so that an idle session holds none.
pub type Actions = VecDeque<Action>;

/// A subscription that is authorised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The channel.
    pub channel: ChannelName,
    /// The member to show, on a presence channel.
    pub member: Option<Member>,
}

/// A sign-in that is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The user.
    pub user_id: Arc<str>,
    /// Distinct users it wants to be told of.
    pub watchlist: Vec<Arc<str>>,
}

/// How a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The WebSocket close code.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: Cow<'static, str>,
}

/// What a session may ask about its own connection.
pub trait Subscriptions {
    /// The connection's subscription to `channel`, if it has one.
    fn find(&self, channel: &str) -> Option<Subscription<'_>>;
}

/// One subscription of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The channel, which can be cloned for the cost of a counter.
    pub channel: &'a ChannelName,
    /// The member id, on a presence channel.
    pub user_id: Option<&'a Arc<str>>,
}
