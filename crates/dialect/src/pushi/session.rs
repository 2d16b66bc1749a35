//! A client's session: every input, time included, is an argument, and all it wants done are actions.

mod client_event;
mod latest;
mod personal;
mod subscribe;

use super::close::{Code, MALFORMED_MAX, Reason};
use super::codec::{self, ClientMessage, Malformed, decode};
use super::settings::{OnError, Settings};
use crate::action::{Action, Actions, Input, Subscriptions};
use personal::Personal;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, SocketId, Time};

const NEVER: Time = Time::from_micros(u64::MAX);
/// What clients of Pushi that take a ping for a message can read (I-1.13).
const PING: &[u8] = br#"{"event":"","channel":"","data":""}"#;

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    socket_id: SocketId,
    app: Arc<App>,
    settings: Arc<Settings>,
    /// The place of the connection's key among the app's.
    key: u32,
    /// Messages in a row that were none.
    malformed: u8,
    closed: bool,
    ping: Ping,
    /// When the bucket of client events is full again.
    events_paid: Time,
    /// What the connection follows, if it is on a personal channel.
    personal: Personal,
    /// What it has asked for and is not answered yet.
    waiting: Option<Box<Waiting>>,
}

/// Where pinging stands.
#[derive(Debug, Default)]
struct Ping {
    last: Time,
    /// One is out.
    pending: bool,
    /// The client has answered one before, so it always should.
    answers: bool,
}

/// What a session has asked for.
#[derive(Debug)]
enum Waiting {
    /// To be on a channel.
    Channel(ChannelName),
    /// To leave one.
    Leave(ChannelName),
    /// For stored events.
    Latest(ChannelName),
    /// To be on a personal channel.
    Personal(personal::Step),
}

/// Why a request is refused.
#[derive(Debug)]
struct Refusal {
    code: Code,
    message: String,
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Session {
    /// A session of `app` that came in by `key`. Feed it [`Input::Opened`] first.
    ///
    /// # Panics
    /// If `key` is none of the app's; the app was found by it.
    #[must_use]
    pub fn new(app: Arc<App>, key: &str, socket_id: SocketId, settings: Arc<Settings>, now: Time) -> Self {
        let key = place(&app, key).expect("the app was found by this key");
        Self {
            socket_id,
            app,
            settings,
            key,
            malformed: 0,
            closed: false,
            ping: Ping { last: now, ..Ping::default() },
            events_paid: Time::ZERO,
            personal: Personal::default(),
            waiting: None,
        }
    }

    /// The name of the connection.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// The longest message it takes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.settings.message_bytes
    }

    /// When to feed [`Input::Tick`] if nothing else happens first.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        match self.settings.ping_interval {
            Some(interval) if !self.closed => self.ping.last + interval,
            _ => NEVER,
        }
    }

    /// Takes one input and queues all it gives rise to. After [`Action::Close`] nothing does.
    pub fn receive(&mut self, input: Input<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        if self.closed {
            return;
        }
        match input {
            Input::Opened => actions.push_back(Action::Send(codec::greeting(self.socket_id))),
            Input::Text(text) => self.text(text, subscriptions, now, actions),
            // Pushi reads messages out of binary ones too (I-1.2).
            Input::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(text, subscriptions, now, actions),
                Err(_) => self.text("\u{fffd}", subscriptions, now, actions),
            },
            Input::Pong(_) => (self.ping.pending, self.ping.answers) = (false, true),
            Input::Subscribed { channel, answer } => self.subscribed(channel, answer, subscriptions, actions),
            Input::Unsubscribed(channel) => self.unsubscribed(channel, subscriptions, actions),
            Input::Answered(answer) => self.answered(answer, subscriptions, actions),
            Input::Taken => {}
            Input::NotStored { channel, event, why } => {
                self.refuse(channel.as_str(), event, &Refusal::new(Code::Internal, why), actions);
            }
            Input::Follow { channel, alias, added } => self.follow(channel, alias, added, subscriptions, actions),
            Input::Reloaded(app) => self.reloaded(app, actions),
            Input::End(end) => self.close(end.into(), actions),
            Input::Tick => self.tick(now, actions),
            // What this dialect has no words for.
            Input::Ping | Input::SignedIn(_) | Input::Watched { .. } | Input::NotText | Input::Commanded(_) => {}
        }
    }

    fn text(&mut self, text: &str, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        match decode(text) {
            Ok(None) => {}
            Ok(Some(message)) => {
                self.malformed = 0;
                self.message(message, subscriptions, now, actions);
            }
            Err(Malformed { reason, event, channel }) => {
                self.malformed += 1;
                if self.malformed >= MALFORMED_MAX && self.settings.on_error == OnError::Tell {
                    return self.close(Reason::Babbling, actions);
                }
                self.refuse(&channel, &event, &Refusal::new(Code::Malformed, reason), actions);
            }
        }
    }

    fn message(&mut self, message: ClientMessage<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        let (channel, event, done) = match message {
            ClientMessage::Ping => return actions.push_back(Action::Send(codec::pong())),
            ClientMessage::Subscribe { channel, auth, channel_data } => {
                let done = self.subscribe(&channel, auth.as_deref(), channel_data.as_ref(), subscriptions, actions);
                (channel, "pusher:subscribe".into(), done)
            }
            ClientMessage::Unsubscribe { channel } => {
                let done = self.unsubscribe(&channel, subscriptions, actions);
                (channel, "pusher:unsubscribe".into(), done)
            }
            ClientMessage::Latest { channel, skip, count } => {
                let done = self.latest(&channel, skip, count, subscriptions, actions);
                (channel, "pusher:latest".into(), done)
            }
            ClientMessage::Event { name, channel, data, echo, persist } => {
                let event = client_event::Sent { name: &name, channel: &channel, data, echo, persist };
                let done = self.client_event(&event, subscriptions, now, actions);
                (channel, name, done)
            }
        };
        if let Err(refusal) = done {
            self.refuse(&channel, &event, &refusal, actions);
        }
    }

    /// Tells what is wrong, or closes for it (I-1.11). Nothing else changes.
    fn refuse(&mut self, channel: &str, event: &str, refusal: &Refusal, actions: &mut Actions) {
        match self.settings.on_error {
            OnError::Tell => actions.push_back(Action::Send(codec::error(channel, refusal.code, &refusal.message, event))),
            OnError::Close => {
                self.closed = true;
                actions.push_back(Action::Close(refusal.code.close()));
            }
        }
    }

    fn tick(&mut self, now: Time, actions: &mut Actions) {
        if now < self.next_timeout() {
            return;
        }
        if self.ping.pending && self.ping.answers {
            return self.close(Reason::PongMissed, actions);
        }
        (self.ping.last, self.ping.pending) = (now, true);
        actions.push_back(Action::Ping(PING));
    }

    fn reloaded(&mut self, app: Arc<App>, actions: &mut Actions) {
        let key = place(&app, &self.app.keys[self.key as usize].key).filter(|_| app.enabled && app.dialects.pushi);
        let Some(key) = key else { return self.close(Reason::UnknownApp, actions) };
        (self.key, self.app) = (key, app);
    }

    fn close(&mut self, reason: Reason, actions: &mut Actions) {
        self.closed = true;
        actions.extend(reason.frame().map(Action::Send));
        actions.push_back(Action::Close(reason.close()));
    }
}

fn place(app: &App, key: &str) -> Option<u32> {
    app.keys.iter().position(|pair| pair.key == key).and_then(|at| u32::try_from(at).ok())
}

/// The members of a presence channel, as its record shows them.
fn members(channel: &str, subscriptions: &dyn Subscriptions) -> Option<Arc<tidings_hub::MemberList>> {
    channel.starts_with("presence-").then(|| subscriptions.members(channel))
}

#[cfg(test)]
mod tests;
