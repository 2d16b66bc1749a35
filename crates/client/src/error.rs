//! What can go wrong for a client, one enum per operation. Each text says what happened and what the caller can do.

use crate::{AuthorizeError, OpenError, ProxyError, ServerUrl};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::pusher::member::BadMember;
use tidings_hub::BadName;

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

/// Why options are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    /// There is no key.
    #[error("the app's key is empty; it is shown where the app's id and secret are")]
    NoKey,
    /// A [`Client`](crate::Client) needs a runtime for its task.
    #[error("there is no tokio runtime here; make the client within one")]
    NoRuntime,
    /// The host, the port or the path make no address.
    #[error(transparent)]
    Server(#[from] BadUrl),
    /// The member to show on presence channels is none (P-7.2).
    #[error("channel_data: {reason}; write for example {{\"user_id\":\"ada\",\"user_info\":{{\"name\":\"Ada\"}}}}")]
    ChannelData {
        /// Why.
        reason: BadMember,
    },
    /// The user to sign in is none (P-15.1).
    #[error("user_data must be the JSON of an object with a non-empty string `id`, such as {{\"id\":\"ada\"}}")]
    UserData,
    /// The address of an endpoint is none.
    #[error("{url:?} is no address of an endpoint: {reason}; write http://host/path or https://host/path")]
    Endpoint {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header for the endpoints is none.
    #[error("{name:?} cannot be a header of a request: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a subscription cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The channel cannot have that name.
    #[error("{channel:?} is no channel: {reason}")]
    Name {
        /// What was given.
        channel: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// The channel needs proof, and there is nobody who could give it.
    #[error("channel {channel} is not public: give the app's secret, or the auth_endpoint that signs for it")]
    NobodySigns {
        /// The channel.
        channel: String,
    },
    /// The channel belongs to the protocol.
    #[error("channel {channel} cannot be asked for by name: sign in, and a user's own channel is there")]
    Reserved {
        /// The channel.
        channel: String,
    },
    /// The client has been closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a subscription was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The server refused (P-5.9).
    #[error("the server refused: {message}")]
    Server {
        /// The server's word for the reason, such as `AuthError` (P-5.2); maybe empty.
        kind: String,
        /// Its number for the reason, close to the HTTP statuses.
        status: Option<u16>,
        /// A sentence.
        message: String,
    },
    /// The endpoint did not sign.
    #[error("the channel was not signed: {0}")]
    Authorize(#[from] AuthorizeError),
    /// The endpoint's `channel_data` describes no member (P-7.2).
    #[error("the endpoint's answer has a channel_data of no use: {0}")]
    Member(BadMember),
    /// The endpoint named no member, and the connection is not signed in (P-7.5).
    #[error("a presence channel needs channel_data in the endpoint's answer, or a connection that is signed in")]
    NotSignedIn,
    /// It was given up before it was made.
    #[error("it was given up, or the client was closed")]
    GivenUp,
    /// There is no connection, and none is tried: it was given up, for this reason, or disconnected.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The endpoint gave no secret for an encrypted channel (P-6.7).
    #[error("an encrypted channel needs shared_secret in the endpoint's answer")]
    NoSharedSecret,
}

/// Why an event could not be decrypted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UndecryptableError {
    /// The secret does not fit, or the data is none that was encrypted.
    #[error("{0}")]
    Open(OpenError),
    /// The endpoint did not give another secret.
    #[error("no other secret was given: {0}")]
    Authorize(AuthorizeError),
    /// The endpoint's answer has no secret (P-6.7).
    #[error("the endpoint gave no other secret: its answer has no shared_secret")]
    NoSharedSecret,
    /// The connection was lost while another secret was fetched.
    #[error("the connection was lost while another secret was fetched")]
    Lost,
    /// Too many events came while another secret was fetched.
    #[error("more than {max} events came while another secret was fetched")]
    TooMany {
        /// How many may wait.
        max: usize,
    },
}

/// Why a connection is not signed in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignInError {
    /// There is nobody who could sign.
    #[error("nobody signs for users: give the app's secret and user_data, or the user_auth_endpoint that signs for them")]
    NobodySigns,
    /// The endpoint did not sign.
    #[error("the user was not signed: {0}")]
    Authorize(#[from] AuthorizeError),
    /// The endpoint's `user_data` describes no user (P-15.1).
    #[error("the endpoint's answer has a user_data that is no JSON object with a non-empty string `id`")]
    UserData,
    /// The server did not confirm it. One that refuses says so by an error without a code only (P-15.2).
    #[error("the server did not confirm that the user is signed in; what it said about it, if it did, is an error without a code")]
    Unconfirmed,
    /// There is no connection, and none is tried: it was given up, for this reason, or disconnected.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The client has been closed.
    #[error("the client is closed")]
    Closed,
}

/// Why an event was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection.
    #[error("there is no connection; wait until it is back")]
    NotConnected,
    /// The channel is not subscribed to, or not yet.
    #[error("channel {channel} is not subscribed to, or not yet; wait for its subscription")]
    NotSubscribed {
        /// The channel.
        channel: String,
    },
    /// The channel takes no events of clients (P-8.1, P-9.6).
    #[error("channel {channel} takes no client events: only private- and presence- channels that are not encrypted do")]
    NotThere {
        /// The channel.
        channel: String,
    },
    /// The event's name is not one of a client event (P-8.2).
    #[error("{name:?} is no name of a client event: it must start with `client-` and have at most 200 characters")]
    Name {
        /// What was given.
        name: String,
    },
    /// What was sent before has not left yet.
    #[error("the server does not read fast enough: more than {max} bytes wait to be sent; try again later")]
    Full {
        /// How many bytes may wait.
        max: usize,
    },
    /// The data cannot be written as JSON.
    #[error("the data cannot be written as JSON: {reason}")]
    Data {
        /// Why.
        reason: String,
    },
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
    /// What answered speaks WebSocket, and did not confirm the connection (P-2.5).
    #[error("{url} began with {text:?} and did not confirm the connection; is this a Pusher-compatible server?")]
    NotConfirmed {
        /// The server.
        url: ServerUrl,
        /// The beginning of what it said.
        text: String,
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

/// There is no connection, and none is tried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotConnected {
    /// It was given up.
    #[error("the connection was given up: {0}")]
    GivenUp(Arc<ConnectionError>),
    /// It was disconnected, or the client is closed.
    #[error("there is no connection; have it connect first")]
    Disconnected,
}

impl NotConnected {
    pub(crate) fn because(why: Option<Arc<ConnectionError>>) -> Self {
        why.map_or(Self::Disconnected, Self::GivenUp)
    }
}

/// What a server said, as the end of a sentence; nothing if it said nothing.
pub(crate) fn told(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
