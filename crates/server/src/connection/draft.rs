//! The WebSocket draft of 2010 (S-6.10): a handshake in two steps, and a session whose text stands between two bytes.

use super::open::Open;
use super::requests::Phase;
use super::{Connection, Core, Stage, Verdict};
use crate::http::{self, Mounted};
use crate::transport::sockjs::{Route, Transport, WebSocketKind, hixie};
use crate::transport::websocket::Refusal;
use bytes::Bytes;

impl Connection {
    /// Answers a handshake: its head at once, which proxies insist on, and its proof when the nonce is there. `bytes` begin with the request;
    /// once the handshake is over, gives how many of them it took.
    pub(super) fn upgrade_by_draft(
        &mut self,
        mounted: &Mounted<'_>,
        draft: Result<&hixie::Handshake, &hixie::Fault>,
        bytes: &[u8],
        core: &mut Core,
    ) -> Option<usize> {
        let Mounted { head, mount, .. } = mounted;
        let unfit = || mount.service.bad_upgrade(Route::WebSocket, Refusal::Key);
        let admitted = mount.service.admit_websocket(head.origin);
        let draft = match admitted.and_then(|()| draft.map_err(|_| unfit())) {
            Ok(draft) => draft,
            Err(answer) => {
                self.answer_last(answer, core);
                return None;
            }
        };
        let secure = http::is_secure(&self.listener, self.socket.is_tls(), self.peer.hop, head.forwarded_proto);
        let begins = matches!(&self.stage, Stage::Http(requests) if requests.phase != Phase::Nonce);
        if begins && !self.is_admitted(head, core) {
            self.answer_last(mount.service.full(Transport::WebSocket, &mounted.asked), core);
            return None;
        }
        let Stage::Http(requests) = &mut self.stage else { return None };
        if begins {
            requests.enter(Phase::Nonce, core.node.limits.header_timeout, core.now);
            let target = if head.query.is_empty() { head.path.to_owned() } else { format!("{}?{}", head.path, head.query) };
            core.outgoing.push(self.slot, draft.response(&target, secure).into(), usize::MAX);
        }
        let Some((nonce, _)) = bytes[head.len..].split_first_chunk() else {
            requests.keep(bytes);
            return None;
        };
        self.upgrade_mounted(mounted, WebSocketKind::Hixie, (&draft.proof(*nonce), None), core);
        Some(head.len + nonce.len())
    }

    /// Takes bytes of the peer once the handshake is over.
    pub(super) fn receive_draft(&mut self, input: &[u8], core: &mut Core) -> Verdict {
        let Some(framed) = self.framed() else { return Verdict::Keep };
        let max = framed.message_bytes_max();
        let mut read = std::mem::take(&mut framed.unread);
        // Who sends a long text byte by byte does not have all of it looked through each time.
        let may_end = hixie::may_end(&read, input);
        read.extend_from_slice(input);
        if !may_end && read.len() <= max {
            framed.unread = read;
            return Verdict::Keep;
        }
        self.framed_heard();
        let mut at = 0;
        loop {
            match &mut self.stage {
                Stage::Session(Open { waiting: Some(unread), .. }) => {
                    unread.bytes.extend_from_slice(&read[at..]);
                    break;
                }
                Stage::Session(_) => {}
                _ => return Verdict::Keep,
            }
            match hixie::first(&read[at..], max) {
                Ok(Some((hixie::Message::Text(text), len))) => {
                    self.framed_text(text, core);
                    at += len;
                }
                Ok(Some((hixie::Message::Close, _))) => {
                    core.outgoing.push(self.slot, Bytes::from_static(&hixie::CLOSE), usize::MAX);
                    self.end_session(true, core);
                }
                Ok(None) => {
                    if let Some(framed) = self.framed() {
                        read.drain(..at);
                        framed.unread = read;
                    }
                    break;
                }
                // There are no codes to say why.
                Err(_) => {
                    core.outgoing.push(self.slot, Bytes::from_static(&hixie::CLOSE), usize::MAX);
                    return self.finish(core);
                }
            }
        }
        match &self.stage {
            Stage::Session(open) if open.parked => Verdict::Park,
            _ => Verdict::Keep,
        }
    }
}
