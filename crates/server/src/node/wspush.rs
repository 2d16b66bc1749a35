//! A relay of Redis as the node has it: how many are connected with one token, what was counted, and what its Redis brings.

use super::{AppHandle, Node, Reply};
use crate::config;
use bytes::Bytes;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_dialect::wspush::settings::Settings;
use tidings_dialect::wspush::statistics::Counts;
use tidings_dialect::wspush::token::carries;
use tidings_hub::{ChannelName, Publish};

/// The name of all events that come from Redis.
const EVENT: &str = "message";

/// One section of the configuration, as it is served.
pub(crate) struct RelayService {
    pub(crate) config: config::Wspush,
    pub(crate) session: Arc<Settings>,
    pub(crate) counts: RelayCounts,
    /// Whether a Redis has confirmed the subscription, and was not lost since.
    connected: AtomicBool,
    event: Arc<str>,
    /// Connections on each channel that has any: a channel is what a token comes to.
    places: Mutex<HashMap<ChannelName, u32, RandomState>>,
}

/// What a relay has counted since the start, and how many it serves (W-9).
#[derive(Debug, Default)]
pub(crate) struct RelayCounts {
    /// Connections that came as far as being counted, those over the limit included.
    pub(crate) sessions_seen: Tally,
    /// Those of the moment.
    pub(crate) sessions_open: Tally,
    /// Those over the limit.
    pub(crate) sessions_refused: Tally,
    /// Messages written to a client, once for each.
    pub(crate) successful_deliveries: Tally,
    /// Messages that a client did not get because too many waited for it, where the relay is set so.
    pub(crate) dropped: Tally,
    /// Clients closed because too much waited for them.
    pub(crate) closed_slow: Tally,
    /// Messages that a client did not get because they are no text.
    pub(crate) invalid_utf8: Tally,
    /// Messages from Redis under the prefix, whoever listens.
    pub(crate) messages_seen: Tally,
    /// Their data.
    pub(crate) message_bytes: Tally,
    /// Those refused for their size.
    pub(crate) too_large: Tally,
    /// Those that nobody could get: no token can be that, or there is no such app.
    pub(crate) unroutable: Tally,
    /// Subscriptions that were lost.
    pub(crate) losses: Tally,
    /// Those that came back.
    pub(crate) reconnects: Tally,
}

/// A number that threads change together.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

/// One of the connections that a token may have; given back when it is dropped.
pub(crate) struct Place {
    service: Arc<RelayService>,
    channel: ChannelName,
}

impl RelayService {
    pub(crate) fn new(config: &config::Wspush) -> Self {
        Self {
            config: config.clone(),
            session: Arc::new(config.session.clone()),
            counts: RelayCounts::default(),
            connected: AtomicBool::new(false),
            event: EVENT.into(),
            places: Mutex::default(),
        }
    }

    /// A place for one more connection on the channel, unless it has all that its token may have (W-4.1).
    pub(crate) fn enter(self: &Arc<Self>, channel: &ChannelName) -> Option<Place> {
        self.counts.sessions_seen.add(1);
        let mut places = self.places();
        match places.get_mut(channel) {
            Some(taken) if *taken >= self.session.connections_per_token => {
                self.counts.sessions_refused.add(1);
                return None;
            }
            Some(taken) => *taken += 1,
            None => drop(places.insert(channel.clone(), 1)),
        }
        self.counts.sessions_open.add(1);
        Some(Place { service: Arc::clone(self), channel: channel.clone() })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ChannelName, u32, RandomState>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers that its statistics tell.
    pub(crate) fn statistics(&self) -> Counts {
        let counts = &self.counts;
        Counts {
            sessions_seen: counts.sessions_seen.get(),
            messages_seen: counts.messages_seen.get(),
            successful_deliveries: counts.successful_deliveries.get(),
            sessions_open: counts.sessions_open.get(),
            sessions_refused: counts.sessions_refused.get(),
            dropped: counts.dropped.get(),
            closed_slow: counts.closed_slow.get(),
            invalid_utf8: counts.invalid_utf8.get(),
            redis_connected: self.is_connected(),
            redis_reconnects: counts.reconnects.get(),
        }
    }

    /// A line that says whether its Redis is there.
    pub(crate) fn check(&self) -> String {
        let name = &self.config.name;
        let of = if name.is_empty() { String::new() } else { format!(" {name}") };
        format!("redis of the relay{of}: {}\n", if self.is_connected() { "connected" } else { "away" })
    }

    /// Whether what is published in Redis comes here now.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.counts.sessions_open.subtract(1);
        let mut places = self.service.places();
        match places.get_mut(&self.channel) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(places.remove(&self.channel)),
        }
    }
}

impl Node {
    /// Publishes what a relay's Redis brought; false if there is no app for it. Whoever calls has seen to room and size.
    pub(crate) fn relay(self: &Arc<Self>, service: &RelayService, channel: ChannelName, data: Bytes) -> bool {
        let apps = self.apps();
        let Some(app) = served(&apps, service) else { return false };
        let reply = Reply::Gap { app: Arc::clone(app), channel: channel.clone() };
        self.publish_for(app, &[Publish::new(channel, Arc::clone(&service.event), data)], reply);
        true
    }

    /// Tells whoever listens to a relay, and can be told, that messages may be missing before those that come now.
    pub(crate) fn relay_gap(&self, service: &RelayService) {
        if let Some(app) = served(&self.apps(), service) {
            self.gap(app, |channel| carries(channel, &service.session));
        }
    }

    /// From now on a relay hears all that its Redis has: what was there before is not stored.
    pub(crate) fn relay_begins(&self, service: &RelayService) {
        if let Some(app) = served(&self.apps(), service) {
            self.break_history(app);
        }
    }
}

/// The relay's app, if it is there and serves.
fn served<'a>(apps: &'a super::Apps, service: &RelayService) -> Option<&'a Arc<AppHandle>> {
    apps.by_id(&service.config.app).filter(|app| app.app.enabled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    const RELAY: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"secret-of-the-app\"\n\
                         [[wspush]]\napp = \"1\"\nconnections_per_token = 3\n";

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    /// W-4.1, W-4.4, W-10.1: a place is free again at once, and nothing stays of a token that nobody has.
    #[test]
    fn a_token_has_so_many_places() {
        let world = World::new(RELAY);
        let relay = &world.node.relays[0];
        let (foo, bar) = (channel("Foo"), channel("foo"));
        let mut places: Vec<_> = (0..3).map(|_| relay.enter(&foo).unwrap()).collect();
        assert!(relay.enter(&foo).is_none() && relay.enter(&foo).is_none());
        let other = relay.enter(&bar).unwrap();
        let counts = || relay.statistics();
        assert_eq!((counts().sessions_seen, counts().sessions_open, counts().sessions_refused), (6, 4, 2));
        drop(places.pop());
        let again = relay.enter(&foo).unwrap();
        assert!(relay.enter(&foo).is_none());
        drop((places, again, other));
        assert_eq!((counts().sessions_seen, counts().sessions_open, counts().sessions_refused), (8, 0, 3));
        assert!(relay.places().is_empty());
    }

    #[test]
    fn places_are_counted_by_all_threads_together() {
        let world = World::new(RELAY);
        let relay = &world.node.relays[0];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2_000 {
                        let held: Vec<_> = (0..3).filter_map(|_| relay.enter(&channel(["a", "b"][round % 2]))).collect();
                        assert!(relay.places().values().all(|taken| (1..=3).contains(taken)));
                        drop(held);
                    }
                });
            }
        });
        let counts = relay.statistics();
        assert_eq!((counts.sessions_seen, counts.sessions_open), (24_000, 0));
        assert!(relay.places().is_empty());
    }
}
