//! A stream of server-sent events: a request whose answer is a session, and grows as long as that lasts.

use super::open::Open;
use super::session::Session;
use super::{Connection, Core, Stage, Verdict};
use crate::http::response::Answer;
use crate::http::{self, Stream};
use crate::transport::chunked;
use crate::transport::websocket::Decoder;
use crate::wire::Format;
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::action::Input;
use tidings_dialect::sse;
use tidings_dialect::sse::request::{Load, Refusal, Request};
use tidings_hub::{AppId, SocketId};

impl Connection {
    /// Answers a request for a stream: what comes after the head is the session's.
    pub(super) fn answer_stream(&mut self, stream: &Stream<'_>, core: &mut Core) {
        let head = &stream.head;
        if head.method == "OPTIONS" {
            self.reject(&with_headers(Answer::empty(204), stream, true), core);
            return;
        }
        let apps = core.node.apps();
        let app = apps.by_id(&AppId::new(stream.app));
        let load = Load {
            app_full: app.is_some_and(|app| app.is_full()),
            node_full: core.node.is_full() || !self.is_admitted(head, core),
            draining: core.node.is_draining(),
            tls: http::is_secure(&self.listener, self.socket.is_tls(), self.peer.hop, head.forwarded_proto),
        };
        let request = Request { method: head.method, query: head.query, last_event_id: stream.last_event_id, origin: head.origin };
        let wanted = match sse::request::admit(app.map(|app| &*app.app), &request, load, crate::clock::unix_time()) {
            Ok(wanted) => wanted,
            Err(refusal) => {
                core.stats.refused.add(1);
                self.reject(&with_headers(refused(&refusal), stream, false), core);
                return;
            }
        };
        let app = Arc::clone(app.expect("admitted to an app that exists"));
        let socket_id = SocketId::new(core.number, self.slot as usize, crate::chance::bytes());
        let session = sse::session::Session::new(wanted, socket_id, core.node.hub.epoch(), Arc::clone(&core.node.sse), core.now);
        let body = if head.is_current { chunked::Body::Chunked } else { chunked::Body::Plain };
        let format = if session.reads_one() && head.is_current { Format::Stream } else { Format::Own };
        self.begin_stream(Session::Stream(Box::new(session), body), app, with_headers(streaming(), stream, false), format, core);
    }

    /// Sends the head of an answer that a session fills.
    pub(super) fn begin_stream(
        &mut self,
        session: Session,
        app: Arc<crate::node::AppHandle>,
        head: Answer,
        format: Format,
        core: &mut Core,
    ) {
        let is_chunked = session.body() == Some(chunked::Body::Chunked);
        // Nothing comes behind a stream: its end is that of the connection.
        let head = core.responses.write_head(&head, is_chunked, false, core.now);
        core.outgoing.push(self.slot, head, usize::MAX);
        core.outgoing.set_format(self.slot, format);
        self.stage = Stage::Session(Open::new(Decoder::default(), session, app, core));
        core.stats.handshakes.add(1);
        self.step(Input::Opened, core);
    }

    /// Ends the answer that the session was.
    pub(super) fn end_stream(&mut self, body: chunked::Body, core: &mut Core) {
        if body == chunked::Body::Chunked {
            core.outgoing.push(self.slot, Bytes::from_static(chunked::END), usize::MAX);
        }
        let Verdict::Keep = self.finish(core) else { return };
        core.outgoing.touch(self.slot);
    }
}

fn streaming() -> Answer {
    let headers = vec![("cache-control", "no-cache".to_owned()), ("x-accel-buffering", "no".to_owned())];
    Answer { headers, content_type: "text/event-stream", ..Answer::empty(200) }
}

fn refused(refusal: &Refusal) -> Answer {
    let answer = Answer::text(refusal.status(), format!("{refusal}\n"));
    match refusal {
        Refusal::Method => Answer { allow: Some("GET, OPTIONS"), ..answer },
        Refusal::Busy(_) => Answer { retry_after: Some(1), ..answer },
        _ => answer,
    }
}

/// Says which pages may read the answer: all, without credentials, as the URL alone opens it.
fn with_headers(mut answer: Answer, stream: &Stream<'_>, preflight: bool) -> Answer {
    let origin = stream.head.origin.unwrap_or("*").to_owned();
    answer.headers.extend([("vary", "Origin".to_owned()), ("access-control-allow-origin", origin)]);
    if preflight {
        answer.headers.push(("access-control-allow-methods", "GET, OPTIONS".to_owned()));
        if let Some(wanted) = stream.request_headers.filter(|wanted| !wanted.is_empty()) {
            answer.headers.push(("access-control-allow-headers", wanted.to_owned()));
        }
    }
    answer
}
