//! What is owed to one endpoint, oldest first. In memory and bounded for now: this type is the one place where a lasting queue would go.

use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tidings_dialect::pusher::webhook;
use tidings_hub::{Time, UnixTime};

/// How many bytes of events one endpoint may be owed. Beyond it the oldest is dropped; a single event always fits.
pub(super) const OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many bytes of events one request may carry; a single event always fits.
pub(super) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How events share requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batching {
    /// How many events one request may carry.
    pub(super) events_max: usize,
    /// How long they are collected for it.
    pub(super) time: Duration,
}

impl Batching {
    /// One event per request, at once (P-12.5).
    pub(super) const OFF: Self = Self { events_max: 1, time: Duration::ZERO };
}

/// One event that is owed.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// As JSON, shared by all endpoints that want it.
    pub(super) event: Bytes,
    /// When it was made, for batching and retries.
    pub(super) created: Time,
    /// The same for the receiver.
    pub(super) created_at: UnixTime,
}

/// Some events as one request. It stays in the outbox until it is settled, so that a lasting outbox could repeat it after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The body, the same at every attempt (P-12.2).
    pub(super) body: Bytes,
    /// How many events it holds.
    pub(super) events: usize,
    /// When the oldest of them was made.
    pub(super) created: Time,
}

/// The queue of one endpoint. The delivery that is being attempted counts against no bound: the bounds are for what waits behind it.
#[derive(Debug)]
pub(super) struct Outbox {
    current: Option<Delivery>,
    waiting: VecDeque<Owed>,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

impl Outbox {
    /// An empty outbox. Beyond `events_max` or `bytes_max` the oldest goes (P-12.10).
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { current: None, waiting: VecDeque::new(), bytes: 0, events_max, bytes_max }
    }

    /// Appends. Returns how many of the oldest had to go for it.
    pub(super) fn push(&mut self, owed: Owed) -> usize {
        self.bytes += owed.event.len();
        self.waiting.push_back(owed);
        let mut dropped = 0;
        while self.waiting.len() > 1 && (self.waiting.len() > self.events_max || self.bytes > self.bytes_max) {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    /// Drops what waits since before `oldest`. Returns how many events that were.
    pub(super) fn expire(&mut self, oldest: Time) -> usize {
        let expired = self.waiting.iter().take_while(|owed| owed.created < oldest).count();
        for _ in 0..expired {
            self.pop();
        }
        expired
    }

    /// When the next request is ready to be made from what waits; it may be in the past.
    pub(super) fn ready_at(&self, batching: Batching) -> Option<Time> {
        let oldest = self.waiting.front()?.created;
        let full = self.waiting.len() >= batching.events_max || self.bytes >= BATCH_BYTES_MAX;
        Some(if full { oldest } else { oldest + batching.time })
    }

    /// The delivery to attempt: the one not yet settled, else a new one of what waits, in order.
    pub(super) fn delivery(&mut self, batching: Batching) -> Option<&Delivery> {
        if self.current.is_none() {
            self.current = self.batch(batching);
        }
        self.current.as_ref()
    }

    /// Ends the current delivery, arrived or given up. Returns how many events it held.
    pub(super) fn settle(&mut self) -> usize {
        self.current.take().map_or(0, |delivery| delivery.events)
    }

    /// How many events are owed, those of the current delivery included.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.current.as_ref().map_or(0, |delivery| delivery.events)
    }

    fn batch(&mut self, batching: Batching) -> Option<Delivery> {
        let first = self.pop()?;
        let (created, created_at, mut bytes) = (first.created, first.created_at, first.event.len());
        let mut events = vec![first.event];
        while events.len() < batching.events_max {
            let Some(next) = self.waiting.front().filter(|next| bytes + next.event.len() <= BATCH_BYTES_MAX) else { break };
            bytes += next.event.len();
            events.extend(self.pop().map(|owed| owed.event));
        }
        let body = webhook::body(created_at, events.iter().map(|event| &event[..]));
        Some(Delivery { body, events: events.len(), created })
    }

    fn pop(&mut self) -> Option<Owed> {
        let owed = self.waiting.pop_front()?;
        self.bytes -= owed.event.len();
        Some(owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS_MAX: usize = 10_000;
    const ON: Batching = Batching { events_max: 50, time: Duration::from_secs(1) };

    fn owed(event: &str, millis: u64) -> Owed {
        let created = Time::ZERO + Duration::from_millis(millis);
        Owed { event: Bytes::copy_from_slice(event.as_bytes()), created, created_at: UnixTime::from_millis(1_000 + millis) }
    }

    fn text(delivery: Option<&Delivery>) -> String {
        String::from_utf8(delivery.unwrap().body.to_vec()).unwrap()
    }

    /// P-12.5: up to one second or 50 events.
    #[test]
    fn events_are_collected() {
        let mut outbox = Outbox::new(EVENTS_MAX, OUTBOX_BYTES_MAX);
        assert_eq!(outbox.ready_at(ON), None);
        outbox.push(owed("1", 100));
        outbox.push(owed("2", 900));
        assert_eq!(outbox.ready_at(ON), Some(Time::ZERO + Duration::from_millis(1100)));
        assert_eq!(text(outbox.delivery(ON)), r#"{"time_ms":1100,"events":[1,2]}"#);
        outbox.settle();
        for number in 0..120 {
            outbox.push(owed(&number.to_string(), 2000));
        }
        assert_eq!(outbox.ready_at(ON), Some(Time::ZERO + Duration::from_millis(2000)));
        let sizes: Vec<usize> = std::iter::from_fn(|| outbox.delivery(ON).is_some().then(|| outbox.settle())).collect();
        assert_eq!(sizes, [50, 50, 20]);
    }

    /// P-12.5: without batching one event per request, at once.
    #[test]
    fn without_batching_events_go_alone() {
        let mut outbox = Outbox::new(EVENTS_MAX, OUTBOX_BYTES_MAX);
        outbox.push(owed("1", 100));
        outbox.push(owed("2", 100));
        assert_eq!(outbox.ready_at(Batching::OFF), Some(Time::ZERO + Duration::from_millis(100)));
        assert_eq!(text(outbox.delivery(Batching::OFF)), r#"{"time_ms":1100,"events":[1]}"#);
    }

    /// P-12.2: what is not settled is the same at every attempt, whatever arrives meanwhile.
    #[test]
    fn a_delivery_stays_until_it_is_settled() {
        let mut outbox = Outbox::new(EVENTS_MAX, OUTBOX_BYTES_MAX);
        outbox.push(owed("1", 0));
        let first = outbox.delivery(ON).cloned();
        outbox.push(owed("2", 5));
        assert_eq!((outbox.delivery(ON).cloned(), outbox.len()), (first, 2));
        assert_eq!((outbox.settle(), outbox.settle(), outbox.len()), (1, 0, 1));
    }

    /// P-12.10: bounded by events and by bytes, the oldest goes.
    #[test]
    fn the_oldest_goes() {
        let mut outbox = Outbox::new(2, 10);
        assert_eq!((outbox.push(owed("1", 0)), outbox.push(owed("2", 0)), outbox.push(owed("3", 0))), (0, 0, 1));
        assert_eq!(outbox.push(owed("123456789", 0)), 1);
        assert_eq!(outbox.push(owed("a single event always fits", 7)), 2);
        assert_eq!(text(outbox.delivery(ON)), r#"{"time_ms":1007,"events":[a single event always fits]}"#);
        assert_eq!((outbox.bytes, outbox.len()), (0, 1));
    }

    #[test]
    fn a_request_is_bounded_in_bytes() {
        let mut outbox = Outbox::new(EVENTS_MAX, OUTBOX_BYTES_MAX);
        let large = "x".repeat(BATCH_BYTES_MAX / 2);
        for _ in 0..3 {
            outbox.push(owed(&large, 0));
        }
        assert_eq!(outbox.ready_at(ON), Some(Time::ZERO));
        let sizes: Vec<usize> = std::iter::from_fn(|| outbox.delivery(ON).is_some().then(|| outbox.settle())).collect();
        assert_eq!(sizes, [2, 1]);
    }

    /// P-12.6: what waited too long is dropped, tried or not.
    #[test]
    fn what_waited_too_long_is_dropped() {
        let mut outbox = Outbox::new(EVENTS_MAX, OUTBOX_BYTES_MAX);
        for millis in [0, 10, 20] {
            outbox.push(owed("1", millis));
        }
        assert_eq!(outbox.expire(Time::ZERO + Duration::from_millis(20)), 2);
        assert_eq!(outbox.len(), 1);
    }
}
