//! A world of one thread and no sockets around sessions of any dialect: what time it is, and what becomes of what a session wants done. It
//! answers as a shard, the hub and the store do, as far as a session can tell.

mod channels;
mod session;
mod store;
mod users;

use bytes::Bytes;
use channels::Channels;
use session::Session;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::action::{Action, Actions, End, Input, Question};
use tidings_dialect::pushi::settings::Settings;
use tidings_hub::{App, Budget, ChannelName, Event, Publish, SocketId, Time};

pub(crate) use session::Refusal;
pub(crate) use store::{Mood, Store};

/// What a client says.
#[derive(Debug)]
pub(crate) enum Said {
    Text(String),
    Binary(String),
    Ping,
    Pong,
}

impl Said {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Binary(text) => Input::Binary(text.as_bytes()),
            Self::Ping => Input::Ping,
            Self::Pong => Input::Pong(b""),
        }
    }
}

/// What a client sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    /// With its payload.
    Ping(String),
    Closed(u16),
}

pub(crate) struct Connection {
    session: Session,
    watchlist: Vec<Arc<str>>,
    authorized: bool,
    closed: bool,
    /// What channels bring while the session keeps it back.
    held: Option<Vec<Arc<Event>>>,
    /// What the client says while the session waits for the store.
    unread: Option<VecDeque<Said>>,
    pub(crate) seen: VecDeque<Seen>,
}

/// What is known to the hub and not yet to those it concerns: they hear of it when all is done that the session of the moment wants.
enum News {
    /// Something happened on a channel. Beside its subscribers these connections get it.
    Event(Arc<Event>, Vec<usize>),
    /// Somebody came or went whom this connection watches.
    Watched(usize, Arc<str>, bool),
    /// A channel follows another one from now on, or no more.
    Follow(ChannelName, ChannelName, bool),
}

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    now: Time,
    budget: Arc<Budget>,
    /// How many there have been.
    events: u64,
    connections: Vec<(String, Connection)>,
    channels: Channels,
    cached: HashMap<ChannelName, (Arc<Event>, Time)>,
    inbox: VecDeque<News>,
    /// What the store was asked and has not answered.
    questions: VecDeque<(usize, Question)>,
}

impl World {
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            settings: Settings::default(),
            store: Store::default(),
            now: Time::ZERO,
            budget: Arc::new(Budget::new(usize::MAX)),
            events: 0,
            connections: Vec::new(),
            channels: Channels::default(),
            cached: HashMap::new(),
            inbox: VecDeque::new(),
            questions: VecDeque::new(),
        }
    }

    pub(crate) fn connections(&mut self) -> impl Iterator<Item = (&str, &mut Connection)> {
        self.connections.iter_mut().map(|(name, connection)| (name.as_str(), connection))
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.connections.iter().position(|(other, _)| other == name)
    }

    pub(crate) fn connection(&mut self, at: usize) -> &mut Connection {
        &mut self.connections[at].1
    }

    pub(crate) fn socket_id(&self, at: usize) -> String {
        self.connections[at].1.session.socket_id_text()
    }

    /// Lets a connection in by its URL, or tells why not.
    pub(crate) fn open(&mut self, name: &str, url: &str) -> Result<usize, Refusal> {
        let at = self.connections.len();
        let socket_id = SocketId::from_halves(1_000 + at as u64, 77).unwrap();
        let session = Session::open(url, &self.app, &self.settings, socket_id, self.now)?;
        let connection = Connection {
            session,
            watchlist: Vec::new(),
            authorized: false,
            closed: false,
            held: None,
            unread: None,
            seen: VecDeque::new(),
        };
        self.connections.push((name.to_owned(), connection));
        self.feed(at, Input::Opened);
        Ok(at)
    }

    /// The client says something. It waits unread while the session waits for the store; what is too long ends the connection.
    pub(crate) fn say(&mut self, at: usize, said: Said) {
        let max = self.connections[at].1.session.message_bytes_max(&self.app);
        let connection = self.connection(at);
        if let Some(unread) = &mut connection.unread {
            return unread.push_back(said);
        }
        match &said {
            Said::Text(text) | Said::Binary(text) if text.len() > max => {
                connection.seen.push_back(Seen::Closed(1009));
                self.gone(at);
            }
            said => self.feed(at, said.input()),
        }
    }

    /// Gives one input to a session, does what it asks for, and tells the others.
    pub(crate) fn feed(&mut self, at: usize, input: Input<'_>) {
        let mut actions = Actions::new();
        self.tell(at, input, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(at, action, &mut actions);
        }
        self.spread();
    }

    fn tell(&mut self, at: usize, input: Input<'_>, actions: &mut Actions) {
        let connection = &mut self.connections[at].1;
        if !connection.closed {
            connection.session.receive(input, &self.channels.own(at), self.now, actions);
        }
    }

    fn perform(&mut self, at: usize, action: Action, actions: &mut Actions) {
        if self.connections[at].1.closed {
            return;
        }
        match action {
            Action::Send(frame) => self.connection(at).seen.push_back(text(&frame)),
            Action::Ping(payload) => self.connection(at).seen.push_back(Seen::Ping(String::from_utf8_lossy(payload).into_owned())),
            Action::Subscribe(join) => {
                let channel = join.channel.clone();
                let answer = self.subscribe(at, join);
                self.tell(at, Input::Subscribed { channel: &channel, answer }, actions);
            }
            Action::Refresh(join) => {
                let channel = join.channel.clone();
                let answer = self.refresh(at, join);
                self.tell(at, Input::Subscribed { channel: &channel, answer }, actions);
            }
            Action::Unsubscribe(channel) => {
                self.leave(at, &channel);
                self.tell(at, Input::Unsubscribed(&channel), actions);
            }
            Action::Publish(publish) => self.publish(&publish),
            Action::Store(publish) => self.store_and_publish(at, publish, actions),
            Action::Ask(question) | Action::AskThen(question) => self.ask(at, question, actions),
            Action::Command(_) | Action::SendTo { .. } | Action::Spell { .. } => panic!("{action:?}"),
            Action::SendBinary(_) | Action::Pong | Action::Await => panic!("{action:?}"),
            Action::Hold => self.connection(at).held = Some(Vec::new()),
            Action::Release => {
                for event in self.connection(at).held.take().unwrap_or_default() {
                    self.show(at, &event);
                }
            }
            Action::SignIn(sign_in) => self.sign_in(at, sign_in, actions),
            Action::Authorized => self.authorize(at, actions),
            Action::Close(close) => {
                self.connection(at).seen.push_back(Seen::Closed(close.code));
                self.close(at);
            }
        }
    }

    /// Tells everybody what concerns them.
    fn spread(&mut self) {
        while let Some(news) = self.inbox.pop_front() {
            match news {
                News::Event(event, beside) => {
                    for at in self.channels.recipients(&event, &beside) {
                        self.show(at, &event);
                    }
                }
                News::Watched(at, user_id, online) => self.feed(at, Input::Watched { user_id: &user_id, online }),
                News::Follow(channel, alias, added) => {
                    for at in self.channels.subscribers(&channel) {
                        self.feed(at, Input::Follow { channel: &channel, alias: &alias, added });
                    }
                }
            }
        }
    }

    /// Shows an event to a connection, unless it sent it or its dialect has no words for it.
    fn show(&mut self, at: usize, event: &Arc<Event>) {
        let connection = self.connection(at);
        if Some(connection.session.socket_id()) == event.origin {
            return;
        }
        match &mut connection.held {
            Some(held) => held.push(Arc::clone(event)),
            None => connection.seen.extend(connection.session.encode(event).map(|frame| text(&frame))),
        }
    }

    /// Moves the clock, with every timer on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = (0..self.connections.len()).map(|at| (self.connections[at].1.session.next_timeout(), at)).min();
            match due {
                Some((due, at)) if due <= end => {
                    self.now = due.max(self.now);
                    self.feed(at, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(crate) fn reload(&mut self) {
        for at in 0..self.connections.len() {
            self.feed(at, Input::Reloaded(Arc::new(self.app.clone())));
        }
    }

    pub(crate) fn end(&mut self, end: End) {
        for at in 0..self.connections.len() {
            self.feed(at, Input::End(end));
        }
    }

    /// A server publishes.
    pub(crate) fn publish_as_server(&mut self, channel: &str, name: &str, data: &str) {
        self.publish(&server_event(channel, name, data));
        self.spread();
    }

    /// A server publishes what is to last.
    pub(crate) fn store_as_server(&mut self, channel: &str, name: &str, data: &str) -> Result<(), String> {
        let mut publish = server_event(channel, name, data);
        publish.stamps = Some(self.store.keep(&publish, None, self.now)?);
        self.publish(&publish);
        self.spread();
        Ok(())
    }

    /// The client's end is gone.
    pub(crate) fn gone(&mut self, at: usize) {
        self.close(at);
        self.spread();
    }

    fn close(&mut self, at: usize) {
        let connection = self.connection(at);
        connection.closed = true;
        connection.watchlist.clear();
        self.questions.retain(|(other, _)| *other != at);
        for channel in self.channels.of(at) {
            self.leave(at, &channel);
        }
        self.sign_out(at);
    }
}

fn server_event(channel: &str, name: &str, data: &str) -> Publish {
    Publish::new(ChannelName::parse(channel).unwrap(), Arc::from(name), Bytes::from(data.to_owned()))
}

fn text(frame: &[u8]) -> Seen {
    Seen::Text(String::from_utf8(frame.to_vec()).unwrap())
}
