//! One channel: its subscribers' number, its members, its cached event, and the lock under which its events get their order.

use crate::event::Budget;
use crate::presence::Members;
use crate::shared::Shared;
use crate::{Body, Cached, ChannelName, Event, Fact, FactKind, Item, Occupancy, SocketId, Source, Time};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// A channel that somebody is on, or that remembers an event. Shards keep a handle for as long as they have a subscriber on it.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Its number; a channel that comes back under the same name has another one.
    pub id: u64,
    pub(crate) of: Weak<crate::Channels>,
    state: Mutex<State>,
    lost: AtomicBool,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    /// Taken out of the map: whoever finds it so looks again.
    pub(crate) gone: bool,
    pub(crate) serial: u64,
    pub(crate) subscribers: u32,
    /// Subscribers of each shard.
    shards: SmallVec<[u32; 8]>,
    pub(crate) members: Members,
    pub(crate) cache: Option<CachedEvent>,
    /// A timer of the hub will look at the cache.
    pub(crate) cache_timer: bool,
    pub(crate) count: Count,
}

#[derive(Debug)]
pub(crate) struct CachedEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) expires: Time,
    /// Its place among the app's caches.
    pub(crate) filled: u64,
}

/// Where telling the number of subscribers stands (P-14.3).
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// When it was told last.
    pub(crate) told: Option<Time>,
    /// It has changed since, and will be told later.
    pub(crate) waiting: bool,
    /// A timer of the hub will look at it.
    pub(crate) timer: bool,
}

/// Whom an event of a channel is for, and who must not get it.
pub(crate) struct Emission<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) shared: &'a Shared,
    pub(crate) facts: Option<&'a crate::AppId>,
}

impl Channel {
    pub(crate) fn new(name: ChannelName, id: u64, serial: u64, shards: usize, of: Weak<crate::Channels>) -> Self {
        let state = State {
            gone: false,
            serial,
            subscribers: 0,
            shards: SmallVec::from_elem(0, shards),
            members: Members::default(),
            cache: None,
            cache_timer: false,
            count: Count::default(),
        };
        Self { name, id, of, state: Mutex::new(state), lost: AtomicBool::new(false) }
    }

    /// `None` if a panic under the lock left the channel unusable.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.lock().ok()
    }

    /// Whether this is the first to notice that the channel is lost.
    pub(crate) fn mark_lost(&self) -> bool {
        !self.lost.swap(true, Ordering::Relaxed)
    }

    /// How many are on it; nobody if it was lost.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.lock().map_or_else(Occupancy::default, |state| state.occupancy())
    }

    /// Leaves the lock poisoned, as a panic under it would.
    #[cfg(test)]
    pub(crate) fn poison(self: &Arc<Self>) {
        let channel = Arc::clone(self);
        let _ = std::thread::spawn(move || {
            let _guard = channel.lock();
            panic!("poisoned on purpose");
        })
        .join();
    }
}

impl State {
    pub(crate) fn occupancy(&self) -> Occupancy {
        Occupancy { subscriptions: self.subscribers, members: self.members.len() }
    }

    pub(crate) fn enter(&mut self, shard: usize) {
        self.subscribers += 1;
        self.shards[shard] += 1;
    }

    pub(crate) fn leave(&mut self, shard: usize) {
        self.subscribers -= 1;
        self.shards[shard] -= 1;
    }

    /// Nobody is here and nothing is remembered.
    pub(crate) fn is_idle(&self) -> bool {
        self.subscribers == 0 && self.cache.is_none()
    }

    /// What the channel remembers at `now`.
    pub(crate) fn cached(&mut self, caches: bool, now: Time) -> Cached {
        if !caches {
            return Cached::Off;
        }
        match &self.cache {
            Some(cached) if cached.expires > now => Cached::Hit(Arc::clone(&cached.event)),
            _ => Cached::Miss,
        }
    }

    /// Gives the event its place and puts it into the inbox of each shard with subscribers.
    pub(crate) fn emit(&mut self, at: &Emission<'_>, origin: Option<SocketId>, body: Body) -> Arc<Event> {
        self.serial += 1;
        let budget: &Arc<Budget> = &at.shared.budget;
        let event = Arc::new(Event::new(at.channel.name.clone(), at.channel.id, self.serial, origin, body, budget));
        for (count, inbox) in self.shards.iter().zip(&at.shared.inboxes) {
            if *count > 0 {
                inbox.push(Item::Event(Arc::clone(&event)));
            }
        }
        event
    }

    /// Tells those outside, at the channel's present serial. A no-op unless somebody wants facts.
    pub(crate) fn tell(&self, at: &Emission<'_>, kind: FactKind) {
        if let Some(app) = at.facts {
            at.shared.facts.push(Fact { app: app.clone(), channel: at.channel.name.clone(), serial: self.serial, kind });
        }
    }

    /// Tells subscribers and those outside how many there are.
    pub(crate) fn tell_count(&mut self, at: &Emission<'_>, now: Time) {
        (self.count.told, self.count.waiting) = (Some(now), false);
        let count = self.subscribers;
        self.emit(at, None, Body::SubscriptionCount(count));
        self.tell(at, FactKind::SubscriptionCount(count));
    }

    /// Publishes one event here.
    pub(crate) fn publish(&mut self, at: &Emission<'_>, publish: &crate::Publish) -> Arc<Event> {
        let body = Body::Published { name: Arc::clone(&publish.name), data: publish.data.clone(), source: publish.source.clone() };
        let event = self.emit(at, publish.origin, body);
        if let Source::Client { user_id } = &publish.source {
            let (event, data) = (Arc::clone(&publish.name), publish.data.clone());
            self.tell(at, FactKind::ClientEvent { event, data, socket_id: publish.origin, user_id: user_id.clone() });
        }
        event
    }
}
