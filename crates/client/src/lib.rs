//! A client for Pusher-compatible servers: a connection that subscribes, signs and comes back by itself, and a publisher.
//! It shares the codec and the signatures with the server.
#![warn(missing_docs)]

#[allow(dead_code, unused_imports, reason = "for connections that have their channels signed")]
mod authorize;
mod connection;
mod dial;
mod encrypted;
mod error;
#[allow(dead_code, reason = "for endpoints")]
mod http;
mod link;
mod notice;
mod options;
#[cfg(test)]
mod peer;
mod proxy;
mod publisher;
mod retry;
mod subscription;
mod wire;

pub use authorize::{AuthorizeError, ChannelProof, UserProof};
pub use connection::Connection;
pub use encrypted::{BadMasterKey, BadSharedSecret, MasterKey, OpenError, SharedSecret};
pub use error::{BadCertificates, BadUrl, ConnectionError, DialError, PublishError, SubscribeError};
pub use notice::{Event, Notice};
pub use options::{Auth, BadOptions, Options, Reconnect, ServerUrl, Tls};
pub use proxy::{ProxyChoice, ProxyError};
pub use publisher::{Answer, Publication, Publisher};
pub use subscription::Subscription;
pub use tidings_hub::{AppId, BadName, ChannelName, Key, Member};
