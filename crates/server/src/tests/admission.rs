//! The door: who may come in while there is no room, who waits, and that nothing is lost over it.

use super::client::{Client, PATH, dial, publish};
use super::scene::{Scene, eventually};
use super::{alone, on_shard, stall};
use std::sync::atomic::Ordering;

const MARK: usize = 16;
const TWO: &str = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n\
                   limits = { client_events_per_second = 1000000 }\n";

/// Where the next connection goes: to the shard with the fewest.
fn next_shard(scene: &Scene) -> usize {
    let counts = scene.server.node().shards.iter().map(|shard| shard.stats.connections.load(Ordering::SeqCst));
    counts.enumerate().min_by_key(|(_, count)| *count).unwrap().0
}

/// Makes connections until the next one goes to `shard`, and leaves them there.
fn steer(scene: &Scene, shard: usize, bystanders: &mut Vec<Client>) {
    while next_shard(scene) != shard {
        bystanders.push(scene.client());
    }
}

/// One subscriber on the shard that will stand still; the rest of the connections are on the other.
struct Stage {
    scene: Scene,
    subscriber: Client,
    publishers: Vec<Client>,
    sender: Client,
    _bystanders: Vec<Client>,
}

impl Stage {
    fn new(limits: &str) -> Self {
        let scene = Scene::new(&format!("{TWO}[limits]\nshards = 2\ninbox_items = {MARK}\n{limits}"));
        let mut bystanders = Vec::new();
        steer(&scene, 0, &mut bystanders);
        let mut subscriber = scene.client();
        subscriber.subscribe("private-a");
        let publishers = (0..3).map(|_| {
            steer(&scene, 1, &mut bystanders);
            let mut peer = scene.peer();
            // So that it has been taken in before another comes.
            assert_eq!(peer.ask("POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").status, 401);
            peer
        });
        let publishers = publishers.collect();
        steer(&scene, 1, &mut bystanders);
        let mut sender = scene.client();
        sender.subscribe("private-a");
        Self { scene, subscriber, publishers, sender, _bystanders: bystanders }
    }

    fn waiting(&self) -> usize {
        self.scene.server.node().shards[0].inbox.waiting()
    }

    /// Fills the inbox of the shard that stands still up to its mark.
    fn fill(&mut self) {
        for number in 0..MARK {
            self.publishers[0].publish("private-a", "e", &number.to_string());
            assert_eq!(self.sender.data_of("e"), number.to_string());
        }
        assert_eq!(self.waiting(), MARK);
    }

    fn until_parked(&self, count: usize) {
        eventually("connections that wait", || (on_shard(&self.scene, 1, |shard| shard.parked()) == count).then_some(()));
    }
}

/// P-10.11: a publisher who finds no room in time gets 503, and of its request nothing was published.
#[test]
fn without_room_nothing_is_published() {
    let _alone = alone();
    let mut stage = Stage::new("publish_wait = \"100 ms\"\n");
    let stalled = stall(&stage.scene, 0);
    stage.fill();
    // Of the shard and of the service.
    let listing = super::client::signed("GET", "/apps/1/channels", "", "");
    assert_eq!(stage.publishers[2].ask(listing).status, 200);
    for publisher in [1, 2] {
        let response = stage.publishers[publisher].ask(publish("private-a", "e", "refused"));
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(stage.waiting(), MARK);
    drop(stalled);
    for number in 0..MARK {
        assert_eq!(stage.subscriber.data_of("e"), number.to_string());
    }
    stage.publishers[0].publish("private-a", "e", "later");
    assert_eq!(stage.subscriber.data_of("e"), "later");
    stage.scene.server.stop();
}

/// A publisher who waits gets in as soon as there is room, and those after it on the same connection after it.
#[test]
fn publishers_wait_for_room() {
    let _alone = alone();
    let mut stage = Stage::new("publish_wait = \"60 s\"\n");
    let listing = super::client::signed("GET", "/apps/1/channels", "", "");
    assert_eq!(stage.publishers[2].ask(listing).status, 200);
    let stalled = stall(&stage.scene, 0);
    stage.fill();
    for number in 0..6 {
        stage.publishers[1].send(publish("private-a", "shard", &number.to_string()));
        stage.publishers[2].send(publish("private-a", "service", &number.to_string()));
    }
    stage.until_parked(1);
    assert_eq!(stage.waiting(), MARK);
    drop(stalled);
    for number in 0..MARK {
        assert_eq!(stage.subscriber.data_of("e"), number.to_string());
    }
    for publisher in [1, 2] {
        (0..6).for_each(|_| assert_eq!(stage.publishers[publisher].response().status, 200));
    }
    let (mut shard, mut service) = (0, 0);
    for _ in 0..12 {
        let (name, _, data) = stage.subscriber.event();
        let next = if name == "shard" { &mut shard } else { &mut service };
        assert_eq!(data, next.to_string(), "{name}");
        *next += 1;
    }
    stage.scene.server.stop();
}

/// P-3.8, P-8.3: what a client has sent is never taken back. It is read no further until there is room, then it goes on where it was.
#[test]
fn clients_that_publish_are_held_back_and_go_on() {
    let _alone = alone();
    let mut stage = Stage::new("");
    let stalled = stall(&stage.scene, 0);
    let say = |number: usize| {
        let message = serde_json::json!({ "event": "client-e", "channel": "private-a", "data": number.to_string() });
        super::client::frame(0x81, message.to_string().as_bytes())
    };
    stage.sender.send((0..40).flat_map(say).collect::<Vec<u8>>());
    stage.until_parked(1);
    let taken = stage.waiting();
    assert!((MARK..=40).contains(&taken));
    stage.sender.send((40..60).flat_map(say).collect::<Vec<u8>>());
    (0..10).for_each(|_| on_shard(&stage.scene, 1, |_| ()));
    assert!(stage.waiting() <= 40, "what came later is not read yet");
    drop(stalled);
    for number in 0..60 {
        assert_eq!(stage.subscriber.data_of("client-e"), number.to_string());
    }
    stage.sender.say(r#"{"event":"pusher:ping"}"#);
    assert_eq!(stage.sender.event().0, "pusher:pong");
    stage.scene.server.stop();
}

/// P-2.3 row 10, P-10.11: over the byte budget new work is refused, and what is there goes on.
#[test]
fn over_the_byte_budget_new_work_is_refused() {
    let _alone = alone();
    let mut stage = Stage::new("publish_wait = \"100 ms\"\nmemory_bytes = \"16 MiB\"\n");
    let budget = stage.scene.server.node().hub.budget();
    budget.hold(16 << 20);
    let response = stage.publishers[0].ask(publish("private-a", "e", "refused"));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(Client::refused(dial(stage.scene.address()), PATH, ""), 4100);
    stage.subscriber.say(r#"{"event":"pusher:ping"}"#);
    assert_eq!(stage.subscriber.event().0, "pusher:pong");
    budget.release(16 << 20);
    stage.publishers[1].publish("private-a", "e", "taken");
    assert_eq!(stage.subscriber.data_of("e"), "taken");
    Client::open(dial(stage.scene.address())).subscribe("private-a");
    stage.scene.server.stop();
}

/// One connection that pipelines gets four answers a turn, so that others get theirs in between.
#[test]
fn pipelined_requests_are_answered_four_a_turn() {
    const REQUESTS: usize = 40;
    let _alone = alone();
    let scene = Scene::new("");
    let mut peer = scene.peer();
    peer.publish("news", "e", "");
    let stalled = stall(&scene, 0);
    peer.send("POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".repeat(REQUESTS));
    let turns = || scene.server.node().shards[0].stats.turns.get();
    let before = turns();
    drop(stalled);
    (0..REQUESTS).for_each(|_| assert_eq!(peer.response().status, 401));
    assert!(turns() - before >= REQUESTS as u64 / 4, "{} turns", turns() - before);
    scene.server.stop();
}
