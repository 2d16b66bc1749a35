//! The services that a public suite of tests asks of a server of SockJS (S-10): sessions that know no channels.

use crate::transport::sockjs::{self, Transport};
use tidings_dialect::action::{Action, Actions, Close, End, Input};
use tidings_hub::SocketId;

/// What such a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It sends back what it is sent.
    Echo,
    /// It closes every session as it opens.
    Close,
}

/// A session of one.
pub(crate) struct Session {
    service: Service,
    socket_id: SocketId,
    transport: Transport,
}

impl Session {
    pub(crate) fn new(service: Service, socket_id: SocketId, transport: Transport) -> Self {
        Self { service, socket_id, transport }
    }

    pub(crate) fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    pub(crate) fn receive(&self, input: &Input<'_>, actions: &mut Actions) {
        match (self.service, input) {
            (Service::Echo, Input::Text(text)) => actions.push_back(Action::Send(bytes::Bytes::copy_from_slice(text.as_bytes()))),
            (Service::Echo, Input::Binary(bytes)) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    self.receive(&Input::Text(text), actions);
                }
            }
            (Service::Close, Input::Opened) => actions.push_back(Action::Close(Close { code: 3000, reason: "Go away!".into() })),
            (_, Input::End(end)) => actions.push_back(Action::Close(self.close(*end))),
            _ => {}
        }
    }

    /// How it is closed where it does not close itself (S-7.8, S-8.5).
    pub(super) fn close(&self, end: End) -> Close {
        let close = match end {
            End::Draining if self.transport == Transport::RawWebSocket => sockjs::Close::new(1001, "Server shutting down"),
            End::Draining => sockjs::Close::SHUTDOWN,
            End::TooSlow => sockjs::Close::SLOW,
            _ => sockjs::Close::NORMAL,
        };
        Close { code: close.code, reason: close.reason }
    }
}
