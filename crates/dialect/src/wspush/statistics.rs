//! The statistics of a relay, as Go's `expvar` shows them (section 9 of the rules).

use crate::pusher::json::write_string;

/// What stands in place of a secret (W-9.2).
const HIDDEN: &str = "***";
/// Flags whose value is a key.
const KEYS: [&str; 2] = ["hmac", "hmac-sha256"];
/// The flag whose value may hold a password.
const REDIS: &str = "redis";

/// What was counted since the start, and what is so now (W-9.1, W-9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections whose request was a good one, those over the limit included.
    pub sessions_seen: u64,
    /// Messages from Redis under the prefix.
    pub messages_seen: u64,
    /// Messages written, once for each client.
    pub successful_deliveries: u64,
    /// Connections now.
    pub sessions_open: u64,
    /// Connections refused because their token had enough.
    pub sessions_refused: u64,
    /// Messages that a client did not get because others waited for it.
    pub dropped: u64,
    /// Clients closed for that.
    pub closed_slow: u64,
    /// Messages that a stream did not get because they are no text.
    pub invalid_utf8: u64,
    /// Whether the subscription stands.
    pub redis_connected: bool,
    /// How often it was made anew.
    pub redis_reconnects: u64,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What lives.
    pub alloc: u64,
    /// What was got from the system.
    pub sys: u64,
}

/// The body of `GET /debug/vars`, an `application/json; charset=utf-8`. `arguments` are those of the process, the program's own name first.
#[must_use]
pub fn vars(arguments: &[String], memory: Memory, counts: &Counts) -> String {
    let mut out = b"{\n\"cmdline\": [".to_vec();
    for (at, argument) in shown(arguments).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(argument, &mut out);
    }
    let Memory { alloc, sys } = memory;
    let memory = format!("],\n\"memstats\": {{\"Alloc\":{alloc},\"Sys\":{sys},\"HeapAlloc\":{alloc},\"NumGC\":0}},\n\"wspush\": {{");
    out.extend_from_slice(memory.as_bytes());
    out.extend_from_slice(members(counts).join(", ").as_bytes());
    out.extend_from_slice(b"}\n}\n");
    String::from_utf8(out).expect("JSON was written as text")
}

fn members(counts: &Counts) -> [String; 10] {
    [
        ("sessions_seen", counts.sessions_seen),
        ("messages_seen", counts.messages_seen),
        ("successful_deliveries", counts.successful_deliveries),
        ("sessions_open", counts.sessions_open),
        ("sessions_refused", counts.sessions_refused),
        ("dropped", counts.dropped),
        ("closed_slow", counts.closed_slow),
        ("invalid_utf8", counts.invalid_utf8),
        ("redis_connected", u64::from(counts.redis_connected)),
        ("redis_reconnects", counts.redis_reconnects),
    ]
    .map(|(name, count)| format!("\"{name}\": {count}"))
}

/// The arguments of a process without the secrets among them.
fn shown(arguments: &[String]) -> Vec<String> {
    let mut before: Option<&str> = None;
    let hidden = arguments.iter().map(|argument| {
        if let Some(flag) = before.take() {
            return cover(flag, argument);
        }
        let Some(name) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else { return argument.clone() };
        match name.split_once('=') {
            Some((flag, value)) => format!("{}{}", &argument[..argument.len() - value.len()], cover(flag, value)),
            None => {
                before = Some(name).filter(|name| KEYS.contains(name) || *name == REDIS);
                argument.clone()
            }
        }
    });
    hidden.collect()
}

/// The value of a flag without what is secret in it.
fn cover(flag: &str, value: &str) -> String {
    if KEYS.contains(&flag) {
        return HIDDEN.to_owned();
    }
    match value.rsplit_once('@') {
        Some((before, address)) => {
            let scheme = before.find("://").map_or(0, |at| at + "://".len());
            format!("{}{HIDDEN}@{address}", &before[..scheme])
        }
        None => value.to_owned(),
    }
}
