//! A session of whatever dialect, and how a connection comes to it.

use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::action::{Actions, Input, Subscriptions};
use tidings_dialect::pushi::settings::Settings;
use tidings_dialect::{pusher, pushi};
use tidings_hub::{App, Event, SocketId, Time};

pub(super) enum Session {
    Pusher(pusher::Session),
    Pushi(pushi::session::Session),
}

/// Why a connection is not let in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is nothing at this URL: it is answered by HTTP.
    Nowhere,
    /// It is upgraded, told, and closed.
    Told { frame: Bytes, close: u16 },
}

impl Session {
    /// Chooses the dialect by the URL, as a listener does that speaks what the app speaks (I-0.4).
    pub(super) fn open(url: &str, app: &App, settings: &Settings, socket_id: SocketId, now: Time) -> Result<Self, Refusal> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        match pushi::handshake::key(path, query).filter(|_| app.dialects.pushi) {
            Some(key) => Self::open_pushi(key, app, settings, socket_id, now),
            None if app.dialects.pusher => Self::open_pusher(path, query, app, socket_id, now),
            None => Err(Refusal::Nowhere),
        }
    }

    fn open_pusher(path: &str, query: &str, app: &App, socket_id: SocketId, now: Time) -> Result<Self, Refusal> {
        use pusher::handshake::{Load, parse, refusal, unknown_path};
        let admitted = parse(path, Some(query)).ok_or_else(|| unknown_path(false)).and_then(|hello| {
            let app = app.secret(&hello.key).is_some().then_some(app);
            hello.admit(app, Load::default()).map(|version| (hello, version))
        });
        let (hello, version) = admitted.map_err(|close| Refusal::Told { frame: refusal(&close), close: close.code })?;
        Ok(Self::Pusher(pusher::Session::new(Arc::new(app.clone()), &hello.key, socket_id, version, hello.client(), now)))
    }

    fn open_pushi(key: &str, app: &App, settings: &Settings, socket_id: SocketId, now: Time) -> Result<Self, Refusal> {
        let found = app.secret(key).is_some().then_some(app);
        pushi::handshake::admit(found, pushi::handshake::Load::default()).map_err(|reason| Refusal::Told {
            frame: reason.frame().expect("whoever is not let in is told why"),
            close: reason.close().code,
        })?;
        Ok(Self::Pushi(pushi::session::Session::new(Arc::new(app.clone()), key, socket_id, Arc::new(settings.clone()), now)))
    }

    pub(super) fn receive(&mut self, input: Input<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        match self {
            Self::Pusher(session) => session.receive(input, subscriptions, now, actions),
            Self::Pushi(session) => session.receive(input, subscriptions, now, actions),
        }
    }

    pub(super) fn socket_id(&self) -> SocketId {
        match self {
            Self::Pusher(session) => session.socket_id(),
            Self::Pushi(session) => session.socket_id(),
        }
    }

    /// The socket id as clients know it.
    pub(super) fn socket_id_text(&self) -> String {
        match self {
            Self::Pusher(session) => session.socket_id().to_string(),
            Self::Pushi(session) => pushi::name::socket_id(session.socket_id()),
        }
    }

    pub(super) fn next_timeout(&self) -> Time {
        match self {
            Self::Pusher(session) => session.next_timeout(),
            Self::Pushi(session) => session.next_timeout(),
        }
    }

    /// The longest message that it takes.
    pub(super) fn message_bytes_max(&self, app: &App) -> usize {
        match self {
            Self::Pusher(_) => app.limits.message_bytes,
            Self::Pushi(session) => session.message_bytes_max(),
        }
    }

    /// Who is signed in: something only Pusher knows.
    pub(super) fn user_id(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pusher(session) => session.user_id(),
            Self::Pushi(_) => None,
        }
    }

    /// The frame of an event; `None` where the dialect has no words for it.
    pub(super) fn encode(&self, event: &Event) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let said = match self {
            Self::Pusher(_) => pusher::codec::encode_event(event, &mut frame).is_ok(),
            Self::Pushi(_) => pushi::codec::encode_event(event, &mut frame).is_ok(),
        };
        said.then_some(frame)
    }
}
