//! Who may ask, and what is answered.

use super::*;
use crate::http::mount::Mounts;
use crate::world::World;
use http_body_util::BodyExt;

fn listener(address: &str) -> Listener {
    let world = World::new(&format!(
        "[[listeners]]\naddress = \"{address}\"\n[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n"
    ));
    Listener::new(world.listener.config.clone(), None, &Mounts::new(&[], &[]))
}

/// A name that others can point here is not ours; on an address that others reach, the operator answers for its names.
#[test]
fn only_names_that_nobody_else_can_have_are_ours() {
    let loopback = listener("127.0.0.1:6001");
    let unix = listener("unix:/tmp/t.sock");
    let open = listener("0.0.0.0:6001");
    for (host, on_loopback, on_unix) in [
        (None, false, true),
        (Some("localhost"), true, true),
        (Some("LOCALHOST:6001"), true, true),
        (Some("127.0.0.1"), true, true),
        (Some("127.0.0.1:6001"), true, true),
        (Some("192.0.2.1:80"), true, true),
        (Some("[::1]"), true, true),
        (Some("[::1]:6001"), true, true),
        (Some(""), false, false),
        (Some("evil.example"), false, false),
        (Some("evil.example:6001"), false, false),
        (Some("localhost.evil.example"), false, false),
        (Some("127.0.0.1.evil.example"), false, false),
        (Some("evil.example:localhost"), false, false),
        (Some("localhost:6001:evil"), false, false),
        (Some("[evil.example]"), false, false),
    ] {
        assert_eq!(is_own_host(&loopback, host), on_loopback, "{host:?}");
        assert_eq!(is_own_host(&unix, host), on_unix, "{host:?} on a unix socket");
        assert!(is_own_host(&open, host), "{host:?} on an open address");
    }
}

const APPS: &str = "[[apps]]\nid = \"b\"\nkey = \"other\"\nsecret = \"another-long-secret\"\n\
    [[apps]]\nid = \"a\"\nkey = \"278d425bdf160c739803\"\nsecret = \"7ad3773142a6692b25b8\"\n\
    [[listeners]]\naddress = \"127.0.0.1:6001\"\ndialects = [\"pusher\", \"console\"]\npath_prefix = \"/x\"\n";

fn asked(world: &World, path: &str, from_page: bool, body: &str) -> Option<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(post(&world.node, path, from_page, body.as_bytes()))
}

fn posted(world: &World, path: &str, body: &str) -> (u16, String) {
    let answer = asked(world, path, true, body).expect("there is something");
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

/// P-6.3, P-6.6: the published example, and the proof of a member, for the first app by its id.
#[test]
fn proof_is_given_for_well_formed_channels() {
    let world = World::new(APPS);
    let proof = |body: &str| posted(&world, "/console/auth", body);
    // V-001.
    let (status, answer) = proof("socket_id=1234.1234&channel_name=private-foobar");
    let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    assert_eq!((status, answer), (200, format!(r#"{{"auth":"278d425bdf160c739803:{signature}"}}"#)));
    let (_, answer) = proof("channel_name=presence-a%2Cb&socket_id=1.2");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let member = answer["channel_data"].as_str().unwrap();
    let member_value: serde_json::Value = serde_json::from_str(member).unwrap();
    assert_eq!(member_value["user_id"], "1.2");
    let signed = auth::sign("7ad3773142a6692b25b8", &[b"1.2:presence-a,b:", member.as_bytes()]);
    assert_eq!(answer["auth"], format!("278d425bdf160c739803:{}", signed.as_str()));
    for body in [
        "",
        "socket_id=1.2",
        "channel_name=private-x",
        "socket_id=1.2&channel_name=",
        "socket_id=1.2&channel_name=private-x%20y",
        "socket_id=1.2%3Aprivate-y&channel_name=private-x",
        "socket_id=1.2&channel_name=%ff",
        "xsocket_id=1.2&channel_name=private-x",
    ] {
        assert_eq!(proof(body).0, 400, "{body}");
    }
}

/// P-3.10, P-4.1, P-18.2, P-18.3: a publish obeys the rules of the API.
#[test]
fn a_publish_is_checked() {
    let world = World::new(APPS);
    let long = "x".repeat(10 * 1024 + 1);
    let fits = &long[1..];
    let name = "n".repeat(201);
    for (channel, event, data, expected) in [
        ("news", "e", "hi", 200),
        ("news", &name[1..], fits, 200),
        ("news", "e", &long, 413),
        ("news", &name, "", 400),
        ("news", "", "", 400),
        ("news", "pusher:e", "", 400),
        ("news", "pusher_internal:e", "", 400),
        ("news", "tidings:e", "", 400),
        ("a b", "e", "", 400),
        ("", "e", "", 400),
    ] {
        let body = json!({ "channel": channel, "event": event, "data": data }).to_string();
        assert_eq!(posted(&world, "/console/publish", &body).0, expected, "{channel} {event}");
    }
    for body in ["", "[]", r#"{"channel":"c","event":"e"}"#, r#"{"channel":"c","event":"e","data":1}"#] {
        assert_eq!(posted(&world, "/console/publish", body).0, 400, "{body}");
    }
    let remembered = json!({ "channel": "cache-news", "event": "e", "data": "kept" }).to_string();
    assert_eq!(posted(&world, "/console/publish", &remembered).0, 200);
    let apps = world.node.apps();
    let app = apps.by_key("278d425bdf160c739803").unwrap();
    assert!(app.channels.cached("cache-news", world.node.clock.now()).is_some(), "it is published");
}

#[test]
fn only_the_page_may_ask_for_what_the_secret_does() {
    let world = World::new(APPS);
    for path in ["/console/auth", "/console/publish"] {
        assert_eq!(asked(&world, path, false, "").unwrap().status, 403, "{path}");
    }
    assert!(asked(&world, "/console/config", true, "").is_none() && asked(&world, "/", true, "").is_none());
}

#[test]
fn the_page_and_its_settings_can_be_got() {
    let world = World::new(APPS);
    let get = |path, method| get(&world.node, &world.listener, true, path, &method);
    let page = get("/", Method::GET).unwrap();
    assert_eq!(page.headers()[POLICY], CONTENT_SECURITY_POLICY);
    assert!(get("/", Method::HEAD).is_some() && get("/", Method::PUT).is_none() && get("/nothing", Method::GET).is_none());
    let settings = get("/console/config", Method::GET).unwrap().into_body();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settings = runtime.block_on(settings.collect()).unwrap().to_bytes();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
    let expected = json!({
        "app_id": "a", "key": "278d425bdf160c739803", "host": "127.0.0.1", "port": 6001, "tls": true, "path_prefix": "/x",
    });
    assert_eq!(settings, expected, "and no secret");
}
