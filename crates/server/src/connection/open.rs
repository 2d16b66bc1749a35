//! An open session: what it asks for is done here, whatever carries its messages.

use super::framed::Framed;
use super::session::Session;
use super::{Connection, Core};
use crate::node::{AppHandle, Call, PushyService, Reply};
use crate::shard::table::{Left, Table};
use crate::transport::websocket::Decoder;
use crate::transport::websocket::frame::{self, Coding, Opcode};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidings_dialect::action::{Action, Actions, Close, Command, End, Input, Join, Question, SignIn, Subscription, Subscriptions};
use tidings_dialect::pushy::codec::Transport;
use tidings_dialect::pushy::name::member_id;
use tidings_hub::{ChannelName, Channels, MemberList, Publish, Refused, SocketId, Time};

/// Messages that may wait for the answer to one before them.
const WAITING_MAX: usize = 1000;
/// And the most bytes of them, which is what one request may bring.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// An open session.
pub(crate) struct Open {
    /// What reads the peer's frames; over HTTP there are none, nor by the draft of 2010.
    pub(super) decoder: Decoder,
    /// What few sessions have.
    pub(super) rare: Option<Box<Rare>>,
    pub(super) session: Session,
    pub(super) app: Arc<AppHandle>,
    /// A client event was published though there was no room: nothing more is read until there is.
    pub(super) parked: bool,
    /// The session is told when its peer has taken all that is queued.
    pub(super) awaits: bool,
    /// The store was asked.
    pub(super) waiting: Option<Box<Unread>>,
    /// Counted among the app's connections.
    pub(super) counted: Option<Counted>,
    /// Counted among the node's sessions.
    pub(super) _session: Counted,
}

/// What the peer had sent behind a message that made the session ask somebody: not looked at until there is an answer.
#[derive(Default)]
pub(super) struct Unread {
    /// Messages that came together with it, or by other requests; `None` for what is no text.
    messages: VecDeque<Option<String>>,
    message_bytes: usize,
    /// Bytes of a socket, which is not read either, so it is no more than one read has brought.
    pub(super) bytes: Vec<u8>,
    /// What the store will be asked when the peer has taken all that is queued.
    pub(super) question: Option<Question>,
}

impl Unread {
    /// Keeps a message for later. `false` if too much waits already.
    fn keep(&mut self, message: Option<&str>) -> bool {
        let bytes = self.message_bytes + message.map_or(0, str::len);
        if self.messages.len() >= WAITING_MAX || bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.messages.push_back(message.map(str::to_owned));
        self.message_bytes = bytes;
        true
    }

    /// The message that has waited longest.
    pub(super) fn next_message(&mut self) -> Option<Option<String>> {
        let message = self.messages.pop_front()?;
        self.message_bytes -= message.as_ref().map_or(0, String::len);
        Some(message)
    }
}

/// A place among those that are counted, given back when dropped.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What few sessions have.
#[derive(Default)]
pub(super) struct Rare {
    /// Who it signed in as.
    sign_in: Option<SignIn>,
    /// What SockJS puts around messages on a WebSocket.
    pub(super) framed: Option<Framed>,
    /// Where its commands go, and what is told there of who calls.
    pub(super) calls: Option<Calls>,
}

/// What commands of a session need.
pub(super) struct Calls {
    pub(super) service: Arc<PushyService>,
    pub(super) transport: Transport,
    pub(super) address: Option<IpAddr>,
    pub(super) headers: Vec<(String, String)>,
}

impl Calls {
    fn call(&self, app: &Arc<AppHandle>, socket: SocketId, channels: Vec<ChannelName>, command: Command) -> Call {
        let (transport, address, headers) = (self.transport, self.address, self.headers.clone());
        Call { app: Arc::clone(app), socket, transport, address, headers, channels, command }
    }
}

/// A connection's own subscriptions, as its session may see them.
struct Own<'a> {
    table: &'a Table,
    channels: &'a Channels,
    slot: u32,
}

impl Subscriptions for Own<'_> {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        self.table.find(self.slot, channel)
    }

    fn count(&self) -> usize {
        self.table.count(self.slot)
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        self.channels.members(channel)
    }

    fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool {
        self.channels.is_pair(presence, one, other)
    }

    fn exists(&self, channel: &str) -> bool {
        self.channels.occupancy(channel).subscriptions > 0
    }

    fn spelling(&self, channel: &str) -> Option<Arc<str>> {
        self.channels.spelling(channel)
    }
}

impl Connection {
    /// Gives the session a message that did not come alone; `None` for what is no text. It waits behind one that waits itself.
    pub(super) fn step_message(&mut self, message: Option<&str>, core: &mut Core) {
        match self.stage.open_mut() {
            Some(Open { waiting: Some(unread), .. }) => {
                if !unread.keep(message) {
                    self.close(&Close { code: 3003, reason: "Too many messages wait".into() }, core);
                }
            }
            _ => match message {
                Some(text) => self.step(Input::Text(text), core),
                None => self.step(Input::NotText, core),
            },
        }
    }

    /// Gives the session one input and performs all it asks for.
    pub(crate) fn step(&mut self, input: Input<'_>, core: &mut Core) {
        let Some(open) = self.stage.open_mut() else { return };
        let mut actions = std::mem::take(&mut core.actions);
        #[cfg(test)]
        crate::fault::strike(crate::fault::Place::Session);
        open.tell(self.slot, input, core, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(action, core, &mut actions);
        }
        core.actions = actions;
    }

    fn perform(&mut self, action: Action, core: &mut Core, actions: &mut Actions) {
        let is_polled = self.is_polled();
        let Some(open) = self.stage.open_mut() else { return };
        match action {
            Action::Send(text) => {
                let message = self.stage.message(&text);
                self.push(message, core);
            }
            // Where there are no pings there are heartbeats.
            Action::Ping(_) if is_polled || open.framed().is_some_and(Framed::is_draft) => {}
            Action::Ping(payload) => self.push(frame::ping(payload), core),
            Action::Pong => self.push(frame::pong(b""), core),
            Action::SendBinary(bytes) => self.push(frame::encode(Opcode::Binary, Coding::Plain, &bytes), core),
            Action::Subscribe(join) => {
                // The confirmation is queued in the call that joins, so no event can overtake it.
                let answer = open.subscribe(self.slot, &join, core);
                open.tell(self.slot, Input::Subscribed { channel: &join.channel, answer }, core, actions);
            }
            Action::Unsubscribe(channel) => {
                open.leave(self.slot, channel.as_str(), core);
                open.tell(self.slot, Input::Unsubscribed(&channel), core, actions);
            }
            Action::Refresh(join) => {
                let answer = open.refresh(self.slot, &join, core);
                open.tell(self.slot, Input::Subscribed { channel: &join.channel, answer }, core, actions);
            }
            Action::Command(command) => {
                open.waiting = Some(Box::default());
                if let Some(calls) = open.calls() {
                    let channels = core.table.list(self.slot).into_iter().map(|(channel, _)| channel.name.clone()).collect();
                    core.node.command(&calls.service, calls.call(&open.app, open.session.socket_id(), channels, command));
                }
            }
            Action::SendTo { socket, message } => core.node.say_to(&open.app, socket, message),
            Action::Spell { channel, spelling } => core.table.spell(self.slot, channel.as_str(), spelling),
            Action::Hold => core.outgoing.hold(self.slot),
            Action::Release => core.outgoing.release(self.slot),
            Action::Store(publish) => {
                open.parked = !core.node.has_room();
                core.stats.client_events.add(1);
                open.store(self.slot, publish, core, actions);
            }
            Action::Ask(question) => {
                open.waiting = Some(Box::default());
                core.node.ask(&open.app.app.id, open.session.socket_id(), question);
            }
            Action::Await => {
                open.awaits = true;
                // Its turn to be written comes, even if nothing is queued.
                core.outgoing.touch(self.slot);
            }
            Action::AskThen(question) => {
                open.waiting = Some(Box::new(Unread { question: Some(question), ..Unread::default() }));
                // Its turn to be written comes, even if nothing is queued.
                core.outgoing.touch(self.slot);
            }
            Action::Publish(publish) => {
                // Nothing that was decided is taken back: what is in flight may pass the mark.
                open.parked = !core.node.has_room();
                core.node.publish_from(&open.app, open.session.socket_id(), publish);
                core.stats.client_events.add(1);
            }
            Action::SignIn(sign_in) => {
                let watched = core.node.sign_in(&open.app, open.session.socket_id(), &sign_in, open.sign_in());
                open.rare.get_or_insert_default().sign_in = Some(sign_in);
                open.tell(self.slot, Input::SignedIn(watched), core, actions);
            }
            Action::Authorized => {
                if open.counted.is_none() && open.app.is_full() {
                    open.tell(self.slot, Input::End(End::OverQuota), core, actions);
                } else if open.counted.is_none() {
                    open.counted = Some(Counted::new(&open.app.connections));
                }
            }
            Action::Close(close) => self.close(&close, core),
        }
    }
}

impl Open {
    /// A session that begins, and counts from now on.
    pub(super) fn new(decoder: Decoder, session: Session, app: Arc<AppHandle>, core: &Core) -> Self {
        let counts = !matches!(session, Session::Pusher(_)) || !app.app.authorized_connections;
        let counted = counts.then(|| Counted::new(&app.connections));
        let _session = Counted::new(&core.node.sessions);
        Self { decoder, rare: None, session, app, parked: false, awaits: false, waiting: None, counted, _session }
    }

    /// What SockJS puts around its messages on a WebSocket.
    pub(super) fn framed(&self) -> Option<&Framed> {
        self.rare.as_ref()?.framed.as_ref()
    }

    /// A message as its peer gets it.
    pub(super) fn message(&self, text: &[u8]) -> Bytes {
        match (self.session.body(), self.framed()) {
            (Some(body), _) => body.part(text),
            (None, Some(framed)) => framed.message(text),
            (None, None) => frame::text(text),
        }
    }

    fn calls(&self) -> Option<&Calls> {
        self.rare.as_ref()?.calls.as_ref()
    }

    fn sign_in(&self) -> Option<&SignIn> {
        self.rare.as_ref()?.sign_in.as_ref()
    }

    /// When the session, or what is around it, has something to do.
    pub(super) fn next_timeout(&self) -> Time {
        let framed = self.framed().map_or(super::NEVER, Framed::next_timeout);
        self.session.next_timeout().min(framed)
    }

    /// Gives the session one input.
    pub(super) fn tell(&mut self, slot: u32, input: Input<'_>, core: &Core, actions: &mut Actions) {
        let own = Own { table: &core.table, channels: &self.app.channels, slot };
        self.session.receive(input, &own, core.now, actions);
    }

    fn subscribe(&mut self, slot: u32, join: &Join, core: &mut Core) -> Result<tidings_hub::Joined, Refused> {
        let max = self.app.app.limits.subscriptions;
        if core.table.count(slot) >= max as usize {
            return Err(Refused::SubscriptionsFull { max });
        }
        let (channel, joined) = core.node.subscribe(&self.app, self.session.socket_id(), join, core.now)?;
        core.table.join(slot, &channel, joined.serial, join.member.clone(), join.notices);
        core.stats.subscriptions.set(core.table.len() as u64);
        if let Some(calls) = self.calls() {
            let socket = self.session.socket_id();
            let member_id = || member_id(&self.app.app, socket, &join.channel);
            calls.service.rooms.joined(&join.channel, socket, member_id, join.member.as_ref(), crate::clock::unix_time());
        }
        Ok(joined)
    }

    /// Asks the store what the session wants to know once its peer has taken all that is queued.
    #[inline]
    pub(super) fn ask_then(&mut self, core: &Core) {
        if let Some(question) = self.waiting.as_mut().and_then(|unread| unread.question.take()) {
            core.node.ask(&self.app.app.id, self.session.socket_id(), question);
        }
    }

    /// Stores an event before anybody gets it. The session hears of it only if that fails.
    fn store(&mut self, slot: u32, publish: Publish, core: &Core, actions: &mut Actions) {
        let (channel, event) = (publish.channels[0].clone(), Arc::clone(&publish.name));
        let reply = Reply::Session { socket: self.session.socket_id(), channel: channel.clone(), event: Arc::clone(&event) };
        if let Err(error) = core.node.publish_stored(&self.app, publish, reply) {
            self.tell(slot, Input::NotStored { channel: &channel, event: &event, why: &error.to_string() }, core, actions);
        }
    }

    /// Says something else of itself on a channel that it is on.
    fn refresh(&mut self, slot: u32, join: &Join, core: &mut Core) -> Result<tidings_hub::Joined, Refused> {
        let (channel, before) = core.table.on(slot, join.channel.as_str()).ok_or(Refused::Lost)?;
        let joined = core.node.refresh(&self.app, self.session.socket_id(), channel, before, join.member.as_ref(), core.now)?;
        core.table.replace(slot, join.channel.as_str(), join.member.clone(), join.notices);
        Ok(joined)
    }

    fn leave(&mut self, slot: u32, channel: &str, core: &mut Core) {
        if let Some(left) = core.table.leave(slot, channel) {
            self.left(&left, "unsubscribed by the client", core);
        }
    }

    fn left(&self, left: &Left, why: &'static str, core: &Core) {
        if let Some(calls) = self.calls() {
            calls.service.rooms.left(&left.channel.name, self.session.socket_id(), why);
        }
        core.stats.subscriptions.set(core.table.len() as u64);
        let subscriber = (left.member.as_ref(), self.session.reads());
        core.node.unsubscribe(&self.app, self.session.socket_id(), &left.channel, subscriber, core.now);
    }

    pub(super) fn end(self, slot: u32, core: &mut Core) {
        while let Some(left) = core.table.leave_last(slot) {
            self.left(&left, "Connection closed", core);
        }
        if let Some(sign_in) = self.sign_in() {
            core.node.sign_out(&self.app, self.session.socket_id(), sign_in);
        }
    }
}
