//! All channels and users of one app: who may join is decided before, what joining means is decided here.

use crate::channel::{CachedEvent, Emission, State};
use crate::shared::{Due, Shared};
use crate::user::Users;
use crate::{
    Access, App, Body, Cached, Channel, ChannelName, Event, FactKind, Item, Joined, Member, MemberList, Occupancy, Publish, Refused,
};
use crate::{SocketId, Source, Time, Watched};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;
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
    shared: Arc<Shared>,
    me: Weak<Self>,
    /// The settings that timers use; everybody else brings them.
    app: RwLock<Arc<App>>,
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
            app: RwLock::new(app),
            hasher: FixedState::with_seed(seed),
            stripes: std::array::from_fn(|_| RwLock::new(Map::with_hasher(FixedState::with_seed(seed)))),
            users: Mutex::default(),
            caches: Mutex::default(),
        })
    }

    pub(crate) fn reload(&self, app: Arc<App>) {
        *self.app.write().unwrap_or_else(PoisonError::into_inner) = app;
    }

    /// Joins `socket` to the channel, which is made if nobody is there. In force from the serial that the answer names.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn subscribe(
        &self,
        app: &App,
        name: &ChannelName,
        socket: SocketId,
        member: Option<Member>,
        now: Time,
    ) -> Result<(Arc<Channel>, Joined), Refused> {
        loop {
            let channel = self.find_or_create(name);
            let Some(mut state) = channel.lock() else {
                self.lose(&channel);
                return Err(Refused::Lost);
            };
            if state.gone {
                continue;
            }
            return match self.join(app, &channel, &mut state, socket, member, now) {
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
        member: Option<Member>,
        now: Time,
    ) -> Result<Joined, Refused> {
        let at = self.emission(app, channel);
        let max = app.limits.presence_members;
        if member.as_ref().is_some_and(|member| state.members.len() >= max && !state.members.contains(&member.user_id)) {
            return Err(Refused::MembersFull { max });
        }
        if state.subscribers == 0 {
            state.tell(&at, FactKind::Occupied);
        }
        if let Some(member) = member
            && state.members.join(member.clone())
        {
            let user_id = Arc::clone(&member.user_id);
            // Before it enters: it must not hear of itself.
            state.emit(&at, Some(socket), Body::MemberAdded(member));
            state.tell(&at, FactKind::MemberAdded { user_id });
        }
        state.enter(socket.shard());
        let cache = state.cached(channel.name.caches(), now);
        if matches!(cache, Cached::Miss) {
            state.tell(&at, FactKind::CacheMiss);
        }
        let joined = Joined { serial: state.serial, members: state.members.list(), cache };
        self.count_changed(app, &at, channel, state, now);
        Ok(joined)
    }

    /// Takes `socket` off a channel that it is on, with the member it is there.
    pub fn unsubscribe(&self, app: &App, channel: &Arc<Channel>, socket: SocketId, user_id: Option<&Arc<str>>, now: Time) {
        let Some(mut state) = channel.lock() else { return self.lose(channel) };
        let at = self.emission(app, channel);
        state.leave(socket.shard());
        if let Some(user_id) = user_id
            && state.members.leave(user_id)
        {
            let user_id = Arc::clone(user_id);
            state.emit(&at, None, Body::MemberRemoved { user_id: Arc::clone(&user_id) });
            state.tell(&at, FactKind::MemberRemoved { user_id });
        }
        self.count_changed(app, &at, channel, &mut state, now);
        if state.subscribers == 0 {
            state.tell(&at, FactKind::Vacated);
        }
        self.remove_if_idle(channel, state);
    }

    /// Publishes `batch` in its order, atomically: no other publisher's event comes between on the channels named.
    /// Channels that nobody is on get nothing, unless they are to remember it.
    pub fn publish(&self, app: &App, batch: &[Publish], now: Time) {
        if let [publish] = batch
            && let [name] = &publish.channels[..]
        {
            return self.publish_one(app, publish, name, now);
        }
        loop {
            let mut channels: SmallVec<[Arc<Channel>; 4]> = SmallVec::new();
            for publish in batch {
                channels.extend(publish.channels.iter().filter_map(|name| self.find_for(publish, name)));
            }
            channels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            channels.dedup_by(|a, b| Arc::ptr_eq(a, b));
            if self.publish_locked(app, batch, &channels, now) {
                return;
            }
        }
    }

    fn publish_one(&self, app: &App, publish: &Publish, name: &ChannelName, now: Time) {
        while let Some(channel) = self.find_for(publish, name) {
            let Some(mut state) = channel.lock() else {
                self.lose(&channel);
                continue;
            };
            if state.gone {
                continue;
            }
            let event = state.publish(&self.emission(app, &channel), publish);
            if self.remember(app, &channel, &mut state, publish, event, now) {
                drop(state);
                self.bound_caches(app);
            }
            return;
        }
    }

    /// `false` if a channel left the map meanwhile: nothing was published, look again.
    fn publish_locked(&self, app: &App, batch: &[Publish], channels: &[Arc<Channel>], now: Time) -> bool {
        let mut states: SmallVec<[(&Arc<Channel>, MutexGuard<'_, State>); 4]> = SmallVec::new();
        for channel in channels {
            match channel.lock() {
                Some(state) if !state.gone => states.push((channel, state)),
                Some(_) => return false,
                None => {
                    drop(states);
                    self.lose(channel);
                    return false;
                }
            }
        }
        let mut too_many = false;
        for publish in batch {
            for name in &publish.channels {
                let Ok(place) = states.binary_search_by(|(channel, _)| channel.name.cmp(name)) else { continue };
                let (channel, state) = &mut states[place];
                let event = state.publish(&self.emission(app, channel), publish);
                too_many |= self.remember(app, channel, state, publish, event, now);
            }
        }
        drop(states);
        if too_many {
            self.bound_caches(app);
        }
        true
    }

    /// Fills the cache of a cache channel with what a server published (P-13.1). Returns whether more channels remember now than may.
    fn remember(&self, app: &App, channel: &Arc<Channel>, state: &mut State, publish: &Publish, event: Arc<Event>, now: Time) -> bool {
        if publish.source != Source::Server || !channel.name.caches() {
            return false;
        }
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
    fn bound_caches(&self, app: &App) {
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
        let mut found = Vec::new();
        for stripe in &self.stripes {
            let channels: Vec<_> = read(stripe).values().filter(|channel| channel.name.as_str().starts_with(prefix)).cloned().collect();
            found.extend(channels.into_iter().map(|channel| (channel.name.clone(), channel.occupancy())));
        }
        found.retain(|(name, occupancy)| occupancy.subscriptions > 0 && wanted(name));
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// The members of a presence channel now.
    #[must_use]
    pub fn members(&self, name: &str) -> Arc<MemberList> {
        self.find(name).and_then(|channel| channel.lock().and_then(|mut state| state.members.list())).unwrap_or_default()
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

    /// The channel of that name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Channel>> {
        read(self.stripe(name)).get(name).cloned()
    }

    fn find_for(&self, publish: &Publish, name: &ChannelName) -> Option<Arc<Channel>> {
        match publish.source {
            Source::Server if name.caches() => Some(self.find_or_create(name)),
            _ => self.find(name.as_str()),
        }
    }

    fn find_or_create(&self, name: &ChannelName) -> Arc<Channel> {
        if let Some(channel) = self.find(name.as_str()) {
            return channel;
        }
        let mut map = self.stripe(name.as_str()).write().unwrap_or_else(PoisonError::into_inner);
        let channel = map.entry(name.clone()).or_insert_with(|| {
            let (id, serial) = self.shared.next_channel();
            Arc::new(Channel::new(name.clone(), id, serial, self.shared.inboxes.len(), Weak::clone(&self.me)))
        });
        Arc::clone(channel)
    }

    /// Marks an idle channel gone under its own lock, and only then takes it out of the map.
    fn remove_if_idle(&self, channel: &Arc<Channel>, mut state: MutexGuard<'_, State>) {
        if !state.is_idle() || state.gone {
            return;
        }
        state.gone = true;
        self.shared.retire(state.serial);
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

    fn emission<'a>(&'a self, app: &'a App, channel: &'a Channel) -> Emission<'a> {
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

fn read(stripe: &RwLock<Map>) -> RwLockReadGuard<'_, Map> {
    stripe.read().unwrap_or_else(PoisonError::into_inner)
}
