//! A client of a relay: a WebSocket or a stream of server-sent events on which the bare data of one channel's events comes.

use super::open::Open;
use super::session::{LastWord, Session};
use super::{Connection, Core, Stage};
use crate::http::relayed::Relayed as Asked;
use crate::http::response::Answer;
use crate::node::{AppHandle, RelayPlace, RelayService};
use crate::shard::bound::BoundIndex;
use crate::transport::chunked;
use crate::transport::websocket::handshake::Upgrade;
use crate::transport::websocket::{Coding, Decoder};
use crate::wire::Format;
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::action::{End, Input};
use tidings_dialect::wspush;
use tidings_dialect::wspush::request::{self, Reaction};
use tidings_dialect::wspush::session::Carrier;
use tidings_dialect::wspush::settings::Frames;
use tidings_dialect::wspush::token::Token;
use tidings_hub::{Body, Event, SocketId};

/// A session of a relay's client.
pub(crate) struct Relayed {
    pub(super) session: wspush::session::Session,
    pub(super) service: Arc<RelayService>,
    /// How it grows, if it is a stream.
    pub(super) body: Option<chunked::Body>,
    /// Its place among the connections of its token.
    _place: RelayPlace,
}

impl Relayed {
    /// An event where the form that others share does not serve.
    pub(super) fn own_form(&self, event: &Event) -> Option<Bytes> {
        let (Body::Published { data, .. }, Some(body)) = (&event.body, self.body) else { return None };
        let mut block = Vec::new();
        wspush::message::block(data, &mut block).ok()?;
        Some(body.part(&block))
    }
}

impl Connection {
    /// Answers a request to the listener's relay (W-5.1). What becomes a session, or is refused for good, is no request any more then.
    pub(super) fn answer_relayed(&mut self, asked: &Asked<'_>, core: &mut Core) {
        let Some(relay) = self.listener.relay.clone() else { return };
        let path = self.listener.strip(asked.head.path).to_owned();
        match request::receive(&asked.request(&path), &relay.session) {
            Reaction::Answer(answer) => self.answer_simply(answer, asked, core),
            Reaction::Stream(token) => self.open_relayed_stream(&relay, &token, asked, core),
            Reaction::WebSocket { token, protocol } => {
                if let Ok(upgrade) = &asked.upgrade {
                    self.open_relayed_websocket(&relay, &token, upgrade, protocol.as_deref(), asked, core);
                }
            }
        }
    }

    fn answer_simply(&mut self, answer: request::Answer, asked: &Asked<'_>, core: &mut Core) {
        // A body is not looked at: what follows cannot be told from it.
        let keep_alive = asked.head.keep_alive && asked.is_whole && !core.node.is_draining();
        let response = core.responses.write(&written(answer), keep_alive, core.now);
        self.push(response, core);
        if !keep_alive {
            self.finish(core);
        }
    }

    fn open_relayed_websocket(
        &mut self,
        relay: &Arc<RelayService>,
        token: &Token,
        upgrade: &Upgrade<'_>,
        protocol: Option<&str>,
        asked: &Asked<'_>,
        core: &mut Core,
    ) {
        let response = upgrade.response_with(protocol);
        let (app, place) = match self.admit_relayed(relay, token, asked, core) {
            Ok(admitted) => admitted,
            Err(end) => {
                let close = wspush::close::close(end, relay.session.compat);
                return self.refuse(&response, &LastWord { frame: None, close }, core);
            }
        };
        core.outgoing.push(self.slot, response.into(), usize::MAX);
        let format = match relay.session.frames {
            Frames::Text => Format::Bare,
            Frames::Binary => Format::BareBinary,
        };
        self.begin_relayed(self.relayed(relay, token, place, None, core), app, format, core);
    }

    fn open_relayed_stream(&mut self, relay: &Arc<RelayService>, token: &Token, asked: &Asked<'_>, core: &mut Core) {
        let (app, place) = match self.admit_relayed(relay, token, asked, core) {
            Ok(admitted) => admitted,
            Err(End::OverQuota) => return self.answer_simply(request::crowded(&relay.session), asked, core),
            Err(_) => {
                let answer = Answer::text(503, &b"The relay cannot take connections now.\n"[..]);
                let headers = vec![("access-control-allow-origin", "*".to_owned())];
                self.reject(&Answer { retry_after: Some(1), headers, ..answer }, core);
                return;
            }
        };
        let (body, format) =
            if asked.head.is_current { (chunked::Body::Chunked, Format::BareStream) } else { (chunked::Body::Plain, Format::Own) };
        let answer = written(request::Answer { status: 200, headers: request::STREAM_HEADERS, body: "" });
        let head = core.responses.write_head(&answer, asked.head.is_current, true, core.now);
        core.outgoing.push(self.slot, head, usize::MAX);
        self.begin_relayed(self.relayed(relay, token, place, Some(body), core), app, format, core);
    }

    /// Whether one more client of the token may come in, and if so to which app.
    fn admit_relayed(
        &mut self,
        relay: &Arc<RelayService>,
        token: &Token,
        asked: &Asked<'_>,
        core: &Core,
    ) -> Result<(Arc<AppHandle>, RelayPlace), End> {
        let apps = core.node.apps();
        let app = apps.by_id(&relay.config.app).filter(|app| app.app.enabled && app.app.dialects.wspush).ok_or(End::AppDisabled)?;
        if core.node.is_draining() {
            return Err(End::Draining);
        }
        let place = relay.enter(&token.channel(&relay.session)).ok_or(End::OverQuota)?;
        if app.is_full() || core.node.is_full() || !self.is_admitted(&asked.head, core) {
            relay.counts.sessions_refused.add(1);
            return Err(End::OverQuota);
        }
        Ok((Arc::clone(app), place))
    }

    fn relayed(&self, relay: &Arc<RelayService>, token: &Token, place: RelayPlace, body: Option<chunked::Body>, core: &Core) -> Relayed {
        let socket_id = SocketId::new(core.number, self.slot as usize, crate::chance::bytes());
        let carrier = if body.is_some() { Carrier::Stream } else { Carrier::WebSocket };
        let session = wspush::session::Session::new(token, socket_id, carrier, Arc::clone(&relay.session), core.now);
        Relayed { session, service: Arc::clone(relay), body, _place: place }
    }

    fn begin_relayed(&mut self, relayed: Relayed, app: Arc<AppHandle>, format: Format, core: &mut Core) {
        let place = core.node.relays.iter().position(|relay| Arc::ptr_eq(relay, &relayed.service));
        core.outgoing.set_bound(self.slot, place.map(BoundIndex::of).unwrap_or_default());
        core.outgoing.set_format(self.slot, format);
        self.stage = Stage::Session(Open::new(Decoder::new(Coding::Plain), Session::Relayed(Box::new(relayed)), app, core));
        core.stats.handshakes.add(1);
        self.step(Input::Opened, core);
    }
}

fn written(answer: request::Answer) -> Answer {
    let mut written = Answer { body: Bytes::from_static(answer.body.as_bytes()), ..Answer::empty(answer.status) };
    for (name, value) in answer.headers {
        match *name {
            "Content-Type" => written.content_type = value,
            name => written.headers.push((name, (*value).to_owned())),
        }
    }
    written
}
