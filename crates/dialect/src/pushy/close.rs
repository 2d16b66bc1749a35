//! What goes wrong, and the texts and numbers for it (Y-3.7, Y-3.8, S-7.8). Nothing else knows them.

use super::codec::Transport;
use crate::action::{Close, End};
use std::borrow::Cow;

/// What a client is told in `pushy:error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No message of this protocol.
    Bogus,
    /// No such command.
    UnknownCommand,
    /// A command without a channel.
    NoChannel,
    /// What is given as a channel is no name.
    BadChannel,
    /// What came with a command is no object.
    BadData,
    /// Leaving a channel that others are on.
    NotSubscribed,
    /// Leaving a channel that nobody is on.
    ChannelNotFound,
    /// More often, or more, than may be.
    TooMany,
}

impl Fault {
    /// The code, and the message to the letter.
    #[must_use]
    pub fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Bogus => ("100", "Bogus message recieved"),
            Self::UnknownCommand => ("200", "Unknown command"),
            Self::NoChannel => ("300", "No channel specified"),
            Self::BadChannel => ("301", "Invalid channel name"),
            Self::BadData => ("400", "Invalid command data"),
            Self::NotSubscribed => ("403", "Not subscribed to this channel"),
            Self::ChannelNotFound => ("404", "Channel not found"),
            Self::TooMany => ("429", "Too many requests"),
        }
    }
}

/// Why a client is not let onto a channel: the reason in `pushy:subscription-failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The signature is wrong, or was asked for too often.
    Credentials,
    /// It is there already.
    Already,
    /// It says too much of itself.
    DataTooLarge,
    /// The channel shows as many as it may.
    Full,
    /// A fault of the server.
    Lost,
}

impl Failure {
    /// The reason, to the letter.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Credentials => "Invalid credentials",
            Self::Already => "Already subscribed to this channel",
            Self::DataTooLarge => "Presence data too large",
            Self::Full => "Too many members in this channel",
            Self::Lost => "Internal error, subscribe again",
        }
    }
}

/// The close that ends a session. Its code goes into a SockJS frame, where only 1000 and 3000 to 4999 are known, or closes a raw WebSocket.
#[must_use]
pub fn close(end: End, transport: Transport) -> Close {
    let (code, reason) = match end {
        End::TooSlow => (3001, "Slow consumer"),
        End::Draining if transport == Transport::RawWebSocket => (1001, "Server shutting down"),
        End::Draining => (3002, "Server shutting down"),
        End::AppDisabled | End::KeyGone => (4001, "The application is disabled"),
        End::OverQuota => (4004, "The application has too many connections"),
        End::Terminated => (4009, "The connections of this user were terminated"),
        End::Fault => (4200, "The server failed, connect again"),
    };
    Close { code, reason: Cow::Borrowed(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-7.8, S-8.3, S-8.5
    #[test]
    fn closes_have_codes_that_sockjs_knows() {
        let ends = [End::TooSlow, End::Draining, End::AppDisabled, End::KeyGone, End::OverQuota, End::Terminated, End::Fault];
        assert_eq!(ends.map(|end| close(end, Transport::WebSocket).code), [3001, 3002, 4001, 4001, 4004, 4009, 4200]);
        assert_eq!(close(End::Draining, Transport::RawWebSocket).code, 1001);
    }
}
