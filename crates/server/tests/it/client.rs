//! One peer of a server: a socket of any kind, with HTTP and WebSocket spoken on it by hand, so that it can also speak badly.
//! It waits in reads; one that gets nothing for a minute fails its test.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_dialect::auth;
use tidings_dialect::pusher::api;
use tidings_hub::{Key, UnixTime};

/// How long a test waits for what must come. Nothing is asserted about it.
pub const FAILSAFE: Duration = Duration::from_secs(60);
/// The path of the app that scenes have unless they say otherwise.
pub const PATH: &str = "/app/key?protocol=7";
/// That app's secret.
pub const SECRET: &str = "secret-of-the-app";

/// What carries bytes.
pub trait Pipe: Read + Write + Send {}
impl<T: Read + Write + Send> Pipe for T {}

/// One peer.
pub struct Client {
    pipe: Box<dyn Pipe>,
    input: Vec<u8>,
    /// The socket id, once a session is open.
    pub socket_id: String,
    /// What the server answered to the handshake about extensions.
    pub extensions: Option<String>,
}

/// What came on a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    /// A text message that is still compressed.
    Deflated(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection is gone.
    End,
}

/// What came as the answer to a request.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Opens a TCP connection that fails rather than waits for ever.
pub fn dial(address: &str) -> TcpStream {
    patient(TcpStream::connect(address).expect("the server listens"))
}

/// The same from one of the many addresses that a machine calls itself by.
pub fn dial_from(source: &str, address: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&address.parse::<SocketAddr>().unwrap().into()).expect("the server listens");
    patient(socket.into())
}

/// Makes reads fail that would wait for ever.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(FAILSAFE)).unwrap();
    stream.set_write_timeout(Some(FAILSAFE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A handshake for `path`, with further header lines.
pub fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A request of the HTTP API, signed by the key and secret of the app that scenes have. `path` is the one that is signed.
pub fn signed(method: &str, path: &str, body: &str, more: &str) -> String {
    signed_at("", method, path, body, more)
}

/// The same behind a path prefix.
pub fn signed_at(prefix: &str, method: &str, path: &str, body: &str, more: &str) -> String {
    let key = Key { key: "key".to_owned(), secret: SECRET.to_owned() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let query = api::sign(method, path, &[], body.as_bytes(), &key, UnixTime::from_millis(now.as_millis() as u64));
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {prefix}{path}?{query} HTTP/1.1\r\nHost: localhost\r\n{length}{more}\r\n{body}")
}

/// A publish of one event.
pub fn publish(channel: &str, name: &str, data: &str) -> String {
    signed("POST", "/apps/1/events", &serde_json::json!({ "name": name, "channel": channel, "data": data }).to_string(), "")
}

/// A frame as clients send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

/// The message that subscribes, with proof where the channel needs it.
pub fn subscription(socket_id: &str, channel: &str, member: Option<&str>) -> String {
    let mut text = format!("{socket_id}:{channel}");
    let mut data = serde_json::json!({ "channel": channel });
    if let Some(member) = member {
        text = format!("{text}:{member}");
        data["channel_data"] = member.into();
    }
    if channel.starts_with("private-") || channel.starts_with("presence-") {
        data["auth"] = format!("key:{}", auth::sign(SECRET, &[text.as_bytes()])).into();
    }
    serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string()
}

impl Client {
    /// A peer that has said nothing yet.
    pub fn new(pipe: impl Pipe + 'static) -> Self {
        Self { pipe: Box::new(pipe), input: Vec::new(), socket_id: String::new(), extensions: None }
    }

    /// Opens a session of the app that scenes have.
    pub fn open(pipe: impl Pipe + 'static) -> Self {
        let mut client = Self::new(pipe);
        client.enter(PATH, "");
        client
    }

    /// Shakes hands on the connection as it is, and takes the first frame (P-2.5).
    pub fn enter(&mut self, path: &str, more: &str) {
        self.send(handshake(path, more));
        self.entered();
    }

    /// Takes the answer to a handshake, and the first frame (P-2.5).
    pub fn entered(&mut self) {
        let response = self.response();
        assert_eq!(response.status, 101, "{response:?}");
        self.extensions = response.header("sec-websocket-extensions").map(str::to_owned);
        let (event, _, data) = self.event();
        assert_eq!(event, "pusher:connection_established", "{data}");
        let data: Value = serde_json::from_str(&data).unwrap();
        self.socket_id = data["socket_id"].as_str().unwrap().to_owned();
    }

    /// Shakes hands and gives the code of the refusal, told as a frame and as a close (P-17.2).
    pub fn refused(pipe: impl Pipe + 'static, path: &str, more: &str) -> u16 {
        let mut client = Self::new(pipe);
        client.send(handshake(path, more));
        client.refusal()
    }

    /// Takes the answer to a handshake that is refused.
    pub fn refusal(&mut self) -> u16 {
        assert_eq!(self.response().status, 101);
        self.end()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    /// Sends; fails if the server has gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.pipe.write_all(bytes.as_ref())?;
        self.pipe.flush()
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.send(frame(0x81, text.as_bytes()));
    }

    /// Subscribes and takes the confirmation, whose data it gives (P-5.5).
    pub fn subscribe(&mut self, channel: &str) -> String {
        self.join(channel, None)
    }

    /// The same with `channel_data`.
    pub fn join(&mut self, channel: &str, member: Option<&str>) -> String {
        let message = subscription(&self.socket_id, channel, member);
        self.say(&message);
        let (event, on, data) = self.event();
        assert_eq!((event.as_str(), on.as_str()), ("pusher_internal:subscription_succeeded", channel), "{data}");
        data
    }

    /// Signs in, and takes the confirmation (P-15.3).
    pub fn sign_in(&mut self, user_data: &str) {
        let auth = auth::sign(SECRET, &[self.socket_id.as_bytes(), b"::user::", user_data.as_bytes()]);
        let data = serde_json::json!({ "auth": format!("key:{auth}"), "user_data": user_data });
        self.say(&serde_json::json!({ "event": "pusher:signin", "data": data }).to_string());
        assert_eq!(self.event().0, "pusher:signin_success");
    }

    /// Sends a request and takes the answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// Publishes one event, which must be accepted.
    pub fn publish(&mut self, channel: &str, name: &str, data: &str) {
        let response = self.ask(publish(channel, name, data));
        assert_eq!((response.status, response.body.as_str()), (200, "{}"));
    }

    /// The next event: name, channel (or nothing) and data as text.
    pub fn event(&mut self) -> (String, String, String) {
        match self.frame() {
            Frame::Text(text) => event(&text),
            other => panic!("an event was to come, not {other:?}"),
        }
    }

    /// The data of the next event of that name.
    pub fn data_of(&mut self, name: &str) -> String {
        let (event, _, data) = self.event();
        assert_eq!(event, name, "{data}");
        data
    }

    /// Reads to the close, and gives its code. What precedes it is the same code in a frame (P-17.2).
    pub fn end(&mut self) -> u16 {
        let mut last = String::new();
        loop {
            match self.frame() {
                Frame::Text(text) => last = text,
                Frame::Close(code, reason) => {
                    let (event, _, data) = event(&last);
                    let data: Value = serde_json::from_str(&data).unwrap();
                    assert_eq!((event.as_str(), data["code"].as_u64()), ("pusher:error", Some(u64::from(code))), "{last}");
                    assert_eq!(data["message"].as_str(), Some(reason.as_str()));
                    // As RFC 6455 wants it: our close answers the server's, and then it closes TCP.
                    let _ = self.try_send(frame(0x88, &code.to_be_bytes()));
                    return code;
                }
                Frame::Ping(_) | Frame::Pong(_) | Frame::Deflated(_) => {}
                Frame::End => panic!("the connection ended without a close, after {last}"),
            }
        }
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = decode(&self.input) {
                self.input.drain(..len);
                return frame;
            }
            if !self.fill() {
                return Frame::End;
            }
        }
    }

    /// The next response; an empty one with status 0 if the connection ends instead.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let status = response.status;
        if response.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                response.body.push_str(&chunk);
            }
        } else if status >= 200 && status != 204 {
            let length = response.header("content-length").expect("the server tells the length of what it answers");
            let length = length.parse().unwrap();
            response.body = self.take(length);
        }
        response
    }

    /// The head of the next response alone; the same if there is none.
    pub fn head(&mut self) -> Response {
        let head = loop {
            if let Some(end) = find(&self.input, b"\r\n\r\n") {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            if !self.fill() {
                return Response { status: 0, headers: Vec::new(), body: String::new() };
            }
        };
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok()).unwrap();
        let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Response { status, headers: lines.filter_map(header).collect(), body: String::new() }
    }

    /// The next chunk of a body; `None` after the last.
    pub fn chunk(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = find(&self.input, b"\r\n") {
                break end;
            }
            assert!(self.fill(), "the body ends too early");
        };
        let line: Vec<u8> = self.input.drain(..end + 2).collect();
        let length = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
        let chunk = self.take(length);
        assert_eq!(self.take(2), "\r\n");
        (length > 0).then_some(chunk)
    }

    fn take(&mut self, length: usize) -> String {
        while self.input.len() < length {
            assert!(self.fill(), "the body ends too early");
        }
        String::from_utf8(self.input.drain(..length).collect()).unwrap()
    }

    /// Reads until the server closes; whatever came is given.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.input)
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.pipe.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                true
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing came for a minute")
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => false,
        }
    }
}

/// Name, channel and data of a message.
pub fn event(text: &str) -> (String, String, String) {
    let message: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let part = |name: &str| match &message[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    (part("event"), part("channel"), part("data"))
}

/// The first frame in `bytes` and its length, if it is whole.
pub fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, len) = match second {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        len => (2, usize::from(len)),
    };
    let payload = bytes.get(start..start + len)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let frame = match first {
        0x81 => Frame::Text(text(payload)),
        0xc1 => Frame::Deflated(payload.to_vec()),
        0x89 => Frame::Ping(payload.to_vec()),
        0x8a => Frame::Pong(payload.to_vec()),
        0x88 if payload.len() < 2 => Frame::Close(1005, String::new()),
        0x88 => Frame::Close(u16::from_be_bytes([payload[0], payload[1]]), text(&payload[2..])),
        other => panic!("no frame of a server begins with {other:#x}"),
    };
    Some((frame, start + len))
}

/// Where `needle` begins.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
