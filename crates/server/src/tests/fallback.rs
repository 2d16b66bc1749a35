//! What time does to sessions of Pusher's fallback. The clock of the server is moved, so nobody waits.

use super::client::{Client, publish};
use super::poller::{messages, request};
use super::scene::Scene;
use super::{advance, alone, on_shard};
use crate::run::Gauges;
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A stream that has begun, and whose session is on the channel.
fn stream(scene: &Scene, session: &str, channel: &str) -> Client {
    let mut client = scene.peer();
    client.poll_in(session, channel);
    client.send(request(session, "xhr_streaming", ""));
    assert_eq!((client.head().status, client.chunk().unwrap().len()), (200, 2049));
    client
}

/// P-19.8, S-7.7: every 25 s of silence a heartbeat, which ends a poll and not a stream; what comes between puts it off.
#[test]
fn idle_receivers_are_sent_heartbeats() {
    let _alone = alone();
    let scene = Scene::new("");
    let mut streaming = stream(&scene, "streams", "news");
    let mut polling = scene.peer();
    polling.poll_in("polls", "other");
    polling.send(request("polls", "xhr", ""));
    assert_eq!(polling.head().status, 200);
    advance(&scene, seconds(20));
    scene.peer().publish("news", "e", "1");
    assert_eq!(streaming.streamed()[0]["data"], "1");
    advance(&scene, seconds(6));
    assert_eq!((polling.chunk().as_deref(), polling.chunk()), (Some("h\n"), None));
    advance(&scene, seconds(20));
    assert_eq!(streaming.chunk().as_deref(), Some("h\n"));
    advance(&scene, seconds(25));
    assert_eq!(streaming.chunk().as_deref(), Some("h\n"));
    // The one who does not poll again is still there for 30 s, counted from the heartbeat; here 45 have passed since.
    assert_eq!(polling.ask(request("polls", "xhr", "")).body, "o\n");
    scene.server.stop();
}

/// P-19.8: a session to which no receiver comes for 30 s is over, and its name is free; one that comes in time has lost nothing.
#[test]
fn abandoned_sessions_end() {
    let _alone = alone();
    let scene = Scene::new("");
    let [mut one, mut two] = [(); 2].map(|()| scene.peer());
    one.poll_in("one", "news");
    two.poll_in("two", "news");
    advance(&scene, seconds(29));
    scene.peer().publish("news", "e", "1");
    // Sending does not count as receiving.
    assert_eq!(one.ask(request("one", "xhr_send", "[]")).status, 204);
    assert_eq!(two.poll("two")[0]["data"], "1");
    advance(&scene, seconds(2));
    assert_eq!(one.ask(request("one", "xhr_send", "[]")).status, 404);
    assert_eq!(one.ask(request("one", "xhr", "")).body, "o\n");
    let gauges = scene.server.gauges();
    assert_eq!((gauges.sessions, gauges.subscriptions, gauges.app_connections), (2, 1, 2));
    scene.peer().publish("news", "e", "2");
    assert_eq!(two.poll("two")[0]["data"], "2");
    advance(&scene, seconds(62));
    scene.until(|gauges| (gauges.sessions, gauges.subscriptions, gauges.channels, gauges.held_bytes) == (0, 0, 0, 0));
    scene.server.stop();
}

/// P-19.6, P-19.8: a stream that is full is left to its client; if nobody comes it ends with its session.
#[test]
fn a_full_stream_ends_with_its_session() {
    let _alone = alone();
    let scene = Scene::new("");
    let mut streaming = stream(&scene, "streams", "news");
    let data = "x".repeat(9000);
    let mut publisher = scene.peer();
    for number in 0..40 {
        publisher.publish("news", "e", &format!("{number} {data}"));
    }
    let (mut sent, mut got) = (2049, 0);
    while sent <= 256 * 1024 {
        let chunk = streaming.chunk().unwrap();
        sent += chunk.len();
        got += messages(&chunk).len();
    }
    assert!(got < 40, "something is left for the next receiver");
    advance(&scene, seconds(31));
    assert_eq!(streaming.chunk(), None);
    assert_eq!(scene.peer().ask(request("streams", "xhr", "")).body, "o\n");
    scene.until(|gauges| gauges.subscriptions == 0);
    scene.server.stop();
}

/// P-16.1, P-16.5: whoever polls is there, however little it says; the server's pings have no place over HTTP.
#[test]
fn receiving_shows_that_a_client_lives() {
    let _alone = alone();
    let scene = Scene::new("[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nactivity_timeout = \"10 s\"\n");
    let mut client = scene.peer();
    client.poll_in("polls", "news");
    for _ in 0..6 {
        client.send(request("polls", "xhr", ""));
        assert_eq!(client.head().status, 200);
        advance(&scene, seconds(26));
        assert_eq!((client.chunk().as_deref(), client.chunk()), (Some("h\n"), None));
    }
    client.send(request("polls", "xhr", ""));
    assert_eq!(client.head().status, 200);
    assert_eq!(scene.peer().ask(publish("news", "e", "1")).status, 200);
    assert_eq!(messages(&client.chunk().unwrap())[0]["data"], "1");
    scene.server.stop();
}

/// P-19.8: of ten thousand who subscribed and never came back nothing is left.
#[test]
fn an_abandoned_crowd_leaves_nothing() {
    const PEOPLE: usize = 10_000;
    let _alone = alone();
    let scene = Scene::new("");
    let mut peer = scene.peer();
    for number in 0..PEOPLE {
        peer.poll_in(&format!("s{number}"), &format!("room-{}", number % 100));
    }
    let gauges = scene.server.gauges();
    assert_eq!((gauges.sessions, gauges.subscriptions, gauges.channels), (PEOPLE as u64, PEOPLE as u64, 100));
    drop(peer);
    advance(&scene, seconds(31));
    scene.until(Gauges::is_idle);
    assert_eq!(on_shard(&scene, 0, |shard| shard.sessions_over_http()), 0);
    scene.server.stop();
}
