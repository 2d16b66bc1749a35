//! What a delivery costs the server, by transport: so many subscribers of one channel over WebSocket, over streaming responses or by polling, one
//! publisher, over HTTP or in the Redis of a relay, which keeps so many events owed. Every delivery is checked: none lost, none twice, all in
//! order. `scripts/streams` starts a server and calls it.
//!
//! `streams ADDRESS APP_ID KEY SECRET PID KIND SUBSCRIBERS EVENTS OWED [REDIS]` with the kinds websocket, xhr_streaming, xhr, sse, relay_websocket and
//! relay_sse; `idle` instead of events measures what one of them costs in memory.

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};
use tidings_dialect::pusher::api::sign;
use tidings_hub::{Key, UnixTime};

/// Stands before the number of an event, wherever it travels.
const MARK: &[u8] = b"tick-";
const PATIENCE: Duration = Duration::from_secs(10);

struct Target {
    address: SocketAddr,
    id: String,
    key: Key,
}

/// Whoever publishes.
enum Publisher {
    /// By Pusher's HTTP API.
    Api(std::net::TcpStream),
    /// In the Redis of a relay, under the prefix `p.`.
    Redis(std::net::TcpStream),
}

struct Subscriber {
    socket: TcpStream,
    /// What was read behind the last whole event.
    read: Vec<u8>,
    seen: u64,
    /// What asks for the next response, where each brings one frame.
    poll: Option<Vec<u8>>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, id, key, secret, pid, kind, subscribers, events, owed, redis @ ..] = &arguments[..] else {
        bail!("streams ADDRESS APP_ID KEY SECRET PID KIND SUBSCRIBERS EVENTS|idle OWED [REDIS]");
    };
    let target = Target { address: address.parse()?, id: id.clone(), key: Key { key: key.clone(), secret: secret.clone() } };
    let (subscribers, owed): (usize, u64) = (subscribers.parse()?, owed.parse()?);
    let before = resident(pid)?;
    let mut poll = Poll::new()?;
    let mut listeners = Vec::with_capacity(subscribers);
    for number in 0..subscribers {
        let mut listener = target.subscribe(kind, number).with_context(|| format!("subscriber {number}"))?;
        poll.registry().register(&mut listener.socket, Token(number), Interest::READABLE)?;
        listeners.push(listener);
    }
    if events == "idle" {
        let bytes = (resident(pid)? - before) as f64 / subscribers as f64;
        writeln!(io::stdout(), "{kind}: {subscribers} idle, {bytes:.0} bytes of the process each")?;
        return Ok(());
    }
    let events: u64 = events.parse()?;
    let mut publisher = match redis {
        [] => Publisher::Api(std::net::TcpStream::connect(target.address)?),
        [address, ..] => Publisher::Redis(std::net::TcpStream::connect(address)?),
    };
    publisher.socket().set_nodelay(true)?;
    target.run(&mut poll, &mut listeners, &mut publisher, 0..events / 10, owed)?;
    let (begin, cpu) = (Instant::now(), ticks(pid)?);
    target.run(&mut poll, &mut listeners, &mut publisher, events / 10..events, owed)?;
    let (passed, cpu) = (begin.elapsed().as_secs_f64(), (ticks(pid)? - cpu) as f64 / 100.0);
    let deliveries = (events - events / 10) as f64 * subscribers as f64;
    writeln!(
        io::stdout(),
        "{kind}: {subscribers} subscribers, {:.0} deliveries/s, {:.2} CPU s a million deliveries, of {deliveries:.0}, none lost",
        deliveries / passed,
        cpu / deliveries * 1e6,
    )?;
    Ok(())
}

/// Bytes of a process that are in memory.
fn resident(pid: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no such process")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// CPU of a process, user and system, in hundredths of a second.
fn ticks(pid: &str) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("no such process");
    Ok(field(11)? + field(12)?)
}

impl Target {
    fn subscribe(&self, kind: &str, number: usize) -> anyhow::Result<Subscriber> {
        let mut socket = std::net::TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let asked = r#"{"event":"pusher:subscribe","data":{"channel":"ticks"}}"#;
        let session = format!("/pusher/app/{}/0/s{number}", self.key.key);
        let polls = format!("POST {session}/xhr?protocol=7 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let mut poll = None;
        match kind {
            "websocket" => {
                write!(
                    socket,
                    "GET /app/{}?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    self.key.key
                )?;
                until(&mut socket, b"connection_established")?;
                socket.write_all(&masked(asked))?;
            }
            "xhr_streaming" => {
                write!(socket, "POST {session}/xhr_streaming?protocol=7 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")?;
                until(&mut socket, b"connection_established")?;
                self.send(&session, asked)?;
            }
            "xhr" => {
                socket.write_all(polls.as_bytes())?;
                until(&mut socket, b"o\n\r\n0\r\n\r\n")?;
                socket.write_all(polls.as_bytes())?;
                until(&mut socket, b"connection_established")?;
                self.send(&session, asked)?;
                socket.write_all(polls.as_bytes())?;
                poll = Some(polls.into_bytes());
            }
            "sse" => {
                write!(socket, "GET /apps/{}/sse?key={}&channel=ticks HTTP/1.1\r\nHost: x\r\n\r\n", self.id, self.key.key)?;
                until(&mut socket, b"tidings:subscribed")?;
            }
            "relay_sse" => {
                write!(socket, "GET /sse?token=ticks HTTP/1.1\r\nHost: x\r\n\r\n")?;
                until(&mut socket, b"\r\n\r\n")?;
            }
            "relay_websocket" => {
                write!(
                    socket,
                    "GET /?token=ticks HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )?;
                until(&mut socket, b"\r\n\r\n")?;
            }
            _ => bail!("there is no way {kind}"),
        }
        if matches!(kind, "websocket" | "xhr_streaming" | "xhr") {
            until(&mut socket, b"subscription_succeeded")?;
        }
        if let Some(polls) = &poll {
            socket.write_all(polls)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Subscriber { socket: TcpStream::from_std(socket), read: Vec::new(), seen: 0, poll })
    }

    /// Sends a message to a session, on a connection of its own.
    fn send(&self, session: &str, message: &str) -> anyhow::Result<()> {
        let body = serde_json::to_string(&[message])?;
        let mut socket = std::net::TcpStream::connect(self.address)?;
        write!(socket, "POST {session}/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        until(&mut socket, b"204")
    }

    /// Publishes, with at most `owed` events that have not reached everybody, until all have.
    fn run(
        &self,
        poll: &mut Poll,
        listeners: &mut [Subscriber],
        publisher: &mut Publisher,
        numbers: std::ops::Range<u64>,
        owed: u64,
    ) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut next = numbers.start;
        // How many have seen each event that is under way.
        let mut under_way = std::collections::VecDeque::new();
        while next < numbers.end || !under_way.is_empty() {
            while next < numbers.end && (under_way.len() as u64) < owed {
                publisher.publish(self, next)?;
                under_way.push_back(0);
                next += 1;
            }
            poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "of {} events something did not arrive", under_way.len());
            let first = next - under_way.len() as u64;
            for event in &events {
                let listener = &mut listeners[event.token().0];
                let before = listener.seen;
                listener.take()?;
                for number in before..listener.seen {
                    under_way[(number - first) as usize] += 1;
                }
            }
            while under_way.front() == Some(&listeners.len()) {
                under_way.pop_front();
            }
        }
        publisher.drain()
    }
}

impl Publisher {
    fn socket(&self) -> &std::net::TcpStream {
        let (Self::Api(socket) | Self::Redis(socket)) = self;
        socket
    }

    fn publish(&mut self, target: &Target, number: u64) -> anyhow::Result<()> {
        let data = format!("tick-{number}-{}", "x".repeat(100));
        match self {
            Self::Api(socket) => {
                let path = format!("/apps/{}/events", target.id);
                let body = format!(r#"{{"name":"e","channels":["ticks"],"data":"{data}"}}"#);
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                let query = sign("POST", &path, &[], body.as_bytes(), &target.key, UnixTime::from_micros(now.as_micros() as u64));
                write!(socket, "POST {path}?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            }
            Self::Redis(socket) => {
                write!(socket, "*3\r\n$7\r\nPUBLISH\r\n$7\r\np.ticks\r\n${}\r\n{data}\r\n", data.len())?;
            }
        }
        Ok(())
    }

    /// Reads the answers, which say nothing that the subscribers have not shown.
    fn drain(&mut self) -> anyhow::Result<()> {
        let (Self::Api(socket) | Self::Redis(socket)) = self;
        let mut buffer = [0; 64 * 1024];
        socket.set_nonblocking(true)?;
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => bail!("the publisher's connection ended"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        socket.set_nonblocking(false)?;
        Ok(())
    }
}

impl Subscriber {
    /// Reads what is there; each event must be the one that is expected.
    fn take(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            while let Some(at) = self.read.windows(MARK.len()).position(|window| window == MARK) {
                let Some(end) = self.read[at..].windows(2).position(|window| window == b"-x").map(|end| at + end) else { break };
                let told: u64 = std::str::from_utf8(&self.read[at + MARK.len()..end])?.parse()?;
                ensure!(told == self.seen, "event {told} came where {} was due", self.seen);
                self.seen += 1;
                self.read.drain(..end);
            }
            if self.poll.is_some() && self.read.ends_with(b"0\r\n\r\n") {
                self.read.clear();
                if let Some(poll) = &self.poll {
                    self.socket.write_all(poll)?;
                }
            }
        }
    }
}

/// Reads until `mark` came.
fn until(socket: &mut std::net::TcpStream, mark: &[u8]) -> anyhow::Result<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.windows(mark.len()).any(|window| window == mark) {
        let count = socket.read(&mut buffer)?;
        ensure!(count > 0, "the server closed: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    Ok(())
}

/// A client's text frame; the mask changes nothing.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
