//! SockJS 0.3 without I/O and without a clock: requests in, answers and actions out (sockjs.md).
//!
//! A request passes four stations; whoever has the socket leads it from one to the next:
//!
//! 1. [`below`] says whether a path belongs to a service; [`Service::route`] turns what is below the prefix, and the method, into a [`Route`],
//!    or a [`Missing`], which has an answer of its own.
//! 2. [`Service`] answers what needs no session: greeting, info, iframe page, preflights, and all errors. An [`Answer`] is a status, headers and
//!    a body. [`Asked`] is what an answer needs to know of the request.
//! 3. Sending: [`inbound::xhr_send`] and [`inbound::jsonp_send`] check a body and give its messages. [`Session::accepts`] says what becomes
//!    of them. [`Service::sent`] and [`Service::unsent`] are the answers.
//! 4. Receiving: [`Service::receiving`] is the head of the response; its body is the prelude, the first chunk. [`Framing`] says how frames are
//!    wrapped. An unknown session is opened by [`Session::open`], a known one gets the receiver by [`Session::attach`]. After each call all
//!    [`Action`]s are performed. [`Session::tick`] is due at [`Session::next_timeout`].
//!
//! The messages of an application go through [`quote`] once, whoever receives them; [`Session::send`] takes the quoted text and marks,
//! [`Session::flush`] writes all that waits as one frame. On WebSocket a [`WebSocketSession`] does the same above the messages of
//! [`websocket`](super::websocket), or of the older [`hixie`]; there each frame goes out on its own, so those that all get alike may be shared: [`Frame::encode`].

pub mod hixie;
pub mod inbound;

mod answer;
mod callback;
mod close;
mod frame;
mod headers;
mod iframe;
mod quote;
mod route;
mod session;
mod settings;
mod websocket;

pub use answer::{Answer, Service};
pub use callback::{BadCallback, Callback};
pub use close::{Close, Ended};
pub use frame::{Frame, Framing};
pub use headers::Asked;
pub use inbound::{Inbound, Unsent};
pub use quote::quote;
pub use route::{Missing, Route, Sending, below};
pub use session::{Accepts, Action, Actions, ReceiverId, Session};
pub use settings::{Heartbeat, ScriptUrl, Settings, Transport, Transports};
pub use websocket::{WebSocketAction, WebSocketActions, WebSocketKind, WebSocketSession};
