//! What outlives a process, and what two processes on one store know of each other.

use crate::client::{Client, Frame, handshake};
use crate::process::{APP, KEY, Process, SECRET, config, request, schema, with_postgres};
use crate::scene::eventually;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use tidings_dialect::auth;

/// Anybody may make apps.
const OPEN: &str = "[[pushi]]\nopen_apps = true\n";

/// Each kind of store that lasts, with a directory for the files of its server.
fn on_each_store(test: impl Fn(&Path, &str)) {
    let directory = tempfile::tempdir().unwrap();
    test(directory.path(), "sqlite:tidings.db");
    if with_postgres() {
        let directory = tempfile::tempdir().unwrap();
        test(directory.path(), &schema());
    }
}

/// Joins a user's personal channel and gives its record (I-1.5).
fn personal(process: &Process, user: &str) -> Value {
    let mut client = process.client();
    let channel = format!("personal-{user}");
    let signature = auth::sign(SECRET, &[client.socket_id.as_bytes(), b":", channel.as_bytes()]);
    let data = json!({ "channel": channel, "auth": format!("{KEY}:{signature}") });
    client.say(&json!({ "event": "pusher:subscribe", "data": data }).to_string());
    serde_json::from_str(&client.data_of("pusher_internal:subscription_succeeded")).unwrap()
}

/// An app made at run time, and a login of it.
struct Made {
    ident: String,
    key: String,
    token: String,
}

impl Made {
    fn new(process: &Process) -> Self {
        let record = process.json("POST", "/apps", r#"{"name":"made"}"#);
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        let (ident, key, secret) = (text("ident"), text("key"), text("secret"));
        let login = process.json("GET", &format!("/login?app_id={ident}&app_key={key}&app_secret={secret}"), "");
        Self { ident, key, token: login["token"].as_str().unwrap().to_owned() }
    }

    /// The channels and data of its stored events.
    fn events(&self, process: &Process) -> Vec<(String, String)> {
        events(process, &self.token)
    }

    /// A session of it, if its key is known there; a stranger is told so and closed (I-1.1).
    fn client(&self, process: &Process) -> Option<Client> {
        let mut client = process.peer();
        assert_eq!(client.ask(handshake(&format!("/{}", self.key), "")).status, 101);
        let (event, ..) = client.event();
        if event == "pusher:error" {
            assert!(matches!(client.frame(), Frame::Close(4001, _)));
            return None;
        }
        assert_eq!(event, "pusher:connection_established");
        client.subscribe("global");
        Some(client)
    }
}

fn events(process: &Process, token: &str) -> Vec<(String, String)> {
    process.history(token, None).into_iter().map(|stored| (stored.channel, stored.data)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(channel, data)| ((*channel).to_owned(), (*data).to_owned())).collect()
}

/// I-3.2, I-3.3, I-3.5, I-2.17, I-4.4, I-4.11: whether it was killed or stopped, a server comes back with all that it was told.
#[test]
fn a_restart_keeps_everything() {
    on_each_store(|directory, store| {
        let config = config(store, OPEN);
        let mut process = Process::start(directory, &config);
        let token = process.login();
        for channel in ["news", "presence-room"] {
            process.json("POST", &format!("/subscriptions?sid={token}"), &json!({ "user_id": "anna", "event": channel }).to_string());
        }
        process.json("POST", &format!("/events?sid={token}"), r#"{"channel":"news","data":"1"}"#);
        process.json("POST", &format!("/events?sid={token}"), r#"{"channel":"else","data":"2"}"#);
        let made = Made::new(&process);
        process.json("POST", &format!("/events?sid={}", made.token), r#"{"data":"3"}"#);
        for end in [Process::kill, Process::stop] {
            end(process);
            process = Process::start(directory, &config);
            assert_eq!(events(&process, &token), pairs(&[("news", "1"), ("else", "2")]));
            let listed = process.json("GET", &format!("/subscriptions?sid={token}"), "");
            assert_eq!(listed["subscriptions"].as_array().unwrap().len(), 2, "{listed}");
            let record = personal(&process, "anna");
            assert_eq!(record["alias"], json!(["news", "presence-room"]));
            assert_eq!(record["events"][0]["data"]["data"], "1");
            assert_eq!(record["events"].as_array().unwrap().len(), 1, "{record}");
            let apps = process.json("GET", &format!("/apps?sid={}", made.token), "");
            assert_eq!(apps["apps"][0]["ident"], made.ident.as_str());
            assert_eq!(made.events(&process), pairs(&[("global", "3")]));
            assert!(made.client(&process).is_some());
        }
        process.json("GET", &format!("/logout?sid={token}"), "");
        process.kill();
        process = Process::start(directory, &config);
        assert_eq!(process.ask("GET", &format!("/events?sid={token}"), "").status, 403, "who has left stays out");
        process.stop();
    });
}

/// I-2.18, I-4.4, I-4.11: what one process is told, another on the same store knows; apps too, without a restart.
#[test]
fn two_processes_share_a_store() {
    on_each_store(|directory, store| {
        let another = tempfile::tempdir().unwrap();
        let file = directory.join("tidings.db");
        let store = if store.starts_with("sqlite:") { format!("sqlite:{}", file.display()) } else { store.to_owned() };
        let config = config(&store, OPEN);
        let (one, other) = (Process::start(directory, &config), Process::start(another.path(), &config));
        let made = Made::new(&one);
        let _client = eventually("a process that has heard of the app", || made.client(&other));
        other.json("POST", &format!("/events?sid={}", made.token), r#"{"data":"1"}"#);
        one.json("POST", &format!("/events?sid={}", made.token), r#"{"data":"2"}"#);
        for process in [&one, &other] {
            assert_eq!(made.events(process), pairs(&[("global", "1"), ("global", "2")]));
        }
        let token = one.login();
        publish_at_once(&one, &other, &token);
        assert_eq!(one.history(&token, None), other.history(&token, None));
        one.kill();
        assert_eq!(other.json("GET", &format!("/apps?sid={token}"), "")["apps"][0]["ident"], APP);
        other.stop();
    });
}

/// Both publish on one channel; what they acknowledge is there once, in the order of each.
fn publish_at_once(one: &Process, other: &Process, token: &str) {
    const EVENTS: usize = 100;
    let publish = |process: &Process, name: &str| {
        let mut peer = process.peer();
        for number in 0..EVENTS {
            let body = json!({ "channel": "shared", "data": format!("{name}{number}") }).to_string();
            let response = peer.ask(request("POST", &format!("/events?sid={token}"), &body));
            assert_eq!(response.status, 200, "{response:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| publish(one, "a"));
        scope.spawn(|| publish(other, "b"));
    });
    let history = one.history(token, Some("shared"));
    for name in ["a", "b"] {
        let own: Vec<&str> = history.iter().filter_map(|stored| stored.data.strip_prefix(name)).collect();
        assert_eq!(own, (0..EVENTS).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(history.iter().map(|stored| &stored.mid).collect::<HashSet<_>>().len(), 2 * EVENTS);
}
