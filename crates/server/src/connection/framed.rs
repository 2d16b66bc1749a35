//! A session of SockJS over a WebSocket: frames, or none, around the messages of the session (sockjs.md section 6).

use super::open::Open;
use super::session::LastWord;
use super::{Connection, Core, Stage};
use crate::transport::sockjs::{self, Inbound, Settings, WebSocketAction, WebSocketActions, WebSocketKind, WebSocketSession, hixie};
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
    /// By the draft of 2010: what was read of a frame that is not whole.
    pub(super) unread: Vec<u8>,
}

impl Framed {
    /// Begins; what it sends first is among the actions.
    pub(super) fn begin(settings: &Arc<Settings>, kind: WebSocketKind, now: Time) -> Self {
        let mut actions = WebSocketActions::new();
        let life = WebSocketSession::open(Arc::clone(settings), kind, now, &mut actions);
        Self { life, actions, unread: Vec::new() }
    }

    /// A message of the session, as its peer gets it.
    pub(super) fn message(&self, text: &[u8]) -> Bytes {
        message(self.life.kind(), text)
    }

    /// The longest message of the WebSocket.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.life.message_bytes_max()
    }

    pub(super) fn next_timeout(&self) -> Time {
        self.life.next_timeout()
    }

    pub(super) fn is_draft(&self) -> bool {
        self.life.kind() == WebSocketKind::Hixie
    }
}

impl Connection {
    pub(super) fn framed(&mut self) -> Option<&mut Framed> {
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

    /// Completes the upgrade, says as SockJS does why not, and closes.
    pub(super) fn framed_refuse(
        &mut self,
        settings: &Arc<Settings>,
        kind: WebSocketKind,
        response: &[u8],
        last: &LastWord,
        core: &mut Core,
    ) {
        core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        core.stats.refused.add(1);
        let (mut opened, mut closed) = (WebSocketActions::new(), WebSocketActions::new());
        let mut life = WebSocketSession::open(Arc::clone(settings), kind, core.now, &mut opened);
        life.close(sockjs::Close { code: last.close.code, reason: last.close.reason.clone() }, &mut closed);
        let why = last.frame.iter().map(|text| message(kind, text));
        let written = |action: &WebSocketAction| written(kind, action);
        for bytes in opened.iter().filter_map(written).chain(why).chain(closed.iter().filter_map(written)) {
            core.outgoing.push(self.slot, bytes, usize::MAX);
        }
        self.framed_end(kind, core);
    }

    /// Does what SockJS wants done.
    pub(super) fn perform_framed(&mut self, core: &mut Core) {
        while let Some((kind, action)) = self.framed().and_then(|framed| Some((framed.life.kind(), framed.actions.pop_front()?))) {
            match action {
                WebSocketAction::Opened => self.step(Input::Opened, core),
                WebSocketAction::Cut => core.outgoing.cut(self.slot),
                WebSocketAction::Closed(_) => self.framed_end(kind, core),
                WebSocketAction::Close { .. } => {
                    if let Some(last) = written(kind, &action) {
                        core.outgoing.push(self.slot, last, usize::MAX);
                    }
                }
                WebSocketAction::Text(_) | WebSocketAction::Ping => {
                    if let Some(bytes) = written(kind, &action) {
                        self.push(bytes, core);
                    }
                }
            }
        }
    }

    fn framed_end(&mut self, kind: WebSocketKind, core: &mut Core) {
        if kind == WebSocketKind::Hixie {
            self.finish(core);
        } else {
            self.end_session(false, core);
        }
    }
}

/// A message of a session, as its peer gets it.
fn message(kind: WebSocketKind, text: &[u8]) -> Bytes {
    let quoted = || sockjs::Frame::Messages(&[super::polled::message(text)]).encode();
    match kind {
        WebSocketKind::Raw => frame::text(text),
        WebSocketKind::Framed => frame::text(quoted()),
        WebSocketKind::Hixie => hixie::text(&quoted()).into(),
    }
}

/// What an action puts on the wire, if it does.
fn written(kind: WebSocketKind, action: &WebSocketAction) -> Option<Bytes> {
    let draft = kind == WebSocketKind::Hixie;
    match action {
        WebSocketAction::Text(text) if draft => Some(hixie::text(text).into()),
        WebSocketAction::Text(text) => Some(frame::text(text)),
        WebSocketAction::Close { .. } if draft => Some(Bytes::from_static(&hixie::CLOSE)),
        WebSocketAction::Close { code, reason } => Some(frame::close(Some(*code), reason)),
        WebSocketAction::Ping => Some(frame::ping(b"")),
        WebSocketAction::Opened | WebSocketAction::Cut | WebSocketAction::Closed(_) => None,
    }
}
