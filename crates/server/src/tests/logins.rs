//! How long a login is taken to be there still, with and without the store.

use super::client::Response;
use super::scene::{Scene, eventually};
use super::{advance, alone};
use sha2::{Digest, Sha256};
use std::time::Duration;

pub(super) const PUSHI: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pushi\", \"pushi-api\"]\n\
    [[apps]]\nid = \"1\"\nkey = \"2222222222222222222222222222222222222222222222222222222222222222\"\nsecret = \"secret-of-the-app\"\n\
    [store]\nurl = \"sqlite:tidings.db\"\n";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn ask(scene: &Scene, method: &str, path: &str, body: &str) -> Response {
    let length = body.len();
    scene.peer().ask(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

pub(super) fn login(scene: &Scene) -> String {
    let key = "2".repeat(64);
    let answer = ask(scene, "GET", &format!("/login?app_id=1&app_key={key}&app_secret=secret-of-the-app"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["token"].as_str().unwrap().to_owned()
}

pub(super) fn is_known(scene: &Scene, token: &str) -> bool {
    scene.server.node().logins.known(scene.server.node(), token).is_some()
}

/// I-4.4: who uses a login again and again never waits for the store, and one that was ended elsewhere ends here.
#[test]
fn a_login_in_use_stays_known() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let token = login(&scene);
    for since in [0, 2, 2] {
        advance(&scene, seconds(9 - since));
        assert!(is_known(&scene, &token));
        eventually("an answer of the store", || (!scene.server.node().logins.is_asked(&token)).then_some(()));
        // Too long after the last answer but that one.
        advance(&scene, seconds(2));
        assert!(is_known(&scene, &token));
    }
    let node = scene.server.node();
    assert!(node.runtime.block_on(node.store().unwrap().delete_session(&Sha256::digest(&token).into())).unwrap());
    advance(&scene, seconds(9));
    eventually("the end of the login", || (!is_known(&scene, &token)).then_some(()));
    assert_eq!(ask(&scene, "GET", &format!("/sockets?sid={token}"), "").status, 403);
    scene.server.stop();
}

/// I-4.4, I-4.18: without its store the server lets in whom it knows, and publishes what is not to be stored.
#[test]
fn logins_outlive_the_store() {
    let _alone = alone();
    let scene = Scene::new(PUSHI);
    let token = login(&scene);
    let stranger = "0".repeat(64);
    scene.server.node().store().unwrap().close();
    std::fs::remove_file(scene.directory.path().join("tidings.db")).unwrap();
    for (token, persist, status) in [(&token, false, 200), (&token, true, 500), (&token, false, 200), (&stranger, false, 500)] {
        advance(&scene, seconds(11));
        let body = format!(r#"{{"data":"x","persist":{persist}}}"#);
        let answer = ask(&scene, "POST", &format!("/events?sid={token}"), &body);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    scene.server.stop();
}
