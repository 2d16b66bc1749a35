//! The one door: the only way to publish, subscribe, unsubscribe and ask. Limits and policies hold here; transports and APIs translate.

mod history;
mod keep;
mod pushy;
mod stored;
mod wspush;

use crate::address::{AddressLimits, Addresses};
use crate::api::Logins;
use crate::clock::{self, Clock};
use crate::config::{self, Config};
use crate::deliver::Counters;
use crate::http::response::Answered;
use crate::shard::{Command, ShardHandle};
use crate::store::Store;
use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
pub(crate) use keep::{Reply, no_store};
pub(crate) use pushy::{Call, PushyService};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidings_dialect::action::{End, Join, SignIn};
use tidings_dialect::sse;
use tidings_hub::{App, AppId, Channel, Channels, Dialects, Hub, Joined, Member, Refused, SocketId, Time, UnixTime, Watched, Window};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
pub(crate) use wspush::{Place as RelayPlace, RelayService};

/// Everything of a node that shards, API and timers share.
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    /// When it was made, by the calendar.
    pub(crate) started: UnixTime,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) addresses: Addresses,
    pub(crate) limits: config::Limits,
    /// Whether permessage-deflate is agreed to.
    pub(crate) compression: bool,
    /// Sockets, whatever they speak.
    pub(crate) connections: AtomicUsize,
    /// How many sockets there are descriptors for; beyond it newcomers wait in the kernel's queue.
    pub(crate) sockets_max: usize,
    /// Sessions in force.
    pub(crate) sessions: Arc<AtomicUsize>,
    /// Answers to requests of the HTTP API that came to the service beside the shards.
    pub(crate) answered: Answered,
    /// Where what waits for others runs.
    pub(crate) runtime: Handle,
    /// What webhooks have counted, once they run.
    delivery: OnceLock<Arc<Counters>>,
    apps: ArcSwap<Apps>,
    /// What lasts; none if the configuration has none.
    store: Option<Store>,
    known_apps: Mutex<stored::KnownApps>,
    /// The number of the store's apps as they were looked at last.
    apps_version: AtomicU64,
    /// What all listeners together speak.
    dialects: Dialects,
    /// Settings of Pushi's dialect: for all apps, and for some.
    pushi: config::Pushi,
    pushi_apps: HashMap<AppId, config::Pushi, RandomState>,
    /// How streams of server-sent events behave.
    pub(crate) sse: Arc<sse::session::Settings>,
    /// What is kept of channels that somebody reads who may come back.
    recent: Window,
    /// Apps that Pushy's clients speak to.
    pub(crate) pushy: Vec<Arc<PushyService>>,
    /// Which channels' events are stored for those who were away.
    histories: history::Histories,
    /// Relays of Redis.
    pub(crate) relays: Vec<Arc<RelayService>>,
    /// Who is logged in at the REST API.
    pub(crate) logins: Logins,
    /// Spreads sessions over HTTP among the shards, in a way that no client knows.
    spread: RandomState,
    /// The server will stop: whoever balances load should look elsewhere.
    leaving: AtomicBool,
    draining: watch::Sender<bool>,
    /// Somebody outside waits for room.
    crowded: AtomicBool,
    room: Notify,
}

/// What a node works with.
pub(crate) struct Means {
    pub(crate) runtime: Handle,
    /// How many sockets the process may have.
    pub(crate) sockets_max: usize,
    pub(crate) store: Option<Store>,
    pub(crate) pushy: Vec<Arc<PushyService>>,
    pub(crate) relays: Vec<Arc<RelayService>>,
}

/// All apps, by what names them. A reload makes a new one.
#[derive(Default)]
pub(crate) struct Apps {
    by_key: HashMap<String, Arc<AppHandle>, RandomState>,
    by_id: HashMap<AppId, Arc<AppHandle>, RandomState>,
}

/// An app as the node runs it: its settings of the moment, its channels, and how many are connected.
pub(crate) struct AppHandle {
    pub(crate) app: Arc<App>,
    pub(crate) channels: Arc<Channels>,
    /// Kept over reloads.
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Apps {
    pub(crate) fn by_key(&self, key: &str) -> Option<&Arc<AppHandle>> {
        self.by_key.get(key)
    }

    pub(crate) fn by_id(&self, id: &AppId) -> Option<&Arc<AppHandle>> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<AppHandle>> {
        self.by_id.values()
    }
}

impl AppHandle {
    /// Whether the app has all the connections it may have (P-2.3 row 9).
    pub(crate) fn is_full(&self) -> bool {
        let max = self.app.limits.connections.map_or(usize::MAX, |max| max as usize);
        self.connections.load(Ordering::Relaxed) >= max
    }
}

impl Node {
    pub(crate) fn new(hub: Hub, clock: Clock, shards: Vec<ShardHandle>, config: &Config, means: Means) -> Self {
        let Means { runtime, sockets_max, store, pushy, relays } = means;
        Self {
            hub,
            clock,
            started: clock::unix_time(),
            shards,
            addresses: Addresses::new(AddressLimits {
                connections: config.limits.connections_per_address,
                handshakes_per_second: config.limits.handshakes_per_address.per_second(),
            }),
            limits: config.limits.clone(),
            compression: config.websocket.compression,
            connections: AtomicUsize::new(0),
            sockets_max,
            sessions: Arc::default(),
            answered: Answered::default(),
            delivery: OnceLock::new(),
            apps: ArcSwap::default(),
            store,
            known_apps: Mutex::default(),
            apps_version: AtomicU64::new(0),
            dialects: config::dialects_of(&config.listeners),
            pushi: config.pushi.iter().find(|section| section.app.is_none()).cloned().unwrap_or_default(),
            pushi_apps: config.pushi.iter().filter_map(|section| Some((section.app.clone()?, section.clone()))).collect(),
            sse: Arc::new(config.sse.clone()),
            recent: config.recent.window,
            pushy,
            histories: history::Histories::default(),
            relays,
            logins: Logins::default(),
            spread: RandomState::default(),
            leaving: AtomicBool::new(false),
            draining: watch::Sender::new(false),
            runtime,
            crowded: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    /// Webhooks run, and count here.
    pub(crate) fn set_delivery_counters(&self, counters: Arc<Counters>) {
        let _ = self.delivery.set(counters);
    }

    /// What webhooks have counted.
    pub(crate) fn delivery(&self) -> Option<&Counters> {
        self.delivery.get().map(|counters| &**counters)
    }

    /// The settings of Pushi's dialect for an app.
    pub(crate) fn pushi(&self, app: &AppId) -> &config::Pushi {
        self.pushi_apps.get(app).unwrap_or(&self.pushi)
    }

    /// What an app of the store is spoken to in.
    fn dialects_of(&self, app: &AppId) -> Dialects {
        let pushy = self.pushy.iter().any(|service| service.config.app == *app);
        let wspush = self.relays.iter().any(|relay| relay.config.app == *app);
        Dialects { pushy, wspush, ..self.dialects }
    }

    /// The shard that has the session of that name over HTTP, of all of its mount.
    pub(crate) fn shard_of(&self, mount: usize, name: &str) -> usize {
        (self.spread.hash_one((mount, name)) % self.shards.len() as u64) as usize
    }

    /// Those that are of no app.
    pub(crate) fn pushi_node(&self) -> &config::Pushi {
        &self.pushi
    }

    fn known_apps(&self) -> MutexGuard<'_, stored::KnownApps> {
        self.known_apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The apps as they are now.
    pub(crate) fn apps(&self) -> arc_swap::Guard<Arc<Apps>> {
        self.apps.load()
    }

    /// Serves `apps` from now on, and tells the shards' connections.
    pub(crate) fn set_apps(&self, apps: &[Arc<App>]) {
        let old = self.apps.load_full();
        let mut new = Apps::default();
        for app in apps {
            let connections = old.by_id(&app.id).map(|handle| Arc::clone(&handle.connections)).unwrap_or_default();
            let handle = Arc::new(AppHandle { app: Arc::clone(app), channels: self.hub.app(app), connections });
            new.by_id.insert(app.id.clone(), Arc::clone(&handle));
            new.by_key.extend(app.keys.iter().map(|pair| (pair.key.clone(), Arc::clone(&handle))));
        }
        for gone in old.iter().filter(|handle| new.by_id(&handle.app.id).is_none()) {
            self.hub.forget(&gone.app.id);
        }
        let new = Arc::new(new);
        self.apps.store(Arc::clone(&new));
        self.histories.set(apps);
        self.command_all(|| Command::Reload(Arc::clone(&new)));
    }

    /// Whether a publisher may come in now. If not, somebody will call [`Node::made_room`] once it may.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_roomy() {
            return true;
        }
        self.crowded.store(true, Ordering::SeqCst);
        // Pairs with the fence of who makes room: one of us sees what the other did.
        fence(Ordering::SeqCst);
        // It may have become roomy before anybody could see that we wait.
        self.is_roomy()
    }

    fn is_roomy(&self) -> bool {
        let stores = self.store.as_ref().is_none_or(Store::has_room);
        self.hub.inboxes().iter().all(|inbox| inbox.has_room()) && !self.hub.budget().is_spent() && stores
    }

    /// Tells those who wait, if there are any, that there may be room. Shards call it when they took from their inbox or wrote, the store when it
    /// has settled jobs.
    pub(crate) fn made_room(&self) {
        fence(Ordering::SeqCst);
        if self.crowded.load(Ordering::SeqCst) && self.is_roomy() && self.crowded.swap(false, Ordering::SeqCst) {
            self.room.notify_waiters();
            for shard in &self.shards {
                shard.inbox.wake();
            }
        }
    }

    /// Waits until a publisher may come in. Dropping it loses nothing.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    /// Joins a connection to a channel.
    pub(crate) fn subscribe(
        &self,
        handle: &AppHandle,
        socket: SocketId,
        join: &Join,
        now: Time,
    ) -> Result<(Arc<Channel>, Joined), Refused> {
        handle.channels.subscribe(&handle.app, &join.channel, socket, join.member.clone(), join.since, now)
    }

    /// Changes what a connection is on a channel that it is on.
    pub(crate) fn refresh(
        &self,
        handle: &AppHandle,
        socket: SocketId,
        channel: &Arc<Channel>,
        before: Option<&Arc<Member>>,
        member: Option<&Arc<Member>>,
        now: Time,
    ) -> Result<Joined, Refused> {
        handle.channels.refresh(&handle.app, channel, socket, before, member, now)
    }

    /// Takes a connection off a channel; `reads` if it may come back.
    pub(crate) fn unsubscribe(
        &self,
        handle: &AppHandle,
        socket: SocketId,
        channel: &Arc<Channel>,
        (member, reads): (Option<&Arc<Member>>, bool),
        now: Time,
    ) {
        handle.channels.unsubscribe(&handle.app, channel, socket, member, reads, now);
    }

    /// Binds a connection to a user; `before` is what it had signed in with.
    pub(crate) fn sign_in(&self, handle: &AppHandle, socket: SocketId, sign_in: &SignIn, before: Option<&SignIn>) -> Watched {
        let watched_before = before.map_or(&[][..], |before| &before.watchlist);
        handle.channels.sign_in(socket, &sign_in.user_id, &sign_in.watchlist, watched_before)
    }

    /// Undoes a sign-in: its connection ends.
    pub(crate) fn sign_out(&self, handle: &AppHandle, socket: SocketId, sign_in: &SignIn) {
        handle.channels.sign_out(socket, &sign_in.user_id, &sign_in.watchlist);
    }

    /// Closes every connection that is signed in as the user.
    pub(crate) fn terminate(&self, handle: &AppHandle, user_id: &str) {
        for socket in handle.channels.signed_in(user_id) {
            if let Some(shard) = self.shards.get(socket.shard()) {
                shard.command(Command::End { socket, end: End::Terminated });
            }
        }
    }

    /// Whether the node is at its own capacity (P-2.3 row 10).
    pub(crate) fn is_full(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) >= self.limits.connections as usize || self.hub.budget().is_spent()
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Tells when the node starts to drain.
    pub(crate) fn drained(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// From now on `ready` says no.
    pub(crate) fn announce_draining(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether load balancers may send new connections.
    pub(crate) fn is_ready(&self) -> bool {
        !self.leaving.load(Ordering::Relaxed)
    }

    /// From now on whoever still comes in is refused.
    pub(crate) fn start_draining(&self) {
        self.draining.send_replace(true);
    }

    /// Sends a command to every shard.
    pub(crate) fn command_all(&self, command: impl Fn() -> Command) {
        for shard in &self.shards {
            shard.command(command());
        }
    }
}
