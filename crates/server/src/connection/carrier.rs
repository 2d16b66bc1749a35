//! What takes a session's messages to its peer, and brings it the peer's.

use crate::transport::websocket::{Decoder, frame};
use bytes::Bytes;

/// What carries the messages of an open session.
pub(crate) enum Carrier {
    /// A WebSocket, one message of the dialect in each.
    WebSocket(Decoder),
}

impl Carrier {
    /// What reads the peer's frames, where it sends any.
    pub(super) fn decoder(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::WebSocket(decoder) => Some(decoder),
        }
    }

    /// A message of the session, as its peer gets it.
    pub(super) fn message(&self, text: &[u8]) -> Bytes {
        match self {
            Self::WebSocket(_) => frame::text(text),
        }
    }
}
