//! How bytes travel.

pub mod websocket;
