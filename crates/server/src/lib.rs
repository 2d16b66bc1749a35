//! Everything of Tidings that touches the world: sockets, clock, files, and the binary `tidings`.

pub mod cli;
pub mod config;
pub mod run;

mod address;
mod api;
mod chance;
mod clock;
mod connection;
mod deliver;
#[cfg(test)]
mod fault;
mod http;
mod listener;
mod metrics;
mod node;
pub mod page;
mod shard;
mod tls;
pub mod transport;
mod wire;

#[cfg(test)]
pub mod tests;
// So that what tests share is written once, for those within the crate and those outside.
#[cfg(test)]
extern crate self as tidings_server;
