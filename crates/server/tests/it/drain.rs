//! Stopping in peace.

use crate::client::{dial, publish, signed};
use crate::scene::{Scene, eventually};
use std::net::TcpStream;

/// P-2.3 row 1, P-17.4, P-10.11: first `ready` says no, then nobody new comes in and everybody is sent elsewhere with 4200. Who is in
/// the middle of something may end it.
#[test]
fn a_server_that_stops_sends_everybody_elsewhere() {
    let scene = Scene::new("[drain]\ndrain_delay = \"3 s\"\ndrain = \"500 ms\"\nwebhooks = \"0 s\"\n");
    let address = scene.address().to_owned();
    let subscribers = scene.subscribers(20, "news");
    assert_eq!(scene.peer().ask("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
    let mut idle = scene.peer();
    assert_eq!(idle.ask(publish("news", "count", "0")).status, 200);
    let [mut publisher, mut latecomer] = [scene.peer(), scene.peer()];
    let (request, upgrade) = (publish("news", "count", "1"), crate::client::handshake(crate::client::PATH, ""));
    publisher.send(&request[..request.len() - 5]);
    latecomer.send(&upgrade[..upgrade.len() - 5]);
    let mut serviced = scene.peer();
    let listing = signed("GET", "/apps/1/channels", "", "");
    serviced.send(&listing[..listing.len() - 2]);
    scene.until(|gauges| gauges.connections >= 24);
    let stopping = std::thread::spawn(move || scene.server.stop());
    eventually("a server that is not ready", || {
        let response = crate::client::Client::new(dial(&address)).ask("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (response.status == 503).then_some(())
    });
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    eventually("a closed door", || TcpStream::connect(&address).err().filter(refused));
    publisher.send(&request[request.len() - 5..]);
    let response = publisher.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert!(publisher.rest().is_empty());
    latecomer.send(&upgrade[upgrade.len() - 5..]);
    assert_eq!(latecomer.refusal(), 4200);
    serviced.send(&listing[listing.len() - 2..]);
    let response = serviced.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    for mut subscriber in subscribers {
        assert_eq!(subscriber.data_of("count"), "0");
        assert_eq!(subscriber.end(), 4200);
    }
    assert!(idle.rest().is_empty(), "a connection that asks for nothing ends without a word");
    stopping.join().unwrap();
}
