//! `GET /metrics` for Prometheus: one table of all that can be known, read when somebody asks. Counting is done elsewhere, by whoever
//! owns what is counted.

use crate::cli::VERSION;
use crate::deliver::Counts;
use crate::http::response::Answer;
use crate::node::Node;
use crate::shard::ShardHandle;
use crate::shard::stats::Stats;
use crate::store::Tally;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

mod relays;

pub(crate) use relays::vars;

#[cfg(test)]
mod tests;

/// What OpenMetrics calls itself.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Stands before every name.
const PREFIX: &str = "tidings";

/// The page of the moment. Looks at every shard and app and reads files, so it is not for a shard's thread.
pub(crate) fn page(node: &Arc<Node>) -> Answer {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Moment::of(node)));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a string takes everything");
    Answer { content_type: CONTENT_TYPE, ..Answer::text(200, page) }
}

/// What a node holds for those who use it. All of it is 0 once nobody does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) connections: u64,
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
    pub(crate) users: u64,
    pub(crate) channels: u64,
    pub(crate) events: u64,
    pub(crate) held_bytes: u64,
}

impl Live {
    pub(crate) fn of(node: &Node) -> Self {
        let (apps, budget) = (node.apps(), node.hub.budget());
        Self {
            connections: node.connections.load(Ordering::Relaxed) as u64,
            sessions: node.sessions.load(Ordering::Relaxed) as u64,
            subscriptions: node.shards.iter().map(|shard| shard.stats.subscriptions.get()).sum(),
            users: apps.iter().map(|app| app.channels.users_online() as u64).sum(),
            channels: node.hub.channels() as u64,
            events: budget.events() as u64,
            held_bytes: budget.used() as u64,
        }
    }
}

/// All that a page is made of, but for the counts of shards and apps, which are read where they are.
struct Moment {
    node: Arc<Node>,
    live: Live,
    delivery: Counts,
}

impl Moment {
    fn of(node: &Arc<Node>) -> Self {
        let delivery = node.delivery().map(|counters| counters.read()).unwrap_or_default();
        Self { node: Arc::clone(node), live: Live::of(node), delivery }
    }

    fn sum(&self, count: fn(&Stats) -> u64) -> u64 {
        self.node.shards.iter().map(|shard| count(&shard.stats)).sum()
    }
}

/// A metric, as it stands on the page and in the manual.
struct Metric {
    kind: MetricType,
    /// Without prefix, unit, and the ending that the kind gives it.
    name: &'static str,
    /// None for plain counts of what the name says.
    unit: Option<Unit>,
    read: Read,
    help: &'static str,
}

/// How the values of a metric are found.
#[derive(Clone, Copy)]
enum Read {
    One(fn(&Moment) -> u64),
    /// Nothing where the system does not tell.
    Maybe(fn(&Moment) -> Option<u64>),
    /// By the label named.
    Each(&'static str, fn(&Moment) -> Vec<(String, u64)>),
    /// By the number of the shard.
    Shard(fn(&ShardHandle) -> u64),
    /// Nothing but a label and its text.
    Text(&'static str, &'static str),
}

/// Every metric, in the order of the page.
fn metrics() -> Vec<Metric> {
    use MetricType::{Counter, Gauge, Info};
    use Read::{Each, Maybe, One, Shard, Text};
    let (bytes, seconds) = (|| Some(Unit::Bytes), || Some(Unit::Seconds));
    let metric = |kind, name, unit, read, help| Metric { kind, name, unit, read, help };
    let mut metrics = vec![
        metric(Gauge, "connections", None, One(|at| at.live.connections), "Open sockets, whatever is spoken on them."),
        metric(
            Gauge,
            "sessions",
            None,
            One(|at| at.live.sessions),
            "Sessions in force, over WebSocket or HTTP, streams of server-sent events included.",
        ),
        metric(Gauge, "subscriptions", None, One(|at| at.live.subscriptions), "Subscriptions in force."),
        metric(Gauge, "users", None, One(|at| at.live.users), "Users signed in, each once in an app however many connections it has."),
        metric(Gauge, "channels", None, One(|at| at.live.channels), "Channels that are occupied or remember an event."),
        metric(Gauge, "events", None, One(|at| at.live.events), "Events in memory: on their way to somebody, or remembered."),
        metric(Gauge, "held", bytes(), One(|at| at.live.held_bytes), "What events, their encoded forms and outboxes hold."),
        metric(
            Gauge,
            "recent",
            bytes(),
            One(|at| at.node.hub.recent_bytes() as u64),
            "Recent events that channels keep for those who come back.",
        ),
        metric(Gauge, "budget", bytes(), One(|at| at.node.hub.budget().max() as u64), "What they may hold: `limits.memory_bytes`."),
        metric(Gauge, "app_connections", None, Each("app", app_connections), "Connections that count for the app's own limit."),
        metric(
            Gauge,
            "shard_connections",
            None,
            Shard(|shard| shard.stats.connections.load(Ordering::Relaxed) as u64),
            "Sockets of the shard.",
        ),
        metric(
            Gauge,
            "inbox_items",
            None,
            Shard(|shard| shard.inbox.waiting() as u64),
            "What waits for the shard; publishers wait from `limits.inbox_items` on.",
        ),
        metric(Counter, "shard_turns", None, Shard(|shard| shard.stats.turns.get()), "Turns of the shard's loop."),
        metric(
            Counter,
            "handshakes",
            None,
            Each("outcome", handshakes),
            "Handshakes that opened a session, or were refused by a close code.",
        ),
        metric(
            Counter,
            "refused_addresses",
            None,
            Each("limit", refused_addresses),
            "Connections refused because their address has all that the limit allows.",
        ),
        metric(
            Counter,
            "slow_connections",
            None,
            One(|at| at.sum(|stats| stats.slow.get())),
            "Connections closed because they did not take what they were sent.",
        ),
        metric(
            Counter,
            "panics",
            None,
            One(|at| at.sum(|stats| stats.panics.get())),
            "Faults of the server that cost a connection. Each is worth a report.",
        ),
        metric(
            Counter,
            "api_requests",
            None,
            Each("status", api_requests),
            "Requests of the HTTP API, by the class of the answer's status.",
        ),
        metric(Counter, "client_events", None, One(|at| at.sum(|stats| stats.client_events.get())), "Events that clients published."),
        metric(
            Counter,
            "deliveries",
            None,
            One(|at| at.sum(|stats| stats.deliveries.get())),
            "Events owed to a subscriber, once for each.",
        ),
        metric(
            Counter,
            "unspeakable_events",
            None,
            One(|at| at.sum(|stats| stats.unspeakable.get())),
            "Events that a subscriber's dialect has no words for, once for each.",
        ),
        metric(
            Counter,
            "writes",
            None,
            One(|at| at.sum(|stats| stats.writes.get())),
            "Times that a shard wrote what a connection was owed.",
        ),
        metric(
            Counter,
            "written",
            bytes(),
            One(|at| at.sum(|stats| stats.written_bytes.get())),
            "What sockets of shards took, before TLS.",
        ),
        metric(Counter, "read", bytes(), One(|at| at.sum(|stats| stats.read_bytes.get())), "What sockets of shards brought, after TLS."),
        metric(
            Gauge,
            "facts",
            None,
            One(|at| at.node.hub.facts().len() as u64),
            "What happened on channels and was not looked at for webhooks yet.",
        ),
        metric(
            Counter,
            "dropped_facts",
            None,
            One(|at| at.node.hub.facts().dropped()),
            "What no webhook could tell because too much waited: `webhooks.facts`.",
        ),
        metric(
            Counter,
            "webhook_events",
            None,
            Each("outcome", webhook_events),
            "Events that an endpoint took, that were lost, or whose target is not allowed; once for each endpoint.",
        ),
        metric(
            Counter,
            "webhook_failed_attempts",
            None,
            One(|at| at.delivery.failed_attempts),
            "Requests to endpoints that did not arrive; most are repeated.",
        ),
        metric(
            Gauge,
            "store_jobs",
            None,
            Maybe(|at| store(at, |tally| tally.waiting)),
            "What waits for a commit of the store; publishers wait from `store.queue` on.",
        ),
        metric(Counter, "store_events", None, Maybe(|at| store(at, |tally| tally.events)), "Events that the store has committed."),
        metric(
            Counter,
            "store_commits",
            None,
            Maybe(|at| store(at, |tally| tally.groups)),
            "Commits of the store; each takes along all that waited.",
        ),
        metric(
            Counter,
            "store_failures",
            None,
            Maybe(|at| store(at, |tally| tally.failures)),
            "What was to be stored and is not. The log says why.",
        ),
        metric(
            Gauge,
            "process_start_time",
            seconds(),
            One(|at| at.node.started.as_millis() / 1000),
            "When the server started, since 1970.",
        ),
        metric(Gauge, "process_resident_memory", bytes(), Maybe(|_| resident_bytes()), "Memory of the process that is in RAM."),
        metric(
            Gauge,
            "process_open_descriptors",
            None,
            Maybe(|_| open_descriptors()),
            "Descriptors in use: one for each socket, and some.",
        ),
        metric(Info, "build", None, Text("version", VERSION), "The version and commit that run."),
    ];
    metrics.extend(relays::metrics());
    metrics
}

/// Nothing if there is no store.
fn store(at: &Moment, count: fn(Tally) -> u64) -> Option<u64> {
    at.node.store().map(|store| count(store.tally()))
}

fn app_connections(at: &Moment) -> Vec<(String, u64)> {
    let apps = at.node.apps();
    let mut counts: Vec<_> = apps.iter().map(|app| (app.app.id.to_string(), app.connections.load(Ordering::Relaxed) as u64)).collect();
    counts.sort_unstable();
    counts
}

fn handshakes(at: &Moment) -> Vec<(String, u64)> {
    let (opened, refused) = (at.sum(|stats| stats.handshakes.get()), at.sum(|stats| stats.refused.get()));
    named([("opened", opened), ("refused", refused)])
}

fn refused_addresses(at: &Moment) -> Vec<(String, u64)> {
    let (connections, handshakes) = at.node.addresses.refused();
    named([("connections_per_address", connections), ("handshakes_per_address", handshakes)])
}

fn api_requests(at: &Moment) -> Vec<(String, u64)> {
    let mut all = at.node.answered.read();
    for shard in &at.node.shards {
        for ((_, count), (_, more)) in all.iter_mut().zip(shard.stats.answered.read()) {
            *count += more;
        }
    }
    named(all)
}

fn webhook_events(at: &Moment) -> Vec<(String, u64)> {
    named([("delivered", at.delivery.delivered), ("dropped", at.delivery.dropped), ("refused", at.delivery.refused)])
}

fn named<const N: usize>(values: [(&str, u64); N]) -> Vec<(String, u64)> {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// What the system says of the process's memory under that name.
fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes: u64 = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_descriptors() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    // The kernel says how many there are; one before 6.2 says 0, and they are to be counted, which takes long if there are many.
    match std::fs::metadata(DIRECTORY).ok()?.len() {
        0 => Some(std::fs::read_dir(DIRECTORY).ok()?.count() as u64),
        count => Some(count),
    }
}

impl Read {
    fn label(self) -> &'static str {
        match self {
            Self::One(_) | Self::Maybe(_) => "",
            Self::Each(label, _) | Self::Text(label, _) => label,
            Self::Shard(_) => "shard",
        }
    }

    /// The values, each with the text of its label.
    fn values(self, at: &Moment) -> Vec<(String, u64)> {
        match self {
            Self::One(read) => vec![(String::new(), read(at))],
            Self::Maybe(read) => read(at).map(|value| (String::new(), value)).into_iter().collect(),
            Self::Each(_, read) => read(at),
            Self::Shard(read) => at.node.shards.iter().enumerate().map(|(number, shard)| (number.to_string(), read(shard))).collect(),
            Self::Text(_, text) => vec![(text.to_owned(), 1)],
        }
    }
}

impl Metric {
    fn encode(&self, at: &Moment, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let values = self.read.values(at);
        if values.is_empty() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.kind)?;
        for (text, value) in values {
            let label = [(self.read.label(), text.as_str())];
            match (self.kind, self.read.label()) {
                (MetricType::Info, _) => metric.encode_info(&label)?,
                (MetricType::Counter, "") => metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                (MetricType::Counter, _) => metric.encode_family(&label)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                (_, "") => metric.encode_gauge(&value)?,
                _ => metric.encode_family(&label)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        metrics().iter().try_for_each(|metric| metric.encode(self, &mut encoder))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").field("live", &self.live).finish_non_exhaustive()
    }
}
