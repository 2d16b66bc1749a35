//! How bytes travel.

pub mod sockjs;
pub mod websocket;
