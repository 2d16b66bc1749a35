//! The page as a strict scraper reads it, and what it says of a server that is used.

use super::*;
use crate::config::{self, Config, Document, Surroundings};
use crate::run::Server;
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tidings_client::{AppId, ChannelName, Connection, Key, Notice, Options, Publication, Publisher, Tls};
use tidings_dialect::auth;
use tokio_tungstenite::tungstenite::Message;

const MANUAL: &str = include_str!("../../../../docs/operating/metrics.md");
const SECRET: &str = "d1c0ffee5ec2e7";
const PATIENCE: Duration = Duration::from_secs(20);
const CONFIG: &str = r#"
listeners = [{ address = "127.0.0.1:0" }, { address = "127.0.0.1:0", dialects = ["metrics"] }]
limits = { shards = 2 }
[[apps]]
id = "first"
key = "first-key"
secret = "d1c0ffee5ec2e7"
client_events = true
[[apps]]
id = "second"
key = "second-key"
secret = "d1c0ffee5ec2e7"
"#;

/// What a page says.
#[derive(Debug, Default)]
struct Page {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    /// By the labels as they stand there.
    samples: BTreeMap<String, u64>,
}

impl Page {
    /// Reads a page of OpenMetrics, and panics at whatever is not as it must be.
    fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let mut page = Self::default();
        let mut name = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (keyword, rest) = rest.split_once(' ').expect(line);
                let (family, text) = rest.split_once(' ').expect(line);
                if keyword == "HELP" {
                    assert!(is_name(family) && !text.is_empty(), "{line}");
                    name = family.to_owned();
                    assert!(page.families.insert(name.clone(), Family::default()).is_none(), "{line}");
                    continue;
                }
                assert_eq!(family, name, "{line}");
                let family = page.families.get_mut(&name).unwrap();
                assert!(family.samples.is_empty(), "{line} after a sample");
                match keyword {
                    "TYPE" => assert_eq!(std::mem::replace(&mut family.kind, text.to_owned()), "", "{line}"),
                    "UNIT" => assert_eq!(family.unit.replace(text.to_owned()), None, "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect(line);
            let (sample, labels) =
                series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels.strip_suffix('}').expect(line)));
            let family = page.families.get_mut(&name).expect(line);
            let ending = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                "gauge" => "",
                _ => panic!("{line}: of the kind {}", family.kind),
            };
            assert_eq!(sample, format!("{name}{ending}"), "{line}");
            assert!(labels.is_empty() || is_label(labels), "{line}");
            assert!(family.samples.insert(labels.to_owned(), value.parse().expect(line)).is_none(), "{line} is there twice");
        }
        assert!(page.families.values().all(|family| !family.kind.is_empty() && !family.samples.is_empty()));
        page
    }

    fn value(&self, family: &str, labels: &str) -> u64 {
        let family = self.families.get(family).unwrap_or_else(|| panic!("no {family}"));
        *family.samples.get(labels).unwrap_or_else(|| panic!("no {labels} in {family:?}"))
    }

    fn sum(&self, family: &str) -> u64 {
        self.families[family].samples.values().sum()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with("tidings_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// One label with a value in quotes; what would have to be escaped is not in our values.
fn is_label(label: &str) -> bool {
    let value = label.split_once("=\"").and_then(|(name, value)| Some((name, value.strip_suffix('"')?)));
    value.is_some_and(|(name, value)| name.bytes().all(|byte| byte.is_ascii_lowercase()) && !value.contains(['"', '\\']))
}

fn config() -> Config {
    let surroundings = Surroundings {
        directory: PathBuf::new(),
        cores: 2,
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
        make_key: &|| unreachable!("the document names apps"),
    };
    config::read(Some(Document { name: "t.toml", text: CONFIG }), [], &surroundings).unwrap().0
}

/// Runs `clients` against a server of its own.
fn with_server(clients: impl AsyncFnOnce(Arc<Node>, [String; 2])) {
    let server = Server::start(config()).unwrap();
    let addresses = <[String; 2]>::try_from(server.addresses().to_vec()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = clients(Arc::clone(server.node()), addresses);
    runtime.block_on(async { tokio::time::timeout(PATIENCE, clients).await }).expect("the clients got what they wait for");
    drop(runtime);
    server.stop();
}

fn page_of(node: &Arc<Node>) -> Page {
    let answer = page(node);
    assert_eq!((answer.status, answer.content_type), (200, CONTENT_TYPE));
    Page::parse(std::str::from_utf8(&answer.body).unwrap())
}

/// Looks until the node holds that.
async fn until(node: &Node, wanted: impl Fn(&Live) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !wanted(&Live::of(node)) {
        assert!(Instant::now() < end, "{:?}", Live::of(node));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn connected(address: &str, user: &str) -> Connection {
    let options = Options::at(&format!("http://{address}").parse().unwrap(), "first-key");
    let mut connection =
        Connection::new(Options { secret: Some(SECRET.to_owned()), channel_data: Some(format!("{{\"user_id\":\"{user}\"}}")), ..options })
            .unwrap();
    while !matches!(connection.next().await.unwrap(), Notice::Connected { .. }) {}
    connection
}

async fn subscribe(connection: &mut Connection, channel: &str) {
    connection.subscribe(channel).unwrap();
    while !matches!(connection.next().await.unwrap(), Notice::Subscribed { .. }) {}
}

fn publisher(address: &str, secret: &str) -> Publisher {
    let key = Key { key: "first-key".to_owned(), secret: secret.to_owned() };
    Publisher::new(format!("http://{address}").parse().unwrap(), &Tls::new(), AppId::new("first"), key)
}

fn publication(channel: &str) -> Publication {
    Publication {
        channels: vec![ChannelName::parse(channel).unwrap().to_string()],
        name: "whispered-name".to_owned(),
        data: "\"whispered-data\"".to_owned(),
        ..Publication::default()
    }
}

async fn heard(connection: &mut Connection) {
    while !matches!(connection.next().await.unwrap(), Notice::Event(_)) {}
}

/// Signs a connection in by hand (P-15.1), and holds it.
async fn signed_in(address: &str) -> impl Sized {
    let url = format!("ws://{address}/app/first-key?protocol=7&client=js&version=8.4.0");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let established = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let (_, rest) = established.split_once("socket_id\\\":\\\"").unwrap();
    let (socket_id, _) = rest.split_once('\\').unwrap();
    let user = r#"{"id":"whispered-user"}"#;
    let signature = auth::sign(SECRET, &[socket_id.as_bytes(), b"::user::", user.as_bytes()]);
    let data = serde_json::json!({ "auth": format!("first-key:{}", signature.as_str()), "user_data": user });
    let message = serde_json::json!({ "event": "pusher:signin", "data": data }).to_string();
    socket.send(Message::text(message)).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(answer.contains("pusher:signin_success"), "{answer}");
    socket
}

#[test]
fn the_page_says_what_happened_and_no_name_of_a_channel() {
    with_server(async |node, [address, metrics]| {
        let (mut one, mut other) = (connected(&address, "whispered-user").await, connected(&address, "other-user").await);
        for connection in [&mut one, &mut other] {
            for channel in ["whispered-plain", "private-whispered", "presence-whispered", "cache-whispered"] {
                subscribe(connection, channel).await;
            }
        }
        let signed_in = signed_in(&address).await;
        publisher(&address, SECRET).publish(&publication("whispered-plain")).await.unwrap();
        heard(&mut one).await;
        heard(&mut other).await;
        publisher(&address, SECRET).publish(&publication("cache-whispered")).await.unwrap();
        publisher(&address, "not-the-secret").publish(&publication("whispered-plain")).await.unwrap_err();
        // Publishers are gone; what stays are three sessions, and the one remembered event once its subscribers have it.
        heard(&mut one).await;
        heard(&mut other).await;
        until(&node, |live| live.connections == 3 && live.events == 1).await;

        let text = fetched(&metrics, "/metrics").await;
        let body = text.split_once("\r\n\r\n").unwrap().1;
        assert!(text.contains(&format!("content-type: {CONTENT_TYPE}\r\n")), "{text}");
        for secret in [SECRET, "whispered", "first-key", "second-key", "not-the-secret"] {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
        Page::parse(body);
        until(&node, |live| live.connections == 3).await;

        let page = page_of(&node);
        for (family, labels, value) in [
            ("tidings_connections", "", 3),
            ("tidings_sessions", "", 3),
            ("tidings_subscriptions", "", 8),
            ("tidings_users", "", 1),
            ("tidings_channels", "", 4),
            ("tidings_events", "", 1),
            ("tidings_app_connections", "app=\"first\"", 3),
            ("tidings_app_connections", "app=\"second\"", 0),
            ("tidings_handshakes", "outcome=\"opened\"", 3),
            ("tidings_handshakes", "outcome=\"refused\"", 0),
            ("tidings_api_requests", "status=\"2xx\"", 2),
            ("tidings_api_requests", "status=\"4xx\"", 1),
            ("tidings_api_requests", "status=\"5xx\"", 0),
            // Two events with two subscribers each, and the member who was there learns of the second.
            ("tidings_deliveries", "", 5),
            ("tidings_client_events", "", 0),
            ("tidings_panics", "", 0),
            ("tidings_slow_connections", "", 0),
            ("tidings_build", &format!("version=\"{VERSION}\""), 1),
        ] {
            assert_eq!(page.value(family, labels), value, "{family} {labels}");
        }
        assert_eq!(page.sum("tidings_shard_connections"), 3);
        assert_eq!(page.families["tidings_shard_turns"].samples.len(), 2);
        for family in ["tidings_writes", "tidings_written_bytes", "tidings_read_bytes", "tidings_shard_turns", "tidings_held_bytes"] {
            assert!(page.sum(family) > 0, "{family}");
        }
        assert_eq!(page.value("tidings_budget_bytes", ""), node.hub.budget().max() as u64);
        assert!(page.value("tidings_process_start_time_seconds", "") > 1_700_000_000);
        assert!(page.value("tidings_process_resident_memory_bytes", "") > 1 << 20);
        assert!(page.value("tidings_process_open_descriptors", "") > 10);

        drop((one, other, signed_in));
        until(&node, |live| live.sessions == 0).await;
    });
}

/// The body and head of an answer, from a connection of its own.
async fn fetched(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Nothing of a round stays behind, whether its clients say goodbye or not.
#[test]
fn after_ten_rounds_nothing_is_held() {
    with_server(async |node, [address, _]| {
        for round in 0..10 {
            let mut connections = Vec::new();
            for user in 0..4 {
                let mut connection = connected(&address, &format!("user-{user}")).await;
                for channel in ["plain", "private-a", "presence-a"] {
                    subscribe(&mut connection, channel).await;
                }
                connections.push(connection);
            }
            let signed_in = signed_in(&address).await;
            publisher(&address, SECRET).publish(&publication("plain")).await.unwrap();
            for connection in &mut connections {
                heard(connection).await;
            }
            until(&node, |live| live.subscriptions == 12 && live.users == 1 && live.channels == 3).await;
            for mut connection in connections {
                if round % 2 == 0 {
                    connection.disconnect().await;
                }
            }
            drop(signed_in);
            until(&node, |live| *live == Live::default()).await;
        }
        let page = page_of(&node);
        assert_eq!(page.value("tidings_handshakes", "outcome=\"opened\""), 50);
        for family in ["connections", "sessions", "subscriptions", "users", "channels", "events", "held_bytes"] {
            assert_eq!(page.value(&format!("tidings_{family}"), ""), 0, "{family}");
        }
        for family in ["shard_connections", "app_connections", "inbox_items"] {
            assert_eq!(page.sum(&format!("tidings_{family}")), 0, "{family}");
        }
    });
}

#[test]
fn a_metric_has_a_unit_or_counts_what_it_names() {
    let mut names = BTreeSet::new();
    for metric in metrics() {
        let name = metric.full_name();
        assert!(names.insert(name.clone()), "{name} is there twice");
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\', '|']), "{name}");
        assert!(!matches!(metric.read.label(), "channel" | "event" | "user"), "{name} would grow without bound");
        let counted = name.trim_end_matches("_total");
        match &metric.unit {
            Some(unit) => assert!(counted.ends_with(&format!("_{}", unit.as_str())), "{name}"),
            // The names of wspush's statistics are given (W-9.3).
            None if name.starts_with("tidings_wspush_") => {}
            None => assert!(
                counted.ends_with('s') || ["tidings_build_info", "tidings_redis_connected"].contains(&&*name),
                "{name} counts nothing"
            ),
        }
    }
}

#[test]
fn the_manual_lists_them_all() {
    let (_, rest) = MANUAL.split_once("<!-- metrics -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of metrics -->").unwrap();
    assert_eq!(table, table_of_metrics(), "put this between the two marks of metrics.md:\n{}", table_of_metrics());
}

fn table_of_metrics() -> String {
    let mut table = String::from("| metric | kind | label | what it says |\n| --- | --- | --- | --- |\n");
    for metric in metrics() {
        let label = if metric.read.label().is_empty() { "–".to_owned() } else { format!("`{}`", metric.read.label()) };
        table += &format!("| `{}` | {} | {label} | {} |\n", metric.full_name(), metric.kind.as_str(), metric.help);
    }
    table
}

impl Metric {
    /// The name as a query uses it.
    fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let ending = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        format!("{PREFIX}_{}{unit}{ending}", self.name)
    }
}
