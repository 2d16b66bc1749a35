//! What happened, for those who are told outside the connections: the queue from which webhooks are made.

use crate::{AppId, ChannelName, SocketId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// One thing that happened on a channel. Facts of one channel leave the queue in the order of their serials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The app.
    pub app: AppId,
    /// The channel.
    pub channel: ChannelName,
    /// The channel's serial when it happened.
    pub serial: u64,
    /// What happened.
    pub kind: FactKind,
}

/// What happened. Subscribers of all dialects count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// The first subscriber came.
    Occupied,
    /// The last one left.
    Vacated,
    /// A user came into a presence channel.
    MemberAdded {
        /// The user.
        user_id: Arc<str>,
    },
    /// The last connection of a user left it.
    MemberRemoved {
        /// The user.
        user_id: Arc<str>,
    },
    /// A client published.
    ClientEvent {
        /// The event's name.
        event: Arc<str>,
        /// The event's data.
        data: Bytes,
        /// The publishing connection.
        socket_id: Option<SocketId>,
        /// Its member id on a presence channel.
        user_id: Option<Arc<str>>,
    },
    /// Somebody subscribed to a cache channel that holds nothing.
    CacheMiss,
    /// The number of subscribers changed.
    SubscriptionCount(u32),
}

/// The queue of facts: bounded, and when it is full the oldest goes and is counted.
#[derive(Debug)]
pub struct FactQueue {
    queue: Mutex<VecDeque<Fact>>,
    max: usize,
    dropped: AtomicU64,
    arrived: Notify,
}

impl FactQueue {
    /// An empty queue for `max` facts.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { queue: Mutex::default(), max, dropped: AtomicU64::new(0), arrived: Notify::new() }
    }

    /// Appends; the hub calls it under the lock of the fact's channel, which gives the order.
    pub fn push(&self, fact: Fact) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= self.max {
            queue.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        queue.push_back(fact);
        drop(queue);
        self.arrived.notify_one();
    }

    /// Takes all that wait, in order.
    #[must_use]
    pub fn take(&self) -> VecDeque<Fact> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends when a fact may be waiting. One waiter at a time; dropping it loses nothing.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How many facts were lost because nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
