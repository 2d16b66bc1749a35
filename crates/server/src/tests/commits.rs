//! What happens while the store has not answered: requests behind a publish, logins that end, users who follow, apps that are made.

use super::logins::{PUSHI, ask, is_known, login};
use super::scene::{Scene, eventually};
use super::{alone, on_shard};
use crate::store::{Store, Trigger};
use smallvec::SmallVec;
use std::sync::mpsc::{Sender, channel};
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
