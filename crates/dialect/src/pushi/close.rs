//! What goes wrong, and the numbers for it (I-1.11, I-1.12). Nothing else knows them.

use super::codec;
use crate::action::{Close, End};
use bytes::Bytes;
use std::borrow::Cow;

/// What kind of error a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No message of this protocol, a member missing or of a wrong type, a reserved name.
    Malformed,
    /// A signature is missing or wrong.
    Unsigned,
    /// Not on the channel, or not allowed there.
    Forbidden,
    /// No such app, or it is disabled.
    UnknownApp,
    /// More than may be.
    TooLarge,
    /// More often than may be.
    TooMany,
    /// A fault of the server, or of its store.
    Internal,
    /// The server takes nobody more.
    Unavailable,
}

impl Code {
    /// The number in an error frame.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 401,
            Self::Forbidden => 403,
            Self::UnknownApp => 404,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The close for it where errors close (I-6.2, `on_error`).
    #[must_use]
    pub fn close(self) -> Close {
        Close { code: 4000 + self.number(), reason: Cow::Borrowed("The request was refused") }
    }
}

/// After so many messages in a row that were none, the peer does not speak this protocol.
pub(super) const MALFORMED_MAX: u8 = 10;

/// Why a connection is refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No app has the key, or the app is disabled, or the key is gone.
    UnknownApp,
    /// The app wants TLS.
    TlsRequired,
    /// The app does not list the origin.
    OriginRefused,
    /// The app or the node has all the connections it may have.
    Full,
    /// The connections of the user were terminated.
    Terminated,
    /// Message after message was none.
    Babbling,
    /// The peer does not take what it is sent.
    TooSlow,
    /// The server stops.
    Draining,
    /// A ping was not answered by one that answers pings.
    PongMissed,
    /// A fault of the server.
    Fault,
}

impl Reason {
    /// The close for it.
    #[must_use]
    pub fn close(self) -> Close {
        let (code, reason) = match self {
            Self::UnknownApp => (4001, "No enabled app has this key"),
            Self::TlsRequired => (1008, "This app takes TLS connections only; use wss"),
            Self::OriginRefused => (1008, "This app does not take connections from this origin"),
            Self::Full => (1013, "The server takes no more connections; try again later"),
            Self::Terminated => (1008, "The connections of this user were terminated"),
            Self::Babbling => (4400, "Too many messages that could not be understood"),
            Self::TooSlow => (1008, "The connection does not keep up with what it is sent"),
            Self::Draining => (1001, "The server is stopping; connect again"),
            Self::PongMissed => (1001, "A ping was not answered"),
            Self::Fault => (1011, "The server failed; connect again"),
        };
        Close { code, reason: Cow::Borrowed(reason) }
    }

    /// The frame to send before the close, where a client gets one.
    #[must_use]
    pub fn frame(self) -> Option<Bytes> {
        let code = match self {
            Self::UnknownApp => Code::UnknownApp,
            Self::TlsRequired | Self::OriginRefused | Self::Terminated => Code::Forbidden,
            Self::Full => Code::Unavailable,
            Self::Babbling => Code::Malformed,
            Self::Fault => Code::Internal,
            // There is nothing to mend.
            Self::TooSlow | Self::Draining | Self::PongMissed => return None,
        };
        Some(codec::error("", code, &self.close().reason, ""))
    }
}

impl From<End> for Reason {
    fn from(end: End) -> Self {
        match end {
            End::Draining => Self::Draining,
            End::AppDisabled | End::KeyGone => Self::UnknownApp,
            End::OverQuota => Self::Full,
            End::Terminated => Self::Terminated,
            End::TooSlow => Self::TooSlow,
            End::Fault => Self::Fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-1.11, I-1.12
    #[test]
    fn the_numbers_are_those_of_the_table() {
        let codes = [Code::Malformed, Code::Unsigned, Code::Forbidden, Code::UnknownApp, Code::TooLarge, Code::TooMany, Code::Internal];
        assert_eq!(codes.map(Code::number), [400, 401, 403, 404, 413, 429, 500]);
        assert_eq!(Code::Unsigned.close().code, 4401);
        for (end, code, tells) in [
            (End::Draining, 1001, false),
            (End::AppDisabled, 4001, true),
            (End::KeyGone, 4001, true),
            (End::OverQuota, 1013, true),
            (End::TooSlow, 1008, false),
            (End::Fault, 1011, true),
        ] {
            let reason = Reason::from(end);
            assert_eq!((reason.close().code, reason.frame().is_some()), (code, tells), "{end:?}");
            assert!(reason.close().reason.len() <= 123);
        }
        assert_eq!(Reason::Babbling.close().code, 4400);
    }
}
