//! One connection of a client, by WebSocket or as a stream of server-sent events: every input, time included, is an argument, and all it
//! wants done are actions. It is on one channel, and has nothing to say.

use super::close;
use super::message::{self, Frame};
use super::settings::Settings;
use super::token::Token;
use crate::action::{Action, Actions, Close, End, Input, Join, Subscriptions};
use crate::rate::take_token;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, SocketId, Time};

/// The longest message of a client, in bytes (W-6.5).
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Messages of a client, a second.
const MESSAGES_PER_SECOND: u32 = 10;
const NEVER: Time = Time::from_micros(u64::MAX);

/// What carries a session's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket. [`Action::Send`] is a text frame.
    WebSocket,
    /// A stream of server-sent events. [`Action::Send`] is a block of it.
    Stream,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    socket_id: SocketId,
    channel: ChannelName,
    settings: Arc<Settings>,
    carrier: Carrier,
    closed: bool,
    /// When the next one is due.
    heartbeat: Time,
    /// When the bucket of messages is full again.
    messages_paid: Time,
}

impl Session {
    /// A session for the client of `token`, whose request passed the check of the token at `now`. Feed it [`Input::Opened`] first.
    #[must_use]
    pub fn new(token: &Token, socket_id: SocketId, carrier: Carrier, settings: Arc<Settings>, now: Time) -> Self {
        let (channel, heartbeat) = (token.channel(&settings), now + settings.ping_interval);
        Self { socket_id, channel, settings, carrier, closed: false, heartbeat, messages_paid: Time::ZERO }
    }

    /// The name of the connection.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// What carries its messages.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// What holds for it.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The channel whose events it gets.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// When to feed [`Input::Tick`] if nothing else happens first: when a heartbeat is due, whatever else is sent (W-8.1).
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        if self.closed { NEVER } else { self.heartbeat }
    }

    /// Takes one input and queues all it gives rise to. After [`Action::Close`] nothing does.
    pub fn receive(&mut self, input: Input<'_>, _: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        if self.closed {
            return;
        }
        match input {
            Input::Opened => {
                actions.push_back(Action::Subscribe(Join { channel: self.channel.clone(), member: None, notices: false, since: None }))
            }
            Input::Subscribed { answer: Err(_), .. } => self.end(End::Fault, actions),
            Input::Text(text) => self.heard(text.len(), now, actions),
            Input::Binary(bytes) => self.heard(bytes.len(), now, actions),
            Input::NotText => self.heard(0, now, actions),
            Input::Reloaded(app) if serves(&app) => {}
            Input::Reloaded(_) => self.end(End::AppDisabled, actions),
            Input::End(end) => self.end(end, actions),
            Input::Tick => self.tick(now, actions),
            // What this dialect has no words for.
            Input::Subscribed { answer: Ok(_), .. } | Input::Unsubscribed(_) | Input::Ping | Input::Pong(_) => {}
            Input::SignedIn(_) | Input::Watched { .. } | Input::Answered(_) | Input::Taken | Input::Commanded(_) => {}
            Input::NotStored { .. } | Input::Follow { .. } => {}
        }
    }

    /// Nobody listens to clients, and they may say a little all the same (W-6.5).
    fn heard(&mut self, bytes: usize, now: Time, actions: &mut Actions) {
        if bytes > MESSAGE_BYTES_MAX || !take_token(&mut self.messages_paid, MESSAGES_PER_SECOND, now) {
            self.close(close::talkative(), actions);
        }
    }

    fn tick(&mut self, now: Time, actions: &mut Actions) {
        if now < self.heartbeat {
            return;
        }
        // Those that a stopped machine has slept through are not made up for.
        let next = self.heartbeat + self.settings.ping_interval;
        self.heartbeat = if next > now { next } else { now + self.settings.ping_interval };
        actions.push_back(match (self.carrier, &self.settings.ping) {
            (Carrier::Stream, _) => Action::Send(message::heartbeat(&self.settings)),
            (Carrier::WebSocket, None) => Action::Pong,
            (Carrier::WebSocket, Some(ping)) => match message::frame(ping, self.settings.frames) {
                Frame::Text => Action::Send(ping.clone()),
                Frame::Binary => Action::SendBinary(ping.clone()),
            },
        });
    }

    fn end(&mut self, end: End, actions: &mut Actions) {
        self.close(close::close(end, self.settings.compat), actions);
    }

    fn close(&mut self, close: Close, actions: &mut Actions) {
        self.closed = true;
        actions.push_back(Action::Close(close));
    }
}

fn serves(app: &App) -> bool {
    app.enabled && app.dialects.wspush
}
