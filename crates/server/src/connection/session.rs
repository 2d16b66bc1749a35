//! A session of whatever dialect: what the shard needs of it.

use super::relayed::Relayed;
use super::trial;
use crate::transport::chunked;
use bytes::Bytes;
use tidings_dialect::action::{Actions, Close, End, Input, Subscriptions};
use tidings_dialect::{pusher, pushi, pushy, sse, wspush};
use tidings_hub::{App, Event, SocketId, Time};

/// A session. Pusher's is the common one, and inline.
pub(crate) enum Session {
    Pusher(pusher::session::Session),
    Pushi(Box<pushi::session::Session>),
    Pushy(Box<pushy::session::Session>),
    /// A stream, and how its body shows where it ends.
    Stream(Box<sse::session::Session>, chunked::Body),
    /// A client of a relay.
    Relayed(Box<Relayed>),
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
            Self::Stream(session, _) => session.receive(input, subscriptions, now, actions),
            Self::Relayed(relayed) => relayed.session.receive(input, subscriptions, now, actions),
            Self::Trial(session) => session.receive(&input, actions),
        }
    }

    pub(crate) fn socket_id(&self) -> SocketId {
        match self {
            Self::Pusher(session) => session.socket_id(),
            Self::Pushi(session) => session.socket_id(),
            Self::Pushy(session) => session.socket_id(),
            Self::Stream(session, _) => session.socket_id(),
            Self::Relayed(relayed) => relayed.session.socket_id(),
            Self::Trial(session) => session.socket_id(),
        }
    }

    /// The socket id as the dialect's clients know it.
    pub(crate) fn socket_id_text(&self) -> String {
        match self {
            Self::Pusher(_) | Self::Stream(..) | Self::Relayed(_) => self.socket_id().to_string(),
            Self::Pushi(_) | Self::Pushy(_) | Self::Trial(_) => pushi::name::socket_id(self.socket_id()),
        }
    }

    pub(crate) fn next_timeout(&self) -> Time {
        match self {
            Self::Pusher(session) => session.next_timeout(),
            Self::Pushi(session) => session.next_timeout(),
            Self::Pushy(session) => session.next_timeout(),
            Self::Stream(session, _) => session.next_timeout(),
            Self::Relayed(relayed) => relayed.session.next_timeout(),
            Self::Trial(_) => super::NEVER,
        }
    }

    /// Whether its peer may be cut off and come back, and go on where it was.
    pub(crate) fn reads(&self) -> bool {
        matches!(self, Self::Stream(..))
    }

    /// How its body grows, if it is the answer to a request.
    pub(crate) fn body(&self) -> Option<chunked::Body> {
        match self {
            Self::Stream(_, body) => Some(*body),
            Self::Relayed(relayed) => relayed.body,
            _ => None,
        }
    }

    /// An event as it goes to this peer alone; `None` if the dialect cannot say it.
    pub(crate) fn own_form(&mut self, event: &Event) -> Option<Bytes> {
        match self {
            Self::Stream(session, body) => session.block(event).map(|block| body.part(&block)),
            Self::Relayed(relayed) => relayed.own_form(event),
            _ => None,
        }
    }

    /// What may be owed to its peer once the kernel takes no more.
    pub(crate) fn outbox_bytes_max(&self, app: &App) -> usize {
        match self {
            Self::Relayed(relayed) => relayed.session.settings().queue_bytes,
            _ => app.limits.outbox_bytes,
        }
    }

    /// How it ends if its peer says too much at once, where that is not the transport's matter.
    pub(crate) fn too_large(&self) -> Option<Close> {
        matches!(self, Self::Relayed(_)).then(wspush::close::talkative)
    }

    /// It is closed as slow.
    pub(crate) fn was_slow(&self) {
        if let Self::Relayed(relayed) = self {
            relayed.service.counts.closed_slow.add(1);
        }
    }

    /// The longest message that it takes.
    pub(crate) fn message_bytes_max(&self, app: &App) -> usize {
        match self {
            Self::Pusher(_) | Self::Trial(_) => app.limits.message_bytes,
            Self::Stream(..) => 0,
            Self::Relayed(_) => wspush::session::MESSAGE_BYTES_MAX,
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
            Self::Relayed(relayed) => LastWord { frame: None, close: wspush::close::close(end, relayed.session.settings().compat) },
            Self::Stream(..) => LastWord { frame: None, close: Close { code: 1000, reason: "".into() } },
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
