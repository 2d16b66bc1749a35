//! Wiring: makes the node of a configuration, runs it, reloads it, and stops it in peace.

use crate::clock::Clock;
use crate::command::Commands;
use crate::config::{self, Config, Dialect, difference};
use crate::deliver::Deliver;
use crate::http::mount::Mounts;
use crate::listener::{Acceptor, BoundSocket, Listener, bind};
use crate::metrics::Live;
use crate::node::{Means, Node, PushyService, RelayService};
use crate::relay;
use crate::shard::stats::{Count, Stats};
use crate::shard::{self, Command, FIRST_LISTENER, Seed};
use crate::store::{Options, Retention, Store, StoreUrl};
use anyhow::Context;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tidings_hub::{App, Budget, Hub};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Threads for what waits on others.
const RUNTIME_THREADS: usize = 2;
/// How often certificates are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(60);
/// How often apps in the store are looked at.
const APPS_CHECK: Duration = Duration::from_secs(1);
/// The longest the hub's timers are left alone.
const HUB_TICK_MAX: Duration = Duration::from_millis(250);
/// What connections get after their time to drain.
const DRAIN_REST: Duration = Duration::from_secs(5);
/// Descriptors kept for files, engines and deliveries.
const DESCRIPTORS_RESERVED: u64 = 64;

/// A server that runs.
pub struct Server {
    node: Arc<Node>,
    runtime: Runtime,
    threads: Vec<JoinHandle<()>>,
    listeners: Vec<Arc<Listener>>,
    addresses: Vec<String>,
    deliver: Option<Deliver>,
    /// They run for as long as somebody may listen.
    relays: JoinSet<()>,
    fell: mpsc::UnboundedReceiver<String>,
    config: Config,
}

/// What a server holds and has counted so far, over all its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Connections of the node, of whatever kind.
    pub connections: u64,
    /// WebSocket sessions in force.
    pub sessions: u64,
    /// Subscriptions in force.
    pub subscriptions: u64,
    /// Channels that somebody is on, or that remember an event.
    pub channels: u64,
    /// Events alive.
    pub events: u64,
    /// Bytes that events and queues hold.
    pub held_bytes: u64,
    /// Connections that count towards the quotas of their apps, of all apps together.
    pub app_connections: u64,
    /// Connections closed as slow.
    pub slow: u64,
    /// Faults that cost a connection.
    pub panics: u64,
    /// Handshakes refused with a close code.
    pub refused: u64,
}

impl Gauges {
    /// Whether nothing is alive, whatever was counted.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let Self { connections, sessions, subscriptions, channels, events, held_bytes, app_connections, .. } = *self;
        (connections, sessions, subscriptions, channels) == (0, 0, 0, 0) && (events, held_bytes, app_connections) == (0, 0, 0)
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// If the server cannot start, or one of its threads failed.
pub(crate) fn serve(config: Config) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!(setting = %warning.path, warning = warning.text, "questionable setting");
    }
    let runtime = start_runtime()?;
    let handle = runtime.handle().clone();
    // Whoever sees it listen may ask it to stop.
    let signals = handle.block_on(async { Signals::listen() })?;
    let mut server = Server::start_on(runtime, config, &Commands::default())?;
    for (address, listener) in server.addresses().iter().zip(&server.listeners) {
        let dialects = listener.config.dialects.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        tracing::info!(%address, dialects, version = crate::cli::VERSION, "listening");
        if listener.config.dialects.iter().any(|dialect| matches!(dialect, Dialect::WspushStatistics(_))) {
            // In the words of the original, which somebody may look for (W-9.1).
            tracing::info!("exposing statistics on http://{address}/debug/vars");
        }
    }
    server.warn_of_apps();
    handle.block_on(server.attend(signals))?;
    server.end();
    Ok(ExitCode::SUCCESS)
}

fn start_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).thread_name("tidings-runtime").enable_all().build()
}

/// What the server is told from outside.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Raises the soft limit of descriptors to the hard one, and warns if it is too low for what the configuration allows. Returns how many
/// sockets there may be.
fn raise_descriptor_limit(config: &Config) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let available = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_RESERVED);
    if available < u64::from(config.limits.connections) {
        tracing::warn!(descriptors = available, connections = config.limits.connections, "fewer descriptors than `limits.connections`");
    }
    usize::try_from(available).unwrap_or(usize::MAX)
}

impl Server {
    /// Starts everything and returns once connections are accepted.
    ///
    /// # Errors
    /// What cannot be had: an address, a certificate, a thread.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_with(config, &Commands::default())
    }

    /// The same, with commands of the program's own for Pushy's clients (Y-9.7).
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(config: Config, commands: &Commands) -> anyhow::Result<Self> {
        Self::start_on(start_runtime()?, config, commands)
    }

    fn start_on(runtime: Runtime, config: Config, commands: &Commands) -> anyhow::Result<Self> {
        // It fails if somebody installed one already, which serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sockets_max = raise_descriptor_limit(&config);
        let pushy: Vec<_> = config.pushy.iter().map(|section| Arc::new(PushyService::new(section, commands))).collect();
        let relays: Vec<_> = config.wspush.iter().map(|section| Arc::new(RelayService::new(section))).collect();
        let (sockets, addresses) = bind_all(&config, &Mounts::new(&pushy, &relays))?;
        let listeners = sockets.iter().map(|(_, listener)| Arc::clone(listener)).collect();
        let mut seeds = (0..config.limits.shards).map(|_| Seed::new(config.limits.inbox_items)).collect::<Result<Vec<_>, _>>()?;
        let hub = Hub::new(tidings_hub::Options {
            epoch: u64::from_le_bytes(crate::chance::bytes()),
            hash_seed: u64::from_le_bytes(crate::chance::bytes()),
            inboxes: seeds.iter().map(|seed| Arc::clone(&seed.inbox)).collect(),
            facts_max: config.webhooks.facts,
            budget: Arc::new(Budget::new(config.limits.memory_bytes)),
            recent_bytes_max: config.recent.memory_bytes,
        });
        let handles = seeds.iter().map(Seed::handle).collect();
        let store = config.store.as_ref().map(|store| open_store(store, &config, runtime.handle())).transpose()?;
        let node = Arc::new(Node::new(
            hub,
            Clock::start(),
            handles,
            &config,
            Means { runtime: runtime.handle().clone(), sockets_max, store, pushy, relays },
        ));
        if let Some(store) = node.store() {
            let node = Arc::downgrade(&node);
            store.when_settled(move || {
                if let Some(node) = node.upgrade() {
                    node.made_room();
                }
            });
        }
        node.set_config_apps(shared(&config.apps));
        runtime.block_on(node.reload_stored_apps()).context("cannot read the apps of the store")?;
        runtime.block_on(node.begin_histories()).context("cannot tell the store which channels have a history")?;
        let (tell_fall, fell) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        let mut acceptor = None;
        if let [seed] = &seeds[..] {
            acceptor = Some(Acceptor::new(Arc::clone(&node), sockets, seed.registry(), FIRST_LISTENER)?);
        } else {
            let poll = mio::Poll::new()?;
            let acceptor = Acceptor::new(Arc::clone(&node), sockets, poll.registry(), 0)?;
            let node = Arc::clone(&node);
            threads.push(spawn("tidings-accept", &tell_fall, move || shard::accept_for_all(&node, poll, acceptor))?);
        }
        for (number, seed) in seeds.drain(..).enumerate() {
            let shard = seed.build(Arc::clone(&node), number, acceptor.take());
            threads.push(spawn(&format!("tidings-shard-{number}"), &tell_fall, move || shard.run())?);
        }
        runtime.spawn(run_timers(Arc::clone(&node)));
        runtime.spawn(notice_apps(Arc::clone(&node)));
        runtime.spawn(Arc::clone(&node).keep_histories());
        let apps = Arc::clone(&node);
        let app = move |id: &_| apps.apps().by_id(id).map(|handle| Arc::clone(&handle.app));
        let deliver = Deliver::start(runtime.handle(), Arc::clone(node.hub.facts()), app, config.webhooks.clone());
        node.set_delivery_counters(Arc::clone(deliver.counters()));
        let mut relays = JoinSet::new();
        for service in &node.relays {
            relays.spawn_on(relay::run(Arc::clone(&node), Arc::clone(service)), runtime.handle());
        }
        Ok(Self { node, runtime, threads, listeners, addresses, deliver: Some(deliver), relays, fell, config })
    }

    /// Says so if nobody can connect, or if a section waits for an app: whether there is one, only the store knew.
    fn warn_of_apps(&self) {
        let apps = self.node.apps();
        if apps.iter().next().is_none() {
            match self.config.store.as_ref().map(|store| store.url.as_str()) {
                Some("memory:") => tracing::warn!("there is no app yet; only `POST /apps` makes one in a store in memory"),
                _ => tracing::warn!("there is no app yet; `tidings apps create NAME` makes one in the store, and it is noticed at once"),
            }
        }
        for app in self.config.pushi.iter().filter_map(|section| section.app.as_ref()).filter(|app| apps.by_id(app).is_none()) {
            tracing::warn!(%app, "a section of [[pushi]] is for an app that does not exist");
        }
    }

    /// Where it listens, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// What it holds and has counted.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let live = Live::of(&self.node);
        let sum = |count: fn(&Stats) -> &Count| self.node.shards.iter().map(|shard| count(&shard.stats).get()).sum();
        Gauges {
            connections: live.connections,
            sessions: live.sessions,
            subscriptions: live.subscriptions,
            channels: live.channels,
            events: live.events,
            held_bytes: live.held_bytes,
            app_connections: self.node.apps().iter().map(|app| app.connections.load(Ordering::Relaxed) as u64).sum(),
            slow: sum(|stats| &stats.slow),
            panics: sum(|stats| &stats.panics),
            refused: sum(|stats| &stats.refused),
        }
    }

    /// What it is made of.
    #[cfg(test)]
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Handles signals until the server is to stop, and drains it.
    async fn attend(&mut self, signals: Signals) -> anyhow::Result<()> {
        let Signals { mut hangup, mut terminate, mut interrupt } = signals;
        let mut certificates = tokio::time::interval(CERTIFICATE_CHECK);
        let mut watchdog = Watchdog::new();
        notify(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = hangup.recv() => self.reload(),
                _ = certificates.tick() => self.reload_certificates(),
                () = watchdog.tick() => notify(&[NotifyState::Watchdog]),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(thread) = self.fell.recv() => anyhow::bail!("the thread {thread} ended by a fault"),
            }
        }
        notify(&[NotifyState::Stopping]);
        tokio::select! {
            () = self.drain() => Ok(()),
            _ = terminate.recv() => std::process::exit(1),
            _ = interrupt.recv() => std::process::exit(1),
        }
    }

    /// Reads the configuration again and serves it from now on, as far as that goes without a restart. A broken one changes nothing.
    pub fn reload(&mut self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
        match config::reload(&self.config) {
            Ok(config) => self.take_config(config),
            Err(broken) => tracing::error!(error = %broken, "the configuration is broken and changes nothing"),
        }
        self.reload_certificates();
        notify(&[NotifyState::Ready]);
    }

    /// Serves another configuration from now on, as far as that goes without a restart.
    fn take_config(&mut self, config: Config) {
        let changes = difference(&self.config, &config);
        for setting in &changes.needs_restart {
            tracing::warn!(%setting, "changed, and holds from the next start on");
        }
        self.node.set_config_apps(shared(&config.apps));
        if let Some(deliver) = &self.deliver {
            deliver.reloaded();
        }
        tracing::info!(
            added = changes.apps_added.len(),
            removed = changes.apps_removed.len(),
            changed = changes.apps_changed.len(),
            "configuration reloaded"
        );
        self.config.apps = config.apps;
    }

    /// Takes certificates whose files changed.
    pub fn reload_certificates(&self) {
        for listener in &self.listeners {
            let Some(tls) = &listener.tls else { continue };
            match tls.reload() {
                Ok(true) => tracing::info!(address = %listener.config.address, "certificate reloaded"),
                Ok(false) => {}
                Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate is broken and the old one stays"),
            }
        }
    }

    /// Closes all connections, evenly over the time configured.
    async fn drain(&mut self) {
        let drain = &self.config.drain;
        self.node.announce_draining();
        tracing::info!("draining");
        tokio::time::sleep(drain.drain_delay).await;
        self.node.start_draining();
        self.node.command_all(|| Command::Drain(drain.drain));
        let gone = async {
            while self.node.connections.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(drain.drain + DRAIN_REST, gone).await.is_err() {
            tracing::warn!(connections = self.node.connections.load(Ordering::Relaxed), "connections did not close in time");
        }
        self.relays.shutdown().await;
        if let Some(deliver) = self.deliver.take() {
            let left = deliver.shutdown(self.config.drain.webhooks).await;
            if left.undelivered > 0 {
                tracing::warn!(events = left.undelivered, "webhooks were not delivered in time and are lost");
            }
        }
    }

    /// Closes all connections in peace, as on SIGTERM, and ends.
    pub fn stop(mut self) {
        let runtime = self.runtime.handle().clone();
        runtime.block_on(self.drain());
        self.end();
    }

    /// Ends all threads.
    fn end(self) {
        // Whoever accepts for several shards does so until then.
        self.node.start_draining();
        self.node.command_all(|| Command::Stop);
        for thread in self.threads {
            let _ = thread.join();
        }
        if let Some(store) = self.node.store() {
            store.close();
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
    }
}

fn shared(apps: &[App]) -> Vec<Arc<App>> {
    apps.iter().map(|app| Arc::new(app.clone())).collect()
}

/// Opens the store that the configuration names.
fn open_store(store: &config::Store, config: &Config, runtime: &Handle) -> anyhow::Result<Store> {
    let url = StoreUrl::parse(&store.url, Path::new("")).map_err(anyhow::Error::msg)?;
    let apps = config.histories.iter().map(|(app, history)| (app.clone(), (history.retention, history.channel_events))).collect();
    let retention = Retention { age: store.history.retention, events: store.history.channel_events, apps, every: store.prune_interval };
    let shown = url.to_string();
    let options = Options { url, retention, size_max: store.size, queue_max: store.queue, runtime: runtime.clone() };
    let opened = Store::open(options).with_context(|| format!("cannot open the store {shown}"))?;
    tracing::info!(store = %shown, "store opened");
    Ok(opened)
}

/// Looks once a second for apps that somebody has made, changed or disabled in the store.
async fn notice_apps(node: Arc<Node>) {
    let mut failing = false;
    while node.store().is_some() && !node.is_draining() {
        tokio::time::sleep(APPS_CHECK).await;
        match node.notice_stored_apps().await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => tracing::warn!(%error, "the apps of the store cannot be read"),
            Err(_) => {}
        }
    }
}

/// A listener and the socket that it will accept on.
type Bound = (BoundSocket, Arc<Listener>);

/// Binds all listeners, to the sockets that the service manager passed if it did.
fn bind_all(config: &Config, mounts: &Mounts) -> anyhow::Result<(Vec<Bound>, Vec<String>)> {
    let mut passed = ListenFd::from_env();
    anyhow::ensure!(
        passed.len() == 0 || passed.len() == config.listeners.len(),
        "the service manager passed {} sockets for {} listeners; they are matched in order",
        passed.len(),
        config.listeners.len()
    );
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for (place, listener) in config.listeners.iter().enumerate() {
        let tls = listener.tls.as_ref().map(|files| crate::tls::Acceptor::new(files, config.limits.tls_handshakes)).transpose()?;
        let socket = bind(&listener.address, &mut passed, place)?;
        addresses.push(socket.address().unwrap_or_else(|| listener.address.to_string()));
        sockets.push((socket, Arc::new(Listener::new(listener.clone(), tls, mounts))));
    }
    Ok((sockets, addresses))
}

fn spawn(
    name: &str,
    tell_fall: &mpsc::UnboundedSender<String>,
    run: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    /// Tells that its thread ended otherwise than by coming to its end.
    struct Fall(Option<(String, mpsc::UnboundedSender<String>)>);
    impl Drop for Fall {
        fn drop(&mut self) {
            if let Some((name, tell)) = self.0.take() {
                let _ = tell.send(name);
            }
        }
    }
    let fall = Fall(Some((name.to_owned(), tell_fall.clone())));
    let body = move || {
        let mut fall = fall;
        match run() {
            Ok(()) => fall.0 = None,
            Err(error) => tracing::error!(%error, "a thread ended"),
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).with_context(|| format!("cannot start the thread {name}"))
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Ticks at half the time within which the service manager wants to hear of us; never if it does not.
struct Watchdog(Option<tokio::time::Interval>);

impl Watchdog {
    fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|timeout| tokio::time::interval(timeout / 2)))
    }

    async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Runs the hub's timers.
async fn run_timers(node: Arc<Node>) {
    loop {
        let now = node.clock.now();
        node.hub.tick(now);
        let wait = node.hub.next_deadline().map_or(HUB_TICK_MAX, |deadline| deadline.since(now).min(HUB_TICK_MAX));
        tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
    }
}
