//! What happens while the store has not answered: requests behind a publish, logins that end, users who follow.

use super::client::Client;
use super::logins::{PUSHI, ask, is_known, login};
use super::scene::{Scene, eventually};
use super::{alone, on_shard};
use crate::store::{Store, Trigger};
use serde_json::json;
use smallvec::SmallVec;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use tidings_hub::{AppId, UnixTime};

/// A store that tells nobody of its commits until this is dropped.
struct Busy(#[expect(dead_code, reason = "held for the end of it")] Sender<()>);

fn store(scene: &Scene) -> &Store {
    scene.server.node().store().expect("the scene has one")
}

/// What keeps its place in the store's queue and no more.
fn nothing() -> Trigger {
    Trigger { app: AppId::new(""), at: UnixTime::default(), owner: None, events: SmallVec::new() }
}

fn keep_busy(scene: &Scene) -> Busy {
    let (release, released) = channel::<()>();
    let (begins, begun) = channel();
    let done = Box::new(move |_| {
        begins.send(()).unwrap();
        // Nobody sends anything: it ends with the one who could.
        let _ = released.recv();
    });
    store(scene).append(nothing(), done);
    begun.recv_timeout(super::client::FAILSAFE).expect("the store runs");
    Busy(release)
}

/// Waits until that many jobs wait for the store.
fn until_waiting(scene: &Scene, count: u64) {
    eventually("jobs that wait for the store", || (store(scene).tally().waiting == count).then_some(()));
}

/// A publish over the REST API. `more` are header lines.
fn publish(token: &str, body: &str, more: &str) -> String {
    let length = body.len();
    format!(
        "POST /events?sid={token} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{more}\r\n{body}"
    )
}

/// I-4.18: what is pipelined behind a publish is answered after it, even if the shard looks at the connection before the commit.
#[test]
fn requests_behind_a_commit_wait() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let token = login(&scene);
    let busy = keep_busy(&scene);
    let mut peer = scene.peer();
    peer.send([publish(&token, r#"{"data":"x"}"#, ""), publish(&token, "no JSON", "")].concat());
    until_waiting(&scene, 1);
    on_shard(&scene, 0, crate::shard::Shard::look_again);
    on_shard(&scene, 0, |_| ());
    drop(busy);
    assert_eq!([peer.response().status, peer.response().status], [200, 400]);
    scene.server.stop();
}

/// I-4.4: a request whose login is looked up elsewhere takes no answer along that is owed to the one before it.
#[test]
fn an_answer_before_a_lookup_is_not_lost() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let token = login(&scene);
    let mut peer = scene.peer();
    let body = r#"{"data":"x","persist":false}"#;
    peer.send([publish(&token, body, ""), publish(&"0".repeat(64), body, ""), publish(&token, body, "")].concat());
    assert_eq!([peer.response().status, peer.response().status, peer.response().status], [200, 403, 200]);
    scene.server.stop();
}

/// I-4.6: a login that is used while it ends is gone once that is answered.
#[test]
fn a_login_that_is_used_while_it_ends_is_gone() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let token = login(&scene);
    let busy = keep_busy(&scene);
    let mut leaver = scene.peer();
    leaver.send(format!("GET /logout?sid={token} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    until_waiting(&scene, 1);
    // The store still has it.
    assert_eq!(ask(&scene, "GET", &format!("/sockets?sid={token}"), "").status, 200);
    drop(busy);
    assert_eq!(leaver.response().status, 200);
    assert!(!is_known(&scene, &token));
    assert_eq!(ask(&scene, "GET", &format!("/sockets?sid={token}"), "").status, 403);
    scene.server.stop();
}

/// Waits for one more of the things that a future needs, and leaves it there.
fn begin<T>(scene: &Scene, future: &mut Pin<&mut (impl Future<Output = T> + ?Sized)>) {
    scene.server.node().runtime.block_on(async {
        let begun = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await;
        assert!(begun, "it waits for the store");
    });
}

/// A session of ann on her personal channel.
fn ann(scene: &Scene) -> Client {
    let mut client = scene.peer();
    client.enter(&format!("/{}", "2".repeat(64)), "");
    let auth = tidings_dialect::pushi::auth::sign("secret-of-the-app", &client.socket_id, "personal-ann");
    let auth = format!("{}:{}", "2".repeat(64), auth.as_str());
    client.say(&json!({ "event": "pusher:subscribe", "data": { "channel": "personal-ann", "auth": auth } }).to_string());
    assert_eq!(client.event().0, "pusher_internal:subscription_succeeded");
    client
}

fn tell(scene: &Scene, token: &str, channel: &str, data: &str) {
    let body = json!({ "channel": channel, "data": data, "persist": false }).to_string();
    assert_eq!(ask(scene, "POST", &format!("/events?sid={token}"), &body).status, 200);
}

/// I-2.9: whoever is on a personal channel hears of a subscription that the store has taken, even if the one who made it has gone.
#[test]
fn a_subscription_counts_though_nobody_waits_for_it() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let (token, mut client) = (login(&scene), ann(&scene));
    let node = Arc::clone(scene.server.node());
    let app = Arc::clone(node.apps().by_id(&AppId::new("1")).unwrap());
    let busy = keep_busy(&scene);
    begin(&scene, &mut pin!(node.follow(&app, "ann", "news")));
    drop(busy);
    node.runtime.block_on(store(&scene).settled());
    // What her own shard was told before this is done after it.
    on_shard(&scene, 0, |_| ());
    on_shard(&scene, 0, |_| ());
    tell(&scene, &token, "news", "followed");
    tell(&scene, &token, "personal-ann", "her own");
    assert_eq!(client.event().2, "followed");
    assert_eq!(client.event().2, "her own");
    scene.server.stop();
}

/// I-2.9: of a subscription that is made and one that is ended at the same time, connections believe what the store has in the end.
#[test]
fn subscriptions_change_in_the_order_of_the_store() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let (token, mut client) = (login(&scene), ann(&scene));
    let node = Arc::clone(scene.server.node());
    let app = Arc::clone(node.apps().by_id(&AppId::new("1")).unwrap());
    let mut slow = pin!(node.follow(&app, "ann", "news"));
    let busy = keep_busy(&scene);
    begin(&scene, &mut slow);
    drop(busy);
    assert!(node.runtime.block_on(node.unfollow(&app, "ann", "news")).unwrap().is_some());
    node.runtime.block_on(slow).unwrap();
    on_shard(&scene, 0, |_| ());
    on_shard(&scene, 0, |_| ());
    tell(&scene, &token, "news", "not followed");
    tell(&scene, &token, "personal-ann", "her own");
    assert_eq!(client.event().2, "her own");
    scene.server.stop();
}

/// P-10.11: whoever waits for room in the store's queue alone goes on once it has settled something, though no shard has anything to do.
#[test]
fn a_store_with_room_lets_publishers_in() {
    let _alone = alone();
    let scene = Scene::new(&format!("{PUSHI}queue = 1\n"));
    let node = Arc::clone(scene.server.node());
    let busy = keep_busy(&scene);
    store(&scene).append(nothing(), Box::new(|_| ()));
    let mut room = pin!(node.room());
    begin(&scene, &mut room);
    drop(busy);
    node.runtime.block_on(async { tokio::time::timeout(super::client::FAILSAFE, room).await }).expect("there is room");
    scene.server.stop();
}
