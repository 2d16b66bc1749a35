//! What can go wrong for a client, one enum per operation. Each text says what happened and what the caller can do.

use crate::{ProxyError, ServerUrl};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a text is no [`ServerUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a server: {reason}; write http://host:port or https://host:port, with a path prefix if the server has one"
)]
pub struct BadUrl {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why certificates of an authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificates {
    /// The file cannot be read, or it is no PEM.
    #[error("cannot read certificates from {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file holds none.
    #[error("{} holds no certificate; it must be a PEM file with the certificate of the authority", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// One of them cannot be an authority's.
    #[error("a certificate in {} is of no use: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

/// Why a subscription cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The channel needs proof, and there is no secret to sign with.
    #[error("channel {channel} is not public: give the app's secret so that the subscription can be signed")]
    SecretNeeded {
        /// The channel.
        channel: String,
    },
    /// A presence channel needs a member to show.
    #[error("channel {channel} has members: give the user id to join as")]
    MemberNeeded {
        /// The channel.
        channel: String,
    },
    /// The user's info is not a JSON object (P-7.2).
    #[error("the user info must be a JSON object, such as {{\"name\":\"Ada\"}}")]
    UserInfo,
}

/// Why there is no stream to the server.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody takes the connection.
    #[error("cannot reach {url}: {cause}; is the server running there?")]
    Unreachable {
        /// The server.
        url: ServerUrl,
        /// Why.
        cause: io::Error,
    },
    /// The proxy on the way does not lead there.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS did not come about.
    #[error("no TLS with {url}: {cause}; does the server speak TLS on this port, with a certificate that a known authority signed?")]
    Tls {
        /// The server.
        url: ServerUrl,
        /// Why.
        cause: io::Error,
    },
}

/// Why a connection did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// There is no stream to the server.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server answered the upgrade with an HTTP status.
    #[error(
        "{url} answered the WebSocket upgrade with {status}{}; is this a Pusher-compatible server, and the path prefix right?",
        told(text)
    )]
    NotUpgraded {
        /// The server.
        url: ServerUrl,
        /// The status.
        status: http::StatusCode,
        /// The first line of the body, maybe empty.
        text: String,
    },
    /// What answered does not speak WebSocket as it should.
    #[error("{url} does not speak WebSocket: {reason}; is this a Pusher-compatible server?")]
    NotWebSocket {
        /// The server.
        url: ServerUrl,
        /// What it did.
        reason: String,
    },
    /// The server did not confirm the connection in time.
    #[error("{url} did not confirm the connection within {after:?}; is it a Pusher-compatible server, and http or https right?")]
    TimedOut {
        /// The server.
        url: ServerUrl,
        /// How long it had.
        after: Duration,
    },
    /// The server closed the connection and said why.
    #[error("the server closed the connection with {code}{}{}", told(reason), crate::retry::advice(*code))]
    Closed {
        /// The close code (P-17.3).
        code: u16,
        /// What it said, maybe nothing.
        reason: String,
    },
    /// The stream broke without a word of the server.
    #[error("the connection broke: {reason}")]
    Broken {
        /// How.
        reason: String,
    },
    /// The server was silent and did not answer a ping.
    #[error("the server was silent for {after:?} and did not answer a ping")]
    PongMissed {
        /// How long it was silent.
        after: Duration,
    },
}

/// What a server said, as the end of a sentence; nothing if it said nothing.
pub(crate) fn told(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
