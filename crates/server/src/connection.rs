//! One connection: what it is told, and what becomes of it. It never waits; the shard calls it when something happened.

use crate::api::{self, ApiRequest, Caller};
use crate::http::proxy::{self, Proxied};
use crate::http::response::{Answer, Writer};
use crate::http::{self, First, Head};
use crate::listener::{Listener, NodeGuard, Peer};
use crate::node::{AppHandle, Node};
use crate::shard::outgoing::{Outgoing, Queued};
use crate::shard::socket::Socket;
use crate::shard::stats::Stats;
use crate::shard::table::{Left, Table};
use crate::transport::websocket::handshake::{Refusal, Upgrade};
use crate::transport::websocket::{Agreement, Coding, Decoder, Inflater, Message, frame};
use crate::wire::Format;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidings_dialect::action::{Action, Actions, Close, End, Input, Join, SignIn, Subscription, Subscriptions};
use tidings_dialect::pusher;
use tidings_dialect::pusher::close::Reason;
use tidings_dialect::pusher::handshake::{Hello, Load};
use tidings_dialect::pusher::session::Session;
use tidings_hub::{Refused, SocketId, Time};

/// How long a handshake that still gets in while the server drains waits for its answer, so that clients do not come back at once.
const DRAINING_PAUSE: Duration = Duration::from_secs(1);

/// How long a peer that is shown the end may take to see it.
const SHOWN_END: Duration = Duration::from_secs(1);

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

/// A connection that has not become anything else yet.
pub(crate) struct Requests {
    /// What was read of a request that is not complete.
    read: Vec<u8>,
    phase: Phase,
    /// When the server's patience with the phase ends.
    deadline: Time,
    /// The PROXY header comes first.
    proxied: bool,
}

/// What a connection between sessions waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Room for what a complete request publishes.
    Room,
    /// The moment to refuse a handshake: the server drains.
    Refusal,
    /// What was answered to be written, before the next request is looked at.
    Writing,
    /// Its turn: all that was answered is written.
    Turn,
}

/// An open session.
pub(crate) struct WebSocket {
    decoder: Decoder,
    session: Session,
    app: Arc<AppHandle>,
    sign_in: Option<Box<SignIn>>,
    /// A client event was published though there was no room: nothing more is read until there is.
    parked: bool,
    /// Counted among the app's connections.
    counted: Option<Counted>,
    /// Counted among the node's sessions.
    _session: Counted,
}

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
    slot: u32,
}

impl Subscriptions for Own<'_> {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        self.table.find(self.slot, channel)
    }
}

impl Requests {
    pub(crate) fn new(read: Vec<u8>, proxied: bool, deadline: Time) -> Self {
        Self { read, phase: Phase::Head, deadline, proxied }
    }

    /// Enters a phase, which must end within `patience`; staying in it gains no time.
    fn enter(&mut self, phase: Phase, patience: Duration, now: Time) {
        if self.phase != phase {
            (self.phase, self.deadline) = (phase, now + patience);
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Verdict {
        self.read.clear();
        self.read.extend_from_slice(bytes);
        Verdict::Keep
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
        let max = websocket.app.app.limits.message_bytes;
        let mut decoder = std::mem::take(&mut websocket.decoder);
        let mut messages = decoder.feed(input, max, inflater);
        loop {
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
            match message {
                Message::Text(text) => self.step(Input::Text(text), core),
                Message::Binary(_) => self.step(Input::Binary, core),
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
        websocket.session.receive(input, &Own { table: &core.table, slot: self.slot }, core.now, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(action, core, &mut actions);
        }
        core.actions = actions;
    }

    fn perform(&mut self, action: Action, core: &mut Core, actions: &mut Actions) {
        let Stage::WebSocket(websocket) = &mut self.stage else { return };
        match action {
            Action::Send(text) => self.push(frame::text(&text), core),
            Action::Ping => self.push(frame::ping(b""), core),
            Action::Subscribe(join) => {
                // The confirmation is queued in the call that joins, so no event can overtake it.
                let answer = websocket.subscribe(self.slot, &join, core);
                let input = Input::Subscribed { channel: &join.channel, answer };
                websocket.session.receive(input, &Own { table: &core.table, slot: self.slot }, core.now, actions);
            }
            Action::Unsubscribe(channel) => websocket.leave(self.slot, channel.as_str(), core),
            Action::Publish(publish) => {
                // Nothing that was decided is taken back: what is in flight may pass the mark.
                websocket.parked = !core.node.has_room();
                core.node.publish(&websocket.app, &[publish]);
                core.stats.client_events.add(1);
            }
            Action::SignIn(sign_in) => {
                let watched = core.node.sign_in(&websocket.app, websocket.session.socket_id(), &sign_in, websocket.sign_in.as_deref());
                websocket.sign_in = Some(Box::new(sign_in));
                let own = Own { table: &core.table, slot: self.slot };
                websocket.session.receive(Input::SignedIn(watched), &own, core.now, actions);
            }
            Action::Authorized => {
                let own = Own { table: &core.table, slot: self.slot };
                if websocket.counted.is_none() && websocket.app.is_full() {
                    websocket.session.receive(Input::End(End::OverQuota), &own, core.now, actions);
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
        let close = Reason::TooSlow.close();
        self.last_word(&close, core);
        if let Stage::Closing(closing) = &mut self.stage {
            closing.reset = true;
        }
    }

    /// Closes a connection that a fault of ours has hit.
    pub(crate) fn fault(&mut self, core: &mut Core) {
        core.stats.panics.add(1);
        if let Stage::WebSocket(websocket) = &self.stage {
            tracing::debug!(app = %websocket.app.app.id, socket = %websocket.session.socket_id(), "connection closed after a panic");
        }
        core.outgoing.cut(self.slot);
        self.last_word(&Reason::Fault.close(), core);
    }

    /// Says in the dialect's words why it ends, then closes. The session is not asked: it may be what failed.
    fn last_word(&mut self, close: &Close, core: &mut Core) {
        core.outgoing.push(self.slot, frame::text(pusher::handshake::refusal(close)), usize::MAX);
        self.close(close, core);
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
            Stage::WebSocket(websocket) => websocket.parked,
            Stage::Http(requests) => matches!(requests.phase, Phase::Room | Phase::Writing | Phase::Turn),
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

impl Connection {
    /// Takes bytes of requests. Works on them where they were read, unless a request came in pieces.
    fn receive_requests(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        if requests.read.is_empty() {
            return self.answer_requests(input, core, inflater);
        }
        let mut bytes = std::mem::take(&mut requests.read);
        bytes.extend_from_slice(input);
        self.answer_requests(&mut bytes, core, inflater)
    }

    fn answer_requests(&mut self, mut bytes: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let mut answered = 0;
        loop {
            let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
            let limits = &core.node.limits;
            if requests.phase == Phase::Refusal {
                return if bytes.len() > limits.header_bytes { Verdict::Drop } else { requests.keep(bytes) };
            }
            if requests.proxied {
                match proxy::read(bytes) {
                    Proxied::Partial => return requests.keep(bytes),
                    Proxied::Bad => return Verdict::Drop,
                    Proxied::Header { len, address } => {
                        requests.proxied = false;
                        bytes = &mut bytes[len..];
                        if self.peer.was_named(address, &core.node, &self.listener).is_err() {
                            return Verdict::Drop;
                        }
                        continue;
                    }
                }
            }
            if bytes.is_empty() {
                requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                return Verdict::Keep;
            }
            // A peer that does not take its answers is not read either: they would pile up.
            if answered >= limits.pipelined_requests || core.outgoing.is_blocked(self.slot) {
                requests.enter(Phase::Writing, limits.idle_timeout, core.now);
                return requests.keep(bytes);
            }
            let len = match http::first(bytes, &self.listener, limits.headers, limits.header_bytes) {
                First::Partial { head: true } => {
                    requests.enter(Phase::Body, limits.body_timeout, core.now);
                    return requests.keep(bytes);
                }
                First::Partial { head: false } => {
                    requests.enter(Phase::Head, limits.header_timeout, core.now);
                    return requests.keep(bytes);
                }
                First::TooLarge => return self.reject(&Answer::text(431, &b"The head of the request is too large.\n"[..]), core),
                First::Bad(why) => return self.reject(&Answer::text(400, format!("{why}\n")), core),
                // The service knows nothing of what is still owed here.
                First::Other if core.outgoing.owed(self.slot) > 0 => {
                    requests.enter(Phase::Writing, limits.idle_timeout, core.now);
                    return requests.keep(bytes);
                }
                First::Other => return Verdict::HandOver(bytes.to_vec()),
                First::Publish(..) if !core.node.has_room() => {
                    requests.enter(Phase::Room, limits.publish_wait, core.now);
                    requests.keep(bytes);
                    return Verdict::Park;
                }
                First::Publish(head, body) => {
                    requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                    match self.answer_publish(&head, body, core) {
                        Verdict::Keep => head.len,
                        verdict => return verdict,
                    }
                }
                First::Upgrade(head, upgrade) => {
                    if core.node.is_draining() && upgrade.is_ok() {
                        requests.enter(Phase::Refusal, DRAINING_PAUSE, core.now);
                        return requests.keep(bytes);
                    }
                    let len = head.len;
                    self.upgrade(&head, upgrade, core);
                    return self.receive(&mut bytes[len..], core, inflater);
                }
            };
            answered += 1;
            bytes = &mut bytes[len..];
        }
    }

    fn answer_publish(&mut self, head: &Head<'_>, body: &[u8], core: &mut Core) -> Verdict {
        let keep_alive = head.keep_alive && !core.node.is_draining();
        let Head { method, path, query, .. } = *head;
        let caller = Caller { peer: self.peer.address, forwarded_for: head.forwarded_for, library: None };
        let request = ApiRequest { method, path, query, body, caller };
        let answer = api::answer(&core.node, &self.listener, &core.stats.answered, &request);
        let response = core.responses.write(&answer, keep_alive, core.now);
        self.push(response, core);
        if keep_alive { Verdict::Keep } else { self.finish(core) }
    }

    /// Answers, then takes no more requests.
    fn reject(&mut self, answer: &Answer, core: &mut Core) -> Verdict {
        let response = core.responses.write(answer, false, core.now);
        self.push(response, core);
        self.finish(core)
    }

    /// Sends what is owed, then ends.
    fn finish(&mut self, core: &mut Core) -> Verdict {
        self.end_session(false, core);
        self.show_end(core);
        if let Stage::Closing(closing) = &mut self.stage {
            closing.decoder = None;
        }
        Verdict::Keep
    }

    /// Has the peer shown the end once all is sent.
    fn show_end(&mut self, core: &Core) {
        if let Stage::Closing(closing) = &mut self.stage {
            closing.show_end = true;
            closing.until = core.now + core.node.limits.close_wait.min(SHOWN_END);
        }
    }

    fn requests_overdue(&mut self, core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        match requests.phase {
            // Between requests nothing is owed, not even an explanation; and who takes no answers takes none about that.
            Phase::Idle | Phase::Writing | Phase::Turn => Verdict::Drop,
            Phase::Head if requests.read.is_empty() => Verdict::Drop,
            Phase::Head | Phase::Body => {
                if requests.phase == Phase::Body {
                    core.stats.answered.add(408);
                }
                self.reject(&Answer::text(408, &b"The request took too long to arrive.\n"[..]), core)
            }
            Phase::Room => {
                let answer = Answer::no_room();
                let limits = &core.node.limits;
                let first = http::first(&requests.read, &self.listener, limits.headers, limits.header_bytes);
                if let First::Publish(Head { method, path, query, forwarded_for, .. }, body) = first {
                    let caller = Caller { peer: self.peer.address, forwarded_for, library: None };
                    let request = ApiRequest { method, path, query, body, caller };
                    api::refused(&self.listener, &core.stats.answered, &request, answer.status);
                }
                self.reject(&answer, core)
            }
            Phase::Refusal => {
                let mut bytes = std::mem::take(&mut requests.read);
                let limits = &core.node.limits;
                let First::Upgrade(head, Ok(upgrade)) = http::first(&bytes, &self.listener, limits.headers, limits.header_bytes) else {
                    return Verdict::Drop;
                };
                let len = head.len;
                self.refuse(&upgrade.response(), &Reason::Draining.close(), core);
                self.receive(&mut bytes[len..], core, inflater)
            }
        }
    }

    /// Answers a WebSocket handshake (P-2.3): whoever is refused gets the upgrade first, then the reason.
    fn upgrade(&mut self, head: &Head<'_>, upgrade: Result<Upgrade<'_>, Refusal>, core: &mut Core) {
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(refusal) => {
                self.push(http::response::refused_upgrade(refusal), core);
                self.finish(core);
                return;
            }
        };
        let client = http::client_address(&self.listener, self.peer.hop, head.forwarded_for);
        if client != self.peer.address && self.peer.came_through_proxy(client, &core.node, &self.listener).is_err() {
            return self.refuse(&upgrade.response(), &Reason::NodeFull.close(), core);
        }
        let deflate = upgrade.deflate.filter(|_| core.node.compression);
        let handshake = Handshake { path: head.path, query: head.query, origin: head.origin, forwarded_proto: head.forwarded_proto };
        self.open_session(&handshake, &Upgrade { deflate, ..upgrade }.response(), deflate, core);
    }

    /// Opens a session, or refuses it. `response` is empty where somebody else has sent it.
    pub(crate) fn open_session(&mut self, handshake: &Handshake<'_>, response: &[u8], deflate: Option<Agreement>, core: &mut Core) {
        let (app, hello, version) = match self.admit(handshake, core) {
            Ok(admitted) => admitted,
            Err(close) => return self.refuse(response, &close, core),
        };
        if !response.is_empty() {
            core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        }
        let random = crate::chance::bytes();
        let socket_id = SocketId::new(core.number, self.slot as usize, random);
        let counted = (!app.app.authorized_connections).then(|| Counted::new(&app.connections));
        let session = Session::new(Arc::clone(&app.app), &hello.key, socket_id, version, hello.client(), core.now);
        let coding = if deflate.is_some() { Coding::Deflated } else { Coding::Plain };
        core.outgoing.set_format(self.slot, Format::of(deflate));
        let decoder = Decoder::new(coding);
        self.stage = Stage::WebSocket(WebSocket {
            decoder,
            session,
            app,
            sign_in: None,
            parked: false,
            counted,
            _session: Counted::new(&core.node.sessions),
        });
        core.stats.handshakes.add(1);
        self.step(Input::Opened, core);
    }

    fn admit(&self, handshake: &Handshake<'_>, core: &Core) -> Result<(Arc<AppHandle>, Hello, u8), Close> {
        let path = self.listener.strip(handshake.path);
        let hello = pusher::handshake::parse(path, Some(handshake.query))
            .ok_or_else(|| pusher::handshake::unknown_path(core.node.is_draining()))?;
        let apps = core.node.apps();
        let app = apps.by_key(&hello.key);
        let load = Load {
            draining: core.node.is_draining(),
            tls: http::is_secure(&self.listener, self.socket.is_tls(), self.peer.hop, handshake.forwarded_proto),
            origin: handshake.origin,
            app_full: app.is_some_and(|app| app.is_full()),
            node_full: core.node.is_full(),
        };
        let version = hello.admit(app.map(|app| &*app.app), load)?;
        let app = app.expect("admitted to an app that exists");
        Ok((Arc::clone(app), hello, version))
    }

    /// Completes the upgrade, says why not, and closes.
    fn refuse(&mut self, response: &[u8], close: &Close, core: &mut Core) {
        core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        core.stats.refused.add(1);
        self.last_word(close, core);
    }
}

/// What a client says as it comes in.
pub(crate) struct Handshake<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) origin: Option<&'a str>,
    pub(crate) forwarded_proto: Option<&'a str>,
}

impl WebSocket {
    fn subscribe(&mut self, slot: u32, join: &Join, core: &mut Core) -> Result<tidings_hub::Joined, Refused> {
        let max = self.app.app.limits.subscriptions;
        if core.table.count(slot) >= max as usize {
            return Err(Refused::SubscriptionsFull { max });
        }
        let (channel, joined) = core.node.subscribe(&self.app, self.session.socket_id(), join, core.now)?;
        let user_id = join.member.as_ref().map(|member| Arc::clone(&member.user_id));
        core.table.join(slot, &channel, joined.serial, user_id);
        core.stats.subscriptions.set(core.table.len() as u64);
        Ok(joined)
    }

    fn leave(&mut self, slot: u32, channel: &str, core: &mut Core) {
        if let Some(left) = core.table.leave(slot, channel) {
            self.left(&left, core);
        }
    }

    fn left(&self, left: &Left, core: &Core) {
        core.stats.subscriptions.set(core.table.len() as u64);
        core.node.unsubscribe(&self.app, self.session.socket_id(), &left.channel, left.user_id.as_ref(), core.now);
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
