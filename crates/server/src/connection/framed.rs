//! A session of SockJS over a WebSocket: frames, or none, around the messages of the session (sockjs.md section 6).

use super::open::Open;
use super::{Connection, Core, Stage};
use crate::transport::sockjs::{self, Frame, Inbound, Settings, WebSocketAction, WebSocketActions, WebSocketKind, WebSocketSession};
use crate::transport::websocket::frame;
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::action::{Close, Input};
use tidings_hub::Time;

/// What is between the WebSocket and the session.
pub(crate) struct Framed {
    life: WebSocketSession,
    /// Emptied after each call; kept for its memory.
    actions: WebSocketActions,
}

impl Framed {
    /// Begins; what it sends first is among the actions.
    pub(super) fn begin(settings: &Arc<Settings>, kind: WebSocketKind, now: Time) -> Self {
        let mut actions = WebSocketActions::new();
        Self { life: WebSocketSession::open(Arc::clone(settings), kind, now, &mut actions), actions }
    }

    /// A message of the session, as its peer gets it.
    pub(super) fn message(&self, text: &[u8]) -> Bytes {
        match self.life.kind() {
            WebSocketKind::Raw => frame::text(text),
            WebSocketKind::Framed | WebSocketKind::Hixie => frame::text(Frame::Messages(&[super::polled::message(text)]).encode()),
        }
    }

    /// The longest message of the WebSocket.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.life.message_bytes_max()
    }

    pub(super) fn next_timeout(&self) -> Time {
        self.life.next_timeout()
    }
}

impl Connection {
    fn framed(&mut self) -> Option<&mut Framed> {
        match &mut self.stage {
            Stage::Session(Open { rare: Some(rare), .. }) => rare.framed.as_mut(),
            _ => None,
        }
    }

    /// Gives the session what a text message of the WebSocket holds.
    pub(super) fn framed_text(&mut self, text: &str, core: &mut Core) {
        let Some(framed) = self.framed() else { return };
        let messages = framed.life.text(text, &mut framed.actions);
        for message in messages {
            self.step_message(if let Inbound::Text(text) = &message { Some(text) } else { None }, core);
        }
        self.perform_framed(core);
    }

    /// The same for a binary message.
    pub(super) fn framed_binary(&mut self, bytes: &[u8], core: &mut Core) {
        let Some(framed) = self.framed() else { return };
        if let Some(bytes) = framed.life.binary(bytes, &mut framed.actions) {
            self.step(Input::Binary(bytes), core);
        }
        self.perform_framed(core);
    }

    /// Anything came: the peer is there.
    pub(super) fn framed_heard(&mut self) {
        if let Some(framed) = self.framed() {
            framed.life.heard();
        }
    }

    pub(super) fn framed_tick(&mut self, core: &mut Core) {
        if let Some(framed) = self.framed() {
            framed.life.tick(core.now, &mut framed.actions);
            self.perform_framed(core);
        }
    }

    /// Closes as SockJS does. `false` if this is no session of SockJS.
    pub(super) fn framed_close(&mut self, close: &Close, core: &mut Core) -> bool {
        let Some(framed) = self.framed() else { return false };
        framed.life.close(sockjs::Close { code: close.code, reason: close.reason.clone() }, &mut framed.actions);
        self.perform_framed(core);
        true
    }

    /// Does what SockJS wants done.
    pub(super) fn perform_framed(&mut self, core: &mut Core) {
        while let Some(action) = self.framed().and_then(|framed| framed.actions.pop_front()) {
            match action {
                WebSocketAction::Opened => self.step(Input::Opened, core),
                WebSocketAction::Text(text) => self.push(frame::text(text), core),
                WebSocketAction::Ping => self.push(frame::ping(b""), core),
                WebSocketAction::Cut => core.outgoing.cut(self.slot),
                WebSocketAction::Close { code, reason } => {
                    core.outgoing.push(self.slot, frame::close(Some(code), &reason), usize::MAX);
                }
                WebSocketAction::Closed(_) => self.end_session(false, core),
            }
        }
    }
}
