//! How many events a second a running server stores and acknowledges: publishers in closed loops over keep-alive connections, on one thread, so
//! that the driver takes as little of the machine as it can. `scripts/persist` starts a server and calls it.
//!
//! `persist ADDRESS APP_ID KEY SECRET FOLDER [publishers] [seconds]` for publishes over REST; with `latest` in front the time that
//! `pusher:latest` takes on a channel of 10,000 events.

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Events that a channel has for `latest`.
const HISTORY: usize = 10_000;
const QUESTIONS: usize = 5_000;

struct Target {
    address: SocketAddr,
    id: String,
    key: String,
    secret: String,
}

struct Publisher {
    socket: TcpStream,
    request: Vec<u8>,
    /// Of the request under way.
    written: usize,
    answer: Vec<u8>,
    since: Instant,
}

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let latest = arguments.first().is_some_and(|first| first == "latest");
    arguments.drain(..usize::from(latest));
    let [address, id, key, secret, folder, rest @ ..] = &arguments[..] else {
        bail!("persist [latest] ADDRESS APP_ID KEY SECRET FOLDER [publishers] [seconds]");
    };
    let target = Target { address: address.parse()?, id: id.clone(), key: key.clone(), secret: secret.clone() };
    let number = |at: usize, default: u64| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (publishers, seconds) = (number(0, 16)?, number(1, 5)?);
    let token = target.login()?;
    if latest {
        return target.ask_latest(&token);
    }
    let sync = fdatasync(folder)?;
    let (mut taken, passed) = target.publish(&token, publishers as usize, Duration::from_secs(seconds), "speed")?;
    taken.sort_unstable();
    let rate = taken.len() as f64 / passed.as_secs_f64();
    let bound = 0.5 * publishers as f64 / sync.as_secs_f64();
    writeln!(
        io::stdout(),
        "{publishers} publishers: {rate:.0} acknowledged/s, p50 {:.2} ms, p99 {:.2} ms; one fdatasync {:.3} ms, 0.5 x publishers / fdatasync = {bound:.0}/s",
        millis(percentile(&taken, 50)),
        millis(percentile(&taken, 99)),
        millis(sync),
    )?;
    Ok(())
}

/// The middle one of a thousand: one page written, then brought to the disk.
fn fdatasync(folder: &str) -> anyhow::Result<Duration> {
    let path = std::path::Path::new(folder).join("fdatasync.tmp");
    let file = File::create(&path)?;
    let page = [7; 4096];
    let mut taken = Vec::new();
    for place in 0..1000_u64 {
        file.write_all_at(&page, place % 256 * 4096)?;
        let begin = Instant::now();
        file.sync_data()?;
        taken.push(begin.elapsed());
    }
    std::fs::remove_file(path)?;
    taken.sort_unstable();
    Ok(percentile(&taken, 50))
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Target {
    /// On a connection of its own: one that asked for this is served elsewhere from then on.
    fn login(&self) -> anyhow::Result<String> {
        let mut socket = std::net::TcpStream::connect(self.address)?;
        let Self { id, key, secret, .. } = self;
        write!(socket, "GET /login?app_id={id}&app_key={key}&app_secret={secret} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let token = answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(token.with_context(|| format!("no login: {answer}"))?.to_owned())
    }

    /// Publishes for a while, and says how long each event took to be acknowledged.
    fn publish(&self, token: &str, publishers: usize, time: Duration, channel: &str) -> anyhow::Result<(Vec<Duration>, Duration)> {
        let data = "x".repeat(128);
        let body = format!(r#"{{"data":"{data}","event":"message","channel":"{channel}","persist":true}}"#);
        let head = format!(
            "POST /events?sid={token} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = (head + &body).into_bytes();
        let mut poll = Poll::new()?;
        let mut connections = Vec::new();
        for place in 0..publishers {
            let socket = std::net::TcpStream::connect(self.address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(place), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Publisher { socket, request: request.clone(), written: 0, answer: Vec::new(), since: Instant::now() });
        }
        let (begin, mut taken, mut events) = (Instant::now(), Vec::new(), Events::with_capacity(publishers));
        let mut open = publishers;
        while open > 0 {
            poll.poll(&mut events, Some(Duration::from_secs(5)))?;
            ensure!(!events.is_empty(), "no answer for five seconds");
            let over = begin.elapsed() >= time;
            for event in &events {
                open -= usize::from(connections[event.token().0].go_on(over, &mut taken)?);
            }
        }
        Ok((taken, begin.elapsed()))
    }

    fn ask_latest(&self, token: &str) -> anyhow::Result<()> {
        let mut stored = 0;
        while stored < HISTORY {
            stored += self.publish(token, 16, Duration::from_millis(200), "history")?.0.len();
        }
        let mut socket = std::net::TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        let Self { key, .. } = self;
        write!(
            socket,
            "GET /{key} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut reader = Frames { socket: socket.try_clone()?, read: Vec::new() };
        reader.head()?;
        reader.next()?;
        socket.write_all(&masked(r#"{"event":"pusher:subscribe","data":{"channel":"history"}}"#))?;
        reader.next()?;
        let question = masked(r#"{"event":"pusher:latest","data":{"channel":"history","skip":0,"count":10}}"#);
        let mut taken = Vec::new();
        for _ in 0..QUESTIONS {
            let begin = Instant::now();
            socket.write_all(&question)?;
            let answer = reader.next()?;
            taken.push(begin.elapsed());
            ensure!(answer.contains("pusher_internal:latest") && answer.matches("mid").count() == 10, "no ten events: {answer}");
        }
        taken.sort_unstable();
        writeln!(
            io::stdout(),
            "latest on a channel of {stored} events: p50 {:.3} ms, p99 {:.3} ms, of {QUESTIONS}",
            millis(percentile(&taken, 50)),
            millis(percentile(&taken, 99)),
        )?;
        Ok(())
    }
}

impl Publisher {
    /// Writes and reads what it can; begins the next request when one is answered. `true` once it has ended.
    fn go_on(&mut self, over: bool, taken: &mut Vec<Duration>) -> anyhow::Result<bool> {
        loop {
            while self.written < self.request.len() {
                match self.socket.write(&self.request[self.written..]) {
                    Ok(written) => self.written += written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            if !self.answer.ends_with(b"{\"result\":\"success\"}") {
                ensure!(self.answer.starts_with(b"HTTP/1.1 200 "), "refused: {}", String::from_utf8_lossy(&self.answer));
                continue;
            }
            taken.push(self.since.elapsed());
            self.answer.clear();
            if over {
                return Ok(true);
            }
            (self.written, self.since) = (0, Instant::now());
        }
    }
}

/// A text frame of a client, masked with zeros.
fn masked(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).expect("a short message")];
    bytes.extend([0; 4]);
    bytes.extend(text.bytes());
    bytes
}

/// What comes from a server, frame by frame.
struct Frames {
    socket: std::net::TcpStream,
    read: Vec<u8>,
}

impl Frames {
    fn more(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 65_536];
        let read = self.socket.read(&mut buffer)?;
        ensure!(read > 0, "the server closed the connection");
        self.read.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    fn head(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                self.read.drain(..end + 4);
                return Ok(());
            }
            self.more()?;
        }
    }

    fn next(&mut self) -> anyhow::Result<String> {
        loop {
            let frame = match self.read[..] {
                [_, short @ 0..126, ..] => Some((2, usize::from(short))),
                [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
                _ => None,
            };
            if let Some((start, len)) = frame.filter(|(start, len)| self.read.len() >= start + len) {
                let text = String::from_utf8(self.read[start..start + len].to_vec())?;
                self.read.drain(..start + len);
                return Ok(text);
            }
            self.more()?;
        }
    }
}
