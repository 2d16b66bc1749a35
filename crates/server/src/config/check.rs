//! What no setting can know alone: repeats, contradictions, and what must not face the world.

mod relays;

use super::reader::Reader;
use super::{Address, Config, Dialect, HIDDEN, Listener};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::net::SocketAddr;
use tidings_hub::{App, Dialects};

/// Secrets that stand in documentation and examples; everybody knows them.
const SECRETS_KNOWN: [&str; 10] =
    ["app-secret", "app_secret", "secret", "my-secret", "your-secret", "changeme", "password", "12345678", "demo-secret", HIDDEN];
/// What is shorter can be guessed from one signature.
const SECRET_CHARS_MIN: usize = 8;
/// Descriptors that are not for connections.
const DESCRIPTORS_RESERVED: u64 = 64;
/// How clients of Pushi are told from others (I-0.4).
const PUSHI_KEY_CHARS: usize = 64;
/// Nobody reads more.
const WARNINGS_MAX: usize = 50;

/// Notes every problem and every warning of a configuration whose settings are each right by themselves.
pub(super) fn check(config: &mut Config, reader: &mut Reader<'_>) {
    unique_ids(&config.apps, reader);
    unique_keys(&config.apps, reader);
    if config.apps.is_empty() && config.store.is_none() && reader.problems.is_empty() {
        reader.problem("apps", "there is no app; write [[apps]] with `id`, `key` and `secret`, or a [store] that has some");
    }
    if config.listeners.is_empty() && reader.problems.is_empty() {
        reader.problem("listeners", "is empty; write [[listeners]] with an `address`, or leave it out");
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        listener_alone(index, listener, reader);
        let clash = config.listeners[..index].iter().position(|other| overlap(&other.address, &listener.address));
        if let Some(other) = clash {
            let text = format!("listeners[{other}] is on {} already; give one of them another port", config.listeners[other].address);
            reader.problem(&format!("listeners[{index}].address"), text);
        }
    }
    if reader.problems.is_empty() && !config.listeners.iter().any(speaks_to_clients) {
        let spoken = "\"pusher\", \"sse\", \"pushi\", \"pushy\" or \"wspush\"";
        reader.problem("listeners", format!("nobody could connect: no listener has {spoken} among its `dialects`"));
    }
    fill_dialects(config);
    pushi_sections(config, reader);
    pushy_sections(config, reader);
    relays::check(config, reader);
    for (index, app) in config.apps.iter().enumerate() {
        histories(index, app, config, reader);
        sizes(index, app, config, reader);
        secrets(index, app, config, reader);
    }
    config.warnings = warnings(config, reader);
}

fn speaks_to_clients(listener: &Listener) -> bool {
    listener.speaks_pushi()
        || listener.speaks_pushy()
        || listener.speaks_wspush()
        || [Dialect::Pusher, Dialect::Sse, Dialect::SockjsTrial].iter().any(|dialect| listener.dialects.contains(dialect))
}

/// What all listeners together speak.
#[must_use]
pub fn dialects_of(listeners: &[Listener]) -> Dialects {
    let pusher = listeners.iter().any(|listener| listener.dialects.contains(&Dialect::Pusher));
    // Pushy's clients, and those of relays, speak to the apps of their sections only.
    let sse = listeners.iter().any(|listener| listener.dialects.contains(&Dialect::Sse));
    Dialects { pusher, sse, pushi: listeners.iter().any(Listener::speaks_pushi), pushy: false, wspush: false }
}

/// An app that lists no dialects is spoken to in all there are.
fn fill_dialects(config: &mut Config) {
    let all = dialects_of(&config.listeners);
    for app in &mut config.apps {
        let heard = |dialect: Dialect| config.listeners.iter().any(|listener| listener.dialects.contains(&dialect));
        let pushy = config.pushy.iter().any(|section| section.app == app.id && heard(section.dialect()));
        let wspush = config.wspush.iter().any(|relay| relay.app == app.id && heard(relay.dialect()));
        app.recents.window = config.recent.window;
        if app.dialects == Dialects::default() {
            app.dialects = Dialects { pushy, wspush, ..all };
        }
    }
}

/// Each section has an app and a listener, and each listener a section.
fn pushy_sections(config: &Config, reader: &mut Reader<'_>) {
    for (index, section) in config.pushy.iter().enumerate() {
        if config.pushy[..index].iter().any(|other| other.name == section.name) {
            reader.problem(&format!("pushy[{index}].name"), "there is a section of this name already; give each its own");
        }
        if !section.app.as_str().is_empty() && config.store.is_none() && config.apps.iter().all(|app| app.id != section.app) {
            reader.problem(&format!("pushy[{index}].app"), format!("there is no app {}", section.app));
        }
        let dialect = section.dialect();
        let listeners: Vec<_> = config.listeners.iter().filter(|listener| listener.dialects.contains(&dialect)).collect();
        let clash = config.pushy[..index]
            .iter()
            .find(|other| other.prefix == section.prefix && listeners.iter().any(|listener| listener.dialects.contains(&other.dialect())));
        if clash.is_some() {
            reader.problem(&format!("pushy[{index}].sockjs.prefix"), "another section has this path on the same listener");
        }
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        for dialect in listener.dialects.iter().filter(|dialect| matches!(dialect, Dialect::Pushy(_))) {
            if config.pushy.iter().all(|section| section.dialect() != *dialect) {
                let text = format!("\"{dialect}\" needs a [[pushy]] section that names its app");
                reader.problem(&format!("listeners[{index}].dialects"), text);
            }
        }
    }
}

/// One section is for one app, and one for all others.
fn pushi_sections(config: &Config, reader: &mut Reader<'_>) {
    for (index, section) in config.pushi.iter().enumerate() {
        if config.pushi[..index].iter().any(|other| other.app == section.app) {
            let text = match &section.app {
                Some(app) => format!("there is a section for the app {app} already"),
                None => "there is a section for all apps already; name the one that this is for".to_owned(),
            };
            reader.problem(&format!("pushi[{index}].app"), text);
        }
    }
}

/// Says so if this process may not open a descriptor for every connection. `descriptors` is the hard limit, `None` for none:
/// the soft one is raised at the start.
#[must_use]
pub fn descriptors_warning(config: &Config, descriptors: Option<u64>) -> Option<super::Problem> {
    let needed = u64::from(config.limits.connections) + DESCRIPTORS_RESERVED;
    let limit = descriptors.filter(|limit| *limit < needed)?;
    let text = format!("this process may open {limit} descriptors, {needed} are needed; raise `ulimit -Hn` or systemd's LimitNOFILE");
    Some(super::Problem { path: "limits.connections".to_owned(), place: None, text })
}

fn unique_ids(apps: &[App], reader: &mut Reader<'_>) {
    let mut seen = HashMap::new();
    for (index, app) in apps.iter().enumerate().filter(|(_, app)| !app.id.as_str().is_empty()) {
        if let Some(first) = seen.insert(app.id.as_str(), index) {
            reader.problem(&format!("apps[{index}].id"), format!("apps[{first}] has the id \"{}\" already; ids are unique", app.id));
        }
    }
}

/// A connection says only a key, so a key must name one app.
fn unique_keys(apps: &[App], reader: &mut Reader<'_>) {
    let mut seen = HashMap::new();
    for (index, app) in apps.iter().enumerate() {
        for (place, pair) in app.keys.iter().enumerate().filter(|(_, pair)| !pair.key.is_empty()) {
            if let Some(first) = seen.insert(pair.key.as_str(), index) {
                let path = key_path(index, place, reader);
                reader.problem(
                    &format!("{path}.key"),
                    format!("apps[{first}] has the key \"{}\" already; every key belongs to one app", pair.key),
                );
            }
        }
    }
}

/// The section of an app's pair number `place`: the app itself if it has a key, then its `keys`.
fn key_path(index: usize, place: usize, reader: &Reader<'_>) -> String {
    let section = format!("apps[{index}]");
    let own = reader.asked(&format!("{section}.key"));
    match (own, place) {
        (true, 0) => section,
        (own, place) => format!("{section}.keys[{}]", place - usize::from(own)),
    }
}

fn listener_alone(index: usize, listener: &Listener, reader: &mut Reader<'_>) {
    let path = format!("listeners[{index}]");
    if listener.dialects.is_empty() {
        reader.problem(&format!("{path}.dialects"), "is empty; write [\"pusher\"]");
    }
    if let Some(twice) = listener.dialects.iter().enumerate().find(|(at, dialect)| listener.dialects[..*at].contains(dialect)) {
        reader.problem(&format!("{path}.dialects"), format!("\"{}\" stands there twice", twice.1));
    }
    if listener.dialects.len() > 1 && listener.dialects.contains(&Dialect::Metrics) {
        reader.problem(&format!("{path}.dialects"), "\"metrics\" needs a listener of its own, so that the world need not see it");
    }
    if listener.proxy_protocol && listener.trusted_proxies.is_empty() && matches!(listener.address, Address::Tcp(_)) {
        reader.problem(
            &format!("{path}.proxy_protocol"),
            "only trusted proxies may name the client's address; list them in `trusted_proxies`",
        );
    }
    if let Some(tls) = &listener.tls {
        let read = |file: &std::path::Path| {
            (reader.surroundings.read_file)(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        };
        let certificate = read(&tls.certificate).and_then(|pem| {
            let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let right = found.is_ok_and(|certificates| !certificates.is_empty());
            if right { Ok(()) } else { Err(format!("{} holds no certificate in PEM", tls.certificate.display())) }
        });
        let key = read(&tls.key).and_then(|pem| match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{} holds no private key in PEM", tls.key.display())),
        });
        for (name, file, checked) in [("certificate", &tls.certificate, certificate), ("key", &tls.key, key)] {
            // Without a path there is a problem already.
            if let (Err(text), false) = (checked, file.as_os_str().is_empty()) {
                reader.problem(&format!("{path}.tls.{name}"), text);
            }
        }
    }
}

/// Whether the kernel would refuse the second. A wildcard takes the port on every address of its family.
fn overlap(one: &Address, other: &Address) -> bool {
    let covers = |one: &SocketAddr, other: &SocketAddr| {
        one.port() == other.port()
            && one.port() != 0
            && (one.ip() == other.ip() || one.ip().is_unspecified() && one.is_ipv4() == other.is_ipv4())
    };
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => covers(one, other) || covers(other, one),
        (Address::Unix { path: one, .. }, Address::Unix { path: other, .. }) => one == other,
        _ => false,
    }
}

fn sizes(index: usize, app: &App, config: &Config, reader: &mut Reader<'_>) {
    let limits = &app.limits;
    let path = |name: &str| format!("apps[{index}].limits.{name}");
    if limits.event_bytes > limits.body_bytes {
        reader.problem(&path("event_bytes"), format!("an event of this size cannot come in: `body_bytes` is {}", limits.body_bytes));
    }
    if limits.outbox_bytes > config.limits.memory_bytes {
        reader.problem(&path("outbox_bytes"), format!("the node may hold {} only: see limits.memory_bytes", config.limits.memory_bytes));
    }
}

/// What is to be stored needs a store.
fn histories(index: usize, app: &App, config: &Config, reader: &mut Reader<'_>) {
    let stored = app.recents.patterns.iter().position(|keep| keep.stored);
    if let (Some(at), None) = (stored, &config.store) {
        reader.problem(
            &format!("apps[{index}].recent[{at}].stored"),
            "there is no store to keep events in; write a [store], or leave it false",
        );
    }
}

/// No secret that everybody knows may face the world.
fn secrets(index: usize, app: &App, config: &Config, reader: &mut Reader<'_>) {
    let Some(public) = config.listeners.iter().find(|listener| !listener.address.is_local()) else { return };
    for (place, pair) in app.keys.iter().enumerate().filter(|(_, pair)| !pair.secret.is_empty()) {
        if let Some(why) = weak(&pair.secret) {
            let text = format!("{why}, and {} is open to others; make a secret with `openssl rand -hex 32`", public.address);
            let path = key_path(index, place, reader);
            reader.problem(&format!("{path}.secret"), text);
        }
    }
}

fn weak(secret: &str) -> Option<&'static str> {
    if SECRETS_KNOWN.contains(&secret) {
        Some("the secret is one of the well-known examples")
    } else if secret.chars().count() < SECRET_CHARS_MIN {
        Some("the secret has less than 8 characters")
    } else {
        None
    }
}

fn warnings(config: &Config, reader: &Reader<'_>) -> Vec<super::Problem> {
    let mut warnings = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        if listener.dialects.contains(&Dialect::Console) && !listener.address.is_local() {
            let text = "whoever opens the page acts with the secret of the first app; leave \"console\" to listeners of this machine";
            warnings.push(reader.about(&format!("listeners[{index}].dialects"), text.to_owned()));
        }
    }
    for (index, section) in config.pushy.iter().enumerate() {
        let dialect = section.dialect();
        if config.listeners.iter().all(|listener| !listener.dialects.contains(&dialect)) {
            warnings.push(
                reader.about(
                    &format!("pushy[{index}].app"),
                    format!("nobody can connect: no listener has \"{dialect}\" among its `dialects`"),
                ),
            );
        }
    }
    warnings.extend(relays::warnings(config, reader));
    for (index, app) in config.apps.iter().enumerate() {
        if warnings.len() >= WARNINGS_MAX {
            break;
        }
        if app.dialects.pushi && app.keys.iter().all(|pair| pair.key.len() != PUSHI_KEY_CHARS) {
            let text = "Pushi's clients connect with keys of 64 characters, and this app has none; make one with `openssl rand -hex 32`";
            warnings.push(reader.about(&format!("apps[{index}].key"), text.to_owned()));
        }
        let spoken = dialects_of(&config.listeners);
        for (listed, heard, name) in [
            (app.dialects.pusher, spoken.pusher, "pusher"),
            (app.dialects.sse, spoken.sse, "sse"),
            (app.dialects.pushi, spoken.pushi, "pushi"),
        ] {
            if listed && !heard {
                let text = format!("nobody can speak {name} to it: no listener has that among its `dialects`");
                warnings.push(reader.about(&format!("apps[{index}].dialects"), text));
            }
        }
        let mut warn = |path: String, text: String| warnings.push(reader.about(&format!("apps[{index}]{path}"), text));
        if app.keys.iter().any(|pair| weak(&pair.secret).is_some()) {
            warn(".secret".to_owned(), "is weak; fine on this machine, refused on an address that is open to others".to_owned());
        }
        if app.limits.connections.is_some_and(|quota| quota > config.limits.connections) {
            warn(".limits.connections".to_owned(), format!("never reached: the node takes {}", config.limits.connections));
        }
        if app.force_tls && config.listeners.iter().all(|listener| listener.tls.is_none() && listener.trusted_proxies.is_empty()) {
            warn(".force_tls".to_owned(), "nobody can connect: no listener has `tls` or `trusted_proxies`".to_owned());
        }
        for (at, webhook) in app.webhooks.iter().enumerate() {
            if !app.webhook_private_targets && literal_private(&webhook.url) {
                warn(format!(".webhooks[{at}].url"), "will not be called: allow it with `webhook_private_targets = true`".to_owned());
            }
        }
    }
    warnings
}

/// Whether the address is written as a loopback or private IP address. What a name resolves to is looked at when it is called.
fn literal_private(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
        Ok(std::net::IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Ok(std::net::IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
