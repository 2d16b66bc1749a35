//! Relays from Redis: each has an app and a listener, and no listener more of them than it can tell apart.

use super::{Config, Dialect, Listener, Reader};
use crate::config::{Problem, Wspush};

/// Notes what is wrong with the relays and with the listeners that name them.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (index, relay) in config.wspush.iter().enumerate() {
        if config.wspush[..index].iter().any(|other| other.name == relay.name) {
            reader.problem(&format!("wspush[{index}].name"), "there is a section of this name already; give each its own");
        }
        if !relay.app.as_str().is_empty() && config.store.is_none() && config.apps.iter().all(|app| app.id != relay.app) {
            reader.problem(&format!("wspush[{index}].app"), format!("there is no app {}", relay.app));
        }
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        let path = format!("listeners[{index}].dialects");
        for dialect in &listener.dialects {
            let known = match dialect {
                Dialect::Wspush(_) => config.wspush.iter().any(|relay| relay.dialect() == *dialect),
                Dialect::WspushStatistics(_) => config.wspush.iter().any(|relay| relay.statistics() == *dialect),
                _ => true,
            };
            if !known {
                reader.problem(&path, format!("\"{dialect}\" needs a [[wspush]] section of that name"));
            }
        }
        if count(listener, |dialect| matches!(dialect, Dialect::Wspush(_))) > 1 {
            reader.problem(&path, "a listener serves one relay, as all its paths are the relay's; give the other a listener of its own");
        }
        if count(listener, |dialect| matches!(dialect, Dialect::WspushStatistics(_))) > 1 {
            reader.problem(&path, "a listener tells the statistics of one relay; give the other a listener of its own");
        }
    }
}

fn count(listener: &Listener, is: impl Fn(&Dialect) -> bool) -> usize {
    // One that stands there twice is told of already.
    let different = |at: usize| !listener.dialects[..at].contains(&listener.dialects[at]);
    listener.dialects.iter().enumerate().filter(|(at, dialect)| is(dialect) && different(*at)).count()
}

/// What is allowed with relays but hardly meant.
pub(super) fn warnings(config: &Config, reader: &Reader<'_>) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for (index, relay) in config.wspush.iter().enumerate() {
        let dialect = relay.dialect();
        if config.listeners.iter().all(|listener| !listener.dialects.contains(&dialect)) {
            let text = format!("nobody can connect: no listener has \"{dialect}\" among its `dialects`");
            warnings.push(reader.about(&format!("wspush[{index}].app"), text));
        }
        if let Some(other) = config.wspush[..index].iter().position(|other| meet(other, relay)) {
            let text = format!("wspush[{other}] brings the same messages to the same channels, where each comes twice");
            warnings.push(reader.about(&format!("wspush[{index}].prefix"), text));
        }
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        let tells = listener.dialects.iter().any(|dialect| matches!(dialect, Dialect::WspushStatistics(_)));
        if tells && listener.dialects.len() > 1 && !listener.address.is_local() {
            let text = "the statistics are for all to see who can connect here; give them a listener of their own on this machine";
            warnings.push(reader.about(&format!("listeners[{index}].dialects"), text));
        }
    }
    warnings
}

/// Whether a message of Redis comes to one channel by both.
fn meet(one: &Wspush, other: &Wspush) -> bool {
    let shared = !one.session.apart && !other.session.apart && one.session.keys == other.session.keys;
    shared && one.app == other.app && one.redis == other.redis && one.prefix == other.prefix
}
