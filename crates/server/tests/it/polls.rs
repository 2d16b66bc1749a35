//! Crowds that fall back to HTTP: those who are gone leave nothing, those who poll lose nothing, and waiting costs little.

use crate::churn::{Apart, raise_descriptor_limit};
use crate::client::{FAILSAFE, find, subscription};
use crate::crowd::connect;
use crate::poller::{messages, request, said};
use crate::scene::{Scene, crowded};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tidings_server::run::Gauges;

const PEOPLE: usize = 10_000;
/// Connections that come in at a time; the kernel's queue for a listener is not much longer.
const WAVE: usize = 1024;
/// What a waiting poll may cost, with its session.
const WAITING_BYTES_MAX: u64 = 4096;

/// Many who poll, each on a connection of its own, one request after the other.
struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    buffer: Vec<u8>,
}

/// One of them.
struct Member {
    stream: TcpStream,
    input: Vec<u8>,
    session: String,
    /// What it subscribes to, until it has asked for that.
    joins: Option<&'static str>,
    connected: bool,
    joined: bool,
    waits: bool,
    /// The number that the next event must have.
    next: u64,
}

impl Crowd {
    fn gather() -> Self {
        Self { poll: Poll::new().unwrap(), members: Vec::new(), buffer: vec![0; 64 * 1024] }
    }

    /// Lets `count` more come in and go on until `done`.
    fn join(&mut self, address: &str, count: usize, joins: Option<&'static str>, done: impl Fn(&Member) -> bool) {
        let address: SocketAddr = address.parse().unwrap();
        let [.., high, low] = std::process::id().to_be_bytes();
        let source = SocketAddr::from(([127, high.clamp(1, 254), low.clamp(1, 254), 77], 0));
        let end = self.members.len() + count;
        while self.members.len() < end {
            for _ in 0..WAVE.min(end - self.members.len()) {
                let number = self.members.len();
                let mut stream = connect(source, address);
                // They vanish without a word, and their ports are free at once.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                self.poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE).unwrap();
                self.members.push(Member::new(stream, number, joins));
            }
            self.run(&done);
        }
    }

    /// Reads and polls until all are as they must become.
    fn run(&mut self, done: impl Fn(&Member) -> bool) {
        let begun = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut missing = self.members.iter().filter(|member| !done(member)).count();
        while missing > 0 {
            self.poll.poll(&mut events, Some(FAILSAFE)).unwrap();
            assert!(begun.elapsed() < 4 * FAILSAFE && !events.is_empty(), "{missing} of {} got nothing more", self.members.len());
            for event in &events {
                let member = &mut self.members[event.token().0];
                let before = done(member);
                member.ready(event.is_writable(), &mut self.buffer);
                match (before, done(member)) {
                    (false, true) => missing -= 1,
                    (true, false) => missing += 1,
                    _ => {}
                }
            }
        }
    }
}

impl Member {
    fn new(stream: TcpStream, number: usize, joins: Option<&'static str>) -> Self {
        let session = format!("s{number}");
        Self { stream, input: Vec::new(), session, joins, connected: false, joined: false, waits: false, next: 0 }
    }

    fn ready(&mut self, writable: bool, buffer: &mut [u8]) {
        if !self.connected {
            if !writable {
                return;
            }
            self.connected = true;
            self.ask("xhr", "");
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("the server ended a connection"),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection broke: {error}"),
            }
            while let Some(len) = self.answered() {
                self.input.drain(..len);
            }
            if self.input.is_empty() {
                self.input = Vec::new();
            }
        }
    }

    fn ask(&mut self, transport: &str, body: &str) {
        self.stream.write_all(request(&self.session, transport, body).as_bytes()).expect("a short request fits an empty socket");
    }

    /// Takes a whole answer from the input, and asks for more. Gives its length.
    fn answered(&mut self) -> Option<usize> {
        let start = find(&self.input, b"\r\n\r\n")? + 4;
        if self.input.starts_with(b"HTTP/1.1 204 ") {
            self.ask("xhr", "");
            return Some(start);
        }
        assert!(self.input.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.input));
        let end = start + find(&self.input[start..], b"\r\n0\r\n\r\n")? + 7;
        let body = std::str::from_utf8(&self.input[start..end]).unwrap();
        let frame = body.split_once("\r\n").unwrap().1.split_once("\r\n").unwrap().0.to_owned();
        self.heard(&frame);
        Some(end)
    }

    fn heard(&mut self, frame: &str) {
        if frame != "o\n" && frame != "h\n" {
            for message in messages(frame) {
                match message["event"].as_str().unwrap() {
                    "pusher:connection_established" => self.waits = self.joins.is_none(),
                    "pusher_internal:subscription_succeeded" => self.joined = true,
                    "count" => {
                        assert_eq!(message["data"], self.next.to_string(), "every event comes once and in its order");
                        self.next += 1;
                    }
                    other => panic!("{other} was not to come"),
                }
            }
            if let Some(channel) = self.joins.take() {
                return self.ask("xhr_send", &said(&subscription("", channel, None)));
            }
        }
        self.ask("xhr", "");
    }
}

/// P-19.8, S-7.5: sessions that nobody comes back to are over, and nothing of them is left.
#[test]
fn nothing_is_left_of_ten_thousand_abandoned_sessions() {
    let scene = Scene::new("[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"sockjs-trial\"]\n[limits]\nshards = 2\n");
    let mut peers: Vec<_> = (0..8).map(|_| scene.peer()).collect();
    for number in 0..PEOPLE {
        let peer = &mut peers[number % 8];
        let answer = peer.ask(format!("POST /echo/1/s{number}/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "o\n"));
    }
    drop(peers);
    scene.until(Gauges::is_idle);
    // Their names are free: this one begins anew.
    assert_eq!(scene.peer().ask("POST /echo/1/s1/xhr HTTP/1.1\r\nHost: x\r\n\r\n").body, "o\n");
    assert_eq!(scene.server.gauges().panics, 0);
    scene.server.stop();
}

/// P-19.4, P-11.1: a thousand who poll ten times a second get every event once and in order.
#[test]
fn a_thousand_polls_lose_nothing() {
    const EVENTS: u64 = 30;
    let _alone = crowded();
    raise_descriptor_limit();
    let scene = Scene::new("[limits]\nshards = 2\n");
    let mut crowd = Crowd::gather();
    crowd.join(scene.address(), 1000, Some("news"), |member| member.joined);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = scene.peer();
            for number in 0..EVENTS {
                publisher.publish("news", "count", &number.to_string());
                // The pace of a channel, not a wait for anything.
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        crowd.run(|member| member.next == EVENTS);
    });
    assert_eq!((scene.server.gauges().slow, scene.server.gauges().sessions), (0, 1000));
    drop(crowd);
    scene.until(|gauges| gauges.connections == 0);
    scene.server.stop();
}

/// What is held for one who waits: the connection, its request's state, the session, and its place on a channel.
#[test]
fn a_waiting_poll_costs_little() {
    let _alone = crowded();
    raise_descriptor_limit();
    for joins in [None, Some("news")] {
        let mut server = Apart::start();
        let address = server.address.clone();
        let mut crowd = Crowd::gather();
        let done = |member: &Member| if joins.is_some() { member.joined } else { member.waits };
        // What all share is there once some are.
        crowd.join(&address, 500, joins, done);
        let before = server.report().resident_kib;
        crowd.join(&address, PEOPLE, joins, done);
        let report = server.report();
        assert_eq!((report.sessions, report.connections), (PEOPLE + 500, PEOPLE + 500));
        let each = (report.resident_kib - before) * 1024 / PEOPLE as u64;
        println!("a waiting poll, on {joins:?}: {each} bytes");
        assert!(each < WAITING_BYTES_MAX, "{each} bytes for each poll on {joins:?}");
    }
}
