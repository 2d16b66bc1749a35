//! Tells the outside what happened on channels: takes facts, holds back what may be taken back, and delivers the rest as webhooks.
//!
//! One task owns all state and never waits for an endpoint; attempts run beside it, one per endpoint at a time. An endpoint that
//! does not answer delays nobody but itself: its own queue fills and drops its oldest events, which is counted and logged (P-12.10).

mod command;
mod endpoint;
mod grace;
mod guard;
mod outbox;
mod webhook;

pub(crate) use command::CommandPoster;

use crate::config::Webhooks;
use endpoint::{Endpoint, Outcome, Rules, Settled};
use grace::Grace;
use outbox::Owed;
use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tidings_dialect::pusher::webhook as form;
use tidings_hub::{App, AppId, Fact, FactQueue, Time, UnixTime, Webhook};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use webhook::{Failure, Sender, Target};

/// What was delivered and what was not, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

/// The counters at one moment. Events count once per endpoint that wants them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Events that an endpoint took.
    pub(crate) delivered: u64,
    /// Requests that did not arrive; most are repeated.
    pub(crate) failed_attempts: u64,
    /// Events that were lost: queue full, tried for too long, endpoint or app removed, or the server stopped.
    pub(crate) dropped: u64,
    /// Events for targets that are not allowed, or whose URL is none.
    pub(crate) refused: u64,
}

impl Counters {
    /// What they are now.
    #[must_use]
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            delivered: read(&self.delivered),
            failed_attempts: read(&self.failed_attempts),
            dropped: read(&self.dropped),
            refused: read(&self.refused),
        }
    }
}

fn add(counter: &AtomicU64, events: usize) {
    counter.fetch_add(events as u64, Ordering::Relaxed);
}

/// What a stopping server could not deliver any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Events, once per endpoint.
    pub(crate) undelivered: usize,
}

/// The running deliveries. Dropping it stops them at once; [`Deliver::shutdown`] first sends what is owed.
#[derive(Debug)]
pub(crate) struct Deliver {
    counters: Arc<Counters>,
    reload: Arc<Notify>,
    stop: Option<oneshot::Sender<Duration>>,
    worker: JoinHandle<Left>,
}

impl Deliver {
    /// Starts to take `facts`. `apps` answers with the app as it is now; it must neither block nor be slow, since it is asked for every fact.
    pub(crate) fn start(
        runtime: &Handle,
        facts: Arc<FactQueue>,
        apps: impl Fn(&AppId) -> Option<Arc<App>> + Send + 'static,
        settings: Webhooks,
    ) -> Self {
        let sender = Sender::new(Arc::new(guard::Internet), &webhook::public_tls(), settings.timeout);
        Self::start_with(runtime, facts, apps, settings, sender, Clock::system())
    }

    fn start_with(
        runtime: &Handle,
        facts: Arc<FactQueue>,
        apps: impl Fn(&AppId) -> Option<Arc<App>> + Send + 'static,
        settings: Webhooks,
        sender: Sender,
        clock: Clock,
    ) -> Self {
        let (counters, reload) = (Arc::<Counters>::default(), Arc::<Notify>::default());
        let (stop, stopped) = oneshot::channel();
        let worker = Worker {
            facts,
            apps: Box::new(apps),
            settings,
            sender,
            clock,
            counters: Arc::clone(&counters),
            grace: Grace::new(grace::HELD_MAX, grace::MISSES_MAX),
            tenants: HashMap::new(),
            desks: HashMap::new(),
            opened: 0,
            timers: BTreeSet::new(),
            attempts: JoinSet::new(),
            running: HashMap::new(),
            stopping: false,
        };
        let worker = runtime.spawn(worker.run(Arc::clone(&reload), stopped));
        Self { counters, reload, stop: Some(stop), worker }
    }

    /// What was delivered and what was not, for whoever shows it.
    #[must_use]
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Says that apps changed: endpoints that are gone are dropped with what they are owed. Without it that happens when next they are used.
    pub(crate) fn reloaded(&self) {
        self.reload.notify_one();
    }

    /// Sends what is owed and what is held back, for at most `grace`; what is left then is logged as lost. For when the last connection is gone.
    pub(crate) async fn shutdown(mut self, grace: Duration) -> Left {
        if let Some(stop) = self.stop.take() {
            // A worker that is gone already answers below.
            let _ = stop.send(grace);
        }
        match (&mut self.worker).await {
            Ok(left) => left,
            Err(error) => {
                error!(panicked = error.is_panic(), "webhooks ended before the server did");
                Left { undelivered: 0 }
            }
        }
    }
}

impl Drop for Deliver {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// The clocks: one that runs evenly, and the calendar's.
struct Clock {
    started: Instant,
    calendar: Box<dyn Fn() -> UnixTime + Send>,
}

impl Clock {
    fn system() -> Self {
        let calendar = || {
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            UnixTime::from_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
        };
        Self { started: Instant::now(), calendar: Box::new(calendar) }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    fn instant(&self, time: Time) -> Instant {
        self.started + time.since(Time::ZERO)
    }
}

/// An app whose webhooks are known.
struct Tenant {
    app: Arc<App>,
    desks: Vec<u64>,
}

/// One endpoint and all that belongs to it.
struct Desk {
    app: AppId,
    webhook: Webhook,
    /// `None` if the URL is unusable.
    target: Option<Arc<Target>>,
    /// How logs name it.
    name: String,
    endpoint: Endpoint,
    timer: Option<Time>,
    /// What was logged and need not be repeated.
    told: Told,
}

#[derive(Default)]
struct Told {
    failing: bool,
    refused: bool,
    overflowing: bool,
}

/// Answers with an app as it is now.
type Apps = dyn Fn(&AppId) -> Option<Arc<App>> + Send;

/// The one task. The attempts that it starts end with it.
struct Worker {
    facts: Arc<FactQueue>,
    apps: Box<Apps>,
    settings: Webhooks,
    sender: Sender,
    clock: Clock,
    counters: Arc<Counters>,
    grace: Grace,
    tenants: HashMap<AppId, Tenant>,
    desks: HashMap<u64, Desk>,
    opened: u64,
    timers: BTreeSet<(Time, u64)>,
    attempts: JoinSet<Result<(), Failure>>,
    running: HashMap<tokio::task::Id, u64>,
    stopping: bool,
}

impl Worker {
    async fn run(mut self, reload: Arc<Notify>, mut stop: oneshot::Receiver<Duration>) -> Left {
        let mut end = None;
        loop {
            self.turn(self.clock.now());
            if self.stopping && self.owed() == 0 {
                return self.finish().await;
            }
            let deadline = self.next_deadline().map(|time| self.clock.instant(time));
            // Every branch may be dropped: notifications are kept, a task's result stays in its set, a deadline is computed anew.
            tokio::select! {
                () = self.facts.arrived() => {}
                () = reload.notified() => self.reconcile_all(),
                Some(ended) = self.attempts.join_next_with_id() => self.attempted(ended),
                () = until(deadline) => {}
                () = until(end) => return self.finish().await,
                grace = &mut stop, if !self.stopping => {
                    // Without a sender nobody waits any more, and the task is about to be aborted.
                    end = Some(Instant::now() + grace.unwrap_or_default());
                    self.stop();
                }
            }
        }
    }

    /// Takes the facts that wait, and begins all attempts that are due.
    fn turn(&mut self, now: Time) {
        let mut told = Vec::new();
        for fact in self.facts.take() {
            let Some(app) = self.app(&fact.app) else {
                add(&self.counters.dropped, 1);
                continue;
            };
            if !app.webhooks.is_empty() {
                let grace = if self.stopping { Duration::ZERO } else { app.webhook_grace };
                self.grace.push(fact, grace, now, &mut told);
            }
        }
        self.grace.tick(now, &mut told);
        self.owe(&told, now);
        while let Some(&(_, key)) = self.timers.first().filter(|&&(due, _)| due <= now && self.has_room()) {
            self.attempt(key, now);
        }
    }

    /// Whether another attempt may begin. Those that are due longest come first.
    fn has_room(&self) -> bool {
        self.attempts.len() < self.settings.concurrency
    }

    fn next_deadline(&self) -> Option<Time> {
        // Without room the end of an attempt is what is waited for.
        let timer = self.timers.first().map(|&(due, _)| due).filter(|_| self.has_room());
        self.grace.next_deadline().into_iter().chain(timer).min()
    }

    /// The app as it is now, its endpoints brought up to date.
    fn app(&mut self, id: &AppId) -> Option<Arc<App>> {
        let app = (self.apps)(id);
        let known = self.tenants.get(id).map(|tenant| &tenant.app);
        let same = match (&app, known) {
            (Some(app), Some(known)) => Arc::ptr_eq(app, known),
            (None, None) => true,
            (Some(app), None) => app.webhooks.is_empty(),
            (None, Some(_)) => false,
        };
        if !same {
            self.reconcile(id, app.as_ref());
        }
        app
    }

    fn reconcile_all(&mut self) {
        let ids: Vec<AppId> = self.tenants.keys().cloned().collect();
        for id in ids {
            self.app(&id);
        }
    }

    /// Makes the endpoints those of `app`. One that keeps its URL keeps its queue; what a removed one is owed is dropped.
    fn reconcile(&mut self, id: &AppId, app: Option<&Arc<App>>) {
        let mut old = self.tenants.remove(id).map(|tenant| tenant.desks).unwrap_or_default();
        let events_max = self.settings.endpoint_deliveries;
        let empty = || Endpoint::new(events_max);
        let mut desks = Vec::new();
        for webhook in app.map(|app| &app.webhooks[..]).unwrap_or_default() {
            let kept = old.iter().position(|desk| self.desks.get(desk).is_some_and(|desk| desk.webhook.url == webhook.url));
            let (key, endpoint) = match kept.map(|place| old.remove(place)) {
                Some(key) => (key, self.close(key)),
                None => (self.opened, None),
            };
            self.opened = self.opened.max(key + 1);
            self.desks.insert(key, Desk::open(id, webhook, endpoint.unwrap_or_else(empty)));
            desks.push(key);
        }
        for key in old {
            let Some((name, endpoint)) = self.desks.get(&key).map(|desk| desk.name.clone()).zip(self.close(key)) else { continue };
            add(&self.counters.dropped, endpoint.len());
            info!(app = %id, endpoint = %name, events = endpoint.len(), "webhook endpoint removed");
        }
        if let Some(app) = app.filter(|app| !app.webhooks.is_empty()) {
            self.tenants.insert(id.clone(), Tenant { app: Arc::clone(app), desks: desks.clone() });
        }
        for key in desks {
            self.schedule(key);
        }
    }

    fn close(&mut self, key: u64) -> Option<Endpoint> {
        let desk = self.desks.remove(&key)?;
        if let Some(due) = desk.timer {
            self.timers.remove(&(due, key));
        }
        Some(desk.endpoint)
    }

    /// Puts `facts` into the outboxes of the endpoints that want them.
    fn owe(&mut self, facts: &[Fact], now: Time) {
        for fact in facts {
            if self.app(&fact.app).is_none() {
                add(&self.counters.dropped, 1);
                continue;
            }
            let desks = self.tenants.get(&fact.app).map(|tenant| tenant.desks.clone()).unwrap_or_default();
            let wants = |key: &u64| self.desks.get(key).is_some_and(|desk| form::wants(&desk.webhook, fact));
            let wanting: Vec<u64> = desks.into_iter().filter(wants).collect();
            if wanting.is_empty() {
                continue;
            }
            let Some(event) = form::event(fact) else {
                add(&self.counters.dropped, wanting.len());
                debug!(app = %fact.app, channel = %fact.channel, "a client event is not UTF-8 and cannot be told");
                continue;
            };
            let owed = Owed { event, created: now, created_at: (self.clock.calendar)() };
            for key in wanting {
                self.push(key, owed.clone());
            }
        }
    }

    fn push(&mut self, key: u64, owed: Owed) {
        let Some(desk) = self.desks.get_mut(&key) else { return };
        if desk.target.is_none() {
            return add(&self.counters.refused, 1);
        }
        let dropped = desk.endpoint.push(owed);
        add(&self.counters.dropped, dropped);
        if dropped > 0 && !std::mem::replace(&mut desk.told.overflowing, true) {
            warn!(app = %desk.app, endpoint = %desk.name, "webhook queue full, the oldest events are dropped");
        }
        self.schedule(key);
    }

    /// Begins an attempt at what the endpoint is owed, if it is due.
    fn attempt(&mut self, key: u64, now: Time) {
        if let Some(app) = self.desks.get(&key).map(|desk| desk.app.clone())
            && let Some(app) = self.app(&app)
            && let Some(desk) = self.desks.get_mut(&key)
            && let Some(target) = desk.target.clone()
        {
            let rules = self.rules(&app);
            let desk = self.desks.get_mut(&key).expect("it was there a line above");
            let expired = desk.endpoint.expire(rules, now);
            if expired > 0 {
                add(&self.counters.dropped, expired);
                warn!(app = %desk.app, endpoint = %desk.name, events = expired, "webhook events waited too long and are dropped");
            }
            if let Some(body) = desk.endpoint.attempt(rules, now) {
                let sender = self.sender.clone();
                let task = self.attempts.spawn(async move {
                    let key = app.keys.first().ok_or_else(|| Failure::Connection("the app has no key".to_owned()))?;
                    sender.post(&target, key, app.webhook_private_targets, body).await
                });
                self.running.insert(task.id(), key);
            }
        }
        self.schedule(key);
    }

    /// Takes the result of an attempt.
    fn attempted(&mut self, ended: Result<(tokio::task::Id, Result<(), Failure>), JoinError>) {
        let (task, result) = match ended {
            Ok((task, result)) => (task, result),
            // In its own words a panic may show the data that it fell over.
            Err(error) => (error.id(), Err(Failure::Connection("the attempt ended by a fault of the server".to_owned()))),
        };
        let now = self.clock.now();
        let Some(key) = self.running.remove(&task) else { return };
        let Some(app) = self.desks.get(&key).map(|desk| desk.app.clone()).and_then(|app| self.app(&app)) else { return };
        let rules = self.rules(&app);
        // The endpoint may have been removed meanwhile; then its events are counted already.
        let Some(desk) = self.desks.get_mut(&key) else { return };
        let outcome = result.as_ref().err().map_or(Outcome::Arrived, Failure::outcome);
        let settled = desk.endpoint.finish(outcome, rules, now);
        if let Err(failure) = &result {
            add(&self.counters.failed_attempts, 1);
            desk.tell_failure(failure, settled);
        }
        match settled {
            Settled::Retried => {}
            Settled::Refused(events) => add(&self.counters.refused, events),
            Settled::GivenUp(events) => add(&self.counters.dropped, events),
            Settled::Arrived(events) => {
                add(&self.counters.delivered, events);
                if std::mem::take(&mut desk.told).failing {
                    info!(app = %desk.app, endpoint = %desk.name, "webhook endpoint is back");
                }
            }
        }
        self.schedule(key);
    }

    fn rules(&self, app: &App) -> Rules {
        let rules = Rules::of(app, &self.settings);
        if self.stopping { rules.hurried() } else { rules }
    }

    /// Brings the endpoint's timer up to date.
    fn schedule(&mut self, key: u64) {
        let Some(desk) = self.desks.get(&key) else { return };
        let due = self.tenants.get(&desk.app).and_then(|tenant| desk.endpoint.next_deadline(self.rules(&tenant.app)));
        let Some(desk) = self.desks.get_mut(&key) else { return };
        if desk.timer == due {
            return;
        }
        if let Some(due) = std::mem::replace(&mut desk.timer, due) {
            self.timers.remove(&(due, key));
        }
        self.timers.extend(due.map(|due| (due, key)));
    }

    /// Stops holding back and collecting.
    fn stop(&mut self) {
        self.stopping = true;
        let mut told = Vec::new();
        self.grace.flush(&mut told);
        self.owe(&told, self.clock.now());
        let keys: Vec<u64> = self.desks.keys().copied().collect();
        for key in keys {
            self.schedule(key);
        }
    }

    fn owed(&self) -> usize {
        self.facts.len() + self.grace.len() + self.desks.values().map(|desk| desk.endpoint.len()).sum::<usize>()
    }

    /// Ends all attempts and says what is lost.
    async fn finish(mut self) -> Left {
        self.attempts.shutdown().await;
        for desk in self.desks.values().filter(|desk| desk.endpoint.len() > 0) {
            warn!(app = %desk.app, endpoint = %desk.name, events = desk.endpoint.len(), "webhook events lost, the server stops");
        }
        let undelivered = self.owed();
        add(&self.counters.dropped, undelivered);
        Left { undelivered }
    }
}

impl Desk {
    fn open(app: &AppId, webhook: &Webhook, endpoint: Endpoint) -> Self {
        let target = Target::of(webhook);
        let name = target.as_ref().map_or_else(|_| "unusable".to_owned(), Target::name);
        if let Err(error) = &target {
            error!(%app, %error, "webhook endpoint unusable");
        }
        let target = target.ok().map(Arc::new);
        Self { app: app.clone(), webhook: webhook.clone(), target, name, endpoint, timer: None, told: Told::default() }
    }

    /// Logs a failure once, until the endpoint takes something again.
    fn tell_failure(&mut self, failure: &Failure, settled: Settled) {
        let first = match settled {
            Settled::Refused(_) => !std::mem::replace(&mut self.told.refused, true),
            _ => !std::mem::replace(&mut self.told.failing, true),
        };
        match (settled, first) {
            (Settled::Refused(_), true) => error!(app = %self.app, endpoint = %self.name, error = %failure, "webhook target refused"),
            (Settled::GivenUp(events), _) => {
                warn!(app = %self.app, endpoint = %self.name, events, error = %failure, "webhook events dropped, the endpoint failed for too long");
            }
            (_, true) => warn!(app = %self.app, endpoint = %self.name, error = %failure, "webhook attempt failed"),
            (_, false) => debug!(app = %self.app, endpoint = %self.name, error = %failure, "webhook attempt failed"),
        }
    }
}

/// Ends at `deadline`; never without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
