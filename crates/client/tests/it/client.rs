//! The client against a Tidings that runs: all that it tells, and in which order.

mod callbacks;
mod encrypted;
mod lifetime;
mod presence;
mod sending;
mod slow_readers;
mod streams;
mod users;
mod waiting;
