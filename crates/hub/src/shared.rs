//! What all channels of a node share: inboxes, facts, budget, numbers, timers.

use crate::recent::Room;
use crate::{Budget, Channel, FactQueue, Inbox, Time};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) epoch: u64,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) facts: Arc<FactQueue>,
    pub(crate) budget: Arc<Budget>,
    /// What recent events take.
    pub(crate) recent: Room,
    /// The highest serial that any channel that is gone has reached: a new one begins above it.
    serials: AtomicU64,
    channels: AtomicU64,
    timers: Mutex<Timers>,
}

/// What is due, the earliest first.
#[derive(Debug, Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    /// At this length those of channels that are gone are swept out, so that the heap is bounded by the channels there are.
    sweep_at: usize,
}

/// A heap with fewer timers is not worth sweeping.
const SWEEP_FROM: usize = 1024;
/// More than any channel emits in its life.
const LEAP: u64 = 1 << 32;

/// A channel that wants to be looked at.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) at: Time,
    pub(crate) due: Due,
    pub(crate) channel: Weak<Channel>,
}

/// What is due then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The cached event's life may be over.
    Cache,
    /// A number of subscribers waits to be told.
    Count,
    /// Recent events may be too old.
    Recent,
}

impl Shared {
    pub(crate) fn new(epoch: u64, inboxes: Vec<Arc<Inbox>>, facts_max: usize, budget: Arc<Budget>, recent_bytes_max: usize) -> Self {
        let facts = Arc::new(FactQueue::new(facts_max));
        let (serials, channels) = (AtomicU64::new(0), AtomicU64::new(0));
        let recent = Room::new(recent_bytes_max);
        Self { epoch, inboxes, facts, budget, recent, serials, channels, timers: Mutex::default() }
    }

    /// The number of a new channel, and the serial it begins at.
    pub(crate) fn next_channel(&self) -> (u64, u64) {
        (self.channels.fetch_add(1, Memory::Relaxed), self.serials.load(Memory::Acquire))
    }

    /// Remembers how far a channel came, before it leaves the map.
    pub(crate) fn retire(&self, serial: u64) {
        self.serials.fetch_max(serial, Memory::AcqRel);
    }

    /// Jumps ahead of anything that channels whose serials are not known any more can reach.
    pub(crate) fn leap(&self) {
        self.serials.fetch_add(LEAP, Memory::AcqRel);
    }

    pub(crate) fn schedule(&self, at: Time, due: Due, channel: &Arc<Channel>) {
        let timer = Timer { at, due, channel: Arc::downgrade(channel) };
        let mut timers = self.timers();
        timers.heap.push(Reverse(timer));
        if timers.heap.len() >= timers.sweep_at.max(SWEEP_FROM) {
            timers.heap.retain(|Reverse(timer)| timer.channel.strong_count() > 0);
            timers.sweep_at = 2 * timers.heap.len();
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers().heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// A timer that is due, if there is one.
    pub(crate) fn due(&self, now: Time) -> Option<Timer> {
        let mut timers = self.timers();
        let due = timers.heap.peek().is_some_and(|Reverse(timer)| timer.at <= now);
        due.then(|| timers.heap.pop().map(|Reverse(timer)| timer))?
    }

    /// How many timers there are, those of channels that are gone included.
    #[cfg(test)]
    pub(crate) fn timers_len(&self) -> usize {
        self.timers().heap.len()
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}
