//! Why sessions end: the codes that clients see, and what applications are told.

use std::borrow::Cow;

/// A code and a reason, as a `c` frame tells them (S-7.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000, 1002, 2010, or 3000 to 4999.
    pub code: u16,
    /// Any text.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// What an application says that says nothing else.
    pub const NORMAL: Self = Self::new(1000, "Normal closure");
    /// A response was broken off: what it held may be lost (S-7.6).
    pub const INTERRUPTED: Self = Self::new(1002, "Connection interrupted");
    /// There is a receiver already (S-7.2).
    pub const ANOTHER: Self = Self::new(2010, "Another connection still open");
    /// A WebSocket has not shown a sign of life (S-6.8).
    pub const NO_HEARTBEAT: Self = Self::new(3000, "No response from heartbeat");
    /// The client does not take what it is sent (S-8.3).
    pub const SLOW: Self = Self::new(3001, "Slow consumer");
    /// The server stops (S-8.5).
    pub const SHUTDOWN: Self = Self::new(3002, "Server shutting down");

    /// A code and a reason.
    #[must_use]
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

/// Why an application's connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The application closed it, or the server for all of them.
    Closed,
    /// A response was broken off (S-7.6).
    Interrupted,
    /// No receiver came back in time (S-7.5).
    Abandoned,
    /// It did not take what it was sent (S-8.3).
    Slow,
    /// The WebSocket is gone, by its client or by the network.
    Left,
    /// The WebSocket showed no sign of life (S-6.8).
    Silent,
    /// What came by the WebSocket could not be read (S-6.5).
    Broken,
}
