//! A client for Pusher-compatible servers: Tidings, Pusher itself, soketi, Reverb. It subscribes, signs when it holds the secret, comes
//! back by itself, and publishes. It shares the codec and the signatures with the server.
//!
//! # Subscribing
//!
//! ```no_run
//! use tidings_client::{Client, Options};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Options { host: "127.0.0.1".into(), ws_port: 6001, ..Options::new("app-key") })?;
//! let mut news = client.subscribe("news")?.events_named("headline");
//! while let Some(event) = news.next().await {
//!     println!("{}", event?.data);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Streams give events as text, or as [values](Feed::typed) of a type of yours; [callbacks](Channel::bind) do too. `private-` and
//! `presence-` channels need [`Options::secret`] or [`Options::auth_endpoint`]. A presence channel knows its [members](Channel::members),
//! and both take [client events](Channel::send_event). Data of `private-encrypted-` channels is decrypted. A connection can be [signed
//! in](Client::sign_in) as a user.
//!
//! # Publishing
//!
//! ```no_run
//! use tidings_client::{AppId, Key, Publication, Publisher, PublisherOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key { key: "app-key".into(), secret: "app-secret".into() };
//! let publisher = Publisher::with_options(PublisherOptions::new("http://127.0.0.1:6001".parse()?, AppId::new("1"), key));
//! publisher.publish(&Publication::new(["news"], "headline", "Hello")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A publisher also publishes batches and to users, asks about channels, and ends a user's connections.
//!
//! # Signing
//!
//! An application's auth endpoint answers its own users with what [`Publisher::authorize_channel`] gives, as JSON:
//!
//! ```
//! use tidings_client::{AppId, Key, Publisher, PublisherOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key { key: "tidings-key".into(), secret: "tidings-secret".into() };
//! let publisher = Publisher::with_options(PublisherOptions::new("http://127.0.0.1:6001".parse()?, AppId::new("1"), key));
//! let proof = publisher.authorize_channel("123.456", "private-a", None)?;
//! assert_eq!(
//!     serde_json::to_string(&proof)?,
//!     r#"{"auth":"tidings-key:3c115f72dd2efaa3467be6c1495df7305a359d4e96694fa6b5f3f716784013bf"}"#,
//! );
//! # Ok(())
//! # }
//! ```
//!
//! [`Publisher::authenticate_user`] does the same for those who sign in, and [`Webhook::verify`] reads what the server posts.
//!
//! # `Client` or `Connection`
//!
//! | | [`Client`] | [`Connection`] |
//! | --- | --- | --- |
//! | runs | in a task of its own | while [`Connection::next`] is awaited |
//! | tells | each stream and each callback what it asked for | everything, as one [`Notice`] after the other |
//! | a slow reader | misses the oldest of what waits for it, and is told | holds the server back |
//! | for | programs with several parts that listen | command lines, relays, bindings; whoever needs every event or one order of all |
//!
//! # What is guaranteed
//!
//! - **Order.** A [`Connection`] tells everything in the order in which the server said it. Each stream of a [`Client`] has what it asked
//!   for in that order, and so have the callbacks of a channel, all together. There is no order between two streams, or between callbacks
//!   of two channels.
//! - **At most once.** The protocol has no replay (P-1.4): what is published while there is no connection does not come later. Only the
//!   last event of a `cache-` channel comes with each subscription.
//! - **No silent loss.** Where events may be missing, it is told: [`Notice::Lost`] and then [`Notice::Subscribed`], or for a client
//!   [`Client::states`] and `pusher:subscription_succeeded` on the channel, are the bounds of an absence; [`Missed`] says how many a slow
//!   reader did not get, [`Problem::Missed`] how many slow callbacks did not; [`Notice::Undecryptable`] names an event that could not be
//!   read. After any of them a program that shows a state reads the state anew.
//! - **It comes back**, and subscribes and signs in as before, as the close code asks (P-17.3):
//!
//!   | the connection ended by | what follows |
//!   | --- | --- |
//!   | a code from 4000 to 4099 | it is given up: it would end the same way again |
//!   | a code from 4100 to 4199 | an attempt after 1 s, twice as long each further time up to 30 s, and up to half as long again by chance |
//!   | a code from 4200 to 4299 | one at once; if that fails, as with all others |
//!   | any other code, a break, silence, nobody there | the same waits, shortened by up to half by chance |
//!   | an HTTP status in place of the upgrade | it is given up, unless the status is 408, 425, 429 or from 500 on |
//!
//!   Waits grow until a connection has stood for 10 s. [`Options::reconnect`] can ask for less patience.
//! - **A server that is silent is noticed**: after [`Options::activity_timeout`] it is pinged, after [`Options::pong_timeout`] more it is
//!   left (P-16.9).
//! - **Bounds.** A message of the server has at most 16 MiB. At most 4 MiB wait to be sent, and then sending is [refused](SendError::Full).
//!   What waits for a reader of a client is bounded by [`Options::queue_events`] and [`Options::queue_bytes`]. A `Connection` that nobody
//!   reads leaves the bytes with the kernel, and the server may close it after a while: Tidings does with 4100, and it comes back.
//! - **Secrets do not show** in `Debug` forms and errors: no secret of an app, no master key, signature or password, and no query of an
//!   address.
//!
//! # Proxies and TLS
//!
//! Connections, requests to endpoints and publishers go through the proxy that the environment names, unless they are told
//! [otherwise](ProxyChoice). TLS believes the authorities of the web, and those in a [file](Tls::with_authorities_of). There is no way to
//! believe anybody. Both are always there; the crate has no features to choose.
//!
//! # Names elsewhere
//!
//! | pusher-js, pusher-client | here |
//! | --- | --- |
//! | `new Pusher(key, options)` | [`Client::new`] with [`Options`] |
//! | `pusher.connect()`, `pusher.disconnect()` | [`Client::connect`], [`Client::disconnect`]; [`Client::close`] for good |
//! | `pusher.connection.state`, its `state_change` | [`Client::state`], [`Client::states`] |
//! | `pusher.connection`'s `connected` | [`Client::connected`] |
//! | `pusher.connection`'s `error`, `pusher:error`, `Pusher.warn` | [`Client::problems`] |
//! | `pusher.connection.socket_id` | [`Client::socket_id`] |
//! | `pusher.subscribe`, `unsubscribe`, `channel`, `allChannels` | [`Client::subscribe`], [`unsubscribe`](Client::unsubscribe), [`channel`](Client::channel), [`all_channels`](Client::all_channels) |
//! | `pusher.bind`, `bind_global`, `bindAll` | [`Client::bind`], [`Client::bind_all`]; [`Client::events_named`], [`Client::events`] |
//! | `channel.bind`, `bind_global`, `bind_all` | [`Channel::bind`], [`Channel::bind_all`]; [`Channel::events_named`], [`Channel::events`] |
//! | data that is parsed JSON | [`Event::json`], [`Feed::typed`], [`Channel::bind_typed`] |
//! | `unbind` | [`Channel::unbind`], [`Client::unbind`], with the [`Binding`]; a stream is dropped |
//! | `channel.subscribed` | [`Channel::is_subscribed`]; [`Channel::subscribed`] waits for it |
//! | `pusher:subscription_succeeded` and its like | the same names, see [`Channel`] |
//! | `channel.members`: `me`, `count`, `get`, `each` | [`Channel::members`]: [`me`](Members::me), [`count`](Members::count), [`get`](Members::get), [`iter`](Members::iter) |
//! | `channel.trigger` | [`Channel::send_event`] |
//! | `metadata.user_id` | [`Event::user_id`] |
//! | `pusher.signin()`, `user.signinDonePromise` | [`Client::sign_in`], [`Client::signed_in`] |
//! | `pusher.user.bind`, `pusher.user.watchlist.bind` | [`Client::bind_user`], [`Client::user_events`]; [`Client::watchlist`] |
//! | `Pusher.log` | none: [`Client::problems`] and [`Client::states`] are for a program's own log |
//!
//! P-numbers are rules of the protocol, as `docs/protocol/pusher-rules.txt` of the repository lists them. `docs/client` there has guides:
//! how to do what, and how to come from other libraries.
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
    BadCertificates, BadOptions, BadUrl, ConnectionError, DialError, NotConnected, SendError, SignInError, SubscribeError,
    SubscriptionError, UndecryptableError,
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
