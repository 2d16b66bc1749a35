//! A world of one thread and no sockets around Pusher sessions: who is on which channel, what is cached, who is signed in, what time it is.
//! It answers as the hub does, as far as a session can tell.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::action::{Action, Actions, End, Input, Join, SignIn, Subscription, Subscriptions};
use tidings_dialect::pusher::codec::encode_event;
use tidings_dialect::pusher::name::Kind;
use tidings_dialect::pusher::{Session, handshake};
use tidings_hub::{
    App, Body, Budget, Cached, ChannelName, Event, Joined, Member, MemberList, Publish, Refused, SocketId, Source, Time, Watched,
};

/// What a client sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Ping,
    Closed(u16),
}

pub(crate) struct Connection {
    session: Session,
    on: On,
    watchlist: Vec<Arc<str>>,
    authorized: bool,
    closed: bool,
    pub(crate) seen: VecDeque<Seen>,
}

/// The channels of a connection, with its member where there is one.
#[derive(Default)]
struct On(HashMap<ChannelName, Option<Arc<Member>>>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let (channel, member) = self.0.get_key_value(channel)?;
        Some(Subscription { channel, member: member.as_ref() })
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

pub(crate) struct World {
    pub(crate) app: App,
    now: Time,
    budget: Arc<Budget>,
    events: u64,
    connections: Vec<(String, Connection)>,
    /// Subscribers by channel, in the order in which they came.
    channels: HashMap<ChannelName, Vec<usize>>,
    cached: HashMap<ChannelName, (Arc<Event>, Time)>,
}

impl World {
    pub(crate) fn new(app: App) -> Self {
        let budget = Arc::new(Budget::new(usize::MAX));
        Self { app, now: Time::ZERO, budget, events: 0, connections: Vec::new(), channels: HashMap::new(), cached: HashMap::new() }
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

    /// Lets a connection in by its URL, or tells what it sees instead.
    pub(crate) fn open(&mut self, name: &str, url: &str) -> Result<usize, Vec<Seen>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let admitted = handshake::parse(path, Some(query)).ok_or_else(|| handshake::unknown_path(false)).and_then(|hello| {
            let app = self.app.secret(&hello.key).is_some().then_some(&self.app);
            hello.admit(app, handshake::Load::default()).map(|version| (hello, version))
        });
        let (hello, version) = match admitted {
            Ok(admitted) => admitted,
            Err(close) => return Err(vec![text(&handshake::refusal(&close)), Seen::Closed(close.code)]),
        };
        let at = self.connections.len();
        let socket_id = SocketId::from_halves(1_000 + at as u64, 77).unwrap();
        let session = Session::new(Arc::new(self.app.clone()), &hello.key, socket_id, version, hello.client(), self.now);
        let connection =
            Connection { session, on: On::default(), watchlist: Vec::new(), authorized: false, closed: false, seen: VecDeque::new() };
        self.connections.push((name.to_owned(), connection));
        self.feed(at, Input::Opened);
        Ok(at)
    }

    pub(crate) fn socket_id(&self, at: usize) -> String {
        self.connections[at].1.session.socket_id().to_string()
    }

    /// Gives one input to a session and does what it asks for.
    pub(crate) fn feed(&mut self, at: usize, input: Input<'_>) {
        let Connection { session, on, closed, .. } = &mut self.connections[at].1;
        if *closed {
            return;
        }
        let mut actions = Actions::new();
        session.receive(input, on, self.now, &mut actions);
        for action in actions {
            match action {
                Action::Send(frame) => self.connection(at).seen.push_back(text(&frame)),
                Action::Ping(_) => self.connection(at).seen.push_back(Seen::Ping),
                Action::Subscribe(join) => self.subscribe(at, join),
                Action::Unsubscribe(channel) => self.leave(at, &channel),
                Action::Publish(publish) => self.publish(publish),
                Action::Command(_) | Action::SendTo { .. } | Action::Spell { .. } => panic!("{action:?}"),
                Action::Refresh(_) | Action::Store(_) | Action::Ask(_) | Action::Hold | Action::Release => panic!("{action:?}"),
                Action::SignIn(sign_in) => self.sign_in(at, sign_in),
                Action::Authorized => self.authorize(at),
                Action::Close(close) => {
                    self.connection(at).seen.push_back(Seen::Closed(close.code));
                    self.close(at);
                }
            }
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

    /// Ends the connections of a signed-in user (P-15.11).
    pub(crate) fn terminate(&mut self, user_id: &str) {
        for at in self.signed_in(user_id) {
            self.feed(at, Input::End(End::Terminated));
        }
    }

    /// What a server publishes is cached, with or without subscribers.
    pub(crate) fn publish_as_server(&mut self, channel: &str, name: &str, data: &str) {
        let channel = ChannelName::parse(channel).unwrap();
        let body = Body::Published { name: Arc::from(name), data: data.to_owned().into(), source: Source::Server, attached: None };
        let event = self.tell(&channel, None, body);
        if channel.caches() {
            self.cached.insert(channel, (event, self.now));
        }
    }

    fn publish(&mut self, publish: Publish) {
        for channel in publish.channels {
            let body =
                Body::Published { name: publish.name.clone(), data: publish.data.clone(), source: publish.source.clone(), attached: None };
            self.tell(&channel, publish.origin, body);
        }
    }

    /// Makes an event and shows it to the channel's subscribers.
    fn tell(&mut self, channel: &ChannelName, origin: Option<SocketId>, body: Body) -> Arc<Event> {
        self.events += 1;
        let event = Arc::new(Event::new(channel.clone(), 1, self.events, origin, body, &self.budget));
        let mut frame = Vec::new();
        encode_event(&event, &mut frame).unwrap();
        for at in self.channels.get(channel).cloned().unwrap_or_default() {
            let connection = self.connection(at);
            if Some(connection.session.socket_id()) != origin {
                connection.seen.push_back(text(&frame));
            }
        }
        event
    }

    fn subscribe(&mut self, at: usize, Join { channel, member, .. }: Join) {
        let present = self.members(&channel);
        let is_new = member.as_ref().is_some_and(|member| present.iter().all(|other| other.user_id != member.user_id));
        let max = self.app.limits.presence_members;
        if is_new && present.len() >= max as usize {
            return self.feed(at, Input::Subscribed { channel: &channel, answer: Err(Refused::MembersFull { max }) });
        }
        if let Some(member) = member.clone().filter(|_| is_new) {
            self.tell(&channel, None, Body::MemberAdded(member));
        }
        self.connection(at).on.0.insert(channel.clone(), member);
        self.channels.entry(channel.clone()).or_default().push(at);
        let members = (Kind::of(channel.as_str()) == Kind::Presence).then(|| Arc::new(MemberList::new(self.members(&channel))));
        let answer = Ok(Joined { serial: self.events, members, cache: self.cache(&channel) });
        self.feed(at, Input::Subscribed { channel: &channel, answer });
        self.count(&channel);
    }

    fn leave(&mut self, at: usize, channel: &ChannelName) {
        let left = self.connection(at).on.0.remove(channel).flatten();
        self.channels.get_mut(channel).expect("somebody was on it").retain(|other| *other != at);
        if let Some(left) = left
            && self.members(channel).iter().all(|member| member.user_id != left.user_id)
        {
            self.tell(channel, None, Body::MemberRemoved(left));
        }
        self.count(channel);
    }

    /// Distinct users, of whom the last information counts (P-7.7).
    fn members(&self, channel: &ChannelName) -> Vec<Arc<Member>> {
        let mut members: Vec<Arc<Member>> = Vec::new();
        for at in self.channels.get(channel).into_iter().flatten() {
            let Some(member) = self.connections[*at].1.on.0[channel].clone() else { continue };
            match members.iter_mut().find(|other| other.user_id == member.user_id) {
                Some(known) => *known = member,
                None => members.push(member),
            }
        }
        members
    }

    fn cache(&self, channel: &ChannelName) -> Cached {
        match self.cached.get(channel) {
            _ if !channel.caches() => Cached::Off,
            Some((event, since)) if self.now.since(*since) < self.app.limits.cache_ttl => Cached::Hit(Arc::clone(event)),
            _ => Cached::Miss,
        }
    }

    fn count(&mut self, channel: &ChannelName) {
        let kind = Kind::of(channel.as_str());
        if self.app.subscription_count_events && !matches!(kind, Kind::Presence | Kind::ServerToUser) {
            let count = self.channels[channel].len() as u32;
            self.tell(channel, None, Body::SubscriptionCount(count));
        }
    }

    fn signed_in(&self, user_id: &str) -> Vec<usize> {
        let is_user = |connection: &Connection| !connection.closed && connection.session.user_id().is_some_and(|id| **id == *user_id);
        (0..self.connections.len()).filter(|at| is_user(&self.connections[*at].1)).collect()
    }

    fn sign_in(&mut self, at: usize, SignIn { user_id, watchlist }: SignIn) {
        let (online, offline) = watchlist.iter().cloned().partition(|id| !self.signed_in(id).is_empty());
        self.connection(at).watchlist = watchlist;
        self.feed(at, Input::SignedIn(Watched { online, offline }));
        if self.signed_in(&user_id) == [at] {
            self.tell_watchers(at, &user_id, true);
        }
    }

    fn tell_watchers(&mut self, cause: usize, user_id: &Arc<str>, online: bool) {
        for at in 0..self.connections.len() {
            if at != cause && self.connections[at].1.watchlist.contains(user_id) {
                self.feed(at, Input::Watched { user_id, online });
            }
        }
    }

    fn authorize(&mut self, at: usize) {
        self.connection(at).authorized = true;
        let authorized = self.connections.iter().filter(|(_, connection)| connection.authorized && !connection.closed).count();
        if self.app.limits.connections.is_some_and(|max| authorized > max as usize) {
            self.feed(at, Input::End(End::OverQuota));
        }
    }

    pub(crate) fn close(&mut self, at: usize) {
        let connection = self.connection(at);
        connection.closed = true;
        connection.watchlist.clear();
        let channels: Vec<ChannelName> = connection.on.0.keys().cloned().collect();
        let user_id = connection.session.user_id().cloned();
        for channel in channels {
            self.leave(at, &channel);
        }
        if let Some(user_id) = user_id.filter(|id| self.signed_in(id).is_empty()) {
            self.tell_watchers(at, &user_id, false);
        }
    }
}

fn text(frame: &[u8]) -> Seen {
    Seen::Text(String::from_utf8(frame.to_vec()).unwrap())
}
