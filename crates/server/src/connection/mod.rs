//! One connection: what it is told, and what becomes of it. It never waits; the shard calls it when something happened.

mod draft;
mod framed;
mod frames;
mod open;
mod polled;
mod relayed;
mod requests;
mod session;
mod stream;
pub(crate) mod trial;
mod visit;

pub(crate) use polled::Polled;
pub(crate) use requests::{Handshake, Requests, Spoken};
pub(crate) use visit::{Errand, Receiving, Visit};

use crate::http::response::Writer;
use crate::listener::{Listener, NodeGuard, Peer};
use crate::node::Node;
use crate::shard::Listed;
use crate::shard::outgoing::{Outgoing, Queued};
use crate::shard::socket::Socket;
use crate::shard::stats::Stats;
use crate::shard::table::Table;
use crate::transport::sockjs;
use crate::transport::websocket::{Decoder, Inflater, Message, frame};
use bytes::Bytes;
use open::Open;
use requests::Phase;
use session::LastWord;
use std::sync::Arc;
use tidings_dialect::action::{Actions, Close, End, Input};
use tidings_dialect::pusher::close::Reason;
use tidings_hub::{AppId, Event, SocketId, Time};

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
    /// What a session over HTTP wants done, emptied after each call of it.
    pub(crate) polls: sockjs::Actions,
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
    /// None without a socket.
    pub(crate) guard: Option<NodeGuard>,
}

/// What a connection is at.
pub(crate) enum Stage {
    /// Between requests, or within one.
    Http(Box<Requests>),
    /// A session is in force.
    Session(Open),
    /// A session over HTTP, which has no socket of its own.
    Polled(Box<Polled>),
    /// The last word is said: the peer may say its own, then the socket goes.
    Closing(Box<Closing>),
    /// Nothing any more, or nothing yet.
    Gone,
}

const NEVER: Time = Time::from_micros(u64::MAX);

impl Stage {
    /// A message of a session, as its peer gets it.
    pub(super) fn message(&self, text: &[u8]) -> Bytes {
        match self {
            Self::Polled(_) => polled::message(text),
            Self::Session(open) => open.message(text),
            _ => frame::text(text),
        }
    }

    /// The session, while one is in force.
    pub(super) fn open(&self) -> Option<&Open> {
        match self {
            Self::Session(open) => Some(open),
            Self::Polled(polled) => polled.open.as_ref(),
            Self::Http(_) | Self::Closing(_) | Self::Gone => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn open_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Session(open) => Some(open),
            Self::Polled(polled) => polled.open.as_mut(),
            Self::Http(_) | Self::Closing(_) | Self::Gone => None,
        }
    }
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

/// What the shard does with a connection after it was called.
pub(crate) enum Verdict {
    /// Wait for more.
    Keep,
    /// Call again in the next turn: more was read than a turn may handle.
    Again,
    /// Read nothing until there is room for what it publishes.
    Park,
    /// A request for the service beside the shards; these bytes were read.
    HandOver(Vec<u8>),
    /// A request for a session of another shard; these bytes were read.
    Move {
        /// The shard.
        shard: usize,
        /// What was read.
        read: Vec<u8>,
    },
    /// A request for a session of this shard.
    Visit(Box<Visit>),
    /// Nothing more to say or to hear.
    Drop,
}

impl Connection {
    /// Takes bytes of the peer, which may be changed in place.
    pub(crate) fn receive(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        match &mut self.stage {
            Stage::Http(_) => self.receive_requests(input, core, inflater),
            Stage::Session(_) => self.receive_frames(input, core, inflater),
            Stage::Closing(closing) => {
                closing.receive(input, inflater);
                self.after_flush(core)
            }
            Stage::Polled(_) | Stage::Gone => Verdict::Keep,
        }
    }

    /// Whether nothing follows when all it was owed is written: so it is with nearly all, nearly always.
    #[inline]
    pub(crate) fn is_content(&self) -> bool {
        matches!(&self.stage, Stage::Session(open) if !open.awaits && open.waiting.is_none())
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
                // All of it has left: whatever becomes of the socket, the session has lost nothing.
                requests.receiving = None;
                return Verdict::Again;
            }
            Stage::Session(open) => {
                open.ask_then(core);
                // What the session says then is more than may be done in the midst of writing.
                return if open.awaits { Verdict::Again } else { Verdict::Keep };
            }
            _ => return Verdict::Keep,
        };
        if std::mem::take(&mut closing.show_end) {
            self.socket.finish();
        }
        if closing.answered { Verdict::Drop } else { Verdict::Keep }
    }

    /// Queues a frame of this connection's own. A peer that has let its outbox fill up is not owed a reply either.
    fn push(&mut self, bytes: Bytes, core: &mut Core) {
        if core.outgoing.push(self.slot, bytes, self.outbox_max()) == Queued::Overflow {
            self.too_slow(core);
        }
    }

    /// Closes a peer that does not take what it is sent: all but the frame in progress is thrown away.
    pub(crate) fn too_slow(&mut self, core: &mut Core) {
        let Some(open) = self.stage.open_mut() else { return };
        core.stats.slow.add(1);
        open.session.was_slow();
        let (app, socket, bytes) = (&open.app.app.id, open.session.socket_id(), core.outgoing.owed(self.slot));
        tracing::debug!(%app, %socket, bytes, "connection closed as slow");
        core.outgoing.cut(self.slot);
        let last = open.session.last_word(End::TooSlow);
        self.last_word(&last, core);
        if let Stage::Closing(closing) = &mut self.stage {
            closing.reset = true;
        }
    }

    /// Closes a connection that a fault of ours has hit.
    pub(crate) fn fault(&mut self, core: &mut Core) {
        core.stats.panics.add(1);
        let mut last = LastWord::pusher(Reason::Fault.close());
        if let Some(open) = self.stage.open() {
            tracing::debug!(app = %open.app.app.id, socket = %open.session.socket_id(), "connection closed after a panic");
            last = open.session.last_word(End::Fault);
        }
        core.outgoing.cut(self.slot);
        self.last_word(&last, core);
    }

    /// Says in the dialect's words why it ends, then closes. The session is not asked: it may be what failed.
    fn last_word(&mut self, last: &LastWord, core: &mut Core) {
        if let Some(text) = &last.frame {
            let text = self.stage.message(text);
            core.outgoing.push(self.slot, text, usize::MAX);
        }
        self.close(&last.close, core);
    }

    fn close(&mut self, close: &Close, core: &mut Core) {
        if let Stage::Polled(polled) = &mut self.stage {
            polled.close(close);
            return self.leave_all(core);
        }
        if self.framed_close(close, core) {
            return;
        }
        if let Some(body) = self.stage.open().and_then(|open| open.session.body()) {
            return self.end_stream(body, core);
        }
        core.outgoing.push(self.slot, frame::close(Some(close.code), &close.reason), usize::MAX);
        self.end_session(false, core);
    }

    /// Leaves all channels at once. What is owed still goes out.
    fn end_session(&mut self, answered: bool, core: &mut Core) {
        let until = core.now + core.node.limits.close_wait;
        // The peer may be in the middle of a frame.
        let decoder = match &mut self.stage {
            Stage::Session(open) => std::mem::take(&mut open.decoder),
            _ => Decoder::default(),
        };
        let closing = Closing { decoder: Some(decoder), until, answered, reset: false, show_end: false };
        if let Stage::Session(open) = std::mem::replace(&mut self.stage, Stage::Closing(Box::new(closing))) {
            open.end(self.slot, core);
        }
    }

    /// The socket is gone, or about to be.
    pub(crate) fn dropped(&mut self, core: &mut Core) {
        match &self.stage {
            Stage::Session(_) => self.end_session(true, core),
            Stage::Polled(_) => self.leave_all(core),
            _ => {}
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
            Stage::Session(open) => open.next_timeout(),
            Stage::Polled(polled) => return polled.next_timeout(),
            Stage::Gone => return NEVER,
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
            Stage::Polled(_) => return self.tick_polled(core),
            Stage::Gone => {}
            Stage::Session(_) if stalled => self.too_slow(core),
            Stage::Session(open) => {
                let (session, framed) = (open.session.next_timeout() <= core.now, open.framed().is_some());
                if session {
                    self.step(Input::Tick, core);
                }
                if framed {
                    self.framed_tick(core);
                }
            }
        }
        Verdict::Keep
    }

    /// The app's settings changed, or it is gone.
    pub(crate) fn reload(&mut self, apps: &crate::node::Apps, core: &mut Core) {
        let Some(open) = self.stage.open_mut() else { return };
        match apps.by_id(&open.app.app.id) {
            None => self.step(Input::End(End::AppDisabled), core),
            Some(app) if Arc::ptr_eq(app, &open.app) => {}
            Some(app) => {
                open.app = Arc::clone(app);
                self.step(Input::Reloaded(Arc::clone(&app.app)), core);
            }
        }
    }

    /// What the session waited for is here: what the peer sent meanwhile may be looked at.
    pub(crate) fn answered(&mut self, answer: Input<'_>, core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Some(open) = self.stage.open_mut() else { return Verdict::Keep };
        let unread = open.waiting.take();
        self.step(answer, core);
        let Some(mut unread) = unread else { return Verdict::Keep };
        while self.stage.open().is_some_and(|open| open.waiting.is_none())
            && let Some(message) = unread.next_message()
        {
            match message {
                Some(text) => self.step(Input::Text(&text), core),
                None => self.step(Input::NotText, core),
            }
        }
        match self.stage.open_mut() {
            // It has asked again already.
            Some(Open { waiting: Some(waiting), .. }) => {
                unread.question = waiting.question.take();
                *waiting = unread;
                Verdict::Keep
            }
            _ if unread.bytes.is_empty() => Verdict::Keep,
            _ => self.receive(&mut unread.bytes, core, inflater),
        }
    }

    /// Says something to the peer, if its session is one of the app's.
    pub(crate) fn say(&mut self, app: &AppId, message: &[u8], core: &mut Core) {
        if self.stage.open().is_some_and(|open| open.app.app.id == *app) {
            let message = self.stage.message(message);
            self.push(message, core);
        }
    }

    /// Its socket id and its channels, those between it and another member among them, if it is one of the app's.
    pub(crate) fn listed(&self, app: &AppId, core: &Core) -> Option<Listed> {
        let open = self.stage.open()?;
        if open.app.app.id != *app {
            return None;
        }
        let mut channels = Vec::new();
        for (channel, member) in core.table.list(self.slot) {
            channels.push(channel.name.to_string());
            let pairs = member.map(|member| open.app.channels.pairs_of(channel, &member.user_id)).unwrap_or_default();
            channels.extend(pairs.into_iter().filter(|pair| core.table.find(self.slot, pair).is_none()));
        }
        Some((open.session.socket_id_text(), channels))
    }

    /// An event as it goes to this peer alone; `None` if its dialect cannot say it.
    pub(crate) fn own_form(&mut self, event: &Event) -> Option<Bytes> {
        self.stage.open_mut()?.session.own_form(event)
    }

    /// The socket id, while a session is in force.
    pub(crate) fn socket_id(&self) -> Option<SocketId> {
        self.stage.open().map(|open| open.session.socket_id())
    }

    /// What may be owed to it once the kernel takes no more.
    pub(crate) fn outbox_max(&self) -> usize {
        self.stage.open().map_or(usize::MAX, |open| open.session.outbox_bytes_max(&open.app.app))
    }

    /// Whether nothing is read until there is room, or until it is its turn again.
    pub(crate) fn is_parked(&self) -> bool {
        match &self.stage {
            Stage::Session(open) => open.parked || open.waiting.is_some(),
            Stage::Http(requests) => {
                matches!(requests.phase, Phase::Room | Phase::Commit | Phase::Writing | Phase::Turn | Phase::Receiving)
            }
            Stage::Polled(_) | Stage::Closing(_) | Stage::Gone => false,
        }
    }

    /// Whether it can be closed because the server stops. One within a request gets its answer first, and with it the end.
    pub(crate) fn is_drainable(&self) -> bool {
        match &self.stage {
            Stage::Session(_) => true,
            Stage::Http(requests) => {
                matches!(requests.phase, Phase::Idle | Phase::Nonce) || requests.phase == Phase::Head && requests.read.is_empty()
            }
            Stage::Polled(polled) => polled.open.is_some(),
            Stage::Closing(_) | Stage::Gone => false,
        }
    }

    /// The server stops.
    pub(crate) fn drain(&mut self, core: &mut Core) -> Verdict {
        match &self.stage {
            Stage::Session(_) | Stage::Polled(_) => self.step(Input::End(End::Draining), core),
            Stage::Http(_) => return Verdict::Drop,
            Stage::Closing(_) | Stage::Gone => {}
        }
        Verdict::Keep
    }

    /// There is room again.
    pub(crate) fn unpark(&mut self) {
        if let Some(open) = self.stage.open_mut() {
            open.parked = false;
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
    use super::session::Session;
    use super::*;

    /// What a connection costs beside its socket in the kernel. An open session, the common stage, is inline; what is rare is in a box.
    #[test]
    fn sizes_are_known() {
        assert_eq!((size_of::<Connection>(), size_of::<Stage>(), size_of::<Session>(), size_of::<Decoder>()), (272, 144, 80, 16));
    }
}
