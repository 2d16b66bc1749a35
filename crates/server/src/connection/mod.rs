//! One connection: what it is told, and what becomes of it. It never waits; the shard calls it when something happened.

mod requests;
mod session;

pub(crate) use requests::{Handshake, Requests, Spoken};

use crate::http::response::Writer;
use crate::listener::{Listener, NodeGuard, Peer};
use crate::node::{AppHandle, Node, Reply};
use crate::shard::Listed;
use crate::shard::outgoing::{Outgoing, Queued};
use crate::shard::socket::Socket;
use crate::shard::stats::Stats;
use crate::shard::table::{Left, Table};
use crate::transport::websocket::{Decoder, Inflater, Message, frame};
use bytes::Bytes;
use requests::Phase;
use session::{LastWord, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidings_dialect::action::{Action, Actions, Answer, Close, End, Input, Join, SignIn, Subscription, Subscriptions, Unanswered};
use tidings_dialect::pusher::close::Reason;
use tidings_hub::{AppId, Channels, MemberList, Publish, Refused, SocketId, Time};

/// What a shard lends to the connection it calls.
pub(crate) struct Core {
    pub(crate) node: Arc<Node>,
    pub(crate) number: usize,
    pub(crate) now: Time,
    pub(crate) table: Table,
    pub(crate) outgoing: Outgoing,
    pub(crate) stats: Arc<Stats>,
    pub(crate) responses: Writer,
    /// Emptied by every step; kept for its memory.
    pub(crate) actions: Actions,
}

/// A socket and what it speaks.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) slot: u32,
    /// Tells it from others that had its slot.
    pub(crate) generation: u32,
    /// The slot of the wheel that will look at it; 0 for none.
    pub(crate) alarm: u64,
    /// Since when the kernel has taken nothing of what is owed.
    pub(crate) stalled: Time,
    pub(crate) stage: Stage,
    pub(crate) listener: Arc<Listener>,
    pub(crate) peer: Peer,
    pub(crate) guard: NodeGuard,
}

/// What a connection is at.
pub(crate) enum Stage {
    /// Between requests, or within one.
    Http(Box<Requests>),
    /// A session is in force.
    WebSocket(WebSocket),
    /// The last word is said: the peer may say its own, then the socket goes.
    Closing(Box<Closing>),
}

/// An open session.
pub(crate) struct WebSocket {
    decoder: Decoder,
    session: Session,
    app: Arc<AppHandle>,
    sign_in: Option<Box<SignIn>>,
    /// A client event was published though there was no room: nothing more is read until there is.
    parked: bool,
    /// The store was asked.
    waiting: Option<Box<Unread>>,
    /// Counted among the app's connections.
    counted: Option<Counted>,
    /// Counted among the node's sessions.
    _session: Counted,
}

/// What the peer had sent behind a message that made the session ask the store: not looked at until there is an answer. The socket is not
/// read either, so it is no more than one read has brought.
#[derive(Default)]
struct Unread(Vec<u8>);

/// What is left of a session that ended.
pub(crate) struct Closing {
    /// `None` where no word of the peer counts any more: it speaks HTTP.
    decoder: Option<Decoder>,
    until: Time,
    /// The peer has said its last word too.
    answered: bool,
    /// The peer takes nothing: what it was owed is thrown away with the socket.
    reset: bool,
    /// Once all is sent the peer is shown the end, and may go on talking for a moment: if the socket went at once while it does,
    /// the reset would take the answer with it.
    show_end: bool,
}

/// A place among those that are counted, given back when dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the shard does with a connection after it was called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait for more.
    Keep,
    /// Call again in the next turn: more was read than a turn may handle.
    Again,
    /// Read nothing until there is room for what it publishes.
    Park,
    /// A request for the service beside the shards; these bytes were read.
    HandOver(Vec<u8>),
    /// Nothing more to say or to hear.
    Drop,
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
    /// Takes bytes of the peer, which may be changed in place.
    pub(crate) fn receive(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        match &mut self.stage {
            Stage::Http(_) => self.receive_requests(input, core, inflater),
            Stage::WebSocket(_) => self.receive_frames(input, core, inflater),
            Stage::Closing(closing) => {
                closing.receive(input, inflater);
                self.after_flush(core)
            }
        }
    }

    /// What to do once nothing is owed, or something was heard.
    pub(crate) fn after_flush(&mut self, core: &Core) -> Verdict {
        if core.outgoing.owed(self.slot) > 0 {
            return Verdict::Keep;
        }
        let closing = match &mut self.stage {
            Stage::Closing(closing) => closing,
            Stage::Http(requests) if requests.phase == Phase::Writing => {
                requests.phase = Phase::Turn;
                return Verdict::Again;
            }
            Stage::Http(_) | Stage::WebSocket(_) => return Verdict::Keep,
        };
        if std::mem::take(&mut closing.show_end) {
            self.socket.finish();
        }
        if closing.answered { Verdict::Drop } else { Verdict::Keep }
    }

    fn receive_frames(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::WebSocket(websocket) = &mut self.stage else { return Verdict::Keep };
        let max = websocket.session.message_bytes_max(&websocket.app.app);
        let mut decoder = std::mem::take(&mut websocket.decoder);
        let mut messages = decoder.feed(input, max, inflater);
        loop {
            if let Stage::WebSocket(WebSocket { waiting: Some(unread), .. }) = &mut self.stage {
                unread.0.extend_from_slice(messages.rest());
                break;
            }
            let message = match messages.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(fault) => {
                    self.close(&Close { code: fault.code(), reason: fault.to_string().into() }, core);
                    // Nothing behind the fault can be understood, not even the peer's own close frame.
                    self.show_end(core);
                    break;
                }
            };
            if let Stage::Closing(closing) = &mut self.stage {
                // The last word is said: all that is still heard is the peer's.
                closing.answered |= matches!(message, Message::Close { .. });
                continue;
            }
            match message {
                Message::Text(text) => self.step(Input::Text(text), core),
                Message::Binary(bytes) => self.step(Input::Binary(bytes), core),
                Message::Ping(payload) => {
                    self.push(frame::pong(payload), core);
                    self.step(Input::Ping, core);
                }
                Message::Pong(payload) => self.step(Input::Pong(payload), core),
                Message::Close { code, .. } => {
                    self.push(frame::close(code, ""), core);
                    self.end_session(true, core);
                }
            }
        }
        match &mut self.stage {
            Stage::WebSocket(websocket) => {
                websocket.decoder = decoder;
                if websocket.parked { Verdict::Park } else { Verdict::Keep }
            }
            Stage::Closing(closing) => {
                closing.decoder = Some(decoder);
                Verdict::Keep
            }
            Stage::Http(_) => Verdict::Keep,
        }
    }

    /// Gives the session one input and performs all it asks for.
    pub(crate) fn step(&mut self, input: Input<'_>, core: &mut Core) {
        let Stage::WebSocket(websocket) = &mut self.stage else { return };
        let mut actions = std::mem::take(&mut core.actions);
        #[cfg(test)]
        crate::fault::strike(crate::fault::Place::Session);
        websocket.tell(self.slot, input, core, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(action, core, &mut actions);
        }
        core.actions = actions;
    }

    fn perform(&mut self, action: Action, core: &mut Core, actions: &mut Actions) {
        let Stage::WebSocket(websocket) = &mut self.stage else { return };
        match action {
            Action::Send(text) => self.push(frame::text(&text), core),
            Action::Ping(payload) => self.push(frame::ping(payload), core),
            Action::Subscribe(join) => {
                // The confirmation is queued in the call that joins, so no event can overtake it.
                let answer = websocket.subscribe(self.slot, &join, core);
                websocket.tell(self.slot, Input::Subscribed { channel: &join.channel, answer }, core, actions);
            }
            Action::Unsubscribe(channel) => {
                websocket.leave(self.slot, channel.as_str(), core);
                websocket.tell(self.slot, Input::Unsubscribed(&channel), core, actions);
            }
            Action::Refresh(join) => {
                let answer = websocket.refresh(self.slot, &join, core);
                websocket.tell(self.slot, Input::Subscribed { channel: &join.channel, answer }, core, actions);
            }
            // No session that this server starts asks for them.
            Action::Command(_) | Action::SendTo { .. } | Action::Spell { .. } => {}
            Action::Hold => core.outgoing.hold(self.slot),
            Action::Release => core.outgoing.release(self.slot),
            Action::Store(publish) => {
                websocket.parked = !core.node.has_room();
                core.stats.client_events.add(1);
                websocket.store(self.slot, publish, core, actions);
            }
            Action::Ask(question) => {
                websocket.waiting = Some(Box::default());
                core.node.ask(&websocket.app.app.id, websocket.session.socket_id(), question);
            }
            Action::Publish(publish) => {
                // Nothing that was decided is taken back: what is in flight may pass the mark.
                websocket.parked = !core.node.has_room();
                core.node.publish(&websocket.app, &[publish]);
                core.stats.client_events.add(1);
            }
            Action::SignIn(sign_in) => {
                let watched = core.node.sign_in(&websocket.app, websocket.session.socket_id(), &sign_in, websocket.sign_in.as_deref());
                websocket.sign_in = Some(Box::new(sign_in));
                websocket.tell(self.slot, Input::SignedIn(watched), core, actions);
            }
            Action::Authorized => {
                if websocket.counted.is_none() && websocket.app.is_full() {
                    websocket.tell(self.slot, Input::End(End::OverQuota), core, actions);
                } else if websocket.counted.is_none() {
                    websocket.counted = Some(Counted::new(&websocket.app.connections));
                }
            }
            Action::Close(close) => self.close(&close, core),
        }
    }

    /// Queues a frame of this connection's own. A peer that has let its outbox fill up is not owed a reply either.
    fn push(&mut self, bytes: Bytes, core: &mut Core) {
        if core.outgoing.push(self.slot, bytes, self.outbox_max()) == Queued::Overflow {
            self.too_slow(core);
        }
    }

    /// Closes a peer that does not take what it is sent: all but the frame in progress is thrown away.
    pub(crate) fn too_slow(&mut self, core: &mut Core) {
        let Stage::WebSocket(websocket) = &mut self.stage else { return };
        core.stats.slow.add(1);
        let (app, socket, bytes) = (&websocket.app.app.id, websocket.session.socket_id(), core.outgoing.owed(self.slot));
        tracing::debug!(%app, %socket, bytes, "connection closed as slow");
        core.outgoing.cut(self.slot);
        let last = websocket.session.last_word(End::TooSlow);
        self.last_word(&last, core);
        if let Stage::Closing(closing) = &mut self.stage {
            closing.reset = true;
        }
    }

    /// Closes a connection that a fault of ours has hit.
    pub(crate) fn fault(&mut self, core: &mut Core) {
        core.stats.panics.add(1);
        let mut last = LastWord::pusher(Reason::Fault.close());
        if let Stage::WebSocket(websocket) = &self.stage {
            tracing::debug!(app = %websocket.app.app.id, socket = %websocket.session.socket_id(), "connection closed after a panic");
            last = websocket.session.last_word(End::Fault);
        }
        core.outgoing.cut(self.slot);
        self.last_word(&last, core);
    }

    /// Says in the dialect's words why it ends, then closes. The session is not asked: it may be what failed.
    fn last_word(&mut self, last: &LastWord, core: &mut Core) {
        if let Some(text) = &last.frame {
            core.outgoing.push(self.slot, frame::text(text), usize::MAX);
        }
        self.close(&last.close, core);
    }

    fn close(&mut self, close: &Close, core: &mut Core) {
        core.outgoing.push(self.slot, frame::close(Some(close.code), &close.reason), usize::MAX);
        self.end_session(false, core);
    }

    /// Leaves all channels at once. What is owed still goes out.
    fn end_session(&mut self, answered: bool, core: &mut Core) {
        let until = core.now + core.node.limits.close_wait;
        // The peer may be in the middle of a frame.
        let decoder = match &mut self.stage {
            Stage::WebSocket(websocket) => std::mem::take(&mut websocket.decoder),
            Stage::Http(_) | Stage::Closing(_) => Decoder::default(),
        };
        let closing = Closing { decoder: Some(decoder), until, answered, reset: false, show_end: false };
        if let Stage::WebSocket(websocket) = std::mem::replace(&mut self.stage, Stage::Closing(Box::new(closing))) {
            websocket.end(self.slot, core);
        }
    }

    /// The socket is gone, or about to be.
    pub(crate) fn dropped(&mut self, core: &mut Core) {
        if let Stage::WebSocket(_) = &self.stage {
            self.end_session(true, core);
        }
        if matches!(&self.stage, Stage::Closing(closing) if closing.reset || core.outgoing.owed(self.slot) > 0) {
            self.socket.reset_on_close();
        } else if self.socket.is_tls() {
            self.socket.finish();
        }
    }

    /// When [`Connection::tick`] has something to do, if nothing else happens first.
    pub(crate) fn next_deadline(&self, core: &Core) -> Time {
        let deadline = match &self.stage {
            Stage::Http(requests) => requests.deadline,
            Stage::WebSocket(websocket) => websocket.session.next_timeout(),
            Stage::Closing(closing) => return closing.until,
        };
        if core.outgoing.is_blocked(self.slot) { deadline.min(self.stalled + core.node.limits.outbox_stall) } else { deadline }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let stalled = core.outgoing.is_blocked(self.slot) && self.stalled + core.node.limits.outbox_stall <= core.now;
        match &mut self.stage {
            Stage::Closing(closing) => {
                return if closing.until <= core.now { Verdict::Drop } else { Verdict::Keep };
            }
            Stage::Http(requests) => {
                return if stalled {
                    Verdict::Drop
                } else if requests.deadline > core.now {
                    Verdict::Keep
                } else {
                    self.requests_overdue(core, inflater)
                };
            }
            Stage::WebSocket(_) if stalled => self.too_slow(core),
            Stage::WebSocket(websocket) => {
                if websocket.session.next_timeout() <= core.now {
                    self.step(Input::Tick, core);
                }
            }
        }
        Verdict::Keep
    }

    /// The app's settings changed, or it is gone.
    pub(crate) fn reload(&mut self, apps: &crate::node::Apps, core: &mut Core) {
        let Stage::WebSocket(websocket) = &mut self.stage else { return };
        match apps.by_id(&websocket.app.app.id) {
            None => self.step(Input::End(End::AppDisabled), core),
            Some(app) if Arc::ptr_eq(app, &websocket.app) => {}
            Some(app) => {
                websocket.app = Arc::clone(app);
                self.step(Input::Reloaded(Arc::clone(&app.app)), core);
            }
        }
    }

    /// The store has answered: what the peer sent since it was asked may be looked at.
    pub(crate) fn answered(&mut self, answer: Result<Answer, Unanswered>, core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::WebSocket(websocket) = &mut self.stage else { return Verdict::Keep };
        let unread = websocket.waiting.take();
        self.step(Input::Answered(answer), core);
        match (&mut self.stage, unread) {
            // It has asked again already.
            (Stage::WebSocket(WebSocket { waiting: Some(waiting), .. }), Some(unread)) => {
                *waiting = unread;
                Verdict::Keep
            }
            (_, Some(mut unread)) if !unread.0.is_empty() => self.receive(&mut unread.0, core, inflater),
            _ => Verdict::Keep,
        }
    }

    /// Its socket id and its channels, those between it and another member among them, if it is one of the app's.
    pub(crate) fn listed(&self, app: &AppId, core: &Core) -> Option<Listed> {
        let Stage::WebSocket(websocket) = &self.stage else { return None };
        if websocket.app.app.id != *app {
            return None;
        }
        let mut channels = Vec::new();
        for (channel, member) in core.table.list(self.slot) {
            channels.push(channel.name.to_string());
            let pairs = member.map(|member| websocket.app.channels.pairs_of(channel, &member.user_id)).unwrap_or_default();
            channels.extend(pairs.into_iter().filter(|pair| core.table.find(self.slot, pair).is_none()));
        }
        Some((websocket.session.socket_id_text(), channels))
    }

    /// The socket id, while a session is in force.
    pub(crate) fn socket_id(&self) -> Option<SocketId> {
        match &self.stage {
            Stage::WebSocket(websocket) => Some(websocket.session.socket_id()),
            Stage::Http(_) | Stage::Closing(_) => None,
        }
    }

    /// What may be owed to it once the kernel takes no more.
    pub(crate) fn outbox_max(&self) -> usize {
        match &self.stage {
            Stage::WebSocket(websocket) => websocket.app.app.limits.outbox_bytes,
            Stage::Http(_) | Stage::Closing(_) => usize::MAX,
        }
    }

    /// Whether nothing is read until there is room, or until it is its turn again.
    pub(crate) fn is_parked(&self) -> bool {
        match &self.stage {
            Stage::WebSocket(websocket) => websocket.parked || websocket.waiting.is_some(),
            Stage::Http(requests) => matches!(requests.phase, Phase::Room | Phase::Commit | Phase::Writing | Phase::Turn),
            Stage::Closing(_) => false,
        }
    }

    /// Whether it can be closed because the server stops. One within a request gets its answer first, and with it the end.
    pub(crate) fn is_drainable(&self) -> bool {
        match &self.stage {
            Stage::WebSocket(_) => true,
            Stage::Http(requests) => requests.phase == Phase::Idle || requests.phase == Phase::Head && requests.read.is_empty(),
            Stage::Closing(_) => false,
        }
    }

    /// The server stops.
    pub(crate) fn drain(&mut self, core: &mut Core) -> Verdict {
        match &self.stage {
            Stage::WebSocket(_) => self.step(Input::End(End::Draining), core),
            Stage::Http(_) => return Verdict::Drop,
            Stage::Closing(_) => {}
        }
        Verdict::Keep
    }

    /// There is room again.
    pub(crate) fn unpark(&mut self) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.parked = false;
        }
    }
}

impl WebSocket {
    /// Gives the session one input.
    fn tell(&mut self, slot: u32, input: Input<'_>, core: &Core, actions: &mut Actions) {
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
        Ok(joined)
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
            self.left(&left, core);
        }
    }

    fn left(&self, left: &Left, core: &Core) {
        core.stats.subscriptions.set(core.table.len() as u64);
        core.node.unsubscribe(&self.app, self.session.socket_id(), &left.channel, left.member.as_ref(), core.now);
    }

    fn end(self, slot: u32, core: &mut Core) {
        while let Some(left) = core.table.leave_last(slot) {
            self.left(&left, core);
        }
        if let Some(sign_in) = &self.sign_in {
            core.node.sign_out(&self.app, self.session.socket_id(), sign_in);
        }
    }
}

impl Closing {
    /// Listens for the peer's last word only.
    fn receive(&mut self, input: &mut [u8], inflater: &mut Inflater) {
        /// What a closing peer may still say at once.
        const MESSAGE_MAX: usize = 1024 * 1024;
        let Some(decoder) = &mut self.decoder else { return };
        let mut messages = decoder.feed(input, MESSAGE_MAX, inflater);
        loop {
            match messages.next_message() {
                Ok(Some(Message::Close { .. })) | Err(_) => self.answered = true,
                Ok(Some(_)) => {}
                Ok(None) => return,
            }
            if self.answered {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection costs beside its socket in the kernel. An open session, the common stage, is inline; what is rare is in a box.
    #[test]
    fn sizes_are_known() {
        assert_eq!((size_of::<Connection>(), size_of::<Stage>(), size_of::<Session>(), size_of::<Decoder>()), (272, 144, 80, 16));
    }
}
