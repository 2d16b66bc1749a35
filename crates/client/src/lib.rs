//! A client for Pusher-compatible servers: Tidings, Pusher itself, soketi, Reverb. It subscribes, signs when it holds the secret, comes
//! back by itself, and publishes. It shares the codec and the signatures with the server.
#![warn(missing_docs)]

mod authorize;
mod client;
mod connection;
mod dial;
mod encrypted;
mod error;
mod http;
mod link;
mod members;
mod notice;
mod options;
#[cfg(test)]
mod peer;
mod proxy;
mod publisher;
mod retry;
mod server_url;
mod tls;

pub use authorize::{AuthorizeError, ChannelProof, UserProof};
pub use client::{
    Binding, Channel, Client, Events, Feed, Missed, Problem, Problems, State, StateChange, States, Typed, TypedError, Watchlist,
    WatchlistChange,
};
pub use connection::Connection;
pub use encrypted::{BadMasterKey, BadSharedSecret, MasterKey, OpenError, SharedSecret};
pub use error::{
    BadCertificates, BadOptions, BadUrl, ConnectionError, DialError, SendError, SignInError, SubscribeError, SubscriptionError,
    UndecryptableError,
};
pub use members::{Members, PresenceMember};
pub use notice::{DataError, Event, Notice};
pub use options::{Auth, Options, Reconnect};
pub use proxy::{ProxyChoice, ProxyError};
pub use publisher::{
    Answer, Attribute, BadCall, BadCluster, BatchEvent, Cached, ChannelState, Counts, Publication, PublishError, Publisher,
    PublisherOptions, SigningError, User, Webhook, WebhookError, WebhookEvent, WebhookHeaders,
};
pub use server_url::ServerUrl;
pub use tidings_dialect::pusher::codec::ClientData;
pub use tidings_dialect::pusher::member::BadMember;
pub use tidings_dialect::pusher::name::BadName as BadChannelName;
pub use tidings_hub::{AppId, BadName, ChannelName, Key};
pub use tls::Tls;
