//! The protocol of Pushi: rules I-* of `pushi.md`.

pub mod api;
pub mod auth;
pub mod close;
pub mod codec;
pub mod handshake;
pub mod member;
pub mod name;
pub mod session;
pub mod settings;
pub mod vapid;
