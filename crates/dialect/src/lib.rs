//! The protocols Tidings speaks, as pure state machines: bytes and time in, actions out. No sockets, no clock, no chance.
#![warn(missing_docs)]

pub mod action;
pub mod auth;
pub mod pusher;
pub mod pushi;
pub mod pushy;
mod rate;
pub mod sse;
pub mod wspush;
