//! Requests of SockJS on a connection: what needs no session is answered, the rest visits the session's shard, and the session there.

use super::requests::{Handshake, Phase, Requests};
use super::{Connection, Core, Stage, Verdict};
use crate::http::mount::{self, Mount};
use crate::http::response::Answer;
use crate::http::{self, Head, Mounted};
use crate::transport::chunked::{self, chunk};
use crate::transport::sockjs::{self, Asked, Callback, Framing, Inbound, ReceiverId, Route, Sending, Transport, WebSocketKind};
use crate::transport::websocket::Agreement;
use crate::transport::websocket::handshake::Upgrade;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use tidings_hub::UnixTime;

/// A request that a session has to do with.
pub(crate) struct Visit {
    pub(crate) mount: Arc<Mount>,
    pub(crate) session: String,
    pub(crate) errand: Errand,
}

/// What it is for.
pub(crate) enum Errand {
    /// It takes what the session has to say.
    Receive {
        framing: Framing,
        /// Whether its frames are chunks, as in HTTP/1.1.
        chunked: bool,
        /// The head of the response, and what comes before all frames.
        head: Bytes,
        hello: Hello,
        /// What is answered where there is no room for another session.
        full: Bytes,
    },
    /// It brings messages.
    Send {
        messages: Vec<Inbound<'static>>,
        /// The answer if there is such a session.
        sent: Bytes,
        /// And if not.
        unknown: Bytes,
    },
}

/// What a client says of itself in its first request.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) origin: Option<String>,
    pub(crate) forwarded_proto: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// The client's address, as far as it is known.
    pub(crate) address: Option<IpAddr>,
}

/// A response that takes what a session has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receiving {
    /// The slot of the session's connection.
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) id: ReceiverId,
    /// Each frame is a chunk; without, the end of the connection is the end of the response.
    pub(crate) chunked: bool,
}

/// An answer of SockJS as all others are written.
impl From<sockjs::Answer> for Answer {
    fn from(answer: sockjs::Answer) -> Self {
        let headers = answer.headers.into_iter().map(|(name, value)| (name, value.into_owned())).collect();
        Self { headers, ..Self { content_type: answer.content_type.unwrap_or_default(), body: answer.body, ..Self::empty(answer.status) } }
    }
}

impl Connection {
    /// Answers a request below a path of SockJS, as far as that needs no session. `rest` is what was read behind it.
    pub(super) fn answer_mounted(&mut self, mounted: &Mounted<'_>, rest: &[u8], core: &mut Core) -> Verdict {
        let Mounted { head, mount, found, route, asked, body, .. } = mounted;
        let name = route.as_ref().ok().and_then(|route| mount::session_name(found, route));
        let service = &mount.service;
        let now = crate::clock::unix_time();
        let Some(body) = body else {
            let answer = match route {
                Ok(Route::Send { how, .. }) => service.unsent(sockjs::Unsent::TooLarge, *how, asked).into(),
                _ => Answer::text(413, &b"The body is too large, or cannot be read.\n"[..]),
            };
            return self.reject(&answer, core);
        };
        let route = match route {
            Ok(route) => *route,
            Err(missing) => return self.answer_plain(sockjs::Answer::from(*missing), head, core),
        };
        let errand = match (route, name) {
            (Route::Receive { transport, .. }, Some(name)) => (self.receive_errand(mounted, transport, core), name),
            (Route::Send { how, .. }, Some(name)) => (self.send_errand(mount, head, asked, how, body, core), name),
            (Route::WebSocket | Route::RawWebSocket, _) => return self.open_websocket(mounted, route, core),
            _ => return self.answer_plain(without_session(mount, route, asked, now), head, core),
        };
        match errand {
            (Ok(errand), session) => {
                let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
                requests.keep_rest(rest, head);
                Verdict::Visit(Box::new(Visit { mount: Arc::clone(mount), session, errand }))
            }
            (Err(answer), _) => self.answer_plain(answer, head, core),
        }
    }

    /// Answers a handshake of WebSocket. What was read behind it is the session's.
    fn open_websocket(&mut self, mounted: &Mounted<'_>, route: Route<'_>, core: &mut Core) -> Verdict {
        let Mounted { head, mount, upgrade, .. } = mounted;
        let upgrade = match upgrade {
            Ok(upgrade) => Upgrade { deflate: upgrade.deflate.filter(|_| mount.service.settings().permessage_deflate), ..*upgrade },
            Err(refusal) => return self.answer_last(mount.service.bad_upgrade(route, *refusal), core),
        };
        if let Err(answer) = mount.service.admit_websocket(head.origin) {
            return self.answer_last(answer, core);
        }
        if !self.is_admitted(head, core) {
            return self.answer_last(mount.service.full(Transport::WebSocket, &mounted.asked), core);
        }
        let kind = if route == Route::RawWebSocket { WebSocketKind::Raw } else { WebSocketKind::Framed };
        self.upgrade_mounted(mounted, kind, (&upgrade.response(), upgrade.deflate), core);
        Verdict::Keep
    }

    /// Opens the session of a handshake that is complete. `response` is the rest of the answer, and what it agrees to.
    pub(super) fn upgrade_mounted(
        &mut self,
        mounted: &Mounted<'_>,
        kind: WebSocketKind,
        response: (&[u8], Option<Agreement>),
        core: &mut Core,
    ) {
        let Mounted { head, mount, found, .. } = mounted;
        let path = format!("/app/{}", found.key);
        let headers: Vec<_> = mounted.headers.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
        let handshake =
            Handshake { path: &path, query: head.query, origin: head.origin, forwarded_proto: head.forwarded_proto, headers: &headers };
        self.open_framed(&handshake, mount, kind, response, core);
    }

    /// Answers, then takes no more requests.
    pub(super) fn answer_last(&mut self, answer: sockjs::Answer, core: &mut Core) -> Verdict {
        self.reject(&Answer::from(answer), core)
    }

    fn answer_plain(&mut self, answer: sockjs::Answer, head: &Head<'_>, core: &mut Core) -> Verdict {
        let response = self.written(answer, head, core);
        self.push(response, core);
        if self.keeps_alive(head, core) { Verdict::Keep } else { self.finish(core) }
    }

    fn keeps_alive(&self, head: &Head<'_>, core: &Core) -> bool {
        head.keep_alive && !core.node.is_draining()
    }

    fn written(&self, answer: sockjs::Answer, head: &Head<'_>, core: &mut Core) -> Bytes {
        let mut answer = Answer::from(answer);
        if !head.is_current && self.keeps_alive(head, core) {
            answer.headers.push(("connection", "keep-alive".to_owned()));
        }
        core.responses.write(&answer, self.keeps_alive(head, core), core.now)
    }

    fn receive_errand(&self, mounted: &Mounted<'_>, transport: Transport, core: &mut Core) -> Result<Errand, sockjs::Answer> {
        let Mounted { head, mount, found, asked, .. } = mounted;
        let callback = || Callback::of_query(head.query).map_err(|bad| mount.service.bad_callback(bad, transport, asked));
        let framing = match transport {
            Transport::XhrStreaming => Framing::XhrStreaming,
            Transport::EventSource => Framing::EventSource,
            Transport::HtmlFile => Framing::HtmlFile(callback()?),
            Transport::Jsonp => Framing::Jsonp(callback()?),
            Transport::Xhr | Transport::WebSocket | Transport::RawWebSocket => Framing::Xhr,
        };
        let answer = Answer::from(mount.service.receiving(&framing, asked));
        let head_bytes = core.responses.write_head(&answer, head.is_current, self.keeps_alive(head, core), core.now);
        let hello = Hello {
            path: format!("/app/{}", found.key),
            query: head.query.to_owned(),
            origin: head.origin.map(str::to_owned),
            forwarded_proto: head.forwarded_proto.map(str::to_owned),
            headers: mounted.headers.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect(),
            address: http::client_address(&self.listener, self.peer.hop, head.forwarded_for).or(self.peer.address),
        };
        let full = self.written(mount.service.full(transport, asked), head, core);
        Ok(Errand::Receive { framing, chunked: head.is_current, head: head_bytes, hello, full })
    }

    fn send_errand(
        &self,
        mount: &Mount,
        head: &Head<'_>,
        asked: &Asked<'_>,
        how: Sending,
        body: &[u8],
        core: &mut Core,
    ) -> Result<Errand, sockjs::Answer> {
        let limits = (&**mount.service.settings()).into();
        let messages = match how {
            Sending::Xhr => sockjs::inbound::xhr_send(head.content_type, body, limits),
            Sending::Jsonp => sockjs::inbound::jsonp_send(head.content_type, body, limits),
        };
        let messages = messages.map_err(|unsent| mount.service.unsent(unsent, how, asked))?;
        Ok(Errand::Send {
            messages: messages.into_iter().map(Inbound::into_owned).collect(),
            sent: self.written(mount.service.sent(how, asked), head, core),
            unknown: self.written(mount.service.unknown_session(how, asked), head, core),
        })
    }

    /// Notes whether the peer says nothing more; what it said before may not be read yet.
    pub(crate) fn note_hang_up(&mut self, hung_up: bool) {
        if let Stage::Http(requests) = &mut self.stage {
            requests.hung_up |= hung_up;
        }
    }

    /// Whether it waits for frames that the peer does not wait for any more.
    pub(crate) fn receives_in_vain(&self) -> bool {
        matches!(&self.stage, Stage::Http(requests) if requests.hung_up && requests.phase == Phase::Receiving)
    }

    /// Begins a response that a session will fill.
    pub(crate) fn begin_receiving(&mut self, head: Bytes, receiving: Receiving, core: &mut Core) {
        if let Stage::Http(requests) = &mut self.stage {
            requests.receive_for(receiving);
            self.push(head, core);
        }
    }

    /// What this connection takes frames for.
    pub(crate) fn receiving(&self) -> Option<Receiving> {
        match &self.stage {
            Stage::Http(requests) => requests.receiving,
            _ => None,
        }
    }

    /// Sends a frame of the session that the response is for.
    pub(crate) fn frame(&mut self, frame: &[u8], core: &mut Core) {
        let Some(receiving) = self.receiving() else { return };
        let bytes = if receiving.chunked { chunk(frame) } else { Bytes::copy_from_slice(frame) };
        self.push(bytes, core);
    }

    /// The response is whole. The connection may go on to other requests.
    pub(crate) fn end_receiving(&mut self, core: &mut Core) {
        let Some(receiving) = self.receiving() else { return };
        if receiving.chunked {
            self.push(Bytes::from_static(chunked::END), core);
        }
        let Stage::Http(requests) = &mut self.stage else { return };
        if receiving.chunked && requests.keep_alive && !core.node.is_draining() {
            requests.enter(Phase::Writing, core.node.limits.idle_timeout, core.now);
        } else {
            self.finish(core);
        }
        core.outgoing.touch(self.slot);
    }

    /// Answers a request that brought messages, and goes on.
    pub(crate) fn end_visit(&mut self, response: Bytes, core: &mut Core) -> Verdict {
        self.push(response, core);
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        if !requests.keep_alive || core.node.is_draining() {
            return self.finish(core);
        }
        requests.phase = Phase::Turn;
        Verdict::Again
    }
}

impl Requests {
    /// Keeps what was read behind a request that is answered later.
    fn keep_rest(&mut self, rest: &[u8], head: &Head<'_>) {
        self.keep(rest);
        self.keep_alive = head.keep_alive;
    }

    fn receive_for(&mut self, receiving: Receiving) {
        self.phase = Phase::Receiving;
        self.deadline = super::NEVER;
        self.receiving = Some(receiving);
    }
}

fn without_session(mount: &Mount, route: Route<'_>, asked: &Asked<'_>, now: UnixTime) -> sockjs::Answer {
    let service = &mount.service;
    match route {
        Route::Greeting => service.greeting(),
        Route::Info => service.info(asked, u32::from_le_bytes(crate::chance::bytes())),
        Route::InfoOptions => service.info_options(asked, now),
        Route::Iframe => service.iframe(asked, now),
        Route::SessionOptions => service.session_options(asked, now),
        Route::WebSocket | Route::RawWebSocket | Route::Receive { .. } | Route::Send { .. } => sockjs::Answer::from(sockjs::Missing::Path),
    }
}
