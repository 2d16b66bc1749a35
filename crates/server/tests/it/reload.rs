//! Another configuration while connections live, and connections ended by the API.

use crate::client::{Client, Frame, dial, publish, signed};
use crate::scene::Scene;
use serde_json::Value;

const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n";
const SECOND: &str = "[[apps.keys]]\nkey = \"key-2\"\nsecret = \"another-secret\"\n";
const OTHER: &str = "[[apps]]\nid = \"2\"\nkey = \"other\"\nsecret = \"another-secret\"\n";

fn open(scene: &Scene, key: &str) -> Client {
    let mut client = Client::new(dial(scene.address()));
    client.enter(&format!("/app/{key}?protocol=7"), "");
    client
}

/// Whether the connection lives.
fn lives(client: &mut Client) -> bool {
    client.say(r#"{"event":"pusher:ping"}"#);
    matches!(client.frame(), Frame::Text(text) if text.contains("pusher:pong"))
}

/// P-1.1, P-2.3 row 7, P-17.5: a key that goes takes those with it who came in by it; so does an app.
#[test]
fn a_reload_ends_those_whom_it_concerns() {
    let mut scene = Scene::new(&format!("{APP}{SECOND}{OTHER}"));
    let [mut one, mut two, mut other] = ["key", "key-2", "other"].map(|key| open(&scene, key));
    scene.reload(&format!("{APP}{OTHER}"));
    assert_eq!(two.end(), 4009);
    assert!(lives(&mut one) && lives(&mut other));
    assert_eq!(Client::refused(dial(scene.address()), "/app/key-2?protocol=7", ""), 4001);
    scene.reload(&format!("{APP}{OTHER}enabled = false\n"));
    assert_eq!(other.end(), 4003);
    assert!(lives(&mut one));
    assert_eq!(Client::refused(dial(scene.address()), "/app/other?protocol=7", ""), 4003);
    scene.reload(OTHER);
    assert_eq!(one.end(), 4003);
    let mut other = open(&scene, "other");
    assert!(lives(&mut other));
    drop((one, two, other));
    scene.until(|gauges| gauges.sessions == 0);
    scene.server.stop();
}

/// P-18.20, P-2.3 row 9, P-8.1: limits and switches hold from the reload on, for those who are there too.
#[test]
fn limits_hold_from_the_reload_on() {
    let mut scene = Scene::new(APP);
    let mut client = scene.client();
    client.subscribe("private-a");
    let mut publisher = scene.peer();
    publisher.publish("private-a", "e", "12345678");
    assert_eq!(client.data_of("e"), "12345678");
    let limits = "limits = { event_bytes = 4, connections = 1 }\n";
    scene.reload(&format!("{}{limits}", APP.replace("client_events = true", "client_events = false")));
    assert_eq!(publisher.ask(publish("private-a", "e", "12345678")).status, 413);
    publisher.publish("private-a", "e", "1234");
    assert_eq!(client.data_of("e"), "1234");
    client.say(r#"{"event":"client-a","channel":"private-a","data":"x"}"#);
    assert!(client.data_of("pusher:error").contains(r#""code":null"#));
    assert_eq!(Client::refused(dial(scene.address()), crate::client::PATH, ""), 4004);
    assert!(lives(&mut client));
    // Broken in several ways: nothing changes, not even the part that could be read.
    scene.reload(&format!("{APP}limits = {{ event_bytes = 10000, conections = 5 }}\n"));
    assert_eq!(publisher.ask(publish("private-a", "e", "12345678")).status, 413);
    assert_eq!(Client::refused(dial(scene.address()), crate::client::PATH, ""), 4004);
    assert!(lives(&mut client));
    scene.reload(APP);
    publisher.publish("private-a", "e", "12345678");
    assert_eq!(client.data_of("e"), "12345678");
    scene.server.stop();
}

/// P-11.14, P-15.11, P-11.16: the connections that are signed in as the user end, and no others.
#[test]
fn terminated_users_are_closed_for_good() {
    let scene = Scene::new("[limits]\nshards = 2\n");
    let mut users: Vec<Client> = (0..4).map(|_| scene.client()).collect();
    users.iter_mut().for_each(|user| user.sign_in(r#"{"id":"u1"}"#));
    let mut other = scene.client();
    other.sign_in(r#"{"id":"u2"}"#);
    let mut namesake = scene.client();
    let members: Value = serde_json::from_str(&namesake.join("presence-a", Some(r#"{"user_id":"u1"}"#))).unwrap();
    assert_eq!(members["presence"]["ids"], serde_json::json!(["u1"]));
    for path in ["/apps/1/users/u1/terminate_connections", "/apps/1/users/nobody/terminate_connections"] {
        let response = scene.peer().ask(signed("POST", path, "{}", ""));
        assert_eq!((response.status, response.body.as_str()), (200, "{}"));
    }
    users.iter_mut().for_each(|user| assert_eq!(user.end(), 4009));
    assert!(lives(&mut other) && lives(&mut namesake));
    let response = scene.peer().ask(signed("POST", "/users/u2/terminate_connections", "{}", ""));
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(other.end(), 4009);
    assert!(lives(&mut namesake));
    scene.server.stop();
}
