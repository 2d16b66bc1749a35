//! Channels with a history: whoever acknowledges a publish says what became of it in the store.

use super::alone;
use super::client::{Client, publish, signed};
use super::redis::{Redis, with_redis};
use super::scene::Scene;
use crate::clock::unix_time;
use serde_json::json;
use tidings_dialect::pushy::auth::Signature;

const ALL: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"pushy\", \"console\"]\n\
    [[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pushi\", \"pushi-api\"]\n\
    [[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\n\
    keys = [{ key = \"2222222222222222222222222222222222222222222222222222222222222222\", secret = \"secret-of-the-app\" }]\n\
    recent = [{ channels = \"news\", stored = true }]\n[[pushy]]\napp = \"1\"\nreplay_cache = 100\n[store]\nurl = \"sqlite:tidings.db\"\n";

/// A trigger of Pushy's publishers; no two have the same signature.
fn trigger(channel: &str, event: &str) -> String {
    let now = unix_time().as_secs().to_string();
    let signature = Signature::of(&[channel, event, &now, "{}", "secret-of-the-app"].map(str::as_bytes)).hex();
    format!(
        "POST /pushy/channel/{channel}/trigger?event={event}&timestamp={now}&auth_key={signature} HTTP/1.1\r\n\
         Host: localhost\r\nContent-Length: 0\r\n\r\n"
    )
}

fn with_body(path: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

/// Every way to publish on a channel that is acknowledged: the place of its listener, the request, and what it is answered without the store.
fn ways(channel: &str, token: &str, trigger_event: &str) -> [(usize, String, u16); 7] {
    let event = json!({ "name": "e", "channel": channel, "data": "x" });
    let plain = json!({ "channel": channel, "data": "x", "persist": false }).to_string();
    [
        (0, publish(channel, "e", "x"), 503),
        (0, signed("POST", "/apps/1/events", &json!({ "name": "e", "channels": [channel, "other"], "data": "x" }).to_string(), ""), 503),
        (0, signed("POST", "/apps/1/batch_events", &json!({ "batch": [event] }).to_string(), ""), 503),
        (0, trigger(channel, trigger_event), 503),
        (
            0,
            with_body(
                "/console/publish",
                "X-Tidings-Console: 1\r\n",
                &json!({ "channel": channel, "event": "e", "data": "x" }).to_string(),
            ),
            503,
        ),
        // On the shard, as its login was seen lately, and beside it.
        (1, with_body(&format!("/events?sid={token}"), "", &plain), 500),
        (1, with_body(&format!("/events?sid={token}"), "Origin: http://localhost\r\n", &plain), 500),
    ]
}

#[test]
fn acknowledgements_are_the_stores() {
    let _alone = alone();
    let scene = Scene::new(ALL);
    let token = {
        let mut peer = scene.peer_at(1);
        let path = format!("/login?app_id=1&app_key={}&app_secret=secret-of-the-app", "2".repeat(64));
        let answer = peer.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let mut subscriber: Client = scene.client();
    subscriber.subscribe("news");
    subscriber.subscribe("plain");
    let statuses = |channel: &str, trigger_event: &str| -> Vec<u16> {
        let asked = ways(channel, &token, trigger_event).into_iter().map(|(place, request, _)| scene.peer_at(place).ask(request).status);
        asked.collect()
    };
    let without_store: Vec<u16> = ways("news", &token, "e").into_iter().map(|(.., status)| status).collect();
    let count = without_store.len();
    assert!(statuses("news", "a").iter().all(|status| matches!(status, 200 | 201)));
    let tally = scene.server.node().store().unwrap().tally();
    // One of them is on two channels.
    assert_eq!((tally.events, tally.failures), (count as u64 + 1, 0));
    (0..count).for_each(|_| drop(subscriber.event()));
    scene.server.node().store().unwrap().close();
    assert_eq!(statuses("news", "b"), without_store);
    // What was not published may come again as it is.
    assert_eq!(statuses("news", "b"), without_store);
    assert!(statuses("plain", "c").iter().all(|status| matches!(status, 200 | 201)));
    for _ in 0..count {
        assert_eq!(subscriber.event().1, "plain", "nothing of what was refused");
    }
    scene.server.stop();
}

/// What Redis brings and cannot be stored is lost: whoever listens is told so.
#[test]
fn a_relay_that_cannot_store_tells_a_gap() {
    if !with_redis() {
        return;
    }
    let _alone = alone();
    let redis = Redis::start();
    let port = redis.port;
    let scene = Scene::new(&format!(
        "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nrecent = [{{ channels = \"news\", stored = true }}]\n\
         [[wspush]]\napp = \"1\"\nredis = \"127.0.0.1:{port}\"\n[store]\nurl = \"sqlite:tidings.db\"\n"
    ));
    redis.until_subscribed(1);
    let mut stream = scene.peer();
    stream.send("GET /apps/1/sse?key=key&channel=news HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.head().status, 200);
    assert!(stream.chunk().unwrap().contains("tidings:subscribed"));
    let mut connection = redis.connect();
    assert_eq!(super::redis::publish(&mut connection, b"example.news", b"stored"), 1);
    assert!(stream.chunk().unwrap().contains("data: stored"));
    scene.server.node().store().unwrap().close();
    assert_eq!(super::redis::publish(&mut connection, b"example.news", b"lost"), 1);
    assert!(stream.chunk().unwrap().contains("event: tidings:gap"));
    scene.server.stop();
}
