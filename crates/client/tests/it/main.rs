//! The client over real sockets: against servers made here, which check what it sends and answer as told, and against Tidings itself.

#[cfg(test)]
mod application;
#[cfg(test)]
mod auth_example;
#[cfg(test)]
mod client;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod hearing;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod publisher;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod server;
#[cfg(test)]
mod survival;
#[cfg(test)]
pub mod tidings;
