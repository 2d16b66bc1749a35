//! HTTP as it ought not to be, and what is left of it: whatever comes, a subscriber elsewhere gets its events.

use crate::client::{Client, FAILSAFE, Frame, PATH, dial, find, frame, publish, signed};
use crate::scene::Scene;
use serde_json::json;
use std::io::{Read, Write};

const SHORT: &str = "[limits]\nshards = 1\nheader_timeout = \"100 ms\"\nbody_timeout = \"100 ms\"\n";

/// A server, and somebody who must get its events whatever else happens.
struct Watched {
    scene: Scene,
    subscriber: Client,
    publisher: Client,
    count: u64,
}

impl Watched {
    fn new(text: &str) -> Self {
        let scene = Scene::new(text);
        let mut subscriber = scene.client();
        subscriber.subscribe("control");
        let publisher = scene.peer();
        Self { scene, subscriber, publisher, count: 0 }
    }

    fn check(&mut self, after: &str) {
        self.count += 1;
        let count = self.count.to_string();
        let response = self.publisher.ask(publish("control", "count", &count));
        if response.status == 0 {
            // It was idle for too long; that is its right.
            self.publisher = self.scene.peer();
            self.publisher.publish("control", "count", &count);
        }
        assert_eq!(self.subscriber.data_of("count"), count, "after {after}");
    }

    fn end(self) {
        assert_eq!(self.scene.server.gauges().panics, 0);
        drop((self.subscriber, self.publisher));
        self.scene.until(|gauges| gauges.sessions <= 1 && gauges.held_bytes == 0);
        self.scene.server.stop();
    }
}

/// Requests that follow each other without a pause are answered in their order, whoever answers them.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut watched = Watched::new("");
    let mut peer = watched.scene.peer();
    let wrong = |number: usize| json!({ "name": "e", "channel": "a", "data": "x".repeat(10_241), "number": number }).to_string();
    // By the shard: good ones and bad ones.
    let requests: String = (0..50)
        .map(|number| {
            if number % 3 == 2 {
                signed("POST", "/apps/1/events", &wrong(number), "")
            } else {
                publish("control", "p", &number.to_string())
            }
        })
        .collect();
    peer.send(&requests);
    for number in 0..50 {
        assert_eq!(peer.response().status, if number % 3 == 2 { 413 } else { 200 }, "{number}");
    }
    for number in (0..50).filter(|number| number % 3 != 2) {
        assert_eq!(watched.subscriber.data_of("p"), number.to_string());
    }
    // By the shard, then by the service, then by the service what the shard would have done.
    let listing = signed("GET", "/apps/1/channels", "", "");
    let unknown = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    let published = |data| publish("control", "p", data);
    peer.send([published("a"), published("b"), listing, unknown.to_owned(), published("c")].concat());
    let answers: Vec<u16> = (0..5).map(|_| peer.response().status).collect();
    assert_eq!(answers, [200, 200, 200, 404, 200]);
    for data in ["a", "b", "c"] {
        assert_eq!(watched.subscriber.data_of("p"), data);
    }
    // Up to the handshake.
    let mut peer = watched.scene.peer();
    peer.send([publish("control", "p", "d"), crate::client::handshake(PATH, "")].concat());
    assert_eq!(peer.response().status, 200);
    peer.entered();
    assert_eq!(watched.subscriber.data_of("p"), "d");
    watched.check("pipelining");
    drop(peer);
    watched.end();
}

/// A peer that asks and asks and never reads is not read either: what it is owed stays within bounds.
#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let mut watched = Watched::new("");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&watched.scene.address().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut stream: std::net::TcpStream = socket.into();
    stream.set_nonblocking(true).unwrap();
    // Unsigned, so each costs the server little and is answered all the same.
    let request = b"POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".repeat(100);
    let mut sent = 0;
    let mut refusals = 0;
    // Until the server takes nothing more: it has been served elsewhere a hundred times since it last took something.
    while refusals < 100 {
        match stream.write(&request[sent % request.len()..]) {
            Ok(wrote) => {
                sent += wrote;
                refusals = 0;
                assert!(sent < 64 << 20, "the server takes all of it");
            }
            Err(_) => {
                refusals += 1;
                watched.check("a request that is not read");
            }
        }
    }
    assert!(watched.scene.server.gauges().held_bytes < 4 << 20, "{:?}", watched.scene.server.gauges());
    // Whoever reads after all gets all the answers.
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(FAILSAFE)).unwrap();
    let whole = sent / (request.len() / 100);
    let (mut answered, mut tail, mut buffer) = (0, Vec::new(), vec![0; 64 * 1024]);
    while answered < whole {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{answered} of {whole} answers came");
        tail.extend_from_slice(&buffer[..read]);
        while let Some(at) = find(&tail, b"HTTP/1.1 401") {
            tail.drain(..at + 12);
            answered += 1;
        }
    }
    drop(stream);
    watched.end();
}

/// Pieces of any size make the same requests.
#[test]
fn requests_may_come_byte_by_byte() {
    let mut watched = Watched::new("");
    for request in [publish("control", "piece", "1"), signed("GET", "/apps/1/channels", "", ""), crate::client::handshake(PATH, "")] {
        let mut peer = watched.scene.peer();
        request.as_bytes().iter().for_each(|byte| peer.send([*byte]));
        let response = peer.response();
        assert!(matches!(response.status, 200 | 101), "{response:?}");
    }
    assert_eq!(watched.subscriber.data_of("piece"), "1");
    watched.check("pieces");
    watched.end();
}

/// P-10.1, P-10.2: bodies in chunks, bodies that wait for leave, HTTP/1.0, connections that are to end.
#[test]
fn lesser_used_forms_of_http_are_understood() {
    let mut watched = Watched::new("");
    let body = json!({ "name": "e", "channel": "control", "data": "1" }).to_string();
    let with_length = signed("POST", "/apps/1/events", &body, "");
    let head = with_length.split("Content-Length").next().unwrap().to_owned();
    let mut peer = watched.scene.peer();
    // In chunks, one of them with an extension, and a trailer.
    let (front, back) = body.split_at(7);
    let chunks = format!("{:x};x=y\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\nTrailer: x\r\n\r\n", front.len(), back.len());
    assert_eq!(peer.ask(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")).status, 200);
    assert_eq!(watched.subscriber.data_of("e"), "1");
    // A body that waits for leave.
    let expecting = signed("POST", "/apps/1/events", &body, "Expect: 100-continue\r\n");
    let (head, body) = expecting.split_once("\r\n\r\n").unwrap();
    let mut peer = watched.scene.peer();
    assert_eq!(peer.ask(format!("{head}\r\n\r\n")).status, 100);
    assert_eq!(peer.ask(body).status, 200);
    assert_eq!(watched.subscriber.data_of("e"), "1");
    // HTTP/1.0 ends after an answer, unless it asks to go on; HTTP/1.1 goes on unless it asks to end.
    let old = |more: &str| signed("POST", "/apps/1/events", body, more).replace("HTTP/1.1", "HTTP/1.0");
    for (request, goes_on) in [
        (old(""), false),
        (old("Connection: keep-alive\r\n"), true),
        (signed("POST", "/apps/1/events", body, "Connection: close\r\n"), false),
        (signed("POST", "/apps/1/events", body, "Connection: Close, x\r\n"), false),
        (signed("POST", "/apps/1/events", body, ""), true),
        (signed("GET", "/apps/1/channels", "", "Connection: close\r\n"), false),
    ] {
        let mut peer = watched.scene.peer();
        assert_eq!(peer.ask(&request).status, 200, "{request}");
        if request.starts_with("POST") {
            assert_eq!(watched.subscriber.data_of("e"), "1");
        }
        if goes_on {
            assert_eq!(peer.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200, "{request}");
        } else {
            assert!(peer.rest().is_empty(), "{request}");
        }
    }
    watched.check("unusual requests");
    watched.end();
}

/// P-19.2, P-2.1, P-10.7 row 1, P-2.3 rows 2 to 6: what is not served is said so, with what would be.
#[test]
fn what_is_not_served_is_said_so() {
    let mut watched = Watched::new("");
    let mut peer = watched.scene.peer();
    for (request, status, allow) in [
        ("GET /nothing", 404, None),
        ("GET /", 404, None),
        ("GET /pusher/app/key/0/abcdefgh/eventsource?protocol=7", 404, None),
        ("GET /pusher/info", 200, None),
        ("POST /pusher/other", 404, None),
        ("GET /timeline/v2/xhr/1", 404, None),
        ("GET /apps/1/events", 405, Some("POST")),
        ("DELETE /apps/1/channels", 405, Some("GET")),
        ("GET /apps/1/nothing", 404, None),
        ("GET /app/key?protocol=7", 426, None),
        ("GET /app/unknown", 426, None),
        ("GET /health", 200, None),
        ("GET /ready", 200, None),
        ("POST /health", 404, None),
        ("GET /metrics", 404, None),
        ("GET /apps/1/channels", 401, None),
    ] {
        let response = peer.ask(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.header("allow"), allow, "{request}");
        watched.check(request);
    }
    for (path, code) in [
        ("/other/key?protocol=7", 4005),
        ("/app?protocol=7", 4005),
        ("/pusher/app/key?protocol=7", 4005),
        ("/app/key", 4008),
        ("/app/key?protocol=x", 4006),
        ("/app/key?protocol=3", 4007),
        ("/app/unknown?protocol=7", 4001),
    ] {
        assert_eq!(Client::refused(dial(watched.scene.address()), path, ""), code, "{path}");
    }
    for (more, status) in [("Sec-WebSocket-Version: 12\r\n", 426), ("", 426), ("Sec-WebSocket-Version: 13\r\n", 400)] {
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}\r\n");
        let response = watched.scene.peer().ask(request);
        assert_eq!(response.status, status, "{more}");
        assert_eq!(response.header("sec-websocket-version").is_some(), status == 426);
        watched.check(more);
    }
    drop(peer);
    watched.end();
}

/// P-10.7 row 2, P-10.13, P-18.18, P-11.1: what is too large is not read to its end.
#[test]
fn what_is_too_large_is_refused() {
    let mut watched = Watched::new("");
    // A head without an end.
    let mut peer = watched.scene.peer();
    let mut head = b"POST /apps/1/events HTTP/1.1\r\nHost: x\r\nX-Long: ".to_vec();
    head.resize(400_000, b'x');
    let _ = peer.try_send(&head);
    assert_eq!(peer.response().status, 431);
    watched.check("a head without an end");
    // One that is whole and too large all the same, of every kind.
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    for request in [signed("POST", "/apps/1/events", "{}", &long), crate::client::handshake(PATH, &long)] {
        assert_eq!(watched.scene.peer().ask(request).status, 431);
        watched.check("a large head");
    }
    // More headers than anybody needs.
    let many: String = (0..2000).map(|number| format!("X-{number}: y\r\n")).collect();
    let status = watched.scene.peer().ask(format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n")).status;
    assert!(matches!(status, 400 | 431), "{status}");
    watched.check("many headers");
    // Bodies: told beforehand, and found out on the way.
    let huge = "x".repeat((1 << 20) + 1);
    let mut peer = watched.scene.peer();
    let _ = peer.try_send(signed("POST", "/apps/1/events", &huge, ""));
    assert_eq!(peer.response().status, 413);
    let mut peer = watched.scene.peer();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    peer.send("POST /apps/1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    (0..20).for_each(|_| drop(peer.try_send(&chunk)));
    assert_eq!(peer.response().status, 413);
    watched.check("large bodies");
    let data = "x".repeat(10_241);
    assert_eq!(watched.scene.peer().ask(publish("control", "e", &data)).status, 413);
    watched.publisher.publish("control", "e", &data[1..]);
    assert_eq!(watched.subscriber.data_of("e"), data[1..]);
    watched.check("large data");
    watched.end();
}

/// Whoever takes too long is told so, or let go without a word if nothing was asked.
#[test]
fn what_takes_too_long_is_let_go() {
    let mut watched = Watched::new(SHORT);
    let request = publish("control", "e", "1");
    for (sent, answered) in
        [("", false), ("P", true), ("POST /apps/1/events HTTP/1.1\r\nHost: x\r\n", true), (&request[..request.len() - 1], true)]
    {
        let mut peer = watched.scene.peer();
        peer.send(sent);
        let status = peer.response().status;
        assert_eq!(status, if answered { 408 } else { 0 }, "{sent}");
        watched.check(sent);
    }
    // A body that the service waits for.
    let mut peer = watched.scene.peer();
    peer.send("POST /apps/1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n");
    let status = peer.response().status;
    assert!(matches!(status, 400 | 408), "{status}");
    watched.check("a body that does not come");
    watched.end();
}

/// What could be read in two ways is not read at all: neither as a request nor as the next one.
#[test]
fn what_is_ambiguous_is_refused() {
    let mut watched = Watched::new("");
    let inner = publish("control", "smuggled", "1");
    let body = json!({ "name": "e", "channel": "control", "data": "1" }).to_string();
    let whole = signed("POST", "/apps/1/events", &body, "");
    let head = whole.split("Content-Length").next().unwrap().to_owned();
    let len = body.len();
    for lengths in [
        format!("Content-Length: {len}\r\nContent-Length: {}\r\n", len + 1),
        format!("Content-Length: {len}, {}\r\n", len + 1),
        format!("Content-Length: {len}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: identity\r\nContent-Length: {len}\r\n"),
        format!("Transfer-Encoding: chunked, identity\r\nContent-Length: {len}\r\n"),
        format!("Content-Length: -{len}\r\n"),
        format!("Content-Length: +{len}\r\n"),
        format!("Content-Length: 0x{len:x}\r\n"),
        "Content-Length: 99999999999999999999999\r\n".to_owned(),
        format!("Content-Length : {len}\r\n"),
        format!("Content-Length: {len} \u{b}\r\n"),
        format!(" Content-Length: {len}\r\n"),
    ] {
        let mut peer = watched.scene.peer();
        let _ = peer.try_send(format!("{head}{lengths}\r\n{body}{inner}"));
        let status = peer.response().status;
        assert!(matches!(status, 0 | 400..=499), "{lengths:?} got {status}");
        assert!(find(&peer.rest(), b"HTTP/1.1 200").is_none(), "{lengths:?} hid a request");
        watched.check(&lengths);
    }
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad\0Header: y\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let stream = dial(watched.scene.address());
        let mut peer = Client::new(stream.try_clone().unwrap());
        let _ = peer.try_send(garbage);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(!peer.rest().starts_with(b"HTTP/1.1 2"), "{garbage:?}");
        watched.check("garbage");
    }
    watched.end();
}

/// P-2.7: after the last word nothing more is said, whatever the peer has sent behind what it was closed for.
#[test]
fn the_last_word_is_said_once() {
    let watched = Watched::new("");
    let mut peer = watched.scene.client();
    let close = 1000_u16.to_be_bytes();
    peer.send([frame(0x82, b"binary"), frame(0x89, b"ping"), frame(0x88, &close)].concat());
    let Frame::Close(1003, _) = peer.frame() else { panic!("closed for the binary message") };
    assert!(matches!(peer.frame(), Frame::End), "neither a pong nor a second close");
    watched.end();
}
