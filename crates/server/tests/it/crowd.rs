//! Thousands of subscribers in one thread: each shakes hands, subscribes, and checks that it gets every event once and in order.

use crate::client::{FAILSAFE, Frame, PATH, decode, event, find, frame, handshake, subscription};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that come in at a time; the kernel's queue for a listener is not much longer.
const WAVE: usize = 1024;

/// Many subscribers.
pub struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    buffer: Vec<u8>,
}

/// One of them.
pub struct Member {
    stream: TcpStream,
    input: Vec<u8>,
    channel: String,
    stage: Stage,
    /// The number that the next event must have, in the order of the channel.
    pub next: u64,
    /// How the server closed it.
    pub closed: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshake,
    Greeting,
    Joining,
    Joined,
}

impl Crowd {
    /// Nobody yet.
    pub fn gather() -> Self {
        Self { poll: Poll::new().unwrap(), members: Vec::new(), buffer: vec![0; 64 * 1024] }
    }

    /// Lets `count` more come in from the loopback address of that number, each to the channel that `channel` names for its number, and waits until all are on it.
    pub fn join(&mut self, source: u8, address: &str, count: usize, channel: impl Fn(usize) -> String) {
        let address: SocketAddr = address.parse().unwrap();
        // The ports of a crowd rest for a minute when it has gone, and nobody else should run out of them.
        let [.., high, low] = std::process::id().to_be_bytes();
        let source = SocketAddr::from(([127, high.clamp(1, 254), low.clamp(1, 254), source], 0));
        let end = self.members.len() + count;
        while self.members.len() < end {
            for _ in 0..WAVE.min(end - self.members.len()) {
                let number = self.members.len();
                let mut stream = connect(source, address);
                if !number.is_multiple_of(4) {
                    // Most will vanish without a word, and their ports are free at once.
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
                self.poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE).unwrap();
                let stage = Stage::Connecting;
                self.members.push(Member { stream, input: Vec::new(), channel: channel(number), stage, next: 0, closed: None });
            }
            self.run(|member| member.stage == Stage::Joined);
        }
    }

    /// Reads until all are as they must become.
    pub fn run(&mut self, done: impl Fn(&Member) -> bool) {
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

    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// A connection that is on its way, from that address.
pub fn connect(source: SocketAddr, address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a descriptor is left");
    socket.set_nonblocking(true).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.bind(&source.into()).unwrap();
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => panic!("cannot connect: {error}"),
        _ => TcpStream::from_std(socket.into()),
    }
}

impl Member {
    fn ready(&mut self, writable: bool, buffer: &mut [u8]) {
        if self.stage == Stage::Connecting {
            if !writable {
                return;
            }
            if let Some(error) = self.stream.take_error().unwrap() {
                panic!("the server does not take connections: {error}");
            }
            self.send(handshake(PATH, "").as_bytes());
            self.stage = Stage::Handshake;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    assert!(self.closed.is_some(), "the server ended a connection without a close");
                    return;
                }
                Ok(read) => {
                    self.input.extend_from_slice(&buffer[..read]);
                    self.heard();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection broke: {error}"),
            }
        }
    }

    /// What is sent here is short, and the socket empty.
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a short message fits an empty socket");
    }

    fn heard(&mut self) {
        if self.stage == Stage::Handshake {
            let Some(end) = find(&self.input, b"\r\n\r\n") else { return };
            assert!(self.input.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&self.input));
            self.input.drain(..end + 4);
            self.stage = Stage::Greeting;
        }
        let mut at = 0;
        while let Some((frame, len)) = decode(&self.input[at..]) {
            at += len;
            match frame {
                Frame::Text(text) => self.message(&text),
                Frame::Close(code, _) => self.closed = Some(code),
                other => panic!("{other:?} is not for a crowd"),
            }
        }
        self.input.drain(..at);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    fn message(&mut self, text: &str) {
        // Parsed as little as will do: there are millions of them.
        if let Some((_, data)) = text.strip_prefix("{\"event\":\"count\"").and_then(|rest| rest.split_once("\"data\":\"")) {
            let digits = data.split([' ', '"']).next().and_then(|digits| digits.parse::<u64>().ok());
            assert_eq!(digits, Some(self.next), "every event comes once and in its order: {text}");
            self.next += 1;
            return;
        }
        let (name, _, data) = event(text);
        match (self.stage, name.as_str()) {
            (Stage::Greeting, "pusher:connection_established") => {
                self.send(&frame(0x81, subscription("", &self.channel, None).as_bytes()));
                self.stage = Stage::Joining;
            }
            (Stage::Joining, "pusher_internal:subscription_succeeded") => self.stage = Stage::Joined,
            (_, "pusher:error") => {}
            other => panic!("{other:?} was not to come: {data}"),
        }
    }
}
