//! The Pusher Channels protocol: rules P-* of `pusher.md`.

pub mod api;
pub mod close;
pub mod codec;
pub mod handshake;
pub mod json;
pub mod member;
pub mod name;
pub mod session;
pub mod webhook;

pub use session::Session;
