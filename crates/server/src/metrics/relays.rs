//! What is told of relays, each by its name; nothing where there are none (W-9.3).

use super::{Metric, Moment, Read, resident_bytes, status_bytes};
use crate::http::response::Answer;
use crate::node::RelayService;
use prometheus_client::metrics::MetricType::{self, Counter, Gauge};
use prometheus_client::registry::Unit;
use tidings_dialect::wspush::statistics::{self, Counts, Memory};

/// What wspush calls its statistics (W-9.1).
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// The statistics of one relay as wspush tells them: `GET /debug/vars`.
pub(crate) fn vars(counts: &Counts) -> Answer {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let memory = Memory { alloc: status_bytes("RssAnon:").unwrap_or_default(), sys: resident_bytes().unwrap_or_default() };
    Answer { content_type: CONTENT_TYPE, ..Answer::json(statistics::vars(&arguments, memory, counts).into()) }
}

pub(super) fn metrics() -> Vec<Metric> {
    let bytes = || Some(Unit::Bytes);
    vec![
        metric(
            Gauge,
            "redis_connected",
            None,
            |at| each(at, |relay| u64::from(relay.is_connected())),
            "Whether what is published in the Redis of the relay arrives: 1, or 0 while it is away.",
        ),
        metric(
            Counter,
            "wspush_redis_losses",
            None,
            |at| each(at, |relay| relay.counts.losses.get()),
            "Subscriptions that ended though nobody here wanted that. The log says why.",
        ),
        metric(
            Counter,
            "wspush_redis_reconnects",
            None,
            |at| each(at, |relay| relay.counts.reconnects.get()),
            "Subscriptions that came back after a loss. Whoever can be told of the gap was.",
        ),
        metric(
            Counter,
            "wspush_messages_seen",
            None,
            |at| each(at, |relay| relay.counts.messages_seen.get()),
            "Messages from Redis under the prefix, whoever listens.",
        ),
        metric(Counter, "wspush_message", bytes(), |at| each(at, |relay| relay.counts.message_bytes.get()), "Their data."),
        metric(
            Counter,
            "wspush_too_large_messages",
            None,
            |at| each(at, |relay| relay.counts.too_large.get()),
            "Messages refused for their size: `message_bytes`.",
        ),
        metric(
            Counter,
            "wspush_unroutable_messages",
            None,
            |at| each(at, |relay| relay.counts.unroutable.get()),
            "Messages that nobody could get: no token can be that long or empty, or there is no such app.",
        ),
        metric(
            Counter,
            "wspush_sessions_seen",
            None,
            |at| each(at, |relay| relay.counts.sessions_seen.get()),
            "Clients that had a good token, those over the limit included.",
        ),
        metric(Gauge, "wspush_sessions_open", None, |at| each(at, |relay| relay.counts.sessions_open.get()), "Clients that are connected."),
        metric(
            Counter,
            "wspush_sessions_refused",
            None,
            |at| each(at, |relay| relay.counts.sessions_refused.get()),
            "Clients refused because their token had all connections that one may have: `connections_per_token`.",
        ),
        metric(
            Counter,
            "wspush_successful_deliveries",
            None,
            |at| each(at, |relay| relay.counts.successful_deliveries.get()),
            "Messages written to a client, once for each.",
        ),
        metric(
            Counter,
            "wspush_dropped",
            None,
            |at| each(at, |relay| relay.counts.dropped.get()),
            "Messages that a client did not get because others waited for it, where `slow` says so; once for each.",
        ),
        metric(
            Counter,
            "wspush_closed_slow",
            None,
            |at| each(at, |relay| relay.counts.closed_slow.get()),
            "Clients closed because too much waited for them.",
        ),
        metric(
            Counter,
            "wspush_invalid_utf8",
            None,
            |at| each(at, |relay| relay.counts.invalid_utf8.get()),
            "Messages that a stream of server-sent events did not get because they are no text; once for each.",
        ),
    ]
}

fn metric(kind: MetricType, name: &'static str, unit: Option<Unit>, read: fn(&Moment) -> Vec<(String, u64)>, help: &'static str) -> Metric {
    Metric { kind, name, unit, read: Read::Each("relay", read), help }
}

fn each(at: &Moment, read: fn(&RelayService) -> u64) -> Vec<(String, u64)> {
    at.node.relays.iter().map(|relay| (relay.config.name.clone(), read(relay))).collect()
}
