//! Pushy's sessions around a real hub, without sockets: who is connected, and what each connection sees.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, Command, CommandFailed, Input, Reply, Subscription, Subscriptions};
use tidings_dialect::pushi::name::parse_socket_id;
use tidings_dialect::pushy::api::{self, Answer, Request};
use tidings_dialect::pushy::codec::{Transport, encode_event};
use tidings_dialect::pushy::session::Session;
use tidings_dialect::pushy::settings::Settings;
use tidings_hub::{App, Body, Budget, Channel, ChannelName, Channels, Dialects, Event, Hub, Inbox, Item, Member, MemberList, NoJournal};
use tidings_hub::{Options, Publish, SocketId, Time, UnixTime};

/// What a client sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Closed(u16),
}

pub(crate) struct World {
    app: Arc<App>,
    settings: Arc<Settings>,
    hub: Hub,
    channels: Arc<Channels>,
    now: Time,
    connections: BTreeMap<String, Connection>,
    opened: usize,
    /// What was asked for last, while it is not answered.
    pub(crate) command: Option<Command>,
}

struct Connection {
    session: Session,
    on: HashMap<ChannelName, On>,
    seen: Vec<Seen>,
}

struct On {
    channel: Arc<Channel>,
    name: ChannelName,
    member: Option<Arc<Member>>,
    joined: u64,
    spelling: Option<Arc<str>>,
    notices: bool,
}

/// A connection's own subscriptions, as its session may see them.
struct Own<'a>(&'a HashMap<ChannelName, On>, &'a Channels);

impl Subscriptions for Own<'_> {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        self.0.get(channel).map(|on| Subscription { channel: &on.name, member: on.member.as_ref() })
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        self.1.members(channel)
    }

    fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool {
        self.1.is_pair(presence, one, other)
    }

    fn exists(&self, channel: &str) -> bool {
        self.1.occupancy(channel).subscriptions > 0
    }

    fn spelling(&self, channel: &str) -> Option<Arc<str>> {
        self.1.spelling(channel)
    }
}

const SHARDS: usize = 2;
/// The wall clock when the world begins.
const BEGAN: UnixTime = UnixTime::from_millis(1_795_210_720_730);

impl World {
    pub(crate) fn new(app: App, settings: Settings) -> Self {
        let app = Arc::new(App { dialects: Dialects { pushy: true, ..app.dialects }, ..app });
        let (inboxes, budget) = ((0..SHARDS).map(|_| Arc::new(Inbox::new(usize::MAX, || {}))).collect(), Arc::new(Budget::new(usize::MAX)));
        let hub = Hub::new(Options { epoch: 1, hash_seed: 1, inboxes, facts_max: 100, budget, recent_bytes_max: 0 });
        let channels = hub.app(&app);
        let (settings, connections) = (Arc::new(settings), BTreeMap::new());
        Self { app, settings, hub, channels, now: Time::ZERO, connections, opened: 0, command: None }
    }

    pub(crate) fn unix(&self) -> UnixTime {
        UnixTime::from_micros(BEGAN.as_micros() + self.now.as_micros())
    }

    /// Lets a connection in, under a socket id of its own if none is given. Returns the id.
    pub(crate) fn open(&mut self, name: &str, socket_id: &str) -> String {
        self.opened += 1;
        let socket = parse_socket_id(socket_id).unwrap_or_else(|| SocketId::new(0, self.opened, [self.opened as u8; 16]));
        let (app, settings) = (Arc::clone(&self.app), Arc::clone(&self.settings));
        let session = Session::new(app, socket, Transport::WebSocket, settings, self.now, self.unix());
        self.connections.insert(name.to_owned(), Connection { session, on: HashMap::new(), seen: Vec::new() });
        self.feed(name, Input::Opened);
        tidings_dialect::pushi::name::socket_id(socket)
    }

    pub(crate) fn send(&mut self, name: &str, text: &str) {
        self.feed(name, Input::Text(text));
    }

    /// Answers the command that a connection called.
    pub(crate) fn answer(&mut self, name: &str, answer: Result<Reply, CommandFailed>) {
        assert!(self.command.take().is_some(), "nobody called a command");
        self.feed(name, Input::Commanded(answer));
    }

    pub(crate) fn close(&mut self, name: &str) {
        let connection = self.connections.remove(name).expect("it is connected");
        for on in connection.on.values() {
            self.channels.unsubscribe(&self.app, &on.channel, connection.session.socket_id(), on.member.as_ref(), false, self.now);
        }
        self.deliver();
    }

    /// What a connection has seen since it was asked last.
    pub(crate) fn seen(&mut self, name: &str) -> Vec<Seen> {
        self.connections.get_mut(name).map(|connection| std::mem::take(&mut connection.seen)).unwrap_or_default()
    }

    pub(crate) fn publish(&mut self, publish: Publish) {
        self.channels.publish(&self.app, &[publish], self.now, &NoJournal);
        self.deliver();
    }

    /// Has the trigger answer a request.
    pub(crate) fn request(&mut self, request: &Request<'_>) -> Answer {
        match api::receive(request, &self.app, &self.settings, self.unix()) {
            Ok(trigger) => {
                let occupied = self.channels.occupancy(trigger.publish.channels[0].as_str()).subscriptions > 0;
                self.publish(trigger.publish);
                api::accepted(occupied)
            }
            Err(refusal) => refusal.answer(),
        }
    }

    pub(crate) fn feed(&mut self, name: &str, input: Input<'_>) {
        let mut actions = Actions::new();
        self.receive(name, input, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(name, action, &mut actions);
        }
        self.deliver();
    }

    fn receive(&mut self, name: &str, input: Input<'_>, actions: &mut Actions) {
        let Connection { session, on, .. } = self.connections.get_mut(name).expect("it is connected");
        session.receive(input, &Own(on, &self.channels), self.now, actions);
    }

    fn perform(&mut self, name: &str, action: Action, actions: &mut Actions) {
        let connection = self.connections.get_mut(name).expect("it is connected");
        let socket = connection.session.socket_id();
        match action {
            Action::Send(message) => connection.seen.push(text(&message)),
            Action::Subscribe(join) => {
                let member = join.member;
                let answer =
                    self.channels.subscribe(&self.app, &join.channel, socket, member.clone(), None, self.now).map(|(channel, joined)| {
                        let name = join.channel.clone();
                        let on = On { channel, name, member, joined: joined.serial, spelling: None, notices: join.notices };
                        assert!(connection.on.insert(join.channel.clone(), on).is_none(), "twice on {}", join.channel);
                        joined
                    });
                self.receive(name, Input::Subscribed { channel: &join.channel, answer }, actions);
            }
            Action::Unsubscribe(channel) => {
                let on = connection.on.remove(&channel).expect("it is on the channel");
                self.channels.unsubscribe(&self.app, &on.channel, socket, on.member.as_ref(), false, self.now);
                self.receive(name, Input::Unsubscribed(&channel), actions);
            }
            Action::Spell { channel, spelling } => {
                connection.on.get_mut(&channel).expect("it is on the channel").spelling = Some(spelling);
            }
            Action::Publish(publish) => self.channels.publish(&self.app, &[publish], self.now, &NoJournal),
            Action::Command(command) => assert!(self.command.replace(command).is_none(), "one at a time"),
            Action::SendTo { socket, message } => {
                let other = self.connections.values_mut().find(|other| other.session.socket_id() == socket);
                other.into_iter().for_each(|other| other.seen.push(text(&message)));
            }
            Action::Close(close) => connection.seen.push(Seen::Closed(close.code)),
            action => panic!("{action:?}"),
        }
    }

    /// Brings what waits in the inboxes to those it is for.
    fn deliver(&mut self) {
        for shard in 0..SHARDS {
            self.deliver_in(shard);
        }
    }

    fn deliver_in(&mut self, shard: usize) {
        let mut items = Vec::new();
        self.hub.inboxes()[shard].take(&mut items);
        for item in items {
            let Item::Event(event) = item else { panic!("{item:?}") };
            for connection in self.connections.values_mut().filter(|other| other.session.socket_id().shard() == shard) {
                let Some(on) = connection.on.get(&event.channel) else { continue };
                let passed_over = event.serial <= on.joined || event.origin == Some(connection.session.socket_id());
                if !passed_over && (on.notices || matches!(event.body, Body::Published { .. })) {
                    connection.seen.extend(frame(&event, on.spelling.as_deref().unwrap_or(on.name.as_str())));
                }
            }
        }
    }
}

fn frame(event: &Event, spelling: &str) -> Option<Seen> {
    let mut out = Vec::new();
    encode_event(event, spelling, &mut out).ok().map(|()| text(&out))
}

fn text(message: &[u8]) -> Seen {
    Seen::Text(String::from_utf8(message.to_vec()).expect("messages are UTF-8"))
}
