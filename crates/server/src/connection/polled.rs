//! A session over HTTP: a connection without a socket, whose messages wait for the response that takes them (sockjs.md section 7).

use super::open::Open;
use super::requests::Handshake;
use super::visit::Hello;
use super::{Connection, Core, Stage, Verdict};
use crate::http::mount::{Mount, Speaks};
use crate::transport::sockjs::{self, Accepts, Ended, Framing, Inbound, ReceiverId, Transport};
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::action::{Close, Input};
use tidings_hub::Time;

/// What stands in for a socket.
pub(crate) struct Polled {
    pub(super) life: sockjs::Session,
    /// The session of the dialect; `None` before it began, and when it is over: its last word is told to whoever still asks.
    pub(super) open: Option<Open>,
    /// Said once all is said that comes before it.
    closing: Option<sockjs::Close>,
    /// How the client came in, until it is let in.
    hello: Option<Hello>,
    /// By when it must have said where it wants to go, if it is asked.
    asked_until: Time,
    mount: Arc<Mount>,
    /// That of the first response, which the client is told.
    transport: Transport,
    /// What it is called in URLs.
    name: String,
}

impl Polled {
    /// Begins with the first response; what it is to send is among the actions.
    pub(crate) fn begin(mount: Arc<Mount>, name: String, hello: Hello, id: ReceiverId, framing: Framing, core: &mut Core) -> Self {
        let settings = Arc::clone(mount.service.settings());
        let transport = framing.transport();
        let is_asked = matches!(mount.speaks, Speaks::PusherLobby);
        let asked_until = if is_asked { core.now + core.node.limits.header_timeout } else { super::NEVER };
        let life = sockjs::Session::open(settings, id, framing, core.now, &mut core.polls);
        Self { life, open: None, closing: None, hello: Some(hello), asked_until, mount, transport, name }
    }

    /// Where it is found, to be taken out.
    pub(crate) fn place(&self) -> (&Mount, &str) {
        (&self.mount, &self.name)
    }

    /// The response that takes its messages now.
    pub(crate) fn receiver(&self) -> Option<ReceiverId> {
        self.life.receiver()
    }

    pub(super) fn next_timeout(&self) -> Time {
        let open = self.open.as_ref().map_or(super::NEVER, |open| open.session.next_timeout());
        let asked = if self.hello.is_some() { self.asked_until } else { super::NEVER };
        open.min(self.life.next_timeout()).min(asked)
    }

    pub(super) fn close(&mut self, close: &Close) {
        self.closing.get_or_insert_with(|| sockjs::Close { code: close.code, reason: close.reason.clone() });
    }
}

impl Connection {
    /// Whether it has no socket of its own.
    pub(crate) fn is_polled(&self) -> bool {
        matches!(self.stage, Stage::Polled(_))
    }

    /// What stands in for a socket, if something does.
    pub(crate) fn polled(&mut self) -> Option<&mut Polled> {
        match &mut self.stage {
            Stage::Polled(polled) => Some(polled),
            _ => None,
        }
    }

    /// Lets the client in, or says why not: the first frame is on its way. Who is asked where it wants to go is let in by its answer.
    pub(crate) fn let_in(&mut self, core: &mut Core) {
        if !self.is_asked() {
            self.enter(core);
        }
    }

    /// Whether the client has yet to say where it wants to go.
    fn is_asked(&self) -> bool {
        matches!(&self.stage, Stage::Polled(polled) if polled.hello.is_some() && polled.asked_until != super::NEVER)
    }

    /// Takes the answer: the path, with the key of the app, that a WebSocket would have asked for (P-19.9).
    fn take_path(&mut self, message: Option<&str>, core: &mut Core) {
        #[derive(serde::Deserialize)]
        struct Wanted {
            path: String,
        }
        let wanted = message.and_then(|text| serde_json::from_str::<Wanted>(text).ok()).unwrap_or(Wanted { path: String::new() });
        if let Some(hello) = self.polled().and_then(|polled| polled.hello.as_mut()) {
            let (path, query) = wanted.path.split_once('?').unwrap_or((&wanted.path, ""));
            (hello.path, hello.query) = (path.to_owned(), query.to_owned());
        }
        self.enter(core);
    }

    fn enter(&mut self, core: &mut Core) {
        let Some(hello) = self.polled().and_then(|polled| polled.hello.take()) else { return };
        let handshake = Handshake {
            path: &hello.path,
            query: &hello.query,
            origin: hello.origin.as_deref(),
            forwarded_proto: hello.forwarded_proto.as_deref(),
            headers: &hello.headers,
        };
        let Some((mount, transport)) = self.polled().map(|polled| (Arc::clone(&polled.mount), polled.transport)) else { return };
        self.open_polled(&handshake, &mount, transport, core);
    }

    /// Gives the session one more response.
    pub(crate) fn attach(&mut self, id: ReceiverId, framing: Framing, core: &mut Core) {
        let Stage::Polled(polled) = &mut self.stage else { return };
        polled.life.attach(id, framing, core.now, &mut core.polls);
        self.step(Input::Ping, core);
    }

    /// Gives the session what its client sent. `false` if there is none any more.
    pub(crate) fn hear(&mut self, messages: &[Inbound<'_>], core: &mut Core) -> bool {
        let Stage::Polled(polled) = &mut self.stage else { return false };
        match polled.life.accepts() {
            Accepts::Yes if messages.is_empty() => {
                polled.life.reassure(core.now, &mut core.polls);
                self.step(Input::Ping, core);
            }
            Accepts::Yes => {
                for message in messages {
                    let message = if let Inbound::Text(text) = message { Some(&**text) } else { None };
                    if self.is_asked() {
                        self.take_path(message, core);
                    } else {
                        self.step_message(message, core);
                    }
                }
            }
            Accepts::Dropped => {}
            Accepts::No => return false,
        }
        true
    }

    /// A response broke off.
    pub(crate) fn cut(&mut self, id: ReceiverId, core: &mut Core) {
        if let Stage::Polled(polled) = &mut self.stage {
            polled.life.cut(id, core.now, &mut core.polls);
        }
    }

    /// Passes on what the session was queued, and its last word behind it. `owed` is what the response's socket has not taken yet.
    pub(crate) fn pass_on(&mut self, owed: usize, core: &mut Core) {
        let Stage::Polled(polled) = &mut self.stage else { return };
        let (life, polls) = (&mut polled.life, &mut core.polls);
        core.outgoing.take(self.slot, |message| life.send(message, owed, core.now, polls));
        match polled.closing.take() {
            Some(close) => life.close(close, core.now, polls),
            None => life.flush(core.now, polls),
        }
    }

    /// The client is gone, or did not take what it was sent.
    pub(crate) fn gone(&mut self, ended: Ended, core: &mut Core) {
        let Stage::Polled(polled) = &mut self.stage else { return };
        if let Some(open) = polled.open.take() {
            if ended == Ended::Slow {
                core.stats.slow.add(1);
            }
            open.end(self.slot, core);
        }
    }
}

impl Connection {
    /// Leaves all channels at once. What waits is still told.
    pub(super) fn leave_all(&mut self, core: &mut Core) {
        if let Stage::Polled(polled) = &mut self.stage
            && let Some(open) = polled.open.take()
        {
            open.end(self.slot, core);
        }
    }

    pub(super) fn tick_polled(&mut self, core: &mut Core) -> Verdict {
        let Stage::Polled(polled) = &mut self.stage else { return Verdict::Keep };
        polled.life.tick(core.now, &mut core.polls);
        let overdue = polled.hello.is_some() && polled.asked_until <= core.now;
        let timeout = polled.open.as_ref().is_some_and(|open| open.session.next_timeout() <= core.now);
        if overdue {
            self.take_path(None, core);
        }
        if timeout {
            self.step(Input::Tick, core);
        }
        Verdict::Keep
    }
}

/// A message as it waits for the response that takes it.
pub(super) fn message(text: &[u8]) -> Bytes {
    let mut quoted = Vec::new();
    sockjs::quote(&String::from_utf8_lossy(text), &mut quoted);
    quoted.into()
}
