//! Why a connection ends, and the numbers for it (P-17.5). Nothing else knows them.

use super::codec::ServerMessage;
use crate::action::{Close, End};
use bytes::Bytes;
use std::borrow::Cow;

/// Why a connection is refused or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A binary message, where only text carries messages (P-2.7).
    Binary,
    /// The app wants TLS.
    TlsRequired,
    /// No app has the key.
    UnknownKey,
    /// The app is disabled.
    AppDisabled,
    /// The app has all the connections it may have.
    OverQuota,
    /// The path is not `/app/{key}`.
    UnknownPath,
    /// `protocol` is no decimal integer.
    MalformedVersion,
    /// `protocol` is none of 4 to 7.
    UnsupportedVersion,
    /// There is no `protocol`.
    NoVersion,
    /// The app does not list the origin.
    OriginRefused,
    /// The connection did not authorise itself in time.
    NotAuthorized,
    /// The key by which the connection came in is gone.
    KeyGone,
    /// The API terminated the connections of the user.
    Terminated,
    /// The node has all the connections it may have.
    NodeFull,
    /// The peer does not take what it is sent.
    TooSlow,
    /// The server stops.
    Draining,
    /// A fault of the server.
    Fault,
    /// A ping was not answered.
    PongMissed,
}

impl Reason {
    /// The close code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Binary => 1003,
            Self::TlsRequired => 4000,
            Self::UnknownKey => 4001,
            Self::AppDisabled => 4003,
            Self::OverQuota => 4004,
            Self::UnknownPath => 4005,
            Self::MalformedVersion => 4006,
            Self::UnsupportedVersion => 4007,
            Self::NoVersion => 4008,
            Self::OriginRefused | Self::NotAuthorized | Self::KeyGone | Self::Terminated => 4009,
            Self::NodeFull | Self::TooSlow => 4100,
            Self::Draining | Self::Fault => 4200,
            Self::PongMissed => 4201,
        }
    }

    /// The sentence for it, at most 123 bytes.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Binary => "Only text messages are understood",
            Self::TlsRequired => "This app takes TLS connections only; use wss",
            Self::UnknownKey => "No app has this key",
            Self::AppDisabled => "The app is disabled",
            Self::OverQuota => "The app has reached its connection quota",
            Self::UnknownPath => "The path must be /app/ followed by an app key",
            Self::MalformedVersion => "The query parameter protocol must be a decimal integer",
            Self::UnsupportedVersion => "Only the protocol versions 4 to 7 are supported",
            Self::NoVersion => "The query parameter protocol is missing",
            Self::OriginRefused => "The app does not allow this origin",
            Self::NotAuthorized => "The connection was not authorized in time",
            Self::KeyGone => "The key of this connection is no longer valid",
            Self::Terminated => "The connections of this user were terminated",
            Self::NodeFull => "The server is over capacity; try again",
            Self::TooSlow => "The connection does not take its messages fast enough",
            Self::Draining => "The server is going away; reconnect now",
            Self::Fault => "An internal fault ended the connection; reconnect now",
            Self::PongMissed => "No answer to a ping",
        }
    }

    /// What the transport closes with.
    #[must_use]
    pub fn close(self) -> Close {
        Close { code: self.code(), reason: Cow::Borrowed(self.text()) }
    }
}

impl From<End> for Reason {
    fn from(end: End) -> Self {
        match end {
            End::Draining => Self::Draining,
            End::AppDisabled => Self::AppDisabled,
            End::KeyGone => Self::KeyGone,
            End::OverQuota => Self::OverQuota,
            End::Terminated => Self::Terminated,
            End::TooSlow => Self::TooSlow,
            End::Fault => Self::Fault,
        }
    }
}

/// The frame that precedes a close (P-17.2).
#[must_use]
pub fn error_frame(close: &Close) -> Bytes {
    ServerMessage::Error { code: Some(close.code), message: Cow::Borrowed(&close.reason) }.encode()
}

/// Errors that close nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A client event over the rate limit (P-8.4).
    TooManyEvents,
    /// A watchlist was cut (P-15.8).
    WatchlistTooLong,
}

impl Warning {
    /// The code in `pusher:error`. Never a close code: clients would give up (P-17.4).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::TooManyEvents => 4301,
            Self::WatchlistTooLong => 4302,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reason; 18] = [
        Reason::Binary,
        Reason::TlsRequired,
        Reason::UnknownKey,
        Reason::AppDisabled,
        Reason::OverQuota,
        Reason::UnknownPath,
        Reason::MalformedVersion,
        Reason::UnsupportedVersion,
        Reason::NoVersion,
        Reason::OriginRefused,
        Reason::NotAuthorized,
        Reason::KeyGone,
        Reason::Terminated,
        Reason::NodeFull,
        Reason::TooSlow,
        Reason::Draining,
        Reason::Fault,
        Reason::PongMissed,
    ];

    /// P-17.2, P-17.3, P-17.4, P-17.7, P-16.8: reasons fit a close frame; nothing closes with 43xx or 1001, and 4202 does not occur.
    #[test]
    fn every_close_fits_its_frame_and_its_clients() {
        for reason in ALL {
            let code = reason.code();
            assert!(!reason.text().is_empty() && reason.text().len() <= 123, "{reason:?}");
            assert!(code == 1003 || (4000..=4100).contains(&code) || [4200, 4201].contains(&code), "{reason:?}");
        }
    }

    /// P-17.5
    #[test]
    fn the_server_ends_connections_with_the_codes_of_the_table() {
        for (end, code) in [
            (End::Draining, 4200),
            (End::AppDisabled, 4003),
            (End::KeyGone, 4009),
            (End::OverQuota, 4004),
            (End::Terminated, 4009),
            (End::TooSlow, 4100),
            (End::Fault, 4200),
        ] {
            assert_eq!(Reason::from(end).code(), code, "{end:?}");
        }
    }

    /// P-17.1
    #[test]
    fn an_error_has_code_and_message() {
        let frame = error_frame(&Close { code: 4001, reason: "a \"b\"".into() });
        assert_eq!(frame, r#"{"event":"pusher:error","data":{"code":4001,"message":"a \"b\""}}"#);
    }
}
