//! A relay in a server that has no room: Redis keeps what is not taken, until it has enough.

use super::redis::{Redis, publish, with_redis};
use super::scene::{Scene, eventually};
use super::{alone, stall};

const MARK: usize = 16;
/// What a message has.
const SIZE: usize = 1024;
const CONFIG: &str = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nlimits = { outbox_bytes = \"256 MiB\" }\n\
                      [[wspush]]\napp = \"1\"\n";

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kibibytes: usize =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim_end_matches("kB").trim().parse().unwrap();
    kibibytes * 1024
}

/// W-7.4, W-2.5: nothing is read that has no place. Once Redis cuts the subscription for it, all that came before the cut arrives, nothing is
/// missing in its midst, and then the gap is told.
#[test]
fn a_cut_by_redis_is_a_gap() {
    if !with_redis() {
        return;
    }
    let _alone = alone();
    let redis = Redis::with(&["--client-output-buffer-limit", "pubsub", "256kb", "0", "0"], "");
    let scene = Scene::new(&format!("{CONFIG}redis = \"127.0.0.1:{}\"\n[limits]\nshards = 1\ninbox_items = {MARK}\n", redis.port));
    redis.until_subscribed(1);
    let node = scene.server.node();
    let relay = &node.relays[0];
    let mut subscriber = scene.client();
    subscriber.subscribe("Foo");
    let (held_before, resident_before) = (node.hub.budget().used(), resident());

    let stalled = stall(&scene, 0);
    let mut connection = redis.connect();
    let data = |number: usize| format!("{number:0SIZE$}");
    // 1 GiB would do it whatever the kernel keeps.
    let handed = (0..1024 * 1024).take_while(|number| publish(&mut connection, b"example.Foo", data(*number).as_bytes()) == 1).count();
    assert!(handed > MARK);
    eventually("the inbox to be full", || (node.shards[0].inbox.waiting() == MARK).then_some(()));
    // One more waits with the relay.
    assert_eq!(relay.counts.messages_seen.get(), MARK as u64);
    assert!(node.hub.budget().used() - held_before < 2 * MARK * SIZE);
    assert!(resident().saturating_sub(resident_before) < 64 * 1024 * 1024);
    // It has not even seen the cut.
    assert!(relay.is_connected());

    drop(stalled);
    eventually("the relay to come back", || (relay.counts.reconnects.get() == 1).then_some(()));
    assert_eq!(publish(&mut connection, b"example.Foo", b"after"), 1);
    let mut arrived = 0;
    loop {
        let next = subscriber.data_of("message");
        if next == "after" {
            break;
        }
        assert_eq!(next, data(arrived));
        arrived += 1;
    }
    assert!((MARK..handed).contains(&arrived), "{arrived} of {handed} arrived");
    assert_eq!((relay.counts.losses.get(), relay.counts.messages_seen.get()), (1, arrived as u64 + 1));
}
