//! The task of a client: it keeps the connection up, does what the handles ask for, and tells the listeners.

use super::channel::{Inner, Subscription};
use super::{Condition, Problem, Shared, SignedIn, State, StateChange, WatchlistChange, lock};
use crate::{ClientData, Connection, ConnectionError, Event, Members, Notice, PresenceMember, SendError, SubscriptionError};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tidings_dialect::pusher::name::SERVER_TO_USER;
use tidings_hub::ChannelName;
use tokio::sync::{mpsc, oneshot};

/// What handles ask for.
pub(crate) enum Command {
    Connect,
    Disconnect,
    Close(oneshot::Sender<()>),
    Subscribe(ChannelName),
    Unsubscribe(String),
    SignIn,
    /// To be answered when all that was asked for before has been done.
    Settle(oneshot::Sender<()>),
    /// In a box, since room for many commands is made at once.
    Send(Box<Sending>),
}

/// An event to send, and where to say how that went.
pub(crate) struct Sending {
    pub(super) channel: String,
    pub(super) name: String,
    pub(super) data: Box<RawValue>,
    pub(super) answer: oneshot::Sender<Result<(), SendError>>,
}

/// What handles and listeners see, for as long as the task lives: however it ends, and be it with its runtime, they are told.
pub(super) struct Living(pub(super) Arc<Shared>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.gone(State::Disconnected, None);
        self.0.end();
    }
}

/// Runs until it is closed, or the last handle is gone.
pub(super) async fn run(mut connection: Connection, commands: mpsc::UnboundedReceiver<Command>, living: Living) {
    // What is declared last goes first: the end is told when nobody can give an order any more, as it is with arguments of a task that
    // never began.
    let (living, mut commands) = (living, commands);
    let shared = &living.0;
    let mut closing = None;
    loop {
        let behind = tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Close(done)) => {
                    closing = Some(done);
                    break;
                }
                Some(command) => {
                    perform(command, &mut connection, shared).await;
                    false
                }
                None => break,
            },
            notice = connection.next() => match notice {
                Ok(notice) => shared.tell(notice),
                Err(why) => {
                    shared.gone(State::Disconnected, Some(Arc::new(why)));
                    false
                }
            },
        };
        if behind {
            // A reader who shares this thread has a turn before more comes.
            tokio::task::yield_now().await;
        }
    }
    commands.close();
    connection.disconnect().await;
    drop(living);
    if let Some(done) = closing {
        // Who does not wait any more need not know.
        let _ = done.send(());
    }
}

async fn perform(command: Command, connection: &mut Connection, shared: &Shared) {
    match command {
        Command::Connect => {
            connection.connect();
            if shared.state.borrow().state == State::Disconnected {
                shared.change(State::Connecting, None, None);
            }
        }
        Command::Disconnect => {
            connection.disconnect().await;
            shared.gone(State::Disconnected, None);
        }
        Command::Subscribe(channel) => {
            // It may have been given up since: another thread's order for that may have come before this one.
            let Some(inner) = shared.channel(channel.as_str()) else { return };
            inner.subscription.send_if_modified(|now| {
                let refused = matches!(now, Subscription::Refused(_));
                if refused {
                    *now = Subscription::Pending;
                }
                refused
            });
            // It was checked by the handle.
            let _ = connection.subscribe(channel.as_str());
        }
        Command::Unsubscribe(channel) => {
            connection.unsubscribe(&channel);
            // Somebody may have subscribed again before this was done.
            if shared.channel(&channel).is_some() {
                let _ = connection.subscribe(&channel);
            }
        }
        Command::SignIn => {
            shared.signed_in.send_if_modified(|now| {
                let failed = matches!(now, SignedIn::Failed(_));
                if failed {
                    *now = SignedIn::No;
                }
                failed
            });
            // It was checked by the handle.
            drop(connection.sign_in());
        }
        // Who does not wait any more need not know.
        Command::Settle(done) => drop(done.send(())),
        Command::Send(sending) => {
            let Sending { channel, name, data, answer } = *sending;
            let sent = connection.send_event(&channel, &name, ClientData::Json(Cow::Borrowed(&data)));
            // Who does not wait any more need not know.
            let _ = answer.send(sent);
        }
        Command::Close(_) => {}
    }
}

impl Shared {
    fn channel(&self, name: &str) -> Option<Arc<Inner>> {
        lock(&self.channels).get(name).cloned()
    }

    /// Tells whom it concerns. Whether somebody is so far behind that they should have a turn.
    fn tell(&self, notice: Notice) -> bool {
        match notice {
            Notice::Event(event) => return self.event(&event),
            Notice::Connecting => self.change(State::Connecting, None, None),
            Notice::Connected { socket_id, .. } => self.change(State::Connected, Some(socket_id), None),
            Notice::Unavailable => self.change(State::Unavailable, None, None),
            Notice::Lost { why, .. } => self.gone(State::Connecting, Some(Arc::new(why))),
            Notice::Subscribed { channel, members, me } => return self.subscribed(&channel, members, me),
            Notice::Refused { channel, why } => return self.refused(channel, why),
            Notice::MemberAdded { channel, member } => {
                return self.about(&channel, "pusher:member_added", |inner| {
                    let shown = Shown::of(&member);
                    inner.change_members(|members| members.add(member));
                    shown
                });
            }
            Notice::MemberRemoved { channel, user_id } => {
                return self.about(&channel, "pusher:member_removed", |inner| {
                    let mut left = None;
                    inner.change_members(|members| left = members.remove(&user_id));
                    Shown::of(&left.unwrap_or(PresenceMember { user_id, user_info: None }))
                });
            }
            Notice::SubscriptionCount { channel, count } => {
                return self.about(&channel, "pusher:subscription_count", |inner| {
                    *lock(&inner.count) = Some(count);
                    Count { subscription_count: count }
                });
            }
            Notice::CacheMiss { channel } => return self.about(&channel, "pusher:cache_miss", |_| Nothing {}),
            Notice::SignedIn { user_id, .. } => drop(self.signed_in.send_replace(SignedIn::As(user_id))),
            Notice::SignInFailed { why } => {
                self.signed_in.send_replace(SignedIn::Failed(why.clone()));
                self.problems.tell(&Problem::SignIn(why));
            }
            Notice::Watchlist { online, offline } => self.watchlist.tell(&WatchlistChange { online, offline }),
            Notice::Error { code, message } => self.problems.tell(&Problem::Server { code, message }),
            Notice::Undecryptable { channel, name, why } => self.problems.tell(&Problem::Undecryptable { channel, name, why }),
            Notice::Unreadable { text } => self.problems.tell(&Problem::Unreadable { text }),
            Notice::Ping | Notice::Pong | Notice::Room => {}
        }
        false
    }

    fn event(&self, event: &Event) -> bool {
        let mut behind = match self.channel(&event.channel) {
            Some(inner) => inner.listeners.tell(event),
            None if event.channel.starts_with(SERVER_TO_USER) => self.user.tell(event),
            // It was on its way when the channel was given up.
            None => return false,
        };
        behind |= self.everything.tell(event);
        behind
    }

    /// Something happened to a channel itself: `what` notes it, and gives the data that listeners are told.
    fn about<T: Serialize>(&self, channel: &str, name: &str, what: impl FnOnce(&Inner) -> T) -> bool {
        let Some(inner) = self.channel(channel) else {
            return false;
        };
        let data = what(&inner);
        if inner.listeners.is_empty() && self.everything.is_empty() {
            return false;
        }
        let data = serde_json::to_string(&data).expect("texts and numbers are always JSON");
        self.event(&Event { channel: channel.to_owned(), name: name.to_owned(), data, user_id: None })
    }

    fn subscribed(&self, channel: &str, members: Option<Vec<PresenceMember>>, me: Option<String>) -> bool {
        let members = members.map(|members| Arc::new(Members::new(me, members)));
        let behind = self.about(channel, "pusher:subscription_succeeded", |inner| {
            if let (Some(known), Some(members)) = (&inner.members, &members) {
                *lock(known) = Arc::clone(members);
            }
            Succeeded::of(members.as_deref())
        });
        // Who waits for the subscription finds the members.
        if let Some(inner) = self.channel(channel) {
            inner.becomes(Subscription::InForce);
        }
        behind
    }

    fn refused(&self, channel: String, why: SubscriptionError) -> bool {
        let behind = self.about(&channel, "pusher:subscription_error", |_| Failed::of(&why));
        if let Some(inner) = self.channel(&channel) {
            inner.becomes(Subscription::Refused(why.clone()));
        }
        self.problems.tell(&Problem::Subscription { channel, why });
        behind
    }

    /// There is no connection any more, or none came about.
    fn gone(&self, state: State, why: Option<Arc<ConnectionError>>) {
        let channels: Vec<_> = lock(&self.channels).values().cloned().collect();
        for inner in channels {
            inner.disconnected();
        }
        self.signed_in.send_if_modified(|now| {
            let was = matches!(now, SignedIn::As(_));
            *now = SignedIn::No;
            was
        });
        self.change(state, None, why.clone());
        // Whoever hears of it finds the state changed.
        if let Some(why) = why {
            self.problems.tell(&Problem::Connection(why));
        }
    }

    fn change(&self, current: State, socket_id: Option<String>, why: Option<Arc<ConnectionError>>) {
        // Another attempt does not make it available.
        let unavailable = self.state.borrow().state == State::Unavailable && current == State::Connecting;
        let current = if unavailable { State::Unavailable } else { current };
        let previous = self.state.send_replace(Condition { state: current, socket_id, why: why.clone() }).state;
        if previous != current {
            self.states.tell(&StateChange { previous, current, why });
        }
    }

    /// Nothing more will come.
    fn end(&self) {
        let channels: Vec<_> = lock(&self.channels).drain().map(|(_, inner)| inner).collect();
        for inner in channels {
            inner.end();
        }
        self.everything.close();
        self.user.close();
        self.signed_in.send_replace(SignedIn::Failed(crate::SignInError::Closed));
        self.states.close();
        self.problems.close();
        self.watchlist.close();
    }
}

impl Inner {
    fn change_members<T>(&self, change: impl FnOnce(&mut Members) -> T) {
        if let Some(members) = &self.members {
            change(Arc::make_mut(&mut lock(members)));
        }
    }
}

/// The data of what happens to a channel. The table is in the documentation of [`Channel`](crate::Channel).
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Count {
    subscription_count: u32,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    info: Option<Value>,
}

impl Shown {
    fn of(member: &PresenceMember) -> Self {
        Self { id: member.user_id.clone(), info: member.user_info.clone() }
    }
}

#[derive(Serialize)]
struct Succeeded {
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    me: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Shown>>,
}

impl Succeeded {
    fn of(members: Option<&Members>) -> Self {
        Self {
            count: members.map(Members::count),
            me: members.and_then(Members::me).map(Shown::of),
            members: members.map(|members| members.iter().map(Shown::of).collect()),
        }
    }
}

#[derive(Serialize)]
struct Failed {
    r#type: String,
    error: String,
    status: u16,
}

impl Failed {
    fn of(why: &SubscriptionError) -> Self {
        match why {
            SubscriptionError::Server { kind, status, message } => {
                Self { r#type: kind.clone(), error: message.clone(), status: status.unwrap_or_default() }
            }
            other => Self { r#type: "AuthError".to_owned(), error: other.to_string(), status: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Options, ProxyChoice, Reconnect};
    use futures_util::{FutureExt, StreamExt};
    use std::sync::Mutex;
    use std::task::{Context, Wake, Waker};
    use tokio::net::TcpSocket;

    /// Notes the state at the moment when it is woken.
    struct Witness {
        client: Client,
        seen: Mutex<Option<State>>,
    }

    impl Wake for Witness {
        fn wake(self: Arc<Self>) {
            let state = self.client.state();
            lock(&self.seen).get_or_insert(state);
        }
    }

    #[tokio::test]
    async fn who_hears_that_it_was_given_up_finds_it_disconnected() {
        // The port stays taken, and nobody listens there.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (host, port) = ("127.0.0.1".to_owned(), socket.local_addr().unwrap().port());
        let options = Options { host, ws_port: port, proxy: ProxyChoice::Direct, reconnect: Reconnect::Never, ..Options::new("key") };
        let client = Client::new(options).unwrap();
        let mut problems = client.problems();
        let witness = Arc::new(Witness { client: client.clone(), seen: Mutex::default() });
        let waker = Waker::from(Arc::clone(&witness));
        assert!(problems.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        client.connected().await.unwrap_err();
        assert_eq!(*lock(&witness.seen), Some(State::Disconnected));
    }

    /// Nobody listens there, and it is tried on.
    fn options() -> (TcpSocket, Options) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (host, port) = ("127.0.0.1".to_owned(), socket.local_addr().unwrap().port());
        (socket, Options { host, ws_port: port, proxy: ProxyChoice::Direct, ..Options::new("key") })
    }

    /// Two threads may do both at once, and then the orders come in the other order.
    #[tokio::test]
    async fn what_was_given_up_before_it_was_asked_for_is_not_subscribed_to() {
        let (_socket, options) = options();
        let mut connection = Connection::new(options.clone()).unwrap();
        let client = Client::new(options).unwrap();
        perform(Command::Unsubscribe("news".into()), &mut connection, &client.handle.shared).await;
        perform(Command::Subscribe(ChannelName::parse("news").unwrap()), &mut connection, &client.handle.shared).await;
        assert!(!connection.unsubscribe("news"));
    }

    /// Nothing that the task was about to note makes a channel wait that was given up meanwhile.
    #[test]
    fn who_was_given_up_stays_so() {
        let inner = Inner::new(&ChannelName::parse("news").unwrap());
        inner.end();
        inner.disconnected();
        assert!(matches!(*inner.subscription.borrow(), Subscription::GivenUp));
        for later in [Subscription::InForce, Subscription::Refused(SubscriptionError::NotSignedIn)] {
            inner.becomes(later);
            assert!(matches!(*inner.subscription.borrow(), Subscription::GivenUp));
        }
    }

    #[tokio::test]
    async fn streams_of_a_closed_client_end() {
        let (_socket, options) = options();
        let client = Client::new(options).unwrap();
        let other = client.clone();
        client.close().await;
        assert!(matches!(other.events().next().now_or_never(), Some(None)));
        assert!(matches!(other.user_events().next().now_or_never(), Some(None)));
        assert!(matches!(other.states().next().now_or_never(), Some(None)));
        assert!(matches!(other.problems().next().now_or_never(), Some(None)));
        assert!(matches!(other.watchlist().next().now_or_never(), Some(None)));
    }

    /// A client is of no use without its runtime, which nobody who waits for it waits out.
    #[test]
    fn a_client_whose_runtime_is_gone_is_closed() {
        for turns in [0, 10] {
            let (_socket, options) = options();
            let theirs = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (client, channel) = theirs.block_on(async {
                let client = Client::new(options).unwrap();
                let channel = client.subscribe("news").unwrap();
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                (client, channel)
            });
            let (mut events, mut problems) = (channel.events(), client.problems());
            drop(theirs);
            let ours = tokio::runtime::Builder::new_current_thread().build().unwrap();
            ours.block_on(async {
                while problems.next().await.is_some() {}
                assert!(events.next().await.is_none());
                assert!(matches!(channel.subscribed().await, Err(SubscriptionError::GivenUp)));
                client.connected().await.unwrap_err();
                client.signed_in().await.unwrap_err();
            });
            assert!(client.subscribe("more").is_err());
        }
    }

    /// Listens when it is woken.
    struct Curious(Client);

    impl Wake for Curious {
        fn wake(self: Arc<Self>) {
            drop((self.0.problems(), self.0.states(), self.0.events(), self.0.channel("news").map(|channel| channel.events())));
        }
    }

    /// Whoever is woken may come back at once.
    #[tokio::test]
    async fn nobody_is_woken_under_a_lock() {
        let (_socket, options) = options();
        let client = Client::new(options).unwrap();
        let channel = client.subscribe("news").unwrap();
        let (mut problems, mut states, mut everything, mut events) =
            (client.problems(), client.states(), client.events(), channel.events());
        let waker = Waker::from(Arc::new(Curious(client.clone())));
        let mut cx = Context::from_waker(&waker);
        let shared = &client.handle.shared;
        for end in [false, true] {
            assert!(problems.poll_next_unpin(&mut cx).is_pending());
            assert!(states.poll_next_unpin(&mut cx).is_pending());
            assert!(everything.poll_next_unpin(&mut cx).is_pending());
            assert!(events.poll_next_unpin(&mut cx).is_pending());
            if end {
                shared.end();
            } else {
                shared.tell(Notice::Event(Event { channel: "news".into(), name: "x".into(), data: "1".into(), user_id: None }));
                shared.tell(Notice::Unreadable { text: "x".into() });
                shared.tell(Notice::Unavailable);
                assert!(problems.next().await.is_some() && states.next().await.is_some());
                assert!(everything.next().await.is_some() && events.next().await.is_some());
            }
        }
    }
}
