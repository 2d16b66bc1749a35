//! A subscriber that does not read costs nobody else anything.

use crate::client::{Client, Frame, event, patient, signed};
use crate::crowd::Crowd;
use crate::scene::{Scene, crowded};

const EVENTS: u64 = 2_000;
const BATCH: u64 = 10;

/// A peer whose kernel takes next to nothing in advance.
fn narrow(address: &str) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    // Small segments keep the server's kernel from buffering megabytes for it.
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&address.parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    Client::open(patient(socket.into()))
}

/// P-18.19, P-3.8: the slow one gets a beginning of the channel's order and 4100, all others get every event once and in order.
#[test]
fn one_that_does_not_read_is_closed_and_the_others_get_everything() {
    let _alone = crowded();
    let scene = Scene::new(
        "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nlimits = { outbox_bytes = \"64 KiB\" }\n\
         [limits]\nshards = 1\nclose_wait = \"60 s\"\n",
    );
    let mut crowd = Crowd::gather();
    crowd.join(2, scene.address(), 999, |_| "news".to_owned());
    let mut slow = narrow(scene.address());
    slow.subscribe("news");
    let mut publisher = scene.peer();
    let padding = "x".repeat(100);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for first in (0..EVENTS).step_by(BATCH as usize) {
                let event = |number| serde_json::json!({ "name": "count", "channel": "news", "data": format!("{number} {padding}") });
                let batch = serde_json::json!({ "batch": (first..first + BATCH).map(event).collect::<Vec<_>>() });
                let response = publisher.ask(signed("POST", "/apps/1/batch_events", &batch.to_string(), ""));
                assert_eq!(response.status, 200, "{}", response.body);
            }
        });
        crowd.run(|member| member.next == EVENTS);
    });
    scene.until(|gauges| gauges.slow == 1 && gauges.sessions == 999);
    assert!(crowd.members().iter().all(|member| member.next == EVENTS && member.closed.is_none()));
    let mut next = 0;
    loop {
        match slow.frame() {
            Frame::Text(text) => {
                let (name, _, data) = event(&text);
                if name == "pusher:error" {
                    assert!(data.contains("4100"), "{data}");
                    break;
                }
                assert_eq!(data.split(' ').next(), Some(next.to_string().as_str()), "a beginning without holes");
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(next < EVENTS);
    assert!(matches!(slow.frame(), Frame::Close(4100, _)));
    assert_eq!((scene.server.gauges().slow, scene.server.gauges().panics), (1, 0));
    drop(crowd);
    scene.server.stop();
}
