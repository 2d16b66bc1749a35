//! Where sessions over HTTP are served: a path below which SockJS is spoken, and who speaks above it.

use crate::config::{self, Dialect};
use crate::connection::trial::Service;
use crate::node::{PushyService, RelayService};
use crate::transport::sockjs::{self, Route, Settings, Transport, Transports};
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Below this path Pusher's client falls back to HTTP (P-19.3); it can be told another one, which a proxy has to map.
const PUSHER: &str = "/pusher";
/// How long a session of Pusher's client waits for the next receiving request (P-19.8).
const PUSHER_PATIENCE: Duration = Duration::from_secs(30);
/// With so much of a streaming response Pusher's client leaves it and comes again (P-19.6). What was sent behind that would be lost.
const PUSHER_RESPONSE: usize = 256 * 1024 + 1;

/// A path below which SockJS is spoken.
pub(crate) struct Mount {
    /// Its place among all of the node.
    pub(crate) number: usize,
    pub(crate) service: sockjs::Service,
    pub(crate) speaks: Speaks,
    prefix: String,
    /// How many sessions it has.
    sessions: AtomicUsize,
    /// By the client's address, where that is limited.
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// What is spoken above SockJS.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// Pusher's dialect; the path names the key.
    Pusher,
    /// Pusher's dialect, once the first message has named the path and with it the key (P-19.9).
    PusherLobby,
    /// Pushy's dialect, for one app.
    Pushy(Arc<PushyService>),
    /// A service that tests of SockJS ask for.
    Trial(Service),
}

/// A request below a mount.
pub(crate) struct Found<'p> {
    /// The part of the path that names the key of an app.
    pub(crate) key: &'p str,
    /// The rest.
    pub(crate) below: &'p str,
}

/// All mounts of a node; listeners that speak the same share one, and its sessions. And its relays, which are on no path of their own.
pub(crate) struct Mounts {
    pusher: Arc<Mount>,
    lobby: Arc<Mount>,
    /// With the names that listeners know them by.
    pushy: Vec<(Dialect, Arc<Mount>)>,
    trials: Vec<Arc<Mount>>,
    /// With the names that listeners know them by.
    relays: Vec<(Dialect, Arc<RelayService>)>,
}

impl Mounts {
    pub(crate) fn new(services: &[Arc<PushyService>], relays: &[Arc<RelayService>]) -> Self {
        let trial = |number, prefix, service, settings| Arc::new(Mount::trial(number, prefix, service, settings));
        let base = || Settings { response_limit: 4096, ..Settings::default() };
        let trials = vec![
            trial(1, "/echo", Service::Echo, base()),
            trial(
                2,
                "/disabled_websocket_echo",
                Service::Echo,
                Settings { transports: Transports::default().without_websocket(), ..base() },
            ),
            trial(3, "/cookie_needed_echo", Service::Echo, Settings { jsessionid: true, ..base() }),
            trial(4, "/close", Service::Close, base()),
        ];
        let lobby = Arc::new(Mount::lobby(trials.len() + 1));
        let first = trials.len() + 2;
        let pushy =
            services.iter().enumerate().map(|(at, service)| (service.config.dialect(), Arc::new(Mount::pushy(first + at, service))));
        let relays = relays.iter().map(|service| (service.config.dialect(), Arc::clone(service))).collect();
        Self { pusher: Arc::new(Mount::pusher(0)), lobby, pushy: pushy.collect(), trials, relays }
    }

    /// The relay that a listener serves.
    pub(crate) fn relay_of(&self, listener: &config::Listener) -> Option<Arc<RelayService>> {
        let found = self.relays.iter().find(|(dialect, _)| listener.dialects.contains(dialect));
        found.map(|(_, service)| Arc::clone(service))
    }

    /// Those of a listener.
    pub(crate) fn of(&self, listener: &config::Listener) -> Vec<Arc<Mount>> {
        let mut mounts = Vec::new();
        if listener.dialects.contains(&Dialect::SockjsTrial) {
            mounts.extend(self.trials.iter().map(Arc::clone));
        }
        mounts.extend(self.pushy.iter().filter(|(dialect, _)| listener.dialects.contains(dialect)).map(|(_, mount)| Arc::clone(mount)));
        if listener.dialects.contains(&Dialect::Pusher) {
            mounts.extend([&self.pusher, &self.lobby].map(Arc::clone));
        }
        mounts
    }
}

impl Mount {
    /// Pusher's fallbacks: frames of SockJS by two of its transports, below a path that names the key.
    pub(crate) fn pusher(number: usize) -> Self {
        let settings = Settings {
            transports: [Transport::Xhr, Transport::XhrStreaming].into_iter().collect(),
            response_limit: PUSHER_RESPONSE,
            disconnect_delay: PUSHER_PATIENCE,
            outlives_responses: true,
            polls_take_all: true,
            ..Settings::default()
        };
        Self {
            number,
            service: sockjs::Service::new(settings),
            speaks: Speaks::Pusher,
            prefix: PUSHER.to_owned(),
            sessions: AtomicUsize::new(0),
            addresses: Mutex::default(),
        }
    }

    /// The same by SockJS as it is, which Pusher's client takes where scripts may not ask other hosts. WebSocket it has tried before.
    fn lobby(number: usize) -> Self {
        let settings = Settings { transports: Transports::default().without_websocket(), ..Settings::default() };
        let service = sockjs::Service::new(settings);
        Self {
            number,
            service,
            speaks: Speaks::PusherLobby,
            prefix: PUSHER.to_owned(),
            sessions: AtomicUsize::new(0),
            addresses: Mutex::default(),
        }
    }

    fn pushy(number: usize, service: &Arc<PushyService>) -> Self {
        let (prefix, sockjs) = (service.config.prefix.clone(), service.config.sockjs.clone());
        let speaks = Speaks::Pushy(Arc::clone(service));
        Self { number, service: sockjs::Service::new(sockjs), speaks, prefix, sessions: AtomicUsize::new(0), addresses: Mutex::default() }
    }

    /// What tests of SockJS ask for (S-10.1).
    fn trial(number: usize, prefix: &str, service: Service, settings: Settings) -> Self {
        let (speaks, service) = (Speaks::Trial(service), sockjs::Service::new(settings));
        Self { number, service, speaks, prefix: prefix.to_owned(), sessions: AtomicUsize::new(0), addresses: Mutex::default() }
    }

    /// What a path is below this mount; `None` if it belongs to somebody else.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<Found<'p>> {
        let below = sockjs::below(&self.prefix, path)?;
        let of_key = below.strip_prefix("/app/").or(below.strip_prefix("/app").filter(|rest| rest.is_empty()));
        match &self.speaks {
            Speaks::Pusher => {
                let rest = of_key?;
                let end = rest.find('/')?;
                Some(Found { key: &rest[..end], below: &rest[end..] })
            }
            Speaks::PusherLobby if of_key.is_some() => None,
            _ => Some(Found { key: "", below }),
        }
    }

    /// Whether another session may be opened for a client there; if so it counts.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> bool {
        let settings = self.service.settings();
        let admitted = self
            .sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < settings.max_sessions).then_some(count + 1))
            .is_ok();
        if let (true, Some(max), Some(address)) = (admitted, settings.max_sessions_per_ip, address) {
            let mut addresses = self.addresses();
            let count = addresses.entry(address).or_insert(0);
            if *count >= max {
                self.sessions.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            *count += 1;
        }
        admitted
    }

    /// A session of a client there is over.
    pub(crate) fn release(&self, address: Option<IpAddr>) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        if let (Some(_), Some(address)) = (self.service.settings().max_sessions_per_ip, address) {
            let mut addresses = self.addresses();
            if let Some(count) = addresses.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    addresses.remove(&address);
                }
            }
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that a request is for, as all shards find it.
pub(crate) fn session_name(found: &Found<'_>, route: &Route<'_>) -> Option<String> {
    match route {
        Route::Receive { session, .. } | Route::Send { session, .. } => Some(format!("{}/{session}", found.key)),
        _ => None,
    }
}
