//! A session over HTTP: what waits for its receiver, and what becomes of it as receivers come and go (sockjs.md section 7).

use super::close::{Close, Ended};
use super::frame::{Frame, Framing};
use super::settings::Settings;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use tidings_hub::Time;

static INTERRUPTED: Close = Close::INTERRUPTED;

/// Names a receiver: one response. Whoever performs the actions chooses it, for each response of a session another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverId(pub u64);

/// What a session wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the application that it has a connection; the first frame is on its way (S-7.11).
    Opened,
    /// Send this to a receiver, in a chunk of its own (S-5.3).
    Write {
        /// The receiver.
        to: ReceiverId,
        /// Never empty.
        chunk: Bytes,
    },
    /// Send nothing more of what a receiver's socket has not begun to take: it does not read.
    Cut(ReceiverId),
    /// End a receiver's response as usual; its connection may go on to other requests.
    End(ReceiverId),
    /// Tell the application that its connection is over. This comes once.
    Closed(Ended),
    /// Forget the session: its id is free.
    Over,
}

/// The actions of one call. The caller owns it and reuses it, so that an idle session holds none.
pub type Actions = VecDeque<Action>;

/// What becomes of the messages of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// The application gets them.
    Yes,
    /// Nobody gets them, and the sender is not told: the session closes (S-5.8).
    Dropped,
    /// The sender is told that there is no such session (S-7.6).
    No,
}

/// A session. It is opened by its first receiver, and lasts until [`Action::Over`].
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    state: State,
    /// Quoted messages that wait for [`Session::flush`] or for a receiver.
    pending: SmallVec<[Bytes; 1]>,
    /// Their bytes.
    pending_bytes: usize,
    receiver: Option<Receiver>,
    /// The client waits for a sign of life.
    reassures: bool,
    /// The receiver, attached or not any more.
    last: ReceiverId,
    /// With a receiver: when it is sent a heartbeat. Without: when the session is over.
    deadline: Time,
}

#[derive(Debug)]
struct Receiver {
    framing: Framing,
    /// Characters that it was sent, as its client counts them (S-5.10, P-19.6).
    sent: usize,
}

#[derive(Debug)]
enum State {
    Open,
    /// For the application it is over; receivers are told why until the time is up (S-7.5).
    Closing(Close),
    /// The same, but senders are told too: frames may be lost (S-7.6).
    Interrupted,
    Over,
}

impl Receiver {
    fn new(framing: Framing, settings: &Settings) -> Self {
        // Who goes by the length of the response counts what comes before the frames too.
        let sent = if settings.outlives_responses { framing.prelude().len() } else { 0 };
        Self { framing, sent }
    }
}

impl Session {
    /// Opens a session for its first receiver, whose head and prelude are sent (S-7.1).
    #[must_use]
    pub fn open(settings: Arc<Settings>, receiver: ReceiverId, framing: Framing, now: Time, actions: &mut Actions) -> Self {
        let receives = Receiver::new(framing, &settings);
        let mut session = Self {
            settings,
            state: State::Open,
            pending: SmallVec::new(),
            pending_bytes: 0,
            reassures: false,
            receiver: Some(receives),
            last: receiver,
            deadline: now,
        };
        session.write(&Frame::Open, now, actions);
        actions.push_back(Action::Opened);
        session
    }

    /// Gives the session one more receiver, whose head and prelude are sent. It gets what waits, or the reason why it gets nothing (S-7.2).
    pub fn attach(&mut self, receiver: ReceiverId, framing: Framing, now: Time, actions: &mut Actions) {
        if self.receiver.is_some() {
            let chunk = framing.wrap(&Frame::Close(&Close::ANOTHER)).into();
            actions.extend([Action::Write { to: receiver, chunk }, Action::End(receiver)]);
            return;
        }
        self.last = receiver;
        self.receiver = Some(Receiver::new(framing, &self.settings));
        self.deadline = now + self.settings.heartbeat_delay;
        self.flush(now, actions);
        self.dismiss(now, actions);
    }

    /// Queues a message that [`quote`](super::quote()) wrote; [`Session::flush`] sends it. What comes after the close is dropped.
    ///
    /// `owed` is how many bytes the receiver's socket has not taken yet. If there is too much already, the session closes as slow (S-8.3);
    /// one message always fits where nothing waits.
    pub fn send(&mut self, message: Bytes, owed: usize, now: Time, actions: &mut Actions) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let waiting = self.pending_bytes + owed;
        if self.pending.len() >= self.settings.queue_messages || waiting > 0 && waiting + message.len() > self.settings.queue_bytes {
            return self.overflow(now, actions);
        }
        self.pending_bytes += message.len();
        self.pending.push(message);
    }

    /// The client asks for a sign of life: an empty frame comes next, unless another does (P-19.7).
    pub fn reassure(&mut self, now: Time, actions: &mut Actions) {
        self.reassures = matches!(self.state, State::Open);
        self.flush(now, actions);
    }

    /// Sends what waits, in one frame (S-7.4), if there is a receiver. To be called once all messages of a turn are queued.
    pub fn flush(&mut self, now: Time, actions: &mut Actions) {
        if self.receiver.is_none() || self.pending.is_empty() && !self.reassures || self.says_all_at_once() {
            return;
        }
        self.reassures = false;
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.write(&Frame::Messages(&pending), now, actions);
    }

    /// Whether [`Session::flush`] would send something.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.receiver.is_some() && !self.pending.is_empty()
    }

    /// What becomes of the messages of a client that come now.
    #[must_use]
    pub fn accepts(&self) -> Accepts {
        match self.state {
            State::Open => Accepts::Yes,
            State::Closing(_) => Accepts::Dropped,
            State::Interrupted | State::Over => Accepts::No,
        }
    }

    /// The application, or the server for all, closes the connection. What was queued before goes first. Closing again does nothing.
    pub fn close(&mut self, close: Close, now: Time, actions: &mut Actions) {
        self.close_as(Ended::Closed, close, now, actions);
    }

    /// The client or the network broke a response off, or it could not be sent whole, even if it was ended before (S-7.6). What becomes of a
    /// response that was answered 2010 does not matter.
    pub fn cut(&mut self, receiver: ReceiverId, now: Time, actions: &mut Actions) {
        if receiver != self.last || !matches!(self.state, State::Open) {
            return;
        }
        if self.settings.outlives_responses {
            if self.receiver.is_some() {
                self.detach(now);
            }
            return;
        }
        self.state = State::Interrupted;
        self.forget_pending();
        self.detach(now);
        actions.push_back(Action::Closed(Ended::Interrupted));
    }

    /// Does what is due: a heartbeat, or the end. A tick that comes early does nothing.
    pub fn tick(&mut self, now: Time, actions: &mut Actions) {
        if now < self.next_timeout() {
            return;
        }
        if self.receiver.is_some() {
            return self.write(&Frame::Heartbeat, now, actions);
        }
        if matches!(std::mem::replace(&mut self.state, State::Over), State::Open) {
            actions.push_back(Action::Closed(Ended::Abandoned));
        }
        self.forget_pending();
        if self.settings.outlives_responses {
            // It was left to the client, who does not come.
            actions.push_back(Action::End(self.last));
        }
        actions.push_back(Action::Over);
    }

    /// When [`Session::tick`] must be called if nothing else happens first. To be asked again after each call: the end of a response moves it
    /// to an earlier moment.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        if matches!(self.state, State::Over) { Time::from_micros(u64::MAX) } else { self.deadline }
    }

    /// The attached receiver.
    #[must_use]
    pub fn receiver(&self) -> Option<ReceiverId> {
        self.receiver.as_ref().map(|_| self.last)
    }

    fn overflow(&mut self, now: Time, actions: &mut Actions) {
        self.forget_pending();
        if self.receiver.is_some() {
            actions.push_back(Action::Cut(self.last));
        }
        self.close_as(Ended::Slow, Close::SLOW, now, actions);
    }

    fn close_as(&mut self, ended: Ended, close: Close, now: Time, actions: &mut Actions) {
        if !matches!(self.state, State::Open) {
            return;
        }
        self.state = State::Closing(close);
        self.flush(now, actions);
        actions.push_back(Action::Closed(ended));
        self.dismiss(now, actions);
    }

    /// Whether what waits goes out with the close: a poll would end before it.
    fn says_all_at_once(&self) -> bool {
        let polling = self.receiver.as_ref().is_some_and(|receiver| receiver.framing.is_polling());
        polling && self.settings.polls_take_all && matches!(self.state, State::Closing(_))
    }

    /// Tells the receiver, if there is one, why it gets nothing more. It may have got messages; a poll of SockJS then has to come again.
    fn dismiss(&mut self, now: Time, actions: &mut Actions) {
        let (close, Some(receiver)) = (self.last_word(), &self.receiver) else { return };
        let Some(close) = close else { return };
        let mut chunk = Vec::new();
        if !self.pending.is_empty() {
            chunk.extend(receiver.framing.wrap(&Frame::Messages(&self.pending)));
        }
        chunk.extend(receiver.framing.wrap(&Frame::Close(close)));
        actions.extend([Action::Write { to: self.last, chunk: chunk.into() }, Action::End(self.last)]);
        self.forget_pending();
        self.detach(now);
    }

    /// What receivers are told when there is nothing else to tell.
    fn last_word(&self) -> Option<&Close> {
        match &self.state {
            State::Open => None,
            State::Closing(close) => Some(close),
            State::Interrupted | State::Over => Some(&INTERRUPTED),
        }
    }

    /// Sends a frame, and ends the response where that was its last (S-5.10). Traffic stands in for a heartbeat.
    fn write(&mut self, frame: &Frame<'_>, now: Time, actions: &mut Actions) {
        let Some(receiver) = &mut self.receiver else { return };
        let chunk = Bytes::from(receiver.framing.wrap(frame));
        receiver.sent += characters(&chunk);
        let ends = receiver.framing.is_polling() || receiver.sent >= self.settings.response_limit;
        actions.push_back(Action::Write { to: self.last, chunk });
        self.deadline = now + self.settings.heartbeat_delay;
        if ends {
            if receiver.framing.is_polling() || !self.settings.outlives_responses {
                actions.push_back(Action::End(self.last));
            }
            self.detach(now);
        }
    }

    fn detach(&mut self, now: Time) {
        self.receiver = None;
        self.deadline = now + self.settings.disconnect_delay;
    }

    fn forget_pending(&mut self) {
        self.pending = SmallVec::new();
        self.pending_bytes = 0;
    }
}

/// How long a client finds a chunk, which counts the units of UTF-16: those above U+FFFF are escaped, and all others are one unit.
fn characters(chunk: &[u8]) -> usize {
    chunk.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests;
