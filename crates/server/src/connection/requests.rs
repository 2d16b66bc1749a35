//! A connection before it has become a session: requests, handshakes, and what is answered to both.

use super::framed::Framed;
use super::open::{Calls, Open};
use super::session::{LastWord, Session};
use super::trial;
use super::visit::Receiving;
use super::{Connection, Core, Stage, Verdict};
use crate::api::{self, ApiRequest, Caller};
use crate::config::Dialect;
use crate::http::mount::{Mount, Speaks};
use crate::http::proxy::{self, Proxied};
use crate::http::response::Answer;
use crate::http::{self, First, Head};
use crate::listener::Listener;
use crate::node::{AppHandle, Reply};
use crate::store::StoreError;
use crate::transport::sockjs::{Transport, WebSocketKind};
use crate::transport::websocket::handshake::{Refusal, Upgrade};
use crate::transport::websocket::{Agreement, Coding, Decoder, Inflater};
use crate::wire::Format;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::action::{Close, End, Input};
use tidings_dialect::pusher::close::Reason;
use tidings_dialect::pusher::handshake::{Hello, Load};
use tidings_dialect::{pusher, pushi, pushy};
use tidings_hub::{SocketId, Time};

/// How long a peer that is shown the end may take to see it.
const SHOWN_END: Duration = Duration::from_secs(1);
/// How long a handshake that still gets in while the server drains waits for its answer, so that clients do not come back at once.
const DRAINING_PAUSE: Duration = Duration::from_secs(1);
/// How long a commit may take before the connection is given up: the store gives up long before.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

/// A connection that has not become anything else yet.
pub(crate) struct Requests {
    /// What was read of a request that is not complete.
    pub(super) read: Vec<u8>,
    pub(super) phase: Phase,
    /// When the server's patience with the phase ends.
    pub(super) deadline: Time,
    /// The PROXY header comes first.
    proxied: bool,
    /// The peer of a request that is answered later goes on afterwards.
    pub(super) keep_alive: bool,
    /// The peer says nothing more.
    pub(super) hung_up: bool,
    /// What the response under way takes frames for.
    pub(super) receiving: Option<Receiving>,
}

/// What became of a publish over Pushi's REST API.
enum Published {
    /// It waits for its commit.
    Waits,
    Answered(Answer),
    /// Its session was not seen lately: others look for it.
    Unknown,
}

/// What a connection between sessions waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Room for what a complete request publishes.
    Room,
    /// What a session has to say, as long as it has.
    Receiving,
    /// The store's word on what a complete request publishes.
    Commit,
    /// The rest of a handshake by the draft of 2010, whose answer has begun.
    Nonce,
    /// The moment to refuse a handshake: the server drains.
    Refusal,
    /// What was answered to be written, before the next request is looked at.
    Writing,
    /// Its turn: all that was answered is written.
    Turn,
}

/// Which dialect a handshake is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken<'p> {
    Pusher,
    /// With the key.
    Pushi(&'p str),
}

impl<'p> Spoken<'p> {
    /// The dialect of a handshake for this path, with the listener's prefix, and query; `None` if the listener speaks none that it could be.
    pub(crate) fn of(listener: &Listener, path: &'p str, query: &str) -> Option<Self> {
        let key = pushi::handshake::key(listener.strip(path), query).filter(|_| listener.speaks(&Dialect::Pushi));
        key.map(Self::Pushi).or_else(|| listener.speaks(&Dialect::Pusher).then_some(Self::Pusher))
    }
}

/// What a client says as it comes in.
pub(crate) struct Handshake<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) origin: Option<&'a str>,
    pub(crate) forwarded_proto: Option<&'a str>,
    /// What an application may know of its headers (S-3.9); of a plain WebSocket nothing.
    pub(crate) headers: &'a [(String, String)],
}

impl Requests {
    pub(crate) fn new(read: Vec<u8>, proxied: bool, deadline: Time) -> Self {
        Self { read, phase: Phase::Head, deadline, proxied, keep_alive: true, hung_up: false, receiving: None }
    }

    /// Enters a phase, which must end within `patience`; staying in it gains no time.
    pub(super) fn enter(&mut self, phase: Phase, patience: Duration, now: Time) {
        if self.phase != phase {
            (self.phase, self.deadline) = (phase, now + patience);
        }
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) -> Verdict {
        self.read.clear();
        self.read.extend_from_slice(bytes);
        Verdict::Keep
    }
}

impl Connection {
    /// Takes bytes of requests. Works on them where they were read, unless a request came in pieces.
    pub(super) fn receive_requests(&mut self, input: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        if requests.read.is_empty() {
            return self.answer_requests(input, core, inflater);
        }
        let mut bytes = std::mem::take(&mut requests.read);
        bytes.extend_from_slice(input);
        self.answer_requests(&mut bytes, core, inflater)
    }

    fn answer_requests(&mut self, mut bytes: &mut [u8], core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let mut answered = 0;
        loop {
            let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
            let limits = &core.node.limits;
            if requests.phase == Phase::Refusal {
                return if bytes.len() > limits.header_bytes { Verdict::Drop } else { requests.keep(bytes) };
            }
            // What is pipelined behind a publish is answered after it, whoever looks here meanwhile.
            if requests.phase == Phase::Commit {
                return requests.keep(bytes);
            }
            if requests.proxied {
                match proxy::read(bytes) {
                    Proxied::Partial => return requests.keep(bytes),
                    Proxied::Bad => return Verdict::Drop,
                    Proxied::Header { len, address } => {
                        requests.proxied = false;
                        bytes = &mut bytes[len..];
                        if self.peer.was_named(address, &core.node, &self.listener).is_err() {
                            return Verdict::Drop;
                        }
                        continue;
                    }
                }
            }
            if bytes.is_empty() {
                requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                return Verdict::Keep;
            }
            // A peer that does not take its answers is not read either: they would pile up.
            let is_begun = requests.phase == Phase::Nonce;
            if !is_begun && (answered >= limits.pipelined_requests || core.outgoing.is_blocked(self.slot)) {
                requests.enter(Phase::Writing, limits.idle_timeout, core.now);
                return requests.keep(bytes);
            }
            let len = match http::first(bytes, &self.listener, limits.headers, limits.header_bytes) {
                First::Partial { head: true } => {
                    requests.enter(Phase::Body, limits.body_timeout, core.now);
                    return requests.keep(bytes);
                }
                First::Partial { head: false } => {
                    requests.enter(Phase::Head, limits.header_timeout, core.now);
                    return requests.keep(bytes);
                }
                First::TooLarge => return self.reject(&Answer::text(431, &b"The head of the request is too large.\n"[..]), core),
                First::Bad(why) => return self.reject(&Answer::text(400, format!("{why}\n")), core),
                First::Other => return self.leave_to_service(bytes, core),
                First::Publish(..) | First::PushiPublish(..) if !core.node.has_room() => {
                    requests.enter(Phase::Room, limits.publish_wait, core.now);
                    requests.keep(bytes);
                    return Verdict::Park;
                }
                First::Mounted(mounted) => {
                    let len = mounted.head.len;
                    if let Some(shard) = mounted.shard(&core.node).filter(|shard| *shard != core.number) {
                        if core.outgoing.owed(self.slot) > 0 {
                            requests.enter(Phase::Writing, limits.idle_timeout, core.now);
                            return requests.keep(bytes);
                        }
                        return Verdict::Move { shard, read: bytes.to_vec() };
                    }
                    if mounted.brings_messages() && !core.node.has_room() {
                        requests.enter(Phase::Room, limits.publish_wait, core.now);
                        requests.keep(bytes);
                        return Verdict::Park;
                    }
                    if let Some(draft) = &mounted.draft {
                        return match self.upgrade_by_draft(&mounted, draft.as_ref(), bytes, core) {
                            Some(len) => self.receive(&mut bytes[len..], core, inflater),
                            None => Verdict::Keep,
                        };
                    }
                    requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                    match self.answer_mounted(&mounted, &bytes[len..], core) {
                        Verdict::Keep if !matches!(self.stage, Stage::Http(_)) => return self.receive(&mut bytes[len..], core, inflater),
                        Verdict::Keep => len,
                        verdict => return verdict,
                    }
                }
                First::Publish(head, body) => {
                    requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                    match self.answer_publish(&head, body, core) {
                        Some(Verdict::Keep) => head.len,
                        Some(verdict) => return verdict,
                        None => return self.leave_to_service(bytes, core),
                    }
                }
                First::PushiPublish(head, body) => {
                    let len = head.len;
                    match self.publish_pushi(&head, body, core) {
                        Published::Unknown => return self.leave_to_service(bytes, core),
                        Published::Waits => {
                            let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
                            requests.keep_alive = head.keep_alive;
                            requests.enter(Phase::Commit, COMMIT_PATIENCE, core.now);
                            return requests.keep(&bytes[len..]);
                        }
                        Published::Answered(answer) => match self.answer_pushi(&answer, head.keep_alive, core) {
                            Verdict::Keep => len,
                            verdict => return verdict,
                        },
                    }
                }
                First::Stream(stream) => {
                    let len = stream.head.len;
                    self.answer_stream(&stream, core);
                    return self.receive(&mut bytes[len..], core, inflater);
                }
                First::Relayed(relayed) => {
                    let len = relayed.head.len;
                    requests.enter(Phase::Idle, limits.idle_timeout, core.now);
                    self.answer_relayed(&relayed, core);
                    if !matches!(self.stage, Stage::Http(_)) {
                        return self.receive(&mut bytes[len..], core, inflater);
                    }
                    len
                }
                First::Upgrade(head, upgrade) => {
                    if core.node.is_draining() && upgrade.is_ok() {
                        requests.enter(Phase::Refusal, DRAINING_PAUSE, core.now);
                        return requests.keep(bytes);
                    }
                    let len = head.len;
                    self.upgrade(&head, upgrade, core);
                    return self.receive(&mut bytes[len..], core, inflater);
                }
            };
            answered += 1;
            bytes = &mut bytes[len..];
        }
    }

    /// Gives the service what was read, once all that was answered here is written: it knows nothing of that.
    fn leave_to_service(&mut self, bytes: &[u8], core: &Core) -> Verdict {
        match &mut self.stage {
            Stage::Http(requests) if core.outgoing.owed(self.slot) > 0 => {
                requests.enter(Phase::Writing, core.node.limits.idle_timeout, core.now);
                requests.keep(bytes)
            }
            _ => Verdict::HandOver(bytes.to_vec()),
        }
    }

    /// `None` if it has to wait for the store.
    fn answer_publish(&mut self, head: &Head<'_>, body: &[u8], core: &mut Core) -> Option<Verdict> {
        let keep_alive = head.keep_alive && !core.node.is_draining();
        let Head { method, path, query, .. } = *head;
        let caller = Caller { peer: self.peer.address, forwarded_for: head.forwarded_for, library: None };
        let request = ApiRequest { method, path, query, body, caller };
        let answer = api::answer_now(&core.node, &self.listener, &core.stats.answered, &request)?;
        let response = core.responses.write(&answer, keep_alive, core.now);
        self.push(response, core);
        Some(if keep_alive { Verdict::Keep } else { self.finish(core) })
    }

    /// Publishes what a session that is known asks for. What is stored is answered when it is.
    fn publish_pushi(&self, head: &Head<'_>, body: &[u8], core: &Core) -> Published {
        let request = pushi::api::Request {
            method: head.method,
            path: self.listener.strip(head.path),
            query: head.query,
            content_type: head.content_type,
            cookie: head.cookie,
            session_header: head.session,
            body,
        };
        let Ok(received) = pushi::api::receive(&request) else { return Published::Unknown };
        let known = received.session_token.as_deref().and_then(|token| core.node.logins.known(&core.node, token));
        let Some(app) = known.filter(|_| head.origin.is_none()) else { return Published::Unknown };
        let reply = Reply::Request { shard: core.number, slot: self.slot, generation: self.generation };
        match api::pushi::publish_now(&core.node, &app, &received, reply) {
            Some(answer) => Published::Answered(answer),
            None => Published::Waits,
        }
    }

    /// What became of a publish that was to be stored.
    pub(crate) fn stored(&mut self, outcome: Result<(), StoreError>, core: &mut Core) -> Verdict {
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        if requests.phase != Phase::Commit {
            return Verdict::Keep;
        }
        requests.phase = Phase::Turn;
        let keep_alive = requests.keep_alive;
        self.answer_pushi(&api::pushi::stored(outcome), keep_alive, core)
    }

    fn answer_pushi(&mut self, answer: &Answer, keep_alive: bool, core: &mut Core) -> Verdict {
        core.stats.answered.add(answer.status);
        let keep_alive = keep_alive && !core.node.is_draining();
        let mut headers = answer.headers.clone();
        headers.push(("access-control-allow-origin", "*".to_owned()));
        let response = core.responses.write(&Answer { headers, ..answer.clone() }, keep_alive, core.now);
        self.push(response, core);
        if keep_alive { Verdict::Keep } else { self.finish(core) }
    }

    /// Answers, then takes no more requests.
    pub(super) fn reject(&mut self, answer: &Answer, core: &mut Core) -> Verdict {
        let response = core.responses.write(answer, false, core.now);
        self.push(response, core);
        self.finish(core)
    }

    /// Sends what is owed, then ends.
    pub(super) fn finish(&mut self, core: &mut Core) -> Verdict {
        self.end_session(false, core);
        self.show_end(core);
        if let Stage::Closing(closing) = &mut self.stage {
            closing.decoder = None;
        }
        Verdict::Keep
    }

    /// Has the peer shown the end once all is sent.
    pub(super) fn show_end(&mut self, core: &Core) {
        if let Stage::Closing(closing) = &mut self.stage {
            closing.show_end = true;
            closing.until = core.now + core.node.limits.close_wait.min(SHOWN_END);
        }
    }

    pub(super) fn requests_overdue(&mut self, core: &mut Core, inflater: &mut Inflater) -> Verdict {
        let Stage::Http(requests) = &mut self.stage else { return Verdict::Keep };
        match requests.phase {
            // Between requests nothing is owed, not even an explanation; and who takes no answers takes none about that.
            // The store says nothing any more: neither can we.
            Phase::Idle | Phase::Commit | Phase::Nonce | Phase::Writing | Phase::Turn | Phase::Receiving => Verdict::Drop,
            Phase::Head if requests.read.is_empty() => Verdict::Drop,
            Phase::Head | Phase::Body => {
                if requests.phase == Phase::Body {
                    core.stats.answered.add(408);
                }
                self.reject(&Answer::text(408, &b"The request took too long to arrive.\n"[..]), core)
            }
            Phase::Room => {
                let answer = Answer::no_room();
                let limits = &core.node.limits;
                let first = http::first(&requests.read, &self.listener, limits.headers, limits.header_bytes);
                if let First::Publish(Head { method, path, query, forwarded_for, .. }, body) = first {
                    let caller = Caller { peer: self.peer.address, forwarded_for, library: None };
                    let request = ApiRequest { method, path, query, body, caller };
                    api::refused(&self.listener, &core.stats.answered, &request, answer.status);
                }
                self.reject(&answer, core)
            }
            Phase::Refusal => {
                let mut bytes = std::mem::take(&mut requests.read);
                let limits = &core.node.limits;
                let First::Upgrade(head, Ok(upgrade)) = http::first(&bytes, &self.listener, limits.headers, limits.header_bytes) else {
                    return Verdict::Drop;
                };
                let len = head.len;
                let listener = Arc::clone(&self.listener);
                let last = match Spoken::of(&listener, head.path, head.query) {
                    Some(Spoken::Pushi(_)) => LastWord::pushi(pushi::close::Reason::Draining),
                    _ => LastWord::pusher(Reason::Draining.close()),
                };
                self.refuse(&upgrade.response(), &last, core);
                self.receive(&mut bytes[len..], core, inflater)
            }
        }
    }

    /// Whether the client that a proxy speaks for, if one does, may have another connection.
    pub(super) fn is_admitted(&mut self, head: &Head<'_>, core: &Core) -> bool {
        let client = http::client_address(&self.listener, self.peer.hop, head.forwarded_for);
        client == self.peer.address || self.peer.came_through_proxy(client, &core.node, &self.listener).is_ok()
    }

    /// Answers a WebSocket handshake (P-2.3): whoever is refused gets the upgrade first, then the reason.
    fn upgrade(&mut self, head: &Head<'_>, upgrade: Result<Upgrade<'_>, Refusal>, core: &mut Core) {
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(refusal) => {
                self.push(http::response::refused_upgrade(refusal), core);
                self.finish(core);
                return;
            }
        };
        if !self.is_admitted(head, core) {
            return self.refuse(&upgrade.response(), &LastWord::pusher(Reason::NodeFull.close()), core);
        }
        let listener = Arc::clone(&self.listener);
        let Some(spoken) = Spoken::of(&listener, head.path, head.query) else {
            self.reject(&Answer::text(404, &b"There is nothing to connect to here.\n"[..]), core);
            return;
        };
        let deflate = upgrade.deflate.filter(|_| core.node.compression && spoken == Spoken::Pusher);
        let handshake =
            Handshake { path: head.path, query: head.query, origin: head.origin, forwarded_proto: head.forwarded_proto, headers: &[] };
        self.open_session(&handshake, &Upgrade { deflate, ..upgrade }.response(), deflate, core);
    }

    /// Opens a session, or refuses it. `response` is empty where somebody else has sent it.
    pub(crate) fn open_session(&mut self, handshake: &Handshake<'_>, response: &[u8], deflate: Option<Agreement>, core: &mut Core) {
        let socket_id = SocketId::new(core.number, self.slot as usize, crate::chance::bytes());
        let listener = Arc::clone(&self.listener);
        let opened = match Spoken::of(&listener, handshake.path, handshake.query) {
            Some(Spoken::Pushi(key)) => self.open_pushi(key, handshake, socket_id, core),
            _ => self.open_pusher(handshake, socket_id, core),
        };
        let (app, session) = match opened {
            Ok(opened) => opened,
            Err(last) => return self.refuse(response, &last, core),
        };
        if !response.is_empty() {
            core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        }
        let format = match &session {
            Session::Pusher(_) => Format::default().deflated(deflate),
            Session::Pushi(_) => Format::Pushi,
            // They come by other ways.
            Session::Pushy(_) | Session::Stream(..) | Session::Relayed(_) | Session::Trial(_) => Format::default(),
        };
        core.outgoing.set_format(self.slot, format);
        let coding = if deflate.is_some() { Coding::Deflated } else { Coding::Plain };
        self.stage = Stage::Session(Open::new(Decoder::new(coding), session, app, core));
        core.stats.handshakes.add(1);
        self.step(Input::Opened, core);
    }

    /// Opens a session over HTTP, or says why not.
    pub(super) fn open_polled(&mut self, handshake: &Handshake<'_>, mount: &Mount, transport: Transport, core: &mut Core) {
        match self.open_mounted(handshake, mount, transport, core) {
            Err(last) => {
                core.stats.refused.add(1);
                self.last_word(&last, core);
            }
            Ok(open) => {
                let format = if let Session::Pushy(_) = open.session { Format::PushyQuoted } else { Format::Quoted };
                core.outgoing.set_format(self.slot, format);
                if let Some(polled) = self.polled() {
                    polled.open = Some(open);
                }
                core.stats.handshakes.add(1);
                self.step(Input::Opened, core);
            }
        }
    }

    /// Opens a session of SockJS over a WebSocket.
    pub(super) fn open_framed(
        &mut self,
        handshake: &Handshake<'_>,
        mount: &Mount,
        kind: WebSocketKind,
        (response, deflate): (&[u8], Option<Agreement>),
        core: &mut Core,
    ) {
        let transport = if kind == WebSocketKind::Raw { Transport::RawWebSocket } else { Transport::WebSocket };
        let mut open = match self.open_mounted(handshake, mount, transport, core) {
            Ok(opened) => opened,
            Err(last) => return self.framed_refuse(mount.service.settings(), kind, response, &last, core),
        };
        core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        let format = match kind {
            WebSocketKind::Raw => Format::Pushy,
            WebSocketKind::Framed => Format::PushyFramed,
            WebSocketKind::Hixie => Format::PushyDraft,
        };
        core.outgoing.set_format(self.slot, format.deflated(deflate));
        if deflate.is_some() {
            open.decoder = Decoder::new(Coding::Deflated);
        }
        open.rare.get_or_insert_default().framed = Some(Framed::begin(mount.service.settings(), kind, core.now));
        self.stage = Stage::Session(open);
        core.stats.handshakes.add(1);
        self.perform_framed(core);
    }

    fn open_mounted(&self, handshake: &Handshake<'_>, mount: &Mount, transport: Transport, core: &Core) -> Result<Open, LastWord> {
        let socket_id = SocketId::new(core.number, self.slot as usize, crate::chance::bytes());
        let decoder = || Decoder::new(Coding::Plain);
        match &mount.speaks {
            Speaks::Pusher | Speaks::PusherLobby => {
                let (app, session) = self.open_pusher(handshake, socket_id, core)?;
                Ok(Open::new(decoder(), session, app, core))
            }
            Speaks::Pushy(service) => {
                let transport = pushy_transport(transport);
                let refused = |end| Err(LastWord::pushy(end, transport));
                let apps = core.node.apps();
                let app = apps.by_id(&service.config.app).filter(|app| app.app.enabled && app.app.dialects.pushy);
                let app = match app {
                    _ if core.node.is_draining() => return refused(End::Draining),
                    None => return refused(End::AppDisabled),
                    Some(app) if app.is_full() || core.node.is_full() => return refused(End::OverQuota),
                    Some(app) => Arc::clone(app),
                };
                let settings = Arc::clone(&service.session);
                let unix = crate::clock::unix_time();
                let session = pushy::session::Session::new(Arc::clone(&app.app), socket_id, transport, settings, core.now, unix);
                let mut open = Open::new(decoder(), Session::Pushy(Box::new(session)), app, core);
                let headers = handshake.headers.to_vec();
                let calls = Calls { service: Arc::clone(service), transport, address: self.peer.address, headers };
                open.rare.get_or_insert_default().calls = Some(calls);
                Ok(open)
            }
            Speaks::Trial(service) => {
                let apps = core.node.apps();
                let app = apps.iter().next().ok_or_else(|| LastWord::pusher(Reason::UnknownKey.close()))?;
                Ok(Open::new(decoder(), Session::Trial(trial::Session::new(*service, socket_id, transport)), Arc::clone(app), core))
            }
        }
    }

    fn open_pusher(&self, handshake: &Handshake<'_>, socket_id: SocketId, core: &Core) -> Result<(Arc<AppHandle>, Session), LastWord> {
        let (app, hello, version) = self.admit(handshake, core).map_err(LastWord::pusher)?;
        let session = pusher::session::Session::new(Arc::clone(&app.app), &hello.key, socket_id, version, hello.client(), core.now);
        Ok((app, Session::Pusher(session)))
    }

    fn open_pushi(
        &self,
        key: &str,
        handshake: &Handshake<'_>,
        socket_id: SocketId,
        core: &Core,
    ) -> Result<(Arc<AppHandle>, Session), LastWord> {
        let apps = core.node.apps();
        let app = apps.by_key(key);
        let load = pushi::handshake::Load {
            draining: core.node.is_draining(),
            tls: http::is_secure(&self.listener, self.socket.is_tls(), self.peer.hop, handshake.forwarded_proto),
            origin: handshake.origin,
            full: app.is_some_and(|app| app.is_full()) || core.node.is_full(),
        };
        pushi::handshake::admit(app.map(|app| &*app.app), load).map_err(LastWord::pushi)?;
        let app = Arc::clone(app.expect("admitted to an app that exists"));
        let settings = Arc::clone(&core.node.pushi(&app.app.id).session);
        let session = pushi::session::Session::new(Arc::clone(&app.app), key, socket_id, settings, core.now);
        Ok((app, Session::Pushi(Box::new(session))))
    }

    fn admit(&self, handshake: &Handshake<'_>, core: &Core) -> Result<(Arc<AppHandle>, Hello, u8), Close> {
        let path = self.listener.strip(handshake.path);
        let hello = pusher::handshake::parse(path, Some(handshake.query))
            .ok_or_else(|| pusher::handshake::unknown_path(core.node.is_draining()))?;
        let apps = core.node.apps();
        let app = apps.by_key(&hello.key);
        let load = Load {
            draining: core.node.is_draining(),
            tls: http::is_secure(&self.listener, self.socket.is_tls(), self.peer.hop, handshake.forwarded_proto),
            origin: handshake.origin,
            app_full: app.is_some_and(|app| app.is_full()),
            node_full: core.node.is_full(),
        };
        let version = hello.admit(app.map(|app| &*app.app), load)?;
        let app = app.expect("admitted to an app that exists");
        Ok((Arc::clone(app), hello, version))
    }

    /// Completes the upgrade, says why not, and closes.
    pub(super) fn refuse(&mut self, response: &[u8], last: &LastWord, core: &mut Core) {
        core.outgoing.push(self.slot, Bytes::copy_from_slice(response), usize::MAX);
        core.stats.refused.add(1);
        self.last_word(last, core);
    }
}

fn pushy_transport(transport: Transport) -> pushy::codec::Transport {
    use pushy::codec::Transport as Named;
    match transport {
        Transport::WebSocket => Named::WebSocket,
        Transport::RawWebSocket => Named::RawWebSocket,
        Transport::XhrStreaming => Named::XhrStreaming,
        Transport::Xhr => Named::XhrPolling,
        Transport::EventSource => Named::EventSource,
        Transport::HtmlFile => Named::HtmlFile,
        Transport::Jsonp => Named::JsonpPolling,
    }
}
