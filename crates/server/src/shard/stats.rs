//! What a shard counts. Only the shard writes; whoever scrapes metrics reads.

use crate::http::response::Answered;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// A plain load and store: nobody else writes.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one shard.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Sockets it owns or is about to; the acceptor adds before the shard knows.
    pub(crate) connections: AtomicUsize,
    /// Subscriptions in force.
    pub(crate) subscriptions: Count,
    /// Handshakes that opened a session.
    pub(crate) handshakes: Count,
    /// Handshakes refused.
    pub(crate) refused: Count,
    /// Frames owed to subscribers, all told.
    pub(crate) deliveries: Count,
    /// Client events taken.
    pub(crate) client_events: Count,
    /// Writes that reached the kernel.
    pub(crate) writes: Count,
    /// Bytes the kernel took.
    pub(crate) written_bytes: Count,
    /// Bytes read.
    pub(crate) read_bytes: Count,
    /// Connections closed as slow.
    pub(crate) slow: Count,
    /// Faults that cost a connection.
    pub(crate) panics: Count,
    /// Events skipped for a dialect that cannot say them.
    pub(crate) unspeakable: Count,
    /// Turns of the loop.
    pub(crate) turns: Count,
    /// Answers to requests of the HTTP API.
    pub(crate) answered: Answered,
}
