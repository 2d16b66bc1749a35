//! A connection that is kept up: it connects, asks for its subscriptions, and comes back when it is lost. What happens on its channels
//! is in `subscriptions.rs`, who it is signed in as in `user.rs`, who signs for it in `proof.rs`.

mod proof;
mod subscriptions;
mod user;

use crate::dial::{self, Dial};
use crate::link::{Link, Received};
use crate::retry::Retry;
use crate::{BadOptions, ConnectionError, Notice, Options, Reconnect, SendError, ServerUrl};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use proof::{Signed, Signer};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use subscriptions::Subscriptions;
pub(crate) use subscriptions::check;
use tidings_dialect::pusher::codec::{self, ClientMessage, ServerMessage};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};
use user::User;

/// How long a connection must have stood for its loss to count as the first. Shorter ones count as failures in a row, so that
/// a server that accepts and closes at once is not stormed.
const STABLE: Duration = Duration::from_secs(10);

/// A connection to a server, with the subscriptions it keeps up. It does nothing unless [`Connection::next`] is awaited, and tells
/// everything in the one order in which it happened; [`Client`](crate::Client) sorts it by channel.
///
/// ```no_run
/// use tidings_client::{Connection, Notice, Options};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = Connection::new(Options::at(&"http://127.0.0.1:6001".parse()?, "app-key"))?;
/// connection.subscribe("news")?;
/// loop {
///     match connection.next().await? {
///         Notice::Event(event) => println!("{}: {}", event.name, event.data),
///         Notice::Lost { why, retry_in } => eprintln!("{why}; trying again in {retry_in:?}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// While nobody awaits it, nothing is read and no ping answered: what the server sends waits with the kernel, and then with the server. Who
/// is away for longer than the server's patience finds the connection [lost](Notice::Lost).
///
/// Events published while there is no connection do not reach it: the protocol has no replay (P-1.4). [`Notice::Lost`] and
/// [`Notice::Subscribed`] are the bounds of what may have been missed.
pub struct Connection {
    options: Arc<Options>,
    server: ServerUrl,
    dial: Dial,
    state: State,
    signer: Signer,
    /// What is being signed elsewhere.
    signing: FuturesUnordered<BoxFuture<'static, Signed>>,
    subscriptions: Subscriptions,
    user: User,
    /// What happened and was not told yet.
    told: VecDeque<Notice>,
    /// Why it was given up, to be told after that.
    given_up: Option<ConnectionError>,
    /// Why the link is of no more use, if that was found out by sending.
    broken: Option<ConnectionError>,
    /// Whether something was refused for want of room, and that there is some again is to be told.
    refused: bool,
    /// The message that the last notice came from.
    message: Option<Utf8Bytes>,
    /// Whether the server ever confirmed a connection.
    connected: bool,
    /// How often in a row the connection was lost before it stood for [`STABLE`].
    failures: u32,
    /// Whether there is none, and that is counted.
    absent: bool,
    /// When to tell that there is none.
    unavailable_at: Option<Instant>,
}

enum State {
    /// Until somebody calls [`Connection::connect`].
    Disconnected,
    /// To be connected at this time.
    Waiting(Instant),
    /// Being connected.
    Connecting(BoxFuture<'static, Result<Box<Link>, ConnectionError>>),
    /// Confirmed at this time.
    Open(Box<Link>, Instant),
}

/// What [`Connection::next`] waited for.
enum Step {
    Attempt,
    Opened(Result<Box<Link>, ConnectionError>),
    Received(Result<Received, ConnectionError>),
    Signed(Signed),
    Unavailable,
}

impl Connection {
    /// A connection that is to be opened by the first call of [`Connection::next`].
    ///
    /// # Errors
    /// [`BadOptions`] says what must be given otherwise.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        let server = options.server()?;
        let dial = dial::dialer(&options, &server);
        Self::with_dial(options, server, dial)
    }

    fn with_dial(options: Options, server: ServerUrl, dial: Dial) -> Result<Self, BadOptions> {
        options.check()?;
        let options = options.bounded();
        let signer = Signer::new(&options)?;
        Ok(Self {
            options: Arc::new(options),
            server,
            dial,
            state: State::Waiting(Instant::now()),
            signer,
            signing: FuturesUnordered::new(),
            subscriptions: Subscriptions::default(),
            user: User::default(),
            told: VecDeque::new(),
            given_up: None,
            broken: None,
            refused: false,
            message: None,
            connected: false,
            failures: 0,
            absent: false,
            unavailable_at: None,
        })
    }

    /// The connection's public name, while there is a connection.
    #[must_use]
    pub fn socket_id(&self) -> Option<&str> {
        match &self.state {
            State::Open(link, _) => Some(&link.socket_id),
            _ => None,
        }
    }

    /// Whether somebody signs for channels, and for users.
    pub(crate) fn signs(&self) -> (bool, bool) {
        (self.signer.signs_channels(), self.signer.signs_users())
    }

    /// The text of the server's message that the last notice came from, until [`Connection::next`] is called again. None if it did not
    /// come from a message, or had to wait.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Has it connect at once, whether it was given up, disconnected, or waits for the next attempt. Nothing if it is connected or
    /// connecting.
    pub fn connect(&mut self) {
        if let State::Disconnected | State::Waiting(_) = self.state {
            self.state = State::Waiting(Instant::now());
            self.failures = 0;
            if let Some(why) = self.given_up.take() {
                self.told.push_back(Notice::Lost { why, retry_in: Duration::ZERO });
            }
        }
    }

    /// Ends the connection in good order, which takes a second at most. Subscriptions are kept, for [`Connection::connect`]. What was not
    /// told yet still is. A connection that is dropped instead is cut.
    pub async fn disconnect(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Disconnected);
        self.present();
        self.reset();
        if let State::Open(link, _) = state {
            link.close().await;
        }
    }

    /// Waits for what happens next, connecting first if need be. Dropping it midway loses nothing. While it is disconnected it waits for
    /// ever.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection is lost and should not, or by [`Options::reconnect`] must not, be tried again. It is
    /// disconnected then, until [`Connection::connect`] is called.
    pub async fn next(&mut self) -> Result<Notice, ConnectionError> {
        self.message = None;
        loop {
            if let Some(notice) = self.told.pop_front() {
                return Ok(notice);
            }
            if let Some(why) = self.given_up.take() {
                return Err(why);
            }
            // One that told nothing is not what comes later came from.
            self.message = None;
            match self.step().await {
                Step::Attempt => self.attempt(),
                Step::Unavailable => {
                    self.unavailable_at = None;
                    self.told.push_back(Notice::Unavailable);
                }
                Step::Opened(Ok(link)) => self.opened(link),
                Step::Opened(Err(why)) | Step::Received(Err(why)) => self.lost(why),
                Step::Received(Ok(Received::Room)) => {
                    self.ask_on();
                    if std::mem::take(&mut self.refused) {
                        self.told.push_back(Notice::Room);
                    }
                }
                Step::Received(Ok(Received::Text(text))) => {
                    self.received(&text);
                    self.message = Some(text);
                }
                Step::Signed(signed) => {
                    self.signed(signed);
                    self.ask_on();
                }
            }
        }
    }

    /// Waits for one thing. Dropping it midway loses nothing.
    async fn step(&mut self) -> Step {
        if let Some(why) = self.broken.take() {
            return Step::Received(Err(why));
        }
        let unavailable_at = self.unavailable_at;
        let wait_for_room = self.refused || self.subscriptions.wait_for_room();
        let unavailable = async {
            match unavailable_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        match &mut self.state {
            State::Disconnected => pending().await,
            State::Waiting(until) => tokio::select! {
                biased;
                () = sleep_until(*until) => Step::Attempt,
                () = unavailable => Step::Unavailable,
            },
            State::Connecting(attempt) => tokio::select! {
                biased;
                opened = attempt => Step::Opened(opened),
                () = unavailable => Step::Unavailable,
            },
            State::Open(link, _) if self.signing.is_empty() => Step::Received(link.receive(wait_for_room).await),
            State::Open(link, _) => tokio::select! {
                biased;
                Some(signed) = self.signing.next() => Step::Signed(signed),
                received = link.receive(wait_for_room) => Step::Received(received),
            },
        }
    }

    /// Begins to connect.
    fn attempt(&mut self) {
        self.absent();
        let (options, dial, url) = (Arc::clone(&self.options), Arc::clone(&self.dial), self.server.clone());
        self.state = State::Connecting(Box::pin(async move {
            let open = async { Link::open(dial().await?, url.clone(), &options).await.map(Box::new) };
            let after = options.connect_timeout;
            timeout(after, open).await.map_err(|_| ConnectionError::TimedOut { url: url.clone(), after })?
        }));
        self.told.push_back(Notice::Connecting);
    }

    /// The server confirmed. All that was wanted is asked for.
    fn opened(&mut self, link: Box<Link>) {
        self.connected = true;
        self.present();
        self.told.push_back(Notice::Connected { socket_id: link.socket_id.clone(), activity_timeout: link.activity_timeout });
        self.state = State::Open(link, Instant::now());
        self.sign_in_again();
        self.subscriptions.ask_for_all();
        self.ask_on();
    }

    /// Decides what follows a loss.
    fn lost(&mut self, why: ConnectionError) {
        if let State::Open(_, since) = &self.state
            && since.elapsed() >= STABLE
        {
            self.failures = 0;
        }
        self.reset();
        let wait = Retry::after(&why).wait(self.failures, getrandom::u32().unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        let hopeful = match self.options.reconnect {
            Reconnect::Always => true,
            Reconnect::Never => false,
            // A code means that the address is right.
            Reconnect::OnceConnected => self.connected || matches!(why, ConnectionError::Closed { .. }),
        };
        if let Some(retry_in) = wait
            && hopeful
        {
            self.state = State::Waiting(Instant::now() + retry_in);
            self.absent();
            self.told.push_back(Notice::Lost { why, retry_in });
        } else {
            self.present();
            self.state = State::Disconnected;
            self.given_up = Some(why);
        }
    }

    /// There is no connection. However many attempts it takes, that is told once.
    fn absent(&mut self) {
        if !std::mem::replace(&mut self.absent, true) {
            self.unavailable_at = Some(Instant::now() + self.options.unavailable_timeout);
        }
    }

    /// There is a connection, or none is wanted.
    fn present(&mut self) {
        self.absent = false;
        self.unavailable_at = None;
    }

    /// Forgets what was true of the connection alone.
    fn reset(&mut self) {
        self.signing.clear();
        self.broken = None;
        self.refused = false;
        self.user.disconnected();
        self.told.extend(self.subscriptions.disconnected());
    }

    /// Takes a message of the server.
    fn received(&mut self, text: &str) {
        let notice = match codec::decode_server(text) {
            Ok(ServerMessage::Event { channel: Some(channel), name, data, user_id }) => return self.event(channel, name, data, user_id),
            Ok(ServerMessage::SubscriptionSucceeded { channel, members }) => return self.subscribed(&channel, members),
            Ok(ServerMessage::SubscriptionError { channel, kind, error, status }) => return self.refused(&channel, &kind, &error, status),
            Ok(ServerMessage::SignedIn { user_data }) => return self.signed_in(&user_data),
            Ok(ServerMessage::Error { code, message }) => {
                if let (Some(code), State::Open(link, _)) = (code, &mut self.state) {
                    link.last_error(code, &message);
                }
                Notice::Error { code, message: message.into_owned() }
            }
            Ok(ServerMessage::Ping) => {
                self.say(&ClientMessage::Pong);
                Notice::Ping
            }
            Ok(ServerMessage::Pong) => Notice::Pong,
            Ok(ServerMessage::MemberAdded { channel, member }) => {
                Notice::MemberAdded { channel: channel.into_owned(), member: subscriptions::member(member) }
            }
            Ok(ServerMessage::MemberRemoved { channel, user_id }) => {
                Notice::MemberRemoved { channel: channel.into_owned(), user_id: user_id.into_owned() }
            }
            Ok(ServerMessage::SubscriptionCount { channel, count }) => Notice::SubscriptionCount { channel: channel.into_owned(), count },
            Ok(ServerMessage::CacheMiss { channel }) => Notice::CacheMiss { channel: channel.into_owned() },
            Ok(ServerMessage::Watchlist { online, offline }) => {
                let own = |ids: Vec<Cow<'_, str>>| ids.into_iter().map(Cow::into_owned).collect();
                Notice::Watchlist { online: own(online), offline: own(offline) }
            }
            // An event without a channel is nobody's, and the connection is confirmed once.
            Ok(ServerMessage::Event { channel: None, .. } | ServerMessage::ConnectionEstablished { .. }) | Err(_) => {
                Notice::Unreadable { text: text.to_owned() }
            }
        };
        self.told.push_back(notice);
    }

    /// Takes what an endpoint answered.
    fn signed(&mut self, signed: Signed) {
        match signed {
            Signed::Channel { ticket, channel, proof } => self.channel_signed(ticket, &channel, proof),
            Signed::User { ticket, proof } => self.user_signed(ticket, proof),
            Signed::Unconfirmed { ticket } => self.sign_in_unconfirmed(ticket),
        }
    }

    /// Sends a message that must leave: if that fails, the connection is lost.
    fn say(&mut self, message: &ClientMessage<'_>) {
        if let State::Open(link, _) = &mut self.state
            && let Err(why) = link.send(message)
        {
            self.broken = Some(why);
        }
    }

    /// Sends `text` to the server as it is, while [`Connection::next`] is awaited. Whether it is a message that the server understands is
    /// the caller's business.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] or [`SendError::Full`]: nothing was sent. After the latter a [`Notice::Room`] follows.
    pub fn send_text(&mut self, text: String) -> Result<(), SendError> {
        let State::Open(link, _) = &mut self.state else {
            return Err(SendError::NotConnected);
        };
        match link.send_text(text) {
            Ok(()) => Ok(()),
            Err(tungstenite::Error::WriteBufferFull(_)) => {
                self.refused = true;
                Err(SendError::Full { max: crate::link::UNSENT_BYTES_MAX })
            }
            // Reading tells why, after what the server said before.
            Err(_) => Err(SendError::NotConnected),
        }
    }
}

#[cfg(test)]
mod tests;
