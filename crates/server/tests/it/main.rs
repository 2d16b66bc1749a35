//! The server as a whole, as the binary that is shipped.

#![allow(clippy::unwrap_used, reason = "tests")]

mod log;
