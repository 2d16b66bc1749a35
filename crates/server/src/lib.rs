//! Everything of Tidings that touches the world: sockets, clock, files, and the binary `tidings`.

pub mod command;
pub mod config;
pub mod run;
pub mod transport;

pub use cli::main;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

mod address;
mod api;
mod chance;
mod cli;
mod clock;
mod connection;
mod deliver;
#[cfg(test)]
mod fault;
mod http;
mod listener;
mod log;
mod metrics;
mod node;
mod page;
mod redis;
mod relay;
mod shard;
mod store;
mod tls;
mod wire;
#[cfg(any(test, feature = "bench"))]
mod world;

#[cfg(test)]
pub mod tests;
// So that what tests share is written once, for those within the crate and those outside.
#[cfg(test)]
extern crate self as tidings_server;
