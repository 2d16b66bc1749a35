//! A session of whatever dialect: what the shard needs of it.

use super::trial;
use bytes::Bytes;
use tidings_dialect::action::{Actions, Close, End, Input, Subscriptions};
use tidings_dialect::{pusher, pushi, pushy};
use tidings_hub::{App, SocketId, Time};

/// A session. Pusher's is the common one, and inline.
pub(crate) enum Session {
    Pusher(pusher::session::Session),
    Pushi(Box<pushi::session::Session>),
    Pushy(Box<pushy::session::Session>),
    Trial(trial::Session),
}

/// What a connection is told last, and the close that follows.
pub(crate) struct LastWord {
    pub(crate) frame: Option<Bytes>,
    pub(crate) close: Close,
}

impl Session {
    pub(crate) fn receive(&mut self, input: Input<'_>, subscriptions: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        match self {
            Self::Pusher(session) => session.receive(input, subscriptions, now, actions),
            Self::Pushi(session) => session.receive(input, subscriptions, now, actions),
            Self::Pushy(session) => session.receive(input, subscriptions, now, actions),
            Self::Trial(session) => session.receive(&input, actions),
        }
    }

    pub(crate) fn socket_id(&self) -> SocketId {
        match self {
            Self::Pusher(session) => session.socket_id(),
            Self::Pushi(session) => session.socket_id(),
            Self::Pushy(session) => session.socket_id(),
            Self::Trial(session) => session.socket_id(),
        }
    }

    /// The socket id as the dialect's clients know it.
    pub(crate) fn socket_id_text(&self) -> String {
        match self {
            Self::Pusher(session) => session.socket_id().to_string(),
            Self::Pushi(_) | Self::Pushy(_) | Self::Trial(_) => pushi::name::socket_id(self.socket_id()),
        }
    }

    pub(crate) fn next_timeout(&self) -> Time {
        match self {
            Self::Pusher(session) => session.next_timeout(),
            Self::Pushi(session) => session.next_timeout(),
            Self::Pushy(session) => session.next_timeout(),
            Self::Trial(_) => super::NEVER,
        }
    }

    /// The longest message that it takes.
    pub(crate) fn message_bytes_max(&self, app: &App) -> usize {
        match self {
            Self::Pusher(_) | Self::Trial(_) => app.limits.message_bytes,
            Self::Pushi(session) => session.message_bytes_max(),
            Self::Pushy(session) => session.message_bytes_max(),
        }
    }

    /// What to say where the session itself is not asked: it may be what failed.
    pub(crate) fn last_word(&self, end: End) -> LastWord {
        match self {
            Self::Pusher(_) => LastWord::pusher(pusher::close::Reason::from(end).close()),
            Self::Pushi(_) => LastWord::pushi(end.into()),
            Self::Pushy(session) => LastWord::pushy(end, session.transport()),
            Self::Trial(session) => LastWord { frame: None, close: session.close(end) },
        }
    }
}

impl LastWord {
    pub(crate) fn pusher(close: Close) -> Self {
        Self { frame: Some(pusher::handshake::refusal(&close)), close }
    }

    pub(crate) fn pushy(end: End, transport: pushy::codec::Transport) -> Self {
        Self { frame: None, close: pushy::close::close(end, transport) }
    }

    pub(crate) fn pushi(reason: pushi::close::Reason) -> Self {
        Self { frame: reason.frame(), close: reason.close() }
    }
}
