//! Several shards and several listeners: what belongs together meets, whichever thread owns it.

use crate::client::{Client, Frame, dial, publish, signed};
use crate::scene::Scene;
use serde_json::{Value, json};
use std::collections::HashSet;

const SHARDS: usize = 3;
const THREE: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\npath_prefix = \"/x\"\n\
                     [limits]\nshards = 3\n[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nwatchlist_events = true\n";

/// The shard that a socket id tells.
fn shard(client: &Client) -> u64 {
    client.socket_id.split_once('.').unwrap().1.parse::<u64>().unwrap() & 0xff
}

/// Sessions on every shard, some through each listener.
fn spread(scene: &Scene, count: usize) -> Vec<Client> {
    let open = |number| {
        let second = number % 2 == 1;
        let mut client = Client::new(dial(&scene.server.addresses()[usize::from(second)]));
        client.enter(if second { "/x/app/key?protocol=7" } else { crate::client::PATH }, "");
        client
    };
    let clients: Vec<Client> = (0..count).map(open).collect();
    assert_eq!(clients.iter().map(shard).collect::<HashSet<_>>().len(), SHARDS, "every shard has some");
    clients
}

/// P-3.8, P-5.4, P-1.4: three publishers at once, and everybody sees the same order, each event once, none of a publisher's out of turn.
#[test]
fn a_channel_has_one_order_on_all_shards() {
    const EACH: usize = 300;
    let scene = Scene::new(THREE);
    let mut subscribers = spread(&scene, 12);
    subscribers.iter_mut().for_each(|subscriber| drop(subscriber.subscribe("news")));
    let orders: Vec<Vec<String>> = std::thread::scope(|scope| {
        for publisher in 0..3 {
            let mut peer = scene.peer();
            scope.spawn(move || (0..EACH).for_each(|number| peer.publish("news", "count", &format!("{publisher} {number}"))));
        }
        let read = |mut subscriber: Client| (0..3 * EACH).map(|_| subscriber.data_of("count")).collect();
        let readers: Vec<_> = subscribers.into_iter().map(|subscriber| scope.spawn(move || read(subscriber))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(orders.iter().all(|order| *order == orders[0]), "one order for all");
    for publisher in 0..3 {
        let prefix = format!("{publisher} ");
        let numbers: Vec<usize> = orders[0].iter().filter_map(|data| data.strip_prefix(&prefix)?.parse().ok()).collect();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>());
    }
    scene.server.stop();
}

/// P-11.3, P-8.3, P-11.9: the socket named gets nothing, on whichever shard; all others do.
#[test]
fn one_socket_is_left_out_across_shards() {
    let scene = Scene::new(&format!("{THREE}client_events = true\n"));
    let mut clients = spread(&scene, 6);
    clients.iter_mut().for_each(|client| drop(client.subscribe("private-a")));
    let mut publisher = scene.peer();
    for left_out in 0..clients.len() {
        let body = json!({ "name": "e", "channel": "private-a", "data": left_out.to_string(), "socket_id": clients[left_out].socket_id });
        assert_eq!(publisher.ask(signed("POST", "/apps/1/events", &body.to_string(), "")).status, 200);
        clients[left_out].say(&json!({ "event": "client-e", "channel": "private-a", "data": format!("by {left_out}") }).to_string());
        // Both are on their way before the next ones are.
        for (number, client) in clients.iter_mut().enumerate() {
            if number != left_out {
                assert_eq!([client.data_of("e"), client.data_of("client-e")], [left_out.to_string(), format!("by {left_out}")]);
            }
        }
    }
    publisher.publish("private-a", "end", "");
    clients.iter_mut().for_each(|client| assert_eq!(client.event().0, "end", "nothing else came"));
    scene.server.stop();
}

/// P-11.10: a batch comes whole, in its order, on the channels of all shards.
#[test]
fn batches_are_not_torn_apart() {
    let scene = Scene::new(THREE);
    let mut clients = spread(&scene, 6);
    for client in &mut clients {
        client.subscribe("a");
        client.subscribe("b");
    }
    std::thread::scope(|scope| {
        let channels = ["a", "b"];
        for publisher in 0..2 {
            let mut peer = scene.peer();
            scope.spawn(move || {
                for round in 0..50 {
                    let event =
                        |at: usize| json!({ "name": "e", "channel": channels[at % 2], "data": format!("{publisher}.{round}.{at}") });
                    let batch = json!({ "batch": (0..10).map(event).collect::<Vec<_>>() });
                    assert_eq!(peer.ask(signed("POST", "/apps/1/batch_events", &batch.to_string(), "")).status, 200);
                }
            });
        }
        for client in &mut clients {
            for _ in 0..100 {
                let batch: Vec<String> = (0..10).map(|_| client.data_of("e")).collect();
                let start = batch[0].strip_suffix(".0").unwrap_or_else(|| panic!("{batch:?}"));
                assert_eq!(batch, (0..10).map(|at| format!("{start}.{at}")).collect::<Vec<_>>());
            }
        }
    });
    scene.server.stop();
}

/// P-11.15, P-15.6, P-15.9, P-7.4, P-15.5: users are found wherever they are.
#[test]
fn users_are_found_on_all_shards() {
    let scene = Scene::new(THREE);
    let mut users = spread(&scene, 6);
    let mut watcher = scene.client();
    watcher.sign_in(r#"{"id":"watcher","watchlist":["u0","u1","u2","u3","u4","u5"]}"#);
    let events: Value = serde_json::from_str(&watcher.data_of("pusher_internal:watchlist_events")).unwrap();
    assert_eq!(events["events"][0]["name"], "offline");
    let told = |watcher: &mut Client, name: &str, user: usize| {
        let events = watcher.data_of("pusher_internal:watchlist_events");
        assert_eq!(events, json!({ "events": [{ "name": name, "user_ids": [format!("u{user}")] }] }).to_string());
    };
    for (number, user) in users.iter_mut().enumerate() {
        user.sign_in(&format!(r#"{{"id":"u{number}"}}"#));
        told(&mut watcher, "online", number);
        user.subscribe(&format!("#server-to-user-u{number}"));
    }
    let mut publisher = scene.peer();
    for (number, user) in users.iter_mut().enumerate() {
        publisher.publish(&format!("#server-to-user-u{number}"), "e", &number.to_string());
        assert_eq!(user.data_of("e"), number.to_string());
    }
    for (number, user) in users.iter_mut().enumerate() {
        user.join("presence-a", Some(&format!(r#"{{"user_id":"u{number}"}}"#)));
    }
    for (number, user) in users.iter_mut().enumerate() {
        for later in number + 1..6 {
            assert_eq!(user.data_of("pusher_internal:member_added"), json!({ "user_id": format!("u{later}") }).to_string());
        }
    }
    for number in (1..6).rev() {
        drop(users.pop());
        told(&mut watcher, "offline", number);
        for user in &mut users {
            assert_eq!(user.data_of("pusher_internal:member_removed"), json!({ "user_id": format!("u{number}") }).to_string());
        }
    }
    scene.server.stop();
}

/// P-1.3, P-11.4, P-11.5: the API counts the subscribers of all shards.
#[test]
fn counts_are_those_of_all_shards() {
    let scene = Scene::new(THREE);
    let mut clients = spread(&scene, 6);
    clients.iter_mut().for_each(|client| drop(client.subscribe("a")));
    let mut peer = scene.peer();
    let body = json!({ "name": "e", "channel": "a", "data": "", "info": "subscription_count" });
    let response = peer.ask(signed("POST", "/apps/1/events", &body.to_string(), ""));
    assert_eq!(response.body, r#"{"channels":{"a":{"subscription_count":6}}}"#);
    drop(clients);
    scene.until(|gauges| gauges.channels == 0);
    assert_eq!(peer.ask(signed("GET", "/apps/1/channels", "", "")).body, r#"{"channels":{}}"#);
    let mut last = scene.client();
    assert_eq!(peer.ask(publish("a", "e", "")).status, 200);
    last.say(r#"{"event":"pusher:ping"}"#);
    assert!(matches!(last.frame(), Frame::Text(_)));
    scene.server.stop();
}
