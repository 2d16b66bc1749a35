//! A client's session: every input, time included, is an argument, and all it wants done are actions.

mod command;
mod denials;
mod subscribe;

use super::close::{self, Fault};
use super::codec::{self, ClientMessage, Decoded, Transport, decode};
use super::settings::Settings;
use crate::action::{Action, Actions, End, Input, Subscriptions};
use crate::rate::take_token_of;
use denials::Denials;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, SocketId, Time, UnixTime};

const NEVER: Time = Time::from_micros(u64::MAX);

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    socket_id: SocketId,
    app: Arc<App>,
    settings: Arc<Settings>,
    transport: Transport,
    closed: bool,
    /// The same moment in both reckonings.
    since: (Time, UnixTime),
    /// When the bucket of messages is full again.
    messages_paid: Time,
    /// Channels that it was told to bring a signature for.
    denials: Denials,
    /// What it has asked for and is not answered yet.
    waiting: Option<Box<Waiting>>,
}

/// What a session has asked for.
#[derive(Debug)]
enum Waiting {
    /// To be on a channel.
    Join {
        channel: ChannelName,
        /// As the client wrote it.
        spelled: String,
        member_id: String,
    },
    /// To be off one.
    Leave { channel: ChannelName, spelled: String, then: command::Rest },
    /// For a command to be run.
    Command,
}

impl Session {
    /// A session of `app`, whose messages travel by `transport`. `now` and `unix` are the same moment. Feed it [`Input::Opened`] first.
    #[must_use]
    pub fn new(app: Arc<App>, socket_id: SocketId, transport: Transport, settings: Arc<Settings>, now: Time, unix: UnixTime) -> Self {
        Self {
            socket_id,
            app,
            settings,
            transport,
            closed: false,
            since: (now, unix),
            messages_paid: Time::ZERO,
            denials: Denials::default(),
            waiting: None,
        }
    }

    /// The name of the connection.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// How its messages travel.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The longest message it takes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.settings.message_bytes
    }

    /// When to feed [`Input::Tick`] if nothing else happens first: never, as heartbeats are the transport's.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        NEVER
    }

    /// Takes one input and queues all it gives rise to. After [`Action::Close`] nothing does.
    pub fn receive(&mut self, input: Input<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        if self.closed {
            return;
        }
        match input {
            Input::Opened => actions.push_back(Action::Send(codec::connect(self.socket_id, self.transport))),
            Input::Text(text) => self.message(Some(text), subscriptions, now, actions),
            // Over a raw WebSocket bytes are read as text (S-6.9).
            Input::Binary(bytes) => self.message(std::str::from_utf8(bytes).ok(), subscriptions, now, actions),
            Input::NotText => self.message(None, subscriptions, now, actions),
            Input::Subscribed { channel, answer } => self.subscribed(channel, answer, subscriptions, actions),
            Input::Unsubscribed(channel) => self.unsubscribed(channel, subscriptions, actions),
            Input::Commanded(answer) => self.commanded(answer, subscriptions, actions),
            Input::Reloaded(app) if app.enabled && app.dialects.pushy => self.app = app,
            Input::Reloaded(_) => self.close(End::AppDisabled, actions),
            Input::End(end) => self.close(end, actions),
            // What this dialect has no words for.
            Input::Ping | Input::Pong(_) | Input::Tick | Input::SignedIn(_) | Input::Watched { .. } => {}
            Input::Answered(_) | Input::Taken | Input::NotStored { .. } | Input::Follow { .. } => {}
        }
    }

    /// A message of the peer, which is none if it is no text.
    fn message(&mut self, text: Option<&str>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        let (rate, burst) = (self.settings.commands_per_second, self.settings.commands_burst);
        let done = if take_token_of(&mut self.messages_paid, rate, burst, now) {
            text.ok_or(Fault::Bogus).and_then(decode).and_then(|message| self.command(message, subscriptions, now, actions))
        } else {
            Err(Fault::TooMany)
        };
        if let Err(fault) = done {
            actions.push_back(Action::Send(codec::error(fault)));
        }
    }

    fn command(&mut self, message: Decoded<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) -> Result<(), Fault> {
        match message {
            Decoded::Built(ClientMessage::Subscribe { channel, auth, data }) => {
                self.subscribe(&subscribe::Asked { channel, auth, data }, subscriptions, now, actions)
            }
            Decoded::Built(ClientMessage::Unsubscribe { channel }) => self.unsubscribe(channel, subscriptions, actions),
            Decoded::Custom { name, data } => self.call(name, data, actions),
            Decoded::Ignored => Ok(()),
        }
    }

    fn close(&mut self, end: End, actions: &mut Actions) {
        self.closed = true;
        actions.push_back(Action::Close(close::close(end, self.transport)));
    }
}

#[cfg(test)]
mod tests;
