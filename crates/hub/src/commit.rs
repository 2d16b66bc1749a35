//! Publishing what must last: events take their place in the channel's order and in the store's queue in one step, and nobody gets them
//! before they are on disk. What comes after them on their channels waits too.

use crate::channels::Locked;
use crate::{Channel, Channels, Event, Time};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// Who keeps events: their queue on the way to the store.
pub trait Journal {
    /// Takes what waits for a commit, at its place: never waits, never fails. Called under the locks of its channels, so that the order of the
    /// calls is that of each channel. Every `pending` must be settled, in the order of the calls.
    fn append(&self, pending: Pending);
}

/// For those who store nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoJournal;

impl Journal for NoJournal {
    /// Nothing is kept, so nobody may get it.
    fn append(&self, pending: Pending) {
        // Under the locks of the channels it cannot be settled; the store's absence is the publisher's fault, who was to ask before.
        debug_assert!(pending.events.is_empty(), "who stores needs a journal");
    }
}

/// One publish that waits for a commit.
#[derive(Debug)]
pub struct Pending {
    channels: Arc<Channels>,
    events: SmallVec<[PendingEvent; 1]>,
    stored: bool,
    once: bool,
}

/// One of its events.
#[derive(Debug)]
pub struct PendingEvent {
    pub(crate) channel: Arc<Channel>,
    /// The event at its place.
    pub event: Arc<Event>,
    /// Its channel was named before: it is stored and no more.
    pub(crate) repeated: bool,
}

/// What waits on a channel behind a commit.
#[derive(Debug)]
pub(crate) struct Held {
    /// The last serial that left the queue.
    pub(crate) released: u64,
    pub(crate) queue: VecDeque<Waiting>,
}

#[derive(Debug)]
pub(crate) enum Waiting {
    /// A pending publish; the store's queue has it.
    Commit,
    Event(Arc<Event>),
    Fact(crate::Fact),
}

impl Pending {
    pub(crate) fn new(channels: Arc<Channels>, events: SmallVec<[PendingEvent; 1]>, stored: bool, once: bool) -> Self {
        Self { channels, events, stored, once }
    }

    /// What must be stored; nothing if it only keeps its place behind others.
    #[must_use]
    pub fn events(&self) -> &[PendingEvent] {
        if self.stored { &self.events } else { &[] }
    }

    /// Lets everybody have it, or nobody if it could not be `committed`, and all that waited behind it.
    pub fn settle(self, committed: bool, now: Time) {
        let channels = Arc::clone(&self.channels);
        channels.settle(&self, committed, now);
    }
}

impl Channels {
    fn settle(&self, pending: &Pending, committed: bool, now: Time) {
        let app = self.settings();
        let mut set: SmallVec<[Arc<Channel>; 4]> = SmallVec::new();
        for event in pending.events.iter().filter(|event| !event.repeated) {
            self.presences(&event.channel.name, &mut set);
            set.push(Arc::clone(&event.channel));
        }
        let mut locked = self.lock_set(&mut set);
        let own: SmallVec<[usize; 4]> = pending
            .events
            .iter()
            .filter(|event| !event.repeated)
            // One that a fault made unusable has lost its subscribers already.
            .filter_map(|event| locked.place_of(&event.event))
            .collect();
        for &place in &own {
            let state = &mut locked.states[place].1;
            let front = state.held.as_mut().and_then(|held| held.queue.pop_front());
            debug_assert!(matches!(front, Some(Waiting::Commit)), "commits come in the order of the channel");
        }
        let mut crowded = false;
        if committed {
            let events = pending.events.iter().filter(|event| !event.repeated).map(|event| &event.event);
            crowded |= self.deliver_all(&app, &mut locked, events, pending.once, now);
        }
        for event in &pending.events {
            if let Some(place) = locked.place_of(&event.event)
                && let Some(held) = &mut locked.states[place].1.held
            {
                held.released = held.released.max(event.event.serial);
            }
        }
        for &place in &own {
            crowded |= self.drain(&app, &mut locked, place, now);
        }
        self.unlock(locked);
        if crowded {
            self.bound_caches(&app);
        }
    }

    /// Lets go what waits on a channel, up to the next commit.
    fn drain(&self, app: &crate::App, locked: &mut Locked<'_>, place: usize, now: Time) -> bool {
        let mut crowded = false;
        loop {
            let Some(held) = &mut locked.states[place].1.held else { return crowded };
            match held.queue.front() {
                None => locked.states[place].1.held = None,
                Some(Waiting::Commit) => return crowded,
                Some(Waiting::Event(_) | Waiting::Fact(_)) => match held.queue.pop_front() {
                    Some(Waiting::Event(event)) => {
                        held.released = event.serial;
                        crowded |= self.deliver_all(app, locked, [&event], false, now);
                    }
                    Some(Waiting::Fact(fact)) => self.tell_now(fact),
                    Some(Waiting::Commit) | None => {}
                },
            }
        }
    }
}
