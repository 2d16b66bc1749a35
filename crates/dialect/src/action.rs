//! The words that all dialects share: what a session is told, and what it wants done.

use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, Joined, Member, MemberList, Position, Publish, Refused, Since, SocketId, Watched};

/// What a session is told. The connection feeds one input, performs all [`Action`]s it gave rise to, and only then feeds the next.
#[derive(Debug)]
pub enum Input<'a> {
    /// The handshake is through and nothing has been sent yet.
    Opened,
    /// A text message of the peer.
    Text(&'a str),
    /// A binary message of the peer.
    Binary(&'a [u8]),
    /// A message of the peer that is no text, where the transport's messages can be other values (S-3.7).
    NotText,
    /// A ping frame of the peer. The transport has queued the pong frame.
    Ping,
    /// A pong frame of the peer, with its payload.
    Pong(&'a [u8]),
    /// The hub's answer to [`Action::Subscribe`] or [`Action::Refresh`]; the subscription is in force.
    Subscribed {
        /// The channel.
        channel: &'a ChannelName,
        /// What the subscriber finds there, or why it may not.
        answer: Result<Joined, Refused>,
    },
    /// [`Action::Unsubscribe`] is done: the connection is not on the channel any more.
    Unsubscribed(&'a ChannelName),
    /// The answer to [`Action::Ask`].
    Answered(Result<Answer, Unanswered>),
    /// All that was queued before [`Action::Await`] is taken.
    Taken,
    /// The answer to [`Action::Command`].
    Commanded(Result<Reply, CommandFailed>),
    /// An event of [`Action::Store`], or of [`Action::Publish`] on a channel whose events are stored, could not be, and nobody got it.
    NotStored {
        /// Its channel.
        channel: &'a ChannelName,
        /// Its name.
        event: &'a str,
        /// A sentence for the peer.
        why: &'a str,
    },
    /// A channel that follows others follows one more from now on, or one less.
    Follow {
        /// The channel, which the connection is on.
        channel: &'a ChannelName,
        /// What is followed.
        alias: &'a ChannelName,
        /// Whether from now on, or no more.
        added: bool,
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
    /// The app has all the authorised connections it may have, or the token of a relay (W-4.1).
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
    /// Queue this binary message.
    SendBinary(Bytes),
    /// Queue a ping frame with this payload.
    Ping(&'static [u8]),
    /// Queue an empty pong frame that nobody asked for (W-8.1).
    Pong,
    /// Join a channel, then feed [`Input::Subscribed`].
    Subscribe(Join),
    /// Say something else of oneself on a channel that the connection is on, then feed [`Input::Subscribed`].
    Refresh(Join),
    /// Leave a channel that the connection is on, then feed [`Input::Unsubscribed`].
    Unsubscribe(ChannelName),
    /// Publish a client event that passed all checks.
    Publish(Publish),
    /// Store a client event that passed all checks, then publish it; if it cannot be stored, feed [`Input::NotStored`]. Whoever performs
    /// it stamps it.
    Store(Publish),
    /// Ask the store, then feed [`Input::Answered`]. Until then no message of the peer is fed, so that each sees what the one before did.
    Ask(Question),
    /// The same, once the peer has taken all that is queued.
    AskThen(Question),
    /// Feed [`Input::Taken`] when the peer has taken all that is queued.
    Await,
    /// Run a command that the operator added, then feed [`Input::Commanded`]. Until then no message of the peer is fed (Y-9.5).
    Command(Command),
    /// Queue this text message for another connection of the same app and dialect, if there is one.
    SendTo {
        /// The connection, on whichever shard.
        socket: SocketId,
        /// The message.
        message: Bytes,
    },
    /// From here on name a channel that the connection is on like this in what the channel brings (Y-5.4).
    Spell {
        /// The channel.
        channel: ChannelName,
        /// How this connection is to be told of it.
        spelling: Arc<str>,
    },
    /// Keep back what channels bring, until [`Action::Release`]: a confirmation is to come before it.
    Hold,
    /// Let go what was kept back.
    Release,
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
    pub member: Option<Arc<Member>>,
    /// Whether it wants to be told of members that come and go, and of counts.
    pub notices: bool,
    /// From where it reads, if it may be cut off and come back.
    pub since: Option<Since>,
}

/// What a session asks the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The channels that a user follows, and those that followed personal channels lead to; at most so many.
    Follows {
        /// The user.
        user_id: Arc<str>,
        /// More than these are an error.
        max: u32,
    },
    /// The stored events of a channel, the newest first.
    Latest {
        /// The channel.
        channel: ChannelName,
        /// How many to pass over.
        skip: u32,
        /// How many to tell.
        count: u32,
    },
    /// The stored events that a user is owed, the newest first.
    Personal {
        /// The user.
        user_id: Arc<str>,
        /// How many to pass over.
        skip: u32,
        /// How many to tell.
        count: u32,
    },
    /// Where in the store those are who have read channels up to a position.
    Trace {
        /// The channels, each with its reader's position.
        positions: Vec<(ChannelName, Position)>,
    },
    /// What a channel has stored behind a place, the oldest first: some of it.
    Behind {
        /// The channel.
        channel: ChannelName,
        /// The place.
        place: StorePlace,
        /// What has a later serial in the same run is told by others.
        until: Position,
    },
}

/// A place in the store, behind which all that is stored later is. It says nothing outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePlace(pub i64);

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Follows`]: each user that was reached, the one asked for first, with the channels it follows in the order in which that
    /// began.
    Follows(Vec<(Arc<str>, Vec<ChannelName>)>),
    /// To [`Question::Latest`] and [`Question::Personal`]: the JSON text of the list of events, in the dialect's form.
    Events(Bytes),
    /// To [`Question::Trace`], in its order: the place behind which all is stored that came after the position; `None` where that cannot be said.
    Traced(Vec<Option<StorePlace>>),
    /// To [`Question::Behind`]; `None` if some of it is not stored any more.
    Behind(Option<Page>),
}

/// Some of what a channel has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In their order.
    pub events: Vec<StoredEvent>,
    /// Where to go on, if there may be more.
    pub next: Option<StorePlace>,
}

/// A stored event of a channel that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stood in its channel, in its run of a server.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Bytes,
}

/// Why the store says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// There is more than was to be told.
    #[error("there are more than {max}")]
    TooMany {
        /// What was to be told at most.
        max: u32,
    },
    /// It is away, or none is configured.
    #[error("{0}")]
    Unavailable(String),
}

/// A command that the operator added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name, in lower case.
    pub name: String,
    /// What came with it: a JSON text as it was sent.
    pub data: Bytes,
}

/// What a command wants done, in this order (Y-9.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For the caller: names of events and their data, JSON texts.
    pub reply: Vec<(String, Bytes)>,
    /// For channels.
    pub broadcast: Vec<Broadcast>,
    /// For other connections: the name of an event and its data, a JSON text.
    pub send: Vec<(SocketId, String, Bytes)>,
    /// Channels that the caller is to leave, as the command wrote them.
    pub unsubscribe: Vec<String>,
    /// The end of the caller's connection.
    pub close: Option<Close>,
}

/// An event that a command publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Where.
    pub channel: ChannelName,
    /// Its name.
    pub event: String,
    /// Its data, a JSON text.
    pub data: Bytes,
    /// Whether the caller is left out.
    pub except: bool,
}

/// A command that failed, and what its caller is told (Y-9.6, Y-9.8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CommandFailed {
    /// A short code.
    pub code: Cow<'static, str>,
    /// A sentence that holds nothing of what was answered.
    pub message: Cow<'static, str>,
}

impl Default for CommandFailed {
    fn default() -> Self {
        Self { code: "500".into(), message: "Command failed".into() }
    }
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
    /// How many it has.
    fn count(&self) -> usize;
    /// The members of a channel now, whoever asks.
    fn members(&self, channel: &str) -> Arc<MemberList>;
    /// Whether two users of a presence channel have a channel of their own now (I-2.10).
    fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool;
    /// Whether anybody is on a channel: unless the implementor knows more, whether this connection is.
    fn exists(&self, channel: &str) -> bool {
        self.find(channel).is_some()
    }
    /// How the first one on the channel's roll wrote its name, see [`tidings_hub::Channels::spelling`].
    fn spelling(&self, _channel: &str) -> Option<Arc<str>> {
        None
    }
}

/// One subscription of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The channel, which can be cloned for the cost of a counter.
    pub channel: &'a ChannelName,
    /// The member that the connection is there.
    pub member: Option<&'a Arc<Member>>,
}
