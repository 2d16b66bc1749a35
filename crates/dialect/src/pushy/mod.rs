//! The protocol of Pushy: rules Y-* of `pushy.md`. The transport underneath, SockJS, is not here.

pub mod api;
pub mod auth;
pub mod close;
pub mod codec;
pub mod command;
mod form;
pub mod json;
pub mod member;
pub mod name;
pub mod session;
pub mod settings;
