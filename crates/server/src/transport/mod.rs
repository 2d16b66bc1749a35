//! How bytes travel.

pub(crate) mod chunked;
pub mod sockjs;
pub mod websocket;
