//! A session over WebSocket, with frames or without: what is above the messages (sockjs.md section 6).

use super::close::{Close, Ended};
use super::frame::Frame;
use super::inbound::{self, Inbound, Limits, Unsent};
use super::settings::{Heartbeat, Settings};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::Time;

/// How long a client has to show a sign of life after a ping (S-6.8).
const GRACE: Duration = Duration::from_secs(10);

const NEVER: Time = Time::from_micros(u64::MAX);

/// What a text message of a WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketKind {
    /// A frame (S-6.4).
    Framed,
    /// A message (S-6.9).
    Raw,
    /// A frame, by the draft of 2010, which knows no pings, no codes and no binary messages (S-6.10).
    Hixie,
}

/// What a session over WebSocket wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSocketAction {
    /// Tell the application that it has a connection.
    Opened,
    /// Send a text message.
    Text(Bytes),
    /// Send a ping without payload.
    Ping,
    /// Send nothing more of what the socket has not begun to take: it does not read.
    Cut,
    /// Send what is queued, then close the WebSocket with this code and reason. By the draft of 2010 they are not sent.
    Close {
        /// The code.
        code: u16,
        /// The reason; longer ones are cut when they are written.
        reason: Cow<'static, str>,
    },
    /// Tell the application that its connection is over. This comes once, after [`WebSocketAction::Close`] if the server closes.
    Closed(Ended),
}

/// The actions of one call. The caller owns it and reuses it.
pub type WebSocketActions = VecDeque<WebSocketAction>;

/// A session that lasts as long as its WebSocket.
#[derive(Debug)]
pub struct WebSocketSession {
    settings: Arc<Settings>,
    kind: WebSocketKind,
    over: bool,
    /// When the first ping went out since anything came.
    pinged_at: Option<Time>,
    /// When the next heartbeat goes out.
    heartbeat_at: Time,
}

impl WebSocketSession {
    /// Opens a session; the answer to the handshake is sent.
    #[must_use]
    pub fn open(settings: Arc<Settings>, kind: WebSocketKind, now: Time, actions: &mut WebSocketActions) -> Self {
        let session = Self { heartbeat_at: now + settings.heartbeat_delay, settings, kind, over: false, pinged_at: None };
        if kind != WebSocketKind::Raw {
            actions.push_back(WebSocketAction::Text(Frame::Open.encode().into()));
        }
        actions.push_back(WebSocketAction::Opened);
        session
    }

    /// What its text messages are.
    #[must_use]
    pub fn kind(&self) -> WebSocketKind {
        self.kind
    }

    /// The longest message that the WebSocket takes from the client; beyond it is closed with 1009 (S-6.5).
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        if self.kind == WebSocketKind::Raw { self.settings.message_bytes } else { self.settings.request_bytes }
    }

    /// Takes a text message, and gives those that the application gets (S-6.5).
    pub fn text<'t>(&mut self, text: &'t str, actions: &mut WebSocketActions) -> Vec<Inbound<'t>> {
        self.heard();
        if self.over {
            return Vec::new();
        }
        if self.kind == WebSocketKind::Raw {
            return vec![Inbound::Text(Cow::Borrowed(text))];
        }
        match inbound::websocket(text, Limits::from(&*self.settings)) {
            Ok(messages) => messages,
            Err(unsent) => {
                let (code, reason) = match unsent {
                    Unsent::TooLarge => (1009, "Payload too large."),
                    Unsent::Payload | Unsent::Json => (3000, "Broken framing."),
                };
                self.end(code, Cow::Borrowed(reason), Ended::Broken, actions);
                Vec::new()
            }
        }
    }

    /// Takes a binary message, and gives it back where the application gets it: without frames (S-6.9). Else it ends the session (S-6.5).
    pub fn binary<'b>(&mut self, data: &'b [u8], actions: &mut WebSocketActions) -> Option<&'b [u8]> {
        self.heard();
        if self.over {
            return None;
        }
        if self.kind == WebSocketKind::Raw {
            return Some(data);
        }
        self.end(1003, Cow::Borrowed("Binary messages are not taken."), Ended::Broken, actions);
        None
    }

    /// Anything came: a ping or pong, or part of a message.
    pub fn heard(&mut self) {
        self.pinged_at = None;
    }

    /// Sends a message: quoted where there are frames, else as it is.
    ///
    /// `owed` is how many bytes the socket has not taken yet. If that is too much already, the session closes as slow (S-8.3); one message
    /// always fits where nothing is owed.
    pub fn send(&mut self, message: Bytes, owed: usize, actions: &mut WebSocketActions) {
        if self.over {
            return;
        }
        if owed > 0 && owed + message.len() > self.settings.queue_bytes {
            actions.push_back(WebSocketAction::Cut);
            return self.close_as(Close::SLOW, Ended::Slow, actions);
        }
        let text = if self.kind == WebSocketKind::Raw { message } else { Frame::Messages(&[message]).encode().into() };
        actions.push_back(WebSocketAction::Text(text));
    }

    /// The application closes the connection. Closing again does nothing.
    pub fn close(&mut self, close: Close, actions: &mut WebSocketActions) {
        self.close_as(close, Ended::Closed, actions);
    }

    /// The server stops (S-8.5).
    pub fn shut_down(&mut self, actions: &mut WebSocketActions) {
        // A raw WebSocket has no code of ours for that.
        let close = if self.kind == WebSocketKind::Raw { Close::new(1001, "Server shutting down") } else { Close::SHUTDOWN };
        self.close(close, actions);
    }

    /// The WebSocket is gone: its client closed it, or the network, or a fault of its framing.
    pub fn left(&mut self, actions: &mut WebSocketActions) {
        if !std::mem::replace(&mut self.over, true) {
            actions.push_back(WebSocketAction::Closed(Ended::Left));
        }
    }

    /// Does what is due: a heartbeat, or the end of a client that does not answer (S-6.8). A tick that comes early does nothing.
    pub fn tick(&mut self, now: Time, actions: &mut WebSocketActions) {
        if self.over || now < self.next_timeout() {
            return;
        }
        if now >= self.silence_ends() {
            return self.close_as(Close::NO_HEARTBEAT, Ended::Silent, actions);
        }
        self.heartbeat_at = now + self.settings.heartbeat_delay;
        if self.sends_frames() {
            actions.push_back(WebSocketAction::Text(Frame::Heartbeat.encode().into()));
        }
        if self.sends_pings() {
            actions.push_back(WebSocketAction::Ping);
            self.pinged_at.get_or_insert(now);
        }
    }

    /// When [`WebSocketSession::tick`] must be called if nothing else happens first. What comes from the client only moves it later.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        if self.over { NEVER } else { self.heartbeat_at.min(self.silence_ends()) }
    }

    /// When the client has been silent for too long.
    fn silence_ends(&self) -> Time {
        self.pinged_at.map_or(NEVER, |pinged_at| pinged_at + GRACE)
    }

    fn sends_frames(&self) -> bool {
        match self.kind {
            WebSocketKind::Framed => self.settings.ws_heartbeat != Heartbeat::Ping,
            WebSocketKind::Raw => false,
            // It has nothing else.
            WebSocketKind::Hixie => true,
        }
    }

    fn sends_pings(&self) -> bool {
        match self.kind {
            WebSocketKind::Framed => self.settings.ws_heartbeat != Heartbeat::Frame,
            WebSocketKind::Raw => true,
            WebSocketKind::Hixie => false,
        }
    }

    /// Says why in a frame, where there are frames, then closes (S-6.6).
    fn close_as(&mut self, close: Close, ended: Ended, actions: &mut WebSocketActions) {
        if self.over {
            return;
        }
        if self.kind == WebSocketKind::Raw {
            return self.end(close.code, close.reason, ended, actions);
        }
        actions.push_back(WebSocketAction::Text(Frame::Close(&close).encode().into()));
        self.end(1000, Cow::Borrowed("Normal closure"), ended, actions);
    }

    fn end(&mut self, code: u16, reason: Cow<'static, str>, ended: Ended, actions: &mut WebSocketActions) {
        self.over = true;
        actions.extend([WebSocketAction::Close { code, reason }, WebSocketAction::Closed(ended)]);
    }
}

#[cfg(test)]
mod tests;
