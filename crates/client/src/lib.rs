//! A client for Pusher-compatible servers: a connection that subscribes, signs and comes back by itself, and a publisher.
//! It shares the codec and the signatures with the server.
#![warn(missing_docs)]

#[allow(dead_code, unused_imports, reason = "for connections that have their channels signed")]
mod authorize;
mod connection;
mod dial;
mod encrypted;
mod error;
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
pub use error::{BadCertificates, BadUrl, ConnectionError, DialError, SubscribeError};
pub use notice::{Event, Notice};
pub use options::{Auth, BadOptions, Options, Reconnect, ServerUrl, Tls};
pub use proxy::{ProxyChoice, ProxyError};
pub use publisher::{
    Answer, Attribute, BadCall, BadCluster, BatchEvent, Cached, ChannelAnswer, ChannelState, Counts, PresenceMember, Publication,
    PublishError, Publisher, PublisherOptions, SigningError, User, UserAnswer, Webhook, WebhookError, WebhookEvent, WebhookHeaders,
};
pub use subscription::Subscription;
pub use tidings_dialect::pusher::member::BadMember;
pub use tidings_dialect::pusher::name::BadName as BadChannelName;
pub use tidings_hub::{AppId, BadName, ChannelName, Key, Member};
