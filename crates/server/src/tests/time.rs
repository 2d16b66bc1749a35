//! What time does to connections. The clock of the server is moved, so nobody waits.

use super::client::{Client, Frame, PATH, dial, frame, handshake};
use super::scene::{Scene, eventually};
use super::{advance, alone, on_shard};
use crate::shard::Command;
use std::io::Write;
use std::time::Duration;
use tidings_dialect::action::End;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether the session is in force.
fn lives(client: &mut Client) -> bool {
    client.say(r#"{"event":"pusher:ping"}"#);
    client.event().0 == "pusher:pong"
}

/// P-16.1, P-16.3, P-16.5, P-16.6: a silent peer is probed with a ping frame, and closed if it stays silent; any frame shows that it lives.
#[test]
fn silent_peers_are_probed_then_closed() {
    let _alone = alone();
    let scene = Scene::new("[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nactivity_timeout = \"10 s\"\n");
    let [mut silent, mut answering, mut lively] = [(); 3].map(|()| scene.client());
    advance(&scene, seconds(30));
    assert!(lives(&mut lively));
    // Over the 40 s of the first two.
    advance(&scene, seconds(11));
    assert_eq!(silent.frame(), Frame::Ping(Vec::new()));
    assert_eq!(answering.frame(), Frame::Ping(Vec::new()));
    answering.send(frame(0x8a, b""));
    let heard = move |scene: &Scene| scene.server.node().shards[0].stats.read_bytes.get();
    let before = heard(&scene);
    answering.send(frame(0x89, b"x"));
    assert_eq!(answering.frame(), Frame::Pong(b"x".to_vec()));
    assert!(heard(&scene) > before);
    advance(&scene, seconds(31));
    assert_eq!(silent.end(), 4201);
    // The lively one has been silent for longer than its own 40 s by now.
    assert_eq!(lively.frame(), Frame::Ping(Vec::new()));
    assert!(lives(&mut answering) && lives(&mut lively));
    scene.server.stop();
}

/// P-15.12: whoever does not prove itself in time is closed, and counts from the moment it did.
#[test]
fn connections_that_prove_nothing_are_closed() {
    let _alone = alone();
    let scene = Scene::new("[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nauthorized_connections = true\n");
    let [mut idle, mut public, mut proven] = [(); 3].map(|()| scene.client());
    public.subscribe("news");
    proven.subscribe("private-a");
    assert_eq!(scene.server.gauges().app_connections, 1);
    advance(&scene, seconds(31));
    assert_eq!([idle.end(), public.end()], [4009, 4009]);
    assert!(lives(&mut proven));
    scene.server.stop();
}

/// P-18.19: a peer that takes nothing for as long as it may is slow, however little it is owed.
#[test]
fn a_stalled_peer_is_closed_as_slow() {
    let _alone = alone();
    let scene = Scene::new(
        "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nlimits = { outbox_bytes = \"64 MiB\" }\n\
         [limits]\nshards = 1\nclose_wait = \"60 s\"\n",
    );
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&scene.address().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut stalled = Client::open(super::client::patient(socket.into()));
    stalled.subscribe("news");
    let mut quick = scene.client();
    quick.subscribe("news");
    let mut publisher = scene.peer();
    let data = "x".repeat(10_000);
    for _ in 0..100 {
        publisher.publish("news", "e", &data);
        assert_eq!(quick.data_of("e"), data);
    }
    assert_eq!(scene.server.gauges().slow, 0);
    advance(&scene, seconds(31));
    eventually("a slow peer", || (scene.server.gauges().slow == 1).then_some(()));
    assert!(lives(&mut quick));
    let mut events = 0;
    loop {
        let (name, _, told) = stalled.event();
        if name == "pusher:error" {
            assert!(told.contains("4100"), "{told}");
            break;
        }
        assert_eq!(told, data);
        events += 1;
    }
    assert!(events < 100 && matches!(stalled.frame(), Frame::Close(4100, _)));
    scene.server.stop();
}

/// P-2.3 row 1: connections are closed evenly over the time there is, and a handshake that still gets in waits a second for its answer.
#[test]
fn a_drain_is_even() {
    const OVER: u64 = 10_000;
    let _alone = alone();
    // Nobody is probed meanwhile.
    let scene = Scene::new("[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nactivity_timeout = \"1 d\"\n");
    let mut clients: Vec<Client> = (0..10).map(|_| scene.client()).collect();
    let upgrade = handshake(PATH, "");
    let stream = dial(scene.address());
    let mut latecomer = Client::new(stream.try_clone().unwrap());
    latecomer.send(&upgrade[..upgrade.len() - 2]);
    let node = scene.server.node();
    let read = || node.shards[0].stats.read_bytes.get();
    eventually("half a handshake", || (read() == 11 * upgrade.len() as u64 - 2).then_some(()));
    node.start_draining();
    node.command_all(|| Command::Drain(seconds(OVER)));
    on_shard(&scene, 0, |_| ());
    let before = read();
    latecomer.send(&upgrade[upgrade.len() - 2..]);
    eventually("the rest of it", || (read() > before).then_some(()));
    on_shard(&scene, 0, |_| ());
    stream.set_nonblocking(true).unwrap();
    assert!(stream.peek(&mut [0]).is_err(), "it is not answered at once");
    stream.set_nonblocking(false).unwrap();
    advance(&scene, seconds(2));
    assert_eq!(latecomer.refusal(), 4200);
    for tenth in 1..=10_usize {
        advance(&scene, seconds(OVER / 10));
        let left = scene.server.gauges().sessions as usize;
        assert!((10 - tenth).saturating_sub(1) <= left && left <= 10 - tenth, "{left} are left after {tenth} tenths");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.end(), 4200));
    scene.until(|gauges| gauges.connections == 0);
    scene.server.stop();
}

/// P-17.2, RFC 6455 section 5.5.1: what a peer was in the middle of saying when it was closed is heard to its end, up to its own close.
#[test]
fn a_closed_peer_may_end_its_sentence() {
    let _alone = alone();
    let scene = Scene::new("[limits]\nshards = 1\nclose_wait = \"60 s\"\n");
    let mut client = scene.client();
    client.sign_in(r#"{"id":"u"}"#);
    // Behind the header of a long frame, what follows looks like the worst of frames.
    let long = frame(0x81, &[b'x'; 1000]);
    let node = scene.server.node();
    let read = || node.shards[0].stats.read_bytes.get();
    let before = read();
    client.send(&long[..10]);
    eventually("a beginning", || (read() == before + 10).then_some(()));
    let app = node.apps().iter().next().unwrap().clone();
    for socket in app.channels.signed_in("u") {
        node.shards[0].command(Command::End { socket, end: End::Terminated });
    }
    loop {
        if let Frame::Close(code, _) = client.frame() {
            assert_eq!(code, 4009);
            break;
        }
    }
    let before = read();
    client.send(&long[10..500]);
    eventually("the rest", || (read() == before + 490).then_some(()));
    on_shard(&scene, 0, |_| ());
    assert_eq!(scene.server.gauges().connections, 1, "it may still say its own close");
    client.send(&long[500..]);
    client.send(frame(0x88, &4009_u16.to_be_bytes()));
    assert_eq!(client.frame(), Frame::End);
    scene.until(|gauges| gauges.connections == 0);
    scene.server.stop();
}

/// W-7.3: a client of a relay that takes nothing for 30 seconds is closed, however little is owed to it.
#[test]
fn a_stalled_client_of_a_relay_is_closed() {
    let _alone = alone();
    // Nobody is at that port: what is published comes by another way.
    let scene = Scene::new(
        "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nlimits = { event_bytes = \"100 KiB\" }\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"wspush\"]\n\
         [[wspush]]\napp = \"1\"\nredis = \"127.0.0.1:1\"\nqueue = 100_000\nqueue_bytes = \"64 MiB\"\n[limits]\nshards = 1\n",
    );
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&scene.address().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut stalled = super::client::patient(socket.into());
    stalled.write_all(b"GET /sse?token=news HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    eventually("the subscription", || (scene.server.gauges().subscriptions == 1).then_some(()));
    let mut publisher = scene.peer();
    let data = "x".repeat(50_000);
    for _ in 0..100 {
        publisher.publish("news", "e", &data);
    }
    let counts = || &scene.server.node().relays[0].counts;
    assert_eq!((counts().closed_slow.get(), counts().sessions_open.get()), (0, 1));
    advance(&scene, seconds(31));
    eventually("a slow client", || (counts().closed_slow.get() == 1).then_some(()));
    eventually("its place", || (counts().sessions_open.get() == 0).then_some(()));
    scene.server.stop();
}
