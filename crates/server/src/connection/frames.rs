//! What a peer says over a WebSocket.

use super::framed::Framed;
use super::open::Open;
use super::{Connection, Core, Stage, Verdict};
use crate::transport::websocket::{Inflater, Message, frame};
use tidings_dialect::action::Input;

impl Connection {
    pub(super) fn receive_frames(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::Session(open) = &mut self.stage else { return Verdict::Keep };
        // Behind the request for a stream nothing is expected.
        if open.session.body().is_some() {
            if open.awaits && core.outgoing.owed(self.slot) == 0 {
                open.awaits = false;
                self.step(Input::Taken, core);
            }
            return Verdict::Keep;
        }
        if open.framed().is_some_and(Framed::is_draft) {
            return self.receive_draft(input, core);
        }
        let is_framed = open.framed().is_some();
        let own = || open.session.message_bytes_max(&open.app.app);
        let max = open.framed().map_or_else(own, |framed| framed.message_bytes_max());
        let mut decoder = std::mem::take(&mut open.decoder);
        let mut messages = decoder.feed(input, max, inflater);
        if is_framed {
            self.framed_heard();
        }
        loop {
            if let Stage::Session(Open { waiting: Some(unread), .. }) = &mut self.stage {
                unread.bytes.extend_from_slice(messages.rest());
                break;
            }
            let message = match messages.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(fault) => {
                    if fault.code() == 1009
                        && let Some(close) = self.stage.open().and_then(|open| open.session.too_large())
                    {
                        core.outgoing.push(self.slot, frame::close(Some(close.code), &close.reason), usize::MAX);
                        self.end_session(false, core);
                        self.show_end(core);
                        break;
                    }
                    // It is the WebSocket's fault: no dialect and no frame of SockJS tells of it.
                    core.outgoing.push(self.slot, frame::close(Some(fault.code()), &fault.to_string()), usize::MAX);
                    self.end_session(false, core);
                    // Nothing behind the fault can be understood, not even the peer's own close frame.
                    self.show_end(core);
                    break;
                }
            };
            if let Stage::Closing(closing) = &mut self.stage {
                // The last word is said: all that is still heard is the peer's.
                closing.answered |= matches!(message, Message::Close { .. });
                continue;
            }
            match message {
                Message::Text(text) if is_framed => self.framed_text(text, core),
                Message::Binary(bytes) if is_framed => self.framed_binary(bytes, core),
                Message::Text(text) => self.step(Input::Text(text), core),
                Message::Binary(bytes) => self.step(Input::Binary(bytes), core),
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
            Stage::Session(open) => {
                open.decoder = decoder;
                if open.parked { Verdict::Park } else { Verdict::Keep }
            }
            Stage::Closing(closing) => {
                closing.decoder = Some(decoder);
                Verdict::Keep
            }
            _ => Verdict::Keep,
        }
    }
}
