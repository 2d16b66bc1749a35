//! The server as a whole, as the binary that is shipped.

#[cfg(test)]
mod log;
