//! Everything of Tidings that touches the world: sockets, clock, files, and the binary `tidings`.

pub mod cli;
pub mod config;
pub mod run;

mod api;
mod connection;
mod deliver;
mod http;
mod listener;
mod metrics;
mod node;
pub mod page;
mod shard;
pub mod transport;
