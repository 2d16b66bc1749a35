//! The sections about the whole node: limits, WebSocket, webhooks, log, drain.

use super::reader::Section;
use super::units::Rate;
use std::time::Duration;
use tidings_hub::SHARDS_MAX;
use tracing_subscriber::EnvFilter;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What the whole node may use. An app's own limits are in [`tidings_hub::Limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; beyond it 4100 (P-2.3).
    pub connections: u32,
    /// Connections at once from one IPv4 address or IPv6 /64. Loopback, unix sockets and trusted proxies are exempt.
    pub connections_per_address: u32,
    /// New connections from one such address; the same are exempt.
    pub handshakes_per_address: Rate,
    /// Threads that own connections.
    pub shards: usize,
    /// Bytes that events and queues of the node may hold; beyond it new work is refused.
    pub memory_bytes: usize,
    /// Items waiting for a shard, above which publishers are held at the door.
    pub inbox_items: usize,
    /// How long a publish over HTTP waits there before it gets 503.
    pub publish_wait: Duration,
    /// Bytes not yet offered to the kernel for one connection, above which its shard takes nothing more from its inbox.
    pub pending_bytes: usize,
    /// Connections written to before a shard looks at its sockets again.
    pub slice_connections: usize,
    /// How long a full outbox may stand still before its connection is closed as slow (P-18.19).
    pub outbox_stall: Duration,
    /// How long a closing connection waits for its last bytes and the peer's close.
    pub close_wait: Duration,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// How long a request's line and headers may take.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long an HTTP connection may be idle between requests.
    pub idle_timeout: Duration,
    /// Requests of one connection answered in a turn.
    pub pipelined_requests: usize,
    /// TLS handshakes at once.
    pub tls_handshakes: usize,
    /// How long a TLS handshake may take.
    pub tls_timeout: Duration,
}

/// How WebSocket connections are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Whether permessage-deflate is agreed to when a client offers it.
    pub compression: bool,
}

/// How facts are delivered, over all apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Requests under way at once.
    pub concurrency: usize,
    /// How long one request may take (P-12.6).
    pub timeout: Duration,
    /// Facts in one request, when the app batches (P-12.5).
    pub batch_events: usize,
    /// How long facts are collected for one.
    pub batch_wait: Duration,
    /// Facts waiting to be sorted to their endpoints; beyond it the oldest goes.
    pub facts: usize,
    /// Deliveries waiting for one endpoint; beyond it the oldest goes (P-12.10).
    pub endpoint_deliveries: usize,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing`'s filters; parses.
    pub level: String,
    /// Whether each request to the HTTP API is logged.
    pub access: bool,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object each.
    Json,
}

/// How the server stops when told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it goes on as before, but says that it is not ready.
    pub drain_delay: Duration,
    /// Over how long connections are closed, evenly.
    pub drain: Duration,
    /// How long webhooks have after that.
    pub webhooks: Duration,
}

pub(super) fn limits(section: &mut Section<'_, '_>) -> Limits {
    let cores = section.surroundings().cores.clamp(1, SHARDS_MAX);
    Limits {
        connections: section.count(
            ("connections", "P-2.3", "Connections of the node at once; beyond it 4100."),
            1_000_000,
            1..=100_000_000,
        ),
        connections_per_address: section.count(
            (
                "connections_per_address",
                "",
                "Connections from one IPv4 address or IPv6 /64. Loopback, unix sockets and trusted proxies are exempt.",
            ),
            1000,
            1..=100_000_000,
        ),
        handshakes_per_address: section.rate(
            ("handshakes_per_address", "", "New connections from one such address, as `100/s`, `30/min` or `5000/h`."),
            Rate { count: 100, per: SECOND },
        ),
        shards: section.count(
            ("shards", "", "Threads that own connections; the default is one for each core."),
            cores,
            1..=SHARDS_MAX as u64,
        ),
        memory_bytes: section.bytes(
            ("memory_bytes", "", "Bytes that events and queues may hold together; beyond it new work is refused."),
            GIB as usize,
            16 * MIB..=1024 * GIB,
        ),
        inbox_items: section.count(
            ("inbox_items", "", "Events waiting for a shard, above which publishers wait."),
            16_384,
            16..=100_000_000,
        ),
        publish_wait: section.duration(
            ("publish_wait", "", "How long a publish over HTTP waits for room before it gets 503."),
            5 * SECOND,
            Duration::ZERO..=60 * SECOND,
        ),
        pending_bytes: section.bytes(
            ("pending_bytes", "", "Bytes not yet offered to the kernel for one connection, above which its shard takes no more events."),
            64 * KIB as usize,
            KIB..=GIB,
        ),
        slice_connections: section.count(
            ("slice_connections", "", "Connections that a shard writes to before it looks at its sockets again."),
            128,
            1..=1_000_000,
        ),
        outbox_stall: section.duration(
            ("outbox_stall", "P-18.19", "How long a connection may take nothing of what it is owed before it is closed as slow."),
            30 * SECOND,
            SECOND..=HOUR,
        ),
        close_wait: section.duration(
            ("close_wait", "", "How long a closing connection waits for its last bytes to leave and for the peer's close."),
            5 * SECOND,
            100 * MILLISECOND..=60 * SECOND,
        ),
        header_bytes: section.bytes(("header_bytes", "", "Bytes of a request's line and headers."), 16 * KIB as usize, KIB..=MIB),
        headers: section.count(("headers", "", "Headers of a request."), 100, 16..=128),
        header_timeout: section.duration(
            ("header_timeout", "", "How long a request's line and headers may take."),
            10 * SECOND,
            100 * MILLISECOND..=HOUR,
        ),
        body_timeout: section.duration(("body_timeout", "", "How long a request's body may take."), 30 * SECOND, 100 * MILLISECOND..=HOUR),
        idle_timeout: section.duration(
            ("idle_timeout", "", "How long an HTTP connection may be idle between two requests."),
            75 * SECOND,
            100 * MILLISECOND..=24 * HOUR,
        ),
        pipelined_requests: section.count(
            ("pipelined_requests", "", "Pipelined requests of one connection that are answered in one turn."),
            4,
            1..=1000,
        ),
        tls_handshakes: section.count(("tls_handshakes", "", "TLS handshakes at once."), 256, 1..=1_000_000),
        tls_timeout: section.duration(("tls_timeout", "", "How long a TLS handshake may take."), 10 * SECOND, 100 * MILLISECOND..=HOUR),
    }
}

pub(super) fn websocket(section: &mut Section<'_, '_>) -> WebSocket {
    let told = ("compression", "P-2.10", "Agrees to permessage-deflate when a client offers it: fewer bytes for more processor time.");
    WebSocket { compression: section.flag(told, false) }
}

pub(super) fn webhooks(section: &mut Section<'_, '_>) -> Webhooks {
    Webhooks {
        concurrency: section.count(("concurrency", "", "Webhook requests under way at once, over all apps."), 64, 1..=10_000),
        timeout: section.duration(("timeout", "P-12.6", "How long one webhook request may take."), 10 * SECOND, 100 * MILLISECOND..=HOUR),
        batch_events: section.count(("batch_events", "P-12.5", "Facts in one webhook request of an app that batches."), 50, 1..=10_000),
        batch_wait: section.duration(
            ("batch_wait", "P-12.5", "How long facts are collected for one such request."),
            SECOND,
            Duration::ZERO..=60 * SECOND,
        ),
        facts: section.count(
            ("facts", "P-12.10", "Facts waiting to be sorted to their endpoints; beyond it the oldest goes."),
            100_000,
            100..=100_000_000,
        ),
        endpoint_deliveries: section.count(
            ("endpoint_deliveries", "P-12.10", "Facts waiting for one endpoint; beyond it the oldest goes."),
            10_000,
            1..=100_000_000,
        ),
    }
}

pub(super) fn log(section: &mut Section<'_, '_>) -> Log {
    let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
    Log {
        format: section.one_of(("format", "", "How a line looks: for people, or as JSON."), LogFormat::Human, &formats),
        level: section
            .text(
                ("level", "", "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter by target as in `info,hyper=warn`."),
                "info",
                filter,
                String::clone,
            )
            .unwrap_or_else(|| "info".to_owned()),
        access: section.flag(("access", "", "A line for each request to the HTTP API, without its query string."), false),
    }
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{} is no filter; write a level such as \"info\", or \"info,hyper=warn\"", super::problem::quoted(text))),
    }
}

pub(super) fn drain(section: &mut Section<'_, '_>) -> Drain {
    Drain {
        drain_delay: section.duration(
            ("drain_delay", "", "How long the server goes on, while it says that it is not ready, so that load balancers see it."),
            Duration::ZERO,
            Duration::ZERO..=HOUR,
        ),
        drain: section.duration(
            ("drain", "", "Over how long connections are then closed, evenly, with 4200."),
            10 * SECOND,
            Duration::ZERO..=HOUR,
        ),
        webhooks: section.duration(("webhooks", "", "How long webhooks have after that."), 5 * SECOND, Duration::ZERO..=HOUR),
    }
}
