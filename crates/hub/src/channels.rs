//! All channels and users of one app: who may join is decided before, what joining means is decided here.

use crate::channel::{CachedEvent, Emission, State};
use crate::commit::Waiting;
use crate::peer;
use crate::shared::{Due, Shared};
use crate::user::Users;
use crate::{
    Access, App, Attached, Body, Cached, Channel, ChannelName, Event, Fact, FactKind, Item, Joined, Journal, Member, MemberList, Occupancy,
};
use crate::{Missed, Pending, PendingEvent, Publish, Refused, Sent, Since, SocketId, Source, Stamp, Time, Watched};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

/// The map is cut so that shards that create channels at the same time rarely meet.
const STRIPES: usize = 16;

type Map = HashMap<ChannelName, Arc<Channel>, FixedState>;

/// The channels and users of one app.
///
/// Locks are taken in this order: the map's stripe, a channel (several in byte order of their names), then one of inbox, facts, timers or
/// caches; no two of the last four at once. Nothing here waits while it holds one.
#[derive(Debug)]
pub struct Channels {
    pub(crate) shared: Arc<Shared>,
    me: Weak<Self>,
    /// The settings that timers use; everybody else brings them.
    app: RwLock<Arc<App>>,
    /// Whether any channel's events are stored.
    stores: AtomicBool,
    hasher: FixedState,
    stripes: [RwLock<Map>; STRIPES],
    users: Mutex<Users>,
    caches: Mutex<Caches>,
}

/// Channels that remember an event, in the order in which they were filled last.
#[derive(Debug, Default)]
struct Caches {
    filled: u64,
    oldest_first: BTreeMap<u64, Weak<Channel>>,
}

impl Channels {
    pub(crate) fn new(shared: Arc<Shared>, app: Arc<App>, seed: u64) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            shared,
            me: Weak::clone(me),
            stores: AtomicBool::new(app.recents.stores_any()),
            app: RwLock::new(app),
            hasher: FixedState::with_seed(seed),
            stripes: std::array::from_fn(|_| RwLock::new(Map::with_hasher(FixedState::with_seed(seed)))),
            users: Mutex::default(),
            caches: Mutex::default(),
        })
    }

    pub(crate) fn reload(&self, app: Arc<App>) {
        let old = std::mem::replace(&mut *self.app.write().unwrap_or_else(PoisonError::into_inner), Arc::clone(&app));
        if old.recents != app.recents {
            self.stores.store(app.recents.stores_any(), Ordering::Relaxed);
            self.reload_recents(&app);
        }
    }

    /// Joins `socket` to the channel, which is made if nobody is there. In force from the serial that the answer names. Whoever reads `since`
    /// some moment has the channel keep its recent events, as long as it is there and for a while after.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn subscribe(
        &self,
        app: &App,
        name: &ChannelName,
        socket: SocketId,
        member: Option<Arc<Member>>,
        since: Option<Since>,
        now: Time,
    ) -> Result<(Arc<Channel>, Joined), Refused> {
        loop {
            let channel = self.find_or_create(app, name);
            let Some(mut state) = channel.lock() else {
                self.lose(&channel);
                return Err(Refused::Lost);
            };
            if state.gone {
                continue;
            }
            return match self.join(app, &channel, &mut state, socket, (member, since), now) {
                Ok(joined) => {
                    drop(state);
                    Ok((channel, joined))
                }
                Err(refused) => {
                    self.remove_if_idle(&channel, state);
                    Err(refused)
                }
            };
        }
    }

    fn join(
        &self,
        app: &App,
        channel: &Arc<Channel>,
        state: &mut State,
        socket: SocketId,
        (member, since): (Option<Arc<Member>>, Option<Since>),
        now: Time,
    ) -> Result<Joined, Refused> {
        let at = self.emission(app, channel);
        let max = app.limits.presence_members;
        if member.as_ref().is_some_and(|member| !state.has_room(member, max)) {
            return Err(Refused::MembersFull { max });
        }
        if state.subscribers == 0 {
            state.tell(&at, FactKind::Occupied);
        }
        if let Some(member) = &member {
            // Before it enters: it must not hear of itself.
            state.come(&at, member, socket);
        }
        state.enter(socket.shard());
        let cache = state.cached(channel.name.caches(), now);
        if matches!(cache, Cached::Miss) {
            state.tell(&at, FactKind::CacheMiss);
        }
        let members = state.members_for(member.as_deref());
        let missed = since.map(|since| self.read(app, channel, state, since, now)).unwrap_or_default();
        let joined = Joined { serial: state.joins_at(channel.name.caches()), members, cache, missed };
        self.count_changed(app, &at, channel, state, now);
        Ok(joined)
    }

    /// Takes `socket` off a channel that it is on, with the member it is there. `reads` if it came with a [`Since`].
    pub fn unsubscribe(&self, app: &App, channel: &Arc<Channel>, socket: SocketId, member: Option<&Arc<Member>>, reads: bool, now: Time) {
        let Some(mut state) = channel.lock() else { return self.lose(channel) };
        let at = self.emission(app, channel);
        state.leave(socket.shard());
        if let Some(recent) = state.recent.as_mut().filter(|_| reads) {
            recent.leave(now);
            self.look_after(channel, recent, now);
        }
        if let Some(member) = member {
            state.go(&at, member, socket);
        }
        self.count_changed(app, &at, channel, &mut state, now);
        if state.subscribers == 0 {
            state.tell(&at, FactKind::Vacated);
        }
        self.remove_if_idle(channel, state);
    }

    /// Changes what a subscriber says of itself (I-2.4): the same user says something new, or somebody else is there now, or nobody. Its place
    /// among the subscribers stays, and it does not hear of itself.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn refresh(
        &self,
        app: &App,
        channel: &Arc<Channel>,
        socket: SocketId,
        before: Option<&Arc<Member>>,
        member: Option<&Arc<Member>>,
        now: Time,
    ) -> Result<Joined, Refused> {
        let Some(mut state) = channel.lock() else {
            self.lose(channel);
            return Err(Refused::Lost);
        };
        let at = self.emission(app, channel);
        let max = app.limits.presence_members;
        if let Some(member) = member {
            let frees = before.is_some_and(|before| state.members.is_last(&before.user_id));
            if !state.members.contains(&member.user_id) && state.members.len() - u32::from(frees) >= max {
                return Err(Refused::MembersFull { max });
            }
        }
        match (before, member) {
            (Some(before), Some(member)) if before.user_id == member.user_id => state.members.replace(before, member, socket),
            (before, member) => {
                if let Some(before) = before {
                    state.go(&at, before, socket);
                }
                if let Some(member) = member {
                    state.come(&at, member, socket);
                }
            }
        }
        let cache = state.cached(channel.name.caches(), now);
        Ok(Joined { serial: state.joins_at(channel.name.caches()), members: state.members.list(), cache, missed: Missed::default() })
    }

    /// Whether what is published on a channel is to be stored, whoever publishes it: see [`Keep::stored`](crate::Keep). What is set now counts, not
    /// what was when the caller came.
    #[must_use]
    pub fn stores(&self, name: &ChannelName) -> bool {
        self.stores.load(Ordering::Relaxed) && self.settings().recents.stores(name.as_str())
    }

    /// Publishes `batch` in its order, atomically: no other publisher's event comes between on the channels named.
    /// Channels that nobody is on get nothing, unless they are to remember it or it is to be stored. What is to be stored goes to `journal`,
    /// and nobody gets it before it is settled.
    pub fn publish(&self, app: &App, batch: &[Publish], now: Time, journal: &dyn Journal) {
        if let [publish] = batch
            && let ([name], None) = (&publish.channels[..], &publish.stamps)
            && !name.as_str().starts_with("peer-")
        {
            return self.publish_one(app, publish, name, now);
        }
        loop {
            let mut set: SmallVec<[Arc<Channel>; 4]> = SmallVec::new();
            for publish in batch {
                set.extend(publish.channels.iter().filter_map(|name| self.find_for(app, publish, name)));
                publish.channels.iter().for_each(|name| self.presences(name, &mut set));
            }
            let mut locked = self.lock_set(&mut set);
            if locked.states.len() < locked.wanted || locked.states.iter().any(|(_, state)| state.gone) {
                continue;
            }
            let crowded =
                batch.iter().fold(false, |crowded, publish| self.publish_locked(app, publish, &mut locked, now, journal) | crowded);
            self.unlock(locked);
            if crowded {
                self.bound_caches(app);
            }
            return;
        }
    }

    fn publish_one(&self, app: &App, publish: &Publish, name: &ChannelName, now: Time) {
        while let Some(channel) = self.find_for(app, publish, name) {
            let Some(mut state) = channel.lock() else {
                self.lose(&channel);
                continue;
            };
            if state.gone {
                continue;
            }
            let event = state.place(&self.emission(app, &channel), publish.origin, body(publish, None));
            let crowded = self.release(app, &channel, &mut state, event, now);
            drop(state);
            if crowded {
                self.bound_caches(app);
            }
            return;
        }
    }

    /// Publishes on channels whose locks are held. Returns whether more channels remember now than may.
    fn publish_locked(&self, app: &App, publish: &Publish, locked: &mut Locked<'_>, now: Time, journal: &dyn Journal) -> bool {
        let held = publish.channels.iter().filter_map(|name| locked.place(name)).any(|place| locked.states[place].1.held.is_some());
        let waits = publish.stamps.is_some() || publish.once && held;
        let mut events: SmallVec<[PendingEvent; 1]> = SmallVec::new();
        for (at, name) in publish.channels.iter().enumerate() {
            let Some(place) = locked.place(name) else { continue };
            let repeated = publish.channels[..at].contains(name);
            if repeated && publish.stamps.is_none() {
                continue;
            }
            let (channel, state) = &mut locked.states[place];
            if waits && !repeated {
                state.hold();
            }
            let event = state.place(&self.emission(app, channel), publish.origin, body(publish, Some(at)));
            match &mut state.held {
                Some(held) if !waits => held.queue.push_back(Waiting::Event(event)),
                _ => events.push(PendingEvent { channel: Arc::clone(channel), event, repeated }),
            }
        }
        if !waits {
            let events: SmallVec<[Arc<Event>; 2]> = events.into_iter().map(|pending| pending.event).collect();
            return self.deliver_all(app, locked, &events, publish.once, now);
        }
        if let Some(me) = self.me.upgrade().filter(|_| !events.is_empty()) {
            journal.append(Pending::new(me, events, publish.stamps.is_some(), publish.once));
        }
        false
    }

    /// Puts events, whose channels are locked, into the inboxes; as one item for each shard if they are to be had `once`.
    pub(crate) fn deliver_all<'e>(
        &self,
        app: &App,
        locked: &mut Locked<'_>,
        events: impl IntoIterator<Item = &'e Arc<Event>>,
        once: bool,
        now: Time,
    ) -> bool {
        let mut crowded = false;
        let mut lists: SmallVec<[Vec<Sent>; 4]> = SmallVec::from_elem(Vec::new(), if once { self.shared.inboxes.len() } else { 0 });
        for event in events {
            let Some(place) = locked.place_of(event) else { continue };
            let sockets = locked.sockets(&event.channel);
            let (channel, state) = &mut locked.states[place];
            if once {
                lists.iter_mut().enumerate().for_each(|(shard, list)| list.extend(state.sent(shard, event, &sockets)));
            } else if sockets.is_empty() {
                state.send(&self.shared, event);
            } else {
                for (shard, inbox) in self.shared.inboxes.iter().enumerate() {
                    if let Some(sent) = state.sent(shard, event, &sockets) {
                        inbox.push(Item::Peer(Box::new(sent)));
                    }
                }
            }
            crowded |= self.delivered(app, channel, state, event, now);
        }
        for (list, inbox) in lists.into_iter().zip(&self.shared.inboxes).filter(|(list, _)| !list.is_empty()) {
            inbox.push(Item::Once(list.into()));
        }
        crowded
    }

    /// What else an event brings that the shards have now. Returns whether more channels remember now than may.
    fn delivered(&self, app: &App, channel: &Arc<Channel>, state: &mut State, event: &Arc<Event>, now: Time) -> bool {
        if let Some(recent) = &mut state.recent {
            recent.record(event, now);
            self.look_after(channel, recent, now);
        }
        match &event.body {
            Body::Published { source: Source::Server, .. } => self.remember(app, channel, state, event, now),
            Body::Published { name, data, source: Source::Client { socket, user_id }, .. } => {
                let (name, data, user_id) = (Arc::clone(name), data.clone(), user_id.clone());
                if let Some(app) = self.emission(app, channel).facts {
                    let kind = FactKind::ClientEvent { event: name, data, socket_id: Some(*socket), user_id };
                    self.tell_now(Fact { app: app.clone(), channel: channel.name.clone(), serial: event.serial, kind });
                }
                false
            }
            Body::MemberAdded(_) | Body::MemberRemoved(_) | Body::SubscriptionCount(_) => false,
            Body::Enrolled(_) | Body::Struck(_) | Body::Gap => false,
        }
    }

    pub(crate) fn tell_now(&self, fact: Fact) {
        self.shared.facts.push(fact);
    }

    /// The settings of the moment.
    pub(crate) fn settings(&self) -> Arc<App> {
        Arc::clone(&self.app.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Locks channels in the byte order of their names. Those that a fault left unusable are dropped.
    pub(crate) fn lock_set<'c>(&self, set: &'c mut SmallVec<[Arc<Channel>; 4]>) -> Locked<'c> {
        set.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        set.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let mut locked = Locked { states: SmallVec::new(), wanted: set.len() };
        let mut lost: SmallVec<[&Arc<Channel>; 1]> = SmallVec::new();
        for channel in set.iter() {
            match channel.lock() {
                Some(state) => locked.states.push((channel, state)),
                None => lost.push(channel),
            }
        }
        lost.into_iter().for_each(|channel| self.lose(channel));
        locked
    }

    /// Unlocks, and takes out of the map those that are idle now.
    pub(crate) fn unlock(&self, locked: Locked<'_>) {
        for (channel, state) in locked.states {
            self.remove_if_idle(channel, state);
        }
    }

    /// Has whoever is on a channel that follows others follow one more from now on, or one less.
    pub fn follow(&self, name: &str, alias: &ChannelName, added: bool) {
        let Some(channel) = self.find(name) else { return };
        let Some(state) = channel.lock() else { return self.lose(&channel) };
        state.push(&self.shared, || Item::Follow { channel_id: channel.id, alias: alias.clone(), added });
    }

    /// Lets the shards have an event that has its place, or has it wait behind a commit. Returns whether more channels remember now than may.
    pub(crate) fn release(&self, app: &App, channel: &Arc<Channel>, state: &mut State, event: Arc<Event>, now: Time) -> bool {
        if let Some(held) = &mut state.held {
            held.queue.push_back(Waiting::Event(event));
            return false;
        }
        state.send(&self.shared, &event);
        self.delivered(app, channel, state, &event, now)
    }

    /// Fills the cache of a cache channel with what a server published (P-13.1). Returns whether more channels remember now than may.
    fn remember(&self, app: &App, channel: &Arc<Channel>, state: &mut State, event: &Arc<Event>, now: Time) -> bool {
        if !channel.name.caches() {
            return false;
        }
        let event = Arc::clone(event);
        let expires = now + app.limits.cache_ttl;
        if !std::mem::replace(&mut state.cache_timer, true) {
            self.shared.schedule(expires, Due::Cache, channel);
        }
        let mut caches = self.caches();
        caches.filled += 1;
        let filled = caches.filled;
        caches.oldest_first.insert(filled, Arc::downgrade(channel));
        if let Some(old) = state.cache.replace(CachedEvent { event, expires, filled }) {
            caches.oldest_first.remove(&old.filled);
        }
        caches.oldest_first.len() > app.limits.caches
    }

    /// Forgets the oldest cached events until the app has no more than it may. Called without any channel's lock.
    pub(crate) fn bound_caches(&self, app: &App) {
        loop {
            let (filled, channel) = {
                let mut caches = self.caches();
                if caches.oldest_first.len() <= app.limits.caches {
                    return;
                }
                let Some(oldest) = caches.oldest_first.pop_first() else { return };
                oldest
            };
            let Some(channel) = channel.upgrade() else { continue };
            let Some(mut state) = channel.lock() else { continue };
            // It may have been filled again meanwhile, and has another place then.
            if state.cache.take_if(|cached| cached.filled == filled).is_some() {
                self.remove_if_idle(&channel, state);
            }
        }
    }

    /// Does what is due on `channel`.
    pub(crate) fn tick(&self, channel: &Arc<Channel>, due: Due, now: Time) {
        let Some(mut state) = channel.lock() else { return };
        match due {
            Due::Cache => self.expire_cache(channel, &mut state, now),
            Due::Recent => self.expire_recent(channel, &mut state, now),
            Due::Count => {
                let app = Arc::clone(&self.app.read().unwrap_or_else(PoisonError::into_inner));
                state.count.timer = false;
                if state.count.waiting {
                    self.count_changed(&app, &self.emission(&app, channel), channel, &mut state, now);
                }
            }
        }
        self.remove_if_idle(channel, state);
    }

    /// Forgets what the channel remembers if its time is over, or looks again when it will be.
    fn expire_cache(&self, channel: &Arc<Channel>, state: &mut State, now: Time) {
        match &state.cache {
            Some(cached) if cached.expires > now => self.shared.schedule(cached.expires, Due::Cache, channel),
            _ => {
                state.cache_timer = false;
                if let Some(expired) = state.cache.take() {
                    self.caches().oldest_first.remove(&expired.filled);
                }
            }
        }
    }

    /// Tells the new number of subscribers, at once or later (P-14.2, P-14.3).
    fn count_changed(&self, app: &App, at: &Emission<'_>, channel: &Arc<Channel>, state: &mut State, now: Time) {
        if !app.subscription_count_events || matches!(channel.name.access(), Access::Presence | Access::Reserved) {
            return;
        }
        let due = state.count.told.map(|told| told + app.limits.count_interval);
        match due {
            Some(due) if state.subscribers > app.limits.count_immediate && due > now => {
                state.count.waiting = true;
                // One timer is enough: if the number was told since it was set, it comes too early and is set anew.
                if !std::mem::replace(&mut state.count.timer, true) {
                    self.shared.schedule(due, Due::Count, channel);
                }
            }
            _ => state.tell_count(at, now),
        }
    }

    /// How many are on the channel; nobody if there is none.
    #[must_use]
    pub fn occupancy(&self, name: &str) -> Occupancy {
        self.find(name).map_or_else(Occupancy::default, |channel| channel.occupancy())
    }

    /// The occupied channels whose names start with `prefix` and pass `wanted`, in byte order. Takes as long as there are channels.
    #[must_use]
    pub fn occupied(&self, prefix: &str, wanted: impl Fn(&ChannelName) -> bool) -> Vec<(ChannelName, Occupancy)> {
        let channels = self.some(|name| name.as_str().starts_with(prefix));
        let mut found: Vec<_> = channels.map(|channel| (channel.name.clone(), channel.occupancy())).collect();
        found.retain(|(name, occupancy)| occupancy.subscriptions > 0 && wanted(name));
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// The members of a presence channel now.
    #[must_use]
    pub fn members(&self, name: &str) -> Arc<MemberList> {
        self.find(name).and_then(|channel| channel.lock().and_then(|mut state| state.members.list())).unwrap_or_default()
    }

    /// How the first one on a channel's roll wrote the channel's name, if that is to hold for all.
    #[must_use]
    pub fn spelling(&self, name: &str) -> Option<Arc<str>> {
        self.find(name)?.lock()?.roll.spelling()
    }

    /// What a cache channel remembers, and until when.
    #[must_use]
    pub fn cached(&self, name: &str, now: Time) -> Option<(Arc<Event>, Time)> {
        let channel = self.find(name)?;
        let state = channel.lock()?;
        state.cache.as_ref().filter(|cached| cached.expires > now).map(|cached| (Arc::clone(&cached.event), cached.expires))
    }

    /// Binds a connection to a user, who watches `watchlist` instead of `watched_before` from now on.
    pub fn sign_in(&self, socket: SocketId, user_id: &Arc<str>, watchlist: &[Arc<str>], watched_before: &[Arc<str>]) -> Watched {
        self.users().sign_in(&self.shared, socket, user_id, watchlist, watched_before)
    }

    /// Undoes a sign-in, with the watchlist it had last.
    pub fn sign_out(&self, socket: SocketId, user_id: &Arc<str>, watchlist: &[Arc<str>]) {
        self.users().sign_out(&self.shared, socket, user_id, watchlist);
    }

    /// The connections signed in as the user.
    #[must_use]
    pub fn signed_in(&self, user_id: &str) -> Vec<SocketId> {
        self.users().sockets(user_id)
    }

    /// How many users are signed in.
    #[must_use]
    pub fn users_online(&self) -> usize {
        self.users().len()
    }

    /// How many channels there are, occupied or remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| read(stripe).len()).sum()
    }

    /// Whether there is no channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The channels whose names pass `wanted`, as they are found: stripe by stripe.
    pub(crate) fn some(&self, wanted: impl Fn(&ChannelName) -> bool) -> impl Iterator<Item = Arc<Channel>> {
        self.stripes.iter().flat_map(move |stripe| {
            let found: Vec<_> = read(stripe).values().filter(|channel| wanted(&channel.name)).cloned().collect();
            found
        })
    }

    /// The channel of that name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Channel>> {
        read(self.stripe(name)).get(name).cloned()
    }

    /// The channel that takes the event; `None` where nobody would get it, now or later.
    fn find_for(&self, app: &App, publish: &Publish, name: &ChannelName) -> Option<Arc<Channel>> {
        let lasts = publish.stamps.is_some() || publish.source == Source::Server && name.caches() || app.recents.always(name.as_str());
        // Nobody needs to be on a channel between two.
        if lasts || name.as_str().starts_with("peer-") { Some(self.find_or_create(app, name)) } else { self.find(name.as_str()) }
    }

    fn find_or_create(&self, app: &App, name: &ChannelName) -> Arc<Channel> {
        if let Some(channel) = self.find(name.as_str()) {
            return channel;
        }
        let mut map = self.stripe(name.as_str()).write().unwrap_or_else(PoisonError::into_inner);
        let channel = map.entry(name.clone()).or_insert_with(|| {
            let (id, serial) = self.shared.next_channel();
            let recent = self.recent(app, name, serial);
            Arc::new(Channel::new(name.clone(), id, serial, self.shared.inboxes.len(), recent, Weak::clone(&self.me)))
        });
        Arc::clone(channel)
    }

    /// Marks an idle channel gone under its own lock, and only then takes it out of the map.
    fn remove_if_idle(&self, channel: &Arc<Channel>, mut state: MutexGuard<'_, State>) {
        if !state.is_idle() || state.gone {
            return;
        }
        state.gone = true;
        // What is published while there is no channel has no serial: who comes back from before must not take its place for the last.
        self.shared.retire(state.serial + u64::from(state.recent.is_some()));
        drop(state);
        self.remove(channel);
    }

    fn remove(&self, channel: &Arc<Channel>) {
        let mut map = self.stripe(channel.name.as_str()).write().unwrap_or_else(PoisonError::into_inner);
        if map.get(&channel.name).is_some_and(|found| Arc::ptr_eq(found, channel)) {
            map.remove(&channel.name);
        }
    }

    /// Drops a channel that a fault left unusable and has its subscribers closed.
    fn lose(&self, channel: &Arc<Channel>) {
        if channel.mark_lost() {
            self.shared.leap();
            self.remove(channel);
            for inbox in &self.shared.inboxes {
                inbox.push(Item::Lost { channel_id: channel.id });
            }
        }
    }

    pub(crate) fn emission<'a>(&'a self, app: &'a App, channel: &'a Channel) -> Emission<'a> {
        let wanted = !app.webhooks.is_empty() && channel.name.access() != Access::Reserved;
        Emission { channel, shared: &self.shared, facts: wanted.then_some(&app.id) }
    }

    fn stripe(&self, name: &str) -> &RwLock<Map> {
        use std::hash::BuildHasher;
        // The map inside uses the lower bits of the same hash.
        &self.stripes[(self.hasher.hash_one(name) >> 40) as usize % STRIPES]
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caches(&self) -> MutexGuard<'_, Caches> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Channels whose locks are held, in the byte order of their names.
pub(crate) struct Locked<'c> {
    pub(crate) states: SmallVec<[(&'c Arc<Channel>, MutexGuard<'c, State>); 4]>,
    /// How many were to be locked.
    wanted: usize,
}

impl Locked<'_> {
    pub(crate) fn place(&self, name: impl AsRef<str>) -> Option<usize> {
        self.states.binary_search_by(|(channel, _)| channel.name.as_str().cmp(name.as_ref())).ok()
    }

    /// The channel on which the event has its place: another of that name, which came after a fault, is not meant.
    pub(crate) fn place_of(&self, event: &Event) -> Option<usize> {
        self.place(&event.channel).filter(|&place| self.states[place].0.id == event.channel_id)
    }

    /// The connections that get what is published on a channel between two, though they did not subscribe to it.
    fn sockets(&self, name: &ChannelName) -> SmallVec<[SocketId; 4]> {
        let mut sockets = SmallVec::new();
        for (presence, tail) in peer::candidates(name) {
            let Some(place) = self.place(&presence) else { continue };
            let members = &self.states[place].1.members;
            sockets.extend(peer::pairs(tail).filter_map(|(one, other)| members.pair(one, other)).flatten());
        }
        sockets
    }
}

/// The body of what is published on the channel at that place of the list.
fn body(publish: &Publish, at: Option<usize>) -> Body {
    let Publish { name, data, source, stamps, extras, .. } = publish;
    let stamp = stamps.as_ref().zip(at).and_then(|(stamps, at)| stamps.mids.get(at).map(|mid| Stamp { mid: *mid, at: stamps.at }));
    let attached = (stamp.is_some() || extras.is_some()).then(|| Box::new(Attached { stamp, extras: extras.clone() }));
    Body::Published { name: Arc::clone(name), data: data.clone(), source: source.clone(), attached }
}

fn read(stripe: &RwLock<Map>) -> RwLockReadGuard<'_, Map> {
    stripe.read().unwrap_or_else(PoisonError::into_inner)
}
