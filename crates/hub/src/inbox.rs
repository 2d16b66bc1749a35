//! What waits for a shard. Pushing never waits and never fails; room is asked for before, at the node's door.

use crate::{ChannelName, Event, SocketId};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One thing for a shard, in the order in which it was decided.
#[derive(Debug)]
pub enum Item {
    /// An event for the shard's subscribers of its channel.
    Event(Arc<Event>),
    /// An event for the shard's subscribers of its channel, and for some connections beside them.
    Peer(Box<Sent>),
    /// The events of one publish, see [`crate::Publish::once`], in the order of its channels.
    Once(Box<[Sent]>),
    /// Whoever is on this channel, which follows others, is to follow one more, or one less.
    Follow {
        /// The hub's number for the channel.
        channel_id: u64,
        /// What is followed.
        alias: ChannelName,
        /// Whether from now on, or no more.
        added: bool,
    },
    /// Somebody whom this connection watches came or went.
    Watched {
        /// The watching connection.
        socket: SocketId,
        /// The watched user.
        user_id: Arc<str>,
        /// Whether the user came.
        online: bool,
    },
    /// A fault left this channel unusable: its subscribers are to be closed.
    Lost {
        /// The hub's number for the channel.
        channel_id: u64,
    },
}

/// An event on its way to a shard.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The event.
    pub event: Arc<Event>,
    /// Connections of the shard that get it though they did not subscribe to its channel.
    pub sockets: SmallVec<[SocketId; 2]>,
}

/// The queue of one shard.
pub struct Inbox {
    queue: Mutex<Vec<Item>>,
    waiting: AtomicUsize,
    max: usize,
    asleep: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// An empty inbox that has room while fewer than `max` items wait, and calls `wake` when something arrives for a shard that sleeps.
    /// `wake` must neither block nor fail.
    #[must_use]
    pub fn new(max: usize, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { queue: Mutex::default(), waiting: AtomicUsize::new(0), max, asleep: AtomicBool::new(false), wake: Box::new(wake) }
    }

    /// Appends; never waits, never fails.
    pub fn push(&self, item: Item) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(item);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        drop(queue);
        self.wake();
    }

    /// Wakes the shard if it sleeps. Also for those who left something for it elsewhere.
    pub fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            (self.wake)();
        }
    }

    /// Swaps what waits into `items`, which must be empty. The shard calls it.
    pub fn take(&self, items: &mut Vec<Item>) {
        debug_assert!(items.is_empty(), "what was taken before must be dealt with first");
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, items);
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Says that the shard is about to sleep. Returns whether it may: `false` if something arrived meanwhile.
    /// What is left elsewhere (see [`Inbox::wake`]) must be looked at after this call.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// Says that the shard is up.
    pub fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether a publisher may add something.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.max
    }

    /// How many items wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
