//! One channel: its subscribers' number, its members, its cached event, and the lock under which its events get their order.

use crate::commit::{Held, Waiting};
use crate::event::Budget;
use crate::presence::Members;
use crate::recent::Recent;
use crate::roll::Roll;
use crate::shared::Shared;
use crate::{Body, Cached, ChannelName, Event, Fact, FactKind, Item, Member, MemberList, Occupancy, Sent, SocketId, Time};
use smallvec::SmallVec;
use std::collections::VecDeque;
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
    pub(crate) roll: Roll,
    pub(crate) cache: Option<CachedEvent>,
    /// A timer of the hub will look at the cache.
    pub(crate) cache_timer: bool,
    pub(crate) count: Count,
    /// What is kept for those who come back.
    pub(crate) recent: Option<Box<Recent>>,
    /// What waits behind a commit; nothing does as a rule.
    pub(crate) held: Option<Box<Held>>,
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
    pub(crate) fn new(
        name: ChannelName,
        id: u64,
        serial: u64,
        shards: usize,
        recent: Option<Box<Recent>>,
        of: Weak<crate::Channels>,
    ) -> Self {
        let state = State {
            gone: false,
            serial,
            subscribers: 0,
            shards: SmallVec::from_elem(0, shards),
            members: Members::default(),
            roll: Roll::default(),
            cache: None,
            cache_timer: false,
            count: Count::default(),
            recent,
            held: None,
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

    /// Nobody is here or waited for, nothing is remembered, and nothing waits for a commit.
    pub(crate) fn is_idle(&self) -> bool {
        let kept = self.recent.as_ref().is_some_and(|recent| !recent.is_idle());
        self.subscribers == 0 && self.cache.is_none() && self.held.is_none() && !kept
    }

    /// The last serial that nobody who joins now will get: on a channel that remembers, what still waits for a commit is not remembered yet
    /// and must not be missed; on others the members that the newcomer finds are those of the last serial.
    pub(crate) fn joins_at(&self, caches: bool) -> u64 {
        match &self.held {
            Some(held) if caches || self.recent.is_some() => held.released,
            _ => self.serial,
        }
    }

    /// From now on everything waits for a commit that is under way.
    pub(crate) fn hold(&mut self) {
        let released = self.serial;
        let held = self.held.get_or_insert_with(|| Box::new(Held { released, queue: VecDeque::new() }));
        held.queue.push_back(Waiting::Commit);
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

    /// Gives an event its place.
    pub(crate) fn place(&mut self, at: &Emission<'_>, origin: Option<SocketId>, body: Body) -> Arc<Event> {
        self.serial += 1;
        let budget: &Arc<Budget> = &at.shared.budget;
        Arc::new(Event::new(at.channel.name.clone(), at.channel.id, self.serial, origin, body, budget))
    }

    /// Gives the event its place and puts it into the inbox of each shard with subscribers.
    pub(crate) fn emit(&mut self, at: &Emission<'_>, origin: Option<SocketId>, body: Body) {
        let event = self.place(at, origin, body);
        match &mut self.held {
            Some(held) => held.queue.push_back(Waiting::Event(event)),
            None => self.send(at.shared, &event),
        }
    }

    /// Puts the event into the inbox of each shard with subscribers.
    pub(crate) fn send(&self, shared: &Shared, event: &Arc<Event>) {
        for (count, inbox) in self.shards.iter().zip(&shared.inboxes) {
            if *count > 0 {
                inbox.push(Item::Event(Arc::clone(event)));
            }
        }
    }

    /// What a shard is to get of an event that is for some connections beside the subscribers; `None` if it has neither.
    pub(crate) fn sent(&self, shard: usize, event: &Arc<Event>, sockets: &[SocketId]) -> Option<Sent> {
        let sockets: SmallVec<[SocketId; 2]> = sockets.iter().copied().filter(|socket| socket.shard() == shard).collect();
        (self.shards[shard] > 0 || !sockets.is_empty()).then(|| Sent { event: Arc::clone(event), sockets })
    }

    /// Puts an item into the inbox of each shard with subscribers.
    pub(crate) fn push(&self, shared: &Shared, item: impl Fn() -> Item) {
        self.shards.iter().zip(&shared.inboxes).filter(|(count, _)| **count > 0).for_each(|(_, inbox)| inbox.push(item()));
    }

    /// Tells those outside, at the channel's present serial. A no-op unless somebody wants facts.
    pub(crate) fn tell(&mut self, at: &Emission<'_>, kind: FactKind) {
        let Some(app) = at.facts else { return };
        let fact = Fact { app: app.clone(), channel: at.channel.name.clone(), serial: self.serial, kind };
        match &mut self.held {
            Some(held) => held.queue.push_back(Waiting::Fact(fact)),
            None => at.shared.facts.push(fact),
        }
    }

    /// A member's connection comes. If the user is new, others are told, and those outside. What happens on the roll is told those on it.
    pub(crate) fn come(&mut self, at: &Emission<'_>, member: &Arc<Member>, socket: SocketId) {
        if let Some(enrolment) = &member.enrolment {
            if self.roll.enter(enrolment, member, socket) {
                self.emit(at, Some(socket), Body::Enrolled(Arc::clone(member)));
            }
        } else if self.members.join(member, socket) {
            self.emit(at, Some(socket), Body::MemberAdded(Arc::clone(member)));
            self.tell(at, FactKind::MemberAdded { user_id: Arc::clone(&member.user_id) });
        }
    }

    /// A member's connection goes, or is somebody else from now on. If it was the user's last, others are told, and those outside.
    pub(crate) fn go(&mut self, at: &Emission<'_>, member: &Arc<Member>, socket: SocketId) {
        if member.enrolment.is_some() {
            if self.roll.leave(socket) {
                self.emit(at, Some(socket), Body::Struck(Arc::clone(member)));
            }
        } else if self.members.leave(member, socket) {
            self.emit(at, Some(socket), Body::MemberRemoved(Arc::clone(member)));
            self.tell(at, FactKind::MemberRemoved { user_id: Arc::clone(&member.user_id) });
        }
    }

    /// Whether there is room for one more member.
    pub(crate) fn has_room(&self, member: &Member, max: u32) -> bool {
        match &member.enrolment {
            Some(enrolment) => self.roll.len() < max || !self.roll.opens_with(enrolment),
            None => self.members.len() < max || self.members.contains(&member.user_id),
        }
    }

    /// The members as a newcomer sees them.
    pub(crate) fn members_for(&mut self, member: Option<&Member>) -> Option<Arc<MemberList>> {
        if member.is_some_and(|member| member.enrolment.is_some()) { self.roll.list() } else { self.members.list() }
    }

    /// Tells subscribers and those outside how many there are.
    pub(crate) fn tell_count(&mut self, at: &Emission<'_>, now: Time) {
        (self.count.told, self.count.waiting) = (Some(now), false);
        let count = self.subscribers;
        self.emit(at, None, Body::SubscriptionCount(count));
        self.tell(at, FactKind::SubscriptionCount(count));
    }
}
