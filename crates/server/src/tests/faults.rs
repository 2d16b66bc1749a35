//! What a panic costs: the connection in whose service it happened, and nothing else.

use super::alone;
use super::client::{Client, Frame};
use super::scene::Scene;
use crate::fault::{Place, arm};
use tidings_hub::Item;

/// The subscribers that are left get the next event.
fn go_on(scene: &Scene, subscribers: &mut [Client], data: &str) {
    scene.peer().publish("news", "e", data);
    subscribers.iter_mut().for_each(|subscriber| assert_eq!(subscriber.data_of("e"), data));
}

/// P-17.5, P-5.11: a fault in a session is told with 4200, and its channels are left.
#[test]
fn a_fault_in_a_session_costs_that_session() {
    let _alone = alone();
    let scene = Scene::new("");
    let mut others = scene.subscribers(3, "news");
    let mut victim = scene.client();
    victim.subscribe("news");
    victim.subscribe("own");
    arm(Place::Session);
    victim.say(r#"{"event":"pusher:ping"}"#);
    assert_eq!(victim.end(), 4200);
    let gauges = scene.until(|gauges| gauges.connections == 3);
    assert_eq!((gauges.panics, gauges.slow, gauges.sessions, gauges.channels), (1, 0, 3, 1));
    go_on(&scene, &mut others, "after");
    // Whoever comes into its place finds nothing of it.
    let mut next = scene.client();
    next.subscribe("own");
    scene.server.stop();
}

/// P-17.5: whoever an event was being encoded for is closed, all others get it.
#[test]
fn a_fault_in_an_encode_costs_one_subscriber() {
    let _alone = alone();
    let scene = Scene::new("");
    let mut subscribers = scene.subscribers(4, "news");
    go_on(&scene, &mut subscribers, "before");
    arm(Place::Encode);
    let mut publisher = scene.peer();
    publisher.publish("news", "e", "struck");
    let (mut reached, mut closed) = (Vec::new(), 0);
    for mut subscriber in subscribers {
        match subscriber.frame() {
            Frame::Text(text) if text.contains("struck") => reached.push(subscriber),
            Frame::Text(text) => {
                assert!(text.contains("4200"), "{text}");
                assert!(matches!(subscriber.frame(), Frame::Close(4200, _)));
                closed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((reached.len(), closed, scene.server.gauges().panics), (3, 1, 1));
    go_on(&scene, &mut reached, "after");
    publisher.publish("news", "e", "later");
    scene.server.stop();
}

/// What left before a fault in a write is not known, so nothing more can be said to that one.
#[test]
fn a_fault_in_a_write_costs_one_connection() {
    let _alone = alone();
    let scene = Scene::new("");
    let mut others = scene.subscribers(3, "news");
    let mut victim = scene.client();
    victim.subscribe("news");
    arm(Place::Write);
    victim.say(r#"{"event":"pusher:ping"}"#);
    assert_eq!(victim.frame(), Frame::End);
    scene.until(|gauges| gauges.sessions == 3 && gauges.panics == 1);
    go_on(&scene, &mut others, "after");
    drop(others);
    scene.until(crate::run::Gauges::is_idle);
    scene.server.stop();
}

/// Those who are on a channel that a panic has left unusable are closed, whichever shard they are on.
#[test]
fn a_lost_channel_closes_its_subscribers() {
    let _alone = alone();
    let scene = Scene::new("[limits]\nshards = 2\n");
    let mut subscribers = scene.subscribers(4, "news");
    let mut others = scene.subscribers(2, "else");
    // What the hub says of the first channel that it made.
    scene.server.node().hub.inboxes().iter().for_each(|inbox| inbox.push(Item::Lost { channel_id: 0 }));
    let mut publisher = scene.peer();
    subscribers.iter_mut().for_each(|subscriber| assert_eq!(subscriber.end(), 4200));
    publisher.publish("else", "e", "kept");
    others.iter_mut().for_each(|other| assert_eq!(other.data_of("e"), "kept"));
    go_on(&scene, &mut scene.subscribers(2, "news"), "again");
    scene.server.stop();
}
