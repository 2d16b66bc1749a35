//! The client over real sockets: against servers made here, which check what it sends and answer as told.

#[cfg(test)]
mod connection;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod publisher;
#[cfg(test)]
mod server;
