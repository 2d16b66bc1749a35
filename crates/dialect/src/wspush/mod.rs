//! The protocol of wspush: rules W-* of `wspush.md`. Redis, from which a relay's messages come, is not here.

pub mod close;
pub mod message;
pub mod request;
pub mod session;
pub mod settings;
pub mod statistics;
pub mod token;

#[cfg(test)]
mod tests;
