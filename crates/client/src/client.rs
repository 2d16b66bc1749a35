//! A handle to a connection that a task of its own keeps up, with what happens sorted by channel: streams, callbacks, members.

mod channel;
mod events;
mod listeners;
mod queue;
mod task;

pub use channel::Channel;
pub use events::{Events, Feed, Missed, Problems, States, Typed, TypedError, Watchlist};
pub use listeners::Binding;

use crate::{
    BadOptions, Connection, ConnectionError, Event, NotConnected, Options, SignInError, SubscribeError, SubscriptionError, connection,
};
use listeners::Listeners;
use queue::{Bounds, Queue};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use task::{Command, Living};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

/// How many changes of the state, problems and watchlist changes wait for one reader.
const NEWS_BOUNDS: Bounds = Bounds { items: 1024, bytes: usize::MAX };

/// A client of one app on one server. It connects at once and stays connected, in a task of its own on the runtime where it was made.
/// Handles are cheap to clone. When the last one is dropped, those of its channels and streams included, the connection is closed;
/// callbacks do not keep it, unless they hold a handle.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tidings_client::{Client, Options};
///
/// #[derive(serde::Deserialize)]
/// struct Price { symbol: String, cents: u64 }
///
/// let client = Client::new(Options { host: "127.0.0.1".into(), ws_port: 6001, ..Options::new("app-key") })?;
/// let mut prices = client.subscribe("stocks")?.events_named("new-price").typed::<Price>();
/// while let Some(price) = prices.next().await {
///     let Price { symbol, cents } = price?;
///     println!("{symbol}: {cents}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// A slow reader of one channel holds up nobody else; what waits for it is bounded, and what goes is told ([`Missed`]). Who wants to slow
/// the server down instead reads a [`Connection`].
#[derive(Clone)]
pub struct Client {
    handle: Handle,
}

/// What keeps the task alive.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    /// Unbounded: each command is one call of the program, and what events it sends, it waits for.
    commands: mpsc::UnboundedSender<Command>,
    runtime: runtime::Handle,
}

/// What the task and the handles both see.
pub(crate) struct Shared {
    bounds: Bounds,
    /// Whether somebody signs for channels, and for users.
    signs_channels: bool,
    signs_users: bool,
    channels: Mutex<HashMap<String, Arc<channel::Inner>>>,
    /// Of all channels.
    everything: Arc<Listeners>,
    /// Of the signed-in user's own channel.
    user: Arc<Listeners>,
    state: watch::Sender<Condition>,
    signed_in: watch::Sender<SignedIn>,
    states: News<StateChange>,
    problems: News<Problem>,
    watchlist: News<WatchlistChange>,
}

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not begun.
    Initialized,
    /// There is no connection, and it is worked on.
    Connecting,
    /// There is one.
    Connected,
    /// There has been none for [`Options::unavailable_timeout`], and it is worked on.
    Unavailable,
    /// There is none, and nothing is done about it: it was given up, or disconnected.
    Disconnected,
}

/// A change of the connection's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// What it was.
    pub previous: State,
    /// What it is.
    pub current: State,
    /// Why, if the connection was lost or did not come about.
    pub why: Option<Arc<ConnectionError>>,
}

/// Something that went wrong. Nothing has to be done about it; a program may want to log it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The connection was lost, or did not come about.
    #[error("{0}")]
    Connection(Arc<ConnectionError>),
    /// The server reports an error (P-17.1).
    #[error("the server says{}: {message}", .code.map(|code| format!(" {code}")).unwrap_or_default())]
    Server {
        /// Its code; none if the connection stays as it is.
        code: Option<u16>,
        /// The reason.
        message: String,
    },
    /// There is no subscription to a channel.
    #[error("there is no subscription to {channel}: {why}")]
    Subscription {
        /// The channel.
        channel: String,
        /// Why.
        why: SubscriptionError,
    },
    /// The connection is not signed in.
    #[error("not signed in: {0}")]
    SignIn(SignInError),
    /// An event could not be decrypted, and is lost.
    #[error("event {name} on {channel} is lost, it cannot be decrypted: {why}")]
    Undecryptable {
        /// The channel.
        channel: String,
        /// The event's name.
        name: String,
        /// Why.
        why: crate::UndecryptableError,
    },
    /// Callbacks took so long that events did not reach them.
    #[error("callbacks of {channel} took so long that {count} events did not reach them")]
    Missed {
        /// The channel; `*` for those of the client.
        channel: String,
        /// How many.
        count: u64,
    },
    /// The server sent what no Pusher-compatible server should send.
    #[error("the server sent what cannot be read: {text}")]
    Unreadable {
        /// The message.
        text: String,
    },
}

/// Who came and went among those on the watchlist (P-15.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchlistChange {
    /// Who is there now.
    pub online: Vec<String>,
    /// Who is not.
    pub offline: Vec<String>,
}

/// What the connection is, and by which name.
#[derive(Clone, Debug)]
struct Condition {
    state: State,
    socket_id: Option<String>,
    /// Why it is disconnected, if it was given up.
    why: Option<Arc<ConnectionError>>,
}

#[derive(Clone, Debug)]
enum SignedIn {
    No,
    As(String),
    Failed(SignInError),
}

/// Something that everybody who asks is told.
struct News<T>(Mutex<Readers<T>>);

struct Readers<T> {
    queues: Vec<Arc<Queue<T>>>,
    closed: bool,
}

impl Client {
    /// A client that begins to connect.
    ///
    /// # Errors
    /// [`BadOptions`] says what must be given otherwise; [`BadOptions::NoRuntime`] if it is called outside of a tokio runtime.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        let runtime = runtime::Handle::try_current().map_err(|_| BadOptions::NoRuntime)?;
        let bounds = Bounds { items: options.queue_events, bytes: options.queue_bytes };
        let connection = Connection::new(options)?;
        let (signs_channels, signs_users) = connection.signs();
        let shared = Arc::new(Shared {
            bounds,
            signs_channels,
            signs_users,
            channels: Mutex::default(),
            everything: Arc::default(),
            user: Arc::default(),
            state: watch::Sender::new(Condition { state: State::Initialized, socket_id: None, why: None }),
            signed_in: watch::Sender::new(SignedIn::No),
            states: News::default(),
            problems: News::default(),
            watchlist: News::default(),
        });
        let (commands, orders) = mpsc::unbounded_channel();
        runtime.spawn(task::run(connection, orders, Living(Arc::clone(&shared))));
        Ok(Self { handle: Handle { shared, commands, runtime } })
    }

    /// The state of the connection at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.handle.shared.state.borrow().state
    }

    /// The connection's public name, while there is one. A publisher can leave this connection out by it (P-11.3).
    #[must_use]
    pub fn socket_id(&self) -> Option<String> {
        self.handle.shared.state.borrow().socket_id.clone()
    }

    /// All changes of the state from now on. The latest 1,024 wait for a reader.
    pub fn states(&self) -> States {
        Feed::new(self.handle.shared.states.listen(), self.handle.clone())
    }

    /// All that goes wrong from now on, for a log. The latest 1,024 wait for a reader. When one is told, the state is already what it makes
    /// of it.
    pub fn problems(&self) -> Problems {
        Feed::new(self.handle.shared.problems.listen(), self.handle.clone())
    }

    /// Waits until there is a connection, and gives its public name. While it is tried on, this waits on, however often it fails.
    /// [`Client::connect`] and [`Client::disconnect`] count if they were called before.
    ///
    /// # Errors
    /// [`NotConnected`] if it was given up or disconnected, or the client is closed. [`Client::connect`] tries again.
    pub async fn connected(&self) -> Result<String, NotConnected> {
        self.handle.settled().await;
        let mut state = self.handle.shared.state.subscribe();
        let settled = state.wait_for(|now| matches!(now.state, State::Connected | State::Disconnected)).await;
        // The sender lives as long as the handle.
        let now = settled.map_err(|_| NotConnected::Disconnected)?;
        now.socket_id.clone().ok_or_else(|| NotConnected::because(now.why.clone()))
    }

    /// Has it connect at once, whether it was given up, disconnected, or waits for the next attempt. Returns before that is done;
    /// [`Client::connected`] waits for it.
    pub fn connect(&self) {
        self.handle.order(Command::Connect);
    }

    /// Ends the connection in good order. Subscriptions, streams and callbacks are kept for [`Client::connect`]. Returns before that is
    /// done.
    pub fn disconnect(&self) {
        self.handle.order(Command::Disconnect);
    }

    /// Ends the connection in good order, which takes a second at most, and all streams. Other handles are of no use any more.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.handle.order(Command::Close(done));
        // If the task has ended, it is closed already.
        let _ = closed.await;
    }

    /// Keeps up a subscription to `channel`; one that is there already stays, and one that was refused is asked for anew. What its name
    /// begins with decides what it takes (P-4.2). It returns at once, with or without a connection; [`Channel::subscribed`] waits for the
    /// server. Take streams and bind callbacks before anything is awaited: what comes earlier is not kept.
    ///
    /// # Errors
    /// [`SubscribeError`] says what is missing: nothing is changed.
    pub fn subscribe(&self, channel: &str) -> Result<Channel, SubscribeError> {
        let name = connection::check(channel, self.handle.shared.signs_channels)?;
        let new = || Arc::new(channel::Inner::new(&name));
        let inner = Arc::clone(lock(&self.handle.shared.channels).entry(channel.to_owned()).or_insert_with(new));
        if self.handle.order(Command::Subscribe(name)) {
            return Ok(Channel::new(inner, self.handle.clone()));
        }
        lock(&self.handle.shared.channels).remove(channel);
        Err(SubscribeError::Closed)
    }

    /// Gives the subscription to `channel` up. The streams and callbacks of its [`Channel`] end. Whether there was one.
    pub fn unsubscribe(&self, channel: &str) -> bool {
        let Some(inner) = lock(&self.handle.shared.channels).remove(channel) else {
            return false;
        };
        inner.end();
        self.handle.order(Command::Unsubscribe(channel.to_owned()));
        true
    }

    /// The channel called `name`, if it is subscribed to or to be.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<Channel> {
        let inner = lock(&self.handle.shared.channels).get(name).cloned()?;
        Some(Channel::new(inner, self.handle.clone()))
    }

    /// All channels that are subscribed to or to be, in no order.
    #[must_use]
    pub fn all_channels(&self) -> Vec<Channel> {
        let channels: Vec<_> = lock(&self.handle.shared.channels).values().cloned().collect();
        channels.into_iter().map(|inner| Channel::new(inner, self.handle.clone())).collect()
    }

    /// All events of all channels from now on, in the order in which they came: those that the [`Channel`]s tell of themselves, and those
    /// for the signed-in user, included.
    pub fn events(&self) -> Events {
        Feed::new(self.handle.shared.everything.stream(None, self.handle.shared.bounds), self.handle.clone())
    }

    /// The events called `name` of all channels from now on.
    pub fn events_named(&self, name: &str) -> Events {
        Feed::new(self.handle.shared.everything.stream(Some(name), self.handle.shared.bounds), self.handle.clone())
    }

    /// Has `call` called for all events called `name`, whatever their channel. Callbacks are called one after the other, in the order in
    /// which they were bound, on the client's runtime: see [`Channel::bind`]. Data as a value of yours: [`Event::json`].
    pub fn bind(&self, name: &str, call: impl FnMut(&Event) + Send + 'static) -> Binding {
        self.bound(Some(name), Box::new(call))
    }

    /// The same for all events, as [`Client::events`] has them.
    pub fn bind_all(&self, call: impl FnMut(&Event) + Send + 'static) -> Binding {
        self.bound(None, Box::new(call))
    }

    /// Ends what [`Client::bind`] or [`Client::bind_all`] began. Whether it was bound.
    pub fn unbind(&self, binding: Binding) -> bool {
        self.handle.shared.everything.unbind(binding)
    }

    fn bound(&self, name: Option<&str>, call: listeners::Call) -> Binding {
        self.handle.bind(&self.handle.shared.everything, name, "*", call)
    }

    /// Signs in, on this connection and all that follow (P-15.1): as [`Options::user_data`] with the secret, or as whom the
    /// [`Options::user_auth_endpoint`] says. Returns before that is done; [`Client::signed_in`] waits for it. There is no signing out but
    /// by disconnecting (P-15.5).
    ///
    /// # Errors
    /// [`SignInError::NobodySigns`] if neither is given, [`SignInError::Closed`] if the client is closed.
    pub fn sign_in(&self) -> Result<(), SignInError> {
        if !self.handle.shared.signs_users {
            return Err(SignInError::NobodySigns);
        }
        if self.handle.order(Command::SignIn) { Ok(()) } else { Err(SignInError::Closed) }
    }

    /// Waits until the connection is signed in, and gives the user's id. What a server says that refuses is in [`Client::problems`]
    /// (P-15.2); this ends with [`SignInError::Unconfirmed`] then, after 10 s.
    ///
    /// # Errors
    /// [`SignInError`] if it could not be asked for, or if there is no connection and none is tried. It is asked for again on the next
    /// connection, and by [`Client::sign_in`].
    pub async fn signed_in(&self) -> Result<String, SignInError> {
        self.handle.settled().await;
        let mut signed_in = self.handle.shared.signed_in.subscribe();
        let settled = async { signed_in.wait_for(|now| !matches!(now, SignedIn::No)).await.map(|now| now.clone()) };
        tokio::select! {
            biased;
            settled = settled => match settled {
                Ok(SignedIn::As(user_id)) => Ok(user_id),
                Ok(SignedIn::Failed(why)) => Err(why),
                Ok(SignedIn::No) | Err(_) => Err(SignInError::Closed),
            },
            why = self.handle.disconnected() => Err(why.into()),
        }
    }

    /// Who the connection is signed in as at this moment.
    #[must_use]
    pub fn user_id(&self) -> Option<String> {
        match &*self.handle.shared.signed_in.borrow() {
            SignedIn::As(user_id) => Some(user_id.clone()),
            _ => None,
        }
    }

    /// All events for the signed-in user from now on (P-15.6), whoever that is. Nothing comes while the connection is not signed in.
    pub fn user_events(&self) -> Events {
        Feed::new(self.handle.shared.user.stream(None, self.handle.shared.bounds), self.handle.clone())
    }

    /// Has `call` called for events called `name` for the signed-in user, as [`Client::bind`] does.
    pub fn bind_user(&self, name: &str, call: impl FnMut(&Event) + Send + 'static) -> Binding {
        self.handle.bind(&self.handle.shared.user, Some(name), "the user", Box::new(call))
    }

    /// Ends what [`Client::bind_user`] began. Whether it was bound.
    pub fn unbind_user(&self, binding: Binding) -> bool {
        self.handle.shared.user.unbind(binding)
    }

    /// Who comes and goes from now on among those on the signed-in user's watchlist (P-15.9). The first is the state at the time of
    /// signing in. The latest 1,024 wait for a reader. The app must have it switched on.
    pub fn watchlist(&self) -> Watchlist {
        Feed::new(self.handle.shared.watchlist.listen(), self.handle.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.handle.shared.state.borrow();
        f.debug_struct("Client").field("state", &now.state).field("socket_id", &now.socket_id).finish_non_exhaustive()
    }
}

impl Handle {
    /// Tells the task. False if it has ended, and there is nobody to do anything.
    fn order(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// Waits until all that was asked for before has been done, or nothing is done any more.
    async fn settled(&self) {
        let (done, settled) = oneshot::channel();
        self.order(Command::Settle(done));
        let _ = settled.await;
    }

    /// Waits until there is no connection and none is tried.
    async fn disconnected(&self) -> NotConnected {
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as the handle.
        let why = state.wait_for(|now| now.state == State::Disconnected).await.ok().and_then(|now| now.why.clone());
        NotConnected::because(why)
    }

    fn bind(&self, listeners: &Arc<Listeners>, name: Option<&str>, channel: &str, call: listeners::Call) -> Binding {
        let (shared, channel) = (Arc::clone(&self.shared), channel.to_owned());
        let missed = move |count| shared.problems.tell(&Problem::Missed { channel: channel.clone(), count });
        listeners.bind(name, self.shared.bounds, &self.runtime, missed, call)
    }
}

impl<T: Clone> News<T> {
    fn listen(&self) -> Arc<Queue<T>> {
        let queue = Arc::new(Queue::new(NEWS_BOUNDS));
        let mut readers = lock(&self.0);
        if readers.closed {
            queue.close();
        } else {
            readers.queues.retain(|reader| !reader.is_closed());
            readers.queues.push(Arc::clone(&queue));
        }
        queue
    }

    fn tell(&self, news: &T) {
        // Whom it wakes may come back here for the lock.
        let queues = lock(&self.0).queues.clone();
        for reader in queues {
            reader.push(news.clone(), 0);
        }
    }

    fn close(&self) {
        let queues = {
            let mut readers = lock(&self.0);
            readers.closed = true;
            std::mem::take(&mut readers.queues)
        };
        for reader in queues {
            reader.close();
        }
    }
}

impl<T> Default for News<T> {
    fn default() -> Self {
        Self(Mutex::new(Readers { queues: Vec::new(), closed: false }))
    }
}

/// Takes a lock of this room. Nothing that may panic is called under any but that of a callback, whose panic ends that call alone.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
