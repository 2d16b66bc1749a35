//! A client's session: every input, time included, is an argument, and all it wants done are actions.

mod client_event;
mod signin;
mod subscribe;

use super::close::{Reason, error_frame};
use super::codec::{ClientMessage, ServerMessage, decode_client};
use super::handshake::Client;
use super::name::SocketIdText;
use crate::action::{Action, Actions, Input, Subscriptions};
use signin::User;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, SocketId, Time};

/// How long a client has beyond its own timeout before it is probed, and how long to answer the probe (P-16.5).
const GRACE: Duration = Duration::from_secs(30);
const NEVER: Time = Time::from_micros(u64::MAX);

/// The state of one connection. Small, for there are many that do nothing.
#[derive(Debug)]
pub struct Session {
    socket_id: SocketId,
    app: Arc<App>,
    user: Option<Box<User>>,
    /// The last sign of the peer, or the probe if one is out.
    quiet_since: Time,
    /// When the time to authorise itself began (P-15.12).
    authorize_from: Time,
    /// When the bucket of P-8.4 is full again.
    events_paid: Time,
    /// The place of the connection's key among the app's.
    key: u32,
    version: u8,
    client: Client,
    probed: bool,
    authorized: bool,
    closed: bool,
}

impl Session {
    /// A session of `app` that came in by `key` with protocol `version`. Feed it [`Input::Opened`] first.
    ///
    /// # Panics
    /// If `key` is none of the app's; the app was found by it.
    #[must_use]
    pub fn new(app: Arc<App>, key: &str, socket_id: SocketId, version: u8, client: Client, now: Time) -> Self {
        let key = place(&app, key).expect("the app was found by this key");
        Self {
            socket_id,
            app,
            user: None,
            quiet_since: now,
            authorize_from: now,
            events_paid: Time::ZERO,
            key,
            version,
            client,
            probed: false,
            authorized: false,
            closed: false,
        }
    }

    /// The name of the connection.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// The app, with the settings that hold now.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The key by which the connection came in.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.app.keys[self.key as usize].key
    }

    /// The signed-in user.
    #[must_use]
    pub fn user_id(&self) -> Option<&Arc<str>> {
        self.user.as_ref().map(|user| &user.id)
    }

    /// When to feed [`Input::Tick`] if nothing else happens first. Input of the peer only moves it later, so a timer set once may fire
    /// early: the tick then does nothing, and the timer is set anew. [`Input::Reloaded`] may move it earlier.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        if self.closed { NEVER } else { self.silence_ends().min(self.authorization_ends()) }
    }

    /// Takes one input and queues all it gives rise to. After [`Action::Close`] nothing does.
    pub fn receive(&mut self, input: Input<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        if self.closed {
            return;
        }
        match input {
            Input::Opened => self.opened(actions),
            Input::Text(text) => {
                self.heard(now);
                self.text(text, subscriptions, now, actions);
            }
            Input::Binary(_) => self.close_silently(Reason::Binary, actions),
            Input::Ping => {
                self.heard(now);
                if self.client == Client::Node {
                    send(&ServerMessage::Pong, actions);
                }
            }
            Input::Pong(_) => self.heard(now),
            Input::Subscribed { channel, answer } => self.subscribed(channel, answer, actions),
            Input::SignedIn(watched) => self.signed_in(&watched, actions),
            Input::Watched { user_id, online } => self.watched(user_id, online, actions),
            Input::Reloaded(app) => self.reloaded(app, now, actions),
            Input::End(end) => self.close(end.into(), actions),
            Input::Tick => self.tick(now, actions),
            Input::NotStored { channel, event, why } => {
                refuse(&format_args!("The event {event} on channel {channel} was not stored, and nobody got it: {why}"), actions);
            }
            // What other dialects ask for.
            Input::Unsubscribed(_) | Input::Answered(_) | Input::Taken | Input::Follow { .. } => {}
            Input::NotText | Input::Commanded(_) => {}
        }
    }

    /// The first frame, before any other (P-2.5). Versions before 7 are not told the timeout (P-2.4); zero would count as none.
    fn opened(&self, actions: &mut Actions) {
        let activity_timeout = (self.version >= 7).then(|| self.app.activity_timeout.as_secs().max(1));
        let socket_id = SocketIdText::new(self.socket_id);
        send(&ServerMessage::ConnectionEstablished { socket_id: Cow::Borrowed(socket_id.as_str()), activity_timeout }, actions);
    }

    fn text(&mut self, text: &str, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        match decode_client(text) {
            Ok(ClientMessage::Subscribe(request)) => self.subscribe(&request, subscriptions, actions),
            Ok(ClientMessage::Unsubscribe { channel }) => unsubscribe(&channel, subscriptions, actions),
            Ok(ClientMessage::Event { name, channel, data }) => {
                self.client_event(&name, &channel, data, subscriptions, now, actions);
            }
            Ok(ClientMessage::SignIn { auth, user_data }) => self.sign_in(&auth, &user_data, actions),
            Ok(ClientMessage::Ping) => send(&ServerMessage::Pong, actions),
            Ok(ClientMessage::Pong) => {}
            Err(error) => refuse(&error, actions),
        }
    }

    /// Any frame proves that the peer is alive (P-16.1).
    fn heard(&mut self, now: Time) {
        self.quiet_since = now;
        self.probed = false;
    }

    fn tick(&mut self, now: Time, actions: &mut Actions) {
        if now >= self.authorization_ends() {
            return self.close(Reason::NotAuthorized, actions);
        }
        if now < self.silence_ends() {
            return;
        }
        if self.probed {
            return self.close(Reason::PongMissed, actions);
        }
        self.quiet_since = now;
        self.probed = true;
        actions.push_back(Action::Ping(b""));
    }

    /// When the peer has been silent for too long (P-16.5).
    fn silence_ends(&self) -> Time {
        self.quiet_since + if self.probed { GRACE } else { self.app.activity_timeout + GRACE }
    }

    /// When the connection must have authorised itself (P-15.12).
    fn authorization_ends(&self) -> Time {
        if self.app.authorized_connections && !self.authorized { self.authorize_from + self.app.authorization_timeout } else { NEVER }
    }

    /// It signed in, or is on a channel that needs a signature.
    fn authorize(&mut self, actions: &mut Actions) {
        if !self.authorized && self.app.authorized_connections {
            actions.push_back(Action::Authorized);
        }
        self.authorized = true;
    }

    fn reloaded(&mut self, app: Arc<App>, now: Time, actions: &mut Actions) {
        if !app.enabled {
            return self.close(Reason::AppDisabled, actions);
        }
        let Some(key) = place(&app, self.key()).filter(|_| app.dialects.pusher) else {
            return self.close(Reason::KeyGone, actions);
        };
        if app.authorized_connections && !self.app.authorized_connections {
            self.authorize_from = now;
        }
        self.key = key;
        self.app = app;
    }

    /// A closing error is told in a frame, then in the close (P-17.2).
    fn close(&mut self, reason: Reason, actions: &mut Actions) {
        actions.push_back(Action::Send(error_frame(&reason.close())));
        self.close_silently(reason, actions);
    }

    fn close_silently(&mut self, reason: Reason, actions: &mut Actions) {
        self.closed = true;
        actions.push_back(Action::Close(reason.close()));
    }
}

fn place(app: &App, key: &str) -> Option<u32> {
    app.keys.iter().position(|pair| pair.key == key).and_then(|at| u32::try_from(at).ok())
}

/// Leaves a channel; there is no reply (P-5.10).
fn unsubscribe(channel: &str, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
    match subscriptions.find(channel) {
        Some(subscription) => actions.push_back(Action::Unsubscribe(subscription.channel.clone())),
        None => refuse(&format_args!("Not subscribed to channel {channel}"), actions),
    }
}

fn send(message: &ServerMessage<'_>, actions: &mut Actions) {
    actions.push_back(Action::Send(message.encode()));
}

/// The error without a code: a request is refused, nothing else changes (P-3.3).
fn refuse(why: &dyn std::fmt::Display, actions: &mut Actions) {
    send(&ServerMessage::Error { code: None, message: Cow::Owned(why.to_string()) }, actions);
}

#[cfg(test)]
mod tests;
